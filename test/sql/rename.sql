-- rename_source and rename_provider: everything stays with what is renamed.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_rename;
SELECT partreg.grant_privileges('regress_rename', 'admin');
CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    condition text;
BEGIN
    EXECUTE 'SELECT partreg.' || call;
    RETURN 'good';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS condition = CONSTRAINT_NAME;
    RETURN concat_ws(' ', SQLSTATE, nullif(condition, ''));
END;
$$;

SET SESSION AUTHORIZATION regress_rename;
SELECT partreg.register_source('rename', 'team') AS source_token \gset
SELECT partreg.register_source('rename other', 'team') AS other_token \gset
SELECT partreg.register_provider('airflow1', :'source_token') AS provider_token \gset
SELECT partreg.register_provider('cron', :'source_token') AS cron_token \gset
SELECT partreg.register_provider('spark', :'other_token') AS spark_token \gset
SELECT partreg.register_partitions('rename', 'airflow1', '[2015-01-01, 2024-01-01)', '1 day', :'provider_token'),
       partreg.unlock_partitions('rename', 'airflow1', '[2015-01-01, 2023-12-31)', :'provider_token'),
       partreg.lock_partition('rename', 'airflow1', '[2023-12-31, 2024-01-01)', :'provider_token', 'attempt 1', '1 day', 'load');
RESET SESSION AUTHORIZATION;
CREATE TEMP TABLE before AS
    SELECT (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY id) FROM partreg.source t WHERE name = 'rename') AS source,
           (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.partition t) AS partitions,
           (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.pending t) AS pending,
           (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.lock t) AS locks,
           (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.coverage t) AS coverage,
           (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY id) FROM partreg.event t) AS events,
           (SELECT max(id) FROM partreg.event) AS last_event;
SET SESSION AUTHORIZATION regress_rename;

SELECT partreg.rename_source('rename', 'rename new', :'source_token');
SELECT partreg.rename_provider('rename new', 'airflow1', 'airflow2', :'source_token');

-- Same partitions, locks, spans, history; the row of the source but for its name.
RESET SESSION AUTHORIZATION;
SELECT source::jsonb - 'name' = (SELECT to_jsonb(t) - 'name' FROM partreg.source t WHERE name = 'rename new') AS source,
       partitions = (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.partition t) AS partitions,
       pending IS NOT DISTINCT FROM (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.pending t) AS pending,
       locks = (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.lock t) AS locks,
       coverage = (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY t::text) FROM partreg.coverage t) AS coverage,
       events = (SELECT string_agg(to_jsonb(t)::text, E'\n' ORDER BY id) FROM partreg.event t WHERE id <= last_event) AS events
FROM before;
SET SESSION AUTHORIZATION regress_rename;
SELECT source_name, provider_name, count(*), min(start_at), max(end_at)
FROM partreg.partitions WHERE source_name LIKE 'rename%' GROUP BY 1, 2;
SELECT source_name, provider_name, during, holder, reason FROM partreg.locks WHERE source_name LIKE 'rename%';
SELECT partreg.check_readiness('rename new', '[2015-01-01, 2023-12-31)'), partreg.ready_until('rename new', '2015-01-01');
SELECT * FROM partreg.verify('rename new');
-- The event is under the old name, with the new one in details.
SELECT event, source_name, provider_name, details FROM partreg.events
WHERE source_name LIKE 'rename%' AND event = 'rename' ORDER BY event_id;

-- Same tokens, by the new names; the old ones are unknown.
SELECT call || E'\n    ' || pg_temp.outcome(replace(replace(replace(call, '{S}', quote_literal(:'source_token')),
                                                   '{P}', quote_literal(:'provider_token')), '{O}', quote_literal(:'other_token')))
FROM unnest(ARRAY[
    $$check_readiness('rename', '[2015-01-01, 2015-01-02)')$$,
    $$lock_partition('rename', 'airflow2', '[2015-01-01, 2015-01-02)', {P})$$,
    $$lock_partition('rename new', 'airflow1', '[2015-01-01, 2015-01-02)', {P})$$,
    $$lock_partition('rename new', 'airflow1', '[2015-01-01, 2015-01-02)', {S})$$,
    $$lock_partition('rename new', 'airflow2', '[2015-01-01, 2015-01-02)', {P})$$,
    $$unlock_partition('rename new', 'airflow2', '[2015-01-01, 2015-01-02)', {P})$$,
    $$unlock_partition('rename new', 'airflow2', '[2023-12-31, 2024-01-01)', {P}, 'attempt 1')$$,
    $$set_owner('rename new', 'team', {S})$$,
    -- Who may: the source token, not a provider's, nor another source's.
    $$rename_provider('rename new', 'airflow2', 'airflow3', {P})$$,
    $$rename_provider('rename new', 'airflow2', 'airflow3', {O})$$,
    $$rename_provider('rename new', 'airflow2', 'airflow3')$$,
    $$rename_provider('rename new', 'airflow1', 'airflow3', {S})$$,
    $$rename_provider('rename', 'airflow2', 'airflow3', {S})$$,
    $$rename_source('rename new', 'rename newer', {P})$$,
    $$rename_source('rename new', 'rename newer', {O})$$,
    $$rename_source('rename new', 'rename newer')$$,
    $$rename_source('rename', 'rename newer', {S})$$,
    -- To what: a name that is usable, and that nobody has; not the same.
    $$rename_provider('rename new', 'airflow2', '', {S})$$,
    $$rename_provider('rename new', 'airflow2', E'a\nb', {S})$$,
    $$rename_provider('rename new', 'airflow2', repeat('x', 201), {S})$$,
    $$rename_provider('rename new', 'airflow2', {P}, {S})$$,
    $$rename_provider('rename new', 'airflow2', NULL, {S})$$,
    $$rename_provider('rename new', 'airflow2', 'airflow2', {S})$$,
    $$rename_provider('rename new', 'airflow2', 'cron', {S})$$,
    $$rename_provider('rename new', 'airflow2', 'spark', {S})$$,
    $$rename_provider('rename new', 'spark', 'Airflow2', {S})$$,
    $$rename_provider('rename new', 'Airflow2', 'airflow2', {S})$$,
    $$rename_source('rename new', ' rename', {S})$$,
    $$rename_source('rename new', {S}, {S})$$,
    $$rename_source('rename new', NULL, {S})$$,
    $$rename_source('rename new', 'rename new', {S})$$,
    $$rename_source('rename new', 'rename other', {S})$$,
    $$rename_source('rename new', 'RENAME', {S})$$,
    $$rename_source('RENAME', 'rename new', {S})$$]) WITH ORDINALITY c (call, n) ORDER BY n;
