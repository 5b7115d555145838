"""Loads, reads and waits against a real server."""

import logging
import signal
import threading
import time
import traceback
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from conftest import END, START, Place

import partition_registry as pr


def insert(load: pr.Load, place: Place) -> None:
    load.connection.execute(f"INSERT INTO {place.table} SELECT generate_series(1, 600)")


def state(place: Place) -> tuple[object, ...] | None:
    with place.registry.open() as connection:
        return connection.execute(
            "SELECT state, reason FROM partreg.locks WHERE source_name = %s", (place.source,)
        ).fetchone()


def test_load_is_ready_with_its_rows(place: Place) -> None:
    with place.registry.partition(place.source, "cron", START, END) as load:
        insert(load, place)
        load.details = {"rows": 600}
        assert place.rows() == 0 and not place.ready()
    assert place.rows() == 600 and place.ready()
    details = place.registry.call(
        "SELECT details FROM partreg.events WHERE source_name = %s AND event = 'unlock'",
        (place.source,),
    )
    assert details == {"rows": 600}


def test_load_without_a_transaction(place: Place) -> None:
    with place.registry.partition(place.source, "cron", START, END):
        idle = place.registry.call(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND xact_start IS NOT NULL"
            "   AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
            (),
        )
    assert idle == 0 and place.ready()


def test_lease_renewed_during_the_load(place: Place) -> None:
    lease, often = timedelta(seconds=2), timedelta(seconds=0.3)
    with place.registry.partition(
        place.source, "cron", START, END, lease=lease, renew_every=often
    ) as load:
        insert(load, place)
        time.sleep(3)
        with (
            pytest.raises(pr.HeldByOther),
            place.registry.partition(place.source, "cron", START, END),
        ):
            pass
    assert place.rows() == 600 and place.ready()


def test_second_load_is_refused(place: Place) -> None:
    with place.registry.partition(place.source, "cron", START, END) as load:
        insert(load, place)
        with (
            pytest.raises(pr.HeldByOther) as refused,
            place.registry.partition(place.source, "cron", START, END),
        ):
            pass
        assert refused.value.holder == load.holder
        assert refused.value.since is not None and refused.value.lease_expires_at is not None
        assert not isinstance(refused.value, psycopg.Error)
    assert place.rows() == 600


def test_zombie_cannot_commit(place: Place) -> None:
    """A's lease is over while it loads; B takes over and finishes."""
    short, never = timedelta(milliseconds=100), timedelta(hours=1)
    with (
        pytest.raises(pr.LockLost),
        place.registry.partition(
            place.source, "cron", START, END, lease=short, renew_every=never
        ) as zombie,
    ):
        insert(zombie, place)
        time.sleep(0.3)
        with place.registry.partition(place.source, "cron", START, END) as successor:
            insert(successor, place)
    assert place.rows() == 600 and place.ready()


def test_renewal_ends_a_load_that_lost_its_lock(place: Place) -> None:
    began = time.monotonic()
    with (
        pytest.raises(pr.LockLost),
        place.registry.partition(
            place.source, "cron", START, END, renew_every=timedelta(seconds=0.5)
        ) as load,
    ):
        place.registry.call(
            "SELECT partreg.force_fail_partition(%s, 'cron', tstzrange(%s, %s), 'stop')",
            (place.source, START, END),
        )
        load.connection.execute("SELECT pg_sleep(20)")
    assert time.monotonic() - began < 10
    assert state(place) == ("failed", "stop")


def test_predecessor_is_ended(place: Place) -> None:
    with (
        pytest.raises(pr.LockLost),
        place.registry.partition(place.source, "cron", START, END) as zombie,
    ):
        insert(zombie, place)
        with place.registry.partition(
            place.source, "cron", START, END, predecessor=zombie.holder
        ) as retry:
            insert(retry, place)
    assert place.rows() == 600 and place.ready()


def test_failure_fails_the_partition(place: Place) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        place.registry.partition(place.source, "cron", START, END) as load,
    ):
        insert(load, place)
        raise ZeroDivisionError("no orders\nat all")
    assert place.rows() == 0
    assert state(place) == ("failed", "ZeroDivisionError: no orders")
    with pytest.raises(pr.PartitionFailed) as failed:
        place.registry.wait(place.source, START, END, timeout=timedelta(seconds=5))
    assert failed.value.obstacles[0].reason == "ZeroDivisionError: no orders"


