"""Connections, and how values cross them.

Times come from the server as ISO 8601 text in UTC and are handed on as text:
the server knows years that Python's datetime does not.  Tokens go as objects
that print as ***.  No statement is prepared, so that an update of the
extension, which changes result types, finds no plan of before.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from fastapi import Request
from partition_registry.token import teach
from psycopg.adapt import AdaptersMap, Buffer, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from .settings import Settings

Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

# A client that waits for a connection is answered within five seconds.
_WAIT = 3.5
_ATTEMPTS = 3

T = TypeVar("T")


class _IsoTime(Loader):
    """2024-01-01 00:00:00.5+00 becomes 2024-01-01T00:00:00.500000Z, and a year
    before 1 its astronomical number."""

    def load(self, data: Buffer) -> str:
        text = bytes(data).decode()
        sign = ""
        if text.endswith(" BC"):
            year, _, rest = text[:-3].partition("-")
            sign, text = ("-" if year != "0001" else ""), f"{int(year) - 1:04}-{rest}"
        text, _, fraction = text.removesuffix("+00").partition(".")
        return sign + text.replace(" ", "T") + (f".{fraction:0<6}Z" if fraction else "Z")


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_loader("timestamptz", _IsoTime)
    teach(adapters)
    return adapters


def _parameters(settings: Settings) -> dict[str, Any]:
    milliseconds = round(settings.statement_timeout * 1000)
    given = conninfo_to_dict(settings.dsn).get("options") or os.environ.get("PGOPTIONS", "")
    return {
        "autocommit": True,
        "row_factory": dict_row,
        "prepare_threshold": None,
        "context": _adapters(),
        "fallback_application_name": "partreg-http",
        "connect_timeout": 5,
        # A server that vanished without a word is noticed.
        "tcp_user_timeout": 5000,
        "options": f"{given} -c TimeZone=UTC -c DateStyle=ISO -c statement_timeout={milliseconds}",
    }


async def connect(settings: Settings) -> Connection:
    """A connection beside the pool."""
    return await psycopg.AsyncConnection.connect(settings.dsn, **_parameters(settings))


def make_pool(settings: Settings) -> Pool:
    """The pool, not opened yet.

    It gives up on a server that does not answer after one attempt, and tries
    again when it is asked for a connection: so it is back as soon as the server
    is, however long that was away."""
    return AsyncConnectionPool(
        settings.dsn,
        kwargs=_parameters(settings),
        connection_class=psycopg.AsyncConnection[DictRow],
        min_size=2,
        max_size=8,
        timeout=_WAIT,
        max_waiting=1000,
        reconnect_timeout=1,
        check=AsyncConnectionPool.check_connection,
        open=False,
        name="partreg-http",
    )


def pool_of(request: Request) -> Pool:
    pool: Pool = request.app.state.pool
    return pool


async def run(pool: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Do the work with a connection; again where another transaction was in
    the way.

    Errors: psycopg.Error, the third time also for a serialization failure."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with pool.connection() as connection:
                return await work(connection)
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(random.uniform(0, 0.05))
    raise AssertionError


async def rows(pool: Pool, statement: str, parameters: dict[str, object]) -> list[DictRow]:
    """What a single statement gives."""

    async def work(connection: Connection) -> list[DictRow]:
        cursor = await connection.execute(statement.encode(), parameters)
        return await cursor.fetchall()

    return await run(pool, work)
