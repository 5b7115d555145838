-- drop_source: all that belongs to it goes, but its history; the name may be
-- registered anew, as another source.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set VERBOSITY sqlstate

CREATE ROLE regress_drop;
SELECT partreg.grant_privileges('regress_drop', 'admin');

-- How many rows there are of a source, by its id, and of its providers.
CREATE FUNCTION pg_temp.rows(source integer) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ', (SELECT 'source ' || count(*) FROM partreg.source WHERE id = $1),
                     (SELECT 'provider ' || count(*) FROM partreg.provider WHERE source_id = $1),
                     (SELECT 'partition ' || count(*) FROM partreg._partition
                      WHERE provider_id IN (SELECT provider_id FROM partreg.event WHERE source_id = $1)),
                     (SELECT 'lock ' || count(*) FROM partreg.lock WHERE source_id = $1),
                     (SELECT 'coverage ' || count(*) FROM partreg.coverage WHERE source_id = $1),
                     (SELECT 'event ' || count(*) FROM partreg.event WHERE source_id = $1))
$$;
SELECT partreg.register_source('drop', 'team') AS source_token \gset
SELECT partreg.register_source('drop not', 'team') AS other_token \gset
SELECT partreg.register_provider('a', :'source_token', 'regress_drop') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset
SELECT partreg.register_provider('a', :'other_token') AS other_a \gset
SELECT partreg.register_partitions(source, 'a', '[2024-01-01, 2024-01-05)', '1 day', token),
       partreg.unlock_partition(source, 'a', '[2024-01-01, 2024-01-02)', token),
       partreg.unlock_partition(source, 'a', '[2024-01-03, 2024-01-04)', token),
       partreg.lock_partition(source, 'a', '[2024-01-02, 2024-01-03)', token)
FROM (VALUES ('drop', :'a'), ('drop not', :'other_a')) v (source, token);
SELECT id AS source_id FROM partreg.source WHERE name = 'drop' \gset
SELECT id AS other_id FROM partreg.source WHERE name = 'drop not' \gset
SELECT pg_temp.rows(:source_id);
SELECT pg_temp.rows(:other_id);

-- Its own source token alone does it.
SET SESSION AUTHORIZATION regress_drop;
SELECT partreg.drop_source('drop', :'a');
SELECT partreg.drop_source('drop', :'other_token');
SELECT partreg.drop_source('unknown', :'source_token');
SELECT partreg.drop_source('drop', :'source_token');
SELECT partreg.drop_source('drop', :'source_token');
RESET SESSION AUTHORIZATION;
SELECT pg_temp.rows(:source_id);
SELECT pg_temp.rows(:other_id);
SELECT * FROM partreg.verify();

-- Nobody knows it; its tokens and the role that it trusted open nothing.
SET SESSION AUTHORIZATION regress_drop;
SELECT partreg.check_readiness('drop', '[2024-01-01, 2024-01-02)');
SELECT partreg.explain_readiness('drop', '[2024-01-01, 2024-01-02)');
SELECT partreg.register_provider('c', :'source_token');
SELECT partreg.unlock_partition('drop', 'a', '[2024-01-02, 2024-01-03)', :'a');
SELECT partreg.unlock_partition('drop', 'a', '[2024-01-02, 2024-01-03)');
SELECT source_name FROM partreg.sources WHERE source_name LIKE 'drop%';
SELECT event, count(*) FROM partreg.events WHERE source_name = 'drop' GROUP BY 1 ORDER BY 1;

-- The name anew is another source: nothing of the old one shows.
SELECT partreg.register_source('drop', 'another team') AS new_token \gset
SELECT partreg.check_readiness('drop', '[2024-01-01, 2024-01-02)'), partreg.ready_ranges('drop', '(,)');
SELECT count(*) FROM partreg.providers WHERE source_name = 'drop';
SELECT partreg.register_provider('a', :'source_token');
SELECT partreg.register_provider('a', :'new_token') AS new_a \gset
SELECT partreg.register_partition('drop', 'a', '[2024-01-01, 2024-01-02)', :'a');
SELECT partreg.register_partition('drop', 'a', '[2024-01-01, 2024-01-02)', :'new_a'), partreg.unlock_partition('drop', 'a', '[2024-01-01, 2024-01-02)', :'new_a');
SELECT partreg.ready_ranges('drop', '(,)'), partreg.ready_ranges('drop not', '(,)');

-- Dropped and registered anew in one transaction, and rolled back.
BEGIN;
SELECT partreg.drop_source('drop', :'new_token');
SELECT partreg.register_source('drop', 'third team') AS third_token \gset
SELECT partreg.check_readiness('drop', '[2024-01-01, 2024-01-02)');
ROLLBACK;
SELECT partreg.check_readiness('drop', '[2024-01-01, 2024-01-02)');
SELECT owner FROM partreg.sources WHERE source_name = 'drop';
SELECT partreg.set_owner('drop', 'third team', :'third_token');

-- A source without anything.
SELECT partreg.drop_source('drop none', partreg.register_source('drop none', 'team'));
SELECT * FROM partreg.verify();

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_drop;
DROP ROLE regress_drop;
