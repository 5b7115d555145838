/*
 * obstacle.c
 *		Obstacles: what keeps a piece of a range from being ready.
 *
 * There may be millions of obstacles, so they are sorted in bounded memory: a
 * buffer, and only when that is full a tuplesort, which goes to disk beyond
 * work_mem.  Most answers never leave the buffer.
 *
 * An obstacle that continues the one put in before it (alike in everything but
 * time, and starting where that one ends) makes that one longer.  So similar
 * neighbours become one by going through a second sort, in the order of their
 * kind; and the usual long stretch that one call registered is one from the
 * beginning.
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"

#include "argument.h"
#include "compat.h"
#include "obstacle.h"

/* How many are sorted without a tuplesort */
#define BUFFER_SIZE		1000

static const char *const state_words[] = {
	[OBSTACLE_FAILED] = "failed",
	[OBSTACLE_LOCKED] = "locked",
	[OBSTACLE_MISSING] = "missing",
	[OBSTACLE_REGISTERED] = "registered"
};

struct ObstacleSort
{
	ObstacleOrder order;
	Obstacle   *buffer;
	int			count;			/* of the buffer */
	int			capacity;
	int			next;			/* to be returned */
	MemoryContext strings;		/* what the buffer points to */
	Tuplesortstate *tuples;		/* NULL: the buffer holds all there is */
	TupleTableSlot *slot;
};

/* The columns of the tuples in a tuplesort */
typedef enum SortColumn
{
	Sort_start = 1,
	Sort_end,
	Sort_provider,
	Sort_state,
	Sort_since,
	Sort_holder,
	Sort_lease,
	Sort_reason
} SortColumn;

#define SORT_COLUMNS	Sort_reason

static const AttrNumber sort_keys[][SORT_COLUMNS] = {
	[OBSTACLES_BY_KIND] = {
		Sort_provider, Sort_state, Sort_since, Sort_holder, Sort_lease,
		Sort_reason, Sort_start, Sort_end
	},
	[OBSTACLES_BY_TIME] = {
		Sort_start, Sort_end, Sort_provider, Sort_state, Sort_since,
		Sort_holder, Sort_lease, Sort_reason
	}
};

static bool
is_text(int column)
{
	return column == Sort_provider || column == Sort_holder ||
		column == Sort_reason;
}

/* Comparing: null comes last, as in SQL, and text goes byte by byte. */

static int
compare_int64(int64 a, int64 b)
{
	return a < b ? -1 : a > b;
}

static int
compare_times(bool has_a, TimestampTz a, bool has_b, TimestampTz b)
{
	return has_a && has_b ? compare_int64(a, b) : has_b - has_a;
}

static int
compare_strings(const char *a, const char *b)
{
	return a != NULL && b != NULL ? strcmp(a, b) : (a == NULL) - (b == NULL);
}

/* Everything in which two obstacles may differ, except their time */
static int
compare_kinds(const Obstacle *x, const Obstacle *y)
{
	int			order = compare_strings(x->provider_name, y->provider_name);

	if (order == 0)
		order = compare_int64(x->state, y->state);
	if (order == 0)
		order = compare_times(x->has_since, x->since, y->has_since, y->since);
	if (order == 0)
		order = compare_strings(x->holder, y->holder);
	if (order == 0)
		order = compare_times(x->has_lease, x->lease_expires_at,
							  y->has_lease, y->lease_expires_at);
	if (order == 0)
		order = compare_strings(x->reason, y->reason);
	return order;
}

static int
compare_intervals(TimeInterval x, TimeInterval y)
{
	int			order = compare_int64(x.start, y.start);

	return order != 0 ? order : compare_int64(x.end, y.end);
}

static int
by_kind(const void *a, const void *b)
{
	const Obstacle *x = a;
	const Obstacle *y = b;
	int			order = compare_kinds(x, y);

	return order != 0 ? order : compare_intervals(x->during, y->during);
}

static int
by_time(const void *a, const void *b)
{
	const Obstacle *x = a;
	const Obstacle *y = b;
	int			order = compare_intervals(x->during, y->during);

	return order != 0 ? order : compare_kinds(x, y);
}

ObstacleSort *
obstacles_begin(ObstacleOrder order)
{
	ObstacleSort *sort = palloc0(sizeof(ObstacleSort));

	sort->order = order;
	sort->capacity = 16;
	sort->buffer = palloc(sort->capacity * sizeof(Obstacle));
	sort->strings = AllocSetContextCreate(CurrentMemoryContext,
										  "partreg obstacles",
										  ALLOCSET_SMALL_SIZES);
	return sort;
}

