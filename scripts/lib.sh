# shellcheck shell=bash
#
# What the programs in scripts share.  Source it:
#
#   . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#
# PostgreSQL finds its files relative to where its programs lie.  A copy of
# the programs, with symbolic links to the rest, is therefore a PostgreSQL of
# its own, into which an extension can be installed by anybody, and which the
# machine's own clusters never see.  Everything here works on such a copy and
# on clusters made from it, all of it below one folder of /tmp, so that
# cleaning up is: end what runs from that folder, then remove it.
#
# Called as root, PostgreSQL's part is done by the user postgres (PostgreSQL
# refuses to run as root); called by anybody else, by that user.  Root trusts the
# user postgres, as it calls pg_config and the programs of clients/*/check from
# WORK; nobody else may change or reach what root runs.
#
# Variables set here:
#   ROOT        the project's folder
#   WORK        the folder in /tmp (work_dir), which the user postgres owns
#   OWN         another (own_dir), which the caller owns: for chroots, and for
#               what is installed and then run by root
#   LOG         a file in /tmp for the caller's own output (log_file): where
#               another owns the folder, root would write wherever a symbolic
#               link leads
#   PG_CONFIG   pg_config of the private copy (private_postgres); before that,
#               from the environment, the PostgreSQL to copy
#   PG_MAJOR, PGBIN   its major version, its programs
#   LIMIT       if set, the seconds that a command may take (run)
#   SANITIZERS  array VAR=value …: more for the environment of as_pg
#   PGENV       array PGHOST=… PGPORT=… PGUSER=… PGDATABASE=… (start_cluster)

ROOT=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PGENV=()
SANITIZERS=()

say()
{
	printf '==> %s\n' "$*"
}

die()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# ---------------------------------------------------------------------------
# Who does what

# as_pg [VAR=value ...] COMMAND...
#
# Run a command as the user who may run PostgreSQL, in WORK, with a clean
# environment: nothing of the caller's PG* settings may lead a test to the
# caller's own databases.  No secret belongs in VAR=value: others can read
# command lines.
as_pg()
{
	local user=()

	if ((EUID == 0)); then
		user=(setpriv --reuid=postgres --regid=postgres --init-groups --)
	fi
	"${user[@]}" env -i -C "${WORK:-/tmp}" \
		PATH="${PGBIN:+$PGBIN:}/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
		HOME="${WORK:-/tmp}" TMPDIR="${WORK:-/tmp}" LC_ALL=C.UTF-8 "${SANITIZERS[@]}" "$@"
}

# run COMMAND...
#
# Run a command in the background, in its own process group, and wait for it,
# for at most LIMIT seconds where that is set.  So an interrupt is answered at
# once, and clean_up can end the command with all its children.  What it
# leaves behind in its group is ended here.
run()
{
	local status=0 group watch=

	set -m
	"$@" </dev/null &
	group=$!
	if [[ -n ${LIMIT:-} ]]; then
		{
			sleep "$LIMIT"
			kill -TERM -- "-$group"
			sleep 10
			kill -KILL -- "-$group"
		} >/dev/null 2>&1 &
		watch=$!
	fi
	set +m
	wait "$group" || status=$?
	for group in "$group" $watch; do
		kill -TERM -- "-$group" 2>/dev/null || true
	done
	return "$status"
}

# run_logged LOGFILE [VAR=value ...] COMMAND...
#
# The same as the user who may run PostgreSQL, who writes the output to a
# file, whose end is shown if it fails.
run_logged()
{
	local log=$1 status=0

	shift
	# shellcheck disable=SC2016
	run as_pg sh -c 'log=$1; shift; exec env "$@" >"$log" 2>&1' sh "$log" "$@" || status=$?
	if ((status != 0)); then
		printf 'failed (status %s): %s\n' "$status" "$*"
		as_pg tail -n 40 "$log" | sed 's/^/    /'
	fi >&2
	return "$status"
}

# work_dir NAME
#
# Make WORK, and remove it, with all that runs from it, when the script ends.
work_dir()
{
	WORK=$(mktemp -d "/tmp/partition_registry-$1.XXXXXX")
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	if ((EUID == 0)); then
		chown postgres: "$WORK"
	fi
}

own_dir()
{
	OWN=$(mktemp -d "/tmp/partition_registry-own.XXXXXX")
}

log_file()
{
	LOG=$(mktemp "/tmp/partition_registry-log.XXXXXX")
}

