-- What the extension consists of: comments, labels, privileges, signatures.
-- Each query lists what is wrong, so no row is what is wanted, unless said.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET search_path = pg_catalog, pg_temp;
SET intervalstyle = 'postgres';

CREATE TEMP VIEW member AS
    SELECT d.classid, d.objid
    FROM pg_depend d
    JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
    WHERE d.deptype = 'e' AND e.extname = 'partition_registry';

-- Every object has a comment.  (From PostgreSQL 17 on, the types of rows and of
-- arrays are members too, which come with another object.)
SELECT pg_describe_object(classid, objid, 0) AS no_comment
FROM member
WHERE obj_description(objid, classid::regclass::name) IS NULL
  AND NOT (classid = 'pg_type'::regclass AND objid IN
           (SELECT t.oid FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
            WHERE t.typcategory = 'A' OR c.relkind <> 'c'))
ORDER BY 1;

-- All that is in the schema belongs to the extension.
SELECT pg_describe_object(o.classid, o.objid, 0) AS no_member
FROM (SELECT 'pg_class'::regclass, oid FROM pg_class
      WHERE relnamespace = 'partreg'::regnamespace AND relkind IN ('r', 'v', 'S')
      UNION ALL
      SELECT 'pg_proc'::regclass, oid FROM pg_proc
      WHERE pronamespace = 'partreg'::regnamespace) o (classid, objid)
WHERE (o.classid, o.objid) NOT IN (SELECT classid, objid FROM member);

-- pg_dump takes along every table and every sequence, with all rows; of
-- registry the one that counts.
SELECT c.oid::regclass AS not_dumped
FROM pg_class c
WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind IN ('r', 'S')
  AND NOT EXISTS (SELECT FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS x (id, condition)
                  WHERE e.extname = 'partition_registry' AND x.id = c.oid
                    AND x.condition = CASE c.relname WHEN 'registry' THEN 'WHERE created_at = (SELECT min(created_at) FROM partreg.registry)' ELSE '' END)
ORDER BY 1;

-- A function that runs as its definer, or in SQL, has its search_path pinned.
SELECT p.oid::regprocedure AS not_pinned, p.prosecdef, p.proconfig
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'partreg'::regnamespace
  AND (p.prosecdef OR (l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL))
  AND 'search_path=pg_catalog, pg_temp' <> ALL (coalesce(p.proconfig, '{}'))
ORDER BY 1;

-- The owner of the extension owns it all.
SELECT p.oid::regprocedure AS other_owner
FROM pg_proc p, pg_extension e
WHERE p.pronamespace = 'partreg'::regnamespace AND e.extname = 'partition_registry'
  AND p.proowner <> e.extowner;

-- PUBLIC has nothing, neither now nor in what pg_dump takes for the initial
-- privileges (the types of rows of tables and views are no objects to pg_dump).
CREATE TEMP VIEW acl AS
    SELECT n.nspname::text AS object, n.nspacl AS acl, acldefault('n', n.nspowner) AS otherwise, 'pg_namespace'::regclass AS classid, n.oid AS objid
    FROM pg_namespace n WHERE n.nspname = 'partreg'
    UNION ALL
    SELECT c.oid::regclass::text, c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner), 'pg_class'::regclass, c.oid
    FROM pg_class c WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind IN ('r', 'v', 'S')
    UNION ALL
    SELECT p.oid::regprocedure::text, p.proacl, acldefault('f', p.proowner), 'pg_proc'::regclass, p.oid
    FROM pg_proc p WHERE p.pronamespace = 'partreg'::regnamespace
    UNION ALL
    SELECT t.oid::regtype::text, t.typacl, acldefault('T', t.typowner), 'pg_type'::regclass, t.oid
    FROM pg_type t WHERE t.typnamespace = 'partreg'::regnamespace AND t.typcategory <> 'A';
