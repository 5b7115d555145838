/*
 * timeline.c
 *		A picture of a range, for people who look at psql.
 *
 * The picture consists of lines of text: what is shown, an axis in UTC, a lane
 * for all providers together, a lane for each provider in the order of names,
 * and a legend.  A lane is a row of cells (axis.c), and a cell shows the worst
 * state of any instant in it.
 *
 * The lane of a provider shows its partitions: what is failed or locked; what is
 * late (lateness.c); and of what it has not made available, what is registered,
 * and within its effective range what is missing.  The lane "together" shows
 * readiness: the window is ready where it shows nothing but what is available.
 * So it has what explain_readiness() finds (explain.c), and a registered or late
 * partition shows in it only where nobody else has supplied the same.
 *
 * Nothing is sorted or kept for each partition.  Registered, locked and failed
 * partitions are read once and kept in sets that are coalesced while they are
 * filled; what is available comes in spans.  So unlocked partitions cost
 * nothing, a year of registered minutes is a walk along an index, and memory
 * grows only with the coalesced sets.
 *
 * The picture is in UTF-8 if the client and the database have it, and
 * otherwise in ASCII.  A character that the client cannot show is a question
 * mark, not an error; and so is one that would change the direction of the
 * text.
 */
#include "postgres.h"

#include <math.h>

#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "argument.h"
#include "catalog.h"
#include "condition.h"
#include "coverage.h"
#include "lateness.h"
#include "source.h"
#include "timeline.h"

PG_FUNCTION_INFO_V1(timeline);

/* From the best to the worst */
typedef enum CellState
{
	CELL_NOT_ASKED,
	CELL_AVAILABLE,
	CELL_REGISTERED,
	CELL_MISSING,
	CELL_LOCKED,
	CELL_LATE,
	CELL_FAILED
} CellState;

#define CELL_STATES (CELL_FAILED + 1)

/* How it all looks; a state is one column wide. */
typedef struct Style
{
	const char *state[CELL_STATES];
	const char *tick;
	const char *cut;			/* stands for what is left out of a name */
} Style;

static const Style ascii_style = {
	{" ", "#", "-", ".", "L", "!", "X"}, "|", "~"
};
static const Style utf8_style = {
	{" ", "\342\226\210", "\342\226\221", "\302\267", "\342\226\222", "!", "\342\234\227"},
	"\342\224\202", "\342\200\246"
};

static const char *const state_words[CELL_STATES] = {
	"blank: not effective", "available", "registered", "missing", "locked", "late", "failed"
};

#define TOGETHER		"together"

/* More lanes than these have an axis on either side. */
#define LANES_PER_AXIS	20

/* A provider, or all together */
typedef struct Lane
{
	const char *name;
	int32		provider_id;	/* 0: all together */
	TimeInterval effective;		/* its part of the window */
	bool		is_asked;		/* there is such a part */
	IntervalSet late;
	uint8		cells[MAX_WIDTH];	/* of CellState */
} Lane;

/* A picture that is being made */
typedef struct Picture
{
	const Source *source;
	Snapshot	snapshot;
	Scale		scale;
	Lane		together;
	Lane	   *lanes;			/* of the providers, by name */
	Lane	  **by_id;			/* the same by provider_id */
	int			count;
	const Style *style;
	int			width;
	Tuplestorestate *lines;
	TupleDesc	line;
} Picture;

/* What a provider has, or all of them have, of the window; coalesced */
typedef struct Supply
{
	IntervalSet available;
	IntervalSet pending;		/* never unlocked */
	IntervalSet late;			/* of these */
} Supply;

static void
supply_coalesce(Supply *supply)
{
	interval_set_coalesce(&supply->available);
	interval_set_coalesce(&supply->pending);
	interval_set_coalesce(&supply->late);
}

static void
supply_free(Supply *supply)
{
	interval_set_free(&supply->available);
	interval_set_free(&supply->pending);
	interval_set_free(&supply->late);
}

static void
set_merge_all(IntervalSet *set, const IntervalSet *more)
{
	for (size_t i = 0; i < more->count; i++)
		interval_set_merge(set, more->items[i]);
}

/* Painting */

/* Cells show the worst that was painted into them. */
static void
paint(Lane *lane, const Scale *scale, TimeInterval during, CellState state)
{
	int			first;
	int			last;

	if (!scale_cells(scale, during, &first, &last))
		return;
	for (int i = first; i <= last; i++)
		lane->cells[i] = Max(lane->cells[i], state);
}

