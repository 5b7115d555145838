-- grant_privileges: exactly one level, none, reader, writer, admin or operator.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
\set VERBOSITY sqlstate

CREATE ROLE regress_privileges;
CREATE ROLE "Regress Privileges""; DROP";

-- All that a role has: schema, views, tables, sequences, types; how many
-- routines (catalog.sql looks at each).
CREATE FUNCTION pg_temp.has(role text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ',
        CASE WHEN has_schema_privilege(role, 'partreg', 'USAGE') THEN 'schema usage' END,
        CASE WHEN has_schema_privilege(role, 'partreg', 'CREATE') THEN 'schema create' END,
        (SELECT count(*) || ' routines' FROM pg_proc
         WHERE pronamespace = 'partreg'::regnamespace AND has_function_privilege(role, oid, 'EXECUTE') HAVING count(*) > 0),
        (SELECT string_agg(relname || ' ' || privilege, ', ' ORDER BY relname, privilege)
         FROM pg_class, unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER}'::text[]) privilege
         WHERE relnamespace = 'partreg'::regnamespace AND relkind IN ('r', 'v') AND has_table_privilege(role, oid, privilege)),
        (SELECT string_agg(seqrelid::regclass::text, ', ') FROM pg_sequence JOIN pg_class ON oid = seqrelid
         WHERE relnamespace = 'partreg'::regnamespace AND has_sequence_privilege(role, seqrelid, 'USAGE, SELECT, UPDATE')))
$$;
-- Compared to the level before: what was gained and lost in routines.
CREATE FUNCTION pg_temp.routines(role text) RETURNS text[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(DISTINCT proname::text ORDER BY proname::text), '{}') FROM pg_proc
    WHERE pronamespace = 'partreg'::regnamespace AND has_function_privilege(role, oid, 'EXECUTE')
$$;
CREATE FUNCTION pg_temp.differs(role text, before text[]) RETURNS TABLE (change text, routine text) LANGUAGE sql AS $$
    (SELECT '+', unnest(pg_temp.routines(role)) EXCEPT SELECT '+', unnest(before))
    UNION ALL
    (SELECT '-', unnest(before) EXCEPT SELECT '-', unnest(pg_temp.routines(role)))
    ORDER BY 1, 2
$$;
SELECT regexp_replace(pg_temp.has('regress_privileges'), '\d+', 'N');

-- Up, one level after the other.
SELECT pg_temp.routines('regress_privileges') AS before \gset
SELECT partreg.grant_privileges('regress_privileges', 'reader');
SELECT regexp_replace(pg_temp.has('regress_privileges'), '\d+', 'N');
SELECT * FROM pg_temp.differs('regress_privileges', :'before');
SELECT pg_temp.routines('regress_privileges') AS before \gset
SELECT partreg.grant_privileges('regress_privileges', 'writer');
SELECT regexp_replace(pg_temp.has('regress_privileges'), '\d+', 'N');
SELECT * FROM pg_temp.differs('regress_privileges', :'before');
SELECT pg_temp.routines('regress_privileges') AS before \gset
SELECT partreg.grant_privileges('regress_privileges', 'admin');
SELECT regexp_replace(pg_temp.has('regress_privileges'), '\d+', 'N');
SELECT * FROM pg_temp.differs('regress_privileges', :'before');
SELECT pg_temp.routines('regress_privileges') AS before \gset
SELECT partreg.grant_privileges('regress_privileges', 'operator');
SELECT regexp_replace(pg_temp.has('regress_privileges'), '\d+', 'N');
SELECT * FROM pg_temp.differs('regress_privileges', :'before');

-- And down: what the level does not have is taken away.
SELECT pg_temp.routines('regress_privileges') AS before \gset
SELECT partreg.grant_privileges('regress_privileges', 'reader');
SELECT count(*) > 10 AS lost_many, bool_and(change = '-') AS only_lost FROM pg_temp.differs('regress_privileges', :'before');
SELECT partreg.grant_privileges('regress_privileges', 'none');
SELECT pg_temp.has('regress_privileges');