-- What is refused is said so.
SELECT partreg.rename_source('rename new', 'rename other', :'source_token');
SELECT partreg.rename_provider('rename new', 'airflow2', 'cron', :'source_token');

-- The old names are free: another source, with nothing of the first one.
SELECT partreg.register_source('rename', 'somebody') AS second_token \gset
SELECT partreg.register_provider('airflow1', :'second_token') IS NOT NULL AS registered;
SELECT partreg.check_readiness('rename', '[2015-01-01, 2015-01-02)'), partreg.check_readiness('rename new', '[2015-01-01, 2015-01-02)');
SELECT pg_temp.outcome(format($$set_owner('rename', 'x', %L)$$, :'source_token')),
       pg_temp.outcome(format($$lock_partition('rename', 'airflow1', '[2015-01-01, 2015-01-02)', %L)$$, :'provider_token'));

-- Two change their names in one transaction, or one there and back; with what
-- happened rolled back, all is as it was.  A session that knows where a source
-- was finds the one of the name.
BEGIN;
SELECT partreg.rename_source('rename', 'rename tmp', :'second_token');
SELECT partreg.rename_source('rename new', 'rename', :'source_token');
SELECT partreg.check_readiness('rename', '[2015-01-01, 2015-01-02)'), partreg.check_readiness('rename tmp', '[2015-01-01, 2015-01-02)');
SAVEPOINT a;
SELECT partreg.rename_source('rename tmp', 'rename new', :'second_token');
SELECT partreg.check_readiness('rename', '[2015-01-01, 2015-01-02)'), partreg.check_readiness('rename new', '[2015-01-01, 2015-01-02)');
ROLLBACK TO a;
SELECT partreg.rename_source('rename tmp', 'rename newest', :'second_token');
COMMIT;
SELECT source_name, owner FROM partreg.sources WHERE source_name LIKE 'rename%' ORDER BY 1;
SELECT partreg.check_readiness('rename', '[2015-01-01, 2015-01-02)'), partreg.check_readiness('rename newest', '[2015-01-01, 2015-01-02)');
-- Also under REPEATABLE READ and SERIALIZABLE.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT partreg.rename_source('rename', 'rename old', :'source_token');
SELECT partreg.rename_provider('rename old', 'airflow2', 'airflow', :'source_token');
SELECT partreg.register_source('rename', 'somebody') IS NOT NULL AS registered;
SELECT partreg.unlock_partition('rename old', 'airflow', '[2023-12-31, 2024-01-01)', :'provider_token');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT partreg.rename_provider('rename', 'airflow2', 'airflow', :'source_token');
SELECT partreg.rename_provider('rename', 'airflow', 'airflow2', :'source_token');
COMMIT;

-- A revoked provider can be renamed, and revived under its new name; the old one
-- is free.
SELECT partreg.revoke_provider('rename', 'cron', :'source_token');
SELECT partreg.rename_provider('rename', 'cron', 'cron old', :'source_token');
SELECT partreg.register_provider('cron', :'source_token') IS NOT NULL AS registered;
SELECT partreg.register_provider('cron old', :'source_token') IS NOT NULL AS revived;
SELECT event, provider_name, nullif(details - 'effective', '{}') AS details FROM partreg.events
WHERE source_name LIKE 'rename%' AND event IN ('register_provider', 'revoke', 'rename') AND provider_name LIKE 'cron%' ORDER BY event_id;

-- What is refused draws no number, nor does a revival.
RESET SESSION AUTHORIZATION;
SELECT s.last_value AS source, p.last_value AS provider FROM partreg.source_id_seq s, partreg.provider_id_seq p \gset before_
SELECT pg_temp.outcome(format($$rename_source('rename', 'rename other', %L)$$, :'source_token')),
       pg_temp.outcome(format($$rename_provider('rename', 'airflow2', 'cron', %L)$$, :'source_token')),
       pg_temp.outcome($$register_source('rename', 'team')$$),
       pg_temp.outcome(format($$register_provider('cron', %L)$$, :'source_token'));
SELECT partreg.revoke_provider('rename', 'cron', :'source_token');
SELECT partreg.register_provider('cron', :'source_token') IS NOT NULL AS revived;
SELECT s.last_value = :before_source AS same, p.last_value = :before_provider AS same FROM partreg.source_id_seq s, partreg.provider_id_seq p;

SELECT count(partreg.drop_source(name, partreg.reset_access_token(name))) FROM partreg.source WHERE name LIKE 'rename%';
DROP OWNED BY regress_rename;
DROP ROLE regress_rename;
