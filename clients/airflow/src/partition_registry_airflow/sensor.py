"""Wait until sources are ready for the range of the run, and say who blocks."""

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
from .interval import ranges_of_run
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
