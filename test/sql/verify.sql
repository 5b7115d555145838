-- verify: each kind of damage done by hand to the tables is found, and named.
-- Each is done by a superuser and rolled back.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_verify_reader;
SELECT partreg.grant_privileges('regress_verify_reader', 'reader');
SELECT partreg.register_source('verify', 'team') AS source_token \gset
SELECT partreg.register_source('verify too', 'team') AS other_token \gset
SELECT partreg.register_provider('a', :'source_token') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset
SELECT partreg.register_provider('a', :'other_token') AS other_a \gset
SELECT partreg.register_partitions('verify', 'a', '[2024-01-01, 2024-01-07)', '1 day', :'a'),
       partreg.unlock_partitions('verify', 'a', '[2024-01-01, 2024-01-04)', :'a'),
       partreg.lock_partition('verify', 'a', '[2024-01-02, 2024-01-03)', :'a'),
       partreg.fail_partition('verify', 'a', '[2024-01-05, 2024-01-06)', :'a'),
       partreg.register_partition('verify', 'b', '[2024-01-01, 2024-01-03)', :'b'),
       partreg.register_partition('verify too', 'a', '[2024-01-01, 2024-01-03)', :'other_a'),
       partreg.unlock_partition('verify too', 'a', '[2024-01-01, 2024-01-03)', :'other_a');

-- Ids differ from run to run; what is said of the provider is kept.
CREATE FUNCTION pg_temp.found(source text DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s', coalesce(source_name, 'none'), regexp_replace(problem, 'number \d+', 'number N'))
    FROM partreg.verify(source)
$$;
CREATE TEMP VIEW id AS
    SELECT s.id AS source, p.id AS provider, s.name AS source_name, p.name AS provider_name
    FROM partreg.provider p JOIN partreg.source s ON s.id = p.source_id WHERE s.name LIKE 'verify%';

-- Nothing is wrong, of none, of one.
SELECT pg_temp.found();
SELECT pg_temp.found('verify');
\pset tuples_only on

-- A span that is missing, too short, too long, from nowhere.
BEGIN;
DELETE FROM partreg.coverage WHERE provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a'));
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
UPDATE partreg.coverage SET span_end = span_end - interval '1 microsecond'
WHERE provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a')) AND span_end = '2024-01-04';
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
UPDATE partreg.coverage SET span_end = span_end + interval '1 microsecond'
WHERE provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a')) AND span_end = '2024-01-04';
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
INSERT INTO partreg.coverage SELECT source, provider, '2030-01-01', '2030-01-02' FROM id WHERE (source_name, provider_name) = ('verify', 'b');
SELECT pg_temp.found();
-- Of one source alone.
SELECT pg_temp.found('verify');
SELECT pg_temp.found('verify too');
ROLLBACK;

-- A span under another source, or of no provider.
BEGIN;
UPDATE partreg.coverage SET source_id = (SELECT source FROM id WHERE source_name = 'verify too')
WHERE provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a'));
SELECT pg_temp.found();
SELECT pg_temp.found('verify');
SELECT pg_temp.found('verify too');
ROLLBACK;
BEGIN;
INSERT INTO partreg.coverage SELECT source, -1, '2030-01-01', '2030-01-02' FROM id WHERE (source_name, provider_name) = ('verify', 'b');
SELECT pg_temp.found();
ROLLBACK;

-- Spans that overlap.
BEGIN;
ALTER TABLE partreg.coverage DROP CONSTRAINT coverage_spans_are_disjoint;
INSERT INTO partreg.coverage SELECT source, provider, '2024-01-01 12:00', '2024-01-01 13:00' FROM id WHERE (source_name, provider_name) = ('verify', 'a');
SELECT pg_temp.found();
ROLLBACK;
-- One that ends within the next.
BEGIN;
ALTER TABLE partreg.coverage DROP CONSTRAINT coverage_spans_are_disjoint;
INSERT INTO partreg.coverage SELECT source, provider, '2023-12-31', '2024-01-02' FROM id WHERE (source_name, provider_name) = ('verify', 'a');
SELECT pg_temp.found();
ROLLBACK;
-- One that swallows two.
BEGIN;
ALTER TABLE partreg.coverage DROP CONSTRAINT coverage_spans_are_disjoint;
DELETE FROM partreg.coverage WHERE provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a'));
INSERT INTO partreg.coverage
    SELECT source, provider, span_start, span_end
    FROM id, (VALUES (timestamptz '2024-01-01', timestamptz '2024-01-04'), ('2024-01-01 01:00', '2024-01-01 02:00'), ('2024-01-02', '2024-01-03')) v (span_start, span_end)
    WHERE (source_name, provider_name) = ('verify', 'a');
SELECT pg_temp.found();
ROLLBACK;

-- A partition that is marked as unlocked, or not, against the truth.
BEGIN;
UPDATE partreg.partition SET first_unlocked_at = NULL WHERE first_unlocked_at IS NOT NULL AND start_at = '2024-01-01'
    AND provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a'));
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
UPDATE partreg.partition SET first_unlocked_at = now() WHERE start_at = '2024-01-04'
    AND provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a'));
SELECT pg_temp.found();
ROLLBACK;

-- A partition that is gone from under its span and its lock.
BEGIN;
DELETE FROM partreg.partition WHERE start_at = '2024-01-02' AND end_at = '2024-01-03'
    AND provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'a'));
