"""A real registry, and real gateways in front of it.

PGHOST, PGPORT and PGUSER name a running cluster and a superuser of it."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

DATABASE = "partreg_http"
LOGIN = "partreg_http_gateway"
ADMIN_TOKEN = "an-admin-token-for-tests"
DAY = {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}
numbers = itertools.count(1)

Json = dict[str, Any]


def pytest_configure() -> None:
    """Whoever is told to end stops first what it has started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def make_database(name: str, login: str = LOGIN) -> None:
    """A database with the extension, and a login of level admin, which is what a
    gateway needs."""
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE IF EXISTS {login}")
        connection.execute(f"CREATE DATABASE {name}")
        connection.execute(f"CREATE ROLE {login} LOGIN")
    with psycopg.connect(dbname=name, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION partition_registry CASCADE")
        connection.execute("SELECT partreg.grant_privileges(%s, 'admin')", (login,))


@pytest.fixture(scope="session", autouse=True)
def database() -> Iterator[str]:
    make_database(DATABASE)
    yield DATABASE
    with psycopg.connect(dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        connection.execute(f"DROP ROLE {LOGIN}")


def sql(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """As the superuser, in the registry's database."""
    with psycopg.connect(dbname=DATABASE, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@dataclass
class Gateway:
    """A running gateway, and a client of it."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **parameters: str | int) -> httpx.Response:
        return self.client.get(path, params=parameters)

    def post(self, path: str, **parameters: str) -> httpx.Response:
        return self.client.post(path, params=parameters)

    def wait(self) -> None:
        """Until it answers."""
        for _ in range(200):
            with contextlib.suppress(httpx.TransportError):
                self.client.get("/")
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


Start = Callable[..., Gateway]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a gateway with settings; it is ended when the tests are."""
    running: list[Gateway] = []

    def begin(port: int | None = None, environment: Json | None = None, **settings: str) -> Gateway:
        port = port or free_port()
        log = tmp_path_factory.mktemp("gateway") / "log"
        values = {
            **os.environ,
            "PGDATABASE": DATABASE,
            "PGUSER": LOGIN,
            "PARTREG_HTTP_PORT": str(port),
            **{f"PARTREG_HTTP_{name.upper()}": value for name, value in settings.items()},
            **(environment or {}),
        }
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [Path(sys.executable).parent / "partreg-http"],
                env=values,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        gateway = Gateway(port, log, process)
        running.append(gateway)
        gateway.wait()
        return gateway

    yield begin
    for gateway in running:
        gateway.client.close()
        if gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()


@pytest.fixture(scope="session")
def lax(start: Start) -> Gateway:
    """As it is by default."""
    return start()


@pytest.fixture(scope="session")
def strict(start: Start) -> Gateway:
    return start(strict="true")


@pytest.fixture(scope="session")
def guarded(start: Start) -> Gateway:
    """Strict, and with tokens."""
    return start(strict="true", tokens="true", admin_token=ADMIN_TOKEN)


@dataclass
class Place:
    """A source with the provider cron, registered through the gateway."""

    source: str
    source_token: str
    token: str
    provider: str = "cron"

    @property
    def day(self) -> dict[str, str]:
        return {**DAY, "source_name": self.source, "provider_name": self.provider}


def new_name() -> str:
    return f"sales.{next(numbers)}"


def token_of(response: httpx.Response) -> str:
    token: str = response.json()["registered_object"]["access_token"]["token"]
    return token


def make_place(gateway: Gateway, **options: str) -> Place:
    source = new_name()
    made = gateway.post("/sources/register", source_name=source, owner="sales", **options)
    source_token = token_of(made)
    made = gateway.post("/providers/register", provider_name="cron", access_token=source_token)
    return Place(source, source_token, token_of(made))


@pytest.fixture
def place(lax: Gateway) -> Place:
    return make_place(lax)
