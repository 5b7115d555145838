#!/bin/sh
# wait_ready.sh SOURCE START END [SECONDS]: waits until [START, END) of SOURCE
# is ready, for two hours if not told otherwise; the times need an offset.
# Status: 0 ready, 1 not ready in time (what is in the way is printed), 2 no
# connection, 3 an error, for instance a misspelt source.
set -u
until=$(($(date +%s) + ${4:-7200}))

ask()
{
	psql -XAtq -v ON_ERROR_STOP=1 -v source="$1" -v start="$2" -v end="$3"
}

# An error is no answer, and ends the loop.
while ready=$(echo "SELECT partreg.check_readiness(:'source', :'start', :'end')" | ask "$@") || exit
	[ "$ready" != t ]
do
	if [ "$(date +%s)" -ge "$until" ]; then
		echo "SELECT during, state, provider_name, holder, reason
			  FROM partreg.explain_readiness(:'source', tstzrange(:'start', :'end'))" | ask "$@" >&2
		exit 1
	fi
	sleep "${POLL:-30}"
done
