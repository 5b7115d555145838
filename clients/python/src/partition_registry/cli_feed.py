"""Commands that tell what was, what has changed, and what is late, and ``read``,
which runs a program in the snapshot of a check."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer

from . import errors, steps
from .commandline import (
    CommandFailed,
    Day,
    Dsn,
    End,
    Json,
    Source,
    Start,
    Zone,
    app,
    exit_status,
    line,
    open_range,
    plain,
    range_of,
    registry_of,
    show,
)
from .steps import Change

ProviderOption = Annotated[str | None, typer.Option(help="Of this provider alone.")]
Since = Annotated[str, typer.Option(help="A position, such as partreg position prints.")]
PositionFile = Annotated[
    Path | None, typer.Option(help="Go on from the position in it, and keep it up to date.")
]


def _rows(dsn: str, statement: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return registry_of(dsn).run(steps.rows(statement, parameters))


def _event(change: Change) -> dict[str, Any]:
    return {key: plain(value) for key, value in vars(change).items()}


def _told(change: Change) -> str:
    """A change as a line; a position is for programs."""
    return line(value for key, value in vars(change).items() if key != "position")


@app.command()
def position(dsn: Dsn = "", as_json: Json = False) -> None:
    """A position of the feed that starts now, for changed and watch."""
    with exit_status():
        show([{"position": registry_of(dsn).position()}], as_json)


@app.command()
def watch(
    sources: Annotated[list[str] | None, typer.Argument(help="Else all.")] = None,
    since: Annotated[str | None, typer.Option(help="A position; else from now on.")] = None,
    position_file: PositionFile = None,
    once: Annotated[bool, typer.Option("--once", help="Only what has come already.")] = False,
    listen_dsn: Annotated[str | None, typer.Option(help="Past the pooler; else it polls.")] = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Follow what happens: a line for each event, with --json an object each.

    With --position-file each event is printed at least once, however often it is
    ended and begun again; where the file does not exist it starts now.
    """
    with exit_status():
        # What ends it ends it in order, with its position kept.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler)
        if since is not None and position_file is not None:
            raise errors.BadArgument("--since and --position-file exclude each other")
        registry = registry_of(dsn, None, listen_dsn)
        if since is None:
            since = kept(position_file)
        if since is None:
            since = registry.position()
        if position_file is not None:
            keep(since, position_file)
        with registry.changes(since, sources=sources or None, follow=not once) as changes:
            try:
                for change in changes:
                    print(json.dumps(_event(change)) if as_json else _told(change), flush=True)
                    if position_file is not None and change.position is not None:
                        keep(change.position, position_file)
            except KeyboardInterrupt:
                pass
            if position_file is not None and changes.position is not None:
                keep(changes.position, position_file)


def kept(file: Path | None) -> str | None:
    """What is in the file, where there is one; the server judges what that is."""
    if file is None or not file.exists():
        return None
    return file.read_text(errors="replace").strip()


def keep(position: str, file: Path) -> None:
    """Replace what is in the file, or leave it as it was."""
    new = file.with_name(file.name + ".new")
    with new.open("w") as opened:
        opened.write(position + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


@app.command()
def changed(
    source: Source,
    since: Since,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """The ranges whose data may have changed since a position; nothing where none has."""
    with exit_status():
        registry = registry_of(dsn)
        bounds = open_range(registry, start, end, day, zone)
        rows = _rows(
            dsn,
            "SELECT CASE WHEN lower_inf(r) THEN NULL ELSE lower(r) END,"
            "       CASE WHEN upper_inf(r) THEN NULL ELSE upper(r) END"
            "  FROM unnest(partreg.changed_ranges(%s, tstzrange(%s, %s), %s)) r",
            (source, *bounds, since),
        )
        show([{"start": row[0], "end": row[1]} for row in rows], as_json)


@app.command()
def history(
    source: Source,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    provider: ProviderOption = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 1000,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """What happened to what overlaps the range, the newest first."""
    with exit_status():
        registry = registry_of(dsn)
        bounds = open_range(registry, start, end, day, zone)
        events = registry.history(source, *bounds, provider=provider, at_most=limit)
        rows = [_event(change) for change in events]
        for row in rows:
            del row["position"]
        show(rows, as_json)


@app.command()
def timeline(
    source: Source,
    start: Start = None,
    end: End = None,
    day: Day = None,
    zone: Zone = None,
    width: Annotated[int, typer.Option(help="Columns, 20 to 200.")] = 72,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """A picture of the range: what is available, locked, failed, late, and by whom.

    With --json the ranges of each provider's states.
    """
    with exit_status():
        asked = (source, *range_of(registry_of(dsn), start, end, day, zone))
        if as_json:
            rows = _rows(
                dsn,
                "SELECT provider_name, state, lower(r), upper(r)"
                "  FROM partreg.provider_states(%s, tstzrange(%s, %s)), unnest(ranges) r"
                " ORDER BY 1, 3, 2",
                asked,
            )
            names = ("provider", "state", "start", "end")
            show([dict(zip(names, row, strict=True)) for row in rows], as_json)
        else:
            for (text,) in _rows(
                dsn, "SELECT partreg.timeline(%s, tstzrange(%s, %s), %s)", (*asked, width)
            ):
                print(text)


@app.command()
def late(
    source: Annotated[str | None, typer.Argument(help="Else all.")] = None,
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """What is past its deadline and was never unlocked.  Status 1 where anything is."""
    with exit_status():
        rows = _rows(
            dsn,
            "SELECT source_name, provider_name, lower(during), upper(during), state, due_at"
            "  FROM partreg.late_partitions WHERE source_name = %s OR %s::text IS NULL"
            " ORDER BY due_at, 1, 2, 3",
            (source, source),
        )
        names = ("source", "provider", "start", "end", "state", "due_at")
        show([dict(zip(names, row, strict=True)) for row in rows], as_json)
    raise typer.Exit(1 if rows else 0)


@app.command()
def read(
    source: Source,
    rest: Annotated[list[str], typer.Argument(metavar="[START END] -- COMMAND...")],
    also: Annotated[list[str] | None, typer.Option(help="Another source.")] = None,
    day: Day = None,
    zone: Zone = None,
    dsn: Dsn = "",
) -> None:
    """Run a command that reads what the check has seen, such as
    pg_dump --snapshot={snapshot} --table=orders.

    It sees PARTREG_SNAPSHOT, which takes the place of {snapshot} in its words,
    too; PARTREG_POSITION, for changed and watch; PARTREG_START and PARTREG_END.
    """
    words = list(rest)
    start = end = None
    if day is None:
        start, end, words = (words + [None, None])[0], (words + [None, None])[1], words[2:]
    with exit_status():
        if not words:
            raise errors.BadArgument("give a command after --")
        registry = registry_of(dsn)
        times = range_of(registry, start, end, day, zone)
        with registry.read([source, *(also or ())], *times) as reader:
            snapshot = steps.run(reader.connection, steps.value("SELECT pg_export_snapshot()"))
            status = subprocess.run(
                [word.replace("{snapshot}", snapshot) for word in words],
                env=os.environ
                | {
                    "PARTREG_SNAPSHOT": snapshot,
                    "PARTREG_POSITION": reader.position,
                    "PARTREG_START": times[0].isoformat(),
                    "PARTREG_END": times[1].isoformat(),
                },
                check=False,
            ).returncode
        if status != 0:
            raise CommandFailed(f"the command ended with status {status}")
