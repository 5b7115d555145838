"""Which time range is a run about?

The one that the task names; else, where an asset event of ours started the run,
the ranges of that event; else the data interval of the run.  One run may be
about several ranges: Airflow makes one run of all the events that came since the
last one, and a day that is left out there would never be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

Range = tuple[datetime, datetime]

PAYLOAD = "partition_registry"  # the key under which an event of ours has its ranges


def instant(value: str | datetime) -> datetime:
    """A time with an offset.  Without one it would mean another hour elsewhere."""
    try:
        when = datetime.fromisoformat(value if isinstance(value, str) else value.isoformat())
    except ValueError:
        raise AirflowFailException(
            f'"{value}" is not a time such as 2024-03-31T00:00+01:00'
        ) from None
    if when.utcoffset() is None:
        raise AirflowFailException(f'the time "{value}" has no offset from UTC')
    return when


def payload(sources: Sequence[str], ranges: Sequence[Range]) -> dict[str, Any]:
    """What an asset event of ours carries."""
    return {
        PAYLOAD: {
            "sources": list(sources),
            "ranges": [[start.isoformat(), end.isoformat()] for start, end in ranges],
        }
    }


def _of_events(context: Mapping[str, Any]) -> list[Range]:
    found: set[Range] = set()
    for key in ("triggering_asset_events", "triggering_dataset_events"):
        if key not in context:
            continue
        for events in context[key].values():
            for event in events:
                # A trigger's payload is wrapped by Airflow.
                extra = event.extra or {}
                wrapped = extra.get("payload")
                ours = extra if PAYLOAD in extra else wrapped if isinstance(wrapped, dict) else {}
                found.update(
                    (instant(a), instant(b)) for a, b in ours.get(PAYLOAD, {}).get("ranges", ())
                )
    return sorted(found)


def ranges_of_run(
    context: Mapping[str, Any],
    start: str | datetime | None = None,
    end: str | datetime | None = None,
) -> list[Range]:
    """The ranges that a run is about, in order; at least one.

    Errors: AirflowFailException where there is none, where a range is empty, and
    where a time has no offset."""
    if (start in (None, "")) != (end in (None, "")):
        raise AirflowFailException("give start and end, or neither")
    if start and end:
        ranges = [(instant(start), instant(end))]
    elif not (ranges := _of_events(context)):
        first, last = context.get("data_interval_start"), context.get("data_interval_end")
        ranges = [(instant(first), instant(last))] if first and last else []
    for first, last in ranges:
        if first > last:
            raise AirflowFailException(
                f"the start {first.isoformat()} is after the end {last.isoformat()}"
            )
    if not ranges or any(first == last for first, last in ranges):
        raise AirflowFailException(_no_interval(context))
    return ranges


def _no_interval(context: Mapping[str, Any]) -> str:
    timetable = getattr(context.get("dag"), "timetable", None)
    return (
        f"the run has no interval: the timetable {type(timetable).__name__} gives none."
        " Schedule the DAG with CronDataIntervalTimetable, or by an asset that ReadyAssetTrigger"
        " watches, or give the task a start and an end"
    )
