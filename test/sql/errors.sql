-- Every error that the contract names, by its SQLSTATE; none changes anything.
-- In the calls {S} stands for the source token, {P} for the provider's, {Q}
-- for another provider's of the same source, {F} and {G} for those of another
-- source and its provider.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_errors;
CREATE ROLE regress_errors_stranger;
SELECT partreg.grant_privileges('regress_errors', 'admin');

-- A digest of all that the tables hold.
CREATE FUNCTION pg_temp.digest() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    relation regclass;
    rows text;
    result text := '';
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'partreg'::regnamespace AND relkind = 'r' ORDER BY relname LOOP
        EXECUTE format('SELECT string_agg(t::text, E''\n'' ORDER BY t::text) FROM %s t', relation) INTO rows;
        result := md5(result || coalesce(rows, ''));
    END LOOP;
    RETURN result;
END;
$$;
SET SESSION AUTHORIZATION regress_errors;

CREATE TEMP TABLE token (placeholder text, value text);
INSERT INTO token VALUES ('{S}', partreg.register_source('errors', 'team')), ('{F}', partreg.register_source('errors too', 'team'));
INSERT INTO token SELECT '{P}', partreg.register_provider('loader', value) FROM token WHERE placeholder = '{S}';
INSERT INTO token SELECT '{Q}', partreg.register_provider('other', value) FROM token WHERE placeholder = '{S}';
INSERT INTO token SELECT '{G}', partreg.register_provider('loader', value) FROM token WHERE placeholder = '{F}';
-- Call something; tell what came of it.
CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    placeholder text;
    value text;
BEGIN
    FOR placeholder, value IN TABLE token LOOP
        call := replace(call, placeholder, quote_literal(value));
    END LOOP;
    EXECUTE format('SELECT partreg.%s', call);
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END;
$$;
SELECT pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P})$$,
    $$register_partition('errors', 'loader', '[2024-01-02, 2024-01-03)', {P})$$,
    $$register_partition('errors too', 'loader', '[2024-01-01, 2024-01-02)', {G})$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me')$$]) call;
SELECT pg_temp.digest() AS before \gset
\pset format unaligned
\t

-- 22004, before everything else: NULL for each argument without a default.
-- (NULL for trusted_role means none, for provider_name the source.)
SELECT format('%s(%s): %s', p.proname, a.name, left(pg_temp.outcome(format('%s(%s)', p.proname, c.arguments)), 5))
FROM pg_proc p
CROSS JOIN LATERAL unnest(p.proargnames, p.proargtypes::oid[]) WITH ORDINALITY a (name, type, n)
CROSS JOIN LATERAL (
    SELECT string_agg(CASE WHEN i.n = a.n THEN format('NULL::%s', i.type::regtype)
                           ELSE format('%L::%s', CASE i.type::regtype::text
                               WHEN 'tstzrange' THEN 'empty' WHEN 'timestamp with time zone' THEN 'infinity'
                               WHEN 'interval' THEN '-1 month' WHEN 'text[]' THEN '{}' ELSE '' END, i.type::regtype) END, ', ' ORDER BY i.n)
    FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY i (type, n)
    WHERE i.n <= p.pronargs - p.pronargdefaults) c (arguments)
WHERE p.pronamespace = 'partreg'::regnamespace AND p.proname NOT LIKE '\_%' AND p.prokind = 'f'
  AND p.proname NOT IN ('reset_access_token', 'force_fail_partition', 'grant_privileges')
  AND a.n <= p.pronargs - p.pronargdefaults
ORDER BY p.proname, p.pronargs, a.n;

