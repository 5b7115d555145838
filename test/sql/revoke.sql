-- revoke_provider: its tokens and trusted role die, its locks become failed,
-- what it supplied stays, and what it owed stays owed.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
SET client_min_messages = warning;    -- no NOTICE of progress where it is slow
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set VERBOSITY sqlstate

CREATE ROLE regress_revoke;
SELECT partreg.grant_privileges('regress_revoke', 'admin');
SET SESSION AUTHORIZATION regress_revoke;
SELECT partreg.register_source('revoke', 'team', 'all') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token', 'regress_revoke') AS a \gset
SELECT partreg.register_provider('b', :'source_token', NULL, '[2024-01-01, 2024-02-01)') AS b \gset
SELECT partreg.register_provider('c', :'source_token', NULL, 'empty') AS c \gset
SELECT partreg.register_partitions('revoke', 'a', '[2024-01-01, 2024-01-08)', '1 day', :'a'),
       partreg.unlock_partitions('revoke', 'a', '[2024-01-01, 2024-01-05)', :'a'),
       partreg.lock_partition('revoke', 'a', '[2024-01-04, 2024-01-05)', :'a', 'job', '1 day', 'reload'),
       partreg.lock_partition('revoke', 'a', '[2024-01-05, 2024-01-06)', :'a'),
       partreg.lock_partition('revoke', 'a', '[2024-01-06, 2024-01-07)', :'a', 'job'),
       partreg.fail_partition('revoke', 'a', '[2024-01-06, 2024-01-07)', :'a', 'job', 'disk full');
SELECT partreg.register_partition('revoke', 'b', '[2024-01-01, 2024-02-01)', :'b'),
       partreg.unlock_partition('revoke', 'b', '[2024-01-01, 2024-02-01)', :'b');
SELECT partreg.register_partition('revoke', 'c', '[2020-01-01, 2020-01-02)', :'c'),
       partreg.lock_partition('revoke', 'c', '[2020-01-01, 2020-01-02)', :'c');
CREATE TEMP VIEW a AS
    SELECT p.start_at, p.state, l.holder, l.reason, l.lease_expires_at, l.abandoned
    FROM partreg.partitions p
    LEFT JOIN partreg.locks l ON (l.source_name, l.provider_name, l.during) = (p.source_name, p.provider_name, tstzrange(p.start_at, p.end_at))
    WHERE (p.source_name, p.provider_name) = ('revoke', 'a') ORDER BY 1;
SELECT partreg.ready_ranges('revoke', '(,)');

-- It takes the source token, and a provider that is there.
SELECT partreg.revoke_provider('revoke', 'a', :'a');
SELECT partreg.revoke_provider('revoke', 'a', :'b');
SELECT partreg.revoke_provider('revoke', 'nobody', :'source_token');
-- A rotated token with grace dies with it.
SELECT partreg.rotate_access_token('revoke', 'a', :'a', '1 day') AS a2 \gset
SELECT partreg.revoke_provider('revoke', 'a', :'source_token');
SELECT partreg.revoke_provider('revoke', 'a', :'source_token');

-- Its tokens and its trusted role are good for nothing any more.
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-07, 2024-01-08)', :'a');
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-07, 2024-01-08)', :'a2');
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-07, 2024-01-08)');
SELECT partreg.rotate_access_token('revoke', 'a', :'a2');
SELECT partreg.set_trusted_role('revoke', 'a', 'regress_revoke', :'source_token');
SELECT partreg.rotate_access_token('revoke', 'a', :'source_token');
RESET SESSION AUTHORIZATION;
SELECT partreg.reset_access_token('revoke', 'a');
SET SESSION AUTHORIZATION regress_revoke;
SELECT trusted_role, old_token_until, revoked_at BETWEEN registered_at AND clock_timestamp() AS revoked, lower_inf(effective) AS from_ever,
       upper(effective) = revoked_at AS ends_then
FROM partreg.providers WHERE source_name = 'revoke' AND provider_name = 'a';

-- Its locks are failed, and nobody else's; what it supplied is there; it owes
-- nothing from now on.
SELECT * FROM a;
SELECT provider_name, lower(during), state, since = (SELECT revoked_at FROM partreg.providers WHERE (source_name, provider_name) = ('revoke', 'a')) AS failed_by_it
FROM partreg.locks WHERE source_name = 'revoke' ORDER BY 1, 2;
SELECT partreg.ready_ranges('revoke', '(,)');
SELECT state, provider_name, lower(during) FROM partreg.explain_readiness('revoke', '[2024-01-01, 2024-01-09)');
SELECT partreg.register_provider('future', :'source_token', NULL, '[2200-01-01,)') AS future \gset
SELECT partreg.register_partition('revoke', 'future', '[2200-01-01, 2200-01-02)', :'future'),
       partreg.unlock_partition('revoke', 'future', '[2200-01-01, 2200-01-02)', :'future');
SELECT partreg.check_readiness('revoke', '[2200-01-01, 2200-01-02)') AS asked_no_more;

