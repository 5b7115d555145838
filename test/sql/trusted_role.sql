-- Trusted roles of sources and providers: which role is meant, and what it may
-- do without a token.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_trusted_team;
CREATE ROLE regress_trusted_member INHERIT IN ROLE regress_trusted_team;
CREATE ROLE regress_trusted_noinherit NOINHERIT IN ROLE regress_trusted_team;
CREATE ROLE regress_trusted_job;
CREATE ROLE regress_trusted_both INHERIT IN ROLE regress_trusted_team, regress_trusted_job;
CREATE ROLE regress_trusted_stranger;
CREATE ROLE regress_trusted_super SUPERUSER;
SELECT partreg.grant_privileges('regress_trusted_' || r, 'admin')
FROM unnest('{team, member, noinherit, job, both, stranger}'::text[]) r;

CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    condition text;
BEGIN
    EXECUTE 'SELECT partreg.' || call;
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS condition = CONSTRAINT_NAME;
    RETURN concat_ws(' ', SQLSTATE, nullif(condition, ''));
END;
$$;
-- Does the source trust the caller, and does the provider?
CREATE FUNCTION pg_temp.trusts() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ',
        CASE pg_temp.outcome($c$set_owner('trusted', 'team')$c$) WHEN 'good' THEN 'source' END,
        CASE pg_temp.outcome($c$register_partition('trusted', 'job', '[2024-01-01, 2024-01-02)', if_not_exists => true)$c$)
            WHEN 'good' THEN 'provider' END)
$$;

-- A source with a trusted role; who is it declares its providers without a token.
SELECT partreg.register_source('trusted', 'team', trusted_role => 'regress_trusted_team') AS source_token \gset
SET SESSION AUTHORIZATION regress_trusted_member;
SELECT partreg.register_provider('job', NULL, 'regress_trusted_job', source_name => 'trusted') AS job_token \gset
SELECT partreg.register_provider('other', source_name => 'trusted') AS other_token \gset
SELECT :'job_token' ~ '^prp_[0-9a-f]{72}$' AS is_provider_token;
-- Where both are given, they have to agree.
SELECT pg_temp.outcome(call)
FROM unnest(ARRAY[
    format($$register_provider('third', %L, source_name => 'trusted')$$, :'source_token'),
    format($$register_provider('fourth', %L, source_name => 'Trusted')$$, :'source_token'),
    format($$register_provider('fourth', %L, source_name => 'trusted')$$, :'job_token'),
    $$register_provider('fourth', '', source_name => 'trusted')$$,
    $$register_provider('fourth')$$,
    $$register_provider('fourth', NULL, NULL, '(,)', NULL, true)$$]) call;

-- Who is trusted by what: as logged in.
CREATE FUNCTION pg_temp.as_definer() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT pg_temp.trusts() $$;
RESET SESSION AUTHORIZATION;
ALTER FUNCTION pg_temp.as_definer OWNER TO regress_trusted_team;
SET SESSION AUTHORIZATION regress_trusted_team;
SELECT current_user, pg_temp.trusts(), pg_temp.as_definer();
SET SESSION AUTHORIZATION regress_trusted_member;
SELECT current_user, pg_temp.trusts(), pg_temp.as_definer();
SET SESSION AUTHORIZATION regress_trusted_noinherit;
SELECT current_user, pg_temp.trusts(), pg_temp.as_definer();
SET SESSION AUTHORIZATION regress_trusted_job;
SELECT current_user, pg_temp.trusts(), pg_temp.as_definer();
SET SESSION AUTHORIZATION regress_trusted_both;
SELECT current_user, pg_temp.trusts(), pg_temp.as_definer();
SET SESSION AUTHORIZATION regress_trusted_stranger;
SELECT current_user, pg_temp.trusts(), pg_temp.as_definer();
SET SESSION AUTHORIZATION regress_trusted_super;
SELECT current_user, pg_temp.trusts(), pg_temp.as_definer();
-- By SET ROLE, for a session or for a transaction; and away from it.
SET SESSION AUTHORIZATION regress_trusted_noinherit;
SET ROLE regress_trusted_team;
SELECT current_user, pg_temp.trusts();
RESET ROLE;
BEGIN;
SET LOCAL ROLE regress_trusted_team;
SELECT current_user, pg_temp.trusts();
COMMIT;
SELECT current_user, pg_temp.trusts();
SET SESSION AUTHORIZATION regress_trusted_super;
SET ROLE regress_trusted_job;
SELECT current_user, pg_temp.trusts();
SET ROLE regress_trusted_stranger;
SELECT current_user, pg_temp.trusts();
RESET SESSION AUTHORIZATION;

