-- From 0.2.0: events remember what the partition was before, and are found by
-- transaction and by range; a registry has a name of its own, for positions.
--
-- Events of before say nothing of what was before them: history_since is now.

\echo Use "ALTER EXTENSION partition_registry UPDATE TO '0.3.0'" to load this file. \quit

SET LOCAL search_path = pg_catalog, pg_temp;

-- After all writers, before all others, in the order that they take.
LOCK TABLE partreg.source, partreg.provider, partreg.pending, partreg.partition, partreg.lock, partreg.coverage,
    partreg.event
    IN ACCESS EXCLUSIVE MODE;

-- Tables: as in sql/10_tables.sql

ALTER TABLE partreg.event
    ADD COLUMN state_before "char",
    ADD COLUMN length_class smallint;
-- It rewrites the table; an UPDATE would leave every event there twice.
ALTER TABLE partreg.event
    ALTER COLUMN length_class TYPE smallint
    USING CASE WHEN end_at > start_at THEN partreg._length_class(start_at, end_at) END;
-- The feed: the first number that a transaction has drawn.
CREATE INDEX event_xid_idx ON partreg.event (xid, id);
-- changed_ranges(): what a source's transactions have changed.  A registration
-- changes no data, so a bulk one pays nothing for it.
CREATE INDEX event_change_idx ON partreg.event (source_id, xid, start_at, end_at)
    WHERE event <> 'register_partition';
-- The history of a range, found by length class as partitions are.
CREATE INDEX event_during_idx ON partreg.event (source_id, length_class, start_at, end_at);
COMMENT ON COLUMN partreg.event.state_before IS 'what the partition was before: n not known, r registered, u unlocked; l locked and f failed, never unlocked; L locked and F failed, once unlocked; NULL: that is not remembered';
COMMENT ON COLUMN partreg.event.length_class IS 'of start_at and end_at, as in partreg.partition; NULL where they are';

-- What this registry is, for positions: a row, and after a restore one more,
-- that CREATE EXTENSION made there; the oldest counts.
CREATE TABLE partreg.registry (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    history_since  timestamptz NOT NULL DEFAULT '-infinity',
    purged_id      bigint NOT NULL DEFAULT 0,
    purged_at      timestamptz NOT NULL DEFAULT '-infinity',
    purged_xid     xid8 NOT NULL DEFAULT '0',
    purged_system  bigint NOT NULL DEFAULT 0
) USING heap;
-- What older events say is not enough to tell what was so at their time.
INSERT INTO partreg.registry (history_since) VALUES (clock_timestamp());
COMMENT ON TABLE partreg.registry IS 'internal: which registry this is, and how far back its history reaches; the oldest row counts';
COMMENT ON COLUMN partreg.registry.history_since IS 'what was so at an instant before is not known';
COMMENT ON COLUMN partreg.registry.purged_id IS 'the greatest number of an event that purge_history() has removed; 0: none';
COMMENT ON COLUMN partreg.registry.purged_at IS 'of that event';
COMMENT ON COLUMN partreg.registry.purged_xid IS 'the greatest transaction whose events it has removed, in the cluster of purged_system';
SELECT pg_extension_config_dump('partreg.registry', 'WHERE created_at = (SELECT min(created_at) FROM partreg.registry)');

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

-- Behind the views late_partitions and stats, whose readers have to be allowed
-- to call it.
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

CREATE TYPE partreg.provider_state AS (
    provider_name text,
    state         text,
    ranges        tstzmultirange
);
COMMENT ON TYPE partreg.provider_state IS 'where a provider''s partitions are in a state: failed, locked, unlocked, late or registered';

CREATE FUNCTION partreg.provider_states(source_name text, during tstzrange)
    RETURNS SETOF partreg.provider_state
    LANGUAGE c STABLE PARALLEL SAFE ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.provider_states(text, tstzrange) IS
    'for pictures: of each provider, where in the range it has which state; each instant has the first of failed, locked, unlocked, late, registered';

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

