/*
 * row.c
 *		Locking and writing single rows of our own tables.
 *
 * A call about one partition locks and writes a handful of rows that it has
 * found by index.  Through the executor, each would cost more than the row
 * itself; so this does what the executor does to a single row, by the functions
 * with which PostgreSQL applies changes of logical replication: constraints,
 * indexes (with their waits for others that insert the same key) and triggers
 * are looked after.  row_try_insert() looks after the indexes alone, and
 * row_insert_many() after them without exclusion constraints.
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
 * a snapshot of current_snapshot().  Waits for whoever is changing it; then the
 * scan is on its latest version.  False: it is gone.  `waited`: whether it had
 * to wait (NULL: nobody asks).
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

/* A table with its indexes, to be written to */
typedef struct Target
{
	Relation	table;
	EState	   *estate;
	ResultRelInfo *relation;
	TupleTableSlot *slot;
} Target;

static void
open_target(CatalogIndex which, bool speculative, Target *target)
{
	target->table = catalog_open_table(which, RowExclusiveLock);
	target->estate = CreateExecutorState();
	/*
	 * From 19 on, who looks for a conflict wants to see it, too: every row is
	 * seen, and the caller says what one means that its snapshot does not know.
	 */
	target->estate->es_snapshot = SnapshotAny;
	target->relation = makeNode(ResultRelInfo);
	InitResultRelInfo(target->relation, target->table, 0, NULL, 0);
	ExecOpenIndices(target->relation, speculative);
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
 * Insert a row, unless a unique or exclusion constraint of its table forbids
 * it; false: what forbids it is committed, or our own.  Waits for open
 * transactions that have inserted such a row.
 *
 * This is INSERT ... ON CONFLICT DO NOTHING for those who know that there is
 * hardly ever a conflict: the executor looks for one, inserts, and looks
 * again, as only the second look is conclusive.  Here the first is left out,
 * and made where the second has found something.  No constraint but the
 * indexes' is looked at.
 */
bool
row_try_insert(CatalogIndex which, const Datum *values, const bool *nulls)
{
	TransactionId xid = GetCurrentTransactionId();
	Target		target;
	ItemPointerData conflicting;
	bool		conflict;

	open_target(which, true, &target);
	fill_slot(target.slot, values, nulls);
	do
	{
		uint32		token = SpeculativeInsertionLockAcquire(xid);

		conflict = false;
		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(target.estate);
		table_tuple_insert_speculative(target.table, target.slot,
									   GetCurrentCommandId(true), 0, NULL,
									   token);
		insert_index_tuples_compat(target.relation, target.slot,
								   target.estate, &conflict);
		table_tuple_complete_speculative(target.table, target.slot, token,
										 !conflict);
		SpeculativeInsertionLockRelease(xid);

		/* What is in the way may be gone again: wait until that is certain. */
	} while (conflict &&
			 check_index_constraints_compat(target.relation, target.slot,
											target.estate, &conflicting));
	close_target(&target);
	return !conflict;
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
	BulkInsertState state = GetBulkInsertState();
	Target		target;

	open_target(which, false, &target);
	for (int i = 0; i < target.relation->ri_NumIndices; i++)
		target.relation->ri_IndexRelationInfo[i]->ii_ExclusionOps = NULL;
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

	open_target(which, false, &target);
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
