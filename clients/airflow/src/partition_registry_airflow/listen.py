"""One connection that listens, for all that wait in a process.

A notification is a hint to look: it may be lost, forged or late.  So whoever
waits looks, waits until it is rung or some time has passed, and looks again; a
connection that is gone is made anew, and everybody is rung then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Sequence

import psycopg

_CONNECT_AGAIN = 5.0  # seconds

log = logging.getLogger(__name__)


class Bell:
    """Rings when something has happened to one of its sources."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = frozenset(sources)
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Until it rings, for at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()


class _Listener:
    """Listens as long as there are bells."""

    def __init__(self, dsn: str) -> None:
        self.bells: set[Bell] = set()
        self.task = asyncio.create_task(self._listen(dsn), name="partreg listen")

    def ring(self, payload: str | None = None) -> None:
        """Ring the bells of the notification's source; all, where it names none."""
        source = None
        if payload is not None:
            with contextlib.suppress(ValueError, AttributeError):
                source = json.loads(payload).get("source")
        for bell in self.bells:
            if source is None or source in bell.sources:
                bell.ring()

    async def _listen(self, dsn: str) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    dsn, autocommit=True, prepare_threshold=None
                ) as connection:
                    await connection.execute("LISTEN partreg")
                    self.ring()
                    async for notification in connection.notifies():
                        self.ring(notification.payload)
            except psycopg.Error as error:
                log.warning("not listening, only looking: %s", str(error).partition("\n")[0])
            await asyncio.sleep(_CONNECT_AGAIN)


# By event loop and place: a listener belongs to the loop that it runs in.
_listeners: dict[tuple[asyncio.AbstractEventLoop, str], _Listener] = {}


@contextlib.asynccontextmanager
async def bell(dsn: str | None, sources: Sequence[str]) -> AsyncIterator[Bell]:
    """A bell for these sources; with no dsn it never rings."""
    own = Bell(sources)
    if dsn is None:
        yield own
        return
    place = (asyncio.get_running_loop(), dsn)
    if place not in _listeners:
        _listeners[place] = _Listener(dsn)
    listener = _listeners[place]
    listener.bells.add(own)
    try:
        yield own
    finally:
        listener.bells.discard(own)
        if not listener.bells and _listeners.get(place) is listener:
            del _listeners[place]
            listener.task.cancel()