-- The owner cleans up with the source token: unlocks, retires, and says for
-- which time it still has to supply.
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-04, 2024-01-05)', :'source_token'),
       partreg.retire_partition('revoke', 'a', '[2024-01-05, 2024-01-06)', :'source_token'),
       partreg.retire_partition('revoke', 'a', '[2024-01-06, 2024-01-07)', :'source_token');
SELECT partreg.ready_ranges('revoke', '(,)');
SELECT partreg.set_effective('revoke', 'a', '[2024-01-01, 2024-01-05)', :'source_token');
SELECT partreg.ready_ranges('revoke', '(,2100-01-01)');

-- An effective range that ended before, or was empty, stays as it was.
SELECT partreg.revoke_provider('revoke', 'b', :'source_token'), partreg.revoke_provider('revoke', 'c', :'source_token');
SELECT provider_name, effective, revoked_at IS NOT NULL AS revoked FROM partreg.providers
WHERE source_name = 'revoke' AND provider_name IN ('b', 'c') ORDER BY 1;

-- Registered again it is revived, with what it supplied, a new token and the
-- effective range given.
SELECT partreg.register_provider('a', :'source_token', NULL, '[2024-01-01, 2024-01-09)') AS a3 \gset
SELECT partreg.register_provider('a', :'source_token');
SELECT trusted_role, effective, revoked_at, old_token_until FROM partreg.providers WHERE source_name = 'revoke' AND provider_name = 'a';
SELECT * FROM a;
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-07, 2024-01-08)', :'a');
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-07, 2024-01-08)', :'a2');
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-07, 2024-01-08)', :'a3');
SELECT partreg.unlock_partition('revoke', 'a', '[2024-01-07, 2024-01-08)');
SELECT partreg.ready_ranges('revoke', '(,2100-01-01)');
-- A name that is known is not revived again; one that is revoked is, also with
-- if_not_exists, and has a new token.
SELECT partreg.register_provider('a', :'source_token', if_not_exists => true) IS NULL AS known,
       partreg.register_provider('b', :'source_token', if_not_exists => true) IS NULL AS known;
SELECT trusted_role, effective, revoked_at FROM partreg.providers WHERE source_name = 'revoke' AND provider_name = 'b';
SELECT partreg.revoke_provider('revoke', 'b', :'source_token');
-- With the trusted role given; by default it is required for all of time.
SELECT partreg.register_provider('c', :'source_token', 'regress_revoke') AS c2 \gset
SELECT trusted_role, effective, token_changed_at > registered_at AS token_is_new FROM partreg.providers WHERE source_name = 'revoke' AND provider_name = 'c';
SELECT partreg.register_partition('revoke', 'c', '[2024-01-01, 2024-01-02)');
SELECT event, provider_name, during, holder, reason FROM partreg.events
WHERE source_name = 'revoke' AND event IN ('revoke', 'fail', 'register_provider') ORDER BY event_id;
SELECT * FROM partreg.verify('revoke');

-- Many locks: all fail, each with its event, and little memory is used for each
-- (how far a new server process ever grew, in kB; see bulk.sql).
SELECT partreg.register_source('revoke many', 'team') AS many_source \gset
SELECT partreg.register_provider('a', :'many_source') AS many \gset
SELECT partreg.register_partitions('revoke many', 'a', '[2024-01-01 00:00+00, 2024-01-07 22:40+00)', '1 minute', :'many'),
       partreg.lock_partitions('revoke many', 'a', '[2024-01-01 00:00+00, 2024-01-07 22:40+00)', :'many', 'job');
\c -
SET client_min_messages = error;
CREATE FUNCTION pg_temp.peak() RETURNS integer LANGUAGE sql AS $$
    SELECT substring(pg_read_file('/proc/self/status', 0, 10000, true) FROM 'Name:\s+postgres\n.*VmPeak:\s+(\d{1,9}) ')::integer
$$;
SELECT partreg.check_readiness('revoke many', '[2024-01-01, 2024-01-02)'), coalesce(pg_temp.peak(), 0) AS before \gset
SELECT partreg.revoke_provider('revoke many', 'a', :'many_source');
SELECT coalesce(pg_temp.peak(), 0) - :before < 20000 AS bounded;
SELECT state, holder, count(*) FROM partreg.locks WHERE source_name = 'revoke many' GROUP BY 1, 2;
SELECT count(DISTINCT during) FROM partreg.events WHERE source_name = 'revoke many' AND event = 'fail';
SELECT partreg.drop_source('revoke many', :'many_source');

-- What the owner locks with the source token afterwards is no damage.
SELECT partreg.register_source('revoke own', 'team') AS own_source \gset
SELECT partreg.register_provider('a', :'own_source') IS NOT NULL AS registered;
SELECT partreg.revoke_provider('revoke own', 'a', :'own_source');
SELECT partreg.lock_partition('revoke own', 'a', '[2024-01-01, 2024-01-02)', :'own_source', register => true);
SELECT problem FROM partreg.verify('revoke own');

-- verify() would find trusted roles that do not exist.
SELECT count(partreg.drop_source(name, partreg.reset_access_token(name))) > 0 AS dropped FROM partreg.source WHERE name ILIKE 'revoke%';
DROP OWNED BY regress_revoke;
DROP ROLE regress_revoke;
