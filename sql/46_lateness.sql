-- Deadlines and calendars: who is late with what (src/schedule.c, src/lateness.c,
-- src/expectation.c), and how far each source is ready (src/stats.c).  SET
-- enable_seqscan: see 40_partition.sql.

CREATE FUNCTION partreg.set_deadline(source_name text, provider_name text, within interval, access_token text DEFAULT NULL)
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_deadline(text, text, interval, text) IS
    'sets how long after its end a partition that was not unlocked is late; NULL means never; needs the source token or the source''s trusted role';

CREATE FUNCTION partreg.set_calendar(source_name text, provider_name text, step interval, start_at timestamptz, access_token text DEFAULT NULL, time_zone text DEFAULT 'UTC', closed tstzmultirange DEFAULT '{}')
    RETURNS void
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.set_calendar(text, text, interval, timestamptz, text, text, tstzmultirange) IS
    'sets which partitions are expected of a provider: steps by the wall clock of a time zone, none that overlaps what is closed; step NULL means none; needs the source token or the source''s trusted role';

CREATE TYPE partreg._late AS (
    source_id   integer,
    provider_id integer,
    during      tstzrange,
    state       text,
    due_at      timestamptz
);
COMMENT ON TYPE partreg._late IS 'internal: what a provider has not supplied by its deadline';

-- The views late_partitions and stats call it, so their readers must be allowed to
-- call it, too.
CREATE FUNCTION partreg._list_late()
    RETURNS SETOF partreg._late
    LANGUAGE c STABLE PARALLEL SAFE ROWS 100
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._list_late() IS
    'internal: for the view late_partitions: what is late of all providers';

CREATE TYPE partreg._ready_end AS (
    source_id integer,
    ready_to  timestamptz
);
COMMENT ON TYPE partreg._ready_end IS 'internal: the end of the last ready stretch of a source';

CREATE FUNCTION partreg._list_ready_ends()
    RETURNS SETOF partreg._ready_end
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._list_ready_ends() IS
    'internal: for the view stats: how far each source is ready';
