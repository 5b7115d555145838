"""The command line partreg; commandline.py says what its exit status means."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent import futures
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import psycopg
import typer

from . import errors, steps
from .commandline import (
    CommandFailed,
    Day,
    Dsn,
    End,
    Json,
    Provider,
    Source,
    Start,
    TokenFile,
    Zone,
    app,
    exit_status,
    instant,
    progress,
    range_of,
    registry_of,
    show,
)
from .load import LEASE, Load
from .page import standalone
from .token import Token


def _exit(obstacles: Sequence[errors.Obstacle]) -> typer.Exit:
    if any(obstacle.state == "failed" for obstacle in obstacles):
        return typer.Exit(3)
    return typer.Exit(1 if obstacles else 0)


@app.command()
def check(
    source: Source,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Is it ready?  Says so by the status alone: 0, 1, or 3 where a failure is in the way."""
    with exit_status():
        registry = registry_of(dsn)
        obstacles = registry.explain(source, *range_of(registry, start, end, day, zone))
        if as_json:
            print(json.dumps({"ready": not obstacles}))
    raise _exit(obstacles)


@app.command()
def explain(
    source: Source,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """What keeps it from being ready; nothing where it is.  Status as of check."""
    with exit_status():
        registry = registry_of(dsn)
        obstacles = registry.explain(source, *range_of(registry, start, end, day, zone))
        show([vars(obstacle) for obstacle in obstacles], as_json)
    raise _exit(obstacles)


@app.command()
def wait(
    source: Source,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds; else for ever.")] = None,
    listen_dsn: Annotated[str | None, typer.Option(help="Past the pooler; else it polls.")] = None,
    dsn: Dsn = "",
) -> None:
    """Return when it is ready; a misspelt source ends it at once."""
    with exit_status():
        registry = registry_of(dsn, None, listen_dsn)
        limit = None if timeout is None else timedelta(seconds=timeout)
        waiting = registry.begin_wait(
            source, *range_of(registry, start, end, day, zone), timeout=limit
        )
        told = None
        while not futures.wait([waiting.future], 0.5).done:
            if waiting.obstacles != told and waiting.obstacles:
                told = waiting.obstacles
                progress(f"waiting, as {told[0]}" + (" ..." if len(told) > 1 else ""))
        waiting.future.result()


@app.command()
def ready_until(
    source: Source,
    since: Annotated[str, typer.Argument(help="From when on, with an offset or --tz.")],
    zone: Zone = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """The first instant from SINCE on that is not ready; status 1 where SINCE is not."""
    with exit_status():
        registry = registry_of(dsn)
        found = registry.call(
            "SELECT partreg.ready_until(%s, %s)", (source, instant(registry, since, zone))
        )
        if found is not None or as_json:
            show([{"ready_until": found}], as_json)
    raise typer.Exit(1 if found is None else 0)


@app.command()
def locks(dsn: Dsn = "", as_json: Json = False) -> None:
    """What is locked or failed: by whom, since when, until when."""
    names = "source provider start end state holder since lease_expires_at abandoned reason"
    columns = names.split()
    with exit_status():
        rows = registry_of(dsn).run(
            steps.rows(
                "SELECT source_name, provider_name, lower(during), upper(during), state, holder,"
                "       since, lease_expires_at, abandoned, reason"
                "  FROM partreg.locks ORDER BY 1, 2, 3"
            )
        )
        show([dict(zip(columns, row, strict=True)) for row in rows], as_json)


@app.command()
def page(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Whose timelines; else the 200 most in need.")
    ] = None,
    dsn: Dsn = "",
) -> None:
    """Print a page to look at, as one HTML file: all sources, and their timelines."""
    with exit_status(), contextlib.closing(registry_of(dsn).open()) as connection:
        try:
            text = standalone(connection, sources or ())
        except psycopg.Error as error:
            raise errors.translated(error) from error
        sys.stdout.buffer.write(text.encode())


def _signalled(number: int, frame: FrameType | None) -> None:
    raise CommandFailed(f"ended by {signal.Signals(number).name}")


def _run_command(load: Load, command: list[str]) -> None:
    """Run the load's command; its last line of standard error is the reason
    where it fails.  A lock that is lost meanwhile ends it."""
    child = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={
            **os.environ,
            "PARTREG_START": load.start.isoformat(),
            "PARTREG_END": load.end.isoformat(),
            "PARTREG_HOLDER": load.holder,
        },
    )
    last = ""

    def copy() -> None:
        nonlocal last
        assert child.stderr is not None
        for line in child.stderr:
            sys.stderr.write(line)
            last = line.strip() or last

    copier = threading.Thread(target=copy, daemon=True)
    copier.start()
    try:
        while load.lost is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.5)
                break
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        copier.join(1)
    if child.returncode != 0 and load.lost is None:
        raise CommandFailed(f"status {child.returncode}" + (f": {last}" if last else ""))


def _run_sql(load: Load, file: Path) -> None:
    text = file.read_bytes()
    connection = load.connection
    connection.execute(
        "SELECT set_config('load.start', %s, true), set_config('load.end', %s, true)",
        (load.start.isoformat(), load.end.isoformat()),
    )
    try:
        connection.execute(text)
    except psycopg.Error as error:
        if load.lost is not None or error.sqlstate is None:
            raise
        raise CommandFailed(str(error).strip()) from error


