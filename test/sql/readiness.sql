-- check_readiness: exactly right where the original service was wrong.  Time
-- is in hours of 2024-01-01.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_readiness_team;
CREATE ROLE regress_readiness_reader;
SELECT partreg.grant_privileges('regress_readiness_team', 'admin');
SELECT partreg.grant_privileges('regress_readiness_reader', 'reader');
SET SESSION AUTHORIZATION regress_readiness_team;

CREATE FUNCTION pg_temp.hours(a numeric, b numeric) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 hour', t + b * interval '1 hour')
    FROM (SELECT timestamptz '2024-01-01 00:00+00') x (t)
$$;
-- The provider supplies [a, b).
CREATE FUNCTION pg_temp.supply(source text, provider text, token text, a numeric, b numeric) RETURNS boolean LANGUAGE sql AS $$
    SELECT partreg.register_partition(source, provider, pg_temp.hours(a, b), token)
       AND partreg.unlock_partition(source, provider, pg_temp.hours(a, b), token)
$$;
-- Ask in both forms, and by what is in the way: all three have to agree.
CREATE FUNCTION pg_temp.ready(source text, a numeric, b numeric) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN (one = two) AND (one = (obstacles = 0)) THEN one::text ELSE 'they differ' END
    FROM (SELECT partreg.check_readiness(source, pg_temp.hours(a, b)),
                 partreg.check_readiness(source, lower(pg_temp.hours(a, b)), upper(pg_temp.hours(a, b))),
                 (SELECT count(*) FROM partreg.explain_readiness(source, pg_temp.hours(a, b)))) x (one, two, obstacles)
$$;

-- Nothing is ready of a source that has nothing.
SELECT partreg.register_source('readiness', 'team') AS source_token \gset
SELECT pg_temp.ready('readiness', 0, 1);
SELECT partreg.register_provider('a', :'source_token') AS a \gset
SELECT pg_temp.ready('readiness', 0, 1);

-- Registered alone makes nothing available, and blocks nothing.
SELECT partreg.register_partition('readiness', 'a', pg_temp.hours(0, 1), :'a');
SELECT pg_temp.ready('readiness', 0, 1);
SELECT partreg.unlock_partition('readiness', 'a', pg_temp.hours(0, 1), :'a');
SELECT partreg.register_partition('readiness', 'a', pg_temp.hours(0, 3), :'a');
SELECT pg_temp.ready('readiness', 0, 1), pg_temp.ready('readiness', 0, 2);

-- Three adjacent ones are ready for the whole, and for any part of it.
SELECT pg_temp.supply('readiness', 'a', :'a', 1, 2), pg_temp.supply('readiness', 'a', :'a', 2, 3);
SELECT a, b, pg_temp.ready('readiness', a, b)
FROM (VALUES (0, 3), (0, 1), (0.5, 2.5), (1.9, 2), (-0.001, 3), (0, 3.001), (-1, 0), (3, 4)) v (a, b);

-- A locked one in the middle is seen, a failed one too; what does not touch
-- it stays ready.
SELECT partreg.lock_partition('readiness', 'a', pg_temp.hours(1, 2), :'a');
SELECT a, b, pg_temp.ready('readiness', a, b)
FROM (VALUES (0, 3), (0, 1), (2, 3), (0, 1.001), (1.999, 3), (1.2, 1.3)) v (a, b);
SELECT partreg.fail_partition('readiness', 'a', pg_temp.hours(1, 2), :'a');
SELECT pg_temp.ready('readiness', 0, 3), pg_temp.ready('readiness', 0, 1), pg_temp.ready('readiness', 2, 3);
SELECT partreg.unlock_partition('readiness', 'a', pg_temp.hours(1, 2), :'a');
SELECT pg_temp.ready('readiness', 0, 3);

-- Nested: the outer one is locked, the inner ones are not; and the other way.
SELECT partreg.lock_partition('readiness', 'a', pg_temp.hours(0, 3), :'a');
SELECT pg_temp.ready('readiness', 1, 2);
SELECT partreg.unlock_partition('readiness', 'a', pg_temp.hours(0, 3), :'a');
SELECT partreg.lock_partition('readiness', 'a', pg_temp.hours(1, 2), :'a');
SELECT pg_temp.ready('readiness', 1, 2), pg_temp.ready('readiness', 0, 1);
SELECT partreg.unlock_partition('readiness', 'a', pg_temp.hours(1, 2), :'a');

