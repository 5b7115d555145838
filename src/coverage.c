/*
 * coverage.c
 *		The spans of what providers have made available.
 *
 * partreg.coverage has disjoint spans for each provider.  Their union is what
 * the partitions of the provider made available when they were first unlocked.
 * It means nothing whether spans that touch are one row or many: readers take
 * a chain of them as one.  So an unlock adds a row for its own piece.  Rows
 * are joined later, by other unlocks nearby, where joining disturbs nobody.
 *
 * Who locks what.  A writer holds its provider's row FOR KEY SHARE.  So
 * nothing is withdrawn while it works, and the spans of the provider that it
 * sees can only grow.
 *
 * - Adding: pieces = the interval minus the spans that are visible, each
 *	 inserted if nothing is in the way (find_overlap(), row_try_insert()), which
 *	 waits for an open transaction that is adding the same instants, and for
 *	 nobody else.  A piece that was skipped is looked at again in a new
 *	 snapshot, until nothing is missing: the other's span may cover a part of
 *	 it only, or may be gone again.
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
#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "coverage.h"
#include "effective.h"
#include "row.h"
#include "snapshot.h"
#include "statement.h"

/* How many neighbours it takes to join them, and how many at once. */
#define JOIN_AT_LEAST	8
#define JOIN_AT_MOST	32

/* How many spans to walk over before leaping to the one that is wanted */
#define MAX_STEPS		8

/* By how much the pieces that are put back beside a cut grow */
#define PIECE_GROWTH	4

/* After more leaps between providers, all spans in the window are read. */
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
		   int64 start)
{
	catalog_seek_spans(&coverage->scan, coverage->source_id, provider_id,
					   strategy, start);
}

/* The span of the current entry */
static TimeInterval
entry_span(CatalogScan *scan)
{
	TimeInterval span = {
		DatumGetTimestampTz(catalog_entry_value(scan, Key_coverage_span_start)),
		DatumGetTimestampTz(catalog_entry_value(scan, Key_coverage_span_end))
	};

	return span;
}

/* The span of the current row */
static TimeInterval
row_span(CatalogScan *scan)
{
	TimeInterval span;

	(void) catalog_row_time(scan, Anum_coverage_span_start, &span.start);
	(void) catalog_row_time(scan, Anum_coverage_span_end, &span.end);
	return span;
}

/* The provider of the current entry */
static int32
entry_provider(CoverageScan *coverage)
{
	return DatumGetInt32(catalog_entry_value(&coverage->scan,
											 Key_coverage_provider_id));
}

/* The next visible span; false: no more. */
static bool
next_span(CoverageScan *coverage, ScanDirection direction, TimeInterval *span)
{
	while (catalog_next_entry(&coverage->scan, direction))
	{
		if (catalog_entry_visible(&coverage->scan))
		{
			*span = entry_span(&coverage->scan);
			return true;
		}
	}
	return false;
}

