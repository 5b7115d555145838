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
SELECT partreg.unlock_partition('views', 'a', '[2024-01-02, 2024-01-03)', :'a', 'job'),
       partreg.lock_partition('views', 'a', '[2024-01-03, 2024-01-04)', :'a', 'job', '0', 'loading'),
       partreg.lock_partition('views', 'a', '[2024-01-04, 2024-01-05)', :'a', 'job', '1 day'),
       partreg.unlock_partition('views', 'a', '[2024-01-05, 2024-01-06)', :'a'),
       partreg.fail_partition('views', 'a', '[2024-01-05, 2024-01-06)', :'a', 'disk full', 'job'),
       partreg.lock_partition('views', 'b', '[2024-01-01, 2024-01-02)', :'b', 'job 2');

-- A reader sees them all.
SET SESSION AUTHORIZATION regress_views_reader;
SELECT source_name, owner, rule, registered_at BETWEEN :'began' AND clock_timestamp() AS registered_now,
       token_changed_at = registered_at AS token_is_first
FROM partreg.sources WHERE source_name LIKE 'views%' ORDER BY 1;
SELECT source_name, provider_name, trusted_role, effective, deadline, registered_at BETWEEN :'began' AND clock_timestamp() AS registered_now,
       token_changed_at = registered_at AS token_is_first, old_token_until, revoked_at
FROM partreg.providers WHERE source_name LIKE 'views%' ORDER BY 1, 2;
SELECT provider_name, start_at, end_at, state, registered_at BETWEEN :'began' AND clock_timestamp() AS registered_now,
       first_unlocked_at BETWEEN registered_at AND clock_timestamp() AS unlocked_later
FROM partreg.partitions WHERE source_name = 'views' ORDER BY 1, 2;
SELECT provider_name, during, state, holder, since BETWEEN :'began' AND clock_timestamp() AS since_now,
       lease_expires_at - since < interval '1 minute' AS short_lease, abandoned, reason
FROM partreg.locks WHERE source_name = 'views' ORDER BY 1, 2;
SELECT event, provider_name, during, actor, holder, reason, at BETWEEN :'began' AND clock_timestamp() AS at_now
FROM partreg.events WHERE source_name LIKE 'views%' ORDER BY event_id;

-- Abandoned is by the clock, not by when the transaction began.
SET SESSION AUTHORIZATION regress_views_team;
BEGIN;
SELECT partreg.lock_partition('views', 'b', '[2024-01-01, 2024-01-02)', :'b', 'job 2', '0');
SELECT abandoned FROM partreg.locks WHERE source_name = 'views' AND provider_name = 'b';
ROLLBACK;
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