-- 22023: ranges that are empty, reversed, unbounded or infinite, for each
-- function that takes one, behind a good token.
SELECT call || ': ' || string_agg(DISTINCT left(pg_temp.outcome(replace(call, '$', range)), 5), ' ')
FROM unnest(ARRAY[
    $$register_partition('errors', 'loader', $, {P})$$,
    $$register_partitions('errors', 'loader', $, '1 day', {P})$$,
    $$lock_partition('errors', 'loader', $, {P})$$,
    $$lock_partitions('errors', 'loader', $, {P})$$,
    $$unlock_partition('errors', 'loader', $, {P})$$,
    $$unlock_partitions('errors', 'loader', $, {P})$$,
    $$fail_partition('errors', 'loader', $, {P})$$,
    $$retire_partition('errors', 'loader', $, {P})$$,
    $$check_readiness('errors', $)$$,
    $$all_ready('{errors}', $)$$,
    $$explain_readiness('errors', $)$$,
    $$assert_ready('errors', $)$$,
    $$step_ranges($, '1 day')$$]) WITH ORDINALITY c (call, n),
     unnest(ARRAY[$$'empty'$$, $$'[2024-01-01, 2024-01-01)'$$, $$'(2024-01-01, 2024-01-01 00:00:00.000001)'$$,
                  $$'(, 2024-01-01)'$$, $$'[2024-01-01,)'$$, $$'[-infinity, 2024-01-01)'$$, $$'[2024-01-01, infinity]'$$,
                  $$'[2024-01-01, 294276-12-31 23:59:59.999999]'$$]) range
GROUP BY n, call ORDER BY n;
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$check_readiness('errors', '2024-01-01', '2024-01-01')$$,
    $$check_readiness('errors', '2024-01-02', '2024-01-01')$$,
    $$check_readiness('errors', '-infinity', '2024-01-01')$$,
    $$check_readiness('errors', '2024-01-01', 'infinity')$$]) call;

-- 22023: other values that are of no use.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$register_source('errors 2', 'team', 'most')$$,
    $$register_source('errors 2', 'team', '')$$,
    $$register_source(repeat('x', 201), 'team')$$,
    $$register_source('errors 2', '')$$,
    $$register_provider(' x', {S})$$,
    $$set_readiness_rule('errors', 'All', {S})$$,
    $$set_owner('errors', 'team ', {S})$$,
    $$rename_source('errors', '', {S})$$,
    $$rename_source('errors', repeat('x', 201), {S})$$,
    $$rename_provider('errors', 'loader', E'\n', {S})$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, E'a\tb')$$,
    $$unlock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, '')$$,
    $$fail_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, ' ', 'reason')$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me', '-1 second')$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me', '1 month')$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me', '2000000000 days')$$,
    $$lock_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me', '1 year')$$,
    $$lock_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, ' me')$$,
    $$unlock_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, E'\n')$$,
    $$register_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', '0', {P})$$,
    $$register_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', '-1 hour', {P})$$,
    $$register_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', '5 hours', {P})$$,
    $$register_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', '2 days', {P})$$,
    $$register_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', '1 hour', {P}, 'Europe/Nowhere')$$,
    $$step_ranges('[2024-01-01, 2024-01-02)', '5 hours')$$,
    $$day_range('infinity')$$,
    $$rotate_access_token('errors', 'loader', {P}, '1 month')$$,
    $$rotate_access_token('errors', 'loader', {S}, '-1 second')$$,
    $$all_ready('{}', '[2024-01-01, 2024-01-02)')$$,
    $$ready_ranges('errors', 'empty')$$,
    $$ready_until('errors', 'infinity')$$,
    $$ready_until('errors', '-infinity')$$]) call;

