/*
 * axis.c
 *		The cells of a timeline, and the axis over them.
 *
 * Cell i of n, of a window of L microseconds, is [i * L / n, (i + 1) * L / n)
 * from its start, as exact fractions: where the window has fewer microseconds
 * than cells, each microsecond fills several.  What overlaps a cell by a
 * microsecond is in it.
 *
 * Ticks stand at round instants in UTC: of all steps that leave room for their
 * labels, the shortest.  A tick's label begins in the cell after it; one that
 * would reach beyond the last cell is left out.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "timeline.h"

/* The first Monday of 2000, from which weeks are counted */
#define FIRST_MONDAY	(2 * USECS_PER_DAY)

/* Shorter than any month, for how many cells a month may have */
#define USECS_PER_SHORT_MONTH	(28 * USECS_PER_DAY)

typedef enum TickLabel
{
	LABEL_SECOND,				/* 13:05:10 */
	LABEL_MINUTE,				/* 13:05, and at midnight the date */
	LABEL_DAY,					/* Jan 15 */
	LABEL_MONTH,				/* Feb, and in January the year */
	LABEL_YEAR					/* 2024 */
} TickLabel;

typedef struct TickStep
{
	int64		length;			/* 0: months */
	int			months;
	TickLabel	label;
} TickStep;

static const TickStep tick_steps[] = {
	{1 * USECS_PER_SEC, 0, LABEL_SECOND},
	{5 * USECS_PER_SEC, 0, LABEL_SECOND},
	{15 * USECS_PER_SEC, 0, LABEL_SECOND},
	{30 * USECS_PER_SEC, 0, LABEL_SECOND},
	{1 * USECS_PER_MINUTE, 0, LABEL_MINUTE},
	{5 * USECS_PER_MINUTE, 0, LABEL_MINUTE},
	{15 * USECS_PER_MINUTE, 0, LABEL_MINUTE},
	{30 * USECS_PER_MINUTE, 0, LABEL_MINUTE},
	{1 * USECS_PER_HOUR, 0, LABEL_MINUTE},
	{3 * USECS_PER_HOUR, 0, LABEL_MINUTE},
	{6 * USECS_PER_HOUR, 0, LABEL_MINUTE},
	{12 * USECS_PER_HOUR, 0, LABEL_MINUTE},
	{1 * USECS_PER_DAY, 0, LABEL_DAY},
	{2 * USECS_PER_DAY, 0, LABEL_DAY},
	{7 * USECS_PER_DAY, 0, LABEL_DAY},
	{0, 1, LABEL_MONTH},
	{0, 3, LABEL_MONTH},
	{0, 12, LABEL_YEAR},
	{0, 12 * 5, LABEL_YEAR},
	{0, 12 * 10, LABEL_YEAR},
	{0, 12 * 50, LABEL_YEAR},
	{0, 12 * 100, LABEL_YEAR},
	{0, 12 * 500, LABEL_YEAR},
	{0, 12 * 1000, LABEL_YEAR},
	{0, 12 * 5000, LABEL_YEAR},
	{0, 12 * 10000, LABEL_YEAR},
	{0, 12 * 50000, LABEL_YEAR},
	{0, 12 * 100000, LABEL_YEAR},
};

/* By TickLabel, with the tick: it keeps labels apart */
static const int label_room[] = {9, 7, 7, 5, 7};

/* Where cell i begins, from the start of the window, rounded down or up */
static uint64
cell_edge(const Scale *scale, int i, bool up)
{
	uint64		length = interval_length(scale->window);
	uint64		rest = length % scale->cells * i;

	/* length * i may be too large. */
	return length / scale->cells * i +
		(rest + (up ? scale->cells - 1 : 0)) / scale->cells;
}

/* The cells that an interval overlaps; false: none of them. */
bool
scale_cells(const Scale *scale, TimeInterval during, int *first, int *last)
{
	uint64		start;
	uint64		end;
	int			low;
	int			high;

	if (!interval_overlaps(during, scale->window))
		return false;
	start = (uint64) Max(during.start, scale->window.start) -
		(uint64) scale->window.start;
	end = (uint64) Min(during.end, scale->window.end) -
		(uint64) scale->window.start;

	/* The last cell that begins at the start or before */
	for (low = 0, high = scale->cells - 1; low < high;)
	{
		int			middle = (low + high + 1) / 2;

		if (cell_edge(scale, middle, true) <= start)
			low = middle;
		else
			high = middle - 1;
	}
	*first = low;

	/* The last cell that begins before the end */
	for (high = scale->cells - 1; low < high;)
	{
		int			middle = (low + high + 1) / 2;

		if (cell_edge(scale, middle, false) < end)
			low = middle;
		else
			high = middle - 1;
	}
	*last = low;
	return true;
}

