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
SELECT partreg.register_partitions('probes many', 'p', '[2024-01-01 00:00+00, 2024-03-11 00:00+00)', '1 minute', :'many');
SELECT partreg.unlock_partitions('probes many', 'p', '[2024-01-01 00:00+00, 2024-03-11 00:00+00)', :'many');
-- Elsewhere in the same source, a thousand minutes are locked.
SELECT partreg.lock_partitions('probes many', 'p', '[2024-03-10 00:00+00, 2024-03-10 16:40+00)', :'many');

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
    ('many, locked', $$partreg.check_readiness('probes many', '[2024-03-10 05:00+00, 2024-03-10 05:01+00)')$$),
    ('many, how far', $$partreg.ready_until('probes many', '2024-01-01 00:00+00')$$);
-- Once to warm up the caches of the session, then to count
UPDATE pg_temp.question SET pages = pg_temp.pages(sql);
BEGIN;
UPDATE pg_temp.question SET pages = pg_temp.pages(sql);
SELECT name, pages <= 20 AS probes FROM pg_temp.question ORDER BY name COLLATE "C";
SELECT (SELECT pages FROM pg_temp.question WHERE name = 'many, an hour')
     - (SELECT pages FROM pg_temp.question WHERE name = 'few, an hour') <= 6 AS many_like_few,
       (SELECT pages FROM pg_temp.question WHERE name = 'many, two months')
     - (SELECT pages FROM pg_temp.question WHERE name = 'many, an hour') <= 0 AS wide_like_narrow;
-- and no table was read from end to end
SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE schemaname = 'partreg' AND seq_scan > 0;
COMMIT;

SELECT partreg.drop_source('probes few', :'few_source');
SELECT partreg.drop_source('probes many', :'many_source');
