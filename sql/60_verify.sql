-- verify(): does everything derived agree with the partitions?  It reads the
-- tables, so it runs as the owner of the extension.

CREATE TYPE partreg.problem AS (
    source_name text,
    problem     text
);
COMMENT ON TYPE partreg.problem IS 'something derived that does not agree with the partitions';

CREATE FUNCTION partreg._length_class(start_at timestamptz, end_at timestamptz)
    RETURNS smallint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._length_class(timestamptz, timestamptz) IS
    'internal: the smallest c with end_at - start_at <= 2^c microseconds';

CREATE FUNCTION partreg._problems(wanted integer)
    RETURNS TABLE (source_id integer, problem text)
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        -- Who does not belong to anybody
        SELECT p.source_id, format('provider %s belongs to no source', p.name)
          FROM partreg.provider p
         WHERE wanted IS NULL
           AND NOT EXISTS (SELECT FROM partreg.source s WHERE s.id = p.source_id)
        UNION ALL
        SELECT NULL::integer, format('partition [%s, %s) of provider number %s belongs to no provider',
                                   p.start_at, p.end_at, p.provider_id)
          FROM partreg.partition p
         WHERE wanted IS NULL
           AND NOT EXISTS (SELECT FROM partreg.provider v WHERE v.id = p.provider_id)
        UNION ALL
        SELECT c.source_id, format('span [%s, %s) of provider number %s belongs to no provider of the source',
                                   c.span_start, c.span_end, c.provider_id)
          FROM partreg.coverage c
         WHERE (wanted IS NULL OR c.source_id = wanted)
           AND NOT EXISTS (SELECT FROM partreg.provider v
                            WHERE v.id = c.provider_id AND v.source_id = c.source_id)
        UNION ALL
        SELECT l.source_id, format('lock on [%s, %s) of provider number %s belongs to no partition of the source',
                                   l.start_at, l.end_at, l.provider_id)
          FROM partreg.lock l
         WHERE (wanted IS NULL OR l.source_id = wanted)
           AND NOT EXISTS (SELECT FROM partreg.partition p
                             JOIN partreg.provider v ON v.id = p.provider_id
                            WHERE p.provider_id = l.provider_id AND p.length_class = l.length_class
                              AND p.start_at = l.start_at AND p.end_at = l.end_at
                              AND v.source_id = l.source_id)
        UNION ALL
        -- What the tables' own constraints do not refuse
        SELECT s.id, format('the rule of the source is %L', s.rule)
          FROM partreg.source s
         WHERE (wanted IS NULL OR s.id = wanted) AND s.rule NOT IN ('any', 'all')
        UNION ALL
        SELECT l.source_id, format('lock on [%s, %s) of provider number %s has the state %L',
                                   l.start_at, l.end_at, l.provider_id, l.state)
          FROM partreg.lock l
         WHERE (wanted IS NULL OR l.source_id = wanted) AND l.state NOT IN ('locked', 'failed')
        UNION ALL
        SELECT c.source_id, format('span [%s, %s) of provider number %s holds nothing',
                                   c.span_start, c.span_end, c.provider_id)
          FROM partreg.coverage c
         WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end <= c.span_start
        UNION ALL
        -- Where no index scan would find it
        SELECT v.source_id, format('partition %s of provider %s is filed under a wrong length class',
                                   tstzrange(p.start_at, p.end_at), v.name)
          FROM partreg.partition p
          JOIN partreg.provider v ON v.id = p.provider_id
         WHERE (wanted IS NULL OR v.source_id = wanted)
           AND p.length_class <> partreg._length_class(p.start_at, p.end_at)
        UNION ALL
        -- Spans against what has been unlocked
        SELECT a.source_id, format('spans %s and %s of provider %s overlap',
                                   tstzrange(a.span_start, a.span_end),
                                   tstzrange(b.span_start, b.span_end), v.name)
          FROM (SELECT c.source_id, c.provider_id, c.span_start, c.span_end,
                       lead(c.span_start) OVER w AS next_start, lead(c.span_end) OVER w AS next_end
                  FROM partreg.coverage c
                 WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end > c.span_start
                WINDOW w AS (PARTITION BY c.provider_id ORDER BY c.span_start)) a
          CROSS JOIN LATERAL (VALUES (a.next_start, a.next_end)) AS b (span_start, span_end)
          JOIN partreg.provider v ON v.id = a.provider_id
         WHERE a.span_end > b.span_start
        UNION ALL
        SELECT v.source_id, format('%s was unlocked by provider %s but is not in its spans', piece, v.name)
          FROM partreg.provider v
          JOIN (SELECT p.provider_id, partreg.coalesce_ranges(tstzrange(p.start_at, p.end_at)) AS ranges
                  FROM partreg.partition p
                 WHERE p.first_unlocked_at IS NOT NULL
                   AND (wanted IS NULL OR p.provider_id IN
                        (SELECT o.id FROM partreg.provider o WHERE o.source_id = wanted))
                 GROUP BY p.provider_id) unlocked ON unlocked.provider_id = v.id
          LEFT JOIN (SELECT c.source_id, c.provider_id, partreg.coalesce_ranges(tstzrange(c.span_start, c.span_end)) AS ranges
                  FROM partreg.coverage c
                 WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end > c.span_start
                 GROUP BY c.source_id, c.provider_id) covered
            ON covered.source_id = v.source_id AND covered.provider_id = v.id
         CROSS JOIN LATERAL unnest(unlocked.ranges - coalesce(covered.ranges, '{}')) AS piece
        UNION ALL
        SELECT v.source_id, format('%s is in the spans of provider %s but was not unlocked by it', piece, v.name)
          FROM partreg.provider v
          JOIN (SELECT c.source_id, c.provider_id, partreg.coalesce_ranges(tstzrange(c.span_start, c.span_end)) AS ranges
                  FROM partreg.coverage c
                 WHERE (wanted IS NULL OR c.source_id = wanted) AND c.span_end > c.span_start
                 GROUP BY c.source_id, c.provider_id) covered
            ON covered.source_id = v.source_id AND covered.provider_id = v.id
          LEFT JOIN (SELECT p.provider_id, partreg.coalesce_ranges(tstzrange(p.start_at, p.end_at)) AS ranges
                  FROM partreg.partition p
                 WHERE p.first_unlocked_at IS NOT NULL
                   AND (wanted IS NULL OR p.provider_id IN
                        (SELECT o.id FROM partreg.provider o WHERE o.source_id = wanted))
                 GROUP BY p.provider_id) unlocked ON unlocked.provider_id = v.id
         CROSS JOIN LATERAL unnest(covered.ranges - coalesce(unlocked.ranges, '{}')) AS piece;
    END;
COMMENT ON FUNCTION partreg._problems(integer) IS 'internal: what verify() reports of a source, or (NULL) of all';

CREATE FUNCTION partreg.verify(source_name text DEFAULT NULL)
    RETURNS SETOF partreg.problem
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    wanted integer;
BEGIN
    IF source_name IS NOT NULL THEN
        SELECT s.id INTO wanted FROM partreg.source s WHERE s.name = source_name;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'undefined_object',
                MESSAGE = 'the source to be verified does not exist',
                HINT = 'The view partreg.sources lists the sources.';
        END IF;
    END IF;
    RETURN QUERY
        SELECT s.name, p.problem
          FROM partreg._problems(wanted) p
          LEFT JOIN partreg.source s ON s.id = p.source_id
         ORDER BY 1, 2;
END;
$$;
COMMENT ON FUNCTION partreg.verify(text) IS
    'what of a source (NULL: of all) does not agree with its partitions; no row means that all is well';
