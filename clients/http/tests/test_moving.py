"""examples/move-from-original.sql on the original's tables."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import Gateway, Json, Start

SCRIPT = Path(__file__).parents[3] / "examples" / "move-from-original.sql"
DATABASE = "partreg_http_moving"
LOGIN = "partreg_http_moved"
LONG = "s3://" + "é" * 150 + "/orders"

# The original's tables, as its own SQL file makes them.
TABLES = """
CREATE SCHEMA registry;
CREATE TABLE registry.sources (
    id serial PRIMARY KEY, name text NOT NULL UNIQUE, owner text NOT NULL,
    access_token text NOT NULL, registered_at timestamptz NOT NULL DEFAULT current_timestamp);
CREATE TABLE registry.providers (
    id serial PRIMARY KEY, name text NOT NULL UNIQUE, access_token text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT current_timestamp);
CREATE TABLE registry.partitions (
    id serial PRIMARY KEY, start timestamptz NOT NULL, "end" timestamptz NOT NULL,
    source_id integer NOT NULL REFERENCES registry.sources (id),
    provider_id integer NOT NULL REFERENCES registry.providers (id),
    registered_at timestamptz NOT NULL DEFAULT current_timestamp);
CREATE TABLE registry.events (
    partition_id integer REFERENCES registry.partitions (id), event_type text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT current_timestamp);
INSERT INTO registry.sources (name, owner, access_token) VALUES
    ('public.some_source', 'ivan.ivanov@company.com', 'token-1'),
    ('empty.owner', '', 'token-2'),
    ('%(long)s', 'o', 'token-3'),
    ('%(long)s/2', 'o', 'token-4');
INSERT INTO registry.providers (name, access_token) VALUES
    ('provider@email.com', 'token-1'),      -- 1
    ('no-partitions', 'token-2'),           -- 2
    ('wrong-token', 'nonsense'),            -- 3: accepted there, and good for nothing
    ('%(long)s', 'token-3'),                -- 4
    ('second', 'token-1');                  -- 5
"""
# Day of January 2000, source, provider, its events in order, and what it is then.
PARTITIONS = [
    (1, 1, 1, ["LOCK", "UNLOCK"], "unlocked"),
    (2, 1, 1, ["LOCK"], "locked"),
    (3, 1, 1, [], "registered"),
    (4, 1, 1, ["UNLOCK", "LOCK"], "locked"),
    (5, 1, 1, ["LOCK", "UNLOCK", "LOCK", "UNLOCK", "UNLOCK"], "unlocked"),
    # The same one three times, as registering at once made them.
    (6, 1, 1, ["UNLOCK"], "locked"),
    (6, 1, 1, [], "locked"),
    (6, 1, 1, ["LOCK"], "locked"),
    (7, 1, 1, ["LOCK"], "unlocked"),
    (7, 1, 1, ["UNLOCK"], "unlocked"),
    (8, 1, 5, ["UNLOCK"], "unlocked"),
    (1, 3, 4, ["UNLOCK"], "unlocked"),
]


def psql(*arguments: str, database: str = DATABASE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["psql", "-X", "-d", database, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PGOPTIONS": "-c TimeZone=UTC"},
    )


@pytest.fixture
def original() -> Iterator[psycopg.Connection]:
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"DROP ROLE IF EXISTS {LOGIN}")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        connection.execute(f"CREATE ROLE {LOGIN} LOGIN")
        with psycopg.connect(dbname=DATABASE, autocommit=True) as own:
            own.execute("CREATE EXTENSION partition_registry CASCADE")
            own.execute("SELECT partreg.grant_privileges(%s, 'admin')", (LOGIN,))
            own.execute("SET TimeZone = 'UTC'")
            own.execute((TABLES % {"long": LONG}).encode())
            minute = 0
            for day, source, provider, events, _ in PARTITIONS:
                row = own.execute(
                    'INSERT INTO registry.partitions (start, "end", source_id, provider_id)'
                    " SELECT d, d + interval '1 day', %s, %s"
                    "   FROM (SELECT timestamptz '2000-01-01' + %s * interval '1 day' AS d) d"
                    " RETURNING id",
                    (source, provider, day - 1),
                ).fetchone()
                assert row is not None
                for event in events:
                    minute += 1
                    own.execute(
                        "INSERT INTO registry.events"
                        " VALUES (%s, %s, timestamptz '2000-02-01' + %s * interval '1 min')",
                        (row[0], event, minute),
                    )
            yield own
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        connection.execute(f"DROP ROLE {LOGIN}")


def test_moving(original: psycopg.Connection, start: Start) -> None:
    moved = psql("-v", f"gateway={LOGIN}", "-f", str(SCRIPT))
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout.count("prs_") == 4
    assert moved.stderr.count("becomes") == 3

    found = original.execute(
        "SELECT DISTINCT source_name, provider_name, extract(day FROM start_at)::int, state"
        "  FROM partreg.partitions"
    ).fetchall()
    of_first = {
        (provider, day): state
        for source, provider, day, state in found
        if source == "public.some_source"
    }
    names = {1: "provider@email.com", 5: "second"}
    assert of_first == {
        (names[provider], day): state
        for day, source, provider, _, state in PARTITIONS
        if source == 1
    }
    assert len(found) == 9
    sources = original.execute("SELECT source_name, owner FROM partreg.sources").fetchall()
    assert len(sources) == 4 and ("empty.owner", "unknown") in sources
    assert all(len(name.encode()) <= 200 for name, _ in sources)
    providers = original.execute(
        "SELECT source_name, provider_name, trusted_role FROM partreg.providers"
    ).fetchall()
    assert ("empty.owner", "no-partitions", LOGIN) in providers
    assert len(providers) == 4
    assert original.execute("SELECT count(*) FROM partreg.verify()").fetchone() == (0,)

    # The original's clients go on, and unlock what they locked before the move.
    gateway = start(environment={"PGDATABASE": DATABASE, "PGUSER": LOGIN})
    day = {
        "source_name": "public.some_source",
        "provider_name": "provider@email.com",
        "start": "2000-01-02 00:00:00+00:00",
        "end": "2000-01-03 00:00:00+00:00",
    }

    def ready(gateway: Gateway) -> bool:
        answer: Json = gateway.get("/sources/public.some_source/check_readiness", **day).json()
        is_ready: bool = answer["is_ready"]
        return is_ready

    assert not ready(gateway)
    answer = gateway.post("/partitions/unlock", **day).json()
    assert answer["registered_object"]["event_type"] == "UNLOCK"
    assert ready(gateway)


def test_moving_twice_changes_nothing(original: psycopg.Connection) -> None:
    assert psql("-v", f"gateway={LOGIN}", "-f", str(SCRIPT)).returncode == 0
    before = original.execute("SELECT max(event_id) FROM partreg.events").fetchone()
    again = psql("-v", f"gateway={LOGIN}", "-f", str(SCRIPT))
    assert again.returncode != 0 and "already exists" in again.stderr
    assert original.execute("SELECT max(event_id) FROM partreg.events").fetchone() == before


def test_moving_without_a_gateway(original: psycopg.Connection) -> None:
    answer = psql("-f", str(SCRIPT))
    assert "-v gateway=LOGIN" in answer.stderr
    assert original.execute("SELECT count(*) FROM partreg.sources").fetchone() == (0,)