/* The next visible span of any provider, and whose it is; false: no more. */
static bool
next_entry(CoverageScan *coverage, int32 *provider_id, TimeInterval *span)
{
	if (!next_span(coverage, ForwardScanDirection, span))
		return false;
	*provider_id = entry_provider(coverage);
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
	TimeInterval span;
	int64		reach = from;

	catalog_seek_spans_between(&coverage->scan, coverage->source_id,
							   provider_id, from, limit);
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
	seek_spans(coverage, provider_id, BTLessStrategyNumber, from);
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
	catalog_seek_spans_of(&coverage->scan, coverage->source_id,
						  BTLessStrategyNumber, below);
	if (!catalog_next_entry(&coverage->scan, BackwardScanDirection))
		return 0;
	return entry_provider(coverage);
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
			TimeInterval rest = {reach, limit};
			IntervalSet spans = {0};

			coverage_collect(coverage, 0, rest, &spans);
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

/* The last of a provider's spans that begin before an instant; false: none. */
bool
coverage_last_before(CoverageScan *coverage, int32 provider_id, int64 instant,
					 TimeInterval *span)
{
	seek_spans(coverage, provider_id, BTLessStrategyNumber, instant);
	return next_span(coverage, BackwardScanDirection, span);
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

	seek_spans(coverage, provider_id, BTLessEqualStrategyNumber, window.start);
	if (next_span(coverage, BackwardScanDirection, &span) &&
		span.end > window.start)
		interval_set_add(spans, span);

	seek_spans(coverage, provider_id, BTGreaterStrategyNumber, window.start);
	while (next_span(coverage, ForwardScanDirection, &span) &&
		   span.start < window.end)
		interval_set_add(spans, span);
}

/*
 * Has each of some providers made available all that it is required to?  They
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
			catalog_seek_spans_of(&coverage->scan, coverage->source_id,
								  BTGreaterEqualStrategyNumber,
								  provider->provider_id);
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

/* The row of a span */
static void
fill_span(const Access *access, TimeInterval span, Datum *values, bool *nulls)
{
	memset(nulls, false, Natts_coverage * sizeof(bool));
	values[Anum_coverage_source_id - 1] = Int32GetDatum(access->source_id);
	values[Anum_coverage_provider_id - 1] = Int32GetDatum(access->provider_id);
	values[Anum_coverage_span_start - 1] = TimestampTzGetDatum(span.start);
	values[Anum_coverage_span_end - 1] = TimestampTzGetDatum(span.end);
}

/* A piece that is being added */
typedef struct Piece
{
	const Access *access;
	TimeInterval span;
} Piece;

/*
 * Another row of the provider that overlaps the piece, or begins where it does,
 * for row_try_insert().
 *
 * This is what the exclusion constraint would look for, but by the index of
 * keys, which costs a tenth.  The walk may end at the first row that is committed
 * and that nobody is deleting: whatever overlapped that one has been refused,
 * as of the two the later one has seen the earlier.
 *
 * A walk under a dirty snapshot can miss a row that is moved meanwhile: it has
 * read the index before the new version was there, and reads the table after
 * the old one is gone.  Only joins move rows beside writers, and only rows that
 * every running snapshot sees: so the piece holds nothing of them.
 */
static bool
find_overlap(const void *arg, ItemPointer own, Snapshot dirty)
{
	const Piece *piece = arg;
	CatalogScan scan;
	TimeInterval span;
	bool		found = false;
	bool		settled = false;

	catalog_begin(&scan, COVERAGE_BY_KEY, dirty);
	catalog_seek_spans(&scan, piece->access->source_id,
					   piece->access->provider_id, BTLessStrategyNumber,
					   piece->span.end);
	while (!found && !settled && catalog_next_row(&scan, BackwardScanDirection))
	{
		/* PostgreSQL asserts that it compares places, not the lack of one. */
		if (own != NULL && ItemPointerEquals(&scan.slot->tts_tid, own))
			continue;
		span = entry_span(&scan);
		found = span.end > piece->span.start || span.start >= piece->span.start;
		settled = !TransactionIdIsValid(dirty->xmin) &&
			!TransactionIdIsValid(dirty->xmax);
	}
	catalog_end(&scan);
	return found;
}

/*
 * Insert a span; false: something of it is there, or was a moment ago.
 *
 * The caller has just looked, and seen nothing of it: so only what others are
 * adding, or have added since, can be in the way.  Under REPEATABLE READ the
 * snapshot does not know it.
 */
static bool
insert_piece(const Access *access, TimeInterval span)
{
	Piece		piece = {access, span};
	Datum		values[Natts_coverage];
	bool		nulls[Natts_coverage];
	bool		inserted;

	fill_span(access, span, values, nulls);
	inserted = row_try_insert(COVERAGE_BY_KEY, values, nulls, find_overlap,
							  &piece);
	if (!inserted && IsolationUsesXactSnapshot())
		raise_concurrent_change();
	return inserted;
}

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

/* On which sides does a span touch an interval? */
typedef struct Touched
{
	bool		before;
	bool		after;
} Touched;

/*
 * What of an interval is not in the provider's visible spans?  And is there one
 * that touches it, before or after?  One walk tells, as spans are disjoint.
 */
static void
find_missing(const Access *access, TimeInterval interval, IntervalSet *missing,
			 Touched *touched)
{
	Snapshot	snapshot = current_snapshot();
	IntervalSet spans = {0};
	CoverageScan coverage;
	TimeInterval span;

	missing->count = 0;
	touched->before = touched->after = false;
	coverage_begin(&coverage, access->source_id, snapshot);
	seek_spans(&coverage, access->provider_id, BTLessEqualStrategyNumber,
			   interval.end);
	while (next_span(&coverage, BackwardScanDirection, &span))
	{
		if (span.end <= interval.start)
		{
			touched->before = span.end == interval.start;
			break;
		}
		if (span.start == interval.end)
			touched->after = true;
		else
			interval_set_add(&spans, span);
	}
	coverage_end(&coverage);
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

/* A span of a chain, and its row */
typedef struct Link
{
	TimeInterval span;
	ItemPointerData tid;
} Link;

/*
 * The settled spans that form a chain up to (backward) or on from (forward) an
 * instant, in the order of that direction; returns their number.
 */
static int
find_chain(CatalogScan *scan, const Access *access, int64 instant,
		   ScanDirection direction, Link *chain)
{
	bool		backward = ScanDirectionIsBackward(direction);
	int			count = 0;

	catalog_seek_spans(scan, access->source_id, access->provider_id,
					   backward ? BTLessStrategyNumber
					   : BTGreaterEqualStrategyNumber, instant);
	while (count < JOIN_AT_MOST && catalog_next_row(scan, direction))
	{
		TimeInterval span = row_span(scan);

		if ((backward ? span.end : span.start) != instant || !is_settled(scan))
			break;
		chain[count].span = span;
		chain[count++].tid = scan->slot->tts_tid;
		instant = backward ? span.start : span.end;
	}
	return count;
}

/*
 * Join links of a chain, all of which we have locked: so what they hold is
 * nobody else's to add, and nothing can overlap the row that takes their place.
 */
static void
join_run(const Access *access, const Link *links, int count, bool backward)
{
	const Link *first = backward ? &links[count - 1] : &links[0];
	const Link *last = backward ? &links[0] : &links[count - 1];
	TimeInterval whole = {first->span.start, last->span.end};
	ItemPointerData stretched = first->tid;
	ItemPointerData others[JOIN_AT_MOST];
	int			n_others = 0;
	Datum		values[Natts_coverage];
	bool		nulls[Natts_coverage];

	for (int i = 0; i < count; i++)
	{
		if (&links[i] != first)
			others[n_others++] = links[i].tid;
	}
	row_delete_many(COVERAGE_BY_KEY, others, n_others);
	fill_span(access, whole, values, nulls);
	row_update(COVERAGE_BY_KEY, &stretched, values, nulls);
}

/* Join the neighbours of an instant on one side, where there are enough. */
static void
join_neighbours(CatalogScan *scan, const Access *access, int64 instant,
				ScanDirection direction)
{
	Link		chain[JOIN_AT_MOST];
	int			count = find_chain(scan, access, instant, direction, chain);

	if (count < JOIN_AT_LEAST)
		return;

	/* What somebody else is joining, or has joined since, cuts the chain. */
	for (int i = 0; i < count;)
	{
		int			n = 0;

		while (i + n < count &&
			   row_lock_at_once(scan, &chain[i + n].tid, LockTupleExclusive))
			n++;
		if (n >= JOIN_AT_LEAST)
			join_run(access, &chain[i], n, ScanDirectionIsBackward(direction));
		i += n + 1;
	}
}

/* Join what lies beside an interval that was added. */
static void
join_around(const Access *access, TimeInterval interval, Touched touched)
{
	Snapshot	snapshot = current_snapshot();
	CatalogScan scan;

	catalog_begin_for_locking(&scan, COVERAGE_BY_KEY, snapshot);
	if (touched.before)
		join_neighbours(&scan, access, interval.start, BackwardScanDirection);
	if (touched.after)
		join_neighbours(&scan, access, interval.end, ForwardScanDirection);
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);
}

/*
 * Make an interval available, on behalf of a provider whose row is locked FOR
 * KEY SHARE.
 */
void
coverage_add(const Access *access, TimeInterval interval)
{
	IntervalSet missing = {0};
	Touched		touched;
	int64		left = PG_INT64_MAX;	/* microseconds */
	bool		skipped;

	do
	{
		int64		before = left;

		skipped = false;
		left = 0;
		find_missing(access, interval, &missing, &touched);
		for (size_t i = 0; i < missing.count; i++)
			left += missing.items[i].end - missing.items[i].start;
		/* What made us skip a piece is committed, and so is seen now. */
		if (left == before)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the spans of provider \"%s\" are damaged",
							quotable(access->provider_name)),
					 errhint("Run partreg.verify() to see what is wrong.")));

		for (size_t i = 0; i < missing.count; i++)
		{
			if (!insert_piece(access, missing.items[i]))
				skipped = true;
		}
	} while (skipped);

	if ((touched.before || touched.after) && !IsolationUsesXactSnapshot())
		join_around(access, interval, touched);
}

