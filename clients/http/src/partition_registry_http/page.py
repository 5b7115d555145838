"""/ui: the page that a person looks at, and what it asks.

The page and its queries are the Python package's, as ``partreg page`` makes one
file of the same."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from partition_registry import page

from .database import pool_of, rows
from .parameters import Text

router = APIRouter(prefix="/ui", include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": page.POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

Source = Annotated[Text, Query()]
Sources = Annotated[list[Text] | None, Query()]
# Milliseconds since 1970, as far as timestamps go.
Time = Annotated[float, Query(ge=-2.1e14, le=9.3e15, allow_inf_nan=False)]


async def _json(request: Request, query: str, **parameters: object) -> Response:
    found = await rows(pool_of(request), query, parameters)
    return Response(found[0]["json"], headers=_HEADERS, media_type="application/json")


@router.get("")
async def ui() -> Response:
    return HTMLResponse(page.PAGE, headers=_HEADERS)


@router.get("/sources.json")
async def sources(request: Request, source: Sources = None) -> Response:
    return await _json(request, page.OVERVIEW, sources=source)


@router.get("/timeline.json")
async def timeline(
    request: Request,
    source: Source,
    columns: Annotated[int, Query(ge=1, le=4000)],
    start: Time | None = None,
    end: Time | None = None,
) -> Response:
    """Both of start and end, or neither: then the usual range."""
    return await _json(
        request,
        page.TIMELINE,
        source=source,
        columns=columns,
        start=start if end is not None else None,
        end=end if start is not None else None,
        whole=False,
    )


@router.get("/obstacles.json")
async def obstacles(request: Request, source: Source, start: Time, end: Time) -> Response:
    return await _json(request, page.OBSTACLES, source=source, start=start, end=end)


@router.get("/outstanding.json")
async def outstanding(request: Request, source: Source) -> Response:
    return await _json(request, page.OUTSTANDING, source=source)


@router.get("/{file}")
async def static(file: str) -> Response:
    if file not in page.MEDIA_TYPES:
        raise HTTPException(404)
    return FileResponse(page.FOLDER / file, headers=_HEADERS, media_type=page.MEDIA_TYPES[file])