-- 42704: unknown, for those who may ask.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$check_readiness('no such source', '[2024-01-01, 2024-01-02)')$$,
    $$check_readiness('no such source', '2024-01-01', '2024-01-02')$$,
    $$explain_readiness('no such source', '[2024-01-01, 2024-01-02)')$$,
    $$assert_ready('no such source', '[2024-01-01, 2024-01-02)')$$,
    $$register_partition('errors', 'nobody', '[2024-01-01, 2024-01-02)', {S})$$,
    $$lock_partition('errors', 'nobody', '[2024-01-01, 2024-01-02)', {S})$$,
    $$unlock_partition('errors', 'nobody', '[2024-01-01, 2024-01-02)', {S})$$,
    $$fail_partition('errors', 'nobody', '[2024-01-01, 2024-01-02)', {S})$$,
    $$set_effective('errors', 'nobody', '(,)', {S})$$,
    $$set_trusted_role('errors', 'nobody', NULL, {S})$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-03)', {P})$$,
    $$unlock_partition('errors', 'loader', '[2024-01-01, 2024-01-03)', {S})$$,
    $$fail_partition('errors', 'loader', '[2024-01-01, 2024-01-03)', {P})$$,
    $$register_partitions('errors', 'nobody', '[2024-01-01, 2024-01-02)', '1 hour', {S})$$,
    $$lock_partitions('errors', 'nobody', '[2024-01-01, 2024-01-02)', {S})$$,
    $$unlock_partitions('errors', 'nobody', '[2024-01-01, 2024-01-02)', {S})$$,
    $$lock_partitions('errors', 'loader', '[2024-02-01, 2024-03-01)', {P})$$,
    $$unlock_partitions('errors', 'loader', '[2024-02-01, 2024-03-01)', {S})$$,
    $$retire_partition('errors', 'nobody', '[2024-01-01, 2024-01-02)', {S})$$,
    $$retire_partition('errors', 'loader', '[2024-01-01, 2024-01-03)', {P})$$,
    $$rotate_access_token('errors', 'nobody', {S})$$,
    $$revoke_provider('errors', 'nobody', {S})$$,
    $$rename_provider('errors', 'nobody', 'somebody', {S})$$,
    $$all_ready('{errors, no such source}', '[2024-01-01, 2024-01-02)')$$,
    $$ready_until('no such source', '2024-01-01')$$,
    $$ready_ranges('no such source', '[2024-01-01, 2024-01-02)')$$,
    $$verify('no such source')$$,
    $$register_provider('new', {S}, 'no such role')$$,
    $$set_trusted_role('errors', 'loader', 'no such role', {S})$$]) call;

-- 42710: known already.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$register_source('errors', 'somebody else')$$,
    $$register_provider('loader', {S})$$,
    $$register_provider('loader', {S}, source_name => 'errors')$$,
    $$rename_source('errors', 'errors', {S})$$,
    $$rename_source('errors', 'errors too', {S})$$,
    $$rename_provider('errors', 'loader', 'loader', {S})$$,
    $$rename_provider('errors', 'loader', 'other', {S})$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P})$$,
    $$register_partition('errors', 'loader', '(2023-12-31 23:59:59.999999, 2024-01-01 23:59:59.999999]', {S}, false)$$]) call;

