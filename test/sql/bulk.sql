-- Many partitions in one call: register_partitions by the calendar,
-- lock_partitions and unlock_partitions all or nothing.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET intervalstyle = 'postgres';
\set VERBOSITY terse

CREATE ROLE regress_bulk;
SELECT partreg.grant_privileges('regress_bulk', 'admin');
SET SESSION AUTHORIZATION regress_bulk;
SELECT partreg.register_source('bulk', 'team') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token') AS a \gset

-- Days of hours; what is there already is not new, and leaves no event.
SELECT partreg.register_partitions('bulk', 'a', '[2024-01-01, 2024-01-02)', '1 hour', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[2024-01-01, 2024-01-02)', '1 hour', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[2024-01-01 22:00, 2024-01-02 02:00)', '1 hour', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[2024-01-01, 2024-01-02)', '1 day', :'a', NULL);
SELECT partreg.register_partitions('bulk', 'a', '(2024-01-01 23:59:59.999999, 2024-01-02 23:59:59.999999]', '12 hours', :'a');
SELECT end_at - start_at AS length, count(*), min(start_at), max(end_at), count(DISTINCT registered_at)
FROM partreg.partitions WHERE source_name = 'bulk' GROUP BY 1 ORDER BY 1;
SELECT event, count(*), count(DISTINCT during) FROM partreg.events WHERE source_name = 'bulk' GROUP BY 1 ORDER BY 1;

-- The k-th bound is start + k * step: months that end on the last day, leap
-- years, months and days together, steps of a single microsecond.
SELECT partreg.register_provider('months', :'source_token') AS months \gset
SELECT partreg.register_partitions('bulk', 'months', '[2024-01-31, 2024-05-31)', '1 month', :'months'),
       partreg.register_partitions('bulk', 'months', '[2020-02-29, 2028-02-29)', '1 year', :'months'),
       partreg.register_partitions('bulk', 'months', '[2030-01-31, 2030-04-02)', '1 month 1 day', :'months'),
       partreg.register_partitions('bulk', 'months', '[2040-01-01, 2040-01-01 00:00:00.000003)', '1 microsecond', :'months');
SELECT start_at, end_at FROM partreg.partitions WHERE source_name = 'bulk' AND provider_name = 'months' ORDER BY 1, 2;

-- Three steps that make up nearly all of time.
SELECT partreg.register_partitions('bulk', 'months', '[4714-11-24 00:00:00.000002 BC, 294276-12-31 23:59:59.999999)', '3145061606399999999 microseconds', :'months');

-- Days in which clocks change, in three zones, whatever the session's is; it
-- stays what it was.
CREATE TEMP TABLE zone AS
    SELECT zone, partreg.register_provider(zone, :'source_token') AS token, year AT TIME ZONE zone AS start_at
    FROM (VALUES ('Europe/Berlin', timestamp '2024-01-01'), ('America/New_York', '2024-01-01'),
                 ('Australia/Lord_Howe', '2024-01-01'), ('UTC', '2024-01-01')) v (zone, year);
SET timezone = 'Asia/Kathmandu';
SELECT zone, partreg.register_partitions('bulk', zone, tstzrange(start_at, (start_at AT TIME ZONE zone + interval '1 year') AT TIME ZONE zone),
                                         '1 day', token, zone) AS days
FROM zone ORDER BY 1;
SHOW timezone;
SET timezone = 'UTC';
SELECT provider_name, end_at - start_at AS length, count(*), min(start_at AT TIME ZONE provider_name) AS first_day,
       bool_and((start_at AT TIME ZONE provider_name)::time = '00:00') AS all_from_midnight
FROM partreg.partitions WHERE source_name = 'bulk' AND provider_name IN (SELECT zone FROM zone) GROUP BY 1, 2 ORDER BY 1, 2;

-- Not a whole number of steps: a day too short for 24 hours, a month by
-- another zone's calendar, a rest, a step longer than it all.
SELECT token AS berlin FROM zone WHERE zone = 'Europe/Berlin' \gset
SELECT partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01 00:00+01, 2025-04-01 00:00+02)', '24 hours', :'berlin', 'Europe/Berlin');
SELECT partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01 00:00+01, 2025-04-01 00:00+02)', '1 day', :'berlin');
SELECT partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01 00:00+01, 2025-04-01 00:00+02)', '1 month', :'berlin');
SELECT partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01, 2025-03-02]', '1 hour', :'berlin');
SELECT partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01, 2025-03-02 00:30)', '1 hour', :'berlin');
SELECT partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01, 2025-03-02)', '2 days', :'berlin');
-- The whole of it in that zone's calendar.
SELECT partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01 00:00+01, 2025-04-01 00:00+02)', '1 hour', :'berlin'),
       partreg.register_partitions('bulk', 'Europe/Berlin', '[2025-03-01 00:00+01, 2025-04-01 00:00+02)', '1 month', :'berlin', 'Europe/Berlin');
