-- Privileges.  PUBLIC has nothing; grant_privileges() gives a role one level.

-- The levels, in ascending order; each has what the ones before it have.
CREATE VIEW partreg._level (rank, level) AS
    VALUES (1, 'reader'), (2, 'writer'), (3, 'admin'), (4, 'operator');
COMMENT ON VIEW partreg._level IS 'internal: the levels of grant_privileges(), but for none';

-- The level that each public routine belongs to.  Routines that are not here
-- (reset_access_token, grant_privileges, advance_sequences, purge_history,
-- all others with a leading _) are for the owner of the extension and
-- superusers alone.
CREATE VIEW partreg._routine_level (routine, level) AS
    VALUES ('check_readiness'::name, 'reader'::text),
           ('explain_readiness', 'reader'),
           ('assert_ready', 'reader'),
           ('coalesce_ranges', 'reader'),
           ('all_ready', 'reader'),
           ('ready_until', 'reader'),
           ('ready_ranges', 'reader'),
           ('feed_position', 'reader'),
           ('changes_since', 'reader'),
           ('changed_ranges', 'reader'),
           ('provider_states', 'reader'),
           ('_list_late', 'reader'),
           ('_list_ready_ends', 'reader'),
           ('wait_until_ready', 'reader'),
           ('timeline', 'reader'),
           ('day_range', 'reader'),
           ('step_ranges', 'reader'),
           ('history', 'reader'),
           ('latest_details', 'reader'),
           ('readiness_as_of', 'reader'),
           ('ready_since', 'reader'),
           ('verify', 'reader'),
           ('register_provider', 'writer'),
           ('register_partition', 'writer'),
           ('lock_partition', 'writer'),
           ('unlock_partition', 'writer'),
           ('fail_partition', 'writer'),
           ('renew_lease', 'writer'),
           ('renew_leases', 'writer'),
           ('register_partitions', 'writer'),
           ('lock_partitions', 'writer'),
           ('unlock_partitions', 'writer'),
           ('fail_partitions', 'writer'),
           ('retire_partition', 'writer'),
           ('retire_partitions', 'writer'),
           ('rotate_access_token', 'writer'),
           ('revoke_provider', 'writer'),
           ('rename_provider', 'writer'),
           ('set_owner', 'writer'),
           ('set_readiness_rule', 'writer'),
           ('set_effective', 'writer'),
           ('set_deadline', 'writer'),
           ('set_calendar', 'writer'),
           ('set_trusted_role', 'writer'),
           ('register_source', 'admin'),
           ('rename_source', 'admin'),
           ('drop_source', 'admin'),
           ('force_fail_partition', 'operator');
COMMENT ON VIEW partreg._routine_level IS 'internal: which level of grant_privileges() a routine belongs to';

CREATE VIEW partreg._routine AS
    SELECT p.oid AS routine, p.proowner AS owner, p.proacl AS acl, l.level, l.rank
      FROM pg_proc p
      JOIN partreg._routine_level r ON r.routine = p.proname
      JOIN partreg._level l ON l.level = r.level
     WHERE p.pronamespace = 'partreg'::regnamespace;
COMMENT ON VIEW partreg._routine IS 'internal: the routines that belong to a level';

CREATE VIEW partreg._routine_grant AS
    SELECT a.grantee, r.routine, r.level, r.rank
      FROM partreg._routine r
     CROSS JOIN LATERAL aclexplode(r.acl) a
     WHERE a.grantee NOT IN (0, r.owner);
COMMENT ON VIEW partreg._routine_grant IS 'internal: who was granted which of the routines that belong to a level';

