"""The command line partreg.

Exit status: 0 done or ready, 1 not ready or timed out, 2 usage or an unknown
name, 3 failed upstream, 4 held by another, 5 not allowed, 6 no connection,
7 lock lost and nothing unlocked, 8 the command failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import psycopg
import typer

from . import errors
from .page import standalone
from .registry import LEASE, Load, Registry, connect
from .token import Token

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ask about, load and repair time partitions whose readiness PostgreSQL keeps.",
)


class CommandFailed(Exception):
    """The command or the SQL of a load failed."""


_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (errors.PartitionFailed, 3),
    (errors.NotReady, 1),
    (errors.HeldByOther, 4),
    (errors.LockLost, 7),
    (errors.DoneAlready, 7),
    (errors.NotAllowed, 5),
    (errors.ProviderRevoked, 5),
    (errors.RegistryError, 2),
    (CommandFailed, 8),
    (OSError, 2),
)


def status_of(error: BaseException) -> int:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return 6
    if isinstance(error, psycopg.Error) and (error.sqlstate or "")[:2] in ("08", "28", "3D", "57"):
        return 6
    return 8


@contextlib.contextmanager
def exit_status() -> Iterator[None]:
    """End with the status that an error stands for, and its text alone."""
    try:
        yield
    except (errors.RegistryError, CommandFailed, psycopg.Error, OSError) as error:
        print(f"partreg: {str(error).strip()}", file=sys.stderr)
        raise typer.Exit(status_of(error)) from None


Source = Annotated[str, typer.Argument(help="The source's name.")]
Provider = Annotated[str, typer.Argument(help="The provider's name.")]
Start = Annotated[str | None, typer.Argument(help="First instant, with an offset or --tz.")]
End = Annotated[str | None, typer.Argument(help="End (not part of it).")]
Day = Annotated[str | None, typer.Option(help="A date, today or yesterday, in --tz.")]
Zone = Annotated[str | None, typer.Option("--tz", help="A time zone, such as Europe/Berlin.")]
Dsn = Annotated[str, typer.Option(help="Where to connect; else PGHOST and the like.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(envvar="PARTREG_TOKEN_FILE", help="The file that holds the token."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _registry(dsn: str, token_file: Path | None = None, listen_dsn: str | None = None) -> Registry:
    token = None if token_file is None else Token.read(token_file)
    return connect(dsn, listen_dsn=listen_dsn, token=token)


def _instant(registry: Registry, text: str, zone: str | None) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise errors.BadArgument(f'"{text}" is not a time such as 2024-03-31T00:00+01:00') from None
    if when.tzinfo is not None:
        return when
    if zone is None:
        raise errors.BadArgument(f'the time "{text}" has no offset', hint="Give one, or --tz.")
    found: datetime = registry.call("SELECT %s::timestamp AT TIME ZONE %s", (text, zone))
    return found


def _range(
    registry: Registry, start: str | None, end: str | None, day: str | None, zone: str | None
) -> tuple[datetime, datetime]:
    """The range of a command.  Days are the server's: its tz data counts."""
    if day is not None:
        if start is not None or zone is None:
            raise errors.BadArgument("--day goes with --tz and without START and END")
        dates = {
            "today": "(now() AT TIME ZONE %(zone)s)::date",
            "yesterday": "(now() AT TIME ZONE %(zone)s)::date - 1",
        }
        with contextlib.closing(registry.open(autocommit=True)) as connection:
            try:
                row = connection.execute(
                    "SELECT lower(d), upper(d) FROM partreg.day_range("  # noqa: S608
                    f"{dates.get(day, '%(day)s::date')}, %(zone)s) d".encode(),
                    {"day": day, "zone": zone},
                ).fetchone()
            except psycopg.Error as error:
                raise errors.translated(error) from error
        assert row is not None
        return row[0], row[1]
    if start is None or end is None:
        raise errors.BadArgument("give START and END, or --day and --tz")
    return _instant(registry, start, zone), _instant(registry, end, zone)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    rows = [{key: _plain(value) for key, value in row.items()} for row in rows]
    if as_json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print("\t".join("" if value is None else str(value) for value in row.values()))


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
        registry = _registry(dsn)
        obstacles = registry.explain(source, *_range(registry, start, end, day, zone))
        if as_json:
            print(json.dumps({"ready": not obstacles}))
    if any(obstacle.state == "failed" for obstacle in obstacles):
        raise typer.Exit(3)
    raise typer.Exit(1 if obstacles else 0)


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
        registry = _registry(dsn)
        obstacles = registry.explain(source, *_range(registry, start, end, day, zone))
        _show([vars(obstacle) for obstacle in obstacles], as_json)
    if any(obstacle.state == "failed" for obstacle in obstacles):
        raise typer.Exit(3)
    raise typer.Exit(1 if obstacles else 0)


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
        registry = _registry(dsn, None, listen_dsn)
        limit = None if timeout is None else timedelta(seconds=timeout)
        registry.wait(source, *_range(registry, start, end, day, zone), timeout=limit)


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
        registry = _registry(dsn)
        found = registry.call(
            "SELECT partreg.ready_until(%s, %s)", (source, _instant(registry, since, zone))
        )
        if found is not None or as_json:
            _show([{"ready_until": found}], as_json)
    raise typer.Exit(1 if found is None else 0)


@app.command()
def locks(dsn: Dsn = "", as_json: Json = False) -> None:
    """What is locked or failed: by whom, since when, until when."""
    names = "source provider start end state holder since lease_expires_at abandoned reason"
    columns = names.split()
    with exit_status(), contextlib.closing(_registry(dsn).open(autocommit=True)) as connection:
        rows = connection.execute(
            "SELECT source_name, provider_name, lower(during), upper(during), state, holder,"
            "       since, lease_expires_at, abandoned, reason"
            "  FROM partreg.locks ORDER BY 1, 2, 3"
        ).fetchall()
        _show([dict(zip(columns, row, strict=True)) for row in rows], as_json)


@app.command()
def page(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Whose timelines; else the 200 most in need.")
    ] = None,
    dsn: Dsn = "",
) -> None:
    """Print a page to look at, as one HTML file: all sources, and their timelines."""
    with exit_status(), contextlib.closing(_registry(dsn).open()) as connection:
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
        registry = _registry(dsn, token_file)
        with registry.partition(
            source,
            provider,
            *_range(registry, start, end, day, zone),
            needs=needs or (),
            lease=timedelta(seconds=lease),
            renew_every=timedelta(seconds=lease / 5),
        ) as load:
            if sql is not None:
                _run_sql(load, sql)
            else:
                _run_command(load, words)
            if details_from is not None and load.lost is None:
                load.details = json.loads(details_from.read_text())


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
        registry = _registry(dsn, token_file)
        named = "".join(f", {name} => %s" for name in arguments)
        registry.call(
            f"SELECT partreg.{function}(%s, %s, tstzrange(%s, %s){named})",
            (
                source,
                provider,
                *_range(registry, *times),
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
        registry = _registry(dsn, token_file)
        with contextlib.closing(registry.open()) as connection:
            try:
                row = connection.execute(
                    "SELECT partreg.rotate_access_token(%s, %s, %s, %s)",
                    (source, provider, registry.token, timedelta(seconds=grace)),
                ).fetchone()
            except psycopg.Error as error:
                raise errors.translated(error) from error
            assert row is not None
            # In the file before the commit: a token that is nowhere is lost.
            descriptor = os.open(new_token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(row[0] + "\n")
                file.flush()
                os.fsync(descriptor)
            connection.commit()


def main() -> None:
    app()
