-- What has changed in sales.orders since it was read last, and is ready, is
-- made into marts.revenue again; the rest waits in marts.reader.  Run it as
-- often as you like: psql -X -f reread.sql.  Before the first time:
--   CREATE TABLE marts.reader (source_name text PRIMARY KEY, position text NOT NULL, unread tstzmultirange NOT NULL);
--   INSERT INTO marts.reader VALUES ('sales.orders', partreg.feed_position(), '{[2024-01-01 00:00+00,)}');
\set ON_ERROR_STOP on

-- One snapshot for all of it; of two at a time, one ends here with 40001.
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE marts.reader
   SET unread = unread + partreg.changed_ranges(source_name, '[2024-01-01 00:00+00,)', position),
       position = partreg.feed_position()
 WHERE source_name = 'sales.orders';
SELECT unread * partreg.ready_ranges('sales.orders', '[2024-01-01 00:00+00,)') AS ranges
  FROM marts.reader WHERE source_name = 'sales.orders' \gset

DELETE FROM marts.revenue USING unnest(:'ranges'::tstzmultirange) r
 WHERE hour >= lower(r) AND hour < upper(r);
INSERT INTO marts.revenue (hour, amount)
SELECT date_trunc('hour', happened_at, 'UTC'), sum(amount)
  FROM unnest(:'ranges'::tstzmultirange) r
  JOIN sales.orders ON happened_at >= lower(r) AND happened_at < upper(r)
 GROUP BY 1;

UPDATE marts.reader SET unread = unread - :'ranges'::tstzmultirange WHERE source_name = 'sales.orders';
COMMIT;
\echo read :ranges
