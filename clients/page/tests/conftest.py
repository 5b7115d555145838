"""A registry with what a page has to show, a gateway, and a browser.

PGHOST, PGPORT and PGUSER name a running cluster and a superuser of it; CHROMIUM
the browser."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

# Whoever registers a source or a provider, or holds a lock, chooses these.
HOSTILE = [
    "<img src=x onerror=\"window.hacked='img'\">",
    "\"><script>window.hacked='script'</script>",
    "</script><script>window.hacked='closed'</script>",
    "--><svg onload=window.hacked='svg'>",
    "javascript:window.hacked='url'",
    "__proto__",
    "constructor",
    "a&amp;b#source=c&start=0",
    "../../etc/passwd?x=%2e",
    "${window.hacked='template'}'\"`",
    "\u202egnitset.sgol",
    "x" * 200,
    "заказы.🧾",
]


def execute(database: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dbname=database, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def registry(name: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """A database with the extension; gives a function that runs SQL there."""
    execute("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    execute("postgres", f"CREATE DATABASE {name}")
    execute(name, "CREATE EXTENSION partition_registry CASCADE")

    def sql(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        return execute(name, statement, *parameters)

    try:
        yield sql
    finally:
        execute("postgres", f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def gateway(database: str, log: Path, port: int | None = None) -> Iterator[str]:
    """The address of the page in a gateway of its own."""
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["partreg-http", "--port", str(port)],
            env={**os.environ, "PGDATABASE": database},
            stdout=out,
            stderr=out,
        )
    try:
        until = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/ui"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def register(sql: Callable[..., Any], source: str, *providers: str, rule: str = "any") -> str:
    """A source and its providers; gives the source token."""
    token: str = sql("SELECT partreg.register_source(%s, 'owner@company.com', %s)", source, rule)[
        0
    ][0]
    for provider in providers:
        sql("SELECT partreg.register_provider(%s, %s)", provider, token)
    return token


@pytest.fixture(scope="session")
def shop() -> Iterator[Callable[..., Any]]:
    """Some sources, each with something to see, and hostile names."""
    with registry("partreg_page") as sql:
        orders = register(sql, "sales.orders", "airflow", "cron", rule="all")
        days = "tstzrange('2024-02-01', '2024-03-{}')"
        day = "tstzrange('2024-03-{}', '2024-03-{}')"
        for function, provider, rest in (
            ("register_partitions", "airflow", f"{days.format(11)}, '1 day', %s"),
            ("unlock_partitions", "airflow", f"{days.format(6)}, %s"),
            ("register_partitions", "cron", f"{days.format(6)}, '1 day', %s"),
            ("unlock_partitions", "cron", f"{days.format(4)}, %s"),
            ("lock_partition", "cron", f"{day.format(1, 2)}, %s, 'etl1/4711/9f3c', '0'"),
            ("lock_partition", "airflow", f"{day.format(2, 3)}, %s, 'etl2/1/aa', '1 day'"),
            ("fail_partition", "cron", f"{day.format(3, 4)}, %s, reason => 'disk is full'"),
            ("set_deadline", "airflow", "'1 hour', %s"),
            ("set_calendar", "airflow", "'1 day', '2024-02-01', %s, closed => '{[2024-03-09,)}'"),
        ):
            sql(f"SELECT partreg.{function}('sales.orders', '{provider}', {rest})", orders)
        items = register(sql, "sales.items", "airflow")
        sql(
            "SELECT partreg.unlock_partition('sales.items', 'airflow',"
            " '[2024-01-01, 2024-02-01)', %s, register => true)",
            items,
        )
        register(sql, "ml.features")
        for each in HOSTILE:
            token = register(sql, each, each)
            sql(
                "SELECT partreg.lock_partition(%s, %s, '[2024-01-01, 2024-01-02)', %s, %s,"
                " reason => %s, register => true)",
                each,
                each,
                token,
                each,
                each,
            )
        yield sql


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway") / "log"


@pytest.fixture(scope="session")
def url(shop: object, logs: Path) -> Iterator[str]:
    with gateway("partreg_page", logs) as address:
        yield address


@pytest.fixture(scope="session")
def file(shop: object, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page as one file."""
    path = tmp_path_factory.mktemp("page") / "status.html"
    made = subprocess.run(
        ["partreg", "page"],
        env={**os.environ, "PGDATABASE": "partreg_page"},
        capture_output=True,
        check=True,
    )
    path.write_bytes(made.stdout)
    return path.as_uri()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page, which has to end without having run what is not its own, asked
    elsewhere, or thrown anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(8000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"threw {error}"))
    page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("http://127.0.0.1:", "file:", "data:"))
            else wrong.append(f"asked {request.url}")
        ),
    )
    yield page
    assert page.evaluate("window.hacked") is None
    assert wrong == []
    context.close()
