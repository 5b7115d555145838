/*
 * event.c
 *		Reading events.
 *
 * When did an event happen?  It took effect when its transaction committed.
 * The server knows the time of the commit if track_commit_timestamp is on and
 * was on then.  Otherwise the event's own time counts, which is the moment of
 * the call.
 */
#include "postgres.h"

#include "access/commit_ts.h"
#include "access/xlog.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/controldata_utils.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"
#include "utils/xid8.h"

#include "access.h"
#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "effective.h"
#include "event.h"
#include "feed.h"
#include "partition.h"
#include "source.h"

PG_FUNCTION_INFO_V1(_event_time);
PG_FUNCTION_INFO_V1(history);
PG_FUNCTION_INFO_V1(latest_details);

/* The columns of the SQL type partreg.supplied */
#define SUPPLIED_COLUMNS	4

/* A standby keeps the times of commits where its primary does. */
static bool
standby_has_commits(void)
{
	ControlFileData *control;
	bool		crc_ok;
	bool		result;

	LWLockAcquire(ControlFileLock, LW_SHARED);
	control = get_controlfile(DataDir, &crc_ok);
	LWLockRelease(ControlFileLock);
	result = crc_ok && control->track_commit_timestamp;
	pfree(control);
	return result;
}

static void
start(EventClock *clock)
{
	clock->started = true;
	clock->has_commits = RecoveryInProgress() ? standby_has_commits()
		: track_commit_timestamp;
	clock->system_id = (int64) GetSystemIdentifier();
	clock->next = ReadNextFullTransactionId();
	clock->asked = InvalidFullTransactionId;
}

/* When did a transaction of this cluster commit?  False: that is not known. */
static bool
commit_time(EventClock *clock, FullTransactionId xid, TimestampTz *time)
{
	/* The server has the lower half of the id, which comes again. */
	if (FullTransactionIdFollowsOrEquals(xid, clock->next) ||
		U64FromFullTransactionId(clock->next) - U64FromFullTransactionId(xid) >= PG_INT32_MAX)
		return false;
	if (!FullTransactionIdEquals(xid, clock->asked))
	{
		clock->asked = xid;
		clock->committed = TransactionIdGetCommitTsData(XidFromFullTransactionId(xid),
														&clock->commit_time,
														NULL);
	}
	*time = clock->commit_time;
	return clock->committed;
}

static TimestampTz
time_of(EventClock *clock, TimestampTz at, FullTransactionId xid,
		int64 system_id)
{
	TimestampTz time;

	if (!clock->started)
		start(clock);
	if (clock->has_commits && system_id == clock->system_id &&
		commit_time(clock, xid, &time))
		return time;
	return at;
}

/* When did the event under a scan happen? */
TimestampTz
event_time(EventClock *clock, CatalogScan *scan)
{
	TimestampTz at;
	Datum		xid;
	Datum		system_id;
	bool		isnull;

	(void) catalog_row_time(scan, Anum_event_at, &at);
	xid = catalog_row_value(scan, Anum_event_xid, &isnull);
	system_id = catalog_row_value(scan, Anum_event_system_id, &isnull);
	return time_of(clock, at, DatumGetFullTransactionId(xid),
				   DatumGetInt64(system_id));
}

/*
 * _event_time(at timestamptz, xid xid8, system_id bigint) returns timestamptz
 *		The same of the columns of an event, for purge_history().
 */
Datum
_event_time(PG_FUNCTION_ARGS)
{
	EventClock	clock = {0};

	PG_RETURN_TIMESTAMPTZ(time_of(&clock, PG_GETARG_TIMESTAMPTZ(0),
								  PG_GETARG_FULLTRANSACTIONID(1),
								  PG_GETARG_INT64(2)));
}

/* What was the partition before the event under a scan? */
StateBefore
event_state_before(CatalogScan *scan)
{
	bool		isnull;
	Datum		state = catalog_row_value(scan, Anum_event_state_before, &isnull);

	return isnull ? STATE_NOT_REMEMBERED : (StateBefore) DatumGetChar(state);
}

