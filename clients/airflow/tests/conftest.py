"""A registry in a database of its own, with a role for each of two installations of
Airflow that share nothing else: north makes sales.orders and sales.returns, south
waits for them.  PGHOST, PGPORT and PGUSER name a running cluster and a superuser.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from installation import Installation

if importlib.metadata.version("apache-airflow").startswith("2."):
    collect_ignore = ["test_two.py", "test_long.py"]
else:
    collect_ignore = ["airflow2"]
HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples" / "airflow"
DATABASE = f"partreg_airflow_{os.getpid()}"
NORTH, SOUTH = f"partreg_north_{os.getpid()}", f"partreg_south_{os.getpid()}"
PASSWORD = f"password-{secrets.token_hex(8)}"

SETUP = f"""
CREATE EXTENSION partition_registry CASCADE;
CREATE SCHEMA sales;
CREATE SCHEMA marts;
CREATE TABLE sales.orders (happened_at timestamptz, amount int);
CREATE TABLE sales.returns (day timestamptz, try_number int);
CREATE TABLE sales.damaged (day timestamptz);
CREATE TABLE sales.log (line text);
CREATE TABLE marts.revenue (day timestamptz, amount bigint);
CREATE TABLE marts.report (day timestamptz, run text);
CREATE FUNCTION sales.inspect(day timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM sales.damaged d WHERE d.day = inspect.day) THEN
        RAISE EXCEPTION 'the file of the day is damaged';
    END IF;
END $$;
GRANT ALL ON SCHEMA sales, marts TO {NORTH}, {SOUTH};
GRANT ALL ON ALL TABLES IN SCHEMA sales, marts TO {NORTH}, {SOUTH};
SELECT partreg.grant_privileges('{NORTH}', 'writer'), partreg.grant_privileges('{SOUTH}', 'writer');
SELECT partreg.register_provider('north', partreg.register_source(s, 'o'),
                                 trusted_role => '{NORTH}')
  FROM unnest('{{sales.returns,sales.slow}}'::text[]) s;
SELECT partreg.register_provider('airflow', partreg.register_source(s, 'o'),
                                 trusted_role => '{SOUTH}')
  FROM unnest('{{marts.revenue,marts.report}}'::text[]) s;
"""


def pytest_configure() -> None:
    """Whoever is told to end stops first what it has started: Airflow's programs
    would go on without it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@dataclass
class Shared:
    """What the installations share: the registry's database.

    sales.orders has a token for its provider north; the others have trusted roles."""

    place: Path
    source_token: str = field(repr=False, default="")
    token: str = field(repr=False, default="")

    def ask(self, statement: str, *parameters: object) -> Any:
        """The only value of a query."""
        with psycopg.connect(dbname=DATABASE, autocommit=True) as connection:
            row = connection.execute(statement.encode(), parameters).fetchone()
        return row[0] if row else None

    def do(self, statement: str, *parameters: object) -> None:
        with psycopg.connect(dbname=DATABASE, autocommit=True) as connection:
            connection.execute(statement.encode(), parameters)

    def last_event(self) -> int:
        last: int = self.ask("SELECT max(event_id) FROM partreg.events")
        return last

    def events(self, source: str, since: int) -> list[str] | None:
        """What has happened to a source since an event."""
        events: list[str] | None = self.ask(
            "SELECT array_agg(event ORDER BY event_id) FROM partreg.events"
            " WHERE source_name = %s AND event_id > %s",
            source,
            since,
        )
        return events

    def revenue(self, day: str) -> list[int]:
        """The rows of a day of marts.revenue."""
        amounts: list[int] = self.ask(
            "SELECT array_agg(amount) FROM marts.revenue"
            " WHERE day = lower(partreg.day_range(%s::date, 'Europe/Berlin'))",
            day,
        )
        return amounts

    def change_orders(self, change: str, day: str, more: str = "") -> None:
        """Lock, unlock or fail a day of sales.orders as the owner of the source."""
        self.do(
            f"SELECT partreg.{change}_partition('sales.orders', 'north',"
            f" partreg.day_range(%s::date, 'Europe/Berlin'), %s{more})",
            day,
            self.source_token,
        )

    def ready(self, source: str, day: str) -> bool:
        ready: bool = self.ask(
            "SELECT partreg.check_readiness(%s, partreg.day_range(%s::date, 'Europe/Berlin'))",
            source,
            day,
        )
        return ready


