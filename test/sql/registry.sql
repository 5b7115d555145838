-- Sources and providers: registering and changing them.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set VERBOSITY sqlstate

CREATE ROLE regress_registry_admin;
CREATE ROLE regress_registry_job;
CREATE ROLE "Regress Registry";
SELECT partreg.grant_privileges('regress_registry_admin', 'admin');

SET SESSION AUTHORIZATION regress_registry_admin;
CREATE TEMP VIEW history AS
    SELECT event, source_name, provider_name, during,
           CASE WHEN actor LIKE 'regress%' THEN actor ELSE 'a superuser' END AS actor, holder, reason
    FROM partreg.events
    WHERE source_name LIKE 'registry%'
    ORDER BY event_id;

-- A source is registered once, with rule "any" unless said otherwise.
SELECT partreg.register_source('registry', 'ivan.ivanov@company.com') AS source_token \gset
SELECT partreg.register_source('registry all', owner => 'somebody', rule => 'all') AS all_token \gset
SELECT partreg.register_source('registry null', 'somebody', NULL) IS NOT NULL AS registered;
SELECT partreg.register_source('registry', 'somebody else');
SELECT partreg.register_source('registry', 'somebody else', 'all');
SELECT source_name, owner, rule, registered_at = token_changed_at AS token_is_first
FROM partreg.sources WHERE source_name LIKE 'registry%' ORDER BY 1;

-- Names are compared byte by byte.
SELECT partreg.register_source('Registry', 'somebody') IS NOT NULL AS registered;
SELECT partreg.register_source('registry  null', 'somebody') IS NOT NULL AS registered;

-- A provider is registered once, for the source that the token opens; another
-- source may have one of that name.
SELECT partreg.register_provider('loader', :'source_token') AS provider_token \gset
SELECT partreg.register_provider('loader', :'all_token') IS NOT NULL AS registered;
SELECT partreg.register_provider('loader', :'source_token');
SELECT partreg.register_provider('Loader', :'source_token', 'regress_registry_job',
                                 '[2024-01-01, 2025-01-01)') IS NOT NULL AS registered;
SELECT partreg.register_provider('quoted', :'source_token', trusted_role => 'Regress Registry') IS NOT NULL AS registered;
SELECT partreg.register_provider('null', :'source_token', NULL, NULL) IS NOT NULL AS registered;
SELECT partreg.register_provider('no such role', :'source_token', 'regress_registry_nobody');
SELECT partreg.register_provider('role of other case', :'source_token', 'REGRESS_REGISTRY_JOB');

-- A provider token registers no provider, nor does a source's of another kind.
SELECT partreg.register_provider('another', :'provider_token');
SELECT partreg.register_provider('another', 'secret');
SELECT partreg.register_provider('another', '');

-- What is known is left as it is; with if_not_exists that is no error, and there
-- is no token.  NULL for an option is its default.
SELECT partreg.register_source('registry', 'somebody else', 'all', 'regress_registry_job', true) IS NULL AS known,
       partreg.register_source('registry', 'somebody else', if_not_exists => true) IS NULL AS known,
       partreg.register_source('registry new', 'somebody', if_not_exists => true) ~ '^prs_' AS registered;
SELECT partreg.register_source('registry', 'somebody else', if_not_exists => NULL);
SELECT partreg.register_provider('loader', :'source_token', 'regress_registry_job', 'empty', if_not_exists => true) IS NULL AS known,
       partreg.register_provider('loader', :'source_token', source_name => 'registry', if_not_exists => true) IS NULL AS known,
       partreg.register_provider('new', :'source_token', if_not_exists => true) ~ '^prp_' AS registered;
SELECT partreg.register_provider('loader', :'source_token', if_not_exists => NULL);
SELECT source_name, owner, rule FROM partreg.sources WHERE source_name = 'registry';
-- Unusable values are an error all the same.
SELECT partreg.register_source('registry', 'somebody else', 'most', if_not_exists => true);
SELECT partreg.register_source('registry', '', if_not_exists => true);
SELECT partreg.register_source('registry', 'somebody else', trusted_role => 'regress_registry_nobody', if_not_exists => true);
SELECT partreg.register_provider('loader', :'source_token', 'regress_registry_nobody', if_not_exists => true);
-- The source may be named; it has to be the one that the token opens.
SELECT partreg.register_provider('named', :'source_token', source_name => 'registry') IS NOT NULL AS registered;
SELECT partreg.register_provider('named too', :'source_token', source_name => 'registry all');
SELECT partreg.register_provider('named too', :'source_token', source_name => 'no such source');
SELECT partreg.register_provider('named too', source_name => 'registry');
\set VERBOSITY default
SELECT partreg.register_provider('named too');
SELECT partreg.register_source('registry', 'somebody else');
SELECT partreg.register_provider('loader', :'source_token');
\set VERBOSITY sqlstate

