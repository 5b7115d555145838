#!/usr/bin/env bash
#
# One source, one provider, one day, over HTTP:
#
#   examples/walk_http.sh [URL]          (http://127.0.0.1:5498)
#
# Each call and its answer are printed, tokens without what makes them good.  The
# names are new where they were taken.

set -euo pipefail

url=${1:-http://127.0.0.1:5498}
source=public.some_source
[[ $(curl -sS -G "$url/sources" -d search=$source) == *'"sources":[]'* ]] || source+=.$$
range=(start=2000-01-01T00:00:00 end=2000-01-02T00:00:00)
partition=(source_name="$source" provider_name=provider@email.com "${range[@]}")

# call METHOD PATH [NAME=VALUE ...]
#
# All parameters are in the query, on POST too.  NAME@- has its value from the
# input: everybody on the machine can read command lines.
call()
{
	local method=$1 path=$2 parameter given=()

	shift 2
	for parameter; do
		given+=(--data-urlencode "$parameter")
	done
	printf '\n%s %s  %s\n' "$method" "$path" "$*"
	answer=$(curl -sS -G -X "$method" "${given[@]}" "$url$path")
	sed -E 's/(pr[sp]_.{4})[0-9a-f]*/\1…/g' <<<"$answer"
}

call POST /sources/register source_name="$source" owner=ivan.ivanov@company.com
token=$(sed -E 's/.*"token":"([^"]*)".*/\1/' <<<"$answer")
call POST /sources/register source_name="$source" owner=somebody.else@company.com
call POST /providers/register provider_name=provider@email.com access_token@- < <(printf %s "$token")
call POST /partitions/register "${partition[@]}"
call POST /partitions/lock "${partition[@]}"
call GET "/sources/$source/check_readiness" "${range[@]}"
call POST /partitions/unlock "${partition[@]}"
call GET "/sources/$source/check_readiness" "${range[@]}"
call GET "/sources/$source/history" "${range[@]}" limit=2
