/*
 * readiness.c
 *		May this be read?
 *
 * A range of a source is ready if every instant of it is available and no lock
 * row overlaps it.  Under the rule "any", an instant is available if it is in
 * a span of some provider.  Under "all" it must, besides, be in a span of each
 * provider whose effective range contains it.
 *
 * Everything is read from the caller's snapshot and from nothing else.
 * Therefore a check and the read of the data in one REPEATABLE READ
 * transaction agree.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "condition.h"
#include "coverage.h"
#include "effective.h"
#include "readiness.h"
#include "source.h"

PG_FUNCTION_INFO_V1(check_readiness);
PG_FUNCTION_INFO_V1(check_readiness_between);
PG_FUNCTION_INFO_V1(all_ready);
PG_FUNCTION_INFO_V1(ready_until);
PG_FUNCTION_INFO_V1(ready_ranges);

/* Is anything in a window locked or failed? */
static bool
is_blocked(const Source *source, TimeInterval window, Snapshot snapshot)
{
	OverlapScan overlap;
	bool		blocked;

	if (source_has_no_locks(source, snapshot))
		return false;
	overlap_begin(&overlap, LOCK_BY_KEY, source_lock_classes(source), snapshot);
	overlap_seek(&overlap, source->id, window);
	blocked = overlap_next(&overlap);
	overlap_end(&overlap);
	return blocked;
}

/* Is every instant of a window available? */
static bool
is_available(const Source *source, TimeInterval window, Snapshot snapshot)
{
	CoverageScan coverage;
	bool		available = true;
	bool		supplied = false;	/* by one provider, all of it */

	if (!source->needs_all && source_hinted_span_holds(source, window, snapshot))
		return true;

	coverage_begin(&coverage, source->id, snapshot);
	if (source->needs_all)
	{
		List	   *providers = effective_providers(source->id, window, false,
													snapshot);
		ListCell   *cell;

		available = coverage_fulfils(&coverage, providers);
		foreach(cell, providers)
		{
			EffectiveProvider *provider = lfirst(cell);

			if (provider->asked.start == window.start &&
				provider->asked.end == window.end)
				supplied = true;
		}
		list_free_deep(providers);
	}
	if (available && !supplied)
	{
		available = coverage_reach_any(&coverage, window.start,
									   window.end) >= window.end;
		if (available && !source->needs_all)
			source_hint_span(source, &coverage.scan);
	}
	coverage_end(&coverage);
	return available;
}

/* Is a window of a source ready? */
bool
readiness_holds(const Source *source, TimeInterval window, Snapshot snapshot)
{
	return is_available(source, window, snapshot) &&
		!is_blocked(source, window, snapshot);
}

/*
 * check_readiness(source_name text, during tstzrange)
 *		returns boolean, never NULL
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
check_readiness(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;
	Source		source;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	window = check_interval(range);
	source = source_find(name, snapshot);
	PG_RETURN_BOOL(readiness_holds(&source, window, snapshot));
}

/*
 * check_readiness(source_name text, start_at timestamptz, end_at timestamptz)
 *		returns boolean, never NULL: the same for [start_at, end_at)
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
check_readiness_between(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;
	Source		source;

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	window = interval_between(PG_GETARG_TIMESTAMPTZ(1),
							  PG_GETARG_TIMESTAMPTZ(2));
	source = source_find(name, snapshot);
	PG_RETURN_BOOL(readiness_holds(&source, window, snapshot));
}

/*
 * all_ready(source_names text[], during tstzrange)
 *		returns boolean, never NULL
 *
 * Each name has to be known, also when another source is not ready.
 *
 * Errors: 22004, 22023 (no names), 42704.
 */
Datum
all_ready(PG_FUNCTION_ARGS)
{
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	ArrayType  *names;
	ArrayIterator iterator;
	TimeInterval window;
	Datum		element;
	bool		isnull;
	bool		ready = true;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	names = PG_GETARG_ARRAYTYPE_P(0);
	window = check_interval(range);
	check_source_names(names);

	iterator = array_create_iterator(names, 0, NULL);
	while (array_iterate(iterator, &element, &isnull))
	{
		char	   *name = text_to_short_cstring(element);
		Source		source;

		CHECK_FOR_INTERRUPTS();
		source = source_find(name, snapshot);
		ready = ready && readiness_holds(&source, window, snapshot);
		pfree(name);
	}
	array_free_iterator(iterator);
	PG_RETURN_BOOL(ready);
}

