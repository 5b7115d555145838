"""Starting DAGs by what has become ready, whoever made it (Airflow 3.3 on).

    days = ReadyAssetTrigger("sales.orders", start="2024-01-01T00:00+01:00", step="1 day",
                             time_zone="Europe/Berlin")
    orders = Asset("sales.orders", watchers=[AssetWatcher(name="days", trigger=days)])

What has become ready since it looked last is one event of the asset, with the ranges
of its steps.  One, because of several within a moment Airflow makes a run of the
first, and leaves the others to the run that the next event starts.

What was said already is remembered in Airflow's own store for the asset, so a
triggerer that was down says afterwards what came meanwhile.  Airflow does not tell a
trigger when an event of its is kept.  So the memory is written a while later: a
triggerer that is killed in between says the same steps once more, and none is lost.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import psycopg
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from partition_registry import RegistryError

from .hook import PartitionRegistryHook
from .interval import instant, payload
from .listen import bell
from .steps import Memory, Steps
from .trigger import LOOK_AGAIN, places

# Seconds.  A triggerer hands events on once a second, and a scheduler makes a run of
# them about as often.
_KEPT_AFTER = 10.0


class ReadyAssetTrigger(BaseEventTrigger):
    """Fires with the steps from start on that are ready in all of the sources, each once.

    :param source: one source, or several
    :param start: where the first step begins, with an offset
    :param step: an interval: 1 day, 1 hour, 1 month
    :param time_zone: whose days and months
    :param again: fire once more with a step in which something was restated
    :param partreg_conn_id: a connection of type partreg
    """

    def __init__(
        self,
        source: str | Sequence[str],
        start: str | datetime,
        step: str = "1 day",
        time_zone: str = "UTC",
        again: bool = False,
        partreg_conn_id: str = PartitionRegistryHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps = Steps(
            (source,) if isinstance(source, str) else tuple(source), instant(start), step, time_zone
        )
        self.again = again
        self.partreg_conn_id = partreg_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "partition_registry_airflow.event.ReadyAssetTrigger",
            {
                "source": list(self.steps.sources),
                "start": self.steps.start.isoformat(),
                "step": self.steps.step,
                "time_zone": self.steps.time_zone,
                "again": self.again,
                "partreg_conn_id": self.partreg_conn_id,
            },
        )

    @property
    def _key(self) -> str:
        """Under which the memory is kept; a new start goes on with the old memory."""
        kind = (self.partreg_conn_id, self.steps.sources, self.steps.step, self.steps.time_zone)
        return f"partreg-{hashlib.sha256(repr(kind).encode()).hexdigest()[:16]}"

    async def run(self) -> AsyncIterator[TriggerEvent]:
        store = self.asset_state_store
        if store is None:
            raise RuntimeError("ReadyAssetTrigger belongs into an AssetWatcher")
        registry, listen_dsn = await places(self.partreg_conn_id)
        kept: Any = await store.aget(self._key)
        memory: Memory = kept or {}
        async with bell(listen_dsn, self.steps.sources) as own:
            while True:
                try:
                    found, now = await asyncio.to_thread(
                        self.steps.find, registry, memory, again=self.again
                    )
                except (RegistryError, psycopg.Error) as error:
                    self.log.error("%s: %s", ", ".join(self.steps.sources), error)
                else:
                    if found:
                        yield TriggerEvent(payload(self.steps.sources, found))
                        await asyncio.sleep(_KEPT_AFTER)
                    if now != memory:
                        await store.aset(self._key, now)
                    memory = now
                await own.wait(LOOK_AGAIN)
