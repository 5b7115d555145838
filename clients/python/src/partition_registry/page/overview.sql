-- The list: each source, how far it is ready, how much is outstanding, and of
-- what blocks and of what is late the one to look at first.
--
-- %(sources)s: the names to tell of; NULL: all.
-- Gives one JSON text.  Times are milliseconds since 1970, in UTC.
WITH asked AS (
	SELECT %(sources)s::text[] AS names
), blocking AS (
	SELECT DISTINCT ON (l.source_name) l.*
	  FROM partreg.locks l, asked
	 WHERE asked.names IS NULL OR l.source_name = ANY (asked.names)
	 ORDER BY l.source_name, l.state = 'failed' DESC, l.abandoned DESC, l.since
), overdue AS (
	SELECT DISTINCT ON (l.source_name) l.*
	  FROM partreg.late_partitions l, asked
	 WHERE asked.names IS NULL OR l.source_name = ANY (asked.names)
	 ORDER BY l.source_name, l.due_at
)
SELECT json_build_object(
	'at', trim_scale(extract(epoch FROM now()) * 1000),
	'sources', coalesce(json_agg(json_strip_nulls(json_build_object(
		'name', s.source_name,
		'owner', s.owner,
		'rule', nullif(s.rule, 'any'),
		'ready_to', trim_scale(extract(epoch FROM t.ready_to) * 1000),
		'locked', nullif(t.locked, 0),
		'failed', nullif(t.failed, 0),
		'abandoned', nullif(t.abandoned, 0),
		'late', nullif(t.late, 0),
		'blocking', CASE WHEN b.source_name IS NOT NULL THEN json_build_object(
			'provider', b.provider_name,
			'state', b.state,
			'abandoned', nullif(b.abandoned, false),
			'holder', b.holder,
			'since', trim_scale(extract(epoch FROM b.since) * 1000),
			'reason', b.reason) END,
		'overdue', CASE WHEN o.source_name IS NOT NULL THEN json_build_object(
			'provider', o.provider_name,
			'due', trim_scale(extract(epoch FROM o.due_at) * 1000)) END))), '[]'))::text AS json
  FROM asked
  JOIN partreg.sources s ON asked.names IS NULL OR s.source_name = ANY (asked.names)
  JOIN partreg.stats t USING (source_name)
  LEFT JOIN blocking b USING (source_name)
  LEFT JOIN overdue o USING (source_name)
