-- A check probes and does not scan: the pages that it looks at are as few for a
-- hundred thousand partitions as for a few, and for a month as for an hour.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
SET client_min_messages = warning;

SELECT partreg.register_source('probes few', 'team') AS few_source \gset
SELECT partreg.register_provider('p', :'few_source') AS few \gset
SELECT partreg.register_source('probes many', 'team') AS many_source \gset
SELECT partreg.register_provider('p', :'many_source') AS many \gset
SELECT partreg.register_partitions('probes few', 'p', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', '1 hour', :'few');
SELECT partreg.unlock_partitions('probes few', 'p', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', :'few');
-- With a lock in each, so that both are asked of the index of locks.
SELECT partreg.lock_partition('probes few', 'p', '[2024-01-01 23:00+00, 2024-01-02 00:00+00)', :'few');
SELECT partreg.register_partitions('probes many', 'p', '[2024-01-01 00:00+00, 2024-03-11 00:00+00)', '1 minute', :'many');
SELECT partreg.unlock_partitions('probes many', 'p', '[2024-01-01 00:00+00, 2024-03-11 00:00+00)', :'many');
-- Elsewhere in the same source, ten days of minutes are locked.
SELECT partreg.lock_partitions('probes many', 'p', '[2024-03-01 00:00+00, 2024-03-11 00:00+00)', :'many');
-- Two thousand spans that nothing joins: every other minute is available.
SELECT partreg.register_source('probes any', 'team') AS any_source \gset
SELECT partreg.register_provider('p', :'any_source') AS any \gset
SELECT partreg.register_source('probes all', 'team', 'all') AS all_source \gset
SELECT partreg.register_provider('p', :'all_source') AS all \gset
SELECT source, partreg.register_partitions(source, 'p', '[2024-01-01 00:00+00, 2024-01-03 18:40+00)', '1 minute', token)
FROM (VALUES ('probes any', :'any'), ('probes all', :'all')) v (source, token);
SELECT source, count(partreg.unlock_partition(source, 'p', tstzrange(t, t + interval '1 minute'), token))
FROM (VALUES ('probes any', :'any'), ('probes all', :'all')) v (source, token),
     generate_series(timestamptz '2024-01-01 00:00+00', '2024-01-03 18:38+00', '2 minutes') t
GROUP BY source ORDER BY source;

-- The pages that a question looks at
CREATE FUNCTION pg_temp.pages(question text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT ' || question INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::integer
         + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::integer;
END;
$$;
CREATE TABLE pg_temp.question (name text, sql text, pages integer);
INSERT INTO pg_temp.question (name, sql) VALUES
    ('few, an hour', $$partreg.check_readiness('probes few', '[2024-01-01 05:00+00, 2024-01-01 06:00+00)')$$),
    ('many, an hour', $$partreg.check_readiness('probes many', '[2024-01-01 05:00+00, 2024-01-01 06:00+00)')$$),
    ('many, two months', $$partreg.check_readiness('probes many', '[2024-01-01 00:00+00, 2024-03-01 00:00+00)')$$),
    ('many, not ready', $$partreg.check_readiness('probes many', '[2024-01-01 00:00+00, 2024-03-12 00:00+00)')$$),
    ('many, locked', $$partreg.check_readiness('probes many', '[2024-03-10 23:00+00, 2024-03-10 23:01+00)')$$),
    ('many, how far', $$partreg.ready_until('probes many', '2024-01-01 00:00+00')$$),
    ('any, a gap', $$partreg.check_readiness('probes any', '[2024-01-03 15:20+00, 2024-01-03 15:30+00)')$$),
    ('any, how far', $$partreg.ready_until('probes any', '2024-01-01 00:20+00')$$),
    ('all, a minute', $$partreg.check_readiness('probes all', '[2024-01-03 15:20+00, 2024-01-03 15:21+00)')$$),
    ('all, a gap', $$partreg.check_readiness('probes all', '[2024-01-03 15:20+00, 2024-01-03 15:30+00)')$$),
    ('all, how far', $$partreg.ready_until('probes all', '2024-01-01 00:20+00')$$);
-- Once to warm up the caches of the session, then to count
UPDATE pg_temp.question SET pages = pg_temp.pages(sql);
BEGIN;
UPDATE pg_temp.question SET pages = pg_temp.pages(sql);
SELECT name, pages <= 30 AS probes FROM pg_temp.question ORDER BY name COLLATE "C";
SELECT (SELECT pages FROM pg_temp.question WHERE name = 'many, an hour')
     - (SELECT pages FROM pg_temp.question WHERE name = 'few, an hour') <= 6 AS many_like_few;
-- and no table was read from end to end
SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE schemaname = 'partreg' AND seq_scan > 0;
COMMIT;

-- Asked again, the places that answered before are looked at, and no index of
-- sources and spans.
CREATE FUNCTION pg_temp.look_ups() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(pg_stat_get_xact_numscans(indexrelid))::bigint FROM pg_index
    WHERE indrelid IN ('partreg.source'::regclass, 'partreg.coverage'::regclass)
$$;
BEGIN;
SELECT partreg.check_readiness('probes few', '[2024-01-01 05:00+00, 2024-01-01 06:00+00)');
SELECT pg_temp.look_ups() AS before \gset
SELECT partreg.check_readiness('probes few', '[2024-01-01 05:00+00, 2024-01-01 06:00+00)');
SELECT pg_temp.look_ups() - :before AS look_ups;
COMMIT;

SELECT partreg.drop_source('probes few', :'few_source');
SELECT partreg.drop_source('probes many', :'many_source');
SELECT partreg.drop_source('probes any', :'any_source');
SELECT partreg.drop_source('probes all', :'all_source');