@contextlib.contextmanager
def shared(place: Path) -> Iterator[Shared]:
    """The database and the roles, and no more of them afterwards."""
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        for role in (NORTH, SOUTH):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    made = Shared(place)
    try:
        made.do(SETUP)
        made.source_token = made.ask("SELECT partreg.register_source('sales.orders', 'o')")
        made.token = made.ask("SELECT partreg.register_provider('north', %s)", made.source_token)
        (place / "token").write_text(made.token)
        (place / "token").chmod(0o600)
        yield made
    finally:
        with psycopg.connect(dbname="postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
            for role in (NORTH, SOUTH):
                connection.execute(f"DROP ROLE {role}")
        if keep := os.environ.get("KEEP"):
            shutil.copytree(place, keep, dirs_exist_ok=True)


def leads_to(role: str, kind: str = "partreg", **extra: Any) -> dict[str, Any]:
    """A connection of Airflow's."""
    return {
        "conn_type": kind,
        "host": os.environ["PGHOST"],
        "port": int(os.environ["PGPORT"]),
        "login": role,
        "password": PASSWORD,
        "schema": DATABASE,
        "extra": extra,
    }


@dataclass
class World(Shared):
    """The registry and both installations."""

    north: Installation = field(init=False)
    south: Installation = field(init=False)
    runs: dict[str, str] = field(default_factory=dict)  # of the DAGs of south, for later tests

    def run(self, installation: Installation, dag: str, day: str) -> str:
        """Start the DAG's run for a local day, and give its id."""
        start, end = (
            when.isoformat()
            for when in self.ask(
                "SELECT ARRAY[lower(d), upper(d)]"
                "  FROM partreg.day_range(%s::date, 'Europe/Berlin') d",
                day,
            )
        )
        run = installation.call(
            "POST",
            f"/dags/{dag}/dagRuns",
            json={"logical_date": start, "data_interval_start": start, "data_interval_end": end},
        )
        return str(run["dag_run_id"])


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("airflow")
    for name in ("north", "south"):
        shutil.copytree(HERE / name, place / f"{name}.dags")
    for example in EXAMPLES.glob("*.py"):
        shutil.copy(example, place / "south.dags")
    with shared(place) as made:
        world = World(made.place, made.source_token, made.token)
        world.north = Installation(
            "north",
            place / "north",
            place / "north.dags",
            {
                "partreg_default": leads_to(NORTH),
                "token": leads_to(NORTH, token_file=str(place / "token")),
            },
        )
        world.south = Installation(
            "south",
            place / "south",
            place / "south.dags",
            {"partreg_default": leads_to(SOUTH), "registry": leads_to(SOUTH, "postgres")},
        )
        world.north.environment["PLACE"] = str(place)
        world.north.environment["REGISTRY"] = f"dbname={DATABASE} user={NORTH}"
        with contextlib.ExitStack() as ending:
            ending.callback(world.north.drop)
            ending.callback(world.south.drop)
            world.north.make()
            world.south.make(template=world.north.database)
            world.north.start("api-server", "dag-processor", "scheduler")  # nothing waits there
            world.south.start()
            for installation in (world.north, world.south):
                installation.log_in()
            world.north.unpause("orders", "returns", "no_interval", "slow")
            world.south.unpause("revenue", "plain_revenue", "report")
            world.south.end_scheduled("revenue", "plain_revenue")
            yield world