CREATE PROCEDURE partreg.wait_until_ready(source_name text, during tstzrange, timeout interval, poll interval DEFAULT '1s')
    LANGUAGE c
    AS 'MODULE_PATHNAME';
COMMENT ON PROCEDURE partreg.wait_until_ready(text, tstzrange, interval, interval) IS
    'ends when the range is ready, asking once a poll; 55P03 when the timeout is over, 55000 when a failed partition is in the way';

CREATE FUNCTION partreg.timeline(source_name text, during tstzrange, width integer DEFAULT 72)
    RETURNS SETOF text
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.timeline(text, tstzrange, integer) IS
    'a picture of a range, in UTC: a lane for all providers together and one for each; no line is wider than width, 20 to 200';

COMMENT ON FUNCTION partreg.day_range(date, text) IS
    'a local date, from its first instant to that of the next one; error 22023 where the zone has no such date';

CREATE FUNCTION partreg._is_calendar(step interval, start_at timestamptz, time_zone text)
    RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_calendar(interval, timestamptz, text) IS
    'internal: can the steps of a stored calendar be told by this server?';

-- What would be drawn next, and the greatest number that the tables have; what
-- history mentions besides is in _damage_history.
CREATE OR REPLACE VIEW partreg._sequence (name, next, greatest) AS
    SELECT 'source_id_seq'::name, q.last_value + q.is_called::integer,
           greatest((SELECT max(s.id) FROM partreg.source s),
                    (SELECT max(v.source_id) FROM partreg.provider v), 0)::bigint
      FROM partreg.source_id_seq q
    UNION ALL
    SELECT 'provider_id_seq', q.last_value + q.is_called::integer,
           coalesce((SELECT max(v.id) FROM partreg.provider v), 0)
      FROM partreg.provider_id_seq q
    UNION ALL
    SELECT 'event_id_seq', q.last_value + q.is_called::integer,
           greatest((SELECT max(e.id) FROM partreg.event e), (SELECT max(r.purged_id) FROM partreg.registry r), 0)
      FROM partreg.event_id_seq q;

CREATE OR REPLACE VIEW partreg._damage_providers (source_id, problem) AS
    SELECT v.source_id, format('%L is no name for a provider', v.name)
      FROM partreg.provider v
     WHERE NOT partreg._is_name(v.name)
    UNION ALL
    SELECT v.source_id, format('provider %s has a time that is infinite or in the future', v.name)
      FROM partreg.provider v
     WHERE NOT (partreg._is_past(v.registered_at) AND partreg._is_past(v.token_changed_at)
                AND coalesce(partreg._is_past(v.revoked_at), true))
        OR NOT isfinite(v.old_token_until) OR NOT isfinite(v.calendar_start)
    UNION ALL
    SELECT v.source_id, format('effective of provider %s is %s, which is not of the form [start, end)', v.name, v.effective)
      FROM partreg.provider v
     WHERE upper_inc(v.effective)
        OR NOT (isempty(v.effective) OR lower_inf(v.effective) OR lower_inc(v.effective))
        OR NOT isfinite(lower(v.effective)) OR NOT isfinite(upper(v.effective))
    UNION ALL
    SELECT v.source_id, format('provider %s is revoked and has a %s', v.name, has.what)
      FROM partreg.provider v
     CROSS JOIN LATERAL (VALUES (v.token_digest IS NOT NULL OR v.old_token_digest IS NOT NULL, 'token'),
                                (v.trusted_role IS NOT NULL OR v.trusted_role_oid IS NOT NULL, 'trusted role'),
                                (EXISTS (SELECT FROM partreg.lock l
                                          WHERE l.source_id = v.source_id AND l.provider_id = v.id AND l.state = 'locked'
                                            AND l.since < v.revoked_at),
                                 'locked partition')) has (it, what)
     WHERE v.revoked_at IS NOT NULL AND has.it
    UNION ALL
    SELECT v.source_id, format('provider %s is not revoked and has no token', v.name)
      FROM partreg.provider v
     WHERE v.revoked_at IS NULL AND v.token_digest IS NULL
    UNION ALL
    SELECT v.source_id, format('provider %s has half of a calendar', v.name)
      FROM partreg.provider v
     WHERE v.calendar_step IS NULL
       AND num_nonnulls(v.calendar_start, v.calendar_zone, v.calendar_closed) > 0;

