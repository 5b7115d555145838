/*
 * lateness.c
 *		What providers have not supplied by their deadlines.
 *
 * A provider with a deadline has to unlock each partition by the partition's
 * end + the deadline, by the clock.  After that, these are late:
 *
 * - what is registered and was never unlocked, in whatever state, unless it
 *	 overlaps what the provider's calendar says is closed;
 * - what its calendar expects and is missing (expectation.c).
 *
 * If the server no longer knows the time zone of the calendar, missing steps
 * cannot be determined.  Then late_partitions has a row with state "unknown"
 * for the whole time in question, so that an empty view does not mislead
 * anybody.  Pictures do not show it.
 *
 * Both are found without reading unlocked partitions: registered partitions
 * are in partreg.pending, and missing steps lie between spans.  A provider
 * without a deadline is never late, and costs only a look at its row.
 */
#include "postgres.h"

#include "common/int.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "argument.h"
#include "compat.h"
#include "lateness.h"

PG_FUNCTION_INFO_V1(_list_late);

/* The columns of the SQL type partreg._late */
#define LATE_COLUMNS	5

void
lateness_begin(LatenessScan *scan, Snapshot snapshot)
{
	holding_begin(&scan->holding, snapshot);
	catalog_begin(&scan->locks, LOCK_BY_KEY, snapshot);
	scan->now = GetCurrentTimestamp();
	scan->with_unknown = false;
}

void
lateness_end(LatenessScan *scan)
{
	catalog_end(&scan->locks);
	holding_end(&scan->holding);
}

/* The state of a partition that was never unlocked */
static const char *
pending_state(LatenessScan *scan, int32 source_id, int32 provider_id,
			  TimeInterval during)
{
	char	   *state;
	bool		failed;

	catalog_seek_lock(&scan->locks, source_id, provider_id, during);
	if (!catalog_next_row(&scan->locks, ForwardScanDirection))
		return "registered";
	state = catalog_row_text(&scan->locks, Anum_lock_state);
	failed = strcmp(state, "failed") == 0;
	pfree(state);
	return failed ? "failed" : "locked";
}

/*
 * Report what is late of the provider whose row a scan has come to, and
 * overlaps a window.  First what is registered, by length class and start, then
 * what is missing, by start.
 */
void
lateness_find(LatenessScan *scan, CatalogScan *provider, TimeInterval window,
			  LateFunction report, void *arg)
{
	int32		source_id = catalog_row_int32(provider, Anum_provider_source_id);
	int32		provider_id = catalog_row_int32(provider, Anum_provider_id);
	OverlapScan *pending = &scan->holding.pending;
	Expectation expectation;
	IntervalSet missing = {0};
	bool		has_calendar;
	bool		isnull;
	Datum		deadline;
	int64		within;
	int64		ended;

	deadline = catalog_row_value(provider, Anum_provider_deadline, &isnull);
	if (isnull)
		return;
	within = check_duration(DatumGetIntervalP(deadline), "within");
	if (pg_sub_s64_overflow(scan->now, within, &ended))
		return;
	/* What starts at `ended` or later is not due yet. */
	window.end = Min(window.end, ended);
	if (window.start >= window.end)
		return;

	has_calendar = expectation_read(provider, &expectation);
	overlap_seek(pending, provider_id, window);
	while (overlap_next(pending))
	{
		Late		late = {.during = pending->during};

		CHECK_FOR_INTERRUPTS();
		if (late.during.end > ended ||
			(has_calendar &&
			 interval_set_overlaps(&expectation.closed, late.during)))
			continue;
		late.state = pending_state(scan, source_id, provider_id, late.during);
		late.due_at = late.during.end + within;
		report(&late, arg);
	}

	if (!has_calendar)
		return;
	expectation.extent.end = Min(expectation.extent.end, ended);
	if (!expectation.is_known && scan->with_unknown &&
		expectation.extent.start < expectation.extent.end)
	{
		Late		late = {
			.during = expectation.extent,
			.state = "unknown"
		};

		late.due_at = within + late.during.start;
		report(&late, arg);
	}
	expectation_missing(&expectation, &scan->holding, source_id, provider_id,
						window, &missing);
	for (size_t i = 0; i < missing.count; i++)
	{
		Late		late = {
			.during = missing.items[i],
			.state = "missing"
		};

		CHECK_FOR_INTERRUPTS();
		late.due_at = within +
			expectation_first_step(&expectation, late.during).end;
		report(&late, arg);
	}
	interval_set_free(&missing);
	expectation_free(&expectation);
}

/* Where _list_late() puts its rows */
typedef struct LateList
{
	ReturnSetInfo *rsinfo;
	CatalogScan providers;
	MemoryContext rows;
} LateList;

static void
list_row(const Late *late, void *arg)
{
	LateList   *list = arg;
	MemoryContext memory = MemoryContextSwitchTo(list->rows);
	Datum		values[LATE_COLUMNS];
	bool		nulls[LATE_COLUMNS] = {0};

	values[0] = Int32GetDatum(catalog_row_int32(&list->providers,
												Anum_provider_source_id));
	values[1] = Int32GetDatum(catalog_row_int32(&list->providers,
												Anum_provider_id));
	values[2] = interval_to_range(late->during);
	values[3] = CStringGetTextDatum(late->state);
	values[4] = TimestampTzGetDatum(late->due_at);
	tuplestore_putvalues(list->rsinfo->setResult, list->rsinfo->setDesc, values,
						 nulls);
	MemoryContextSwitchTo(memory);
	MemoryContextReset(list->rows);
}

/*
 * _list_late()
 *		returns SETOF _late: what is late of all providers, for the views
 *
 * Errors: none.
 */
Datum
_list_late(PG_FUNCTION_ARGS)
{
	TimeInterval always = {INTERVAL_MIN, INTERVAL_MAX};
	Snapshot	snapshot = GetActiveSnapshot();
	LateList	list;
	LatenessScan scan;

	InitMaterializedSRF(fcinfo, 0);
	list.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	list.rows = AllocSetContextCreate(CurrentMemoryContext,
									  "partreg result row",
									  ALLOCSET_SMALL_SIZES);
	lateness_begin(&scan, snapshot);
	scan.with_unknown = true;
	catalog_begin(&list.providers, PROVIDER_BY_ID, snapshot);
	catalog_seek_all(&list.providers);
	while (catalog_next_row(&list.providers, ForwardScanDirection))
	{
		CHECK_FOR_INTERRUPTS();
		lateness_find(&scan, &list.providers, always, list_row, &list);
	}
	catalog_end(&list.providers);
	lateness_end(&scan);
	MemoryContextDelete(list.rows);
	return (Datum) 0;
}
