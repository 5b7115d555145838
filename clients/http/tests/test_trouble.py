"""When the database goes away and comes back, and when the gateway does.

With a cluster of its own, which is stopped and started."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest
from cluster import Cluster, new_cluster
from conftest import DAY, Gateway, Place, Start, make_place, new_name
from test_changes import listening

SLOWEST = 5.0  # seconds


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = new_cluster()
    cluster.start()
    cluster.sql("CREATE EXTENSION partition_registry CASCADE")
    cluster.sql("CREATE ROLE gateway LOGIN")
    cluster.sql("SELECT partreg.grant_privileges('gateway', 'admin')")
    yield cluster
    cluster.remove()


@pytest.fixture
def gateway(start: Start, cluster: Cluster) -> Gateway:
    return start(workers="2", environment=cluster.environment)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_database_goes_and_comes_under_load(
    gateway: Gateway, cluster: Cluster, mode: str
) -> None:
    """While it is away every answer is 503, within 5 seconds; when it is back,
    all are good again at once."""
    place = make_place(gateway)
    gateway.post("/partitions/register", **place.day)
    path = f"{gateway.url}/sources/{place.source}/check_readiness"
    answers: list[tuple[float, float, int, str]] = []
    over = threading.Event()

    def load(number: int) -> None:
        with httpx.Client(timeout=20) as client:
            while not over.is_set():
                began = time.monotonic()
                if number % 2:
                    answer = client.get(path, params=DAY)
                else:
                    url = f"{gateway.url}/partitions/{'lock' if number % 4 else 'unlock'}"
                    answer = client.post(url, params=place.day)
                ended = time.monotonic()
                retry = answer.headers.get("retry-after", "")
                answers.append((ended, ended - began, answer.status_code, retry))
                time.sleep(0.02)

    with ThreadPoolExecutor(12) as pool:
        for number in range(12):
            pool.submit(load, number)
        try:
            time.sleep(1.5)
            cluster.stop(mode)
            stopped = time.monotonic()
            time.sleep(10)
            starting = time.monotonic()
            cluster.start()
            started = time.monotonic()
            time.sleep(4)
        finally:
            over.set()

    slowest = max(took for _, took, _, _ in answers)
    assert slowest < SLOWEST, slowest
    assert set(Counter(code for _, _, code, _ in answers)) == {200, 503}
    away = [code for at, took, code, _ in answers if at - took > stopped and at < starting]
    assert away and set(away) == {503}
    assert all(retry for _, _, code, retry in answers if code == 503)
    back = [code for at, took, code, _ in answers if at - took > started + 1.5]
    assert len(back) > 20 and set(back) == {200}, Counter(back)
    assert gateway.get("/health").status_code == 200


def test_it_starts_before_its_database(start: Start, cluster: Cluster) -> None:
    cluster.stop("fast")
    try:
        gateway = start(environment=cluster.environment)
        began = time.monotonic()
        answer = gateway.get("/health")
        assert time.monotonic() - began < SLOWEST
        assert (answer.status_code, answer.json()["status_code"]) == (503, 503)
        assert answer.headers["retry-after"]
    finally:
        cluster.start()
    time.sleep(1)
    assert gateway.get("/health").status_code == 200


def test_changes_go_on_after_a_restart_of_the_database(gateway: Gateway, cluster: Cluster) -> None:
    place = make_place(gateway)
    with listening(gateway) as listener:
        gateway.post("/partitions/register", **place.day)
        listener.wait_for(1)
        cluster.stop("fast")
        time.sleep(1)
        cluster.start()
        time.sleep(0.5)
        assert gateway.post("/partitions/lock", **place.day).status_code == 200
        assert gateway.post("/partitions/unlock", **place.day).status_code == 200
        events = [one["event"] for one in listener.wait_for(3)]
    assert events == ["register_partition", "lock", "unlock"]


def test_a_restart_with_requests_in_flight(start: Start, cluster: Cluster) -> None:
    """Those that were begun are answered, and what was answered is so."""
    gateway = start(environment=cluster.environment)
    place = make_place(gateway)
    gateway.post("/partitions/register", **place.day)
    dsn = f"host={cluster.folder} port={cluster.port} user=postgres dbname=postgres"
    names = [new_name() for _ in range(5)]
    with psycopg.connect(dsn) as other, ThreadPoolExecutor(6) as pool:
        # What waits for another transaction is still under way when it ends.
        other.execute(
            "SELECT partreg.lock_partition(%s, 'cron',"
            " '[2024-01-01 00:00Z, 2024-01-02 00:00Z)', %s)",
            (place.source, place.token),
        )
        waiting = pool.submit(
            lambda: httpx.post(f"{gateway.url}/partitions/lock", params=place.day)
        )
        time.sleep(0.5)
        gateway.process.terminate()
        time.sleep(0.3)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{gateway.url}/health")
        other.rollback()
        assert waiting.result(10).json()["registered_object"]["event_type"] == "LOCK"
        gateway.process.wait(10)
    again = start(port=gateway.port, environment=cluster.environment)
    path = f"/sources/{place.source}/check_readiness"
    assert "is locked" in again.get(path, **DAY).json()["message"]
    for name in names:
        assert again.post("/sources/register", source_name=name, owner="o").status_code == 200


def test_streams_do_not_keep_it_from_ending(gateway: Gateway) -> None:
    with listening(gateway), listening(gateway):
        began = time.monotonic()
        gateway.stop()
        assert time.monotonic() - began < 18


def test_the_killed_connection(gateway: Gateway, cluster: Cluster) -> None:
    """The original answers with HTTP 500 from then on."""
    place: Place = make_place(gateway)
    gateway.post("/partitions/register", **place.day)
    for _ in range(5):
        cluster.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gateway'"
        )
        for _ in range(4):
            assert gateway.post("/partitions/lock", **place.day).status_code == 200


def test_bursts_are_all_answered(gateway: Gateway) -> None:
    """Forty at once, three times: what stops the original."""
    place = make_place(gateway)
    gateway.post("/partitions/register", **place.day)
    path = f"{gateway.url}/sources/{place.source}/check_readiness"
    with ThreadPoolExecutor(40) as pool:
        for _ in range(3):
            began = time.monotonic()
            answers = list(pool.map(lambda _: httpx.get(path, params=DAY, timeout=20), range(40)))
            assert time.monotonic() - began < 18
            assert [answer.status_code for answer in answers] == [200] * 40
            assert {answer.json()["is_ready"] for answer in answers} == {False}
