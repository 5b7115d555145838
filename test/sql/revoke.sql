-- revoke_provider: its tokens and trusted role die, its locks become failed,
-- what it supplied stays, and what it owed stays owed.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
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
       partreg.fail_partition('revoke', 'a', '[2024-01-06, 2024-01-07)', :'a', 'disk full', 'job');
SELECT partreg.register_partition('revoke', 'b', '[2024-01-01, 2024-02-01)', :'b'),
       partreg.unlock_partition('revoke', 'b', '[2024-01-01, 2024-02-01)', :'b');
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

-- Its locks are failed; what it supplied is there; it owes nothing from now on.
SELECT * FROM a;
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
SELECT event, provider_name, during, holder, reason FROM partreg.events
WHERE source_name = 'revoke' AND event IN ('revoke', 'fail', 'register_provider') ORDER BY event_id;
SELECT * FROM partreg.verify('revoke');

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_revoke;
DROP ROLE regress_revoke;