SELECT count(*) AS hours_of_march FROM partreg.partitions
WHERE source_name = 'bulk' AND provider_name = 'Europe/Berlin' AND start_at >= '2025-02-01' AND end_at - start_at = '1 hour';

-- More steps than one call makes; calendar steps beyond the last timestamp.
SELECT partreg.register_partitions('bulk', 'a', '[4714-11-24 00:00:00 BC, 294276-12-31 23:59:59.999999)', '1 microsecond', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[294276-12-01, 294276-12-31 23:00)', '1 month', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[2024-01-01, 2024-01-02)', '178000000 years', :'a');

-- No step, steps that lead nowhere, zones that are none.
SELECT partreg.register_partitions('bulk', 'a', '[2024-03-01, 2024-03-02)', '0', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[2024-03-01, 2024-03-02)', '-1 day', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[2024-03-01, 2024-03-02)', '1 month -1 day', :'a');
SELECT partreg.register_partitions('bulk', 'a', '[2024-03-01, 2024-03-02)', '1 day', :'a', 'Europe/Atlantis');
SELECT partreg.register_partitions('bulk', 'a', '[2024-03-01, 2024-03-02)', '1 day', :'a', '');

-- lock_partitions: what lies within, of this provider; what merely overlaps is
-- left alone with a WARNING; how many are newly mine.
SELECT partreg.register_provider('b', :'source_token') AS b \gset
SELECT partreg.register_partitions('bulk', 'b', '[2024-06-01, 2024-06-11)', '1 day', :'b'),
       partreg.register_partition('bulk', 'b', '[2024-06-01, 2024-06-11)', :'b'),
       partreg.register_partition('bulk', 'b', '[2024-06-02 12:00, 2024-06-03 12:00)', :'b');
CREATE TEMP VIEW b AS
    SELECT p.start_at, p.end_at, p.state, l.holder, l.reason, l.lease_expires_at IS NOT NULL AS leased
    FROM partreg.partitions p
    LEFT JOIN partreg.locks l ON (l.source_name, l.provider_name, l.during) = (p.source_name, p.provider_name, tstzrange(p.start_at, p.end_at))
    WHERE (p.source_name, p.provider_name) = ('bulk', 'b') ORDER BY 1, 2;
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-02, 2024-06-05)', :'b', 'me', '1 day', 'reload');
SELECT * FROM b;
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-02, 2024-06-06)', :'b', 'me');
SELECT count(*) AS locked, count(*) FILTER (WHERE leased) AS leased FROM b WHERE state = 'locked';
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-02 06:00, 2024-06-06)', :'b', 'me');
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-01, 2024-06-11)', :'b', 'me', '0');
SELECT * FROM b;
SELECT event, count(*), count(DISTINCT at) AS times FROM partreg.events
WHERE source_name = 'bulk' AND provider_name = 'b' AND event <> 'register_partition' AND event <> 'register_provider' GROUP BY 1;

