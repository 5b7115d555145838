/*
 * explain.c
 *		What keeps a range from being ready, piece by piece.
 *
 * readiness.c stops at the first obstacle; this file collects all of them.
 * Each locked or failed partition is a row.  Where something is not available,
 * each partition there that is registered and was never unlocked is a row, and
 * where there is no such partition, one row says "missing".  Under the rule
 * "all" this is done for each provider that lacks something.  What no provider
 * is required to supply and nobody has supplied is explained as under "any".
 * There, a missing row names each provider whose calendar expects the piece,
 * and has no name only if no calendar does.
 *
 * It reads the same spans and lock rows as readiness.c, by the same snapshot.
 * So there is no row if and only if the range is ready.
 *
 * Memory is bounded by the answer: obstacles go through obstacle.c, and sets of
 * intervals are coalesced while they are filled.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "condition.h"
#include "coverage.h"
#include "effective.h"
#include "expectation.h"
#include "explain.h"
#include "lockrow.h"

PG_FUNCTION_INFO_V1(explain_readiness);
PG_FUNCTION_INFO_V1(assert_ready);

/* How many obstacles the DETAIL of an error names */
#define DETAIL_LINES	5

/* A question and what has been found so far */
typedef struct Explanation
{
	const Source *source;
	TimeInterval window;
	Snapshot	snapshot;
	List	   *providers;		/* of EffectiveProvider, all of the source */
	ObstacleSort *obstacles;

	/* Where there are lock rows: their length classes, and from when to when */
	uint64		lock_classes;
	TimeInterval lock_extent;
} Explanation;

static void
add_obstacle(Explanation *explanation, Obstacle *obstacle)
{
	obstacle->during.start = Max(obstacle->during.start,
								 explanation->window.start);
	obstacle->during.end = Min(obstacle->during.end, explanation->window.end);
	obstacles_put(explanation->obstacles, obstacle);
}