-- 42501: no token, an empty, malformed, foreign or another provider's one, the
-- wrong kind, a source or provider that does not exist: one and the same
-- message, before whatever else is wrong.
SELECT pg_temp.outcome(call), E'\n    ' || string_agg(call, E'\n    ' ORDER BY n)
FROM unnest(ARRAY[
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)')$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', '')$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', 'secret')$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', upper({P}))$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P} || ' ')$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {Q})$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {F})$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {G})$$,
    $$register_partition('no such source', 'loader', '[2024-01-01, 2024-01-02)')$$,
    $$register_partition('no such source', 'loader', '[2024-01-01, 2024-01-02)', {S})$$,
    $$register_partition('no such source', 'loader', '[2024-01-01, 2024-01-02)', {P})$$,
    $$register_partition('errors', 'nobody', '[2024-01-01, 2024-01-02)', {P})$$,
    $$register_partition('errors', 'nobody', '[2024-01-01, 2024-01-02)')$$,
    $$register_partition('errors', 'loader', 'empty', {Q})$$,
    $$lock_partition('errors', 'loader', 'empty', {Q})$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {Q}, '', '-1 month')$$,
    $$unlock_partition('errors', 'loader', '[2024-01-05, 2024-01-06)', {F})$$,
    $$fail_partition('errors', 'loader', '(,)', {G})$$,
    $$register_provider('new', {P})$$,
    $$register_provider('', 'secret', 'no such role')$$,
    $$register_provider('new', {S}, source_name => 'errors too')$$,
    $$register_provider('new', {S}, source_name => 'no such source')$$,
    $$register_provider('new', source_name => 'errors')$$,
    $$register_provider('', source_name => 'no such source', if_not_exists => true)$$,
    $$register_provider('loader', {F}, source_name => 'errors', if_not_exists => true)$$,
    $$rename_source('errors', 'errors', {F})$$,
    $$rename_source('errors', '', {P})$$,
    $$rename_source('errors', 'errors 2')$$,
    $$rename_source('no such source', 'errors', {S})$$,
    $$rename_provider('errors', 'loader', 'other', {P})$$,
    $$rename_provider('errors', 'nobody', '', {F})$$,
    $$rename_provider('errors', 'loader', 'other')$$,
    $$set_owner('errors', 'eve')$$,
    $$set_readiness_rule('errors', 'nonsense')$$,
    $$set_effective('errors', 'nobody', '(,)')$$,
    $$set_trusted_role('errors', 'loader', 'no such role')$$,
    $$set_trusted_role('errors', NULL, 'no such role')$$,
    $$set_trusted_role('errors', NULL, NULL, {P})$$,
    $$revoke_provider('errors', 'nobody')$$,
    $$drop_source('errors')$$,
    $$set_owner('errors', 'eve', {P})$$,
    $$set_owner('errors', '', {F})$$,
    $$set_owner('no such source', 'eve', {S})$$,
    $$set_readiness_rule('errors', 'nonsense', {F})$$,
    $$set_effective('errors', 'loader', '(,)', {P})$$,
    $$set_effective('errors', 'nobody', '(,)', {F})$$,
    $$set_trusted_role('errors', 'loader', 'no such role', {P})$$,
    $$register_partitions('errors', 'loader', 'empty', '-1 day', {Q}, 'nowhere')$$,
    $$register_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', '1 hour')$$,
    $$lock_partitions('errors', 'loader', 'empty', {Q}, '', '-1 month')$$,
    $$unlock_partitions('errors', 'loader', '[2024-02-01, 2024-02-02)', {F})$$,
    $$unlock_partitions('no such source', 'loader', '[2024-02-01, 2024-02-02)', {P})$$,
    $$retire_partition('errors', 'loader', '[2024-02-01, 2024-02-02)', {Q})$$,
    $$retire_partition('errors', 'loader', '[2024-01-01, 2024-01-02)')$$,
    $$rotate_access_token('errors', 'loader', {Q})$$,
    $$rotate_access_token('errors', 'loader', {G}, '-1 day')$$,
    $$rotate_access_token('errors', 'nobody', {P})$$,
    $$rotate_access_token('errors', NULL, {P})$$,
    $$rotate_access_token('errors', NULL, {F})$$,
    $$revoke_provider('errors', 'loader', {P})$$,
    $$revoke_provider('errors', 'nobody', {F})$$,
    $$drop_source('errors', {P})$$,
    $$drop_source('errors', {F})$$,
    $$drop_source('no such source', {S})$$]) WITH ORDINALITY c (call, n)
GROUP BY 1;
-- And 42501 of PostgreSQL's, for functions that are for the owner alone.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$reset_access_token('errors')$$,
    $$force_fail_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', 'reason')$$,
    $$grant_privileges('regress_errors', 'admin')$$]) call;

-- 55006: held by somebody else.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P})$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'you', '0')$$,
    $$unlock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'Me')$$,
    $$fail_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'you', 'reason')$$,
    $$lock_partitions('errors', 'loader', '[2024-01-01, 2024-02-01)', {P}, 'you')$$,
    $$unlock_partitions('errors', 'loader', '[2024-01-01, 2024-02-01)', {P}, 'you')$$,
    $$retire_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P})$$]) call;

-- 22004: NULL within an array.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$all_ready('{errors, NULL}', '[2024-01-01, 2024-01-02)')$$,
    $$all_ready('{no such source, NULL}', '[2024-01-01, 2024-01-02)')$$]) call;

