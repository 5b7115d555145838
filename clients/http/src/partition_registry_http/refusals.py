"""What went wrong, as HTTP.

By default a refusal is HTTP 200 with 409 in the body, as in the original.  With
the setting strict it has a true code.  What is no refusal (the database is
away, a wait was too long) has a true code in both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

import psycopg
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

log = logging.getLogger("partition_registry_http")

_STRICT = {"42710": 409, "55006": 409, "55000": 409, "42704": 404, "42501": 403}
_TOKEN = re.compile(r"pr[sp]_[0-9A-Za-z]{8,}")
_SHOWN = 200  # characters of an unreadable parameter
_RETRY_AFTER = {"Retry-After": "1"}


class Refusal(Exception):
    """Refused by the gateway itself, with the SQLSTATE that the registry would
    give."""

    def __init__(self, sqlstate: str, detail: str) -> None:
        super().__init__(detail)
        self.sqlstate = sqlstate
        self.detail = detail


def hide_tokens(text: str) -> str:
    """The text, with *** for what looks like a token."""
    return _TOKEN.sub("***", text)


def is_refusal(sqlstate: str | None) -> bool:
    """Does the registry refuse by this, or is it something else?"""
    return sqlstate is not None and (sqlstate in _STRICT or sqlstate[:2] == "22")


def text_of(error: psycopg.Error) -> str:
    """The message of the server, with its DETAIL."""
    parts = (error.diag.message_primary or str(error), error.diag.message_detail)
    return hide_tokens("\n".join(part for part in parts if part))


def answer(code: int, detail: str, status: int | None = None) -> JSONResponse:
    """The body of everything that is not done."""
    status = status or code
    return JSONResponse(
        {"status_code": code, "detail": detail, "headers": None},
        status,
        _RETRY_AFTER if status == 503 else None,
    )


def refuse(request: Request, sqlstate: str, detail: str) -> JSONResponse:
    if not request.app.state.settings.strict:
        return answer(409, detail, status=200)
    return answer(_STRICT.get(sqlstate, 422), detail)


async def on_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return refuse(request, error.sqlstate, error.detail)


async def on_database_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, psycopg.Error)
    state = error.sqlstate
    if is_refusal(state):
        assert state is not None
        return refuse(request, state, text_of(error))
    if state in ("57014", "55P03"):
        return answer(504, "it took too long, and nothing was changed")
    if state in ("40001", "40P01"):
        return answer(503, "other transactions were in the way, and nothing was changed")
    if state == "25006":
        return answer(503, "the database is read-only: a standby, perhaps")
    if _is_away(error):
        log.warning("no database: %s", hide_tokens(str(error)).partition("\n")[0])
        return answer(503, "the database does not answer")
    log.error("SQLSTATE %s: %s", state, text_of(error))
    return answer(500, "something unexpected happened; the gateway's log says what")


def _is_away(error: psycopg.Error) -> bool:
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate[:2] in ("08", "53") or error.sqlstate[:4] == "57P0"


async def on_unreadable(request: Request, error: Exception) -> JSONResponse:
    """A parameter that is missing or unreadable: FastAPI's shape, with no token
    and no more of the input than one wants to see."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": list(_without_secrets(error.errors()))}, 422)


def _without_secrets(errors: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for one in errors:
        given = one.get("input")
        yield {
            "type": one["type"],
            "loc": one["loc"],
            "msg": one["msg"],
            "input": None if given is None else hide_tokens(str(given)[: _SHOWN * 2])[:_SHOWN],
        }