-- What somebody granted by hand goes, too.
GRANT ALL ON SCHEMA partreg TO regress_privileges;
GRANT ALL ON ALL TABLES IN SCHEMA partreg TO regress_privileges;
GRANT ALL ON ALL SEQUENCES IN SCHEMA partreg TO regress_privileges;
GRANT ALL ON ALL ROUTINES IN SCHEMA partreg TO regress_privileges WITH GRANT OPTION;
GRANT SELECT (token_digest), UPDATE (token_digest) ON partreg.source TO regress_privileges;
GRANT USAGE ON TYPE partreg.obstacle TO regress_privileges;
SELECT partreg.grant_privileges('regress_privileges', 'reader');
SELECT regexp_replace(pg_temp.has('regress_privileges'), '\d+', 'N');
SELECT has_any_column_privilege('regress_privileges', 'partreg.source', 'SELECT, UPDATE') AS by_column;
SELECT partreg.grant_privileges('regress_privileges', 'none');
SELECT pg_temp.has('regress_privileges');
SELECT count(*) AS left_over FROM pg_shdepend
WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'regress_privileges'::regrole AND deptype = 'a';

-- The name is taken as it is, whatever characters it has; not PUBLIC.
SELECT partreg.grant_privileges('Regress Privileges"; DROP', 'reader');
SELECT has_function_privilege('Regress Privileges"; DROP', 'partreg.check_readiness(text, tstzrange)', 'EXECUTE');
SELECT partreg.grant_privileges('Regress Privileges"; DROP', 'none');
SELECT partreg.grant_privileges('REGRESS_PRIVILEGES', 'reader');
SELECT partreg.grant_privileges('public', 'reader');
SELECT partreg.grant_privileges('PUBLIC', 'reader');
SELECT partreg.grant_privileges('', 'reader');
SELECT partreg.grant_privileges('regress_privileges', 'Reader');
SELECT partreg.grant_privileges('regress_privileges', '');
SELECT partreg.grant_privileges(NULL, 'reader');
-- Messages say what was given, but for what looks like a token; and programs
-- read the condition.
CREATE FUNCTION pg_temp.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
    condition text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, condition = CONSTRAINT_NAME;
    RETURN concat_ws(' | ', SQLSTATE, condition, message, hint);
END
$$;
\pset tuples_only on
SELECT pg_temp.error($$SELECT partreg.grant_privileges('regress_privileges', 'Reader')$$);
SELECT pg_temp.error($$SELECT partreg.grant_privileges('regress_privileges', repeat('x', 300))$$);
SELECT pg_temp.error(format('SELECT partreg.grant_privileges(%L, %L)', 'regress_privileges', 'prs_' || repeat('0123456789abcdef', 4) || '01234567'));
SELECT pg_temp.error(format('SELECT partreg.grant_privileges(%L, %L)', 'prp_' || repeat('0123456789abcdef', 4) || '01234567', 'reader'));
SELECT pg_temp.error($$SELECT partreg.grant_privileges('regress_nobody', 'reader')$$);
SELECT pg_temp.error($$SELECT partreg.grant_privileges(NULL, 'reader')$$);
\pset tuples_only off
SELECT partreg.grant_privileges('regress_privileges', NULL);

-- The owner of the extension keeps what is his.
SELECT partreg.grant_privileges((SELECT rolname FROM pg_extension JOIN pg_roles r ON r.oid = extowner WHERE extname = 'partition_registry'), 'none');

-- No setting of the caller's leaves anything out.
-- (from 19 on it cannot be turned off)
DO $$
BEGIN
    SET standard_conforming_strings = off;
EXCEPTION WHEN feature_not_supported THEN
END
$$;
SELECT partreg.grant_privileges('regress_privileges', 'reader');
SELECT regexp_replace(pg_temp.has('regress_privileges'), '[0-9]+', 'N');
RESET standard_conforming_strings;

