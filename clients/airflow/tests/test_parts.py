"""What needs no running Airflow."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Connection
from partition_registry import BadArgument, Registry, UnknownObject, connect

from partition_registry_airflow import listen
from partition_registry_airflow.hook import PartitionRegistryHook
from partition_registry_airflow.interval import PAYLOAD, payload, ranges_of_run
from partition_registry_airflow.operator import earlier_try, tries_of
from partition_registry_airflow.steps import Steps
from partition_registry_airflow.trigger import ReadyTrigger

DATABASE = f"partreg_parts_{os.getpid()}"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(dbname=DATABASE, autocommit=True) as own:
            own.execute("CREATE EXTENSION partition_registry CASCADE")
        yield connect(f"dbname={DATABASE}")
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


class Source:
    """A source with the provider p."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.name = f"source {next(numbers)}"
        self.token = registry.call("SELECT partreg.register_source(%s, 'o')", (self.name,))
        registry.call("SELECT partreg.register_provider('p', %s)", (self.token,))

    def change(self, function: str, start: datetime, end: datetime, more: str = "") -> None:
        self.registry.call(
            f"SELECT partreg.{function}_partition(%s, 'p', tstzrange(%s, %s), %s{more})",
            (self.name, start, end, self.token),
        )

    def supply(self, start: datetime, end: datetime) -> None:
        self.change("unlock", start, end, ", register => true")


@pytest.fixture
def source(registry: Registry) -> Source:
    return Source(registry)


# Steps


def test_hours_make_a_day_once(registry: Registry, source: Source) -> None:
    """The 23 hours of a day in Berlin, whose last one comes neither first nor last."""
    start = datetime(2024, 3, 30, 23, tzinfo=UTC)
    days = Steps((source.name,), start, "1 day", "Europe/Berlin")
    memory: dict[str, Any] = {}
    for hour in [*range(20, -1, -2), 22, *range(21, 0, -2)]:
        found, memory = days.find(registry, memory)
        assert found == []
        source.supply(start + timedelta(hours=hour), start + timedelta(hours=hour + 1))
    found, memory = days.find(registry, memory)
    assert found == [(start, datetime(2024, 3, 31, 22, tzinfo=UTC))]
    assert days.find(registry, memory) == ([], memory)


def test_step_is_ready_in_every_source(registry: Registry, source: Source) -> None:
    other = Source(registry)
    day = datetime(2024, 1, 1, tzinfo=UTC)
    both = Steps((source.name, other.name), day, "1 day", "UTC")
    source.supply(day, day + timedelta(days=2))
    assert both.find(registry, {})[0] == []
    other.supply(day + timedelta(days=1), day + timedelta(days=3))
    assert both.find(registry, {})[0] == [(day + timedelta(days=1), day + timedelta(days=2))]


def test_restated_step_where_asked(registry: Registry, source: Source) -> None:
    day = datetime(2024, 1, 1, tzinfo=UTC)
    noon, end = day + timedelta(hours=12), day + timedelta(days=1)
    days = Steps((source.name,), day, "1 day", "UTC")
    source.supply(day, noon)
    source.supply(noon, end)
    found, memory = days.find(registry, {}, again=True)
    assert found == [(day, end)]
    assert days.find(registry, memory, again=True)[0] == []
    source.change("lock", noon, end)
    found, memory = days.find(registry, memory, again=True)
    assert found == []
    source.change("unlock", noon, end)
    assert days.find(registry, memory)[0] == []
    found, memory = days.find(registry, memory, again=True)
    assert found == [(day, end)]
    assert days.find(registry, memory, again=True)[0] == []


@pytest.mark.parametrize(
    ("zone", "start", "step", "steps"),
    [
        ("UTC", datetime(2024, 1, 1, tzinfo=UTC), "15 minutes", 8785 * 4),
        ("UTC", datetime(2024, 9, 8, 1, tzinfo=UTC), "15 minutes", 115 * 96),
        ("Europe/Berlin", datetime(2023, 12, 31, 23, tzinfo=UTC), "6 hours", 1464),
        ("Europe/Berlin", datetime(2024, 1, 30, 23, tzinfo=UTC), "1 month", 11),
        # Midnight of 8 September does not exist there; the day begins at one.
        ("America/Santiago", datetime(2024, 9, 8, 4, tzinfo=UTC), "1 day", 114),
    ],
)
def test_every_ready_step_is_found(
    registry: Registry, source: Source, zone: str, start: datetime, step: str, steps: int
) -> None:
    source.supply(start, datetime(2025, 1, 1, 1, tzinfo=UTC))
    found, _ = Steps((source.name,), start, step, zone).find(registry, {})
    assert len(found) == steps
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))


def test_unusable_steps_are_refused(registry: Registry, source: Source) -> None:
    day = datetime(2024, 1, 1, tzinfo=UTC)
    source.supply(day, day + timedelta(days=1))
    with pytest.raises(BadArgument):
        Steps((source.name,), day, "-1 day", "UTC").find(registry, {})
    with pytest.raises(BadArgument):
        Steps((source.name,), day, "1 day", "Mars/Olympus").find(registry, {})
    with pytest.raises(UnknownObject):
        Steps(("no such source",), day, "1 day", "UTC").find(registry, {})


# Which range a run is about


def run(**context: Any) -> dict[str, Any]:
    return {"dag": SimpleNamespace(timetable=object()), **context}


A, B, C = (datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3))


