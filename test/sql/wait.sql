-- wait_until_ready: what it refuses, and what a session can see of it alone.
-- Two sessions are in test/t/013_wait.pl.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_wait_team;
CREATE ROLE regress_wait_reader;
CREATE ROLE regress_wait_none;
SELECT partreg.grant_privileges('regress_wait_team', 'admin');
SELECT partreg.grant_privileges('regress_wait_reader', 'reader');
SET SESSION AUTHORIZATION regress_wait_team;

SELECT partreg.register_source('wait', 'team') AS source_token \gset
SELECT partreg.register_provider('p', :'source_token') AS p \gset
SELECT partreg.register_partitions('wait', 'p', '[2024-01-01, 2024-01-04)', '1 day', :'p');
SELECT partreg.unlock_partition('wait', 'p', '[2024-01-01, 2024-01-02)', :'p');

-- What is ready ends at once, whatever the timeout.
SET SESSION AUTHORIZATION regress_wait_reader;
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '1 hour', '1 hour');
CALL partreg.wait_until_ready(source_name => 'wait', during => '[2024-01-01, 2024-01-02)', timeout => '1 hour', poll => NULL);

-- What is not: when the timeout is over, which may be at once.
\set VERBOSITY sqlstate
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-03)', '0');
\set VERBOSITY terse
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-03)', '0');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-03)', '30 ms', '1 hour');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-03)', '30 ms', '0');
\set VERBOSITY default
SELECT clock_timestamp() AS before \gset
CALL partreg.wait_until_ready('wait', '[2025-01-01, 2025-01-02)', '250 ms', '100 ms');
SELECT clock_timestamp() - :'before' BETWEEN '250 ms' AND '5 s' AS in_time;
-- The longest length of time
SET statement_timeout = '200ms';
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-03)', '9223372036854775807 us', '9223372036854775807 us');
RESET statement_timeout;

-- A failed partition ends it at once; a locked one does not.
SET SESSION AUTHORIZATION regress_wait_team;
SELECT partreg.lock_partition('wait', 'p', '[2024-01-02, 2024-01-03)', :'p', 'job'),
       partreg.fail_partition('wait', 'p', '[2024-01-03, 2024-01-04)', :'p', NULL, 'disk full');
SET SESSION AUTHORIZATION regress_wait_reader;
\set VERBOSITY sqlstate
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-03)', '30 ms');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-04)', '1 hour');
CALL partreg.wait_until_ready('wait', '[2024-01-03, 2024-01-04)', '0');

-- Arguments.
CALL partreg.wait_until_ready(NULL, '[2024-01-01, 2024-01-02)', '0');
CALL partreg.wait_until_ready('wait', NULL, '0');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', NULL);
CALL partreg.wait_until_ready('wait', 'empty', '0');
CALL partreg.wait_until_ready('wait', '[2024-01-01,)', '0');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '1 month');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '-1 s');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '1 s', '1 year');
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '1 s', '-1 us');
CALL partreg.wait_until_ready('nobody', '[2024-01-01, 2024-01-02)', '0');
CALL partreg.wait_until_ready(repeat('x', 1000000), '[2024-01-01, 2024-01-02)', '0');
CALL partreg.wait_until_ready(:'p', '[2024-01-01, 2024-01-02)', '0');

-- Where a transaction cannot be ended, it does not even look.
BEGIN;
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');
ROLLBACK;
SELECT 1 \; CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');
CREATE FUNCTION pg_temp.waits() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');
END $$;
SELECT pg_temp.waits();
DO $$
BEGIN
    CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');
EXCEPTION WHEN lock_not_available THEN
END $$;
\set VERBOSITY default
BEGIN;
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');
ROLLBACK;

-- A procedure and a DO block can wait, where they are called by themselves.
DO $$
DECLARE
    row record;
BEGIN
    FOR row IN SELECT * FROM generate_series(1, 2) LOOP
        CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '1 s');
    END LOOP;
    CALL partreg.wait_until_ready('wait', '[2025-01-01, 2025-01-02)', '50 ms', '10 ms');
END $$;

-- EXECUTE is the gate.
SET SESSION AUTHORIZATION regress_wait_none;
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA partreg TO regress_wait_none;
SET SESSION AUTHORIZATION regress_wait_none;
CALL partreg.wait_until_ready('wait', '[2024-01-01, 2024-01-02)', '0');

RESET SESSION AUTHORIZATION;
SELECT partreg.drop_source('wait', :'source_token');
SELECT partreg.grant_privileges(role, 'none') FROM unnest(ARRAY['regress_wait_team', 'regress_wait_reader', 'regress_wait_none']) role;
DROP OWNED BY regress_wait_reader, regress_wait_none;
DROP ROLE regress_wait_team, regress_wait_reader, regress_wait_none;
