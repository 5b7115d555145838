-- feed_position, changes_since, changed_ranges.  Time is in days of January 2024.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_feed;
SELECT partreg.grant_privileges('regress_feed', 'admin');
CREATE ROLE regress_feed_reader;
SELECT partreg.grant_privileges('regress_feed_reader', 'reader');
SET SESSION AUTHORIZATION regress_feed;

CREATE FUNCTION pg_temp.days(a integer, b integer) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 day', t + b * interval '1 day')
    FROM (SELECT timestamptz '2023-12-31 00:00+00') x (t)
$$;
-- The feed from a position on, and where it goes on.
CREATE TABLE pg_temp.feed (position text);
INSERT INTO pg_temp.feed VALUES (NULL);
CREATE FUNCTION pg_temp.step(max_events integer DEFAULT NULL, source_names text[] DEFAULT NULL)
RETURNS TABLE (event text, source text, provider text, days text) LANGUAGE plpgsql AS $$
DECLARE
    change partreg.change;
BEGIN
    FOR change IN SELECT c.* FROM pg_temp.feed f, partreg.changes_since(f.position, max_events, source_names) c LOOP
        event := change.event;
        source := change.source_name;
        provider := change.provider_name;
        days := to_char(lower(change.during), 'DD - ') || to_char(upper(change.during), 'DD');
        RETURN NEXT;
        UPDATE pg_temp.feed SET position = change.next_position;
    END LOOP;
END;
$$;
CREATE FUNCTION pg_temp.now() RETURNS void LANGUAGE sql AS 'UPDATE pg_temp.feed SET position = partreg.feed_position()';
CREATE FUNCTION pg_temp.changed(source text, since text, during tstzrange DEFAULT '(,)') RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat(to_char(lower(piece), 'DD'), '-', to_char(upper(piece), 'DD')), ' ' ORDER BY piece), 'nothing')
    FROM unnest(partreg.changed_ranges(source, during, since)) piece
$$;

SELECT pg_temp.now();
SELECT partreg.register_source('feed a', 'team') AS a \gset
SELECT partreg.register_source('feed b', 'team') AS b \gset
SELECT partreg.register_provider('p', :'a') AS ap, partreg.register_provider('q', :'a') AS aq, partreg.register_provider('p', :'b') AS bp \gset
SELECT partreg.register_partitions('feed a', 'p', pg_temp.days(1, 9), '1 day', :'ap');

-- Pages; each row goes on after itself; nothing twice, and then nothing.
SELECT * FROM pg_temp.step(3);
SELECT * FROM pg_temp.step(3);
SELECT * FROM pg_temp.step(7);
SELECT * FROM pg_temp.step(1);
SELECT * FROM pg_temp.step();
SELECT * FROM pg_temp.step();

-- All columns
SELECT partreg.lock_partition('feed a', 'p', pg_temp.days(1, 2), :'ap', 'job 1', NULL, 'loading');
SELECT partreg.unlock_partition('feed a', 'p', pg_temp.days(1, 2), :'ap', 'job 1', details => '{"rows": 5}');
SELECT e.event_id = c.event_id AS id, c.event, c.source_name, c.provider_name, c.during, c.at = e.at AS at, c.actor,
       c.holder, c.reason, c.details, c.next_position IS NOT NULL AS next
FROM pg_temp.feed f, partreg.changes_since(f.position) c
JOIN partreg.events e USING (event_id)
ORDER BY c.event_id;

-- In the middle of a page each row's position goes on after that row.
SELECT string_agg(concat_ws(' ', n, rest), '; ' ORDER BY n)
FROM pg_temp.feed f,
     partreg.changes_since(f.position) WITH ORDINALITY c (event_id, event, s, p, during, at, actor, holder, reason, details, next_position, n),
     LATERAL (SELECT string_agg(r.event, ', ' ORDER BY r.event_id) FROM partreg.changes_since(c.next_position) r) x (rest);

-- What comes while a page is being given, comes after it.
SELECT * FROM pg_temp.step(1);
SELECT partreg.lock_partition('feed a', 'p', pg_temp.days(2, 3), :'ap');
SELECT * FROM pg_temp.step();

-- One's own uncommitted events are not given, nor in a position, before and
-- after the commit; those of a savepoint that was rolled back never are.
BEGIN;
SELECT partreg.unlock_partition('feed a', 'p', pg_temp.days(2, 3), :'ap');
SAVEPOINT s;
SELECT partreg.lock_partition('feed a', 'p', pg_temp.days(3, 4), :'ap');
ROLLBACK TO s;
SAVEPOINT t;
SELECT partreg.lock_partition('feed a', 'p', pg_temp.days(4, 5), :'ap');
RELEASE t;
SELECT * FROM pg_temp.step();
SELECT partreg.feed_position() AS inside \gset
SELECT pg_temp.changed('feed a', position), pg_temp.changed('feed a', :'inside') FROM pg_temp.feed;
COMMIT;
SELECT event, to_char(lower(during), 'DD') FROM partreg.changes_since(:'inside');
SELECT pg_temp.changed('feed a', :'inside');
SELECT * FROM pg_temp.step();

