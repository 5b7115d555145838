# shellcheck shell=bash
#
# The HTTP gateway and Adminer, for scripts/quickstart --http.  Source it after
# lib.sh, with the cluster of PGENV running.
#
# All runs as the user postgres from copies of python3 and php below WORK, so that
# what ends the processes of WORK ends these.

PYTHON=/usr/bin/python3

# port_near PORT: that one, or else the next that is free.
port_near()
{
	local port=$1

	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
		((port += 1))
	done
	echo "$port"
}

# answers URL: wait until it does, for at most a minute.
answers()
{
	local try

	for ((try = 0; try < 300; try++)); do
		curl -sf -o /dev/null --max-time 5 "$1" && return
		sleep 0.2
	done
	return 1
}

# install_gateway
#
# The packages come by the caller's pip, with the caller's settings; what they are
# installed into is made by the user postgres.
install_gateway()
{
	local wheels status=0

	wheels=$(mktemp -d /tmp/partition_registry-wheels.XXXXXX)
	(
		umask 022
		chmod 755 "$wheels"
		mkdir "$wheels/src"
		cp -R "$ROOT/clients/python" "$ROOT/clients/http" "$wheels/src"
		"$PYTHON" -m venv "$wheels/pip"
		"$wheels/pip/bin/pip" wheel --quiet --disable-pip-version-check --wheel-dir "$wheels/all" \
			"$wheels/src/python" "$wheels/src/http" 'psycopg[binary]'
	) || status=$?
	if ((status == 0)); then
		run as_pg "$PYTHON" -m venv --copies "$WORK/venv" &&
			run as_pg "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check --no-index \
				--find-links "$wheels/all" partition-registry-http 'psycopg[binary]' || status=$?
	fi
	rm -rf "$wheels"
	return "$status"
}

# start_gateway: GATEWAY is its address.
start_gateway()
{
	local port

	port=$(port_near 5498)
	GATEWAY=http://127.0.0.1:$port
	as_pg "${PGENV[@]}" PGUSER=gateway PGDATABASE=demo PARTREG_HTTP_PORT="$port" \
		setsid "$WORK/venv/bin/partreg-http" </dev/null >"$WORK/gateway.log" 2>&1 &
	answers "$GATEWAY/health" || {
		tail -n 20 "$WORK/gateway.log" >&2
		die "the gateway did not start"
	}
}

# start_adminer: ADMINER is its address, with all but the password filled in.
start_adminer()
{
	local port

	port=$(port_near 8080)
	as_pg cp --dereference "$(command -v php)" "$WORK/php"
	as_pg setsid "$WORK/php" -S "127.0.0.1:$port" -t "$WORK/php.root" /etc/adminer/conf.php \
		</dev/null >"$WORK/adminer.log" 2>&1 &
	ADMINER="http://127.0.0.1:$port/?pgsql=127.0.0.1:${PGENV[1]#PGPORT=}&username=reader&db=demo&ns=partreg"
	answers "http://127.0.0.1:$port/" || {
		tail -n 20 "$WORK/adminer.log" >&2
		die "Adminer did not start"
	}
}

# play_http
#
# The database demo, the gateway and Adminer, and the walk of
# examples/walk_http.sh; they go on running.
play_http()
{
	local password refused

	superuser_psql -q -c 'CREATE DATABASE demo'
	superuser_psql -q -d demo -v ON_ERROR_STOP=1 -o /dev/null -f "$WORK/src/clients/http/setup.sql"
	# Adminer takes no empty password.
	make_password reader
	password=$(as_pg cut -d: -f5 reader.pgpass)
	superuser_psql -q -d demo -v ON_ERROR_STOP=1 <<-'EOT'
		\set password `cut -d: -f5 reader.pgpass`
		ALTER ROLE reader PASSWORD :'password';
	EOT

	say "installing the gateway's packages"
	install_gateway || die "could not install the gateway"
	say "starting the gateway and Adminer"
	as_pg mkdir "$WORK/php.root"
	start_gateway
	start_adminer

	say "one source, one provider, one day, over HTTP"
	"$ROOT/examples/walk_http.sh" "$GATEWAY" | tee "$LOG"
	refused=$(grep -c '"status_code":409' "$LOG" || true)
	[[ $(grep -c '^{"status_code":200' "$LOG") == 8 && $refused == 1 ]] ||
		die "the walk did not answer as it should"
	[[ $(grep -o '"is_ready":[a-z]*' "$LOG" | tr '\n' ' ') == '"is_ready":false "is_ready":true ' ]] ||
		die "the walk's answers are wrong"

	trap - EXIT HUP INT TERM
	rm -f "$LOG"
	cat <<-EOT

		==> done in $SECONDS seconds; all three go on running

		Gateway:          $GATEWAY/docs and $GATEWAY/ui
		Adminer:          $ADMINER
		                  password of reader: $password
		Database:         $(command -v psql || echo "$PGBIN/psql") -h $WORK/cluster/socket -p ${PGENV[1]#PGPORT=} -U postgres demo
		Stop and remove:  $(printf %q "$ROOT")/scripts/quickstart --stop $WORK
	EOT
}
