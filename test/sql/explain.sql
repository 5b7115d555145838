-- explain_readiness and assert_ready: what is in the way, piece by piece.
-- Time is in hours of 2024-01-01.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_explain;
SELECT partreg.grant_privileges('regress_explain', 'admin');
SET SESSION AUTHORIZATION regress_explain;

CREATE FUNCTION pg_temp.hours(a numeric, b numeric) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 hour', t + b * interval '1 hour')
    FROM (SELECT timestamptz '2024-01-01 00:00+00') x (t)
$$;
CREATE FUNCTION pg_temp.supply(source text, provider text, token text, a numeric, b numeric) RETURNS boolean LANGUAGE sql AS $$
    SELECT partreg.register_partition(source, provider, pg_temp.hours(a, b), token)
       AND partreg.unlock_partition(source, provider, pg_temp.hours(a, b), token)
$$;
-- The obstacles in [a, b), in their order; since is to be what the partition
-- or its lock says.
CREATE FUNCTION pg_temp.obstacles(source text, a numeric, b numeric)
RETURNS TABLE (piece text, state text, provider text, since text, holder text, lease boolean, reason text) LANGUAGE sql AS $$
    SELECT to_char(lower(o.during), 'HH24:MI - ') || to_char(upper(o.during), 'HH24:MI'), o.state, o.provider_name,
           CASE WHEN o.since IS NULL THEN NULL
                WHEN o.since IN (SELECT l.since FROM partreg.locks l
                                 WHERE (l.source_name, l.provider_name, l.state) = (source, o.provider_name, o.state)) THEN 'lock'
                WHEN o.since IN (SELECT p.registered_at FROM partreg.partitions p
                                 WHERE (p.source_name, p.provider_name, p.state) = (source, o.provider_name, o.state)) THEN 'registration'
                ELSE 'wrong' END,
           o.holder, o.lease_expires_at > o.since, o.reason
    FROM partreg.explain_readiness(source, pg_temp.hours(a, b)) WITH ORDINALITY
         o (during, state, provider_name, since, holder, lease_expires_at, reason, n)
    ORDER BY n
$$;

SELECT partreg.register_source('explain', 'team') AS source_token \gset

-- Without a provider, all is missing.
SELECT * FROM pg_temp.obstacles('explain', 0, 24);

-- Each state as it shows, under "any".  What is locked or failed and was never
-- unlocked is not available besides, and is missing.
SELECT partreg.register_provider('a', :'source_token') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset
SELECT pg_temp.supply('explain', 'a', :'a', 0, 1), pg_temp.supply('explain', 'a', :'a', 1, 2), pg_temp.supply('explain', 'a', :'a', 2, 3);
SELECT partreg.lock_partition('explain', 'a', pg_temp.hours(1, 2), :'a', 'job 1', '1 hour', 'loading again');
SELECT partreg.fail_partition('explain', 'a', pg_temp.hours(2, 3), :'source_token', 'job 2', 'disk full');
SELECT partreg.register_partition('explain', 'a', pg_temp.hours(3, 4), :'a');
SELECT partreg.register_partition('explain', 'a', pg_temp.hours(4, 5), :'a'),
       partreg.lock_partition('explain', 'a', pg_temp.hours(4, 5), :'a', 'job 3');
SELECT partreg.register_partition('explain', 'a', pg_temp.hours(5, 6), :'a'),
       partreg.fail_partition('explain', 'a', pg_temp.hours(5, 6), :'source_token', holder => 'job 4');
SELECT * FROM pg_temp.obstacles('explain', 0, 8);

-- Pieces are cut to the asked range.
SELECT * FROM pg_temp.obstacles('explain', 1.25, 1.75);
SELECT * FROM pg_temp.obstacles('explain', 1.5, 3.5);
SELECT * FROM pg_temp.obstacles('explain', 0, 1);

