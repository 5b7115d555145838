/*
 * lockrow.h
 *		The rows of partreg.lock: partitions that are locked or failed.
 */
#ifndef PARTREG_LOCKROW_H
#define PARTREG_LOCKROW_H

#include "catalog.h"
#include "datatype/timestamp.h"
#include "interval.h"

typedef struct LockRow
{
	TimeInterval during;
	int32		provider_id;
	bool		failed;			/* else locked */
	TimestampTz since;
	char	   *holder;
	bool		has_lease;
	TimestampTz lease_expires_at;
	char	   *reason;			/* or NULL */
} LockRow;

extern void lockrow_read(CatalogScan *scan, LockRow *row);
extern bool lockrow_find(int32 source_id, int32 provider_id,
						 TimeInterval during, LockRow *row);
extern void lockrow_refuse_old_snapshot(int32 source_id, int32 provider_id,
										TimeInterval window);

#endif							/* PARTREG_LOCKROW_H */
