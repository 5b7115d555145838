-- verify: each kind of damage done by hand to the tables is found, and named.
-- Each is done by a superuser and rolled back.
SET client_min_messages = error;
-- Without what other tests have left.
DROP EXTENSION IF EXISTS partition_registry;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_verify_reader;
CREATE ROLE regress_verify_trusted;
SELECT partreg.grant_privileges('regress_verify_reader', 'reader');
SELECT partreg.register_source('verify', 'team') AS source_token \gset
SELECT partreg.register_source('verify too', 'team') AS other_token \gset
SELECT partreg.register_provider('a', :'source_token', 'regress_verify_trusted') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset
SELECT partreg.register_provider('c', :'source_token') AS c \gset
SELECT partreg.register_provider('d', :'other_token') AS d \gset
SELECT partreg.set_trusted_role('verify too', NULL, 'regress_verify_trusted', :'other_token');
SELECT partreg.register_partitions('verify', 'a', '[2024-01-01, 2024-01-07)', '1 day', :'a'),
       partreg.unlock_partitions('verify', 'a', '[2024-01-01, 2024-01-04)', :'a'),
       partreg.lock_partition('verify', 'a', '[2024-01-02, 2024-01-03)', :'a', 'job', '1 hour'),
       partreg.fail_partition('verify', 'a', '[2024-01-05, 2024-01-06)', :'a'),
       partreg.register_partition('verify', 'b', '[2024-01-01, 2024-01-03)', :'b'),
       partreg.register_partition('verify', 'c', '[2024-01-01, 2024-01-02)', :'c'),
       partreg.unlock_partition('verify', 'c', '[2024-01-01, 2024-01-02)', :'c'),
       partreg.retire_partition('verify', 'c', '[2024-01-01, 2024-01-02)', :'c'),
       partreg.revoke_provider('verify', 'c', :'source_token'),
       partreg.register_partition('verify too', 'd', '[2024-01-01, 2024-01-03)', :'d'),
       partreg.unlock_partition('verify too', 'd', '[2024-01-01, 2024-01-03)', :'d');
SELECT partreg.rotate_access_token('verify too', 'd', :'d', '1 hour') IS NOT NULL AS rotated;

-- Numbers differ from run to run.
CREATE FUNCTION pg_temp.found(source text DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s', coalesce(source_name, 'none'),
                  regexp_replace(problem, '(number|event|at|transaction) \d+(?![-\d])', '\1 N', 'g'))
    FROM partreg.verify(source)
    -- Other tests leave sources behind, and drop their trusted roles.
    WHERE source_name LIKE 'verify%' OR source_name IS NULL
