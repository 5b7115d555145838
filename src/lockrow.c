/*
 * lockrow.c
 *		The rows of partreg.lock: partitions that are locked or failed.
 *
 * A call that changes the state of a partition has locked its row in
 * partreg.pending or partreg.partition, so the lock row cannot change while
 * the state is judged.  It is read by the latest snapshot.  Under REPEATABLE
 * READ the transaction's own snapshot must see the same lock row, or none if
 * there is none.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "lockrow.h"
#include "row.h"
#include "snapshot.h"

/* Copy the row under a scan of LOCK_BY_KEY. */
void
lockrow_read(CatalogScan *scan, LockRow *row)
{
	bool		isnull;
	Datum		state = catalog_row_value(scan, Anum_lock_state, &isnull);

	row->during = catalog_row_interval(scan);
	row->source_id = catalog_row_int32(scan, Anum_lock_source_id);
	row->provider_id = catalog_row_int32(scan, Anum_lock_provider_id);
	row->failed = *VARDATA_ANY(DatumGetTextPP(state)) == 'f';
	(void) catalog_row_time(scan, Anum_lock_since, &row->since);
	row->holder = catalog_row_text(scan, Anum_lock_holder);
	row->has_lease = catalog_row_time(scan, Anum_lock_lease_expires_at,
									  &row->lease_expires_at);
	row->reason = catalog_row_text(scan, Anum_lock_reason);
	row->change = catalog_row_text(scan, Anum_lock_change);
	row->tid = scan->slot->tts_tid;
}

/* One partition, for snapshot_compare() */
typedef struct LockKey
{
	int32		source_id;
	int32		provider_id;
	TimeInterval during;
} LockKey;

static uint64
sum_one(Snapshot snapshot, const void *arg)
{
	const LockKey *key = arg;
	CatalogScan scan;
	uint64		sum = 0;

	catalog_begin(&scan, LOCK_BY_KEY, snapshot);
	catalog_seek_lock(&scan, key->source_id, key->provider_id, key->during);
	if (catalog_next_row(&scan, ForwardScanDirection))
		sum = snapshot_sum(0, &scan.slot->tts_tid);
	catalog_end(&scan);
	return sum;
}

/*
 * The lock row of a partition whose own row is locked; false: there is none.
 */
bool
lockrow_find(int32 source_id, int32 provider_id, TimeInterval during,
			 LockRow *row)
{
	Snapshot	snapshot = latest_snapshot();
	LockKey		key = {source_id, provider_id, during};
	CatalogScan scan;
	bool		found;

	catalog_begin(&scan, LOCK_BY_KEY, snapshot);
	catalog_seek_lock(&scan, source_id, provider_id, during);
	found = catalog_next_row(&scan, ForwardScanDirection);
	if (found)
		lockrow_read(&scan, row);
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);

	snapshot_compare(sum_one, &key);
	return found;
}

/*
 * The same, and its row is locked, for those who have not locked the provider's:
 * revoking that changes lock rows without locking partitions.
 */
bool
lockrow_lock(int32 source_id, int32 provider_id, TimeInterval during,
			 LockRow *row)
{
	bool		found;
	bool		locked;

	do
	{
		Snapshot	snapshot = current_snapshot();
		CatalogScan scan;

		catalog_begin_for_locking(&scan, LOCK_BY_KEY, snapshot);
		catalog_seek_lock(&scan, source_id, provider_id, during);
		found = catalog_next_row(&scan, ForwardScanDirection);
		locked = found && row_lock(&scan, LockTupleNoKeyExclusive);
		if (locked)
			lockrow_read(&scan, row);
		catalog_end(&scan);
		UnregisterSnapshot(snapshot);
	} while (found && !locked);
	return locked;
}

/* All of a provider within a window, for snapshot_compare() */
static uint64
sum_window(Snapshot snapshot, const void *arg)
{
	const LockKey *key = arg;
	OverlapScan overlap;
	uint64		sum = 0;

	overlap_begin(&overlap, LOCK_BY_KEY, NULL, snapshot);
	overlap_seek(&overlap, key->source_id, key->during);
	while (overlap_next(&overlap))
	{
		if (overlap.during.start >= key->during.start &&
			overlap.during.end <= key->during.end &&
			catalog_row_int32(&overlap.scan,
							  Anum_lock_provider_id) == key->provider_id)
			sum = snapshot_sum(sum, &overlap.scan.slot->tts_tid);
	}
	overlap_end(&overlap);
	return sum;
}

/*
 * Under REPEATABLE READ and SERIALIZABLE: does the transaction's snapshot know
 * the lock rows of a provider that lie within a window as they are now?
 */