CREATE VIEW partreg._damage_schedules (source_id, problem) AS
    SELECT v.source_id, format('the deadline of provider %s is %s, which is no length of time', v.name, v.deadline)
      FROM partreg.provider v
     WHERE extract(year FROM v.deadline) <> 0 OR extract(month FROM v.deadline) <> 0 OR v.deadline < '0'
    UNION ALL
    SELECT v.source_id,
           CASE WHEN partreg._is_calendar('1 day', '2000-01-01 00:00+00', v.calendar_zone)
                THEN format('the calendar of provider %s has a step or a start that means nothing', v.name)
                ELSE format('this server does not know the time zone %L of the calendar of provider %s, so what is missing cannot be told: set_calendar() sets another',
                            v.calendar_zone, v.name)
           END
      FROM partreg.provider v
     WHERE v.calendar_step IS NOT NULL
       AND NOT coalesce(partreg._is_calendar(v.calendar_step, v.calendar_start, v.calendar_zone), false);
COMMENT ON VIEW partreg._damage_schedules IS 'internal: deadlines and calendars by which nobody can tell what is late';

-- What the large tables hold, by itself and against each other.
--
-- History may have been purged, from the oldest event on.  So an event that is
-- there says something, and one that is not says something only where the
-- registration of the same partition is there.
--
-- Transactions of this cluster that are not over, or have not begun, cannot have
-- written what is seen here; but for the caller's own.
CREATE OR REPLACE VIEW partreg._damage_history (source_id, problem) AS
    WITH suspect AS MATERIALIZED (
        SELECT u.what, u.event_id, u.source_id, u.provider_id, u.start_at, u.end_at FROM partreg._suspects() u
    ), last AS (
        SELECT e.source_id, e.provider_id, e.start_at, e.end_at,
               max(e.id) AS event,
               max(e.id) FILTER (WHERE e.event = 'register_partition') AS registered,
               max(e.id) FILTER (WHERE e.event IN ('lock', 'take_over')) AS locked,
               max(e.id) FILTER (WHERE e.event IN ('fail', 'force_fail', 'revoke')) AS failed,
               max(e.id) FILTER (WHERE e.event = 'unlock') AS unlocked,
               max(e.id) FILTER (WHERE e.event = 'retire') AS retired
          FROM suspect u
          JOIN partreg.event e ON e.provider_id = u.provider_id AND e.start_at = u.start_at AND e.end_at = u.end_at
         WHERE u.what = 's'
         GROUP BY e.source_id, e.provider_id, e.start_at, e.end_at
    ), mentioned AS (
        SELECT u.source_id, u.provider_id, u.event_id AS last FROM suspect u WHERE u.what = 'm'
    )
    SELECT v.source_id,
           CASE WHEN v.id IS NULL
                THEN format('partition [%s, %s) of provider number %s belongs to no provider', p.start_at, p.end_at, p.provider_id)
                ELSE format('partition [%s, %s) of provider %s %s', p.start_at, p.end_at, v.name, it.wrong)
           END
      FROM suspect u
      JOIN partreg._partition p ON p.provider_id = u.provider_id AND p.start_at = u.start_at AND p.end_at = u.end_at
      LEFT JOIN partreg.provider v ON v.id = p.provider_id
     CROSS JOIN LATERAL (VALUES
            (v.id IS NULL, NULL),
            (p.length_class <> partreg._length_class(p.start_at, p.end_at), 'is filed under a wrong length class'),
            (p.start_at >= p.end_at OR p.start_at = '-infinity' OR p.end_at = 'infinity', 'is empty or infinite'),
            (NOT partreg._is_past(p.registered_at) OR NOT partreg._is_past(p.first_unlocked_at) OR NOT partreg._is_past(p.unlocked_at),
             'was registered or unlocked at a time that is infinite or in the future'),
            (NOT partreg._is_name(p.unlocked_by), format('was unlocked by %L, which is no name', p.unlocked_by)))
           it (so, wrong)
     WHERE u.what = 'r' AND it.so
    UNION ALL
    SELECT v.source_id, format('partition [%s, %s) of provider %s %s', e.start_at, e.end_at, v.name, it.wrong)
      FROM last e
      JOIN partreg.provider v ON v.id = e.provider_id AND v.source_id = e.source_id
      LEFT JOIN partreg._partition p
             ON p.provider_id = e.provider_id AND p.start_at = e.start_at AND p.end_at = e.end_at
      LEFT JOIN partreg.lock l
             ON l.provider_id = e.provider_id AND l.start_at = e.start_at AND l.end_at = e.end_at
     CROSS JOIN LATERAL (SELECT
            CASE WHEN e.event = e.retired
                 THEN CASE WHEN p.provider_id IS NOT NULL
                           THEN format('exists, but event %s retired it', e.retired) END
                 WHEN p.provider_id IS NULL
                 THEN format('does not exist, but event %s is about it', e.event)
                 WHEN NOT p.unlocked AND e.unlocked > coalesce(e.retired, 0)
                 THEN format('is filed as never unlocked, but event %s unlocked it', e.unlocked)
                 WHEN p.unlocked AND e.registered > greatest(e.retired, e.unlocked, 0)
                 THEN format('is filed as unlocked, but no event did that after event %s registered it', e.registered)
                 WHEN l.state IS NULL AND e.event IN (e.locked, e.failed)
                 THEN format('is neither locked nor failed, but event %s made it so', e.event)
                 WHEN l.state <> 'locked' AND e.event = e.locked
                 THEN format('is not locked, but event %s locked it', e.event)
                 WHEN l.state <> 'failed' AND e.event = e.failed
                 THEN format('is not failed, but event %s made it so', e.event)
                 WHEN l.state IS NOT NULL AND e.event IN (e.registered, e.unlocked)
                 THEN format('is %s, but event %s made it not so', l.state, e.event)
            END) it (wrong)
     WHERE it.wrong IS NOT NULL
    UNION ALL
    SELECT s.id, format('event %s %s', e.id, it.wrong)
      FROM suspect u
      JOIN partreg.event e ON e.id = u.event_id
      LEFT JOIN partreg.source s ON s.id = e.source_id
     CROSS JOIN LATERAL (VALUES
            (e.event NOT IN ('register_source', 'register_provider', 'register_partition', 'lock', 'unlock', 'fail', 'retire',
                             'take_over', 'revoke', 'rotate', 'change_rule', 'change_provider', 'drop_source', 'force_fail', 'rename'),
             format('is of the kind %L', e.event)),
            (e.credential NOT IN ('s', 'p', 'o', 't', 'x', 'w'), format('has the credential %L', e.credential)),
            (e.state_before NOT IN ('n', 'r', 'u', 'l', 'f', 'L', 'F'), format('has the state before %L', e.state_before)),
            (NOT partreg._is_past(e.at), 'has a time that is infinite or in the future'),
            ((e.start_at IS NULL) <> (e.end_at IS NULL) OR e.start_at >= e.end_at
             OR e.start_at = '-infinity' OR e.end_at = 'infinity' OR (e.start_at IS NOT NULL AND e.provider_id IS NULL),
             'is about a range that no partition has'),
            (e.xid >= pg_snapshot_xmax(pg_current_snapshot())
             AND e.xid IS DISTINCT FROM pg_current_xact_id_if_assigned()
             AND e.system_id = (SELECT c.system_identifier FROM pg_control_system() c),
             format('is said to be of transaction %s, which has not written it', e.xid)))
           it (so, wrong)
     WHERE u.what = 'e' AND it.so
    UNION ALL
    SELECT NULL, format('source number %s does not exist, but event %s is about it, and none dropped it',
                        m.source_id, max(m.last))
      FROM mentioned m
     WHERE NOT EXISTS (SELECT FROM partreg.source s WHERE s.id = m.source_id)
     GROUP BY m.source_id
    HAVING NOT EXISTS (SELECT FROM partreg.event e WHERE e.id = max(m.last) AND e.event = 'drop_source')
    UNION ALL
    SELECT s.id, format('provider number %s does not exist, but event %s is about it', m.provider_id, m.last)
      FROM mentioned m
      JOIN partreg.source s ON s.id = m.source_id
     WHERE m.provider_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM partreg.provider v WHERE v.id = m.provider_id)
    UNION ALL
    SELECT v.source_id, format('provider %s belonged to another source by event %s', v.name, m.last)
      FROM mentioned m
      JOIN partreg.provider v ON v.id = m.provider_id AND v.source_id <> m.source_id
    UNION ALL
    SELECT NULL, format('sequence partreg.%s is at %s, but event %s mentions number %s: partreg.advance_sequences() advances it',
                        q.name, q.next, max(m.last), max(m.number))
      FROM partreg._sequence q
      JOIN (SELECT 'source_id_seq'::name, m.source_id, m.last FROM mentioned m
             UNION ALL
            SELECT 'provider_id_seq' AS name, m.provider_id, m.last FROM mentioned m) m (name, number, last) ON m.name = q.name
     WHERE m.number >= q.next AND m.number > q.greatest
     GROUP BY q.name, q.next;

