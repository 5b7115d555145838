/*
 * coalesce.c
 *		The aggregate coalesce_ranges(tstzrange): what range_agg gives, faster.
 *
 * Bounds.  tstzrange is a continuous type: (a, b] is not [a+1us, b+1us), and
 * the result has to keep the four kinds of bounds as range_agg keeps them.
 * So the intervals of interval.h do not do here.  Instead each bound is a
 * place on the line between instants: an instant and the side of it, just
 * before or just after.  "[a" and "a)" are the place before a, "(a" and "a]"
 * the place after it.  Unbounded lies before '-infinity' and after 'infinity',
 * which are ordinary values of timestamptz.  A Span reaches from one place to
 * a later one, places are compared by instant and then by side, and two
 * ranges overlap or are adjacent, as PostgreSQL has it, if and only if neither
 * span begins behind the end of the other.  Every place but the outermost two
 * is written as a lower and as an upper bound in one way only, so nothing is
 * lost by the translation.
 *
 * State.  An array of spans, whose first part is in order: sorted, and no two
 * of them touch.  A range that begins within the last span or right at its end
 * extends that, others are put at the end.  As long as ranges come sorted by
 * their starts, all is in order, and memory grows with the spans of the result.
 * Otherwise, when the array is full, what is not in order is sorted and merged
 * with what is, and the array grows only if it is half full after that.  So it
 * never has room for more than four times the largest number of spans that the
 * union of any first part of the input has had (or FIRST_CAPACITY), twice that
 * while it is merged; and each range is sorted once, whatever the number of
 * merges.
 *
 * No state stands for no range seen at all, only NULLs perhaps: the result is
 * NULL.  Nothing but empty ranges leaves a state without spans: the result is
 * {}.  Both are as range_agg does it.
 *
 * Formats.  Reading and writing through the type cache, as the functions of
 * rangetypes.c must for any subtype, costs many times more than the work
 * itself.  Both types are known here, so their bytes are handled directly.
 * A tstzrange is
 *
 *		varlena header, range type's OID, lower bound unless empty or unbounded,
 *		upper bound likewise, flags (1 byte)
 *
 * where the bounds are aligned to 8 bytes counted from a header of 4; as that
 * and the OID make 8, there is never padding, and what follows the header is
 * the same when it is a short one, only not aligned.  A tstzmultirange is
 *
 *		MultirangeType (12 bytes), one uint32 for each range but the first,
 *		flags (1 byte each), padding to 8 bytes, the bounds of all ranges
 *
 * where the uint32 of a range says where its bounds are: their offset, marked
 * by the highest bit, for every fourth, and for the others the distance from
 * those of the range before.  This has been so since multiranges exist (14);
 * the regression test compares with range_agg byte by byte.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"

PG_FUNCTION_INFO_V1(_coalesce_ranges_add);
PG_FUNCTION_INFO_V1(_coalesce_ranges_combine);
PG_FUNCTION_INFO_V1(_coalesce_ranges_serialize);
PG_FUNCTION_INFO_V1(_coalesce_ranges_deserialize);
PG_FUNCTION_INFO_V1(_coalesce_ranges_final);

/* Sides of an instant; the outer two go with its extreme values only. */
#define SIDE_UNBOUNDED_BELOW	(-1)
#define SIDE_BEFORE				0
#define SIDE_AFTER				1
#define SIDE_UNBOUNDED_ABOVE	2

typedef struct Span
{
	int64		start;
	int64		end;
	int32		start_side;
	int32		end_side;
} Span;

typedef struct SpanState
{
	MemoryContext context;		/* of this and of the array */
	Span	   *spans;
	size_t		capacity;
	size_t		count;
	size_t		ordered;		/* the first ones: sorted, no two touch */
} SpanState;

#define FIRST_CAPACITY 32

/* The parts of a multirange that multirangetypes.c keeps to itself. */
#define MULTIRANGE_OFFSET_STRIDE	4
#define MULTIRANGE_OFFSET_MARK		0x80000000

static inline bool
place_before(int64 a, int32 a_side, int64 b, int32 b_side)
{
	return a < b || (a == b && a_side < b_side);
}

static inline bool
starts_before(const Span *a, const Span *b)
{
	return place_before(a->start, a->start_side, b->start, b->start_side);
}

#define ST_SORT sort_spans
#define ST_ELEMENT_TYPE Span
#define ST_COMPARE(a, b) \
	(starts_before(a, b) ? -1 : starts_before(b, a))
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * The context that lives as long as the aggregation of one group, or of some.
 */
static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "coalesce_ranges called in non-aggregate context");
	return context;
}

static SpanState *
make_state(MemoryContext context)
{
	SpanState  *state = MemoryContextAllocZero(context, sizeof(SpanState));

	state->context = context;
	return state;
}

/*
 * If `span` begins within `last` or right at its end, `last` takes it in.
 */
static inline bool
extend(Span *last, const Span *span)
{
	if (starts_before(span, last) ||
		place_before(last->end, last->end_side, span->start, span->start_side))
		return false;

	if (place_before(last->end, last->end_side, span->end, span->end_side))
	{
		last->end = span->end;
		last->end_side = span->end_side;
	}
	return true;
}

