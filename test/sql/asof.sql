-- readiness_as_of() and ready_since(): what was so at an earlier instant, and
-- since when it is.  Time is in hours of 2024-01-01.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set VERBOSITY sqlstate
CREATE FUNCTION pg_temp.hours(a numeric, b numeric) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 hour', t + b * interval '1 hour')
    FROM (SELECT timestamptz '2024-01-01 00:00+00') x (t)
$$;

-- Each step is one statement, so that what is so after it has an instant of its
-- own; what was ready then is written down as check_readiness() says it.
CREATE TEMPORARY TABLE step (n integer GENERATED ALWAYS AS IDENTITY, what text, at timestamptz, ready boolean[]);
CREATE FUNCTION pg_temp.now_ready() RETURNS boolean[] LANGUAGE sql AS $$
    SELECT array_agg(partreg.check_readiness('asof', pg_temp.hours(a, b)) ORDER BY a, b)
    FROM generate_series(0, 7) a, generate_series(a + 1, 8) b
$$;
CREATE FUNCTION pg_temp.then_ready(at timestamptz) RETURNS boolean[] LANGUAGE sql AS $$
    SELECT array_agg(partreg.readiness_as_of('asof', pg_temp.hours(a, b), at) ORDER BY a, b)
    FROM generate_series(0, 7) a, generate_series(a + 1, 8) b
$$;
CREATE FUNCTION pg_temp.remember(what text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO step (what, at, ready) SELECT what, clock_timestamp(), pg_temp.now_ready()
$$;

SELECT clock_timestamp() AS before_all \gset
SELECT partreg.register_source('asof', 'team') AS source_token \gset
SELECT partreg.register_provider('p', :'source_token') AS p \gset
SELECT pg_temp.remember('nothing');
SELECT partreg.register_partitions('asof', 'p', pg_temp.hours(0, 8), '1 hour', :'p');
SELECT pg_temp.remember('registered');
SELECT partreg.unlock_partitions('asof', 'p', pg_temp.hours(0, 4), :'p');
SELECT pg_temp.remember('unlocked 0 to 4');
SELECT partreg.lock_partition('asof', 'p', pg_temp.hours(1, 2), :'p', 'one');
SELECT pg_temp.remember('locked 1');
SELECT partreg.fail_partition('asof', 'p', pg_temp.hours(1, 2), :'p', 'one');
SELECT pg_temp.remember('failed 1');
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(1, 2), :'p');
SELECT pg_temp.remember('unlocked 1');
-- A longer one over short ones: what it supplied goes with it, theirs stays.
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(2, 6), :'p', register => true);
SELECT pg_temp.remember('unlocked 2 to 6');
SELECT partreg.retire_partition('asof', 'p', pg_temp.hours(2, 6), :'p');
SELECT pg_temp.remember('retired 2 to 6');
SELECT partreg.retire_partition('asof', 'p', pg_temp.hours(3, 4), :'p');
SELECT pg_temp.remember('retired 3');
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(3, 4), :'p', register => true);
SELECT pg_temp.remember('unlocked 3 anew');
-- What was rolled back never was.
BEGIN;
SELECT partreg.unlock_partitions('asof', 'p', pg_temp.hours(4, 8), :'p');
ROLLBACK;
SELECT pg_temp.remember('rolled back');
BEGIN;
SELECT partreg.lock_partition('asof', 'p', pg_temp.hours(0, 1), :'p');
SAVEPOINT s;
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(4, 5), :'p');
ROLLBACK TO s;
COMMIT;
SELECT pg_temp.remember('rolled back to a savepoint');
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(0, 1), :'p');
SELECT pg_temp.remember('unlocked 0');

