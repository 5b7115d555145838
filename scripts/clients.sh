# shellcheck shell=bash
#
# What the programs clients/*/check share.  Source it.
#
# place is a folder of its own below TMPDIR, removed at the end; passed, failed and
# skipped are what finish says.

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM HUP
passed=0 failed=0 skipped=0

# finish: say how many passed, as the last line, and end.
finish()
{
	if ((skipped > 0)); then
		echo "$passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed"
	fi
	exit $((failed > 0))
}

# stop WORD...: end as failed, and say why.
stop()
{
	echo "$*" >&2
	((failed += 1))
	finish
}

# log_or_stop COMMAND...: run it without a word, and stop where it fails.
log_or_stop()
{
	"$@" >"$place/log" 2>&1 && return
	tail -n 20 "$place/log"
	stop "failed: $*"
}

# count COMMAND...: one that passes, or not.
count()
{
	if "$@"; then
		((passed += 1))
	else
		((failed += 1))
		echo "failed: $*"
	fi
}

# count_pytest COMMAND...: pytest, each of whose tests passes, or not.
count_pytest()
{
	local status=0 bad

	"$@" >"$place/pytest" 2>&1 || status=$?
	cat "$place/pytest"
	bad=$(($(number failed) + $(number error)))
	if ((status != 0 && bad == 0)); then
		bad=1
	fi
	((passed += $(number passed), failed += bad, skipped += $(number skipped)))
}

# number WORD: of what pytest says last.
number()
{
	local last

	last=$(tail -n 1 "$place/pytest")
	[[ $last =~ ([0-9]+)\ $1 ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

# pip_install ARGUMENT...: of pip install, into an environment made here, whose programs
# come first from then on.
pip_install()
{
	if [[ ! -d $place/venv ]]; then
		log_or_stop python3 -m venv "$place/venv"
		export PATH="$place/venv/bin:$PATH" PYTHONDONTWRITEBYTECODE=1
	fi
	log_or_stop "$place/venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}
