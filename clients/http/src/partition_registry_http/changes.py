"""/changes: what happens, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from psycopg.rows import DictRow

from .database import Connection, pool_of, run
from .follower import PAGE, Client, Follower, event_of, read_page
from .parameters import Text

router = APIRouter()


@router.get(
    "/changes",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "each event as JSON; its id is the position after it",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
    summary="What happens, as it happens (server-sent events)",
)
async def changes(
    request: Request,
    source: Annotated[Text | None, Query(description="of this source only")] = None,
    last_event_id: Annotated[
        Text | None, Header(description="a position: go on from there; else it starts now")
    ] = None,
) -> StreamingResponse:
    """A browser's EventSource, or any client that gives the last id it has seen
    as Last-Event-ID, misses nothing and gets nothing twice.  The position goes
    on with the same source."""
    pool = pool_of(request)
    follower: Follower = request.app.state.follower

    # The first page is read before anything is answered, so that a position
    # that is not good is an error and no stream.
    async def begin(connection: Connection) -> tuple[Client, list[DictRow]]:
        if last_event_id is not None:
            client = Client(last_event_id, source)
            return client, await read_page(connection, client.position, client.names)
        cursor = await connection.execute("SELECT partreg.feed_position() AS position")
        return Client((await cursor.fetchall())[0]["position"], source), []

    client, found = await run(pool, begin)

    async def next_page(connection: Connection) -> list[DictRow]:
        return await read_page(connection, client.position, client.names)

    async def stream() -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        missed = found
        while missed:
            for row in missed:
                yield event_of(row)
            client.position = missed[-1]["next_position"]
            if len(missed) < PAGE:
                break
            missed = await run(pool, next_page)
        async for chunk in follower.stream(client):
            yield chunk

    return StreamingResponse(
        stream(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