static void
paint_set(Lane *lane, const Scale *scale, const IntervalSet *set,
		  CellState state)
{
	for (size_t i = 0; i < set->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		paint(lane, scale, set->items[i], state);
	}
}

/* Paint what some gaps have in common with a set. */
static void
paint_common(Lane *lane, const Scale *scale, const IntervalSet *gaps,
			 const IntervalSet *set, CellState state)
{
	IntervalSet both = {0};

	interval_set_intersect(gaps, set, &both);
	paint_set(lane, scale, &both, state);
	interval_set_free(&both);
}

/* Paint what of some gaps is not in a set. */
static void
paint_rest(Lane *lane, const Scale *scale, const IntervalSet *gaps,
		   const IntervalSet *set, CellState state)
{
	IntervalSet rest = {0};

	interval_set_subtract(gaps, set, &rest);
	paint_set(lane, scale, &rest, state);
	interval_set_free(&rest);
}

/* Paint gaps into the lane of all together: why is nothing available there? */
static void
paint_gaps_together(Picture *picture, const IntervalSet *gaps,
					const Supply *supply)
{
	Lane	   *lane = &picture->together;
	const Scale *scale = &picture->scale;

	paint_common(lane, scale, gaps, &supply->pending, CELL_REGISTERED);
	paint_common(lane, scale, gaps, &supply->late, CELL_LATE);
	paint_rest(lane, scale, gaps, &supply->pending, CELL_MISSING);
}

/* Reading */

static int
by_provider_id(const void *a, const void *b)
{
	int32		x = (*(Lane *const *) a)->provider_id;
	int32		y = (*(Lane *const *) b)->provider_id;

	return x < y ? -1 : x > y;
}

static void
add_late(const Late *late, void *arg)
{
	interval_set_merge((IntervalSet *) arg, late->during);
}

/* What a provider's row says, for its lane, and what of it is late */
static void
read_provider(CatalogScan *scan, LatenessScan *lateness, TimeInterval window,
			  Lane *lane)
{
	bool		isnull;
	Datum		value;

	memset(lane, 0, sizeof(Lane));
	lane->name = catalog_row_text(scan, Anum_provider_name);
	lane->provider_id = catalog_row_int32(scan, Anum_provider_id);
	value = catalog_row_value(scan, Anum_provider_effective, &isnull);
	lane->is_asked = range_to_interval(DatumGetRangeTypeP(value),
									   &lane->effective) &&
		interval_overlaps(lane->effective, window);
	lane->effective.start = Max(lane->effective.start, window.start);
	lane->effective.end = Min(lane->effective.end, window.end);
	lateness_find(lateness, scan, window, add_late, &lane->late);
}

/* The lanes of all providers, in the order of their names */
static void
read_providers(Picture *picture)
{
	int			capacity = 8;
	CatalogScan scan;
	LatenessScan lateness;

	picture->lanes = palloc(capacity * sizeof(Lane));
	lateness_begin(&lateness, picture->snapshot);
	catalog_begin(&scan, PROVIDER_BY_NAME, picture->snapshot);
	catalog_seek_provider(&scan, picture->source->id, NULL);
	while (catalog_next_row(&scan, ForwardScanDirection))
	{
		CHECK_FOR_INTERRUPTS();
		if (picture->count == capacity)
		{
			capacity *= 2;
			picture->lanes = repalloc_huge(picture->lanes,
										   capacity * sizeof(Lane));
		}
		read_provider(&scan, &lateness, picture->scale.window,
					  &picture->lanes[picture->count++]);
	}
	catalog_end(&scan);
	lateness_end(&lateness);

	picture->by_id = palloc_extended(Max(picture->count, 1) * sizeof(Lane *),
									 MCXT_ALLOC_HUGE);
	for (int i = 0; i < picture->count; i++)
		picture->by_id[i] = &picture->lanes[i];
	qsort(picture->by_id, picture->count, sizeof(Lane *), by_provider_id);
}

/* What of the window a provider has */
static void
read_supply(const Picture *picture, const Lane *lane, CoverageScan *coverage,
			Supply *supply)
{
	TimeInterval window = picture->scale.window;
	OverlapScan pending;

	coverage_collect(coverage, lane->provider_id, window, &supply->available);
	overlap_begin(&pending, PENDING_BY_KEY, NULL, picture->snapshot);
	overlap_seek(&pending, lane->provider_id, window);
	while (overlap_next(&pending))
		interval_set_merge(&supply->pending, pending.during);
	overlap_end(&pending);
	set_merge_all(&supply->late, &lane->late);
	supply_coalesce(supply);
}

