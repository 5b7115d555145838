-- Partitions and their states (src/partition.c).

CREATE FUNCTION partreg.register_partition(source_name text, provider_name text, during tstzrange,
                                           access_token text DEFAULT NULL, if_not_exists boolean DEFAULT false)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.register_partition(text, text, tstzrange, text, boolean) IS
    'registers an interval that a provider supplies; true: it is new; known: 42710, or false with if_not_exists';

CREATE FUNCTION partreg.lock_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, holder text DEFAULT NULL,
                                       lease interval DEFAULT NULL, reason text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.lock_partition(text, text, tstzrange, text, text, interval, text) IS
    'locks a partition while its data changes; true: it is newly yours; held by another: 55006';

CREATE FUNCTION partreg.unlock_partition(source_name text, provider_name text, during tstzrange,
                                         access_token text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.unlock_partition(text, text, tstzrange, text, text) IS
    'says that a partition may be read, locked before or not; true: its state changed; held by another: 55006';

CREATE FUNCTION partreg.fail_partition(source_name text, provider_name text, during tstzrange,
                                       access_token text DEFAULT NULL, reason text DEFAULT NULL, holder text DEFAULT NULL)
    RETURNS boolean
    LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.fail_partition(text, text, tstzrange, text, text, text) IS
    'says that the job of a partition gave up: it blocks until unlocked or retired; true: its state changed';
