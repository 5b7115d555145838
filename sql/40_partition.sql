-- Partitions and their states (src/partition.c, src/bulk.c, src/withdraw.c).
--
-- Plans are kept for the life of a session, while a table may grow from nothing
-- to millions of rows before it is analyzed.  So every function that runs SQL
-- statements has SET enable_seqscan = off: rows are found by index.

CREATE FUNCTION partreg.register_partition(source_name text, provider_name text, during tstzrange,
                                           access_token text DEFAULT NULL, if_not_exists boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partition(text, text, tstzrange, text, boolean) IS
    'registers an interval that a provider is to supply; true if it is new; error 42710 if it is known, or false with if_not_exists';

CREATE FUNCTION partreg.register_partitions(source_name text, provider_name text, during tstzrange, step interval,
                                            access_token text DEFAULT NULL, time_zone text DEFAULT 'UTC')
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partitions(text, text, tstzrange, interval, text, text) IS
    'registers a range cut into steps by the wall clock of a time zone; returns how many partitions are new';

CREATE FUNCTION partreg.lock_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                       lease interval DEFAULT NULL, reason text DEFAULT NULL,
                                       register boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partition(text, text, tstzrange, text, text, interval, text, boolean) IS
    'locks a partition while its data changes; true if the lock is newly yours; error 55006 if another holder has it; register: registers it first where it is not known';

CREATE FUNCTION partreg.lock_partitions(source_name text, provider_name text, during tstzrange,
                                        access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                        lease interval DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partitions(text, text, tstzrange, text, text, interval, text) IS
    'locks every partition of a provider that lies within a range, or none; returns how many are newly yours';

CREATE FUNCTION partreg.renew_lease(source_name text, provider_name text, during tstzrange, lease interval,
                                    access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS timestamptz
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.renew_lease(text, text, tstzrange, interval, text, text) IS
    'gives the lock of a holder another lease, and never takes a lock; returns when it ends; error 55006 if the holder does not have the lock';

CREATE FUNCTION partreg.renew_leases(source_name text, provider_name text, during tstzrange, lease interval,
                                     access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.renew_leases(text, text, tstzrange, interval, text, text) IS
    'gives every lock of a holder within a range another lease; returns how many there are; error 55006 if there is none';

CREATE FUNCTION partreg.unlock_partition(source_name text, provider_name text, during tstzrange,
                                         access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                         register boolean DEFAULT false, details jsonb DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partition(text, text, tstzrange, text, text, boolean, jsonb) IS
    'says that a partition may be read; true if its state changed; a holder that is named has to have the lock: error 55006 if not, 55000 if it has unlocked already';

CREATE FUNCTION partreg.unlock_partitions(source_name text, provider_name text, during tstzrange,
                                          access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                          details jsonb DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partitions(text, text, tstzrange, text, text, jsonb) IS
    'unlocks every partition of a provider that lies within a range, or none; returns how many changed';

CREATE FUNCTION partreg.fail_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                       reason text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.fail_partition(text, text, tstzrange, text, text, text) IS
    'says that the job of a partition has given up: it blocks until it is unlocked or retired; true if its state changed; a holder that is named has to have the lock: error 55006 if not';

CREATE FUNCTION partreg.fail_partitions(source_name text, provider_name text, during tstzrange,
                                        access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                        reason text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.fail_partitions(text, text, tstzrange, text, text, text) IS
    'fails every partition of a provider that lies within a range, or none; returns how many changed';

CREATE FUNCTION partreg.force_fail_partition(source_name text, provider_name text, during tstzrange, reason text)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.force_fail_partition(text, text, tstzrange, text) IS
    'fails a partition whoever holds it, without a token; true if its state changed; for operators';

CREATE FUNCTION partreg.retire_partition(source_name text, provider_name text, during tstzrange,
                                         access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.retire_partition(text, text, tstzrange, text, text) IS
    'removes a partition, with what only it made available and with its lock; waits for the provider''s open writers; error 55006 if another holder has the lock';

CREATE FUNCTION partreg.retire_partitions(source_name text, provider_name text, during tstzrange,
                                          access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.retire_partitions(text, text, tstzrange, text, text) IS
    'retires every partition of a provider that lies within a range, or none; returns how many there were';
