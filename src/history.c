/*
 * history.c
 *		Events, and the notifications that go with them.
 *
 * Each change is one row in partreg.event, in the transaction that makes the
 * change.  Its id is drawn while the partition is locked, so ids order the
 * events of a partition; between partitions a smaller id may well commit
 * later.  For readers who want to miss nothing all the same, an event also
 * says which top-level transaction wrote it, and in which era (system
 * identifier and timeline) that transaction id means something.
 *
 * Names are stored with the event: it outlives what it speaks of.
 *
 * A notification is a hint to look, sent at commit by PostgreSQL's NOTIFY.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "argument.h"
#include "compat.h"
#include "history.h"
#include "statement.h"

#define CHANNEL "partreg"

int			notify_level = NOTIFY_ALL;

static Statement insert_event = {
	"INSERT INTO partreg.event (event, source_id, provider_id, source_name, provider_name,"
	"    start_at, end_at, at, actor, holder, reason, xid, system_id, timeline)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
	" RETURNING id",
	14,
	{TEXTOID, INT4OID, INT4OID, TEXTOID, TEXTOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, NAMEOID, TEXTOID, TEXTOID,
	XID8OID, INT8OID, INT4OID}
};

/*
 * The transaction and era that an event of now belongs to, as the values of
 * the columns xid, system_id and timeline.
 */
int
history_era(Datum *values)
{
	values[0] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[1] = Int64GetDatum((int64) GetSystemIdentifier());
	values[2] = Int32GetDatum((int32) GetWALInsertionTimeLine());
	return 3;
}

static Datum
text_or_null(const char *string, char *null)
{
	*null = string == NULL ? 'n' : ' ';
	return string == NULL ? (Datum) 0 : CStringGetTextDatum(string);
}

/* Write an event, and notify of it. */
void
history_record(const Event *event)
{
	const Access *access = event->access;
	Datum		values[14];
	char		nulls[15] = "              ";
	bool		isnull;

	values[0] = CStringGetTextDatum(event->event);
	values[1] = Int32GetDatum(access->source_id);
	values[2] = Int32GetDatum(access->provider_id);
	nulls[2] = access->provider_name == NULL ? 'n' : ' ';
	values[3] = CStringGetTextDatum(access->source_name);
	values[4] = text_or_null(access->provider_name, &nulls[4]);
	if (event->during != NULL)
	{
		values[5] = TimestampTzGetDatum(event->during->start);
		values[6] = TimestampTzGetDatum(event->during->end);
	}
	else
		nulls[5] = nulls[6] = 'n';
	values[7] = TimestampTzGetDatum(event->at);
	values[8] = caller_name_datum();
	values[9] = text_or_null(event->holder, &nulls[9]);
	values[10] = text_or_null(event->reason, &nulls[10]);
	history_era(&values[11]);

	statement_run(&insert_event, values, nulls);
	history_notify(event, DatumGetInt64(statement_result(0, 1, &isnull)), 0);
}

/* Can an event make something ready? */
static bool
may_make_ready(const Event *event)
{
	static const char *const events[] = {
		"unlock", "retire", "revoke", "change_rule", "change_provider"
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

static void
append_name(StringInfo json, const char *key, const char *name)
{
	appendStringInfo(json, ",\"%s\":", key);
	if (name == NULL)
		appendStringInfoString(json, "null");
	else
		escape_json(json, name);
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
	append_name(&json, "source", event->access->source_name);
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