static void
reserve(SpanState *state, size_t capacity)
{
	Size		size = capacity * sizeof(Span);

	if (state->spans == NULL)
		state->spans = MemoryContextAllocHuge(state->context, size);
	else
		state->spans = repalloc_huge(state->spans, size);
	state->capacity = capacity;
}

/*
 * Make the union of a and b, each sorted, the state's array.  They may be in
 * the old array, which is freed.
 */
static void
merge(SpanState *state, const Span *a, size_t a_count,
	  const Span *b, size_t b_count)
{
	SpanState	merged = {.context = state->context};

	if (a_count + b_count == 0)
		return;

	reserve(&merged, Max(a_count + b_count, FIRST_CAPACITY));
	while (a_count > 0 || b_count > 0)
	{
		const Span *next;

		CHECK_FOR_INTERRUPTS();
		if (b_count == 0 || (a_count > 0 && starts_before(a, b)))
		{
			next = a++;
			a_count--;
		}
		else
		{
			next = b++;
			b_count--;
		}
		if (merged.count == 0 || !extend(&merged.spans[merged.count - 1], next))
			merged.spans[merged.count++] = *next;
	}
	merged.ordered = merged.count;

	if (state->spans != NULL)
		pfree(state->spans);
	*state = merged;
}

/*
 * Bring all of a state in order.
 */
static void
coalesce(SpanState *state)
{
	Span	   *rest;
	size_t		rest_count = state->count - state->ordered;

	if (rest_count == 0)
		return;

	rest = state->spans + state->ordered;
	sort_spans(rest, rest_count);
	merge(state, state->spans, state->ordered, rest, rest_count);
}

/*
 * Add one span, wherever it lies.
 */
static inline void
add_span(SpanState *state, const Span *span)
{
	/* Make room first: it changes which span is the last. */
	if (state->count == state->capacity)
	{
		coalesce(state);
		if (state->count >= state->capacity / 2)
			reserve(state, Max(state->capacity * 2, FIRST_CAPACITY));
	}

	if (state->count > 0 && extend(&state->spans[state->count - 1], span))
		return;

	if (state->ordered == state->count &&
		(state->count == 0 || !starts_before(span, &state->spans[state->count - 1])))
		state->ordered++;
	state->spans[state->count++] = *span;
}

/*
 * _coalesce_ranges_add(internal, tstzrange): one more row.
 */
Datum
_coalesce_ranges_add(PG_FUNCTION_ARGS)
{
	SpanState  *state = PG_ARGISNULL(0) ? NULL : (SpanState *) PG_GETARG_POINTER(0);
	struct varlena *range;
	const char *data;
	uint8		flags;
	Span		span;

	if (PG_ARGISNULL(1))
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}

	range = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1));
	data = VARDATA_ANY(range);
	flags = data[VARSIZE_ANY_EXHDR(range) - 1];

	if (state == NULL)
	{
		Oid			rangetypid;

		memcpy(&rangetypid, data, sizeof(rangetypid));
		if (rangetypid != TSTZRANGEOID)
			elog(ERROR, "coalesce_ranges got a range of type %u", rangetypid);
		state = make_state(aggregate_context(fcinfo));
	}

	if (flags & RANGE_EMPTY)
		PG_RETURN_POINTER(state);

	data += sizeof(Oid);
	if (flags & RANGE_LB_INF)
	{
		span.start = PG_INT64_MIN;
		span.start_side = SIDE_UNBOUNDED_BELOW;
	}
	else
	{
		memcpy(&span.start, data, sizeof(span.start));
		span.start_side = (flags & RANGE_LB_INC) ? SIDE_BEFORE : SIDE_AFTER;
		data += sizeof(span.start);
	}
	if (flags & RANGE_UB_INF)
	{
		span.end = PG_INT64_MAX;
		span.end_side = SIDE_UNBOUNDED_ABOVE;
	}
	else
	{
		memcpy(&span.end, data, sizeof(span.end));
		span.end_side = (flags & RANGE_UB_INC) ? SIDE_AFTER : SIDE_BEFORE;
	}
	add_span(state, &span);

	PG_RETURN_POINTER(state);
}

/*
 * _coalesce_ranges_combine(internal, internal): the union of two states, in
 * the first of them.
 */
