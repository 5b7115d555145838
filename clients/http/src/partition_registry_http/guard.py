"""Whom a request comes from, as far as its headers tell.

A gateway on loopback can be reached by every web page that its user looks at:
a page may post to 127.0.0.1, and a name of its own may lead there.  So a
request has to ask for a configured host, and may not come from another origin.
Programs send neither Origin nor Sec-Fetch-Site.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from .refusals import answer


class Guard:
    """ASGI middleware that answers 403 to what comes from elsewhere."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            reason = self._foreign(scope["headers"])
            if reason is not None:
                await answer(403, reason)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _foreign(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        values: dict[bytes, list[str]] = {}
        for name, value in headers:
            values.setdefault(name, []).append(value.decode("latin-1").strip().lower())
        hosts = values.get(b"host", [])
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return "this host is not one of the gateway's; see its setting hosts"
        for origin in values.get(b"origin", []):
            if origin.partition("://")[2] != hosts[0]:
                return "the request comes from another origin"
        for site in values.get(b"sec-fetch-site", []):
            if site not in ("same-origin", "none"):
                return "the request comes from another site"
        return None


def _name(host: str) -> str | None:
    try:
        return urlsplit("//" + host).hostname
    except ValueError:
        return None
