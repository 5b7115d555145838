/*
 * partition.h
 *		One partition, found and locked for a change of its state.
 */
#ifndef PARTREG_PARTITION_H
#define PARTREG_PARTITION_H

#include "access.h"
#include "compat.h"
#include "fmgr.h"
#include "interval.h"
#include "lockrow.h"

typedef enum PartitionState
{
	STATE_REGISTERED,
	STATE_LOCKED,
	STATE_UNLOCKED,
	STATE_FAILED
} PartitionState;

/* A partition whose row we have locked */
typedef struct Partition
{
	Access		access;
	TimeInterval during;
	PartitionState state;
	bool		first_unlocked; /* has been, ever */
	LockRow		lock;			/* where the state is locked or failed */
	TimestampTz now;			/* when its row was ours */
} Partition;

/* $1 to $4 of a statement that is about one partition */
#define PARTITION_KEY_TYPES INT4OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID
#define IS_PARTITION \
	" provider_id = $1 AND length_class = $2 AND start_at = $3 AND end_at = $4"

extern void partition_key(const Access *access, TimeInterval during,
						  Datum *values);
extern void partition_take(FunctionCallInfo fcinfo, ProviderLock lock,
						   Partition *partition);
extern void partition_refuse_other_holder(const Partition *partition,
										  const char *holder);
extern void partition_delete_lock(const Partition *partition);
extern void partition_record(const Partition *partition, const char *event,
							 const char *holder, const char *reason);
extern const char *argument_holder(FunctionCallInfo fcinfo, int argno);
extern void require_partition_arguments(FunctionCallInfo fcinfo);
pg_noreturn extern void raise_held(TimeInterval during,
											   const char *provider_name,
											   const LockRow *lock);

#endif							/* PARTREG_PARTITION_H */
