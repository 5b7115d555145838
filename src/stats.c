/*
 * stats.c
 *		How far each source is ready.
 *
 * The last ready stretch of a source ends at the last instant that has, right
 * before it, something that is available and not locked or failed.  It is found
 * from the end backwards: an instant falls to where the first thing in the way
 * begins or ends, and again, until nothing is in the way.  So the cost is that
 * of what is outstanding at the end, whatever was unlocked before.
 *
 * All sources are looked at in one walk, as opening tables for each would cost
 * more than the looks.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "coverage.h"

PG_FUNCTION_INFO_V1(_list_ready_ends);

/* The columns of the SQL type partreg._ready_end */
#define READY_END_COLUMNS	2

/* A provider of the source at hand */
typedef struct StatsProvider
{
	int32		id;
	TimeInterval effective;		/* start >= end: it is asked for no time */
	TimeInterval span;			/* the last that was looked at */
} StatsProvider;

/* Walks, open for all sources, and what is known of the one at hand */
typedef struct StatsScan
{
	CatalogScan sources;
	CatalogScan providers;
	CoverageScan coverage;
	OverlapScan locks;

	bool		needs_all;
	List	   *of_source;		/* of StatsProvider */
	IntervalSet blocked;
} StatsScan;

/*
 * Where is the end of the last span before an instant, cut at it?
 *
 * Instants never rise: a span that begins before one is still the last, and is
 * not looked for again.
 */
static int64
supplied_before(StatsScan *scan, StatsProvider *provider, int64 instant)
{
	if (provider->span.start >= instant &&
		!coverage_last_before(&scan->coverage, provider->id, instant,
							  &provider->span))
		provider->span.start = provider->span.end = INTERVAL_MIN;
	return Min(provider->span.end, instant);
}

/*
 * From an instant back to where something is available right before it, as far
 * as one look at each provider tells.
 */
static int64
available_before(StatsScan *scan, int64 instant)
{
	int64		supplied = INTERVAL_MIN;
	ListCell   *cell;

	foreach(cell, scan->of_source)
	{
		int64		before = supplied_before(scan, lfirst(cell), instant);

		supplied = Max(supplied, before);
	}
	instant = supplied;
	if (!scan->needs_all)
		return instant;
	foreach(cell, scan->of_source)
	{
		StatsProvider *provider = lfirst(cell);

		if (instant > provider->effective.start &&
			instant <= provider->effective.end)
		{
			instant = supplied_before(scan, provider, instant);
			instant = Max(instant, provider->effective.start);
		}
	}
	return instant;
}

/*
 * From an instant back to where nothing is locked or failed right before it.
 * Instants never rise: what begins at one or after it is looked at no more.
 */
static int64
unblocked_before(StatsScan *scan, int64 instant)
{
	IntervalSet *blocked = &scan->blocked;
	TimeInterval last;

	while (blocked->count > 0 &&
		   blocked->items[blocked->count - 1].start >= instant)
		blocked->count--;
	if (blocked->count == 0)
		return instant;
	last = blocked->items[blocked->count - 1];
	return instant <= last.end ? last.start : instant;
}

/* The end of the last ready stretch; INTERVAL_MIN: nothing is ready. */
static int64
ready_end(StatsScan *scan)
{
	int64		instant = INTERVAL_MAX;
	int64		before;

	do
	{
		CHECK_FOR_INTERRUPTS();
		before = instant;
		instant = unblocked_before(scan, available_before(scan, instant));
	} while (instant != before && instant != INTERVAL_MIN);
	return instant;
}

/* Read what is needed of the source that the walk has come to. */
static void
read_source(StatsScan *scan, int32 source_id)
{
	static const TimeInterval always = {INTERVAL_MIN, INTERVAL_MAX};

	char	   *rule = catalog_row_text(&scan->sources, Anum_source_rule);

	scan->needs_all = strcmp(rule, "all") == 0;
	pfree(rule);
	scan->of_source = NIL;
	catalog_seek_provider(&scan->providers, source_id, NULL);
	while (catalog_next_row(&scan->providers, ForwardScanDirection))
	{
		StatsProvider *provider = palloc(sizeof(StatsProvider));
		bool		isnull;
		Datum		effective = catalog_row_value(&scan->providers,
												  Anum_provider_effective,
												  &isnull);

		provider->id = catalog_row_int32(&scan->providers, Anum_provider_id);
		provider->span.start = provider->span.end = INTERVAL_MAX;
		if (!range_to_interval(DatumGetRangeTypeP(effective),
							   &provider->effective))
			provider->effective.start = provider->effective.end = INTERVAL_MAX;
		scan->of_source = lappend(scan->of_source, provider);
	}

	overlap_seek(&scan->locks, source_id, always);
	while (overlap_next(&scan->locks))
		interval_set_merge(&scan->blocked, scan->locks.during);
	interval_set_coalesce(&scan->blocked);
	scan->coverage.source_id = source_id;
}

/*
 * _list_ready_ends()
 *		returns SETOF _ready_end: of each source of which anything is ready, the
 *		end of its last ready stretch; for the view stats
 *
 * Errors: none.
 */
Datum
_list_ready_ends(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot = GetActiveSnapshot();
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	StatsScan	scan = {0};

	InitMaterializedSRF(fcinfo, 0);
	catalog_begin(&scan.sources, SOURCE_BY_ID, snapshot);
	catalog_begin(&scan.providers, PROVIDER_BY_NAME, snapshot);
	coverage_begin(&scan.coverage, 0, snapshot);
	overlap_begin(&scan.locks, LOCK_BY_KEY, NULL, snapshot);
	catalog_seek_first(&scan.sources);
	while (catalog_next_row(&scan.sources, ForwardScanDirection))
	{
		int32		source_id = catalog_row_int32(&scan.sources, Anum_source_id);
		int64		end;

		read_source(&scan, source_id);
		end = ready_end(&scan);
		if (end != INTERVAL_MIN)
		{
			Datum		values[READY_END_COLUMNS] = {
				Int32GetDatum(source_id),
				TimestampTzGetDatum(end)
			};
			bool		nulls[READY_END_COLUMNS] = {0};

			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
								 nulls);
		}
		list_free_deep(scan.of_source);
		interval_set_free(&scan.blocked);
	}
	overlap_end(&scan.locks);
	coverage_end(&scan.coverage);
	catalog_end(&scan.providers);
	catalog_end(&scan.sources);
	return (Datum) 0;
}
