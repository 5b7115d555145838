/*
 * coalesce_fuzz.c
 *		The SQL-callable functions of src/coalesce.c against a row of boxes.
 *
 * The functions run here as they are, called through fmgr's interface, over a
 * handful of stand-ins for the server: memory, errors, and the test whether
 * an aggregate is calling.
 *
 * The places where a range can begin or end are numbered: 0 is unbounded
 * below, 2i + 1 and 2i + 2 are just before and just after instant i, and the
 * last one is unbounded above.  A range from place p to place q sets the boxes
 * p to q - 1 of the model, and the result has to be the multirange that the
 * runs of set boxes say.  It is read byte by byte as multirangetypes.c reads
 * it.  The rows are spread over several states, some go through serialised
 * form, all are combined; results are asked for in between as a window
 * function does.  And serialised states are damaged, which has to be noticed,
 * or to be harmless.
 */
#include "postgres.h"

#include <setjmp.h>

#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "fuzz.h"
#include "miscadmin.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"

extern Datum _coalesce_ranges_add(PG_FUNCTION_ARGS);
extern Datum _coalesce_ranges_combine(PG_FUNCTION_ARGS);
extern Datum _coalesce_ranges_serialize(PG_FUNCTION_ARGS);
extern Datum _coalesce_ranges_deserialize(PG_FUNCTION_ARGS);
extern Datum _coalesce_ranges_final(PG_FUNCTION_ARGS);

#define MAX_ROWS 1000
#define MAX_STATES 4
#define MAX_CHUNKS 100

static int64_t points[MAX_ROWS];
static int	point_count;
static int	last_place;
static uint8_t has[2 * MAX_ROWS + 2];

/*
 * Stand-ins for the server
 */
MemoryContext CurrentMemoryContext = NULL;
volatile sig_atomic_t InterruptPending = false;

static void *chunks[MAX_CHUNKS];
static sigjmp_buf on_error;

void *
palloc(Size size)
{
	for (int i = 0; i < MAX_CHUNKS; i++)
		if (chunks[i] == NULL)
			return chunks[i] = malloc(size);
	abort();
}

void
pfree(void *pointer)
{
	for (int i = 0; i < MAX_CHUNKS; i++)
		if (chunks[i] == pointer)
		{
			free(pointer);
			chunks[i] = NULL;
			return;
		}
	abort();
}

void *
repalloc_huge(void *pointer, Size size)
{
	for (int i = 0; i < MAX_CHUNKS; i++)
		if (chunks[i] == pointer)
			return chunks[i] = realloc(pointer, size);
	abort();
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	(void) context;
	return palloc(size);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	(void) context;
	return memset(palloc(size), 0, size);
}

static void
free_all(void)
{
	for (int i = 0; i < MAX_CHUNKS; i++)
	{
		free(chunks[i]);
		chunks[i] = NULL;
	}
}

int
AggCheckCallContext(FunctionCallInfo fcinfo, MemoryContext *context)
{
	(void) fcinfo;
	if (context != NULL)
		*context = NULL;
	return AGG_CONTEXT_AGGREGATE;
}

struct varlena *
pg_detoast_datum_packed(struct varlena *datum)
{
	return datum;
}

void
ProcessInterrupts(void)
{
}

bool
errstart(int elevel, const char *domain)
{
	(void) elevel;
	(void) domain;
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	return sqlerrcode;
}

int
errmsg(const char *fmt,...)
{
	(void) fmt;
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	(void) fmt;
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	(void) filename;
	(void) lineno;
	(void) funcname;
	siglongjmp(on_error, 1);
}

/*
 * Calls
 */
static Datum
call(PGFunction function, void *a, void *b, bool *isnull)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum		result;

	memset(fcinfo, 0, SizeForFunctionCallInfo(2));
	fcinfo->nargs = 2;
	fcinfo->args[0].value = PointerGetDatum(a);
	fcinfo->args[0].isnull = a == NULL;
	fcinfo->args[1].value = PointerGetDatum(b);
	fcinfo->args[1].isnull = b == NULL;
	result = function(fcinfo);
	*isnull = fcinfo->isnull;
	return result;
}

/* Where the function gives a state: NULL for SQL's NULL. */
static void *
call_for_state(PGFunction function, void *a, void *b)
{
	bool		isnull;
	Datum		result = call(function, a, b, &isnull);

	return isnull ? NULL : DatumGetPointer(result);
}

/*
 * Write a tstzrange as it stands in a tuple: with a short header wherever it
 * happens to lie, or with a long one, aligned.
 */
