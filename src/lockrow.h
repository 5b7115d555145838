/*
 * lockrow.h
 *		The rows of partreg.lock: partitions that are locked or failed.
 */
#ifndef PARTREG_LOCKROW_H
#define PARTREG_LOCKROW_H

#include "catalog.h"

typedef struct LockRow
{
	TimeInterval during;
	int32		source_id;
	int32		provider_id;
	bool		failed;			/* else locked */
	TimestampTz since;
	const char *holder;
	bool		has_lease;
	TimestampTz lease_expires_at;
	const char *reason;			/* or NULL */
	const char *change;			/* what was done last, as events call it;
								 * NULL: that is not remembered */
	ItemPointerData tid;		/* where it stands */
} LockRow;

/* Lock rows in the order of partition: start, end */
typedef struct LockRowSet
{
	LockRow    *items;
	size_t		count;
	size_t		capacity;
} LockRowSet;

extern void lockrow_read(CatalogScan *scan, LockRow *row);
extern bool lockrow_find(int32 source_id, int32 provider_id,
						 TimeInterval during, LockRow *row);
extern bool lockrow_lock(int32 source_id, int32 provider_id,
						 TimeInterval during, LockRow *row);
extern void lockrow_collect(int32 source_id, int32 provider_id,
							int length_class, TimeInterval window,
							LockRowSet *rows);
extern void lockrow_compare_snapshots(int32 source_id, int32 provider_id,
									  TimeInterval window);
extern void lockrow_insert(const LockRow *row);
extern void lockrow_insert_many(const LockRow *row,
								const TimeInterval *durings, size_t count);
extern void lockrow_update(const LockRow *row);

#endif							/* PARTREG_LOCKROW_H */