static void
begin_tuplesort(ObstacleSort *sort)
{
	TupleDesc	desc = CreateTemplateTupleDesc(SORT_COLUMNS);
	AttrNumber	keys[SORT_COLUMNS];
	Oid			operators[SORT_COLUMNS];
	Oid			collations[SORT_COLUMNS];
	bool		nulls_first[SORT_COLUMNS];

	for (int i = 0; i < SORT_COLUMNS; i++)
	{
		int			column = sort_keys[sort->order][i];

		keys[i] = column;
		operators[i] = is_text(column) ? TextLessOperator : Int8LessOperator;
		collations[i] = is_text(column) ? C_COLLATION_OID : InvalidOid;
		nulls_first[i] = false;
		TupleDescInitEntry(desc, column, NULL,
						   is_text(column) ? TEXTOID : INT8OID, -1, 0);
	}
	TupleDescFinalize(desc);
	sort->tuples = tuplesort_begin_heap(desc, SORT_COLUMNS, keys, operators,
										collations, nulls_first, work_mem,
										NULL, TUPLESORT_NONE);
	sort->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

static void
set_time(TupleTableSlot *slot, int column, bool present, int64 value)
{
	slot->tts_isnull[column - 1] = !present;
	slot->tts_values[column - 1] = Int64GetDatum(value);
}

static void
set_text(TupleTableSlot *slot, int column, const char *value)
{
	slot->tts_isnull[column - 1] = value == NULL;
	slot->tts_values[column - 1] = value == NULL ? (Datum) 0
		: CStringGetTextDatum(value);
}

/* Hand the first obstacles of the buffer over to the tuplesort. */
static void
spill(ObstacleSort *sort, int count)
{
	MemoryContext memory = MemoryContextSwitchTo(sort->strings);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(sort->slot->tts_tupleDescriptor,
													&TTSOpsVirtual);

	for (int i = 0; i < count; i++)
	{
		const Obstacle *obstacle = &sort->buffer[i];

		ExecClearTuple(slot);
		set_time(slot, Sort_start, true, obstacle->during.start);
		set_time(slot, Sort_end, true, obstacle->during.end);
		set_text(slot, Sort_provider, obstacle->provider_name);
		set_time(slot, Sort_state, true, obstacle->state);
		set_time(slot, Sort_since, obstacle->has_since, obstacle->since);
		set_text(slot, Sort_holder, obstacle->holder);
		set_time(slot, Sort_lease, obstacle->has_lease,
				 obstacle->lease_expires_at);
		set_text(slot, Sort_reason, obstacle->reason);
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(sort->tuples, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextSwitchTo(memory);
}

static const char *
copy_string(MemoryContext context, const char *string)
{
	return string == NULL ? NULL : MemoryContextStrdup(context, string);
}

static void
append(ObstacleSort *sort, const Obstacle *obstacle)
{
	Obstacle   *added = &sort->buffer[sort->count++];

	*added = *obstacle;
	added->provider_name = copy_string(sort->strings, obstacle->provider_name);
	added->holder = copy_string(sort->strings, obstacle->holder);
	added->reason = copy_string(sort->strings, obstacle->reason);
}

/* Empty the buffer, except the last, which the next may continue. */
static void
make_room(ObstacleSort *sort)
{
	MemoryContext strings = sort->strings;
	Obstacle	last = sort->buffer[sort->count - 1];

	if (sort->capacity < BUFFER_SIZE)
	{
		sort->capacity = Min(2 * sort->capacity, BUFFER_SIZE);
		sort->buffer = repalloc(sort->buffer,
								sort->capacity * sizeof(Obstacle));
		return;
	}
	if (sort->tuples == NULL)
		begin_tuplesort(sort);
	spill(sort, sort->count - 1);

	sort->strings = AllocSetContextCreate(MemoryContextGetParent(strings),
										  "partreg obstacles",
										  ALLOCSET_SMALL_SIZES);
	sort->count = 0;
	append(sort, &last);
	MemoryContextDelete(strings);
}

/* Copies what it is given. */
void
obstacles_put(ObstacleSort *sort, const Obstacle *obstacle)
{
	if (sort->count > 0)
	{
		Obstacle   *last = &sort->buffer[sort->count - 1];

		if (last->during.end == obstacle->during.start &&
			compare_kinds(last, obstacle) == 0)
		{
			last->during.end = obstacle->during.end;
			return;
		}
	}
	if (sort->count == sort->capacity)
		make_room(sort);
	append(sort, obstacle);
}

/* All are in. */
void
obstacles_perform(ObstacleSort *sort)
{
	if (sort->tuples == NULL)
		qsort(sort->buffer, sort->count, sizeof(Obstacle),
			  sort->order == OBSTACLES_BY_KIND ? by_kind : by_time);
	else
	{
		spill(sort, sort->count);
		tuplesort_performsort(sort->tuples);
	}
}

static TimestampTz
get_time(TupleTableSlot *slot, int column, bool *present)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	*present = !isnull;
	return isnull ? 0 : DatumGetInt64(value);
}

static const char *
get_text(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The next from the tuplesort */
static bool
next_tuple(ObstacleSort *sort, Obstacle *obstacle)
{
	MemoryContext memory;
	bool		present;

	if (!tuplesort_gettupleslot(sort->tuples, true, false, sort->slot, NULL))
		return false;
	MemoryContextReset(sort->strings);
	memory = MemoryContextSwitchTo(sort->strings);
	obstacle->during.start = get_time(sort->slot, Sort_start, &present);
	obstacle->during.end = get_time(sort->slot, Sort_end, &present);
	obstacle->provider_name = get_text(sort->slot, Sort_provider);
	obstacle->state = get_time(sort->slot, Sort_state, &present);
	obstacle->since = get_time(sort->slot, Sort_since, &obstacle->has_since);
	obstacle->holder = get_text(sort->slot, Sort_holder);
	obstacle->lease_expires_at = get_time(sort->slot, Sort_lease,
										  &obstacle->has_lease);
	obstacle->reason = get_text(sort->slot, Sort_reason);
	MemoryContextSwitchTo(memory);
	return true;
}

/* The next in order, good until the one after it; false: no more. */
bool
obstacles_next(ObstacleSort *sort, Obstacle *obstacle)
{
	CHECK_FOR_INTERRUPTS();
	if (sort->tuples != NULL)
		return next_tuple(sort, obstacle);
	if (sort->next == sort->count)
		return false;
	*obstacle = sort->buffer[sort->next++];
	return true;
}

void
obstacles_end(ObstacleSort *sort)
{
	if (sort->tuples != NULL)
	{
		ExecDropSingleTupleTableSlot(sort->slot);
		tuplesort_end(sort->tuples);
	}
	MemoryContextDelete(sort->strings);
	pfree(sort->buffer);
	pfree(sort);
}

/* An obstacle as values of the SQL type partreg.obstacle */
void
obstacle_values(const Obstacle *obstacle, Datum *values, bool *nulls)
{
	memset(nulls, false, OBSTACLE_COLUMNS * sizeof(bool));
	values[0] = interval_to_range(obstacle->during);
	values[1] = CStringGetTextDatum(state_words[obstacle->state]);
	nulls[2] = obstacle->provider_name == NULL;
	if (!nulls[2])
		values[2] = CStringGetTextDatum(obstacle->provider_name);
	nulls[3] = !obstacle->has_since;
	values[3] = TimestampTzGetDatum(obstacle->since);
	nulls[4] = obstacle->holder == NULL;
	if (!nulls[4])
		values[4] = CStringGetTextDatum(obstacle->holder);
	nulls[5] = !obstacle->has_lease;
	values[5] = TimestampTzGetDatum(obstacle->lease_expires_at);
	nulls[6] = obstacle->reason == NULL;
	if (!nulls[6])
		values[6] = CStringGetTextDatum(obstacle->reason);
}

/*
 * A reason may have any characters; in a line of a message, those that control
 * a terminal or begin another line are spaces.
 */
static const char *
one_line(const char *reason)
{
	char	   *line = pstrdup(reason);

	for (char *at = line; *at != '\0'; at++)
		memset(at, ' ', control_character(at));
	return line;
}

/* An obstacle as a line for people */
void
obstacle_describe(StringInfo line, const Obstacle *obstacle)
{
	appendStringInfo(line, "%s in %s", state_words[obstacle->state],
					 show_interval(obstacle->during));
	if (obstacle->provider_name != NULL)
		appendStringInfo(line, ", provider \"%s\"",
						 quotable(obstacle->provider_name));
	if (obstacle->holder != NULL)
		appendStringInfo(line, ", holder \"%s\"", quotable(obstacle->holder));
	if (obstacle->has_since)
		appendStringInfo(line, ", since %s",
						 timestamptz_to_str(obstacle->since));
	if (obstacle->has_lease)
		appendStringInfo(line, ", lease until %s",
						 timestamptz_to_str(obstacle->lease_expires_at));
	if (obstacle->reason != NULL)
		appendStringInfo(line, ", reason: %s", one_line(obstacle->reason));
}
