-- coalesce_ranges: the union of ranges, as range_agg gives it.  The state and
-- its formats are explained at the head of src/coalesce.c.

CREATE FUNCTION partreg._coalesce_ranges_add(state internal, during tstzrange)
    RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_add(internal, tstzrange) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_add(internal, tstzrange) IS
    'internal: one more row of coalesce_ranges';

CREATE FUNCTION partreg._coalesce_ranges_combine(state internal, other internal)
    RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_combine(internal, internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_combine(internal, internal) IS
    'internal: two states of coalesce_ranges made one';

CREATE FUNCTION partreg._coalesce_ranges_serialize(state internal)
    RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_serialize(internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_serialize(internal) IS
    'internal: a state of coalesce_ranges on its way to the leader of a parallel query';

CREATE FUNCTION partreg._coalesce_ranges_deserialize(bytes bytea, state internal)
    RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_deserialize(bytea, internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_deserialize(bytea, internal) IS
    'internal: a state of coalesce_ranges received by the leader of a parallel query';

CREATE FUNCTION partreg._coalesce_ranges_final(state internal)
    RETURNS tstzmultirange
    LANGUAGE c IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';

REVOKE ALL ON FUNCTION partreg._coalesce_ranges_final(internal) FROM PUBLIC;
COMMENT ON FUNCTION partreg._coalesce_ranges_final(internal) IS
    'internal: the result of coalesce_ranges';

CREATE AGGREGATE partreg.coalesce_ranges(during tstzrange) (
    SFUNC = partreg._coalesce_ranges_add,
    STYPE = internal,
    FINALFUNC = partreg._coalesce_ranges_final,
    COMBINEFUNC = partreg._coalesce_ranges_combine,
    SERIALFUNC = partreg._coalesce_ranges_serialize,
    DESERIALFUNC = partreg._coalesce_ranges_deserialize,
    PARALLEL = SAFE
);

REVOKE ALL ON FUNCTION partreg.coalesce_ranges(tstzrange) FROM PUBLIC;
COMMENT ON AGGREGATE partreg.coalesce_ranges(tstzrange) IS
    'the union of all ranges, as range_agg gives it';