SELECT pg_temp.found();
ROLLBACK;

-- A partition or a lock where no index scan looks for it.
BEGIN;
UPDATE partreg.partition SET length_class = length_class + 1 WHERE start_at = '2024-01-01'
    AND provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'b'));
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
UPDATE partreg.lock SET length_class = length_class - 1 WHERE state = 'failed' AND source_id = (SELECT DISTINCT source FROM id WHERE source_name = 'verify');
SELECT pg_temp.found();
ROLLBACK;
-- Both at once, so that they agree with each other.
BEGIN;
UPDATE partreg.partition SET length_class = 3 WHERE start_at = '2024-01-05' AND provider_id IN (SELECT provider FROM id);
UPDATE partreg.lock SET length_class = 3 WHERE start_at = '2024-01-05' AND provider_id IN (SELECT provider FROM id);
SELECT pg_temp.found();
ROLLBACK;

-- A lock under another source, of another provider, of no partition.
BEGIN;
UPDATE partreg.lock SET source_id = (SELECT source FROM id WHERE source_name = 'verify too') WHERE state = 'failed' AND provider_id IN (SELECT provider FROM id);
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
UPDATE partreg.lock SET provider_id = (SELECT provider FROM id WHERE (source_name, provider_name) = ('verify', 'b'))
WHERE state = 'failed' AND provider_id IN (SELECT provider FROM id);
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
UPDATE partreg.lock SET end_at = end_at + interval '1 microsecond' WHERE state = 'failed' AND provider_id IN (SELECT provider FROM id);
SELECT pg_temp.found();
ROLLBACK;

-- A provider without its source; partitions without their provider.
BEGIN;
DELETE FROM partreg.source WHERE name = 'verify too';
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
DELETE FROM partreg.provider WHERE id = (SELECT provider FROM id WHERE source_name = 'verify too');
SELECT pg_temp.found();
ROLLBACK;
-- What no constraint refuses: words that mean nothing, spans that hold nothing,
-- locks that end before they start.
BEGIN;
UPDATE partreg.source SET rule = 'some' WHERE name = 'verify';
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
UPDATE partreg.lock SET state = 'lost' WHERE state = 'failed' AND provider_id IN (SELECT provider FROM id);
SELECT pg_temp.found();
ROLLBACK;
BEGIN;
INSERT INTO partreg.coverage SELECT source, provider, '2030-01-01', '2030-01-01' FROM id WHERE (source_name, provider_name) = ('verify', 'b');
SELECT pg_temp.found();
ROLLBACK;
-- In the way of a first unlock it is an error.
BEGIN;
INSERT INTO partreg.coverage SELECT source, provider, '2024-01-04', '2024-01-04' FROM id WHERE (source_name, provider_name) = ('verify', 'a');
SET LOCAL statement_timeout = '60s';
\set VERBOSITY sqlstate
SELECT partreg.unlock_partition('verify', 'a', '[2024-01-04, 2024-01-05)', :'a');
\set VERBOSITY default
ROLLBACK;
BEGIN;
UPDATE partreg.lock SET end_at = start_at - interval '1 day' WHERE state = 'failed' AND provider_id IN (SELECT provider FROM id);
SELECT pg_temp.found();
ROLLBACK;

-- All sorts of damage in one source: asked about that source alone, it finds as
-- much as of all; asked about another one, nothing.
BEGIN;
ALTER TABLE partreg.coverage DROP CONSTRAINT coverage_spans_are_disjoint;
UPDATE partreg.source SET rule = 'some' WHERE name = 'verify';
UPDATE partreg.partition SET length_class = 3 WHERE start_at = '2024-01-05' AND provider_id IN (SELECT provider FROM id);
UPDATE partreg.lock SET state = 'lost' WHERE provider_id IN (SELECT provider FROM id);
INSERT INTO partreg.coverage
    SELECT source, provider, span_start, span_end
    FROM id, (VALUES (timestamptz '2023-12-31', timestamptz '2024-01-02'), ('2030-01-01', '2030-01-01')) v (span_start, span_end)
    WHERE (source_name, provider_name) = ('verify', 'a');
INSERT INTO partreg.coverage SELECT source, -1, '2030-01-01', '2030-01-02' FROM id WHERE (source_name, provider_name) = ('verify', 'b');
SELECT (SELECT count(*) FROM pg_temp.found()) AS of_all, (SELECT count(*) FROM pg_temp.found('verify')) AS of_one,
       (SELECT count(*) FROM pg_temp.found('verify too')) AS of_another;
ROLLBACK;
\pset tuples_only off

-- A reader may ask; an unknown source is an error.
SET SESSION AUTHORIZATION regress_verify_reader;
SELECT count(*) FROM partreg.verify();
SELECT count(*) FROM partreg.verify('verify');
\set VERBOSITY sqlstate
SELECT partreg.verify('unknown');
RESET SESSION AUTHORIZATION;

SELECT partreg.grant_privileges('regress_verify_reader', 'none');
DROP ROLE regress_verify_reader;
