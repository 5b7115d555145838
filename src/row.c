/*
 * row.c
 *		Locking and writing single rows of our own tables.
 *
 * A call about one partition locks and writes a handful of rows that it has
 * found by index.  Through the executor, each would cost more than the row
 * itself; so this does what the executor does to a single row, by the functions
 * with which PostgreSQL applies changes of logical replication: constraints,
 * indexes (with their waits for others that insert the same key) and triggers
 * are looked after.  row_try_insert() and row_insert_many() look after the
 * indexes alone.
 *
 * No exclusion constraint is looked at: whoever writes spans, which have the
 * only one, knows that nothing is in the way, or finds out more cheaply
 * (coverage.c).
 *
 * Each write ends with a CommandCounterIncrement, so that the snapshots taken
 * after it see it.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "row.h"
#include "snapshot.h"

/* How many rows row_insert_many() collects before it writes them */
#define ROWS_AT_ONCE	1000

static TM_Result
try_lock(CatalogScan *scan, ItemPointer tid, LockTupleMode mode,
		 LockWaitPolicy policy)
{
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	ExecClearTuple(scan->slot);
	return table_tuple_lock(scan->table, tid, scan->snapshot, scan->slot,
							GetCurrentCommandId(false), mode, policy, flags,
							&failure);
}

/*
 * Lock the row under a scan, which was opened for it (RowShareLock at least) in
 * a snapshot of current_snapshot().  Waits for a transaction that is changing
 * it; then the scan is on its latest version.  False: it is gone.  `waited`:
 * whether it had to wait (may be NULL).
 */
bool
row_lock_told(CatalogScan *scan, LockTupleMode mode, bool *waited)
{
	ItemPointerData tid = scan->slot->tts_tid;
	TM_Result	result = TM_WouldBlock;

	if (waited != NULL)
	{
		ItemPointerData found = tid;

		result = try_lock(scan, &found, mode, LockWaitSkip);
		*waited = result == TM_WouldBlock;
	}
	if (result == TM_WouldBlock)
		result = try_lock(scan, &tid, mode, LockWaitBlock);
	switch (result)
	{
		case TM_Ok:
			return true;
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				raise_concurrent_change();
			return false;
		case TM_SelfModified:
			return false;
		default:
			elog(ERROR, "unexpected result of table_tuple_lock: %d",
				 (int) result);
	}
}

bool
row_lock(CatalogScan *scan, LockTupleMode mode)
{
	return row_lock_told(scan, mode, NULL);
}

/*
 * Lock a version of a row, found by such a scan, if nobody has changed it since
 * and nobody has to be waited for.
 */
bool
row_lock_at_once(CatalogScan *scan, ItemPointer tid, LockTupleMode mode)
{
	ItemPointerData found = *tid;

	return try_lock(scan, &found, mode, LockWaitSkip) == TM_Ok &&
		ItemPointerEquals(&scan->slot->tts_tid, tid);
}

/* A table with its indexes, to be written to */
typedef struct Target
{
	Relation	table;
	EState	   *estate;
	ResultRelInfo *relation;
	TupleTableSlot *slot;
} Target;

/* Who only deletes needs no index. */
static void
open_target(CatalogIndex which, bool deletes, Target *target)
{
	target->table = catalog_open_table(which, RowExclusiveLock);
	target->estate = CreateExecutorState();

	/*
	 * From 19 on, who looks for a conflict wants to see it, too: every row is
	 * seen, and the caller says what one means that its snapshot does not
	 * know.
	 */
	target->estate->es_snapshot = SnapshotAny;
	target->relation = makeNode(ResultRelInfo);
	InitResultRelInfo(target->relation, target->table, 0, NULL, 0);
	if (!deletes)
		ExecOpenIndices(target->relation, false);
	for (int i = 0; i < target->relation->ri_NumIndices; i++)
		target->relation->ri_IndexRelationInfo[i]->ii_ExclusionOps = NULL;
	target->slot = MakeSingleTupleTableSlot(RelationGetDescr(target->table),
											&TTSOpsVirtual);
}

static void
close_target(Target *target)
{
	ExecDropSingleTupleTableSlot(target->slot);
	ExecCloseIndices(target->relation);
	FreeExecutorState(target->estate);
	pfree(target->relation);
	table_close(target->table, NoLock);
	CommandCounterIncrement();
}

static void
fill_slot(TupleTableSlot *slot, const Datum *values, const bool *nulls)
{
	int			natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls, natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

/* Insert a row into the table of an index. */
void
row_insert(CatalogIndex which, const Datum *values, const bool *nulls)
{
	Target		target;

	open_target(which, false, &target);
	fill_slot(target.slot, values, nulls);
	ExecSimpleRelationInsert(target.relation, target.estate, target.slot);
	close_target(&target);
}

/*
 * Is something in the way of the row that was just inserted?  Of two who have
 * both inserted speculatively the older one waits for the other to give way: if
 * both did, they could do so for ever.
 */
static bool
has_rival(RivalFinder find_rival, const void *arg, ItemPointer own)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	while (find_rival(arg, own, &dirty))
	{
		if (dirty.speculativeToken == 0 ||
			!TransactionIdPrecedes(GetCurrentTransactionId(), dirty.xmin))
			return true;
		SpeculativeInsertionWait(dirty.xmin, dirty.speculativeToken);
	}
	return false;
}