def test_statement_ends_with_a_load_that_a_signal_ends(place: Place) -> None:
    """As by a scheduler's timeout: an exception while psycopg waits for the server."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError("too slow")

    before = signal.signal(signal.SIGALRM, late)
    try:
        with (
            pytest.raises(TimeoutError),
            place.registry.partition(place.source, "cron", START, END) as load,
        ):
            insert(load, place)
            (pid,) = load.connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            load.connection.execute("SELECT pg_sleep(60)")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert state(place) == ("failed", "TimeoutError: too slow")
    until = time.monotonic() + 10
    busy = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE pid = %s AND state = 'active' AND pid <> pg_backend_pid()"
    )
    while place.registry.call(busy, (pid,)):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_holder_of_ones_own(place: Place) -> None:
    with place.registry.partition(place.source, "cron", START, END, holder="try 1") as load:
        assert load.holder == "try 1"
        held = "SELECT holder FROM partreg.locks WHERE source_name = %s"
        assert place.registry.call(held, (place.source,)) == "try 1"


def test_lost_connection_does_not_fail_the_partition(place: Place) -> None:
    with (
        pytest.raises(psycopg.OperationalError),
        place.registry.partition(place.source, "cron", START, END) as load,
    ):
        (pid,) = load.connection.execute("SELECT pg_backend_pid()").fetchone() or (0,)
        place.registry.call("SELECT pg_terminate_backend(%s)", (pid,))
        time.sleep(0.2)
        insert(load, place)
    assert state(place) == ("locked", None)


def test_transaction_cannot_be_ended_by_hand(place: Place) -> None:
    with (
        pytest.raises(psycopg.ProgrammingError),
        place.registry.partition(place.source, "cron", START, END) as load,
    ):
        insert(load, place)
        load.connection.commit()
    with (
        pytest.raises(pr.BadArgument),
        place.registry.partition(place.source, "cron", START, END) as load,
    ):
        load.connection.execute("COMMIT; BEGIN")
    assert place.rows() == 0 and not place.ready()


def test_needs(place: Place) -> None:
    need, token = place.need()
    with (
        pytest.raises(pr.NotReady) as refused,
        place.registry.partition(place.source, "cron", START, END, needs=[need]),
    ):
        pass
    assert refused.value.obstacles[0].state == "missing"
    assert state(place) is None  # too early leaves no lock

    with place.registry.partition(need, "cron", START, END, token=token):
        pass
    with place.registry.partition(place.source, "cron", START, END, needs=[need]) as load:
        insert(load, place)
    # Restated while the load runs: nobody knows what it has read.
    place.registry.call(f"DELETE FROM {place.table} RETURNING 1", ())
    with (
        pytest.raises(pr.NotReady),
        place.registry.partition(place.source, "cron", START, END, needs=[need]) as load,
    ):
        insert(load, place)
        with place.registry.partition(need, "cron", START, END, token=token):
            pass
    assert place.rows() == 0
    with place.registry.partition(place.source, "cron", START, END, needs=[need]) as load:
        insert(load, place)
    # Locked again between the claim and the load: the load does not read it.
    again = place.registry.partition(need, "cron", START, END, token=token)
    with (
        pytest.raises(pr.NotReady),
        place.registry.partition(place.source, "cron", START, END, needs=[need]) as load,
        again,
    ):
        insert(load, place)
    assert place.rows() == 600 and not place.ready()


def test_read(place: Place) -> None:
    with pytest.raises(pr.NotReady), place.registry.read(place.source, START, END):
        pass
    with place.registry.partition(place.source, "cron", START, END) as load:
        insert(load, place)
    with place.registry.read([place.source], START, END) as reader:
        # A restatement meanwhile is not seen.
        with place.registry.partition(place.source, "cron", START, END) as load:
            load.connection.execute(f"DELETE FROM {place.table}")
        found = reader.connection.execute(f"SELECT count(*) FROM {place.table}").fetchone()
    assert found == (600,)


@pytest.mark.parametrize("listens", [False, True])
def test_wait(place: Place, listens: bool) -> None:
    registry = pr.connect(place.dsn, listen_dsn=place.listen_dsn if listens else None)
    waited = threading.Thread(
        target=registry.wait,
        args=(place.source, START, END),
        kwargs={"timeout": timedelta(seconds=20), "poll": timedelta(seconds=0.2)},
    )
    waited.start()
    time.sleep(0.5)
    assert waited.is_alive()
    with place.registry.partition(place.source, "cron", START, END):
        pass
    waited.join(5)
    assert not waited.is_alive()


def test_wait_ends(place: Place) -> None:
    with pytest.raises(pr.TimedOut) as over:
        place.registry.wait(place.source, START, END, timeout=timedelta(0))
    assert over.value.obstacles
    with pytest.raises(pr.UnknownObject):
        place.registry.wait("misspelt", START, END)


def test_time_without_offset(place: Place) -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001
    with pytest.raises(pr.BadArgument):
        place.registry.partition(place.source, "cron", naive, END)
    with pytest.raises(pr.BadArgument):
        place.registry.check(place.source, START, naive)


def test_token_shows_nowhere(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = place.token[:-1] + ("a" if place.token[-1] != "a" else "b")
    registry = pr.connect(place.dsn, token=wrong)
    with (
        pytest.raises(pr.NotAllowed) as refused,
        registry.partition(place.source, "cron", START, END),
    ):
        pass
    report = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    # The test's own frame has the token in clear.
    frames = [frame for frame in report.stack if frame.filename != __file__]
    seen = str([(frame.line, frame.locals) for frame in frames])
    text = seen + str(vars(refused.value)) + repr(registry) + caplog.text
    assert "***" in seen
    assert wrong[4:30] not in text
    token = pr.Token(wrong)
    assert f"{token} {token!r} {token!s} {token:>9}" == "*** *** *** ***"
    with pytest.raises(TypeError):
        token.__reduce__()


def test_token_file(tmp_path: Path) -> None:
    file = tmp_path / "t"
    file.write_text("prp_x\n")
    assert pr.Token.read(file).to_wire() == b"prp_x"
