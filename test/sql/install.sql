-- Installing and removing the extension.  Each case is rolled back.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
\set VERBOSITY sqlstate

-- What the control file says; the installed version is the default one.
SELECT v.superuser, v.trusted, v.relocatable, v.schema, v.requires
FROM pg_available_extension_versions v
JOIN pg_available_extensions e ON e.name = v.name AND e.default_version = v.version
WHERE v.name = 'partition_registry';
SELECT installed_version = default_version AS is_default
FROM pg_available_extensions
WHERE name = 'partition_registry';

-- Dropping it leaves nothing behind.
BEGIN;
DROP EXTENSION partition_registry;
SELECT count(*) FROM pg_namespace WHERE nspname = 'partreg';
SELECT count(*) FROM pg_proc WHERE probin LIKE '%partition_registry%';
ROLLBACK;

-- Nor can one part of it be dropped or moved.
DROP SCHEMA partreg;
DROP TABLE partreg.event;
DROP FUNCTION partreg.check_readiness(text, tstzrange);
ALTER EXTENSION partition_registry SET SCHEMA public;

-- A schema planted under the name makes the installation fail.
BEGIN;
DROP EXTENSION partition_registry;
CREATE SCHEMA partreg;
CREATE EXTENSION partition_registry;
ROLLBACK;

-- It goes nowhere else.
BEGIN;
DROP EXTENSION partition_registry;
CREATE EXTENSION partition_registry SCHEMA public;
ROLLBACK;

-- It takes a superuser.
CREATE ROLE regress_install;
BEGIN;
DROP EXTENSION partition_registry;
SET ROLE regress_install;
CREATE EXTENSION partition_registry;
ROLLBACK;

-- pgcrypto may live anywhere; what a hijacker put on the search_path is not
-- used, neither while installing nor afterwards.
BEGIN;
DROP EXTENSION partition_registry;
DROP EXTENSION pgcrypto;
CREATE SCHEMA regress_elsewhere;
CREATE SCHEMA regress_hijack;
CREATE FUNCTION regress_hijack.gen_random_bytes(integer) RETURNS bytea
    LANGUAGE sql AS $$ SELECT '\x00'::bytea $$;
CREATE FUNCTION regress_hijack.now() RETURNS timestamptz
    LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$;
CREATE EXTENSION pgcrypto SCHEMA regress_elsewhere;
SET search_path = regress_hijack, pg_catalog;
CREATE EXTENSION partition_registry;
SELECT e.extname
FROM pg_depend d
JOIN pg_depend m ON m.classid = 'pg_proc'::regclass AND m.objid = d.refobjid AND m.deptype = 'e'
JOIN pg_extension e ON e.oid = m.refobjid
WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_proc'::regclass
  AND d.objid = 'partreg._random_bytes'::regproc;
SELECT length(partreg.register_source('regress_install', 'somebody'));
ROLLBACK;

-- Who may drop pgcrypto, or the schema that it is in, may drop what depends on
-- it: there is a warning where that is no superuser, and none where it is one.
\set VERBOSITY terse
BEGIN;
DROP EXTENSION partition_registry;
DROP EXTENSION pgcrypto;
SELECT format('GRANT CREATE ON DATABASE %I TO regress_install', current_database()) AS grant_create,
       format('ALTER DATABASE %I OWNER TO regress_install', current_database()) AS give_database \gset
:grant_create;
CREATE SCHEMA regress_elsewhere;
GRANT ALL ON SCHEMA regress_elsewhere TO regress_install;
SAVEPOINT before;
-- The extension is his.
SET ROLE regress_install;
CREATE EXTENSION pgcrypto SCHEMA regress_elsewhere;
RESET ROLE;
CREATE EXTENSION partition_registry;
ROLLBACK TO before;
-- The schema is his.
ALTER SCHEMA regress_elsewhere OWNER TO regress_install;
CREATE EXTENSION pgcrypto SCHEMA regress_elsewhere;
CREATE EXTENSION partition_registry;
ROLLBACK TO before;
-- The database is his, and so is public.
:give_database;
CREATE EXTENSION pgcrypto SCHEMA public;
CREATE EXTENSION partition_registry;
ROLLBACK TO before;
-- The database is his, but nothing of pgcrypto.
:give_database;
CREATE EXTENSION pgcrypto SCHEMA regress_elsewhere;
CREATE EXTENSION partition_registry;
ROLLBACK;
\set VERBOSITY sqlstate

-- Default privileges that give everything away give away nothing of this.
BEGIN;
DROP EXTENSION partition_registry;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC, regress_install;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, regress_install;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC, regress_install;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC, regress_install;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO PUBLIC, regress_install;
CREATE EXTENSION partition_registry;
WITH object (name, acl) AS (
    SELECT nspname::text, nspacl FROM pg_namespace WHERE nspname = 'partreg'
    UNION ALL
    SELECT oid::regclass::text, relacl FROM pg_class
    WHERE relnamespace = 'partreg'::regnamespace AND relkind IN ('r', 'v', 'S')
    UNION ALL
    SELECT oid::regprocedure::text, proacl FROM pg_proc
    WHERE pronamespace = 'partreg'::regnamespace
    UNION ALL
    SELECT oid::regtype::text, typacl FROM pg_type
    WHERE typnamespace = 'partreg'::regnamespace AND typcategory <> 'A')
SELECT name, grantee::regrole, privilege_type
FROM object, aclexplode(acl)
WHERE grantee IN (0, 'regress_install'::regrole)
ORDER BY name COLLATE "C", grantee, privilege_type;
ROLLBACK;

-- A session that has used the extension goes on with the one installed anew,
-- and then with the one that the rollback brings back.
BEGIN;
SELECT partreg.register_source('regress_install', 'somebody') IS NOT NULL AS registered;
SELECT partreg.check_readiness('regress_install', '[2024-01-01, 2024-01-02)');
SAVEPOINT before;
DROP EXTENSION partition_registry;
CREATE EXTENSION partition_registry;
SAVEPOINT new;
SELECT partreg.check_readiness('regress_install', '[2024-01-01, 2024-01-02)');
ROLLBACK TO new;
SELECT partreg.register_source('regress_other', 'somebody') IS NOT NULL AS registered;
SELECT partreg.check_readiness('regress_other', '[2024-01-01, 2024-01-02)');
ROLLBACK TO before;
SELECT partreg.check_readiness('regress_install', '[2024-01-01, 2024-01-02)');
ROLLBACK;

DROP ROLE regress_install;