-- Nested ones do not hide how far the outer one reaches.
SELECT pg_temp.supply('readiness', 'a', :'a', 10, 20), pg_temp.supply('readiness', 'a', :'a', 11, 12),
       pg_temp.supply('readiness', 'a', :'a', 13, 14), pg_temp.supply('readiness', 'a', :'a', 20, 21);
SELECT pg_temp.ready('readiness', 10, 21), pg_temp.ready('readiness', 15, 21);
-- Inner first, outer later.
SELECT pg_temp.supply('readiness', 'a', :'a', 31, 32), pg_temp.supply('readiness', 'a', :'a', 33, 34),
       pg_temp.supply('readiness', 'a', :'a', 30, 35);
SELECT pg_temp.ready('readiness', 30, 35);
-- Overlapping, in no order.
SELECT pg_temp.supply('readiness', 'a', :'a', 44, 46), pg_temp.supply('readiness', 'a', :'a', 40, 42),
       pg_temp.supply('readiness', 'a', :'a', 41, 45);
SELECT pg_temp.ready('readiness', 40, 46), pg_temp.ready('readiness', 39, 46), pg_temp.ready('readiness', 40, 47);
-- Same start, same end.
SELECT pg_temp.supply('readiness', 'a', :'a', 50, 51), pg_temp.supply('readiness', 'a', :'a', 50, 53),
       pg_temp.supply('readiness', 'a', :'a', 52, 53);
SELECT pg_temp.ready('readiness', 50, 53);

-- A hole of one microsecond, at the end, in the middle; filled by one.
SELECT partreg.register_partition('readiness', 'a', r, :'a') AND partreg.unlock_partition('readiness', 'a', r, :'a') AS supplied
FROM (VALUES (tstzrange '[2024-02-01, 2024-02-02)'), ('(2024-02-02, 2024-02-03)')) v (r);
SELECT r, partreg.check_readiness('readiness', r)
FROM (VALUES (tstzrange '[2024-02-01, 2024-02-03)'), ('[2024-02-01, 2024-02-02)'), ('[2024-02-01, 2024-02-02]'),
             ('(2024-02-02, 2024-02-03)'), ('[2024-02-02, 2024-02-03)'), ('[2024-02-02, 2024-02-02]')) v (r);
SELECT during FROM partreg.explain_readiness('readiness', '[2024-02-01, 2024-02-03)');
SELECT partreg.register_partition('readiness', 'a', '[2024-02-02, 2024-02-02]', :'a'),
       partreg.unlock_partition('readiness', 'a', '[2024-02-02, 2024-02-02]', :'a');
SELECT partreg.check_readiness('readiness', '[2024-02-01, 2024-02-03)');

-- Several providers under "any": together they fill it.
SELECT partreg.register_provider('b', :'source_token') AS b \gset
SELECT pg_temp.supply('readiness', 'a', :'a', 100, 101), pg_temp.supply('readiness', 'b', :'b', 101, 102),
       pg_temp.supply('readiness', 'a', :'a', 102, 103), pg_temp.supply('readiness', 'b', :'b', 102.5, 104);
SELECT pg_temp.ready('readiness', 100, 104), pg_temp.ready('readiness', 100, 104.5);
-- A lock of either blocks, though the other has supplied the same.
SELECT pg_temp.supply('readiness', 'b', :'b', 100, 101);
SELECT partreg.lock_partition('readiness', 'b', pg_temp.hours(100, 101), :'b');
SELECT pg_temp.ready('readiness', 100, 101), pg_temp.ready('readiness', 101, 104);
SELECT partreg.unlock_partition('readiness', 'b', pg_temp.hours(100, 101), :'b');
-- A partition that was never unlocked blocks while locked or failed.
SELECT partreg.register_partition('readiness', 'b', pg_temp.hours(100, 104), :'b'),
       partreg.lock_partition('readiness', 'b', pg_temp.hours(100, 104), :'b');
SELECT pg_temp.ready('readiness', 100, 101);
SELECT partreg.unlock_partition('readiness', 'b', pg_temp.hours(100, 104), :'b');

-- Many alternating providers, more than the search leaps between.
SELECT count(pg_temp.supply('readiness', CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END, CASE n % 2 WHEN 0 THEN :'a' ELSE :'b' END, n, n + 1))
FROM generate_series(200, 260) n;
SELECT pg_temp.ready('readiness', 200, 261), pg_temp.ready('readiness', 200, 262), pg_temp.ready('readiness', 199, 261);