-- Rules, what is asked of providers, and their end
SELECT partreg.register_provider('q', :'source_token', NULL, pg_temp.hours(0, 2)) AS q \gset
SELECT pg_temp.remember('second provider');
SELECT partreg.set_readiness_rule('asof', 'all', :'source_token');
SELECT pg_temp.remember('rule all');
SELECT partreg.set_effective('asof', 'q', pg_temp.hours(0, 1), :'source_token');
SELECT pg_temp.remember('asked for 0');
SELECT partreg.set_effective('asof', 'q', 'empty', :'source_token');
SELECT pg_temp.remember('asked for nothing');
SELECT partreg.set_effective('asof', 'q', '(,)', :'source_token');
SELECT pg_temp.remember('asked for all of time');
SELECT partreg.set_effective('asof', 'q', '[2024-01-01 02:00+00, infinity)', :'source_token');
SELECT pg_temp.remember('asked from 2 on');
SELECT partreg.unlock_partition('asof', 'q', pg_temp.hours(2, 3), :'q', register => true);
SELECT pg_temp.remember('it has unlocked 2');
SELECT partreg.lock_partition('asof', 'q', pg_temp.hours(2, 3), :'q', 'two');
SELECT partreg.lock_partition('asof', 'q', pg_temp.hours(6, 7), :'q', 'two', register => true);
SELECT pg_temp.remember('it has locked 2 and 6');
SELECT partreg.revoke_provider('asof', 'q', :'source_token');
SELECT pg_temp.remember('it is revoked');
SELECT partreg.retire_partitions('asof', 'q', '(,)', :'source_token');
SELECT pg_temp.remember('its partitions are retired');
SELECT partreg.register_provider('q', :'source_token', NULL, pg_temp.hours(1, 2)) AS q \gset
SELECT pg_temp.remember('it is revived');
SELECT partreg.set_readiness_rule('asof', 'any', :'source_token');
SELECT pg_temp.remember('rule any');
SELECT partreg.set_trusted_role('asof', 'q', current_user, :'source_token');
SELECT partreg.rotate_access_token('asof', 'q', :'q') AS q \gset
SELECT partreg.rename_provider('asof', 'q', 'r', :'source_token');
SELECT partreg.rename_source('asof', 'asof new', :'source_token');
SELECT partreg.rename_source('asof new', 'asof', :'source_token');
SELECT pg_temp.remember('what does not matter');
SELECT partreg.force_fail_partition('asof', 'p', pg_temp.hours(0, 1), 'wrong');
SELECT pg_temp.remember('force-failed');

-- All of it is told as it was, whatever the session's settings.
SELECT n, what, pg_temp.then_ready(at) = ready AS right,
       (SELECT count(*) FROM unnest(ready) r WHERE r) AS ready_ranges
FROM step ORDER BY n;
SELECT DISTINCT unnest(pg_temp.then_ready(:'before_all')) AS before_all;
SET timezone = 'Asia/Kathmandu';
SET datestyle = 'SQL, DMY';
SELECT bool_and(pg_temp.then_ready(at) = ready) FROM step;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT event, details FROM partreg.events
WHERE source_name = 'asof' AND details IS NOT NULL AND event NOT IN ('revoke', 'rename')
  AND details::text !~ to_char(now(), 'YYYY-MM-') ORDER BY event_id;
-- A REPEATABLE READ transaction, and its own changes.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT bool_and(pg_temp.then_ready(at) = ready) FROM step;
SELECT partreg.unlock_partitions('asof', 'p', '(,)', :'p');
SELECT bool_and(pg_temp.then_ready(at) = ready) FROM step;
SELECT DISTINCT unnest(pg_temp.then_ready(clock_timestamp())) AS now;
ROLLBACK;
-- In a parallel worker
SELECT at AS unlocked_at FROM step WHERE n = 3 \gset
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT partreg.readiness_as_of('asof', '[2024-01-01 00:00+00, 2024-01-01 04:00+00)', :'unlocked_at') AS in_worker,
       partreg.ready_since('asof', '[2024-01-01 01:00+00, 2024-01-01 02:00+00)') IS NOT NULL AS since;
