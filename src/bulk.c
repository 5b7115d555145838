/*
 * bulk.c
 *		Many partitions in one call.
 *
 * A call goes through the partitions of a provider in batches.  It locks some
 * thousand rows, reads their lock rows, judges each as a call about one
 * partition would (transition.c), and writes the result.  So memory is bounded
 * and a cancel is answered at once.  A call that takes long reports every few
 * seconds how far it is.
 *
 * Rows are locked in one order: first the rows of partreg.pending in the order
 * of the key (length class, start, end), then those of partreg.partition.  A
 * partition moves from the first table to the second, never back.  So two
 * calls cannot deadlock, whatever their ranges are, and a partition that
 * another session moves meanwhile is found in the second table.  The call does
 * not meet what it has moved itself, because the second pass uses the command
 * id that was current when the call began.
 *
 * A partition that is registered while a call is at work either belongs to the
 * call, with all consequences, or counts as registered after it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "bulk.h"
#include "compat.h"
#include "condition.h"
#include "coverage.h"
#include "history.h"
#include "partition.h"
#include "row.h"
#include "snapshot.h"
#include "transition.h"
#include "withdraw.h"
#include "write.h"

PG_FUNCTION_INFO_V1(lock_partitions);
PG_FUNCTION_INFO_V1(unlock_partitions);
PG_FUNCTION_INFO_V1(fail_partitions);
PG_FUNCTION_INFO_V1(retire_partitions);

#define PROGRESS_SECONDS	5

/* Authorise, and read what the calls have in common. */
void
bulk_begin(const PartitionCall *call, AccessLock lock, const char *done,
		   Bulk *bulk)
{
	memset(bulk, 0, sizeof(*bulk));
	access_provider(call->source_name, call->provider_name, call->token, lock,
					&bulk->access);
	bulk->during = check_extent(call->range);
	bulk->began = GetCurrentCommandId(false);
	bulk->claim.access = &bulk->access;
	bulk->claim.holder = partition_holder(call);
	bulk->claim.named = call->holder != NULL;
	bulk->claim.bulk = true;
	bulk->done = done;
	bulk->last_progress = GetCurrentTimestamp();
}

/* Write the events of a batch, which was in these states, and count them. */
void
bulk_record(Bulk *bulk, const char *what, const char *holder,
			const char *reason, Jsonb *details, const IntervalSet *changed,
			const StateBefore *states)
{
	Event		event = {
		.event = what,
		.access = &bulk->access,
		.at = bulk->claim.now,
		.holder = holder,
		.reason = reason,
		.details = details
	};

	if (changed->count == 0)
		return;
	bulk->last_event = history_record_many(&event, changed->items, states,
										   changed->count);
	if (bulk->recorded == 0)
		bulk->extent = changed->items[0];
	for (size_t i = 0; i < changed->count; i++)
	{
		bulk->extent.start = Min(bulk->extent.start, changed->items[i].start);
		bulk->extent.end = Max(bulk->extent.end, changed->items[i].end);
	}
	bulk->recorded += changed->count;
	bulk->changed += changed->count;
}

/* Answer to a cancel, and report every few seconds how far the call is. */
void
bulk_progress(Bulk *bulk)
{
	TimestampTz now = GetCurrentTimestamp();

	CHECK_FOR_INTERRUPTS();
	if (!TimestampDifferenceExceeds(bulk->last_progress, now,
									PROGRESS_SECONDS * 1000))
		return;
	bulk->last_progress = now;
	ereport(NOTICE,
			(errmsg("%s " INT64_FORMAT " partitions so far", bulk->done,
					bulk->changed)));
}

/* One notification for all, with the id of the last event */
void
bulk_notify(const Bulk *bulk, const char *what)
{
	Event		event = {
		.event = what,
		.access = &bulk->access,
		.during = &bulk->extent
	};

	if (bulk->recorded > 0)
		history_notify(&event, bulk->last_event, bulk->recorded);
}

/* Batches of what there is */

/* Some partitions of one length class, in the order of start and end */
typedef struct Batch
{
	CatalogIndex table;
	int			length_class;
	TimeInterval last;			/* the one that came last, or the one before */
	Partition  *items;
	size_t		count;
	LockRowSet	locks;
	/* What the work makes of them */
	IntervalSet changed;
	IntervalSet taken_over;
} Batch;

