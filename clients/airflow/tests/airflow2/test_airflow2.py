"""An installation of the newest Airflow 2, by its own programs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PASSWORD, SOUTH, Shared, leads_to, shared
from installation import Installation, wait_for

HERE = Path(__file__).parent
DAY = "2024-03-31"


class Airflow2(Installation):
    """Driven by the command line; what it says is read from its metadata."""

    PROGRAMS = ("scheduler", "triggerer")

    def cli(self, *arguments: str) -> None:
        with open(self.home / "cli.out", "ab") as out:
            subprocess.run(
                [sys.executable, "-m", "airflow", *arguments],
                env=self.environment, stdout=out, stderr=out, check=True,
            )  # fmt: skip

    def log(self, dag: str, run: str, task: str, number: int = 1) -> str:
        tries = self.home.glob(
            f"logs/dag_id={dag}/run_id={run}/task_id={task}/attempt={number}.log*"
        )
        return "\n".join(file.read_text() for file in tries)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shared, Airflow2]]:
    place = tmp_path_factory.mktemp("airflow2")
    installation = Airflow2(
        "old", place / "old", HERE / "dags", {"partreg_default": leads_to(SOUTH)}
    )
    with shared(place) as made:
        try:
            installation.make()
            installation.start()
            for dag in ("revenue", "watch", "report"):
                known = f"SELECT count(*) FROM dag WHERE dag_id = '{dag}'"
                wait_for(dag, lambda known=known: installation.ask(known))
                installation.cli("dags", "unpause", dag)
            yield made, installation
        finally:
            installation.drop()


def test_waits_fails_and_is_retried(airflow: tuple[Shared, Airflow2]) -> None:
    """A run by hand is about the day before its date."""
    shared, old = airflow
    old.cli("dags", "trigger", "revenue", "--run-id", "r", "--exec-date", "2024-04-01T00:00+02:00")
    old.wait_state("revenue", "r", "ready", "deferred")
    shared.change_orders("lock", DAY, ", register => true")
    wait_for("who blocks", lambda: "is locked, provider north" in old.log("revenue", "r", "ready"))
    shared.change_orders("fail", DAY, ", reason => 'no input'")
    old.wait_state("revenue", "r", "ready", "failed")
    assert "no input" in old.log("revenue", "r", "ready")
    shared.change_orders("unlock", DAY)
    old.cli("tasks", "clear", "revenue", "--yes")
    old.wait_state("revenue", "r", "load", "success")
    assert shared.ready("marts.revenue", DAY)


def test_started_by_what_was_unlocked(airflow: tuple[Shared, Airflow2]) -> None:
    """The day of before, then another; each once."""
    shared, _ = airflow
    wait_for("the first day", lambda: shared.ready("marts.report", DAY))
    shared.change_orders("unlock", "2024-03-30", ", register => true")
    wait_for("the second day", lambda: shared.ready("marts.report", "2024-03-30"))
    assert shared.ask("SELECT count(*) FROM marts.report") == 2


def test_no_password_in_any_log(airflow: tuple[Shared, Airflow2]) -> None:
    for file, text in airflow[1].printed():
        assert PASSWORD not in text, file
