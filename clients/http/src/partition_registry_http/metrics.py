"""/metrics: the state of the registry, for Prometheus.

The names and labels are those of examples/monitoring, so that its alerts and its
dashboard do with the gateway what they do with postgres_exporter; only the age
of the oldest transaction is not here, which takes pg_monitor.  All is read from
the database, so it is the same whichever worker is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg.rows import DictRow

from .database import pool_of, rows

router = APIRouter()

_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OF_A_SOURCE = {
    "providers": "Providers, revoked ones among them",
    "locked": "Partitions that are locked",
    "failed": "Partitions that are failed, and block until they are unlocked or retired",
    "abandoned": "Partitions that are locked though the lease is over",
    "late": "Rows of partreg.late_partitions",
    "oldest_lock_timestamp_seconds": "Since when the partition is locked that has been for longest",
    "ready_to_timestamp_seconds": "End of the last ready stretch",
}
_OF_THE_REGISTRY = {
    "sources": "Sources",
    "history_bytes": "Bytes on disk of the history and its indexes",
    "history_events": "Events in the history, as the last VACUUM or ANALYZE counted",
    "oldest_event_timestamp_seconds": "When the oldest event happened that is kept",
    "notification_queue": "How full the server's queue of notifications is, 0 to 1",
}


class _Gauges(Collector):
    """A family of gauges for each of the columns; what is NULL has none."""

    def __init__(
        self, prefix: str, texts: dict[str, str], labels: list[str], found: list[DictRow]
    ) -> None:
        self._prefix = prefix
        self._texts = texts
        self._labels = labels
        self._found = found

    def collect(self) -> Iterator[Metric]:
        for name, text in self._texts.items():
            family = GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=self._labels)
            for row in self._found:
                if row[name] is not None:
                    family.add_metric([row[label] for label in self._labels], float(row[name]))
            yield family


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="The view stats, for Prometheus",
)
async def metrics(request: Request) -> Response:
    pool = pool_of(request)
    of_sources = await rows(
        pool,
        "SELECT current_database() AS datname, t.source_name AS source, s.owner,"
        "       t.providers, t.locked, t.failed, t.abandoned, t.late,"
        "       extract(epoch FROM t.oldest_lock_at) AS oldest_lock_timestamp_seconds,"
        "       extract(epoch FROM t.ready_to) AS ready_to_timestamp_seconds"
        "  FROM partreg.stats t JOIN partreg.sources s ON s.source_name = t.source_name"
        " ORDER BY t.source_name",
        {},
    )
    of_registry = await rows(
        pool,
        "SELECT current_database() AS datname,"
        "       (SELECT count(*) FROM partreg.sources) AS sources,"
        "       pg_total_relation_size(c.oid) AS history_bytes,"
        "       greatest(c.reltuples, 0) AS history_events,"
        "       (SELECT extract(epoch FROM e.at) FROM partreg.events e ORDER BY e.event_id LIMIT 1)"
        "           AS oldest_event_timestamp_seconds,"
        "       pg_notification_queue_usage() AS notification_queue"
        "  FROM pg_class c WHERE c.oid = 'partreg.event'::regclass",
        {},
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gauges("partreg_registry", _OF_THE_REGISTRY, ["datname"], of_registry))
    labels = ["datname", "source", "owner"]
    registry.register(_Gauges("partreg_source", _OF_A_SOURCE, labels, of_sources))
    # In a thread, as it takes a while where there are thousands of sources.
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=_MEDIA_TYPE)