# The processes whose program lies in a folder, one id a line.  (find complains
# of processes that end meanwhile, and of other people's.)
processes_from()
{
	{ find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$1/*" 2>/dev/null || true; } |
		cut -d/ -f3
}

# end_processes_from FOLDER
#
# SIGQUIT is PostgreSQL's immediate shutdown: nothing here is to be kept.
end_processes_from()
{
	local signal pids

	for signal in QUIT QUIT KILL; do
		pids=$(processes_from "$1")
		[[ -n $pids ]] || return 0
		# shellcheck disable=SC2086
		kill -"$signal" $pids 2>/dev/null || true
		for _ in {1..25}; do
			[[ -n $(processes_from "$1") ]] || return 0
			sleep 0.2
		done
	done
}

clean_up()
{
	local status=$? group dir

	trap '' INT TERM HUP
	set +e
	for group in $(jobs -p); do
		kill -TERM -- "-$group" 2>/dev/null
	done
	for dir in "${WORK:-}" "${OWN:-}"; do
		if [[ -n $dir && -d $dir ]]; then
			end_processes_from "$dir"
			rm -rf --one-file-system "$dir"
		fi
	done
	rm -f "${LOG:-}"
	exit "$status"
}

# ---------------------------------------------------------------------------
# Packages

installed()
{
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

as_root()
{
	if ((EUID == 0)); then
		"$@"
	else
		sudo "$@"
	fi
}

# need_packages PACKAGE...
#
# Install the Debian packages that are missing.  Not through run: sudo may
# want to ask for a password.
need_packages()
{
	local package log missing=()

	if ! command -v dpkg-query >/dev/null; then
		say "not a Debian system: taking for granted what $* provide"
		return
	fi
	for package in "$@"; do
		installed "$package" || missing+=("$package")
	done
	((${#missing[@]} > 0)) || return 0
	if ((EUID != 0)) && ! command -v sudo >/dev/null; then
		die "missing packages: ${missing[*]} (install them, or call this as root or as a user with sudo)"
	fi
	update_package_lists
	say "installing ${missing[*]} (this may take a minute or two)"
	log=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
		--no-install-recommends -o DPkg::Lock::Timeout=300 \
		-o Dpkg::Use-Pty=0 "${missing[@]}" 2>&1 </dev/null) || {
		tail -n 20 <<<"$log" >&2
		die "could not install ${missing[*]}"
	}
}

# unpack_packages DIR PACKAGE...
#
# Unpack Debian packages below DIR.  Not installed, as a server that is
# installed is started.  Where they cannot be had, what wants them skips.
unpack_packages()
{
	local dir=$1 package

	shift
	as_pg mkdir -p "$dir"
	if ! (cd "$dir" && as_root apt-get download -qq "$@" >/dev/null 2>&1); then
		say "cannot download $*: the tests that want them are skipped"
		return
	fi
	for package in "$dir"/*.deb; do
		as_pg dpkg -x "$package" "$dir"
	done
}

update_package_lists()
{
	say "reading the package lists (apt-get update)"
	as_root apt-get update -qq -o DPkg::Lock::Timeout=300 </dev/null ||
		die "apt-get update failed"
}

# choose_postgres
#
# Set PG_MAJOR, and PG_CONFIG where that PostgreSQL is there already: the one
# that PG_CONFIG names; the newest installed with its server headers; the
# newest installed; Debian's default.
choose_postgres()
{
	local major

	if [[ -n ${PG_CONFIG:-} ]]; then
		PG_CONFIG=$("$PG_CONFIG" --bindir)/pg_config ||
			die "PG_CONFIG does not name a working pg_config"
		PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
		return
	fi
	PG_MAJOR=
	for major in $(compgen -G '/usr/lib/postgresql/*/bin/postgres' | cut -d/ -f5 | sort -n); do
		PG_MAJOR=$major
	done
	for major in $(compgen -G '/usr/include/postgresql/*/server/postgres.h' | cut -d/ -f5 | sort -n); do
		if [[ -x /usr/lib/postgresql/$major/bin/postgres ]]; then
			PG_MAJOR=$major
			PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config
		fi
	done
	[[ -z $PG_MAJOR ]] || return 0
	if [[ -z $(apt-cache depends postgresql 2>/dev/null) ]]; then
		update_package_lists
	fi
	PG_MAJOR=$(apt-cache depends postgresql |
		sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1)
	[[ -n $PG_MAJOR ]] || die "no PostgreSQL here, and apt knows of none"
}

# need_postgres [PACKAGE...]
#
# PostgreSQL with headers and a compiler, and more packages if given.
need_postgres()
{
	choose_postgres
	if [[ -n ${PG_CONFIG:-} && -f $("$PG_CONFIG" --includedir-server)/postgres.h ]]; then
		need_packages gcc make "$@"
	else
		need_packages "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR" gcc make "$@"
		PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
	fi
	if ((EUID == 0)) && ! id postgres >/dev/null 2>&1; then
		die "there is no user postgres to run PostgreSQL; create it, or call this as an ordinary user"
	fi
}

# ---------------------------------------------------------------------------
# The private PostgreSQL

# private_postgres DIR [MAJOR]
#
# Make a PostgreSQL of our own below DIR, and let PG_CONFIG, PG_MAJOR and
# PGBIN name it.  The programs are copied, as they look for their files from
# where they really lie; libraries, extensions and headers are links, in
# folders of our own where `make install` writes.  A DIR that has one already
# is taken as it is.
private_postgres()
{
	local dir=$1 from path

	if [[ -n ${2:-} ]]; then
		PG_CONFIG=/usr/lib/postgresql/$2/bin/pg_config
	fi
	choose_postgres
	from=$PG_CONFIG
	[[ -x $from ]] || die "no pg_config at $from"
	[[ $dir == /* && $dir != *[[:space:]]* ]] ||
		die "private_postgres wants an absolute path without spaces, not \"$dir\""
	PGBIN=$dir$("$from" --bindir)
	PG_CONFIG=$PGBIN/pg_config
	[[ -x $PG_CONFIG ]] && return

	if ((EUID == 0)); then
		install -d -o postgres -g postgres "$dir"
	else
		mkdir -p "$dir"
	fi
	as_pg mkdir -p "$PGBIN"
	as_pg cp -R --preserve=mode "$("$from" --bindir)/." "$PGBIN"
	for path in "$("$from" --pkglibdir)" "$("$from" --sharedir)"; do
		as_pg mkdir -p "$dir$path"
		as_pg cp -R --symbolic-link "$path/." "$dir$path"
		# An installed partition_registry is not the one to be tested.
		as_pg find "$dir$path" -mindepth 1 \( -name 'partition_registry' -o -name 'partition_registry[.-]*' \) \
			-prune -exec rm -rf {} +
	done
	for path in "$("$from" --includedir)" "$("$from" --includedir-server)" "$("$from" --libdir)"; do
		if [[ -d $path && ! -e $dir$path ]]; then
			as_pg mkdir -p "$(dirname "$dir$path")"
			as_pg ln -s "$path" "$dir$path"
		fi
	done
	[[ $("$PG_CONFIG" --pkglibdir) == "$dir"/* ]] ||
		die "the PostgreSQL of $from cannot be moved to $dir"
	[[ -f $("$PG_CONFIG" --sharedir)/extension/pgcrypto.control ]] ||
		die "the PostgreSQL of $from lacks pgcrypto (one of its contrib modules)"
}

# The project as a tar file: what git knows and what it would add, so that
# nothing built by somebody else comes along.
project()
{
	if [[ -e $ROOT/.git ]] && command -v git >/dev/null; then
		(cd "$ROOT" && git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
			while IFS= read -r -d '' file; do
				if [[ -e $file || -L $file ]]; then
					printf '%s\0' "$file"
				fi
			done | tar --null --no-recursion -T - -cf -)
	else
		tar -C "$ROOT" --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' -cf - .
	fi
}

# copy_tree DIR: copy it there, for the user postgres.
copy_tree()
{
	as_pg mkdir -p "$1"
	project | as_pg tar -C "$1" --no-same-owner -xf -
}

# copy_own DIR: the same for the caller.
copy_own()
{
	mkdir -p "$1"
	project | tar -C "$1" --no-same-owner -xf -
}

# build_extension SRCDIR [MAKE ARGUMENT...]
#
# Build in SRCDIR and install into the private PostgreSQL.
build_extension()
{
	local src=$1

	shift
	run_logged "$src.make.log" make -C "$src" PG_CONFIG="$PG_CONFIG" "$@" all install
}

# ---------------------------------------------------------------------------
# Private clusters

# start_cluster DIR [LINE OF postgresql.conf...]
#
# A new cluster in DIR: superuser postgres, let in without a password through
# the socket, whose folder is closed to others; all others by password, and
# TCP on 127.0.0.1 only, on a free port.  Not for keeping: fsync is off.
start_cluster()
{
	local dir=$1 port

	shift
	as_pg mkdir -p "$dir"
	as_pg mkdir -m 700 "$dir/socket"
	run_logged "$dir.log" "$PGBIN/initdb" --pgdata="$dir/data" --username=postgres \
		--encoding=UTF8 --locale=C --no-sync --no-instructions ||
		return 1
	as_pg tee "$dir/data/pg_hba.conf" >/dev/null <<-'EOT'
		local all         all              trust
		local replication all              trust
		host  all         all 127.0.0.1/32 scram-sha-256
	EOT
	printf '%s\n' "listen_addresses = '127.0.0.1'" "unix_socket_directories = '$dir/socket'" \
		"fsync = off" "max_prepared_transactions = 10" "$@" |
		as_pg tee -a "$dir/data/postgresql.conf" >/dev/null
	for _ in {1..10}; do
		port=$((RANDOM % 20000 + 20000))
		if run as_pg "$PGBIN/pg_ctl" start --silent --wait --pgdata="$dir/data" \
			--log="$dir/server.log" --options="-p $port" >/dev/null 2>&1; then
			# shellcheck disable=SC2034
			PGENV=(PGHOST="$dir/socket" PGPORT="$port" PGUSER=postgres PGDATABASE=postgres)
			return
		fi
		# Another port helps where this one was taken, and nowhere else.
		if ! as_pg grep -q 'could not create any TCP/IP sockets' "$dir/server.log"; then
			break
		fi
	done
	did_not_start "$dir"
}

did_not_start()
{
	printf 'the server did not start:\n' >&2
	as_pg tail -n 20 "$1/server.log" >&2
	return 1
}

# stop_cluster DIR
stop_cluster()
{
	as_pg "$PGBIN/pg_ctl" stop --silent --mode=fast --pgdata="$1/data"
}