/* How far on from an instant is everything available? */
static int64
available_until(const Source *source, int64 since, Snapshot snapshot)
{
	TimeInterval window = {since, INTERVAL_MAX};
	CoverageScan coverage;
	int64		until;

	coverage_begin(&coverage, source->id, snapshot);
	until = coverage_reach_any(&coverage, since, INTERVAL_MAX);
	if (source->needs_all)
	{
		ListCell   *cell;

		foreach(cell, effective_providers(source->id, window, false, snapshot))
		{
			EffectiveProvider *provider = lfirst(cell);
			int64		reach = coverage_reach(&coverage, provider->provider_id,
											   provider->asked.start,
											   provider->asked.end);

			if (reach < provider->asked.end)
				until = Min(until, reach);
		}
	}
	coverage_end(&coverage);
	return until;
}

/*
 * ready_until(source_name text, since timestamptz)
 *		returns timestamptz: the first instant from `since` on that is not
 *		ready; NULL when `since` is not
 *
 * Errors: 22004, 22023 (since is infinite), 42704.
 */
Datum
ready_until(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;
	Source		source;
	OverlapScan locks;
	int64		until;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	window.start = PG_GETARG_TIMESTAMPTZ(1);
	if (TIMESTAMP_NOT_FINITE(window.start))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"since\" must be a finite timestamp"),
				 errhint("partreg.ready_ranges() takes an unbounded range.")));
	source = source_find(name, snapshot);

	until = available_until(&source, window.start, snapshot);
	if (until <= window.start)
		PG_RETURN_NULL();
	window.end = until;
	overlap_begin(&locks, LOCK_BY_KEY, NULL, snapshot);
	overlap_seek(&locks, source.id, window);
	while (overlap_next(&locks))
	{
		until = Min(until, locks.during.start);
		overlap_skip_class(&locks);
	}
	overlap_end(&locks);
	if (until <= window.start)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(until);
}

/* The part of a window that is available */
static void
find_available(const Source *source, TimeInterval window, Snapshot snapshot,
			   IntervalSet *available)
{
	IntervalSet whole = {&window, 1, 1};
	IntervalSet spans = {0};
	IntervalSet supplied = {0};
	IntervalSet lacking = {0};
	CoverageScan coverage;

	coverage_begin(&coverage, source->id, snapshot);
	coverage_collect(&coverage, 0, window, &spans);
	interval_set_coalesce(&spans);
	interval_set_intersect(&spans, &whole, &supplied);

	if (source->needs_all)
	{
		ListCell   *cell;

		foreach(cell, effective_providers(source->id, window, false, snapshot))
		{
			EffectiveProvider *provider = lfirst(cell);

			spans.count = 0;
			coverage_collect(&coverage, provider->provider_id, provider->asked, &spans);
			interval_set_coalesce(&spans);
			interval_set_gaps(&spans, provider->asked, &lacking);
		}
		interval_set_coalesce(&lacking);
	}
	coverage_end(&coverage);
	interval_set_subtract(&supplied, &lacking, available);
}

/*
 * ready_ranges(source_name text, during tstzrange)
 *		returns tstzmultirange: the ready part of a range, which may be
 *		unbounded
 *
 * Errors: 22004, 22023 (empty), 42704.
 */
Datum
ready_ranges(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;
	Source		source;
	OverlapScan locks;
	IntervalSet available = {0};
	IntervalSet blocked = {0};
	IntervalSet ready = {0};

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	window = check_extent(range);
	source = source_find(name, snapshot);

	find_available(&source, window, snapshot, &available);
	overlap_begin(&locks, LOCK_BY_KEY, NULL, snapshot);
	overlap_seek(&locks, source.id, window);
	while (overlap_next(&locks))
		interval_set_merge(&blocked, locks.during);
	overlap_end(&locks);
	interval_set_coalesce(&blocked);
	interval_set_subtract(&available, &blocked, &ready);
	PG_RETURN_DATUM(interval_set_to_multirange(&ready));
}
