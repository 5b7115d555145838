-- Which names are usable: of sources, providers, owners and holders.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;

-- What comes of giving a name as each of the four.
CREATE FUNCTION pg_temp.outcome(call text, name text, token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call USING name, token;
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END;
$$;
CREATE FUNCTION pg_temp.outcomes(name text, token text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(pg_temp.outcome(call, name, token), ' ' ORDER BY ordinality)
    FROM unnest(ARRAY[
        'SELECT partreg.register_source($1, ''owner'')',
        'SELECT partreg.set_owner(''names'', $1, $2)',
        'SELECT partreg.register_provider($1, $2)',
        'SELECT partreg.lock_partition(''names'', ''loader'', ''[2024-01-01, 2024-01-02)'', $2, holder => $1)']) WITH ORDINALITY c (call);
$$;
SELECT partreg.register_source('names', 'owner') AS token \gset
SELECT partreg.register_provider('loader', :'token') IS NOT NULL AS registered;
SELECT partreg.register_partition('names', 'loader', '[2024-01-01, 2024-01-02)', :'token');

SELECT what, octet_length(name) AS bytes, pg_temp.outcomes(name, :'token') AS "source owner provider holder"
FROM (VALUES
    (1, 'empty', ''),
    (2, 'one byte', 'x'),
    (3, '200 bytes', repeat('x', 200)),
    (4, '201 bytes', repeat('x', 201)),
    (5, '200 bytes, two each', repeat(U&'\00e4', 100)),
    (6, '202 bytes, two each', repeat(U&'\00e4', 101)),
    (7, 'a megabyte', repeat('x', 1024 * 1024)),
    (8, 'space before', ' names'),
    (9, 'space after', 'names '),
    (10, 'a space', ' '),
    (11, 'space within', 'na mes'),
    (12, 'newline', E'na\nmes'),
    (13, 'newline after', E'names\n'),
    (14, 'tab', E'na\tmes'),
    (15, 'U+0001', E'na\u0001mes'),
    (16, 'U+001F', E'na\u001fmes'),
    (17, 'delete', E'na\u007fmes'),
    (18, 'U+0080', E'na\u0080mes'),
    (19, 'U+009F', E'na\u009fmes'),
    (20, 'U+00A0, no control character', E'na\u00a0mes'),
    (21, 'U+0480, whose second byte is 80', E'na\u0480mes'),
    (22, 'quotes and backslash', 'na"m''e\s'),
    (23, 'dots and signs', 'public.some/source@company.com;--'),
    (24, 'emoji', U&'\+01F600')
) v (number, what, name)
ORDER BY number;

-- What merely asks takes any string; no such source is known.
\set VERBOSITY sqlstate
SELECT partreg.check_readiness('', '[2024-01-01, 2024-01-02)');
SELECT partreg.check_readiness(' names', '[2024-01-01, 2024-01-02)');
SELECT partreg.check_readiness(repeat('x', 201), '[2024-01-01, 2024-01-02)');
SELECT partreg.check_readiness(E'na\nmes', '[2024-01-01, 2024-01-02)');
-- However long it is, what is said of it is short.
CREATE FUNCTION pg_temp.message(call text, name text, token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call USING name, token;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN format('%s, %s', SQLSTATE, CASE WHEN octet_length(SQLERRM) < 500 THEN 'short' ELSE octet_length(SQLERRM) || ' bytes' END);
END;
$$;
SELECT call, pg_temp.message(call, repeat(U&'\00e4', 1000000), :'token')
FROM unnest(ARRAY[
    'SELECT partreg.check_readiness($1, ''[2024-01-01, 2024-01-02)'')',
    'SELECT partreg.all_ready(ARRAY[$1], ''[2024-01-01, 2024-01-02)'')',
    'SELECT partreg.set_readiness_rule(''names'', $1, $2)',
    'SELECT partreg.set_trusted_role(''names'', ''loader'', $1, $2)',
    'SELECT partreg.unlock_partition(''names'', $1, ''[2024-01-01, 2024-01-02)'', $2)',
    'SELECT partreg.register_partitions(''names'', ''loader'', ''[2024-01-01, 2024-01-02)'', ''1 day'', $2, $1)',
    'SELECT partreg.verify($1)']) call;

-- A reason is cut at 2,000 bytes, between characters, and may hold anything.
CREATE FUNCTION pg_temp.kept(reason text, token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    kept text;
BEGIN
    PERFORM partreg.lock_partition('names', 'loader', '[2024-01-01, 2024-01-02)', token, 'x', reason => $1);
    SELECT l.reason INTO kept FROM partreg.locks l WHERE source_name = 'names';
    RETURN CASE WHEN kept = $1 THEN 'all' WHEN starts_with($1, kept) THEN octet_length(kept) || ' bytes' ELSE kept END;
END;
$$;
SELECT pg_temp.kept('', :'token'), pg_temp.kept(repeat('x', 2000), :'token'), pg_temp.kept(repeat('x', 2001), :'token'),
       pg_temp.kept('x' || repeat(U&'\00e4', 1000), :'token'), pg_temp.kept(repeat('x', 1024 * 1024), :'token'),
       pg_temp.kept(E' two\nlines\t', :'token');
