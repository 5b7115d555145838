-- Partitions and the changes of their state: every call in every state.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_partition_admin;
CREATE ROLE regress_partition_job;
SELECT partreg.grant_privileges('regress_partition_admin', 'admin');
SELECT partreg.grant_privileges('regress_partition_job', 'writer');
SET SESSION AUTHORIZATION regress_partition_admin;
SELECT partreg.register_source('partition', 'somebody') AS source_token \gset
SELECT partreg.register_provider('loader', :'source_token') AS token \gset
SET SESSION AUTHORIZATION regress_partition_job;

-- The n-th partition is day n of 2024.
CREATE FUNCTION pg_temp.day(n integer) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(make_timestamptz(2024, 1, 1, 0, 0, 0, 'UTC') + n * interval '24 hours',
                     make_timestamptz(2024, 1, 1, 0, 0, 0, 'UTC') + (n + 1) * interval '24 hours')
$$;

-- Bring a new partition into a state, as holder "a".
CREATE FUNCTION pg_temp.bring(during tstzrange, state text, token text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM partreg.register_partition('partition', 'loader', during, token);
    IF state LIKE 'locked%' THEN
        PERFORM partreg.lock_partition('partition', 'loader', during, token, 'a',
                                       CASE state WHEN 'locked, lease over' THEN interval '0'
                                                  WHEN 'locked, leased' THEN interval '1 day' END, 'because');
    ELSIF state LIKE 'unlocked%' THEN
        PERFORM partreg.lock_partition('partition', 'loader', during, token, 'a');
        PERFORM partreg.unlock_partition('partition', 'loader', during, token, 'a');
    ELSIF state LIKE 'failed%' THEN
        PERFORM partreg.lock_partition('partition', 'loader', during, token, 'a');
        PERFORM partreg.fail_partition('partition', 'loader', during, token, 'a', 'because');
    ELSIF state = 'retired, anew' THEN
        PERFORM partreg.lock_partition('partition', 'loader', during, token, 'a');
        PERFORM partreg.retire_partition('partition', 'loader', during, token, 'a');
        PERFORM partreg.register_partition('partition', 'loader', during, token);
    END IF;
END;
$$;

-- Call something as a holder; tell the answer, the state after it with holder
-- and reason, and the events that it left.
CREATE FUNCTION pg_temp.attempt(during tstzrange, call text, holder text, token text)
RETURNS TABLE (answer text, state text, event text) LANGUAGE plpgsql AS $$
DECLARE
    last_event bigint := (SELECT max(event_id) FROM partreg.events);
    condition text;
BEGIN
    answer := CASE call
        WHEN 'lock' THEN partreg.lock_partition('partition', 'loader', during, token, holder)
        WHEN 'unlock' THEN partreg.unlock_partition('partition', 'loader', during, token, holder)
        WHEN 'fail' THEN partreg.fail_partition('partition', 'loader', during, token, holder)
        WHEN 'retire' THEN partreg.retire_partition('partition', 'loader', during, token, holder)
        WHEN 'renew' THEN partreg.renew_lease('partition', 'loader', during, '2 days', token, holder) > now()
    END;
    SELECT concat_ws(', ', p.state, 'by ' || l.holder, l.reason, CASE WHEN l.lease_expires_at > now() + interval '1 day 23 hours' THEN 'renewed' END) INTO attempt.state
    FROM partreg.partitions p
    LEFT JOIN partreg.locks l ON l.source_name = 'partition' AND l.during = attempt.during
    WHERE p.source_name = 'partition' AND p.start_at = lower(attempt.during) AND p.end_at = upper(attempt.during);
    SELECT string_agg(concat_ws(' by ', e.event, e.holder), ', ' ORDER BY e.event_id) INTO attempt.event
    FROM partreg.events e
    WHERE e.event_id > last_event AND e.source_name = 'partition' AND e.during = attempt.during;
    RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS condition = CONSTRAINT_NAME;
    answer := concat_ws(' ', SQLSTATE, condition);
    RETURN NEXT;
END;
$$;

-- Every state, every call, by the same holder, by another, by nobody named, and
-- by another with the source token.
CREATE TEMP TABLE matrix AS
    SELECT row_number() OVER (ORDER BY s.nr, c.nr, h.nr)::integer AS n, s.state, c.call, h.holder, h.with_source_token
    FROM unnest(ARRAY['registered', 'locked', 'locked, leased', 'locked, lease over', 'unlocked', 'failed', 'retired, anew']) WITH ORDINALITY s (state, nr),
         unnest(ARRAY['lock', 'unlock', 'fail', 'retire', 'renew']) WITH ORDINALITY c (call, nr),
         (VALUES (1, 'a', false), (2, 'b', false), (3, NULL, false), (4, 'b', true)) h (nr, holder, with_source_token);
SELECT count(pg_temp.bring(pg_temp.day(500 + n), state, :'token')) FROM matrix;
SELECT m.state AS "from", m.call, coalesce(m.holder, 'not named') || CASE WHEN with_source_token THEN ', source token' ELSE '' END AS holder,
       a.answer, a.state AS "to", a.event
FROM matrix m, pg_temp.attempt(pg_temp.day(500 + n), call, holder, CASE WHEN with_source_token THEN :'source_token' ELSE :'token' END) a
ORDER BY n;

-- Registering again is an error, or no change.
\set VERBOSITY sqlstate
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(100), :'token');
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(100), :'token');
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(100), :'token', false);
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(100), :'token', NULL);
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(100), :'token', true);
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(101), :'token', if_not_exists => true);
SELECT event, count(*) FROM partreg.events
WHERE source_name = 'partition' AND during IN (pg_temp.day(100), pg_temp.day(101)) GROUP BY event;

