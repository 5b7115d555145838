"""Waiting: one thread and one connection for all waits of a process.

The thread LISTENs where it may, and else looks every poll.  When it is woken
it reads the feed, and asks again only about what the feed names: readiness
changes by nothing but events, so ten waits and ten thousand cost the same
while nothing happens.  A notification that is lost costs half a minute, not
the wait.  It ends when nobody waits any more.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime

import psycopg

from . import errors, steps
from .errors import Obstacle
from .steps import Connection

LOOK_AGAIN = 30.0  # seconds; a notification may be lost
_AT_MOST_EVERY = 0.05  # seconds between two looks, however many notifications come


class Wait:
    """One wait; its future is done when it is over."""

    def __init__(
        self,
        sources: tuple[str, ...],
        start: datetime,
        end: datetime,
        until: float | None,
        poll: float,
    ) -> None:
        self.sources = sources
        self.start = start
        self.end = end
        self.until = until  # by time.monotonic()
        self.poll = poll
        self.obstacles: tuple[Obstacle, ...] | None = None  # None: not asked yet
        self.future: Future[None] = Future()

    def ask(self, connection: Connection) -> None:
        """Look, and end the wait where it is over."""
        try:
            self.obstacles = steps.run(
                connection, steps.obstacles(self.sources, self.start, self.end)
            )
        except errors.RegistryError as error:
            self.end_with(error)
            return
        if not self.obstacles:
            self.end_with(None)
        elif any(obstacle.state == "failed" for obstacle in self.obstacles):
            self.end_with(steps.not_ready(self.obstacles))

    def end_with(self, error: BaseException | None) -> None:
        # It may have been cancelled a moment ago.
        if not self.future.set_running_or_notify_cancel():
            return
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Waits:
    """All waits that go by the same connection."""

    def __init__(self, open_connection: Callable[[], Connection], listens: bool) -> None:
        self._open = open_connection
        self._listens = listens
        self._lock = threading.Lock()
        self._new: list[Wait] = []
        self._bell, self._bell_rope = socket.socketpair()
        self._bell.setblocking(False)
        self._bell_rope.setblocking(False)
        self._thread: threading.Thread | None = None

    def add(self, wait: Wait) -> None:
        wait.future.add_done_callback(self._ended)
        with self._lock:
            self._new.append(wait)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="partreg waits", daemon=True
                )
                self._thread.start()
        self.ring()

    def _ended(self, future: Future[None]) -> None:
        if future.cancelled():  # it may have been the last
            self.ring()

    def ring(self) -> None:
        """Let the thread see what is new, or was cancelled."""
        with contextlib.suppress(BlockingIOError):  # it rings already
            self._bell_rope.send(b"!")

    def _work(self) -> None:
        waits: list[Wait] = []
        try:
            with contextlib.closing(self._open()) as connection:
                self._serve(connection, waits)
        except BaseException as error:
            with self._lock:
                waits += self._new
                self._new = []
                self._thread = None
            for wait in waits:
                if not wait.future.done():
                    wait.end_with(error)

    def _serve(self, connection: Connection, waits: list[Wait]) -> None:
        if self._listens:
            connection.execute("LISTEN partreg")
        position: str | None = None
        while True:
            looked = time.monotonic()
            with self._lock:
                waits[:] = [wait for wait in waits + self._new if not wait.future.done()]
                self._new = []
                if not waits:
                    self._thread = None
                    return
            # The position before the questions: what comes after is in the feed.
            position, concerned = self._news(connection, position, waits)
            for wait in waits:
                over = wait.until is not None and wait.until <= looked
                if wait.obstacles is None or over or wait in concerned:
                    wait.ask(connection)
                if over and not wait.future.done():
                    assert wait.obstacles is not None
                    wait.end_with(steps.not_ready(wait.obstacles, timed_out=True))
            self._sleep(connection, [wait for wait in waits if not wait.future.done()])
            time.sleep(max(0.0, looked + _AT_MOST_EVERY - time.monotonic()))

    def _news(
        self, connection: Connection, position: str | None, waits: list[Wait]
    ) -> tuple[str | None, set[Wait]]:
        """The next position, and the waits that what has come since concerns:
        all of them where that cannot be said, as history is gone, or as a
        subscription writes to the registry's tables."""
        try:
            if position is None:
                position = steps.run(connection, steps.value("SELECT partreg.feed_position()"))
                return position, set(waits)
            by_source: dict[str, list[Wait]] = {}
            for wait in waits:
                for source in wait.sources:
                    by_source.setdefault(source, []).append(wait)
            concerned: set[Wait] = set()
            while True:
                page, position = steps.run(connection, steps.changes(position, list(by_source)))
                if not page:
                    return position, concerned
                for change in page:
                    concerned.update(
                        wait
                        for wait in by_source.get(change.source or "", ())
                        if change.overlaps(wait.start, wait.end)
                    )
        except (errors.HistoryGone, psycopg.errors.ObjectNotInPrerequisiteState):
            return None, set(waits)

    def _sleep(self, connection: Connection, waits: list[Wait]) -> None:
        """Until something is new, a notification comes, or it is time."""
        if not waits:
            return
        pause = LOOK_AGAIN if self._listens else min(wait.poll for wait in waits)
        until = min(
            [wait.until for wait in waits if wait.until is not None],
            default=time.monotonic() + pause,
        )
        pause = max(0.0, min(pause, until - time.monotonic()))
        # What came while a statement ran is not seen at the socket any more.
        if not any(True for _ in connection.notifies(timeout=0)):
            poll = select.poll()
            poll.register(connection.fileno(), select.POLLIN)
            poll.register(self._bell, select.POLLIN)
            poll.poll(pause * 1000)
            for _ in connection.notifies(timeout=0):
                pass
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(1000):
                pass


_waits: dict[tuple[object, ...], Waits] = {}
_waits_lock = threading.Lock()


def of_this_process(dsn: str, open_connection: Callable[[], Connection], listens: bool) -> Waits:
    """The waits that connect by this dsn; they do not outlive a fork."""
    key = (os.getpid(), dsn, listens)
    with _waits_lock:
        if key not in _waits:
            _waits[key] = Waits(open_connection, listens)
        return _waits[key]