-- Registered ones are cut to what is not available, each named on its own; a
-- registered one under what is available does not show.
SELECT partreg.register_partition('explain', 'b', pg_temp.hours(0, 1), :'b'),
       partreg.register_partition('explain', 'b', pg_temp.hours(0, 8), :'b'),
       partreg.register_partition('explain', 'a', pg_temp.hours(6, 9), :'a');
SELECT * FROM pg_temp.obstacles('explain', 0, 10);

-- Equal neighbours are merged: those registered by one call at once, but not
-- one that was registered later.
SELECT partreg.register_source('explain merge', 'team') AS merge_token \gset
SELECT partreg.register_provider('a', :'merge_token') AS ma \gset
SELECT partreg.register_provider('b', :'merge_token') AS mb \gset
SELECT pg_temp.supply('explain merge', 'a', :'ma', 2, 3);
SELECT partreg.register_partitions('explain merge', 'a', pg_temp.hours(4, 7), '1 hour', :'ma'),
       partreg.register_partition('explain merge', 'a', pg_temp.hours(7, 8), :'ma');
SELECT * FROM pg_temp.obstacles('explain merge', 0, 10);

-- Under "all" the same for each provider that lacks something, named.
SELECT partreg.set_readiness_rule('explain merge', 'all', :'merge_token');
SELECT * FROM pg_temp.obstacles('explain merge', 0, 10);
SELECT partreg.register_partition('explain merge', 'b', pg_temp.hours(2, 3), :'mb');
SELECT * FROM pg_temp.obstacles('explain merge', 2, 3);
SELECT partreg.unlock_partition('explain merge', 'b', pg_temp.hours(2, 3), :'mb');
SELECT * FROM pg_temp.obstacles('explain merge', 2, 3);
-- A lock of a provider that has not unlocked it: locked, and missing.
SELECT partreg.register_partition('explain merge', 'b', pg_temp.hours(1, 2), :'mb'),
       partreg.lock_partition('explain merge', 'b', pg_temp.hours(1, 2), :'mb', 'job');
SELECT * FROM pg_temp.obstacles('explain merge', 1, 3);
SELECT partreg.unlock_partition('explain merge', 'b', pg_temp.hours(1, 2), :'mb', 'job');

-- Who is not asked lacks nothing; what nobody is asked for and nobody has is
-- missing without a name.
SELECT partreg.set_effective('explain merge', 'a', pg_temp.hours(2, 5), :'merge_token'),
       partreg.set_effective('explain merge', 'b', pg_temp.hours(0, 3), :'merge_token');
SELECT * FROM pg_temp.obstacles('explain merge', 0, 8);

-- Order: by start, end, provider, state.
SELECT partreg.register_source('explain order', 'team') AS order_token \gset
SELECT partreg.register_provider('z', :'order_token') AS z \gset
SELECT partreg.register_provider('B', :'order_token') AS upper_b \gset
SELECT partreg.register_provider('a', :'order_token') AS lower_a \gset
SELECT partreg.register_partition('explain order', 'z', pg_temp.hours(a, b), :'z') FROM (VALUES (1, 3), (1, 2), (0, 3)) v (a, b);
SELECT partreg.register_partition('explain order', 'a', pg_temp.hours(a, b), :'lower_a') FROM (VALUES (1, 3), (1, 2)) v (a, b);
SELECT partreg.register_partition('explain order', 'B', pg_temp.hours(1, 3), :'upper_b');
SELECT * FROM pg_temp.obstacles('explain order', 1, 4);
SELECT partreg.lock_partition('explain order', 'z', pg_temp.hours(1, 2), :'z', 'h'), partreg.fail_partition('explain order', 'a', pg_temp.hours(1, 2), :'order_token', 'h');
SELECT * FROM pg_temp.obstacles('explain order', 1, 2);

