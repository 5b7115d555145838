/*
 * calendar.c
 *		The bounds of steps.
 *
 * The k-th bound is start + k * step, by the calendar of a time zone: a day may
 * have 23 or 25 hours, and a month ends where it ends.  PostgreSQL does the
 * arithmetic; it takes the zone from the setting TimeZone, hence
 * calendar_enter() and calendar_leave() around each batch of bounds.
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "calendar.h"
#include "compat.h"

/* Use the calendar's time zone, until calendar_leave(). */
int
calendar_enter(const Calendar *calendar)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("TimeZone", calendar->time_zone,
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

void
calendar_leave(int level)
{
	AtEOXact_GUC(true, level);
}

pg_noreturn static void
raise_too_many_steps(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("too many steps for one call"),
			 errhint("Register the range in several calls.")));
}

/* The k-th bound, between calendar_enter() and calendar_leave(). */
int64
calendar_bound(const Calendar *calendar, int64 k)
{
	Interval	span;
	int64		months;
	int64		days;

	/* Of one length everywhere; it may be too long for an interval. */
	if (calendar->step.month == 0 && calendar->step.day == 0)
		return (int64) ((uint64) calendar->start +
						(uint64) calendar->step.time * (uint64) k);
	if (pg_mul_s64_overflow(calendar->step.month, k, &months) ||
		pg_mul_s64_overflow(calendar->step.day, k, &days) ||
		pg_mul_s64_overflow(calendar->step.time, k, &span.time) ||
		months != (int32) months || days != (int32) days)
		raise_too_many_steps();
	span.month = (int32) months;
	span.day = (int32) days;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(calendar->start),
												   IntervalPGetDatum(&span)));
}

/* A calendar given as a step and a time zone (NULL: UTC) */
void
argument_calendar(FunctionCallInfo fcinfo, int step_argno, int zone_argno,
				  int64 start, Calendar *calendar)
{
	char	   *time_zone = argument_text(fcinfo, zone_argno);

	calendar->start = start;
	calendar->step = *PG_GETARG_INTERVAL_P(step_argno);
	calendar->time_zone = time_zone == NULL ? "UTC" : time_zone;
	if (looks_like_token(calendar->time_zone) ||
		pg_tzset(calendar->time_zone) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" is not known",
						quotable(calendar->time_zone)),
				 errhint("The view pg_timezone_names lists the time zones.")));
	if (calendar->step.month < 0 || calendar->step.day < 0 ||
		calendar->step.time < 0 ||
		(calendar->step.month == 0 && calendar->step.day == 0 &&
		 calendar->step.time == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("step must be a positive interval"),
				 errhint("For example '1 hour', '1 day' or '1 month'.")));
}

/* The k-th bound, or INTERVAL_MAX where it lies beyond the last timestamp */
static int64
bound_or_beyond(const Calendar *calendar, int64 k)
{
	MemoryContext memory = CurrentMemoryContext;
	volatile int64 bound = INTERVAL_MAX;

	/* Arithmetic alone, which holds nothing that would have to be let go. */
	PG_TRY();
	{
		bound = calendar_bound(calendar, k);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_DATETIME_VALUE_OUT_OF_RANGE)
			PG_RE_THROW();
		MemoryContextSwitchTo(memory);
		FlushErrorState();
	}
	PG_END_TRY();
	return bound;
}

/*
 * How many steps lead from the start to an end?  Complains if it is no whole
 * number.
 */
int64
calendar_steps(const Calendar *calendar, int64 end)
{
	int64		steps = 0;
	int64		bound = calendar->start;

	if (calendar->step.month == 0 && calendar->step.day == 0)
	{
		uint64		length = (uint64) end - (uint64) calendar->start;

		if (length / (uint64) calendar->step.time > PG_INT64_MAX)
			raise_too_many_steps();
		steps = (int64) (length / (uint64) calendar->step.time);
		bound = length % (uint64) calendar->step.time == 0 ? end
			: INTERVAL_MAX;
	}
	else
	{
		int			level = calendar_enter(calendar);

		while (bound < end)
		{
			int64		next = bound_or_beyond(calendar, ++steps);

			CHECK_FOR_INTERRUPTS();
			if (next <= bound)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("step does not lead forward everywhere in the range"),
						 errhint("Where clocks are set back, steps of less than the change may not.")));
			bound = next;
		}
		calendar_leave(level);
	}
	if (bound != end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("range is not a whole number of steps"),
				 errhint("Steps are counted from the start of the range, by the calendar of the time zone.")));
	return steps;
}