/*
 * Paint the lane of a provider, and where rule "all" asks it, what it lacks into
 * that of all together; *lacking: where that is.
 */
static void
paint_provider(Picture *picture, Lane *lane, const Supply *supply,
			   IntervalSet *lacking)
{
	const Scale *scale = &picture->scale;
	IntervalSet gaps = {0};

	paint_set(lane, scale, &supply->available, CELL_AVAILABLE);
	paint_set(lane, scale, &supply->late, CELL_LATE);
	interval_set_gaps(&supply->available, scale->window, &gaps);
	paint_common(lane, scale, &gaps, &supply->pending, CELL_REGISTERED);
	if (lane->is_asked)
	{
		gaps.count = 0;
		interval_set_gaps(&supply->available, lane->effective, &gaps);
		paint_rest(lane, scale, &gaps, &supply->pending, CELL_MISSING);
		if (picture->source->needs_all)
		{
			paint_gaps_together(picture, &gaps, supply);
			set_merge_all(lacking, &gaps);
		}
	}
	interval_set_free(&gaps);
}

/* Paint what providers have, and what is lacking. */
static void
paint_supply(Picture *picture)
{
	CoverageScan coverage;
	Supply		all = {0};
	IntervalSet lacking = {0};	/* by a provider that is required */
	IntervalSet nobody = {0};	/* has supplied it */
	IntervalSet rest = {0};

	coverage_begin(&coverage, picture->source->id, picture->snapshot);
	for (int i = 0; i < picture->count; i++)
	{
		Supply		supply = {0};

		CHECK_FOR_INTERRUPTS();
		read_supply(picture, &picture->lanes[i], &coverage, &supply);
		paint_provider(picture, &picture->lanes[i], &supply, &lacking);
		set_merge_all(&all.available, &supply.available);
		set_merge_all(&all.pending, &supply.pending);
		set_merge_all(&all.late, &supply.late);
		supply_free(&supply);
	}
	coverage_end(&coverage);
	supply_coalesce(&all);
	interval_set_coalesce(&lacking);

	paint_set(&picture->together, &picture->scale, &all.available, CELL_AVAILABLE);
	interval_set_gaps(&all.available, picture->scale.window, &nobody);
	interval_set_subtract(&nobody, &lacking, &rest);
	paint_gaps_together(picture, &rest, &all);
	supply_free(&all);
	interval_set_free(&lacking);
	interval_set_free(&nobody);
	interval_set_free(&rest);
}

/* Paint what is locked or failed. */
static void
paint_locks(Picture *picture)
{
	OverlapScan overlap;

	overlap_begin(&overlap, LOCK_BY_KEY, source_lock_classes(picture->source),
				  picture->snapshot);
	overlap_seek(&overlap, picture->source->id, picture->scale.window);
	while (overlap_next(&overlap))
	{
		bool		isnull;
		Datum		word = catalog_row_value(&overlap.scan, Anum_lock_state,
											 &isnull);
		CellState	state = *VARDATA_ANY(DatumGetTextPP(word)) == 'f' ?
			CELL_FAILED : CELL_LOCKED;
		Lane		key = {0};
		Lane	   *wanted = &key;
		Lane	  **found;

		key.provider_id = catalog_row_int32(&overlap.scan,
											Anum_lock_provider_id);
		found = bsearch(&wanted, picture->by_id, picture->count,
						sizeof(Lane *), by_provider_id);
		if (found != NULL)
			paint(*found, &picture->scale, overlap.during, state);
		paint(&picture->together, &picture->scale, overlap.during, state);
	}
	overlap_end(&overlap);
}

/* Writing */

static void
put_line(Picture *picture, StringInfo line)
{
	Datum		value = PointerGetDatum(cstring_to_text_with_len(line->data,
																 line->len));
	bool		isnull = false;

	tuplestore_putvalues(picture->lines, picture->line, &value, &isnull);
	resetStringInfo(line);
}

/* How many columns does a string take? */
static int
columns_of(const char *string)
{
	int			columns = 0;

	for (; *string != '\0'; string += pg_mblen(string))
		columns += Max(pg_dsplen(string), 0);
	return columns;
}

/*
 * Does a string in UTF-8 begin with a character that ends a line, or turns the
 * direction of what follows?  Such a name would turn its lane around.
 */