/* Leap to the provider's next length class in a table; false: no more. */
static bool
next_length_class(const Bulk *bulk, Batch *batch)
{
	Snapshot	snapshot = latest_snapshot();
	CatalogScan scan;
	bool		found;

	catalog_begin(&scan, batch->table, snapshot);
	catalog_seek_length_class_above(&scan, bulk->access.provider_id,
									batch->length_class);
	found = catalog_next_entry(&scan, ForwardScanDirection);
	if (found)
		batch->length_class = DatumGetInt16(catalog_entry_value(&scan,
																Key_length_class));
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/* Does a partition come after another in the order of the key? */
static bool
comes_after(TimeInterval a, TimeInterval b)
{
	return a.start > b.start || (a.start == b.start && a.end > b.end);
}

/*
 * Lock the rows of the next batch of a class; false: there are no more.  The
 * snapshot is current but for what this call itself has written.
 */
static bool
lock_batch(const Bulk *bulk, Batch *batch)
{
	Snapshot	snapshot = current_snapshot();
	SnapshotData before = *snapshot;
	CatalogScan scan;
	TimeInterval after = batch->last;

	before.curcid = bulk->began;
	batch->items = palloc_extended(BATCH_SIZE * sizeof(Partition),
								   MCXT_ALLOC_HUGE);
	batch->count = 0;
	catalog_begin_for_locking(&scan, batch->table, &before);
	catalog_seek_partitions_after(&scan, bulk->access.provider_id,
								  batch->length_class, after.start);
	while (batch->count < BATCH_SIZE &&
		   catalog_next_row(&scan, ForwardScanDirection))
	{
		TimeInterval during = catalog_row_interval(&scan);

		if (during.start >= bulk->during.end)
			break;
		if (during.end > bulk->during.end || !comes_after(during, after) ||
			!row_lock(&scan, LockTupleNoKeyExclusive))
			continue;
		partition_read_row(&scan, &batch->items[batch->count++]);
		batch->last = during;
	}
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);
	return batch->count > 0;
}

/* Read the lock rows of a batch, and give each partition its own. */
static void
read_locks(const Bulk *bulk, Batch *batch)
{
	TimeInterval window = batch->items[0].during;
	size_t		next = 0;

	for (size_t i = 0; i < batch->count; i++)
		window.end = Max(window.end, batch->items[i].during.end);
	lockrow_compare_snapshots(bulk->access.source_id, bulk->access.provider_id,
							  window);
	lockrow_collect(bulk->access.source_id, bulk->access.provider_id,
					batch->length_class, window, &batch->locks);
	for (size_t i = 0; i < batch->count && next < batch->locks.count; i++)
	{
		Partition  *partition = &batch->items[i];

		while (next < batch->locks.count &&
			   comes_after(partition->during, batch->locks.items[next].during))
			next++;
		if (next < batch->locks.count &&
			!comes_after(batch->locks.items[next].during, partition->during))
			partition->lock = &batch->locks.items[next];
	}
}

/* Say how many partitions lie only partly within the range. */
static void
warn_of_partial(const Bulk *bulk)
{
	static const CatalogIndex tables[] = {PENDING_BY_KEY, PARTITION_BY_KEY};
	Snapshot	snapshot = latest_snapshot();
	TimeInterval during = bulk->during;
	TimeInterval edges[2] = {
		{during.start, during.start + 1}, {during.end - 1, during.end}
	};
	int64		count = 0;

	for (int i = 0; i < lengthof(tables); i++)
	{
		OverlapScan overlap;

		overlap_begin(&overlap, tables[i], NULL, snapshot);
		for (int j = 0; j < 2; j++)
		{
			/* Nothing sticks out where there is no bound. */
			if (j == 0 ? during.start == INTERVAL_MIN
				: during.end == INTERVAL_MAX)
				continue;
			overlap_seek(&overlap, bulk->access.provider_id, edges[j]);
			while (overlap_next(&overlap))
			{
				bool		before = overlap.during.start < during.start;
				bool		beyond = overlap.during.end > during.end;

				/* Those that stick out on both sides are met at both edges. */
				count += j == 0 ? before
					: beyond && !(before && during.start != INTERVAL_MIN);
			}
		}
		overlap_end(&overlap);
	}
	UnregisterSnapshot(snapshot);
	if (count > 0)
		ereport(WARNING,
				(errmsg_plural(INT64_FORMAT " partition that overlaps the range without lying within it is left alone",
							   INT64_FORMAT " partitions that overlap the range without lying within it are left alone",
							   count, count)));
}

/* Nothing lay within the range. */
pg_noreturn static void
raise_none_within(const Bulk *bulk)
{
	char	   *neighbours;

	partition_compare_snapshots(&bulk->access, bulk->during);
	neighbours = partition_list_neighbours(&bulk->access, bulk->during);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errcondition("unknown_partition"),
			 errmsg("no partition of provider \"%s\" lies within the range",
					quotable(bulk->access.provider_name)),
			 neighbours == NULL ? 0 : errdetail_internal("%s", neighbours),
			 errhint("The view partreg.partitions lists all partitions.")));
}

