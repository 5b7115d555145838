-- coalesce_ranges: whatever the input, byte for byte what range_agg gives.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET datestyle = 'ISO';
SET timezone = 'UTC';

--
-- Cases.  An instant is written as a day of January 2024.  `same` compares
-- the bytes of the two results, not just what they print.
--
CREATE TEMP TABLE coalesce_case (id serial, name text, ranges text[]);
INSERT INTO coalesce_case (name, ranges) VALUES
    -- those of PostgreSQL's tests of range_agg
    ('meeting, and a gap', '{"[01,07)","[07,14)","[20,22)"}'),
    ('a single one', '{"[01,03)"}'),
    ('one NULL', '{NULL}'),
    ('two NULLs', '{NULL,NULL}'),
    ('NULL and another', '{NULL,"[01,03)"}'),
    ('overlap', '{"[01,07)","[05,10)"}'),
    ('meeting, no gap', '{"[01,07)","[07,14)"}'),
    ('one empty', '{empty}'),
    -- those of its tests of ranges and multiranges: bounds, order, nesting
    ('two empty', '{empty,empty}'),
    ('empty and NULL', '{empty,NULL}'),
    ('empty and another', '{empty,"[01,03)"}'),
    ('no rows', '{}'),
    ('[ ] beside [ ]', '{"[01,02]","[02,03]"}'),
    ('[ ] beside ( ]', '{"[01,02]","(02,03]"}'),
    ('[ ) beside [ ]', '{"[01,02)","[02,03]"}'),
    ('[ ) beside ( ]: a hole', '{"[01,02)","(02,03]"}'),
    ('the hole, filled', '{"[01,02)","(02,03]","[02,02]"}'),
    ('the hole, filled by other ends', '{"[01,02)","(02,03]","(01,02]"}'),
    ('( ] beside ( )', '{"(01,02]","(02,03)"}'),
    ('single instants', '{"[01,01]","[03,03]","[02,02]"}'),
    ('an instant at the end', '{"[01,02)","[02,02]"}'),
    ('an instant at the start', '{"(01,02)","[01,01]"}'),
    ('same instants, all four kinds', '{"(01,02)","(01,02]","[01,02)","[01,02]"}'),
    ('same start', '{"[01,03)","[01,02)","[01,04)"}'),
    ('same start, in and out', '{"(01,02)","[01,02)"}'),
    ('same end, in and out', '{"[01,02]","[01,02)"}'),
    ('nested', '{"[01,09)","[02,03)","[05,06]"}'),
    ('repeated', '{"[01,02)","[01,02)","[01,02)"}'),
    ('backwards', '{"[05,06)","[03,04)","[01,02)"}'),
    ('backwards, meeting', '{"[03,04)","[02,03)","[01,02)"}'),
    ('a late one bridges', '{"[01,02)","[03,04)","[05,06)","[02,05)"}'),
    ('a late one covers all', '{"[03,04)","[05,06)","(,)"}'),
    ('unbounded below', '{"(,02)","[04,05)"}'),
    ('unbounded above', '{"[01,02)","[04,)"}'),
    ('unbounded at both ends', '{"(,02)","[04,)"}'),
    ('unbounded, meeting', '{"(,02)","[02,)"}'),
    ('unbounded, all but an instant', '{"(,02)","(02,)"}'),
    ('everything', '{"(,)"}'),
    ('everything twice', '{"(,)","(,)"}'),
    ('unbounded is not inclusive', '{"[,02]","[02,]"}'),
    ('infinity is an instant', '{"[04,infinity)","[infinity,infinity]"}'),
    ('infinity is not unbounded', '{"[04,infinity]","(infinity,)"}'),
    ('beyond infinity, a hole', '{"[04,infinity)","(infinity,)"}'),
    ('-infinity is an instant', '{"[-infinity,02)","(,-infinity)"}'),
    ('before -infinity, a hole', '{"(-infinity,02)","(,-infinity)"}'),
    ('from -infinity to infinity', '{"(-infinity,infinity)","[-infinity,-infinity]"}'),
    ('outermost', '{"(,-infinity)","(infinity,)"}'),
    ('many, in order', '{"[01,02)","[03,04)","[05,06)","[07,08)","[09,10)","[11,12)"}'),
    ('many, some unbounded', '{"(,01)","(03,04)","(05,06]","[07,08)","[09,10]","[11,12)","[13,14)","[15,16)","[17,)"}');

CREATE TEMP TABLE coalesce_row AS
SELECT id, name, ord,
    regexp_replace(text, '(\d\d)', '2024-01-\1', 'g')::tstzrange AS during
FROM coalesce_case
LEFT JOIN LATERAL unnest(ranges) WITH ORDINALITY AS u(text, ord) ON true;

