-- History (src/event.c, src/asof.c): what happened, what was ready at an earlier
-- instant, and how old events are purged.

CREATE FUNCTION partreg.history(source_name text, during tstzrange, provider_name text DEFAULT NULL,
                                max_events integer DEFAULT 1000)
    RETURNS SETOF partreg.change
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.history(text, tstzrange, text, integer) IS
    'what happened to the partitions that overlap a range, of one provider or of all, the newest first';

CREATE TYPE partreg.supplied AS (
    during        tstzrange,
    provider_name text,
    unlocked_at   timestamptz,
    details       jsonb
);
COMMENT ON TYPE partreg.supplied IS 'an unlocked partition, and what its last unlock said of it';

CREATE FUNCTION partreg.latest_details(source_name text, during tstzrange)
    RETURNS SETOF partreg.supplied
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.latest_details(text, tstzrange) IS
    'of each unlocked partition that overlaps a range, when it was unlocked last, and what that said of it, as long as history keeps it';

CREATE FUNCTION partreg.readiness_as_of(source_name text, during tstzrange, as_of timestamptz)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.readiness_as_of(text, tstzrange, timestamptz) IS
    'was the range ready at an earlier instant?  never NULL; error 55000 before what history keeps';

CREATE FUNCTION partreg.ready_since(source_name text, during tstzrange)
    RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.ready_since(text, tstzrange) IS
    'when the range became ready last; NULL when it is not, or was so before what history keeps';

CREATE FUNCTION partreg._event_time(at timestamptz, xid xid8, system_id bigint)
    RETURNS timestamptz
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._event_time(timestamptz, xid8, bigint) IS
    'internal: when an event took effect: at its commit, where the server knows when that was';

CREATE FUNCTION partreg.purge_history(before timestamptz)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    registry partreg.registry.id%TYPE;
    gone     record;
BEGIN
    IF before IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            CONSTRAINT = 'bad_argument',
            MESSAGE = 'argument "before" must not be null',
            HINT = 'Only arguments that have a default may be null or left out.';
    END IF;
    -- Also where there is nothing to remove.
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
            MESSAGE = 'cannot execute purge_history() in a read-only transaction',
            HINT = 'Call it on the primary server, in a transaction that may write.';
    END IF;

    -- One purge at a time; the next one sees what this one has removed.
    SELECT r.id INTO registry
      FROM partreg.registry r ORDER BY r.created_at, r.id LIMIT 1 FOR UPDATE;

    -- An event that was called for before, and committed later, is needed to
    -- tell what was so in between.
    WITH removed AS (
        DELETE FROM partreg.event e
         WHERE e.at < before AND partreg._event_time(e.at, e.xid, e.system_id) < before
        RETURNING e.id, e.at, e.xid, e.system_id
    ), newest AS (
        SELECT r.id, r.at, r.system_id FROM removed r ORDER BY r.id DESC LIMIT 1
    )
    SELECT count(*) AS events, n.id, n.at, n.system_id,
           max(r.xid) FILTER (WHERE r.system_id = n.system_id) AS xid
      INTO gone
      FROM removed r, newest n
     GROUP BY n.id, n.at, n.system_id;

    -- A transaction that is open now may commit events of before, which then
    -- stay; of what comes after this call, nothing is missing.
    UPDATE partreg.registry r
       SET history_since = greatest(r.history_since, least(before, clock_timestamp()))
     WHERE r.id = registry;
    IF gone.events IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE partreg.registry r
       SET purged_id = greatest(r.purged_id, gone.id),
           purged_at = CASE WHEN r.purged_id < gone.id THEN gone.at ELSE r.purged_at END,
           purged_xid = CASE WHEN r.purged_system = gone.system_id THEN greatest(r.purged_xid, gone.xid)
                             WHEN r.purged_id < gone.id THEN gone.xid
                             ELSE r.purged_xid
                        END,
           purged_system = CASE WHEN r.purged_id < gone.id THEN gone.system_id ELSE r.purged_system END
     WHERE r.id = registry;
    -- History cannot tell who cut it off; the server's log does.
    RAISE LOG 'partreg.purge_history() removes % events of before %', gone.events, before;
    RETURN gone.events;
END;
$$;
COMMENT ON FUNCTION partreg.purge_history(timestamptz) IS
    'removes the events before an instant, and returns how many there were; what is ready does not change; for the owner of the extension';
