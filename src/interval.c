/*
 * interval.c
 *		Sets of half-open time intervals.
 *
 * A coalesced set (sorted, no two members overlapping or touching) is the one
 * shortest description of the instants it holds, so two coalesced sets hold
 * the same instants if and only if their arrays are equal.  covers, gaps,
 * intersect and subtract rely on that form in what they are given and keep it
 * in what they append:
 *
 * - Members are disjoint, so their ends are as sorted as their starts, and a
 *	 binary search finds the first member that ends after some instant.
 * - Between two neighbours there is at least one instant that is in neither.
 *	 Hence an unbroken stretch of a set lies within one member of it; and two
 *	 results of an intersection, subtraction or search for gaps never touch.
 *
 * Results are appended to a set that the caller zero-initialised or filled
 * before; it must not be one of the inputs.  The array is allocated in the
 * memory context that is current at its first growth, and stays in it.
 *
 * Arrays may outgrow 1 GB, so they are huge chunks in the server.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#endif

#include "interval.h"

#ifdef FRONTEND
#define CHECK_FOR_INTERRUPTS() ((void) 0)
#define alloc_items(size) palloc(size)
#define realloc_items(items, size) repalloc(items, size)
#else
#define alloc_items(size) MemoryContextAllocHuge(CurrentMemoryContext, size)
#define realloc_items(items, size) repalloc_huge(items, size)
#endif

#define FIRST_CAPACITY 8

/* Equal starts may stand in any order: merging takes the furthest end. */
#define ST_SORT sort_by_start
#define ST_ELEMENT_TYPE TimeInterval
#define ST_COMPARE(a, b) \
	((a)->start < (b)->start ? -1 : (a)->start > (b)->start)
#define ST_SCOPE static
#ifndef FRONTEND
#define ST_CHECK_FOR_INTERRUPTS
#endif
#define ST_DEFINE
#include "lib/sort_template.h"

/* The array grows geometrically. */
static void
grow(IntervalSet *set)
{
	size_t		capacity = set->capacity > 0 ? set->capacity * 2 : FIRST_CAPACITY;
	size_t		size = capacity * sizeof(TimeInterval);

	if (set->items == NULL)
		set->items = alloc_items(size);
	else
		set->items = realloc_items(set->items, size);
	set->capacity = capacity;
}

/*
 * Append one interval, wherever it lies.
 */
void
interval_set_add(IntervalSet *set, TimeInterval item)
{
	Assert(item.start < item.end);

	if (set->count == set->capacity)
		grow(set);
	set->items[set->count++] = item;
}

/*
 * Bring a set into its coalesced form, in place.
 */
void
interval_set_coalesce(IntervalSet *set)
{
	TimeInterval *items = set->items;
	size_t		last = 0;

	if (set->count < 2)
		return;

	for (size_t i = 1; i < set->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (items[i].start < items[i - 1].start)
		{
			sort_by_start(items, set->count);
			break;
		}
	}

	for (size_t i = 1; i < set->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (items[i].start > items[last].end)
			items[++last] = items[i];
		else if (items[i].end > items[last].end)
			items[last].end = items[i].end;
	}
	set->count = last + 1;
}

/*
 * Add one interval to a set that is to be coalesced.  The set is coalesced as
 * well before its array grows, so that the array stays within a few times the
 * size of what comes out, whatever goes in; unless more than half is left, lest
 * every few additions cost a sort.
 */
void
interval_set_merge(IntervalSet *set, TimeInterval item)
{
	TimeInterval *last = set->count > 0 ? &set->items[set->count - 1] : NULL;

	Assert(item.start < item.end);

	if (last != NULL && item.start >= last->start && item.start <= last->end)
	{
		last->end = Max(last->end, item.end);
		return;
	}
	if (set->count == set->capacity)
	{
		interval_set_coalesce(set);
		if (set->count >= set->capacity / 2)
			grow(set);
	}
	set->items[set->count++] = item;
}

/* Empty a set, and give its memory back. */
void
interval_set_free(IntervalSet *set)
{
	if (set->items != NULL)
		pfree(set->items);
	memset(set, 0, sizeof(*set));
}

/*
 * Position of the first member of a coalesced set that ends after `instant`;
 * the set's count if none does.
 */
static size_t
first_ending_after(const IntervalSet *set, int64 instant)
{
	size_t		low = 0;
	size_t		high = set->count;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (set->items[middle].end > instant)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/*
 * Does a member of a coalesced set overlap an interval?
 */
bool
interval_set_overlaps(const IntervalSet *set, TimeInterval interval)
{
	size_t		i = first_ending_after(set, interval.start);

	return i < set->count && set->items[i].start < interval.end;
}

/* Does a coalesced set hold all of an interval? */
bool
interval_set_holds(const IntervalSet *set, TimeInterval interval)
{
	size_t		i = first_ending_after(set, interval.start);

	return i < set->count && set->items[i].start <= interval.start &&
		set->items[i].end >= interval.end;
}

/* Append [start, end). */
static void
add_between(IntervalSet *set, int64 start, int64 end)
{
	TimeInterval interval = {start, end};

	interval_set_add(set, interval);
}

/*
 * Append to `gaps` the parts of `whole` that a coalesced set does not hold.
 */
void
interval_set_gaps(const IntervalSet *set, TimeInterval whole, IntervalSet *gaps)
{
	int64		start = whole.start;

	for (size_t i = first_ending_after(set, whole.start);
		 i < set->count && set->items[i].start < whole.end; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (set->items[i].start > start)
			add_between(gaps, start, set->items[i].start);
		start = set->items[i].end;
	}
	if (start < whole.end)
		add_between(gaps, start, whole.end);
}

/*
 * Append to `both` what two coalesced sets have in common.
 */
void
interval_set_intersect(const IntervalSet *a, const IntervalSet *b,
					   IntervalSet *both)
{
	size_t		i = 0;
	size_t		j = 0;

	while (i < a->count && j < b->count)
	{
		TimeInterval x = a->items[i];
		TimeInterval y = b->items[j];

		CHECK_FOR_INTERRUPTS();
		if (interval_overlaps(x, y))
			add_between(both, Max(x.start, y.start), Min(x.end, y.end));

		/* Whatever ends first can meet nothing that is still to come. */
		if (x.end < y.end)
			i++;
		else
			j++;
	}
}

/*
 * Append to `rest` what the coalesced set `from` holds and `what` does not.
 */
void
interval_set_subtract(const IntervalSet *from, const IntervalSet *what,
					  IntervalSet *rest)
{
	size_t		j = 0;

	for (size_t i = 0; i < from->count; i++)
	{
		int64		start = from->items[i].start;
		int64		end = from->items[i].end;

		CHECK_FOR_INTERRUPTS();
		while (j < what->count && what->items[j].end <= start)
		{
			CHECK_FOR_INTERRUPTS();
			j++;
		}
		while (j < what->count && what->items[j].start < end)
		{
			CHECK_FOR_INTERRUPTS();
			if (what->items[j].start > start)
				add_between(rest, start, what->items[j].start);
			start = what->items[j].end;
			if (start >= end)
				break;			/* it may reach into the next of `from` */
			j++;
		}
		if (start < end)
			add_between(rest, start, end);
	}
}
