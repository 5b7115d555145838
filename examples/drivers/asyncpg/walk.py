#!/usr/bin/env python3
"""From registering to readiness with asyncpg.

    walk.py SOURCE      (pip install asyncpg)

Where to connect comes from PGHOST, PGPORT and the like.  Behind a pooler that
gives a connection for one transaction, LISTEN_HOST and LISTEN_PORT lead past
it.  SOURCE is a name that is not registered yet; its rows go into the table
loaded (source text, happened_at timestamptz).
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta

import asyncpg

source = sys.argv[1]
start = datetime(2024, 1, 1, tzinfo=UTC)
end = start + timedelta(hours=1)
hour = (source, "driver", start, end)


async def connect(**where: str) -> asyncpg.Connection:
    return await asyncpg.connect(statement_cache_size=0, **where)


async def past_the_pooler() -> asyncpg.Connection:
    names = {"host": "LISTEN_HOST", "port": "LISTEN_PORT"}
    return await connect(
        **{name: os.environ[env] for name, env in names.items() if env in os.environ})


async def call(connection: asyncpg.Connection, statement: str, *values: object) -> object:
    """Run a statement and give its value.  asyncpg prepares and runs it in two
    steps: a transaction keeps a pooler from giving it a connection for each."""
    async with connection.transaction():
        return await connection.fetchval(statement, *values)


async def refused(connection: asyncpg.Connection, what: str, statement: str, *values: object) -> None:
    """Make a call that has to fail, and print by what a program knows why."""
    try:
        await call(connection, statement, *values)
    except asyncpg.PostgresError as error:
        print(f"{what}: {error.sqlstate} {error.constraint_name}")
        print(error, file=sys.stderr)
    else:
        sys.exit(f"{what}: not refused")


async def catch_up(listener: asyncpg.Connection, position: str) -> str:
    """Print what has come since the position, and give the next one.  A
    consumer stores it in the transaction of what it makes of the changes."""
    while True:
        changes = await listener.fetch(
            "SELECT event_id, event, details ->> 'rows' AS rows, next_position"
            "  FROM partreg.changes_since($1, 1000, $2)", position, [source])
        for change in changes:
            if change["event_id"] is not None:
                print("feed:", change["event"] + (f" of {change['rows']} rows" if change["rows"] else ""))
        if changes:
            position = changes[-1]["next_position"]
        if not changes or changes[-1]["event_id"] is None:
            return position


async def main() -> None:
    connection = await connect()
    register = "SELECT partreg.register_source($1, 'data team')"
    source_token = await call(connection, register, source)
    token = await call(
        connection, "SELECT partreg.register_provider('driver', $1)", source_token)
    await refused(connection, "register_source again", register, source)
    position = await call(connection, "SELECT partreg.feed_position()")

    # The lock is committed before the load begins: everybody sees who is at it.
    lock = ("SELECT partreg.lock_partition($1, $2, tstzrange($3, $4), $5, $6,"
            " lease => $7, register => true)")
    lease = timedelta(minutes=5)
    await call(connection, lock, *hour, token, "attempt 1", lease)
    await refused(connection, "lock_partition by another", lock, *hour, token, "attempt 2", lease)
    await refused(connection, "assert_ready too early",
                  "SELECT partreg.assert_ready($1, tstzrange($2, $3))", source, start, end)

    # A consumer that comes later: LISTEN, then what it has missed, then wait.
    news: asyncio.Queue[str] = asyncio.Queue()
    listener = await past_the_pooler()
    await listener.add_listener("partreg", lambda _c, _pid, _channel, text: news.put_nowait(text))
    position = await catch_up(listener, position)

    # Rows and unlock in one transaction: nobody sees the one without the other.
    unlock = ("SELECT partreg.unlock_partition($1, $2, tstzrange($3, $4), $5, $6,"
              " details => $7)")
    done = (*hour, token, "attempt 1", json.dumps({"rows": 600}))
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO loaded SELECT $1, generate_series($2, $3::timestamptz, interval '6 s')",
            source, start, end - timedelta(seconds=6))
        await connection.execute(unlock, *done)

    # A notification is a hint to look: it may be lost, and anybody can forge one.
    async with asyncio.timeout(10):
        print("woken by", json.loads(await news.get())["event"])
    position = await catch_up(listener, position)

    # Check and read in one snapshot.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        ready = await connection.fetchval(
            "SELECT partreg.check_readiness($1, $2, $3)", source, start, end)
        rows = await connection.fetchval(
            "SELECT count(*) FROM loaded WHERE source = $1 AND happened_at >= $2"
            " AND happened_at < $3", source, start, end)
        print("ready," if ready else "not ready,", rows, "rows")

    # The load sent again, as after a COMMIT whose answer was lost: it rolls back.
    await refused(connection, "unlock_partition sent again", unlock, *done)
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    await refused(connection, "wrong token", unlock, *hour, wrong, "attempt 1", None)
    await listener.close()
    await connection.close()


asyncio.run(main())
