"""Two installations of Airflow that share nothing but the registry.

north makes sales.orders and sales.returns, south waits for them.  PGHOST, PGPORT and
PGUSER name a running cluster and a superuser of it; the registry is in a database
of its own, with a role for each of the two.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from installation import Installation

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
SELECT partreg.register_provider('north', partreg.register_source('sales.returns', 'o'),
                                 trusted_role => '{NORTH}');
SELECT partreg.register_provider('airflow', partreg.register_source('marts.revenue', 'o'),
                                 trusted_role => '{SOUTH}');
SELECT partreg.register_provider('airflow', partreg.register_source('marts.report', 'o'),
                                 trusted_role => '{SOUTH}');
"""


@dataclass
class World:
    """The registry and both installations."""

    north: Installation
    south: Installation
    place: Path
    token: str = field(repr=False)
    source_token: str = field(repr=False)
    runs: dict[str, str] = field(default_factory=dict)  # of the DAGs of south, for later tests

    def ask(self, statement: str, *parameters: object) -> Any:
        """The only value of a query in the registry's database."""
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

    def change_orders(self, function: str, day: str) -> None:
        """Call lock_partition or unlock_partition as the owner of sales.orders."""
        self.do(
            f"SELECT partreg.{function}('sales.orders', 'north',"
            " partreg.day_range(%s::date, 'Europe/Berlin'), %s, 'the owner')",
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
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        for role in (NORTH, SOUTH):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        with psycopg.connect(dbname=DATABASE, autocommit=True) as own:
            own.execute(SETUP)
            source_token, token = own.execute(
                "SELECT s, partreg.register_provider('north', s)"
                " FROM partreg.register_source('sales.orders', 'o') s"
            ).fetchone()
    (place / "token").write_text(token)
    (place / "token").chmod(0o600)

    def leads_to(role: str, kind: str = "partreg", **extra: Any) -> dict[str, Any]:
        return {
            "conn_type": kind, "host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]),
            "login": role, "password": PASSWORD, "schema": DATABASE, "extra": extra,
        }  # fmt: skip

    shutil.copytree(HERE / "north", place / "north.dags")
    shutil.copytree(HERE / "south", place / "south.dags")
    for example in EXAMPLES.glob("*.py"):
        shutil.copy(example, place / "south.dags")
    north = Installation(
        "north",
        place / "north",
        place / "north.dags",
        {
            "partreg_default": leads_to(NORTH),
            "token": leads_to(NORTH, token_file=str(place / "token")),
        },
    )
    south = Installation(
        "south",
        place / "south",
        place / "south.dags",
        {"partreg_default": leads_to(SOUTH), "registry": leads_to(SOUTH, "postgres")},
    )
    north.environment["PLACE"] = str(place)
    north.environment["REGISTRY"] = f"dbname={DATABASE} user={NORTH}"
    try:
        north.make()
        south.make(template=north.database)
        north.start("api-server", "dag-processor", "scheduler")  # nothing waits there
        south.start()
        for installation in (north, south):
            installation.log_in()
        north.unpause("orders", "returns", "no_interval")
        south.unpause("revenue", "plain_revenue", "report")
        yield World(north, south, place, token, source_token)
    finally:
        for installation in (north, south):
            installation.drop()
        with psycopg.connect(dbname="postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
            for role in (NORTH, SOUTH):
                connection.execute(f"DROP ROLE {role}")
        if keep := os.environ.get("KEEP"):
            shutil.copytree(place, keep, dirs_exist_ok=True)
