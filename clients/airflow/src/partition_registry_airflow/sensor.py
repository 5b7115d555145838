"""Wait until sources are ready, and say who blocks; or emit what has become ready."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    conf,
)
from partition_registry import RegistryError

from .hook import PartitionRegistryHook
from .interval import PAYLOAD, instant, payload, ranges_of_run
from .steps import Memory, Steps
from .trigger import ReadyTrigger, obstacles_of


class ReadySensor(BaseSensorOperator):
    """Succeeds once every source is ready for all of the range.

    A failed partition in the way fails it at once, and so does a source that does
    not exist; the first may be retried.  What was ready may be locked again before
    a later task reads it: PartitionOperator with ``needs`` asserts it once more.

    :param source: one source, or several
    :param start: the range, as two times with offsets; by default that of the asset event
        that started the run, or its data interval
    :param end: see start
    :param deferrable: wait in the triggerer, told by notifications
    :param partreg_conn_id: a connection of type partreg
    """

    template_fields: Sequence[str] = ("source", "start", "end", "partreg_conn_id")
    ui_color = "#e4f0e4"

    def __init__(
        self,
        *,
        source: str | Sequence[str],
        start: str | datetime | None = None,
        end: str | datetime | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        partreg_conn_id: str = PartitionRegistryHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.start = start
        self.end = end
        self.deferrable = deferrable
        self.partreg_conn_id = partreg_conn_id

    @property
    def sources(self) -> list[str]:
        return [self.source] if isinstance(self.source, str) else list(self.source)

    def execute(self, context: Any) -> Any:
        if not self.deferrable:
            return super().execute(context)
        if not self.poke(context):
            self.defer(
                trigger=ReadyTrigger(
                    self.sources,
                    [
                        (start.isoformat(), end.isoformat())
                        for start, end in ranges_of_run(context, self.start, self.end)
                    ],
                    time.time() + self.timeout,
                    self.partreg_conn_id,
                ),
                method_name="execute_complete",
                # The trigger says who blocks; this is for a triggerer that is down.
                timeout=timedelta(seconds=self.timeout + 60),
            )
        return None

    def poke(self, context: Mapping[str, Any]) -> bool:
        registry = PartitionRegistryHook(self.partreg_conn_id).registry()
        ranges = ranges_of_run(context, self.start, self.end)
        try:
            obstacles = obstacles_of(registry, self.sources, ranges)
        except RegistryError as error:
            raise AirflowFailException(str(error)) from error
        message = "\n".join(map(str, obstacles))
        if any(o.state == "failed" for o in obstacles):
            self._end("failed", message)
        if obstacles:
            self.log.info("waiting: %s", message)
        return not obstacles

    def execute_complete(self, context: Any, event: dict[str, str]) -> None:
        """Called when the trigger has fired."""
        self._end(event["status"], event["message"])

    def _end(self, status: str, message: str) -> None:
        if status == "failed":
            raise AirflowException(f"a failed partition is in the way: {message}")
        if status == "timed_out":
            raise AirflowSensorTimeout(f"not ready after {self.timeout} seconds: {message}")
        if status != "ready":
            raise AirflowFailException(message)


class ReadyAssetSensor(BaseSensorOperator):
    """Waits for steps that have become ready, and emits them as one event of an asset.

    What ReadyAssetTrigger is for, as a task: for Airflow before 3.3.  It belongs into
    a DAG of its own with ``schedule="@continuous"`` and ``max_active_runs=1``.  The
    event has the ranges of its steps, and the memory of all that were emitted, from
    which the next run goes on: so no other task may emit that asset.

    :param asset: the asset (before Airflow 3: dataset) that is emitted
    :param source: one source, or several
    :param begin: where the first step begins, with an offset
    :param step: an interval: 1 day, 1 hour, 1 month
    :param time_zone: whose days and months
    :param again: emit once more a step in which something was restated
    :param partreg_conn_id: a connection of type partreg
    """

    ui_color = "#e4f0e4"

    def __init__(
        self,
        *,
        asset: Any,
        source: str | Sequence[str],
        begin: str | datetime,
        step: str = "1 day",
        time_zone: str = "UTC",
        again: bool = False,
        partreg_conn_id: str = PartitionRegistryHook.default_conn_name,
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(inlets=[asset], outlets=[asset], mode=mode, **kwargs)
        self.asset = asset
        self.source = source
        self.begin = begin
        self.step = step
        self.time_zone = time_zone
        self.again = again
        self.partreg_conn_id = partreg_conn_id

    def poke(self, context: Any) -> bool:
        sources = (self.source,) if isinstance(self.source, str) else tuple(self.source)
        steps = Steps(sources, instant(self.begin), self.step, self.time_zone)
        events = context["inlet_events"][self.asset]
        memory: Memory = events[-1].extra[PAYLOAD]["memory"] if len(events) else {}
        registry = PartitionRegistryHook(self.partreg_conn_id).registry()
        try:
            found, now = steps.find(registry, memory, again=self.again)
        except RegistryError as error:
            raise AirflowFailException(str(error)) from error
        if found:
            extra = payload(sources, found)
            extra[PAYLOAD]["memory"] = now
            context["outlet_events"][self.asset].extra.update(extra)
        return bool(found)
