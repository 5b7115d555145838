-- Deadlines and calendars, and what is late: registered and never unlocked, or
-- expected and missing.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_late_team;
CREATE ROLE regress_late_reader;
SELECT partreg.grant_privileges('regress_late_team', 'admin');
SELECT partreg.grant_privileges('regress_late_reader', 'reader');
SET SESSION AUTHORIZATION regress_late_team;

CREATE FUNCTION pg_temp.condition(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    word text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS word = CONSTRAINT_NAME;
    RETURN SQLSTATE || ' ' || word || ': ' || SQLERRM;
END;
$$;
-- What is late of a source, in the order of time
CREATE FUNCTION pg_temp.late(source text) RETURNS TABLE (provider text, during tstzrange, state text, due_at timestamptz) LANGUAGE sql AS $$
    SELECT provider_name, during, state, due_at FROM partreg.late_partitions WHERE source_name = source ORDER BY during, provider_name, state
$$;

SELECT partreg.register_source('late', 'team') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token', effective => '[2024-01-01, 2024-02-01)') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset

-- The setters: what they store, when that is an event, whose right it takes.
SELECT partreg.set_deadline('late', 'a', '1 day 2 hours', :'source_token'),
       partreg.set_deadline('late', 'a', '1 day 2 hours', :'source_token');
SELECT partreg.set_calendar('late', 'a', '24 hours', '2024-01-01', :'source_token');
SELECT deadline, calendar_step, calendar_start, calendar_zone, calendar_closed FROM partreg.providers WHERE source_name = 'late' ORDER BY provider_name;
-- A day is not 24 hours; ranges are half-open; what touches is one.
SELECT partreg.set_calendar('late', 'a', '1 day', '2024-01-01', :'source_token'),
       partreg.set_calendar('late', 'a', '1 day', '2024-01-01', :'source_token', NULL, NULL);
SELECT calendar_step, calendar_zone, calendar_closed FROM partreg.providers WHERE source_name = 'late' AND provider_name = 'a';
SELECT partreg.set_calendar('late', 'a', '1 day', '2024-01-01', :'source_token', 'Europe/Berlin', '{(2024-01-06, 2024-01-07], [2024-01-07 00:00:00.000001, 2024-01-08), empty, [2025-01-01,)}');
SELECT calendar_step, calendar_zone, calendar_closed FROM partreg.providers WHERE source_name = 'late' AND provider_name = 'a';
-- An event for each that changed something.
SELECT count(*) FROM partreg.events WHERE source_name = 'late' AND event = 'change_provider';
SELECT partreg.set_calendar('late', 'a', NULL, NULL, :'source_token'), partreg.set_deadline('late', 'a', NULL, :'source_token');
SELECT deadline, calendar_step, calendar_start, calendar_zone, calendar_closed FROM partreg.providers WHERE source_name = 'late' AND provider_name = 'a';
SELECT event, provider_name, credential, count(*) FROM partreg.events WHERE source_name = 'late' AND event = 'change_provider' GROUP BY 1, 2, 3;

\pset format unaligned
\t
SELECT statement, pg_temp.condition('SELECT partreg.' || replace(replace(statement, 'TOKEN', quote_literal(:'source_token')), 'OTHER', quote_literal(:'a')))
FROM unnest(ARRAY[
    $$set_deadline(NULL, 'a', '1 day', TOKEN)$$,
    $$set_deadline('late', NULL, '1 day', TOKEN)$$,
    $$set_deadline('late', 'a', '1 day', OTHER)$$,
    $$set_deadline('late', 'a', '1 day')$$,
    $$set_deadline('nowhere', 'a', '1 day', TOKEN)$$,
    $$set_deadline('late', 'nobody', '1 day', TOKEN)$$,
    $$set_deadline('late', 'a', '1 month', TOKEN)$$,
    $$set_deadline('late', 'a', '-1 second', TOKEN)$$,
    $$set_calendar(NULL, 'a', '1 day', '2024-01-01', TOKEN)$$,
    $$set_calendar('late', NULL, '1 day', '2024-01-01', TOKEN)$$,
    $$set_calendar('late', 'a', '1 day', NULL, TOKEN)$$,
    $$set_calendar('late', 'a', '1 day', '2024-01-01', OTHER)$$,
    $$set_calendar('late', 'a', '1 day', '2024-01-01')$$,
    $$set_calendar('late', 'nobody', '1 day', '2024-01-01', TOKEN)$$,
    $$set_calendar('late', 'a', '1 day', 'infinity', TOKEN)$$,
    $$set_calendar('late', 'a', '0', '2024-01-01', TOKEN)$$,
    $$set_calendar('late', 'a', '1 month -1 day', '2024-01-01', TOKEN)$$,
    $$set_calendar('late', 'a', '1 day', '2024-01-01', TOKEN, 'nowhere')$$,
    $$set_calendar('late', 'a', '1 day', '2024-01-01', TOKEN, TOKEN)$$,
    $$set_calendar('late', 'a', '1 day', '2024-01-01', TOKEN, closed => (SELECT range_agg(tstzrange(t, t + interval '1 second')) FROM generate_series(timestamptz '2024-01-01', '2024-01-02', '1.5 seconds') t))$$]) statement;
\t
\pset format aligned

-- Registered: late from its end + the deadline on, until it is unlocked, in
-- whatever state; a provider without a deadline never is.
SELECT partreg.register_partitions('late', provider, '[2024-01-01, 2024-01-06)', '1 day', token)
FROM (VALUES ('a', :'a'), ('b', :'b')) v (provider, token);
SELECT partreg.register_partition('late', 'a', '[2124-01-01, 2124-01-02)', :'a');
SELECT partreg.unlock_partition('late', 'a', '[2024-01-01, 2024-01-02)', :'a'),
       partreg.unlock_partition('late', 'a', '[2024-01-02, 2024-01-03)', :'a'),
       partreg.lock_partition('late', 'a', '[2024-01-02, 2024-01-03)', :'a', 'again'),
       partreg.lock_partition('late', 'a', '[2024-01-03, 2024-01-04)', :'a', 'job'),
       partreg.fail_partition('late', 'a', '[2024-01-04, 2024-01-05)', :'a');
SELECT * FROM pg_temp.late('late');
SELECT partreg.set_deadline('late', 'a', '1 day 2 hours', :'source_token');
SELECT * FROM pg_temp.late('late');
-- By the clock, also within a transaction.
BEGIN;
SELECT tstzrange(clock_timestamp() - interval '1 hour', clock_timestamp() + interval '1 millisecond') AS just \gset
SELECT partreg.register_partition('late', 'b', :'just', :'b'), partreg.set_deadline('late', 'b', '0', :'source_token');
SELECT count(pg_sleep(0.01));
SELECT during = :'just' AS is_late FROM pg_temp.late('late') WHERE provider = 'b' AND upper(during) > now();
SELECT partreg.set_deadline('late', 'b', '1 hour', :'source_token');
SELECT count(*) FROM pg_temp.late('late') WHERE provider = 'b' AND upper(during) > now();
SELECT partreg.set_deadline('late', 'b', '100000000 days', :'source_token');
SELECT count(*) FROM pg_temp.late('late') WHERE provider = 'b';
ROLLBACK;

-- Expected and missing, within effective; neighbours are one row, due when the
-- first of them was.  What is registered is not missing, supplied by whatever
-- partitions neither.
SELECT partreg.set_calendar('late', 'a', '1 day', '2023-12-01', :'source_token');
SELECT * FROM pg_temp.late('late');
SELECT partreg.register_partitions('late', 'a', '[2024-01-10, 2024-01-11)', '1 hour', :'a'),
       partreg.unlock_partitions('late', 'a', '[2024-01-10, 2024-01-11)', :'a'),
       partreg.register_partitions('late', 'a', '[2024-01-12, 2024-01-12 23:00)', '1 hour', :'a'),
       partreg.unlock_partitions('late', 'a', '[2024-01-12, 2024-01-12 23:00)', :'a');
SELECT * FROM pg_temp.late('late') WHERE state = 'missing';
-- Another provider's supply is not its own.
SELECT partreg.unlock_partition('late', 'b', '[2024-01-05, 2024-01-06)', :'b'),
       partreg.unlock_partition('late', 'b', '[2024-01-08, 2024-01-09)', :'b', register => true);
SELECT * FROM pg_temp.late('late') WHERE state = 'missing';
-- Retired, it is missing again.
SELECT partreg.retire_partition('late', 'a', '[2024-01-01, 2024-01-02)', :'a');
SELECT * FROM pg_temp.late('late') WHERE state = 'missing';
-- What overlaps what is closed is not late, missing or registered; what merely
-- touches it is.
SELECT partreg.set_calendar('late', 'a', '1 day', '2023-12-01', :'source_token', closed => '{[2024-01-05 12:00, 2024-01-05 13:00), [2024-01-06, 2024-01-08), [2024-01-20 00:00, 2024-01-20 00:00], (2024-01-31,)}');
SELECT * FROM pg_temp.late('late');
-- A start that effective cuts: whole steps only.
SELECT partreg.set_effective('late', 'a', '[2024-01-08 06:00, 2024-01-12 12:00)', :'source_token');
SELECT * FROM pg_temp.late('late') WHERE state = 'missing';
SELECT partreg.set_effective('late', 'a', '[2024-01-08 06:00, 2024-01-09)', :'source_token');
SELECT * FROM pg_temp.late('late') WHERE state = 'missing';
SELECT partreg.set_effective('late', 'a', 'empty', :'source_token');
SELECT * FROM pg_temp.late('late') WHERE state = 'missing';

-- What a revoked provider owed it owes, and no more.
SELECT date_trunc('hour', now()) - interval '3 hours' AS start \gset
SELECT partreg.set_effective('late', 'a', '(,)', :'source_token'),
       partreg.set_deadline('late', 'a', '0', :'source_token'),
       partreg.set_calendar('late', 'a', '1 hour', :'start', :'source_token'),
       partreg.retire_partitions('late', 'a', '(,)', :'source_token');
SELECT upper(during) <= now() AND lower(during) = :'start' AS until_now, state FROM pg_temp.late('late');
SELECT partreg.revoke_provider('late', 'a', :'source_token');
SELECT upper(during) <= now() AS until_now, state FROM pg_temp.late('late');
SELECT partreg.set_calendar('late', 'a', '1 microsecond', '2024-01-01', :'source_token'),
       partreg.set_effective('late', 'a', '(,)', :'source_token');
-- Short steps cost no more than long ones.
SELECT upper(during) = p.revoked_at AS until_then, state, due_at
FROM pg_temp.late('late'), partreg.providers p WHERE p.source_name = 'late' AND p.provider_name = 'a';

-- The source's trusted role needs no token; a reader may look, and not set.
SELECT partreg.set_trusted_role('late', NULL, 'regress_late_team', :'source_token');
SELECT partreg.set_deadline('late', 'b', '1 day'), partreg.set_calendar('late', 'b', '1 day', '2024-01-01', closed => '{[2024-01-09,)}');
SET SESSION AUTHORIZATION regress_late_reader;
SELECT provider_name, during, state, due_at FROM partreg.late_partitions WHERE source_name = 'late' AND provider_name = 'b' ORDER BY 2;
\set VERBOSITY terse
SELECT partreg.set_deadline('late', 'b', '1 day');
SELECT partreg.set_calendar('late', 'b', NULL, NULL);
\set VERBOSITY default

-- Days and months of zones whose clocks change, and one that left out a day:
-- what is missing is what step_ranges makes, less what is supplied, registered
-- or closed.  Each has gaps of its own, by a plain arithmetic.
SET SESSION AUTHORIZATION regress_late_team;
SELECT partreg.register_source('late zones', 'team', trusted_role => 'regress_late_team') IS NOT NULL AS registered;
CREATE TEMP TABLE zone (provider text, zone text, step interval, during tstzrange, closed tstzmultirange);
INSERT INTO zone
SELECT format('%s by %s', zone, step), zone, step::interval,
       tstzrange(CASE WHEN step IN ('1 month', '1 year') THEN timestamp '1970-01-01' ELSE '2010-01-01' END AT TIME ZONE zone,
                 timestamp '2014-01-01' AT TIME ZONE zone),
       tstzmultirange(tstzrange(timestamp '2011-03-20' AT TIME ZONE zone, timestamp '2011-03-28 12:00' AT TIME ZONE zone),
                      tstzrange(timestamp '2012-10-27 23:00' AT TIME ZONE zone, timestamp '2012-11-05' AT TIME ZONE zone),
                      tstzrange(timestamp '2013-12-25' AT TIME ZONE zone, NULL))
FROM (VALUES ('Europe/Berlin'), ('Australia/Lord_Howe'), ('America/Havana'), ('Pacific/Apia')) z (zone),
     (VALUES ('1 day'), ('1 month'), ('1 year'), ('30 minutes')) s (step);
SELECT count(partreg.register_provider(provider, NULL, 'regress_late_team', during, 'late zones')) FROM zone;
SELECT count(partreg.set_deadline('late zones', provider, '0')), count(partreg.set_calendar('late zones', provider, step, lower(during), NULL, zone, closed)) FROM zone;
-- Some are supplied, some registered, by steps that are not the calendar's.
SELECT count(partreg.register_partition('late zones', provider, piece)),
       count(*) FILTER (WHERE n % 3 > 0 AND partreg.unlock_partition('late zones', provider, piece)) AS unlocked
FROM zone, generate_series(1, 40) n,
     LATERAL (SELECT tstzrange(lower(during) + n * interval '36 days 5 hours', lower(during) + n * interval '36 days 5 hours' + n * n * interval '45 minutes')) p (piece);
CREATE TEMP TABLE held AS
SELECT provider_name AS provider, range_agg(tstzrange(start_at, end_at)) AS ranges FROM partreg.partitions WHERE source_name = 'late zones' GROUP BY 1;
CREATE TEMP TABLE expected AS
SELECT provider, range_agg(s) AS missing
FROM zone z JOIN held h USING (provider), LATERAL partreg.step_ranges(z.during, z.step, z.zone) s
WHERE NOT s && z.closed
  AND NOT s <@ h.ranges
GROUP BY 1;
SELECT provider, missing = found AS same, n
FROM (SELECT provider, missing, (SELECT range_agg(l.during) FROM partreg.late_partitions l WHERE (l.source_name, l.provider_name, l.state) = ('late zones', e.provider, 'missing')) AS found
      FROM expected e) x, LATERAL (SELECT count(*) FROM unnest(found)) y (n)
ORDER BY provider COLLATE "C";

-- A zone that this server does not know (any more): of that provider it is not
-- known what is missing, and this is a row; all else is told as ever.
SELECT partreg.register_source('late unknown', 'team', trusted_role => 'regress_late_team') IS NOT NULL AS registered;
SELECT partreg.register_provider(name, NULL, 'regress_late_team', '(,2024-01-08)', 'late unknown') IS NOT NULL AS registered
FROM unnest('{bad, good, none due}'::text[]) name;
SELECT partreg.set_deadline('late unknown', name, '1 hour'), partreg.set_calendar('late unknown', name, '1 day', start_at::timestamptz, closed => '{[2024-01-06,)}')
FROM (VALUES ('bad', '2024-01-01'), ('good', '2024-01-01'), ('none due', '2024-01-08')) v (name, start_at);
SELECT partreg.register_partition('late unknown', 'bad', '[2024-01-05, 2024-01-06)'),
       partreg.register_partition('late unknown', 'bad', '[2024-01-06, 2024-01-07)'),
       partreg.unlock_partition('late unknown', 'bad', '[2024-01-01, 2024-01-03)', register => true);
RESET SESSION AUTHORIZATION;
UPDATE partreg.provider SET calendar_zone = 'Europe/Nowhere' WHERE name IN ('bad', 'none due');
SET SESSION AUTHORIZATION regress_late_reader;
SELECT * FROM pg_temp.late('late unknown');
SELECT late, ready_to FROM partreg.stats WHERE source_name = 'late unknown';
SELECT * FROM partreg.provider_states('late unknown', '[2024-01-01, 2024-01-09)');
SELECT during, state, provider_name FROM partreg.explain_readiness('late unknown', '[2024-01-01, 2024-01-09)');
SELECT partreg.timeline('late unknown', '[2024-01-01, 2024-01-09)', 40);
RESET SESSION AUTHORIZATION;
SELECT problem FROM partreg.verify('late unknown');
SET SESSION AUTHORIZATION regress_late_team;
SELECT partreg.set_calendar('late unknown', 'bad', '1 day', '2024-01-01', closed => '{[2024-01-06,)}');
SELECT * FROM pg_temp.late('late unknown') WHERE provider = 'bad';

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_late_team, regress_late_reader;
DROP ROLE regress_late_team, regress_late_reader;
