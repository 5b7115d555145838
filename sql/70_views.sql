-- Views for people and dashboards.  No view shows a digest.
--
-- PostgreSQL checks the functions in a view against the role that reads the view,
-- and the tables against the owner of the view.  So only functions that everybody,
-- or every level, may call are used here.

CREATE VIEW partreg.sources AS
    SELECT s.name AS source_name, s.owner, s.rule, s.registered_at, s.token_changed_at,
           s.trusted_role, s.id AS source_id
      FROM partreg.source s;
COMMENT ON VIEW partreg.sources IS 'data sets, who owns them and their readiness rule';

CREATE VIEW partreg.providers AS
    SELECT s.name AS source_name, p.name AS provider_name, p.trusted_role, p.effective, p.deadline,
           p.calendar_step, p.calendar_start, p.calendar_zone, p.calendar_closed,
           p.registered_at, p.token_changed_at, p.old_token_until, p.revoked_at,
           p.source_id, p.id AS provider_id
      FROM partreg.provider p
      JOIN partreg.source s ON s.id = p.source_id;
COMMENT ON VIEW partreg.providers IS 'jobs that fill the sources';

CREATE VIEW partreg.partitions AS
    SELECT s.name AS source_name, v.name AS provider_name, p.start_at, p.end_at,
           CASE WHEN l.state IS NOT NULL THEN l.state
                WHEN p.unlocked THEN 'unlocked'
                ELSE 'registered'
           END AS state,
           p.registered_at, p.first_unlocked_at
      FROM partreg._partition p
      JOIN partreg.provider v ON v.id = p.provider_id
      JOIN partreg.source s ON s.id = v.source_id
      LEFT JOIN partreg.lock l
             ON l.source_id = v.source_id AND l.length_class = p.length_class
            AND l.start_at = p.start_at AND l.end_at = p.end_at AND l.provider_id = p.provider_id;
COMMENT ON VIEW partreg.partitions IS 'time intervals, who supplies them and their state';

CREATE VIEW partreg.locks AS
    SELECT s.name AS source_name, v.name AS provider_name, tstzrange(l.start_at, l.end_at) AS during,
           l.state, l.holder, l.since, l.lease_expires_at,
           l.state = 'locked' AND l.lease_expires_at IS NOT NULL
               AND l.lease_expires_at <= clock_timestamp() AS abandoned,
           l.reason
      FROM partreg.lock l
      JOIN partreg.provider v ON v.id = l.provider_id
      JOIN partreg.source s ON s.id = l.source_id;
COMMENT ON VIEW partreg.locks IS 'partitions that are locked or failed, by whom, and whether the lease has run out (abandoned)';

CREATE VIEW partreg.events AS
    SELECT e.id AS event_id, e.event, e.source_name, e.provider_name,
           CASE WHEN e.start_at IS NOT NULL THEN tstzrange(e.start_at, e.end_at) END AS during,
           e.at, e.actor, e.holder, e.reason, e.details,
           CASE e.credential
                WHEN 's' THEN 'source_token'
                WHEN 'p' THEN 'provider_token'
                WHEN 'o' THEN 'old_token'
                WHEN 't' THEN 'trusted_role'
                WHEN 'x' THEN 'operator'
                WHEN 'w' THEN 'owner'
           END AS credential
      FROM partreg.event e;
COMMENT ON VIEW partreg.events IS 'what happened, to what, by whom, by which right and when';

CREATE VIEW partreg.late_partitions AS
    SELECT s.name AS source_name, v.name AS provider_name, l.during, l.state, l.due_at
      FROM partreg._list_late() l
      JOIN partreg.provider v ON v.id = l.provider_id
      JOIN partreg.source s ON s.id = l.source_id;
COMMENT ON VIEW partreg.late_partitions IS 'partitions that were never unlocked and are past their deadline, and those that the calendar expects and nobody registered (missing); unknown: the server does not know the time zone of the calendar';

CREATE VIEW partreg.stats AS
    SELECT s.name AS source_name,
           coalesce(v.providers, 0) AS providers,
           coalesce(k.locked, 0) AS locked,
           coalesce(k.failed, 0) AS failed,
           coalesce(k.abandoned, 0) AS abandoned,
           coalesce(l.late, 0) AS late,
           k.oldest_lock_at,
           r.ready_to
      FROM partreg.source s
      LEFT JOIN (SELECT p.source_id, count(*) AS providers
                   FROM partreg.provider p
                  GROUP BY p.source_id) v ON v.source_id = s.id
      LEFT JOIN (SELECT x.source_id,
                        count(*) FILTER (WHERE x.state = 'locked') AS locked,
                        count(*) FILTER (WHERE x.state = 'failed') AS failed,
                        count(*) FILTER (WHERE x.state = 'locked'
                                           AND x.lease_expires_at <= clock_timestamp()) AS abandoned,
                        min(x.since) FILTER (WHERE x.state = 'locked') AS oldest_lock_at
                   FROM partreg.lock x
                  GROUP BY x.source_id) k ON k.source_id = s.id
      LEFT JOIN (SELECT x.source_id, count(*) AS late
                   FROM partreg._list_late() x
                  GROUP BY x.source_id) l ON l.source_id = s.id
      LEFT JOIN partreg._list_ready_ends() r ON r.source_id = s.id;
COMMENT ON VIEW partreg.stats IS 'for each source: how many providers it has, what is locked, failed, abandoned or late, and how far it is ready';
