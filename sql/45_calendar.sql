-- Dates and steps by the wall clock of a time zone (src/calendar.c).

CREATE FUNCTION partreg.day_range(day date, time_zone text DEFAULT 'UTC')
    RETURNS tstzrange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.day_range(date, text) IS
    'a local date, from its first instant to that of the next one; error 22023 where the zone has no such date';

CREATE FUNCTION partreg.step_ranges(during tstzrange, step interval, time_zone text DEFAULT 'UTC')
    RETURNS SETOF tstzrange
    LANGUAGE c STABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.step_ranges(tstzrange, interval, text) IS
    'the partitions that register_partitions() would register, in order';