bool
event_is(CatalogScan *scan, const char *what)
{
	bool		isnull;
	text	   *event = DatumGetTextPP(catalog_row_value(scan, Anum_event_event,
														 &isnull));

	return VARSIZE_ANY_EXHDR(event) == strlen(what) &&
		memcmp(VARDATA_ANY(event), what, strlen(what)) == 0;
}

static JsonbValue *
json_member(JsonbContainer *object, const char *key)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key), NULL);
}

/*
 * Do the details of the event under a scan say that it changed something
 * (history_change())?  What that was; NULL: they do not.
 */
char *
event_change(CatalogScan *scan, const char *what)
{
	bool		isnull;
	Datum		datum = catalog_row_value(scan, Anum_event_details, &isnull);
	Jsonb	   *details;
	JsonbValue *change;
	JsonbValue *value;

	if (isnull)
		return NULL;
	details = DatumGetJsonbP(datum);
	change = json_member(&details->root, what);
	if (change == NULL || change->type != jbvBinary)
		return NULL;
	value = json_member(change->val.binary.data, "before");
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* The events of a range */

/* The provider of a source that has a name */
static int32
find_provider(const Source *source, const char *source_name, const char *name,
			  Snapshot snapshot)
{
	CatalogScan scan;
	int32		id = 0;

	catalog_begin(&scan, PROVIDER_BY_NAME, snapshot);
	catalog_seek_provider(&scan, source->id, name);
	if (catalog_next_row(&scan, ForwardScanDirection))
		id = catalog_row_int32(&scan, Anum_provider_id);
	catalog_end(&scan);
	if (id == 0)
		raise_unknown_provider(source_name, name);
	return id;
}

/*
 * Put the ids of the newest events that overlap a window into a sort, which
 * keeps no more than are wanted.  They go in with the sign turned, so that the
 * newest come out first.
 */
static void
collect_events(const Source *source, TimeInterval window, int32 provider_id,
			   Snapshot snapshot, Tuplesortstate *newest)
{
	OverlapScan overlap;

	overlap_begin(&overlap, EVENT_BY_DURING, NULL, snapshot);
	overlap_seek(&overlap, source->id, window);
	while (overlap_next(&overlap))
	{
		int64		id;

		if (provider_id != 0 &&
			catalog_row_int32(&overlap.scan,
							  Anum_event_provider_id) != provider_id)
			continue;
		id = catalog_row_int64(&overlap.scan, Anum_event_id);
		tuplesort_putdatum(newest, Int64GetDatum(-id), false);
	}
	overlap_end(&overlap);
}

static void
put_row(ReturnSetInfo *rsinfo, Datum *values, bool *nulls)
{
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * Give a row the names that source and provider have now; it comes with those
 * that they had at the event.
 */
static void
set_names(Datum *values, const char *source_name, CatalogScan *provider)
{
	values[CHANGE_SOURCE_NAME] = CStringGetTextDatum(source_name);
	values[CHANGE_PROVIDER_NAME] =
		CStringGetTextDatum(catalog_row_text(provider, Anum_provider_name));
}

/*
 * history(source_name text, during tstzrange, provider_name text DEFAULT NULL,
 *		   max_events integer DEFAULT 1000)
 *		returns SETOF change: the events of partitions that overlap the range,
 *		which may be unbounded, newest first
 *
 * Of one provider, or (NULL) of all; under the names that source and providers
 * have now.
 *
 * Errors: 22004, 22023 (empty; max_events below 1), 42704.
 */
Datum
history(PG_FUNCTION_ARGS)
{
	char	   *source_name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	char	   *provider_name = argument_text(fcinfo, 2);
	int32		max_events;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Snapshot	snapshot = GetActiveSnapshot();
	MemoryContext rows;
	TimeInterval window;
	Source		source;
	int32		provider_id = 0;
	Tuplesortstate *newest;
	CatalogScan scan;
	CatalogScan provider;
	Datum		id;
	bool		isnull;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	InitMaterializedSRF(fcinfo, 0);
	window = check_extent(range);
	max_events = argument_max_events(fcinfo, 3);
	source = source_find(source_name, snapshot);
	if (provider_name != NULL)
		provider_id = find_provider(&source, source_name, provider_name,
									snapshot);

	newest = tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid, false,
								   work_mem, NULL, TUPLESORT_ALLOWBOUNDED);
	tuplesort_set_bound(newest, max_events);
	collect_events(&source, window, provider_id, snapshot, newest);
	tuplesort_performsort(newest);

	rows = AllocSetContextCreate(CurrentMemoryContext, "partreg result row",
								 ALLOCSET_SMALL_SIZES);
	catalog_begin(&scan, EVENT_BY_ID, snapshot);
	catalog_begin(&provider, PROVIDER_BY_ID, snapshot);
	for (int32 n = 0; n < max_events &&
		 tuplesort_getdatum_compat(newest, true, &id, &isnull); n++)
	{
		MemoryContext memory;
		Datum		values[CHANGE_COLUMNS];
		bool		nulls[CHANGE_COLUMNS];
		bool		has_provider;

		catalog_seek_number(&scan, -DatumGetInt64(id));
		if (!catalog_next_row(&scan, ForwardScanDirection))
			continue;
		catalog_seek_number(&provider,
							catalog_row_int32(&scan, Anum_event_provider_id));
		has_provider = catalog_next_row(&provider, ForwardScanDirection);
		memory = MemoryContextSwitchTo(rows);
		change_values(&scan, values, nulls);
		if (has_provider)		/* the tables are not damaged */
			set_names(values, source_name, &provider);
		put_row(rsinfo, values, nulls);
		MemoryContextSwitchTo(memory);
		MemoryContextReset(rows);
	}
	catalog_end(&provider);
	catalog_end(&scan);
	tuplesort_end(newest);
	MemoryContextDelete(rows);
	return (Datum) 0;
}

/* What was said of unlocked partitions */

/* The unlocked partitions of a provider that overlap a window, with details */
static void
put_supplied(ReturnSetInfo *rsinfo, const Source *source,
			 const EffectiveProvider *provider, TimeInterval window,
			 Snapshot snapshot)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext,
											   "partreg result row",
											   ALLOCSET_SMALL_SIZES);
	OverlapScan overlap;
	CatalogScan locks;

	overlap_begin(&overlap, PARTITION_BY_KEY, NULL, snapshot);
	overlap_seek(&overlap, provider->provider_id, window);
	catalog_begin(&locks, LOCK_BY_KEY, snapshot);
	while (overlap_next(&overlap))
	{
		MemoryContext memory;
		Partition	partition;
		Datum		values[SUPPLIED_COLUMNS];
		bool		nulls[SUPPLIED_COLUMNS] = {false};
		Jsonb	   *details;

		catalog_seek_lock(&locks, source->id, provider->provider_id,
						  overlap.during);
		if (catalog_next_row(&locks, ForwardScanDirection))
			continue;
		memory = MemoryContextSwitchTo(rows);
		partition_read_row(&overlap.scan, &partition);
		details = history_details(provider->provider_id, overlap.during,
								  partition.unlocked_at, snapshot);
		values[0] = interval_to_range(overlap.during);
		values[1] = CStringGetTextDatum(provider->name);
		values[2] = TimestampTzGetDatum(partition.unlocked_at);
		values[3] = PointerGetDatum(details);
		nulls[3] = details == NULL;
		put_row(rsinfo, values, nulls);
		MemoryContextSwitchTo(memory);
		MemoryContextReset(rows);
	}
	catalog_end(&locks);
	overlap_end(&overlap);
	MemoryContextDelete(rows);
}

/*
 * latest_details(source_name text, during tstzrange)
 *		returns SETOF supplied: each unlocked partition that overlaps the range,
 *		which may be unbounded, and what its last unlock said of it
 *
 * The details are NULL where that said nothing, or is purged.
 *
 * Errors: 22004, 22023 (empty), 42704.
 */
Datum
latest_details(PG_FUNCTION_ARGS)
{
	char	   *source_name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;
	Source		source;
	ListCell   *cell;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	InitMaterializedSRF(fcinfo, 0);
	window = check_extent(range);
	source = source_find(source_name, snapshot);
	foreach(cell, effective_providers(source.id, window, true, snapshot))
		put_supplied(rsinfo, &source, lfirst(cell), window, snapshot);
	return (Datum) 0;
}