EXPLAIN (COSTS OFF) SELECT partreg.readiness_as_of('asof', '[2024-01-01 00:00+00, 2024-01-01 04:00+00)', '2024-01-01 00:00+00');
SELECT set_config(name, 'off', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

-- ready_since(): the last time that it became so.
SELECT partreg.ready_since('asof', pg_temp.hours(0, 1)) AS not_ready;
CREATE FUNCTION pg_temp.since(a numeric, b numeric) RETURNS text LANGUAGE sql AS $$
    SELECT (SELECT string_agg(s.what, '') FROM step s WHERE s.n = (SELECT min(n) FROM step t WHERE t.at >= since))
           || CASE WHEN partreg.readiness_as_of('asof', pg_temp.hours(a, b), since)
                    AND NOT partreg.readiness_as_of('asof', pg_temp.hours(a, b), since - interval '1 us') THEN '' ELSE ' (wrong)' END
    FROM partreg.ready_since('asof', pg_temp.hours(a, b)) since
$$;
SELECT pg_temp.since(1, 2) AS "1", pg_temp.since(2, 3) AS "2", pg_temp.since(3, 4) AS "3", pg_temp.since(1, 4) AS "1 to 4";
-- Supplied twice, it is ready since the first time.
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(0, 1), :'p');
SELECT pg_temp.remember('unlocked 0 again');
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(4, 5), :'p');
SELECT pg_temp.remember('unlocked 4');
SELECT partreg.unlock_partition('asof', 'p', pg_temp.hours(4, 6), :'p', register => true);
SELECT pg_temp.remember('unlocked 4 to 6');
SELECT partreg.retire_partition('asof', 'p', pg_temp.hours(4, 5), :'p');
SELECT pg_temp.remember('retired 4');
SELECT pg_temp.since(0, 1) AS "0", pg_temp.since(4, 5) AS "4", pg_temp.since(4, 6) AS "4 to 6", pg_temp.since(0, 6) AS "0 to 6";
-- A change of the rule, and of what is asked for
SELECT partreg.set_readiness_rule('asof', 'all', :'source_token');
SELECT pg_temp.remember('rule all again');
SELECT pg_temp.since(0, 1) AS "0", partreg.ready_since('asof', pg_temp.hours(1, 2)) AS "1";
SELECT partreg.set_effective('asof', 'r', 'empty', :'source_token');
SELECT pg_temp.remember('asked for nothing again');
SELECT pg_temp.since(0, 1) AS "0", pg_temp.since(1, 2) AS "1";
SELECT bool_and(pg_temp.then_ready(at) = ready) FROM step;

-- What cannot be asked
SELECT partreg.readiness_as_of('asof', pg_temp.hours(0, 1), now() + interval '1 minute');
SELECT partreg.readiness_as_of('asof', pg_temp.hours(0, 1), 'infinity');
SELECT partreg.readiness_as_of('nobody', pg_temp.hours(0, 1), now());
SELECT partreg.readiness_as_of('asof', '(,)', now());
SELECT partreg.readiness_as_of('asof', 'empty', now());
SELECT partreg.readiness_as_of(NULL, pg_temp.hours(0, 1), now());
SELECT partreg.readiness_as_of('asof', NULL, now());
SELECT partreg.readiness_as_of('asof', pg_temp.hours(0, 1), NULL);
SELECT partreg.ready_since('nobody', pg_temp.hours(0, 1));
SELECT partreg.ready_since('asof', '(,)');
SELECT partreg.ready_since(NULL, pg_temp.hours(0, 1));
SELECT partreg.ready_since('asof', NULL);

-- The same name is another source now.
SELECT clock_timestamp() AS ready_then \gset
SELECT partreg.drop_source('asof', :'source_token');
SELECT partreg.readiness_as_of('asof', pg_temp.hours(0, 1), :'ready_then');
SELECT partreg.register_source('asof', 'team') AS source_token \gset
SELECT partreg.readiness_as_of('asof', pg_temp.hours(0, 1), :'ready_then');
SELECT partreg.drop_source('asof', :'source_token');
