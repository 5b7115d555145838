"""Claim, load and unlock, in one task.

In one, so that clearing it always claims: were the claim a task of its own, the
load alone could be cleared, and would rewrite ready data under no lock.

The holder names the try: DAG, run, task, number, and something random, as one try
may run twice.  A later try ends the lock of an earlier one.  The earlier one may
be dead, or a zombie; a zombie's unlock is then refused, and its rows roll back.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn

import psycopg
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator
from partition_registry import BadArgument, Load, NotAllowed, Registry, UnknownObject

from .hook import PartitionRegistryHook
from .interval import Range, ranges_of_run

_LONGEST = 160  # bytes of a holder (200) that the name of the tries may take


class Ended(KeyboardInterrupt):
    """The task is to end now.

    As an interrupt by psycopg's lights, so that it cancels the statement that is
    running instead of leaving it to the server."""


def tries_of(context: Mapping[str, Any]) -> str:
    """What the holders of all tries of this task in this run begin with."""
    ti = context["ti"]
    name = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}"
    if ti.map_index is not None and ti.map_index >= 0:
        name += f"[{ti.map_index}]"
    name = "".join(c if c.isprintable() else "?" for c in name)
    if len(name.encode()) > _LONGEST:
        mark = f" {hashlib.sha256(name.encode()).hexdigest()[:16]}"
        name = name.encode()[: _LONGEST - len(mark)].decode(errors="ignore") + mark
    return f"{name} try "


def earlier_try(
    registry: Registry, source: str, provider: str, during: Range, tries: str, number: int
) -> str | None:
    """The holder of the partition's lock, where that is an earlier try."""
    holder: str | None = registry.call(
        "SELECT holder FROM partreg.locks"
        " WHERE source_name = %s AND provider_name = %s AND during = tstzrange(%s, %s)"
        "   AND state = 'locked' AND starts_with(holder, %s)",
        (source, provider, *during, tries),
    )
    if holder is None:
        return None
    other, _, _ = holder[len(tries) :].partition(" ")
    return holder if other.isdigit() and int(other) < number else None


class PartitionOperator(BaseOperator):
    """Load a partition of a source with SQL.

    The partition is registered and locked, which everybody sees; the SQL and the
    unlock commit together, or neither does; where the task fails, the partition
    fails with its error's first line as the reason.

    :param source: the source that is filled, by name
    :param provider: as which of its providers
    :param sql: statements, or the name of a .sql file; with the parameters
        ``%(start)s`` and ``%(end)s`` (so a per cent sign is written ``%%``).  No COMMIT.
    :param needs: sources that have to be ready for the same range, before and while
    :param parameters: more parameters of the SQL
    :param start: the range, as two times with offsets; by default that of the asset event
        that started the run, or its data interval
    :param end: see start
    :param lease: renewed in the background, at each fifth of it
    :param partreg_conn_id: a connection of type partreg
    """

    template_fields: Sequence[str] = (
        "source",
        "provider",
        "sql",
        "needs",
        "parameters",
        "start",
        "end",
        "partreg_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "postgresql", "parameters": "json"}
    ui_color = "#e4f0e4"

    def __init__(
        self,
        *,
        source: str,
        provider: str,
        sql: str | Sequence[str] = (),
        needs: str | Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        start: str | datetime | None = None,
        end: str | datetime | None = None,
        lease: timedelta = timedelta(minutes=5),
        partreg_conn_id: str = PartitionRegistryHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.provider = provider
        self.sql = sql
        self.needs = needs
        self.parameters = parameters
        self.start = start
        self.end = end
        self.lease = lease
        self.partreg_conn_id = partreg_conn_id

    def execute(self, context: Any) -> Any:
        results = []
        try:
            registry = PartitionRegistryHook(self.partreg_conn_id).registry()
            for during in ranges_of_run(context, self.start, self.end):
                results.append(self._load(registry, during, context))
        except (NotAllowed, UnknownObject, BadArgument) as error:
            raise AirflowFailException(str(error)) from error
        except Ended as error:
            raise AirflowException(str(error)) from error
        return results[0] if len(results) == 1 else results

    def _load(self, registry: Registry, during: Range, context: Mapping[str, Any]) -> Any:
        tries, number = tries_of(context), context["ti"].try_number
        predecessor = earlier_try(registry, self.source, self.provider, during, tries, number)
        if predecessor is not None:
            self.log.info('ending the lock of an earlier try, "%s"', predecessor)
        with registry.partition(
            self.source,
            self.provider,
            *during,
            needs=self.needs,
            holder=f"{tries}{number} {secrets.token_hex(4)}",
            predecessor=predecessor,
            lease=self.lease,
            renew_every=self.lease / 5,
        ) as load:
            begin, end = during[0].isoformat(), during[1].isoformat()
            self.log.info('%s [%s, %s) is locked by "%s"', self.source, begin, end, load.holder)
            result = self.fill(load, context)
        self.log.info("%s [%s, %s) is loaded and unlocked", self.source, begin, end)
        return result

    def fill(self, load: Load, context: Mapping[str, Any]) -> Any:
        """Load the rows; what is done in load.connection commits with the unlock."""
        parameters = {**(self.parameters or {}), "start": load.start, "end": load.end}
        # Bound by the client, so that one text may hold several statements.
        cursor = psycopg.ClientCursor(load.connection)
        for statement in [self.sql] if isinstance(self.sql, str) else self.sql:
            cursor.execute(statement.encode(), parameters)

    def on_kill(self) -> NoReturn:
        """Airflow 3 calls this and leaves the rest to the task."""
        raise Ended("the task was ended from outside")
