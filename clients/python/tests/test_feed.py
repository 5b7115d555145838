"""Following what changes, and what goes by it: waits, and needs."""

import threading
import time
from datetime import timedelta

import psycopg
import pytest
from conftest import END, START, Place

import partition_registry as pr

HOUR = timedelta(hours=1)


def load(place: Place, rows: int | None = None) -> None:
    with place.registry.partition(place.source, "cron", START, END) as begun:
        begun.details = None if rows is None else {"rows": rows}


def test_changes_are_given_once(place: Place) -> None:
    position = place.registry.position()
    load(place, 600)
    following = place.registry.changes(position, sources=place.source, follow=False)
    events = []
    for change in following:
        events.append((change.event, change.source, change.start, change.end, change.details))
        assert change.position == following.position
    which = (place.source, START, END)
    assert events == [
        ("register_partition", *which, None),
        ("lock", *which, None),
        ("unlock", *which, {"rows": 600}),
    ]
    again = list(place.registry.changes(following.position, sources=place.source, follow=False))
    assert again == []
    # Each change's own position goes on after it, in the middle of a page.
    first = next(place.registry.changes(position, sources=place.source, follow=False))
    rest = place.registry.changes(first.position, sources=place.source, follow=False)
    assert [change.event for change in rest] == ["lock", "unlock"]


def test_position_moves_past_what_others_do(place: Place) -> None:
    position = place.registry.position()
    load(place)
    following = place.registry.changes(position, sources="nobody", follow=False)
    assert list(following) == []
    assert following.position is not None
    seen = place.registry.changes(following.position, sources=place.source, follow=False)
    assert list(seen) == []


def test_position_of_no_history(place: Place) -> None:
    with pytest.raises(pr.BadArgument):
        next(place.registry.changes("nonsense"))


@pytest.mark.parametrize("listens", [False, True])
def test_changes_are_followed(place: Place, listens: bool) -> None:
    registry = pr.connect(place.dsn, listen_dsn=place.listen_dsn if listens else None)
    poll = timedelta(hours=1) if listens else timedelta(seconds=0.1)
    following = registry.changes(registry.position(), sources=[place.source], poll=poll)
    seen: list[str] = []

    def follow() -> None:
        for change in following:
            seen.append(change.event)
            if change.event == "unlock":
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    time.sleep(0.3)
    load(place)
    thread.join(5)
    assert seen == ["register_partition", "lock", "unlock"]
    following.close()