-- In a transaction with one snapshot, the feed is that snapshot's.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT partreg.feed_position() = partreg.feed_position();
SELECT count(*) FROM partreg.changes_since(partreg.feed_position());
COMMIT;

-- Names: those that the events carry.  What is unknown gives nothing; where there
-- is nothing, one row has the next position.
SELECT partreg.register_partition('feed b', 'p', pg_temp.days(1, 2), :'bp');
SELECT partreg.unlock_partition('feed a', 'p', pg_temp.days(4, 5), :'ap');
SELECT event, source_name FROM pg_temp.feed f, partreg.changes_since(f.position, source_names => '{feed b,unknown,feed b}');
SELECT event, source_name FROM pg_temp.feed f, partreg.changes_since(f.position, 1, '{unknown,feed a,feed b}');
SELECT * FROM pg_temp.step(NULL, '{unknown}');
SELECT event_id, event, next_position = f.position AS same FROM pg_temp.feed f, partreg.changes_since(f.position, 5, '{feed b}');
SELECT * FROM pg_temp.step();

-- What may have changed: locked, unlocked, failed, retired, revoked; cut to the
-- range, neighbours as one; not what was registered, or belongs to another.
SELECT partreg.feed_position() AS p0, max(event_id) AS last0 FROM partreg.events \gset
SELECT pg_temp.changed('feed a', :'p0');
SELECT partreg.register_partitions('feed a', 'q', pg_temp.days(10, 20), '1 day', :'aq');
SELECT partreg.unlock_partition('feed b', 'p', pg_temp.days(1, 2), :'bp');
SELECT partreg.set_readiness_rule('feed a', 'all', :'a');
SELECT pg_temp.changed('feed a', :'p0');
SELECT partreg.lock_partition('feed a', 'q', pg_temp.days(10, 11), :'aq');
SELECT partreg.unlock_partition('feed a', 'q', pg_temp.days(11, 12), :'aq');
SELECT partreg.fail_partition('feed a', 'q', pg_temp.days(13, 14), :'aq');
SELECT partreg.retire_partition('feed a', 'q', pg_temp.days(15, 16), :'aq');
SELECT pg_temp.changed('feed a', :'p0');
SELECT partreg.feed_position() AS p1 \gset
SELECT partreg.revoke_provider('feed a', 'q', :'a');
SELECT pg_temp.changed('feed a', :'p0'), pg_temp.changed('feed a', :'p1');
SELECT partreg.changed_ranges('feed a', '[2024-01-10 12:00+00, 2024-01-11 12:00+00)', :'p0');
SELECT partreg.changed_ranges('feed a', pg_temp.days(12, 13), :'p0');
-- From the middle of a page
SELECT next_position AS middle FROM partreg.changes_since(:'p0') WHERE event = 'unlock' AND source_name = 'feed a' \gset
SELECT pg_temp.changed('feed a', :'middle');
SELECT * FROM pg_temp.step();

-- A source goes by its identity: under a new name all of it may have changed,
-- once; from then on its positions go on.
SELECT partreg.feed_position() AS p2 \gset
SELECT partreg.rename_source('feed a', 'feed c', :'a');
SELECT partreg.changed_ranges('feed c', pg_temp.days(1, 9), :'p2'), partreg.changed_ranges('feed c', '(,)', :'p2');
SELECT partreg.feed_position() AS p3 \gset
SELECT partreg.changed_ranges('feed c', '(,)', :'p3');
SELECT partreg.rename_provider('feed c', 'p', 'r', :'a');
SELECT partreg.changed_ranges('feed c', '(,)', :'p3');
SELECT partreg.lock_partition('feed c', 'r', pg_temp.days(1, 2), :'ap');
SELECT pg_temp.changed('feed c', :'p3');
-- A new source under a name that was in use
SELECT partreg.register_source('feed a', 'team') AS a2 \gset
SELECT partreg.changed_ranges('feed a', '[2024-01-01,)', :'p3');
SELECT partreg.drop_source('feed b', :'b');
SELECT partreg.changed_ranges('feed b', '(,)', :'p3');
SELECT * FROM pg_temp.step();

-- From the beginning of what is kept
SELECT array_agg(c.event_id ORDER BY n) = (SELECT array_agg(e.event_id ORDER BY e.event_id)
                                           FROM (SELECT event_id FROM partreg.events ORDER BY event_id LIMIT 100) e)
FROM partreg.changes_since(NULL, 100) WITH ORDINALITY c (event_id, event, s, p, during, at, actor, holder, reason, details, next_position, n);

