#!/bin/sh
# load_hour.sh START: loads the hour that begins at START, as in
#   load_hour.sh '2024-01-01 00:00+00'
# Ends with 0 when the hour is loaded and ready.  Otherwise it ends with psql's
# status, and nothing of the load is left: 3 when something was refused or
# failed, 2 when the connection was lost.
set -u
here=$(dirname "$0")

# A holder of its own for every attempt: host, process, random.
holder="cron $(hostname)/$$/$(od -An -N6 -tx1 /dev/urandom | tr -d ' ')"

psql -Xq -o /dev/null -v start="$1" -v holder="$holder" -f "$here/load_hour.sql"
status=$?

# Refused or failed: where this attempt has the lock, say so, and nobody has to
# wait for its lease.  After a lost connection nobody knows whether the load is
# done: then the lease decides.
if [ $status -eq 3 ]; then
	psql -Xq -o /dev/null -v holder="$holder" <<-'EOT'
		SELECT partreg.fail_partition(source_name, provider_name, during, holder => holder,
		                              reason => 'load_hour.sql ended with an error')
		FROM partreg.locks WHERE holder = :'holder' AND state = 'locked';
	EOT
fi
exit $status
