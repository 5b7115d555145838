"""Loading, reading, waiting, and following what changes.

Everything works through a pooler that gives a connection for one transaction:
no prepared statements, no session settings.  Only LISTEN needs a connection
that goes past the pooler (``listen_dsn``); without one, ``wait`` and ``changes``
poll.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import psycopg

from . import steps, waits
from .errors import Obstacle
from .load import LEASE, RENEW_EVERY, Attempt, Load
from .steps import Change, Connection, Steps, Supplied, T
from .token import Token, teach


def connect(
    dsn: str = "", *, listen_dsn: str | None = None, token: Token | str | None = None
) -> Registry:
    """A registry in the database that dsn (or PGHOST and the like) names.

    No connection is made yet.  listen_dsn leads past a transaction pooler to
    the same database; the token is used where a call names no other."""
    return Registry(dsn, listen_dsn, as_token(token))


def as_token(token: Token | str | None) -> Token | None:
    return Token(token) if isinstance(token, str) else token


class Registry:
    """The registry of one database; made by connect()."""

    def __init__(self, dsn: str, listen_dsn: str | None, token: Token | None) -> None:
        self._dsn = dsn
        self._listen_dsn = listen_dsn
        self.token = token

    def __repr__(self) -> str:
        return "<partition_registry.Registry>"

    def open(self, *, autocommit: bool = False, listen: bool = False) -> Connection:
        """A new connection that works behind a transaction pooler and takes a
        Token as a parameter.  Errors: psycopg.OperationalError."""
        connection = psycopg.connect(
            self.dsn(listen), autocommit=autocommit, prepare_threshold=None
        )
        teach(connection)
        return connection

    @property
    def listens(self) -> bool:
        """Can it LISTEN?  Else it polls."""
        return self._listen_dsn is not None

    def dsn(self, listen: bool = False) -> str:
        """Where to connect, to LISTEN or for everything else."""
        return self._listen_dsn if listen and self._listen_dsn is not None else self._dsn

    def call(self, statement: str, parameters: Sequence[object] = ()) -> Any:
        """Run one call of the registry in a transaction of its own, and give
        its only value.  Errors: those of partition_registry.errors."""
        return self.run(steps.value(statement, parameters))

    def run(self, what: Steps[T]) -> T:
        """Carry out steps, each statement in a transaction of its own."""
        with contextlib.closing(self.open(autocommit=True)) as connection:
            return steps.run(connection, what)

    def check(self, sources: str | Sequence[str], start: datetime, end: datetime) -> bool:
        """Is [start, end) ready in each of the sources?"""
        return not self.explain(sources, start, end)

    def explain(
        self, sources: str | Sequence[str], start: datetime, end: datetime
    ) -> tuple[Obstacle, ...]:
        """What keeps [start, end) from being ready; empty where it is.

        Errors: UnknownObject, BadArgument, NotAllowed."""
        steps.aware(start, end)
        with contextlib.closing(self.open()) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return steps.run(connection, steps.obstacles(steps.named(sources), start, end))

    def history(
        self,
        source: str,
        start: datetime | None,
        end: datetime | None,
        *,
        provider: str | None = None,
        at_most: int = 1000,
    ) -> list[Change]:
        """What happened to what overlaps [start, end), the newest first; None
        stands for no bound.  Errors: UnknownObject, BadArgument."""
        steps.aware(*(when for when in (start, end) if when is not None))
        return self.run(steps.history(source, start, end, provider, at_most))

    def wait(
        self,
        sources: str | Sequence[str],
        start: datetime,
        end: datetime,
        *,
        timeout: timedelta | None = None,
        poll: timedelta = timedelta(seconds=1),
    ) -> None:
        """Return once [start, end) is ready in each of the sources.

        With listen_dsn a notification wakes it; else it looks every poll.  All
        waits of a process share one connection, in which no transaction stands
        open.

        Errors: PartitionFailed at once where a failed partition is in the way;
        UnknownObject at once for a source that does not exist; TimedOut after
        timeout (0 looks once, None waits for ever)."""
        wait = self.begin_wait(sources, start, end, timeout, poll)
        try:
            wait.future.result()
        finally:
            wait.future.cancel()

    def begin_wait(
        self,
        sources: str | Sequence[str],
        start: datetime,
        end: datetime,
        timeout: timedelta | None = None,
        poll: timedelta = timedelta(seconds=1),
    ) -> waits.Wait:
        """Begin to wait(); its future says when it is over, and how, and its
        obstacles what was in the way when it looked last."""
        steps.aware(start, end)
        until = None if timeout is None else time.monotonic() + timeout.total_seconds()
        wait = waits.Wait(steps.named(sources), start, end, until, poll.total_seconds())
        shared = waits.of_this_process(
            self.dsn(listen=True), lambda: self.open(autocommit=True, listen=True), self.listens
        )
        shared.add(wait)
        return wait

    def position(self) -> str:
        """A position of the feed that starts now."""
        found: str = self.call("SELECT partreg.feed_position()")
        return found

    def changes(
        self,
        position: str | None,
        *,
        sources: str | Sequence[str] | None = None,
        follow: bool = True,
        poll: timedelta = timedelta(seconds=1),
    ) -> Changes:
        """The changes since a position, one by one, each once; None: since the
        oldest that is kept, ``registry.position()``: since now.

        It goes on for ever, woken by notifications where there is a listen_dsn
        and else looking every poll; without ``follow`` it ends where nothing has
        come.  A position goes on with the sources that it was got with.

        Errors, while it is used: HistoryGone, where the position is of a history
        that does not go on here, or that was purged; BadArgument;
        psycopg.OperationalError, after which its position still goes on."""
        names = None if sources is None else steps.named(sources)
        return Changes(self, position, names, follow, poll.total_seconds())

    @contextlib.contextmanager
    def read(
        self, sources: str | Sequence[str], start: datetime, end: datetime
    ) -> Iterator[Reader]:
        """Check and read in one snapshot.

        Errors: NotReady, PartitionFailed, UnknownObject, BadArgument."""
        steps.aware(start, end)
        names = steps.named(sources)
        with contextlib.closing(self.open()) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                steps.run(connection, steps.assert_ready(names, start, end))
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
        """A load of the partition [start, end), to be used with ``with``.

        needs: sources that have to be ready for the same range: asked before
        the lock, so that a run that comes too early leaves none, and again at the
        first statement of the load and before the unlock, when none may
        have changed meanwhile.  holder: a name that no other attempt has, where
        the one made from host and process will not do.  predecessor: the holder
        of an earlier attempt, whose lock is ended first.  The lease is renewed
        while the load runs.

        Errors: HeldByOther, NotReady, NotAllowed, UnknownObject, BadArgument
        on entering; LockLost where the lock was taken over meanwhile; what the
        block raises.  Whatever is raised, nothing of the load is committed."""
        steps.aware(start, end)
        attempt = Attempt(
            (source, provider, start, end),
            steps.named(needs) if needs else (),
            as_token(token) or self.token,
            holder,
            predecessor,
            lease,
            renew_every,
        )
        return Load(self.open, self.run, attempt)


class Reader:
    """A snapshot in which the sources are ready.  Ask while it is open."""

    def __init__(
        self, connection: Connection, sources: tuple[str, ...], start: datetime, end: datetime
    ) -> None:
        self.connection = connection
        self._asked = (sources, start, end)

    @cached_property
    def position(self) -> str:
        """The position of the feed that this snapshot sees: what it reads holds
        until ``registry.changes`` or changed_ranges() since then say otherwise."""
        found: str = steps.run(self.connection, steps.value("SELECT partreg.feed_position()"))
        return found

    @cached_property
    def details(self) -> tuple[Supplied, ...]:
        """What the last unlock of each partition in the range said of it."""
        return steps.run(self.connection, steps.supplied(*self._asked))


class Changes:
    """An iterator over the feed, made by Registry.changes().

    position: goes on after the change that it has given last.  A change has
    its own, too: store that in the transaction of what was made of the change.
    ``close()`` it, or use it with ``with``, where it is left before its end."""

    def __init__(
        self,
        registry: Registry,
        position: str | None,
        sources: tuple[str, ...] | None,
        follow: bool,
        poll: float,
    ) -> None:
        self.position = position
        self._registry = registry
        self._sources = sources
        self._follow = follow
        self._poll = poll
        self._listens = follow and registry.listens
        self._connection: Connection | None = None
        self._page: list[Change] = []
        self._next = position  # after the page

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        while not self._page:
            try:
                connection = self._connection or self._connect()
                self._page, self._next = steps.run(
                    connection, steps.changes(self._next, self._sources)
                )
                if not self._page:
                    self.position = self._next
                    if not self._follow:
                        self.close()
                        raise StopIteration
                    self._sleep(connection)
            except psycopg.Error:
                self.close()
                raise
        change = self._page.pop(0)
        self.position = change.position
        return change

    def _connect(self) -> Connection:
        self._connection = self._registry.open(autocommit=True, listen=self._listens)
        if self._listens:
            self._connection.execute("LISTEN partreg")
        return self._connection

    def _sleep(self, connection: Connection) -> None:
        if self._listens:
            for _ in connection.notifies(timeout=waits.LOOK_AGAIN, stop_after=1):
                pass
        else:
            time.sleep(self._poll)

    def close(self) -> None:
        """Close its connection.  Its position goes on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