-- None within is an error, whatever overlaps.
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-02 01:00, 2024-06-02 02:00)', :'b', 'me');
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-07-01, 2024-08-01)', :'b', 'me');

-- Whose lease is over is taken over; failed ones are locked; all or nothing
-- where somebody else holds one of them.
SELECT partreg.fail_partition('bulk', 'b', '[2024-06-04, 2024-06-05)', :'b', 'me', 'disk full');
SELECT partreg.lock_partition('bulk', 'b', '[2024-06-09, 2024-06-10)', :'source_token', 'somebody else', '1 day');
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-01, 2024-06-11)', :'b', 'you', NULL, 'mine now');
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-06-01, 2024-06-11)', :'b', 'me');
SELECT state, holder, count(*) FROM b GROUP BY 1, 2 ORDER BY 1, 2;
-- (To unlock what is another's, its lease over or not, it has to be taken over.)
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-06-01, 2024-06-09)', :'b', 'you');
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-01, 2024-06-09)', :'b', 'you', NULL, 'mine now');
SELECT * FROM b;
SELECT holder, count(*), count(*) FILTER (WHERE since = (SELECT max(e.at) FROM partreg.events e
    WHERE (e.source_name, e.provider_name, e.during) = (l.source_name, l.provider_name, l.during))) AS since_the_last_event
FROM partreg.locks l WHERE (source_name, provider_name) = ('bulk', 'b') GROUP BY 1 ORDER BY 1;
-- Leases go by the clock, also within a transaction.
BEGIN;
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-01, 2024-06-09)', :'b', 'you', '100 milliseconds');
SELECT pg_sleep(0.2);
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-01, 2024-06-09)', :'b', 'third');
SELECT bool_and(at > now() + interval '0.2 seconds') AS by_the_clock FROM partreg.events
WHERE source_name = 'bulk' AND event = 'take_over' AND holder = 'third';
ROLLBACK;
-- The source token overrides.
SELECT partreg.lock_partitions('bulk', 'b', '[2024-06-01, 2024-06-11)', :'source_token', 'third');
SELECT state, holder, reason, count(*) FROM b GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- unlock_partitions: registered, locked and failed ones; those unlocked before
-- do not count.
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-06-01, 2024-06-03)', :'b', 'third');
SELECT partreg.fail_partition('bulk', 'b', '[2024-06-02, 2024-06-03)', :'b');
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-06-01, 2024-06-05)', :'b', 'third');
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-06-01, 2024-06-05)', :'source_token', 'third');
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-06-01, 2024-06-05)', :'b');
SELECT * FROM b;
SELECT partreg.check_readiness('bulk', '[2024-06-01, 2024-06-05)');
SELECT partreg.unlock_partitions('bulk', 'b', '[2024-06-01, 2024-06-11)', :'source_token');
SELECT partreg.check_readiness('bulk', '[2024-06-01, 2024-06-11)');
SELECT event, holder, reason, count(*) FROM partreg.events
WHERE source_name = 'bulk' AND provider_name = 'b' AND event NOT LIKE 'register%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- More than one batch, and lengths of several classes mixed.
SELECT partreg.register_provider('many', :'source_token') AS many \gset
SELECT partreg.register_partitions('bulk', 'many', '[2021-01-01, 2021-01-09)', '1 minute', :'many'),
       partreg.register_partitions('bulk', 'many', '[2021-01-01, 2021-01-09)', '7 minutes 30 seconds', :'many'),
       partreg.register_partitions('bulk', 'many', '[2021-01-01, 2021-01-09)', '1 day', :'many');
SELECT partreg.lock_partitions('bulk', 'many', '[2021-01-01, 2021-01-09)', :'many'),
       partreg.unlock_partitions('bulk', 'many', '[2021-01-01, 2021-01-09)', :'many');