SELECT name,
    regexp_replace(
        regexp_replace(mine::text, '"?2024-01-(\d\d) 00:00:00\+00"?', '\1', 'g'),
        '^$', 'NULL') AS coalesce_ranges,
    record_image_eq(ROW(mine), ROW(theirs)) AS same
FROM (
    SELECT id, name,
        partreg.coalesce_ranges(during ORDER BY ord) FILTER (WHERE ord IS NOT NULL) AS mine,
        range_agg(during ORDER BY ord) FILTER (WHERE ord IS NOT NULL) AS theirs
    FROM coalesce_row
    GROUP BY id, name
) AS s
ORDER BY id;

-- the same, whatever the order of the rows
SELECT ordering, count(*) AS cases, count(*) FILTER (WHERE NOT same) AS differ
FROM (
    SELECT ordering, id,
        record_image_eq(ROW(partreg.coalesce_ranges(during ORDER BY md5(ord::text || ordering))),
                        ROW(range_agg(during))) AS same
    FROM coalesce_row, generate_series(1, 5) AS ordering
    GROUP BY ordering, id
) AS s
GROUP BY ordering
ORDER BY ordering;

-- microseconds: (a,b] is not [a+1us,b+1us), and stays apart from it
SELECT partreg.coalesce_ranges(r), range_agg(r)
FROM (VALUES
    ('[2024-01-01 00:00:00, 2024-01-01 00:00:01]'::tstzrange),
    ('[2024-01-01 00:00:01.000001, 2024-01-01 00:00:02)')) AS v(r);

-- first and last instants that there are
SELECT partreg.coalesce_ranges(r), record_image_eq(ROW(partreg.coalesce_ranges(r)), ROW(range_agg(r))) AS same
FROM (VALUES
    ('[4714-11-24 00:00:00 BC, 0001-01-01 BC)'::tstzrange),
    ('[294276-12-31 23:59:59.999999, 294276-12-31 23:59:59.999999]'),
    ('(294276-12-31 23:59:59.999999, infinity)')) AS v(r);

-- no rows at all
SELECT partreg.coalesce_ranges(r) IS NULL AS "null" FROM (SELECT '(,)'::tstzrange WHERE false) AS v(r);

-- nothing is found by the search path
SET search_path = '';
SELECT partreg.coalesce_ranges('[2024-01-01,2024-01-02)'::pg_catalog.tstzrange);
RESET search_path;

--
-- Used as aggregates are
--
CREATE TEMP TABLE coalesce_hour AS
SELECT h, h % 3 AS provider,
    tstzrange('2024-01-01'::timestamptz + h * interval '1 hour',
              '2024-01-01'::timestamptz + (h + 1) * interval '1 hour') AS during
FROM generate_series(0, 11) AS h;

SELECT provider, partreg.coalesce_ranges(during) = range_agg(during) AS same,
    range_agg(during) FILTER (WHERE h < 4) = partreg.coalesce_ranges(during) FILTER (WHERE h < 4) AS same_filtered,
    range_agg(DISTINCT during) = partreg.coalesce_ranges(DISTINCT during) AS same_distinct,
    partreg.coalesce_ranges(during) FILTER (WHERE h > 11) IS NULL AS null_if_none
FROM coalesce_hour
GROUP BY ROLLUP (provider)
ORDER BY provider;

-- growing and sliding frames: results in between do not disturb
SELECT count(*) AS frames, bool_and(grown = grown_theirs) AS grown, bool_and(back = back_theirs) AS backwards,
    bool_and(slid = slid_theirs) AS slid, bool_and(odd = odd_theirs) AS by_turns
FROM (
    SELECT
        partreg.coalesce_ranges(during) OVER up AS grown, range_agg(during) OVER up AS grown_theirs,
        partreg.coalesce_ranges(during) OVER down AS back, range_agg(during) OVER down AS back_theirs,
        partreg.coalesce_ranges(during) OVER slide AS slid, range_agg(during) OVER slide AS slid_theirs,
        partreg.coalesce_ranges(during) OVER turns AS odd, range_agg(during) OVER turns AS odd_theirs
    FROM coalesce_hour
    WINDOW up AS (ORDER BY h), down AS (ORDER BY h DESC), turns AS (ORDER BY provider, h % 2, h),
        slide AS (ORDER BY h ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW)
) AS s;