-- A partition is known by its very bounds, however they are written.
SELECT partreg.lock_partition('partition', 'loader', '(2024-04-09 23:59:59.999999, 2024-04-10 23:59:59.999999]', :'token');
SELECT partreg.unlock_partition('partition', 'loader', '[2024-04-10, 2024-04-10 23:59:59.999999]', :'token');
SELECT partreg.lock_partition('partition', 'loader', '[2024-04-10, 2024-04-10 23:59:59.999999)', :'token');
SELECT partreg.unlock_partition('partition', 'loader', '(2024-04-10, 2024-04-11)', :'token');
SELECT partreg.fail_partition('partition', 'loader', '[2024-04-10, 2024-04-11]', :'token');
SELECT partreg.lock_partition('partition', 'unknown', pg_temp.day(100), :'source_token');

-- The default holder is the role of the caller, as logged in or by SET ROLE.
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(100), :'token');
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(100), :'token', 'regress_partition_job');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(100), :'token', 'Regress_Partition_Job');
RESET SESSION AUTHORIZATION;
SET ROLE regress_partition_admin;
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(100), :'token');
RESET ROLE;
SET ROLE regress_partition_job;
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(100), :'token');
RESET ROLE;
SET SESSION AUTHORIZATION regress_partition_job;

-- The same holder locks again: the lease is replaced, NULL meaning none; the
-- reason is kept unless one is given; since stays; no event.
CREATE TEMP VIEW lock_now AS
    SELECT state, holder, lease_expires_at - since < interval '1 minute' AS lease_of_seconds,
           lease_expires_at - since BETWEEN interval '24 hours' AND interval '24 hours 1 minute' AS lease_of_a_day,
           abandoned, reason
    FROM partreg.locks WHERE during = pg_temp.day(101) AND source_name = 'partition';
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'a', '0', 'first');
SELECT * FROM lock_now;
SELECT since AS locked_since FROM partreg.locks WHERE during = pg_temp.day(101) AND source_name = 'partition' \gset
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'a', '1 day');
SELECT * FROM lock_now;
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'a', NULL, 'second');
SELECT * FROM lock_now;
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'source_token', 'a', reason => '');
SELECT * FROM lock_now;
SELECT since = :'locked_since' AS since_stays FROM partreg.locks WHERE during = pg_temp.day(101) AND source_name = 'partition';

-- A lease that runs out does not make ready; a take-over starts anew.
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'a', '0');
SELECT * FROM lock_now;
SELECT partreg.check_readiness('partition', pg_temp.day(101));
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '1 day');
SELECT * FROM lock_now;
SELECT since > :'locked_since' AS since_is_new FROM partreg.locks WHERE during = pg_temp.day(101) AND source_name = 'partition';
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'a');

-- A day of a lease has 24 hours, also where clocks change; months and less
-- than nothing are no lease, nor is one that never ends.
SET timezone = 'Europe/Berlin';
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '200 days');
SELECT extract(epoch FROM lease_expires_at - clock_timestamp()) / 86400 BETWEEN 199.99 AND 200 AS to_the_second
FROM partreg.locks WHERE during = pg_temp.day(101) AND source_name = 'partition';
SET timezone = 'UTC';
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '1 month');
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '1 year');
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '-1 microsecond');
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '1 day -24:00:00.000001');
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '1 day -24:00');
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', '2147483647 days');