-- 55000: not ready.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[$$assert_ready('errors', '[2024-01-01, 2024-01-02)')$$]) call;

-- 25006: nothing is written where nothing may be.
BEGIN READ ONLY;
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$register_source('errors 2', 'team')$$,
    $$register_provider('new', {S})$$,
    $$register_partition('errors', 'loader', '[2024-01-05, 2024-01-06)', {P})$$,
    $$register_source('errors', 'team', if_not_exists => true)$$,
    $$register_provider('loader', {S}, if_not_exists => true)$$,
    $$rename_source('errors', 'errors 2', {S})$$,
    $$rename_provider('errors', 'loader', 'loader 2', {S})$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, true)$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me')$$,
    $$unlock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me')$$,
    $$fail_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me')$$,
    $$set_owner('errors', 'somebody else', {S})$$,
    $$set_readiness_rule('errors', 'all', {S})$$,
    $$set_effective('errors', 'loader', 'empty', {S})$$,
    $$set_trusted_role('errors', 'loader', NULL, {S})$$,
    $$register_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', '1 hour', {P})$$,
    $$lock_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me')$$,
    $$unlock_partitions('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me')$$,
    $$retire_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {S})$$,
    $$rotate_access_token('errors', 'loader', {P})$$,
    $$revoke_provider('errors', 'loader', {S})$$,
    $$drop_source('errors', {S})$$]) call;
COMMIT;

-- 42501 of PostgreSQL's for somebody without any grant.
RESET SESSION AUTHORIZATION;
GRANT SELECT ON token TO regress_errors_stranger;
SET SESSION AUTHORIZATION regress_errors_stranger;
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$check_readiness('errors', '[2024-01-01, 2024-01-02)')$$,
    $$unlock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {S})$$]) call;
RESET SESSION AUTHORIZATION;

-- What is for the owner of the extension has errors, too.
SELECT call || E'\n    ' || pg_temp.outcome(call)
FROM unnest(ARRAY[
    $$reset_access_token(NULL)$$,
    $$reset_access_token('no such source')$$,
    $$reset_access_token('errors', 'nobody')$$,
    $$grant_privileges(NULL, 'reader')$$,
    $$grant_privileges('regress_errors', NULL)$$,
    $$grant_privileges('regress_errors', 'owner')$$,
    $$grant_privileges('no such role', 'reader')$$]) call;

-- Nothing of all that changed anything.
SELECT pg_temp.digest() = :'before';

-- Every error has a hint where there is something to do.
CREATE FUNCTION pg_temp.hint(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    placeholder text;
    value text;
    hint text;
BEGIN
    FOR placeholder, value IN TABLE token LOOP
        call := replace(call, placeholder, quote_literal(value));
    END LOOP;
    EXECUTE format('SELECT partreg.%s', call);
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || hint;
END;
$$;
SELECT pg_temp.hint(call)
FROM unnest(ARRAY[
    $$register_source('', 'team')$$,
    $$register_source('errors', 'team')$$,
    $$register_provider('loader', {S})$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P})$$,
    $$register_partition('errors', 'loader', '(,)', {P})$$,
    $$register_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {Q})$$,
    $$set_readiness_rule('errors', 'most', {S})$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P})$$,
    $$lock_partition('errors', 'loader', '[2024-01-01, 2024-01-02)', {P}, 'me', '1 month')$$,
    $$lock_partition('errors', 'loader', '[2024-01-05, 2024-01-06)', {P})$$,
    $$lock_partition('errors', 'nobody', '[2024-01-05, 2024-01-06)', {S})$$,
    $$check_readiness('no such source', '[2024-01-01, 2024-01-02)')$$,
    $$assert_ready('errors', '[2024-01-01, 2024-01-02)')$$,
    $$grant_privileges('regress_errors', 'owner')$$]) call;

SET client_min_messages = error;
DROP OWNED BY regress_errors;
DROP ROLE regress_errors, regress_errors_stranger;
