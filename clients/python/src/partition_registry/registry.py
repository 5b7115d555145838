"""Loading, reading and waiting.

A load is one attempt.  Its holder is a name that no other attempt has, its
lock is committed before it begins, and its unlock is committed with its rows
or not at all: the server refuses the unlock of an attempt whose lock was taken
over, and the rows roll back with it.

Everything works through a pooler that gives a connection for one transaction:
no prepared statements, no session settings.  Only LISTEN needs a connection
that goes past the pooler (``listen_dsn``); without one, ``wait`` polls.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg.rows import TupleRow

from . import errors
from .errors import BadArgument, HeldByOther, LockLost, NotReady, Obstacle
from .token import Token, teach

LEASE = timedelta(minutes=5)
RENEW_EVERY = timedelta(minutes=1)
_LOOK_AGAIN = 30.0  # seconds; a notification may be lost

_PARTITION = "%s, %s, tstzrange(%s, %s)"

Connection = psycopg.Connection[TupleRow]


def connect(
    dsn: str = "", *, listen_dsn: str | None = None, token: Token | str | None = None
) -> Registry:
    """A registry in the database that dsn (or PGHOST and the like) names.

    No connection is made yet.  listen_dsn leads past a transaction pooler to
    the same database; the token is used where a call names no other."""
    return Registry(dsn, listen_dsn, _token(token))


def _token(token: Token | str | None) -> Token | None:
    return Token(token) if isinstance(token, str) else token


def _aware(*times: datetime) -> None:
    for when in times:
        if when.tzinfo is None or when.utcoffset() is None:
            raise BadArgument(
                f"the time {when.isoformat()} has no offset from UTC",
                hint="Give a datetime with a tzinfo: which instant is meant depends on it.",
            )


def _names(sources: str | Sequence[str]) -> tuple[str, ...]:
    names = (sources,) if isinstance(sources, str) else tuple(sources)
    if not names:
        raise BadArgument("no source is named")
    return names


def _new_holder(provider: str) -> str:
    mark = f" {socket.gethostname()[:60]}/{os.getpid()}/{secrets.token_hex(4)}"
    return provider.encode()[: 200 - len(mark)].decode(errors="ignore") + mark


def _is_lost(connection: Connection | None, error: BaseException) -> bool:
    """Is this about a connection that is gone?"""
    if connection is not None and connection.broken:
        return True
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or error.sqlstate[:2] == "08" or error.sqlstate[:4] == "57P0"
    )


def _obstacles(
    connection: Connection, sources: Sequence[str], start: datetime, end: datetime
) -> tuple[Obstacle, ...]:
    try:
        return tuple(
            Obstacle(source, *row)
            for source in sources
            for row in connection.execute(
                "SELECT lower(during), upper(during), state, provider_name, since, holder,"
                "       lease_expires_at, reason"
                "  FROM partreg.explain_readiness(%s, tstzrange(%s, %s))",
                (source, start, end),
            )
        )
    except psycopg.Error as error:
        raise errors.translated(error) from error


def _not_ready(obstacles: tuple[Obstacle, ...], kind: type[NotReady] | None = None) -> NotReady:
    if any(obstacle.state == "failed" for obstacle in obstacles):
        kind, word = errors.PartitionFailed, "failed_upstream"
    elif kind is None:
        kind, word = NotReady, "not_ready"
    else:
        word = "timed_out"
    lines = [str(obstacle) for obstacle in obstacles[:5]]
    if len(obstacles) > 5:
        lines.append(f"and {len(obstacles) - 5} more")
    error = kind(
        "timed out before the data was ready" if word == "timed_out" else "the data is not ready",
        sqlstate="55P03" if word == "timed_out" else "55000",
        condition=word,
        detail="\n".join(lines),
    )
    error.obstacles = obstacles
    return error


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
        dsn = self._listen_dsn if listen and self._listen_dsn is not None else self._dsn
        connection = psycopg.connect(dsn, autocommit=autocommit, prepare_threshold=None)
        teach(connection)
        return connection

    def call(self, statement: str, parameters: Sequence[object]) -> Any:
        """Run one call of the registry in a transaction of its own, and give
        its only value.  Errors: those of partition_registry.errors."""
        with contextlib.closing(self.open(autocommit=True)) as connection:
            try:
                row = connection.execute(statement.encode(), parameters).fetchone()
            except psycopg.Error as error:
                raise errors.translated(error) from error
        return row[0] if row else None

    def check(self, sources: str | Sequence[str], start: datetime, end: datetime) -> bool:
        """Is [start, end) ready in each of the sources?"""
        return not self.explain(sources, start, end)

    def explain(
        self, sources: str | Sequence[str], start: datetime, end: datetime
    ) -> tuple[Obstacle, ...]:
        """What keeps [start, end) from being ready; empty where it is.

        Errors: UnknownObject, BadArgument, NotAllowed."""
        _aware(start, end)
        with contextlib.closing(self.open()) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return _obstacles(connection, _names(sources), start, end)

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

        With listen_dsn a notification wakes it; else it looks every poll.  No
        transaction stands open meanwhile.

        Errors: PartitionFailed at once where a failed partition is in the way;
        UnknownObject at once for a source that does not exist; TimedOut after
        timeout (0 looks once, None waits for ever)."""
        _aware(start, end)
        names = _names(sources)
        until = None if timeout is None else time.monotonic() + timeout.total_seconds()
        listens = self._listen_dsn is not None
        with contextlib.closing(self.open(autocommit=True, listen=True)) as connection:
            if listens:
                connection.execute("LISTEN partreg")
            while obstacles := _obstacles(connection, names, start, end):
                left = _LOOK_AGAIN if listens else poll.total_seconds()
                if until is not None:
                    left = min(left, until - time.monotonic())
                if left <= 0 or any(obstacle.state == "failed" for obstacle in obstacles):
                    raise _not_ready(obstacles, errors.TimedOut)
                if listens:
                    for _ in connection.notifies(timeout=left, stop_after=1):
                        pass
                else:
                    time.sleep(left)

    @contextlib.contextmanager
    def read(
        self, sources: str | Sequence[str], start: datetime, end: datetime
    ) -> Iterator[Reader]:
        """Check and read in one snapshot.

        Errors: NotReady, PartitionFailed, UnknownObject, BadArgument."""
        _aware(start, end)
        names = _names(sources)
        with contextlib.closing(self.open()) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                obstacles = _obstacles(connection, names, start, end)
                if obstacles:
                    raise _not_ready(obstacles)
                yield Reader(connection)

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
        _aware(start, end)
        names = _names(needs) if needs else ()
        return Load(
            self,
            (source, provider, start, end),
            names,
            _token(token) or self.token,
            holder or _new_holder(provider),
            predecessor,
            lease,
            renew_every,
        )


