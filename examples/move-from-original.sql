-- Takes over what the original service has stored in its schema registry.
--
--   psql -v gateway=LOGIN -d DATABASE -f move-from-original.sql
--
-- As a superuser, in the database of its four tables (sources, providers,
-- partitions, events), where partition_registry is created too, and with the
-- original stopped.  LOGIN is the login of the HTTP gateway: it becomes the
-- trusted role of every provider, and the holder of every lock, so that the
-- original's clients go on without a token.  It is one transaction: all comes
-- over, or nothing.
--
-- What changes:
-- - The tokens.  Those of the sources are printed, this once.
-- - A partition that was registered several times is one.  It is unlocked where
--   any of them ever was, and locked where the newest event of them is a LOCK.
-- - The events themselves stay behind.
-- - A name or owner of more than 200 bytes or with control characters cannot be
--   used here: it is cut, gets a mark of its own, and a NOTICE says so.  An owner
--   that is empty becomes "unknown".

\set ON_ERROR_STOP on
\if :{?gateway}
\else
    \warn 'say who the gateway is: -v gateway=LOGIN'
    \quit
\endif

BEGIN;

CREATE FUNCTION pg_temp.usable(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    usable text := btrim(regexp_replace(name, '[\u0001-\u001f\u007f-\u009f]+', ' ', 'g'));
BEGIN
    IF octet_length(usable) > 200 OR usable <> name THEN
        WHILE octet_length(usable) > 190 LOOP
            usable := left(usable, least(190, length(usable) - 1));
        END LOOP;
        usable := btrim(usable) || '~' || left(md5(name), 8);
        RAISE NOTICE '% becomes %', quote_literal(left(name, 80)), quote_literal(usable);
    END IF;
    RETURN usable;
END
$$;

CREATE TEMPORARY TABLE moved_source ON COMMIT DROP AS
    SELECT s.id, pg_temp.usable(s.name) AS name,
           CASE WHEN btrim(s.owner) = '' THEN 'unknown' ELSE pg_temp.usable(s.owner) END AS owner,
           s.access_token, NULL::text AS token
      FROM registry.sources s;

UPDATE moved_source SET token = partreg.register_source(name, owner);

-- A provider's name was unique over all sources; here it is in its source.  It
-- has those in which it has partitions, and the one whose token it gave.
CREATE TEMPORARY TABLE moved_provider ON COMMIT DROP AS
    SELECT v.id, s.id AS source_id, v.name, s.name AS source_name, s.token,
           partreg.register_provider(v.name, s.token, trusted_role => :'gateway') IS NOT NULL
      FROM (SELECT id, pg_temp.usable(name) AS name, access_token FROM registry.providers) v
      JOIN moved_source s
        ON s.access_token = v.access_token
        OR EXISTS (SELECT 1 FROM registry.partitions p
                    WHERE p.provider_id = v.id AND p.source_id = s.id);

CREATE TEMPORARY TABLE moved_partition ON COMMIT DROP AS
    SELECT v.source_name, v.name AS provider_name, tstzrange(p.start, p."end") AS during, v.token,
           coalesce(bool_or(e.event_type = 'UNLOCK'), false) AS unlocked,
           -- Of two at the same instant the LOCK counts: it makes nothing ready.
           coalesce((array_agg(e.event_type ORDER BY e.registered_at DESC, e.event_type)
                     FILTER (WHERE e.event_type IS NOT NULL))[1] = 'LOCK', false) AS locked
      FROM registry.partitions p
      JOIN moved_provider v ON v.id = p.provider_id AND v.source_id = p.source_id
      LEFT JOIN registry.events e ON e.partition_id = p.id
     GROUP BY v.source_name, v.name, v.token, p.start, p."end";

SELECT count(*) AS partitions,
       count(*) FILTER (WHERE partreg.register_partition(source_name, provider_name, during, token)) AS registered
  FROM moved_partition;
SELECT count(*) FILTER (WHERE partreg.unlock_partition(source_name, provider_name, during, token)) AS unlocked
  FROM moved_partition WHERE unlocked;
SELECT count(*) FILTER (WHERE partreg.lock_partition(source_name, provider_name, during, token,
                                                     holder => :'gateway')) AS locked
  FROM moved_partition WHERE locked;
SELECT name AS source, token FROM moved_source ORDER BY name COLLATE "C";

COMMIT;
