-- history() and latest_details(): what happened in a range, and what the last
-- unlocks said.  Time is in hours of 2024-01-01.
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
CREATE FUNCTION pg_temp.hour(at timestamptz) RETURNS numeric LANGUAGE sql AS $$
    SELECT trim_scale(extract(epoch FROM at - timestamptz '2024-01-01 00:00+00') / 3600)
$$;
-- Those of this test, newest first as they come
CREATE FUNCTION pg_temp.story(during tstzrange, provider_name text DEFAULT NULL, max_events integer DEFAULT NULL)
RETURNS TABLE (event text, provider text, a numeric, b numeric, holder text, reason text, details jsonb) LANGUAGE sql AS $$
    SELECT h.event, h.provider_name, pg_temp.hour(lower(h.during)), pg_temp.hour(upper(h.during)), h.holder, h.reason, h.details
    FROM partreg.history('history', during, provider_name, max_events) h
$$;

SELECT partreg.register_source('history', 'team') AS source_token \gset
SELECT partreg.register_provider('p', :'source_token') AS p \gset
SELECT partreg.register_provider('q', :'source_token') AS q \gset
SELECT * FROM pg_temp.story('(,)');
SELECT partreg.register_partitions('history', 'p', pg_temp.hours(0, 4), '1 hour', :'p');
SELECT partreg.register_partition('history', 'q', pg_temp.hours(0, 24), :'q');
SELECT partreg.lock_partition('history', 'p', pg_temp.hours(1, 2), :'p', 'one', reason => 'load');
SELECT partreg.unlock_partition('history', 'p', pg_temp.hours(1, 2), :'p', 'one', details => '{"rows": 1}');
SELECT partreg.fail_partition('history', 'q', pg_temp.hours(0, 24), :'q', reason => 'no disk');

-- Newest first, of whatever overlaps, whoever's it is.
SELECT * FROM pg_temp.story(pg_temp.hours(1.5, 1.75));
SELECT * FROM pg_temp.story(pg_temp.hours(2, 3));
SELECT * FROM pg_temp.story(pg_temp.hours(0, 24), 'q');
SELECT * FROM pg_temp.story(pg_temp.hours(24, 25));
-- No more than are wanted: the newest ones.
SELECT * FROM pg_temp.story('(,)', max_events => 3);
SELECT * FROM pg_temp.story('(,)', 'p', 1);
SELECT count(*) FROM pg_temp.story('(,)', max_events => 2147483647);
-- The other columns are those of the view; a position comes from the feed alone.
SELECT count(*) AS rows, count(h.next_position) AS positions,
       count(*) FILTER (WHERE (h.event_id, h.event, h.source_name, h.provider_name, h.during, h.at, h.actor, h.holder, h.reason, h.details)
                              IS NOT DISTINCT FROM (e.event_id, e.event, e.source_name, e.provider_name, e.during, e.at, e.actor, e.holder, e.reason, e.details)) AS equal
FROM partreg.history('history', '(,)') h
JOIN partreg.events e USING (event_id);
SELECT array_agg(event_id) = array_agg(event_id ORDER BY event_id DESC) AS newest_first FROM partreg.history('history', '(,)');

-- More events than a sort keeps in memory
SET work_mem = '64kB';
SELECT partreg.register_partitions('history', 'p', pg_temp.hours(1000, 11000), '1 hour', :'p');
SELECT count(*), array_agg(event_id) = array_agg(event_id ORDER BY event_id DESC) AS newest_first
FROM partreg.history('history', pg_temp.hours(1000, 11000), NULL, 100000);
SELECT pg_temp.hour(lower(during)) FROM partreg.history('history', '(,)', NULL, 2);
RESET work_mem;

-- What each partition was before
SELECT event, start_at = '2024-01-01 00:00+00' AS first, state_before, count(*)
FROM partreg.event WHERE source_name = 'history' AND start_at < '2024-01-02 00:00+00'
GROUP BY event, first, state_before, (id / 100000) ORDER BY min(id);

-- In bulk, and where a revocation fails what is locked
BEGIN;
SELECT partreg.lock_partitions('history', 'p', pg_temp.hours(0, 3), :'source_token', 'one', '0');
SELECT partreg.lock_partitions('history', 'p', pg_temp.hours(0, 4), :'source_token', 'two');
SELECT partreg.fail_partitions('history', 'p', pg_temp.hours(0, 1), :'source_token');
SELECT partreg.revoke_provider('history', 'p', :'source_token');
SELECT partreg.force_fail_partition('history', 'q', pg_temp.hours(0, 24), 'again');
SELECT partreg.unlock_partitions('history', 'p', pg_temp.hours(0, 2), :'source_token');
SELECT partreg.unlock_partitions('history', 'p', pg_temp.hours(0, 2), :'source_token', details => '{"rows": 3}');
SELECT partreg.fail_partitions('history', 'p', pg_temp.hours(1, 2), :'source_token');
SELECT partreg.lock_partition('history', 'p', pg_temp.hours(1, 2), :'source_token', 'three');
SELECT partreg.retire_partitions('history', 'p', pg_temp.hours(0, 4), :'source_token');
SELECT pg_temp.hour(start_at) AS a, string_agg(event || ' ' || state_before::text, ', ' ORDER BY id) AS before
FROM partreg.event WHERE source_name = 'history' AND provider_name = 'p' AND start_at < '2024-01-02 00:00+00'
GROUP BY start_at ORDER BY start_at;
ROLLBACK;

