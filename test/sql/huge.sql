-- Huge arguments: a call costs no more than a glance, whatever is given to it,
-- and what takes its time answers to a cancel.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';

SELECT partreg.register_source('huge', 'team') AS source_token \gset
SELECT partreg.register_provider('loader', :'source_token') AS token \gset
SELECT partreg.register_partition('huge', 'loader', '[2024-01-01, 2024-01-02)', :'token');

-- Every function, with a hundred million bytes as one of its texts.  They are
-- stored compressed, as only to unfold them takes longer than the limit.  The
-- best of several tries counts, since the machine may be busy.
CREATE TABLE pg_temp.huge (token text, password text);
INSERT INTO pg_temp.huge VALUES (repeat('prs_', 25000000), repeat('password=', 11000000));
CREATE TABLE pg_temp.answer (routine text, argument text, sqlstate text, at_a_glance boolean);
CREATE FUNCTION pg_temp.drive(routine oid, nth int, value text, token text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    call text;
    state text;
    began timestamptz;
    took interval := '1 hour';
BEGIN
    SELECT format('SELECT %s(%s) FROM pg_temp.huge h', routine::regproc, string_agg(
        CASE WHEN a.n = nth THEN 'h.' || value
             WHEN a.name = 'access_token' THEN quote_literal(token)
             ELSE format('%L::%s', CASE a.name
                 WHEN 'source_name' THEN 'huge' WHEN 'source_names' THEN '{huge}' WHEN 'provider_name' THEN 'loader'
                 WHEN 'owner' THEN 'team' WHEN 'rule' THEN 'any' WHEN 'level' THEN 'none' WHEN 'grantee' THEN current_user
                 WHEN 'during' THEN '[2024-01-01, 2024-01-02)' WHEN 'start_at' THEN '2024-01-01' WHEN 'end_at' THEN '2024-01-02'
                 WHEN 'since' THEN '2024-01-01' WHEN 'effective' THEN '(,)' WHEN 'step' THEN '1 day' WHEN 'lease' THEN '1 hour'
                 WHEN 'day' THEN '2024-01-01' WHEN 'time_zone' THEN 'UTC' WHEN 'new_name' THEN 'huge too' WHEN 'reason' THEN 'x' END, a.type)
        END, ', ' ORDER BY a.n)) INTO call
    FROM pg_proc p, unnest(p.proargnames, p.proargtypes::regtype[]) WITH ORDINALITY a (name, type, n)
    WHERE p.oid = routine;
    FOR try IN 1 .. 3 LOOP
        EXIT WHEN took < '15 ms';
        BEGIN
            began := clock_timestamp();
            EXECUTE call;
            took := least(took, clock_timestamp() - began);
            RAISE EXCEPTION USING ERRCODE = '00001';
        EXCEPTION WHEN OTHERS THEN
            state := SQLSTATE;
            took := least(took, clock_timestamp() - began);
        END;
    END LOOP;
    INSERT INTO answer SELECT proname, proargnames[nth], state, took < '15 ms' FROM pg_proc WHERE oid = routine;
END;
$$;
CREATE VIEW pg_temp.argument AS
SELECT p.oid AS routine, a.n::int AS n, 'access_token' = ANY (p.proargnames) AS has_token
FROM pg_proc p, unnest(p.proargtypes::regtype[]) WITH ORDINALITY a (type, n)
WHERE p.pronamespace = 'partreg'::regnamespace AND p.proname NOT LIKE '\_%' AND p.prokind = 'f' AND a.type = 'text'::regtype
  -- Not in C: the owner's own, and the one that reads everything.
  AND p.proname NOT IN ('grant_privileges', 'verify');
SELECT count(pg_temp.drive(routine, n, value, 'x')) > 100 AS many_calls FROM pg_temp.argument, unnest(ARRAY['token', 'password']) value;
-- Behind a good token more is looked at.
SELECT count(pg_temp.drive(routine, n, 'password', token)) > 100 AS many_calls
FROM pg_temp.argument, unnest(ARRAY[:'source_token', :'token']) token WHERE has_token;
SELECT DISTINCT routine, argument, sqlstate FROM answer WHERE NOT at_a_glance ORDER BY 1, 2, 3;

-- A name among many; many names; details.
SELECT partreg.all_ready(ARRAY['huge', repeat('x', 1000000)], '[2024-01-01, 2024-01-02)');
CREATE TABLE pg_temp.many_names AS SELECT array_fill('huge'::text, ARRAY[3000000]) AS names;
SET statement_timeout = '100ms';
DO $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    PERFORM partreg.all_ready(names, '[2024-01-01, 2024-01-02)') FROM pg_temp.many_names;
    RAISE 'that was too fast to be canceled';
EXCEPTION WHEN query_canceled THEN
    RAISE NOTICE 'canceled in time: %', clock_timestamp() - began < '2 s';
END;
$$;
RESET statement_timeout;
-- Also while names are sorted, which takes the second half of the time.  The best
-- of three counts.
CREATE TABLE pg_temp.names AS SELECT array_agg(md5(n::text)) AS names FROM generate_series(1, 300000) n;
CREATE FUNCTION pg_temp.feed_time() RETURNS double precision LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    PERFORM FROM pg_temp.names n, partreg.changes_since(NULL, 1, n.names);
    RETURN extract(epoch FROM clock_timestamp() - began);
EXCEPTION WHEN query_canceled THEN
    RETURN extract(epoch FROM clock_timestamp() - began);
END;
$$;
SELECT min(pg_temp.feed_time()) AS whole FROM generate_series(1, 3) \gset
SELECT (:whole * 500)::integer AS half \gset
SET statement_timeout = :half;
SELECT pg_temp.feed_time() AS a \gset
SELECT pg_temp.feed_time() AS b \gset
SELECT pg_temp.feed_time() AS c \gset
SELECT least(:a, :b, :c) < 0.7 * :whole AS canceled_in_time;
RESET statement_timeout;
DO $$
DECLARE
    before timestamptz := clock_timestamp();
    huge jsonb := jsonb_build_object('a', repeat('x', 100000000));
    began timestamptz := clock_timestamp();
BEGIN
    PERFORM partreg.unlock_partition('huge', 'loader', '[2024-01-01, 2024-01-02)', 'x', details => huge);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'refused at a glance: %', clock_timestamp() - began < greatest(began - before, interval '500 ms');
END;
$$;
-- The same, stored compressed: not even unfolded.
CREATE TABLE pg_temp.huge_details (details jsonb);
INSERT INTO pg_temp.huge_details VALUES (jsonb_build_object('a', repeat('x', 100000000)));
CREATE FUNCTION pg_temp.unlock(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    PERFORM partreg.unlock_partition('huge', 'loader', '[2024-01-01, 2024-01-02)', token, details => d.details)
       FROM pg_temp.huge_details d;
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' ', SQLSTATE, clock_timestamp() - began < '15 ms');
END;
$$;
-- The best of several tries, as above.
SELECT max(pg_temp.unlock(token)) FROM generate_series(1, 3), unnest(ARRAY['x', :'token']) token GROUP BY token ORDER BY 1;
-- Numbers that are short as jsonb, and five hundred million bytes as text.
TRUNCATE pg_temp.huge_details;
INSERT INTO pg_temp.huge_details
    SELECT jsonb_build_object('a', jsonb_agg('1e131071'::numeric)) FROM generate_series(1, 3900);
SELECT max(pg_temp.unlock(:'token')) FROM generate_series(1, 3);
SELECT partreg.unlock_partition('huge', 'loader', '[2024-01-01, 2024-01-02)', :'token', details => details) FROM pg_temp.huge_details;
