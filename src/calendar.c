/*
 * calendar.c
 *		The bounds of steps by the wall clock of a time zone.
 *
 * Bound 0 is the start.  Bound k is counted from the start, not from the bound
 * before it, so that a month cut short at the end of February is followed by a
 * whole one:
 *
 * 1. To what the clock shows at the start, k times the months of the step are
 *    added (the day is cut at the end of a shorter month), then k times its
 *    days.  That gives a local time.
 * 2. The first instant, from the start on, at which the clock shows that local
 *    time or has passed it.
 * 3. k times the step's hours, minutes and seconds are added to that instant,
 *    as a plain length of time.
 *
 * A clock is a list of stretches, each with one offset from UTC.  A local time
 * that the clock skips lies between two stretches; its first instant is that
 * of the change.  A local time that comes twice lies in two stretches; its
 * first instant is in the earlier one.  (PostgreSQL takes the later one, and
 * for a skipped time an instant after the change.)  So a local date begins at
 * one instant and ends where the next existing date begins, dates do not
 * overlap, and a date that the zone skips is empty.  Where clocks go back
 * across midnight, the new date has already begun and continues, although the
 * clock shows the old date once more.
 *
 * A date whose midnight is skipped begins later by the clock; a start there
 * stands for midnight, or else the days counted from it would all begin late.
 *
 * Local times grow with k.  So do their first instants, and so does k times
 * the rest of the step.  Therefore bounds never go backwards.  Two bounds are
 * equal if the clock skips the whole step; such a step makes no partition.
 * Because bounds never go backwards, a walk reads each stretch of the clock
 * once, and a bound costs a few additions.
 *
 * A step of neither months nor days has one length everywhere, and its zone
 * does not matter.
 */
#include "postgres.h"

#include "common/int.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "calendar.h"
#include "compat.h"
#include "condition.h"

PG_FUNCTION_INFO_V1(day_range);
PG_FUNCTION_INFO_V1(step_ranges);
PG_FUNCTION_INFO_V1(_is_calendar);

/* From 1970 to 2000 */
#define UNIX_TO_POSTGRES \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/*
 * No clock is further from UTC: POSIX names of zones may say up to a week, and
 * an hour more for daylight saving time.
 */
#define FARTHEST_DAYS		8
#define FARTHEST_OFFSET		(FARTHEST_DAYS * (int64) SECS_PER_DAY)

/* Later than any timestamp, and far from where additions overflow */
#define NEVER				(INT64CONST(1) << 60)

/* Steps longer than some 270 years are walked one by one. */
#define LONG_STEP_DAYS		INT64CONST(100000)

/* A multiple of 400 years that makes all years positive */
#define YEARS_BEFORE		4800

/* Division that rounds down, also what is negative */
static int64
floor_divide(int64 dividend, int64 divisor)
{
	int64		quotient = dividend / divisor;

	return quotient * divisor > dividend ? quotient - 1 : quotient;
}

/* Read the clock at an instant. */
static void
clock_read(Clock *clock, int64 at)
{
	pg_time_t	time = at + UNIX_TO_POSTGRES;
	pg_time_t	change = 0;
	long		before_offset;
	long		after_offset;
	int			before_isdst;
	int			after_isdst;
	int			found;

	clock->from = at;
	clock->offset = pg_localtime(&time, clock->zone)->tm_gmtoff;
	found = pg_next_dst_boundary(&time, &before_offset, &before_isdst, &change,
								 &after_offset, &after_isdst, clock->zone);

	/*
	 * At the last change of the 400 years in its table PostgreSQL says that
	 * there are no more, but a second later it begins the table anew.
	 */
	if (found == 0)
	{
		time++;
		found = pg_next_dst_boundary(&time, &before_offset, &before_isdst,
									 &change, &after_offset, &after_isdst,
									 clock->zone);
	}
	clock->until = found > 0 ? change - UNIX_TO_POSTGRES : NEVER;
}

/*
 * The first instant at which a clock shows a local time or has passed it, not
 * before the instant at which it was first read.  The clock moves on: the next
 * call may not ask for an earlier time.
 *
 * day: Julian; may lie FARTHEST_DAYS beyond the last one of timestamps
 * time_of_day: in microseconds
 *
 * Returns INTERVAL_MAX for what lies beyond the last timestamp.
 */
static int64
clock_first(Clock *clock, int64 day, int64 time_of_day)
{
	int64		local = (day - POSTGRES_EPOCH_JDATE) * SECS_PER_DAY +
		time_of_day / USECS_PER_SEC;
	int64		at;

	if (clock->until < local - FARTHEST_OFFSET)
		clock_read(clock, local - FARTHEST_OFFSET);
	while (clock->until + clock->offset <= local)
		clock_read(clock, clock->until);
	at = local - clock->offset;
	if (at >= END_TIMESTAMP / USECS_PER_SEC)
		return INTERVAL_MAX;
	if (at < clock->from)
		return clock->from * USECS_PER_SEC;
	return at * USECS_PER_SEC + time_of_day % USECS_PER_SEC;
}

