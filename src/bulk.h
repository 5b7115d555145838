/*
 * bulk.h
 *		What calls about many partitions have in common.
 */
#ifndef PARTREG_BULK_H
#define PARTREG_BULK_H

#include "access.h"
#include "partition.h"
#include "transition.h"

/* How many partitions are worked on at once */
#define BATCH_SIZE			20000

/* What a call is about, and what it has done so far */
typedef struct Bulk
{
	Access		access;
	TimeInterval during;
	CommandId	began;
	Claim		claim;
	const char *done;			/* a word for it */
	int64		changed;
	int64		recorded;		/* events: of those, and of what says more */
	TimeInterval extent;		/* from the first changed to the last */
	int64		last_event;
	TimestampTz last_progress;
} Bulk;

extern void bulk_begin(const PartitionCall *call, AccessLock lock,
					   const char *done, Bulk *bulk);
extern void bulk_record(Bulk *bulk, const char *what, const char *holder,
						const char *reason, Jsonb *details,
						const IntervalSet *changed, const StateBefore *states);
extern void bulk_progress(Bulk *bulk);
extern void bulk_notify(const Bulk *bulk, const char *what);

#endif							/* PARTREG_BULK_H */