CREATE FUNCTION partreg._grant_level(grantee text, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    target record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA partreg TO %I', grantee);
    FOR target IN
        SELECT r.routine::regprocedure AS routine
          FROM partreg._routine r
          JOIN partreg._level l ON r.rank <= l.rank
         WHERE l.level = _grant_level.level
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', target.routine, grantee);
    END LOOP;
    FOR target IN
        SELECT c.oid::regclass AS relation
          FROM pg_class c
         WHERE c.relnamespace = 'partreg'::regnamespace
           AND c.relkind = 'v' AND left(c.relname, 1) <> '_'
    LOOP
        EXECUTE format('GRANT SELECT ON TABLE %s TO %I', target.relation, grantee);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION partreg._grant_level(text, text) IS
    'internal: grants a role all of a level, and takes nothing away';

-- What a caller gave, as it may stand in a message: neither what looks like an
-- access token, nor what is too long for a name, as in C.
CREATE FUNCTION partreg._quotable(given text)
    RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._quotable(text) IS
    'internal: what a caller gave, as it may stand in a message';

CREATE FUNCTION partreg.grant_privileges(grantee text, level text)
    RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    levels CONSTANT text[] := ARRAY(SELECT l.level FROM partreg._level l ORDER BY l.rank);
    target record;
BEGIN
    IF grantee IS NULL OR level IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('argument "%s" must not be null',
                             CASE WHEN grantee IS NULL THEN 'grantee' ELSE 'level' END),
            HINT = 'Only arguments that have a default may be null or left out.';
    END IF;
    IF level <> ALL ('none'::text || levels) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('unrecognized level of privileges "%s"', partreg._quotable(level)),
            HINT = format('The levels are none, %s.', array_to_string(levels, ', '));
    END IF;
    -- A huge one is not unfolded for the look.
    IF octet_length(grantee) > 63 OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = grantee) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('role "%s" does not exist', partreg._quotable(grantee)),
            HINT = 'The name is taken as it is written, without folding its case.';
    END IF;

    IF EXISTS (SELECT FROM pg_extension e JOIN pg_roles r ON r.oid = e.extowner
                WHERE e.extname = 'partition_registry' AND r.rolname = grantee) THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            CONSTRAINT = 'bad_argument',
            MESSAGE = format('role "%s" owns the extension and keeps all privileges on it', grantee),
            HINT = 'Grant a level to another role.';
    END IF;

    -- One at a time: GRANTs on one object at once fail with an internal error.
    LOCK TABLE partreg._routine_level IN ACCESS EXCLUSIVE MODE;

    EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA partreg FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA partreg FROM %I', grantee);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA partreg FROM %I', grantee);
    FOR target IN
        SELECT t.oid::regtype AS type
          FROM pg_type t
         WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A'
    LOOP
        EXECUTE format('REVOKE ALL ON TYPE %s FROM %I', target.type, grantee);
    END LOOP;
    EXECUTE format('REVOKE ALL ON SCHEMA partreg FROM %I', grantee);
    IF level = 'none' THEN
        RETURN;
    END IF;

    PERFORM partreg._grant_level(grantee, level);
END;
$$;
COMMENT ON FUNCTION partreg.grant_privileges(text, text) IS
    'gives a role exactly one level: none, reader, writer, admin or operator; for the owner of the extension';

-- A role that may call all routines of a level, and of those below it, has it.
CREATE VIEW partreg.privileges (grantee, level) AS
    SELECT r.rolname::text, (SELECT l.level FROM partreg._level l WHERE l.rank = min(missing.rank) - 1)
      FROM pg_roles r
      JOIN (SELECT g.grantee, l.rank
              FROM partreg._level l
             CROSS JOIN (SELECT DISTINCT x.grantee FROM partreg._routine_grant x) g
             WHERE EXISTS (SELECT x.routine FROM partreg._routine x WHERE x.rank = l.rank
                           EXCEPT
                           SELECT x.routine FROM partreg._routine_grant x WHERE x.grantee = g.grantee)
            UNION ALL
            -- Above the highest one everything is missing.
            SELECT DISTINCT x.grantee, (SELECT max(l.rank) + 1 FROM partreg._level l)
              FROM partreg._routine_grant x) missing ON missing.grantee = r.oid
     GROUP BY r.rolname
    HAVING min(missing.rank) > 1;
COMMENT ON VIEW partreg.privileges IS 'which level of grant_privileges() each role has';

CREATE FUNCTION partreg._is_of_this_transaction(row_xmin xid)
    RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_of_this_transaction(xid) IS
    'internal: did the current transaction, or one of its subtransactions, write the row that has this xmin?';

