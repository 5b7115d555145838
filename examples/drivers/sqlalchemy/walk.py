#!/usr/bin/env python3
"""From registering to readiness with SQLAlchemy 2, on psycopg 3.

    walk.py SOURCE      (pip install sqlalchemy 'psycopg[binary]')

Where to connect comes from PGHOST, PGPORT and the like.  Behind a pooler that
gives a connection for one transaction, LISTEN_HOST and LISTEN_PORT lead past
it.  SOURCE is a name that is not registered yet; its rows go into the table
loaded (source text, happened_at timestamptz).
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

source = sys.argv[1]
start = datetime(2024, 1, 1, tzinfo=UTC)
hour = {"source": source, "start": start, "end": start + timedelta(hours=1)}

# hide_parameters: without it every error shows the values, tokens among them.
# The pooler is the pool, and keeps no prepared statements.
engine = create_engine(
    "postgresql+psycopg://",
    hide_parameters=True,
    poolclass=NullPool,
    connect_args={"prepare_threshold": None},
)
names = {"host": "LISTEN_HOST", "port": "LISTEN_PORT"}
past_the_pooler = create_engine(
    "postgresql+psycopg://",
    hide_parameters=True,
    poolclass=NullPool,
    isolation_level="AUTOCOMMIT",
    connect_args={name: os.environ[env] for name, env in names.items() if env in os.environ},
)


def call(statement: str, **values: object) -> object:
    """Run a statement in a transaction of its own, and give its value."""
    with engine.begin() as connection:
        return connection.scalar(text(statement), values)


def refused(what: str, statement: str, **values: object) -> None:
    """Make a call that has to fail, and print by what a program knows why.

    55006 and 55000 come as OperationalError, as a lost connection does: look
    at the driver's error, and at connection_invalidated, before trying again."""
    try:
        call(statement, **values)
    except DBAPIError as error:
        print(f"{what}: {error.orig.sqlstate} {error.orig.diag.constraint_name}")
        print(error, file=sys.stderr)
    else:
        sys.exit(f"{what}: not refused")


def catch_up(position: str) -> str:
    """Print what has come since the position, and give the next one.  A
    consumer stores it in the transaction of what it makes of the changes."""
    while True:
        changes = listener.execute(
            text("SELECT event_id, event, details ->> 'rows' AS rows, next_position"
                 "  FROM partreg.changes_since(:position, 1000, :names)"),
            {"position": position, "names": [source]}).all()
        for change in changes:
            if change.event_id is not None:
                print(f"feed: {change.event}" + (f" of {change.rows} rows" if change.rows else ""))
        if changes:
            position = changes[-1].next_position
        if not changes or changes[-1].event_id is None:
            return position


register = "SELECT partreg.register_source(:source, 'data team')"
source_token = call(register, source=source)
token = call("SELECT partreg.register_provider('driver', :token)", token=source_token)
refused("register_source again", register, source=source)
position = call("SELECT partreg.feed_position()")

# The lock is committed before the load begins: everybody sees who is at it.
lock = ("SELECT partreg.lock_partition(:source, 'driver', tstzrange(:start, :end), :token,"
        " :holder, lease => :lease, register => true)")
lease = timedelta(minutes=5)
call(lock, **hour, token=token, holder="attempt 1", lease=lease)
refused("lock_partition by another", lock, **hour, token=token, holder="attempt 2", lease=lease)
refused("assert_ready too early",
        "SELECT partreg.assert_ready(:source, tstzrange(:start, :end))", **hour)

# A consumer that comes later: LISTEN, then what it has missed, then wait.
listener = past_the_pooler.connect()
listener.execute(text("LISTEN partreg"))
position = catch_up(position)

# Rows and unlock in one transaction: nobody sees the one without the other.
unlock = ("SELECT partreg.unlock_partition(:source, 'driver', tstzrange(:start, :end), :token,"
          " :holder, details => CAST(:details AS jsonb))")
done = {**hour, "token": token, "holder": "attempt 1", "details": json.dumps({"rows": 600})}
with engine.begin() as connection:
    connection.execute(
        text("INSERT INTO loaded SELECT :source, generate_series(:start, :last, interval '6 s')"),
        {"source": source, "start": start, "last": hour["end"] - timedelta(seconds=6)})
    connection.execute(text(unlock), done)

# A notification is a hint to look: it may be lost, and anybody can forge one.
# SQLAlchemy has no LISTEN of its own: the driver's connection has.
driver = listener.connection.driver_connection
for notification in driver.notifies(timeout=10, stop_after=1):
    print("woken by", json.loads(notification.payload)["event"])
position = catch_up(position)

# Check and read in one snapshot.
with engine.connect().execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
    ready = connection.scalar(
        text("SELECT partreg.check_readiness(:source, :start, :end)"), hour)
    rows = connection.scalar(
        text("SELECT count(*) FROM loaded WHERE source = :source"
             " AND happened_at >= :start AND happened_at < :end"), hour)
    print("ready," if ready else "not ready,", rows, "rows")

# The load sent again, as after a COMMIT whose answer was lost: it rolls back.
refused("unlock_partition sent again", unlock, **done)
wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
refused("wrong token", unlock, **{**done, "token": wrong})
