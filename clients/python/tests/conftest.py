"""A database of its own, and a source in it for each test.

PGHOST, PGPORT and PGUSER name a running cluster and a superuser of it."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from partition_registry import Registry, connect

DATABASE = "partreg_python"
START = datetime(2024, 1, 1, tzinfo=UTC)
END = START + timedelta(hours=1)
numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def database() -> Iterator[None]:
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        os.environ["PGDATABASE"] = DATABASE
        with psycopg.connect(autocommit=True) as own:
            own.execute("CREATE EXTENSION partition_registry CASCADE")
        yield
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@dataclass
class Place:
    """A source with the provider cron, and a table for its rows."""

    registry: Registry
    source: str
    table: str
    source_token: str
    token: str
    token_file: Path

    def rows(self) -> int:
        count: int = self.registry.call(f"SELECT count(*) FROM {self.table}", ())
        return count

    def ready(self) -> bool:
        return self.registry.check(self.source, START, END)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    number = next(numbers)
    source, table = f"sales.{number}", f"rows_{number}"
    plain = connect()
    source_token = plain.call("SELECT partreg.register_source(%s, 'sales')", (source,))
    token = plain.call("SELECT partreg.register_provider('cron', %s)", (source_token,))
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (n integer)")
    token_file = tmp_path / "token"
    token_file.write_text(token + "\n")
    return Place(connect(token=token), source, table, source_token, token, token_file)
