-- Who may write without a token: the provider's trusted role, and members of
-- it that have its privileges; as logged in or by SET ROLE, never as a definer.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_access_trusted;
CREATE ROLE regress_access_member INHERIT IN ROLE regress_access_trusted;
CREATE ROLE regress_access_indirect INHERIT IN ROLE regress_access_member;
CREATE ROLE regress_access_noinherit NOINHERIT IN ROLE regress_access_trusted;
CREATE ROLE regress_access_stranger;
CREATE ROLE regress_access_super SUPERUSER;
CREATE ROLE regress_access_super_member SUPERUSER IN ROLE regress_access_trusted;
CREATE ROLE regress_access_admin;
SELECT partreg.grant_privileges(format('regress_access_%s', r), 'writer')
FROM unnest('{trusted, member, indirect, noinherit, stranger}'::text[]) r;
SELECT partreg.grant_privileges('regress_access_admin', 'admin');

SET SESSION AUTHORIZATION regress_access_admin;
SELECT partreg.register_source('access', 'team') AS source_token \gset
SELECT partreg.register_provider('trusting', :'source_token', 'regress_access_trusted') AS trusting_token \gset
SELECT partreg.register_provider('other', :'source_token') AS other_token \gset
RESET SESSION AUTHORIZATION;

-- Every call that takes a token as an option, without one.
CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'SELECT partreg.' || call;
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END;
$$;
CREATE FUNCTION pg_temp.outcomes(provider text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT pg_temp.outcome(format(call, provider)), ' ')
    FROM unnest(ARRAY[
        $c$register_partition('access', %L, '[2024-01-01, 2024-01-02)', if_not_exists => true)$c$,
        $c$register_partitions('access', %L, '[2024-01-01, 2024-01-02)', '1 hour')$c$,
        $c$lock_partition('access', %L, '[2024-01-01, 2024-01-02)', NULL, 'me')$c$,
        $c$unlock_partition('access', %L, '[2024-01-01, 2024-01-02)', holder => 'me')$c$,
        $c$fail_partition('access', %L, '[2024-01-01, 2024-01-02)')$c$,
        $c$lock_partitions('access', %L, '[2024-01-01, 2024-01-02)', NULL, 'me')$c$,
        $c$unlock_partitions('access', %L, '[2024-01-01, 2024-01-02)', NULL, 'me')$c$,
        $c$retire_partition('access', %L, '[2024-01-01, 2024-01-02)')$c$]) call
