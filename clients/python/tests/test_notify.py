"""partreg notify: what LISTEN gets where nobody who writes notifies."""

import contextlib
import itertools
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from conftest import Place
from test_cli import partreg, start

Connection = psycopg.Connection[tuple[object, ...]]


def wait_for(done: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        if done():
            return
        assert process.poll() is None
        time.sleep(0.1)
    raise AssertionError("it never came")


def position_of(place: Place) -> Path:
    """The follower's file"""
    return place.token_file.with_name("position")


@contextlib.contextmanager
def follower(place: Place, *words: str) -> Iterator[subprocess.Popen[str]]:
    """One that knows its position, and is killed at the end."""
    file = position_of(place)
    process = start(place, "notify", "--position-file", str(file), *words)
    try:
        wait_for(file.exists, process)
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def listener(place: Place) -> Iterator[Connection]:
    with psycopg.connect(place.listen_dsn, autocommit=True) as connection:
        connection.execute("LISTEN partreg")
        yield connection


@contextlib.contextmanager
def writer(place: Place, notify: str = "off") -> Iterator[Connection]:
    with psycopg.connect(place.listen_dsn, autocommit=True) as connection:
        connection.execute("LOAD 'partition_registry'")
        connection.execute(f"SET partreg.notify = '{notify}'")
        yield connection


def heard(connection: Connection) -> list[tuple[int, str]]:
    """Who said what, until nobody has said anything for half a second."""
    found = []
    while said := list(connection.notifies(timeout=0.5, stop_after=1)):
        found += [(notify.pid, notify.payload) for notify in said]
    return found


def heard_all(
    connection: Connection, place: Place, process: subprocess.Popen[str]
) -> list[tuple[int, str]]:
    """The same, once the follower has sent all there is."""

    def sent() -> bool:
        position = position_of(place).read_text().strip()
        more = place.registry.call("SELECT count(*) FROM partreg.changes_since(%s, 1)", (position,))
        return int(more) == 0

    wait_for(sent, process)
    return heard(connection)


def register_hours(connection: Connection, place: Place, hours: int) -> None:
    connection.execute(
        "SELECT partreg.register_partitions(%s, 'cron', tstzrange('2024-01-01 00:00Z',"
        " '2024-01-01 00:00Z'::timestamptz + %s * interval '1 hour'), '1 hour', %s)",
        (place.source, hours, place.token),
    )


def unlock_hour(connection: Connection, place: Place, hour: int) -> None:
    connection.execute(
        "SELECT partreg.unlock_partition(%s, 'cron', tstzrange("
        "    '2024-01-01 00:00Z'::timestamptz + %s * interval '1 hour',"
        "    '2024-01-01 00:00Z'::timestamptz + %s * interval '1 hour'), %s)",
        (place.source, hour, hour + 1, place.token),
    )


def unlocked(said: list[tuple[int, str]]) -> list[int]:
    """The ids of the unlocks."""
    events = [json.loads(payload) for _, payload in said]
    return [event["event_id"] for event in events if event["event"] == "unlock"]


def walk(connection: Connection, place: Place) -> None:
    """Events of all kinds, about names and times of all kinds."""

    def call(function: str, *arguments: str) -> str:
        marks = ", ".join(["%s"] * len(arguments))
        row = connection.execute(f"SELECT partreg.{function}({marks})", arguments).fetchone()
        assert row is not None
        return str(row[0])

    source = place.source + " \"é\\' \U0001f600 %s"
    source_token = call("register_source", source, "team")
    token = call("register_provider", '"', source_token)
    which = (source, '"')
    first = "[2024-02-01 00:00Z, 2024-02-02 00:00Z)"
    days = "[2024-02-02 00:00Z, 2024-02-05 00:00Z)"
    for during in (
        "[0044-03-15 12:00:00.000001Z BC, 0001-01-01 00:00Z)",
        "[4714-11-24 00:00Z BC, 0001-12-31 23:59:59.999999Z BC)",
        "[9999-12-31 23:59:59Z, 294276-12-31 23:59:59.999999Z)",
        "[2024-01-01 00:00+05, 2024-01-01 00:00:00.5+05)",
    ):
        call("register_partition", *which, during, token)
    call("register_partition", *which, first, token)
    call("register_partitions", *which, days, "1 day", token)
    call("lock_partition", *which, first, token, "a", "0", "reason")
    call("lock_partition", *which, first, token, "b")
    call("fail_partition", *which, first, token, "b", "why")
    call("unlock_partition", *which, first, token)
    for function in ("lock_partitions", "fail_partitions", "unlock_partitions"):
        call(function, *which, days, token)
    call("retire_partition", *which, first, token)
    call("retire_partitions", *which, days, token)
    call("set_readiness_rule", source, "all", source_token)
    call("set_effective", *which, "[2024-01-01 00:00Z,)", source_token)
    call("set_deadline", *which, "1 hour", source_token)
    call("revoke_provider", *which, source_token)
    call("register_provider", '"', source_token)
    call("rename_provider", *which, "b", source_token)
    call("rotate_access_token", source, "b", source_token)
    call("rename_source", source, source + "b", source_token)
    call("drop_source", source + "b", source_token)


@pytest.mark.parametrize(("level", "words"), [("all", ()), ("ready", ("--ready",))])
def test_payloads_are_the_server_s(place: Place, level: str, words: tuple[str, ...]) -> None:
    with (
        listener(place) as listening,
        follower(place, *words) as process,
        writer(place, level) as writing,
    ):
        walk(writing, place)
        said = heard_all(listening, place, process)
        own = writing.info.backend_pid
        by_server = [payload for pid, payload in said if pid == own]
        by_follower = [payload for pid, payload in said if pid != own]
    assert len(by_server) > 5
    assert by_follower == by_server


def test_nothing_of_what_is_rolled_back(place: Place) -> None:
    with (
        listener(place) as listening,
        follower(place) as process,
        writer(place) as writing,
    ):
        register_hours(writing, place, 5)
        heard_all(listening, place, process)
        with contextlib.suppress(ZeroDivisionError), writing.transaction():
            unlock_hour(writing, place, 0)
            time.sleep(0.5)
            raise ZeroDivisionError
        with writing.transaction():
            with contextlib.suppress(ZeroDivisionError), writing.transaction():
                unlock_hour(writing, place, 1)
                raise ZeroDivisionError
            unlock_hour(writing, place, 2)
            assert heard(listening) == []
        assert len(unlocked(heard_all(listening, place, process))) == 1


def test_killed_again_and_again(place: Place) -> None:
    with listener(place) as listening, writer(place) as writing:
        with follower(place):
            register_hours(writing, place, 500)
        hours = itertools.count()
        said = []
        for _ in range(3):
            with follower(place) as process:
                said += heard_all(listening, place, process)
                for _ in range(40):
                    unlock_hour(writing, place, next(hours))
                    time.sleep(0.02)
            # While nobody follows
            unlock_hour(writing, place, next(hours))
        with follower(place) as process:
            said += heard_all(listening, place, process)
        written = writing.execute(
            "SELECT array_agg(event_id ORDER BY event_id) FROM partreg.events"
            " WHERE source_name = %s AND event = 'unlock'",
            (place.source,),
        ).fetchone()
        assert written is not None
        assert sorted(set(unlocked(said))) == written[0]


def test_connection_is_lost(place: Place) -> None:
    with (
        listener(place) as listening,
        follower(place) as process,
        writer(place) as writing,
    ):
        register_hours(writing, place, 3)
        ((pid, _),) = heard_all(listening, place, process)
        writing.execute("SELECT pg_terminate_backend(%s)", (pid,))
        for hour in range(3):
            unlock_hour(writing, place, hour)
        assert len(unlocked(heard_all(listening, place, process))) == 3
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
        assert process.returncode == 0
        # A pooler connects again by itself.
        behind_pooler = place.dsn != place.listen_dsn
        assert ("it tries again in 1 s" in err or behind_pooler) and "Traceback" not in err


def test_history_is_gone(place: Place) -> None:
    with listener(place) as listening, writer(place) as writing:
        with follower(place):
            pass
        register_hours(writing, place, 1)
        writing.execute("SELECT partreg.purge_history(clock_timestamp())")
        old = position_of(place).read_text()
        with follower(place) as process:
            wait_for(lambda: position_of(place).read_text() != old, process)
            unlock_hour(writing, place, 0)
            assert len(unlocked(heard_all(listening, place, process))) == 1
            process.send_signal(signal.SIGTERM)
            assert "it goes on from now" in process.communicate(timeout=10)[1]


def test_a_reader_may_and_others_may_not(place: Place) -> None:
    role = "follower_" + place.table
    with psycopg.connect(autocommit=True) as owner, listener(place) as listening:
        owner.execute(f"CREATE ROLE {role} LOGIN")
        try:
            dsn = f"{place.listen_dsn} user={role}"
            status, _, err = partreg(place, "notify", "--dsn", dsn)
            assert status == 5 and err.startswith("partreg: permission denied")
            owner.execute(f"SELECT partreg.grant_privileges('{role}', 'reader')")
            with follower(place, "--dsn", dsn) as process, writer(place) as writing:
                register_hours(writing, place, 1)
                assert len(heard_all(listening, place, process)) == 1
        finally:
            owner.execute(f"SELECT partreg.grant_privileges('{role}', 'none')")
            owner.execute(f"DROP ROLE {role}")


# What fits better than the functions and operators of PostgreSQL of these names.
TRAPS = """
    CREATE SCHEMA traps
    CREATE FUNCTION {0}.to_json(text) RETURNS json LANGUAGE plpgsql AS {1}
    CREATE FUNCTION {0}.format(text, text, text, text, text, text, bigint, text) RETURNS text
        LANGUAGE plpgsql AS {1}
    CREATE FUNCTION {0}.lower(tstzrange) RETURNS timestamptz LANGUAGE plpgsql AS {1}
    CREATE FUNCTION {0}.upper(tstzrange) RETURNS timestamptz LANGUAGE plpgsql AS {1}
    CREATE FUNCTION {0}.trap(numeric, integer) RETURNS boolean LANGUAGE plpgsql AS {1}
    CREATE FUNCTION {0}.trap(text, bigint) RETURNS text LANGUAGE plpgsql AS {1}
    CREATE OPERATOR {0}.> (FUNCTION = {0}.trap, LEFTARG = numeric, RIGHTARG = integer)
    CREATE OPERATOR {0}.|| (FUNCTION = {0}.trap, LEFTARG = text, RIGHTARG = bigint)
""".replace("\n    CREATE", ";\n    CREATE").format("traps", "$$BEGIN RAISE 'trapped'; END$$")


def test_it_calls_nothing_of_others(place: Place) -> None:
    with psycopg.connect(autocommit=True) as owner, listener(place) as listening:
        owner.execute(TRAPS)
        try:
            dsn = f"{place.listen_dsn} options='-c search_path=public,traps'"
            with follower(place, "--dsn", dsn) as process, writer(place) as writing:
                register_hours(writing, place, 2)
                said = heard_all(listening, place, process)
                assert [json.loads(payload)["count"] for _, payload in said] == [2]
        finally:
            owner.execute("DROP SCHEMA traps CASCADE")


def test_what_ends_it_when_it_begins(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "position"
    for nonsense in (b"nonsense", b"", b"\xff\xfe"):
        file.write_bytes(nonsense)
        assert partreg(place, "notify", "--position-file", str(file))[0] == 2
    assert partreg(place, "notify", "--position-file", str(tmp_path / "no" / "file"))[0] == 2
    assert partreg(place, "notify", "--dsn", "host=127.0.0.1 port=1")[0] == 6
