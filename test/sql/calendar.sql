-- Calendars: local dates and steps by the wall clock of a time zone, whatever
-- that clock does.  test/calendar compares every zone with a reference.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\pset format unaligned
\set SHOW_CONTEXT never

-- A date that a zone does not have is an error.
\set VERBOSITY terse
SELECT partreg.day_range('2011-12-30', 'Pacific/Apia');
\set VERBOSITY default
-- Below it shows as an empty range.
CREATE FUNCTION pg_temp.day_range(day date, time_zone text DEFAULT 'UTC') RETURNS tstzrange LANGUAGE plpgsql AS $$
BEGIN
    RETURN partreg.day_range(day, time_zone);
EXCEPTION WHEN invalid_parameter_value THEN
    IF SQLERRM NOT LIKE 'time zone "%" has no date %' THEN
        RAISE;
    END IF;
    RETURN 'empty';
END;
$$;

-- A date from its first instant to that of the next one.  Midnight is skipped
-- (the date has 23 hours and begins at one o'clock), comes twice (25 hours from
-- the first of them), lies within what comes twice (the date that had begun goes
-- on); there is no such date at all; half an hour and two; zones whose winter
-- time is the exception; seconds; a week's offset.
CREATE TEMP TABLE example (zone text, day date);
INSERT INTO example VALUES
    ('Africa/Cairo', '2024-04-26'), ('Asia/Beirut', '2024-03-31'), ('America/Santiago', '2024-09-08'),
    ('America/Havana', '2024-03-10'), ('America/Sao_Paulo', '2018-11-04'), ('Asia/Amman', '2021-03-26'),
    ('Atlantic/Azores', '2024-03-31'),
    ('America/Havana', '2024-11-03'), ('Atlantic/Azores', '2024-10-27'),
    ('America/Sao_Paulo', '2019-02-16'), ('Asia/Amman', '2021-10-29'), ('Africa/Cairo', '2024-10-31'),
    ('America/St_Johns', '2010-11-06'), ('America/St_Johns', '2010-11-07'),
    ('America/Juneau', '1867-10-18'), ('America/Juneau', '1867-10-19'),
    ('Pacific/Apia', '2011-12-29'), ('Pacific/Apia', '2011-12-30'), ('Pacific/Apia', '2011-12-31'),
    ('Pacific/Kwajalein', '1993-08-20'), ('Pacific/Kwajalein', '1993-08-21'), ('Pacific/Kwajalein', '1993-08-22'),
    ('Australia/Lord_Howe', '2024-04-07'), ('Australia/Lord_Howe', '2024-10-06'), ('Asia/Pyongyang', '2018-05-05'),
    ('Antarctica/Troll', '2024-03-31'), ('Antarctica/Troll', '2024-10-27'),
    ('Europe/Dublin', '2024-03-31'), ('Europe/Dublin', '2024-10-27'),
    ('Africa/Casablanca', '2024-03-10'), ('Africa/Casablanca', '2024-04-14'),
    ('Africa/Monrovia', '1972-01-07'), ('UTC', '2024-01-01'), ('<+167>-167', '2024-01-01'), ('<-167>167', '2024-01-01');
SELECT zone, day, r AS range, upper(r) - lower(r) AS length, lower(r) AT TIME ZONE zone AS shows
FROM example, pg_temp.day_range(day, zone) r;

-- Each of them is what a step of one day makes of it, whatever the session's
-- zone; the days and weeks around it tile.
SET timezone = 'Asia/Kathmandu';
SELECT zone, day FROM example, pg_temp.day_range(day, zone) r
WHERE NOT isempty(r) AND ARRAY(SELECT partreg.step_ranges(r, '1 day', zone)) <> ARRAY[r];
SELECT zone, day
FROM example, LATERAL (SELECT lower(pg_temp.day_range(day - 10, zone)) AS a, lower(pg_temp.day_range(day + 11, zone)) AS z) w
WHERE ARRAY(SELECT partreg.step_ranges(tstzrange(a, z), '1 day', zone))
   <> ARRAY(SELECT r FROM generate_series(-10, 10) n, pg_temp.day_range(day + n, zone) r WHERE NOT isempty(r) ORDER BY n)
   OR ARRAY(SELECT partreg.step_ranges(tstzrange(a, z), '1 week', zone))
   <> ARRAY(SELECT tstzrange(lower(pg_temp.day_range(day + n - 3, zone)), lower(pg_temp.day_range(day + n + 4, zone)))
            FROM generate_series(-7, 7, 7) n ORDER BY n);
SET timezone = 'UTC';

-- What register_partitions registers.
CREATE FUNCTION pg_temp.local(day date, zone text) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT coalesce(lower(pg_temp.day_range(day, zone)), upper(pg_temp.day_range(day - 1, zone)))
$$;
SELECT partreg.register_source('calendar', 'team') AS source_token \gset
CREATE TEMP TABLE cut AS
    SELECT name, partreg.register_provider(name, :'source_token') AS token, zone, step,
           tstzrange(pg_temp.local(first_day, zone), pg_temp.local(next_day, zone)) AS during
    FROM (VALUES ('a', 'Pacific/Apia', date '2011-12-28', date '2012-01-02', interval '1 day'),
                 ('b', 'Pacific/Apia', '2010-12-31', '2011-12-30', '1 week'),
                 ('c', 'America/Sao_Paulo', '2018-11-04', '2019-02-18', '1 day'),
                 ('d', 'Europe/Vienna', '2025-10-26', '2025-10-27', '15 minutes')) v (name, zone, first_day, next_day, step);