/*
 * Is there something in the way of a row?  Who is inserting or deleting it is
 * waited for, until that is certain.
 */
static bool
rival_stays(RivalFinder find_rival, const void *arg)
{
	SnapshotData dirty;

	InitDirtySnapshot(dirty);
	while (find_rival(arg, NULL, &dirty))
	{
		TransactionId other = TransactionIdIsValid(dirty.xmin) ? dirty.xmin
			: dirty.xmax;

		if (dirty.speculativeToken != 0)
			SpeculativeInsertionWait(other, dirty.speculativeToken);
		else if (TransactionIdIsValid(other))
			XactLockTableWait(other, NULL, NULL, XLTW_None);
		else
			return true;
	}
	return false;
}

/*
 * Insert a row, unless `find_rival` finds one that must not be beside it; false:
 * that one is committed, or our own.  Waits for open transactions that have
 * inserted or deleted such a row.
 *
 * This is what the executor does for INSERT ... ON CONFLICT DO NOTHING: insert
 * speculatively, look, and take back.  Whoever inserts a rival at the same time
 * does the same, and of two who look after both have inserted at least one
 * sees the other.  The look comes after all indexes have the row, so it may go
 * by any of them.  (The executor looks before as well, which is not worth it
 * where there hardly ever is a rival.)  A row that is equal in a unique key is
 * a rival, and no other constraint is looked at.
 */
bool
row_try_insert(CatalogIndex which, const Datum *values, const bool *nulls,
			   RivalFinder find_rival, const void *arg)
{
	TransactionId xid = GetCurrentTransactionId();
	Target		target;
	bool		inserted;

	open_target(which, false, &target);
	fill_slot(target.slot, values, nulls);
	do
	{
		uint32		token = SpeculativeInsertionLockAcquire(xid);
		bool		conflict = false;

		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(target.estate);
		table_tuple_insert_speculative(target.table, target.slot,
									   GetCurrentCommandId(true), 0, NULL,
									   token);
		insert_index_tuples_compat(target.relation, target.slot,
								   target.estate, &conflict);
		inserted = !has_rival(find_rival, arg, &target.slot->tts_tid) &&
			!conflict;
		table_tuple_complete_speculative(target.table, target.slot, token,
										 inserted);
		SpeculativeInsertionLockRelease(xid);
	} while (!inserted && !rival_stays(find_rival, arg));
	close_target(&target);
	return inserted;
}

/*
 * Insert many rows, a page at a time, as COPY does.  `fill` is asked for each
 * of them in turn.  Their values are ours: no constraint but unique indexes is
 * looked at.
 */
void
row_insert_many(CatalogIndex which, size_t count, RowFiller fill, void *arg)
{
	TupleTableSlot *slots[ROWS_AT_ONCE];
	int			n_slots = Min(count, ROWS_AT_ONCE);
	BulkInsertState state = NULL;
	Target		target;

	/* A ring of buffers of their own is for those who fill many. */
	if (count > ROWS_AT_ONCE)
		state = GetBulkInsertState();
	open_target(which, false, &target);
	for (int i = 0; i < n_slots; i++)
		slots[i] = table_slot_create(target.table, NULL);
	for (size_t done = 0; done < count;)
	{
		int			n = Min(count - done, n_slots);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < n; i++)
		{
			ExecClearTuple(slots[i]);
			fill(arg, done + i, slots[i]->tts_values, slots[i]->tts_isnull);
			ExecStoreVirtualTuple(slots[i]);
		}
		table_multi_insert(target.table, slots, n, GetCurrentCommandId(true), 0,
						   state);
		for (int i = 0; i < n; i++)
		{
			ResetPerTupleExprContext(target.estate);
			insert_index_tuples_compat(target.relation, slots[i],
									   target.estate, NULL);
		}
		done += n;
	}
	for (int i = 0; i < n_slots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	if (state != NULL)
		FreeBulkInsertState(state);
	close_target(&target);
}

/*
 * Put other values in the place of a row that nobody else can change, as its
 * row or that of its partition is locked.
 */
void
row_update(CatalogIndex which, ItemPointer tid, const Datum *values,
		   const bool *nulls)
{
	TupleTableSlot *old;
	Target		target;

	open_target(which, false, &target);
	old = MakeSingleTupleTableSlot(RelationGetDescr(target.table),
								   &TTSOpsVirtual);
	old->tts_tid = *tid;
	fill_slot(target.slot, values, nulls);
	ExecSimpleRelationUpdate(target.relation, target.estate, NULL, old,
							 target.slot);
	ExecDropSingleTupleTableSlot(old);
	close_target(&target);
}

/* Delete rows, likewise. */
void
row_delete_many(CatalogIndex which, const ItemPointerData *tids, size_t count)
{
	Target		target;

	open_target(which, true, &target);
	for (size_t i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		target.slot->tts_tid = tids[i];
		ExecSimpleRelationDelete(target.relation, target.estate, NULL,
								 target.slot);
	}
	close_target(&target);
}

void
row_delete(CatalogIndex which, ItemPointer tid)
{
	row_delete_many(which, tid, 1);
}
