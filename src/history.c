/*
 * history.c
 *		Events, and the notifications that go with them.
 *
 * Each change is one row in partreg.event, in the transaction of the change.
 * Its id is drawn while the partition is locked, so ids order the events of a
 * partition.  Between partitions, an event with a smaller id may commit later.
 * For readers who must not miss any, an event also says which top-level
 * transaction wrote it, and in which era (system identifier and timeline) that
 * transaction id means something.
 *
 * Names are stored with the event, because the event outlives the source and
 * provider.
 *
 * A notification is a hint to look, sent at commit by PostgreSQL's NOTIFY.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "catalog.h"
#include "compat.h"
#include "history.h"
#include "row.h"
#include "sequence.h"
#include "snapshot.h"

#define CHANNEL "partreg"

int			notify_level = NOTIFY_ALL;

/*
 * The caller: the login role or what SET ROLE made of it.  Not the current
 * user, which is the definer while a SECURITY DEFINER function runs, ours or
 * somebody else's.
 */
char *
caller_name(void)
{
	return GetUserNameFromId(GetOuterUserId(), false);
}

/* The columns of an event as values of a row */
typedef struct EventRow
{
	Datum		values[Natts_event];
	bool		nulls[Natts_event];
} EventRow;

static void
set_value(EventRow *row, int column, Datum value)
{
	row->values[column - 1] = value;
	row->nulls[column - 1] = false;
}

static void
set_text(EventRow *row, int column, const char *string)
{
	if (string != NULL)
		set_value(row, column, CStringGetTextDatum(string));
}

static void
set_during(EventRow *row, const TimeInterval *during)
{
	set_value(row, Anum_event_start_at, TimestampTzGetDatum(during->start));
	set_value(row, Anum_event_end_at, TimestampTzGetDatum(during->end));
	set_value(row, Anum_event_length_class, Int16GetDatum(length_class(*during)));
}

static void
set_state_before(EventRow *row, StateBefore state)
{
	if (state != STATE_NOT_REMEMBERED)
		set_value(row, Anum_event_state_before, CharGetDatum((char) state));
}

/* All but the id, and the interval where there are many */
static void
fill_row(const Event *event, EventRow *row)
{
	const Access *access = event->access;
	Name		actor = palloc0(NAMEDATALEN);

	memset(row->nulls, true, sizeof(row->nulls));
	set_text(row, Anum_event_event, event->event);
	set_value(row, Anum_event_source_id, Int32GetDatum(access->source_id));
	if (access->provider_name != NULL)
		set_value(row, Anum_event_provider_id,
				  Int32GetDatum(access->provider_id));
	set_text(row, Anum_event_source_name, access->source_name);
	set_text(row, Anum_event_provider_name, access->provider_name);
	if (event->during != NULL)
		set_during(row, event->during);
	set_state_before(row, event->state_before);
	set_value(row, Anum_event_at, TimestampTzGetDatum(event->at));
	namestrcpy(actor, caller_name());
	set_value(row, Anum_event_actor, NameGetDatum(actor));
	set_text(row, Anum_event_holder, event->holder);
	set_text(row, Anum_event_reason, event->reason);
	set_value(row, Anum_event_xid,
			  FullTransactionIdGetDatum(GetTopFullTransactionId()));
	set_value(row, Anum_event_system_id,
			  Int64GetDatum((int64) GetSystemIdentifier()));
	set_value(row, Anum_event_timeline,
			  Int32GetDatum((int32) GetWALInsertionTimeLine()));
	if (access->credential != CREDENTIAL_NONE)
		set_value(row, Anum_event_credential,
				  CharGetDatum((char) access->credential));
	if (event->details != NULL)
		set_value(row, Anum_event_details, JsonbPGetDatum(event->details));
}

/* Write an event, and notify of it. */
void
history_record(const Event *event)
{
	int64		id = sequence_next(SEQUENCE_EVENT);
	EventRow	row;

	fill_row(event, &row);
	set_value(&row, Anum_event_id, Int64GetDatum(id));
	row_insert(EVENT_BY_ID, row.values, row.nulls);
	history_notify(event, id, 0);
}

typedef struct ManyEvents
{
	EventRow	row;
	const TimeInterval *durings;
	const StateBefore *states;
	int64		last_id;
} ManyEvents;