SELECT zone, during, step, partreg.register_partitions('calendar', name, during, step, token, zone) AS new FROM cut ORDER BY name;
SELECT name FROM cut
WHERE ARRAY(SELECT partreg.step_ranges(during, step, zone))
   <> ARRAY(SELECT tstzrange(start_at, end_at) FROM partreg.partitions
             WHERE (source_name, provider_name) = ('calendar', name) ORDER BY start_at);
SELECT partreg.drop_source('calendar', :'source_token');

-- Counted from a date whose midnight is skipped, a day begins at midnight, and
-- so does a month; counted from one o'clock of another date, at one.
SELECT * FROM partreg.step_ranges('[2018-11-04 03:00+00, 2018-11-06 02:00+00)', '1 day', 'America/Sao_Paulo');
SELECT * FROM partreg.step_ranges('[2018-11-04 03:00+00, 2019-01-04 02:00+00)', '1 month', 'America/Sao_Paulo');
SELECT * FROM partreg.step_ranges('[2018-11-02 04:00+00, 2018-11-05 03:00+00)', '1 day', 'America/Sao_Paulo');
-- A local time that is skipped is that of the change; one that comes twice is
-- the first, but a start is the instant that it is.
SELECT * FROM partreg.step_ranges('[2025-03-29 01:30:00.5+00, 2025-03-31 00:30:00.5+00)', '1 day', 'Europe/Berlin');
SELECT * FROM partreg.step_ranges('[2025-10-25 00:30:00.5+00, 2025-10-27 01:30:00.5+00)', '1 day', 'Europe/Berlin');
SELECT * FROM partreg.step_ranges('[2025-10-26 01:30+00, 2025-10-27 01:30+00)', '1 day', 'Europe/Berlin');
-- The same years later.
SELECT * FROM partreg.step_ranges('[2020-10-25 00:30+00, 2026-10-25 00:30+00)', '3 years', 'Europe/Berlin');
SELECT * FROM partreg.step_ranges('[2020-11-01 05:30+00, 2026-11-01 05:30+00)', '3 years', 'America/New_York');
-- The second midnight of a date is no first instant of it.
SELECT * FROM partreg.step_ranges('[2024-11-03 05:00+00, 2024-11-05 05:00+00)', '1 day', 'America/Havana');

-- Months are cut at the end of a shorter one, and counted from the start; then
-- come days, then the rest, which is a plain length.
SELECT * FROM partreg.step_ranges('[2024-01-31, 2024-05-31)', '1 month');
SELECT * FROM partreg.step_ranges('[2020-02-29, 2024-02-29)', '1 year');
SELECT * FROM partreg.step_ranges('[2030-01-31, 2030-05-03)', '1 mon 1 day');
SELECT * FROM partreg.step_ranges('[0005-12-31 00:00+00 BC, 0001-08-31 00:00+00)', '1 year 2 months');
SELECT * FROM partreg.step_ranges('[2025-03-29 23:00+00, 2025-04-03 10:00+00)', '1 day 12 hours', 'Europe/Berlin');
SELECT * FROM partreg.step_ranges('[2025-03-29 23:00+00, 2025-03-30 23:00+00)', '12 hours', 'Europe/Berlin');
SELECT * FROM partreg.step_ranges('(2025-03-29 22:59:59.999999+00, 2025-03-30 21:59:59.999999+00]', '1 day', 'Europe/Berlin');
-- Steps longer than what the zone leaves out, and as long.
SELECT * FROM partreg.step_ranges(tstzrange(pg_temp.local('2011-12-28', 'Pacific/Apia'), pg_temp.local('2012-01-03', 'Pacific/Apia')), '2 days', 'Pacific/Apia');
SELECT * FROM partreg.step_ranges(tstzrange(pg_temp.local('2011-11-30', 'Pacific/Apia'), pg_temp.local('2012-01-30', 'Pacific/Apia')), '1 month', 'Pacific/Apia');
SELECT * FROM partreg.step_ranges(tstzrange(pg_temp.local('2011-12-29', 'Pacific/Apia'), pg_temp.local('2011-12-30', 'Pacific/Apia')), '1 day', 'Pacific/Apia');
SELECT * FROM partreg.step_ranges(tstzrange(pg_temp.local('2011-12-29', 'Pacific/Apia'), pg_temp.local('2011-12-31', 'Pacific/Apia')), '1 day', 'Pacific/Apia');