/* The first instant of a local date, or INTERVAL_MAX */
static int64
first_instant(pg_tz *zone, int64 day)
{
	Clock		clock = {.zone = zone};

	clock_read(&clock, (day - POSTGRES_EPOCH_JDATE) * SECS_PER_DAY -
			   FARTHEST_OFFSET);
	return clock_first(&clock, day, 0);
}

/* A time zone by its name (NULL: UTC), or NULL */
static pg_tz *
known_zone(const char *name)
{
	pg_tz	   *zone = NULL;

	if (name == NULL)
		name = "UTC";
	if (!looks_like_token(name))
		zone = pg_tzset(name);
	return zone != NULL && pg_tz_acceptable(zone) ? zone : NULL;
}

/*
 * The same.
 *
 * Errors: 22023 (there is none of the name).
 */
static pg_tz *
find_zone(const char *name)
{
	pg_tz	   *zone = known_zone(name);

	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("time zone \"%s\" not recognized", quotable(name)),
				 errhint("The view pg_timezone_names lists the time zones.")));
	return zone;
}

/* Has a step one length everywhere? */
static bool
is_plain(const Interval *step)
{
	return step->month == 0 && step->day == 0;
}

/* Is it finite, and positive in every field that is not zero? */
static bool
is_step(const Interval *step)
{
	return !INTERVAL_NOT_FINITE(step) &&
		step->month >= 0 && step->day >= 0 && step->time >= 0 &&
		(!is_plain(step) || step->time > 0);
}

static void
calendar_set(Calendar *calendar, const Interval *step, pg_tz *zone, int64 start)
{
	Clock		clock = {.zone = zone};
	int64		second = floor_divide(start, USECS_PER_SEC);
	int64		day;

	calendar->start = start;
	calendar->step = *step;
	calendar->zone = zone;

	clock_read(&clock, second);
	day = floor_divide(second + clock.offset, SECS_PER_DAY);
	calendar->day = (int) (day + POSTGRES_EPOCH_JDATE);
	calendar->time_of_day = (second + clock.offset - day * SECS_PER_DAY) *
		USECS_PER_SEC + (start - second * USECS_PER_SEC);
	if (first_instant(calendar->zone, calendar->day) == start)
		calendar->time_of_day = 0;
}

/*
 * Steps in a time zone (NULL: UTC), counted from a start.
 *
 * Errors: 22023 (no positive step, or no time zone).
 */
void
calendar_init(Calendar *calendar, const Interval *step, const char *time_zone,
			  int64 start)
{
	pg_tz	   *zone = find_zone(time_zone);

	if (!is_step(step))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("step must be a positive interval"),
				 errdetail("No field of a step may be negative or infinite."),
				 errhint("For example '1 hour', '1 day' or '1 month'.")));
	calendar_set(calendar, step, zone, start);
}

/*
 * The same of what was stored earlier; false: its steps cannot be told.  A
 * server may be updated, or a dump restored to one, that does not know the zone.
 */
bool
calendar_init_stored(Calendar *calendar, const Interval *step,
					 const char *time_zone, int64 start)
{
	pg_tz	   *zone = known_zone(time_zone);

	if (zone == NULL || !is_step(step) || TIMESTAMP_NOT_FINITE(start))
		return false;
	calendar_set(calendar, step, zone, start);
	return true;
}

/*
 * A bound as it stands in messages: ISO, in the session's time zone.
 * INTERVAL_MAX shows as infinity.
 */
static char *
show_bound(int64 bound)
{
	return pstrdup(timestamptz_to_str(bound));
}

pg_noreturn static void
raise_no_bound(int64 before, int64 after)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errcondition("bad_argument"),
			 errmsg("range is not a whole number of steps"),
			 errdetail("The bounds on either side of its end are %s and %s.",
					   show_bound(before), show_bound(after)),
			 errhint("Steps are counted from the start of the range, by the wall clock of the time zone.")));
}

pg_noreturn static void
raise_too_many(uint64 count)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errcondition("bad_argument"),
			 errmsg("range would make " UINT64_FORMAT " partitions", count),
			 errdetail("One call makes at most %d partitions.", MAX_PARTITIONS),
			 errhint("Give a longer step or a shorter range.")));
}

/* A length of time after an instant; INTERVAL_MAX beyond the last timestamp */
static int64
bound_after(int64 instant, int64 length)
{
	int64		bound;

	if (pg_add_s64_overflow(instant, length, &bound) || bound >= END_TIMESTAMP)
		return INTERVAL_MAX;
	return bound;
}

