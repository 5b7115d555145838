/*
 * interval.h
 *		Half-open time intervals as two 64-bit integers, and sets of them.
 *
 * A TimeInterval is [start, end): microseconds as TimestampTz counts them, start
 * < end.  INTERVAL_MIN and INTERVAL_MAX stand for "no bound".  A set of
 * intervals is a plain array; it is "coalesced" when it is sorted by start and
 * no two of its members overlap or touch, which makes it the one shortest
 * description of the instants it holds.
 *
 * Nothing here knows tables, fmgr or snapshots: interval.c builds in the
 * server and, with -DFRONTEND, as a plain program for fuzzing.  (The name
 * Interval itself is taken: it is PostgreSQL's type of the SQL interval.)
 */
#ifndef PARTREG_INTERVAL_H
#define PARTREG_INTERVAL_H

#define INTERVAL_MIN	PG_INT64_MIN
#define INTERVAL_MAX	PG_INT64_MAX

typedef struct TimeInterval
{
	int64		start;
	int64		end;			/* exclusive; always greater than start */
} TimeInterval;

/* A growing array of intervals; zero-initialise before use. */
typedef struct IntervalSet
{
	TimeInterval *items;
	size_t		count;
	size_t		capacity;
} IntervalSet;

static inline bool
interval_overlaps(TimeInterval a, TimeInterval b)
{
	return a.start < b.end && b.start < a.end;
}

/* In microseconds; all of time is longer than an int64 counts. */
static inline uint64
interval_length(TimeInterval interval)
{
	return (uint64) interval.end - (uint64) interval.start;
}

extern void interval_set_add(IntervalSet *set, TimeInterval item);
extern void interval_set_merge(IntervalSet *set, TimeInterval item);
extern void interval_set_free(IntervalSet *set);
extern void interval_set_coalesce(IntervalSet *set);
extern bool interval_set_overlaps(const IntervalSet *set, TimeInterval interval);
extern bool interval_set_holds(const IntervalSet *set, TimeInterval interval);
extern void interval_set_gaps(const IntervalSet *set, TimeInterval whole,
							  IntervalSet *gaps);
extern void interval_set_intersect(const IntervalSet *a, const IntervalSet *b,
								   IntervalSet *both);
extern void interval_set_subtract(const IntervalSet *from,
								  const IntervalSet *what, IntervalSet *rest);

#endif							/* PARTREG_INTERVAL_H */
