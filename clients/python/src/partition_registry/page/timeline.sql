-- The picture of one source: where it is ready, and where each provider has
-- which state.
--
-- %(source)s; %(start)s, %(end)s: milliseconds since 1970; NULL: where
-- %(whole)s all there is, else some partitions around the end of what is ready;
-- %(columns)s: into how many columns a picture with too many pieces is cut.
--
-- A picture of more than 4,000 pieces is told by columns: each state takes the
-- columns that it touches, so that a column says which states are in it.
-- "missing" is what lies between two pieces of a row.
--
-- Gives one JSON text.  Errors: those of partreg.provider_states().
WITH extent AS MATERIALIZED (
	SELECT min(lower(s.ranges)) AS first, max(upper(s.ranges)) AS last
	  FROM partreg.provider_states(%(source)s, tstzrange('4713-01-01 00:00+00 BC', '294276-01-01 00:00+00')) s
	 WHERE %(start)s::numeric IS NULL
), usual AS MATERIALIZED (
	SELECT first, last, upper(partreg.ready_ranges(%(source)s, '(,)')) AS ready_to,
	       (SELECT p.end_at - p.start_at
	          FROM partreg.partitions p
	         WHERE p.source_name = %(source)s
	         LIMIT 1) AS step
	  FROM extent
	 WHERE first IS NOT NULL
), shown AS MATERIALIZED (
	SELECT CASE WHEN %(start)s::numeric IS NOT NULL
	                THEN tstzrange(to_timestamp(%(start)s / 1000), to_timestamp(%(end)s / 1000))
	            WHEN u.first IS NULL
	                THEN tstzrange(now() - interval '1 day', now())
	            WHEN %(whole)s OR u.step IS NULL
	                THEN tstzrange(u.first, u.last)
	            ELSE tstzrange(greatest(u.first, coalesce(u.ready_to, u.last) - 40 * u.step),
	                           least(u.last, coalesce(u.ready_to, u.last) + 40 * u.step))
	       END AS during
	  FROM extent
	  LEFT JOIN usual u ON true
), known AS MATERIALIZED (
	SELECT NULL AS provider_name, 'ready' AS state, partreg.ready_ranges(%(source)s, during) AS ranges
	  FROM shown
	UNION ALL
	SELECT s.*
	  FROM shown, partreg.provider_states(%(source)s, during) s
), line AS MATERIALIZED (
	SELECT * FROM known
	UNION ALL
	SELECT provider_name, 'missing', tstzmultirange(range_merge(filled)) - filled
	  FROM (SELECT provider_name, range_agg(ranges) AS filled FROM known GROUP BY 1) f
), grid AS MATERIALIZED (
	SELECT extract(epoch FROM lower(during)) AS origin,
	       extract(epoch FROM upper(during) - lower(during)) / %(columns)s::integer AS width,
	       (SELECT count(*) FROM line, unnest(ranges)) > 4000 AS is_coarse
	  FROM shown
), cell AS MATERIALIZED (
	SELECT n, tstzrange(to_timestamp(origin + n * width), to_timestamp(origin + (n + 1) * width)) AS during
	  FROM grid, generate_series(0, %(columns)s::integer - 1) n
	 WHERE is_coarse
), drawn AS (
	SELECT provider_name, state, extract(epoch FROM lower(r)) AS a, extract(epoch FROM upper(r)) AS b
	  FROM grid, line, unnest(ranges) r
	 WHERE NOT is_coarse
	UNION ALL
	SELECT provider_name, state, origin + lower(c) * width, origin + upper(c) * width
	  FROM grid, line, unnest((SELECT range_agg(int4range(n, n + 1)) FROM cell WHERE during && ranges)) c
	 WHERE is_coarse
), drawing AS (
	SELECT provider_name, json_object_agg(state, pieces) AS states
	  FROM (SELECT provider_name, state,
	               json_agg(json_build_array(trim_scale(round(a * 1000, 3)), trim_scale(round(b * 1000, 3)))
	                        ORDER BY a) AS pieces
	          FROM drawn
	         GROUP BY 1, 2) s
	 GROUP BY 1
)
SELECT json_build_object(
	'at', trim_scale(extract(epoch FROM now()) * 1000),
	'start', trim_scale(extract(epoch FROM lower(during)) * 1000),
	'end', trim_scale(extract(epoch FROM upper(during)) * 1000),
	'first', (SELECT trim_scale(extract(epoch FROM first) * 1000) FROM extent),
	'last', (SELECT trim_scale(extract(epoch FROM last) * 1000) FROM extent),
	'coarse', is_coarse,
	'together', coalesce((SELECT states FROM drawing WHERE provider_name IS NULL), '{}'),
	'providers', (SELECT coalesce(json_agg(json_build_object(
	                         'name', p.provider_name,
	                         'revoked', p.revoked_at IS NOT NULL,
	                         'states', coalesce(d.states, '{}')) ORDER BY p.provider_name), '[]')
	                FROM (SELECT provider_name, revoked_at
	                        FROM partreg.providers
	                       WHERE source_name = %(source)s
	                       ORDER BY provider_name
	                       LIMIT 200) p
	                LEFT JOIN drawing d USING (provider_name)))::text AS json
  FROM shown, grid
