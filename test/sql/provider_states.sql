-- provider_states: of each provider, where it has which state.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS partition_registry CASCADE;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

CREATE ROLE regress_states;
SELECT partreg.grant_privileges('regress_states', 'admin');
SET SESSION AUTHORIZATION regress_states;

-- In hours of 2024-01-01, in the order of the answer
CREATE FUNCTION pg_temp.hours(a numeric, b numeric) RETURNS tstzrange LANGUAGE sql AS $$
    SELECT tstzrange(t + a * interval '1 hour', t + b * interval '1 hour')
    FROM (SELECT timestamptz '2024-01-01 00:00+00') x (t)
$$;
CREATE FUNCTION pg_temp.states(a numeric, b numeric) RETURNS TABLE (provider text, state text, hours text) LANGUAGE sql AS $$
    SELECT provider_name, state, (SELECT string_agg(to_char(lower(r), 'FMHH24:MI') || '-' || to_char(upper(r), 'FMHH24:MI'), ' ' ORDER BY r) FROM unnest(ranges) r)
    FROM partreg.provider_states('states', pg_temp.hours(a, b))
$$;

SELECT partreg.register_source('states', 'team', trusted_role => 'regress_states') IS NOT NULL AS registered;
SELECT partreg.register_provider(name, NULL, 'regress_states', source_name => 'states') IS NOT NULL AS registered FROM unnest(ARRAY['z', 'a', 'idle']) name;
SELECT * FROM pg_temp.states(0, 24);

-- Neighbours are one, whatever partitions they are of.
SELECT partreg.register_partitions('states', 'a', pg_temp.hours(0, 8), '1 hour'),
       partreg.unlock_partitions('states', 'a', pg_temp.hours(0, 4)),
       partreg.unlock_partition('states', 'z', pg_temp.hours(2, 3), register => true);
SELECT * FROM pg_temp.states(0, 24);
SELECT partreg.lock_partition('states', 'a', pg_temp.hours(2, 3)), partreg.lock_partition('states', 'a', pg_temp.hours(4, 5)),
       partreg.fail_partition('states', 'a', pg_temp.hours(3, 4)), partreg.fail_partition('states', 'a', pg_temp.hours(6, 7));
SELECT * FROM pg_temp.states(0, 24);
-- Cut to the range.
SELECT * FROM pg_temp.states(1.5, 2.5);
SELECT * FROM pg_temp.states(8, 9);

-- Late: what is registered, and what is missing; not what is locked or failed.
SELECT partreg.set_deadline('states', 'a', '1 hour'), partreg.set_calendar('states', 'a', '1 hour', '2024-01-01', closed => tstzmultirange(tstzrange('2024-01-01 07:30', '2024-01-01 08:30'), tstzrange('2024-01-01 12:00', NULL)));
SELECT * FROM pg_temp.states(0, 24);
SELECT * FROM pg_temp.states(9.5, 10.5);

-- One state at each instant: the first of failed, locked, unlocked, late,
-- registered.
SELECT partreg.register_partition('states', 'z', pg_temp.hours(0, 8)), partreg.unlock_partition('states', 'z', pg_temp.hours(1, 3), register => true);
SELECT * FROM pg_temp.states(0, 24) WHERE provider = 'z';
SELECT partreg.lock_partition('states', 'z', pg_temp.hours(2, 5), register => true), partreg.fail_partition('states', 'z', pg_temp.hours(2, 3));
SELECT * FROM pg_temp.states(0, 24) WHERE provider = 'z';
SELECT partreg.set_deadline('states', 'z', '0');
SELECT * FROM pg_temp.states(0, 24) WHERE provider = 'z';

-- Errors.
CREATE FUNCTION pg_temp.condition(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    word text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS word = CONSTRAINT_NAME;
    RETURN SQLSTATE || ' ' || word || ': ' || SQLERRM;
END;
$$;
SELECT statement, pg_temp.condition('SELECT * FROM partreg.provider_states' || statement)
FROM unnest(ARRAY[
    $$(NULL, '[2024-01-01, 2024-01-02)')$$,
    $$('states', NULL)$$,
    $$('states', '[2024-01-01,)')$$,
    $$('states', 'empty')$$,
    $$('nowhere', '[2024-01-01, 2024-01-02)')$$]) statement;

RESET SESSION AUTHORIZATION;
SET client_min_messages = error;
DROP OWNED BY regress_states;
DROP ROLE regress_states;