-- What a provider's calendar expects is missing by its name, also in the future
-- and without a deadline; what none expects by no name.  Under "all" it changes
-- nothing.
SELECT partreg.register_source('explain calendar', 'team') AS calendar_token \gset
SELECT partreg.register_provider('a', :'calendar_token') AS ca \gset
SELECT partreg.register_provider('b', :'calendar_token', effective => pg_temp.hours(6, 13)) AS cb \gset
SELECT partreg.set_calendar('explain calendar', 'a', '2 hours', lower(pg_temp.hours(0, 1)), :'calendar_token', closed => tstzmultirange(pg_temp.hours(2.5, 3), pg_temp.hours(8, 20))),
       partreg.set_calendar('explain calendar', 'b', '1 hour', lower(pg_temp.hours(0, 1)), :'calendar_token');
SELECT pg_temp.supply('explain calendar', 'a', :'ca', 4, 5), partreg.register_partition('explain calendar', 'b', pg_temp.hours(7, 8), :'cb');
SELECT * FROM pg_temp.obstacles('explain calendar', 1, 14);
SELECT * FROM partreg.explain_readiness('explain calendar', '[2124-01-01, 2124-01-02)');
SELECT partreg.set_readiness_rule('explain calendar', 'all', :'calendar_token');
SELECT * FROM pg_temp.obstacles('explain calendar', 1, 14);

-- assert_ready says the first five, and how many more there are.
CREATE FUNCTION pg_temp.asserted(source text, during tstzrange) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    condition text;
    detail text;
    hint text;
BEGIN
    RETURN partreg.assert_ready(source, during);
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    GET STACKED DIAGNOSTICS condition = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || condition, SQLERRM, regexp_replace(detail, '(since|until) [-0-9 :.+]+', '\1 then', 'g'), hint);
END;
$$;
\pset format unaligned
\t
SELECT pg_temp.asserted('explain', pg_temp.hours(0, 1));
SELECT pg_temp.asserted('explain', pg_temp.hours(0, 24));
SELECT pg_temp.asserted('explain', pg_temp.hours(2, 3));
SELECT pg_temp.asserted('explain', pg_temp.hours(10, 11));
SELECT pg_temp.asserted('explain merge', pg_temp.hours(3, 4));
-- A failed one that is not among the first five counts all the same.
SELECT split_part(pg_temp.asserted('explain', tstzrange('2023-01-01 00:00+00', '2024-01-02 00:00+00')), E'\n', 1);
-- A reason keeps its characters, but in the DETAIL it forges no line and sends
-- nothing to a terminal.
SELECT E'disk full\nlocked in [x, y), holder "alice"\r\t\u001b[31mred\u007f\u009b0m, \u00fcber' AS reason \gset
SELECT partreg.fail_partition('explain', 'a', pg_temp.hours(0, 1), :'source_token', 'h', :'reason');
SELECT pg_temp.asserted('explain', pg_temp.hours(0, 1));
SELECT reason = :'reason' AS kept FROM partreg.explain_readiness('explain', pg_temp.hours(0, 1)) WHERE state = 'failed';
\t
\pset format aligned

-- More than fit into memory: partitions of one and of two minutes in turn, each
-- registered by itself, with a minute between them where nothing is.
SELECT partreg.register_source('explain many', 'team') AS many_token \gset
SELECT partreg.register_provider('a', :'many_token') AS many \gset
CREATE FUNCTION pg_temp.minutes(a int, b int) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT pg_temp.hours(a / 60.0, b / 60.0)
$$;
SELECT count(partreg.register_partition('explain many', 'a', pg_temp.minutes(5 * n, 5 * n + 1), :'many')
             AND partreg.register_partition('explain many', 'a', pg_temp.minutes(5 * n + 1, 5 * n + 3), :'many'))