SELECT object, privilege_type
FROM acl, aclexplode(coalesce(acl, otherwise))
WHERE grantee = 0
ORDER BY object COLLATE "C", privilege_type;
SELECT a.object, x.privilege_type
FROM acl a
LEFT JOIN pg_init_privs i ON i.classoid = a.classid AND i.objoid = a.objid AND i.objsubid = 0
CROSS JOIN aclexplode(coalesce(i.initprivs, a.otherwise)) x
WHERE x.grantee = 0
  AND a.objid NOT IN (SELECT reltype FROM pg_class WHERE relkind IN ('r', 'v'))
ORDER BY a.object COLLATE "C", x.privilege_type;
SELECT attrelid::regclass, attname AS column_with_privileges
FROM pg_attribute
WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'partreg'::regnamespace)
  AND attacl IS NOT NULL;

-- So a role without grants has nothing.
CREATE ROLE regress_catalog;
SELECT 'schema' AS usable, nspname::text FROM pg_namespace
WHERE nspname = 'partreg' AND has_schema_privilege('regress_catalog', oid, 'USAGE, CREATE')
UNION ALL
SELECT 'relation', oid::regclass::text FROM pg_class
WHERE relnamespace = 'partreg'::regnamespace AND relkind IN ('r', 'v')
  AND (has_table_privilege('regress_catalog', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
       OR has_any_column_privilege('regress_catalog', oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
UNION ALL
SELECT 'sequence', seqrelid::regclass::text FROM pg_sequence
JOIN pg_class ON oid = seqrelid
WHERE relnamespace = 'partreg'::regnamespace
  AND has_sequence_privilege('regress_catalog', seqrelid, 'USAGE, SELECT, UPDATE')
UNION ALL
SELECT 'routine', oid::regprocedure::text FROM pg_proc
WHERE pronamespace = 'partreg'::regnamespace AND has_function_privilege('regress_catalog', oid, 'EXECUTE')
UNION ALL
SELECT 'type', oid::regtype::text FROM pg_type
WHERE typnamespace = 'partreg'::regnamespace AND has_type_privilege('regress_catalog', oid, 'USAGE');
DROP ROLE regress_catalog;

-- The functions, as the contract has them: the level that they belong to (O:
-- the owner alone), volatility (s: stable), result (none: a procedure).  Reads
-- are parallel safe, but timeline, which looks at the client's encoding; writes
-- are not, and run as their definer; none is strict.
CREATE TEMP TABLE contract (level text, name text, arguments text, volatility text, result text);
INSERT INTO contract VALUES
    ('A', 'register_source', 'source_name text, owner text, rule text DEFAULT ''any''::text, trusted_role text DEFAULT NULL::text, if_not_exists boolean DEFAULT false', 'v', 'text'),
    ('W', 'register_provider', 'provider_name text, access_token text DEFAULT NULL::text, trusted_role text DEFAULT NULL::text, effective tstzrange DEFAULT ''(,)''::tstzrange, source_name text DEFAULT NULL::text, if_not_exists boolean DEFAULT false', 'v', 'text'),
    ('W', 'register_partition', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, if_not_exists boolean DEFAULT false', 'v', 'boolean'),
    ('W', 'register_partitions', 'source_name text, provider_name text, during tstzrange, step interval, access_token text DEFAULT NULL::text, time_zone text DEFAULT ''UTC''::text', 'v', 'bigint'),
    ('W', 'lock_partition', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text, lease interval DEFAULT NULL::interval, reason text DEFAULT NULL::text, register boolean DEFAULT false', 'v', 'boolean'),
    ('W', 'unlock_partition', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text, register boolean DEFAULT false, details jsonb DEFAULT NULL::jsonb', 'v', 'boolean'),
    ('W', 'fail_partition', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text, reason text DEFAULT NULL::text', 'v', 'boolean'),
    ('W', 'renew_lease', 'source_name text, provider_name text, during tstzrange, lease interval, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text', 'v', 'timestamp with time zone'),
    ('W', 'renew_leases', 'source_name text, provider_name text, during tstzrange, lease interval, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text', 'v', 'bigint'),
    ('W', 'lock_partitions', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text, lease interval DEFAULT NULL::interval, reason text DEFAULT NULL::text', 'v', 'bigint'),
    ('W', 'unlock_partitions', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text, details jsonb DEFAULT NULL::jsonb', 'v', 'bigint'),
    ('W', 'fail_partitions', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text, reason text DEFAULT NULL::text', 'v', 'bigint'),
    ('W', 'retire_partition', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text', 'v', 'boolean'),
    ('W', 'retire_partitions', 'source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL::text, holder text DEFAULT NULL::text', 'v', 'bigint'),
    ('W', 'rotate_access_token', 'source_name text, provider_name text, access_token text, grace interval DEFAULT ''00:00:00''::interval', 'v', 'text'),
    ('W', 'revoke_provider', 'source_name text, provider_name text, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('W', 'rename_provider', 'source_name text, provider_name text, new_name text, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('A', 'rename_source', 'source_name text, new_name text, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('A', 'drop_source', 'source_name text, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('W', 'set_deadline', 'source_name text, provider_name text, within interval, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('W', 'set_calendar', 'source_name text, provider_name text, step interval, start_at timestamp with time zone, access_token text DEFAULT NULL::text, time_zone text DEFAULT ''UTC''::text, closed tstzmultirange DEFAULT ''{}''::tstzmultirange', 'v', 'void'),
    ('W', 'set_effective', 'source_name text, provider_name text, effective tstzrange, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('W', 'set_trusted_role', 'source_name text, provider_name text, trusted_role text, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('W', 'set_owner', 'source_name text, owner text, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('W', 'set_readiness_rule', 'source_name text, rule text, access_token text DEFAULT NULL::text', 'v', 'void'),
    ('X', 'force_fail_partition', 'source_name text, provider_name text, during tstzrange, reason text', 'v', 'boolean'),
    ('O', 'reset_access_token', 'source_name text, provider_name text DEFAULT NULL::text', 'v', 'text'),
    ('O', 'advance_sequences', '', 'v', 'void'),
    ('R', 'check_readiness', 'source_name text, during tstzrange', 's', 'boolean'),
    ('R', 'check_readiness', 'source_name text, start_at timestamp with time zone, end_at timestamp with time zone', 's', 'boolean'),
    ('R', 'explain_readiness', 'source_name text, during tstzrange', 's', 'SETOF partreg.obstacle'),
    ('R', 'assert_ready', 'source_name text, during tstzrange', 's', 'boolean'),
    ('R', 'all_ready', 'source_names text[], during tstzrange', 's', 'boolean'),
    ('R', 'ready_until', 'source_name text, since timestamp with time zone', 's', 'timestamp with time zone'),
    ('R', 'ready_ranges', 'source_name text, during tstzrange', 's', 'tstzmultirange'),
    ('R', 'ready_since', 'source_name text, during tstzrange', 's', 'timestamp with time zone'),
    ('R', 'readiness_as_of', 'source_name text, during tstzrange, as_of timestamp with time zone', 's', 'boolean'),
    ('R', 'history', 'source_name text, during tstzrange, provider_name text DEFAULT NULL::text, max_events integer DEFAULT 1000', 's', 'SETOF partreg.change'),
    ('R', 'latest_details', 'source_name text, during tstzrange', 's', 'SETOF partreg.supplied'),
    ('O', 'purge_history', 'before timestamp with time zone', 'v', 'bigint'),
    ('R', 'changes_since', 'since text, max_events integer DEFAULT 1000, source_names text[] DEFAULT NULL::text[]', 's', 'SETOF partreg.change'),
    ('R', 'feed_position', '', 's', 'text'),
    ('R', 'changed_ranges', 'source_name text, during tstzrange, since text', 's', 'tstzmultirange'),
    ('R', 'provider_states', 'source_name text, during tstzrange', 's', 'SETOF partreg.provider_state'),
    ('R', 'wait_until_ready', 'IN source_name text, IN during tstzrange, IN timeout interval, IN poll interval DEFAULT ''00:00:01''::interval', 'v', NULL),
    ('R', 'timeline', 'source_name text, during tstzrange, width integer DEFAULT 72', 's', 'SETOF text'),
    ('R', 'day_range', 'day date, time_zone text DEFAULT ''UTC''::text', 's', 'tstzrange'),
    ('R', 'step_ranges', 'during tstzrange, step interval, time_zone text DEFAULT ''UTC''::text', 's', 'SETOF tstzrange'),
    ('R', 'verify', 'source_name text DEFAULT NULL::text', 's', 'SETOF partreg.problem'),
    ('R', 'coalesce_ranges', 'during tstzrange', 'i', 'tstzmultirange'),
    ('O', 'grant_privileges', 'grantee text, level text', 'v', 'void');
CREATE TEMP VIEW actual AS
    SELECT p.oid, p.proname::text AS name, pg_get_function_arguments(p.oid) AS arguments,
           p.provolatile::text AS volatility, pg_get_function_result(p.oid) AS result
    FROM pg_proc p
    WHERE p.pronamespace = 'partreg'::regnamespace AND p.proname NOT LIKE '\_%';
SELECT name, arguments, volatility, result, 'not in the contract' AS problem
FROM (SELECT name, arguments, volatility, result FROM actual
      EXCEPT SELECT name, arguments, volatility, result FROM contract) a
UNION ALL
SELECT name, arguments, volatility, result, 'not here'
FROM (SELECT name, arguments, volatility, result FROM contract
      EXCEPT SELECT name, arguments, volatility, result FROM actual) c;
SELECT p.oid::regprocedure AS wrongly_labelled, p.proparallel, p.prosecdef, p.proisstrict
FROM pg_proc p
JOIN actual USING (oid)
WHERE p.proparallel <> CASE WHEN p.provolatile = 'v' THEN 'u'::"char" WHEN p.proname = 'timeline' THEN 'r' ELSE 's' END
   OR (NOT p.prosecdef AND p.provolatile = 'v' AND p.prokind = 'f' AND p.proname NOT IN ('grant_privileges', 'advance_sequences', 'purge_history'))
   OR p.proisstrict;

-- What each level may execute is what the contract says.
CREATE ROLE regress_catalog;
CREATE FUNCTION pg_temp.wrongly_granted(level text, letters text)
RETURNS SETOF regprocedure LANGUAGE sql AS $$
    SELECT partreg.grant_privileges('regress_catalog', level);
    SELECT a.oid::regprocedure
    FROM pg_temp.actual a
    JOIN pg_temp.contract c USING (name, arguments)
    WHERE has_function_privilege('regress_catalog', a.oid, 'EXECUTE') <> (position(c.level IN letters) > 0)
    UNION ALL
    SELECT p.oid::regprocedure
    FROM pg_proc p
    -- Views call these two, and functions in a view are checked against its reader.
    WHERE p.pronamespace = 'partreg'::regnamespace AND p.proname LIKE '\_%'
      AND p.proname NOT IN ('_list_late', '_list_ready_ends')
      AND has_function_privilege('regress_catalog', p.oid, 'EXECUTE');
$$;
SELECT level, pg_temp.wrongly_granted(level, letters)
FROM (VALUES ('none', ''), ('reader', 'R'), ('writer', 'RW'), ('admin', 'RWA'), ('operator', 'RWAX'), ('none', '')) l (level, letters);
DROP ROLE regress_catalog;

-- The columns of views and composite types, in order, as in the contract.
\a
SELECT c.relname AS name, string_agg(format('%s %s', a.attname, format_type(a.atttypid, NULL)), ', ' ORDER BY a.attnum) AS columns
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind IN ('v', 'c') AND c.relname NOT LIKE '\_%'
GROUP BY c.relname
ORDER BY c.relname;

\a

-- No view that anybody may read shows a digest.
SELECT attrelid::regclass, attname
FROM pg_attribute
JOIN pg_class c ON c.oid = attrelid
WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind IN ('v', 'c') AND c.relname NOT LIKE '\_%'
  AND (atttypid = 'bytea'::regtype OR attname LIKE '%digest%');