static void *
write_range(char *space, int from, int to, bool empty)
{
	char	   *start = one_in(2) ? space + 1 + below(7) : NULL;
	char	   *data = start ? start + VARHDRSZ_SHORT : space + VARHDRSZ;
	Oid			type = TSTZRANGEOID;
	uint8		flags = 0;

	memcpy(data, &type, sizeof(type));
	data += sizeof(type);
	if (empty)
		flags = RANGE_EMPTY;
	else
	{
		if (from == 0)
			flags |= RANGE_LB_INF;
		else
		{
			memcpy(data, &points[(from - 1) / 2], sizeof(int64));
			data += sizeof(int64);
			if (from % 2 == 1)
				flags |= RANGE_LB_INC;
		}
		if (to == last_place)
			flags |= RANGE_UB_INF;
		else
		{
			memcpy(data, &points[(to - 1) / 2], sizeof(int64));
			data += sizeof(int64);
			if (to % 2 == 0)
				flags |= RANGE_UB_INC;
		}
	}
	*data++ = (char) flags;

	if (start)
		SET_VARSIZE_SHORT(start, data - start);
	else
		SET_VARSIZE(space, data - space);
	return start ? start : space;
}

/*
 * Add a row to the state and to the model; may be NULL or empty.
 */
static void *
add_row(void *state, int from, int to, bool *seen)
{
	int64_t		space[5];
	char	   *exact = NULL;		/* ends where the range ends, and is guarded there */
	char	   *range = NULL;
	bool		empty = one_in(20);

	if (!one_in(20))
	{
		size_t		end;

		range = write_range((char *) space, from, to, empty);
		end = (size_t) (range - (char *) space) + VARSIZE_ANY(range);
		exact = memcpy(malloc(end), space, end);
		range = exact + (range - (char *) space);
		*seen = true;
		if (!empty)
			memset(has + from, 1, (size_t) (to - from));
	}
	state = call_for_state(_coalesce_ranges_add, state, range);
	free(exact);
	return state;
}

/*
 * Is the final result of the state what the model says?
 */
static bool
agrees(void *state, bool seen)
{
	bool		isnull;
	char	   *result = DatumGetPointer(call(_coalesce_ranges_final, state, NULL, &isnull));
	MultirangeType head;
	uint32		count = 0;
	uint32		i = 0;
	size_t		items = sizeof(MultirangeType);
	size_t		flags;
	size_t		bounds;
	size_t		offset = 0;
	int			from = 0;

	if (!seen)
		return isnull;
	if (isnull)
		return false;

	for (int p = 0; p < last_place; p++)
		count += has[p] && (p == 0 || !has[p - 1]);
	memcpy(&head, result, sizeof(head));
	if (head.multirangetypid != TSTZMULTIRANGEOID || head.rangeCount != count)
		return false;

	flags = items + (count > 0 ? (count - 1) * 4 : 0);
	bounds = (flags + count + 7) / 8 * 8;
	for (size_t unused = flags + count; unused < bounds; unused++)
		if (result[unused] != 0)
			return false;

	while (from < last_place)
	{
		int			to = from;
		uint8		flag;
		uint8		expected = 0;
		size_t		length = 0;

		if (!has[from])
		{
			from++;
			continue;
		}
		while (to < last_place && has[to])
			to++;

		/* The items before this one lead to the offset of its bounds. */
		if (i > 0)
		{
			size_t		sum = 0;

			for (uint32 k = i; k > 0; k--)
			{
				uint32		item;

				memcpy(&item, result + items + (k - 1) * 4, 4);
				sum += item & 0x7FFFFFFF;
				if ((item & 0x80000000) != (k % 4 == 0 ? 0x80000000 : 0))
					return false;
				if (item & 0x80000000)
					break;
			}
			if (sum != offset)
				return false;
		}

		if (from == 0)
			expected |= RANGE_LB_INF;
		else
		{
			if (from % 2 == 1)
				expected |= RANGE_LB_INC;
			if (memcmp(result + bounds + offset, &points[(from - 1) / 2], 8) != 0)
				return false;
			length += 8;
		}
		if (to == last_place)
			expected |= RANGE_UB_INF;
		else
		{
			if (to % 2 == 0)
				expected |= RANGE_UB_INC;
			if (memcmp(result + bounds + offset + length, &points[(to - 1) / 2], 8) != 0)
				return false;
			length += 8;
		}
		memcpy(&flag, result + flags + i, 1);
		if (flag != expected)
			return false;

		offset += length;
		from = to;
		i++;
	}
	if (VARSIZE(result) != bounds + offset)
		return false;
	pfree(result);
	return true;
}

