-- Ranges of time: bounds, the ends of what timestamptz can hold, time zones.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set VERBOSITY sqlstate

CREATE ROLE regress_interval;
SELECT partreg.grant_privileges('regress_interval', 'admin');
SET SESSION AUTHORIZATION regress_interval;
SELECT partreg.register_source('interval', 'team') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token') AS token \gset
CREATE FUNCTION pg_temp.supply(during tstzrange, token text) RETURNS boolean LANGUAGE sql AS $$
    SELECT partreg.register_partition('interval', 'a', during, token)
       AND partreg.unlock_partition('interval', 'a', during, token)
$$;
-- The answer, or the SQLSTATE.
CREATE FUNCTION pg_temp.answer(during tstzrange) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN partreg.check_readiness('interval', during);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END;
$$;

-- All four kinds of bounds, converted exactly, when written and when asked.
SELECT pg_temp.supply(r, :'token')
FROM (VALUES (tstzrange '[2024-01-01, 2024-01-02)'), ('(2024-01-11, 2024-01-12)'),
             ('[2024-01-21, 2024-01-22]'), ('(2024-01-26, 2024-01-27]')) v (r);
SELECT start_at, end_at FROM partreg.partitions WHERE source_name = 'interval' ORDER BY 1;
SELECT r, pg_temp.answer(r)
FROM (VALUES (tstzrange '[2024-01-01, 2024-01-02)'), ('[2024-01-01, 2024-01-02]'), ('(2024-01-01, 2024-01-02)'), ('(2024-01-01, 2024-01-02]'),
             ('[2024-01-11, 2024-01-12)'), ('[2024-01-11, 2024-01-12]'), ('(2024-01-11, 2024-01-12)'), ('(2024-01-11, 2024-01-12]'),
             ('[2024-01-21, 2024-01-22)'), ('[2024-01-21, 2024-01-22]'), ('(2024-01-21, 2024-01-22)'), ('(2024-01-21, 2024-01-22]'),
             ('[2024-01-26, 2024-01-27)'), ('[2024-01-26, 2024-01-27]'), ('(2024-01-26, 2024-01-27)'), ('(2024-01-26, 2024-01-27]')) v (r);
-- To the microsecond.
SELECT r, pg_temp.answer(r)
FROM (VALUES (tstzrange '[2024-01-11 00:00:00.000001, 2024-01-11 00:00:00.000002)'), ('[2024-01-11, 2024-01-11]'),
             ('[2024-01-22, 2024-01-22 00:00:00.000001)'), ('[2024-01-22, 2024-01-22 00:00:00.000002)'), ('[2024-01-22, 2024-01-22]')) v (r);

-- Ranges that are no question: never true, never NULL.
SELECT r, pg_temp.answer(r)
FROM (VALUES (tstzrange 'empty'), ('[2024-01-01, 2024-01-01)'), ('(2024-01-01, 2024-01-01 00:00:00.000001)'),
             ('(,)'), ('[2024-01-01,)'), ('(,2024-01-01)'), ('[2024-01-01, infinity)'), ('[2024-01-01, infinity]'),
             ('[-infinity, 2024-01-01)'), ('(-infinity, 2024-01-01)'), ('[-infinity, -infinity]'), ('[infinity, infinity]'),
             ('(-infinity, infinity)'), (NULL)) v (r);
SELECT partreg.check_readiness('interval', '2024-01-01', '2024-01-02');
SELECT partreg.check_readiness('interval', '2024-01-01', '2024-01-01');
SELECT partreg.check_readiness('interval', '2024-01-02', '2024-01-01');
SELECT partreg.check_readiness('interval', '-infinity', '2024-01-01');
SELECT partreg.check_readiness('interval', '2024-01-01', 'infinity');
SELECT partreg.check_readiness('interval', '2024-01-01', NULL);
SELECT partreg.check_readiness('interval', NULL, '2024-01-01');
SELECT partreg.check_readiness('interval', tstzrange('2024-01-02', '2024-01-01'));

-- The first and the last instant that there are, and what lies beyond.
SELECT pg_temp.supply('[4714-11-24 00:00:00 BC, 4714-11-24 00:00:00.000001 BC)', :'token'),
       pg_temp.supply('[294276-12-31, 294276-12-31 23:59:59.999999)', :'token');
SELECT r, pg_temp.answer(r)
FROM (VALUES (tstzrange '[4714-11-24 00:00:00 BC, 4714-11-24 00:00:00.000001 BC)'), ('[4714-11-24 00:00:00 BC, 4714-11-24 00:00:00 BC]'),
             ('(4714-11-24 00:00:00 BC, 4714-11-24 00:00:00.000002 BC)'),
             ('[294276-12-31 23:59:59.999998, 294276-12-31 23:59:59.999998]'), ('[294276-12-31, 294276-12-31 23:59:59.999999)'),
             ('[294276-12-31, 294276-12-31 23:59:59.999999]'), ('(294276-12-31 23:59:59.999998, 294276-12-31 23:59:59.999999)'),
             ('(294276-12-31 23:59:59.999998, 294276-12-31 23:59:59.999999]'),
             ('[4714-11-24 00:00:00 BC, 294276-12-31 23:59:59.999999)')) v (r);
SELECT partreg.register_partition('interval', 'a', '[294276-12-31, 294276-12-31 23:59:59.999999]', :'token');

