"""A load: one attempt to make a partition.

Its holder is a name that no other attempt has, its lock is committed before it
begins, and its unlock is committed with its rows or not at all: the server
refuses the unlock of an attempt whose lock was taken over, and the rows roll
back with it.

``Claim`` is what needs no connection of the load's own: the lock, the renewal of
its lease, the failure.  ``Load`` and, in aio.py, ``AsyncLoad`` add the
transaction.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import psycopg

from . import errors, steps
from .errors import BadArgument, HeldByOther, LockLost, NotReady
from .steps import Connection, Steps
from .token import Token

LEASE = timedelta(minutes=5)
RENEW_EVERY = timedelta(minutes=1)

_PARTITION = "%s, %s, tstzrange(%s, %s)"

Call = Callable[[Steps[Any]], Any]  # carries out steps on a connection of their own


def _new_holder(provider: str) -> str:
    mark = f" {socket.gethostname()[:60]}/{os.getpid()}/{secrets.token_hex(4)}"
    return provider.encode()[: 200 - len(mark)].decode(errors="ignore") + mark


def is_lost(broken: bool, error: BaseException) -> bool:
    """Is this about a connection that is gone?"""
    return broken or (
        isinstance(error, psycopg.OperationalError)
        and (error.sqlstate is None or error.sqlstate[:2] == "08" or error.sqlstate[:4] == "57P0")
    )


@dataclass(frozen=True)
class Attempt:
    """What a load is asked to do; see Registry.partition()."""

    partition: tuple[str, str, datetime, datetime]
    needs: tuple[str, ...]
    token: Token | None
    holder: str | None
    predecessor: str | None
    lease: timedelta
    renew_every: timedelta


class Claim:
    """The lock of one attempt.

    holder: its name in the registry.  details: a dict that is given with the
    unlock, for the consumers.  lost: set by the renewal, where the lock is not
    this attempt's any more."""

    def __init__(self, call: Call, attempt: Attempt) -> None:
        self.holder = attempt.holder or _new_holder(attempt.partition[1])
        self.details: dict[str, Any] | None = None
        self.lost: LockLost | None = None
        self._call = call
        self._partition = attempt.partition
        self._attempt = attempt
        self._began: datetime | None = None
        self._position: str | None = None
        self._done = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="partreg lease", daemon=True)

    @property
    def start(self) -> datetime:
        return self._partition[2]

    @property
    def end(self) -> datetime:
        return self._partition[3]

    def _take(self) -> None:
        """Lock the partition, and keep the lock until _release().

        Errors: NotReady, where a need is not ready; HeldByOther."""
        if self._attempt.needs:
            self._call(steps.assert_ready(self._attempt.needs, self.start, self.end))
        if self._attempt.predecessor is not None:
            # Where it has not the lock, there is nothing to end.
            with contextlib.suppress(LockLost, HeldByOther, errors.UnknownObject):
                self._fail(self._attempt.predecessor, f"ended by its successor {self.holder}")
        try:
            self._call(
                steps.value(
                    f"SELECT partreg.lock_partition({_PARTITION}, %s, %s, %s, register => true)",
                    (*self._partition, self._attempt.token, self.holder, self._attempt.lease),
                )
            )
        except HeldByOther as error:
            with contextlib.suppress(psycopg.Error, errors.RegistryError):
                self._call(self._name_holder(error))
            raise
        self._renewal.start()

    def _release(self) -> None:
        self._done.set()
        if self._renewal.is_alive():
            self._renewal.join()

    def _begin(self) -> Steps[None]:
        """The first statements of the load's transaction."""
        self._began = yield from steps.value("SELECT now()")
        if self._attempt.needs:
            # Before the check: what changes in between is seen at the end.
            self._position = yield from steps.value("SELECT partreg.feed_position()")
            yield from steps.assert_ready(self._attempt.needs, self.start, self.end)

    def _unlock(self) -> Steps[None]:
        """Its last statements.

        Errors: NotReady, where a need has changed since its first; LockLost."""
        if (yield from steps.value("SELECT now()")) != self._began:
            raise BadArgument(
                "the load has ended its transaction by itself",
                hint="Leave COMMIT and ROLLBACK out of it: its rows are committed with the unlock.",
            )
        if self._attempt.needs:
            yield from steps.assert_ready(self._attempt.needs, self.start, self.end)
            for need in self._attempt.needs:
                changed = yield from steps.value(
                    "SELECT nullif(partreg.changed_ranges(%s, tstzrange(%s, %s), %s), '{}')::text",
                    (need, self.start, self.end, self._position),
                )
                if changed is not None:
                    raise NotReady(
                        f'source "{need}", which the load needs, was changed while it loaded',
                        sqlstate="55000",
                        condition="not_ready",
                        detail=f"It was changed in {changed}.",
                        hint="Run the load again: it may have read rows of before and after.",
                    )
        yield (
            f"SELECT partreg.unlock_partition({_PARTITION}, %s, %s, details => %s::jsonb)",
            (
                *self._partition,
                self._attempt.token,
                self.holder,
                None if self.details is None else json.dumps(self.details),
            ),
        )

    def _give_up(self, error: BaseException, lost: bool) -> None:
        """Fail the partition, after what the load did was rolled back.

        After a lost connection nobody knows whether the COMMIT arrived: then
        the lease decides."""
        if not lost and not isinstance(error, LockLost | errors.DoneAlready):
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            with contextlib.suppress(psycopg.Error, errors.RegistryError):
                self._fail(self.holder, reason)

    def _fail(self, holder: str, reason: str) -> None:
        self._call(
            steps.value(
                f"SELECT partreg.fail_partition({_PARTITION}, %s, %s, %s)",
                (*self._partition, self._attempt.token, holder, reason),
            )
        )

    def _name_holder(self, error: HeldByOther) -> Steps[None]:
        rows = yield (
            "SELECT holder, since, lease_expires_at FROM partreg.locks"
            " WHERE source_name = %s AND provider_name = %s AND during = tstzrange(%s, %s)",
            self._partition,
        )
        if rows:
            error.holder, error.since, error.lease_expires_at = rows[0]

    def _renew(self) -> None:
        """Renew the lease until the load is done; a lost lock ends the load."""
        while not self._done.wait(self._attempt.renew_every.total_seconds()):
            try:
                self._call(
                    steps.value(
                        f"SELECT partreg.renew_lease({_PARTITION}, %s, %s, %s)",
                        (*self._partition, self._attempt.lease, self._attempt.token, self.holder),
                    )
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
                self._interrupt()
                return
            except psycopg.Error:
                pass  # next time again: the lease is longer than that

    def _interrupt(self) -> None:
        """End the statement that the load is at, from the renewal's thread."""


class Load(Claim):
    """One attempt to load a partition; made by Registry.partition()."""

    def __init__(
        self, open_connection: Callable[[], Connection], call: Call, attempt: Attempt
    ) -> None:
        super().__init__(call, attempt)
        self._open = open_connection
        self._connection: Connection | None = None
        self._transaction = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._take()
        return self

    @property
    def connection(self) -> Connection:
        """The connection of the load's transaction, which begins at the first
        use; a load of data that is elsewhere needs none.  It cannot be
        committed by hand: it commits with the unlock.

        Errors: NotReady, where a need is not ready at its first statement."""
        if self._connection is None:
            connection = self._open()
            self._transaction.callback(connection.close)
            # Not REPEATABLE READ: every renewal would make the unlock fail as a
            # concurrent update.  That the needs are the same from the first
            # statement to the last is seen before the unlock.
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            self._transaction.enter_context(connection.transaction())
            self._connection = connection
            steps.run(connection, self._begin())
        return self._connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and self.lost is None:
                try:
                    steps.run(self.connection, self._unlock())
                    self._commit()
                except BaseException as refused:
                    self._abandon(refused)
                    raise
            elif self.lost is not None:
                self._abandon(self.lost)
                # What the block raised is how it was told.
                raise self.lost from error
            elif error is not None:
                self._abandon(error)
        finally:
            self._release()

    def _commit(self) -> None:
        try:
            self._transaction.close()
        except psycopg.Error as refused:
            raise errors.translated(refused) from refused

    def _abandon(self, error: BaseException) -> None:
        """Roll back and fail the partition; what is seen is the first error."""
        lost = is_lost(self._connection is not None and self._connection.broken, error)
        if (
            self._connection is not None
            and self._connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE
        ):
            # A signal's handler raised while a statement ran: it would go on.
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=5)
        with contextlib.suppress(BaseException):
            self._transaction.__exit__(type(error), error, error.__traceback__)
        self._give_up(error, lost)

    def _interrupt(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.cancel_safe()
