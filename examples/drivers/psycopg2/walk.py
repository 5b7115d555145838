#!/usr/bin/env python3
"""From registering to readiness with psycopg2.

    walk.py SOURCE      (pip install psycopg2-binary)

psycopg2 writes the values into the statement before it sends it: a token would
be in pg_stat_activity, and after an error in the server's log.  So the source
and its provider trust a role, and no token is sent.

Where to connect comes from PGHOST, PGPORT and the like.  Behind a pooler that
gives a connection for one transaction, LISTEN_HOST and LISTEN_PORT lead past
it.  SOURCE is a name that is not registered yet; its rows go into the table
loaded (source text, happened_at timestamptz).
"""

import json
import os
import select
import sys
from datetime import datetime, timedelta, timezone

import psycopg2

source = sys.argv[1]
start = datetime(2024, 1, 1, tzinfo=timezone.utc)
end = start + timedelta(hours=1)
hour = (source, "driver", start, end)


def connect(**where):
    connection = psycopg2.connect("", **where)
    # Each statement is a transaction.  set_session() would stay behind in a
    # pooler's connection: BEGIN with what belongs to it does not.
    connection.autocommit = True
    return connection


def past_the_pooler():
    names = {"host": "LISTEN_HOST", "port": "LISTEN_PORT"}
    return connect(**{name: os.environ[env] for name, env in names.items() if env in os.environ})


def call(statement, values=()):
    """Run a statement and give the first column of its first row."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]


def refused(what, statement, values):
    """Make a call that has to fail, and print by what a program knows why."""
    try:
        call(statement, values)
    except psycopg2.Error as error:
        print(f"{what}: {error.pgcode} {error.diag.constraint_name}")
        print(error, file=sys.stderr)
    else:
        sys.exit(f"{what}: not refused")


def catch_up(position):
    """Print what has come since the position, and give the next one.  A
    consumer stores it in the transaction of what it makes of the changes."""
    while True:
        with listener.cursor() as cursor:
            cursor.execute(
                "SELECT event_id, event, details ->> 'rows', next_position"
                "  FROM partreg.changes_since(%s, 1000, %s)", (position, [source]))
            changes = cursor.fetchall()
        for event_id, event, rows, _ in changes:
            if event_id is not None:
                print(f"feed: {event}" + (f" of {rows} rows" if rows else ""))
        if changes:
            position = changes[-1][3]
        if not changes or changes[-1][0] is None:
            return position


connection = connect()
register = "SELECT partreg.register_source(%s, 'data team', trusted_role => current_user) IS NULL"
call(register, (source,))
call("SELECT partreg.register_provider('driver', source_name => %s,"
     " trusted_role => current_user) IS NULL", (source,))
refused("register_source again", register, (source,))
position = call("SELECT partreg.feed_position()")

# The lock is committed before the load begins: everybody sees who is at it.
lock = ("SELECT partreg.lock_partition(%s, %s, tstzrange(%s, %s), holder => %s,"
        " lease => %s, register => true)")
lease = timedelta(minutes=5)
call(lock, (*hour, "attempt 1", lease))
refused("lock_partition by another", lock, (*hour, "attempt 2", lease))
refused("assert_ready too early",
        "SELECT partreg.assert_ready(%s, tstzrange(%s, %s))", (source, start, end))

# A consumer that comes later: LISTEN, then what it has missed, then wait.
listener = past_the_pooler()
with listener.cursor() as cursor:
    cursor.execute("LISTEN partreg")
position = catch_up(position)

# Rows and unlock in one transaction: nobody sees the one without the other.
unlock = ("SELECT partreg.unlock_partition(%s, %s, tstzrange(%s, %s), holder => %s,"
          " details => %s)")
done = (*hour, "attempt 1", json.dumps({"rows": 600}))
connection.autocommit = False
with connection, connection.cursor() as cursor:
    cursor.execute(
        "INSERT INTO loaded SELECT %s, generate_series(%s, %s, interval '6 s')",
        (source, start, end - timedelta(seconds=6)))
    cursor.execute(unlock, done)
connection.autocommit = True

# A notification is a hint to look: it may be lost, and anybody can forge one.
if not listener.notifies:
    select.select([listener], [], [], 10)
    listener.poll()
if listener.notifies:
    print("woken by", json.loads(listener.notifies[0].payload)["event"])
position = catch_up(position)

# Check and read in one snapshot.
connection.autocommit = False
with connection, connection.cursor() as cursor:
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    cursor.execute("SELECT partreg.check_readiness(%s, %s, %s)", (source, start, end))
    (ready,) = cursor.fetchone()
    cursor.execute("SELECT count(*) FROM loaded WHERE source = %s AND happened_at >= %s"
                   " AND happened_at < %s", (source, start, end))
    (rows,) = cursor.fetchone()
    print("ready," if ready else "not ready,", rows, "rows")
connection.autocommit = True

# The load sent again, as after a COMMIT whose answer was lost: it rolls back.
refused("unlock_partition sent again", unlock, done)
refused("wrong token", "SELECT partreg.set_owner(%s, 'me', 'prs_0000')", (source,))