$$;
CREATE FUNCTION pg_temp.as_definer(provider text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
    SELECT pg_temp.outcomes(provider)
$$;
ALTER FUNCTION pg_temp.as_definer OWNER TO regress_access_trusted;

-- As logged in: alone, through a definer's function that the trusted role owns,
-- and for a provider that trusts nobody.
SET SESSION AUTHORIZATION regress_access_trusted;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting'), pg_temp.outcomes('other');
SET SESSION AUTHORIZATION regress_access_member;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting'), pg_temp.outcomes('other');
SET SESSION AUTHORIZATION regress_access_indirect;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting'), pg_temp.outcomes('other');
SET SESSION AUTHORIZATION regress_access_noinherit;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting'), pg_temp.outcomes('other');
SET SESSION AUTHORIZATION regress_access_stranger;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting'), pg_temp.outcomes('other');
SET SESSION AUTHORIZATION regress_access_super;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting'), pg_temp.outcomes('other');
SET SESSION AUTHORIZATION regress_access_super_member;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting'), pg_temp.outcomes('other');

-- By SET ROLE: to the trusted role, and away from it.
SET SESSION AUTHORIZATION regress_access_noinherit;
SET ROLE regress_access_trusted;
SELECT current_user, pg_temp.outcomes('trusting');
SET SESSION AUTHORIZATION regress_access_super;
SET ROLE regress_access_trusted;
SELECT current_user, pg_temp.outcomes('trusting');
SET ROLE regress_access_stranger;
SELECT current_user, pg_temp.outcomes('trusting'), pg_temp.as_definer('trusting');
RESET SESSION AUTHORIZATION;

-- What ANALYZE, VACUUM or REINDEX run belongs to the owner of the table, here an
-- index of a stranger's, and is not trusted, whoever gave the command.
SET SESSION AUTHORIZATION regress_access_stranger;
CREATE FUNCTION pg_temp.bait(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% for %: %', current_user, session_user, pg_temp.outcome(
        $c$register_partition('access', 'trusting', '[2024-02-01, 2024-02-02)', if_not_exists => true)$c$);
    RETURN $1;
END;
$$;
CREATE TEMP TABLE bait (n integer);
INSERT INTO bait VALUES (1);
CREATE INDEX bait_idx ON bait (pg_temp.bait(n));
SET SESSION AUTHORIZATION regress_access_super_member;
ANALYZE bait;
REINDEX TABLE bait;
SELECT pg_temp.bait(1);
SET SESSION AUTHORIZATION regress_access_stranger;
DROP TABLE bait;
DROP FUNCTION pg_temp.bait;

-- A token in hand makes no difference to that: a wrong one is no better than
-- none, even for the trusted role.
SET SESSION AUTHORIZATION regress_access_trusted;
\set VERBOSITY sqlstate
SELECT partreg.register_partition('access', 'trusting', '[2024-01-01, 2024-01-02)', :'other_token');
SELECT partreg.register_partition('access', 'trusting', '[2024-01-01, 2024-01-02)', '');
-- What belongs to the source takes the source token, trusted or not.
SELECT partreg.set_effective('access', 'trusting', '(,)', :'trusting_token');
SELECT partreg.revoke_provider('access', 'trusting', :'trusting_token');
RESET SESSION AUTHORIZATION;

-- The owner of the extension needs a token as everybody does.
SELECT partreg.register_partition('access', 'trusting', '[2024-01-01, 2024-01-02)');
SELECT partreg.set_owner('access', 'me', :'other_token');

-- Trust follows the role: revoked membership, another trusted role, none, a
-- role that was renamed (and see trusted_role.sql).
REVOKE regress_access_trusted FROM regress_access_member;
SET SESSION AUTHORIZATION regress_access_member;
SELECT pg_temp.outcomes('trusting');
RESET SESSION AUTHORIZATION;
SELECT partreg.set_trusted_role('access', 'trusting', 'regress_access_stranger', :'source_token');
SET SESSION AUTHORIZATION regress_access_stranger;
SELECT pg_temp.outcomes('trusting');
SET SESSION AUTHORIZATION regress_access_trusted;
SELECT pg_temp.outcomes('trusting');
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_access_stranger RENAME TO regress_access_renamed;
SET SESSION AUTHORIZATION regress_access_renamed;
SELECT pg_temp.outcomes('trusting');
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_access_renamed RENAME TO regress_access_stranger;
SELECT partreg.set_trusted_role('access', 'trusting', NULL, :'source_token');
SET SESSION AUTHORIZATION regress_access_stranger;
SELECT pg_temp.outcomes('trusting');
RESET SESSION AUTHORIZATION;

-- The default holder and the actor are the caller, not a definer.
SELECT partreg.set_trusted_role('access', 'trusting', 'regress_access_trusted', :'source_token');
SELECT partreg.register_partition('access', 'trusting', '[2024-01-01, 2024-01-02)', :'trusting_token');
CREATE FUNCTION pg_temp.lock_it() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
    SELECT partreg.lock_partition('access', 'trusting', '[2024-01-01, 2024-01-02)')
$$;
ALTER FUNCTION pg_temp.lock_it OWNER TO regress_access_stranger;
SET SESSION AUTHORIZATION regress_access_indirect;
SET SESSION AUTHORIZATION regress_access_noinherit;
SET ROLE regress_access_trusted;
SELECT pg_temp.lock_it();
SELECT holder FROM partreg.locks WHERE source_name = 'access';
SELECT event, actor, holder FROM partreg.events WHERE source_name = 'access' ORDER BY event_id DESC LIMIT 1;
RESET SESSION AUTHORIZATION;

-- verify() would find trusted roles that do not exist.
SELECT count(partreg.drop_source(name, partreg.reset_access_token(name))) > 0 AS dropped FROM partreg.source WHERE name ILIKE 'access%';
SET client_min_messages = error;
DROP FUNCTION pg_temp.lock_it, pg_temp.as_definer;
DROP OWNED BY regress_access_trusted, regress_access_member, regress_access_indirect, regress_access_noinherit,
    regress_access_stranger, regress_access_admin;
DROP ROLE regress_access_indirect, regress_access_member, regress_access_noinherit, regress_access_stranger,
    regress_access_super, regress_access_super_member, regress_access_admin, regress_access_trusted;