-- Failing says why, and what it is about; another reason replaces it;
-- first_unlocked_at is the first time.
SELECT partreg.fail_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', 'disk full');
SELECT * FROM lock_now;
SELECT partreg.fail_partition('partition', 'loader', pg_temp.day(101), :'token', 'b');
SELECT partreg.fail_partition('partition', 'loader', pg_temp.day(101), :'token', 'b', 'again');
SELECT * FROM lock_now;
SELECT partreg.fail_partition('partition', 'loader', pg_temp.day(101), :'token', 'c', 'mine');
SELECT state, first_unlocked_at FROM partreg.partitions WHERE source_name = 'partition' AND start_at = lower(pg_temp.day(101));
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(101), :'token', 'b');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(101), :'token');
SELECT first_unlocked_at AS first_time FROM partreg.partitions WHERE source_name = 'partition' AND start_at = lower(pg_temp.day(101)) \gset
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(101), :'token');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(101), :'token');
SELECT state, first_unlocked_at = :'first_time' AS first_time_stays
FROM partreg.partitions WHERE source_name = 'partition' AND start_at = lower(pg_temp.day(101));

-- Leases and times go by the clock, also within a transaction.
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(102), :'token');
BEGIN;
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(102), :'token', 'a', '100 milliseconds');
SELECT pg_sleep(0.2);
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(102), :'token', 'b');
SELECT since > now() + interval '0.2 seconds' AS by_the_clock FROM partreg.locks WHERE during = pg_temp.day(102) AND source_name = 'partition';
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(102), :'token', 'b');
SELECT first_unlocked_at > now() + interval '0.2 seconds' AS by_the_clock FROM partreg.partitions WHERE start_at = lower(pg_temp.day(102)) AND source_name = 'partition';
SELECT event, at > now() + interval '0.2 seconds' AS by_the_clock FROM partreg.events
WHERE during = pg_temp.day(102) AND source_name = 'partition' AND event IN ('take_over', 'unlock') ORDER BY event_id;
COMMIT;

-- The history of day 101.
SELECT event, actor, holder, reason FROM partreg.events
WHERE source_name = 'partition' AND during = pg_temp.day(101) ORDER BY event_id;

-- A named holder that has lost its lock hears who did what, and when: each way
-- to lose it.
\set VERBOSITY default
CREATE FUNCTION pg_temp.told(call text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
    condition text;
BEGIN
    EXECUTE call;
    RETURN NEXT 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, condition = CONSTRAINT_NAME;
    RETURN NEXT concat_ws(' ', SQLSTATE, condition);
    RETURN NEXT SQLERRM;
    RETURN NEXT regexp_replace(detail, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+00', 'then');
    RETURN NEXT hint;
END;
$$;
CREATE FUNCTION pg_temp.late(day integer, token text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT pg_temp.told(format('SELECT partreg.unlock_partition(%L, %L, %L, %L, %L)', 'partition', 'loader', pg_temp.day(day), token, 'late'));
$$;
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(n), :'token', 'late', '0', register => true) FROM generate_series(200, 206) n;
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(n), :'token', 'next') FROM generate_series(200, 202) n;
SELECT pg_temp.late(200, :'token');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(201), :'token', 'next');
SELECT pg_temp.late(201, :'token');
SELECT partreg.fail_partition('partition', 'loader', pg_temp.day(202), :'token', 'next');
SELECT pg_temp.late(202, :'token');
RESET SESSION AUTHORIZATION;
SELECT partreg.force_fail_partition('partition', 'loader', pg_temp.day(203), 'the host is gone');
SELECT partreg.force_fail_partition('partition', 'loader', pg_temp.day(203), 'again');
SELECT state, reason FROM partreg.locks WHERE source_name = 'partition' AND during = pg_temp.day(203);
SET SESSION AUTHORIZATION regress_partition_job;
SELECT pg_temp.late(203, :'token');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(204), :'token', 'late');
SELECT pg_temp.late(204, :'token');
SELECT pg_temp.told(format('SELECT partreg.lock_partition(%L, %L, %L, %L, %L)', 'partition', 'loader', pg_temp.day(205), :'token', 'next'));
SELECT pg_temp.told(format('SELECT partreg.lock_partition(%L, %L, %L, %L, %L)', 'partition', 'loader', pg_temp.day(205), :'token', 'third'));
SELECT pg_temp.told(format('SELECT partreg.unlock_partition(%L, %L, %L, %L)', 'partition', 'loader', pg_temp.day(205), :'token'));
SELECT partreg.retire_partition('partition', 'loader', pg_temp.day(206), :'token', 'late');
SELECT pg_temp.told(format('SELECT partreg.unlock_partition(%L, %L, %L, %L, %L)', 'partition', 'loader', pg_temp.day(206), :'token', 'late'));
SELECT pg_temp.told(format('SELECT partreg.unlock_partition(%L, %L, %L, %L, %L, true)', 'partition', 'loader', pg_temp.day(206), :'token', 'late'));
SELECT count(*) AS registered FROM partreg.partitions WHERE source_name = 'partition' AND start_at = lower(pg_temp.day(206));

