/*
 * row.c
 *		Locking and writing single rows of our own tables.
 *
 * A call about one partition locks and writes a handful of rows that it has
 * found by index.  Through the executor, each would cost more than the row
 * itself; so this does what the executor does to a single row, by the functions
 * with which PostgreSQL applies changes of logical replication: constraints,
 * indexes (with their waits for others that insert the same key) and triggers
 * are looked after.
 *
 * Each write ends with a CommandCounterIncrement, so that the snapshots taken
 * after it see it.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "row.h"
#include "snapshot.h"

/*
 * Lock the row under a scan, which was opened for it (RowShareLock at least) in
 * a snapshot of current_snapshot().  Waits for whoever is changing it; then the
 * scan is on its latest version.  False: it is gone.
 */
bool
row_lock(CatalogScan *scan, LockTupleMode mode)
{
	ItemPointerData tid = scan->slot->tts_tid;
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	TM_FailureData failure;
	TM_Result	result;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	ExecClearTuple(scan->slot);
	result = table_tuple_lock(scan->table, &tid, scan->snapshot, scan->slot,
							  GetCurrentCommandId(false), mode, LockWaitBlock,
							  flags, &failure);
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

/* A table with its indexes, to be written to */
typedef struct Target
{
	EState	   *estate;
	ResultRelInfo *relation;
} Target;

static void
open_target(Relation table, Target *target)
{
	target->estate = CreateExecutorState();
	target->relation = makeNode(ResultRelInfo);
	InitResultRelInfo(target->relation, table, 0, NULL, 0);
	ExecOpenIndices(target->relation, false);
}

static void
close_target(Target *target)
{
	ExecCloseIndices(target->relation);
	FreeExecutorState(target->estate);
	pfree(target->relation);
	CommandCounterIncrement();
}

/* Insert a row. */
void
row_insert(CatalogIndex which, Datum *values, bool *nulls)
{
	Relation	table = catalog_open_table(which, RowExclusiveLock);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(table),
													&TTSOpsVirtual);
	Target		target;

	memcpy(slot->tts_values, values,
		   slot->tts_tupleDescriptor->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, nulls,
		   slot->tts_tupleDescriptor->natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);

	open_target(table, &target);
	ExecSimpleRelationInsert(target.relation, target.estate, slot);
	close_target(&target);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
}

/*
 * Replace some values of the row under a scan that was opened for writing
 * (RowExclusiveLock).  Nobody else may be able to change it.
 */
void
row_update(CatalogScan *scan, Datum *values, bool *nulls, bool *replace)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(scan->table),
													&TTSOpsVirtual);
	Target		target;

	slot_getallattrs(scan->slot);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		slot->tts_values[i] = replace[i] ? values[i] : scan->slot->tts_values[i];
		slot->tts_isnull[i] = replace[i] ? nulls[i] : scan->slot->tts_isnull[i];
	}
	ExecStoreVirtualTuple(slot);

	open_target(scan->table, &target);
	ExecSimpleRelationUpdate(target.relation, target.estate, NULL, scan->slot,
							 slot);
	close_target(&target);
	ExecDropSingleTupleTableSlot(slot);
}

/* Delete the row under a scan, likewise. */
void
row_delete(CatalogScan *scan)
{
	Target		target;

	open_target(scan->table, &target);
	ExecSimpleRelationDelete(target.relation, target.estate, NULL, scan->slot);
	close_target(&target);
}
