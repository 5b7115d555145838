/*
 * expectation.c
 *		Which partitions a provider's calendar expects.
 *
 * A calendar is a sequence of steps from a start on (calendar.c).  A step is
 * expected if it lies within the provider's effective range and before its
 * revocation, and does not overlap a closed range.  It is missing if a part of
 * it is covered neither by the provider's spans nor by its registered
 * partitions.
 *
 * Steps tile time.  So those that overlap a set of intervals are that set with
 * each member stretched to the bounds on either side, and the missing ones are
 *
 *		stretched(gaps) - stretched(closed)
 *
 * where the gaps are the parts of the time in question that the spans and
 * registered partitions do not cover.  Missing steps that touch come out as
 * one.  Only the steps at the ends of a gap are computed, so the cost depends
 * on the number of spans and gaps, however short the steps are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/multirangetypes.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "expectation.h"

void
holding_begin(HoldingScan *holding, Snapshot snapshot)
{
	coverage_begin(&holding->coverage, 0, snapshot);
	overlap_begin(&holding->pending, PENDING_BY_KEY, NULL, snapshot);
}

void
holding_end(HoldingScan *holding)
{
	overlap_end(&holding->pending);
	coverage_end(&holding->coverage);
}

/*
 * The expectation of the provider whose row a scan has come to; false: it has
 * no calendar.
 *
 * Errors: none of its own; is_known: does the server know the time zone?
 */
bool
expectation_read(CatalogScan *provider, Expectation *expectation)
{
	TimeInterval *extent = &expectation->extent;
	TimestampTz revoked_at;
	TimestampTz start = 0;
	char	   *zone;
	bool		isnull;
	Datum		value;

	memset(expectation, 0, sizeof(*expectation));
	value = catalog_row_value(provider, Anum_provider_calendar_step, &isnull);
	if (isnull)
		return false;
	zone = catalog_row_text(provider, Anum_provider_calendar_zone);
	expectation->is_known =
		catalog_row_time(provider, Anum_provider_calendar_start, &start) &&
		zone != NULL &&
		calendar_init_stored(&expectation->calendar, DatumGetIntervalP(value),
							 zone, start);
	if (zone != NULL)
		pfree(zone);

	value = catalog_row_value(provider, Anum_provider_calendar_closed, &isnull);
	if (!isnull)
	{
		MultirangeType *closed = DatumGetMultirangeTypeP(value);

		multirange_to_interval_set(closed, &expectation->closed);
		if ((Pointer) closed != DatumGetPointer(value))
			pfree(closed);
	}

	value = catalog_row_value(provider, Anum_provider_effective, &isnull);
	if (!range_to_interval(DatumGetRangeTypeP(value), extent) ||
		TIMESTAMP_NOT_FINITE(start))
	{
		extent->start = extent->end = start;
		return true;
	}
	extent->start = Max(extent->start, start);
	if (catalog_row_time(provider, Anum_provider_revoked_at, &revoked_at))
		extent->end = Min(extent->end, revoked_at);
	return true;
}

/*
 * The expected steps that overlap a window, closed ones among them, as a whole;
 * false: there are none.
 */
static bool
expected_steps(const Expectation *expectation, TimeInterval window,
			   TimeInterval *steps)
{
	TimeInterval extent = expectation->extent;
	CalendarWalk walk;
	TimeInterval step = {0, 0};
	int64		start = Max(extent.start, window.start);
	int64		end = Min(extent.end, window.end);

	if (start >= end)
		return false;
	calendar_walk_begin(&walk, &expectation->calendar);
	calendar_walk_to(&walk, start, &step);
	steps->start = step.start < extent.start ? step.end : step.start;
	if (steps->start >= end)
		return false;
	calendar_walk_to(&walk, end - 1, &step);
	steps->end = step.end > extent.end ? step.start : step.end;
	return steps->start < steps->end;
}

/* Add the steps that overlap a coalesced set, within whole steps. */
static void
stretch(const Calendar *calendar, const IntervalSet *set, TimeInterval within,
		IntervalSet *stretched)
{
	CalendarWalk walk;
	TimeInterval step = {0, 0};

	calendar_walk_begin(&walk, calendar);
	for (size_t i = 0; i < set->count; i++)
	{
		TimeInterval whole;
		int64		start = Max(set->items[i].start, within.start);
		int64		end = Min(set->items[i].end, within.end);

		CHECK_FOR_INTERRUPTS();
		if (start >= end)
			continue;
		calendar_walk_to(&walk, start, &step);
		whole.start = step.start;
		calendar_walk_to(&walk, end - 1, &step);
		whole.end = step.end;
		interval_set_merge(stretched, whole);
	}
	interval_set_coalesce(stretched);
}

/* What a provider has neither supplied nor registered of an interval */
static void
find_gaps(HoldingScan *holding, int32 source_id, int32 provider_id,
		  TimeInterval interval, IntervalSet *gaps)
{
	IntervalSet held = {0};

	holding->coverage.source_id = source_id;
	coverage_collect(&holding->coverage, provider_id, interval, &held);
	overlap_seek(&holding->pending, provider_id, interval);
	while (overlap_next(&holding->pending))
		interval_set_merge(&held, holding->pending.during);
	interval_set_coalesce(&held);
	interval_set_gaps(&held, interval, gaps);
	interval_set_free(&held);
}

void
expectation_free(Expectation *expectation)
{
	interval_set_free(&expectation->closed);
}

/*
 * The expected steps of a provider that overlap a window and are missing; whole
 * ones, neighbours as one.  None if the time zone is not known.
 */
void
expectation_missing(const Expectation *expectation, HoldingScan *holding,
					int32 source_id, int32 provider_id, TimeInterval window,
					IntervalSet *missing)
{
	TimeInterval steps;
	IntervalSet gaps = {0};
	IntervalSet open = {0};
	IntervalSet closed = {0};

	if (!expectation->is_known ||
		!expected_steps(expectation, window, &steps))
		return;
	find_gaps(holding, source_id, provider_id, steps, &gaps);
	if (gaps.count == 0)
		return;
	stretch(&expectation->calendar, &gaps, steps, &open);
	stretch(&expectation->calendar, &expectation->closed, steps, &closed);
	interval_set_subtract(&open, &closed, missing);
	interval_set_free(&gaps);
	interval_set_free(&open);
	interval_set_free(&closed);
}

/* The first step of those that are missing in a row */
TimeInterval
expectation_first_step(const Expectation *expectation, TimeInterval missing)
{
	CalendarWalk walk;
	TimeInterval step = {0, 0};

	calendar_walk_begin(&walk, &expectation->calendar);
	calendar_walk_to(&walk, missing.start, &step);
	return step;
}
