#!/usr/bin/python3
"""A reader of the change feed: does something about each event, exactly once.

    feed_reader.py NAME [SOURCE...]

NAME is what this reader is remembered by; with SOURCEs it is given their events
alone.  What it does is handle(), made to be replaced: here it keeps the event.
It commits that together with the position after it, so whenever it is killed,
and started again, nothing is lost and nothing done twice.  Two of one NAME take
turns.

A notification only wakes it up; it looks once a minute in any case.  It ends
with an error when the connection is lost, and when history does not go on from
its position (55000, history_gone): start it again, or anew with another NAME.
"""

import select
import sys

import psycopg2
import psycopg2.extras

MANY = 1000     # events in a page
PATIENCE = 60   # seconds until it looks without a notification

SET_UP = """
CREATE TABLE IF NOT EXISTS feed_position (reader text PRIMARY KEY, position text);
CREATE TABLE IF NOT EXISTS feed_event (
    reader text, event_id bigint, event text, source_name text, provider_name text,
    during tstzrange, details jsonb, PRIMARY KEY (reader, event_id));
"""


def handle(cursor, reader, event):
    """Do something about an event, in the transaction of the position."""
    cursor.execute("INSERT INTO feed_event VALUES (%s, %s, %s, %s, %s, %s, %s)",
                   (reader, event.event_id, event.event, event.source_name, event.provider_name, event.during, event.details))


def take_page(connection, reader, sources):
    """Take one page, and say whether there may be more."""
    with connection, connection.cursor() as cursor:
        # No position yet: from the oldest event on that is kept.
        cursor.execute("SELECT position FROM feed_position WHERE reader = %s FOR UPDATE", (reader,))
        position = cursor.fetchone().position
        cursor.execute(
            "SELECT event_id, event, source_name, provider_name, during::text, details::text, next_position"
            " FROM partreg.changes_since(%s, %s, %s)", (position, MANY, sources))
        events = cursor.fetchall()
        for event in events:
            if event.event_id is not None:      # a row without an event has the next position only
                handle(cursor, reader, event)
        if events:
            cursor.execute("UPDATE feed_position SET position = %s WHERE reader = %s", (events[-1].next_position, reader))
        return len(events) == MANY


def main(reader, *sources):
    """Read for ever."""
    connection = psycopg2.connect(application_name=f"feed_reader {reader}",
                                  cursor_factory=psycopg2.extras.NamedTupleCursor)
    with connection, connection.cursor() as cursor:
        cursor.execute(SET_UP)
        cursor.execute("INSERT INTO feed_position VALUES (%s, NULL) ON CONFLICT (reader) DO NOTHING", (reader,))
        cursor.execute("LISTEN partreg")
    while True:
        connection.notifies.clear()     # before the look, not after it
        while take_page(connection, reader, list(sources) or None):
            pass
        if not connection.notifies:     # none came while it was looking
            select.select([connection], [], [], PATIENCE)
            connection.poll()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