SELECT partreg.check_readiness('bulk', '[2021-01-01, 2021-01-09)'), partreg.check_readiness('bulk', '[2021-01-01, 2021-01-09]');
SELECT state, count(*) FROM partreg.partitions WHERE source_name = 'bulk' AND provider_name = 'many' GROUP BY 1;
SELECT event, count(*), count(DISTINCT during) FROM partreg.events WHERE source_name = 'bulk' AND provider_name = 'many' GROUP BY 1 ORDER BY 1;
SELECT * FROM partreg.verify('bulk');

-- renew_leases, fail_partitions, retire_partitions; ranges without bounds.
\set VERBOSITY terse
SELECT partreg.register_source('bulk day', 'team') AS day_token \gset
SELECT partreg.register_provider('d', :'day_token') AS d \gset
CREATE TEMP VIEW d AS
    SELECT p.start_at::date AS day, p.state, l.holder, l.reason, l.lease_expires_at IS NOT NULL AS leased
    FROM partreg.partitions p
    LEFT JOIN partreg.locks l ON l.source_name = p.source_name AND l.provider_name = p.provider_name
                             AND l.during = tstzrange(p.start_at, p.end_at)
    WHERE p.source_name = 'bulk day' ORDER BY 1;
SELECT partreg.register_partitions('bulk day', 'd', '[2024-01-01, 2024-01-09)', '1 day', :'d');
SELECT partreg.lock_partitions('bulk day', 'd', '[2024-01-03,)', :'d', 'a');
SELECT partreg.lock_partition('bulk day', 'd', '[2024-01-01, 2024-01-02)', :'d', 'b');
SELECT partreg.renew_leases('bulk day', 'd', '(,)', '1 hour', :'d', 'a');
SELECT partreg.renew_leases('bulk day', 'd', '[2024-01-01, 2024-01-03)', '1 hour', :'d', 'a');
SELECT partreg.renew_leases('bulk day', 'd', '(,)', '1 hour', :'d');
SELECT * FROM d;
SELECT partreg.fail_partitions('bulk day', 'd', '[2024-01-01,)', :'d', 'a', 'all of them');
SELECT partreg.fail_partitions('bulk day', 'd', '[2024-01-03, 2024-01-05)', :'d', 'a', 'row count');
SELECT partreg.fail_partitions('bulk day', 'd', '[2024-01-03, 2024-01-06)', :'d', 'a', 'another reason');
SELECT partreg.unlock_partitions('bulk day', 'd', '[2024-01-03, 2024-01-06)', :'d', 'a');
SELECT partreg.unlock_partitions('bulk day', 'd', '[2024-01-06, 2024-01-08)', :'d', 'a', '{"rows": 5}');
SELECT partreg.unlock_partitions('bulk day', 'd', '[2024-01-06, 2024-01-09)', :'d', 'a');
SELECT partreg.fail_partitions('bulk day', 'd', '[2024-01-07, 2024-01-09)', :'d', 'a', 'a false alarm');
SELECT * FROM d;
-- One that was registered after the others were locked is judged, too.
SELECT partreg.register_partition('bulk day', 'd', '[2024-01-06 12:00, 2024-01-06 13:00)', :'d');
SELECT partreg.lock_partition('bulk day', 'd', '[2024-01-06, 2024-01-07)', :'d', 'a');
SELECT set_config('regress.token', :'d', false) IS NOT NULL AS kept;
DO $$
DECLARE
    hint text;
BEGIN
    PERFORM partreg.unlock_partitions('bulk day', 'd', '[2024-01-06, 2024-01-07)', current_setting('regress.token'), 'a');
