-- Access tokens: their form, what is stored of them, and that none is shown.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- CRC-32C by its definition, bit by bit.
CREATE FUNCTION pg_temp.crc32c(string text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    crc bigint := x'ffffffff'::bigint;
BEGIN
    FOR n IN 0 .. octet_length(string) - 1 LOOP
        crc := crc # get_byte(string::bytea, n);
        FOR bit IN 1 .. 8 LOOP
            crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # x'82f63b78'::bigint ELSE crc >> 1 END;
        END LOOP;
    END LOOP;
    RETURN lpad(to_hex(crc # x'ffffffff'::bigint), 8, '0');
END;
$$;
SELECT pg_temp.crc32c('123456789') AS check_value;

CREATE TEMP TABLE source AS
    SELECT format('token %s', n) AS name, partreg.register_source(format('token %s', n), 'team') AS token
    FROM generate_series(1, 500) n;
CREATE TEMP TABLE provider AS
    SELECT partreg.register_provider('loader', token) AS token FROM source;
CREATE TEMP VIEW token AS TABLE provider UNION ALL SELECT token FROM source;

-- A prefix, 64 hexadecimal digits, and the checksum of all that.
SELECT count(*) FILTER (WHERE token ~ '^prs_[0-9a-f]{72}$') AS source_tokens FROM source;
SELECT count(*) FILTER (WHERE token ~ '^prp_[0-9a-f]{72}$') AS provider_tokens FROM provider;
SELECT count(*) AS right_checksums FROM token WHERE right(token, 8) = pg_temp.crc32c(left(token, -8));

-- All differ, in every quarter; each bit of the random part is as often set as
-- not (500 of 1,000, give or take six standard deviations).
SELECT count(DISTINCT substr(token, 5, 16)) AS first, count(DISTINCT substr(token, 21, 16)) AS second,
       count(DISTINCT substr(token, 37, 16)) AS third, count(DISTINCT substr(token, 53, 16)) AS fourth
FROM token;
SELECT count(*) AS bits, bool_and(ones BETWEEN 405 AND 595) AS even
FROM (SELECT sum(get_bit(decode(substr(token, 5, 64), 'hex'), bit)) AS ones
      FROM token, generate_series(0, 255) bit GROUP BY bit) b;

-- Stored is the SHA-256 digest, and nothing else holds any part of a token.
SELECT count(*) AS source_digests FROM source JOIN partreg.source s USING (name)
WHERE s.token_digest = sha256(token::bytea) AND s.old_token_digest IS NULL;
SELECT count(*) AS provider_digests FROM provider JOIN partreg.provider p ON p.token_digest = sha256(token::bytea);
CREATE FUNCTION pg_temp.holding(part text) RETURNS SETOF regclass LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    found_one boolean;
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE position($1 IN t::text) > 0 OR position(encode($1::bytea, ''hex'') IN t::text) > 0)', relation)
            INTO found_one USING part;
        IF found_one THEN
            RETURN NEXT relation;
        END IF;
    END LOOP;
END;
$$;
SELECT token.ctid, relation
FROM (SELECT ctid, token FROM source LIMIT 3) token, pg_temp.holding(substr(token, 5, 16)) relation;
SELECT pg_temp.holding('token 7') AS finds_what_is_there;

-- A mistyped token opens nothing: each position changed, left out, doubled;
-- swapped neighbours; another case; spaces; another prefix, another ending,
-- also with the right checksum.
SELECT partreg.register_source('token', 'team') AS source_token \gset
SELECT partreg.register_provider('loader', :'source_token') AS provider_token \gset
CREATE FUNCTION pg_temp.refusal(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM partreg.register_partition('token', 'loader', '[2024-01-01, 2024-01-02)', token, true);
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws('; ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END;
$$;
CREATE TEMP VIEW mistyped AS
    WITH given (token) AS (VALUES (current_setting('regress.source_token')), (current_setting('regress.provider_token')))
    SELECT overlay(token PLACING CASE substr(token, n, 1) WHEN c THEN 'z' ELSE c END FROM n FOR 1)
    FROM given, generate_series(1, 76) n, unnest(ARRAY['0', 'f', ' ', 'A']) c
    UNION ALL SELECT overlay(token PLACING '' FROM n FOR 1) FROM given, generate_series(1, 76) n
    UNION ALL SELECT overlay(token PLACING substr(token, n, 1) || substr(token, n, 1) FROM n FOR 1) FROM given, generate_series(1, 76) n
    UNION ALL SELECT overlay(token PLACING reverse(substr(token, n, 2)) FROM n FOR 2) FROM given, generate_series(1, 75) n
        WHERE substr(token, n, 1) <> substr(token, n + 1, 1)
    UNION ALL SELECT variant FROM given, LATERAL (VALUES
        (upper(token)), (token || ' '), (' ' || token), (token || E'\n'), (left(token, -8)), (substr(token, 5)), (token || token),
        (''), ('prs_'), ('prp_'), (repeat('0', 76)), ('prs_' || repeat('0', 72)), (repeat('x', 1000000)),
        (CASE left(token, 4) WHEN 'prs_' THEN 'prp_' ELSE 'prs_' END || substr(token, 5)),
        (swapped || pg_temp.crc32c(swapped)), (zeros || pg_temp.crc32c(zeros)), (short || pg_temp.crc32c(short))) v (variant),
        LATERAL (SELECT 1) nothing
    WHERE false;
