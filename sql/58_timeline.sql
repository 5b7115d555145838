-- A picture for psql (src/timeline.c).  Parallel restricted: a parallel worker
-- does not know the client's encoding.

CREATE FUNCTION partreg.timeline(source_name text, during tstzrange, width integer DEFAULT 72)
    RETURNS SETOF text
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg.timeline(text, tstzrange, integer) IS
    'a picture of a range, in UTC: a lane for all providers together and one for each; no line is wider than width, 20 to 200';