FROM generate_series(0, 1999) n;
SET work_mem = '64kB';
WITH obstacle AS (
    SELECT * FROM partreg.explain_readiness('explain many', pg_temp.minutes(0, 10000))
), expected AS (
    SELECT tstzrange(start_at, end_at) AS during, state, provider_name, registered_at AS since
    FROM partreg.partitions WHERE source_name = 'explain many'
    UNION ALL
    SELECT pg_temp.minutes(5 * n + 3, 5 * n + 5), 'missing', NULL, NULL FROM generate_series(0, 1999) n
)
SELECT (SELECT count(*) FROM obstacle) AS obstacles,
       (SELECT count(*) FROM (SELECT during, state, provider_name, since FROM obstacle EXCEPT ALL TABLE expected) x) AS too_many,
       (SELECT count(*) FROM (TABLE expected EXCEPT ALL SELECT during, state, provider_name, since FROM obstacle) x) AS too_few,
       (SELECT bool_and(in_order) FROM (SELECT during >= lag(during) OVER (ROWS UNBOUNDED PRECEDING) AS in_order FROM obstacle) x) AS in_order;
-- Those of two providers that lie over one another come in turn, and still
-- neighbours that are alike are merged.
SELECT partreg.register_provider('b', :'many_token') AS many_b \gset
SELECT partreg.register_partitions('explain many', provider, pg_temp.minutes(20000, 23000), '1 minute', token),
       partreg.lock_partitions('explain many', provider, pg_temp.minutes(20000, 23000), token, 'job', reason => 'loading')
FROM (VALUES ('a', :'many'), ('b', :'many_b')) v (provider, token);
SELECT during, state, provider_name, holder, reason FROM partreg.explain_readiness('explain many', pg_temp.minutes(20000, 23000));
SELECT partreg.lock_partitions('explain many', 'a', pg_temp.minutes(0, 10000), :'many', 'job', reason => 'loading');
-- Only the locked ones are not registered.
SELECT partreg.unlock_partitions('explain many', 'a', pg_temp.minutes(0, 5000), :'many', 'job'),
       partreg.fail_partition('explain many', 'a', pg_temp.minutes(0, 1), :'many'),
       partreg.register_partition('explain many', 'a', pg_temp.minutes(5003, 5004), :'many'),
       partreg.register_partition('explain many', 'a', pg_temp.minutes(5002, 5003), :'many');
SELECT * FROM pg_temp.obstacles('explain many', 0, 0.1);
SELECT * FROM pg_temp.obstacles('explain many', 83.3, 83.5);
\t
\pset format unaligned
SELECT pg_temp.asserted('explain many', pg_temp.minutes(0, 10000));
\t
\pset format aligned
RESET work_mem;

-- What many registered ones cost does not grow with them (not measured where the
-- address space says nothing: with a sanitizer, under valgrind).  With fewer
-- where the server is slow.
RESET SESSION AUTHORIZATION;
SELECT CASE current_setting('regress.slow', true) WHEN 'on' THEN 3000 ELSE 300000 END AS many_count \gset
-- Where that takes long, it says how far it has come.
SET client_min_messages = warning;
SELECT partreg.register_partitions('explain many', 'a', pg_temp.minutes(1000000, 1000000 + :many_count), '1 minute', :'many') = :many_count AS all_of_them;
\c -
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.peak_kb() RETURNS integer LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(substring(pg_read_file('/proc/self/status', 0, 10000, true) FROM 'Name:\s+postgres\n.*VmPeak:\s+(\d{1,9}) ')::integer, 0)
$$;
SELECT tstzrange('2025-01-01 00:00+00', '2026-08-01 00:00+00') AS during \gset
SELECT count(*) FROM partreg.explain_readiness('explain', :'during');
SELECT pg_temp.peak_kb() AS before \gset
SELECT count(*) < 1000 AS merged FROM partreg.explain_readiness('explain many', :'during') WHERE state = 'registered';
DO $$
BEGIN
    PERFORM partreg.assert_ready('explain many', tstzrange('2025-01-01 00:00+00', '2026-08-01 00:00+00'));
EXCEPTION WHEN object_not_in_prerequisite_state THEN
END;
$$;
SELECT pg_temp.peak_kb() - :before < 16 * 1024 AS bounded;

SET client_min_messages = error;
DROP OWNED BY regress_explain;
DROP ROLE regress_explain;
