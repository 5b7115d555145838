"""The routes of the original service.

None names a holder: the original's clients unlock what was never locked, and
whoever may lock may undo.  The holder is so the gateway's login, for all.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from partition_registry.token import Token
from psycopg.rows import DictRow

from . import shapes
from .database import Connection, pool_of, rows, run
from .parameters import End, GivenToken, PathName, ProviderName, SourceName, Start, Text
from .refusals import Refusal, answer, is_refusal, refuse, text_of
from .settings import Settings

router = APIRouter()

_NEEDS_TOKEN = "permission denied: this gateway wants the access_token of the source or provider"


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _done(registered: dict[str, Any]) -> JSONResponse:
    return JSONResponse({"status_code": 200, "registered_object": registered})


def _no_white_space(kind: str, name: str) -> None:
    """As in the original; the registry itself takes it inside a name."""
    if re.search(r"\s", name):
        raise Refusal("22023", f"{kind} name contains white space")


@router.get("/", response_model=shapes.Welcome, summary="A word of welcome")
async def root() -> JSONResponse:
    return JSONResponse(
        {
            "status_code": 200,
            "message": "This is partition_registry. What can be asked is at /docs, "
            "and a page to look at is at /ui.",
        }
    )


@router.post(
    "/sources/register",
    response_model=shapes.Done[shapes.Source] | shapes.Refused,
    summary="Register a source; its token is shown this once",
)
async def register_source(
    request: Request,
    source_name: SourceName,
    owner: Annotated[Text, Query(description="who answers for it")],
    token: GivenToken,
) -> JSONResponse:
    settings = _settings(request)
    if settings.tokens:
        if not settings.admin_token:
            return answer(403, "this gateway registers no sources: it has no admin_token")
        expected = settings.admin_token.get_secret_value().encode()
        if token is None or not hmac.compare_digest(token.to_wire(), expected):
            raise Refusal("42501", "permission denied: only the admin_token may register a source")
    _no_white_space("source", source_name)

    async def work(connection: Connection) -> dict[str, Any]:
        async with connection.transaction():
            cursor = await connection.execute(
                "SELECT partreg.register_source(%s, %s) AS token", (source_name, owner)
            )
            made = await _one(cursor)
            cursor = await connection.execute(
                "SELECT source_id, source_name, owner, registered_at AS source_at"
                " FROM partreg.sources WHERE source_name = %s",
                (source_name,),
            )
            row = await _one(cursor)
        return _source(row, made["token"])

    return _done(await run(pool_of(request), work))


@router.post(
    "/providers/register",
    response_model=shapes.Done[shapes.Provider] | shapes.Refused,
    summary="Register a provider of the token's source; its token is shown this once",
)
async def register_provider(
    request: Request, provider_name: ProviderName, token: GivenToken
) -> JSONResponse:
    if token is None:
        raise RequestValidationError(
            [
                {
                    "type": "missing",
                    "loc": ("query", "access_token"),
                    "msg": "Field required",
                    "input": None,
                }
            ]
        )
    _no_white_space("provider", provider_name)
    open_to_all = not _settings(request).tokens

    async def work(connection: Connection) -> dict[str, Any]:
        # Which source it was, the event says.  In this snapshot it is the last
        # one: what others commit meanwhile is not seen, and what is seen was
        # written before.
        async with connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor = await connection.execute(
                "SELECT partreg.register_provider(%s, %s, CASE WHEN %s THEN current_user END)"
                " AS token",
                (provider_name, token, open_to_all),
            )
            made = await _one(cursor)
            cursor = await connection.execute(
                "SELECT p.provider_id, p.provider_name, p.registered_at AS provider_at"
                " FROM partreg.providers p"
                " WHERE p.provider_name = %s AND p.source_name ="
                "       (SELECT e.source_name FROM partreg.events e"
                "         WHERE e.event = 'register_provider' AND e.provider_name = %s"
                "         ORDER BY e.event_id DESC LIMIT 1)",
                (provider_name, provider_name),
            )
            row = await _one(cursor)
        return _provider(row, made["token"])

    return _done(await run(pool_of(request), work))


@router.post(
    "/partitions/register",
    response_model=shapes.Done[shapes.Partition] | shapes.Refused,
    summary="Register a partition",
)
async def register_partition(
    request: Request,
    start: Start,
    end: End,
    source_name: SourceName,
    provider_name: ProviderName,
    token: GivenToken,
) -> JSONResponse:
    row = await _change(
        request, "register_partition", (source_name, provider_name, start, end), token
    )
    return _done(_partition(row))


@router.post(
    "/partitions/lock",
    response_model=shapes.Done[shapes.Event] | shapes.Refused,
    summary="Lock a partition: it is being changed",
)
async def lock_partition(
    request: Request,
    start: Start,
    end: End,
    source_name: SourceName,
    provider_name: ProviderName,
    token: GivenToken,
) -> JSONResponse:
    row = await _change(request, "lock_partition", (source_name, provider_name, start, end), token)
    return _done(_event(row, "LOCK"))


@router.post(
    "/partitions/unlock",
    response_model=shapes.Done[shapes.Event] | shapes.Refused,
    summary="Unlock a partition: it is done",
)
async def unlock_partition(
    request: Request,
    start: Start,
    end: End,
    source_name: SourceName,
    provider_name: ProviderName,
    token: GivenToken,
) -> JSONResponse:
    row = await _change(
        request, "unlock_partition", (source_name, provider_name, start, end), token
    )
    return _done(_event(row, "UNLOCK"))


@router.post(
    "/partitions/fail",
    response_model=shapes.Done[shapes.Event] | shapes.Refused,
    summary="Fail a partition: its job gave up (not in the original)",
)
async def fail_partition(
    request: Request,
    start: Start,
    end: End,
    source_name: SourceName,
    provider_name: ProviderName,
    token: GivenToken,
    reason: Annotated[Text | None, Query(description="what went wrong, for people")] = None,
) -> JSONResponse:
    row = await _change(
        request, "fail_partition", (source_name, provider_name, start, end), token, reason=reason
    )
    return _done(_event(row, "FAIL"))


@router.get(
    "/sources/{source_name:path}/check_readiness",
    response_model=shapes.Readiness,
    summary="Is every instant of the range ready, and nobody at work in it?",
)
async def check_readiness(
    request: Request, source_name: PathName, start: Start, end: End
) -> JSONResponse:
    try:
        # One statement: the answer and the reason are of one snapshot.
        found = await rows(
            pool_of(request),
            "WITH c AS MATERIALIZED (SELECT partreg.check_readiness("
            "          %(source)s, tstzrange(%(start)s, %(end)s)) AS is_ready)"
            "SELECT c.is_ready, o.* FROM c"
            "  LEFT JOIN LATERAL (SELECT lower(e.during) AS start, upper(e.during) AS end,"
            "            e.state, e.provider_name, e.since, e.holder, e.lease_expires_at, e.reason"
            "       FROM partreg.explain_readiness(%(source)s, tstzrange(%(start)s, %(end)s)) e"
            "      WHERE NOT c.is_ready LIMIT 1) o ON true",
            {"source": source_name, "start": start, "end": end},
        )
    except psycopg.Error as error:
        if not is_refusal(error.sqlstate) or error.sqlstate == "42501":
            raise
        if _settings(request).strict:
            return refuse(request, error.sqlstate or "", text_of(error))
        return _readiness(False, text_of(error))
    row = found[0]
    return _readiness(row["is_ready"], None if row["is_ready"] else _reason(source_name, row))


def _readiness(is_ready: bool, message: str | None) -> JSONResponse:
    return JSONResponse({"status_code": 200, "is_ready": is_ready, "message": message})


def _reason(source: str, row: DictRow) -> str:
    text = f"{source} [{row['start']}, {row['end']}) is {row['state']}"
    for word in ("provider_name", "holder", "since"):
        if row[word] is not None:
            text += f", {word.removesuffix('_name')} {row[word]}"
    return text if row["reason"] is None else f"{text}: {row['reason']}"


async def _change(
    request: Request,
    function: str,
    partition: tuple[str, str, datetime, datetime],
    token: Token | None,
    **options: object,
) -> DictRow:
    """Call a function for the partition, and give the partition as it is then."""
    if token is None and _settings(request).tokens:
        raise Refusal("42501", _NEEDS_TOKEN)
    source, provider, start, end = partition
    values = {"source": source, "provider": provider, "start": start, "end": end, "token": token}
    named = "".join(f", {name} => %({name})s" for name in options)

    async def work(connection: Connection) -> DictRow:
        async with connection.transaction():
            await connection.execute(
                f"SELECT partreg.{function}(%(source)s, %(provider)s,"
                f" tstzrange(%(start)s, %(end)s), %(token)s{named})".encode(),
                {**values, **options},
            )
            # The view of partitions reads all of the provider's, so it is asked only
            # where history does not tell any more when this one was registered.
            cursor = await connection.execute(
                "SELECT s.source_id, s.source_name, s.owner, s.registered_at AS source_at,"
                "       p.provider_id, p.provider_name, p.registered_at AS provider_at,"
                "       %(start)s AS start_at, %(end)s AS end_at, clock_timestamp() AS changed_at,"
                "       coalesce((SELECT h.at"
                "          FROM partreg.history(%(source)s, tstzrange(%(start)s, %(end)s),"
                "                               %(provider)s) h"
                "         WHERE h.event = 'register_partition'"
                "           AND h.during = tstzrange(%(start)s, %(end)s)"
                "         ORDER BY h.event_id DESC LIMIT 1),"
                "       (SELECT t.registered_at"
                "          FROM partreg.partitions t"
                "         WHERE t.source_name = %(source)s AND t.provider_name = %(provider)s"
                "           AND t.start_at = %(start)s AND t.end_at = %(end)s)) AS registered_at"
                "  FROM partreg.sources s"
                "  JOIN partreg.providers p ON p.source_id = s.source_id"
                " WHERE s.source_name = %(source)s AND p.provider_name = %(provider)s",
                values,
            )
            return await _one(cursor)

    return await run(pool_of(request), work)


async def _one(cursor: psycopg.AsyncCursor[DictRow]) -> DictRow:
    row = await cursor.fetchone()
    assert row is not None
    return row


def _source(row: DictRow, token: str | None = None) -> dict[str, Any]:
    """A source, with its token where that was just made."""
    return {
        "source_id": row["source_id"],
        "name": row["source_name"],
        "owner": row["owner"],
        "access_token": None if token is None else {"token": token},
        "registered_at": row["source_at"],
    }


def _provider(row: DictRow, token: str | None = None) -> dict[str, Any]:
    """A provider, with its token where that was just made."""
    return {
        "provider_id": row["provider_id"],
        "name": row["provider_name"],
        "access_token": None if token is None else {"token": token},
        "registered_at": row["provider_at"],
    }


def _partition(row: DictRow) -> dict[str, Any]:
    return {
        "partition_id": _partition_id(row),
        "start": row["start_at"],
        "end": row["end_at"],
        "source": _source(row),
        "provider": _provider(row),
        "registered_at": row["registered_at"],
    }


def _partition_id(row: DictRow) -> int:
    """A whole number for a partition, which has none in the registry: 53 bits
    of a hash, as JSON's numbers have no more."""
    key = "/".join(str(row[k]) for k in ("source_id", "provider_id", "start_at", "end_at"))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> 11


def _event(row: DictRow, event_type: str) -> dict[str, Any]:
    return {
        "partition": _partition(row),
        "event_type": event_type,
        "registered_at": row["changed_at"],
    }