-- All of time at once; years before Christ; a leap day; a leap second.
SELECT pg_temp.supply('[0045-03-14 BC, 0044-03-15 BC)', :'token'), pg_temp.supply('[0001-12-31 BC, 0001-01-02)', :'token'),
       pg_temp.supply('[2024-02-29, 2024-03-01)', :'token'), pg_temp.supply('[2016-12-31 23:59:60, 2017-01-01 00:00:01)', :'token');
SELECT r, pg_temp.answer(r)
FROM (VALUES (tstzrange '[0044-01-01 BC, 0044-03-15 BC)'), ('[0044-01-01 BC, 0044-03-16 BC)'), ('[0001-12-31 BC, 0001-01-02)'),
             ('[0001-12-31 BC, 0001-01-03)'), ('[2024-02-29, 2024-03-01)'), ('[2024-02-28, 2024-03-01)'), ('[2017-01-01, 2017-01-01 00:00:01)')) v (r);
SELECT pg_temp.supply('[4714-11-24 00:00:00 BC, 294276-12-31 23:59:59.999999)', :'token');
SELECT pg_temp.answer('[4714-11-24 00:00:00 BC, 294276-12-31 23:59:59.999999)');
SELECT partreg.lock_partition('interval', 'a', '[4714-11-24 00:00:00 BC, 294276-12-31 23:59:59.999999)', :'token');
SELECT count(*) AS blocked
FROM (VALUES (tstzrange '[4714-11-24 00:00:00 BC, 4714-11-24 00:00:00.000001 BC)'), ('[2024-01-01, 2024-01-02)'),
             ('[294276-12-31 23:59:59.999998, 294276-12-31 23:59:59.999999)')) v (r)
WHERE NOT partreg.check_readiness('interval', r);

-- A lock blocks what it overlaps, however short or long, to the microsecond.
SELECT partreg.register_source('interval lock', 'team') AS lock_token \gset
SELECT partreg.register_provider('a', :'lock_token') AS lock_a \gset
SELECT partreg.register_partition('interval lock', 'a', '[2000-01-01, 2100-01-01)', :'lock_a'),
       partreg.unlock_partition('interval lock', 'a', '[2000-01-01, 2100-01-01)', :'lock_a');
SELECT partreg.register_partition('interval lock', 'a', r, :'lock_a') AND partreg.lock_partition('interval lock', 'a', r, :'lock_a') AS locked
FROM (SELECT tstzrange(t, t + (2 ^ n) * interval '1 microsecond')
      FROM generate_series(0, 49) n, LATERAL (SELECT timestamptz '2001-01-01' + (2 ^ n) * interval '2 microseconds') x (t)) v (r)
GROUP BY 1;
SELECT count(*) FILTER (WHERE NOT partreg.check_readiness('interval lock', lower(during), lower(during) + interval '1 microsecond')) AS first_instant,
       count(*) FILTER (WHERE NOT partreg.check_readiness('interval lock', upper(during) - interval '1 microsecond', upper(during))) AS last_instant,
       count(*) FILTER (WHERE partreg.check_readiness('interval lock', upper(during), upper(during) + interval '1 microsecond')) AS after_it,
       count(*) FILTER (WHERE partreg.check_readiness('interval lock', lower(during) - interval '1 microsecond', lower(during))) AS before_it
FROM partreg.locks WHERE source_name = 'interval lock';

-- The answer does not depend on the session's time zone: one that was given
-- as timestamptz is one instant everywhere.  Days in which clocks change.
SELECT partreg.register_source('interval zone', 'team') AS zone_token \gset
SELECT partreg.register_provider('a', :'zone_token') AS zone_a \gset
SET timezone = 'Europe/Berlin';
SELECT partreg.register_partition('interval zone', 'a', r, :'zone_a') AND partreg.unlock_partition('interval zone', 'a', r, :'zone_a') AS supplied
FROM (VALUES (tstzrange '[2024-03-31, 2024-04-01)'), ('[2024-10-27, 2024-10-28)')) v (r);
SELECT start_at, end_at, end_at - start_at AS length FROM partreg.partitions WHERE source_name = 'interval zone' ORDER BY 1;
CREATE TEMP TABLE question AS
    SELECT r FROM (VALUES (tstzrange '[2024-03-30 23:00+00, 2024-03-31 22:00+00)'), ('[2024-03-30 23:00+00, 2024-03-31 23:00+00)'),
                          ('[2024-10-26 22:00+00, 2024-10-27 23:00+00)'), ('[2024-10-26 22:00+00, 2024-10-27 23:01+00)'),
                          ('[2024-10-27 00:59:59.999999+00, 2024-10-27 01:00:00.000001+00)')) v (r);
SELECT array_agg(partreg.check_readiness('interval zone', r) ORDER BY r) FROM question;
SET timezone = 'America/New_York';
SELECT array_agg(partreg.check_readiness('interval zone', r) ORDER BY r) FROM question;
SET timezone = 'Australia/Lord_Howe';
SELECT array_agg(partreg.check_readiness('interval zone', r) ORDER BY r) FROM question;
SET timezone = 'UTC';
SELECT array_agg(partreg.check_readiness('interval zone', r) ORDER BY r) FROM question;
-- A day of 23 hours that somebody takes for 24 in another zone is not ready.
SELECT partreg.check_readiness('interval zone', '[2024-03-31, 2024-04-01)');

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_interval;
DROP ROLE regress_interval;
