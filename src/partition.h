/*
 * partition.h
 *		Partitions: their rows, and what a call says about one.
 */
#ifndef PARTREG_PARTITION_H
#define PARTREG_PARTITION_H

#include "access.h"
#include "fmgr.h"
#include "history.h"
#include "lockrow.h"
#include "utils/jsonb.h"
#include "utils/rangetypes.h"

/* A partition whose row we have locked */
typedef struct Partition
{
	TimeInterval during;
	bool		pending;		/* never unlocked: its row is in that table */
	ItemPointerData tid;
	TimestampTz registered_at;
	TimestampTz first_unlocked_at;	/* unless pending */
	TimestampTz unlocked_at;	/* last, unless pending */
	const char *unlocked_by;	/* NULL: that is not remembered */
	const LockRow *lock;		/* NULL: neither locked nor failed */
} Partition;

/* The arguments that all calls about partitions have */
typedef struct PartitionCall
{
	char	   *source_name;
	char	   *provider_name;
	RangeType  *range;
	char	   *token;			/* or NULL */
	char	   *holder;			/* or NULL: none is named */
} PartitionCall;

extern void partition_read_call(FunctionCallInfo fcinfo, int token_argno,
								int holder_argno, PartitionCall *call);
extern const char *partition_holder(const PartitionCall *call);
extern bool partition_register(const Access *access, TimeInterval during,
							   TimestampTz now);
extern char *partition_list_neighbours(const Access *access,
									   TimeInterval during);
extern void partition_compare_snapshots(const Access *access,
										TimeInterval during);
extern StateBefore partition_state(const Partition *partition);
extern void partition_read_row(CatalogScan *scan, Partition *partition);
extern bool partition_lock_row(CatalogIndex which, int32 provider_id,
							   TimeInterval during, Partition *partition);
extern void partition_take(const Access *access, TimeInterval during,
						   Partition *partition, LockRow *lock);
extern void partition_supply_many(const Access *access,
								  const Partition *partitions, size_t count,
								  const char *holder, TimestampTz now);

extern bool partition_has_news(const Access *access,
							   const Partition *partition, Jsonb *details);

#endif							/* PARTREG_PARTITION_H */
