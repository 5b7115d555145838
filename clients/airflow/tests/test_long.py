"""What takes minutes, with the two installations: scripts/clientcheck --long."""

from __future__ import annotations

import random
import signal

import pytest
from conftest import World
from installation import wait_for

pytestmark = pytest.mark.long
# Thirty days, up to those of the story in test_two.py.
MONTH = [f"2024-02-{day}" for day in range(26, 30)] + [f"2024-03-{d:02}" for d in range(1, 27)]


def test_backfill_in_random_order(world: World) -> None:
    """The consumer is backfilled before there is anything; the producer makes the days
    in any order; the consumer's triggerer is killed in between."""
    north, south = world.north, world.south
    south.call(
        "POST",
        "/backfills",
        json={
            "dag_id": "revenue",
            "from_date": "2024-02-25T23:00:00Z",
            "to_date": "2024-03-25T23:00:00Z",
            "run_backwards": True,
            "max_active_runs": len(MONTH),
            "reprocess_behavior": "none",
            "dag_run_conf": {},
        },
    )
    deferred = "SELECT count(*) FROM task_instance WHERE state = 'deferred' AND dag_id = 'revenue'"
    # A scheduler does not look at all of the runs before some have ended.
    wait_for("many sensors", lambda: south.ask(deferred) >= 16)
    days = random.sample(MONTH, len(MONTH))
    for number, day in enumerate(days):
        if number == 10:
            south.stop("triggerer", how=signal.SIGKILL)
        if number == 20:
            south.start("triggerer")
        world.run(north, "orders", day)
    whole = (
        "SELECT partreg.check_readiness('marts.revenue',"
        " '[2024-02-26 Europe/Berlin, 2024-03-27 Europe/Berlin)')"
    )
    wait_for("the whole month", lambda: world.ask(whole), 900)
    assert [world.revenue(day) for day in MONTH] == [[24]] * len(MONTH)
    assert world.ask("SELECT count(*) FROM partreg.verify()") == 0


def test_task_that_is_ended_fails_its_partition(world: World) -> None:
    """By hand, while its statement runs: which is cancelled, and the day failed."""
    north = world.north
    run = world.run(north, "slow", "2024-03-01")
    running = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state = 'active' AND query LIKE '%%pg_sleep(1000)%%' AND pid <> pg_backend_pid()"
    )
    wait_for("the statement", lambda: world.ask(running) == 1)
    north.call(
        "PATCH",
        f"/dags/slow/dagRuns/{run}/taskInstances/load",
        json={"new_state": "failed"},
    )
    failed = (
        "SELECT reason FROM partreg.locks WHERE state = 'failed' AND source_name = 'sales.slow'"
    )
    assert wait_for("the failure", lambda: world.ask(failed))
    wait_for("the end of the statement", lambda: world.ask(running) == 0, 30)
