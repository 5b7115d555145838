"""The application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError

from . import changes, metrics, original, page, questions, refusals, shapes
from .database import make_pool
from .follower import Follower
from .guard import Guard
from .settings import Settings

log = logging.getLogger("partition_registry_http")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; without settings, from the environment."""
    settings = settings or Settings()
    app = FastAPI(
        title="partition_registry",
        version=version("partition-registry-http"),
        description="Which time intervals of which data are ready.",
        responses=_responses(settings),
        lifespan=_lifespan,
        openapi_url="/openapi.json",
    )
    app.state.settings = settings
    app.add_middleware(Guard, hosts=settings.hosts)
    app.add_exception_handler(refusals.Refusal, refusals.on_refusal)
    app.add_exception_handler(psycopg.Error, refusals.on_database_error)
    app.add_exception_handler(RequestValidationError, refusals.on_unreadable)
    for module in (original, questions, changes, metrics, page):
        app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The pool is open while the application runs.  It does not wait for the
    database: until that is there, /health says so."""
    pool = make_pool(app.state.settings)
    follower = Follower(app.state.settings)
    app.state.pool, app.state.follower = pool, follower
    await pool.open()
    try:
        yield
    finally:
        follower.close()
        await pool.close()


def _responses(settings: Settings) -> dict[int | str, dict[str, Any]]:
    """What is answered besides 200, for /openapi.json."""
    refused = {"model": shapes.Refused}
    unreadable: dict[str, Any] = {"model": shapes.Unreadable}
    if settings.strict:
        unreadable = {"model": shapes.Unreadable | shapes.Refused}
    codes: dict[int | str, dict[str, Any]] = {
        403: refused,
        422: unreadable,
        500: refused,
        503: refused,
        504: refused,
    }
    if settings.strict:
        codes |= {404: refused, 409: refused}
    return codes