-- What the tables have to have, by the names that PostgreSQL gives to it.  Kept
-- together with sql/10_tables.sql; test/sql/verify.sql compares them.
CREATE OR REPLACE VIEW partreg._table (name, not_null) AS
    VALUES ('source'::name, '{id,name,rule,owner,registered_at,token_digest,token_changed_at}'::name[]),
           ('provider', '{id,source_id,name,effective,epoch,registered_at,token_changed_at}'),
           ('pending', '{provider_id,length_class,start_at,end_at,registered_at}'),
           ('partition', '{provider_id,length_class,start_at,end_at,registered_at,first_unlocked_at}'),
           ('lock', '{source_id,length_class,start_at,end_at,provider_id,state,since,holder}'),
           ('coverage', '{source_id,provider_id,span_start,span_end}'),
           ('event', '{id,event,source_id,source_name,at,actor,xid,system_id,timeline}'),
           ('registry', '{id,created_at,history_since,purged_id,purged_at,purged_xid,purged_system}');

CREATE OR REPLACE VIEW partreg._index (table_name, name, definition) AS
    VALUES ('source'::name, 'source_pkey'::name, 'UNIQUE btree (id)'),
           ('source', 'source_name_key', 'UNIQUE btree (name)'),
           ('source', 'source_token_digest_idx', 'btree (token_digest)'),
           ('source', 'source_old_token_digest_idx', 'btree (old_token_digest)'),
           ('provider', 'provider_pkey', 'UNIQUE btree (id)'),
           ('provider', 'provider_source_id_name_key', 'UNIQUE btree (source_id, name)'),
           ('provider', 'provider_id_epoch_key', 'UNIQUE btree (id, epoch)'),
           ('pending', 'pending_pkey', 'UNIQUE btree (provider_id, length_class, start_at, end_at)'),
           ('partition', 'partition_pkey', 'UNIQUE btree (provider_id, length_class, start_at, end_at)'),
           ('lock', 'lock_pkey', 'UNIQUE btree (source_id, length_class, start_at, end_at, provider_id)'),
           ('coverage', 'coverage_pkey', 'UNIQUE btree (source_id, provider_id, span_start) INCLUDE (span_end)'),
           ('coverage', 'coverage_spans_are_disjoint',
            'gist (int4range(provider_id, provider_id, ''[]''::text), tstzrange(span_start, span_end))'),
           ('event', 'event_pkey', 'UNIQUE btree (id)'),
           ('event', 'event_details_idx', 'btree (provider_id, start_at, end_at, id) WHERE (details IS NOT NULL)'),
           ('event', 'event_xid_idx', 'btree (xid, id)'),
           ('event', 'event_change_idx', 'btree (source_id, xid, start_at, end_at) WHERE (event <> ''register_partition''::text)'),
           ('event', 'event_during_idx', 'btree (source_id, length_class, start_at, end_at)'),
           ('registry', 'registry_pkey', 'UNIQUE btree (id)');

