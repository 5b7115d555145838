-- Access tokens: their form, what is stored of them, and that none is shown.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT pg_current_xact_id()::xid AS began \gset
SET regress.began = :'began';

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

-- No quarter of the random part ever comes again; each of its bits is as often
-- set as not (500 of 1,000, give or take six standard deviations).
SELECT count(DISTINCT substr(token, 5 + 16 * quarter, 16)) AS quarters FROM token, generate_series(0, 3) quarter;
SELECT count(*) AS bits, bool_and(ones BETWEEN 405 AND 595) AS even
FROM (SELECT sum(get_bit(decode(substr(token, 5, 64), 'hex'), bit)) AS ones
      FROM token, generate_series(0, 255) bit GROUP BY bit) b;

-- Stored is the SHA-256 digest, and nothing else holds any part of a token.
SELECT count(*) AS source_digests FROM source JOIN partreg.source s USING (name)
WHERE s.token_digest = sha256(token::bytea) AND s.old_token_digest IS NULL;
SELECT count(*) AS provider_digests FROM provider JOIN partreg.provider p ON p.token_digest = sha256(token::bytea);
-- (Looked for in the rows written since this file began.)
CREATE FUNCTION pg_temp.holding(parts text[]) RETURNS SETOF regclass LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    found_one boolean;
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'r' ORDER BY relname LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE age(t.xmin) <= age($2) AND t::text ~* $1)', relation)
            INTO found_one USING (SELECT string_agg(part || '|' || encode(part::bytea, 'hex'), '|') FROM unnest(parts) part),
                                 current_setting('regress.began')::xid;
        IF found_one THEN
            RETURN NEXT relation;
        END IF;
    END LOOP;
END;
$$;
SELECT pg_temp.holding(array_agg(substr(token, 5, 16))) FROM (TABLE source LIMIT 3) s;
SELECT pg_temp.holding('{token 7}') AS finds_what_is_there;

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
CREATE TEMP TABLE given AS
    SELECT token, left(token, -8) AS body FROM unnest(ARRAY[:'source_token', :'provider_token']) token;
CREATE TEMP TABLE mistyped AS
    SELECT 'changed' AS how, overlay(token PLACING CASE substr(token, n, 1) WHEN c THEN 'z' ELSE c END FROM n FOR 1) AS token
    FROM given, generate_series(1, 76) n, unnest(ARRAY['0', 'f', ' ', 'A']) c
    UNION ALL SELECT 'left out', overlay(token PLACING '' FROM n FOR 1) FROM given, generate_series(1, 76) n
    UNION ALL SELECT 'doubled', overlay(token PLACING substr(token, n, 1) || substr(token, n, 1) FROM n FOR 1)
        FROM given, generate_series(1, 76) n
    UNION ALL SELECT 'swapped', overlay(token PLACING reverse(substr(token, n, 2)) FROM n FOR 2)
        FROM given, generate_series(1, 75) n WHERE substr(token, n, 1) <> substr(token, n + 1, 1)
    UNION ALL SELECT 'whole', unnest(ARRAY[upper(token), token || ' ', ' ' || token, token || E'\n', token || token, body, substr(token, 5)])
        FROM given
    UNION ALL SELECT 'checksum right', changed || pg_temp.crc32c(changed)
        FROM given, unnest(ARRAY[CASE left(body, 4) WHEN 'prs_' THEN 'prp_' ELSE 'prs_' END || substr(body, 5),
                                 left(body, 4) || repeat('0', 64), left(body, -1), body || '0', upper(body)]) changed
    UNION ALL SELECT 'nothing like one', unnest(ARRAY['', 'secret', 'prs_', 'prp_', repeat('0', 76), repeat('x', 1000000)]);
