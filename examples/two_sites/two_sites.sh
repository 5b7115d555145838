#!/bin/sh
# two_sites.sh STEP FROM TO: a registry at one site, a copy of it at another that
# follows, and what to do when the other has to take over.
#
#   publish    at FROM: says what is copied, and lets REPLICATOR fetch it
#   follow     at TO: begins to fetch it, and to follow
#   open       at TO: waits until everything is there, then lets READERS ask
#   lag        prints how far TO is behind
#   fence      at FROM: from here on nobody is let in, superusers neither
#   catch_up   waits until TO has all that a fenced FROM has
#   take_over  at TO: ends the copying, and lets WRITERS write
#   lost TIME  prints what a fenced FROM has written since TIME and TO never got
#   empty      at TO, a site that was fenced: makes it ready to follow
#
# FROM is the site that writes, TO the other: how to reach their servers as a
# superuser, in words of libpq, without a database, as in
#   two_sites.sh publish 'host=a.example.com user=postgres' 'host=b.example.com user=postgres'
#
# No password stands there: it would be in the list of processes, and TO would
# keep it.  psql finds it in ~/.pgpass.
#
# From the environment:
#   DATABASE   the database that has the registry, at both sites
#   REPLICATOR the role at FROM as which TO's server fetches
#   TABLES     tables of data that go with the registry, with their schemas:
#              'sales.orders, sales.items'
#   READERS, WRITERS   roles at TO, separated by blanks
#
# What to do when, and what a step takes for granted: README.md.
set -eu

registry='partreg.source, partreg.provider, partreg.pending, partreg.partition,
	partreg.lock, partreg.coverage, partreg.event, partreg.registry'

die()
{
	echo "two_sites.sh: $*" >&2
	exit 1
}

# at SERVER DATABASE [ARGUMENT...]: the SQL on standard input.  As a superuser does
# it, it calls no function that others have put into a schema.
at()
{
	server=$1 name=$2
	shift 2
	{
		echo 'SET search_path = pg_catalog;'
		cat
	} | psql -XqAt -v ON_ERROR_STOP=1 -v database="$DATABASE" "$@" -d "$server dbname=$name"
}

# Is nobody let in but superusers, if they are?  t or f
is_fenced()
{
	at "$1" postgres <<-'EOT'
		SELECT NOT datallowconn OR datconnlimit = 0 FROM pg_database WHERE datname = :'database';
	EOT
}

# Wait for a query to say t.
wait_for()
{
	until [ "$(echo "$3" | at "$1" "$2")" = t ]; do
		sleep "${POLL:-1}"
	done
}

publish()
{
	# Sequences are not copied: take_over sees to them.  Nor are roles and
	# their levels, so that each site says who may do what there.
	at "$FROM" "$DATABASE" -v replicator="$REPLICATOR" <<-EOT
		BEGIN;
		CREATE PUBLICATION two_sites FOR TABLE $registry${TABLES:+, $TABLES};
		SELECT format('GRANT USAGE ON SCHEMA %I TO %I', schemaname, :'replicator')
		FROM pg_publication_tables WHERE pubname = 'two_sites' GROUP BY 1
		UNION ALL
		SELECT format('GRANT SELECT ON %I.%I TO %I', schemaname, tablename, :'replicator')
		FROM pg_publication_tables WHERE pubname = 'two_sites' \\gexec
		COMMIT;
	EOT
}

follow()
{
	[ "$(echo 'SELECT (SELECT count(*) FROM partreg.sources) + (SELECT count(*) FROM partreg.events)' | at "$TO" "$DATABASE")" = 0 ] ||
		die "the registry at TO is not empty"
	# Who else may see subscriptions does not see this text.  A password stands
	# in the file of passwords of the user who runs TO's server.
	#
	# One subscription for all tables, so that an unlock and its rows come in
	# one transaction, as they were written.
	at "$TO" "$DATABASE" -v fetch="$FROM dbname=$DATABASE user=$REPLICATOR" <<-'EOT'
		CREATE SUBSCRIPTION two_sites CONNECTION :'fetch' PUBLICATION two_sites;
	EOT
}

# The tables are fetched one by one.  Meanwhile they do not fit together: with
# the unlocked partitions there and the locks not yet, what is locked at FROM
# would be ready at TO.  So nobody may ask before all are there.
copied="SELECT count(*) >= 8 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel
	JOIN pg_subscription ON pg_subscription.oid = srsubid AND subname = 'two_sites'"

open()
{
	wait_for "$TO" "$DATABASE" "$copied"
	# The limit is what empty has left.
	at "$TO" "$DATABASE" -v readers="${READERS:-}" <<-'EOT'
		BEGIN;
		SELECT partreg.grant_privileges(role, 'reader')
		FROM regexp_split_to_table(:'readers', ' +') role WHERE role <> '' \g /dev/null
		SELECT format('ALTER DATABASE %I CONNECTION LIMIT -1', datname)
		FROM pg_database WHERE datname = current_database() AND datconnlimit = 0 \gexec
		COMMIT;
	EOT
}

