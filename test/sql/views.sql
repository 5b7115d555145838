-- The views: what they show, and that they agree with what was done.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_views_team;
CREATE ROLE regress_views_reader;
SELECT partreg.grant_privileges('regress_views_team', 'admin');
SELECT partreg.grant_privileges('regress_views_reader', 'reader');

SET SESSION AUTHORIZATION regress_views_team;
SELECT clock_timestamp() AS began \gset
SELECT partreg.register_source('views', 'ivan.ivanov@company.com', 'all') AS source_token \gset
SELECT partreg.register_source('views without', 'ann') IS NOT NULL AS registered;
SELECT partreg.register_provider('a', :'source_token', 'regress_views_team', '[2024-01-01, 2025-01-01)') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset
SELECT partreg.register_partition('views', 'a', r, :'a')
FROM (VALUES (tstzrange '[2024-01-01, 2024-01-02)'), ('[2024-01-02, 2024-01-03)'), ('[2024-01-03, 2024-01-04)'),
             ('[2024-01-04, 2024-01-05)'), ('[2024-01-05, 2024-01-06)')) v (r);
SELECT partreg.register_partition('views', 'b', '[2024-01-01, 2024-01-02)', :'b');
SELECT partreg.unlock_partition('views', 'a', '[2024-01-02, 2024-01-03)', :'a', details => '{"rows": 7}'),
       partreg.lock_partition('views', 'a', '[2024-01-03, 2024-01-04)', :'a', 'job', '0', 'loading'),
       partreg.lock_partition('views', 'a', '[2024-01-04, 2024-01-05)', :'a', 'job', '1 day'),
       partreg.unlock_partition('views', 'a', '[2024-01-05, 2024-01-06)', :'a'),
       partreg.fail_partition('views', 'a', '[2024-01-05, 2024-01-06)', :'a', reason => 'disk full'),
       partreg.lock_partition('views', 'b', '[2024-01-01, 2024-01-02)', :'b', 'job 2');

-- A reader sees them all.
SET SESSION AUTHORIZATION regress_views_reader;
SELECT source_name, owner, rule, trusted_role, source_id = (SELECT max(source_id) FROM partreg.sources s WHERE s.source_name LIKE 'views%') AS is_last, registered_at BETWEEN :'began' AND clock_timestamp() AS registered_now,
       token_changed_at = registered_at AS token_is_first
FROM partreg.sources WHERE source_name LIKE 'views%' ORDER BY 1;
SELECT source_name, provider_name, trusted_role, effective, deadline, calendar_step, calendar_start, calendar_zone, calendar_closed,
       source_id = (SELECT s.source_id FROM partreg.sources s WHERE s.source_name = p.source_name) AS of_source,
       row_number() OVER (ORDER BY provider_id) AS nth, registered_at BETWEEN :'began' AND clock_timestamp() AS registered_now,
       token_changed_at = registered_at AS token_is_first, old_token_until, revoked_at
FROM partreg.providers p WHERE source_name LIKE 'views%' ORDER BY 1, 2;
SELECT provider_name, start_at, end_at, state, registered_at BETWEEN :'began' AND clock_timestamp() AS registered_now,
       first_unlocked_at BETWEEN registered_at AND clock_timestamp() AS unlocked_later
FROM partreg.partitions WHERE source_name = 'views' ORDER BY 1, 2;
SELECT provider_name, during, state, holder, since BETWEEN :'began' AND clock_timestamp() AS since_now,
       lease_expires_at - since < interval '1 minute' AS short_lease, abandoned, reason
FROM partreg.locks WHERE source_name = 'views' ORDER BY 1, 2;
SELECT event, provider_name, during, actor, holder, reason, details, credential, at BETWEEN :'began' AND clock_timestamp() AS at_now
FROM partreg.events WHERE source_name LIKE 'views%' ORDER BY event_id;

-- Abandoned is by the clock, not by when the transaction began.
SET SESSION AUTHORIZATION regress_views_team;
BEGIN;
SELECT partreg.lock_partition('views', 'b', '[2024-01-01, 2024-01-02)', :'b', 'job 2', '0');
SELECT abandoned FROM partreg.locks WHERE source_name = 'views' AND provider_name = 'b';
ROLLBACK;
SET SESSION AUTHORIZATION regress_views_reader;

-- privileges: who has which level.
SELECT grantee, level FROM partreg.privileges WHERE grantee LIKE 'regress_views%' ORDER BY 1;

-- A question about one provider, or one partition, reads no more than that.
RESET SESSION AUTHORIZATION;
SET enable_seqscan = off;
SET jit = off;
CREATE FUNCTION pg_temp.scans(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'Scan' THEN
            RETURN NEXT regexp_replace(line, '^[ ->]+', '');
        END IF;
    END LOOP;
END
$$;
SELECT pg_temp.scans($$SELECT state FROM partreg.partitions WHERE source_name = 'views' AND provider_name = 'a' AND start_at = '2024-01-02' AND end_at = '2024-01-03'$$) ORDER BY 1;
RESET jit;
RESET enable_seqscan;
SET SESSION AUTHORIZATION regress_views_reader;

-- Ids of events rise; at does, too.
SELECT bool_and(at >= before) AS in_order
FROM (SELECT at, lag(at) OVER (ORDER BY event_id) AS before FROM partreg.events WHERE source_name LIKE 'views%') e;

-- The view that says what state a partition is in agrees with the one of locks
-- and with explain_readiness.
SELECT count(*) FROM partreg.partitions p
LEFT JOIN partreg.locks l ON (l.source_name, l.provider_name, l.during) = (p.source_name, p.provider_name, tstzrange(p.start_at, p.end_at))
WHERE p.state IN ('locked', 'failed') <> (l.state IS NOT NULL) OR p.state <> coalesce(l.state, p.state);
SELECT p.provider_name, p.start_at, p.state, string_agg(o.state, ', ' ORDER BY o.state) AS obstacles
FROM partreg.partitions p
LEFT JOIN LATERAL partreg.explain_readiness(p.source_name, tstzrange(p.start_at, p.end_at)) o ON o.provider_name = p.provider_name
WHERE p.source_name = 'views'
GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- What the token has become shows, the token does not.
RESET SESSION AUTHORIZATION;
SELECT length(partreg.reset_access_token('views', 'a'));
SET SESSION AUTHORIZATION regress_views_reader;
SELECT provider_name, token_changed_at > registered_at AS changed, old_token_until FROM partreg.providers WHERE source_name = 'views' ORDER BY 1;

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_views_team, regress_views_reader;
DROP ROLE regress_views_team, regress_views_reader;