/*
 * What reads serialised states has to refuse whatever no state can be.
 */
typedef struct Serialized
{
	int64		start;
	int64		end;
	int32		start_side;
	int32		end_side;
} Serialized;

static bool
is_acceptable(const char *bytes, size_t size)
{
	__int128	last = (__int128) INT64_MIN * 8;

	if (size % sizeof(Serialized) != 0)
		return false;
	for (size_t at = 0; at < size; at += sizeof(Serialized))
	{
		Serialized	span;

		memcpy(&span, bytes + at, sizeof(span));
		if (span.start_side < -1 || span.start_side > 1 ||
			span.end_side < 0 || span.end_side > 2 ||
			(span.start_side == -1 && span.start != INT64_MIN) ||
			(span.end_side == 2 && span.end != INT64_MAX) ||
			(__int128) span.start * 4 + span.start_side <= last ||
			(__int128) span.end * 4 + span.end_side <=
			(__int128) span.start * 4 + span.start_side)
			return false;
		last = (__int128) span.end * 4 + span.end_side;
	}
	return true;
}

static bool
damage(void *state)
{
	bool		isnull;
	bytea	   *good = (bytea *) DatumGetPointer(call(_coalesce_ranges_serialize, state, NULL, &isnull));
	size_t		size = VARSIZE(good) - VARHDRSZ;
	size_t		new_size = one_in(4) ? (size_t) below((int) size + 30) : size;
	bytea	   *bad = palloc(VARHDRSZ + new_size);
	char	   *bytes = VARDATA(bad);

	SET_VARSIZE(bad, VARHDRSZ + new_size);
	for (size_t i = 0; i < new_size; i++)
		bytes[i] = i < size ? VARDATA(good)[i] : (char) fuzz_random();
	for (int changes = below(3); changes > 0 && new_size > 0; changes--)
	{
		int			at = below((int) new_size);

		if (new_size < 8 || one_in(2))
			bytes[at] ^= (char) (1 << below(8));
		else
			memset(bytes + at / 8 * 8, below(2) ? 0 : 255, new_size - (size_t) at / 8 * 8 < 8 ? 1 : 8);
	}

	if (sigsetjmp(on_error, 0) != 0)
		return !is_acceptable(bytes, new_size);

	state = call_for_state(_coalesce_ranges_deserialize, bad, NULL);
	call(_coalesce_ranges_final, state, NULL, &isnull);
	return is_acceptable(bytes, new_size);
}

static bool
one_input(void)
{
	void	   *states[MAX_STATES] = {NULL};
	int			state_count = 1 + below(MAX_STATES);
	int			limit = random_limit(MAX_ROWS);
	int			rows = below(limit + 1);
	volatile bool right = true;
	bool		seen = false;
	int			order = below(3);

	memset(has, 0, sizeof(has));
	point_count = random_points(points, below(limit + 1));
	last_place = 2 * point_count + 1;

	if (sigsetjmp(on_error, 0) != 0)
	{
		free_all();
		return false;
	}

	for (int i = 0; i < rows; i++)
	{
		int			n = below(state_count);
		int			from;
		int			longest;
		int			to;

		/* in order, backwards, or any */
		from = order == 0 ? (int) ((long) i * last_place / rows) :
			order == 1 ? (int) ((long) (rows - 1 - i) * last_place / rows) :
			below(last_place);
		longest = last_place - from;
		to = from + 1 + below(one_in(8) ? longest : (longest < 5 ? longest : 5));
		states[n] = add_row(states[n], from, to, &seen);

		if (state_count == 1 && one_in(20))
			right &= agrees(states[0], seen);
	}

	for (int n = 1; n < state_count; n++)
	{
		if (states[n] != NULL && one_in(2))
		{
			bool		isnull;
			Datum		bytes = call(_coalesce_ranges_serialize, states[n], NULL, &isnull);

			states[n] = call_for_state(_coalesce_ranges_deserialize,
									   DatumGetPointer(bytes), NULL);
		}
		if (one_in(2))
			states[0] = call_for_state(_coalesce_ranges_combine, states[0], states[n]);
		else
			states[0] = call_for_state(_coalesce_ranges_combine, states[n], states[0]);
	}
	right &= agrees(states[0], seen);

	/* and on with the combined state */
	if (rows > 0 && one_in(4))
	{
		states[0] = add_row(states[0], 0, 1 + below(last_place), &seen);
		right &= agrees(states[0], seen);
	}

	if (states[0] != NULL && one_in(2))
		right &= damage(states[0]);

	free_all();
	return right;
}
