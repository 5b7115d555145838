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

-- What PostgreSQL runs for the owner of a table while somebody else analyzes it
-- would be in that one's name: nothing is written, though the token is good.
CREATE ROLE regress_actor;
SELECT partreg.grant_privileges('regress_actor', 'writer');
CREATE SCHEMA regress_actor AUTHORIZATION regress_actor;
SET ROLE regress_actor;
CREATE TABLE regress_actor.t (token text);
INSERT INTO regress_actor.t VALUES (:'p');
CREATE FUNCTION regress_actor.f(token text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN 1; END';
CREATE INDEX ON regress_actor.t (regress_actor.f(token));
CREATE OR REPLACE FUNCTION regress_actor.f(token text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM partreg.lock_partition('actor', 'p', '[2024-01-01 01:00+00, 2024-01-01 02:00+00)', token);
    RETURN 1;
END;
$$;
RESET ROLE;
\set SHOW_CONTEXT never
ANALYZE regress_actor.t;
REINDEX TABLE regress_actor.t;
\set SHOW_CONTEXT errors
-- Whoever calls it himself is named.
SET ROLE regress_actor;
SELECT regress_actor.f(token) FROM regress_actor.t;
RESET ROLE;
SELECT actor, holder FROM partreg.events WHERE source_name = 'actor' AND event = 'lock' ORDER BY event_id DESC LIMIT 1;
SET client_min_messages = error;
DROP OWNED BY regress_actor;
DROP ROLE regress_actor;

SELECT partreg.drop_source('actor', :'source_token');
DROP EXTENSION pageinspect;
