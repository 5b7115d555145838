-- timeline: a picture.  Time is in hours of 2024-01-01, unless said otherwise.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'America/New_York';
SET datestyle = 'ISO';
SET client_encoding = 'UTF8';

CREATE ROLE regress_timeline;
CREATE ROLE regress_timeline_reader;
SELECT partreg.grant_privileges('regress_timeline', 'admin');
SELECT partreg.grant_privileges('regress_timeline_reader', 'reader');

CREATE FUNCTION pg_temp.hours(a numeric, b numeric) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 hour', t + b * interval '1 hour')
    FROM (SELECT timestamptz '2024-01-01 00:00+00') x (t)
$$;
GRANT EXECUTE ON FUNCTION pg_temp.hours TO PUBLIC;
SET SESSION AUTHORIZATION regress_timeline;

-- A source without providers has a lane all the same.
SELECT partreg.register_source('timeline', 'team') AS source_token \gset
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12));

-- Each state, at a cell an hour; deadlines below.
SELECT partreg.register_provider('a', :'source_token') AS a \gset
SELECT partreg.register_partitions('timeline', 'a', pg_temp.hours(0, 10), '1 hour', :'a');
SELECT partreg.unlock_partitions('timeline', 'a', pg_temp.hours(0, 8), :'a');
SELECT partreg.lock_partitions('timeline', 'a', pg_temp.hours(2, 4), :'a', 'job'),
       partreg.fail_partition('timeline', 'a', pg_temp.hours(4, 5), :'a'),
       partreg.lock_partition('timeline', 'a', pg_temp.hours(9, 10), :'a', 'job');
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), 21);

-- Another provider fills what this one lacks, and has its own troubles.  What
-- it has registered over what is available does not show in either lane.
SELECT partreg.register_provider('b-2', :'source_token') AS b \gset
SELECT partreg.register_partition('timeline', 'b-2', pg_temp.hours(8, 9), :'b'),
       partreg.unlock_partition('timeline', 'b-2', pg_temp.hours(8, 9), :'b'),
       partreg.register_partition('timeline', 'b-2', pg_temp.hours(8, 11), :'b'),
       partreg.register_partition('timeline', 'b-2', pg_temp.hours(0, 1), :'b');
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), 21);

-- Under "all" together shows what anybody asked lacks; who is not effective is
-- not asked.
SELECT partreg.set_readiness_rule('timeline', 'all', :'source_token'),
       partreg.set_effective('timeline', 'b-2', pg_temp.hours(8, 100), :'source_token');
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), 21);

-- Late is what was never unlocked and is past its end and the deadline.
RESET SESSION AUTHORIZATION;
UPDATE partreg.provider SET deadline = '2 hours' WHERE name IN ('a', 'b-2');
SET SESSION AUTHORIZATION regress_timeline;
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), 21);
-- Not yet: two hours that have just ended, and the two after them.
SELECT date_trunc('hour', now()) - interval '2 hours' AS hour \gset
SELECT partreg.register_partitions('timeline', 'b-2', tstzrange(:'hour', :'hour'::timestamptz + interval '4 hours'), '2 hours', :'b');
SELECT regexp_replace(line, '[^!░]', '', 'g') AS not_late
  FROM partreg.timeline('timeline', tstzrange(:'hour', :'hour'::timestamptz + interval '4 hours'), 20) line
 WHERE line LIKE 'b-2%';
RESET SESSION AUTHORIZATION;
UPDATE partreg.provider SET deadline = '0' WHERE name IN ('a', 'b-2');
SET SESSION AUTHORIZATION regress_timeline;
SELECT DISTINCT regexp_replace(line, '[^!░]', '', 'g') AS one_is_late
  FROM partreg.timeline('timeline', tstzrange(:'hour', :'hour'::timestamptz + interval '4 hours'), 20) line
 WHERE line LIKE 'b-2%';
-- One that never ends in time has a due time beyond all time.
RESET SESSION AUTHORIZATION;
UPDATE partreg.provider SET deadline = '100000000 days' WHERE name IN ('a', 'b-2');
SET SESSION AUTHORIZATION regress_timeline;
SELECT count(*) AS late FROM partreg.timeline('timeline', pg_temp.hours(0, 12), 21) line WHERE line LIKE '%!%';
RESET SESSION AUTHORIZATION;
UPDATE partreg.provider SET deadline = NULL WHERE name IN ('a', 'b-2');
SET SESSION AUTHORIZATION regress_timeline;

-- What the calendar expects and nobody registered is late, not closed ranges.
SELECT partreg.register_source('expected', 'team') AS expected_token \gset
SELECT partreg.register_provider('p', :'expected_token') AS e \gset
SELECT partreg.set_calendar('expected', 'p', '1 hour', '2024-01-01 02:00+00', :'expected_token',
                            closed => '{[2024-01-01 06:00+00, 2024-01-01 08:00+00)}'),
       partreg.set_deadline('expected', 'p', '0', :'expected_token');
