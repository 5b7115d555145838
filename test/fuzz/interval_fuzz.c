/*
 * interval_fuzz.c
 *		Every function of src/interval.c against a row of boxes.
 *
 * A few instants, ascending, cut the line into cells.  A random set consists
 * of intervals from one of the instants to a later one; the model of it is
 * one byte for each cell: is it in the set?  What a function of interval.c
 * gives is right if it is, interval by interval, what the runs of set bytes
 * say.  Sizes reach from nothing to hundreds of intervals, coordinates from
 * neighbouring microseconds to the limits of int64.
 */
#include "postgres_fe.h"

#include "fuzz.h"
#include "interval.h"

#define MAX_ITEMS 1000

static int64_t points[MAX_ITEMS];
static int	cells;				/* one fewer than points */

typedef struct Model
{
	uint8_t		has[MAX_ITEMS];
} Model;

void *
palloc(Size size)
{
	return malloc(size);
}

void *
repalloc(void *pointer, Size size)
{
	return realloc(pointer, size);
}

void
pfree(void *pointer)
{
	free(pointer);
}

/*
 * The interval of `length` cells from cell `from` on.
 */
static TimeInterval
interval_of(int from, int length)
{
	return (TimeInterval) {points[from], points[from + length]};
}

static void
random_piece(int *from, int *length)
{
	int			longest;

	*from = below(cells);
	longest = cells - *from;
	*length = 1 + below(one_in(3) ? longest : (longest < 4 ? longest : 4));
}

static void
random_set(IntervalSet *set, Model *model, int limit)
{
	int			count = below(limit + 1);
	bool		ascending = one_in(3);
	int			last = 0;

	memset(model, 0, sizeof(*model));
	memset(set, 0, sizeof(*set));
	for (int i = 0; i < count; i++)
	{
		int			from;
		int			length;

		random_piece(&from, &length);
		if (ascending)
		{
			if (from < last)
				continue;
			last = from;
		}
		memset(model->has + from, 1, (size_t) length);
		interval_set_add(set, interval_of(from, length));
	}
}

/*
 * Is the set, from its item number `at` on, what the runs of the model say?
 */
static bool
agrees(const IntervalSet *set, size_t at, const Model *model)
{
	int			from = 0;

	while (from < cells)
	{
		int			length = 0;

		if (!model->has[from])
		{
			from++;
			continue;
		}
		while (from + length < cells && model->has[from + length])
			length++;
		if (at >= set->count ||
			set->items[at].start != points[from] ||
			set->items[at].end != points[from + length])
			return false;
		at++;
		from += length;
	}
	return at == set->count && set->count <= set->capacity;
}

/*
 * A result set that holds something already, or nothing: functions append.
 */
static size_t
start_result(IntervalSet *result)
{
	memset(result, 0, sizeof(*result));
	if (one_in(2))
		interval_set_add(result, (TimeInterval) {7, 8});
	return result->count;
}

static bool
finish_result(IntervalSet *result, size_t at, const Model *model)
{
	bool		right = agrees(result, at, model) &&
		(at == 0 || (result->items[0].start == 7 && result->items[0].end == 8));

	free(result->items);
	return right;
}

static bool
one_input(void)
{
	IntervalSet a;
	IntervalSet b;
	IntervalSet result;
	Model		in_a;
	Model		in_b;
	Model		expected;
	TimeInterval whole;
	int			limit = random_limit(MAX_ITEMS);
	bool		right = true;
	int			from;
	int			length;
	size_t		at;

	cells = random_points(points, 1 + below(limit)) - 1;
	if (cells < 1)
		return true;

	random_set(&a, &in_a, limit);
	random_set(&b, &in_b, limit);
	interval_set_coalesce(&a);
	interval_set_coalesce(&b);
	right &= agrees(&a, 0, &in_a) && agrees(&b, 0, &in_b);

	random_piece(&from, &length);
	whole = interval_of(from, length);
	memset(&expected, 0, sizeof(expected));
	for (int i = from; i < from + length; i++)
		expected.has[i] = !in_a.has[i];
	at = start_result(&result);
	interval_set_gaps(&a, whole, &result);
	right &= finish_result(&result, at, &expected);

	for (int i = 0; i < cells; i++)
		expected.has[i] = in_a.has[i] && in_b.has[i];
	at = start_result(&result);
	interval_set_intersect(&a, &b, &result);
	right &= finish_result(&result, at, &expected);

	for (int i = 0; i < cells; i++)
		expected.has[i] = in_a.has[i] && !in_b.has[i];
	at = start_result(&result);
	interval_set_subtract(&a, &b, &result);
	right &= finish_result(&result, at, &expected);

	/* Nobody changed what they were given. */
	right &= agrees(&a, 0, &in_a) && agrees(&b, 0, &in_b);

	free(a.items);
	free(b.items);
	return right;
}
