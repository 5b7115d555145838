"""Waiting in the triggerer, where a thousand waits take no worker.

Each looks, waits until its bell rings or some time has passed, and looks again.
The looks are short calls of psycopg in threads, so that they hold up nobody else
in the event loop.  A database that cannot be reached is waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async
from partition_registry import Obstacle, Registry, RegistryError

from .hook import PartitionRegistryHook
from .interval import Range, instant
from .listen import bell

LOOK_AGAIN = 30.0  # seconds; a notification may be lost


async def places(conn_id: str) -> tuple[Registry, str | None]:
    """The registry of a connection, and where to listen.

    Airflow wants to be asked for connections in its own threads."""

    def get() -> tuple[Registry, str | None]:
        hook = PartitionRegistryHook(conn_id)
        return hook.registry(), hook.listen_dsn()

    result: tuple[Registry, str | None] = await sync_to_async(get)()
    return result


def obstacles_of(
    registry: Registry, sources: Sequence[str], ranges: Sequence[Range]
) -> list[Obstacle]:
    """What keeps the ranges from being ready in all of the sources."""
    return [o for start, end in ranges for o in registry.explain(sources, start, end)]


class ReadyTrigger(BaseTrigger):
    """Fires once, when the ranges are ready, or when waiting is of no use.

    :param ranges: pairs of times as text
    :param until: seconds since the epoch; after that the wait is over

    The event has a status: ready; failed, where a failed partition is in the way;
    timed_out; refused.  And a message that says who blocks."""

    def __init__(
        self,
        sources: Sequence[str],
        ranges: Sequence[Sequence[str]],
        until: float,
        partreg_conn_id: str,
        look_again: float = LOOK_AGAIN,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sources = list(sources)
        self.ranges = [list(r) for r in ranges]
        self.until = until
        self.partreg_conn_id = partreg_conn_id
        self.look_again = look_again

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "partition_registry_airflow.trigger.ReadyTrigger",
            {
                "sources": self.sources,
                "ranges": self.ranges,
                "until": self.until,
                "partreg_conn_id": self.partreg_conn_id,
                "look_again": self.look_again,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        registry, listen_dsn = await places(self.partreg_conn_id)
        ranges = [(instant(start), instant(end)) for start, end in self.ranges]
        said = None
        async with bell(listen_dsn, self.sources) as own:
            while True:
                try:
                    obstacles = await asyncio.to_thread(
                        obstacles_of, registry, self.sources, ranges
                    )
                except RegistryError as error:
                    yield TriggerEvent({"status": "refused", "message": str(error)})
                    return
                except psycopg.OperationalError as error:
                    message = f"no answer: {str(error).partition(chr(10))[0]}"
                    status = "waiting"
                else:
                    message = "\n".join(map(str, obstacles))
                    failed = any(o.state == "failed" for o in obstacles)
                    status = "failed" if failed else "waiting" if obstacles else "ready"
                left = self.until - time.time()
                if status == "waiting" and left <= 0:
                    status = "timed_out"
                if status != "waiting":
                    yield TriggerEvent({"status": status, "message": message})
                    return
                if message != said:
                    self.log.info("waiting: %s", message)
                    said = message
                await own.wait(min(left, self.look_again))
