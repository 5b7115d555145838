-- Partitions and their states (src/partition.c, src/bulk.c, src/withdraw.c).
--
-- Plans are kept for the life of a session, while a table may grow from nothing
-- to millions of rows before it is analyzed; so every function that writes
-- says that rows are found by index.

CREATE FUNCTION partreg.register_partition(source_name text, provider_name text, during tstzrange,
                                           access_token text DEFAULT NULL, if_not_exists boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partition(text, text, tstzrange, text, boolean) IS
    'registers an interval that a provider supplies; true: it is new; known: 42710, or false with if_not_exists';

CREATE FUNCTION partreg.lock_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                       lease interval DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partition(text, text, tstzrange, text, text, interval, text) IS
    'locks a partition while its data changes; true: it is newly yours; held by another: 55006';

CREATE FUNCTION partreg.unlock_partition(source_name text, provider_name text, during tstzrange,
                                         access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partition(text, text, tstzrange, text, text) IS
    'says that a partition may be read, locked before or not; true: its state changed; held by another: 55006';

CREATE FUNCTION partreg.fail_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, reason text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.fail_partition(text, text, tstzrange, text, text, text) IS
    'says that the job of a partition gave up: it blocks until unlocked or retired; true: its state changed';

CREATE FUNCTION partreg.retire_partition(source_name text, provider_name text, during tstzrange, access_token text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.retire_partition(text, text, tstzrange, text) IS
    'removes a partition: what only it made available is so no longer, and a lock on it goes too; waits for open writers of the provider';

CREATE FUNCTION partreg.register_partitions(source_name text, provider_name text, during tstzrange, step interval,
                                            access_token text DEFAULT NULL, time_zone text DEFAULT 'UTC')
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partitions(text, text, tstzrange, interval, text, text) IS
    'registers a range cut into steps of the calendar of a time zone; returns how many partitions are new';

CREATE FUNCTION partreg.lock_partitions(source_name text, provider_name text, during tstzrange,
                                        access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                        lease interval DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partitions(text, text, tstzrange, text, text, interval, text) IS
    'locks every partition of a provider that lies within a range, or none; returns how many are newly yours';

CREATE FUNCTION partreg.unlock_partitions(source_name text, provider_name text, during tstzrange,
                                          access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partitions(text, text, tstzrange, text, text) IS
    'unlocks every partition of a provider that lies within a range, or none; returns how many changed';
