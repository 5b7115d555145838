"""The same for asyncio.

    registry = partition_registry.aio.connect()
    async with registry.partition("sales.orders", "cron", start, end) as load:
        connection = await load.connection()
        await connection.execute(...)

What is short and needs no connection of the caller's (the lock, a renewal, a
question) is done in a thread; all waits share the one thread and connection of
the process, so that a thousand of them cost a thousand futures.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import psycopg

from . import errors, registry, steps, waits
from .errors import Obstacle
from .load import LEASE, RENEW_EVERY, Attempt, Call, Claim, is_lost
from .steps import AsyncConnection, Change, Supplied
from .token import Token, teach


def connect(
    dsn: str = "", *, listen_dsn: str | None = None, token: Token | str | None = None
) -> Registry:
    """As partition_registry.connect()."""
    return Registry(registry.connect(dsn, listen_dsn=listen_dsn, token=token))


class Registry:
    """The registry of one database; made by connect(), or of a
    partition_registry.Registry.  Arguments and errors are as there."""

    def __init__(self, of: registry.Registry) -> None:
        self._of = of

    async def open(self, *, autocommit: bool = False, listen: bool = False) -> AsyncConnection:
        """A new connection.  Errors: psycopg.OperationalError."""
        dsn = self._of.dsn(listen)
        connection = await psycopg.AsyncConnection.connect(
            dsn, autocommit=autocommit, prepare_threshold=None
        )
        teach(connection)
        return connection

    async def call(self, statement: str, parameters: Sequence[object] = ()) -> Any:
        return await asyncio.to_thread(self._of.call, statement, parameters)

    async def check(self, sources: str | Sequence[str], start: datetime, end: datetime) -> bool:
        return await asyncio.to_thread(self._of.check, sources, start, end)

    async def explain(
        self, sources: str | Sequence[str], start: datetime, end: datetime
    ) -> tuple[Obstacle, ...]:
        return await asyncio.to_thread(self._of.explain, sources, start, end)

    async def history(
        self,
        source: str,
        start: datetime | None,
        end: datetime | None,
        *,
        provider: str | None = None,
        at_most: int = 1000,
    ) -> list[Change]:
        return await asyncio.to_thread(
            self._of.history, source, start, end, provider=provider, at_most=at_most
        )

    async def position(self) -> str:
        return await asyncio.to_thread(self._of.position)

    async def wait(
        self,
        sources: str | Sequence[str],
        start: datetime,
        end: datetime,
        *,
        timeout: timedelta | None = None,
        poll: timedelta = timedelta(seconds=1),
    ) -> None:
        await asyncio.wrap_future(self._of.begin_wait(sources, start, end, timeout, poll).future)

    async def changes(
        self,
        position: str | None,
        *,
        sources: str | Sequence[str] | None = None,
        follow: bool = True,
        poll: timedelta = timedelta(seconds=1),
    ) -> AsyncIterator[Change]:
        """As Registry.changes(); each change has the position that goes on."""
        names = None if sources is None else steps.named(sources)
        listens = follow and self._of.listens
        async with await self.open(autocommit=True, listen=listens) as connection:
            if listens:
                await connection.execute("LISTEN partreg")
            while True:
                page, position = await steps.run_async(connection, steps.changes(position, names))
                for change in page:
                    yield change
                if page:
                    continue
                if not follow:
                    return
                if listens:
                    async for _ in connection.notifies(timeout=waits.LOOK_AGAIN, stop_after=1):
                        pass
                else:
                    await asyncio.sleep(poll.total_seconds())

    @contextlib.asynccontextmanager
    async def read(
        self, sources: str | Sequence[str], start: datetime, end: datetime
    ) -> AsyncIterator[Reader]:
        steps.aware(start, end)
        names = steps.named(sources)
        async with await self.open() as connection:
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await connection.set_read_only(True)
            async with connection.transaction():
                await steps.run_async(connection, steps.assert_ready(names, start, end))
                yield Reader(connection, names, start, end)

    def partition(
        self,
        source: str,
        provider: str,
        start: datetime,
        end: datetime,
        *,
        needs: str | Sequence[str] = (),
        token: Token | str | None = None,
        holder: str | None = None,
        predecessor: str | None = None,
        lease: timedelta = LEASE,
        renew_every: timedelta = RENEW_EVERY,
    ) -> Load:
        steps.aware(start, end)
        attempt = Attempt(
            (source, provider, start, end),
            steps.named(needs) if needs else (),
            registry.as_token(token) or self._of.token,
            holder,
            predecessor,
            lease,
            renew_every,
        )
        return Load(self, self._of.run, attempt)


class Reader:
    """A snapshot in which the sources are ready.  Ask while it is open."""

    def __init__(
        self, connection: AsyncConnection, sources: tuple[str, ...], start: datetime, end: datetime
    ) -> None:
        self.connection = connection
        self._asked = (sources, start, end)

    async def position(self) -> str:
        found: str = await steps.run_async(
            self.connection, steps.value("SELECT partreg.feed_position()")
        )
        return found

    async def details(self) -> tuple[Supplied, ...]:
        return await steps.run_async(self.connection, steps.supplied(*self._asked))


class Load(Claim):
    """One attempt to load a partition; made by Registry.partition()."""

    def __init__(self, of: Registry, call: Call, attempt: Attempt) -> None:
        super().__init__(call, attempt)
        self._registry = of
        self._connection: AsyncConnection | None = None
        self._transaction = contextlib.AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._interruption: Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._take)
        return self

    async def connection(self) -> AsyncConnection:
        """The connection of the load's transaction; see partition_registry.Load."""
        if self._connection is None:
            connection = await self._registry.open()
            self._transaction.push_async_callback(connection.close)
            await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
            await self._transaction.enter_async_context(connection.transaction())
            self._connection = connection
            await steps.run_async(connection, self._begin())
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and self.lost is None:
                try:
                    await steps.run_async(await self.connection(), self._unlock())
                    await self._commit()
                except BaseException as refused:
                    await self._abandon(refused)
                    raise
            elif self.lost is not None:
                await self._abandon(self.lost)
                raise self.lost from error
            elif error is not None:
                await self._abandon(error)
        finally:
            self._done.set()

    async def _commit(self) -> None:
        try:
            await self._transaction.aclose()
        except psycopg.Error as refused:
            raise errors.translated(refused) from refused

    async def _abandon(self, error: BaseException) -> None:
        lost = is_lost(self._connection is not None and self._connection.broken, error)
        with contextlib.suppress(BaseException):
            await self._interrupted()
        with contextlib.suppress(BaseException):
            await self._transaction.__aexit__(type(error), error, error.__traceback__)
        # Shielded: a task that is cancelled again must not leave the lock.
        await asyncio.shield(asyncio.to_thread(self._give_up, error, lost))

    def _interrupt(self) -> None:
        if self._connection is not None and self._loop is not None:
            self._interruption = asyncio.run_coroutine_threadsafe(
                self._connection.cancel_safe(timeout=5), self._loop
            )

    async def _interrupted(self) -> None:
        """Wait until the renewal's request to cancel, where there is one, has arrived:
        else it may end a later statement, and where it goes away with the event
        loop PgBouncer 1.18 ends itself."""
        if self.lost is not None:
            await asyncio.to_thread(self._renewal.join)
        if self._interruption is not None:
            await asyncio.wrap_future(self._interruption)