/*
 * How many partitions do the steps from the start to an end make?
 *
 * Errors: 22023 (more than MAX_PARTITIONS, or the end is no bound).
 */
int64
calendar_steps(const Calendar *calendar, int64 end)
{
	CalendarWalk walk;
	TimeInterval step = {0};
	int64		count = 0;

	if (is_plain(&calendar->step))
	{
		uint64		length = (uint64) end - (uint64) calendar->start;
		uint64		rest = length % (uint64) calendar->step.time;

		length /= (uint64) calendar->step.time;
		if (length > MAX_PARTITIONS)
			raise_too_many(length);
		if (rest != 0)
			raise_no_bound(end - (int64) rest,
						   bound_after(end - (int64) rest,
									   calendar->step.time));
		return (int64) length;
	}

	calendar_walk_begin(&walk, calendar);
	while (calendar_walk_next(&walk, end, &step))
	{
		count++;
		CHECK_FOR_INTERRUPTS();
	}
	if (walk.bound != end)
		count--;				/* the last one is cut off */
	/* Counted to the end, to say how many: all of time has some 10^8 days. */
	if (count > MAX_PARTITIONS)
		raise_too_many((uint64) count);
	if (walk.bound != end)
		raise_no_bound(step.start, step.end);
	return count;
}

/* Begin at bound 0. */
void
calendar_walk_begin(CalendarWalk *walk, const Calendar *calendar)
{
	memset(walk, 0, sizeof(*walk));
	walk->calendar = calendar;
	walk->bound = calendar->start;
	j2date(calendar->day, &walk->year, &walk->month, &walk->day_of_month);
	walk->clock.zone = calendar->zone;
	clock_read(&walk->clock, floor_divide(calendar->start, USECS_PER_SEC));
}

/* The day that a walk is at, Julian, or beyond the last one of timestamps */
static int64
walk_day(const CalendarWalk *walk)
{
	int64		months;
	int64		year;
	int			month;
	int			length;

	if (walk->months == 0)
		return walk->calendar->day + walk->days;
	months = (walk->year + YEARS_BEFORE) * INT64CONST(12) + walk->month - 1 +
		walk->months;
	year = months / 12 - YEARS_BEFORE;
	month = (int) (months % 12);
	if (year >= JULIAN_MAXYEAR)
		return PG_INT32_MAX;
	length = day_tab[isleap((int) year)][month];
	return date2j((int) year, month + 1, Min(walk->day_of_month, length)) +
		walk->days;
}

/* The bound that a walk is at, where steps are not plain; or INTERVAL_MAX */
static int64
bound_here(CalendarWalk *walk)
{
	int64		day = walk_day(walk);
	int64		instant;

	if (day > TIMESTAMP_END_JULIAN + FARTHEST_DAYS)
		return INTERVAL_MAX;
	instant = clock_first(&walk->clock, day, walk->calendar->time_of_day);
	return bound_after(instant, walk->length);
}

/* The next bound, or INTERVAL_MAX where it lies beyond the last timestamp */
static int64
next_bound(CalendarWalk *walk)
{
	const Calendar *calendar = walk->calendar;

	/* From bound to bound: all of them together may be too long to count. */
	if (is_plain(&calendar->step))
		return bound_after(walk->bound, calendar->step.time);
	if (pg_add_s64_overflow(walk->length, calendar->step.time, &walk->length))
		return INTERVAL_MAX;
	walk->months += calendar->step.month;
	walk->days += calendar->step.day;
	return bound_here(walk);
}

/*
 * The next step that is not empty; false: the walk has come to the end, or
 * beyond it.
 */
bool
calendar_walk_next(CalendarWalk *walk, int64 end, TimeInterval *step)
{
	if (walk->bound >= end)
		return false;
	step->start = walk->bound;
	do
		walk->bound = next_bound(walk);
	while (walk->bound == step->start);
	step->end = walk->bound;
	return true;
}

/*
 * Leap on to a bound at or before an instant, and near it, where that is further
 * on than the walk is.
 *
 * A plain step says which one.  Else no step is longer by the clock than it is
 * with months of 31 days, and no clock is further from UTC than
 * FARTHEST_OFFSET; so many such steps as lie between the start and the instant,
 * less what clocks may differ by and a date that is skipped, do not lead
 * beyond it.
 */
