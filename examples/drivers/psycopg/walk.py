#!/usr/bin/env python3
"""From registering to readiness with psycopg 3.

    walk.py SOURCE      (pip install 'psycopg[binary]')

Where to connect comes from PGHOST, PGPORT and the like.  Behind a pooler that
gives a connection for one transaction, LISTEN_HOST and LISTEN_PORT lead past
it.  SOURCE is a name that is not registered yet; its rows go into the table
loaded (source text, happened_at timestamptz).
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta

import psycopg

source = sys.argv[1]
start = datetime(2024, 1, 1, tzinfo=UTC)
end = start + timedelta(hours=1)
hour = (source, "driver", start, end)


def connect(**where: str) -> psycopg.Connection:
    # No prepared statements: a transaction pooler does not keep them.
    return psycopg.connect(prepare_threshold=None, autocommit=True, **where)


def past_the_pooler() -> psycopg.Connection:
    names = {"host": "LISTEN_HOST", "port": "LISTEN_PORT"}
    return connect(**{name: os.environ[env] for name, env in names.items() if env in os.environ})


def refused(what: str, statement: str, values: tuple) -> None:
    """Make a call that has to fail, and print by what a program knows why."""
    try:
        connection.execute(statement, values)
    except psycopg.Error as error:
        print(f"{what}: {error.sqlstate} {error.diag.constraint_name}")
        print(error, file=sys.stderr)
    else:
        sys.exit(f"{what}: not refused")


def catch_up(position: str) -> str:
    """Print what has come since the position, and give the next one.  A
    consumer stores it in the transaction of what it makes of the changes."""
    while True:
        changes = listener.execute(
            "SELECT event_id, event, details ->> 'rows', next_position"
            "  FROM partreg.changes_since(%s, 1000, %s)", (position, [source])).fetchall()
        for event_id, event, rows, _ in changes:
            if event_id is not None:
                print(f"feed: {event}" + (f" of {rows} rows" if rows else ""))
        if changes:
            position = changes[-1][3]
        if not changes or changes[-1][0] is None:
            return position


connection = connect()
register = "SELECT partreg.register_source(%s, 'data team')"
(source_token,) = connection.execute(register, (source,)).fetchone()
(token,) = connection.execute(
    "SELECT partreg.register_provider('driver', %s)", (source_token,)).fetchone()
refused("register_source again", register, (source,))
(position,) = connection.execute("SELECT partreg.feed_position()").fetchone()

# The lock is committed before the load begins: everybody sees who is at it.
lock = ("SELECT partreg.lock_partition(%s, %s, tstzrange(%s, %s), %s, %s,"
        " lease => %s, register => true)")
lease = timedelta(minutes=5)
connection.execute(lock, (*hour, token, "attempt 1", lease))
refused("lock_partition by another", lock, (*hour, token, "attempt 2", lease))
refused("assert_ready too early",
        "SELECT partreg.assert_ready(%s, tstzrange(%s, %s))", (source, start, end))

# A consumer that comes later: LISTEN, then what it has missed, then wait.
listener = past_the_pooler()
listener.execute("LISTEN partreg")
position = catch_up(position)

# Rows and unlock in one transaction: nobody sees the one without the other.
unlock = ("SELECT partreg.unlock_partition(%s, %s, tstzrange(%s, %s), %s, %s,"
          " details => %s::jsonb)")
done = (*hour, token, "attempt 1", json.dumps({"rows": 600}))
with connection.transaction():
    connection.execute(
        "INSERT INTO loaded SELECT %s, generate_series(%s, %s, interval '6 s')",
        (source, start, end - timedelta(seconds=6)))
    connection.execute(unlock, done)

# A notification is a hint to look: it may be lost, and anybody can forge one.
for notification in listener.notifies(timeout=10, stop_after=1):
    print("woken by", json.loads(notification.payload)["event"])
position = catch_up(position)

# Check and read in one snapshot.
with connection.transaction():
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    (ready,) = connection.execute(
        "SELECT partreg.check_readiness(%s, %s, %s)", (source, start, end)).fetchone()
    (rows,) = connection.execute(
        "SELECT count(*) FROM loaded WHERE source = %s AND happened_at >= %s"
        " AND happened_at < %s", (source, start, end)).fetchone()
    print("ready," if ready else "not ready,", rows, "rows")

# The load sent again, as after a COMMIT whose answer was lost: it rolls back.
refused("unlock_partition sent again", unlock, done)
wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
refused("wrong token", unlock, (*hour, wrong, "attempt 1", None))
