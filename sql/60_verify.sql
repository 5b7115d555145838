-- verify(): does everything stored agree with everything else?
--
-- There is one view for each kind of damage.  Each has the columns (source_id,
-- problem); source_id is NULL if the damage belongs to no source.  _damage puts
-- the views together, and verify() adds the names.  So a later version that finds
-- more adds or replaces one view.  The views read tables that no role may read;
-- verify() runs as the owner of the extension.
--
-- verify() reads in the caller's snapshot, so it sees what open transactions do
-- meanwhile as a whole or not at all.  Only sequences are read as they are now: a
-- number is drawn before its row can be seen, so a sequence is never behind what a
-- snapshot sees.
--
-- A damaged table may contain anything.  So nothing here may fail on a value:
-- ranges are built only where start < end is certain, and times are printed as
-- they are.
--
-- No query finds an index that lacks an entry.  amcheck does (bt_index_check with
-- heapallindexed).

CREATE TYPE partreg.problem AS (
    source_name text,
    problem     text
);
COMMENT ON TYPE partreg.problem IS 'something stored that does not agree with the rest';

CREATE FUNCTION partreg._length_class(start_at timestamptz, end_at timestamptz)
    RETURNS smallint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._length_class(timestamptz, timestamptz) IS
    'internal: the smallest c with end_at - start_at <= 2^c microseconds';

CREATE FUNCTION partreg._is_name(name text)
    RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_name(text) IS
    'internal: does a text keep the rules for names of sources, providers, owners and holders?';

CREATE FUNCTION partreg._is_calendar(step interval, start_at timestamptz, time_zone text)
    RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_calendar(interval, timestamptz, text) IS
    'internal: can the steps of a stored calendar be told by this server?';

-- A time that somebody's clock may have shown.
CREATE FUNCTION partreg._is_past(at timestamptz)
    RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT at > '-infinity' AND at < statement_timestamp() + interval '1 day';
    END;
COMMENT ON FUNCTION partreg._is_past(timestamptz) IS
    'internal: is a time finite, and not in the future?  a day is granted for clocks that were set back';

-- What the kinds share

CREATE VIEW partreg._partition AS
    SELECT p.provider_id, p.length_class, p.start_at, p.end_at, p.registered_at,
           NULL::timestamptz AS first_unlocked_at, NULL::timestamptz AS unlocked_at, NULL::text COLLATE "C" AS unlocked_by,
           false AS unlocked
      FROM partreg.pending p
    UNION ALL
    SELECT p.provider_id, p.length_class, p.start_at, p.end_at, p.registered_at,
           p.first_unlocked_at, p.unlocked_at, p.unlocked_by, true
      FROM partreg.partition p;
COMMENT ON VIEW partreg._partition IS 'internal: partitions, from both of their tables';

CREATE VIEW partreg._unlocked AS
    SELECT v.source_id, p.provider_id,
           partreg.coalesce_ranges(tstzrange(p.start_at, p.end_at)) AS ranges
      FROM partreg.partition p
      JOIN partreg.provider v ON v.id = p.provider_id
     WHERE p.start_at < p.end_at
     GROUP BY v.source_id, p.provider_id;
COMMENT ON VIEW partreg._unlocked IS 'internal: what the partitions of each provider say that it has made available';

CREATE VIEW partreg._covered AS
    SELECT c.source_id, c.provider_id,
           partreg.coalesce_ranges(tstzrange(c.span_start, c.span_end)) AS ranges
      FROM partreg.coverage c
     WHERE c.span_start < c.span_end
     GROUP BY c.source_id, c.provider_id;
COMMENT ON VIEW partreg._covered IS 'internal: what the spans of each provider say that it has made available';

CREATE VIEW partreg._digest AS
    SELECT s.id AS source_id, 'the source' AS what, d.digest, d.nth
      FROM partreg.source s
     CROSS JOIN LATERAL (VALUES (s.token_digest, 'token'), (s.old_token_digest, 'old token')) d (digest, nth)
     WHERE d.digest IS NOT NULL
    UNION ALL
    SELECT v.source_id, format('provider %s', v.name), d.digest, d.nth
      FROM partreg.provider v
     CROSS JOIN LATERAL (VALUES (v.token_digest, 'token'), (v.old_token_digest, 'old token')) d (digest, nth)
     WHERE d.digest IS NOT NULL;