SELECT partreg.register_partition('expected', 'p', pg_temp.hours(3, 5), :'e'),
       partreg.unlock_partition('expected', 'p', pg_temp.hours(3, 5), :'e');
SELECT partreg.timeline('expected', pg_temp.hours(0, 12), 21);

-- A microsecond is enough to show: a cell shows the worst of what is in it.
SELECT partreg.register_source('moment', 'team') AS moment_token \gset
SELECT partreg.register_provider('p', :'moment_token') AS m \gset
SELECT partreg.register_partition('moment', 'p', pg_temp.hours(0, 12), :'m'),
       partreg.unlock_partition('moment', 'p', pg_temp.hours(0, 12), :'m');
SELECT partreg.register_partition('moment', 'p', '[2024-01-01 03:00+00, 2024-01-01 03:00:00.000001+00)', :'m'),
       partreg.fail_partition('moment', 'p', '[2024-01-01 03:00+00, 2024-01-01 03:00:00.000001+00)', :'m');
SELECT partreg.register_partition('moment', 'p', '[2024-01-01 05:59:59.999999+00, 2024-01-01 06:00+00)', :'m'),
       partreg.lock_partition('moment', 'p', '[2024-01-01 05:59:59.999999+00, 2024-01-01 06:00+00)', :'m');
SELECT partreg.timeline('moment', pg_temp.hours(0, 12), 21);
-- Fewer microseconds than cells.
SELECT partreg.timeline('moment', '[2024-01-01 02:59:59.999999+00, 2024-01-01 03:00:00.000003+00)', 24);

-- Against explain_readiness and the partitions, cell by cell, whatever the
-- width: what overlaps a cell, rounded outwards to microseconds, is in it.
CREATE FUNCTION pg_temp.worst(states text[]) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN 'failed' = ANY (states) THEN '✗' WHEN 'locked' = ANY (states) THEN '▒'
                WHEN 'missing' = ANY (states) THEN '·' WHEN 'registered' = ANY (states) THEN '░' ELSE '█' END
$$;
CREATE FUNCTION pg_temp.wrong_cells(source text, during tstzrange, width integer) RETURNS bigint LANGUAGE sql AS $$
    WITH cell AS (
        SELECT i, tstzrange(lower(during) + floor(i * l / n) * interval '1 microsecond',
                            lower(during) + ceil((i + 1) * l / n) * interval '1 microsecond') AS piece
          FROM (SELECT width - 9 AS n, extract(epoch FROM upper(during) - lower(during)) * 1000000 AS l) x,
               generate_series(0, n - 1) i)
    SELECT count(*)
      FROM cell,
           (SELECT line FROM partreg.timeline(source, during, width) line WHERE line LIKE 'together%') t
     WHERE substr(line, i + 10, 1) <>
           pg_temp.worst(ARRAY(SELECT o.state FROM partreg.explain_readiness(source, piece) o))
        OR length(line) <> width
$$;
SELECT partreg.set_effective('timeline', 'b-2', '(,)', :'source_token');
SELECT rule, sum(pg_temp.wrong_cells('timeline', pg_temp.hours(0, hours), width)) AS wrong
  FROM unnest(ARRAY['all', 'any']) rule,
       LATERAL (SELECT partreg.set_readiness_rule('timeline', rule, :'source_token')) set_rule,
       generate_series(20, 200, 9) width, unnest(ARRAY[12, 11.3, 0.7, 40]) hours
 GROUP BY rule ORDER BY rule;

-- No line is wider than asked for, from 20 to 200; lanes and axes have all of
-- it.  (There is a blank and a tick that are one column wide.)
SELECT count(*) AS lines, count(*) FILTER (WHERE length(line) > width) AS too_wide,
       count(*) FILTER (WHERE line ~ '^(together|a |b-2)' AND length(line) <> width) AS ragged
  FROM generate_series(20, 200) width, partreg.timeline('timeline', pg_temp.hours(0, 12), width) line;
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), 19);
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), 201);
\set VERBOSITY sqlstate
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), -1);
SELECT partreg.timeline(NULL, pg_temp.hours(0, 12));
SELECT partreg.timeline('timeline', NULL);
SELECT partreg.timeline('timeline', 'empty');
SELECT partreg.timeline('timeline', '[2024-01-01,)');
SELECT partreg.timeline('nobody', pg_temp.hours(0, 12));
\set VERBOSITY default
SELECT count(*) FROM partreg.timeline('timeline', pg_temp.hours(0, 12), NULL) line WHERE length(line) = 72;

