"""What the original cannot be asked: is it well, which sources there are, why
one is not ready, what it looks like, what has happened."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from psycopg.rows import DictRow

from . import shapes
from .database import pool_of, rows
from .parameters import End, PathName, Start, Text, iso
from .refusals import answer

router = APIRouter()

_MOST = 1000  # rows in an answer
_MOST_OUTSTANDING = 20  # of one source in a list

Limit = Annotated[int, Query(ge=1, le=_MOST, description="at most so many")]


def _found(**values: Any) -> JSONResponse:
    return JSONResponse({"status_code": 200, **values})


@router.get("/health", response_model=shapes.Health, summary="200 where the database answers")
async def health(request: Request) -> JSONResponse:
    found = await rows(
        pool_of(request),
        "SELECT extversion AS version, pg_is_in_recovery() AS read_only"
        "  FROM pg_extension WHERE extname = 'partition_registry'",
        {},
    )
    if not found:
        return answer(503, "the extension partition_registry is not in this database")
    return _found(**found[0])


@router.get(
    "/sources", response_model=shapes.Sources | shapes.Refused, summary="The sources, by name"
)
async def sources(
    request: Request,
    after: Annotated[Text | None, Query(description="those after this name")] = None,
    limit: Limit = 100,
    search: Annotated[Text | None, Query(description="those with this in name or owner")] = None,
) -> JSONResponse:
    """With their states from the view stats, and of each the first 20 partitions
    that are locked, failed or late (then with due_at).  next: what to give as
    after for more."""
    found = await rows(
        pool_of(request),
        """
        WITH page AS MATERIALIZED (
            SELECT source_id, source_name, owner, rule, registered_at
              FROM partreg.sources
             WHERE (%(after)s::text IS NULL OR source_name > %(after)s)
               AND (%(search)s::text IS NULL
                    OR strpos(lower(source_name || ' ' || owner), lower(%(search)s)) > 0)
             ORDER BY source_name LIMIT %(limit)s + 1),
        late AS MATERIALIZED (SELECT * FROM partreg.late_partitions),
        outstanding AS (
            SELECT o.*, row_number() OVER (PARTITION BY source_name ORDER BY during) AS n
              FROM (SELECT source_name, provider_name, during, k.state, holder, since,
                           lease_expires_at, abandoned, reason, due_at
                      FROM partreg.locks k
                      LEFT JOIN late l USING (source_name, provider_name, during)
                    UNION ALL
                    SELECT source_name, provider_name, during, state, NULL, NULL,
                           NULL, false, NULL, due_at
                      FROM late WHERE state IN ('registered', 'missing')) o
             WHERE source_name IN (SELECT source_name FROM page))
        SELECT p.source_id, p.source_name AS name, p.owner, p.rule, p.registered_at,
               t.providers, t.locked, t.failed, t.abandoned, t.late, t.oldest_lock_at, t.ready_to,
               o.provider_name, lower(o.during) AS start, upper(o.during) AS end, o.state,
               o.holder, o.since, o.lease_expires_at, o.abandoned AS lease_is_over,
               o.reason, o.due_at
          FROM page p
          JOIN partreg.stats t ON t.source_name = p.source_name
          LEFT JOIN outstanding o ON o.source_name = p.source_name AND o.n <= %(most)s
         ORDER BY p.source_name, o.n
        """,
        {"after": after, "search": search, "limit": limit, "most": _MOST_OUTSTANDING},
    )
    page = [_source(list(group)) for _, group in groupby(found, itemgetter("source_id"))]
    more = len(page) > limit
    return _found(sources=page[:limit], next=page[limit - 1]["name"] if more else None)


def _source(found: list[DictRow]) -> dict[str, Any]:
    """One source, from its rows: each has one of the outstanding partitions."""
    source = {key: found[0][key] for key in shapes.SourceState.model_fields if key in found[0]}
    source["outstanding"] = [
        {key: row[key] for key in shapes.Outstanding.model_fields if key != "abandoned"}
        | {"abandoned": row["lease_is_over"]}
        for row in found
        if row["state"] is not None
    ]
    return source


@router.get(
    "/sources/{source_name:path}/explain",
    response_model=shapes.Explanation | shapes.Refused,
    summary="What keeps the range from being ready",
)
async def explain(request: Request, source_name: PathName, start: Start, end: End) -> JSONResponse:
    """The first 1,000 obstacles; more: there are more."""
    found = await rows(
        pool_of(request),
        """
        SELECT lower(during) AS start, upper(during) AS end, state, provider_name, since, holder,
               lease_expires_at, reason
          FROM partreg.explain_readiness(%(source)s, tstzrange(%(start)s, %(end)s))
         LIMIT %(most)s + 1
        """,
        {"source": source_name, "start": start, "end": end, "most": _MOST},
    )
    return _found(is_ready=not found, obstacles=found[:_MOST], more=len(found) > _MOST)


@router.get(
    "/sources/{source_name:path}/timeline",
    response_model=shapes.Timeline | shapes.Refused,
    summary="The range as a picture: which provider has what state where",
)
async def timeline(request: Request, source_name: PathName, start: Start, end: End) -> JSONResponse:
    """ready is what all providers together make so; states is by provider, as
    partreg.provider_states() gives it, all of one snapshot."""
    found = await rows(
        pool_of(request),
        """
        SELECT provider_name, state, ARRAY(SELECT ARRAY[lower(r), upper(r)]
                                             FROM unnest(ranges) r ORDER BY r) AS ranges
          FROM (SELECT NULL AS provider_name, 'ready' AS state,
                       partreg.ready_ranges(%(source)s, tstzrange(%(start)s, %(end)s)) AS ranges
                UNION ALL
                SELECT provider_name, state, ranges
                  FROM partreg.provider_states(%(source)s, tstzrange(%(start)s, %(end)s))
                UNION ALL
                SELECT provider_name, NULL, '{}' FROM partreg.providers
                 WHERE source_name = %(source)s) s
        """,
        {"source": source_name, "start": start, "end": end},
    )
    return _found(
        start=iso(start),
        end=iso(end),
        ready=next(row["ranges"] for row in found if row["provider_name"] is None),
        providers=sorted(row["provider_name"] for row in found if row["state"] is None),
        states=[row for row in found if row["provider_name"] and row["state"]],
    )


@router.get(
    "/sources/{source_name:path}/history",
    response_model=shapes.History | shapes.Refused,
    summary="What happened to the partitions that overlap the range",
)
async def history(
    request: Request,
    source_name: PathName,
    start: Start,
    end: End,
    provider_name: Annotated[Text | None, Query(description="of this provider only")] = None,
    limit: Limit = _MOST,
) -> JSONResponse:
    """The newest first."""
    found = await rows(
        pool_of(request),
        """
        SELECT event_id, event, source_name, provider_name, lower(during) AS start,
               upper(during) AS end, at, actor, holder, reason, details
          FROM partreg.history(%(source)s, tstzrange(%(start)s, %(end)s), %(provider)s, %(limit)s)
        """,
        {
            "source": source_name,
            "start": start,
            "end": end,
            "provider": provider_name,
            "limit": limit,
        },
    )
    return _found(events=found)


@router.get(
    "/position",
    response_model=shapes.Position | shapes.Refused,
    summary="A position that starts now",
)
async def position(request: Request) -> JSONResponse:
    """For /sources/{source_name}/changed, and as Last-Event-ID for /changes."""
    found = await rows(pool_of(request), "SELECT partreg.feed_position() AS position", {})
    return _found(**found[0])


@router.get(
    "/sources/{source_name:path}/changed",
    response_model=shapes.Changed | shapes.Refused,
    summary="The parts of the range whose data may have changed since a position",
)
async def changed(
    request: Request,
    source_name: PathName,
    start: Start,
    end: End,
    since: Annotated[Text, Query(description="a position")],
) -> JSONResponse:
    found = await rows(
        pool_of(request),
        """
        SELECT lower(r) AS start, upper(r) AS end
          FROM unnest(partreg.changed_ranges(
                   %(source)s, tstzrange(%(start)s, %(end)s), %(since)s)) r
         ORDER BY r
        """,
        {"source": source_name, "start": start, "end": end, "since": since},
    )
    return _found(changed=found)