-- Under "all" both have to, each for all of it.
SELECT partreg.set_readiness_rule('readiness', 'all', :'source_token');
SELECT a, b, pg_temp.ready('readiness', a, b)
FROM (VALUES (100, 101), (101, 102), (102, 102.5), (102.5, 103), (102.5, 103.5), (100, 104), (200, 201)) v (a, b);

-- Each is asked for its effective range alone.
SELECT partreg.set_effective('readiness', 'a', pg_temp.hours(100, 101), :'source_token');
SELECT a, b, pg_temp.ready('readiness', a, b)
FROM (VALUES (100, 101), (101, 102), (100, 102), (101, 104), (100, 104)) v (a, b);
SELECT partreg.set_effective('readiness', 'b', tstzrange(upper(pg_temp.hours(0, 101)), NULL), :'source_token');
SELECT a, b, pg_temp.ready('readiness', a, b)
FROM (VALUES (100, 101), (101, 102), (100, 104), (100, 104.001), (99, 101), (44, 46)) v (a, b);
-- Asked for nothing, nobody has to; somebody must have supplied it still.
SELECT partreg.set_effective('readiness', 'a', 'empty', :'source_token'),
       partreg.set_effective('readiness', 'b', 'empty', :'source_token');
SELECT a, b, pg_temp.ready('readiness', a, b)
FROM (VALUES (100, 104), (200, 261), (0, 3), (3, 4), (60, 61)) v (a, b);
-- The same where somebody is asked for the first part, or the last one, alone.
SELECT partreg.set_effective('readiness', 'a', pg_temp.hours(100, 101), :'source_token');
SELECT a, b, pg_temp.ready('readiness', a, b)
FROM (VALUES (100, 104), (100, 105), (99, 101)) v (a, b);
SELECT partreg.set_effective('readiness', 'a', 'empty', :'source_token');
-- A new provider is asked for all of time, history too.
SELECT partreg.register_provider('c', :'source_token', NULL) AS c \gset
SELECT pg_temp.ready('readiness', 0, 3), pg_temp.ready('readiness', 200, 261);
SELECT pg_temp.supply('readiness', 'c', :'c', 0, 2);
SELECT pg_temp.ready('readiness', 0, 2), pg_temp.ready('readiness', 0, 3);
-- Back under "any" it does not matter.
SELECT partreg.set_readiness_rule('readiness', 'any', :'source_token');
SELECT pg_temp.ready('readiness', 0, 3), pg_temp.ready('readiness', 200, 261);

-- Sources have nothing to do with each other.
SELECT partreg.register_source('readiness too', 'team', 'all') AS other_token \gset
SELECT partreg.register_provider('a', :'other_token') AS other_a \gset
SELECT pg_temp.ready('readiness too', 0, 1);
SELECT pg_temp.supply('readiness too', 'a', :'other_a', 0, 1);
SELECT partreg.lock_partition('readiness too', 'a', pg_temp.hours(0, 1), :'other_a');
SELECT pg_temp.ready('readiness', 0, 1), pg_temp.ready('readiness too', 0, 1);
SELECT partreg.unlock_partition('readiness too', 'a', pg_temp.hours(0, 1), :'other_a');
SELECT pg_temp.ready('readiness too', 0, 1), pg_temp.ready('readiness too', 0, 2);

-- A long row of spans of each provider, not joined yet.
SELECT partreg.register_source('readiness long', 'team', 'all') AS long_token \gset
SELECT partreg.register_provider('a', :'long_token') AS long_a \gset
SELECT partreg.register_provider('b', :'long_token') AS long_b \gset
SELECT partreg.register_provider('c', :'long_token', NULL, 'empty') AS long_c \gset
SELECT count(pg_temp.supply('readiness long', 'a', :'long_a', n, n + 1)), count(pg_temp.supply('readiness long', 'b', :'long_b', n + 0.5, n + 1.5))
FROM generate_series(0, 199) n;
SELECT a, b, pg_temp.ready('readiness long', a, b)
FROM (VALUES (0.5, 200), (0, 200), (0.5, 200.5), (0.5, 1), (99, 101), (1, 199)) v (a, b);
SELECT partreg.lock_partition('readiness long', 'a', pg_temp.hours(150, 151), :'long_a');
SELECT pg_temp.ready('readiness long', 0.5, 200), pg_temp.ready('readiness long', 0.5, 150), pg_temp.ready('readiness long', 151, 200);
SELECT partreg.unlock_partition('readiness long', 'a', pg_temp.hours(150, 151), :'long_a'),
       partreg.retire_partition('readiness long', 'b', pg_temp.hours(150.5, 151.5), :'long_b');