COMMENT ON VIEW partreg._digest IS 'internal: the digests of all tokens, the old ones too';

-- Where the OID means something, role_name is the name that it has now, NULL
-- where the role is gone; elsewhere the name is all there is.
CREATE VIEW partreg._trusted_role AS
    SELECT t.source_id, t.what, t.name,
           t.system = here.system AND t.database = here.database AND t.role IS NOT NULL AS is_bound,
           r.rolname AS role_name, namesake.oid IS NOT NULL AS name_exists
      FROM (SELECT s.id, 'the source', s.trusted_role, s.trusted_role_oid, s.trusted_role_system, s.trusted_role_database
              FROM partreg.source s
             WHERE s.trusted_role IS NOT NULL
             UNION ALL
            SELECT v.source_id, format('provider %s', v.name), v.trusted_role, v.trusted_role_oid, v.trusted_role_system, v.trusted_role_database
              FROM partreg.provider v
             WHERE v.trusted_role IS NOT NULL) t (source_id, what, name, role, system, database)
     CROSS JOIN (SELECT c.system_identifier, d.oid
                   FROM pg_control_system() c, pg_database d
                  WHERE d.datname = current_database()) here (system, database)
      LEFT JOIN pg_roles r ON r.oid = t.role
      LEFT JOIN pg_roles namesake ON namesake.rolname = t.name;
COMMENT ON VIEW partreg._trusted_role IS 'internal: trusted roles of sources and providers, and what roles there are';

-- One pass over all history and all partitions, in C: see src/verify.c.
CREATE FUNCTION partreg._suspects()
    RETURNS TABLE (what "char", event_id bigint, source_id integer, provider_id integer,
                   start_at timestamptz, end_at timestamptz)
    LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 100
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._suspects() IS
    'internal: what looks wrong (r partition, s its state by history, e event), for the views to judge, and m whom history mentions';

-- What would be drawn next, and the greatest number that the tables have; what
-- history mentions besides is in _damage_history.
CREATE VIEW partreg._sequence (name, next, greatest) AS
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
COMMENT ON VIEW partreg._sequence IS 'internal: sequences, and the greatest numbers in use';

-- The kinds

CREATE VIEW partreg._damage_parents (source_id, problem) AS
    SELECT v.source_id, format('provider %s belongs to no source', v.name)
      FROM partreg.provider v
     WHERE NOT EXISTS (SELECT FROM partreg.source s WHERE s.id = v.source_id)
    UNION ALL
    SELECT c.source_id, format('span [%s, %s) of provider number %s belongs to no provider of the source',
                               c.span_start, c.span_end, c.provider_id)
      FROM partreg.coverage c
     WHERE NOT EXISTS (SELECT FROM partreg.provider v
                        WHERE v.id = c.provider_id AND v.source_id = c.source_id)
    UNION ALL
    SELECT l.source_id, format('lock on [%s, %s) of provider number %s belongs to no partition of the source',
                               l.start_at, l.end_at, l.provider_id)
      FROM partreg.lock l
     WHERE NOT EXISTS (SELECT FROM partreg._partition p
                         JOIN partreg.provider v ON v.id = p.provider_id
                        WHERE p.provider_id = l.provider_id AND p.length_class = l.length_class
                          AND p.start_at = l.start_at AND p.end_at = l.end_at
                          AND v.source_id = l.source_id);
COMMENT ON VIEW partreg._damage_parents IS 'internal: rows that belong to nobody, or to somebody else';

CREATE VIEW partreg._damage_sources (source_id, problem) AS
    SELECT s.id, format('the rule of the source is %L', s.rule)
      FROM partreg.source s
     WHERE s.rule NOT IN ('any', 'all')
    UNION ALL
    SELECT s.id, format('%L is no name for a source', s.name)
      FROM partreg.source s
     WHERE NOT partreg._is_name(s.name)
    UNION ALL
    SELECT s.id, format('%L is no name for an owner', s.owner)
      FROM partreg.source s
     WHERE NOT partreg._is_name(s.owner)
    UNION ALL
    SELECT s.id, 'the source has a time that is infinite or in the future'
      FROM partreg.source s
     WHERE NOT (partreg._is_past(s.registered_at) AND partreg._is_past(s.token_changed_at))
        OR NOT isfinite(s.old_token_until);