/*
 * What the partitions of a provider make available of an interval, in a
 * snapshot.  As a rule some are as long as the one that is withdrawn.
 */
static void
read_supplied(const Access *access, TimeInterval interval, Snapshot snapshot,
			  IntervalSet *supplied)
{
	uint64		classes = UINT64CONST(1) << Min(length_class(interval), 63);
	OverlapScan overlap;

	overlap_begin(&overlap, PARTITION_BY_KEY, &classes, snapshot);
	overlap_seek(&overlap, access->provider_id, interval);
	while (overlap_next(&overlap))
		interval_set_add(supplied, overlap.during);
	overlap_end(&overlap);
	interval_set_coalesce(supplied);
}

/* What a withdrawal depends on, for snapshot_compare() */
typedef struct Withdrawal
{
	const Access *access;
	TimeInterval interval;
} Withdrawal;

static uint64
sum_set(uint64 sum, const IntervalSet *set)
{
	return hash_combine64(sum + set->count,
						  hash_bytes_extended((const unsigned char *) set->items,
											  (int) (set->count * sizeof(TimeInterval)),
											  0));
}

static uint64
sum_withdrawal(Snapshot snapshot, const void *arg)
{
	const Withdrawal *withdrawal = arg;
	IntervalSet spans = {0};
	IntervalSet supplied = {0};

	read_spans(withdrawal->access, withdrawal->interval, snapshot, &spans);
	read_supplied(withdrawal->access, withdrawal->interval, snapshot, &supplied);
	return sum_set(sum_set(0, &spans), &supplied);
}