SELECT pg_temp.ready('readiness long', 0.5, 200), pg_temp.ready('readiness long', 0.5, 150.5), pg_temp.ready('readiness long', 151.5, 200);
SELECT partreg.set_readiness_rule('readiness long', 'any', :'long_token');
SELECT pg_temp.ready('readiness long', 0, 200.5), pg_temp.ready('readiness long', 0, 201);
-- Those that come later join them, before and after; nothing else changes.
SELECT count(partreg.retire_partition('readiness long', 'b', pg_temp.hours(n + 0.5, n + 1.5), :'long_b')) FROM generate_series(0, 199) n WHERE n <> 150;
SELECT pg_temp.supply('readiness long', 'a', :'long_a', 200, 201), pg_temp.supply('readiness long', 'a', :'long_a', -1, 0);
SELECT pg_temp.supply('readiness long', 'a', :'long_a', 201, 202), pg_temp.supply('readiness long', 'a', :'long_a', -2, -1);
SELECT a, b, pg_temp.ready('readiness long', a, b)
FROM (VALUES (-2, 202), (-2.5, 202), (-2, 202.5), (20, 50), (168, 201), (-1, 40)) v (a, b);
SELECT partreg.retire_partition('readiness long', 'a', pg_temp.hours(10, 11), :'long_a'), partreg.retire_partition('readiness long', 'a', pg_temp.hours(190, 191), :'long_a');
SELECT a, b, pg_temp.ready('readiness long', a, b)
FROM (VALUES (-2, 10), (11, 190), (191, 202), (9.5, 10.5), (10.5, 11.5), (189.5, 190.5)) v (a, b);
SELECT * FROM partreg.verify('readiness long');

-- The answer is of now: what changes within a function is seen by it.
DO $$
DECLARE
    token text := partreg.register_provider('do', partreg.register_source('readiness do', 'team'));
    during tstzrange := pg_temp.hours(0, 1);
BEGIN
    ASSERT NOT partreg.check_readiness('readiness do', during);
    PERFORM partreg.register_partition('readiness do', 'do', during, token);
    FOR i IN 1 .. 3 LOOP
        PERFORM partreg.unlock_partition('readiness do', 'do', during, token);
        ASSERT partreg.check_readiness('readiness do', during);
        PERFORM partreg.lock_partition('readiness do', 'do', during, token);
        ASSERT NOT partreg.check_readiness('readiness do', during);
    END LOOP;
    PERFORM partreg.unlock_partition('readiness do', 'do', during, token);
    ASSERT partreg.check_readiness('readiness do', during);
    PERFORM partreg.retire_partition('readiness do', 'do', during, token);
    ASSERT NOT partreg.check_readiness('readiness do', during);
END;
$$;

-- A rollback takes back what was told, also within a transaction.
BEGIN;
SELECT partreg.lock_partition('readiness', 'a', pg_temp.hours(0, 1), :'a');
SAVEPOINT s;
SELECT partreg.unlock_partition('readiness', 'a', pg_temp.hours(0, 1), :'a');
SELECT pg_temp.ready('readiness', 0, 1);
ROLLBACK TO s;
SELECT pg_temp.ready('readiness', 0, 1);
ROLLBACK;
SELECT pg_temp.ready('readiness', 0, 1);
BEGIN;
SELECT pg_temp.supply('readiness', 'a', :'a', 3, 4);
SELECT pg_temp.ready('readiness', 0, 4);
ROLLBACK;
SELECT pg_temp.ready('readiness', 0, 4);

-- A reader may ask, in a read-only transaction too, and changes nothing by it.
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_readiness_reader;
BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY;
SELECT pg_temp.ready('readiness', 0, 3), pg_temp.ready('readiness', 0, 4);
SELECT partreg.assert_ready('readiness', pg_temp.hours(0, 3));
SELECT pg_current_xact_id_if_assigned();
COMMIT;

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_readiness_team, regress_readiness_reader;
DROP ROLE regress_readiness_team, regress_readiness_reader;
