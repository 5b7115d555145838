"""Which steps (days, hours) have become ready?

Steps tile the time from a start on, as the server's step_ranges() has it, so a
local day has 23 hours now and then.  A step is found once all of it is ready in
every source, however many unlocks that took, and then never again, unless what was
restated is asked for: then also whenever something in it has changed and it is
ready once more.

What was found is remembered by the caller: the steps, which melt into few ranges,
and the position of the snapshot that they were found in.  So nothing depends on
having been there when it happened.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from partition_registry import BadArgument, HistoryGone, Registry
from partition_registry.errors import translated
from psycopg.types.multirange import TimestamptzMultirange
from psycopg.types.range import TimestamptzRange

from .interval import Range, instant

Memory = dict[str, Any]  # "found": pairs of times as text; "position": a text

log = logging.getLogger(__name__)

# Ends for which [start, end) may be a whole number of steps that covers the last
# ready instant: by the clock of the zone, by that of UTC (hours and below are plain
# lengths), and from the midnight that a start after a gap at midnight counts as.
_ENDS = """
    SELECT DISTINCT an_end
      FROM (SELECT %(start)s::timestamptz AS start, %(last)s::timestamptz AS last,
                   %(step)s::interval AS step) AS given,
           unnest(ARRAY[%(zone)s, 'UTC', %(zone)s]) WITH ORDINALITY AS z (zone, way),
           CAST(CASE WHEN way < 3 THEN start AT TIME ZONE zone
                     ELSE date_trunc('day', start AT TIME ZONE zone) END AS timestamp) AS local,
           CAST(ceil(extract(epoch FROM last - start) / extract(epoch FROM step)) AS integer) AS m,
           generate_series(m + 1, m + 2) AS n,
           CAST((local + n * step) AT TIME ZONE zone AS timestamptz) AS an_end
     WHERE an_end >= last
     ORDER BY an_end
"""
_FOUND = """
    SELECT lower(s), upper(s)
      FROM partreg.step_ranges(tstzrange(%(start)s, %(end)s), %(step)s::interval, %(zone)s) AS s
     WHERE s <@ %(ready)s::tstzmultirange
       AND (NOT s <@ %(found)s::tstzmultirange OR s && %(changed)s::tstzmultirange)
     ORDER BY s
"""


@dataclass(frozen=True)
class Steps:
    """The steps from a start on in some sources: ``step`` is an interval such as '1 day'."""

    sources: tuple[str, ...]
    start: datetime
    step: str
    time_zone: str

    def find(
        self, registry: Registry, memory: Memory, *, again: bool = False
    ) -> tuple[list[Range], Memory]:
        """The steps that are new since memory, and the memory of now.

        again: those too in which something has changed since.  Where the history is
        not kept from the memory's position on, nobody knows, and none of them is given.

        Errors: those of partition_registry.errors."""
        with contextlib.closing(registry.open()) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            try:
                return self._find(connection, memory, again)
            except psycopg.Error as error:
                raise translated(error) from error

    def _find(
        self, connection: psycopg.Connection[Any], memory: Memory, again: bool
    ) -> tuple[list[Range], Memory]:
        def value(statement: str, **more: Any) -> Any:
            given = {"start": self.start, "sources": list(self.sources), **more}
            row = connection.execute(statement.encode(), given).fetchone()
            return row[0] if row else None

        position = value("SELECT partreg.feed_position()") if again else None
        changed = TimestamptzMultirange()
        if again and memory.get("position"):
            try:
                with connection.transaction():
                    changed = value(
                        "SELECT range_agg(partreg.changed_ranges("
                        "           s, tstzrange(%(start)s, NULL), %(position)s))"
                        "  FROM unnest(%(sources)s::text[]) AS s",
                        position=memory["position"],
                    )
            except psycopg.Error as error:
                if not isinstance(gone := translated(error), HistoryGone):
                    raise
                log.warning("restated steps may have been missed: %s", gone)
        ready = value(
            "SELECT range_intersect_agg(partreg.ready_ranges(s, tstzrange(%(start)s, NULL)))"
            "  FROM unnest(%(sources)s::text[]) AS s"
        )
        before = [(instant(a), instant(b)) for a, b in memory.get("found", ())]
        found = (
            self._steps(connection, ready=ready, found=_multirange(before), changed=changed)
            if ready
            else []
        )
        return found, {"found": _texts(_merged(before + found)), "position": position}

    def _steps(self, connection: psycopg.Connection[Any], ready: Any, **given: Any) -> list[Range]:
        given |= {"ready": ready, "last": ready[-1].upper, "start": self.start}
        given |= {"step": self.step, "zone": self.time_zone}
        refusal: Exception = BadArgument(f'"{self.step}" is no step')
        for (end,) in connection.execute(_ENDS, given).fetchall():
            try:
                with connection.transaction():
                    return connection.execute(_FOUND, {**given, "end": end}).fetchall()
            except psycopg.Error as error:
                refusal = error
                if not isinstance(translated(error), BadArgument):
                    break
        raise refusal


def _multirange(ranges: Sequence[Range]) -> TimestamptzMultirange:
    return TimestamptzMultirange([TimestamptzRange(a, b) for a, b in ranges])


def _merged(ranges: Sequence[Range]) -> list[Range]:
    """The same time in as few ranges as can be."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _texts(ranges: Sequence[Range]) -> list[list[str]]:
    return [[start.isoformat(), end.isoformat()] for start, end in ranges]
