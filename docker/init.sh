#!/usr/bin/env bash
#
# What the image of PostgreSQL runs once, in a new cluster, whose server does not
# listen by TCP yet: the extension, the logins, and who is let in.

set -euo pipefail

# First who is let in: where something fails the container starts again without
# this file, and the server reads then what is here.
cat >"$PGDATA/pg_hba.conf" <<'EOT'
local all gateway trust
local all all     peer
host  all all all scram-sha-256
EOT
psql --no-psqlrc --username postgres --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 --quiet \
	--output /dev/null --file "${SETUP_SQL:-/setup.sql}"
psql --no-psqlrc --username postgres --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 --quiet <<'EOT'
\getenv password READER_PASSWORD
ALTER ROLE reader PASSWORD :'password';
EOT