-- A false alarm of who has unlocked last blocks; an unlock after it is refused.
SELECT partreg.fail_partition('partition', 'loader', pg_temp.day(204), :'token', 'late', 'I was wrong');
SELECT pg_temp.late(204, :'token');

-- What was unlocked by an earlier version is remembered of nobody.
RESET SESSION AUTHORIZATION;
UPDATE partreg.partition SET unlocked_by = NULL WHERE start_at = lower(pg_temp.day(201));
UPDATE partreg.lock SET change = NULL WHERE start_at = lower(pg_temp.day(202));
SET SESSION AUTHORIZATION regress_partition_job;
SELECT pg_temp.told(format('SELECT partreg.unlock_partition(%L, %L, %L, %L, %L)', 'partition', 'loader', pg_temp.day(201), :'token', 'next'));
SELECT pg_temp.told(format('SELECT partreg.fail_partition(%L, %L, %L, %L, %L)', 'partition', 'loader', pg_temp.day(202), :'token', 'next'));

-- A partition that is not known: what there is instead.
SELECT pg_temp.told(format('SELECT partreg.lock_partition(%L, %L, %L, %L)', 'partition', 'loader',
    tstzrange(lower(pg_temp.day(200)), upper(pg_temp.day(205))), :'token'));
SELECT pg_temp.told(format('SELECT partreg.%s(%L, %L, %L, %L)', call, 'partition', 'loader',
    tstzrange(lower(pg_temp.day(200)), lower(pg_temp.day(200)) + interval '1 hour'), :'token'))
FROM unnest('{lock_partitions,unlock_partitions,fail_partitions,retire_partitions}'::text[]) call;

-- Details go with the event; without a holder, others leave one more.
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(207), :'token', register => true, details => '{"rows": 1}');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(207), :'token', details => '{"rows": 1}');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(207), :'token', details => '{"rows": 2}');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(207), :'token');
SELECT partreg.lock_partition('partition', 'loader', pg_temp.day(207), :'token', 'd');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(207), :'token', 'd');
SELECT partreg.unlock_partition('partition', 'loader', pg_temp.day(207), :'token', details => '{"rows": 2}');
SELECT event, holder, details, credential FROM partreg.events
WHERE source_name = 'partition' AND during = pg_temp.day(207) ORDER BY event_id;

-- So they do in the bulk form: an event for each of which they say something new.
SELECT partreg.register_partition('partition', 'loader', pg_temp.day(208), :'token'),
       partreg.unlock_partition('partition', 'loader', pg_temp.day(208), :'token', details => '{"rows": 3}'),
       partreg.register_partition('partition', 'loader', pg_temp.day(209), :'token');
SELECT partreg.unlock_partitions('partition', 'loader', pg_temp.day(207) + pg_temp.day(208) + pg_temp.day(209), :'token', details => '{"rows": 3}') AS changed;
SELECT partreg.unlock_partitions('partition', 'loader', pg_temp.day(207) + pg_temp.day(208) + pg_temp.day(209), :'token', details => '{"rows": 3}') AS changed;
SELECT partreg.unlock_partitions('partition', 'loader', pg_temp.day(207) + pg_temp.day(208) + pg_temp.day(209), :'token') AS changed;
SELECT lower(during) - lower(pg_temp.day(207)) AS day, event, holder, details FROM partreg.events
WHERE source_name = 'partition' AND during IN (pg_temp.day(207), pg_temp.day(208), pg_temp.day(209)) AND details = '{"rows": 3}' ORDER BY event_id;

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_partition_admin, regress_partition_job;
DROP ROLE regress_partition_admin, regress_partition_job;
