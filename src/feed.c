/*
 * feed.c
 *		The change feed: every event once, in an order that holds.
 *
 * changes_since() returns the events that the caller's snapshot sees and a
 * position has not seen.  It works in rounds.  A round has a target, which is
 * the view of a snapshot, and returns what the target sees and the position
 * has not seen, in the order of numbers.  After the round the target is what
 * the position has seen.  A round that does not fit into one call continues in
 * the next call, with the same target.
 *
 * From one round to the next, numbers may go back: an event of a transaction
 * that drew its numbers early and committed late comes in the round after its
 * commit.  The numbers of one partition never go back, as its next event is
 * written after the commit of the one before.
 *
 * A round starts at the smallest number that an unseen event may have: that of
 * a transaction that was running when the position was taken and is over now,
 * or else the first number above all that the position has seen.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "feed.h"
#include "position.h"

PG_FUNCTION_INFO_V1(feed_position);
PG_FUNCTION_INFO_V1(changes_since);

/* There may be millions of names. */
typedef char *SourceName;

#define ST_SORT sort_names
#define ST_ELEMENT_TYPE SourceName
#define ST_COMPARE(a, b) strcmp(*(a), *(b))
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/* The argument source_names */
typedef struct Filter
{
	bool		wants_all;
	size_t		count;
	SourceName *names;			/* in order */
} Filter;

typedef struct Feed
{
	Snapshot	snapshot;
	const Position *here;
	Filter		filter;
	int64		left;			/* as many may be given still */
	Position	position;		/* of the round, after the last event given */

	/*
	 * One that is given when the next is found, as its position depends on
	 * that
	 */
	bool		has_held;
	Datum		held[CHANGE_COLUMNS];
	bool		held_nulls[CHANGE_COLUMNS];
	ReturnSetInfo *rsinfo;
	MemoryContext rows;
} Feed;

/*
 * feed_position()
 *		returns text: what the caller's snapshot sees
 *
 * Errors: 55000 (a subscription).
 */
Datum
feed_position(PG_FUNCTION_ARGS)
{
	position_check_feed();
	PG_RETURN_TEXT_P(cstring_to_text(position_text(position_take(GetActiveSnapshot()))));
}

/*
 * The current row of partreg.event as a row of the type `change`, without a
 * position; valid until the scan moves on.
 */
void
change_values(CatalogScan *scan, Datum *values, bool *nulls)
{
	static const int columns[CHANGE_COLUMNS] = {
		Anum_event_id, Anum_event_event, Anum_event_source_name,
		Anum_event_provider_name, 0 /* during */ , Anum_event_at,
		Anum_event_actor, Anum_event_holder, Anum_event_reason,
		Anum_event_details, 0	/* next_position */
	};
	TimeInterval during;

	for (int i = 0; i < CHANGE_COLUMNS; i++)
	{
		nulls[i] = true;
		if (columns[i] != 0)
			values[i] = catalog_row_value(scan, columns[i], &nulls[i]);
	}
	if (catalog_row_time(scan, Anum_event_start_at, &during.start) &&
		catalog_row_time(scan, Anum_event_end_at, &during.end))
	{
		values[CHANGE_DURING] = interval_to_range(during);
		nulls[CHANGE_DURING] = false;
	}
}

static void
put_held(Feed *feed)
{
	feed->held[CHANGE_NEXT_POSITION] =
		CStringGetTextDatum(position_text(&feed->position));
	feed->held_nulls[CHANGE_NEXT_POSITION] = false;
	tuplestore_putvalues(feed->rsinfo->setResult, feed->rsinfo->setDesc,
						 feed->held, feed->held_nulls);
	feed->has_held = false;
	MemoryContextReset(feed->rows);
}

static void
put_if_held(Feed *feed)
{
	MemoryContext memory = MemoryContextSwitchTo(feed->rows);

	if (feed->has_held)
		put_held(feed);
	MemoryContextSwitchTo(memory);
}

/* Hold the event that a scan has come to. */
static void
hold(Feed *feed, CatalogScan *scan)
{
	MemoryContext memory = MemoryContextSwitchTo(feed->rows);
	TupleDesc	desc = feed->rsinfo->setDesc;
	Datum		values[CHANGE_COLUMNS];
	bool		nulls[CHANGE_COLUMNS];
	HeapTuple	copy;

	change_values(scan, values, nulls);
	copy = heap_form_tuple(desc, values, nulls);
	heap_deform_tuple(copy, desc, feed->held, feed->held_nulls);
	feed->has_held = true;
	feed->left--;
	MemoryContextSwitchTo(memory);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const SourceName *) a, *(const SourceName *) b);
}

static bool
is_wanted(const Filter *filter, CatalogScan *scan)
{
	char	   *name;
	bool		found;

	if (filter->wants_all)
		return true;
	name = catalog_row_text(scan, Anum_event_source_name);
	found = bsearch(&name, filter->names, filter->count, sizeof(SourceName),
					compare_names) != NULL;
	pfree(name);
	return found;
}

/* The least number among the events of a transaction that are in the index */
static int64
first_event_of(CatalogScan *scan, uint64 *from, uint64 below)
{
	catalog_seek_transactions(scan, *from, below);
	if (!catalog_next_entry(scan, ForwardScanDirection))
		return 0;
	*from = DatumGetUInt64(catalog_entry_value(scan, Key_transaction_xid));
	return DatumGetInt64(catalog_entry_value(scan, Key_transaction_event_id));
}

/*
 * The least number that an event may have which a view does not see and the
 * snapshot does.
 */
