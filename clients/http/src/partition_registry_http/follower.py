"""Following the feed: once in each worker, for all clients of /changes.

The follower has one connection, on which it listens for notifications, and a
position.  Whenever it is notified, and each second, as a notification may be
lost, it reads what has come since and puts it into the queue of every client.

A client that resumes reads what it has missed by itself, up to about now.
Then it joins: in one snapshot the follower reads what is new to it and what is
new to the client.  From there on both have seen the same, so that the client
gets each event once, whatever was committed meanwhile, and in whatever order.

The follower runs while there are clients.  A client that does not take what
is in its queue is let go, and comes back with the position that it has seen.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import psycopg
from psycopg.rows import DictRow

from .database import Connection, connect
from .refusals import is_refusal, text_of
from .settings import Settings

log = logging.getLogger("partition_registry_http")

PAGE = 1000
_CHANGES_SINCE = (
    "SELECT event_id, event, source_name, provider_name, lower(during) AS start,"
    "       upper(during) AS end, at, actor, holder, reason, details, next_position"
    "  FROM partreg.changes_since(%(position)s, %(page)s, %(names)s)"
)

_LOOK_AGAIN = 1.0  # seconds
_KEEP_ALIVE = 15.0  # seconds
_QUEUE = 5000  # events that a client may be behind


async def read_page(
    connection: Connection, position: str, names: list[str] | None
) -> list[DictRow]:
    """What comes after the position; fewer than PAGE: that is all."""
    cursor = await connection.execute(
        _CHANGES_SINCE, {"position": position, "page": PAGE, "names": names}
    )
    return await cursor.fetchall()


def event_of(row: DictRow) -> bytes:
    """The row as a server-sent event, whose id is the position after it.  A row
    without an event is a position alone, which a client keeps and does not
    show."""
    head = f"id: {row['next_position']}\n"
    if row["event_id"] is None:
        return f"{head}\n".encode()
    shown = {key: value for key, value in row.items() if key != "next_position"}
    return f"{head}data: {json.dumps(shown)}\n\n".encode()


class Client:
    """One client of /changes, which has seen everything up to position."""

    def __init__(self, position: str, source: str | None) -> None:
        self.position = position
        self.source = source
        self.ended = False
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)

    @property
    def names(self) -> list[str] | None:
        return None if self.source is None else [self.source]

    def put(self, row: DictRow, chunk: bytes) -> None:
        """Let the client have this event, which comes after its position."""
        if row["event_id"] is not None and self.source in (None, row["source_name"]):
            try:
                self.queue.put_nowait(chunk)
            except asyncio.QueueFull:
                self.ended = True
        self.position = row["next_position"]

    def end(self) -> None:
        self.ended = True
        if not self.queue.full():
            self.queue.put_nowait(None)


class Follower:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._position = ""
        self._joining: list[Client] = []
        self._clients: list[Client] = []
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    async def stream(self, client: Client) -> AsyncIterator[bytes]:
        """What comes after the client's position, until either goes away."""
        self._joining.append(client)
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="follower")
        told = client.position
        try:
            while True:
                try:
                    async with asyncio.timeout(_KEEP_ALIVE):
                        chunk = await client.queue.get()
                except TimeoutError:
                    # It is behind nothing: what was left out was not for it.
                    chunk = b":\n\n"
                    if client.position != told and client.queue.empty():
                        told = client.position
                        chunk = f"id: {told}\n\n".encode()
                if chunk is None:
                    return
                yield chunk
                if client.ended and client.queue.empty():
                    return
        finally:
            self._leave(client)

    def close(self) -> None:
        """End all streams."""
        self._end_clients()
        if self._task is not None:
            self._task.cancel()

    def _leave(self, client: Client) -> None:
        for crowd in (self._joining, self._clients):
            if client in crowd:
                crowd.remove(client)

    async def _run(self) -> None:
        while self._joining or self._clients:
            try:
                connection = await connect(self._settings)
                try:
                    await self._follow(connection)
                finally:
                    await connection.close()
            except psycopg.Error as error:
                log.warning("the feed: %s", text_of(error).partition("\n")[0])
                if is_refusal(error.sqlstate):
                    # The history does not go on from here: each client is told
                    # when it comes back with its position.
                    self._end_clients()
                await asyncio.sleep(_LOOK_AGAIN)
            except Exception:
                log.exception("the feed")
                self._end_clients()

    def _end_clients(self) -> None:
        for client in [*self._joining, *self._clients]:
            client.end()
        self._joining.clear()
        self._clients.clear()

    async def _follow(self, connection: Connection) -> None:
        # Without a handler psycopg keeps notifications for later.
        connection.add_notify_handler(lambda _: None)
        await connection.execute("LISTEN partreg")
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        while self._joining or self._clients:
            self._wake.clear()
            if not await self._advance(connection):
                await self._rest(connection)

    async def _advance(self, connection: Connection) -> bool:
        """Read what is new, in one snapshot.  Is there more?"""
        joining = list(self._joining)
        alone = not self._clients
        async with connection.transaction():
            if alone:
                cursor = await connection.execute("SELECT partreg.feed_position() AS position")
                self._position = (await cursor.fetchall())[0]["position"]
                new = []
            else:
                new = await read_page(connection, self._position, None)
            missed = []
            if len(new) < PAGE:
                missed = [
                    (client, await read_page(connection, client.position, client.names))
                    for client in joining
                ]
        # From here to the end nothing waits, so each client sees all of it.
        if new:
            self._position = new[-1]["next_position"]
        chunks = [(row, event_of(row)) for row in new]
        for client in list(self._clients):
            for row, chunk in chunks:
                client.put(row, chunk)
            if client.ended:
                self._clients.remove(client)
        for client, found in missed:
            for row in found:
                client.put(row, event_of(row))
            if client in self._joining and len(found) < PAGE:
                self._joining.remove(client)
                self._clients.append(client)
        return len(new) == PAGE or bool(self._joining)

    async def _rest(self, connection: Connection) -> None:
        """Sleep until a notification comes, somebody joins, or it is time."""
        loop = asyncio.get_running_loop()
        loop.add_reader(connection.fileno(), self._wake.set)
        try:
            async with asyncio.timeout(_LOOK_AGAIN):
                await self._wake.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(connection.fileno())