-- What the source's trusted role may do without a token is what the source token
-- may, and nothing is open to others.
CREATE FUNCTION pg_temp.outcomes(source text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT pg_temp.outcome(format(call, source)) || ': ' || format(call, source)
    FROM unnest(ARRAY[
        $c$set_owner(%L, 'team')$c$,
        $c$set_readiness_rule(%L, 'any')$c$,
        $c$set_effective(%L, 'other', '(,)')$c$,
        $c$set_trusted_role(%L, 'other', NULL)$c$,
        $c$set_trusted_role(%L, NULL, 'regress_trusted_team')$c$,
        $c$rename_provider(%L, 'other', 'another')$c$,
        $c$rename_provider(%1$L, 'another', 'other')$c$,
        $c$rename_source(%1$L, %1$L || '!')$c$,
        $c$rename_source(%1$L || '!', %1$L)$c$,
        $c$register_provider('temporary', source_name => %L)$c$,
        $c$register_partition(%L, 'temporary', '[2024-01-01, 2024-01-02)')$c$,
        $c$set_effective(%L, 'nobody', '(,)')$c$,
        $c$register_partition(%L, 'nobody', '[2024-01-01, 2024-01-02)')$c$,
        $c$revoke_provider(%L, 'temporary')$c$,
        $c$set_trusted_role(%L, 'temporary', NULL)$c$,
        $c$rename_provider(%L, 'temporary', 'revoked')$c$]) call
$$;
SET SESSION AUTHORIZATION regress_trusted_member;
SELECT pg_temp.outcomes('trusted');
SET SESSION AUTHORIZATION regress_trusted_job;
SELECT pg_temp.outcomes('trusted');
SELECT DISTINCT left(pg_temp.outcomes('no such source'), 17) AS outcome ORDER BY 1;
RESET SESSION AUTHORIZATION;
SELECT pg_temp.outcome($$drop_source('trusted')$$);
SELECT event, provider_name, actor, credential, nullif(details - 'effective', '{}') AS details FROM partreg.events
WHERE source_name LIKE 'trusted%' AND event NOT IN ('register_source', 'register_partition') ORDER BY event_id;

-- The source's trusted role overrides a holder, as the source token does; who is
-- trusted by both acts as the provider, and does not.
SELECT partreg.lock_partition('trusted', 'job', '[2024-01-01, 2024-01-02)', :'job_token', 'attempt 1');
SET SESSION AUTHORIZATION regress_trusted_job;
SELECT pg_temp.outcome($$unlock_partition('trusted', 'job', '[2024-01-01, 2024-01-02)')$$);
SET SESSION AUTHORIZATION regress_trusted_both;
SELECT pg_temp.outcome($$unlock_partition('trusted', 'job', '[2024-01-01, 2024-01-02)')$$);
SET SESSION AUTHORIZATION regress_trusted_team;
SELECT pg_temp.outcome($$unlock_partition('trusted', 'job', '[2024-01-01, 2024-01-02)')$$);
RESET SESSION AUTHORIZATION;
SELECT event, actor, credential FROM partreg.events WHERE source_name = 'trusted' ORDER BY event_id DESC LIMIT 1;

-- Trusted is the role that was meant: under another name it is still, and
-- neither one that is renamed to the old name, nor one that is made under it.
ALTER ROLE regress_trusted_team RENAME TO regress_trusted_moved;
ALTER ROLE regress_trusted_job RENAME TO regress_trusted_moved_job;
SELECT trusted_role FROM partreg.source WHERE name = 'trusted' UNION ALL
SELECT trusted_role FROM partreg.providers WHERE source_name = 'trusted' AND provider_name = 'job';
SET SESSION AUTHORIZATION regress_trusted_moved;
SELECT current_user, pg_temp.trusts();
SET SESSION AUTHORIZATION regress_trusted_member;
SELECT current_user, pg_temp.trusts();
SET SESSION AUTHORIZATION regress_trusted_moved_job;
SELECT current_user, pg_temp.trusts();
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_trusted_stranger RENAME TO regress_trusted_team;
CREATE ROLE regress_trusted_job;
SELECT partreg.grant_privileges('regress_trusted_job', 'admin');
SET SESSION AUTHORIZATION regress_trusted_team;
SELECT current_user, pg_temp.trusts();
SET SESSION AUTHORIZATION regress_trusted_job;
SELECT current_user, pg_temp.trusts();
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_trusted_team RENAME TO regress_trusted_stranger;
ALTER ROLE regress_trusted_moved RENAME TO regress_trusted_team;
DROP OWNED BY regress_trusted_job, regress_trusted_moved_job;
DROP ROLE regress_trusted_job, regress_trusted_moved_job;
CREATE ROLE regress_trusted_job;
SELECT partreg.grant_privileges('regress_trusted_job', 'admin');
SET SESSION AUTHORIZATION regress_trusted_job;
SELECT current_user, pg_temp.trusts();
SET SESSION AUTHORIZATION regress_trusted_super;
SELECT current_user, pg_temp.trusts();
RESET SESSION AUTHORIZATION;

-- Set again, the name means the role that there is now: a change, with an event.
-- What is so already is none.
SELECT count(*) AS events FROM partreg.events WHERE source_name = 'trusted' \gset
SELECT partreg.set_trusted_role('trusted', 'job', 'regress_trusted_job', :'source_token');
SELECT partreg.set_trusted_role('trusted', 'job', 'regress_trusted_job', :'source_token');
SELECT partreg.set_trusted_role('trusted', NULL, 'regress_trusted_team', :'source_token');
SELECT event, provider_name FROM partreg.events WHERE source_name = 'trusted' ORDER BY event_id OFFSET :events;
SET SESSION AUTHORIZATION regress_trusted_job;
SELECT current_user, pg_temp.trusts();
RESET SESSION AUTHORIZATION;

-- What another cluster or another database has stored (it was restored, or
-- pg_upgraded, or copied), or an earlier version without an OID, goes by name,
-- whatever the OID says.  Set again it goes by identity.
CREATE FUNCTION pg_temp.trusting(columns text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    trusts text;
BEGIN
    EXECUTE format('UPDATE partreg.source SET %s WHERE name = ''trusted''', columns);
    EXECUTE format('UPDATE partreg.provider SET %s WHERE name = ''job''', columns);
    SET LOCAL ROLE regress_trusted_job;
    trusts := 'job: ' || pg_temp.trusts();
    SET LOCAL ROLE regress_trusted_team;
    trusts := trusts || '; team: ' || pg_temp.trusts();
    RESET ROLE;
    RAISE EXCEPTION USING MESSAGE = trusts;
EXCEPTION WHEN raise_exception THEN
    RETURN SQLERRM;
END;
$$;
SELECT oid AS stranger FROM pg_roles WHERE rolname = 'regress_trusted_stranger' \gset
SELECT columns, pg_temp.trusting(replace(columns, '$', :'stranger'))
FROM unnest(ARRAY[
    'trusted_role_oid = trusted_role_oid',
    'trusted_role_oid = $',
    'trusted_role_oid = $, trusted_role_system = trusted_role_system + 1',
    'trusted_role_oid = $, trusted_role_database = 1',
    'trusted_role_oid = NULL, trusted_role_system = NULL, trusted_role_database = NULL',
    'trusted_role_oid = $, trusted_role_system = NULL',
    'trusted_role_oid = $, trusted_role_database = NULL',
    'trusted_role_oid = NULL',
    'trusted_role = ''regress_trusted_nobody''',
    'trusted_role = ''regress_trusted_nobody'', trusted_role_system = 0',
    'trusted_role = NULL']) columns;
UPDATE partreg.provider SET trusted_role_system = 0 WHERE name = 'job';
SELECT partreg.set_trusted_role('trusted', 'job', 'regress_trusted_job', :'source_token');
SELECT trusted_role_system = (SELECT system_identifier FROM pg_control_system()) AS this_system,
       trusted_role_database = (SELECT oid FROM pg_database WHERE datname = current_database()) AS this_database,
       trusted_role_oid = 'regress_trusted_job'::regrole AS this_role
FROM partreg.provider WHERE name = 'job';

-- None, and one that there is not.
SELECT partreg.set_trusted_role('trusted', NULL, NULL, :'source_token');
SELECT partreg.set_trusted_role('trusted', 'job', NULL, :'source_token');
SELECT trusted_role, trusted_role_oid, trusted_role_system, trusted_role_database FROM partreg.source WHERE name = 'trusted' UNION ALL
SELECT trusted_role, trusted_role_oid, trusted_role_system, trusted_role_database FROM partreg.provider WHERE name = 'job';
SET SESSION AUTHORIZATION regress_trusted_both;
SELECT current_user, pg_temp.trusts();
RESET SESSION AUTHORIZATION;
SELECT pg_temp.outcome(format($$set_trusted_role('trusted', NULL, 'regress_trusted_nobody', %L)$$, :'source_token'));
SELECT pg_temp.outcome($$register_source('trusted too', 'team', trusted_role => 'regress_trusted_nobody')$$);
SELECT pg_temp.outcome(format($$register_provider('fourth', %L, 'regress_trusted_nobody')$$, :'source_token'));

-- A deployment script that declares the sources of forty teams, with what is to
-- be so in the end, runs as their trusted role, again and again.  It sees each
-- token once; the second time nothing changes, and no number is used up.
CREATE FUNCTION pg_temp.deploy() RETURNS TABLE (source_tokens bigint, provider_tokens bigint) LANGUAGE sql AS $$
    SELECT count(partreg.register_source('deployed ' || n, 'team ' || n, 'all', 'regress_trusted_team', true)),
           count(partreg.register_provider('job', NULL, 'regress_trusted_job', '[2024-01-01,)', 'deployed ' || n, true))
    FROM generate_series(1, 40) n
$$;
CREATE TEMP VIEW deployed AS
    SELECT s.last_value AS source_number, p.last_value AS provider_number,
           (SELECT string_agg(t::text, E'\n' ORDER BY id) FROM partreg.source t) AS sources,
           (SELECT string_agg(t::text, E'\n' ORDER BY id) FROM partreg.provider t) AS providers,
           (SELECT count(*) FROM partreg.event) AS events
    FROM partreg.source_id_seq s, partreg.provider_id_seq p;
SET SESSION AUTHORIZATION regress_trusted_team;
SELECT * FROM pg_temp.deploy();
RESET SESSION AUTHORIZATION;
CREATE TEMP TABLE before AS TABLE deployed;
SET SESSION AUTHORIZATION regress_trusted_team;
SELECT * FROM pg_temp.deploy();
-- Nor by what is refused, nor where other values are given.
SELECT DISTINCT pg_temp.outcome(call)
FROM generate_series(1, 40) n,
     unnest(ARRAY[format($$register_source('deployed %s', 'somebody')$$, n),
                  format($$register_provider('job', source_name => 'deployed %s')$$, n)]) call;
SELECT partreg.register_source('deployed 1', 'somebody', 'any', NULL, true) IS NULL AS unchanged,
       partreg.register_provider('job', NULL, NULL, 'empty', 'deployed 1', true) IS NULL AS unchanged;
RESET SESSION AUTHORIZATION;
SELECT deployed = before AS nothing_changed FROM deployed, before;
SELECT owner, rule, trusted_role FROM partreg.source WHERE name = 'deployed 7';
SELECT trusted_role, effective FROM partreg.providers WHERE source_name = 'deployed 7';
-- Somebody who is not the trusted role gets nothing, though what he declares
-- exists, and is told nothing.
SET SESSION AUTHORIZATION regress_trusted_stranger;
SELECT pg_temp.outcome($$register_provider('job', source_name => 'deployed 1', if_not_exists => true)$$),
       pg_temp.outcome($$register_provider('job', source_name => 'no such source', if_not_exists => true)$$);
RESET SESSION AUTHORIZATION;
-- A provider that was revoked is revived by it, and has a new token.
SET SESSION AUTHORIZATION regress_trusted_team;
SELECT partreg.revoke_provider('deployed 40', 'job');
SELECT * FROM pg_temp.deploy();
RESET SESSION AUTHORIZATION;
SELECT trusted_role, effective, revoked_at FROM partreg.providers WHERE source_name = 'deployed 40';

SELECT count(partreg.drop_source(name, partreg.reset_access_token(name)))
FROM partreg.source WHERE name LIKE 'trusted%' OR name LIKE 'deployed%';
SET client_min_messages = error;
DROP FUNCTION pg_temp.as_definer;
DROP OWNED BY regress_trusted_team, regress_trusted_member, regress_trusted_noinherit, regress_trusted_job,
    regress_trusted_both, regress_trusted_stranger;
DROP ROLE regress_trusted_team, regress_trusted_member, regress_trusted_noinherit, regress_trusted_job,
    regress_trusted_both, regress_trusted_stranger, regress_trusted_super;