static bool
is_turn(const char *string)
{
	const unsigned char *at = (const unsigned char *) string;

	if (at[0] == 0xd8)
		return at[1] == 0x9c;	/* U+061C */
	if (at[0] != 0xe2)
		return false;
	if (at[1] == 0x80)
		return at[2] == 0x8e || at[2] == 0x8f ||	/* U+200E, U+200F */
			(at[2] >= 0xa8 && at[2] <= 0xae);	/* U+2028 to U+202E */
	return at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9; /* U+2066 to U+2069 */
}

/* A name in characters that the style allows, others as question marks */
static const char *
show_name(const Picture *picture, const char *name)
{
	bool		utf8 = picture->style == &utf8_style;
	StringInfoData shown;

	initStringInfo(&shown);
	for (; *name != '\0'; name += pg_mblen(name))
	{
		if (utf8 ? is_turn(name) : IS_HIGHBIT_SET(*name))
			appendStringInfoChar(&shown, '?');
		else
			appendBinaryStringInfo(&shown, name, pg_mblen(name));
	}
	return shown.data;
}

/*
 * Append a name, cut in its middle to so many columns at most, as names often
 * differ at the end; returns how many it takes.
 */
static int
append_name(StringInfo line, const Picture *picture, const char *name,
			int limit)
{
	int			columns = columns_of(name);
	int			head = (limit - 1) / 2;
	int			tail = limit - 1 - head;
	int			taken = 0;
	const char *at = name;

	if (columns <= limit)
	{
		appendStringInfoString(line, name);
		return columns;
	}
	while (taken + Max(pg_dsplen(at), 0) <= head)
	{
		taken += Max(pg_dsplen(at), 0);
		at += pg_mblen(at);
	}
	appendBinaryStringInfo(line, name, at - name);
	appendStringInfoString(line, picture->style->cut);
	for (columns -= taken; columns > tail; at += pg_mblen(at))
		columns -= Max(pg_dsplen(at), 0);
	appendStringInfoString(line, at);
	return taken + 1 + columns;
}

/* Words, as many to a line as there is room for */
typedef struct Words
{
	Picture    *picture;
	StringInfoData line;
	int			columns;
} Words;

static void
put_word(Words *words, const char *word, int blanks)
{
	int			columns = columns_of(word);

	if (words->columns > 0 &&
		words->columns + blanks + columns > words->picture->width)
	{
		put_line(words->picture, &words->line);
		words->columns = 0;
	}
	if (words->columns > 0)
	{
		appendStringInfoSpaces(&words->line, blanks);
		words->columns += blanks;
	}
	words->columns += append_name(&words->line, words->picture, word,
								  words->picture->width);
}