-- One and the same answer to all of them, to none at all, and to the tokens of
-- other sources and providers.
SELECT count(*) > 900 AS enough, count(*) FILTER (WHERE how = 'swapped') > 100 AS enough_swapped FROM mistyped;
\pset format unaligned
SELECT how, pg_temp.refusal(token) FROM mistyped GROUP BY 1, 2 ORDER BY how COLLATE "C";
SELECT pg_temp.refusal(NULL);
SELECT DISTINCT pg_temp.refusal(token) FROM token;
\pset format aligned
-- A mistyped one costs no look-up.
CREATE FUNCTION pg_temp.look_ups(token text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    indexes regclass[] := ARRAY(SELECT indexrelid FROM pg_index WHERE indrelid IN ('partreg.source'::regclass, 'partreg.provider'::regclass));
    before bigint := (SELECT sum(pg_stat_get_xact_numscans(i)) FROM unnest(indexes) i);
BEGIN
    PERFORM pg_temp.refusal(token);
    RETURN (SELECT sum(pg_stat_get_xact_numscans(i)) FROM unnest(indexes) i) - before;
END;
$$;
SELECT how, bool_or(pg_temp.look_ups(token) > 0) AS looked_up FROM mistyped WHERE how IN ('changed', 'left out', 'swapped') GROUP BY how
UNION ALL
SELECT 'another source''s', bool_or(pg_temp.look_ups(token) > 0) FROM token
ORDER BY 1;
-- The right ones are good, whatever was tried before.
SELECT pg_temp.refusal(:'source_token'), pg_temp.refusal(:'provider_token');

-- A token is never echoed, wherever it was put: whole, cut short, in upper
-- case, with something around it, or damaged, as each text argument of each
-- function, while the other arguments are good.
CREATE ROLE regress_token;
CREATE TEMP TABLE sentinel AS
    SELECT how, variant, part
    FROM (SELECT partreg.register_provider('sentinel', :'source_token')) s (token),
         LATERAL (VALUES ('whole', token, substr(token, 5, 16)), ('cut short', left(token, 40), substr(token, 5, 16)),
                         ('upper case', upper(token), upper(substr(token, 5, 16))),
                         ('inside', 'my token is ' || token || '!', substr(token, 5, 16)),
                         ('mistyped', overlay(token PLACING 'x' FROM 10 FOR 1), substr(token, 11, 16)),
                         ('in two', left(token, 4) || ' ' || substr(token, 5), substr(token, 5, 16)),
                         ('without prefix', substr(token, 5), substr(token, 5, 16))) v (how, variant, part);
CREATE TEMP TABLE answer (routine text, argument text, how text, sqlstate text, echoed boolean);
CREATE FUNCTION pg_temp.drive(routine oid, nth bigint, sentinel sentinel, source_token text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    argument text[];
    message text;
    detail text;
    hint text;
    context text;
    state text;
BEGIN
    SELECT array_agg(CASE
               WHEN a.n = nth THEN CASE a.type WHEN 'text[]'::regtype THEN 'ARRAY[$1]' ELSE '$1' END
               WHEN a.name = 'access_token' THEN '$2'
               ELSE format('%L::%s', CASE a.name
                   WHEN 'source_name' THEN 'token' WHEN 'source_names' THEN '{token}' WHEN 'provider_name' THEN 'loader'
                   WHEN 'owner' THEN 'team' WHEN 'rule' THEN 'any' WHEN 'level' THEN 'none' WHEN 'grantee' THEN 'regress_token'
                   WHEN 'during' THEN '[2024-01-01, 2024-01-02)' WHEN 'start_at' THEN '2024-01-01' WHEN 'end_at' THEN '2024-01-02'
                   WHEN 'since' THEN '2024-01-01' WHEN 'effective' THEN '(,)' WHEN 'step' THEN '1 day' WHEN 'new_name' THEN 'token new'
                   WHEN 'lease' THEN '1 hour' WHEN 'reason' THEN 'reason'
                   WHEN 'day' THEN '2024-01-01' END, a.type) END ORDER BY a.n)
    INTO argument
    FROM pg_proc p, unnest(p.proargnames, p.proargtypes::regtype[]) WITH ORDINALITY a (name, type, n)
    WHERE p.oid = routine;
    EXECUTE format('SELECT %s(%s)', routine::regproc, array_to_string(argument, ', ')) USING sentinel.variant, source_token;
    RAISE EXCEPTION USING ERRCODE = '00001';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    INSERT INTO answer
        SELECT proname, proargnames[nth], sentinel.how, state, position(sentinel.part IN concat(message, detail, hint, context)) > 0
        FROM pg_proc WHERE oid = routine;
END;
$$;
SELECT count(pg_temp.drive(p.oid, a.n, s, :'source_token')) >= 7 * 50 AS many_calls
FROM sentinel s, pg_proc p, unnest(p.proargtypes::regtype[]) WITH ORDINALITY a (type, n)
WHERE p.pronamespace = 'partreg'::regnamespace AND p.proname NOT LIKE '\_%' AND p.prokind = 'f'
  AND a.type IN ('text'::regtype, 'text[]'::regtype);
SELECT * FROM answer WHERE echoed;
-- What was answered (00001 would be: no error).  No token is taken for a name,
-- and what failed has stored nothing.
SELECT routine, argument, string_agg(DISTINCT sqlstate, ' ') AS sqlstate FROM answer GROUP BY 1, 2 ORDER BY routine COLLATE "C", argument COLLATE "C";

-- In a reason, which may be somebody else's error message, stars stand for its
-- digits, before it is cut.  Dates, digests and prose are no tokens.
CREATE FUNCTION pg_temp.kept(given text, token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM partreg.lock_partition('token', 'loader', '[2024-01-01, 2024-01-02)', token, 'x', reason => given);
    RETURN (SELECT reason FROM partreg.locks WHERE source_name = 'token');
END;
$$;
SELECT pg_temp.kept(how || ': ' || variant || ' and ' || variant || ' are bad', :'provider_token') AS kept FROM sentinel ORDER BY how;
SELECT how, translate(right(pg_temp.kept(repeat('.', 1960) || variant, :'provider_token'), 45), '.*', '') AS kept FROM sentinel ORDER BY how;
SELECT given, pg_temp.kept(given, :'provider_token') = given AS kept
FROM unnest(ARRAY['no such file corprs_20240101.csv', 'prp_20240101123000', 'sha256:' || encode(sha256('x'), 'hex'),
                  'prs_ is a name that nobody would give to a file, but for a fable of a cafe']) given;

-- Nor is a role trusted whose name is like one, which all may read.
CREATE ROLE regress_prp_0123456789abcdef;
\set VERBOSITY sqlstate
SELECT partreg.set_trusted_role('token', 'loader', 'regress_prp_0123456789abcdef', :'source_token');
SELECT partreg.register_provider('trusting', :'source_token', 'regress_prp_0123456789abcdef');

DROP ROLE regress_token, regress_prp_0123456789abcdef;
