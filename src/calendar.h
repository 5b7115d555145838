/*
 * calendar.h
 *		The bounds of steps.
 */
#ifndef PARTREG_CALENDAR_H
#define PARTREG_CALENDAR_H

#include "datatype/timestamp.h"
#include "fmgr.h"

typedef struct Calendar
{
	int64		start;
	Interval	step;
	const char *time_zone;
} Calendar;

extern void argument_calendar(FunctionCallInfo fcinfo, int step_argno,
							  int zone_argno, int64 start,
							  Calendar *calendar);
extern int64 calendar_steps(const Calendar *calendar, int64 end);
extern int	calendar_enter(const Calendar *calendar);
extern void calendar_leave(int level);
extern int64 calendar_bound(const Calendar *calendar, int64 k);

#endif							/* PARTREG_CALENDAR_H */