-- The ends of time, and where PostgreSQL begins its table of 400 years anew.
SELECT pg_temp.day_range('4713-01-01 BC'), pg_temp.day_range('4714-11-24 BC'), pg_temp.day_range('4714-11-24 BC', 'America/Havana'),
       pg_temp.day_range('294276-12-30', 'Asia/Tokyo'), pg_temp.day_range('294276-12-31', 'Asia/Tokyo');
SELECT pg_temp.day_range('4714-11-24 BC', 'Asia/Tokyo');
SELECT pg_temp.day_range('294276-12-31');
SELECT pg_temp.day_range('294277-01-01', 'Asia/Tokyo');
SELECT pg_temp.day_range('5874897-12-31');
SELECT first_year, upper(r) - lower(r) AS length, count(*)
FROM unnest('{2000, 293700}'::int[]) first_year,
     partreg.step_ranges(tstzrange(pg_temp.local(make_date(first_year, 1, 1), 'Europe/Berlin'), pg_temp.local(make_date(first_year + 500, 1, 1), 'Europe/Berlin')),
                         '1 day', 'Europe/Berlin') r
GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*), range_agg(r) FROM partreg.step_ranges('[4714-11-24 00:00:00+00 BC, 294276-11-24 00:00:00+00)', '1 year') r;

-- 22023: the end is no bound.  DETAIL names the bounds on either side.
SELECT * FROM partreg.step_ranges('[2025-03-01 00:00+01, 2025-04-01 00:00+02)', '1 day', 'UTC');
SELECT * FROM partreg.step_ranges('[2025-03-01 00:00+01, 2025-04-01 00:00+02)', '24 hours', 'Europe/Berlin');
SELECT * FROM partreg.step_ranges('[2025-04-06 00:00 Australia/Lord_Howe, 2025-04-07 00:00 Australia/Lord_Howe)', '1 hour', 'Australia/Lord_Howe');
SELECT * FROM partreg.step_ranges('[2025-01-31, 2025-02-27)', '1 month');
-- PostgreSQL reads a local time that comes twice as the second.
SELECT * FROM partreg.step_ranges('[2024-11-02 00:00 America/Havana, 2024-11-03 00:00 America/Havana)', '1 day', 'America/Havana');
SELECT * FROM partreg.step_ranges('[294276-12-01, 294276-12-31 23:00)', '1 month');
SELECT * FROM partreg.step_ranges('[294276-12-31 20:00, 294276-12-31 23:00)', '2 hours');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '178000000 years 2147483647 days 2000000000 hours');

-- 22023: too many for one call; how many, the message says.
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '1 microsecond');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02 00:00:00.000001)', '2 microseconds');
SELECT * FROM partreg.step_ranges('[4714-11-24 BC, 294276-12-31 23:00)', '1 day', 'Europe/Berlin');
SELECT count(*) FROM (SELECT partreg.step_ranges('[2024-01-01, 2024-01-01 00:00:10)', '1 microsecond') LIMIT 3) s;
SELECT partreg.step_ranges('[2024-01-01, 2024-01-01 00:00:10.000001)', '1 microsecond') LIMIT 1;

-- 22023: no field of a step may be negative; no step; no such zone.
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '1 month -1 day');
\set VERBOSITY terse
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '-1 month 40 days');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '1 day -1 microsecond');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '0');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '1 day', 'Europe/Atlantis');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '1 day', 'right/UTC');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', '1 day', '');
SELECT pg_temp.day_range('2024-01-01', 'Europe/Atlantis');
SELECT * FROM partreg.step_ranges('empty', '1 day');
SELECT * FROM partreg.step_ranges('[2024-01-01,)', '1 day');
SELECT pg_temp.day_range('infinity');
SELECT pg_temp.day_range('-infinity');
SELECT pg_temp.day_range(NULL);
SELECT * FROM partreg.step_ranges(NULL, '1 day');
SELECT * FROM partreg.step_ranges('[2024-01-01, 2024-01-02)', NULL);
-- NULL for a time zone is UTC.  The condition is a word for programs.
SELECT pg_temp.day_range('2024-01-01', NULL) = pg_temp.day_range('2024-01-01') AS utc,
       (SELECT count(*) FROM partreg.step_ranges('[2024-01-01, 2024-01-03)', '1 day', NULL)) AS days;
CREATE FUNCTION pg_temp.condition(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    word text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS word = CONSTRAINT_NAME;
    RETURN SQLSTATE || ' ' || word;
END;
$$;
SELECT statement, pg_temp.condition('SELECT partreg.' || statement)
FROM unnest(ARRAY[
    $$day_range('infinity')$$,
    $$day_range('294277-01-01')$$,
    $$day_range('2024-01-01', 'nowhere')$$,
    $$step_ranges('[2024-01-01, 2024-01-02)', '0')$$,
    $$step_ranges('[2024-01-01, 2024-01-02)', '5 hours')$$,
    $$step_ranges('[2024-01-01, 2024-01-02)', '1 microsecond')$$]) statement;

-- The session's zone is not touched; a cancel is heard.
SHOW timezone;
SET statement_timeout = '50ms';
SELECT count(*) FROM partreg.step_ranges('[2024-01-01, 2024-01-01 00:00:09)', '1 microsecond');
RESET statement_timeout;