EXCEPTION WHEN object_in_use THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RAISE WARNING '%, hint: %', SQLERRM, hint;
END;
$$;
SELECT partreg.retire_partitions('bulk day', 'd', '[2024-01-06, 2024-01-07)', :'d', 'a');
SELECT partreg.retire_partitions('bulk day', 'd', '[2024-01-06 12:00, 2024-01-06 13:00)', :'d');
SELECT partreg.retire_partitions('bulk day', 'd', '[2024-01-06, 2024-01-07)', :'d', 'a');
SELECT partreg.retire_partitions('bulk day', 'd', '(,)', :'d');
SELECT partreg.retire_partitions('bulk day', 'd', '(,2024-01-08 12:00)', :'day_token', 'somebody');
SELECT * FROM d;
SELECT partreg.ready_ranges('bulk day', '(,)');
SELECT partreg.unlock_partitions('bulk day', 'd', '(,)', :'d');
SELECT partreg.ready_ranges('bulk day', '(,)');
SELECT partreg.retire_partitions('bulk day', 'd', '(,)', :'d');
SELECT partreg.retire_partitions('bulk day', 'd', '(,)', :'d');
SELECT partreg.ready_ranges('bulk day', '(,)');
SELECT event, holder, reason, count(*) FROM partreg.events WHERE source_name = 'bulk day' AND during IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT * FROM partreg.verify('bulk day');

-- Five batches take no more memory than one: how far a server process ever
-- grew, in kB, before and after (where that is unknown, or says nothing, as with
-- the terabytes that an address sanitizer reserves, or as valgrind's process: no
-- more).  With fewer where the server is slow.
RESET SESSION AUTHORIZATION;
CREATE FUNCTION public.regress_peak() RETURNS integer LANGUAGE sql AS $$
    SELECT coalesce(substring(pg_read_file('/proc/self/status', 0, 10000, true) FROM 'Name:\s+postgres\n.*VmPeak:\s+(\d{1,9}) ')::integer, 0)
$$;
SELECT format('[2024-01-01 00:00+00, %s)', timestamptz '2024-01-01 00:00+00' + one * interval '1 minute') AS one_range,
       format('[2024-01-01 00:00+00, %s)', timestamptz '2024-01-01 00:00+00' + 5 * one * interval '1 minute') AS five_range,
       one AS one_count, 5 * one AS five_count
FROM (SELECT CASE current_setting('regress.slow', true) WHEN 'on' THEN 100 ELSE 20160 END) slow (one) \gset
SELECT partreg.register_source('bulk memory', 'team') AS memory_token \gset
SELECT partreg.register_provider('one', :'memory_token') IS NOT NULL AND partreg.register_provider('five', :'memory_token') IS NOT NULL AS registered;
\c -
SET client_min_messages = warning;
SELECT partreg.register_partitions('bulk memory', 'one', :'one_range', '1 minute', :'memory_token') = :one_count AS all_of_them;
SELECT public.regress_peak() AS one \gset
SELECT partreg.register_partitions('bulk memory', 'five', :'five_range', '1 minute', :'memory_token') = :five_count AS all_of_them;
SELECT public.regress_peak() - :one < 4000 AS bounded;
\c -
SET client_min_messages = warning;
SELECT partreg.lock_partitions('bulk memory', 'one', :'one_range', :'memory_token') = :one_count AS all_of_them;
SELECT public.regress_peak() AS one \gset
SELECT partreg.lock_partitions('bulk memory', 'five', :'five_range', :'memory_token') = :five_count AS all_of_them;
SELECT public.regress_peak() - :one < 4000 AS bounded;
\c -
SET client_min_messages = warning;
SELECT partreg.unlock_partitions('bulk memory', 'one', :'one_range', :'memory_token') = :one_count AS all_of_them;
SELECT public.regress_peak() AS one \gset
SELECT partreg.unlock_partitions('bulk memory', 'five', :'five_range', :'memory_token') = :five_count AS all_of_them;
SELECT public.regress_peak() - :one < 4000 AS bounded;
SELECT partreg.drop_source('bulk memory', :'memory_token');
DROP FUNCTION public.regress_peak;

SET client_min_messages = error;
DROP OWNED BY regress_bulk;
DROP ROLE regress_bulk;