static void
leap(CalendarWalk *walk, int64 instant)
{
	const Interval *step = &walk->calendar->step;
	int64		days = step->month * INT64CONST(31) + step->day;
	int64		distance;
	int64		count;

	if (is_plain(step))
	{
		walk->bound += (int64) (((uint64) instant - (uint64) walk->bound) /
								(uint64) step->time * (uint64) step->time);
		return;
	}
	/* Of steps that are this long there are few. */
	if (days > LONG_STEP_DAYS || step->time > LONG_STEP_DAYS * USECS_PER_DAY)
		return;
	distance = instant - walk->calendar->start -
		(2 * FARTHEST_DAYS + 2) * USECS_PER_DAY;
	count = distance / (days * USECS_PER_DAY + step->time);
	if (distance < 0 || count * step->month < walk->months ||
		count * step->day < walk->days)
		return;
	walk->months = count * step->month;
	walk->days = count * step->day;
	walk->length = count * step->time;
	walk->bound = bound_here(walk);
}

/*
 * The step that holds an instant, which may not lie before the start.  From
 * call to call instants may not fall.  The step is what the last call gave
 * ({0, 0} before the first).
 */
void
calendar_walk_to(CalendarWalk *walk, int64 instant, TimeInterval *step)
{
	if (instant < step->end && step->start < step->end)
		return;
	if (walk->bound < instant)
		leap(walk, instant);
	while (calendar_walk_next(walk, INTERVAL_MAX, step) && step->end <= instant)
		CHECK_FOR_INTERRUPTS();
}

/*
 * day_range(day date, time_zone text DEFAULT 'UTC')
 *		returns tstzrange: that local date
 *
 * Errors: 22004, 22008 (not within timestamps), 22023 (also: the zone has no such
 * date).
 */
Datum
day_range(PG_FUNCTION_ARGS)
{
	DateADT		date;
	int64		day;
	pg_tz	   *zone;
	TimeInterval during;

	argument_require(fcinfo, 0);
	date = PG_GETARG_DATEADT(0);
	zone = find_zone(argument_text(fcinfo, 1));
	if (DATE_NOT_FINITE(date))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" must be a finite date", "day"),
				 errhint("Give a date such as 2024-01-01.")));
	day = (int64) date + POSTGRES_EPOCH_JDATE;
	if (day < TIMESTAMP_END_JULIAN)
	{
		during.start = first_instant(zone, day);
		during.end = first_instant(zone, day + 1);
	}
	if (day >= TIMESTAMP_END_JULIAN ||
		!IS_VALID_TIMESTAMP(during.start) || !IS_VALID_TIMESTAMP(during.end))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errcondition("bad_argument"),
				 errmsg("date out of range for timestamp")));
	if (during.start == during.end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("time zone \"%s\" has no date %s",
						pg_get_timezone_name(zone),
						DatumGetCString(DirectFunctionCall1(date_out,
															DateADTGetDatum(date)))),
				 errdetail("The clocks there went from an earlier date to a later one at %s.",
						   timestamptz_to_str(during.start)),
				 errhint("Leave the date out: no partition holds an instant of it.")));
	PG_RETURN_DATUM(interval_to_range(during));
}

/* What step_ranges keeps from row to row */
typedef struct StepRanges
{
	Calendar	calendar;
	CalendarWalk walk;
	int64		end;
} StepRanges;

static StepRanges *
step_ranges_begin(FunctionCallInfo fcinfo)
{
	StepRanges *ranges = palloc(sizeof(StepRanges));
	TimeInterval during;

	for (int argno = 0; argno < 2; argno++)
		argument_require(fcinfo, argno);
	during = check_interval(argument_range(fcinfo, 0));
	calendar_init(&ranges->calendar, PG_GETARG_INTERVAL_P(1),
				  argument_text(fcinfo, 2), during.start);
	(void) calendar_steps(&ranges->calendar, during.end);
	calendar_walk_begin(&ranges->walk, &ranges->calendar);
	ranges->end = during.end;
	return ranges;
}

/*
 * step_ranges(during tstzrange, step interval, time_zone text DEFAULT 'UTC')
 *		returns SETOF tstzrange: what register_partitions would register
 *
 * A row for each call: nothing is collected here.
 *
 * Errors: 22004, 22023.
 */
Datum
step_ranges(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	StepRanges *ranges;
	TimeInterval step;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		call->user_fctx = step_ranges_begin(fcinfo);
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	ranges = call->user_fctx;
	if (!calendar_walk_next(&ranges->walk, ranges->end, &step))
		SRF_RETURN_DONE(call);
	SRF_RETURN_NEXT(call, interval_to_range(step));
}

/*
 * _is_calendar(step interval, start_at timestamptz, time_zone text)
 *		returns boolean: are the steps of a stored calendar known here?
 *
 * Errors: none.
 */
Datum
_is_calendar(PG_FUNCTION_ARGS)
{
	Calendar	calendar;

	PG_RETURN_BOOL(calendar_init_stored(&calendar, PG_GETARG_INTERVAL_P(0),
										text_to_cstring(PG_GETARG_TEXT_PP(2)),
										PG_GETARG_TIMESTAMPTZ(1)));
}