--
-- Random sets: a million of a few ranges each from 16 instants, infinity among
-- them, all kinds of bounds, empty and NULL too; in chunks, to bound memory.
--
CREATE TEMP TABLE coalesce_random (chunk int, sets bigint, differ bigint);
CREATE FUNCTION pg_temp.compare_random_sets(chunk int, sets int, rows_each int, instants int) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO coalesce_random
    SELECT chunk, count(*), count(*) FILTER (WHERE NOT record_image_eq(ROW(mine), ROW(theirs)))
    FROM (
        SELECT partreg.coalesce_ranges(during) AS mine, range_agg(during) AS theirs
        FROM (
            SELECT set,
                CASE WHEN kind < 0.03 THEN NULL
                     WHEN kind < 0.06 THEN tstzrange(NULL, at[least(a, b)], bounds[c])
                     WHEN kind < 0.09 THEN tstzrange(at[greatest(a, b)], NULL, bounds[c])
                     ELSE tstzrange(at[least(a, b)], at[greatest(a, b)], bounds[c])
                END AS during
            FROM (
                SELECT floor(random() * sets) AS set, random() AS kind,
                    ceil(random() * instants)::int AS a, ceil(random() * instants)::int AS b,
                    ceil(random() * 4)::int AS c
                FROM generate_series(1, sets * rows_each)
            ) AS dice,
            (
                SELECT array_agg(CASE i WHEN 1 THEN '-infinity' WHEN instants THEN 'infinity'
                                 ELSE '2024-01-01'::timestamptz + i * interval '1us' END) AS at
                FROM generate_series(1, instants) AS i
            ) AS clock,
            (VALUES ('{[),[],(],()}'::text[])) AS four(bounds)
        ) AS rows
        GROUP BY set
    ) AS results;
$$;

SELECT setseed(0.3);
DO $$
DECLARE
    -- as valgrind makes the server
    slow CONSTANT boolean := coalesce(current_setting('regress.slow', true), 'off') = 'on';
BEGIN
    FOR chunk IN 1..50 LOOP
        PERFORM pg_temp.compare_random_sets(chunk, CASE WHEN slow THEN 220 ELSE 22000 END, 3, 16);
    END LOOP;
    -- fewer and larger ones, whose states grow and are merged many times
    FOR chunk IN 51..54 LOOP
        PERFORM pg_temp.compare_random_sets(chunk, 40, CASE WHEN slow THEN 200 ELSE 2000 END, 10000);
    END LOOP;
END
$$;
SELECT sum(sets) FILTER (WHERE chunk <= 50) >= CASE current_setting('regress.slow', true) WHEN 'on' THEN 10000 ELSE 1000000 END AS a_million,
    sum(sets) FILTER (WHERE chunk > 50) AS large, sum(differ) AS differ
FROM coalesce_random;

--
-- Order and memory.  A hash aggregate tells how much its groups take.
--
CREATE TABLE coalesce_minute AS
SELECT 1 AS one, m % 10 AS last_digit, m, tstzrange('2024-01-01'::timestamptz + m * interval '1 minute',
                    '2024-01-01'::timestamptz + (m + 1) * interval '1 minute') AS during
FROM generate_series(0, 99999) AS m
ORDER BY hashint4(m);
ANALYZE coalesce_minute;

CREATE FUNCTION pg_temp.peak_memory_kb(query text) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT json) ' || query INTO plan;
    IF plan -> 0 -> 'Plan' ->> 'Strategy' <> 'Hashed' THEN
        RAISE EXCEPTION 'not a hash aggregate: %', plan;
    END IF;
    RETURN plan -> 0 -> 'Plan' ->> 'Peak Memory Usage';
END
$$;

SET enable_sort = off;
SET work_mem = '100MB';
SET max_parallel_workers_per_gather = 0;

