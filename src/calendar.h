/*
 * calendar.h
 *		The bounds of steps by the wall clock of a time zone.
 *
 * The theory is at the head of calendar.c.
 */
#ifndef PARTREG_CALENDAR_H
#define PARTREG_CALENDAR_H

#include "datatype/timestamp.h"
#include "interval.h"
#include "pgtime.h"

/* One call makes no more partitions than these. */
#define MAX_PARTITIONS		10000000

/*
 * A stretch of time in which a zone's clock runs ahead of UTC by the same
 * offset.  All in seconds; instants are counted from the start of 2000, UTC.
 */
typedef struct Clock
{
	pg_tz	   *zone;
	int64		from;			/* the change before, or the first reading */
	int64		until;			/* the next change */
	int64		offset;
} Clock;

/* Steps from a start on */
typedef struct Calendar
{
	int64		start;
	Interval	step;
	pg_tz	   *zone;
	/* What the clock shows at the start */
	int			day;			/* Julian */
	int64		time_of_day;	/* in microseconds */
} Calendar;

/* Where a walk along the bounds is */
typedef struct CalendarWalk
{
	const Calendar *calendar;
	Clock		clock;
	int			year;			/* of calendar->day */
	int			month;
	int			day_of_month;
	int64		months;			/* how far the bound is from the start */
	int64		days;
	int64		length;
	int64		bound;
} CalendarWalk;

extern void calendar_init(Calendar *calendar, const Interval *step,
						  const char *time_zone, int64 start);
extern bool calendar_init_stored(Calendar *calendar, const Interval *step,
								 const char *time_zone, int64 start);
extern int64 calendar_steps(const Calendar *calendar, int64 end);
extern void calendar_walk_begin(CalendarWalk *walk, const Calendar *calendar);
extern bool calendar_walk_next(CalendarWalk *walk, int64 end,
							   TimeInterval *step);
extern void calendar_walk_to(CalendarWalk *walk, int64 instant,
							 TimeInterval *step);

#endif							/* PARTREG_CALENDAR_H */
