/*
 * coverage.c
 *		The spans of what providers have made available.
 *
 * partreg.coverage holds, for each provider, disjoint spans whose union is
 * what its partitions made available when they were first unlocked.  Whether
 * spans that touch are one row or many means nothing; readers take a chain of
 * them as one.  So telling adds a row for its own piece, and rows are joined
 * later, by whoever comes by, where that disturbs nobody.
 *
 * Who locks what.  A writer holds its provider's row FOR KEY SHARE, so nothing
 * is withdrawn while it is at work, and what it sees of the provider's spans
 * can only grow.
 *
 * - Adding: pieces = the interval minus the spans that are visible, each
 *	 inserted ON CONFLICT DO NOTHING.  The exclusion constraint makes this wait
 *	 for an open transaction that is adding the same instants, and for nobody
 *	 else.  A piece that was skipped is looked at again in a new snapshot, until
 *	 nothing is missing: the other's span may cover a part of it only, or may
 *	 be gone again.
 *
 * - Joining: chains of neighbours of the new piece, never the piece itself (an
 *	 open transaction that adds beside it would otherwise have to wait for us),
 *	 and only rows that are settled: written so long ago that every running
 *	 snapshot sees them.  Joining younger ones would pile up dead versions
 *	 under every old snapshot, at a cost that grows with each.  Rows that
 *	 somebody else is joining are skipped.  Not under REPEATABLE READ or
 *	 SERIALIZABLE, where to touch rows means to risk a serialization failure
 *	 for nothing.
 *
 * - Withdrawing: the provider's row is locked FOR UPDATE, so nobody adds.  What
 *	 the other partitions of the provider still make available stays; the rest
 *	 of the interval is cut out of the spans.  A REPEATABLE READ transaction may
 *	 have a snapshot from before some writer's commit, and would cut out too
 *	 much or too little: it looks by its snapshot and by the latest, and gives
 *	 up if it sees two different things.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "coverage.h"
#include "effective.h"
#include "statement.h"

/* How many neighbours it takes to join them, and how many at once. */
#define JOIN_AT_LEAST	8
#define JOIN_AT_MOST	32

/* How many spans to walk over before leaping to the one that is wanted */
#define MAX_STEPS		8

/* After so many leaps between providers, read all spans in the window. */
#define MAX_LEAPS		16

/* Reading */

void
coverage_begin(CoverageScan *coverage, int32 source_id, Snapshot snapshot)
{
	coverage->source_id = source_id;
	catalog_begin(&coverage->scan, COVERAGE_BY_KEY, snapshot);
}

void
coverage_end(CoverageScan *coverage)
{
	catalog_end(&coverage->scan);
}

/* Go to the spans of a provider that start as a strategy says. */
static void
seek_spans(CoverageScan *coverage, int32 provider_id, StrategyNumber strategy,
		   RegProcedure comparison, int64 start)
{
	ScanKeyData keys[3];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(coverage->source_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(provider_id));
	ScanKeyInit(&keys[2], 3, strategy, comparison, TimestampTzGetDatum(start));
	catalog_seek(&coverage->scan, keys, 3);
}

/* The next visible span; false: no more. */
static bool
next_span(CoverageScan *coverage, ScanDirection direction, TimeInterval *span)
{
	while (catalog_next_entry(&coverage->scan, direction))
	{
		if (catalog_entry_visible(&coverage->scan))
		{
			span->start = DatumGetTimestampTz(catalog_entry_value(&coverage->scan, 3));
			span->end = DatumGetTimestampTz(catalog_entry_value(&coverage->scan, 4));
			return true;
		}
	}
	return false;
}

/* Go to the first span of a provider, or of one with a higher id. */
static void
seek_providers(CoverageScan *coverage, int32 provider_id)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(coverage->source_id));
	ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT4GE,
				Int32GetDatum(provider_id));
	catalog_seek(&coverage->scan, keys, 2);
}

/* The next visible span of any provider, and whose it is; false: no more. */
static bool
next_entry(CoverageScan *coverage, int32 *provider_id, TimeInterval *span)
{
	if (!next_span(coverage, ForwardScanDirection, span))
		return false;
	*provider_id = DatumGetInt32(catalog_entry_value(&coverage->scan, 2));
	return true;
}