/* Does something to a batch, each partition of which is locked and read */
typedef void (*BatchWork) (Bulk *bulk, Batch *batch, void *arg);

/*
 * Do something to every batch of the provider's partitions that lie within the
 * range.
 */
static void
for_each_batch(Bulk *bulk, BatchWork work, void *arg)
{
	static const CatalogIndex tables[] = {PENDING_BY_KEY, PARTITION_BY_KEY};
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
												 "partreg batch of partitions",
												 ALLOCSET_DEFAULT_SIZES);
	bool		found = false;

	for (int i = 0; i < lengthof(tables); i++)
	{
		int			length_class = -1;
		Batch		batch = {
			.table = tables[i],
			.length_class = -1
		};

		while (next_length_class(bulk, &batch))
		{
			length_class = batch.length_class;
			/* Before the first that starts within the range */
			batch.last.start = bulk->during.start;
			batch.last.end = INTERVAL_MIN;
			for (;;)
			{
				MemoryContext old = MemoryContextSwitchTo(memory);
				Batch		next = {
					.table = tables[i],
					.length_class = length_class,
					.last = batch.last
				};
				bool		more = lock_batch(bulk, &next);

				if (more)
				{
					found = true;
					read_locks(bulk, &next);
					bulk->claim.now = GetCurrentTimestamp();
					work(bulk, &next, arg);
				}
				batch.last = next.last;
				MemoryContextSwitchTo(old);
				MemoryContextReset(memory);
				if (!more)
					break;
				bulk_progress(bulk);
			}
		}
	}
	if (!found)
		raise_none_within(bulk);
	warn_of_partial(bulk);
}

/* Delete the lock rows of the partitions of a batch that have one. */
static void
delete_locks(const Partition *partitions, size_t count)
{
	ItemPointerData *tids = palloc(count * sizeof(ItemPointerData));
	size_t		n = 0;

	for (size_t i = 0; i < count; i++)
	{
		if (partitions[i].lock != NULL)
			tids[n++] = partitions[i].lock->tid;
	}
	if (n > 0)
		row_delete_many(LOCK_BY_KEY, tids, n);
	pfree(tids);
}

/*
 * Judge the partitions of a batch; those whose state does not change are left
 * out of it.  (What is judged otherwise than VERDICT_CHANGE and _NOTHING raises
 * an error in the calls that end a lock.)
 */
static void
keep_changed(const Bulk *bulk, Batch *batch)
{
	size_t		kept = 0;

	for (size_t i = 0; i < batch->count; i++)
	{
		if (transition_allow(&bulk->claim, &batch->items[i]) != VERDICT_CHANGE)
			continue;
		interval_set_add(&batch->changed, batch->items[i].during);
		batch->items[kept++] = batch->items[i];
	}
	batch->count = kept;
}

/* The states that the partitions of a batch were in when they were read */
static StateBefore *
states_of(const Batch *batch)
{
	StateBefore *states = palloc_extended(Max(batch->count, 1) * sizeof(StateBefore),
										  MCXT_ALLOC_HUGE);

	for (size_t i = 0; i < batch->count; i++)
		states[i] = partition_state(&batch->items[i]);
	return states;
}

/* Locking and failing */

typedef struct LockWork
{
	const char *reason;
	bool		has_lease;
	int64		lease;
} LockWork;

/*
 * Write lock rows that are alike in all but the partition: new ones where there
 * is none, in the place of the old one elsewhere.
 */
static void
put_locks(const Bulk *bulk, const Batch *batch, LockRow *row)
{
	IntervalSet fresh = {0};

	row->source_id = bulk->access.source_id;
	row->provider_id = bulk->access.provider_id;
	row->since = bulk->claim.now;
	row->holder = bulk->claim.holder;
	for (size_t i = 0; i < batch->count; i++)
	{
		const Partition *partition = &batch->items[i];

		if (partition->lock == NULL)
		{
			interval_set_add(&fresh, partition->during);
			continue;
		}
		row->during = partition->during;
		row->tid = partition->lock->tid;
		lockrow_update(row);
	}
	lockrow_insert_many(row, fresh.items, fresh.count);
}

/* A holder's own lock: another lease, and another reason if one is given */
static void
renew(const Partition *partition, const LockRow *lease, const char *reason)
{
	LockRow		row = *partition->lock;

	row.has_lease = lease->has_lease;
	row.lease_expires_at = lease->lease_expires_at;
	if (reason != NULL)
		row.reason = reason;
	lockrow_update(&row);
}

