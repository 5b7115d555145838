"""/metrics: the state of the registry, for Prometheus.

All is read from the database, so it is the same whichever worker is asked.
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

from .database import Pool, rows

router = APIRouter()

_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GAUGES = {
    "providers": "providers that it has",
    "locked": "partitions that are locked",
    "failed": "partitions that are failed",
    "abandoned": "partitions that are locked and whose lease is over",
    "late": "partitions that are late, or expected and missing",
    "oldest_lock_timestamp_seconds": "since when the oldest lock is held",
    "ready_to_timestamp_seconds": "the end of its last ready stretch",
}


class _Stats(Collector):
    def __init__(self, found: list[DictRow]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("partreg_sources", "sources", value=len(self._found))
        for name, text in _GAUGES.items():
            family = GaugeMetricFamily(f"partreg_{name}", f"{text}, by source", labels=["source"])
            for row in self._found:
                if row[name] is not None:
                    family.add_metric([row["source_name"]], float(row[name]))
            yield family


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="The view stats, for Prometheus",
)
async def metrics(request: Request) -> Response:
    pool: Pool = request.app.state.pool
    found = await rows(
        pool,
        "SELECT source_name, providers, locked, failed, abandoned, late,"
        "       extract(epoch FROM oldest_lock_at) AS oldest_lock_timestamp_seconds,"
        "       extract(epoch FROM ready_to) AS ready_to_timestamp_seconds"
        "  FROM partreg.stats ORDER BY source_name",
        {},
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Stats(found))
    # In a thread, as it takes a while where there are thousands of sources.
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type=_MEDIA_TYPE)
