-- One source, one provider, one day.  Played by scripts/quickstart; to play it
-- elsewhere, as a superuser, in a database that has the extension:
--   psql -a -f examples/walk_through.sql

SET TimeZone = 'UTC';
\pset footer off

-- 1. A source is registered by its owner, who gets its token. It is shown this
--    once and kept by nobody else: the registry stores only its digest.
SELECT partreg.register_source('public.some_source', 'ivan.ivanov@company.com') AS source_token \gset
\echo :source_token

-- 2. The name is taken now.
SELECT partreg.register_source('public.some_source', 'ivan.ivanov@company.com');
\echo SQLSTATE :SQLSTATE

-- 3. A provider of it. Its token is good for its own partitions, nothing else.
SELECT partreg.register_provider('some_provider', :'source_token') AS provider_token \gset
\echo :provider_token

-- 4. A day that it will supply, ...
SELECT partreg.register_partition('public.some_source', 'some_provider',
                                  '[2000-01-01, 2000-01-02)', :'provider_token');

-- 5. ... and has supplied.
SELECT partreg.unlock_partition('public.some_source', 'some_provider',
                                '[2000-01-01, 2000-01-02)', :'provider_token');

-- 6. May the day be read, but for its last hour?
SELECT partreg.check_readiness('public.some_source', '[2000-01-01 00:00, 2000-01-01 23:00)');

-- 7. And all of it, with an hour of the next day? Which part is missing?
SELECT partreg.check_readiness('public.some_source', '[2000-01-01 00:00, 2000-01-02 01:00)');
SELECT during, state, provider_name
FROM partreg.explain_readiness('public.some_source', '[2000-01-01 00:00, 2000-01-02 01:00)');

-- 8. The provider takes the day back, to load it again. Who holds it?
SELECT partreg.lock_partition('public.some_source', 'some_provider',
                              '[2000-01-01, 2000-01-02)', :'provider_token',
                              holder => 'attempt 42', reason => 'loading again');
SELECT partreg.check_readiness('public.some_source', '[2000-01-01 00:00, 2000-01-01 23:00)');
SELECT state, provider_name, holder, reason
FROM partreg.explain_readiness('public.some_source', '[2000-01-01 00:00, 2000-01-01 23:00)');

-- 9. Done.
SELECT partreg.unlock_partition('public.some_source', 'some_provider',
                                '[2000-01-01, 2000-01-02)', :'provider_token',
                                holder => 'attempt 42');

-- 10. A worker with a short lease goes silent. Another takes the day over,
--     loads it, and says that it is done in the transaction of its rows.
CREATE TEMPORARY TABLE rows_of_the_day (loaded_by text);
SELECT partreg.lock_partition('public.some_source', 'some_provider',
                              '[2000-01-01, 2000-01-02)', :'provider_token',
                              holder => 'attempt 43', lease => '0');
SELECT partreg.lock_partition('public.some_source', 'some_provider',
                              '[2000-01-01, 2000-01-02)', :'provider_token',
                              holder => 'attempt 44', lease => '1 hour');
BEGIN;
INSERT INTO rows_of_the_day VALUES ('attempt 44');
SELECT partreg.unlock_partition('public.some_source', 'some_provider',
                                '[2000-01-01, 2000-01-02)', :'provider_token',
                                holder => 'attempt 44');
COMMIT;

-- 11. The first one wakes up late and means to finish. It is refused, and its
--     rows are rolled back with it.
BEGIN;
INSERT INTO rows_of_the_day VALUES ('attempt 43');
SELECT partreg.unlock_partition('public.some_source', 'some_provider',
                                '[2000-01-01, 2000-01-02)', :'provider_token',
                                holder => 'attempt 43');
\echo SQLSTATE :SQLSTATE
COMMIT;
SELECT * FROM rows_of_the_day;
SELECT partreg.check_readiness('public.some_source', '[2000-01-01, 2000-01-02)');