-- Which level a role had before an upgrade: the highest one of which, and of all
-- levels below it, it may call every routine that anybody but the owner may
-- call.  What the upgrade, in this transaction, has just added does not count;
-- its membership tells, as a GRANT would write the row of pg_proc anew.  A role
-- to which somebody granted single routines by hand has none.
CREATE VIEW partreg._granted_level (grantee, level) AS
    WITH granted AS (
        SELECT g.*
          FROM partreg._routine_grant g
          JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = g.routine AND d.deptype = 'e'
         WHERE NOT partreg._is_of_this_transaction(d.xmin)
    )
    SELECT DISTINCT ON (r.rolname) r.rolname::text, mine.level
      FROM granted mine
      JOIN pg_roles r ON r.oid = mine.grantee
     WHERE NOT EXISTS (SELECT FROM granted other
                        WHERE other.rank <= mine.rank
                          AND NOT EXISTS (SELECT FROM granted g
                                           WHERE g.grantee = mine.grantee AND g.routine = other.routine))
       AND (SELECT count(DISTINCT g.rank) FROM granted g
             WHERE g.grantee = mine.grantee AND g.rank <= mine.rank) = mine.rank
     ORDER BY r.rolname, mine.rank DESC;
COMMENT ON VIEW partreg._granted_level IS 'internal: which level of grant_privileges() each role had before this transaction';

CREATE FUNCTION partreg._extend_privileges()
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._extend_privileges() IS
    'internal: the end of every upgrade script; gives the roles that have a level what the upgrade added to it';

-- PUBLIC has nothing, and whatever ALTER DEFAULT PRIVILEGES gave to roles when
-- the objects above were made is taken back.
DO $$
DECLARE
    gone record;
BEGIN
    REVOKE ALL ON SCHEMA partreg FROM PUBLIC;
    REVOKE ALL ON ALL TABLES IN SCHEMA partreg FROM PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA partreg FROM PUBLIC;
    REVOKE ALL ON ALL ROUTINES IN SCHEMA partreg FROM PUBLIC;
    FOR gone IN
        SELECT t.oid::regtype AS type
          FROM pg_catalog.pg_type t
         WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A'
    LOOP
        EXECUTE format('REVOKE ALL ON TYPE %s FROM PUBLIC', gone.type);
    END LOOP;

    -- pg_dump has no use for the initial privileges of a table's row type, and
    -- would warn of each.
    DELETE FROM pg_catalog.pg_init_privs i
     USING pg_catalog.pg_type t, pg_catalog.pg_class c
     WHERE i.classoid = 'pg_catalog.pg_type'::regclass AND i.objoid = t.oid
       AND t.typnamespace = 'partreg'::regnamespace
       AND c.oid = t.typrelid AND c.relkind <> 'c';

    FOR gone IN
        SELECT o.kind, o.name, a.grantee::regrole AS grantee
          FROM (SELECT 'SCHEMA' AS kind, n.nspname::text AS name, n.nspacl AS acl, n.nspowner AS owner
                  FROM pg_catalog.pg_namespace n WHERE n.nspname = 'partreg'
                 UNION ALL
                SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                       c.oid::regclass::text, c.relacl, c.relowner
                  FROM pg_catalog.pg_class c
                 WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind IN ('r', 'v', 'S')
                 UNION ALL
                SELECT 'ROUTINE', p.oid::regprocedure::text, p.proacl, p.proowner
                  FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'partreg'::regnamespace
                 UNION ALL
                SELECT 'TYPE', t.oid::regtype::text, t.typacl, t.typowner
                  FROM pg_catalog.pg_type t
                 WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A') o
         CROSS JOIN LATERAL (SELECT DISTINCT x.grantee FROM aclexplode(o.acl) x) a
         WHERE a.grantee <> o.owner
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', gone.kind, gone.name, gone.grantee);
    END LOOP;
END;
$$;

-- Whoever may drop pgcrypto, or the schema it is in, may with CASCADE drop what
-- depends on it: this extension, and all that is registered.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_extension e
                 JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
                 JOIN pg_catalog.pg_database d ON d.datname = current_database()
                 JOIN pg_catalog.pg_roles r
                   ON r.oid IN (e.extowner, CASE WHEN n.nspowner = 'pg_database_owner'::regrole
                                                 THEN d.datdba ELSE n.nspowner END)
                WHERE e.extname = 'pgcrypto' AND NOT r.rolsuper) THEN
        RAISE WARNING 'a role that is no superuser can drop pgcrypto, and with it partition_registry and all its data'
            USING HINT = 'Let a superuser create pgcrypto in a schema of its own before: CREATE SCHEMA pgcrypto; CREATE EXTENSION pgcrypto SCHEMA pgcrypto.';
    END IF;
END;
$$;