CREATE OR REPLACE VIEW partreg._constraint (table_name, name, kind) AS
    VALUES ('source'::name, 'source_pkey'::name, 'p'::"char"),
           ('source', 'source_name_key', 'u'),
           ('provider', 'provider_pkey', 'p'),
           ('provider', 'provider_source_id_name_key', 'u'),
           ('provider', 'provider_id_epoch_key', 'u'),
           ('pending', 'pending_check', 'c'),
           ('pending', 'pending_pkey', 'p'),
           ('partition', 'partition_check', 'c'),
           ('partition', 'partition_pkey', 'p'),
           ('lock', 'lock_pkey', 'p'),
           ('coverage', 'coverage_pkey', 'p'),
           ('coverage', 'coverage_spans_are_disjoint', 'x'),
           ('event', 'event_pkey', 'p'),
           ('registry', 'registry_pkey', 'p');

CREATE OR REPLACE VIEW partreg._damage_tables (problem) AS
    SELECT 'table partreg.registry is empty: positions and history are refused'
     WHERE NOT EXISTS (SELECT FROM partreg.registry)
    UNION ALL
    SELECT format('table partreg.%s %s', c.relname, it.wrong)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
     CROSS JOIN LATERAL (VALUES
            (c.relpersistence <> 'p', 'is not logged: a crash empties it'),
            (c.relrowsecurity, 'has row security'),
            ((SELECT a.amname FROM pg_am a WHERE a.oid = c.relam) <> 'heap', 'is no heap'),
            (EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)), 'takes part in an inheritance'),
            (NOT EXISTS (SELECT FROM pg_extension x
                          WHERE x.extname = 'partition_registry' AND c.oid = ANY (x.extconfig)), 'is not taken along by pg_dump'))
           it (so, wrong)
     WHERE it.so
    UNION ALL
    SELECT format('sequence partreg.%s %s', c.relname, it.wrong)
      FROM partreg._relation c
     CROSS JOIN LATERAL (VALUES
            (c.relpersistence <> 'p', 'is not logged: a crash sets it back'),
            (NOT EXISTS (SELECT FROM pg_extension x
                          WHERE x.extname = 'partition_registry' AND c.oid = ANY (x.extconfig)), 'is not taken along by pg_dump'))
           it (so, wrong)
     WHERE c.relkind = 'S' AND it.so
    UNION ALL
    SELECT format('column %s of table partreg.%s may be null', a.attname, c.relname)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (t.not_null)
     WHERE NOT a.attnotnull
    UNION ALL
    SELECT format('table partreg.%s has the trigger %s', c.relname, g.tgname)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
      JOIN pg_trigger g ON g.tgrelid = c.oid
    UNION ALL
    SELECT format('table partreg.%s has the rule %s', c.relname, r.rulename)
      FROM partreg._relation c
      JOIN partreg._table t ON t.name = c.relname
      JOIN pg_rewrite r ON r.ev_class = c.oid;