/* The list is in the order of ids. */
static const char *
provider_name(const Explanation *explanation, int32 provider_id)
{
	int			low = 0;
	int			high = list_length(explanation->providers);

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		EffectiveProvider *provider = list_nth(explanation->providers, middle);

		if (provider->provider_id == provider_id)
			return provider->name;
		if (provider->provider_id < provider_id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static uint64
class_bit(TimeInterval interval)
{
	return UINT64CONST(1) << Min(length_class(interval), 63);
}

/* Each locked or failed partition */
static void
explain_locks(Explanation *explanation)
{
	MemoryContext rows = AllocSetContextCreate(CurrentMemoryContext,
											   "partreg lock row",
											   ALLOCSET_SMALL_SIZES);
	TimeInterval *extent = &explanation->lock_extent;
	OverlapScan overlap;

	extent->start = INTERVAL_MAX;
	extent->end = INTERVAL_MIN;
	overlap_begin(&overlap, LOCK_BY_KEY,
				  source_lock_classes(explanation->source),
				  explanation->snapshot);
	overlap_seek(&overlap, explanation->source->id, explanation->window);
	while (overlap_next(&overlap))
	{
		MemoryContext memory = MemoryContextSwitchTo(rows);
		Obstacle	obstacle = {0};
		LockRow		lock;

		lockrow_read(&overlap.scan, &lock);
		MemoryContextSwitchTo(memory);

		obstacle.during = lock.during;
		obstacle.state = lock.failed ? OBSTACLE_FAILED : OBSTACLE_LOCKED;
		obstacle.provider_name = provider_name(explanation, lock.provider_id);
		obstacle.has_since = true;
		obstacle.since = lock.since;
		obstacle.holder = lock.holder;
		obstacle.has_lease = lock.has_lease;
		obstacle.lease_expires_at = lock.lease_expires_at;
		obstacle.reason = lock.reason;
		add_obstacle(explanation, &obstacle);

		explanation->lock_classes |= class_bit(lock.during);
		extent->start = Min(extent->start, lock.during.start);
		extent->end = Max(extent->end, lock.during.end);
		MemoryContextReset(rows);
	}
	overlap_end(&overlap);
	MemoryContextDelete(rows);
}

/* Walks through what is registered and never unlocked */
typedef struct PendingScan
{
	OverlapScan overlap;
	CatalogScan locks;			/* begun where there are any */
} PendingScan;

static void
pending_begin(PendingScan *scan, const Explanation *explanation)
{
	overlap_begin(&scan->overlap, PENDING_BY_KEY, NULL, explanation->snapshot);
	if (explanation->lock_classes != 0)
		catalog_begin(&scan->locks, LOCK_BY_KEY, explanation->snapshot);
}

static void
pending_end(PendingScan *scan, const Explanation *explanation)
{
	if (explanation->lock_classes != 0)
		catalog_end(&scan->locks);
	overlap_end(&scan->overlap);
}

/*
 * Is the partition that a walk has come to locked or failed?  Few have to be
 * looked up: only those among the locks.
 */
static bool
is_locked(PendingScan *scan, const Explanation *explanation,
		  int32 provider_id)
{
	TimeInterval during = scan->overlap.during;

	if ((explanation->lock_classes & class_bit(during)) == 0 ||
		!interval_overlaps(during, explanation->lock_extent))
		return false;
	catalog_seek_lock(&scan->locks, explanation->source->id, provider_id,
					  during);
	return catalog_next_row(&scan->locks, ForwardScanDirection);
}

/*
 * Add what is registered of a provider in some gaps, and remember where that
 * is.
 */
static void
explain_registered(Explanation *explanation, PendingScan *scan,
				   const EffectiveProvider *provider, const IntervalSet *gaps,
				   IntervalSet *registered)
{
	OverlapScan *overlap = &scan->overlap;

	for (size_t i = 0; i < gaps->count; i++)
	{
		TimeInterval gap = gaps->items[i];

		overlap_seek(overlap, provider->provider_id, gap);
		while (overlap_next(overlap))
		{
			Obstacle	obstacle = {0};

			if (is_locked(scan, explanation, provider->provider_id))
				continue;
			obstacle.during.start = Max(overlap->during.start, gap.start);
			obstacle.during.end = Min(overlap->during.end, gap.end);
			obstacle.state = OBSTACLE_REGISTERED;
			obstacle.provider_name = provider->name;
			obstacle.has_since = catalog_row_time(&overlap->scan,
												  Anum_partition_registered_at,
												  &obstacle.since);
			interval_set_merge(registered, obstacle.during);
			add_obstacle(explanation, &obstacle);
		}
	}
}

static void
explain_missing(Explanation *explanation, const char *provider_name,
				const IntervalSet *missing)
{
	for (size_t i = 0; i < missing->count; i++)
	{
		Obstacle	obstacle = {0};

		CHECK_FOR_INTERRUPTS();
		obstacle.during = missing->items[i];
		obstacle.state = OBSTACLE_MISSING;
		obstacle.provider_name = provider_name;
		add_obstacle(explanation, &obstacle);
	}
}

/*
 * Explain what nobody has registered: by the providers whose calendars expect
 * it, and the rest by none.
 */
static void
explain_expected(Explanation *explanation, const IntervalSet *missing)
{
	int32		source_id = explanation->source->id;
	CatalogScan provider;
	HoldingScan holding;
	Expectation expectation;
	IntervalSet expected = {0};
	IntervalSet rest = {0};

	if (missing->count == 0)
		return;

	holding_begin(&holding, explanation->snapshot);
	catalog_begin(&provider, PROVIDER_BY_NAME, explanation->snapshot);
	catalog_seek_provider(&provider, source_id, NULL);
	while (catalog_next_row(&provider, ForwardScanDirection))
	{
		IntervalSet steps = {0};
		IntervalSet here = {0};
		char	   *name;

		CHECK_FOR_INTERRUPTS();
		if (!expectation_read(&provider, &expectation))
			continue;
		expectation_missing(&expectation, &holding, source_id,
							catalog_row_int32(&provider, Anum_provider_id),
							explanation->window, &steps);
		interval_set_intersect(&steps, missing, &here);
		name = catalog_row_text(&provider, Anum_provider_name);
		explain_missing(explanation, name, &here);
		for (size_t i = 0; i < here.count; i++)
			interval_set_merge(&expected, here.items[i]);
		pfree(name);
		interval_set_free(&steps);
		interval_set_free(&here);
		expectation_free(&expectation);
	}
	catalog_end(&provider);
	holding_end(&holding);

	interval_set_coalesce(&expected);
	interval_set_subtract(missing, &expected, &rest);
	explain_missing(explanation, NULL, &rest);
	interval_set_free(&expected);
	interval_set_free(&rest);
}

/*
 * Explain gaps: by what one provider has registered there, or, with none
 * given, by what anybody has; and the rest as missing.
 */
static void
explain_gaps(Explanation *explanation, const EffectiveProvider *provider,
			 const IntervalSet *gaps)
{
	PendingScan scan;
	IntervalSet registered = {0};
	IntervalSet missing = {0};
	ListCell   *cell;

	if (gaps->count == 0)
		return;

	pending_begin(&scan, explanation);
	if (provider != NULL)
		explain_registered(explanation, &scan, provider, gaps, &registered);
	else
		foreach(cell, explanation->providers)
			explain_registered(explanation, &scan, lfirst(cell), gaps,
							   &registered);
	pending_end(&scan, explanation);

	interval_set_coalesce(&registered);
	interval_set_subtract(gaps, &registered, &missing);
	if (provider != NULL)
		explain_missing(explanation, provider->name, &missing);
	else
		explain_expected(explanation, &missing);
	interval_set_free(&registered);
	interval_set_free(&missing);
}

/* What of a window is not in the spans of a provider (0: of any)? */
static void
find_gaps(CoverageScan *coverage, int32 provider_id, TimeInterval window,
		  IntervalSet *gaps)
{
	IntervalSet spans = {0};

	coverage_collect(coverage, provider_id, window, &spans);
	interval_set_coalesce(&spans);
	interval_set_gaps(&spans, window, gaps);
	interval_set_free(&spans);
}

/* Whatever is not available */
static void
explain_unavailable(Explanation *explanation)
{
	CoverageScan coverage;
	IntervalSet lacking = {0};	/* by a provider that is required */
	IntervalSet nobody = {0};	/* has supplied it */
	IntervalSet rest = {0};

	coverage_begin(&coverage, explanation->source->id, explanation->snapshot);
	if (explanation->source->needs_all)
	{
		ListCell   *cell;

		foreach(cell, explanation->providers)
		{
			EffectiveProvider *provider = lfirst(cell);
			IntervalSet gaps = {0};

			if (!provider->is_asked)
				continue;
			find_gaps(&coverage, provider->provider_id, provider->asked, &gaps);
			explain_gaps(explanation, provider, &gaps);
			for (size_t i = 0; i < gaps.count; i++)
				interval_set_merge(&lacking, gaps.items[i]);
			interval_set_free(&gaps);
		}
		interval_set_coalesce(&lacking);
	}
	find_gaps(&coverage, 0, explanation->window, &nobody);
	coverage_end(&coverage);

	interval_set_subtract(&nobody, &lacking, &rest);
	explain_gaps(explanation, NULL, &rest);
	interval_set_free(&lacking);
	interval_set_free(&nobody);
	interval_set_free(&rest);
}

/* Why is a window of a source not ready?  In the order of time. */
static ObstacleSort *
explain_source(const Source *source, TimeInterval window, Snapshot snapshot)
{
	Explanation explanation = {0};
	ObstacleSort *result = obstacles_begin(OBSTACLES_BY_TIME);
	Obstacle	obstacle;

	explanation.source = source;
	explanation.window = window;
	explanation.snapshot = snapshot;
	explanation.providers = effective_providers(source->id, window, true,
												snapshot);
	explanation.obstacles = obstacles_begin(OBSTACLES_BY_KIND);
	explain_locks(&explanation);
	explain_unavailable(&explanation);

	/* Makes one of neighbours that are alike: see obstacle.c. */
	obstacles_perform(explanation.obstacles);
	while (obstacles_next(explanation.obstacles, &obstacle))
		obstacles_put(result, &obstacle);
	obstacles_end(explanation.obstacles);
	obstacles_perform(result);
	return result;
}

/*
 * explain_readiness(source_name text, during tstzrange)
 *		returns SETOF obstacle
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
explain_readiness(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Snapshot	snapshot = GetActiveSnapshot();
	MemoryContext rows;
	TimeInterval window;
	Source		source;
	ObstacleSort *obstacles;
	Obstacle	obstacle;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	InitMaterializedSRF(fcinfo, 0);
	window = check_interval(range);
	source = source_find(name, snapshot);
	obstacles = explain_source(&source, window, snapshot);

	rows = AllocSetContextCreate(CurrentMemoryContext, "partreg result row",
								 ALLOCSET_SMALL_SIZES);
	while (obstacles_next(obstacles, &obstacle))
	{
		MemoryContext memory = MemoryContextSwitchTo(rows);
		Datum		values[OBSTACLE_COLUMNS];
		bool		nulls[OBSTACLE_COLUMNS];

		obstacle_values(&obstacle, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		MemoryContextSwitchTo(memory);
		MemoryContextReset(rows);
	}
	MemoryContextDelete(rows);
	obstacles_end(obstacles);
	return (Datum) 0;
}

/*
 * What keeps a window of a source from being ready, as the DETAIL of an error;
 * NULL: nothing does.  *failed: is a failed partition in the way?
 */
char *
explain_briefly(const Source *source, TimeInterval window, Snapshot snapshot,
				bool *failed)
{
	ObstacleSort *obstacles = explain_source(source, window, snapshot);
	Obstacle	obstacle;
	StringInfoData detail;
	uint64		count = 0;

	initStringInfo(&detail);
	*failed = false;
	while (obstacles_next(obstacles, &obstacle))
	{
		*failed = *failed || obstacle.state == OBSTACLE_FAILED;
		if (++count > DETAIL_LINES)
			continue;
		if (count > 1)
			appendStringInfoChar(&detail, '\n');
		obstacle_describe(&detail, &obstacle);
	}
	obstacles_end(obstacles);
	if (count > DETAIL_LINES)
		appendStringInfo(&detail, "\nand " UINT64_FORMAT " more",
						 count - DETAIL_LINES);
	return count > 0 ? detail.data : NULL;
}

/* The error of assert_ready(): the source is not ready */
void
raise_not_ready(const char *name, const char *detail, bool failed)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errcondition(failed ? "failed_upstream" : "not_ready"),
			 errmsg("source \"%s\" is not ready", quotable(name)),
			 errdetail_internal("%s", detail),
			 errhint("partreg.explain_readiness() lists all obstacles.")));
}

/*
 * assert_ready(source_name text, during tstzrange)
 *		returns boolean: true, or an error
 *
 * Errors: 22004, 22023, 42704, 55000 (not ready).
 */
Datum
assert_ready(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;
	Source		source;
	char	   *detail;
	bool		failed;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	window = check_interval(range);
	source = source_find(name, snapshot);
	detail = explain_briefly(&source, window, snapshot, &failed);
	if (detail != NULL)
		raise_not_ready(name, detail, failed);
	PG_RETURN_BOOL(true);
}
