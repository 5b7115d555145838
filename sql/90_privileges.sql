-- Privileges.  PUBLIC has nothing; grant_privileges() gives a role one level.

-- The level that each public routine belongs to.  Routines that are not here
-- (reset_access_token, grant_privileges, everything with a leading _) are for
-- the owner of the extension and superusers alone.
CREATE VIEW partreg._routine_level (routine, level) AS
    VALUES ('check_readiness'::name, 'reader'::text),
           ('explain_readiness', 'reader'),
           ('assert_ready', 'reader'),
           ('coalesce_ranges', 'reader'),
           ('register_provider', 'writer'),
           ('register_partition', 'writer'),
           ('lock_partition', 'writer'),
           ('unlock_partition', 'writer'),
           ('fail_partition', 'writer'),
           ('set_owner', 'writer'),
           ('set_readiness_rule', 'writer'),
           ('set_effective', 'writer'),
           ('set_trusted_role', 'writer'),
           ('register_source', 'admin');
COMMENT ON VIEW partreg._routine_level IS 'internal: which level of grant_privileges() a routine belongs to';

CREATE FUNCTION partreg.grant_privileges(grantee text, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    -- In ascending order; each level has what the ones before it have.
    levels CONSTANT text[] := ARRAY['none', 'reader', 'writer', 'admin'];
    target record;
BEGIN
    IF grantee IS NULL OR level IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null',
                             CASE WHEN grantee IS NULL THEN 'grantee' ELSE 'level' END);
    END IF;
    IF level <> ALL (levels) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'unknown level of privileges',
            HINT = 'The levels are none, reader, writer and admin.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = grantee) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = 'the role to be granted privileges does not exist',
            HINT = 'The name is taken as it is written, without folding its case.';
    END IF;

    -- One at a time: GRANTs on one object at once fail with an internal error.
    LOCK TABLE partreg._routine_level IN ACCESS EXCLUSIVE MODE;

    EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA partreg FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA partreg FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON SCHEMA partreg FROM %I', grantee);
    IF level = 'none' THEN
        RETURN;
    END IF;

    EXECUTE format('GRANT USAGE ON SCHEMA partreg TO %I', grantee);
    FOR target IN
        SELECT p.oid::regprocedure AS routine
          FROM pg_proc p
          JOIN partreg._routine_level l ON l.routine = p.proname
         WHERE p.pronamespace = 'partreg'::regnamespace
           AND array_position(levels, l.level) <= array_position(levels, grant_privileges.level)
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', target.routine, grantee);
    END LOOP;
    FOR target IN
        SELECT c.oid::regclass AS relation
          FROM pg_class c
         WHERE c.relnamespace = 'partreg'::regnamespace
           AND c.relkind = 'v' AND c.relname NOT LIKE '\_%'
    LOOP
        EXECUTE format('GRANT SELECT ON TABLE %s TO %I', target.relation, grantee);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION partreg.grant_privileges(text, text) IS
    'gives a role exactly one level: none, reader, writer or admin; for the owner of the extension';

-- Whatever default privileges of the database gave away is taken back.
REVOKE ALL ON SCHEMA partreg FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA partreg FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA partreg FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA partreg FROM PUBLIC;
DO $$
DECLARE
    type_name regtype;
BEGIN
    FOR type_name IN
        SELECT t.oid FROM pg_catalog.pg_type t
         WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A'
    LOOP
        EXECUTE format('REVOKE ALL ON TYPE %s FROM PUBLIC', type_name);
    END LOOP;
END;
$$;
