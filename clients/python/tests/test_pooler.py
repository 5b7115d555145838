"""PgBouncer in transaction mode, with one server connection for everybody but
the renewal: what is left behind in a session, the next one would see."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import DATABASE, END, START, Place

import partition_registry as pr


@pytest.fixture
def pooled() -> Iterator[str]:
    program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # It refuses to be root: then it runs as the server's user, to whom the
    # folder of the server's socket belongs.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.stat(os.environ["PGHOST"]).st_uid if os.geteuid() == 0 else None
    (folder / "users").write_text(f'"{os.environ["PGUSER"]}" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n{DATABASE} = host={os.environ['PGHOST']} port={os.environ['PGPORT']}\n"
        f"[pgbouncer]\npool_mode = transaction\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
        "default_pool_size = 2\n"
    )
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [program, str(folder / "ini")], stdout=log, stderr=log, user=user
        )
    dsn = f"host=127.0.0.1 port={port} dbname={DATABASE} user={os.environ['PGUSER']}"
    try:
        for _ in range(50):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield dsn
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def test_behind_a_transaction_pooler(place: Place, pooled: str) -> None:
    registry = pr.connect(pooled, token=place.token)
    for _ in range(8):
        with registry.partition(
            place.source, "cron", START, END, renew_every=timedelta(seconds=0.05)
        ) as load:
            load.connection.execute(f"DELETE FROM {place.table}")
            load.connection.execute(f"INSERT INTO {place.table} SELECT generate_series(1, 600)")
            time.sleep(0.1)
        registry.wait(place.source, START, END, timeout=timedelta(0))
        with registry.read(place.source, START, END) as reader:
            found = reader.connection.execute(f"SELECT count(*) FROM {place.table}").fetchone()
            assert found == (600,)
    # Nothing was left behind for the next client.
    with registry.open() as connection:
        row = connection.execute(
            "SELECT current_setting('transaction_read_only'),"
            " current_setting('transaction_isolation'),"
            " (SELECT count(*) FROM pg_prepared_statements)"
        ).fetchone()
    assert row == ("off", "read committed", 0)
