/*
 * changed.c
 *		What of a source may have changed since a position.
 *
 * It walks, by transaction, through those events of the source that may mean
 * changed data, from the oldest event on that the position has not seen, and
 * skips single events that it has seen.  It reads from the table only what
 * overlaps the window.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "argument.h"
#include "compat.h"
#include "position.h"
#include "source.h"

PG_FUNCTION_INFO_V1(changed_ranges);

/*
 * Does the current row, of an event without a range, say that the name has come
 * to the source?
 */
static bool
names_source(CatalogScan *scan)
{
	char	   *event = catalog_row_text(scan, Anum_event_event);
	bool		of_source;
	bool		result;

	(void) catalog_row_value(scan, Anum_event_provider_id, &of_source);
	result = of_source &&
		(strcmp(event, "register_source") == 0 || strcmp(event, "rename") == 0);
	pfree(event);
	return result;
}

static bool
is_seen(CatalogScan *scan, const Position *since)
{
	return position_sees(since, catalog_row_int64(scan, Anum_event_id),
						 (uint64) catalog_row_int64(scan, Anum_event_xid),
						 (uint64) catalog_row_int64(scan, Anum_event_system_id));
}

/*
 * Go to the events of a source that a position may not see.  Where it was taken
 * in this cluster, and the table is still the same, they are of transactions
 * that ran then or began later; of another cluster's all are looked at.
 *
 * Which began later?  Numbers below xmax may have been used again (position.c),
 * but none up to that of the last event that it saw, whose commit was flushed.
 */
static void
seek_unseen(CatalogScan *scan, int32 source_id, const Position *since,
			const Position *here)
{
	const View *seen = &since->seen;
	uint64		oldest = seen->count > 0 ? seen->running[0] : seen->xmax;

	if (seen->system_id == here->seen.system_id && seen->table == here->seen.table)
		catalog_seek_changes(scan, source_id, Min(oldest, seen->last_xid + 1),
							 here->seen.next);
	else
		catalog_seek_changes(scan, source_id, 0, PG_UINT64_MAX);
}

/* Does the member that was added to a set last contain an interval? */
static bool
is_in_last(const IntervalSet *set, TimeInterval interval)
{
	const TimeInterval *last;

	if (set->count == 0)
		return false;
	last = &set->items[set->count - 1];
	return interval.start >= last->start && interval.end <= last->end;
}

/*
 * Add to a set the parts of a window of a source that may have changed; `here`
 * is the position of the snapshot.  The caller's own changes count.
 */
static void
collect_changed(int32 source_id, TimeInterval window, const Position *since,
				const Position *here, Snapshot snapshot, IntervalSet *changed)
{
	CatalogScan scan;

	catalog_begin(&scan, EVENT_BY_CHANGE, snapshot);
	seek_unseen(&scan, source_id, since, here);
	while (catalog_next_entry(&scan, ForwardScanDirection))
	{
		TimeInterval during;
		bool		has_range = catalog_entry_time(&scan, Key_change_start_at,
												   &during.start) &&
			catalog_entry_time(&scan, Key_change_end_at, &during.end);

		if (has_range)
		{
			if (!interval_overlaps(during, window))
				continue;
			during.start = Max(during.start, window.start);
			during.end = Min(during.end, window.end);
			/* What was unlocked was locked before, as a rule. */
			if (is_in_last(changed, during))
				continue;
		}
		if (!catalog_fetch_row(&scan) || is_seen(&scan, since))
			continue;
		if (!has_range)
		{
			if (!names_source(&scan))
				continue;
			interval_set_merge(changed, window);
			break;
		}
		interval_set_merge(changed, during);
	}
	catalog_end(&scan);
	interval_set_coalesce(changed);
}

/*
 * changed_ranges(source_name text, during tstzrange, since text)
 *		returns tstzmultirange: the parts of a range, which may be unbounded,
 *		whose data may have changed since a position
 *
 * Errors: 22004, 22023 (empty; not a position), 42704, 55000 (history_gone; a
 * subscription).
 */
Datum
changed_ranges(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	IntervalSet changed = {0};
	TimeInterval window;
	Source		source;
	Position   *since;
	Position   *here;
	const char *why;

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	window = check_extent(range);
	since = position_argument(fcinfo, 2);
	source = source_find(name, snapshot);
	position_check_feed();
	here = position_take(snapshot);
	if (position_judge(since, here, snapshot, &why) == POSITION_GONE)
		position_refuse(why);
	collect_changed(source.id, window, since, here, snapshot, &changed);
	PG_RETURN_DATUM(interval_set_to_multirange(&changed));
}