COMMENT ON VIEW partreg._damage_sources IS 'internal: sources with words, names or times that mean nothing';

CREATE VIEW partreg._damage_providers (source_id, problem) AS
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
COMMENT ON VIEW partreg._damage_providers IS 'internal: providers with names, times or ranges that mean nothing, or revoked by half';

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

CREATE VIEW partreg._damage_tokens (source_id, problem) AS
    SELECT d.source_id, format('the %s of %s has a digest of %s bytes', d.nth, d.what, octet_length(d.digest))
      FROM partreg._digest d
     WHERE octet_length(d.digest) <> 32
    UNION ALL
    SELECT d.source_id, format('the %s of %s is also that of another source or provider', d.nth, d.what)
      FROM partreg._digest d
     WHERE d.digest IN (SELECT e.digest FROM partreg._digest e GROUP BY e.digest HAVING count(*) > 1)
    UNION ALL
    SELECT o.source_id, format('%s has an old token without an end, or an end without an old token', o.what)
      FROM (SELECT s.id, 'the source', s.old_token_digest, s.old_token_until FROM partreg.source s
             UNION ALL
            SELECT v.source_id, format('provider %s', v.name), v.old_token_digest, v.old_token_until FROM partreg.provider v)
           o (source_id, what, digest, until)
     WHERE (o.digest IS NULL) <> (o.until IS NULL);
COMMENT ON VIEW partreg._damage_tokens IS 'internal: digests that no token has, or more than one';

CREATE VIEW partreg._damage_trusted_roles (source_id, problem) AS
    SELECT t.source_id,
           CASE WHEN t.is_bound AND t.role_name IS NOT NULL AND t.name_exists
                THEN format('the trusted role %s of %s has the name %s now, and its name is that of another role, which is not trusted: set_trusted_role() sets what is meant',
                            t.name, t.what, t.role_name)
                WHEN t.is_bound AND t.role_name IS NOT NULL
                THEN format('the trusted role %s of %s has the name %s now: set_trusted_role() makes it known by that name',
                            t.name, t.what, t.role_name)
                WHEN t.is_bound AND t.name_exists
                THEN format('the trusted role %s of %s does not exist, and its name is that of another role, which is not trusted: set_trusted_role() sets what is meant',
                            t.name, t.what)
                WHEN t.name_exists
                THEN format('the trusted role %s of %s goes by name only: set_trusted_role() binds it to the role that has the name now',
                            t.name, t.what)
                ELSE format('the trusted role %s of %s does not exist', t.name, t.what)
           END
      FROM partreg._trusted_role t
     WHERE NOT coalesce(t.is_bound AND t.role_name = t.name, false);
COMMENT ON VIEW partreg._damage_trusted_roles IS 'internal: trusted roles that are gone, go by name only, or by another name';

CREATE VIEW partreg._damage_partitions (source_id, problem) AS
    SELECT v.source_id, format('partition [%s, %s) of provider %s is filed both as never unlocked and as unlocked',
                               p.start_at, p.end_at, v.name)
      FROM partreg.pending p
      JOIN partreg.partition u ON u.provider_id = p.provider_id AND u.length_class = p.length_class
                              AND u.start_at = p.start_at AND u.end_at = p.end_at
      JOIN partreg.provider v ON v.id = p.provider_id;
COMMENT ON VIEW partreg._damage_partitions IS 'internal: partitions that are in both tables';