/* An instant in UTC: a date, BC or not, and a time of day */
static void
put_instant(Words *words, int64 instant)
{
	struct pg_tm parts;
	fsec_t		fraction;
	int			year;

	if (timestamp2tm(instant, NULL, &parts, &fraction, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	year = parts.tm_year > 0 ? parts.tm_year : 1 - parts.tm_year;
	put_word(words, psprintf("%04d-%02d-%02d", year, parts.tm_mon,
							 parts.tm_mday), 1);
	if (parts.tm_year <= 0)
		put_word(words, "BC", 1);
	if (fraction != 0)
		put_word(words, psprintf("%02d:%02d:%02d.%06d", parts.tm_hour,
								 parts.tm_min, parts.tm_sec, (int) fraction), 1);
	else if (parts.tm_sec != 0)
		put_word(words, psprintf("%02d:%02d:%02d", parts.tm_hour, parts.tm_min,
								 parts.tm_sec), 1);
	else
		put_word(words, psprintf("%02d:%02d", parts.tm_hour, parts.tm_min), 1);
}

/* How long a cell is, in the largest unit, with one decimal at most */
static void
put_cell_length(Words *words)
{
	static const struct
	{
		double		length;
		const char *word;
	}			units[] =
	{
		{USECS_PER_DAY, "d"}, {USECS_PER_HOUR, "h"}, {USECS_PER_MINUTE, "min"},
		{USECS_PER_SEC, "s"}, {1000, "ms"}, {1, "us"}
	};
	const Scale *scale = &words->picture->scale;
	double		length = (double) interval_length(scale->window) / scale->cells;
	int			unit = 0;

	while (unit < lengthof(units) - 1 && length < units[unit].length)
		unit++;
	length /= units[unit].length;
	put_word(words, psprintf(fabs(length - rint(length)) < 0.05 ?
							 "cells of %.0f %s" : "cells of %.1f %s",
							 length, units[unit].word), 1);
}

static void
put_head(Picture *picture, const char *source_name)
{
	Words		words = {picture};

	initStringInfo(&words.line);
	put_word(&words, show_name(picture, source_name), 1);
	put_word(&words, picture->source->needs_all ? "(rule all)" : "(rule any)", 1);
	put_instant(&words, picture->scale.window.start);
	put_word(&words, "to", 1);
	put_instant(&words, picture->scale.window.end);
	put_word(&words, "UTC,", 1);
	put_cell_length(&words);
	put_line(picture, &words.line);
	pfree(words.line.data);
}

/* What the cells mean, of those states that the picture has */
static void
put_legend(Picture *picture)
{
	Words		words = {picture};
	bool		seen[CELL_STATES] = {false};

	for (int i = 0; i < picture->scale.cells; i++)
	{
		seen[picture->together.cells[i]] = true;
		for (int lane = 0; lane < picture->count; lane++)
			seen[picture->lanes[lane].cells[i]] = true;
	}
	initStringInfo(&words.line);
	for (int state = CELL_AVAILABLE; state < CELL_STATES; state++)
	{
		if (seen[state])
			put_word(&words, psprintf("%s %s", picture->style->state[state],
									  state_words[state]), 2);
	}
	if (seen[CELL_NOT_ASKED])
		put_word(&words, state_words[CELL_NOT_ASKED], 2);
	put_line(picture, &words.line);
	pfree(words.line.data);
}

static void
put_axis(Picture *picture)
{
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfoSpaces(&line, picture->width - picture->scale.cells);
	axis_draw(&line, &picture->scale, picture->style->tick,
			  strlen(picture->style->tick));
	put_line(picture, &line);
	pfree(line.data);
}

static void
put_lane(Picture *picture, const Lane *lane)
{
	int			label = picture->width - picture->scale.cells - 1;
	StringInfoData line;

	initStringInfo(&line);
	label -= append_name(&line, picture, lane->name, label);
	appendStringInfoSpaces(&line, label + 1);
	for (int i = 0; i < picture->scale.cells; i++)
		appendStringInfoString(&line, picture->style->state[lane->cells[i]]);
	put_line(picture, &line);
	pfree(line.data);
}

/*
 * How many of the columns are cells?  Names have as many as the longest one
 * takes, but no more than a third.
 */
static int
choose_cells(const Picture *picture)
{
	int			label = strlen(TOGETHER);
	int			limit = Max(label, picture->width / 3);

	for (int i = 0; i < picture->count; i++)
		label = Max(label, columns_of(picture->lanes[i].name));
	return picture->width - Min(label, limit) - 1;
}

static int
check_width(FunctionCallInfo fcinfo)
{
	int			width = PG_ARGISNULL(2) ? DEFAULT_WIDTH : PG_GETARG_INT32(2);

	if (width < MIN_WIDTH || width > MAX_WIDTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" must be between %d and %d", "width",
						MIN_WIDTH, MAX_WIDTH),
				 errhint("The width is the number of columns of each line.")));
	return width;
}

static const Style *
choose_style(void)
{
	return GetDatabaseEncoding() == PG_UTF8 &&
		pg_get_client_encoding() == PG_UTF8 ? &utf8_style : &ascii_style;
}

/*
 * timeline(source_name text, during tstzrange, width integer DEFAULT 72)
 *		returns SETOF text: the lines of a picture, each at most so many columns
 *		wide, 20 to 200
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
timeline(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Picture		picture = {0};
	Source		source;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	picture.lines = rsinfo->setResult;
	picture.line = rsinfo->setDesc;
	picture.snapshot = GetActiveSnapshot();
	picture.style = choose_style();
	picture.scale.window = check_interval(range);
	picture.width = check_width(fcinfo);
	source = source_find(name, picture.snapshot);
	picture.source = &source;
	picture.together.name = TOGETHER;

	read_providers(&picture);
	for (int i = 0; i < picture.count; i++)
		picture.lanes[i].name = show_name(&picture, picture.lanes[i].name);
	picture.scale.cells = choose_cells(&picture);
	paint_supply(&picture);
	paint_locks(&picture);

	put_head(&picture, name);
	put_axis(&picture);
	put_lane(&picture, &picture.together);
	for (int i = 0; i < picture.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_lane(&picture, &picture.lanes[i]);
	}
	if (picture.count > LANES_PER_AXIS)
		put_axis(&picture);
	put_legend(&picture);
	return (Datum) 0;
}
