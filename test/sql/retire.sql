-- retire_partition: what only it made available is so no longer.  Time is in
-- hours of 2024-01-01.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set VERBOSITY sqlstate

CREATE ROLE regress_retire;
SELECT partreg.grant_privileges('regress_retire', 'admin');
SET SESSION AUTHORIZATION regress_retire;
CREATE FUNCTION pg_temp.hours(a numeric, b numeric) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 hour', t + b * interval '1 hour')
    FROM (SELECT timestamptz '2024-01-01 00:00+00') x (t)
$$;
CREATE FUNCTION pg_temp.supply(provider text, token text, a numeric, b numeric) RETURNS boolean LANGUAGE sql AS $$
    SELECT partreg.register_partition('retire', provider, pg_temp.hours(a, b), token)
       AND partreg.unlock_partition('retire', provider, pg_temp.hours(a, b), token)
$$;
-- What is ready of the first 24 hours; check_readiness is to say the same of
-- each quarter of an hour.
CREATE FUNCTION pg_temp.ready() RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN bool_and(partreg.check_readiness('retire', pg_temp.hours(q / 4.0, q / 4.0 + 0.25)) = (ready @> pg_temp.hours(q / 4.0, q / 4.0 + 0.25)))
           THEN (SELECT string_agg(to_char(lower(r), 'HH24:MI-') || to_char(upper(r), 'HH24:MI'), ' ' ORDER BY r) FROM unnest(ready) r)
           ELSE 'they differ' END
    FROM partreg.ready_ranges('retire', pg_temp.hours(0, 24)) ready, generate_series(0, 95) q
    GROUP BY ready
$$;
SELECT partreg.register_source('retire', 'team') AS source_token \gset
SELECT partreg.register_provider('a', :'source_token') AS a \gset
SELECT partreg.register_provider('b', :'source_token') AS b \gset

-- In the middle, at the start, at the end of what is joined.
SELECT count(pg_temp.supply('a', :'a', h, h + 1)) FROM generate_series(0, 9) h;
SELECT pg_temp.ready();
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(4, 5), :'a');
SELECT pg_temp.ready();
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(0, 1), :'a'), partreg.retire_partition('retire', 'a', pg_temp.hours(9, 10), :'a');
SELECT pg_temp.ready();
SELECT count(*) FROM partreg.partitions WHERE source_name = 'retire';

-- It is gone: nothing more can be done to it, but it may come back.
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(4, 5), :'a');
SELECT partreg.unlock_partition('retire', 'a', pg_temp.hours(4, 5), :'a');
SELECT pg_temp.supply('a', :'a', 4, 5);
SELECT pg_temp.ready();

-- What other partitions of the provider supply, too, stays: nested,
-- overlapping, repeated in pieces.
SELECT pg_temp.supply('a', :'a', 2, 7), pg_temp.supply('a', :'a', 6, 8.5);
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(3, 4), :'a');
SELECT pg_temp.ready();
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(2, 7), :'a');
SELECT pg_temp.ready();
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(6, 8.5), :'a');
SELECT pg_temp.ready();

-- So does what another provider supplies, under "any"; under "all" it does not.
SELECT pg_temp.supply('b', :'b', 0, 12);
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(6, 7), :'a');
SELECT pg_temp.ready();
SELECT partreg.set_readiness_rule('retire', 'all', :'source_token');
SELECT pg_temp.ready();
SELECT partreg.set_readiness_rule('retire', 'any', :'source_token');
SELECT partreg.retire_partition('retire', 'b', pg_temp.hours(0, 12), :'b');
SELECT pg_temp.ready();

-- In every state.  What was never unlocked takes nothing with it but its lock.
SELECT partreg.register_partition('retire', 'a', pg_temp.hours(4, 6), :'a');
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(4, 6), :'a');
SELECT pg_temp.ready();
SELECT partreg.register_partition('retire', 'a', pg_temp.hours(4, 6), :'a'), partreg.lock_partition('retire', 'a', pg_temp.hours(4, 6), :'a');
SELECT pg_temp.ready();
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(4, 6), :'a');
SELECT pg_temp.ready();
SELECT partreg.register_partition('retire', 'a', pg_temp.hours(4, 6), :'a'), partreg.lock_partition('retire', 'a', pg_temp.hours(4, 6), :'a', 'somebody'), partreg.fail_partition('retire', 'a', pg_temp.hours(4, 6), :'a', 'somebody');
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(4, 6), :'a');
SELECT pg_temp.ready();

-- Locked by another holder, lease over or not: only with the source token.
SELECT partreg.lock_partition('retire', 'a', pg_temp.hours(5, 6), :'a', 'somebody');
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(5, 6), :'a');
SELECT partreg.lock_partition('retire', 'a', pg_temp.hours(5, 6), :'a', 'somebody', '0');
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(5, 6), :'a');
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(5, 6), :'source_token');
SELECT count(*) FROM partreg.locks WHERE source_name = 'retire';
SELECT pg_temp.ready();
-- By the role that holds it.
SELECT partreg.lock_partition('retire', 'a', pg_temp.hours(8, 9), :'a');
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(8, 9), :'a');
SELECT pg_temp.ready();

-- Its very bounds, its own token.
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(1, 1.5), :'a');
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(1, 2), :'b');
SELECT partreg.retire_partition('retire', 'b', pg_temp.hours(1, 2), :'b');
SELECT partreg.retire_partition('retire', 'a', '(2024-01-01 00:59:59.999999, 2024-01-01 01:59:59.999999]', :'a');
SELECT pg_temp.ready();

-- A rollback brings it back.
BEGIN;
SELECT partreg.retire_partition('retire', 'a', pg_temp.hours(2, 3), :'a');
SELECT pg_temp.ready();
ROLLBACK;
SELECT pg_temp.ready();

-- What is cut out may be longer than half of what 64 bits count.
SELECT partreg.register_source('retire long', 'team') AS long_token \gset
SELECT partreg.register_provider('a', :'long_token') IS NOT NULL AS registered;
SELECT partreg.unlock_partition('retire long', 'a', during, :'long_token', register => true)
FROM unnest(ARRAY['[2000-01-01 BC, 210000-01-01)', '[2000-01-01 BC, 60000-01-01)']::tstzrange[]) during;
SELECT partreg.retire_partition('retire long', 'a', '[2000-01-01 BC, 210000-01-01)', :'long_token');
SELECT partreg.ready_ranges('retire long', '(,)');
SELECT * FROM partreg.verify('retire long');

SELECT * FROM partreg.verify('retire');
SELECT event, holder, count(*) FROM partreg.events WHERE source_name = 'retire' AND event = 'retire' GROUP BY 1, 2;

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_retire;
DROP ROLE regress_retire;