static void
fill_one_of_many(void *arg, size_t n, Datum *values, bool *nulls)
{
	ManyEvents *events = arg;

	events->last_id = sequence_draw(SEQUENCE_EVENT);
	set_value(&events->row, Anum_event_id, Int64GetDatum(events->last_id));
	set_during(&events->row, &events->durings[n]);
	set_state_before(&events->row, events->states[n]);
	memcpy(values, events->row.values, sizeof(events->row.values));
	memcpy(nulls, events->row.nulls, sizeof(events->row.nulls));
}

/*
 * Write an event for each of some partitions, which were in these states, and
 * notify of none; returns the id of the last one.
 */
int64
history_record_many(const Event *event, const TimeInterval *durings,
					const StateBefore *states, size_t count)
{
	ManyEvents	events;

	sequence_check(SEQUENCE_EVENT);
	fill_row(event, &events.row);
	events.durings = durings;
	events.states = states;
	events.last_id = 0;
	row_insert_many(EVENT_BY_ID, count, fill_one_of_many, &events);
	return events.last_id;
}

/*
 * What the last event with details said of a partition, if it was not before
 * an instant; NULL: nothing.
 */
Jsonb *
history_details(int32 provider_id, TimeInterval during, TimestampTz since,
				Snapshot snapshot)
{
	Jsonb	   *details = NULL;
	CatalogScan scan;
	TimestampTz at;
	bool		isnull;

	catalog_begin(&scan, EVENT_BY_PARTITION, snapshot);
	catalog_seek_details(&scan, provider_id, during);
	if (catalog_next_row(&scan, BackwardScanDirection) &&
		catalog_row_time(&scan, Anum_event_at, &at) && at >= since)
		details = DatumGetJsonbPCopy(catalog_row_value(&scan, Anum_event_details,
													   &isnull));
	catalog_end(&scan);
	return details;
}

static void
append_name(StringInfo json, const char *key, const char *name)
{
	appendStringInfo(json, "\"%s\":", key);
	if (name == NULL)
		appendStringInfoString(json, "null");
	else
		escape_json(json, name);
}

/*
 * The details of an event that changes what is asked for: what was it before,
 * and what is it now?
 */
Jsonb *
history_change(const char *what, const char *before, const char *after)
{
	StringInfoData json;
	Jsonb	   *details;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"%s\":{", what);
	append_name(&json, "before", before);
	appendStringInfoChar(&json, ',');
	append_name(&json, "after", after);
	appendStringInfoString(&json, "}}");
	details = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
												 CStringGetDatum(json.data)));
	pfree(json.data);
	return details;
}

/* Can an event make something ready? */
static bool
may_make_ready(const Event *event)
{
	static const char *const events[] = {
		"unlock", "retire", "revoke", "change_rule"
	};

	for (int i = 0; i < lengthof(events); i++)
	{
		if (strcmp(event->event, events[i]) == 0)
			return true;
	}
	return event->may_make_ready;
}

/* ,"key":"2024-01-01T00:00:00.000000Z"; years before 1 as ISO 8601 has them */
static void
append_time(StringInfo json, const char *key, const int64 *time)
{
	struct pg_tm tm;
	fsec_t		fsec;

	appendStringInfo(json, ",\"%s\":", key);
	if (time == NULL)
		appendStringInfoString(json, "null");
	else if (timestamp2tm(*time, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	else
		appendStringInfo(json, "\"%s%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"",
						 tm.tm_year < 0 ? "-" : "", abs(tm.tm_year),
						 tm.tm_mon, tm.tm_mday,
						 tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}

/*
 * Notify of an event, or of `count` of them (0: of a single one).
 */
void
history_notify(const Event *event, int64 event_id, int64 count)
{
	const TimeInterval *during = event->during;
	StringInfoData json;

	if (notify_level == NOTIFY_OFF ||
		(notify_level == NOTIFY_READY && !may_make_ready(event)))
		return;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"v\":1,\"event\":\"%s\"", event->event);
	appendStringInfoChar(&json, ',');
	append_name(&json, "source", event->access->source_name);
	appendStringInfoChar(&json, ',');
	append_name(&json, "provider", event->access->provider_name);
	append_time(&json, "start", during == NULL ? NULL : &during->start);
	append_time(&json, "end", during == NULL ? NULL : &during->end);
	appendStringInfo(&json, ",\"event_id\":" INT64_FORMAT, event_id);
	if (count > 0)
		appendStringInfo(&json, ",\"count\":" INT64_FORMAT, count);
	appendStringInfoChar(&json, '}');
	Async_Notify(CHANNEL, json.data);
	pfree(json.data);
}
