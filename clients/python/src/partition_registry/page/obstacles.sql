-- Why a range of one source is not ready: what explain_readiness() says of its
-- first 100 stretches that are not, with what is of one kind and adjoins as one.
--
-- %(source)s; %(start)s, %(end)s: milliseconds since 1970.
-- Gives one JSON text.  Errors: those of partreg.explain_readiness().
WITH asked AS (
	SELECT tstzrange(to_timestamp(%(start)s::numeric / 1000), to_timestamp(%(end)s::numeric / 1000)) AS during
), stretch AS MATERIALIZED (
	SELECT r, row_number() OVER (ORDER BY r) AS number
	  FROM asked, unnest(tstzmultirange(during) - partreg.ready_ranges(%(source)s, during)) r
), told AS MATERIALIZED (
	SELECT tstzrange(min(lower(r)), max(upper(r))) AS during
	  FROM stretch
	 WHERE number <= 100
	HAVING count(*) > 0
), obstacle AS MATERIALIZED (
	SELECT unnest(range_agg(o.during)) AS during, o.state, o.provider_name, o.holder, o.lease_expires_at, o.reason,
	       CASE WHEN o.state <> 'registered' THEN o.since END AS since
	  FROM told, partreg.explain_readiness(%(source)s, told.during) o
	 GROUP BY o.state, o.provider_name, o.holder, o.lease_expires_at, o.reason, 7
)
SELECT json_build_object(
	'start', %(start)s::numeric,
	'end', %(end)s::numeric,
	'stretches', (SELECT count(*) FROM stretch),
	'told', (SELECT count(*) FROM stretch WHERE number <= 100),
	'count', (SELECT count(*) FROM obstacle),
	'obstacles', (SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
	                         'start', trim_scale(extract(epoch FROM lower(during)) * 1000),
	                         'end', trim_scale(extract(epoch FROM upper(during)) * 1000),
	                         'state', state,
	                         'provider', provider_name,
	                         'holder', holder,
	                         'since', trim_scale(extract(epoch FROM since) * 1000),
	                         'lease', trim_scale(extract(epoch FROM lease_expires_at) * 1000),
	                         'abandoned', CASE WHEN lease_expires_at <= clock_timestamp() AND state = 'locked'
	                                           THEN true END,
	                         'reason', reason)) ORDER BY during, provider_name, state), '[]')
	                FROM (SELECT * FROM obstacle ORDER BY during, provider_name, state LIMIT 200) o))::text AS json