CREATE VIEW partreg._damage_locks (source_id, problem) AS
    SELECT l.source_id, format('lock on [%s, %s) of provider number %s %s', l.start_at, l.end_at, l.provider_id, it.wrong)
      FROM partreg.lock l
     CROSS JOIN LATERAL (VALUES
            (l.state NOT IN ('locked', 'failed'), format('has the state %L', l.state)),
            (l.change NOT IN ('lock', 'take_over', 'fail', 'force_fail', 'revoke'), format('has the last change %L', l.change)),
            (l.state = 'locked' AND l.change IN ('fail', 'force_fail', 'revoke')
             OR l.state = 'failed' AND l.change IN ('lock', 'take_over'),
             format('has the state %L after the change %L', l.state, l.change)),
            (l.state = 'failed' AND l.lease_expires_at IS NOT NULL, 'is failed and has a lease'),
            (l.length_class <> partreg._length_class(l.start_at, l.end_at), 'is filed under a wrong length class'),
            (l.start_at >= l.end_at OR l.start_at = '-infinity' OR l.end_at = 'infinity', 'is empty or infinite'),
            (NOT partreg._is_past(l.since) OR NOT isfinite(l.lease_expires_at), 'has a time that is infinite or in the future'),
            (NOT partreg._is_name(l.holder), format('has the holder %L, which is no name', l.holder)))
           it (so, wrong)
     WHERE it.so;
COMMENT ON VIEW partreg._damage_locks IS 'internal: locks with words, names or times that mean nothing, or contradict each other';

CREATE VIEW partreg._damage_spans (source_id, problem) AS
    SELECT c.source_id, format('span [%s, %s) of provider number %s is empty or infinite', c.span_start, c.span_end, c.provider_id)
      FROM partreg.coverage c
     WHERE c.span_start >= c.span_end OR c.span_start = '-infinity' OR c.span_end = 'infinity'
    UNION ALL
    SELECT a.source_id, format('spans [%s, %s) and [%s, %s) of provider number %s overlap',
                               a.span_start, a.span_end, a.next_start, a.next_end, a.provider_id)
      FROM (SELECT c.source_id, c.provider_id, c.span_start, c.span_end,
                   lead(c.span_start) OVER later AS next_start, lead(c.span_end) OVER later AS next_end
              FROM partreg.coverage c
             WHERE c.span_start < c.span_end
            WINDOW later AS (PARTITION BY c.source_id, c.provider_id ORDER BY c.span_start, c.span_end)) a
     WHERE a.next_start < a.span_end
    UNION ALL
    SELECT v.source_id, m.problem
      FROM partreg.provider v
      LEFT JOIN partreg._unlocked u ON u.source_id = v.source_id AND u.provider_id = v.id
      LEFT JOIN partreg._covered c ON c.source_id = v.source_id AND c.provider_id = v.id
     CROSS JOIN LATERAL (SELECT format('%s was unlocked by provider %s but is not in its spans', piece, v.name)
                           FROM unnest(coalesce(u.ranges, '{}') - coalesce(c.ranges, '{}')) piece
                          UNION ALL
                         SELECT format('%s is in the spans of provider %s but was not unlocked by it', piece, v.name)
                           FROM unnest(coalesce(c.ranges, '{}') - coalesce(u.ranges, '{}')) piece) m (problem)
     WHERE u.ranges IS DISTINCT FROM c.ranges;
COMMENT ON VIEW partreg._damage_spans IS 'internal: spans that hold nothing, overlap, or do not agree with what was unlocked';

-- What the large tables hold, by itself and against each other.
--
-- History may have been purged, from the oldest event on.  So an event that is
-- there says something, and one that is not says something only where the
-- registration of the same partition is there.
--
-- Transactions of this cluster that are not over, or have not begun, cannot have
-- written what is seen here; but for the caller's own.
CREATE VIEW partreg._damage_history (source_id, problem) AS
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
COMMENT ON VIEW partreg._damage_history IS
    'internal: partitions and events that mean nothing or contradict each other, sources and providers that history knows otherwise';

CREATE VIEW partreg._damage_holders (source_id, problem) AS
    SELECT l.source_id, format('lock on [%s, %s) of provider number %s has the holder %L, but event %s locked it for %L',
                               l.start_at, l.end_at, l.provider_id, l.holder, l.last, e.holder)
      FROM (SELECT k.source_id, k.provider_id, k.start_at, k.end_at, k.state, k.holder, max(o.id) AS last
              FROM partreg.lock k
              JOIN partreg.event o ON o.provider_id = k.provider_id AND o.start_at = k.start_at AND o.end_at = k.end_at
             GROUP BY k.source_id, k.provider_id, k.start_at, k.end_at, k.state, k.holder) l
      JOIN partreg.event e ON e.id = l.last
     WHERE l.state = 'locked' AND e.event IN ('lock', 'take_over') AND e.holder <> l.holder;
