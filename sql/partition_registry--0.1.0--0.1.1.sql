-- From 0.1.0: what _problems() says of a span that is filed under another
-- source than its provider's, and which levels an upgrade extends where it
-- shares a transaction with GRANTs or runs in a subtransaction.

\echo Use "ALTER EXTENSION partition_registry UPDATE TO '0.1.1'" to load this file. \quit

SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION partreg._problems(wanted integer)
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

CREATE FUNCTION partreg._is_of_this_transaction(row_xmin xid)
    RETURNS boolean
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION partreg._is_of_this_transaction(xid) IS
    'internal: did the current transaction, or one of its subtransactions, write the row that has this xmin?';

REVOKE ALL ON FUNCTION partreg._is_of_this_transaction(xid) FROM PUBLIC;

CREATE OR REPLACE VIEW partreg._granted_level (grantee, level) AS
    WITH granted AS (
        SELECT array_position(ARRAY['reader', 'writer', 'admin'], l.level) AS rank,
               l.level, p.oid AS routine, a.grantee
          FROM pg_proc p
          JOIN partreg._routine_level l ON l.routine = p.proname
          JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
         CROSS JOIN LATERAL aclexplode(p.proacl) a
         WHERE p.pronamespace = 'partreg'::regnamespace AND a.grantee NOT IN (0, p.proowner)
           AND NOT partreg._is_of_this_transaction(d.xmin)
    )
    SELECT DISTINCT ON (r.rolname) r.rolname::text, mine.level
      FROM granted mine
      JOIN pg_roles r ON r.oid = mine.grantee
     WHERE NOT EXISTS (SELECT FROM granted other
                        WHERE other.rank <= mine.rank
                          AND NOT EXISTS (SELECT FROM granted g
                                           WHERE g.grantee = mine.grantee AND g.routine = other.routine))
       AND (SELECT count(DISTINCT g.rank) FROM granted g
             WHERE g.grantee = mine.grantee AND g.rank <= mine.rank) = mine.rank
     ORDER BY r.rolname, mine.rank DESC;

SELECT partreg._extend_privileges();
