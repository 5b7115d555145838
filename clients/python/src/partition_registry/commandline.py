"""What the commands of partreg share: options, times, output, exit statuses.

Exit status: 0 done or ready, 1 not ready or timed out, 2 usage or an unknown
name, 3 failed upstream, 4 held by another, 5 not allowed, 6 no connection,
7 lock lost and nothing unlocked, 8 the command failed.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from . import errors, steps
from .registry import Registry, connect
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
        tell(str(error))
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


def registry_of(
    dsn: str, token_file: Path | None = None, listen_dsn: str | None = None
) -> Registry:
    token = None if token_file is None else Token.read(token_file)
    return connect(dsn, listen_dsn=listen_dsn, token=token)


def instant(registry: Registry, text: str, zone: str | None) -> datetime:
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


def range_of(
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
        ((start_at, end_at),) = registry.run(
            steps.rows(
                "SELECT lower(d), upper(d) FROM partreg.day_range("  # noqa: S608
                f"{dates.get(day, '%(day)s::date')}, %(zone)s) d",
                {"day": day, "zone": zone},
            )
        )
        return start_at, end_at
    if start is None or end is None:
        raise errors.BadArgument("give START and END, or --day and --tz")
    return instant(registry, start, zone), instant(registry, end, zone)


def open_range(
    registry: Registry, start: str | None, end: str | None, day: str | None, zone: str | None
) -> tuple[datetime | None, datetime | None]:
    """The same where START and END may be left out: all of time."""
    if start is None and end is None and day is None:
        return None, None
    return range_of(registry, start, end, day, zone)


def plain(value: Any) -> Any:
    """A value as JSON has it: times as ISO 8601, intervals in seconds."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value


def printable(text: str) -> str:
    """A text that does nothing to a terminal: reasons and names are others'."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def tell(text: str) -> None:
    print(f"partreg: {printable(text).strip()}", file=sys.stderr, flush=True)


def progress(text: str) -> None:
    """Tell a person who looks on; cron is not told."""
    if sys.stderr.isatty():
        tell(text)


def line(values: Iterable[Any]) -> str:
    """Values as one line, with tabs between them."""
    words = []
    for value in values:
        value = plain(value)
        if isinstance(value, dict | list):
            value = json.dumps(value)
        words.append("" if value is None else printable(str(value)).replace("\n", "\\n"))
    return "\t".join(words)


def show(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Print rows: one JSON array, or one line each."""
    if as_json:
        print(json.dumps([{key: plain(value) for key, value in row.items()} for row in rows]))
    else:
        for row in rows:
            print(line(row.values()))
