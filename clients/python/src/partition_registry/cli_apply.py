"""``partreg apply FILE``: declare what a TOML file names, as often as one likes.

    [roles]                                 # grant_privileges(); the owner's right
    etl = "writer"

    [[source]]
    name = "sales.orders"
    owner = "sales"
    rule = "all"
    trusted_role = "deploy"                 # or
    token_file = "orders.token"             # beside this file

    [[source.provider]]
    name = "cron"
    trusted_role = "etl"                    # or token_file
    effective_from = 2024-01-01T00:00:00Z
    effective_to = 2030-01-01T00:00:00Z
    deadline = "2 hours"
    calendar = { step = "1 hour", start = 2024-01-01T00:00:00Z, time_zone = "UTC" }

All of it is one transaction.  What is there already is changed only where it
differs, and only in what the file names; nothing is ever taken away.  A new
token goes into its token_file, which must not exist yet; what changes a source
goes by its token_file's token, where there is one, or by its trusted role.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from . import steps
from .commandline import Dsn, Json, app, exit_status, registry_of, show
from .errors import BadArgument
from .steps import Connection
from .token import Token

Table = dict[str, Any]

_SOURCE = {"name": str, "owner": str, "rule": str, "trusted_role": str, "token_file": str}
_PROVIDER = {
    "name": str,
    "trusted_role": str,
    "token_file": str,
    "effective_from": datetime,
    "effective_to": datetime,
    "deadline": str,
    "calendar": dict,
}
_CALENDAR = {"step": str, "start": datetime, "time_zone": str, "closed": list}


@app.command()
def apply(
    file: Annotated[Path, typer.Argument(help="A TOML file; see docs/python.md.")],
    dsn: Dsn = "",
    as_json: Json = False,
) -> None:
    """Declare the sources, providers, calendars and roles of a file, where they
    are not there yet or differ.  Tokens go into files, never to the terminal."""
    with exit_status():
        try:
            declared = tomllib.loads(file.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadArgument(f"{file}: {error}") from None
        with contextlib.closing(registry_of(dsn).open()) as connection:
            declaration = _Declaration(connection, file.parent)
            try:
                declaration.declare(declared)
            except BaseException:
                declaration.take_back()
                raise
            # Where this fails nobody knows whether it arrived: the files stay.
            connection.commit()
        show(declaration.done, as_json)


class _Declaration:
    def __init__(self, connection: Connection, folder: Path) -> None:
        self.done: list[dict[str, str | None]] = []  # what was done
        self._connection = connection
        self._folder = folder
        self._written: list[Path] = []

    def declare(self, declared: Table) -> None:
        _known("the file", declared, {"roles": dict, "source": list})
        for source in declared.get("source", []):
            _known("a source", source, {**_SOURCE, "provider": list}, "name")
            self._source(source)
        _known("roles", declared.get("roles", {}), dict.fromkeys(declared.get("roles", {}), str))
        for role, level in declared.get("roles", {}).items():
            if self._run(
                "SELECT partreg.grant_privileges(%(role)s, %(level)s)"
                " WHERE NOT EXISTS (SELECT FROM partreg.privileges"
                "                    WHERE grantee = %(role)s AND level = %(level)s)",
                {"role": role, "level": level},
            ):
                self._tell("grant_privileges", role, None)

    def take_back(self) -> None:
        """The tokens of what was rolled back are good for nothing."""
        for path in self._written:
            with contextlib.suppress(OSError):
                path.unlink()

    def _source(self, source: Table) -> None:
        name = source["name"]
        new = self._run(
            "SELECT partreg.register_source(%(name)s, %(owner)s, %(rule)s, %(trusted_role)s,"
            " if_not_exists => true)",
            {"rule": "any", "trusted_role": None, "owner": None, **source},
        )
        token = self._keep(new[0][0], source, name, None)
        if new[0][0] is None:
            for setter, column, key in (
                ("set_owner(source_name, %(value)s, %(token)s)", "owner", "owner"),
                ("set_readiness_rule(source_name, %(value)s, %(token)s)", "rule", "rule"),
                (
                    "set_trusted_role(source_name, NULL, %(value)s, %(token)s)",
                    "trusted_role",
                    "trusted_role",
                ),
            ):
                if key in source:
                    self._set(
                        "sources",
                        setter,
                        f"{column} IS DISTINCT FROM %(value)s",
                        {"source": name, "value": source[key], "token": token},
                    )
        for provider in source.get("provider", []):
            _known(f"a provider of {name}", provider, _PROVIDER, "name")
            self._provider(name, token, provider)

    def _provider(self, source: str, token: Token | None, provider: Table) -> None:
        bounds = [provider.get("effective_from"), provider.get("effective_to")]
        steps.aware(*(bound for bound in bounds if bound is not None))
        named: Table = {
            "source": source,
            "provider": provider["name"],
            "token": token,
            "role": provider.get("trusted_role"),
            "from": bounds[0],
            "to": bounds[1],
        }
        new = self._run(
            "SELECT partreg.register_provider(%(provider)s, %(token)s, %(role)s,"
            " tstzrange(%(from)s, %(to)s), source_name => %(source)s, if_not_exists => true)",
            named,
        )
        self._keep(new[0][0], provider, source, provider["name"])
        if new[0][0] is None:
            if any(bounds):
                self._set(
                    "providers",
                    "set_effective(source_name, provider_name, tstzrange(%(from)s, %(to)s),"
                    " %(token)s)",
                    "effective IS DISTINCT FROM tstzrange(%(from)s, %(to)s)",
                    named,
                )
            if "trusted_role" in provider:
                self._set(
                    "providers",
                    "set_trusted_role(source_name, provider_name, %(role)s, %(token)s)",
                    "trusted_role IS DISTINCT FROM %(role)s",
                    named,
                )
        if "deadline" in provider:
            self._set(
                "providers",
                "set_deadline(source_name, provider_name, %(within)s::interval, %(token)s)",
                "deadline IS DISTINCT FROM %(within)s::interval",
                {**named, "within": provider["deadline"]},
            )
        if "calendar" in provider:
            self._calendar(named, provider["calendar"])

    def _calendar(self, named: Table, calendar: Table) -> None:
        _known(f"the calendar of {named['provider']}", calendar, _CALENDAR, "step", "start")
        closed = calendar.get("closed", [])
        for pair in closed:
            if not (
                isinstance(pair, list)
                and len(pair) == 2
                and all(isinstance(when, datetime) for when in pair)
            ):
                raise BadArgument("what a calendar has closed is pairs of times")
        steps.aware(calendar["start"], *(when for pair in closed for when in pair))
        values = {
            **named,
            "step": calendar["step"],
            "start": calendar["start"],
            "zone": calendar.get("time_zone", "UTC"),
            "closed": "{" + ",".join(f"[{a.isoformat()},{b.isoformat()})" for a, b in closed) + "}",
        }
        self._set(
            "providers",
            "set_calendar(source_name, provider_name, %(step)s::interval, %(start)s, %(token)s,"
            " %(zone)s, %(closed)s::tstzmultirange)",
            "(calendar_step, calendar_start, calendar_zone, calendar_closed) IS DISTINCT FROM"
            " (%(step)s::interval, %(start)s, %(zone)s, %(closed)s::tstzmultirange)",
            values,
        )

    def _set(self, view: str, setter: str, differs: str, values: Table) -> None:
        """Call a setter where what the view shows differs."""
        one = "" if view == "sources" else " AND provider_name = %(provider)s"
        if self._run(
            f"SELECT partreg.{setter} FROM partreg.{view}"  # noqa: S608
            f" WHERE source_name = %(source)s{one} AND {differs}",
            values,
        ):
            self._tell(setter.partition("(")[0], values["source"], values.get("provider"))

    def _keep(
        self, token: str | None, declared: Table, source: str, provider: str | None
    ) -> Token | None:
        """Put a new token into its file; give it, or the one that is there."""
        path = None
        if "token_file" in declared:
            path = self._folder / declared["token_file"]
        if token is None:
            return Token.read(path) if path is not None and path.exists() else None
        self._tell("register_source" if provider is None else "register_provider", source, provider)
        if path is not None:
            Token(token).write(path)
            self._written.append(path)
        elif "trusted_role" not in declared:
            raise BadArgument(
                f'"{provider or source}" is new and has neither a token_file nor a trusted_role'
            )
        return Token(token)

    def _run(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return steps.run(self._connection, steps.rows(statement, values))

    def _tell(self, what: str, source: str, provider: str | None) -> None:
        self.done.append({"done": what, "name": source, "provider": provider})


def _known(what: str, table: Any, kinds: Mapping[str, type], *needed: str) -> None:
    """See that a table has no names but these, of these kinds: a misspelt one
    would be left out without a word."""
    if not isinstance(table, dict):
        raise BadArgument(f"{what} is not a table")
    for key, value in table.items():
        if key not in kinds:
            raise BadArgument(f'{what} has "{key}", which means nothing')
        if not isinstance(value, kinds[key]):
            raise BadArgument(f'"{key}" of {what} is not a {kinds[key].__name__}')
    for key in needed:
        if key not in table:
            raise BadArgument(f'{what} has no "{key}"')
