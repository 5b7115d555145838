-- Sequences that are behind the numbers in use: what would draw from one fails,
-- verify() says so, and advance_sequences() mends it.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
\set VERBOSITY default

SELECT partreg.register_source('sequences', 'team') AS token \gset
SELECT partreg.register_provider('a', :'token') AS a \gset
SELECT partreg.register_partitions('sequences', 'a', '[2024-01-01, 2024-01-05)', '1 day', :'a');
CREATE TEMP VIEW places AS
    SELECT (SELECT last_value FROM partreg.source_id_seq) AS source, (SELECT last_value FROM partreg.provider_id_seq) AS provider,
           (SELECT last_value FROM partreg.event_id_seq) AS event;
SELECT source, provider, event FROM places \gset
CREATE FUNCTION pg_temp.error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, message, hint);
END
$$;
CREATE FUNCTION pg_temp.behind() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(problem, '\d+', 'N', 'g') FROM partreg.verify() WHERE source_name IS NULL
$$;
CREATE FUNCTION pg_temp.advanced() RETURNS TABLE (source bigint, provider bigint, event bigint) LANGUAGE sql AS $$
    SELECT partreg.advance_sequences();
    SELECT * FROM pg_temp.places;
$$;

-- Nothing lags: nothing changes, however often.
SELECT (p.source, p.provider, p.event) = (:source, :provider, :event) AS unchanged FROM pg_temp.advanced() p;
SELECT (p.source, p.provider, p.event) = (:source, :provider, :event) AS unchanged FROM pg_temp.advanced() p;

\pset tuples_only on
-- Each of the three, set back to the start.
SELECT setval('partreg.source_id_seq', 1, false);
SELECT pg_temp.error($$SELECT partreg.register_source('sequences new', 'team')$$);
SELECT pg_temp.behind();
SELECT (p.source, p.provider, p.event) = (:source, :provider, :event) FROM pg_temp.advanced() p;
SELECT setval('partreg.provider_id_seq', 1, false);
SELECT pg_temp.error(format('SELECT partreg.register_provider(%L, %L)', 'b', :'token'));
SELECT pg_temp.behind();
SELECT (p.source, p.provider, p.event) = (:source, :provider, :event) FROM pg_temp.advanced() p;
SELECT setval('partreg.event_id_seq', 1, false);
SELECT pg_temp.error(format('SELECT partreg.lock_partition(%L, %L, %L, %L)', 'sequences', 'a', '[2024-01-01, 2024-01-02)', :'a'));
SELECT pg_temp.error(format('SELECT partreg.lock_partitions(%L, %L, %L, %L)', 'sequences', 'a', '[2024-01-01, 2024-01-05)', :'a'));
SELECT pg_temp.behind();
SELECT (p.source, p.provider, p.event) = (:source, :provider, :event) FROM pg_temp.advanced() p;
SELECT pg_temp.behind();
-- Behind by one, called or not.
SELECT setval('partreg.event_id_seq', :event, false) > 0;
SELECT left(pg_temp.error(format('SELECT partreg.lock_partition(%L, %L, %L, %L)', 'sequences', 'a', '[2024-01-01, 2024-01-02)', :'a')), 5);
SELECT setval('partreg.event_id_seq', :event, true) > 0;
SELECT pg_temp.error(format('SELECT partreg.lock_partition(%L, %L, %L, %L)', 'sequences', 'a', '[2024-01-01, 2024-01-02)', :'a'));
-- A number that was drawn and rolled back is free: the row is dead.
BEGIN;
SELECT partreg.register_provider('rolled back', :'token') IS NOT NULL;
ROLLBACK;
SELECT setval('partreg.provider_id_seq', 1, false), setval('partreg.event_id_seq', 1, false);
SELECT (p.source, p.provider) = (:source, :provider) FROM pg_temp.advanced() p;
SELECT pg_temp.behind();
SELECT pg_temp.error(format('SELECT partreg.register_provider(%L, %L)', 'b', :'token'));
SELECT source, provider, event FROM places \gset
-- The numbers of events that were purged count, also where there is no other
-- event: positions have seen them.
BEGIN;
SELECT partreg.purge_history('infinity') > 0;
TRUNCATE partreg.event;
ALTER SEQUENCE partreg.event_id_seq RESTART;
SELECT pg_temp.error(format('SELECT partreg.lock_partition(%L, %L, %L, %L)', 'sequences', 'a', '[2024-01-02, 2024-01-03)', :'a'));
SELECT pg_temp.error('SELECT partreg.feed_position()');
SELECT pg_temp.behind();
SELECT p.event = r.purged_id FROM pg_temp.advanced() p, partreg.registry r;
SELECT pg_temp.error(format('SELECT partreg.lock_partition(%L, %L, %L, %L)', 'sequences', 'a', '[2024-01-02, 2024-01-03)', :'a'));
ROLLBACK;
-- What only history mentions: calls draw all the same, as no number is in use;
-- verify() says so, and the sequence is advanced over it.
BEGIN;
INSERT INTO partreg.event OVERRIDING SYSTEM VALUE
    SELECT 0, 'drop_source', :source + 1000, :provider + 2000, 'gone', 'gone', NULL, NULL, now(), current_user, NULL, NULL, '3', 0, 1;
SELECT pg_temp.behind();
SELECT (p.source, p.provider) = (:source + 1000, :provider + 2000) FROM pg_temp.advanced() p;
SELECT pg_temp.behind();
ROLLBACK;
-- Rolled back, it is where it was.
SELECT (p.source, p.provider) = (:source, :provider) FROM places p;
\pset tuples_only off
SELECT partreg.drop_source('sequences', :'token');

-- Nobody but the owner.
CREATE ROLE regress_sequences;
SELECT partreg.grant_privileges('regress_sequences', 'operator');
SET SESSION AUTHORIZATION regress_sequences;
\set VERBOSITY terse
SELECT partreg.advance_sequences();
RESET SESSION AUTHORIZATION;
SELECT partreg.grant_privileges('regress_sequences', 'none');
DROP ROLE regress_sequences;
