-- partition_registry: install script, joined from sql/NN_*.sql by the Makefile.
\echo Use "CREATE EXTENSION partition_registry CASCADE" to load this file. \quit

-- The schema is made here, not by CREATE EXTENSION, so that one that was
-- planted under this name beforehand makes the installation fail.
CREATE SCHEMA partreg;
COMMENT ON SCHEMA partreg IS 'partition_registry: which time intervals of which data are ready to be read';

-- The one statement that resolves a name by the search_path which CREATE
-- EXTENSION sets up (pg_catalog, the schema of pgcrypto, pg_temp): pgcrypto
-- may live in any schema, and a BEGIN ATOMIC body binds it once and for all.
CREATE FUNCTION partreg._random_bytes() RETURNS bytea
    LANGUAGE sql VOLATILE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT gen_random_bytes(32);
    END;
COMMENT ON FUNCTION partreg._random_bytes() IS 'internal: 256 random bits for a new token, from pgcrypto';

SET LOCAL search_path = pg_catalog, pg_temp;