void
lockrow_compare_snapshots(int32 source_id, int32 provider_id,
						  TimeInterval window)
{
	LockKey		key = {source_id, provider_id, window};

	snapshot_compare(sum_window, &key);
}

/*
 * Append the lock rows of a provider of one length class (-1: of any, in the
 * order of class, start, end) that lie within a window.
 */
void
lockrow_collect(int32 source_id, int32 provider_id, int length_class,
				TimeInterval window, LockRowSet *rows)
{
	Snapshot	snapshot = latest_snapshot();
	OverlapScan overlap;

	overlap_begin(&overlap, LOCK_BY_KEY, NULL, snapshot);
	overlap_seek(&overlap, source_id, window);
	if (length_class >= 0)
		overlap_leap(&overlap, length_class);
	while (overlap_next(&overlap))
	{
		if (length_class >= 0 && overlap.length_class != length_class)
			break;
		if (overlap.during.start < window.start ||
			overlap.during.end > window.end ||
			catalog_row_int32(&overlap.scan,
							  Anum_lock_provider_id) != provider_id)
			continue;
		if (rows->count == rows->capacity)
		{
			rows->capacity = Max(rows->capacity * 2, 16);
			rows->items = rows->items == NULL
				? palloc(rows->capacity * sizeof(LockRow))
				: repalloc_huge(rows->items,
								rows->capacity * sizeof(LockRow));
		}
		lockrow_read(&overlap.scan, &rows->items[rows->count++]);
	}
	overlap_end(&overlap);
	UnregisterSnapshot(snapshot);
}

/* The columns of a lock row as values */
typedef struct LockValues
{
	Datum		values[Natts_lock];
	bool		nulls[Natts_lock];
} LockValues;

static void
set_text(LockValues *row, int column, const char *string)
{
	row->nulls[column - 1] = string == NULL;
	row->values[column - 1] = string == NULL ? (Datum) 0
		: CStringGetTextDatum(string);
}

static void
set_during(LockValues *row, TimeInterval during)
{
	row->values[Anum_lock_length_class - 1] = Int16GetDatum(length_class(during));
	row->values[Anum_lock_start_at - 1] = TimestampTzGetDatum(during.start);
	row->values[Anum_lock_end_at - 1] = TimestampTzGetDatum(during.end);
}

static void
fill_row(const LockRow *lock, LockValues *row)
{
	memset(row->nulls, false, sizeof(row->nulls));
	row->values[Anum_lock_source_id - 1] = Int32GetDatum(lock->source_id);
	row->values[Anum_lock_provider_id - 1] = Int32GetDatum(lock->provider_id);
	set_during(row, lock->during);
	set_text(row, Anum_lock_state, lock->failed ? "failed" : "locked");
	row->values[Anum_lock_since - 1] = TimestampTzGetDatum(lock->since);
	set_text(row, Anum_lock_holder, lock->holder);
	row->nulls[Anum_lock_lease_expires_at - 1] = !lock->has_lease;
	row->values[Anum_lock_lease_expires_at - 1] =
		TimestampTzGetDatum(lock->lease_expires_at);
	set_text(row, Anum_lock_reason, lock->reason);
	set_text(row, Anum_lock_change, lock->change);
}

void
lockrow_insert(const LockRow *row)
{
	LockValues	values;

	fill_row(row, &values);
	row_insert(LOCK_BY_KEY, values.values, values.nulls);
}

/* Put other values in the place of the row at `tid`. */
void
lockrow_update(const LockRow *row)
{
	LockValues	values;
	ItemPointerData tid = row->tid;

	fill_row(row, &values);
	row_update(LOCK_BY_KEY, &tid, values.values, values.nulls);
}

typedef struct ManyLocks
{
	LockValues	row;
	const TimeInterval *durings;
} ManyLocks;

static void
fill_one_of_many(void *arg, size_t n, Datum *values, bool *nulls)
{
	ManyLocks  *locks = arg;

	set_during(&locks->row, locks->durings[n]);
	memcpy(values, locks->row.values, sizeof(locks->row.values));
	memcpy(nulls, locks->row.nulls, sizeof(locks->row.nulls));
}

/* Insert a row for each of some partitions, alike in all else. */
void
lockrow_insert_many(const LockRow *row, const TimeInterval *durings,
					size_t count)
{
	ManyLocks	locks;

	if (count == 0)
		return;
	fill_row(row, &locks.row);
	locks.durings = durings;
	row_insert_many(LOCK_BY_KEY, count, fill_one_of_many, &locks);
}
