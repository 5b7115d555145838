-- The change feed (src/feed.c), what has changed since (src/changed.c), and the
-- positions that both go by (src/position.c, src/judge.c).

CREATE TYPE partreg.change AS (
    event_id      bigint,
    event         text,
    source_name   text,
    provider_name text,
    during        tstzrange,
    at            timestamptz,
    actor         name,
    holder        text,
    reason        text,
    details       jsonb,
    next_position text
);
COMMENT ON TYPE partreg.change IS 'an event, and the position after it';

CREATE FUNCTION partreg.feed_position()
    RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.feed_position() IS
    'a position for changes_since() and changed_ranges(): exactly what the caller''s snapshot sees';

CREATE FUNCTION partreg.changes_since(since text, max_events integer DEFAULT 1000, source_names text[] DEFAULT NULL)
    RETURNS SETOF partreg.change
    LANGUAGE c STABLE PARALLEL SAFE ROWS 1000
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.changes_since(text, integer, text[]) IS
    'the events after a position (NULL: all that are kept), each once; the last row''s next_position goes on';

CREATE FUNCTION partreg.changed_ranges(source_name text, during tstzrange, since text)
    RETURNS tstzmultirange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.changed_ranges(text, tstzrange, text) IS
    'the parts of a range, which may be unbounded, whose data may have changed since a position';
