"""What the registry refuses, as exceptions.

The server's error carries an SQLSTATE and, where PostgreSQL names a
constraint, one word for programs: the condition.  Both together choose the
class.  None of them is a psycopg error, so code that tries again after a lost
connection does not try again after a refusal.  Errors of the connection, of
serialization and of anything else stay psycopg's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg


@dataclass(frozen=True)
class Obstacle:
    """What keeps one piece of a range from being ready.

    state is locked, failed, registered (never unlocked) or missing; start and
    end are cut to the range that was asked about."""

    source: str
    start: datetime
    end: datetime
    state: str
    provider: str | None
    since: datetime | None
    holder: str | None
    lease_expires_at: datetime | None
    reason: str | None

    def __str__(self) -> str:
        text = f"{self.source} [{self.start.isoformat()}, {self.end.isoformat()}) is {self.state}"
        if self.provider is not None:
            text += f", provider {self.provider}"
        if self.holder is not None:
            text += f", holder {self.holder}"
        if self.since is not None:
            text += f", since {self.since.isoformat()}"
        if self.reason is not None:
            text += f": {self.reason}"
        return text


class RegistryError(Exception):
    """What the registry refused; the base of all that follows."""

    def __init__(
        self,
        message: str,
        *,
        sqlstate: str | None = None,
        condition: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__("\n".join(part for part in (message, detail, hint) if part))
        self.message = message
        self.sqlstate = sqlstate
        self.condition = condition
        self.detail = detail
        self.hint = hint


class NotReady(RegistryError):
    """A range is not ready; ``obstacles`` says why."""

    obstacles: tuple[Obstacle, ...] = ()


class PartitionFailed(NotReady):
    """Not ready, and a failed partition is in the way: waiting does not help."""


class TimedOut(NotReady):
    """The wait was over before the range was ready."""


class HeldByOther(RegistryError):
    """Another holder has the partition: ``holder``, ``since`` and
    ``lease_expires_at``, as far as they were still known when asked."""

    holder: str | None = None
    since: datetime | None = None
    lease_expires_at: datetime | None = None


class LockLost(RegistryError):
    """The lock is not this holder's any more; nothing of its load is left."""


class DoneAlready(RegistryError):
    """This holder has unlocked the partition before: its work is committed."""


class HistoryGone(RegistryError):
    """The history that was asked for is not kept any more."""


class ProviderRevoked(RegistryError):
    """The provider was revoked."""


class NotAllowed(RegistryError):
    """Not allowed: the token, the role, or the source's name is not good."""


class UnknownObject(RegistryError):
    """A source, provider or partition that is not known."""


class AlreadyExists(RegistryError):
    """A name or a partition that is known already."""


class BadArgument(RegistryError):
    """An argument that cannot be used, such as a datetime without an offset."""


_BY_CONDITION: dict[str, tuple[str, type[RegistryError]]] = {
    "held_by_other": ("55006", HeldByOther),
    "lock_lost": ("55006", LockLost),
    "done_already": ("55000", DoneAlready),
    "not_ready": ("55000", NotReady),
    "failed_upstream": ("55000", PartitionFailed),
    "history_gone": ("55000", HistoryGone),
    "provider_revoked": ("55000", ProviderRevoked),
    "timed_out": ("55P03", TimedOut),
}
# The SQLSTATE is enough for these; PostgreSQL itself raises some of them.
_BY_SQLSTATE: dict[str, type[RegistryError]] = {
    "42501": NotAllowed,
    "42704": UnknownObject,
    "42710": AlreadyExists,
    "22004": BadArgument,
    "22023": BadArgument,
    "22000": BadArgument,
    "22007": BadArgument,
    "22008": BadArgument,
    "22P02": BadArgument,
}


def translated(error: psycopg.Error) -> Exception:
    """The exception for an error of a call of the registry; the error itself
    where it is none of the registry's refusals."""
    diagnostics = error.diag
    condition = diagnostics.constraint_name
    kind = _BY_SQLSTATE.get(error.sqlstate or "")
    if condition in _BY_CONDITION and _BY_CONDITION[condition][0] == error.sqlstate:
        kind = _BY_CONDITION[condition][1]
    elif condition == "provider_revoked":
        kind = ProviderRevoked
    if kind is None:
        return error
    return kind(
        diagnostics.message_primary or str(error),
        sqlstate=error.sqlstate,
        condition=condition,
        detail=diagnostics.message_detail,
        hint=diagnostics.message_hint,
    )
