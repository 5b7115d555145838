"""Statements and what is made of them, written once for both kinds of
connection.

Steps are a generator: it yields a statement with its parameters and is given
the rows.  ``run`` and ``run_async`` carry them out on a connection, and turn the
registry's refusals into the exceptions of partition_registry.errors.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.rows import TupleRow

from . import errors
from .errors import BadArgument, NotReady, Obstacle

T = TypeVar("T")
Connection = psycopg.Connection[TupleRow]
AsyncConnection = psycopg.AsyncConnection[TupleRow]
Parameters = Sequence[object] | Mapping[str, object]
Steps = Generator[tuple[str, Parameters], list[TupleRow], T]


def run(connection: Connection, steps: Steps[T]) -> T:
    """Carry out steps, and give what they return."""
    try:
        statement, parameters = next(steps)
        while True:
            try:
                cursor = connection.execute(statement.encode(), parameters)
                rows = cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                raise errors.translated(error) from error
            statement, parameters = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(connection: AsyncConnection, steps: Steps[T]) -> T:
    """The same on an asynchronous connection."""
    try:
        statement, parameters = next(steps)
        while True:
            try:
                cursor = await connection.execute(statement.encode(), parameters)
                rows = await cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                raise errors.translated(error) from error
            statement, parameters = steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


def value(statement: str, parameters: Sequence[object] = ()) -> Steps[Any]:
    """The only value of a statement; None where there is no row."""
    rows = yield statement, parameters
    return rows[0][0] if rows else None


def rows(statement: str, parameters: Parameters = ()) -> Steps[list[TupleRow]]:
    """All rows of a statement."""
    return (yield statement, parameters)


def aware(*times: datetime) -> None:
    """Errors: BadArgument for a time of which nobody knows what instant it is."""
    for when in times:
        if when.tzinfo is None or when.utcoffset() is None:
            raise BadArgument(
                f"the time {when.isoformat()} has no offset from UTC",
                hint="Give a datetime with a tzinfo: which instant is meant depends on it.",
            )


def named(sources: str | Sequence[str]) -> tuple[str, ...]:
    names = (sources,) if isinstance(sources, str) else tuple(sources)
    if not names:
        raise BadArgument("no source is named")
    return names


def obstacles(
    sources: Sequence[str], start: datetime, end: datetime
) -> Steps[tuple[Obstacle, ...]]:
    """What keeps [start, end) of the sources from being ready."""
    found = []
    for source in sources:
        rows = yield (
            "SELECT lower(during), upper(during), state, provider_name, since, holder,"
            "       lease_expires_at, reason"
            "  FROM partreg.explain_readiness(%s, tstzrange(%s, %s))",
            (source, start, end),
        )
        found += [Obstacle(source, *row) for row in rows]
    return tuple(found)


def assert_ready(sources: Sequence[str], start: datetime, end: datetime) -> Steps[None]:
    """Errors: NotReady and PartitionFailed, with the obstacles."""
    found = yield from obstacles(sources, start, end)
    if found:
        raise not_ready(found)


def not_ready(found: tuple[Obstacle, ...], timed_out: bool = False) -> NotReady:
    kind: type[NotReady]
    if any(obstacle.state == "failed" for obstacle in found):
        kind, state, word = errors.PartitionFailed, "55000", "failed_upstream"
    elif timed_out:
        kind, state, word = errors.TimedOut, "55P03", "timed_out"
    else:
        kind, state, word = NotReady, "55000", "not_ready"
    lines = [str(obstacle) for obstacle in found[:5]]
    if len(found) > 5:
        lines.append(f"and {len(found) - 5} more")
    error = kind(
        "timed out before the data was ready" if word == "timed_out" else "the data is not ready",
        sqlstate=state,
        condition=word,
        detail="\n".join(lines),
    )
    error.obstacles = found
    return error


@dataclass(frozen=True)
class Change:
    """One event of the feed.  position goes on after it."""

    event_id: int
    event: str
    source: str | None
    provider: str | None
    start: datetime | None
    end: datetime | None
    at: datetime
    actor: str
    holder: str | None
    reason: str | None
    details: dict[str, Any] | None
    position: str | None

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Is it about [start, end), or about all of the source?"""
        if self.start is None or self.end is None:
            return True
        return self.start < end and start < self.end


_CHANGE = (
    "event_id, event, source_name, provider_name, lower(during), upper(during), at, actor,"
    " holder, reason, details, next_position"
)


def changes(
    position: str | None, sources: Sequence[str] | None, at_most: int = 1000
) -> Steps[tuple[list[Change], str | None]]:
    """What has come since a position, and the position that goes on."""
    rows = yield (
        f"SELECT {_CHANGE} FROM partreg.changes_since(%s, %s, %s)",  # noqa: S608
        (position, at_most, None if sources is None else list(sources)),
    )
    if rows:
        position = rows[-1][-1]
    return [Change(*row) for row in rows if row[0] is not None], position


def history(
    source: str, start: datetime | None, end: datetime | None, provider: str | None, at_most: int
) -> Steps[list[Change]]:
    """The events of what overlaps [start, end), the newest first."""
    rows = yield (
        f"SELECT {_CHANGE} FROM partreg.history(%s, tstzrange(%s, %s), %s, %s)",  # noqa: S608
        (source, start, end, provider, at_most),
    )
    return [Change(*row) for row in rows]


@dataclass(frozen=True)
class Supplied:
    """What the last unlock of a partition said of it."""

    source: str
    start: datetime
    end: datetime
    provider: str
    unlocked_at: datetime | None
    details: dict[str, Any] | None


def supplied(sources: Sequence[str], start: datetime, end: datetime) -> Steps[tuple[Supplied, ...]]:
    found = []
    for source in sources:
        rows = yield (
            "SELECT lower(during), upper(during), provider_name, unlocked_at, details"
            "  FROM partreg.latest_details(%s, tstzrange(%s, %s))",
            (source, start, end),
        )
        found += [Supplied(source, *row) for row in rows]
    return tuple(found)