static void
lock_work(Bulk *bulk, Batch *batch, void *arg)
{
	const LockWork *work = arg;
	LockRow		row = {
		.reason = work->reason,
		.has_lease = work->has_lease
	};
	Batch		taken_over = {0};
	size_t		kept = 0;

	if (work->has_lease)
		row.lease_expires_at = timestamp_after(bulk->claim.now, work->lease);
	taken_over.items = palloc_extended(batch->count * sizeof(Partition),
									   MCXT_ALLOC_HUGE);
	for (size_t i = 0; i < batch->count; i++)
	{
		Partition  *partition = &batch->items[i];

		switch (transition_allow(&bulk->claim, partition))
		{
			case VERDICT_RENEW:
				renew(partition, &row, work->reason);
				break;
			case VERDICT_TAKE_OVER:
				interval_set_add(&batch->taken_over, partition->during);
				taken_over.items[taken_over.count++] = *partition;
				break;
			default:
				interval_set_add(&batch->changed, partition->during);
				batch->items[kept++] = *partition;
		}
	}
	batch->count = kept;

	row.change = "take_over";
	put_locks(bulk, &taken_over, &row);
	bulk_record(bulk, "take_over", bulk->claim.holder, work->reason, NULL,
				&batch->taken_over, states_of(&taken_over));
	row.change = "lock";
	put_locks(bulk, batch, &row);
	bulk_record(bulk, "lock", bulk->claim.holder, work->reason, NULL,
				&batch->changed, states_of(batch));
}

/*
 * lock_partitions(source_name text, provider_name text, during tstzrange,
 *				   access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *				   lease interval DEFAULT NULL, reason text DEFAULT NULL)
 *		returns bigint: how many are newly yours
 *
 * Errors: 22004, 42501, 42704 (none within), 22023, 55006.
 */
Datum
lock_partitions(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	Interval   *lease;
	LockWork	work = {0};
	Bulk		bulk;

	partition_read_call(fcinfo, 3, 4, &call);
	lease = argument_interval(fcinfo, 5);
	work.reason = argument_reason(fcinfo, 6);

	write_begin("lock_partitions()");
	bulk_begin(&call, ACCESS_WRITE, "locked", &bulk);
	bulk.claim.call = CALL_LOCK;
	work.has_lease = lease != NULL;
	if (lease != NULL)
		work.lease = check_duration(lease, "lease");
	for_each_batch(&bulk, lock_work, &work);
	bulk_notify(&bulk, "lock");
	write_end();
	PG_RETURN_INT64(bulk.changed);
}

static void
fail_work(Bulk *bulk, Batch *batch, void *arg)
{
	const char *reason = arg;
	LockRow		row = {
		.failed = true,
		.reason = reason,
		.change = "fail"
	};
	LockRow		no_lease = {0};

	for (size_t i = 0; reason != NULL && i < batch->count; i++)
	{
		const Partition *partition = &batch->items[i];

		if (transition_allow(&bulk->claim, partition) == VERDICT_NOTHING)
			renew(partition, &no_lease, reason);
	}
	keep_changed(bulk, batch);
	put_locks(bulk, batch, &row);
	bulk_record(bulk, "fail", bulk->claim.holder, reason, NULL,
				&batch->changed, states_of(batch));
}

/*
 * fail_partitions(source_name text, provider_name text, during tstzrange,
 *				   access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *				   reason text DEFAULT NULL)
 *		returns bigint: how many changed
 *
 * Errors: 22004, 42501, 42704 (none within), 22023, 55006.
 */
Datum
fail_partitions(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	char	   *reason;
	Bulk		bulk;

	partition_read_call(fcinfo, 3, 4, &call);
	reason = argument_reason(fcinfo, 5);

	write_begin("fail_partitions()");
	bulk_begin(&call, ACCESS_WRITE, "failed", &bulk);
	bulk.claim.call = CALL_FAIL;
	for_each_batch(&bulk, fail_work, reason);
	bulk_notify(&bulk, "fail");
	write_end();
	PG_RETURN_INT64(bulk.changed);
}

/* Unlocking and retiring */

typedef struct ChangeWork
{
	Jsonb	   *details;
	IntervalSet instants;		/* made available, or withdrawn; coalesced */
	MemoryContext memory;		/* of that */
} ChangeWork;

static void
collect_instants(ChangeWork *work, const Batch *batch, bool pending)
{
	MemoryContext old = MemoryContextSwitchTo(work->memory);

	for (size_t i = 0; i < batch->count; i++)
	{
		if (batch->items[i].pending == pending)
			interval_set_add(&work->instants, batch->items[i].during);
	}
	interval_set_coalesce(&work->instants);
	MemoryContextSwitchTo(old);
}

