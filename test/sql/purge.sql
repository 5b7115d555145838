-- purge_history(): history is cut off, and nothing else changes.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set VERBOSITY sqlstate
\set day '[2024-01-01 00:00+00, 2024-01-02 00:00+00)'
\set next '[2024-01-02 00:00+00, 2024-01-03 00:00+00)'
CREATE FUNCTION pg_temp.as_of(at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    condition text;
BEGIN
    RETURN partreg.readiness_as_of('purge', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', at);
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS condition = CONSTRAINT_NAME;
    RETURN SQLSTATE || ' ' || condition;
END;
$$;

SELECT partreg.register_source('purge', 'team', 'all') AS source_token \gset
SELECT partreg.register_provider('p', :'source_token') AS p \gset
SELECT partreg.unlock_partition('purge', 'p', :'day', :'p', register => true, details => '{"rows": 1}');
SELECT clock_timestamp() AS unlocked \gset
SELECT partreg.feed_position() AS position_unlocked \gset
SELECT partreg.lock_partition('purge', 'p', :'day', :'p', 'one');
SELECT clock_timestamp() AS locked \gset
SELECT partreg.feed_position() AS position_locked \gset
SELECT partreg.unlock_partition('purge', 'p', :'day', :'p', 'one', details => '{"rows": 2}');
SELECT clock_timestamp() AS unlocked_again \gset
SELECT partreg.register_provider('q', :'source_token', NULL, '(,2024-01-01)') AS q \gset
SELECT partreg.lock_partition('purge', 'p', :'next', :'p', 'two', register => true);
SELECT clock_timestamp() AS settled \gset
SELECT partreg.feed_position() AS position \gset
CREATE TEMPORARY TABLE before AS SELECT * FROM partreg.event;
CREATE TEMPORARY TABLE known AS SELECT * FROM partreg.registry;
CREATE TEMPORARY TABLE standing AS SELECT * FROM partreg.partitions;

-- For the owner of the extension, where something may be written.
CREATE ROLE regress_purge;
SELECT partreg.grant_privileges('regress_purge', 'operator');
SET ROLE regress_purge;
SELECT partreg.purge_history(now());
RESET ROLE;
SELECT partreg.grant_privileges('regress_purge', 'none');
DROP ROLE regress_purge;
SELECT partreg.purge_history(NULL);
BEGIN READ ONLY;
SELECT partreg.purge_history('-infinity');
ROLLBACK;

SELECT pg_temp.as_of(:'unlocked') AS unlocked, pg_temp.as_of(:'locked') AS locked, pg_temp.as_of(:'unlocked_again') AS unlocked_again;
SELECT partreg.purge_history('-infinity');
SELECT count(*) AS unchanged FROM (TABLE partreg.registry INTERSECT TABLE known) r;

-- What was purged and rolled back is there.
BEGIN;
SELECT partreg.purge_history(:'settled') = (SELECT count(*) FROM before WHERE at < :'settled') AS all_of_before;
SELECT pg_temp.as_of(:'locked') AS locked, pg_temp.as_of(:'settled') AS settled;
ROLLBACK;
SELECT pg_temp.as_of(:'locked') AS locked, (SELECT count(*) FROM partreg.event) = (SELECT count(*) FROM before) AS all_there;

-- Of what comes after, nothing is lost; nor is anything that is so now.
SELECT partreg.purge_history(:'locked') = (SELECT count(*) FROM before WHERE at < :'locked') AS all_of_before;
SELECT history_since = :'locked' AS since,
       purged_id = (SELECT max(id) FROM before WHERE at < :'locked') AS id,
       purged_xid::text = (SELECT max(xid::text::bigint) FROM before WHERE at < :'locked')::text AS xid,
       purged_system = (SELECT system_identifier FROM pg_control_system()) AS system
FROM partreg.registry;
SELECT pg_temp.as_of(:'unlocked') AS unlocked, pg_temp.as_of(timestamptz :'locked' - interval '1 us') AS just_before,
       pg_temp.as_of(:'locked') AS locked, pg_temp.as_of(:'unlocked_again') AS unlocked_again, pg_temp.as_of('-infinity') AS ever;
SELECT event FROM partreg.history('purge', '(,)') ORDER BY event_id;
SELECT * FROM partreg.partitions EXCEPT SELECT * FROM standing;
SELECT partreg.check_readiness('purge', :'day'), partreg.check_readiness('purge', :'next');
SELECT partreg.ready_since('purge', :'day') > :'locked' AS known;
SELECT * FROM partreg.verify('purge');
SELECT partreg.purge_history(:'locked');
SELECT partreg.purge_history(:'unlocked');
SELECT history_since = :'locked' AS since FROM partreg.registry;

-- Positions are good that have seen all that was purged.
SELECT event FROM partreg.changes_since(:'position_unlocked');
SELECT event, provider_name FROM partreg.changes_since(:'position_locked');
SELECT partreg.changed_ranges('purge', '(,)', :'position_unlocked');
SELECT partreg.changed_ranges('purge', '(,)', :'position_locked');
-- An event of that very instant stays.
SELECT partreg.purge_history((SELECT min(at) FROM partreg.event));
-- The server's log has a line of it, where something was removed.
BEGIN;
UPDATE partreg.event SET at = '1990-01-01' WHERE id = (SELECT min(id) FROM partreg.event);
SET LOCAL client_min_messages = log;
\set VERBOSITY terse
SELECT partreg.purge_history('2000-01-01'), partreg.purge_history('2000-01-02');
\set VERBOSITY sqlstate
ROLLBACK;

-- All of it: questions about now, and what comes later, are answered as ever.
SELECT details FROM partreg.latest_details('purge', '(,)');
SELECT partreg.purge_history('infinity') > 0 AS some;
SELECT (SELECT count(*) FROM partreg.event) AS events, history_since < clock_timestamp() AS since,
       purged_id = (SELECT max(id) FROM before) AS id
FROM partreg.registry;
SELECT pg_temp.as_of(:'settled') AS settled, pg_temp.as_of(clock_timestamp()) AS now;
SELECT partreg.ready_since('purge', :'day') AS not_known, partreg.ready_since('purge', :'next') AS not_ready;
SELECT details FROM partreg.latest_details('purge', '(,)');
SELECT event FROM partreg.changes_since(:'position_locked');
SELECT event FROM partreg.changes_since(:'position');
-- Who begins anew goes on, though nothing is left.
SELECT partreg.feed_position() AS anew \gset
SELECT event FROM partreg.changes_since(:'anew');
SELECT partreg.changed_ranges('purge', '(,)', :'anew');
SELECT * FROM partreg.partitions EXCEPT SELECT * FROM standing;
SELECT partreg.unlock_partition('purge', 'p', :'day', :'p', 'one');
SELECT partreg.unlock_partition('purge', 'p', :'next', :'p', 'two');
SELECT event FROM partreg.changes_since(:'anew');
SELECT partreg.changed_ranges('purge', '(,)', :'anew');
SELECT clock_timestamp() AS later \gset
SELECT partreg.fail_partition('purge', 'p', :'day', :'p');
SELECT pg_temp.as_of(:'later') AS later, pg_temp.as_of(clock_timestamp()) AS now;
SELECT min(id) > (SELECT max(id) FROM before) AS numbers_go_on FROM partreg.event;
SELECT * FROM partreg.verify('purge');

-- After a restore there are two rows of what the registry is: the older counts.
BEGIN;
INSERT INTO partreg.registry (history_since) VALUES ('infinity');
SELECT pg_temp.as_of(:'later') AS later;
INSERT INTO partreg.registry (created_at, history_since) VALUES ('2000-01-01', 'infinity');
SELECT pg_temp.as_of(:'later') AS later;
ROLLBACK;
SELECT partreg.drop_source('purge', :'source_token');