CREATE OR REPLACE VIEW partreg._damage (source_id, problem) AS
    SELECT source_id, problem FROM partreg._damage_parents
    UNION ALL SELECT source_id, problem FROM partreg._damage_sources
    UNION ALL SELECT source_id, problem FROM partreg._damage_providers
    UNION ALL SELECT source_id, problem FROM partreg._damage_schedules
    UNION ALL SELECT source_id, problem FROM partreg._damage_tokens
    UNION ALL SELECT source_id, problem FROM partreg._damage_trusted_roles
    UNION ALL SELECT source_id, problem FROM partreg._damage_partitions
    UNION ALL SELECT source_id, problem FROM partreg._damage_locks
    UNION ALL SELECT source_id, problem FROM partreg._damage_spans
    UNION ALL SELECT source_id, problem FROM partreg._damage_history
    UNION ALL SELECT source_id, problem FROM partreg._damage_holders
    UNION ALL SELECT NULL, problem FROM partreg._damage_tables
    UNION ALL SELECT NULL, problem FROM partreg._damage_indexes
    UNION ALL SELECT NULL, problem FROM partreg._damage_sequences
    UNION ALL SELECT NULL, problem FROM partreg._damage_grants;

CREATE VIEW partreg.late_partitions AS
    SELECT s.name AS source_name, v.name AS provider_name, l.during, l.state, l.due_at
      FROM partreg._list_late() l
      JOIN partreg.provider v ON v.id = l.provider_id
      JOIN partreg.source s ON s.id = l.source_id;
