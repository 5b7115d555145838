/*
 * stats.c
 *		How far each source is ready.
 *
 * The last ready stretch of a source ends at the last instant before which
 * something is available and not locked or failed.  It is found from the end
 * backwards: a candidate moves back to where the first thing in its way begins
 * or ends, and again, until nothing is in the way.  So the cost depends on
 * what is not ready at the end, whatever was unlocked before.
 *
 * All sources are looked at in one walk, in the order of their ids, which is
 * also that of the indexes of providers and locks: these are walked through
 * beside it, all of them.  Only for spans is the index descended, once for each
 * that is met.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

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
	TimeInterval effective;		/* start >= end: it has to supply nothing */
	TimeInterval span;			/* met last; start is INTERVAL_MIN: no more */
} StatsProvider;

/* A walk beside that of the sources, in the order of source_id */
typedef struct Beside
{
	CatalogScan scan;
	int			anum_source_id;
	int32		source_id;		/* of the row it has come to */
	bool		at_row;			/* false: it has come to the end */
} Beside;

/* Walks through all sources, and what is known of the one at hand */
typedef struct StatsScan
{
	CatalogScan sources;
	Beside		providers;
	Beside		locks;
	CoverageScan coverage;

	bool		needs_all;
	List	   *of_source;		/* of StatsProvider */
	IntervalSet blocked;
} StatsScan;

static void
beside_next(Beside *beside)
{
	beside->at_row = catalog_next_row(&beside->scan, ForwardScanDirection);
	if (beside->at_row)
		beside->source_id = catalog_row_int32(&beside->scan,
											  beside->anum_source_id);
}

static void
beside_begin(Beside *beside, CatalogIndex which, int anum_source_id,
			 Snapshot snapshot)
{
	catalog_begin(&beside->scan, which, snapshot);
	catalog_seek_all(&beside->scan);
	beside->anum_source_id = anum_source_id;
	beside_next(beside);
}

/* Is it at a row of a source?  It passes by what is of sources before. */
static bool
beside_is_at(Beside *beside, int32 source_id)
{
	while (beside->at_row && beside->source_id < source_id)
		beside_next(beside);
	return beside->at_row && beside->source_id == source_id;
}

/*
 * Where is the end of the last span before an instant, cut at it?  Instants only
 * go back, so the span met last is often still the one.
 */
static int64
supplied_before(StatsScan *scan, StatsProvider *provider, int64 instant)
{
	TimeInterval *span = &provider->span;

	if (span->start >= instant &&
		!coverage_last_before(&scan->coverage, provider->id, instant, span))
		span->start = INTERVAL_MIN;
	return span->start == INTERVAL_MIN ? INTERVAL_MIN : Min(span->end, instant);
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
	Beside	   *providers = &scan->providers;
	char	   *rule = catalog_row_text(&scan->sources, Anum_source_rule);

	scan->needs_all = strcmp(rule, "all") == 0;
	pfree(rule);
	scan->of_source = NIL;
	for (; beside_is_at(providers, source_id); beside_next(providers))
	{
		StatsProvider *provider = palloc(sizeof(StatsProvider));
		bool		isnull;
		Datum		effective = catalog_row_value(&providers->scan,
												  Anum_provider_effective,
												  &isnull);

		provider->id = catalog_row_int32(&providers->scan, Anum_provider_id);
		provider->span.start = INTERVAL_MAX;
		if (!range_to_interval(DatumGetRangeTypeP(effective),
							   &provider->effective))
			provider->effective.start = provider->effective.end = INTERVAL_MAX;
		scan->of_source = lappend(scan->of_source, provider);
	}

	for (; beside_is_at(&scan->locks, source_id); beside_next(&scan->locks))
		interval_set_merge(&scan->blocked,
						   catalog_row_interval(&scan->locks.scan));
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
	beside_begin(&scan.providers, PROVIDER_BY_NAME, Anum_provider_source_id,
				 snapshot);
	beside_begin(&scan.locks, LOCK_BY_KEY, Anum_lock_source_id, snapshot);
	coverage_begin(&scan.coverage, 0, snapshot);
	catalog_seek_all(&scan.sources);
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
	coverage_end(&scan.coverage);
	catalog_end(&scan.locks.scan);
	catalog_end(&scan.providers.scan);
	catalog_end(&scan.sources);
	return (Datum) 0;
}
