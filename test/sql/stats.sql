-- stats: a row for each source, and how far it is ready.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_stats_team;
CREATE ROLE regress_stats_reader;
SELECT partreg.grant_privileges('regress_stats_team', 'admin');
SELECT partreg.grant_privileges('regress_stats_reader', 'reader');
SET SESSION AUTHORIZATION regress_stats_team;

CREATE FUNCTION pg_temp.stats(source text) RETURNS TABLE (providers bigint, locked bigint, failed bigint, abandoned bigint, late bigint, ready_to timestamptz) LANGUAGE sql AS $$
    SELECT providers, locked, failed, abandoned, late, ready_to FROM partreg.stats WHERE source_name = source
$$;

SELECT partreg.register_source('stats', 'team', trusted_role => 'regress_stats_team') IS NOT NULL AS registered;
SELECT * FROM pg_temp.stats('stats');
SELECT partreg.register_provider('a', NULL, 'regress_stats_team', source_name => 'stats') IS NOT NULL AS a,
       partreg.register_provider('b', NULL, 'regress_stats_team', source_name => 'stats') IS NOT NULL AS b;
SELECT * FROM pg_temp.stats('stats');

-- Under "any": the end of the last stretch, whoever supplied it and whatever is
-- missing before.
SELECT partreg.unlock_partition('stats', 'a', '[2024-01-01, 2024-01-03)', register => true);
SELECT * FROM pg_temp.stats('stats');
SELECT partreg.unlock_partition('stats', 'b', '[2024-01-02, 2024-01-05)', register => true),
       partreg.unlock_partition('stats', 'a', '[2024-01-08, 2024-01-10)', register => true),
       partreg.register_partitions('stats', 'a', '[2024-01-10, 2024-01-12)', '1 day');
SELECT * FROM pg_temp.stats('stats');

-- What is locked or failed is not ready: the stretch ends before it, and where it
-- is all of the stretch the one before is the last.
BEGIN;
SELECT partreg.lock_partition('stats', 'a', '[2024-01-09, 2024-01-11)', register => true);
SELECT * FROM pg_temp.stats('stats');
SELECT partreg.fail_partition('stats', 'a', '[2024-01-08, 2024-01-10)');
SELECT * FROM pg_temp.stats('stats');
SELECT partreg.lock_partition('stats', 'b', '[2024-01-04 12:00, 2024-01-06)', lease => '0', register => true);
SELECT * FROM pg_temp.stats('stats');
SELECT partreg.lock_partition('stats', 'b', '[2023-01-01, 2025-01-01)', register => true);
SELECT * FROM pg_temp.stats('stats');
SELECT oldest_lock_at = (SELECT min(since) FROM partreg.locks WHERE source_name = 'stats' AND state = 'locked') AS oldest FROM partreg.stats WHERE source_name = 'stats';
ROLLBACK;

-- Late: as many as late_partitions has rows.
SELECT partreg.set_deadline('stats', 'a', '1 day'), partreg.set_calendar('stats', 'a', '1 day', '2024-01-01', closed => '{[2024-01-12,)}');
SELECT * FROM pg_temp.stats('stats');
SELECT count(*) FROM partreg.late_partitions WHERE source_name = 'stats';

-- Under "all": those that are asked have to have supplied it.
SELECT partreg.set_readiness_rule('stats', 'all');
SELECT ready_to FROM pg_temp.stats('stats');
SELECT partreg.set_effective('stats', 'b', '(,2024-01-02 12:00)');
SELECT ready_to FROM pg_temp.stats('stats');
SELECT partreg.lock_partition('stats', 'a', '[2024-01-08, 2024-01-10)'), partreg.set_effective('stats', 'a', '(,2024-01-08)');
SELECT ready_to FROM pg_temp.stats('stats');
SELECT partreg.set_effective('stats', 'a', 'empty');
SELECT ready_to FROM pg_temp.stats('stats');
SELECT partreg.set_effective('stats', 'a', '(,)'), partreg.set_effective('stats', 'b', '(,)');
SELECT ready_to FROM pg_temp.stats('stats');