COMMENT ON VIEW partreg.late_partitions IS 'partitions that were never unlocked and are past their deadline, and those that the calendar expects and nobody registered (missing); unknown: the server does not know the time zone of the calendar';

CREATE VIEW partreg.stats AS
    SELECT s.name AS source_name,
           coalesce(v.providers, 0) AS providers,
           coalesce(k.locked, 0) AS locked,
           coalesce(k.failed, 0) AS failed,
           coalesce(k.abandoned, 0) AS abandoned,
           coalesce(l.late, 0) AS late,
           k.oldest_lock_at,
           r.ready_to
      FROM partreg.source s
      LEFT JOIN (SELECT p.source_id, count(*) AS providers
                   FROM partreg.provider p
                  GROUP BY p.source_id) v ON v.source_id = s.id
      LEFT JOIN (SELECT x.source_id,
                        count(*) FILTER (WHERE x.state = 'locked') AS locked,
                        count(*) FILTER (WHERE x.state = 'failed') AS failed,
                        count(*) FILTER (WHERE x.state = 'locked'
                                           AND x.lease_expires_at <= clock_timestamp()) AS abandoned,
                        min(x.since) FILTER (WHERE x.state = 'locked') AS oldest_lock_at
                   FROM partreg.lock x
                  GROUP BY x.source_id) k ON k.source_id = s.id
      LEFT JOIN (SELECT x.source_id, count(*) AS late
                   FROM partreg._list_late() x
                  GROUP BY x.source_id) l ON l.source_id = s.id
      LEFT JOIN partreg._list_ready_ends() r ON r.source_id = s.id;
COMMENT ON VIEW partreg.stats IS 'for each source: how many providers it has, what is locked, failed, abandoned or late, and how far it is ready';

