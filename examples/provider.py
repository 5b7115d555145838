#!/usr/bin/python3
"""A provider: loads a source hour by hour, and unlocks each hour with its rows.

    provider.py SOURCE PROVIDER TOKEN_FILE FIRST_HOUR HOURS ROWS

SOURCE is the name of a table (happened_at, loaded_by, amount), ROWS what this
provider loads into each hour.  Where to connect, and as whom, comes from the
environment (PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSFILE).  The token is
read from a file that nobody else can read: on a command line everybody could.
"""

import datetime
import random
import sys
import time

import psycopg2
import psycopg2.sql

INSERTS = 6     # an hour is loaded in so many pieces

source, provider, token_file, first_hour, hours, rows = sys.argv[1:]
hours, rows = int(hours), int(rows)
with open(token_file) as file:
    token = file.read().strip()

table = psycopg2.sql.Identifier(*source.split("."))
insert = psycopg2.sql.SQL(
    "INSERT INTO {} (happened_at, loaded_by, amount)"
    " SELECT %s + random() * interval '59 minutes', %s, 1"
    " FROM generate_series(1, %s)").format(table)

connection = psycopg2.connect(application_name=provider)
cursor = connection.cursor()
start = datetime.datetime.fromisoformat(first_hour)

for _ in range(hours):
    end = start + datetime.timedelta(hours=1)

    # Announce it.  The lock is committed before the work begins, so that
    # everybody sees who is at it; should this process die, its lease says
    # when another may take over.
    cursor.execute(
        "SELECT partreg.register_partition(%s, %s, tstzrange(%s, %s), %s,"
        "                                  if_not_exists => true)",
        (source, provider, start, end, token))
    cursor.execute(
        "SELECT partreg.lock_partition(%s, %s, tstzrange(%s, %s), %s,"
        "                              lease => '5 minutes')",
        (source, provider, start, end, token))
    connection.commit()

    # Load and unlock in one transaction: nobody sees the one without the
    # other, whatever happens in between.
    for piece in range(INSERTS):
        cursor.execute(insert, (start, provider, rows // INSERTS + (piece < rows % INSERTS)))
        time.sleep(random.uniform(0, 0.04))
    cursor.execute(
        "SELECT partreg.unlock_partition(%s, %s, tstzrange(%s, %s), %s)",
        (source, provider, start, end, token))
    connection.commit()

    start = end

print(f"{provider:<9} {hours} hours loaded, {rows} rows each, and unlocked with their rows")