def test_ranges_of_all_events_in_order() -> None:
    """Airflow makes one run of the events that came together: none is left out."""
    events = [
        SimpleNamespace(extra={"from_trigger": True, "payload": payload(["s"], [(B, C)])}),
        SimpleNamespace(extra=payload(["s"], [(A, B), (B, C)])),
        SimpleNamespace(extra={"payload": "of somebody else"}),
        SimpleNamespace(extra=None),
    ]
    context = run(triggering_asset_events={"asset": events}, data_interval_start=A)
    assert ranges_of_run(context) == [(A, B), (B, C)]
    assert ranges_of_run(context, "2024-01-01T01:00+01:00", C) == [(A, C)]


def test_what_is_no_range_is_refused() -> None:
    for start, end in (("2024-01-01", "2024-01-02"), (A, None), (B, A), ("yesterday", B)):
        with pytest.raises(AirflowFailException):
            ranges_of_run(run(), start, end)
    with pytest.raises(AirflowFailException, match="the timetable object gives none"):
        ranges_of_run(run(data_interval_start=A, data_interval_end=A))


# Holders


def of_task(**more: Any) -> dict[str, Any]:
    return {
        "ti": SimpleNamespace(
            **{"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, **more}
        )
    }


def test_holder_is_short_and_of_one_task() -> None:
    names = {
        tries_of(of_task()),
        tries_of(of_task(map_index=0)),
        tries_of(of_task(run_id="é" * 200, task_id="a")),
        tries_of(of_task(run_id="é" * 200, task_id="b")),
        tries_of(of_task(run_id="a\nb")),
    }
    assert len(names) == 5
    assert all(len(name.encode()) <= 170 and name.endswith(" try ") for name in names)
    assert all(name.isprintable() for name in names)


def test_only_an_earlier_try_is_ended(registry: Registry, source: Source) -> None:
    def found(number: int, tries: str = "d/r/t try ") -> str | None:
        return earlier_try(registry, source.name, "p", (A, B), tries, number)

    assert found(2) is None
    source.change("lock", A, B, ", 'd/r/t try 2 abc', register => true")
    assert found(3) == "d/r/t try 2 abc"
    assert found(12) == "d/r/t try 2 abc"
    assert found(2) is None
    assert found(1) is None
    assert found(3, "d/r/t2 try ") is None


# The connection


def hook(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> PartitionRegistryHook:
    connection = Connection(
        conn_id="c", conn_type="partreg", host="db", login="me", password="pass word", schema="x"
    )
    monkeypatch.setattr(Connection, "extra_dejson", extra, raising=False)
    monkeypatch.setattr(PartitionRegistryHook, "get_connection", lambda *_: connection)
    return PartitionRegistryHook("c")


def test_where_a_connection_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = hook(monkeypatch, sslmode="require", listen_host="direct", listen_port=5433)
    assert psycopg.conninfo.conninfo_to_dict(listening.listen_dsn() or "") == {
        "host": "direct",
        "port": "5433",
        "user": "me",
        "password": "pass word",
        "dbname": "x",
        "sslmode": "require",
    }
    assert hook(monkeypatch, listen=False).listen_dsn() is None


def test_token_in_a_connection_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match="token_file") as refused:
        hook(monkeypatch, token="prp_secret").registry()
    assert "prp_secret" not in str(refused.value)


# Waiting


def test_bells_ring_for_their_sources_and_listening_ends(source: Source) -> None:
    async def story() -> None:
        dsn = f"dbname={DATABASE}"
        async with (
            listen.bell(dsn, [source.name]) as mine,
            listen.bell(dsn, ["another"]) as another,
        ):
            assert len(listen._listeners) == 1
            for bell in (mine, another):
                await bell.wait(20)  # rung once it listens
            waits = [asyncio.create_task(bell.wait(2)) for bell in (mine, another)]
            await asyncio.to_thread(source.supply, A, B)
            done, pending = await asyncio.wait(waits, timeout=1)
            assert (waits[0] in done, waits[1] in pending) == (True, True)
            await asyncio.wait(waits)
        assert listen._listeners == {}

    asyncio.run(story())


def fired(source: Source, monkeypatch: pytest.MonkeyPatch, seconds: float, name: str = "") -> Any:
    """The event of a trigger that waits for [A, B); the other process is too slow."""
    monkeypatch.setattr(
        PartitionRegistryHook, "registry", lambda self: connect(f"dbname={DATABASE}")
    )
    monkeypatch.setattr(PartitionRegistryHook, "listen_dsn", lambda self: None)
    until = datetime.now(UTC).timestamp() + seconds
    trigger = ReadyTrigger(
        [name or source.name], [(A.isoformat(), B.isoformat())], until, "c", look_again=0.1
    )
    path, arguments = trigger.serialize()
    assert path.endswith(type(trigger).__name__)

    async def first() -> Any:
        return await anext(type(trigger)(**arguments).run())

    return asyncio.run(first()).payload


def test_trigger_says_how_waiting_ended(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    event = fired(source, monkeypatch, 0.3)
    assert event["status"] == "timed_out"
    assert "is missing" in event["message"]
    assert fired(source, monkeypatch, 9, "no such source")["status"] == "refused"
    source.change("lock", A, B, ", register => true")
    source.change("fail", A, B, ", reason => 'no input'")
    event = fired(source, monkeypatch, 9)
    assert event["status"] == "failed"
    assert "no input" in event["message"]
    source.supply(A, B)
    assert fired(source, monkeypatch, 9) == {"status": "ready", "message": ""}


def test_payload_is_ours() -> None:
    assert list(payload(["s"], [(A, B)])) == [PAYLOAD]
