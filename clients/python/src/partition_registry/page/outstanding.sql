-- What is locked, failed or late of one source, wherever it lies: the first 100,
-- what blocks before what is late.
--
-- %(source)s.
-- Gives one JSON text.
WITH late AS MATERIALIZED (
	SELECT * FROM partreg.late_partitions WHERE source_name = %(source)s
), outstanding AS (
	SELECT l.provider_name, l.during, l.state, l.holder, l.since, l.lease_expires_at, l.abandoned, l.reason, late.due_at
	  FROM partreg.locks l
	  LEFT JOIN late USING (provider_name, during)
	 WHERE l.source_name = %(source)s
	UNION ALL
	SELECT provider_name, during, state, NULL, NULL, NULL, false, NULL, due_at
	  FROM late
	 WHERE state IN ('registered', 'missing')
), first AS (
	SELECT *
	  FROM outstanding
	 ORDER BY state = 'failed' DESC, abandoned DESC, state = 'locked' DESC, during, provider_name
	 LIMIT 100
)
SELECT json_build_object(
	'count', (SELECT count(*) FROM outstanding),
	'partitions', coalesce(json_agg(json_strip_nulls(json_build_object(
		'start', trim_scale(extract(epoch FROM lower(during)) * 1000),
		'end', trim_scale(extract(epoch FROM upper(during)) * 1000),
		'state', state,
		'provider', provider_name,
		'holder', holder,
		'since', trim_scale(extract(epoch FROM since) * 1000),
		'lease', trim_scale(extract(epoch FROM lease_expires_at) * 1000),
		'abandoned', nullif(abandoned, false),
		'due', trim_scale(extract(epoch FROM due_at) * 1000),
		'reason', reason))), '[]'))::text AS json
  FROM first
