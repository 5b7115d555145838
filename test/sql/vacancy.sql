-- That a source has no locks is remembered by the page of the index where they
-- would be (src/vacancy.c).  Whatever happens to that page, no lock is missed.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
SET client_min_messages = warning;

CREATE SCHEMA vacancy;
CREATE TABLE vacancy.token AS
    SELECT n, 'vacancy ' || n AS source, partreg.register_source('vacancy ' || n, 'team') AS token
    FROM generate_series(1, 60) n;
SELECT count(partreg.register_provider('p', token)) FROM vacancy.token;
CREATE FUNCTION vacancy.each_of(call text, low integer, high integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    EXECUTE format($call$
        SELECT sum(partreg.%I(source, 'p', '[2024-01-01 00:00+00, 2024-01-01 08:00+00)', %s token))
        FROM vacancy.token WHERE n BETWEEN $1 AND $2$call$,
        call, CASE call WHEN 'register_partitions' THEN $step$'1 hour',$step$ ELSE '' END)
    USING low, high INTO changed;
    RETURN changed;
END;
$$;
SELECT vacancy.each_of('register_partitions', 1, 60);
SELECT vacancy.each_of('unlock_partitions', 1, 60);

-- How many sources are said to be ready; raises where one has a lock.
CREATE FUNCTION vacancy.ready() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
    ready bigint;
BEGIN
    SELECT string_agg(source, ', ') FILTER (WHERE said <> is_so), count(*) FILTER (WHERE said) INTO wrong, ready
    FROM vacancy.token,
         partreg.check_readiness(source, '[2024-01-01 00:00+00, 2024-01-01 08:00+00)') said,
         LATERAL (SELECT NOT EXISTS (SELECT FROM partreg.locks WHERE source_name = source)) s (is_so);
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'wrong about %', wrong;
    END IF;
    RETURN ready;
END;
$$;

-- An index that is empty, then one with a root, then one that is split
SELECT vacancy.ready(), vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 20, 20), vacancy.ready();
SELECT vacancy.each_of('unlock_partitions', 20, 20), vacancy.ready();
SELECT i, vacancy.each_of('lock_partitions', i * 7 % 60 + 1, i * 7 % 60 + 1), vacancy.ready()
FROM generate_series(0, 55) i;
SELECT pg_relation_size('partreg.lock_pkey') > 3 * 8192 AS split;
-- A backend that has met a lock of a source does not try this for it; so now and
-- then another one goes on.
\c
SET client_min_messages = warning;
SELECT vacancy.ready(), vacancy.ready();
-- Another source of the same name
BEGIN;
SELECT partreg.drop_source(source, token) FROM vacancy.token WHERE n = 33;
UPDATE vacancy.token SET token = partreg.register_source(source, 'team') WHERE n = 33;
SELECT partreg.register_provider('p', token) IS NOT NULL AS registered FROM vacancy.token WHERE n = 33;
SELECT vacancy.each_of('register_partitions', 33, 33), vacancy.each_of('unlock_partitions', 33, 33), vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 33, 33), vacancy.ready();
ROLLBACK;
-- Pages that become empty, are deleted, and used again
SELECT vacancy.each_of('unlock_partitions', 1, 60), vacancy.ready();
VACUUM partreg.lock;
\c
SET client_min_messages = warning;
SELECT vacancy.ready(), vacancy.ready();
VACUUM partreg.lock;
SELECT i, vacancy.each_of('lock_partitions', i * 11 % 60 + 1, i * 11 % 60 + 1), vacancy.ready()
FROM generate_series(0, 58) i;
SELECT vacancy.each_of('unlock_partitions', 1, 60), vacancy.ready();

\c
SET client_min_messages = warning;
SELECT vacancy.ready(), vacancy.ready();
REINDEX INDEX partreg.lock_pkey;
SELECT vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 3, 3), vacancy.ready();
VACUUM FULL partreg.lock;
SELECT vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 5, 5), vacancy.ready();
REINDEX TABLE CONCURRENTLY partreg.lock;
SELECT vacancy.each_of('lock_partitions', 7, 7), vacancy.ready();
-- What is rolled back
BEGIN;
SELECT vacancy.ready();
SAVEPOINT a;
SELECT vacancy.each_of('lock_partitions', 9, 12), vacancy.ready();
ROLLBACK TO a;
SELECT vacancy.ready();
REINDEX INDEX partreg.lock_pkey;
SELECT vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 11, 14), vacancy.ready();
ROLLBACK;
SELECT vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 13, 13), vacancy.ready();
BEGIN;
TRUNCATE partreg.lock;
SELECT vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 15, 17), vacancy.ready();
ROLLBACK;
SELECT vacancy.ready();
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT vacancy.ready();
SELECT vacancy.each_of('lock_partitions', 19, 19), vacancy.ready();
COMMIT;
SELECT vacancy.ready();

SELECT count(partreg.drop_source(source, token)) FROM vacancy.token;
DROP SCHEMA vacancy CASCADE;
