-- A value of type name is 64 bytes long; behind the caller's name nothing of
-- the server's memory may get into the table (and from there into the WAL).
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
CREATE EXTENSION pageinspect;

SELECT partreg.register_source('actor', 'team') AS source_token \gset
SELECT partreg.register_provider('p', :'source_token') AS p \gset
SELECT partreg.register_partitions('actor', 'p', '[2024-01-01 00:00+00, 2024-01-01 05:00+00)', '1 hour', :'p');
SELECT partreg.lock_partition('actor', 'p', '[2024-01-01 00:00+00, 2024-01-01 01:00+00)', :'p');

-- The name, then zeros only
SELECT count(*) > 0 AS some,
       bool_and(encode(name, 'hex') = rpad(encode(convert_to(current_user, 'UTF8'), 'hex'), 128, '0')) AS clean
FROM generate_series(0, pg_relation_size('partreg.event')::integer / 8192 - 1) AS block
CROSS JOIN LATERAL heap_page_item_attrs(get_raw_page('partreg.event', block), 'partreg.event') AS item
CROSS JOIN LATERAL (SELECT item.t_attrs[10]) AS attribute (name)
WHERE item.t_xmin IN (SELECT e.xmin FROM partreg.event e WHERE e.source_name = 'actor');

SELECT partreg.drop_source('actor', :'source_token');
DROP EXTENSION pageinspect;
