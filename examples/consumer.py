#!/usr/bin/python3
"""A consumer: reads a source hour by hour, each hour once it is ready.

    consumer.py SOURCE FIRST_HOUR HOURS ROWS

SOURCE is the name of a table (happened_at, loaded_by, amount).  ROWS is what
a complete hour holds: with it the consumer proves that it never read an hour
half loaded.  At every look it counts the rows even if the hour is not ready,
and so also knows what a consumer that does not ask would have read.

Exit status 0: every hour was read, and every hour was complete.
"""

import datetime
import select
import sys

import psycopg2
import psycopg2.sql

PATIENCE = 30   # seconds in which no notification comes, until it gives up

source, first_hour, hours, rows = sys.argv[1:]
hours, rows = int(hours), int(rows)

table = psycopg2.sql.Identifier(*source.split("."))
count = psycopg2.sql.SQL(
    "SELECT count(*) FROM {} WHERE happened_at >= %s AND happened_at < %s").format(table)

connection = psycopg2.connect(application_name="consumer")
cursor = connection.cursor()
cursor.execute("LISTEN partreg")
connection.commit()
connection.set_session(isolation_level="REPEATABLE READ", readonly=True)


def look(start, end):
    """Ask and read in one snapshot, so that the answer holds for what is read.
    Returns whether it is ready, the number of rows, and who is in the way."""
    cursor.execute("SELECT partreg.check_readiness(%s, %s, %s)", (source, start, end))
    ready = cursor.fetchone()[0]
    cursor.execute(count, (start, end))
    found = cursor.fetchone()[0]
    cursor.execute(
        "SELECT string_agg(DISTINCT provider_name, ', ')"
        " FROM partreg.explain_readiness(%s, tstzrange(%s, %s))", (source, start, end))
    in_the_way = cursor.fetchone()[0]
    connection.commit()
    return ready, found, in_the_way


def wait_for_news():
    """Wait for a notification.  It is only a hint to look again, as is a
    second gone by: a notification can get lost, or mean another hour."""
    if not connection.notifies:
        select.select([connection], [], [], 1)
        connection.poll()
    return bool(connection.notifies)


half_read = 0       # hours that were read and were not complete: must stay 0
half_avoided = 0    # hours that were found half loaded, and not read then
start = datetime.datetime.fromisoformat(first_hour)

print("consumer  (in brackets: whom it waited for)")
for _ in range(hours):
    end = start + datetime.timedelta(hours=1)
    refused = []    # what was seen while the hour was not ready
    silence = 0
    while True:
        connection.notifies.clear()     # before the look, not after it
        ready, found, in_the_way = look(start, end)
        if ready:
            break
        refused.append((found, in_the_way))
        silence = 0 if wait_for_news() else silence + 1
        if silence == PATIENCE:
            sys.exit(f"consumer  {start:%H:%M}  gave up, not ready at {found} rows ({in_the_way})")

    half_read += found != rows
    half_avoided += any(0 < n < rows for n, _ in refused)
    line = f"consumer  {start:%H:%M}  read {found} rows"
    if refused:
        line += "; not ready at " + ", ".join(f"{n} rows ({who})" for n, who in dict.fromkeys(refused))
    print(line)
    start = end

print(f"consumer  hours read: {hours}; half loaded among them: {half_read}")
print(f"consumer  hours found half loaded while not ready, and left alone then: {half_avoided}")
sys.exit(half_read != 0)
