-- One hour of marts.revenue, made from sales.orders; load_hour.sh calls it:
--   psql -X -v start='2024-01-01 00:00+00' -v holder="$holder" -f load_hour.sql
-- Whatever is refused ends it here, with status 3, and nothing is changed.
\set ON_ERROR_STOP on

-- A time without an offset means another hour in another session's time zone.
SELECT :'start' ~ ':\d\d(\.\d+)? ?(Z|[+-]\d\d(:?\d\d)?)$' AS has_offset \gset
\if :has_offset
\else
DO $$ BEGIN RAISE 'start needs an offset, as in 2024-01-01 00:00+00'; END $$;
\endif
SELECT tstzrange(:'start', :'start'::timestamptz + interval '1 hour') AS hour \gset

-- Too early? Then the hour stays as it is.
SELECT partreg.assert_ready('sales.orders', :'hour');

-- The claim commits at once, so that everybody sees it. While another attempt
-- has the hour, this one ends here: 55006.
SELECT partreg.lock_partition('marts.revenue', 'cron', :'hour', holder => :'holder',
                              lease => '30 minutes', register => true);

-- One snapshot for the question and for what is read; one commit for the rows
-- and for the unlock.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT partreg.assert_ready('sales.orders', :'hour');
DELETE FROM marts.revenue WHERE hour = lower(:'hour'::tstzrange);
INSERT INTO marts.revenue (hour, amount)
SELECT lower(:'hour'::tstzrange), coalesce(sum(amount), 0)
FROM sales.orders WHERE happened_at <@ :'hour'::tstzrange;
SELECT partreg.unlock_partition('marts.revenue', 'cron', :'hour', holder => :'holder');
COMMIT;
