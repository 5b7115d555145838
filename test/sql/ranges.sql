-- ready_until, ready_ranges, all_ready: the same truth as check_readiness.
-- Time is in hours of 2024-01-01.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set VERBOSITY sqlstate

CREATE ROLE regress_ranges;
SELECT partreg.grant_privileges('regress_ranges', 'admin');
SET SESSION AUTHORIZATION regress_ranges;
CREATE FUNCTION pg_temp.hours(a numeric, b numeric) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 hour', t + b * interval '1 hour')
    FROM (SELECT timestamptz '2024-01-01 00:00+00') x (t)
$$;
CREATE FUNCTION pg_temp.supply(source text, provider text, token text, a numeric, b numeric) RETURNS boolean LANGUAGE sql AS $$
    SELECT partreg.register_partition(source, provider, pg_temp.hours(a, b), token)
       AND partreg.unlock_partition(source, provider, pg_temp.hours(a, b), token)
$$;
CREATE FUNCTION pg_temp.until(source text, since numeric) RETURNS text LANGUAGE sql AS $$
    SELECT to_char(partreg.ready_until(source, lower(pg_temp.hours(since, since + 1))), 'DD HH24:MI')
$$;
CREATE FUNCTION pg_temp.ranges(source text, a numeric, b numeric) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(to_char(lower(r), 'HH24:MI-') || to_char(upper(r), 'HH24:MI'), ' ' ORDER BY r)
    FROM unnest(partreg.ready_ranges(source, pg_temp.hours(a, b))) r
$$;
SELECT partreg.register_source('ranges', 'team') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset

-- Nothing.
SELECT partreg.ready_until('ranges', '2024-01-01') IS NULL AS until_is_null, partreg.ready_ranges('ranges', '(,)'),
       partreg.all_ready('{ranges}', '[2024-01-01, 2024-01-02)');

-- Two providers by turns, a gap, and more.
SELECT pg_temp.supply('ranges', 'a', :'a', 0, 2), pg_temp.supply('ranges', 'b', :'b', 2, 4), pg_temp.supply('ranges', 'a', :'a', 3, 5),
       pg_temp.supply('ranges', 'b', :'b', 6, 8);
SELECT since, pg_temp.until('ranges', since) FROM unnest('{-1, 0, 1.5, 2, 4.999, 5, 5.5, 6, 7.999, 8, 9}'::numeric[]) since;
SELECT pg_temp.ranges('ranges', 0, 24), pg_temp.ranges('ranges', 1, 7), pg_temp.ranges('ranges', 5, 6), pg_temp.ranges('ranges', 2.5, 2.75);

-- Unbounded at either end, all four bound flags, one instant.
SELECT partreg.ready_ranges('ranges', '(,)');
SELECT partreg.ready_ranges('ranges', '(,2024-01-01 01:00]'), partreg.ready_ranges('ranges', '(2024-01-01 07:00,)');
SELECT partreg.ready_ranges('ranges', '[-infinity, infinity]') = partreg.ready_ranges('ranges', '(,)') AS same;
SELECT partreg.ready_ranges('ranges', '[2024-01-01 01:00, 2024-01-01 01:00]');
SELECT partreg.ready_ranges('ranges', 'empty');
SELECT partreg.ready_until('ranges', 'infinity');
SELECT partreg.ready_until('ranges', '-infinity');

-- Locked and failed ones cut, also those never unlocked, and nested ones.
SELECT partreg.lock_partition('ranges', 'b', pg_temp.hours(2, 4), :'b'),
       partreg.register_partition('ranges', 'a', pg_temp.hours(6.25, 6.5), :'a'), partreg.fail_partition('ranges', 'a', pg_temp.hours(6.25, 6.5), :'a'),
       partreg.register_partition('ranges', 'a', pg_temp.hours(1, 1.125), :'a'), partreg.lock_partition('ranges', 'a', pg_temp.hours(1, 1.125), :'a');
SELECT since, pg_temp.until('ranges', since) FROM unnest('{0, 1, 1.125, 2, 3.5, 4, 5, 6, 6.25, 6.5}'::numeric[]) since;
SELECT pg_temp.ranges('ranges', 0, 24);
SELECT partreg.unlock_partition('ranges', 'b', pg_temp.hours(2, 4), :'b'), partreg.retire_partition('ranges', 'a', pg_temp.hours(6.25, 6.5), :'a'),
       partreg.retire_partition('ranges', 'a', pg_temp.hours(1, 1.125), :'a');

