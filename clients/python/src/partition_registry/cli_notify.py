"""``partreg notify``: send the notifications in the place of those who write.

PostgreSQL lets commits that notify take turns in the whole server, each with
its flush to the disk.  So where many write at once they are set to
``partreg.notify = off``, and this program, which is outside the server, reads
the feed and notifies of what has come since: same channel, same payload, a
moment after the commit, in a transaction that waits for no disk.

One statement reads and notifies, so both go by one snapshot: what is not
committed is not in it, and what rolls back never will be.  The position is
stored after the statement's commit.  Killed in between, it notifies twice of
the same; without a stored position it loses what came while it was away.  A
notification is a hint to look, so neither does harm, nor do two such programs.

The feed does not say which events one bulk call wrote.  What one wrote of one
kind at one time becomes one notification with a ``count``; that is the server's
own where all partitions were in one state before, and not more than 20,000.
Else there are several, with the server's count as their sum.
"""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from . import errors, steps
from .cli_feed import PositionFile, keep, kept
from .commandline import Dsn, app, exit_status, registry_of, tell
from .registry import Registry
from .steps import Connection, Steps

_PAGE = 50_000  # events in a transaction, which bounds the server's memory for it
_LONGEST_PAUSE = 30.0  # seconds, between two attempts to connect

# What partreg.notify = ready notifies of: of events with "effective" in their details
# set_effective(), and a register_provider() that revives one.
_MAY_MAKE_READY = """
    event IN ('unlock', 'retire', 'revoke', 'change_rule')
    OR event IN ('change_provider', 'register_provider')
       AND pg_catalog.jsonb_exists(details, 'effective')
    OR event = 'rename' AND provider_name IS NULL
"""


def _time(when: str) -> str:
    """SQL that writes a timestamp as src/history.c does: years before 1 as ISO
    8601 has them, where 1 BC is the year 0."""
    year = f"extract(year FROM {when})"
    return (
        f"CASE WHEN {year} > 0::numeric THEN to_char({when}, 'YYYY')"
        f" ELSE to_char({year} + 1::numeric, 'FM0000') END"
        f""" || to_char({when}, '-MM-DD"T"HH24:MI:SS.US"Z"')"""
    )


def _json(text: str) -> str:
    return f"coalesce(pg_catalog.to_json({text})::text, 'null')"


# What others may have put into a schema of the search_path is called nowhere here:
# each function and operator is of pg_catalog and has just these types, or says so.
_SEND = f"""
    WITH page AS MATERIALIZED (
        SELECT ordinality, event_id, event, source_name, provider_name, during, at, details,
               next_position
          FROM partreg.changes_since(%(since)s, %(page)s) WITH ORDINALITY
    ), hint AS (
        SELECT event, source_name, provider_name,
               min(pg_catalog.lower(during)) AT TIME ZONE 'UTC' AS start_at,
               max(pg_catalog.upper(during)) AT TIME ZONE 'UTC' AS end_at,
               max(event_id) AS event_id, count(*) AS events
          FROM page
         WHERE NOT %(ready)s OR {_MAY_MAKE_READY}
         GROUP BY event, source_name, provider_name, at, during IS NULL
         ORDER BY event_id
    ), sent AS MATERIALIZED (
        SELECT count(pg_notify('partreg', pg_catalog.format(
                   '{{"v":1,"event":"%%s","source":%%s,"provider":%%s,"start":%%s,"end":%%s,'
                   '"event_id":%%s%%s}}',
                   event, {_json("source_name")}, {_json("provider_name")},
                   {_json(_time("start_at"))}, {_json(_time("end_at"))}, event_id,
                   CASE WHEN events > 1 THEN ',"count":' || events::text END)))
          FROM hint
    )
    SELECT (SELECT count(*) FROM page),
           (SELECT next_position FROM page ORDER BY ordinality DESC LIMIT 1),
           (SELECT count FROM sent), set_config('synchronous_commit', 'off', true)
"""  # noqa: S608


def _send(since: str, ready: bool) -> Steps[tuple[str, bool]]:
    """Notify of what has come since a position, but a page at most; gives the
    next position, and whether there may be more."""
    ((events, position, _, _),) = yield (
        _SEND,
        {"since": since, "page": _PAGE, "ready": ready},
    )
    return position or since, events == _PAGE


class _Follower:
    """Where it is, and a connection while there is one."""

    def __init__(self, registry: Registry, position_file: Path | None, ready: bool) -> None:
        self._registry = registry
        self._file = position_file
        self._ready = ready
        self._connection: Connection | None = None
        self._position = kept(position_file)

    def send(self) -> bool:
        """Notify of what has come; are there more?

        Errors: as psycopg and the registry raise them.  It can be called again."""
        try:
            if self._connection is None:
                self._connection = self._registry.open(autocommit=True)
            if self._position is None:
                since = steps.run(self._connection, steps.value("SELECT partreg.feed_position()"))
                self._move_to(since)
            assert self._position is not None
            position, more = steps.run(self._connection, _send(self._position, self._ready))
        except errors.HistoryGone as error:
            self._position = None
            tell(f"{error.message}; it goes on from now")
            return True
        except BaseException:
            self.close()
            raise
        if position != self._position:
            self._move_to(position)
        return more

    def _move_to(self, position: str) -> None:
        if self._file is not None:
            keep(position, self._file)
        self._position = position

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@app.command()
def notify(
    position_file: PositionFile = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Only of what can make something ready.")
    ] = False,
    poll: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 0.2,
    dsn: Dsn = "",
) -> None:
    """Send the notifications of all writers, who are set to partreg.notify = off.

    It needs the privileges of a reader, and goes on until it is ended.  What it
    cannot do when it begins ends it; later it says so, and tries again.  With
    --position-file no notification is lost, however often it is ended and begun
    again.
    """
    with exit_status():
        # What ends it ends it in order.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler)
        follower = _Follower(registry_of(dsn), position_file, ready)
        with contextlib.suppress(KeyboardInterrupt), contextlib.closing(follower):
            follower.send()
            pause = poll
            while True:
                time.sleep(pause)
                try:
                    while follower.send():
                        pass
                    pause = poll
                except (errors.RegistryError, psycopg.Error, OSError) as error:
                    pause = min(max(1.0, 2 * pause), _LONGEST_PAUSE)
                    tell(f"{str(error).strip()}; it tries again in {pause:g} s")
