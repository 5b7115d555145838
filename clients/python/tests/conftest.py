"""A database of its own, and a source in it for each test, which runs twice:
at the server, and behind PgBouncer in transaction mode.

PGHOST, PGPORT and PGUSER name a running cluster and a superuser of it."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
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


@pytest.fixture(scope="session")
def pooler(database: None) -> Iterator[int]:
    """The port of a PgBouncer.  It gives the transactions of one client to
    different sessions of the server in turn: what a client relies on that stays
    in a session is not there, and what it leaves behind, others see."""
    program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    # It refuses to be root: then it runs as the server's user, to whom the
    # folder of the server's socket belongs.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.stat(os.environ["PGHOST"]).st_uid if os.geteuid() == 0 else None
    (folder / "users").write_text(f'"{os.environ["PGUSER"]}" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n{DATABASE} = host={os.environ['PGHOST']} port={os.environ['PGPORT']}"
        f" user={os.environ['PGUSER']}\n"
        f"[pgbouncer]\npool_mode = transaction\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
        "default_pool_size = 8\nserver_round_robin = 1\n"
    )
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [program, str(folder / "ini")], stdout=log, stderr=log, user=user
        )
    try:
        for _ in range(100):
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def spread(port: int) -> None:
    """Let the pooler have several sessions: as many as open transactions."""
    with contextlib.ExitStack() as clients:
        for _ in range(5):
            clients.enter_context(psycopg.connect(host="127.0.0.1", port=port)).execute("")


@dataclass
class Place:
    """A source with the provider cron, and a table for its rows."""

    registry: Registry
    source: str
    table: str
    source_token: str
    token: str
    token_file: Path
    env: dict[str, str]  # where the registry connects
    listen_dsn: str  # past the pooler

    @property
    def dsn(self) -> str:
        return f"host={self.env['PGHOST']} port={self.env['PGPORT']}"

    def rows(self) -> int:
        count: int = self.registry.call(f"SELECT count(*) FROM {self.table}", ())
        return count

    def ready(self) -> bool:
        return self.registry.check(self.source, START, END)

    def need(self) -> tuple[str, str]:
        """Another source with the provider cron, and its source token."""
        name = self.source + ".need"
        token = self.registry.call("SELECT partreg.register_source(%s, 'sales')", (name,))
        self.registry.call("SELECT partreg.register_provider('cron', %s)", (token,))
        return name, token


@pytest.fixture(params=["server", "pooler"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    env = {name: os.environ[name] for name in ("PGHOST", "PGPORT")}
    listen_dsn = f"host={env['PGHOST']} port={env['PGPORT']}"
    if request.param == "pooler":
        env = {"PGHOST": "127.0.0.1", "PGPORT": str(request.getfixturevalue("pooler"))}
        spread(int(env["PGPORT"]))
    number = next(numbers)
    source, table = f"sales.{number}", f"rows_{number}"
    plain = connect()
    source_token = plain.call("SELECT partreg.register_source(%s, 'sales')", (source,))
    token = plain.call("SELECT partreg.register_provider('cron', %s)", (source_token,))
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (n integer)")
    token_file = tmp_path / "token"
    token_file.write_text(token + "\n")
    registry = connect(f"host={env['PGHOST']} port={env['PGPORT']}", token=token)
    return Place(registry, source, table, source_token, token, token_file, env, listen_dsn)