COMMENT ON VIEW partreg._damage_holders IS 'internal: locks that have another holder than history says';

-- What the tables have to have, by the names that PostgreSQL gives to it.  Kept
-- together with sql/10_tables.sql; test/sql/verify.sql compares them.
CREATE VIEW partreg._table (name, not_null) AS
    VALUES ('source'::name, '{id,name,rule,owner,registered_at,token_digest,token_changed_at}'::name[]),
           ('provider', '{id,source_id,name,effective,epoch,registered_at,token_changed_at}'),
           ('pending', '{provider_id,length_class,start_at,end_at,registered_at}'),
           ('partition', '{provider_id,length_class,start_at,end_at,registered_at,first_unlocked_at}'),
           ('lock', '{source_id,length_class,start_at,end_at,provider_id,state,since,holder}'),
           ('coverage', '{source_id,provider_id,span_start,span_end}'),
           ('event', '{id,event,source_id,source_name,at,actor,xid,system_id,timeline}'),
           ('registry', '{id,created_at,history_since,purged_id,purged_at,purged_xid,purged_system}');
COMMENT ON VIEW partreg._table IS 'internal: the tables, and their columns that are never null';

CREATE VIEW partreg._index (table_name, name, definition) AS
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
COMMENT ON VIEW partreg._index IS 'internal: the indexes of the tables';

CREATE VIEW partreg._constraint (table_name, name, kind) AS
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
COMMENT ON VIEW partreg._constraint IS 'internal: the constraints of the tables, but for NOT NULL';

CREATE VIEW partreg._relation AS
    SELECT c.oid, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relam, c.relowner, c.relacl
      FROM pg_class c
     WHERE c.relnamespace = 'partreg'::regnamespace;
COMMENT ON VIEW partreg._relation IS 'internal: pg_class, as far as it is about this extension';

CREATE VIEW partreg._damage_tables (problem) AS
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
COMMENT ON VIEW partreg._damage_tables IS 'internal: tables that lost or got what changes what is stored';

CREATE VIEW partreg._damage_indexes (problem) AS
    SELECT CASE WHEN i.indexrelid IS NULL
                THEN format('table partreg.%s has lost its index %s', w.table_name, w.name)
                WHEN NOT (i.indisvalid AND i.indisready AND i.indislive)
                THEN format('index partreg.%s is not valid: REINDEX INDEX partreg.%I builds it anew', w.name, w.name)
                ELSE format('index partreg.%s is not as it was made', w.name)
           END
      FROM partreg._index w
      LEFT JOIN partreg._relation t ON t.relname = w.table_name
      LEFT JOIN partreg._relation c ON c.relname = w.name
      LEFT JOIN pg_index i ON i.indexrelid = c.oid AND i.indrelid = t.oid
     WHERE i.indexrelid IS NULL OR NOT (i.indisvalid AND i.indisready AND i.indislive)
        -- Storage parameters are the administrator's to choose.
        OR regexp_replace(pg_get_indexdef(i.indexrelid),
                          '^CREATE (UNIQUE )?INDEX \S+ ON \S+ USING (.*?)(?: WITH \([^)]*\))?( WHERE .*)?$', '\1\2\3') <> w.definition
    UNION ALL
    SELECT format('table partreg.%s has a unique index that is not its own, %s', t.relname, c.relname)
      FROM partreg._relation t
      JOIN partreg._table w ON w.name = t.relname
      JOIN pg_index i ON i.indrelid = t.oid AND i.indislive AND i.indisvalid AND (i.indisunique OR i.indisexclusion)
      JOIN pg_class c ON c.oid = i.indexrelid
     WHERE NOT EXISTS (SELECT FROM partreg._index o WHERE o.table_name = w.name AND o.name = c.relname)
    UNION ALL
    SELECT format('table partreg.%s has lost its constraint %s', w.table_name, w.name)
      FROM partreg._constraint w
      LEFT JOIN partreg._relation t ON t.relname = w.table_name
      LEFT JOIN pg_constraint k ON k.conrelid = t.oid AND k.conname = w.name AND k.contype = w.kind
     WHERE NOT coalesce(k.convalidated AND NOT k.condeferrable, false)
    UNION ALL
    SELECT format('table partreg.%s has a constraint that is not its own, %s', t.relname, k.conname)
      FROM partreg._relation t
      JOIN partreg._table w ON w.name = t.relname
      JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype <> 'n'
     WHERE NOT EXISTS (SELECT FROM partreg._constraint o WHERE o.table_name = w.name AND o.name = k.conname);
