-- What a long history costs: docs/history.md has the figures.
--
--   createdb history && psql -X -d history -v hours=1000 -f test/bench/history.sql
--
-- As a superuser, in a database of its own.  Of 1,000 sources each hour is
-- registered, locked and unlocked: three events, written straight into the
-- table, in the order of time, as so many jobs would.  Then a third of it is
-- purged and as much is written anew, three times.
\set ON_ERROR_STOP on
\pset footer off
\timing off
CREATE EXTENSION partition_registry CASCADE;

CREATE PROCEDURE fill(first_hour integer, hours integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR h IN first_hour .. first_hour + hours - 1 LOOP
        INSERT INTO partreg.event (event, source_id, provider_id, source_name, provider_name, start_at, end_at, at, actor,
                                   holder, xid, system_id, timeline, credential, details, state_before, length_class)
        SELECT e.event, 1000 + s, 1000 + s, 'warehouse.table_' || s, 'airflow', t, t + interval '1 hour',
               t + interval '1 hour' + e.n * interval '1 minute', 'etl_loader',
               CASE WHEN e.n > 0 THEN 'scheduled__' || t::date || '/load/1/' || s END,
               (3 + h::bigint * 3000 + s * 3 + e.n)::text::xid8, c.system_identifier, 1, 't',
               CASE WHEN e.n = 2 THEN '{"rows": 12345}'::jsonb END, e.before::"char",
               partreg._length_class(t, t + interval '1 hour')
          FROM (SELECT '2024-01-01 00:00+00'::timestamptz + h * interval '1 hour' AS t) hour,
               generate_series(1, 1000) s,
               (VALUES (0, 'register_partition', 'n'), (1, 'lock', 'r'), (2, 'unlock', 'l')) e (n, event, before),
               pg_control_system() c;
        COMMIT;
    END LOOP;
END
$$;

CREATE VIEW bytes_per_event AS
    SELECT relation, pg_relation_size(relation) AS bytes, round(pg_relation_size(relation)::numeric / events, 1) AS per_event
      FROM (SELECT 'partreg.event'::regclass UNION ALL
            SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = 'partreg.event'::regclass) r (relation),
           (SELECT count(*) FROM partreg.event) e (events)
     ORDER BY 2 DESC;

\echo filled
CALL fill(0, :hours);
VACUUM ANALYZE partreg.event;
SELECT * FROM bytes_per_event;

\timing on
SELECT format('SELECT %L AS "purged and filled again"', i),
       format('SELECT partreg.purge_history(%L)', '2024-01-01 01:00+00'::timestamptz + i * (:hours / 3) * interval '1 hour'),
       'VACUUM partreg.event',
       format('CALL fill(%s, %s)', :hours + (i - 1) * (:hours / 3), :hours / 3),
       'VACUUM partreg.event',
       'SELECT * FROM bytes_per_event'
  FROM generate_series(1, 3) i \gexec
