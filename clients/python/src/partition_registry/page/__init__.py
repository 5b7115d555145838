"""The page that a person looks at: what it is made of, and it as one file.

The page is ``page.html`` with a style sheet and modules in plain JavaScript; no
step builds it.  The HTTP gateway serves them as they are, and answers what they
ask with one of the queries, each of which gives one JSON text of one snapshot.
``standalone`` puts the same files and the same JSON into one file, which then
has nothing left to ask.

Both forbid by a Content-Security-Policy what is not the page's own: the gateway
by ``POLICY``; the file by the hashes of its style and its script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

FOLDER = Path(__file__).parent
PAGE = (FOLDER / "page.html").read_text()
STYLE = "page.css"
# In the order in which they need one another.
MODULES = ("dom.js", "data.js", "timeline.js", "list.js", "source.js", "main.js")
MEDIA_TYPES = {STYLE: "text/css", **dict.fromkeys(MODULES, "text/javascript")}

OVERVIEW, TIMELINE, OBSTACLES, OUTSTANDING = (
    (FOLDER / f"{name}.sql").read_text()
    for name in ("overview", "timeline", "obstacles", "outstanding")
)

_NOTHING_ELSE = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
POLICY = (
    f"{_NOTHING_ELSE}; script-src 'self'; style-src 'self'; connect-src 'self';"
    " frame-ancestors 'none'"
)

# Of how many sources the file has a picture where none are named, and into how
# many columns a picture is cut that has too many pieces.
_PICTURES = 200
_COLUMNS = 2000


def standalone(connection: psycopg.Connection[Any], sources: Sequence[str] = ()) -> str:
    """The page as one file: all sources, and the pictures of those named; of
    the first 200 that need attention where none are.

    The connection is used for one transaction of its own.
    Errors: UnknownObject, and those of psycopg."""

    def ask(query: str, **parameters: object) -> str:
        row = connection.execute(query.encode(), parameters).fetchone()
        assert row is not None
        text: str = row[0]
        return text

    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        overview = ask(OVERVIEW, sources=None)
        pictures = []
        for name in sources or _first(json.loads(overview)["sources"]):
            timeline = ask(
                TIMELINE, source=name, start=None, end=None, whole=True, columns=_COLUMNS
            )
            shown = json.loads(timeline)
            obstacles = ask(OBSTACLES, source=name, start=shown["start"], end=shown["end"])
            outstanding = ask(OUTSTANDING, source=name)
            pictures.append(
                f'{{"name": {json.dumps(name)}, "timeline": {timeline},'
                f' "obstacles": {obstacles}, "outstanding": {outstanding}}}'
            )
    return _one_file(f'{{"overview": {overview}, "timelines": [{", ".join(pictures)}]}}')


def _first(sources: list[dict[str, Any]]) -> list[str]:
    def need(source: dict[str, Any]) -> tuple[int, str]:
        kinds = ("failed", "abandoned", "late", "locked")
        return next((i for i, kind in enumerate(kinds) if kind in source), 4), source["name"]

    return [source["name"] for source in sorted(sources, key=need)[:_PICTURES]]


def _one_file(data: str) -> str:
    style = (FOLDER / STYLE).read_text()
    script = "\n".join(_without_module((FOLDER / name).read_text()) for name in MODULES)
    policy = f"{_NOTHING_ELSE}; script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    # Within JSON a "<" is always inside a string, where it may be written so.
    data = data.replace("<", "\\u003c")
    page = PAGE
    for found, instead in (
        (
            '<meta charset="utf-8">',
            '<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        ),
        (f'<link rel="stylesheet" href="ui/{STYLE}">', f"<style>{style}</style>"),
        ('<script type="module" src="ui/main.js"></script>', ""),
        (
            "</body>",
            f'<script type="application/json" id="data">{data}</script>\n'
            f'<script type="module">{script}</script>\n</body>',
        ),
    ):
        assert page.count(found) == 1, found
        page = page.replace(found, instead)
    return page


def _without_module(text: str) -> str:
    """The text of a module for one script that holds them all."""
    text = re.sub(r"^import .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^export ", "", text, flags=re.MULTILINE)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