/* Events for those whose state does not change, but what is said of them */
static void
record_news(Bulk *bulk, const Batch *batch, Jsonb *details)
{
	IntervalSet news = {0};
	StateBefore *states = palloc_extended(Max(batch->count, 1) * sizeof(StateBefore),
										  MCXT_ALLOC_HUGE);

	for (size_t i = 0; details != NULL && i < batch->count; i++)
	{
		const Partition *partition = &batch->items[i];

		if (transition_allow(&bulk->claim, partition) == VERDICT_NOTHING &&
			partition_has_news(&bulk->access, partition, details))
		{
			states[news.count] = partition_state(partition);
			interval_set_add(&news, partition->during);
		}
	}
	bulk_record(bulk, "unlock", bulk->claim.holder, NULL, details, &news,
				states);
	bulk->changed -= news.count;
}

static void
unlock_work(Bulk *bulk, Batch *batch, void *arg)
{
	ChangeWork *work = arg;

	record_news(bulk, batch, work->details);
	keep_changed(bulk, batch);
	delete_locks(batch->items, batch->count);
	partition_supply_many(&bulk->access, batch->items, batch->count,
						  bulk->claim.holder, bulk->claim.now);
	collect_instants(work, batch, true);
	bulk_record(bulk, "unlock", bulk->claim.holder, NULL, work->details,
				&batch->changed, states_of(batch));
}

/* Add to the provider's spans, or cut out of them, what a call changed. */
static void
apply_instants(Bulk *bulk, const ChangeWork *work,
			   void (*apply) (const Access *access, TimeInterval interval))
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
												 "partreg spans",
												 ALLOCSET_DEFAULT_SIZES);

	for (size_t i = 0; i < work->instants.count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(memory);

		apply(&bulk->access, work->instants.items[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(memory);
		bulk_progress(bulk);
	}
}

/*
 * unlock_partitions(source_name text, provider_name text, during tstzrange,
 *					 access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *					 details jsonb DEFAULT NULL)
 *		returns bigint: how many changed
 *
 * Errors: 22004, 42501, 42704 (none within), 22023, 55006, 55000 (this holder
 * has unlocked one of them already).
 */
Datum
unlock_partitions(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	struct varlena *details;
	ChangeWork	work = {0};
	Bulk		bulk;

	partition_read_call(fcinfo, 3, 4, &call);
	details = argument_details(fcinfo, 5);

	write_begin("unlock_partitions()");
	bulk_begin(&call, ACCESS_WRITE, "unlocked", &bulk);
	bulk.claim.call = CALL_UNLOCK;
	work.details = check_details(details);
	work.memory = CurrentMemoryContext;
	for_each_batch(&bulk, unlock_work, &work);
	apply_instants(&bulk, &work, coverage_add);
	bulk_notify(&bulk, "unlock");
	write_end();
	PG_RETURN_INT64(bulk.changed);
}

static void
retire_work(Bulk *bulk, Batch *batch, void *arg)
{
	ItemPointerData *tids;

	keep_changed(bulk, batch);
	delete_locks(batch->items, batch->count);
	tids = palloc(batch->count * sizeof(ItemPointerData));
	for (size_t i = 0; i < batch->count; i++)
		tids[i] = batch->items[i].tid;
	row_delete_many(batch->table, tids, batch->count);
	collect_instants(arg, batch, false);
	bulk_record(bulk, "retire", bulk->claim.named ? bulk->claim.holder : NULL,
				NULL, NULL, &batch->changed, states_of(batch));
}

/*
 * retire_partitions(source_name text, provider_name text, during tstzrange,
 *					 access_token text DEFAULT NULL, holder text DEFAULT NULL)
 *		returns bigint: how many were retired
 *
 * Errors: 22004, 42501, 42704 (none within), 22023, 55006.
 */
Datum
retire_partitions(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	ChangeWork	work = {0};
	Bulk		bulk;

	partition_read_call(fcinfo, 3, 4, &call);

	write_begin("retire_partitions()");
	bulk_begin(&call, ACCESS_WITHDRAW, "retired", &bulk);
	bulk.claim.call = CALL_RETIRE;
	work.memory = CurrentMemoryContext;
	provider_count_epoch(&bulk.access);
	for_each_batch(&bulk, retire_work, &work);
	apply_instants(&bulk, &work, coverage_withdraw);
	bulk_notify(&bulk, "retire");
	write_end();
	PG_RETURN_INT64(bulk.changed);
}