-- It goes with the identity: under new names, and not those of a namesake.
SELECT partreg.rename_source('history', 'history new', :'source_token');
SELECT partreg.rename_provider('history new', 'q', 'q new', :'source_token');
SELECT source_name, provider_name, event FROM partreg.history('history new', pg_temp.hours(0, 24), 'q new');
-- The view and the feed have the old names in old events.
SELECT e.source_name, e.provider_name, c.source_name, c.provider_name, e.event
FROM partreg.history('history new', pg_temp.hours(0, 24), 'q new') h
JOIN partreg.events e USING (event_id) JOIN partreg.changes_since(NULL, 100000, '{history}') c USING (event_id) ORDER BY event_id DESC;
SELECT * FROM partreg.history('history new', pg_temp.hours(0, 24), 'q');
SELECT * FROM partreg.history('history', pg_temp.hours(0, 24));
SELECT partreg.rename_source('history new', 'history', :'source_token');
SELECT partreg.rename_provider('history', 'q new', 'q', :'source_token');

-- What cannot be asked
SELECT * FROM partreg.history(NULL, pg_temp.hours(0, 1));
SELECT * FROM partreg.history('history', NULL);
SELECT * FROM partreg.history('history', 'empty');
SELECT * FROM partreg.history('history', pg_temp.hours(0, 1), NULL, 0);
SELECT * FROM partreg.history('nobody', pg_temp.hours(0, 1));
\set VERBOSITY terse
SELECT * FROM partreg.history('history', pg_temp.hours(0, 1), 'nobody');
\set VERBOSITY sqlstate

-- What the last unlock said; of one that is locked or failed it does not count.
CREATE FUNCTION pg_temp.said(during tstzrange)
RETURNS TABLE (provider text, a numeric, b numeric, details jsonb) LANGUAGE sql AS $$
    SELECT d.provider_name, pg_temp.hour(lower(d.during)), pg_temp.hour(upper(d.during)), d.details
    FROM partreg.latest_details('history', during) d ORDER BY 2, 3, 1
$$;
SELECT * FROM pg_temp.said(pg_temp.hours(0, 24));
SELECT partreg.unlock_partition('history', 'p', pg_temp.hours(0, 1), :'p');
SELECT partreg.unlock_partition('history', 'q', pg_temp.hours(0, 24), :'q', details => '{"rows": 24}');
SELECT * FROM pg_temp.said(pg_temp.hours(0, 24));
SELECT * FROM pg_temp.said(pg_temp.hours(1, 1.5));
SELECT partreg.unlock_partition('history', 'p', pg_temp.hours(0, 1), :'p', details => '{"rows": 0}');
SELECT partreg.lock_partition('history', 'p', pg_temp.hours(1, 2), :'p', 'two');
SELECT * FROM pg_temp.said('(,)');
-- The unlock after says nothing, so neither does what was said before.
SELECT partreg.unlock_partition('history', 'p', pg_temp.hours(1, 2), :'p', 'two');
SELECT * FROM pg_temp.said(pg_temp.hours(1, 2));
SELECT bool_and(d.unlocked_at = e.at) AS when_it_was_unlocked
FROM partreg.latest_details('history', pg_temp.hours(1, 2)) d
CROSS JOIN LATERAL (SELECT at FROM partreg.events e WHERE e.source_name = 'history' AND e.event = 'unlock'
                    AND (e.provider_name, e.during) = (d.provider_name, d.during) ORDER BY event_id DESC LIMIT 1) e;
SELECT * FROM partreg.latest_details(NULL, '(,)');
SELECT * FROM partreg.latest_details('history', NULL);
SELECT * FROM partreg.latest_details('history', 'empty');
SELECT * FROM partreg.latest_details('nobody', '(,)');

-- It costs what the source's events in the range cost.
CREATE FUNCTION pg_temp.pages(question text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM ' || question INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::integer
         + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::integer;
END;
$$;
SELECT count(*) FROM partreg.history('history', pg_temp.hours(5000, 5010));
SELECT pg_temp.pages($$partreg.history('history', pg_temp.hours(5000, 5010))$$) < 100 AS few;

SELECT partreg.drop_source('history', :'source_token');
SELECT * FROM partreg.history('history', '(,)');