/*
 * What is left of a span beside a cut is put back in pieces, of which each is
 * several times as long as the one nearer to the cut.  What is withdrawn next is
 * likely to lie beside it, and then touches a small piece: one large span, cut
 * again and again within a transaction, would leave as many dead versions of
 * itself, which each further cut had to pass by.  The pieces are joined again
 * like all others.
 */
static void
divide_rest(TimeInterval rest, uint64 width, bool cut_at_start,
			IntervalSet *pieces)
{
	/* All of time is longer than 2^63 microseconds: do not overflow. */
	uint64		length = Min(width, UINT64CONST(1) << 60);

	while (rest.start < rest.end)
	{
		TimeInterval piece = rest;

		if (interval_length(rest) / PIECE_GROWTH > length)
		{
			if (cut_at_start)
				piece.end = rest.start + (int64) length;
			else
				piece.start = rest.end - (int64) length;
		}
		interval_set_add(pieces, piece);
		if (cut_at_start)
			rest.start = piece.end;
		else
			rest.end = piece.start;
		length *= PIECE_GROWTH;
	}
}

/* The pieces of a provider's span that are put back */
typedef struct Pieces
{
	const Access *access;
	IntervalSet set;
} Pieces;

static void
fill_piece(void *arg, size_t n, Datum *values, bool *nulls)
{
	const Pieces *pieces = arg;

	fill_span(pieces->access, pieces->set.items[n], values, nulls);
}

/*
 * Cut out of a span what is lost of it.  What is put back lies within what was
 * deleted a moment ago, and nobody else can add to the provider: so nothing
 * can overlap it.
 */
static void
cut_span(const Access *access, TimeInterval span, const IntervalSet *lost)
{
	static Statement delete_span = {
		"DELETE FROM partreg.coverage"
		" WHERE source_id = $1 AND provider_id = $2 AND span_start = $3"
	};
	IntervalSet whole = {&span, 1, 1};
	IntervalSet cut = {0};
	IntervalSet rest = {0};
	Pieces		pieces = {access};
	Parameters	parameters = {0};

	interval_set_intersect(&whole, lost, &cut);
	if (cut.count == 0)
		return;
	param_int4(&parameters, access->source_id);
	param_int4(&parameters, access->provider_id);
	param_time(&parameters, span.start);
	statement_run(&delete_span, &parameters);
	interval_set_subtract(&whole, lost, &rest);
	for (size_t i = 0; i < rest.count; i++)
		divide_rest(rest.items[i], interval_length(cut.items[0]),
					rest.items[i].start != span.start, &pieces.set);
	row_insert_many(COVERAGE_BY_KEY, pieces.set.count, fill_piece, &pieces);
}

/*
 * Take back what only partitions made available that are deleted already, on
 * behalf of a provider whose row is locked FOR UPDATE.
 */
void
coverage_withdraw(const Access *access, TimeInterval interval)
{
	Withdrawal	withdrawal = {access, interval};
	Snapshot	snapshot = current_snapshot();
	IntervalSet spans = {0};
	IntervalSet supplied = {0};
	IntervalSet lost = {0};

	read_spans(access, interval, snapshot, &spans);
	read_supplied(access, interval, snapshot, &supplied);
	UnregisterSnapshot(snapshot);
	snapshot_compare(sum_withdrawal, &withdrawal);

	interval_set_gaps(&supplied, interval, &lost);
	for (size_t i = 0; i < spans.count; i++)
		cut_span(access, spans.items[i], &lost);
}