@app.command()
def run(
    source: Source,
    provider: Provider,
    rest: Annotated[list[str] | None, typer.Argument(metavar="[START END] [-- COMMAND...]")] = None,
    sql: Annotated[Path | None, typer.Option(help="SQL to run, committed with the unlock.")] = None,
    needs: Annotated[list[str] | None, typer.Option(help="A source that has to be ready.")] = None,
    lease: Annotated[float, typer.Option(help="Seconds.")] = LEASE.total_seconds(),
    details_from: Annotated[
        Path | None, typer.Option(help="A file with a JSON object for the unlock.")
    ] = None,
    day: Day = None,
    zone: Zone = None,
    token_file: TokenFile = None,
    dsn: Dsn = "",
) -> None:
    """Lock, run a command or SQL, unlock where it succeeds, fail the partition where not.

    The command sees PARTREG_START, PARTREG_END and PARTREG_HOLDER; the SQL
    current_setting('load.start') and current_setting('load.end').
    """
    words = list(rest or ())
    start = end = None
    if day is None:
        start, end, words = (words + [None, None])[0], (words + [None, None])[1], words[2:]
    with exit_status():
        if (sql is None) == (not words):
            raise errors.BadArgument("give either a command after -- or --sql FILE")
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, _signalled)
        registry = registry_of(dsn, token_file)
        with registry.partition(
            source,
            provider,
            *range_of(registry, start, end, day, zone),
            needs=needs or (),
            lease=timedelta(seconds=lease),
            renew_every=timedelta(seconds=lease / 5),
        ) as load:
            progress(f"locked by {load.holder}")
            if sql is not None:
                _run_sql(load, sql)
            else:
                _run_command(load, words)
            if details_from is not None and load.lost is None:
                load.details = json.loads(details_from.read_text())
        progress("unlocked")


def _change(
    function: str,
    source: str,
    provider: str,
    times: tuple[str | None, str | None, str | None, str | None],
    dsn: str,
    token_file: Path | None,
    arguments: Mapping[str, object],
) -> None:
    with exit_status():
        registry = registry_of(dsn, token_file)
        named = "".join(f", {name} => %s" for name in arguments)
        registry.call(
            f"SELECT partreg.{function}(%s, %s, tstzrange(%s, %s){named})",
            (
                source,
                provider,
                *range_of(registry, *times),
                *(
                    registry.token if name == "access_token" else value
                    for name, value in arguments.items()
                ),
            ),
        )


Reason = Annotated[str | None, typer.Option(help="Why; everybody can read it.")]
Holder = Annotated[str | None, typer.Option(help="The holder that has the lock.")]


@app.command()
def fail(
    source: Source,
    provider: Provider,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    holder: Holder = None,
    reason: Reason = None,
    token_file: TokenFile = None,
    dsn: Dsn = "",
) -> None:
    """Mark a partition as failed: it blocks until it is unlocked or retired."""
    arguments = {"access_token": None, "holder": holder, "reason": reason}
    times = (start, end, day, zone)
    _change("fail_partition", source, provider, times, dsn, token_file, arguments)


@app.command()
def unlock(
    source: Source,
    provider: Provider,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    holder: Holder = None,
    token_file: TokenFile = None,
    dsn: Dsn = "",
) -> None:
    """Make a partition available."""
    arguments = {"access_token": None, "holder": holder}
    times = (start, end, day, zone)
    _change("unlock_partition", source, provider, times, dsn, token_file, arguments)


@app.command()
def retire(
    source: Source,
    provider: Provider,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    holder: Holder = None,
    token_file: TokenFile = None,
    dsn: Dsn = "",
) -> None:
    """Take a partition away: what only it made available is so no longer."""
    arguments = {"access_token": None, "holder": holder}
    times = (start, end, day, zone)
    _change("retire_partition", source, provider, times, dsn, token_file, arguments)


@app.command()
def force_fail(
    source: Source,
    provider: Provider,
    reason: Annotated[str, typer.Option(help="Why; everybody can read it.")],
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    dsn: Dsn = "",
) -> None:
    """Mark a partition as failed whoever holds it; for operators, without a token."""
    times = (start, end, day, zone)
    _change("force_fail_partition", source, provider, times, dsn, None, {"reason": reason})


@app.command()
def rotate(
    source: Source,
    new_token_file: Annotated[Path, typer.Option(help="A file that does not exist yet.")],
    provider: Annotated[str | None, typer.Argument(help="Else the source's own.")] = None,
    grace: Annotated[float, typer.Option(help="Seconds that the old one still works.")] = 0,
    token_file: TokenFile = None,
    dsn: Dsn = "",
) -> None:
    """Replace a token; the new one goes into a file, never to the terminal."""
    with exit_status():
        registry = registry_of(dsn, token_file)
        with contextlib.closing(registry.open()) as connection:
            new = steps.run(
                connection,
                steps.value(
                    "SELECT partreg.rotate_access_token(%s, %s, %s, %s)",
                    (source, provider, registry.token, timedelta(seconds=grace)),
                ),
            )
            Token(new).write(new_token_file)
            connection.commit()


def main() -> None:
    from . import cli_apply, cli_feed, cli_notify  # noqa: F401, their commands

    app()
