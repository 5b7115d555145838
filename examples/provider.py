#!/usr/bin/python3
"""A provider: loads a source hour by hour, and unlocks each hour with its rows.

    provider.py SOURCE PROVIDER TOKEN_FILE FIRST_HOUR HOURS ROWS

SOURCE is the name of a table (happened_at, loaded_by, amount), ROWS what this
provider loads into each hour.  Where to connect, and as whom, comes from the
environment (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSFILE).  The token is
read from a file that nobody else can read: on a command line everybody could.

`claim` is what a job of yours wants to copy: it claims a partition for one
attempt, keeps the lease, and ends with the unlock or with the failure.
"""

import contextlib
import datetime
import os
import random
import secrets
import socket
import sys
import threading
import time

try:                    # psycopg 3 sends the token beside the statement, not in it
    import psycopg
    from psycopg import errors, sql
except ImportError:
    import psycopg2 as psycopg
    from psycopg2 import errors, sql

LEASE = datetime.timedelta(minutes=5)
RENEW = 60      # seconds between renewals: several fit into a lease
INSERTS = 6     # an hour is loaded in so many pieces


@contextlib.contextmanager
def claim(source, provider, start, end, token):
    """Gives a cursor to load with, whose transaction ends with the unlock.

    Every refusal is an exception that ends the attempt: ObjectInUse (55006)
    when another holder has the partition, or has taken it over meanwhile.
    Nothing of the load is left then: do not catch it in order to go on."""
    # A holder of its own for every attempt: host, process, random.
    holder = f"{provider} {socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
    partition = (source, provider, start, end, token, holder)
    with contextlib.closing(psycopg.connect(application_name=holder)) as connection:
        cursor = connection.cursor()
        # The lock is committed before the work begins, so that everybody sees
        # who is at it; should this process die, its lease says when another
        # may take over.
        cursor.execute(
            "SELECT partreg.lock_partition(%s, %s, tstzrange(%s, %s), %s, %s,"
            "                              lease => %s, register => true)",
            (*partition, LEASE))
        connection.commit()
        done = threading.Event()
        renewal = threading.Thread(target=renew, args=(connection, partition, done))
        renewal.start()
        try:
            yield cursor
            # Rows and unlock in one transaction: nobody sees the one without
            # the other.  Refused where this attempt has lost the lock.
            cursor.execute(
                "SELECT partreg.unlock_partition(%s, %s, tstzrange(%s, %s), %s, %s)", partition)
            connection.commit()
        except BaseException as error:
            # After a lost connection nobody knows whether the COMMIT arrived:
            # then the lease decides.  Where the lock is not ours any more this
            # is refused.  What the caller is to see is the first error.
            if not connection.closed:
                with contextlib.suppress(psycopg.Error):
                    connection.rollback()
                    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
                    cursor.execute(
                        "SELECT partreg.fail_partition(%s, %s, tstzrange(%s, %s), %s, %s, %s)",
                        (*partition, reason))
                    connection.commit()
            raise
        finally:
            done.set()
            renewal.join()


def renew(load, partition, done):
    """Renews the lease until the load is done.  A lock that is lost ends the
    load at once; at its unlock it would be refused anyway."""
    while not done.wait(RENEW):
        try:
            with contextlib.closing(psycopg.connect(application_name="lease")) as connection:
                connection.autocommit = True
                connection.cursor().execute(
                    "SELECT partreg.renew_lease(%s, %s, tstzrange(%s, %s), %s, %s, %s)",
                    (*partition[:4], LEASE, *partition[4:]))
        except errors.ObjectInUse:
            load.cancel()
            return
        except psycopg.OperationalError:
            pass        # in a minute again: the lease is longer than that


def main(source, provider, token_file, first_hour, hours, rows):
    hours, rows = int(hours), int(rows)
    with open(token_file) as file:
        token = file.read().strip()
    insert = sql.SQL(
        "INSERT INTO {} (happened_at, loaded_by, amount)"
        " SELECT %s + random() * interval '59 minutes', %s, 1"
        " FROM generate_series(1, %s)").format(sql.Identifier(*source.split(".")))

    start = datetime.datetime.fromisoformat(first_hour)
    for _ in range(hours):
        end = start + datetime.timedelta(hours=1)
        with claim(source, provider, start, end, token) as cursor:
            for piece in range(INSERTS):
                cursor.execute(insert, (start, provider, rows // INSERTS + (piece < rows % INSERTS)))
                time.sleep(random.uniform(0, 0.04))
        start = end
    print(f"{provider:<9} {hours} hours loaded, {rows} rows each, and unlocked with their rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
