/*
 * lockrow.c
 *		The rows of partreg.lock: partitions that are locked or failed.
 *
 * Whoever changes the state of a partition has its row in partreg.partition
 * locked, so the lock row cannot change while its state is judged; but under
 * REPEATABLE READ the transaction's snapshot may be older than the last change.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "compat.h"
#include "lockrow.h"

/* Copy the row under a scan of LOCK_BY_KEY. */
void
lockrow_read(CatalogScan *scan, LockRow *row)
{
	bool		isnull;
	Datum		value;

	row->during.start = DatumGetTimestampTz(catalog_entry_value(scan, 3));
	row->during.end = DatumGetTimestampTz(catalog_entry_value(scan, 4));
	row->provider_id = DatumGetInt32(catalog_entry_value(scan, 5));
	value = catalog_row_value(scan, Anum_lock_state, &isnull);
	row->failed = *VARDATA_ANY(DatumGetTextPP(value)) == 'f';
	row->since = DatumGetTimestampTz(catalog_row_value(scan, Anum_lock_since,
													   &isnull));
	row->holder = TextDatumGetCString(catalog_row_value(scan, Anum_lock_holder,
														&isnull));
	value = catalog_row_value(scan, Anum_lock_lease_expires_at, &isnull);
	row->has_lease = !isnull;
	row->lease_expires_at = isnull ? 0 : DatumGetTimestampTz(value);
	value = catalog_row_value(scan, Anum_lock_reason, &isnull);
	row->reason = isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Find the lock row of one partition in a snapshot; `version` tells versions
 * of it apart.
 */
static bool
find_in(Snapshot snapshot, int32 source_id, int32 provider_id,
		TimeInterval during, LockRow *row, ItemPointer version)
{
	CatalogScan scan;
	ScanKeyData keys[5];
	bool		found;

	catalog_begin(&scan, LOCK_BY_KEY, snapshot);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(source_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ,
				Int16GetDatum(length_class(during)));
	ScanKeyInit(&keys[2], 3, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
				TimestampTzGetDatum(during.start));
	ScanKeyInit(&keys[3], 4, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
				TimestampTzGetDatum(during.end));
	ScanKeyInit(&keys[4], 5, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(provider_id));
	catalog_seek(&scan, keys, 5);
	found = catalog_next_row(&scan, ForwardScanDirection);
	if (found)
	{
		lockrow_read(&scan, row);
		*version = scan.slot->tts_tid;
	}
	catalog_end(&scan);
	return found;
}

/*
 * The lock row of a partition whose own row is locked; false: there is none.
 */
bool
lockrow_find(int32 source_id, int32 provider_id, TimeInterval during,
			 LockRow *row)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ItemPointerData version;
	bool		found;

	found = find_in(snapshot, source_id, provider_id, during, row, &version);
	UnregisterSnapshot(snapshot);

	if (IsolationUsesXactSnapshot())
	{
		LockRow		old;
		ItemPointerData old_version;
		bool		found_old;

		snapshot = RegisterSnapshot(GetTransactionSnapshot());
		found_old = find_in(snapshot, source_id, provider_id, during, &old,
							&old_version);
		UnregisterSnapshot(snapshot);
		if (found != found_old ||
			(found && !ItemPointerEquals(&version, &old_version)))
			raise_concurrent_change();
	}
	return found;
}

/*
 * Under REPEATABLE READ and SERIALIZABLE: does the transaction's snapshot know
 * the lock rows of a provider that lie within a window as they are now?
 */
void
lockrow_refuse_old_snapshot(int32 source_id, int32 provider_id,
							TimeInterval window)
{
	OverlapScan overlap;
	Snapshot	snapshots[2];
	uint64		rows[2] = {0, 0};
	uint64		versions[2] = {0, 0};

	if (!IsolationUsesXactSnapshot())
		return;
	snapshots[0] = RegisterSnapshot(GetTransactionSnapshot());
	snapshots[1] = RegisterSnapshot(GetLatestSnapshot());
	for (int i = 0; i < 2; i++)
	{
		overlap_begin(&overlap, LOCK_BY_KEY, NULL, snapshots[i]);
		overlap_seek(&overlap, source_id, window);
		while (overlap_next(&overlap))
		{
			bool		isnull;
			ItemPointer tid = &overlap.scan.slot->tts_tid;

			if (overlap.during.start < window.start ||
				overlap.during.end > window.end ||
				DatumGetInt32(catalog_row_value(&overlap.scan,
												Anum_lock_provider_id,
												&isnull)) != provider_id)
				continue;
			rows[i]++;
			versions[i] = hash_combine64(versions[i],
										 ((uint64) ItemPointerGetBlockNumber(tid) << 16) |
										 ItemPointerGetOffsetNumber(tid));
		}
		overlap_end(&overlap);
		UnregisterSnapshot(snapshots[i]);
	}
	if (rows[0] != rows[1] || versions[0] != versions[1])
		raise_concurrent_change();
}
