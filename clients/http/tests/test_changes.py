"""/changes: every event once, whenever one joins and whatever breaks."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import psycopg
from conftest import DATABASE, LOGIN, Gateway, Json, Place, Start, make_place, sql


class Listener:
    """A client of /changes, in a thread of its own."""

    def __init__(
        self, gateway: Gateway, position: str | None = None, source: str | None = None
    ) -> None:
        self.events: list[Json] = []
        self.position = position
        self.is_open = threading.Event()
        self._gateway = gateway
        self._source = source
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self.is_open.wait(10)

    def _listen(self) -> None:
        headers = {"Last-Event-ID": self.position} if self.position else {}
        parameters = {"source": self._source} if self._source else {}
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.stream(
                "GET",
                f"{self._gateway.url}/changes",
                params=parameters,
                headers=headers,
                timeout=60,
            ) as answer,
        ):
            self._socket = answer.extensions["network_stream"].get_extra_info("socket")
            assert answer.headers["content-type"].startswith("text/event-stream")
            position = None
            for line in answer.iter_lines():
                self.is_open.set()
                if line.startswith("id: "):
                    position = line[4:]
                elif line.startswith("data: "):
                    self.events.append(json.loads(line[6:]))
                elif line == "" and position is not None:
                    self.position = position

    def wait_for(self, count: int) -> list[Json]:
        until = time.monotonic() + 10
        while len(self.events) < count and time.monotonic() < until:
            time.sleep(0.02)
        return self.events

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def listening(
    gateway: Gateway, position: str | None = None, source: str | None = None
) -> Iterator[Listener]:
    listener = Listener(gateway, position, source)
    try:
        yield listener
    finally:
        listener.close()


def test_it_starts_now(lax: Gateway, place: Place) -> None:
    lax.post("/partitions/register", **place.day)
    with listening(lax) as listener:
        lax.post("/partitions/lock", **place.day)
        lax.post("/partitions/fail", **place.day, reason="no input")
        lock, fail = listener.wait_for(2)
    assert (lock["event"], lock["source_name"], lock["holder"]) == ("lock", place.source, LOGIN)
    assert (lock["start"], lock["end"]) == (place.day["start"], place.day["end"])
    assert (fail["event"], fail["reason"]) == ("fail", "no input")
    assert list(lock) == [
        "event_id",
        "event",
        "source_name",
        "provider_name",
        "start",
        "end",
        "at",
        "actor",
        "holder",
        "reason",
        "details",
    ]


def test_it_resumes(lax: Gateway, place: Place) -> None:
    position = lax.get("/position").json()["position"]
    for route in ("register", "lock", "unlock"):
        lax.post(f"/partitions/{route}", **place.day)
    with listening(lax, position) as listener:
        events = [one["event"] for one in listener.wait_for(3)]
        assert events == ["register_partition", "lock", "unlock"]
        lax.post("/partitions/lock", **place.day)
        listener.wait_for(4)
    lax.post("/partitions/unlock", **place.day)
    with listening(lax, listener.position) as again:
        assert [one["event"] for one in again.wait_for(1)] == ["unlock"]
        time.sleep(0.3)
        assert len(again.events) == 1


def test_one_source_only(lax: Gateway, place: Place) -> None:
    other = make_place(lax)
    position = lax.get("/position").json()["position"]
    for one in (other, place, other):
        lax.post("/partitions/register", **one.day)
    with listening(lax, position, place.source) as listener:
        lax.post("/partitions/lock", **other.day)
        lax.post("/partitions/lock", **place.day)
        events = listener.wait_for(2)
        time.sleep(0.3)
    assert [(one["source_name"], one["event"]) for one in events] == [
        (place.source, "register_partition"),
        (place.source, "lock"),
    ]


def test_a_bad_position_is_an_error(lax: Gateway, strict: Gateway) -> None:
    headers = {"Last-Event-ID": "nonsense"}
    answer = lax.client.get("/changes", headers=headers)
    assert (answer.status_code, answer.json()["status_code"]) == (200, 409)
    assert strict.client.get("/changes", headers=headers).status_code == 422


def test_one_connection_for_all(start: Start, place: Place) -> None:
    """The follower has one, whoever listens; with the last client it goes."""
    mine = "counted"
    gateway = start(dsn=f"application_name={mine}")

    def connections() -> int:
        found = sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", mine)
        count: int = found[0][0]
        return count

    time.sleep(0.5)
    pool = connections()
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listening(gateway)) for _ in range(30)]
        gateway.post("/partitions/register", **place.day)
        for listener in listeners:
            assert [one["event"] for one in listener.wait_for(1)] == ["register_partition"]
        assert connections() == pool + 1
    time.sleep(1.5)
    assert connections() == pool


def test_every_event_once_beside_writers(start: Start, lax: Gateway) -> None:
    """Writers that commit late and in another order; clients that come, go and
    resume all the while.  Each sees each event once."""
    gateway = start(workers="2")
    places = [make_place(lax) for _ in range(3)]
    first = lax.get("/position").json()["position"]
    done = threading.Event()

    def write(place: Place) -> None:
        with psycopg.connect(dbname=DATABASE) as connection:
            for number in range(60):
                for minute in range(3):
                    connection.execute(
                        "SELECT partreg.register_partition(%s, 'cron',"
                        " tstzrange(t, t + '1 min'), %s)"
                        " FROM (SELECT timestamptz '2024-01-01 00:00Z'"
                        "              + %s * interval '1 min' AS t) t",
                        (place.source, place.token, number * 3 + minute),
                    )
                    time.sleep(0.002)
                if number % 7 == 3:
                    connection.rollback()
                else:
                    connection.commit()

    seen: list[list[int]] = []

    def follow(source: str | None, pause: float) -> None:
        events: list[int] = []
        position = first
        while True:
            last = done.is_set()
            with listening(gateway, position, source) as listener:
                if last:
                    time.sleep(2)
                else:
                    done.wait(pause)
            events += [one["event_id"] for one in listener.events]
            assert listener.position is not None
            position = listener.position
            if last:
                break
        seen.append(events)

    writers = [threading.Thread(target=write, args=(place,), daemon=True) for place in places]
    sources = [None, None, places[0].source, None]
    readers = [
        threading.Thread(target=follow, args=(source, pause), daemon=True)
        for source, pause in zip(sources, (0.05, 0.2, 0.3, 20), strict=True)
    ]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()

    names = [place.source for place in places]
    for_all = sql(
        "SELECT event_id, source_name FROM partreg.events"
        " WHERE source_name = ANY (%s) AND event = 'register_partition'",
        names,
    )
    everything = sorted(event for event, _ in for_all)
    of_one = sorted(event for event, source in for_all if source == names[0])
    assert len(everything) == 3 * 51 * 3
    assert len(seen) == 4
    for events in seen:
        assert sorted(events) in (everything, of_one)
    assert sum(sorted(events) == of_one for events in seen) == 1


def test_purged_history_is_told(lax: Gateway, place: Place) -> None:
    position = lax.get("/position").json()["position"]
    lax.post("/partitions/register", **place.day)
    sql("SELECT partreg.purge_history(clock_timestamp())")
    answer = lax.client.get("/changes", headers={"Last-Event-ID": position})
    assert (answer.status_code, answer.json()["status_code"]) == (200, 409)
    lax.post("/partitions/lock", **place.day)
    with listening(lax) as listener:
        lax.post("/partitions/unlock", **place.day)
        assert [one["event"] for one in listener.wait_for(1)] == ["unlock"]