-- Under "all", with effective ranges: a is asked from 3 on, b until 7.
SELECT partreg.set_readiness_rule('ranges', 'all', :'source_token');
SELECT pg_temp.ranges('ranges', 0, 24), pg_temp.until('ranges', 3);
SELECT partreg.set_effective('ranges', 'a', tstzrange(lower(pg_temp.hours(3, 4)), NULL), :'source_token'),
       partreg.set_effective('ranges', 'b', tstzrange(NULL, lower(pg_temp.hours(7, 8))), :'source_token');
SELECT pg_temp.ranges('ranges', 0, 24), pg_temp.until('ranges', 2);
SELECT pg_temp.supply('ranges', 'a', :'a', 5, 9), pg_temp.supply('ranges', 'b', :'b', 4, 6);
SELECT pg_temp.ranges('ranges', 0, 24), pg_temp.until('ranges', 2), pg_temp.until('ranges', 7);
SELECT partreg.set_effective('ranges', 'a', 'empty', :'source_token'), partreg.set_effective('ranges', 'b', 'empty', :'source_token');
SELECT pg_temp.ranges('ranges', 0, 24), pg_temp.until('ranges', 0);

-- The three agree with check_readiness: for each window of quarters of hours.
SELECT partreg.set_effective('ranges', 'b', pg_temp.hours(1, 9), :'source_token');
SELECT partreg.lock_partition('ranges', 'a', pg_temp.hours(5, 9), :'a');
CREATE TEMP VIEW difference AS
    SELECT count(*) AS windows, count(*) FILTER (WHERE checked) AS ready,
           count(*) FILTER (WHERE checked <> (ranges @> during)) AS ranges_differ,
           count(*) FILTER (WHERE checked <> coalesce(until >= upper(during), false)) AS until_differs,
           count(*) FILTER (WHERE checked <> all_of_one) AS all_ready_differs
    FROM (SELECT pg_temp.hours(a / 4.0, b / 4.0) AS during FROM generate_series(-2, 40) a, generate_series(a + 1, 41) b) w,
         LATERAL (SELECT partreg.check_readiness('ranges', during) AS checked, partreg.ready_ranges('ranges', '(,)') AS ranges,
                         partreg.ready_until('ranges', lower(during)) AS until, partreg.all_ready('{ranges}', during) AS all_of_one) x;
SELECT * FROM difference;
SELECT partreg.set_readiness_rule('ranges', 'any', :'source_token');
SELECT * FROM difference;
SELECT partreg.unlock_partition('ranges', 'a', pg_temp.hours(5, 9), :'a');
SELECT * FROM difference;

-- Several sources at once: each has to be known and ready, in whatever order.
SELECT partreg.register_source('ranges 2', 'team') AS token_2 \gset
SELECT partreg.register_source('ranges 3', 'team') IS NOT NULL AS registered;
SELECT partreg.register_provider('a', :'token_2') AS a_2 \gset
SELECT pg_temp.supply('ranges 2', 'a', :'a_2', 0, 3);
SELECT partreg.all_ready('{ranges, ranges 2}', pg_temp.hours(0, 3)), partreg.all_ready('{ranges 2, ranges}', pg_temp.hours(0, 4)),
       partreg.all_ready('{ranges, ranges 2, ranges 3}', pg_temp.hours(0, 3)), partreg.all_ready('{ranges, ranges}', pg_temp.hours(0, 4));
SELECT partreg.all_ready('{}', pg_temp.hours(0, 3));
SELECT partreg.all_ready('{ranges, NULL}', pg_temp.hours(0, 3));
SELECT partreg.all_ready('{ranges, unknown}', pg_temp.hours(0, 3));
SELECT partreg.all_ready('{ranges 3, unknown}', pg_temp.hours(0, 3));
SELECT partreg.all_ready('{unknown, ranges 3}', pg_temp.hours(0, 3));
SELECT partreg.all_ready('{ranges}', 'empty');
SELECT partreg.all_ready('{ranges}', '(,)');

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_ranges;
DROP ROLE regress_ranges;