Datum
_coalesce_ranges_combine(PG_FUNCTION_ARGS)
{
	SpanState  *state = PG_ARGISNULL(0) ? NULL : (SpanState *) PG_GETARG_POINTER(0);
	SpanState  *other = PG_ARGISNULL(1) ? NULL : (SpanState *) PG_GETARG_POINTER(1);

	if (other == NULL)
	{
		if (state == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(state);
	}

	/* The other one may live too short a time to be returned itself. */
	if (state == NULL)
		state = make_state(aggregate_context(fcinfo));

	coalesce(state);
	coalesce(other);
	merge(state, state->spans, state->count, other->spans, other->count);

	PG_RETURN_POINTER(state);
}

/*
 * _coalesce_ranges_serialize(internal): the spans, in order, as they are in
 * memory.  They are read by another process of this server and nobody else.
 */
Datum
_coalesce_ranges_serialize(PG_FUNCTION_ARGS)
{
	SpanState  *state = (SpanState *) PG_GETARG_POINTER(0);
	Size		size;
	bytea	   *bytes;

	coalesce(state);
	size = state->count * sizeof(Span);
	if (size > MaxAllocSize - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many separate ranges to coalesce in parallel")));

	bytes = palloc(VARHDRSZ + size);
	SET_VARSIZE(bytes, VARHDRSZ + size);
	if (size > 0)
		memcpy(VARDATA(bytes), state->spans, size);
	PG_RETURN_BYTEA_P(bytes);
}

/*
 * Can this be a span of an ordered state, `last` being the one before it?
 */
static bool
span_is_sane(const Span *span, const Span *last)
{
	return (span->start_side == SIDE_BEFORE || span->start_side == SIDE_AFTER ||
			(span->start_side == SIDE_UNBOUNDED_BELOW && span->start == PG_INT64_MIN)) &&
		(span->end_side == SIDE_BEFORE || span->end_side == SIDE_AFTER ||
		 (span->end_side == SIDE_UNBOUNDED_ABOVE && span->end == PG_INT64_MAX)) &&
		place_before(span->start, span->start_side, span->end, span->end_side) &&
		(last == NULL ||
		 place_before(last->end, last->end_side, span->start, span->start_side));
}

/*
 * _coalesce_ranges_deserialize(bytea, internal): the state of those bytes, to
 * be combined with another one and then forgotten.
 */
Datum
_coalesce_ranges_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	Size		size = VARSIZE_ANY_EXHDR(bytes);
	SpanState  *state;

	(void) aggregate_context(fcinfo);
	if (size % sizeof(Span) != 0)
		elog(ERROR, "invalid serialized state of coalesce_ranges");

	state = make_state(CurrentMemoryContext);
	if (size > 0)
	{
		reserve(state, size / sizeof(Span));
		memcpy(state->spans, VARDATA_ANY(bytes), size);
		state->ordered = state->count = state->capacity;
	}
	for (size_t i = 0; i < state->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!span_is_sane(&state->spans[i], i > 0 ? &state->spans[i - 1] : NULL))
			elog(ERROR, "invalid serialized state of coalesce_ranges");
	}
	PG_RETURN_POINTER(state);
}

/*
 * _coalesce_ranges_final(internal): the result.
 *
 * It may bring the state in order, which changes nothing that anybody can
 * see: as a window function the aggregate is asked for a result, then given
 * more rows, then asked again.
 */
Datum
_coalesce_ranges_final(PG_FUNCTION_ARGS)
{
	SpanState  *state = PG_ARGISNULL(0) ? NULL : (SpanState *) PG_GETARG_POINTER(0);
	MultirangeType *result;
	Size		head = sizeof(MultirangeType);
	Size		size;
	uint32	   *items;
	uint8	   *flags;
	char	   *bounds;
	uint32		offset = 0;
	uint32		last_offset = 0;

	if (state == NULL)
		PG_RETURN_NULL();

	coalesce(state);

	if (state->count > 0)
		head += (state->count - 1) * sizeof(uint32) + state->count;
	head = MAXALIGN(head);
	size = head + state->count * 2 * sizeof(int64);
	if (state->count > 0 && state->spans[0].start_side == SIDE_UNBOUNDED_BELOW)
		size -= sizeof(int64);
	if (state->count > 0 && state->spans[state->count - 1].end_side == SIDE_UNBOUNDED_ABOVE)
		size -= sizeof(int64);
	if (size > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many separate ranges for one multirange")));

	result = palloc(size);
	memset(result, 0, head);
	SET_VARSIZE(result, size);
	result->multirangetypid = TSTZMULTIRANGEOID;
	result->rangeCount = state->count;

	items = (uint32 *) (result + 1);
	flags = (uint8 *) (items + state->count) - sizeof(uint32);
	bounds = (char *) result + head;
	for (size_t i = 0; i < state->count; i++)
	{
		const Span *span = &state->spans[i];

		CHECK_FOR_INTERRUPTS();
		if (i % MULTIRANGE_OFFSET_STRIDE != 0)
			items[i - 1] = offset - last_offset;
		else if (i > 0)
			items[i - 1] = offset | MULTIRANGE_OFFSET_MARK;
		last_offset = offset;

		if (span->start_side == SIDE_UNBOUNDED_BELOW)
			flags[i] |= RANGE_LB_INF;
		else
		{
			if (span->start_side == SIDE_BEFORE)
				flags[i] |= RANGE_LB_INC;
			memcpy(bounds + offset, &span->start, sizeof(int64));
			offset += sizeof(int64);
		}
		if (span->end_side == SIDE_UNBOUNDED_ABOVE)
			flags[i] |= RANGE_UB_INF;
		else
		{
			if (span->end_side == SIDE_AFTER)
				flags[i] |= RANGE_UB_INC;
			memcpy(bounds + offset, &span->end, sizeof(int64));
			offset += sizeof(int64);
		}
	}
	PG_RETURN_MULTIRANGE_P(result);
}