-- Which level a role has, its view says; of several levels the highest.
CREATE FUNCTION pg_temp.level_after(level text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM partreg.grant_privileges('regress_privileges', level);
    RETURN (SELECT p.level FROM partreg.privileges p WHERE p.grantee = 'regress_privileges');
END
$$;
SELECT level, pg_temp.level_after(level) FROM unnest(ARRAY['none', 'reader', 'writer', 'admin', 'operator']) level;
-- Without one routine of it, the level below; the owner is not listed.
REVOKE EXECUTE ON FUNCTION partreg.rename_source FROM regress_privileges;
SELECT level FROM partreg.privileges WHERE grantee = 'regress_privileges';
SELECT count(*) FROM partreg.privileges p JOIN pg_extension e ON p.grantee = pg_get_userbyid(e.extowner)::text;

-- A role with single grants by hand has no level, and an upgrade gives it none.
SELECT partreg.grant_privileges('regress_privileges', 'none');
GRANT USAGE ON SCHEMA partreg TO regress_privileges;
GRANT EXECUTE ON FUNCTION partreg.drop_source TO regress_privileges;
SELECT level FROM partreg.privileges WHERE grantee = 'regress_privileges';
SELECT partreg._extend_privileges();
SELECT pg_temp.routines('regress_privileges');

-- A reader reads the answers and the views, and nothing else.
SELECT partreg.register_source('privileges', 'team') AS token \gset
SELECT partreg.grant_privileges('regress_privileges', 'reader');
SET SESSION AUTHORIZATION regress_privileges;
SELECT partreg.check_readiness('privileges', '[2024-01-01, 2024-01-02)');
SELECT count(*) FROM partreg.sources WHERE source_name = 'privileges';
SELECT count(*) FROM partreg.source;
SELECT token_digest FROM partreg.source;
SELECT count(*) FROM partreg.event;
BEGIN;
LOCK TABLE partreg.source IN ACCESS SHARE MODE;
ROLLBACK;
BEGIN;
LOCK TABLE partreg.sources IN ACCESS EXCLUSIVE MODE;
ROLLBACK;
SELECT * FROM partreg.sources FOR UPDATE;
UPDATE partreg.sources SET owner = 'me';
DELETE FROM partreg.events;
SELECT nextval('partreg.event_id_seq');
SELECT partreg.register_provider('a', :'token');
SELECT partreg.register_source('privileges 2', 'me');
SELECT partreg.reset_access_token('privileges');
SELECT partreg.grant_privileges('regress_privileges', 'admin');
SELECT partreg._random_bytes();
SELECT * FROM partreg._routine_level;
CREATE TABLE partreg.mine ();
SET partreg.notify = 'off';
RESET SESSION AUTHORIZATION;

-- A writer does not register or drop sources; nobody but the owner resets.
SELECT partreg.grant_privileges('regress_privileges', 'writer');
SET SESSION AUTHORIZATION regress_privileges;
SELECT partreg.register_provider('a', :'token') IS NOT NULL AS registered;
SELECT partreg.register_source('privileges 2', 'me');
SELECT partreg.drop_source('privileges', :'token');
RESET SESSION AUTHORIZATION;
SELECT partreg.grant_privileges('regress_privileges', 'admin');
SET SESSION AUTHORIZATION regress_privileges;
SELECT partreg.register_source('privileges 2', 'me') IS NOT NULL AS registered;
SELECT partreg.drop_source('privileges', :'token');
SELECT partreg.reset_access_token('privileges 2');
SELECT partreg.grant_privileges('regress_privileges', 'admin');
SELECT count(*) FROM partreg.partition;
SELECT partreg.force_fail_partition('privileges 2', 'a', '[2024-01-01, 2024-01-02)', 'stuck');
SELECT partreg.advance_sequences();
RESET SESSION AUTHORIZATION;
SELECT partreg.grant_privileges('regress_privileges', 'operator');
SET SESSION AUTHORIZATION regress_privileges;
SELECT partreg.force_fail_partition('privileges 2', 'a', '[2024-01-01, 2024-01-02)', 'stuck');
SELECT partreg.advance_sequences();
RESET SESSION AUTHORIZATION;

-- With level none, a role can be dropped at once.
SELECT partreg.grant_privileges('regress_privileges', 'none');
DROP ROLE regress_privileges, "Regress Privileges""; DROP";