/* How many cells lie between two ticks, at least? */
static uint64
step_cells(const Scale *scale, int step)
{
	int64		length = tick_steps[step].length;

	if (length == 0)
		length = tick_steps[step].months * USECS_PER_SHORT_MONTH;
	/* Cells of no microsecond are as good as those of one. */
	return length / Max(interval_length(scale->window) / scale->cells, 1);
}

/* The shortest step whose labels have room, else the longest one */
static int
choose_step(const Scale *scale)
{
	int			step;

	for (step = 0; step < lengthof(tick_steps) - 1; step++)
	{
		if (step_cells(scale, step) >= label_room[tick_steps[step].label])
			break;
	}
	return step;
}

static int64
floor_modulo(int64 dividend, int64 divisor)
{
	int64		rest = dividend % divisor;

	return rest < 0 ? rest + divisor : rest;
}

static void
break_down(int64 instant, struct pg_tm *parts)
{
	fsec_t		fraction;

	if (timestamp2tm(instant, NULL, parts, &fraction, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
}

/* The n-th month of our era and before, when it begins in UTC */
static int64
month_start(int64 month)
{
	int			month_of_year = (int) floor_modulo(month, 12);
	int			year = (int) ((month - month_of_year) / 12);

	return (int64) (date2j(year, month_of_year + 1, 1) - POSTGRES_EPOCH_JDATE) *
		USECS_PER_DAY;
}

/* The first tick at an instant or after it */
static int64
tick_from(int step, int64 instant)
{
	struct pg_tm parts;
	int64		month;
	int64		passed;

	if (tick_steps[step].length > 0)
	{
		int64		length = tick_steps[step].length;
		int64		anchor = length % (7 * USECS_PER_DAY) == 0 ? FIRST_MONDAY : 0;

		passed = floor_modulo(instant - anchor, length);
		return passed == 0 ? instant : instant - passed + length;
	}
	break_down(instant, &parts);
	month = parts.tm_year * INT64CONST(12) + parts.tm_mon - 1;
	month -= floor_modulo(month, tick_steps[step].months);
	while (month_start(month) < instant)
		month += tick_steps[step].months;
	return month_start(month);
}

/* The label of a tick, in ASCII */
static const char *
tick_label(int step, int64 instant)
{
	TickLabel	label = tick_steps[step].label;
	struct pg_tm parts;

	break_down(instant, &parts);
	if (label == LABEL_MINUTE && floor_modulo(instant, USECS_PER_DAY) == 0)
		label = LABEL_DAY;
	if (label == LABEL_MONTH && parts.tm_mon == 1)
		label = LABEL_YEAR;
	switch (label)
	{
		case LABEL_SECOND:
			return psprintf("%02d:%02d:%02d", parts.tm_hour, parts.tm_min,
							parts.tm_sec);
		case LABEL_MINUTE:
			return psprintf("%02d:%02d", parts.tm_hour, parts.tm_min);
		case LABEL_DAY:
			return psprintf("%s %02d", months[parts.tm_mon - 1], parts.tm_mday);
		case LABEL_MONTH:
			return months[parts.tm_mon - 1];
		case LABEL_YEAR:
			break;
	}
	return parts.tm_year > 0 ? psprintf("%d", parts.tm_year)
		: psprintf("%dBC", 1 - parts.tm_year);
}

/*
 * Append the axis of a window to a line: a tick, which is one column wide, at
 * the cell in which a round instant lies, and its label.
 */
void
axis_draw(StringInfo line, const Scale *scale, const char *tick,
		  int tick_length)
{
	int			step = choose_step(scale);
	int			drawn = 0;		/* cells */
	int64		instant = tick_from(step, scale->window.start);

	while (instant < scale->window.end)
	{
		const char *label = tick_label(step, instant);
		TimeInterval moment = {instant, instant + 1};
		int			cell;
		int			last;

		if (scale_cells(scale, moment, &cell, &last) && cell >= drawn)
		{
			appendStringInfoSpaces(line, cell - drawn);
			appendBinaryStringInfo(line, tick, tick_length);
			drawn = cell + 1;
			if (drawn + (int) strlen(label) <= scale->cells)
			{
				appendStringInfoString(line, label);
				drawn += (int) strlen(label);
			}
		}
		instant = tick_from(step, instant + 1);
	}
	appendStringInfoSpaces(line, scale->cells - drawn);
}