COMMENT ON VIEW partreg._damage_indexes IS 'internal: keys, constraints and indexes that are gone, broken or strange';

CREATE VIEW partreg._damage_sequences (problem) AS
    SELECT format('sequence partreg.%s is at %s, but number %s is in use: partreg.advance_sequences() advances it',
                  q.name, q.next, q.greatest)
      FROM partreg._sequence q
     WHERE q.next <= q.greatest;
COMMENT ON VIEW partreg._damage_sequences IS 'internal: sequences that are behind';

-- Everything that can have privileges, with what stands for none recorded.
CREATE VIEW partreg._object (kind, name, acl) AS
    SELECT 'SCHEMA', n.nspname::text, coalesce(n.nspacl, acldefault('n', n.nspowner))
      FROM pg_namespace n
     WHERE n.nspname = 'partreg'
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('partreg.%I', c.relname),
           coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))
      FROM partreg._relation c
     WHERE c.relkind IN ('r', 'v', 'S')
    UNION ALL
    SELECT 'TABLE', format('partreg.%I', c.relname), a.attacl
      FROM partreg._relation c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
      FROM pg_proc p
     WHERE p.pronamespace = 'partreg'::regnamespace
    UNION ALL
    SELECT 'TYPE', format_type(t.oid, NULL), coalesce(t.typacl, acldefault('T', t.typowner))
      FROM pg_type t
     WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A';
COMMENT ON VIEW partreg._object IS 'internal: what belongs to the extension and can have privileges';

CREATE VIEW partreg._damage_grants (problem) AS
    SELECT DISTINCT format('PUBLIC has privileges on the %s %s: REVOKE ALL ON %s %s FROM PUBLIC takes them away',
                           lower(o.kind), o.name, o.kind, o.name)
      FROM partreg._object o
     CROSS JOIN LATERAL aclexplode(o.acl) a
     WHERE a.grantee = 0;
COMMENT ON VIEW partreg._damage_grants IS 'internal: what PUBLIC was granted';

CREATE VIEW partreg._damage (source_id, problem) AS
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
COMMENT ON VIEW partreg._damage IS 'internal: damage of all kinds';

CREATE FUNCTION partreg.verify(source_name text DEFAULT NULL)
    RETURNS SETOF partreg.problem
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    -- Compiling the plan would take a hundred times as long as running it.
    SET jit = off
    AS $$
DECLARE
    wanted integer;
BEGIN
    IF source_name IS NULL THEN
        RETURN QUERY
            SELECT s.name, d.problem
              FROM partreg._damage d
              LEFT JOIN partreg.source s ON s.id = d.source_id
             ORDER BY s.name, d.problem;
        RETURN;
    END IF;

    -- A huge one is not unfolded for the look.
    IF octet_length(verify.source_name) <= 200 THEN
        SELECT s.id INTO wanted FROM partreg.source s WHERE s.name = verify.source_name;
    END IF;
    IF wanted IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            CONSTRAINT = 'unknown_source',
            MESSAGE = format('source "%s" does not exist', partreg._quotable(verify.source_name)),
            HINT = 'The view partreg.sources lists the sources.';
    END IF;
    RETURN QUERY
        SELECT verify.source_name, d.problem
          FROM partreg._damage d
         WHERE d.source_id = wanted
         ORDER BY d.problem;
END;
$$;
COMMENT ON FUNCTION partreg.verify(text) IS
    'what of a source (NULL: of all) does not agree with the rest of what is stored; no row means that all is well';