/*
 * How far does a chain of spans reach that starts at an instant?  The upper
 * bound keeps the scan from copying what else is on the index's page.
 */
static int64
chain_reach(CoverageScan *coverage, int32 provider_id, int64 from,
			int64 limit)
{
	ScanKeyData keys[4];
	TimeInterval span;
	int64		reach = from;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(coverage->source_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(provider_id));
	ScanKeyInit(&keys[2], 3, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(from));
	ScanKeyInit(&keys[3], 3, BTLessStrategyNumber, F_TIMESTAMPTZ_LT,
				TimestampTzGetDatum(limit));
	catalog_seek(&coverage->scan, keys, 4);
	while (reach < limit &&
		   next_span(coverage, ForwardScanDirection, &span) &&
		   span.start == reach)
		reach = span.end;
	return reach;
}

/*
 * How far on from an instant has one provider made everything available?
 * Looks no further than `limit`, but the answer may lie beyond it; `from` if
 * the instant itself is not available.
 */
int64
coverage_reach(CoverageScan *coverage, int32 provider_id, int64 from,
			   int64 limit)
{
	TimeInterval span;
	int64		reach = chain_reach(coverage, provider_id, from, limit);

	if (reach > from)
		return reach;

	/* No span starts there; one that began before may hold it. */
	seek_spans(coverage, provider_id, BTLessStrategyNumber,
			   F_TIMESTAMPTZ_LT, from);
	if (!next_span(coverage, BackwardScanDirection, &span) || span.end <= from)
		return from;
	return span.end < limit ? chain_reach(coverage, provider_id, span.end, limit)
		: span.end;
}

/*
 * The provider with the highest id below `below` that has spans (visible or
 * not); 0: none.
 */
static int32
previous_provider(CoverageScan *coverage, int32 below)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(coverage->source_id));
	ScanKeyInit(&keys[1], 2, BTLessStrategyNumber, F_INT4LT,
				Int32GetDatum(below));
	catalog_seek(&coverage->scan, keys, 2);
	if (!catalog_next_entry(&coverage->scan, BackwardScanDirection))
		return 0;
	return DatumGetInt32(catalog_entry_value(&coverage->scan, 2));
}

/*
 * How far on from an instant has everything been made available, by whichever
 * provider?  Looks no further than `limit`, but the answer may lie beyond it;
 * `from` if the instant itself is not available.
 */
int64
coverage_reach_any(CoverageScan *coverage, int64 from, int64 limit)
{
	int64		reach = from;
	int64		before;
	int			providers;
	int			leaps = 0;

	do
	{
		int32		provider = PG_INT32_MAX;

		before = reach;
		providers = 0;
		while ((provider = previous_provider(coverage, provider)) != 0)
		{
			int64		further = coverage_reach(coverage, provider, reach,
												 limit);

			providers++;
			leaps += further > reach;
			reach = further;
			if (reach >= limit)
				return reach;
		}
		if (leaps > MAX_LEAPS)
		{
			IntervalSet spans = {0};

			coverage_collect(coverage, 0, (TimeInterval) {reach, limit},
							 &spans);
			interval_set_coalesce(&spans);
			if (spans.count > 0 && spans.items[0].start <= reach)
				reach = spans.items[0].end;
			if (spans.items != NULL)
				pfree(spans.items);
			return reach;
		}
	} while (reach > before && providers > 1);
	return reach;
}

/*
 * Append the spans of a provider (0: of all) that overlap a window, whole, to
 * a set, which is coalesced afterwards only if the caller sees to it.
 */