-- Arguments
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    condition text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'passed';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, condition = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, condition, message, regexp_replace(nullif(detail, ''), '\d+', 'N'), nullif(hint, ''));
END;
$$;
SELECT pg_temp.refused(format('SELECT count(*) FROM partreg.changes_since(%s)', arguments))
FROM (VALUES ('NULL, 0'), ('NULL, -1'), ('NULL, 5, ''{}'''), ('NULL, 5, ''{x,NULL}'''), ($$'x'$$), ($$''$$), ('NULL, NULL, NULL')) v (arguments);
SELECT pg_temp.refused(format('SELECT partreg.changed_ranges(%s)', arguments))
FROM (VALUES ($$NULL, '(,)', 'x'$$), ($$'feed a', NULL, 'x'$$), ($$'feed a', '(,)', NULL$$), ($$'feed a', 'empty', 'x'$$),
             ($$'feed a', '(,)', 'x'$$), (format('%L, %L, %L', 'unknown', '(,)', :'p0'))) v (arguments);
-- Every text that is a position but for one character, or for its end, is none.
SELECT DISTINCT pg_temp.refused(format('SELECT count(*) FROM partreg.changes_since(%L)', wrong))
FROM generate_series(1, length(:'middle')) n,
     LATERAL (VALUES (left(:'middle', n - 1)), (overlay(:'middle' PLACING 'e' FROM n FOR 1)), (overlay(:'middle' PLACING '.' FROM n FOR 1)),
                     (overlay(:'middle' PLACING ',f' FROM n FOR 0)), (:'middle' || 'a'), (upper(:'middle'))) w (wrong)
WHERE wrong <> :'middle';
-- A huge one is refused at a glance, and not shown.
SELECT pg_temp.refused($$SELECT partreg.changes_since(repeat('1', 100000000))$$);

-- Another registry; a position that saw what is not here
RESET SESSION AUTHORIZATION;
BEGIN;
UPDATE partreg.registry SET id = gen_random_uuid();
SELECT pg_temp.refused(format('SELECT partreg.changes_since(%L)', :'p0'));
SELECT pg_temp.refused(format('SELECT partreg.changed_ranges(%L, %L, %L)', 'feed a', '(,)', :'p0'));
ROLLBACK;
-- The oldest row of the registry counts.
BEGIN;
INSERT INTO partreg.registry DEFAULT VALUES;
SELECT count(*) > 0 AS good FROM partreg.changes_since(:'p0');
ROLLBACK;
BEGIN;
UPDATE partreg.event SET at = at + interval '1 microsecond' WHERE id = :last0;
SELECT pg_temp.refused(format('SELECT partreg.changes_since(%L)', :'p0'));
ROLLBACK;
-- Purged: what was not seen is gone; what was seen is not missed, nor by one who
-- begins anew.
SELECT max(event_id) AS last_seen FROM partreg.events \gset
BEGIN;
SELECT partreg.feed_position() AS p4 \gset
UPDATE partreg.registry r SET purged_id = e.id, purged_at = e.at, purged_xid = e.xid, purged_system = e.system_id FROM partreg.event e WHERE e.id = :last_seen;
DELETE FROM partreg.event WHERE id BETWEEN :last0 AND :last_seen;
SELECT pg_temp.refused(format('SELECT partreg.changes_since(%L)', :'p0'));
SELECT pg_temp.refused(format('SELECT partreg.changes_since(%L)', :'middle'));
SELECT pg_temp.refused(format('SELECT partreg.changed_ranges(%L, %L, %L)', 'feed a', '(,)', :'p0'));
SELECT count(*) FROM partreg.changes_since(:'p4');
SELECT pg_temp.refused('SELECT partreg.changes_since(NULL, 1)');
ROLLBACK;
-- What another cluster had purged before a restore does not matter to a position
-- of this one, whoever is writing.
BEGIN;
UPDATE partreg.registry SET purged_id = 1, purged_xid = '1000000000', purged_system = 1;
SELECT partreg.feed_position() AS p5 \gset
SELECT count(*) FROM partreg.changes_since(:'p5');
ROLLBACK;
-- A sequence that lags
BEGIN;
SELECT setval('partreg.event_id_seq', 1) IS NOT NULL AS set;
SELECT pg_temp.refused(statement)
FROM (VALUES ('SELECT partreg.feed_position()'), ('SELECT partreg.changes_since(NULL)'),
             (format('SELECT partreg.changed_ranges(%L, %L, %L)', 'feed a', '(,)', :'p0'))) v (statement);
SELECT setval('partreg.event_id_seq', :last_seen + 1000) IS NOT NULL AS set;
ROLLBACK;
-- Who may ask
SET SESSION AUTHORIZATION regress_feed_reader;
SELECT count(*) > 0 AS may FROM partreg.changes_since(partreg.feed_position(), 1, '{x}');
SELECT partreg.changed_ranges('feed a', '(,)', partreg.feed_position());
RESET SESSION AUTHORIZATION;
SELECT partreg.grant_privileges('regress_feed_reader', 'none');
SET SESSION AUTHORIZATION regress_feed_reader;
SELECT partreg.feed_position();

RESET SESSION AUTHORIZATION;
SELECT partreg.drop_source('feed a', :'a2'), partreg.drop_source('feed c', :'a');
SELECT partreg.grant_privileges('regress_feed', 'none');
DROP OWNED BY regress_feed;
DROP ROLE regress_feed, regress_feed_reader;