$$;
-- Ids by name.
CREATE FUNCTION pg_temp.source(name text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT id FROM partreg.source s WHERE s.name = source.name
$$;
CREATE FUNCTION pg_temp.provider(name text) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT id FROM partreg.provider p
    WHERE p.name = provider.name AND p.source_id IN (SELECT s.id FROM partreg.source s WHERE s.name LIKE 'verify%')
$$;
-- What is found after a statement, which is then undone; of one source, or all.
CREATE FUNCTION pg_temp.damaged(statement text, source text DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    problems text[];
BEGIN
    BEGIN
        EXECUTE statement;
        problems := ARRAY(SELECT pg_temp.found(source));
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
    END;
    RETURN QUERY SELECT coalesce(p, 'NOT FOUND') FROM (VALUES (1)) v LEFT JOIN unnest(problems) WITH ORDINALITY u (p, n) ON true ORDER BY n;
END
$$;

-- Nothing is wrong, of none, of one.
SELECT pg_temp.found();
SELECT pg_temp.found('verify');
SELECT pg_temp.found('verify too');
\pset tuples_only on

-- Spans: missing, too short, too long, too many, infinite, empty, overlapping.
SELECT pg_temp.damaged($$DELETE FROM partreg.coverage WHERE provider_id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.coverage SET span_end = span_end - interval '1 microsecond' WHERE provider_id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.coverage SET span_end = span_end + interval '1 microsecond' WHERE provider_id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$INSERT INTO partreg.coverage VALUES (pg_temp.source('verify'), pg_temp.provider('b'), '2030-01-01', 'infinity')$$);
SELECT pg_temp.damaged($$INSERT INTO partreg.coverage VALUES (pg_temp.source('verify'), pg_temp.provider('b'), '2030-01-01', '2030-01-01')$$);
SELECT pg_temp.damaged($$
    ALTER TABLE partreg.coverage DROP CONSTRAINT coverage_spans_are_disjoint;
    INSERT INTO partreg.coverage VALUES (pg_temp.source('verify'), pg_temp.provider('a'), '2024-01-01 12:00', '2024-01-01 13:00')$$);
SELECT pg_temp.damaged($$
    ALTER TABLE partreg.coverage DROP CONSTRAINT coverage_spans_are_disjoint;
    INSERT INTO partreg.coverage VALUES (pg_temp.source('verify'), pg_temp.provider('a'), '2023-12-31', '2024-01-02')$$);
-- Of one source alone; of another one nothing.
SELECT pg_temp.damaged($$DELETE FROM partreg.coverage WHERE provider_id = pg_temp.provider('a')$$, 'verify');
SELECT pg_temp.damaged($$DELETE FROM partreg.coverage WHERE provider_id = pg_temp.provider('a')$$, 'verify too');

-- Rows under a wrong parent, or without one.
SELECT pg_temp.damaged($$UPDATE partreg.coverage SET source_id = pg_temp.source('verify too') WHERE provider_id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$INSERT INTO partreg.coverage VALUES (pg_temp.source('verify'), -1, '2030-01-01', '2030-01-02')$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET source_id = pg_temp.source('verify too') WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET provider_id = pg_temp.provider('b') WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET end_at = end_at + interval '1 microsecond' WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.source WHERE name = 'verify too'$$);
SELECT pg_temp.damaged($$UPDATE partreg.source SET id = DEFAULT WHERE name = 'verify too'$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.provider WHERE id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET source_id = pg_temp.source('verify too') WHERE id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$INSERT INTO partreg.pending VALUES (-1, 0, '2024-01-01', '2024-01-01 00:00:00.000001', now())$$);
-- All that belongs to a source, gone but for its history.
SELECT pg_temp.damaged($$
    DELETE FROM partreg.partition WHERE provider_id = pg_temp.provider('d');
    DELETE FROM partreg.coverage WHERE provider_id = pg_temp.provider('d');
    DELETE FROM partreg.provider WHERE id = pg_temp.provider('d');
    DELETE FROM partreg.source WHERE name = 'verify too'$$);

-- Partitions: in both tables or the wrong one, gone, of a wrong class, infinite,
-- at times that no clock shows, unlocked by nobody.
SELECT pg_temp.damaged($$INSERT INTO partreg.pending SELECT provider_id, length_class, start_at, end_at, registered_at FROM partreg.partition WHERE provider_id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$
    WITH moved AS (DELETE FROM partreg.partition WHERE provider_id = pg_temp.provider('d') RETURNING *)
    INSERT INTO partreg.pending SELECT provider_id, length_class, start_at, end_at, registered_at FROM moved;
    DELETE FROM partreg.coverage WHERE provider_id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$
    WITH moved AS (DELETE FROM partreg.pending WHERE provider_id = pg_temp.provider('b') RETURNING *)
    INSERT INTO partreg.partition SELECT provider_id, length_class, start_at, end_at, registered_at, now() FROM moved;
    INSERT INTO partreg.coverage VALUES (pg_temp.source('verify'), pg_temp.provider('b'), '2024-01-01', '2024-01-03')$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.pending WHERE provider_id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$
    DELETE FROM partreg.partition WHERE provider_id = pg_temp.provider('d');
    DELETE FROM partreg.coverage WHERE provider_id = pg_temp.provider('d')$$);
-- Retired, and there again.
SELECT pg_temp.damaged($$INSERT INTO partreg.pending VALUES (pg_temp.provider('c'), partreg._length_class('2024-01-01', '2024-01-02'), '2024-01-01', '2024-01-02', now())$$);
SELECT pg_temp.damaged($$UPDATE partreg.pending SET length_class = length_class + 1 WHERE provider_id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$UPDATE partreg.partition SET length_class = length_class - 1 WHERE provider_id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$
    UPDATE partreg.pending SET length_class = 3 WHERE start_at = '2024-01-05' AND provider_id = pg_temp.provider('a');
    UPDATE partreg.lock SET length_class = 3 WHERE start_at = '2024-01-05'$$);
SELECT pg_temp.damaged($$
    INSERT INTO partreg.partition VALUES (pg_temp.provider('d'), 63, '2025-01-01', 'infinity', now(), now());
    INSERT INTO partreg.coverage VALUES (pg_temp.source('verify too'), pg_temp.provider('d'), '2025-01-01', 'infinity')$$);
SELECT pg_temp.damaged($$UPDATE partreg.partition SET first_unlocked_at = 'infinity' WHERE provider_id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$UPDATE partreg.partition SET unlocked_at = now() + interval '1 year' WHERE provider_id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$UPDATE partreg.pending SET registered_at = '-infinity' WHERE provider_id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$UPDATE partreg.partition SET unlocked_by = '' WHERE provider_id = pg_temp.provider('d')$$);

-- Locks: words, states that contradict, holders, times, leases.
SELECT pg_temp.damaged($$UPDATE partreg.lock SET state = 'LOCKED' WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET change = 'unlock' WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET state = 'failed', lease_expires_at = NULL WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET state = 'failed', change = NULL, lease_expires_at = NULL WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET state = 'locked', change = NULL WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET lease_expires_at = now() WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET lease_expires_at = 'infinity' WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET since = 'infinity' WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET holder = '' WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET holder = 'other' WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET length_class = length_class - 1 WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$UPDATE partreg.lock SET end_at = start_at - interval '1 day' WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.lock WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.lock WHERE state = 'failed'$$);
SELECT pg_temp.damaged($$
    INSERT INTO partreg.lock SELECT pg_temp.source('verify too'), length_class, start_at, end_at, provider_id, 'locked', now(), 'job'
    FROM partreg.partition WHERE provider_id = pg_temp.provider('d')$$);

-- Sources and providers: words, names, times, digests, by half revoked.
SELECT pg_temp.damaged($$UPDATE partreg.source SET rule = 'ANY' WHERE name = 'verify'$$);
SELECT pg_temp.damaged($$UPDATE partreg.source SET name = 'verify ' WHERE name = 'verify'$$);
SELECT pg_temp.damaged($$UPDATE partreg.source SET owner = E'a\nb' WHERE name = 'verify'$$);
SELECT pg_temp.damaged($$UPDATE partreg.source SET registered_at = 'infinity' WHERE name = 'verify'$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET name = '' WHERE id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET revoked_at = 'infinity' WHERE id = pg_temp.provider('c')$$);
SELECT pg_temp.damaged($$UPDATE partreg.source SET token_digest = '\x00' WHERE name = 'verify'$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET old_token_digest = '\x00' WHERE id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET old_token_until = NULL WHERE id = pg_temp.provider('d')$$);
SELECT pg_temp.damaged($$UPDATE partreg.source SET token_digest = (SELECT o.old_token_digest FROM partreg.provider o WHERE id = pg_temp.provider('d')) WHERE name = 'verify'$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET revoked_at = now() WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET revoked_at = NULL WHERE id = pg_temp.provider('c')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET effective = '[2024-01-01, 2024-01-03]' WHERE id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET effective = '(2024-01-01, 2024-01-03)' WHERE id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET effective = '[-infinity, infinity)' WHERE id = pg_temp.provider('b')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET calendar_start = '2024-01-01' WHERE id = pg_temp.provider('b')$$);

-- Deadlines and calendars by which nobody can tell what is late.
SELECT pg_temp.damaged($$UPDATE partreg.provider SET deadline = '1 month' WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET deadline = '-1 hour' WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET calendar_step = '1 day', calendar_start = '2024-01-01', calendar_zone = 'Europe/Nowhere' WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET calendar_step = '0', calendar_start = '2024-01-01', calendar_zone = 'UTC' WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET calendar_step = '1 day', calendar_start = '2024-01-01', calendar_zone = 'UTC', deadline = '1 day' WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET calendar_step = '1 day', calendar_zone = 'UTC' WHERE id = pg_temp.provider('a')$$);
BEGIN;
UPDATE partreg.provider SET deadline = '0', calendar_step = '1 day', calendar_zone = 'UTC' WHERE id = pg_temp.provider('a');
SELECT count(*) FROM partreg.late_partitions WHERE state = 'missing';
ROLLBACK;

-- Trusted roles: gone, renamed, another one of the name, known by name only.
SELECT pg_temp.damaged($$ALTER ROLE regress_verify_trusted RENAME TO regress_verify_renamed$$);
SELECT pg_temp.damaged($$ALTER ROLE regress_verify_trusted RENAME TO regress_verify_renamed; CREATE ROLE regress_verify_trusted$$);
SELECT pg_temp.damaged($$DROP ROLE regress_verify_trusted$$);
SELECT pg_temp.damaged($$DROP ROLE regress_verify_trusted; CREATE ROLE regress_verify_trusted$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET trusted_role_system = trusted_role_system + 1 WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.source SET trusted_role_database = 1 WHERE name = 'verify too'$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET trusted_role_oid = NULL WHERE id = pg_temp.provider('a')$$);
SELECT pg_temp.damaged($$UPDATE partreg.provider SET trusted_role = 'gone', trusted_role_oid = NULL WHERE id = pg_temp.provider('a')$$);

-- History: words, credentials, times, ranges, transactions, what it says.
SELECT pg_temp.damaged($$UPDATE partreg.event SET event = 'LOCK' WHERE event = 'rotate'$$);
SELECT pg_temp.damaged($$UPDATE partreg.event SET credential = 'z' WHERE event = 'rotate'$$);
SELECT pg_temp.damaged($$UPDATE partreg.event SET state_before = 'R' WHERE event = 'retire'$$);
SELECT pg_temp.damaged($$UPDATE partreg.event SET at = 'infinity' WHERE event = 'rotate'$$);
SELECT pg_temp.damaged($$UPDATE partreg.event SET end_at = start_at WHERE event = 'retire'$$);
SELECT pg_temp.damaged($$UPDATE partreg.event SET xid = '9999999999' WHERE event = 'rotate'$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.event WHERE event = 'lock'$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.event WHERE event = 'retire'$$);
SELECT pg_temp.damaged($$UPDATE partreg.event SET source_id = pg_temp.source('verify too') WHERE provider_id = pg_temp.provider('b')$$);

-- However much of it is purged from the oldest event on, it contradicts nothing,
-- nor does it where its rows lie in another order, nor where it is of elsewhere.
CREATE FUNCTION pg_temp.purged() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. (SELECT count(*) FROM partreg.event) LOOP
        DELETE FROM partreg.event WHERE id = (SELECT min(id) FROM partreg.event);
        RETURN QUERY SELECT pg_temp.found();
    END LOOP;
END
$$;
BEGIN;
SELECT pg_temp.purged();
SELECT count(*) FROM partreg.event;
ROLLBACK;
BEGIN;
CREATE TEMP TABLE history AS SELECT * FROM partreg.event;
DELETE FROM partreg.event;
INSERT INTO partreg.event OVERRIDING SYSTEM VALUE SELECT * FROM history ORDER BY id DESC;
SELECT pg_temp.found();
SELECT pg_temp.damaged($$DELETE FROM partreg.lock WHERE state = 'locked'$$);
SELECT pg_temp.damaged($$INSERT INTO partreg.pending VALUES (pg_temp.provider('c'), partreg._length_class('2024-01-01', '2024-01-02'), '2024-01-01', '2024-01-02', now())$$);
UPDATE partreg.event SET system_id = system_id + 1, xid = '9999999999';
SELECT pg_temp.found();
ROLLBACK;

-- Keys, constraints, indexes.
SELECT pg_temp.damaged($$ALTER TABLE partreg.lock DROP CONSTRAINT lock_pkey$$);
SELECT pg_temp.damaged($$ALTER TABLE partreg.provider DROP CONSTRAINT provider_id_epoch_key$$);
SELECT pg_temp.damaged($$ALTER TABLE partreg.pending DROP CONSTRAINT pending_check$$);
SELECT pg_temp.damaged($$ALTER TABLE partreg.lock ALTER COLUMN holder DROP NOT NULL$$);
SELECT pg_temp.damaged($$ALTER TABLE partreg.lock ADD CHECK (holder <> 'job 7'), ADD UNIQUE (since)$$);
SELECT pg_temp.damaged($$DROP INDEX partreg.source_token_digest_idx$$);
SELECT pg_temp.damaged($$DROP INDEX partreg.source_token_digest_idx; CREATE INDEX source_token_digest_idx ON partreg.source (old_token_digest)$$);
SELECT pg_temp.damaged($$UPDATE pg_index SET indisready = false WHERE indexrelid = 'partreg.lock_pkey'::regclass$$);
SELECT pg_temp.damaged($$UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'partreg.event_details_idx'::regclass$$);
-- What an administrator may do.
SELECT pg_temp.damaged($$
    ALTER INDEX partreg.partition_pkey SET (fillfactor = 80);
    CREATE INDEX ON partreg.event (at);
    ALTER TABLE partreg.event SET (autovacuum_enabled = false)$$);

-- Whatever changes what is stored, or loses it.
SELECT pg_temp.damaged($$ALTER TABLE partreg.lock ENABLE ROW LEVEL SECURITY$$);
SELECT pg_temp.damaged($$ALTER TABLE partreg.lock SET UNLOGGED$$);
SELECT pg_temp.damaged($$
    CREATE FUNCTION pg_temp.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER skip BEFORE INSERT ON partreg.lock FOR EACH ROW EXECUTE FUNCTION pg_temp.skip()$$);
SELECT pg_temp.damaged($$CREATE RULE skip AS ON INSERT TO partreg.lock DO INSTEAD NOTHING$$);
SELECT pg_temp.damaged($$DELETE FROM partreg.registry$$);
SELECT pg_temp.damaged($$CREATE TABLE partreg.child () INHERITS (partreg.lock)$$);
SELECT pg_temp.damaged($$UPDATE pg_extension SET extconfig = NULL, extcondition = NULL WHERE extname = 'partition_registry'$$);

-- What PUBLIC was granted, and what takes it away.
SELECT pg_temp.damaged($$GRANT DELETE ON partreg.lock TO PUBLIC$$);
SELECT pg_temp.damaged($$GRANT SELECT (name) ON partreg.source TO PUBLIC$$);
SELECT pg_temp.damaged($$GRANT USAGE ON SCHEMA partreg TO PUBLIC$$);
SELECT pg_temp.damaged($$GRANT USAGE ON SEQUENCE partreg.event_id_seq TO PUBLIC$$);
SELECT pg_temp.damaged($$GRANT EXECUTE ON FUNCTION partreg._length_class TO PUBLIC$$);
SELECT pg_temp.damaged($$GRANT USAGE ON TYPE partreg.lock TO PUBLIC; REVOKE ALL ON TYPE partreg.lock FROM PUBLIC; GRANT USAGE ON TYPE partreg.source TO PUBLIC$$);

-- A span that holds nothing is an error where it is in the way of a first unlock.
BEGIN;
INSERT INTO partreg.coverage VALUES (pg_temp.source('verify'), pg_temp.provider('a'), '2024-01-04', '2024-01-04');
SET LOCAL statement_timeout = '60s';
\set VERBOSITY sqlstate
SELECT partreg.unlock_partition('verify', 'a', '[2024-01-04, 2024-01-05)', :'a');
\set VERBOSITY default
ROLLBACK;
\pset tuples_only off

-- The names that a table and its parts have are those that it was made with.
SELECT t.table_name, t.name FROM partreg._index t
FULL JOIN (SELECT i.indrelid::regclass::text AS table_name, c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
           WHERE c.relnamespace = 'partreg'::regnamespace) a ON a.table_name = 'partreg.' || t.table_name AND a.name = t.name
WHERE a.name IS NULL OR t.name IS NULL;
SELECT c.relname, a.attname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND a.attnotnull
LEFT JOIN partreg._table t ON t.name = c.relname
WHERE c.relnamespace = 'partreg'::regnamespace AND c.relkind = 'r' AND coalesce(a.attname <> ALL (t.not_null), true);

-- A reader may ask, also in a transaction that reads only; what does not exist
-- is an error, and a token is not quoted.
SET SESSION AUTHORIZATION regress_verify_reader;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT count(*) FROM partreg.verify() WHERE source_name LIKE 'verify%';
SELECT count(*) FROM partreg.verify('verify');
ROLLBACK;
\set VERBOSITY terse
SELECT partreg.verify('unknown');
\echo :LAST_ERROR_SQLSTATE
SELECT partreg.verify('prs_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567');
RESET SESSION AUTHORIZATION;

SELECT partreg.grant_privileges('regress_verify_reader', 'none');
SELECT partreg.drop_source('verify', :'source_token'), partreg.drop_source('verify too', :'other_token');
-- Of a source that was dropped history may say what it likes.
SELECT pg_temp.found();
DROP ROLE regress_verify_reader, regress_verify_trusted;