-- The effective range is kept as [start, end); it may be unbounded or empty; an
-- infinite bound is none, nor is one that would be beyond the last timestamp.
SELECT partreg.register_provider(name, :'source_token', effective => range::tstzrange) IS NOT NULL AS registered
FROM (VALUES ('1', '(2024-01-01, 2024-02-01]'), ('2', '(,2024-01-01]'), ('3', 'empty'),
             ('4', '[-infinity, infinity]'), ('5', '(2024-01-01, 2024-01-01 00:00:00.000001)'),
             ('6', '[2024-01-01, 294276-12-31 23:59:59.999999]'), ('7', '(294276-12-31 23:59:59.999999,)')) v (name, range);
SELECT provider_name, trusted_role, effective, deadline, registered_at = token_changed_at AS token_is_first,
       old_token_until, revoked_at
FROM partreg.providers WHERE source_name = 'registry' ORDER BY 1;

-- What can be changed with the source token.
SELECT partreg.set_owner('registry', 'ann', :'source_token');
SELECT partreg.set_readiness_rule('registry', 'all', :'source_token');
SELECT partreg.set_effective('registry', 'loader', '(2024-01-01, 2024-02-01]', :'source_token');
SELECT partreg.set_effective('registry', 'Loader', 'empty', :'source_token');
SELECT partreg.set_trusted_role('registry', 'loader', 'Regress Registry', :'source_token');
SELECT partreg.set_trusted_role('registry', 'Loader', NULL, :'source_token');
SELECT partreg.set_trusted_role('registry', NULL, 'regress_registry_job', :'source_token');
SELECT trusted_role FROM partreg.sources WHERE source_name = 'registry';
SELECT partreg.set_trusted_role('registry', NULL, NULL, :'source_token');
SELECT source_name, owner, rule FROM partreg.sources WHERE source_name = 'registry';
SELECT provider_name, trusted_role, effective
FROM partreg.providers WHERE source_name = 'registry' AND provider_name IN ('loader', 'Loader') ORDER BY 1;

-- What was so already is no change and leaves no event, however it is written.
SELECT partreg.set_readiness_rule('registry', 'all', :'source_token');
SELECT partreg.set_effective('registry', 'loader', '[2024-01-01 00:00:00.000001, 2024-02-01 00:00:00.000001)', :'source_token');
SELECT partreg.set_effective('registry', 'Loader', '[2024-01-01, 2024-01-01)', :'source_token');
SELECT partreg.set_trusted_role('registry', 'loader', 'Regress Registry', :'source_token');
SELECT partreg.set_trusted_role('registry', 'Loader', NULL, :'source_token');
SELECT partreg.set_trusted_role('registry', NULL, NULL, :'source_token');

-- Another source's token, or a provider's, changes nothing.
SELECT partreg.set_owner('registry', 'eve', :'all_token');
SELECT partreg.set_owner('registry', 'eve', :'provider_token');
SELECT partreg.set_readiness_rule('registry', 'any', :'provider_token');
SELECT partreg.set_effective('registry', 'loader', '(,)', :'provider_token');
SELECT partreg.set_trusted_role('registry', 'loader', NULL, :'provider_token');
SELECT partreg.set_trusted_role('registry', NULL, 'regress_registry_job', :'provider_token');
SELECT partreg.set_trusted_role('registry', NULL, 'regress_registry_job');
SELECT partreg.set_trusted_role('registry', 'nobody', NULL, :'source_token');
SELECT partreg.set_effective('registry', 'nobody', '(,)', :'source_token');
SELECT partreg.set_trusted_role('registry', 'loader', 'regress_registry_nobody', :'source_token');
SELECT partreg.set_readiness_rule('registry', 'some', :'source_token');
SELECT partreg.set_readiness_rule('registry', 'ANY', :'source_token');

-- A lost token is replaced by the owner of the extension, and dies at once.
SELECT partreg.reset_access_token('registry');
RESET SESSION AUTHORIZATION;
SELECT partreg.reset_access_token('registry') AS new_source_token \gset
SELECT partreg.reset_access_token('registry', provider_name => 'loader') AS new_provider_token \gset
SELECT partreg.reset_access_token('unknown');
SELECT partreg.reset_access_token('registry', 'unknown');
SET SESSION AUTHORIZATION regress_registry_admin;
SELECT partreg.set_owner('registry', 'eve', :'source_token');
SELECT partreg.set_owner('registry', 'bob', :'new_source_token');
SELECT partreg.register_partition('registry', 'loader', '[2024-01-01, 2024-01-02)', :'provider_token');
SELECT partreg.register_partition('registry', 'loader', '[2024-01-01, 2024-01-02)', :'new_provider_token');
SELECT token_changed_at > registered_at AS token_changed, old_token_until
FROM partreg.providers WHERE source_name = 'registry' AND provider_name = 'loader';

-- All of it is in the history, with who did it.
SELECT * FROM history;

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
-- verify() would find trusted roles that do not exist.
SELECT count(partreg.drop_source(name, partreg.reset_access_token(name))) > 0 AS dropped FROM partreg.source WHERE name ILIKE 'registry%';
DROP OWNED BY regress_registry_admin;
DROP ROLE regress_registry_admin, regress_registry_job, "Regress Registry";