-- The level that each public routine belongs to.  Routines that are not here
-- (reset_access_token, grant_privileges, advance_sequences, purge_history,
-- all others with a leading _) are for the owner of the extension and
-- superusers alone.
CREATE OR REPLACE VIEW partreg._routine_level (routine, level) AS
    VALUES ('check_readiness'::name, 'reader'::text),
           ('explain_readiness', 'reader'),
           ('assert_ready', 'reader'),
           ('coalesce_ranges', 'reader'),
           ('all_ready', 'reader'),
           ('ready_until', 'reader'),
           ('ready_ranges', 'reader'),
           ('feed_position', 'reader'),
           ('changes_since', 'reader'),
           ('changed_ranges', 'reader'),
           ('provider_states', 'reader'),
           ('_list_late', 'reader'),
           ('_list_ready_ends', 'reader'),
           ('wait_until_ready', 'reader'),
           ('timeline', 'reader'),
           ('day_range', 'reader'),
           ('step_ranges', 'reader'),
           ('history', 'reader'),
           ('latest_details', 'reader'),
           ('readiness_as_of', 'reader'),
           ('ready_since', 'reader'),
           ('verify', 'reader'),
           ('register_provider', 'writer'),
           ('register_partition', 'writer'),
           ('lock_partition', 'writer'),
           ('unlock_partition', 'writer'),
           ('fail_partition', 'writer'),
           ('renew_lease', 'writer'),
           ('renew_leases', 'writer'),
           ('register_partitions', 'writer'),
           ('lock_partitions', 'writer'),
           ('unlock_partitions', 'writer'),
           ('fail_partitions', 'writer'),
           ('retire_partition', 'writer'),
           ('retire_partitions', 'writer'),
           ('rotate_access_token', 'writer'),
           ('revoke_provider', 'writer'),
           ('rename_provider', 'writer'),
           ('set_owner', 'writer'),
           ('set_readiness_rule', 'writer'),
           ('set_effective', 'writer'),
           ('set_deadline', 'writer'),
           ('set_calendar', 'writer'),
           ('set_trusted_role', 'writer'),
           ('register_source', 'admin'),
           ('rename_source', 'admin'),
           ('drop_source', 'admin'),
           ('force_fail_partition', 'operator');

-- What is new belongs to the owner alone, whatever default privileges gave.
DO $$
DECLARE
    new record;
BEGIN
    FOR new IN
        SELECT o.kind, o.name, g.grantee
          FROM (SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
                  JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND e.oid = d.refobjid
                 WHERE e.extname = 'partition_registry' AND d.deptype = 'e'
                   AND partreg._is_of_this_transaction(d.xmin)) added
          JOIN (SELECT 'pg_catalog.pg_class'::regclass, c.oid, c.oid,
                       CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass::text, c.relacl, c.relowner
                  FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'v', 'S')
                 UNION ALL
                SELECT 'pg_catalog.pg_class'::regclass, c.oid, t.oid, 'TYPE', t.oid::regtype::text, t.typacl, t.typowner
                  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_type t ON t.oid = c.reltype
                 WHERE c.relkind IN ('r', 'v')
                 UNION ALL
                SELECT 'pg_catalog.pg_proc'::regclass, p.oid, p.oid, 'ROUTINE', p.oid::regprocedure::text, p.proacl, p.proowner
                  FROM pg_catalog.pg_proc p
                 UNION ALL
                SELECT 'pg_catalog.pg_type'::regclass, t.oid, t.oid, 'TYPE', t.oid::regtype::text, t.typacl, t.typowner
                  FROM pg_catalog.pg_type t WHERE t.typcategory <> 'A') o (classid, member, objid, kind, name, acl, owner)
            ON o.classid = added.classid AND o.member = added.objid
         CROSS JOIN LATERAL (SELECT 'PUBLIC' AS grantee
                              UNION
                             SELECT x.grantee::regrole::text FROM aclexplode(o.acl) x
                              WHERE x.grantee NOT IN (0, o.owner)) g
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', new.kind, new.name, new.grantee);
    END LOOP;

    -- As after a fresh installation: pg_dump has no use for those of row types.
    DELETE FROM pg_catalog.pg_init_privs i
     USING pg_catalog.pg_type t, pg_catalog.pg_class c
     WHERE i.classoid = 'pg_catalog.pg_type'::regclass AND i.objoid = t.oid
       AND t.typnamespace = 'partreg'::regnamespace
       AND c.oid = t.typrelid AND c.relkind <> 'c';
END;
$$;

SELECT partreg._extend_privileges();
