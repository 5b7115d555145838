"""A real installation of Airflow 3: its home, its metadata, its processes.

It is driven by its REST API, as a person's browser would, and everything that one
of its processes prints is kept in a file of its home.  Its metadata are in a
database of the cluster that PGHOST and PGPORT name.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
from cryptography.fernet import Fernet

LONGEST = 240.0  # seconds that a test waits for anything, on a machine with more to do


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: str, ask: Callable[[], Any], seconds: float = LONGEST) -> Any:
    """What ask() gives, once that is true; an error after so many seconds."""
    until = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(0.25)
    return found


class Installation:
    """One Airflow, by name.  Its DAGs are the files in `dags`."""

    PROGRAMS = ("api-server", "dag-processor", "scheduler", "triggerer")

    def __init__(self, name: str, home: Path, dags: Path, connections: dict[str, Any]) -> None:
        self.name = name
        self.home = home
        self.database = f"partreg_airflow_{name}_{os.getpid()}"
        self.port = free_port()
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        at = f"host={os.environ['PGHOST']}&port={os.environ['PGPORT']}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{self.port}",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{os.environ['PGUSER']}@/"
            f"{self.database}?{at}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            # A watcher begins when its DAG is read for the first time after it is unpaused.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "PYTHONDONTWRITEBYTECODE": "1",
            **{f"AIRFLOW_CONN_{k.upper()}": json.dumps(v) for k, v in connections.items()},
        }
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120)

    def make(self, template: str | None = None) -> None:
        """Make the metadata: anew, or as a copy of another installation's."""
        self.home.mkdir(parents=True)
        with psycopg.connect(dbname="postgres", autocommit=True) as connection:
            connection.execute(
                f"CREATE DATABASE {self.database}" + (f" TEMPLATE {template}" if template else "")
            )
        if template is None:
            self._run("db", "migrate")

    def _run(self, *arguments: str) -> None:
        with open(self.home / f"{arguments[0]}.out", "ab") as out:
            subprocess.run(
                [sys.executable, "-m", "airflow", *arguments],
                env=self.environment, stdout=out, stderr=out, check=True,
            )  # fmt: skip

    def start(self, *programs: str) -> None:
        for program in programs or self.PROGRAMS:
            at = (
                ["--host", "127.0.0.1", "--port", str(self.port)] if program == "api-server" else []
            )
            with open(self.home / f"{program}.out", "ab") as out:
                self.programs[program] = subprocess.Popen(
                    [sys.executable, "-m", "airflow", program, *at],
                    env=self.environment, stdout=out, stderr=out, start_new_session=True,
                )  # fmt: skip

    def stop(self, *programs: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End programs with all their children."""
        stopped = [self.programs.pop(p) for p in programs or tuple(self.programs)]
        for program in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, how)
        for program in stopped:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()

    def drop(self) -> None:
        self.stop(how=signal.SIGKILL)
        with psycopg.connect(dbname="postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")

    # What a person does in the browser.

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._client.request(method, f"/api/v2{path}", **arguments)
        if answer.status_code >= 400:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def log_in(self) -> None:
        def token() -> str | None:
            with contextlib.suppress(httpx.TransportError):
                answer = self._client.get("/auth/token")
                if answer.status_code < 300:
                    return str(answer.json()["access_token"])
            return None

        self._client.headers["Authorization"] = "Bearer " + wait_for("the API", token)

    def unpause(self, *dags: str) -> None:
        for dag in dags:

            def known(dag: str = dag) -> bool:
                return bool(
                    self._client.patch(f"/api/v2/dags/{dag}", json={"is_paused": False}).status_code
                    == 200
                )

            wait_for(f"DAG {dag} of {self.name}", known)

    def trigger(self, dag: str, logical_date: str) -> str:
        run = self.call("POST", f"/dags/{dag}/dagRuns", json={"logical_date": logical_date})
        return str(run["dag_run_id"])

    def end_scheduled(self, *dags: str) -> None:
        """End the run of yesterday that a DAG gets when it is unpaused."""
        for dag in dags:
            query = f"SELECT run_id FROM dag_run WHERE dag_id = '{dag}' AND run_type = 'scheduled'"
            run = wait_for(f"the run of {dag}", lambda query=query: self.ask(query))
            path = f"/api/v2/dags/{dag}/dagRuns/{run}"

            # It may collide with the scheduler: an error of the database.
            def ended(path: str = path) -> bool:
                answer = self._client.patch(path, json={"state": "failed"})
                return bool(answer.status_code == 200)

            wait_for(f"the end of {run}", ended)

    # What is asked often is read where it is kept: the API takes its time.

    def ask(self, statement: str) -> Any:
        """The only value of a query in its metadata."""
        with psycopg.connect(dbname=self.database) as connection:
            row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None

    def task(self, dag: str, run: str, task: str, column: str = "state") -> Any:
        """A column of the task instance; None as long as the run has none."""
        return self.ask(
            f"SELECT {column} FROM task_instance"
            f" WHERE dag_id = '{dag}' AND run_id = '{run}' AND task_id = '{task}'"
        )

    def wait_state(self, dag: str, run: str, task: str, *states: str) -> str:
        def reached() -> str | None:
            state: str | None = self.task(dag, run, task)
            return state if state in states else None

        try:
            return wait_for(f"{self.name}: {task} of {run} is {' or '.join(states)}", reached)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.task(dag, run, task)}") from None

    def clear(self, dag: str, run: str, task: str, **more: Any) -> None:
        """Once the run is over: a task that is cleared while its run ends stays as it is."""

        over = f"SELECT state IN ('success', 'failed') FROM dag_run WHERE run_id = '{run}'"
        wait_for(f"the end of {run}", lambda: self.ask(over))
        self.call(
            "POST",
            f"/dags/{dag}/clearTaskInstances",
            json={
                "dag_run_id": run,
                "task_ids": [task],
                "only_failed": False,
                "dry_run": False,
                "include_downstream": False,
                **more,
            },
        )

    def log(self, dag: str, run: str, task: str, number: int = 1) -> str:
        """A try's log, as a person reads it."""
        answer = self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{number}")
        return json.dumps(answer, ensure_ascii=False)

    def remembers(self, ranges: int) -> bool:
        """Has its event trigger kept what it has found, in so many ranges?"""
        value = self.ask("SELECT value FROM asset_state_store")
        return value is not None and len(json.loads(value)["found"]) == ranges

    def printed(self) -> Iterator[tuple[Path, str]]:
        """All that its processes and tasks have written."""
        for file in self.home.rglob("*"):
            if file.is_file():
                yield file, file.read_text(errors="replace")