static int64
first_unseen(const View *seen, const View *here)
{
	bool		comparable = seen->system_id == here->system_id;
	int64		first = seen->last_id + 1;
	uint64		xid;
	int64		id;
	CatalogScan scan;

	/* No snapshot: what is not visible makes the walk longer, no more. */
	catalog_begin(&scan, EVENT_BY_TRANSACTION, SnapshotAny);
	for (uint32 i = 0; i < seen->count; i++)
	{
		xid = seen->running[i];
		if (comparable && !view_sees_transaction(here, xid))
			continue;
		id = first_event_of(&scan, &xid, xid + 1);
		if (id != 0)
			first = Min(first, id);
	}
	for (xid = seen->xmax; xid < seen->next; xid++)
	{
		id = first_event_of(&scan, &xid, seen->next);
		if (id == 0)
			break;
		if (!comparable || view_sees_transaction(here, xid))
			first = Min(first, id);
	}
	catalog_end(&scan);
	return first;
}

/*
 * Give what the target sees and the position does not.  False: there may be
 * more of it than may be given.
 */
static bool
give_round(Feed *feed)
{
	Position   *position = &feed->position;
	CatalogScan scan;
	bool		done = true;

	catalog_begin(&scan, EVENT_BY_ID, feed->snapshot);
	catalog_seek_numbers(&scan, position->given + 1);
	while (catalog_next_row(&scan, ForwardScanDirection))
	{
		int64		id = catalog_row_int64(&scan, Anum_event_id);
		uint64		xid = (uint64) catalog_row_int64(&scan, Anum_event_xid);
		uint64		system_id = (uint64) catalog_row_int64(&scan, Anum_event_system_id);

		if (id > position->target.last_id)
			break;
		if (!view_sees(&position->target, id, xid, system_id) ||
			view_sees(&position->seen, id, xid, system_id) ||
			!is_wanted(&feed->filter, &scan))
			continue;
		put_if_held(feed);
		if (feed->left == 0)
		{
			done = false;
			break;
		}
		hold(feed, &scan);
		position->given = id;
	}
	catalog_end(&scan);
	return done;
}

/* Begin a round whose target is the snapshot. */
static void
begin_round(Feed *feed)
{
	Position   *position = &feed->position;

	put_if_held(feed);
	position->in_page = true;
	position->target = feed->here->seen;
	position->given = first_unseen(&position->seen, &position->target) - 1;
}

/* What the target saw is seen now. */
static void
end_round(Feed *feed)
{
	Position   *position = &feed->position;

	position->in_page = false;
	position->seen = position->target;
}

/* The names of the filter; NULL: all */
static void
read_filter(FunctionCallInfo fcinfo, int argno, Filter *filter)
{
	ArrayType  *names;
	ArrayIterator iterator;
	Datum		element;
	bool		isnull;

	filter->wants_all = PG_ARGISNULL(argno);
	if (filter->wants_all)
		return;
	names = PG_GETARG_ARRAYTYPE_P(argno);
	check_source_names(names);
	filter->names = palloc_extended(ArrayGetNItems(ARR_NDIM(names), ARR_DIMS(names)) *
									sizeof(SourceName), MCXT_ALLOC_HUGE);
	filter->count = 0;
	iterator = array_create_iterator(names, 0, NULL);
	while (array_iterate(iterator, &element, &isnull))
	{
		CHECK_FOR_INTERRUPTS();
		filter->names[filter->count++] = text_to_short_cstring(element);
	}
	array_free_iterator(iterator);
	sort_names(filter->names, filter->count);
}

/* A row that has a position and no event */
static void
put_position(Feed *feed)
{
	memset(feed->held_nulls, true, sizeof(feed->held_nulls));
	feed->has_held = true;
	put_if_held(feed);
}

/*
 * changes_since(since text, max_events integer DEFAULT 1000,
 *				 source_names text[] DEFAULT NULL)
 *		returns SETOF change
 *
 * since NULL: from the oldest event kept.
 *
 * Errors: 22004 (NULL among the names), 22023 (not a position; max_events; no
 * names), 55000 (history_gone; a subscription).
 */
Datum
changes_since(PG_FUNCTION_ARGS)
{
	Position   *since = position_argument(fcinfo, 0);
	Feed		feed = {0};
	const char *why;
	bool		done = true;
	bool		given;

	feed.left = argument_max_events(fcinfo, 1);
	read_filter(fcinfo, 2, &feed.filter);
	feed.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	feed.snapshot = GetActiveSnapshot();
	InitMaterializedSRF(fcinfo, 0);

	position_check_feed();
	feed.here = position_take(feed.snapshot);
	if (since == NULL)
		since = position_before_all(feed.here);
	else
		switch (position_judge(since, feed.here, feed.snapshot, &why))
		{
			case POSITION_GOOD:
				break;
			case POSITION_AHEAD:
				return (Datum) 0;
			case POSITION_GONE:
				position_refuse(why);
		}

	feed.position = *since;
	feed.rows = AllocSetContextCreate(CurrentMemoryContext, "partreg result row",
									  ALLOCSET_DEFAULT_SIZES);
	if (feed.position.in_page)
	{
		done = give_round(&feed);
		if (done)
			end_round(&feed);
	}
	if (done)
	{
		begin_round(&feed);
		if (give_round(&feed))
			end_round(&feed);
	}
	given = feed.has_held || tuplestore_tuple_count(feed.rsinfo->setResult) > 0;
	put_if_held(&feed);
	if (!given && !feed.filter.wants_all)
		put_position(&feed);
	MemoryContextDelete(feed.rows);
	return (Datum) 0;
}