-- It is the end of what ready_ranges says, with rules, ranges and locks as they
-- come.
SELECT setseed(0.5);
DO $$
DECLARE
    source text;
BEGIN
    FOR s IN 1..60 LOOP
        source := 'stats ' || s;
        PERFORM partreg.register_source(source, 'team', CASE s % 2 WHEN 0 THEN 'all' ELSE 'any' END, 'regress_stats_team');
        FOR p IN 1..3 LOOP
            PERFORM partreg.register_provider('p' || p, NULL, 'regress_stats_team', CASE (random() * 3)::int
                        WHEN 0 THEN 'empty' WHEN 1 THEN tstzrange('2024-01-01', timestamptz '2024-01-01' + random() * interval '30 hours')
                        ELSE '(,)' END, source);
            FOR n IN 1..(random() * 8)::int LOOP
                PERFORM partreg.unlock_partition(source, 'p' || p, tstzrange(t, t + (1 + (random() * 5)::int) * interval '1 hour'), register => true)
                FROM (SELECT timestamptz '2024-01-01' + (random() * 24)::int * interval '1 hour') x (t);
            END LOOP;
            FOR n IN 1..(random() * 2)::int LOOP
                PERFORM partreg.lock_partition(source, 'p' || p, tstzrange(t, t + (1 + (random() * 5)::int) * interval '1 hour'), register => true)
                FROM (SELECT timestamptz '2024-01-01' + (random() * 30)::int * interval '1 hour') x (t);
            END LOOP;
        END LOOP;
    END LOOP;
END;
$$;
SELECT count(*), count(ready_to) > 20 AS many_are_ready, count(*) FILTER (WHERE ready_to IS DISTINCT FROM upper(partreg.ready_ranges(source_name, '(,)'))) AS wrong
FROM partreg.stats WHERE source_name LIKE 'stats %';

-- However much is locked, each lock is looked at once: with 3,000 more of them,
-- each on a stretch of its own, it does not take three times as long.
RESET SESSION AUTHORIZATION;
CREATE FUNCTION pg_temp.best_time() RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz;
    best interval;
BEGIN
    FOR try IN 1..5 LOOP
        began := clock_timestamp();
        PERFORM FROM partreg._list_ready_ends();
        best := least(best, clock_timestamp() - began);
    END LOOP;
    RETURN extract(epoch FROM best);
END;
$$;
CREATE FUNCTION pg_temp.lock_hours(a integer, b integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO partreg.lock (source_id, length_class, start_at, end_at, provider_id, state, since, holder)
    SELECT p.source_id, partreg._length_class(t, t + interval '30 minutes'), t, t + interval '30 minutes', p.provider_id, 'locked', now(), 'job'
      FROM partreg.providers p, generate_series(a, b) n, LATERAL (SELECT timestamptz '2030-01-01' + n * interval '1 hour') x (t)
     WHERE (p.source_name, p.provider_name) = ('stats 1', 'p1')
$$;
BEGIN;
SELECT pg_temp.lock_hours(3001, 100000);
SELECT pg_temp.best_time() AS few \gset
SELECT pg_temp.lock_hours(1, 3000);
INSERT INTO partreg.coverage
SELECT l.source_id, l.provider_id, l.start_at, l.end_at
  FROM partreg.lock l JOIN partreg.sources s ON (l.source_id, s.source_name) = (s.source_id, 'stats 1')
 WHERE l.start_at BETWEEN '2030-01-01' AND timestamptz '2030-01-01' + interval '3000 hours';
SELECT ready_to FROM pg_temp.stats('stats 1');
SELECT pg_temp.best_time() < 3 * :few AS in_time;
ROLLBACK;

-- A reader sees it.
SET SESSION AUTHORIZATION regress_stats_reader;
SELECT count(*) FROM partreg.stats WHERE source_name LIKE 'stats%';

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_stats_team, regress_stats_reader;
DROP ROLE regress_stats_team, regress_stats_reader;