-- The axis: UTC, whatever the time zone of the session, at round instants.
SELECT during, width, line
  FROM (VALUES ('2024-01-01 00:00+00', '2024-01-01 00:00:45+00', 72),
               ('2024-01-01 23:40+00', '2024-01-02 00:25+00', 72),
               ('2024-01-01 00:00+00', '2024-01-01 12:00+00', 72),
               ('2024-01-01 00:00+00', '2024-01-01 12:00+00', 20),
               ('2024-01-01 00:00+00', '2024-01-08 00:00+00', 72),
               ('2024-01-01 00:00+00', '2024-02-01 00:00+00', 72),
               ('2024-01-01 00:00+00', '2025-01-01 00:00+00', 72),
               ('2024-01-01 00:00+00', '2025-01-01 00:00+00', 200),
               ('1995-06-01 00:00+00', '2025-01-01 00:00+00', 72),
               ('4714-11-24 00:00+00 BC', '294276-12-31 23:59:59.999999+00', 72)) v (start_at, end_at, width),
       LATERAL tstzrange(start_at::timestamptz, end_at::timestamptz) during,
       LATERAL (SELECT line FROM partreg.timeline('moment', during, width) WITH ORDINALITY t (line, n)
                 WHERE line LIKE '%│%') x;
SELECT partreg.timeline('moment', '[4714-11-24 00:00+00 BC, 294276-12-31 23:59:59.999999+00)', 20);

-- Long names are cut in the middle, wide characters count as they look, and
-- many lanes have an axis on either side.
SELECT partreg.register_source('lanes', 'team') AS lanes_token \gset
SELECT partreg.register_provider(name, :'lanes_token') IS NOT NULL
  FROM unnest(ARRAY['a provider with quite a long name, the first', 'a provider with quite a long name, the second',
                    '日本語の提供者の長い名前', 'straße']) name;
SELECT partreg.timeline('lanes', pg_temp.hours(0, 12), 60);
SELECT partreg.timeline('lanes', pg_temp.hours(0, 12), 20);
-- What ends a line, or turns the direction of what follows, is not passed on.
BEGIN;
SELECT partreg.register_source(U&'turned \202Earound', 'team') AS turned_token \gset
SELECT count(partreg.register_provider('p' || chr(code), :'turned_token'))
  FROM unnest(ARRAY[x'61c', x'200e', x'200f', x'2028', x'2029', x'202a', x'202e', x'2066', x'2069', x'200d', x'2027', x'202f', x'e9']::integer[]) code;
SELECT line FROM partreg.timeline(U&'turned \202Earound', pg_temp.hours(0, 12), 60) line WHERE line ~ '[?]';
SELECT count(*) FILTER (WHERE line ~ U&'[\061C\200E\200F\2028-\202E\2066-\2069]') AS passed_on, count(*) AS lines
  FROM partreg.timeline(U&'turned \202Earound', pg_temp.hours(0, 12), 60) line;
ROLLBACK;
SELECT count(partreg.register_provider('p' || i, :'lanes_token')) FROM generate_series(1, 40) i;
SELECT count(*) FILTER (WHERE line LIKE '%│%') AS axes, count(*) FILTER (WHERE line LIKE 'p%') AS lanes
  FROM partreg.timeline('lanes', pg_temp.hours(0, 12)) line;

-- Plain ASCII where the client cannot do better: what it cannot show is no
-- error.
SET client_encoding = 'LATIN1';
SELECT partreg.timeline('timeline', pg_temp.hours(0, 12), 60);
SELECT count(*) AS not_ascii FROM partreg.timeline('lanes', pg_temp.hours(0, 12)) line WHERE line ~ '[^ -~]';
SELECT line FROM partreg.timeline('lanes', pg_temp.hours(0, 12)) line WHERE line LIKE '%?%';
SET client_encoding = 'UTF8';

-- Unlocked partitions cost nothing, however many; for a reader.
SELECT partreg.register_source('minutes', 'team') AS minutes_token \gset
SELECT partreg.register_provider('p', :'minutes_token') AS minutes \gset
SELECT partreg.register_partitions('minutes', 'p', pg_temp.hours(0, 240), '1 minute', :'minutes');
SELECT partreg.unlock_partitions('minutes', 'p', pg_temp.hours(0, 240), :'minutes');
SET SESSION AUTHORIZATION regress_timeline_reader;
SELECT * FROM partreg.timeline('minutes', pg_temp.hours(0, 240), 40);

RESET SESSION AUTHORIZATION;
SELECT partreg.drop_source(name, token)
  FROM (VALUES ('timeline', :'source_token'), ('moment', :'moment_token'), ('expected', :'expected_token'),
               ('lanes', :'lanes_token'), ('minutes', :'minutes_token')) v (name, token);
SELECT partreg.grant_privileges('regress_timeline', 'none'), partreg.grant_privileges('regress_timeline_reader', 'none');
DROP OWNED BY regress_timeline, regress_timeline_reader;
DROP ROLE regress_timeline, regress_timeline_reader;