lag()
{
	at "$FROM" postgres <<-'EOT'
		SELECT 'bytes that TO has not confirmed: ' || pg_wal_lsn_diff(pg_current_wal_insert_lsn(), confirmed_flush_lsn)
		FROM pg_replication_slots WHERE slot_name = 'two_sites';
	EOT
	at "$TO" "$DATABASE" <<-'EOT'
		SELECT 'heard of FROM: ' || coalesce(date_trunc('seconds', clock_timestamp() - latest_end_time) || ' ago', 'never')
		FROM pg_stat_subscription WHERE subname = 'two_sites' AND relid IS NULL;
		SELECT 'errors: ' || apply_error_count + sync_error_count
		FROM pg_stat_subscription_stats WHERE subname = 'two_sites';
	EOT
}

fence()
{
	# No session may begin, and those that are there end, their open
	# transactions with them.  What sends the changes to TO goes on.
	at "$FROM" postgres <<-'EOT'
		ALTER DATABASE :"database" ALLOW_CONNECTIONS false;
	EOT
	wait_for "$FROM" postgres "
		SELECT count(pg_terminate_backend(pid, 5000)) = 0 FROM pg_stat_activity
		WHERE datname = :'database' AND backend_type NOT IN ('walsender', 'autovacuum worker')"
	# A prepared transaction would be committed later, by nobody's session.
	[ "$(echo "SELECT count(*) FROM pg_prepared_xacts WHERE database = :'database'" | at "$FROM" postgres)" = 0 ] ||
		die "there are prepared transactions at FROM: undo the fence, end them, and call it again"
}

catch_up()
{
	end=$(echo 'SELECT pg_current_wal_insert_lsn()' | at "$FROM" postgres)
	wait_for "$FROM" postgres "
		SELECT coalesce(bool_or(confirmed_flush_lsn >= '$end'), true) FROM pg_replication_slots
		WHERE slot_name = 'two_sites' AND active"
	[ "$(echo "
		SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'two_sites'" |
		at "$FROM" postgres)" = t ] || die "TO does not fetch: undo the fence until it does"
}

take_over()
{
	# What was never whole is nothing to go on with.
	[ "$(echo "$copied" | at "$TO" "$DATABASE")" = t ] || die "TO has never had everything"
	# Where FROM does not answer, it has to be off by other means.  One that only
	# refuses this script may well let others write.
	if fenced=$(is_fenced "$FROM"); then
		[ "$fenced" = t ] || die "FROM is not fenced: two sites would write"
	else
		status=0
		pg_isready -q -d "$FROM dbname=postgres" || status=$?
		[ $status = 2 ] || die "FROM answers, but does not say whether it is fenced"
	fi
	# Trusted roles go by name here, until set_trusted_role() is called.
	at "$TO" "$DATABASE" -v writers="${WRITERS:-}" <<-'EOT'
		BEGIN;
		ALTER SUBSCRIPTION two_sites DISABLE;
		ALTER SUBSCRIPTION two_sites SET (slot_name = NONE);
		DROP SUBSCRIPTION two_sites;
		SELECT partreg.advance_sequences() \g /dev/null
		SELECT partreg.grant_privileges(role, 'writer')
		FROM regexp_split_to_table(:'writers', ' +') role WHERE role <> '' \g /dev/null
		COMMIT;
		SELECT source_name, problem FROM partreg.verify();
	EOT
}

# Superusers are let in again, and nobody else.
let_in()
{
	[ "$(is_fenced "$1")" = t ] || die "$1 is not fenced"
	at "$1" postgres <<-'EOT'
		ALTER DATABASE :"database" CONNECTION LIMIT 0;
		ALTER DATABASE :"database" ALLOW_CONNECTIONS true;
	EOT
}

lost()
{
	let_in "$FROM"
	there=$(at "$FROM" "$DATABASE" -v since="$1" <<-'EOT'
		COPY (SELECT event_id, at, event, source_name, provider_name, during, holder
		      FROM partreg.events WHERE at >= :'since') TO STDOUT;
	EOT
	)
	at "$TO" "$DATABASE" <<-EOT
		CREATE TEMP TABLE there (event_id bigint, at timestamptz, event text,
			source_name text, provider_name text, during tstzrange, holder text);
		COPY there FROM STDIN;
		${there:-\\.}
		${there:+\\.}
		SELECT there.* FROM there
		WHERE NOT EXISTS (SELECT FROM partreg.events e WHERE e.event_id = there.event_id AND e.at = there.at)
		ORDER BY event_id;
	EOT
}

empty()
{
	let_in "$TO"
	# Without the extension nobody has a level, either.
	at "$TO" "$DATABASE" <<-EOT
		SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
		WHERE slot_name = 'two_sites' AND database = current_database() \\g /dev/null
		BEGIN;
		DROP PUBLICATION IF EXISTS two_sites;
		DROP EXTENSION partition_registry;
		CREATE EXTENSION partition_registry;
		${TABLES:+TRUNCATE $TABLES;}
		COMMIT;
	EOT
}

step=${1:-} FROM=${2:-} TO=${3:-}
[ $# -ge 3 ] || die "usage: two_sites.sh STEP FROM TO"
case $FROM$TO in
	*password*) die "no password in FROM and TO: put it into ~/.pgpass" ;;
esac
case $step in
	publish | follow | open | lag | fence | catch_up | take_over | empty) "$step" ;;
	lost) lost "${4:?since when}" ;;
	*) die "there is no step $step" ;;
esac