def test_changes_go_on_after_a_lost_connection(place: Place) -> None:
    registry = pr.connect(place.listen_dsn, listen_dsn=place.listen_dsn)
    following = registry.changes(registry.position(), sources=[place.source])
    load(place)
    assert next(following).event == "register_partition"
    assert following._connection is not None
    pid = following._connection.info.backend_pid
    assert [next(following).event for _ in range(2)] == ["lock", "unlock"]
    place.registry.call("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(psycopg.OperationalError):
        next(following)
    load(place)
    assert next(following).event == "lock"
    following.close()


def test_reader_knows_position_and_details(place: Place) -> None:
    load(place, 600)
    with place.registry.read(place.source, START, END) as reader:
        load(place, 601)  # not seen in this snapshot
        (supplied,) = reader.details
        assert supplied.details == {"rows": 600} and supplied.provider == "cron"
        assert (supplied.start, supplied.end) == (START, END)
        position = reader.position
    events = place.registry.changes(position, sources=place.source, follow=False)
    assert [change.event for change in events] == ["lock", "unlock"]


def test_history(place: Place) -> None:
    load(place)
    seen = place.registry.history(place.source, START, None)
    assert [change.event for change in seen] == ["unlock", "lock", "register_partition"]
    assert place.registry.history(place.source, END, None) == []
    assert place.registry.history(place.source, None, None, at_most=1)[0].event == "unlock"
    with pytest.raises(pr.UnknownObject):
        place.registry.history("misspelt", START, END)


def test_need_restated_in_one_transaction(place: Place) -> None:
    """Locked and unlocked at once: no obstacle is ever seen."""
    need, token = place.need()
    with place.registry.partition(need, "cron", START, END, token=token):
        pass
    with (
        pytest.raises(pr.NotReady, match="changed while it loaded"),
        place.registry.partition(place.source, "cron", START, END, needs=[need]) as begun,
    ):
        begun.connection.execute(f"INSERT INTO {place.table} VALUES (1)")
        with place.registry.open() as restating:
            for call in ("lock", "unlock"):
                restating.execute(
                    f"SELECT partreg.{call}_partition(%s, 'cron', tstzrange(%s, %s), %s)".encode(),
                    (need, START, END, token),
                )
    assert place.rows() == 0 and not place.ready()
    # What changes elsewhere does not matter.
    with place.registry.partition(place.source, "cron", START, END, needs=[need]) as begun:
        begun.connection.execute(f"INSERT INTO {place.table} VALUES (1)")
        with place.registry.partition(need, "cron", END, END + HOUR, token=token):
            pass
    assert place.rows() == 1 and place.ready()


def sessions(place: Place, name: str) -> list[tuple[int, str]]:
    with psycopg.connect(autocommit=True) as connection:
        return connection.execute(
            "SELECT pid, state FROM pg_stat_activity WHERE application_name = %s", (name,)
        ).fetchall()


@pytest.mark.parametrize("listens", [False, True])
def test_all_waits_share_one_connection(place: Place, listens: bool) -> None:
    name = f"waits of {place.source}"
    named = f" application_name='{name}'"
    registry = pr.connect(
        place.dsn + named, listen_dsn=place.listen_dsn + named if listens else None
    )
    waiting = [
        threading.Thread(
            target=registry.wait,
            args=(place.source, START + n * HOUR, END + n * HOUR),
            kwargs={"poll": timedelta(seconds=0.1)},
            daemon=True,
        )
        for n in range(20)
    ]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    if listens or place.env["PGHOST"] != "127.0.0.1":
        assert [state for _, state in sessions(place, name)] == ["idle"]
    for n in (7, 3):
        with place.registry.partition(place.source, "cron", START + n * HOUR, END + n * HOUR):
            pass
        waiting[n].join(5)
        assert not waiting[n].is_alive()
    assert sum(thread.is_alive() for thread in waiting) == 18
    with place.registry.partition(place.source, "cron", START, START + 20 * HOUR):
        pass
    for thread in waiting:
        thread.join(5)
    assert not any(thread.is_alive() for thread in waiting)
    time.sleep(0.3)
    if listens:
        assert sessions(place, name) == []


def test_waits_end_each_in_its_own_way(place: Place) -> None:
    outcomes: dict[str, BaseException | None] = {}
    need, token = place.need()

    def wait(name: str, source: str, timeout: float) -> None:
        try:
            place.registry.wait(source, START, END, timeout=timedelta(seconds=timeout))
            outcomes[name] = None
        except BaseException as error:
            outcomes[name] = error

    threads = [
        threading.Thread(target=wait, args=words)
        for words in (
            ("over", place.source, 1.0),
            ("fails", need, 20.0),
            ("gone", "misspelt", 20.0),
        )
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    with (
        pytest.raises(ZeroDivisionError),
        place.registry.partition(need, "cron", START, END, token=token),
    ):
        raise ZeroDivisionError
    for thread in threads:
        thread.join(5)
    assert isinstance(outcomes["over"], pr.TimedOut)
    assert isinstance(outcomes["fails"], pr.PartitionFailed)
    assert isinstance(outcomes["gone"], pr.UnknownObject)


def test_wait_for_a_change_of_the_source_itself(place: Place) -> None:
    """A rule, a name: no partition is in the event."""
    with place.registry.partition(place.source, "cron", START, END):
        pass
    for call in (
        "SELECT partreg.register_provider('late', %s)",
        f"SELECT partreg.set_readiness_rule('{place.source}', 'all', %s)",
    ):
        place.registry.call(call, (place.source_token,))
    thread = threading.Thread(target=place.registry.wait, args=(place.source, START, END))
    thread.start()
    time.sleep(0.5)
    assert thread.is_alive()
    place.registry.call(
        f"SELECT partreg.set_readiness_rule('{place.source}', 'any', %s)", (place.source_token,)
    )
    thread.join(5)
    assert not thread.is_alive()