-- in kB; the smallest hash aggregate has 24
SELECT
    pg_temp.peak_memory_kb('SELECT partreg.coalesce_ranges(during) FROM
        (SELECT * FROM coalesce_minute ORDER BY m) AS s GROUP BY one') < 64 AS in_order,
    pg_temp.peak_memory_kb('SELECT partreg.coalesce_ranges(during) FROM
        (SELECT * FROM coalesce_minute ORDER BY m DESC) AS s GROUP BY one') < 64 AS backwards,
    pg_temp.peak_memory_kb('SELECT partreg.coalesce_ranges(during) FROM
        (SELECT * FROM coalesce_minute ORDER BY m % 10000, m) AS s GROUP BY one') < 64 AS ten_by_turns,
    pg_temp.peak_memory_kb('SELECT range_agg(during) FROM coalesce_minute GROUP BY one') > 5000 AS range_agg_grows;

SELECT ordering, record_image_eq(ROW(mine), ROW(theirs)) AS same, (SELECT count(*) FROM unnest(mine)) AS ranges
FROM (
    SELECT 'in order' AS ordering, partreg.coalesce_ranges(during ORDER BY m) AS mine, range_agg(during) AS theirs
    FROM coalesce_minute
    UNION ALL
    SELECT 'backwards', partreg.coalesce_ranges(during ORDER BY m DESC), range_agg(during)
    FROM coalesce_minute
    UNION ALL
    SELECT 'shuffled', partreg.coalesce_ranges(during ORDER BY hashint4(m)), range_agg(during)
    FROM coalesce_minute
    UNION ALL
    SELECT 'shuffled, with gaps', partreg.coalesce_ranges(during ORDER BY hashint4(m)), range_agg(during)
    FROM coalesce_minute WHERE m % 3 <> 0
) AS s;

RESET enable_sort;
RESET work_mem;
RESET max_parallel_workers_per_gather;

-- a range that lies within what a full state has become by making room
SELECT partreg.coalesce_ranges(r ORDER BY i) = range_agg(r) AS same
FROM (
    SELECT i, tstzrange(lower, lower + interval '1 hour') AS r
    FROM generate_series(1, 31) AS i, LATERAL (SELECT '2024-01-01'::timestamptz + i * interval '1 day' AS lower) AS l
    UNION ALL SELECT 32, '(,)'
    UNION ALL SELECT 33, '[2024-01-10,2024-01-11)'
) AS s;

--
-- In parallel
--
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;

SET parallel_leader_participation = off;

EXPLAIN (COSTS OFF)
SELECT partreg.coalesce_ranges(during) FROM coalesce_minute;
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END
$$;
SELECT count(*) AS partial FROM pg_temp.plan_of(
    'SELECT last_digit, partreg.coalesce_ranges(during) FROM coalesce_minute GROUP BY last_digit') AS line
WHERE line LIKE '%Partial %Aggregate';

CREATE TEMP TABLE coalesce_parallel AS
SELECT
    partreg.coalesce_ranges(during) AS everything,
    partreg.coalesce_ranges(during) FILTER (WHERE m % 5 < 3) AS gaps,
    partreg.coalesce_ranges(during) FILTER (WHERE m < 0) AS nothing,
    partreg.coalesce_ranges(during) FILTER (WHERE m = 77) AS of_one_worker,
    partreg.coalesce_ranges(CASE WHEN m < 0 THEN during END) AS nulls,
    partreg.coalesce_ranges(during * 'empty') AS empties
FROM coalesce_minute;
CREATE TEMP TABLE coalesce_parallel_group AS
SELECT last_digit, partreg.coalesce_ranges(during) AS mine FROM coalesce_minute GROUP BY last_digit;

SET max_parallel_workers_per_gather = 0;
SELECT
    record_image_eq(ROW(p.everything), ROW(t.everything)) AS everything,
    record_image_eq(ROW(p.gaps), ROW(t.gaps)) AS gaps,
    record_image_eq(ROW(p.nothing), ROW(t.nothing)) AS nothing,
    record_image_eq(ROW(p.of_one_worker), ROW(t.of_one_worker)) AS of_one_worker,
    record_image_eq(ROW(p.nulls), ROW(t.nulls)) AS nulls,
    record_image_eq(ROW(p.empties), ROW(t.empties)) AS empties
FROM coalesce_parallel AS p,
(
    SELECT
        range_agg(during) AS everything,
        range_agg(during) FILTER (WHERE m % 5 < 3) AS gaps,
        range_agg(during) FILTER (WHERE m < 0) AS nothing,
        range_agg(during) FILTER (WHERE m = 77) AS of_one_worker,
        range_agg(CASE WHEN m < 0 THEN during END) AS nulls,
        range_agg(during * 'empty') AS empties
    FROM coalesce_minute
) AS t;
SELECT count(*) AS groups, count(*) FILTER (WHERE NOT record_image_eq(ROW(mine), ROW(theirs))) AS differ
FROM coalesce_parallel_group
JOIN (SELECT last_digit, range_agg(during) AS theirs FROM coalesce_minute GROUP BY 1) AS t USING (last_digit);

DROP TABLE coalesce_minute;

--
-- Its parts are nobody's business
--
SELECT count(*) AS functions,
    count(*) FILTER (WHERE has_function_privilege('public', oid, 'EXECUTE')) AS open_to_public
FROM pg_proc
WHERE pronamespace = 'partreg'::regnamespace AND proname LIKE '%coalesce\_ranges%';

-- and cannot be called: nobody can write a value of type internal
DO $$
BEGIN
    PERFORM partreg._coalesce_ranges_deserialize('\x00', NULL);
    RAISE NOTICE 'called';
EXCEPTION WHEN undefined_function OR feature_not_supported THEN    -- as minor versions have it
    RAISE NOTICE 'refused';
END $$;