class Reader:
    """A snapshot in which the sources are ready."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection


class Load:
    """One attempt to load a partition; made by Registry.partition().

    holder: its name in the registry.  details: a dict that is given with the
    unlock, for the consumers."""

    def __init__(
        self,
        registry: Registry,
        partition: tuple[str, str, datetime, datetime],
        needs: tuple[str, ...],
        token: Token | None,
        holder: str,
        predecessor: str | None,
        lease: timedelta,
        renew_every: timedelta,
    ) -> None:
        self.holder = holder
        self.details: dict[str, Any] | None = None
        self.lost: LockLost | None = None  # set by the renewal
        self._registry = registry
        self._partition = partition
        self._needs = needs
        self._token = token
        self._predecessor = predecessor
        self._lease = lease
        self._renew_every = renew_every.total_seconds()
        self._connection: Connection | None = None
        self._transaction = contextlib.ExitStack()
        self._began: datetime | None = None
        self._needs_made_by: set[int] = set()
        self._done = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="partreg lease", daemon=True)

    @property
    def start(self) -> datetime:
        return self._partition[2]

    @property
    def end(self) -> datetime:
        return self._partition[3]

    def __enter__(self) -> Self:
        if self._needs:
            obstacles = self._registry.explain(self._needs, self.start, self.end)
            if obstacles:
                raise _not_ready(obstacles)
        if self._predecessor is not None:
            # Where it has not the lock, there is nothing to end.
            with contextlib.suppress(LockLost, HeldByOther, errors.UnknownObject):
                self._fail(self._predecessor, f"ended by its successor {self.holder}")
        try:
            self._registry.call(
                f"SELECT partreg.lock_partition({_PARTITION}, %s, %s, %s, register => true)",
                (*self._partition, self._token, self.holder, self._lease),
            )
        except HeldByOther as error:
            self._name_holder(error)
            raise
        self._renewal.start()
        return self

    @property
    def connection(self) -> Connection:
        """The connection of the load's transaction, which begins at the first
        use; a load of data that is elsewhere needs none.  It cannot be
        committed by hand: it commits with the unlock.

        Errors: NotReady, where a need is not ready at its first statement."""
        if self._connection is None:
            connection = self._registry.open()
            self._transaction.callback(connection.close)
            # Not REPEATABLE READ: every renewal would make the unlock fail as a
            # concurrent update.  That the needs are the same from the first
            # statement to the last is seen before the unlock.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            self._transaction.enter_context(connection.transaction())
            self._connection = connection
            self._began = self._transaction_began()
            self._needs_made_by = self._check_needs()
        return self._connection

    def _check_needs(self) -> set[int]:
        """See that the needs are ready, and give the events that changed them.

        Errors: NotReady, PartitionFailed, UnknownObject, NotAllowed."""
        assert self._connection is not None
        if not self._needs:
            return set()
        obstacles = _obstacles(self._connection, self._needs, self.start, self.end)
        if obstacles:
            raise _not_ready(obstacles)
        try:
            rows = self._connection.execute(
                "SELECT event_id FROM partreg.events"
                " WHERE source_name = ANY (%s) AND during && tstzrange(%s, %s)"
                "   AND event IN ('lock', 'take_over', 'unlock', 'fail', 'force_fail', 'revoke',"
                "                 'retire')",
                (list(self._needs), self.start, self.end),
            ).fetchall()
        except psycopg.Error as error:
            raise errors.translated(error) from error
        return {row[0] for row in rows}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                if self.lost is None:
                    self._unlock()
                    return
                self._abandon(self.lost)
                raise self.lost
            self._abandon(error if self.lost is None else self.lost)
            if self.lost is not None:
                # What the block raised is how it was told.
                raise self.lost from error
        finally:
            self._done.set()
            self._renewal.join()

    def _unlock(self) -> None:
        try:
            connection = self.connection
            if self._transaction_began() != self._began:
                raise BadArgument(
                    "the load has ended its transaction by itself",
                    hint="Leave COMMIT and ROLLBACK out of it:"
                    " its rows are committed with the unlock.",
                )
            if self._check_needs() - self._needs_made_by:
                raise NotReady(
                    "a source that the load needs was changed while it loaded",
                    sqlstate="55000",
                    condition="not_ready",
                    hint="Run the load again: it may have read rows of before and after.",
                )
            try:
                connection.execute(
                    f"SELECT partreg.unlock_partition({_PARTITION}, %s, %s,"
                    " details => %s::jsonb)".encode(),
                    (
                        *self._partition,
                        self._token,
                        self.holder,
                        None if self.details is None else json.dumps(self.details),
                    ),
                )
                self._transaction.close()
            except psycopg.Error as refused:
                raise errors.translated(refused) from refused
        except BaseException as error:
            self._abandon(error)
            raise

    def _abandon(self, error: BaseException) -> None:
        """Roll back and fail the partition; what is seen is the first error.

        After a lost connection nobody knows whether the COMMIT arrived: then
        the lease decides."""
        lost = _is_lost(self._connection, error)
        if (
            self._connection is not None
            and self._connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE
        ):
            # A signal's handler raised while a statement ran: it would go on.
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=5)
        with contextlib.suppress(BaseException):
            self._transaction.__exit__(type(error), error, error.__traceback__)
        if not lost and not isinstance(error, LockLost | errors.DoneAlready):
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            with contextlib.suppress(psycopg.Error, errors.RegistryError):
                self._fail(self.holder, reason)

    def _fail(self, holder: str, reason: str) -> None:
        self._registry.call(
            f"SELECT partreg.fail_partition({_PARTITION}, %s, %s, %s)",
            (*self._partition, self._token, holder, reason),
        )

    def _transaction_began(self) -> datetime | None:
        assert self._connection is not None
        row = self._connection.execute("SELECT now()").fetchone()
        return row[0] if row else None

    def _name_holder(self, error: HeldByOther) -> None:
        with (
            contextlib.suppress(psycopg.Error),
            contextlib.closing(self._registry.open(autocommit=True)) as connection,
        ):
            row = connection.execute(
                "SELECT holder, since, lease_expires_at FROM partreg.locks"
                " WHERE source_name = %s AND provider_name = %s AND during = tstzrange(%s, %s)",
                self._partition,
            ).fetchone()
            if row:
                error.holder, error.since, error.lease_expires_at = row

    def _renew(self) -> None:
        """Renew the lease until the load is done; a lost lock ends the load."""
        while not self._done.wait(self._renew_every):
            try:
                self._registry.call(
                    f"SELECT partreg.renew_lease({_PARTITION}, %s, %s, %s)",
                    (*self._partition, self._lease, self._token, self.holder),
                )
            except errors.RegistryError as error:
                if self._done.is_set():
                    return
                self.lost = LockLost(
                    error.message,
                    sqlstate=error.sqlstate,
                    condition=error.condition,
                    detail=error.detail,
                    hint=error.hint,
                )
                if self._connection is not None:
                    with contextlib.suppress(psycopg.Error):
                        self._connection.cancel_safe()
                return
            except psycopg.Error:
                pass  # next time again: the lease is longer than that
