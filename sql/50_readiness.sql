-- Questions (src/readiness.c, src/explain.c).  They are STABLE and run as their
-- invoker: they answer from the caller's snapshot, and EXECUTE on them is the
-- gate.

CREATE FUNCTION partreg.check_readiness(source_name text, during tstzrange)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.check_readiness(text, tstzrange) IS
    'is every instant of the range available, and nothing in it locked or failed?  never NULL';

CREATE FUNCTION partreg.check_readiness(source_name text, start_at timestamptz, end_at timestamptz)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'check_readiness_between';
COMMENT ON FUNCTION partreg.check_readiness(text, timestamptz, timestamptz) IS
    'is every instant of [start_at, end_at) available, and nothing in it locked or failed?  never NULL';

CREATE TYPE partreg.obstacle AS (
    during           tstzrange,
    state            text,
    provider_name    text,
    since            timestamptz,
    holder           text,
    lease_expires_at timestamptz,
    reason           text
);
COMMENT ON TYPE partreg.obstacle IS 'what keeps a piece of a range from being ready: locked, failed, registered (never unlocked) or missing';

CREATE FUNCTION partreg.explain_readiness(source_name text, during tstzrange)
    RETURNS SETOF partreg.obstacle
    LANGUAGE c STABLE PARALLEL SAFE ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.explain_readiness(text, tstzrange) IS
    'what keeps the range from being ready, piece by piece; no row means ready';

CREATE FUNCTION partreg.assert_ready(source_name text, during tstzrange)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.assert_ready(text, tstzrange) IS
    'true when the range is ready, else error 55000 with the first five obstacles in its DETAIL';

CREATE FUNCTION partreg.all_ready(source_names text[], during tstzrange)
    RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.all_ready(text[], tstzrange) IS
    'is the range ready in each of the sources?  never NULL';

CREATE FUNCTION partreg.ready_until(source_name text, since timestamptz)
    RETURNS timestamptz
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.ready_until(text, timestamptz) IS
    'the first instant from since on that is not ready; NULL when since itself is not';

CREATE FUNCTION partreg.ready_ranges(source_name text, during tstzrange)
    RETURNS tstzmultirange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.ready_ranges(text, tstzrange) IS
    'the part of a range, which may be unbounded, that is ready';

CREATE TYPE partreg.provider_state AS (
    provider_name text,
    state         text,
    ranges        tstzmultirange
);
COMMENT ON TYPE partreg.provider_state IS 'where a provider''s partitions are in a state: failed, locked, unlocked, late or registered';

CREATE FUNCTION partreg.provider_states(source_name text, during tstzrange)
    RETURNS SETOF partreg.provider_state
    LANGUAGE c STABLE PARALLEL SAFE ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.provider_states(text, tstzrange) IS
    'for pictures: of each provider, where in the range it has which state; each instant has the first of failed, locked, unlocked, late, registered';