void
coverage_collect(CoverageScan *coverage, int32 provider_id,
				 TimeInterval window, IntervalSet *spans)
{
	TimeInterval span;

	if (provider_id == 0)
	{
		int32		provider = PG_INT32_MAX;

		while ((provider = previous_provider(coverage, provider)) != 0)
			coverage_collect(coverage, provider, window, spans);
		return;
	}

	seek_spans(coverage, provider_id, BTLessEqualStrategyNumber,
			   F_TIMESTAMPTZ_LE, window.start);
	if (next_span(coverage, BackwardScanDirection, &span) &&
		span.end > window.start)
		interval_set_add(spans, span);

	seek_spans(coverage, provider_id, BTGreaterStrategyNumber,
			   F_TIMESTAMPTZ_GT, window.start);
	while (next_span(coverage, ForwardScanDirection, &span) &&
		   span.start < window.end)
		interval_set_add(spans, span);
}

/*
 * Has each of some providers made available all that it is asked for?  They
 * are in the order of provider_id, which is the order of the index: one
 * walk through the source's spans meets them all, and where a provider has many
 * spans before the one that is wanted, a leap finds it.
 */
bool
coverage_fulfils(CoverageScan *coverage, const List *providers)
{
	const ListCell *cell;
	bool		seek = true;
	bool		at_entry = false;
	int32		supplier = 0;	/* of the entry */
	TimeInterval span = {0, 0}; /* of the entry */

	foreach(cell, providers)
	{
		const EffectiveProvider *provider = lfirst(cell);
		int64		reach = provider->asked.start;
		int			steps = 0;

		if (seek)
		{
			seek_providers(coverage, provider->provider_id);
			at_entry = next_entry(coverage, &supplier, &span);
			seek = false;
		}
		while (at_entry && steps < MAX_STEPS && reach < provider->asked.end &&
			   (supplier < provider->provider_id ||
				(supplier == provider->provider_id && span.start <= reach)))
		{
			if (supplier == provider->provider_id)
				reach = Max(reach, span.end);
			at_entry = next_entry(coverage, &supplier, &span);
			steps++;
		}
		if (steps >= MAX_STEPS && reach < provider->asked.end)
		{
			reach = coverage_reach(coverage, provider->provider_id, reach,
								   provider->asked.end);
			seek = true;
		}
		if (reach < provider->asked.end)
			return false;
	}
	return true;
}

/* Writing */

