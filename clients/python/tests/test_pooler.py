"""What is special behind PgBouncer in transaction mode.  Everything else is
tested behind it, too: see the fixture ``place``."""

import threading
import time
from datetime import timedelta

import psycopg
import pytest
from conftest import END, START, Place

import partition_registry as pr

pytestmark = pytest.mark.parametrize("place", ["pooler"], indirect=True)


def test_nothing_is_left_behind(place: Place) -> None:
    listening = pr.connect(place.dsn, listen_dsn=place.listen_dsn, token=place.token)
    for registry in (place.registry, listening):
        with registry.partition(
            place.source, "cron", START, END, renew_every=timedelta(seconds=0.05)
        ) as load:
            load.connection.execute(f"INSERT INTO {place.table} SELECT generate_series(1, 600)")
            time.sleep(0.1)
        registry.wait(place.source, START, END, timeout=timedelta(0))
        with registry.read(place.source, START, END) as reader:
            reader.connection.execute(f"SELECT count(*) FROM {place.table}")
    seen, pids = set(), set()
    with psycopg.connect(place.dsn, autocommit=True, prepare_threshold=None) as connection:
        for _ in range(20):
            row = connection.execute(
                "SELECT pg_backend_pid(), current_setting('transaction_read_only'),"
                " current_setting('transaction_isolation'), current_setting('search_path'),"
                " current_user = session_user,"
                " (SELECT count(*) FROM pg_prepared_statements),"
                " (SELECT count(*) FROM pg_listening_channels()),"
                " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
            ).fetchone()
            assert row is not None
            pids.add(row[0])
            seen.add(row[1:])
    assert len(pids) >= 4
    assert seen == {("off", "read committed", '"$user", public', True, 0, 0, 0)}


def test_listen_goes_past_the_pooler(place: Place) -> None:
    registry = pr.connect(place.dsn, listen_dsn=place.listen_dsn, token=place.token)
    waited = threading.Thread(
        target=registry.wait,
        args=(place.source, START, END),
        kwargs={"timeout": timedelta(seconds=20), "poll": timedelta(hours=1)},
    )
    waited.start()
    time.sleep(0.5)
    assert waited.is_alive()
    with registry.partition(place.source, "cron", START, END):
        pass
    waited.join(5)  # without a notification it would look again after 30 s
    assert not waited.is_alive()
