"""Two installations: one makes the days, the other waits for them.  One story, in order."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from conftest import DATABASE, PASSWORD, World
from installation import wait_for

SHORT_DAY = "2024-03-31"  # 23 hours in Berlin
DAMAGED_DAY = "2024-03-28"
PLAIN_DAY = "2024-03-27"
LATE_DAY = "2024-03-29"


def test_waits_says_who_blocks_then_runs(world: World) -> None:
    north, south = world.north, world.south
    world.runs["plain_revenue"] = world.run(south, "plain_revenue", PLAIN_DAY)  # it looks seldom
    world.runs["revenue"] = waiting = world.run(south, "revenue", SHORT_DAY)
    south.wait_state("revenue", waiting, "ready", "deferred")
    made = world.run(north, "orders", SHORT_DAY)
    assert north.wait_state("orders", made, "load", "success", "failed") == "success"
    assert south.wait_state("revenue", waiting, "load", "success", "failed") == "success"
    said = south.log("revenue", waiting, "ready")
    assert "waiting: sales.orders [2024-03-30T23:00:00" in said
    assert "2024-03-31T22:00:00+00:00) is missing" in said
    assert world.ready("marts.revenue", SHORT_DAY)
    assert world.revenue(SHORT_DAY) == [23]


def test_clearing_any_one_task_is_safe(world: World) -> None:
    """The load alone claims anew; the sensor alone changes nothing."""
    south = world.south
    run = world.runs["revenue"]
    for task, events in (("load", ["lock", "unlock"]), ("ready", None)):
        last = world.last_event()
        south.clear("revenue", run, task)
        wait_for(
            "the second try", lambda task=task: south.task("revenue", run, task, "try_number") == 2
        )
        south.wait_state("revenue", run, task, "success")
        assert world.events("marts.revenue", last) == events
        assert world.ready("marts.revenue", SHORT_DAY)
        assert world.revenue(SHORT_DAY) == [23]

    # The source is locked again after the sensor: the load refuses, and nothing is claimed.
    world.change_orders("lock", SHORT_DAY, ", 'the owner'")
    last = world.last_event()
    south.clear("revenue", run, "load")
    south.wait_state("revenue", run, "load", "failed", "up_for_retry")
    assert "is locked, provider north, holder the owner" in south.log("revenue", run, "load", 3)
    assert world.events("marts.revenue", last) is None
    world.change_orders("unlock", SHORT_DAY, ", 'the owner'")


def test_failure_reaches_the_consumer_and_a_retry_succeeds(world: World) -> None:
    north, south = world.north, world.south
    world.do(
        "INSERT INTO sales.damaged SELECT lower(partreg.day_range(%s::date, 'Europe/Berlin'))",
        DAMAGED_DAY,
    )
    waiting = world.run(south, "revenue", DAMAGED_DAY)
    south.wait_state("revenue", waiting, "ready", "deferred")
    made = world.run(north, "orders", DAMAGED_DAY)
    north.wait_state("orders", made, "load", "failed")
    reason = "RaiseException: the file of the day is damaged"
    failed = (
        "SELECT reason FROM partreg.locks WHERE state = 'failed' AND source_name = 'sales.orders'"
    )
    assert world.ask(failed) == reason
    south.wait_state("revenue", waiting, "ready", "failed")
    assert "a failed partition is in the way: sales.orders" in south.log(
        "revenue", waiting, "ready"
    )
    assert reason in south.log("revenue", waiting, "ready")

    world.do("TRUNCATE sales.damaged")
    north.clear("orders", made, "load")
    north.wait_state("orders", made, "load", "success")
    south.clear("revenue", waiting, "ready", include_downstream=True)
    south.wait_state("revenue", waiting, "load", "success")
    assert world.ready("marts.revenue", DAMAGED_DAY)


def test_zombie_is_refused(world: World) -> None:
    """A try is believed dead; the next one loads and unlocks; then the first wakes up."""
    north = world.north
    run = world.run(north, "returns", SHORT_DAY)
    first = world.place / "first"
    wait_for("the first try", first.exists)
    pids = [int(pid) for pid in wait_for("its pid", first.read_text).split()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert north.wait_state("returns", run, "load", "success", "failed") == "success"
        assert world.ready("sales.returns", SHORT_DAY)
        ended = world.ask(
            "SELECT reason FROM partreg.events"
            " WHERE source_name = 'sales.returns' AND event = 'fail'"
        )
        assert "load try 2" in ended
        (world.place / "go").touch()
        os.kill(pids[0], signal.SIGCONT)  # not its supervisor, which would end it
        wait_for("the zombie", lambda: world.ask("SELECT line FROM sales.log"))
        wait_for(
            "the end of the zombie",
            lambda: world.ask(
                "SELECT count(*) = 0 FROM pg_stat_activity"
                " WHERE datname = %s AND usename LIKE 'partreg_north%%'"
                "   AND state = 'idle in transaction'",
                DATABASE,
            ),
        )
    finally:
        os.kill(pids[1], signal.SIGCONT)
    wait_for("its log", lambda: "LockLost" in north.log("returns", run, "load", 1))
    assert world.ready("sales.returns", SHORT_DAY)
    assert world.ask("SELECT array_agg(try_number) FROM sales.returns") == [2]


def test_no_interval_is_refused_in_a_sentence(world: World) -> None:
    run = world.north.call("POST", "/dags/no_interval/dagRuns", json={"logical_date": None})
    run = run["dag_run_id"]
    world.north.wait_state("no_interval", run, "load", "failed")
    assert "the timetable NullTimetable gives none" in world.north.log("no_interval", run, "load")


def test_plain_recipe(world: World) -> None:
    north, south, run = world.north, world.south, world.runs["plain_revenue"]
    south.wait_state("plain_revenue", run, "ready", "up_for_reschedule")
    made = world.run(north, "orders", PLAIN_DAY)
    north.wait_state("orders", made, "load", "success")
    south.wait_state("plain_revenue", run, "load", "success")
    assert world.ready("marts.revenue", PLAIN_DAY)
    assert world.revenue(PLAIN_DAY) == [24]


def test_started_by_what_the_other_has_unlocked(world: World) -> None:
    """Also by what was unlocked while the triggerer was down; each day once."""
    north, south = world.north, world.south
    for day in (PLAIN_DAY, DAMAGED_DAY, SHORT_DAY):
        wait_for(day, lambda day=day: world.ready("marts.report", day))
    wait_for("the memory", lambda: south.remembers(2))
    south.stop("triggerer", how=signal.SIGKILL)
    made = world.run(north, "orders", LATE_DAY)
    north.wait_state("orders", made, "load", "success")
    south.start("triggerer")
    wait_for("the day of meanwhile", lambda: world.ready("marts.report", LATE_DAY))
    loads = (
        "SELECT array_agg(n) FROM (SELECT count(*) n FROM marts.report"
        " WHERE day >= %s::timestamp AT TIME ZONE 'Europe/Berlin' GROUP BY day) d"
    )
    assert world.ask(loads, PLAIN_DAY) == [1, 1, 1, 1]


def test_no_secret_in_any_log(world: World) -> None:
    """The provider's token, the source's, and the password of the connections."""
    seen: list[Path] = []
    for installation in (world.north, world.south):
        for file, text in installation.printed():
            seen.append(file)
            for secret in (world.token, world.source_token, PASSWORD):
                assert secret not in text, file
    for program in (*world.north.PROGRAMS, "task_id=load"):
        assert any(program in str(file) for file in seen), program