static Statement insert_span = {
	"INSERT INTO partreg.coverage (source_id, provider_id, span_start, span_end)"
	" VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
	4, {INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};
static Statement lock_spans = {
	"SELECT span_start, span_end FROM partreg.coverage"
	" WHERE source_id = $1 AND provider_id = $2 AND span_start = ANY ($3)"
	" ORDER BY span_start FOR UPDATE SKIP LOCKED",
	3, {INT4OID, INT4OID, TIMESTAMPTZARRAYOID}
};
static Statement delete_spans = {
	"DELETE FROM partreg.coverage"
	" WHERE source_id = $1 AND provider_id = $2 AND span_start > $3 AND span_start < $4",
	4, {INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};
static Statement stretch_span = {
	"UPDATE partreg.coverage SET span_end = $4"
	" WHERE source_id = $1 AND provider_id = $2 AND span_start = $3",
	4, {INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* The provider's spans that overlap an interval, in a snapshot, sorted */
static void
read_spans(const Access *access, TimeInterval interval, Snapshot snapshot,
		   IntervalSet *spans)
{
	CoverageScan coverage;

	coverage_begin(&coverage, access->source_id, snapshot);
	coverage_collect(&coverage, access->provider_id, interval, spans);
	coverage_end(&coverage);
}

/* What of an interval is not in the provider's visible spans? */
static void
find_missing(const Access *access, TimeInterval interval, IntervalSet *missing)
{
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	IntervalSet spans = {0};

	missing->count = 0;
	read_spans(access, interval, snapshot, &spans);
	UnregisterSnapshot(snapshot);

	interval_set_coalesce(&spans);
	interval_set_gaps(&spans, interval, missing);
	if (spans.items != NULL)
		pfree(spans.items);
}

/*
 * Was the row under the scan written so long ago that every running snapshot
 * sees it?
 */
static bool
is_settled(CatalogScan *scan)
{
	bool		shouldFree;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(scan->slot, false, &shouldFree);
	TransactionId xmin = HeapTupleHeaderGetXmin(tuple->t_data);
	bool		settled;

	settled = !TransactionIdIsNormal(xmin) ||
		GlobalVisCheckRemovableXid(scan->table, xmin);
	if (shouldFree)
		heap_freetuple(tuple);
	return settled;
}

/*
 * The settled spans that form a chain up to (backward) or on from (forward) an
 * instant, in the order of that direction.
 */
static void
find_chain(const Access *access, int64 instant, ScanDirection direction,
		   IntervalSet *chain)
{
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	CoverageScan coverage;
	bool		backward = ScanDirectionIsBackward(direction);

	coverage_begin(&coverage, access->source_id, snapshot);
	if (backward)
		seek_spans(&coverage, access->provider_id, BTLessStrategyNumber,
				   F_TIMESTAMPTZ_LT, instant);
	else
		seek_spans(&coverage, access->provider_id,
				   BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, instant);
	while (chain->count < JOIN_AT_MOST &&
		   catalog_next_row(&coverage.scan, direction))
	{
		TimeInterval span = {
			DatumGetTimestampTz(catalog_entry_value(&coverage.scan, 3)),
			DatumGetTimestampTz(catalog_entry_value(&coverage.scan, 4))
		};

		if ((backward ? span.end : span.start) != instant ||
			!is_settled(&coverage.scan))
			break;
		interval_set_add(chain, span);
		instant = backward ? span.start : span.end;
	}
	coverage_end(&coverage);
	UnregisterSnapshot(snapshot);
}

/* Join one run of spans, all of which we have locked. */
static void
join_run(const Access *access, TimeInterval first, int64 end)
{
	Datum		values[4];

	/* Away first, or the stretched one would lie over them. */
	values[0] = Int32GetDatum(access->source_id);
	values[1] = Int32GetDatum(access->provider_id);
	values[2] = TimestampTzGetDatum(first.start);
	values[3] = TimestampTzGetDatum(end);
	statement_run(&delete_spans, values, NULL);
	statement_run(&stretch_span, values, NULL);
}

/* Join the neighbours of an instant on one side, where there are enough. */
static void
join_neighbours(const Access *access, int64 instant, ScanDirection direction)
{
	IntervalSet chain = {0};
	IntervalSet locked = {0};
	Datum		values[3];
	Datum	   *starts;
	uint64		rows;
	bool		isnull;

	find_chain(access, instant, direction, &chain);
	if (chain.count < JOIN_AT_LEAST)
		return;

	starts = palloc(chain.count * sizeof(Datum));
	for (size_t i = 0; i < chain.count; i++)
		starts[i] = TimestampTzGetDatum(chain.items[i].start);
	values[0] = Int32GetDatum(access->source_id);
	values[1] = Int32GetDatum(access->provider_id);
	values[2] = PointerGetDatum(construct_array(starts, chain.count,
												TIMESTAMPTZOID, sizeof(int64),
												FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	rows = statement_run(&lock_spans, values, NULL);
	for (uint64 i = 0; i < rows; i++)
		interval_set_add(&locked, (TimeInterval)
						 {
							 DatumGetTimestampTz(statement_result(i, 1, &isnull)),
							 DatumGetTimestampTz(statement_result(i, 2, &isnull))
						 });

	/* What somebody else is joining was skipped and cuts the chain. */
	for (size_t i = 0; i < locked.count;)
	{
		size_t		n = 1;

		while (i + n < locked.count &&
			   locked.items[i + n].start == locked.items[i + n - 1].end)
			n++;
		if (n >= JOIN_AT_LEAST)
			join_run(access, locked.items[i], locked.items[i + n - 1].end);
		i += n;
	}
}

/*
 * Make an interval available, on behalf of a provider whose row is locked FOR
 * KEY SHARE.
 */
void
coverage_add(const Access *access, TimeInterval interval)
{
	IntervalSet missing = {0};
	int64		left = PG_INT64_MAX;	/* microseconds */
	Datum		values[4];
	bool		skipped;

	do
	{
		int64		before = left;

		skipped = false;
		left = 0;
		find_missing(access, interval, &missing);
		for (size_t i = 0; i < missing.count; i++)
			left += missing.items[i].end - missing.items[i].start;
		/* What made us skip a piece is committed, and so is seen now. */
		if (left == before)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the spans of provider \"%s\" are damaged",
							quotable(access->provider_name)),
					 errhint("verify() tells what is wrong.")));

		for (size_t i = 0; i < missing.count; i++)
		{
			values[0] = Int32GetDatum(access->source_id);
			values[1] = Int32GetDatum(access->provider_id);
			values[2] = TimestampTzGetDatum(missing.items[i].start);
			values[3] = TimestampTzGetDatum(missing.items[i].end);
			if (statement_run(&insert_span, values, NULL) == 0)
				skipped = true;
		}
	} while (skipped);

	if (!IsolationUsesXactSnapshot())
	{
		join_neighbours(access, interval.start, BackwardScanDirection);
		join_neighbours(access, interval.end, ForwardScanDirection);
	}
}

/*
 * What the partitions of a provider make available of an interval, in a
 * snapshot.
 */
static void
read_supplied(const Access *access, TimeInterval interval, Snapshot snapshot,
			  IntervalSet *supplied)
{
	OverlapScan overlap;

	overlap_begin(&overlap, PARTITION_BY_KEY, NULL, snapshot);
	overlap_seek(&overlap, access->provider_id, interval);
	while (overlap_next(&overlap))
	{
		bool		never_unlocked;

		catalog_row_value(&overlap.scan, Anum_partition_first_unlocked_at,
						  &never_unlocked);
		if (!never_unlocked)
			interval_set_add(supplied, overlap.during);
	}
	overlap_end(&overlap);
	interval_set_coalesce(supplied);
}

static bool
same_set(const IntervalSet *a, const IntervalSet *b)
{
	return a->count == b->count &&
		(a->count == 0 ||
		 memcmp(a->items, b->items, a->count * sizeof(TimeInterval)) == 0);
}

/* Does the transaction's snapshot know what is there now? */
static void
refuse_old_snapshot(const Access *access, TimeInterval interval,
					const IntervalSet *spans, const IntervalSet *supplied)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IntervalSet spans_now = {0};
	IntervalSet supplied_now = {0};

	read_spans(access, interval, snapshot, &spans_now);
	read_supplied(access, interval, snapshot, &supplied_now);
	UnregisterSnapshot(snapshot);
	if (!same_set(spans, &spans_now) || !same_set(supplied, &supplied_now))
		raise_concurrent_change();
}

/*
 * Take back what only a partition made available that is deleted already, on
 * behalf of a provider whose row is locked FOR UPDATE.
 */
void
coverage_withdraw(const Access *access, TimeInterval interval)
{
	static Statement delete_span = {
		"DELETE FROM partreg.coverage"
		" WHERE source_id = $1 AND provider_id = $2 AND span_start = $3",
		3, {INT4OID, INT4OID, TIMESTAMPTZOID}
	};
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	IntervalSet spans = {0};
	IntervalSet supplied = {0};
	IntervalSet lost = {0};
	Datum		values[4];

	read_spans(access, interval, snapshot, &spans);
	read_supplied(access, interval, snapshot, &supplied);
	UnregisterSnapshot(snapshot);
	if (IsolationUsesXactSnapshot())
		refuse_old_snapshot(access, interval, &spans, &supplied);

	interval_set_gaps(&supplied, interval, &lost);
	values[0] = Int32GetDatum(access->source_id);
	values[1] = Int32GetDatum(access->provider_id);
	for (size_t i = 0; i < spans.count; i++)
	{
		IntervalSet span = {&spans.items[i], 1, 1};
		IntervalSet rest = {0};

		interval_set_subtract(&span, &lost, &rest);
		if (same_set(&span, &rest))
			continue;
		values[2] = TimestampTzGetDatum(spans.items[i].start);
		statement_run(&delete_span, values, NULL);
		for (size_t j = 0; j < rest.count; j++)
		{
			values[2] = TimestampTzGetDatum(rest.items[j].start);
			values[3] = TimestampTzGetDatum(rest.items[j].end);
			statement_run(&insert_span, values, NULL);
		}
	}
}
