/*
 * snapshot.c
 *		What a transaction may rely on when its snapshot is old.
 *
 * Under READ COMMITTED each look takes a new snapshot, and what follows the wait
 * for a row lock sees what was committed meanwhile.  Under REPEATABLE READ and
 * SERIALIZABLE the transaction has one snapshot, and somebody may have
 * committed since.  Three rules keep such a transaction from acting on what is
 * no longer so (docs/design.md, rules 2, 5 and 6):
 *
 * - A row is found and locked by the transaction's own snapshot
 *	 (current_snapshot()).  PostgreSQL refuses to lock a version that is not the
 *	 latest: 40001.  What takes something away updates a key of the provider's
 *	 row, so that those who lock that row afterwards notice.
 *
 * - What decides and cannot be locked (lock rows, which may be absent; spans
 *	 and partitions of a range) is read by the transaction's snapshot and by the
 *	 latest, and the two have to agree (snapshot_compare()).
 *
 * - Tokens, expiries and revocations are read by the latest snapshot alone:
 *	 nobody may go on with a token because an old snapshot still has it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"

#include "snapshot.h"

/*
 * The snapshot to find rows by that are then locked: a new one under READ
 * COMMITTED, the transaction's otherwise.  Registered; the caller unregisters
 * it.
 */
Snapshot
current_snapshot(void)
{
	return RegisterSnapshot(GetTransactionSnapshot());
}

/* What is committed now, whatever the isolation level; registered likewise. */
Snapshot
latest_snapshot(void)
{
	return RegisterSnapshot(GetLatestSnapshot());
}

/*
 * Under REPEATABLE READ and SERIALIZABLE: raise 40001 if a reader does not see
 * in the transaction's snapshot what it sees in the latest.
 */
void
snapshot_compare(SnapshotReader reader, const void *arg)
{
	uint64		sums[2];

	if (!IsolationUsesXactSnapshot())
		return;
	for (int i = 0; i < 2; i++)
	{
		Snapshot	snapshot = i == 0 ? current_snapshot() : latest_snapshot();

		sums[i] = reader(snapshot, arg);
		UnregisterSnapshot(snapshot);
	}
	if (sums[0] != sums[1])
		raise_concurrent_change();
}

/* Add a version of a row to a reader's sum. */
uint64
snapshot_sum(uint64 sum, ItemPointer version)
{
	return hash_combine64(sum + 1,
						  ((uint64) ItemPointerGetBlockNumber(version) << 16) |
						  ItemPointerGetOffsetNumber(version));
}

/*
 * Something that this call depends on changed after the transaction's snapshot.
 * PostgreSQL's own message.
 */
void
raise_concurrent_change(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errhint("Repeat the transaction.")));
}
