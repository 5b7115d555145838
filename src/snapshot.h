/*
 * snapshot.h
 *		What a transaction may rely on when its snapshot is old.
 */
#ifndef PARTREG_SNAPSHOT_H
#define PARTREG_SNAPSHOT_H

#include "compat.h"
#include "storage/itemptr.h"
#include "utils/snapmgr.h"

/* Sums up what it sees in a snapshot: the same sum means the same rows. */
typedef uint64 (*SnapshotReader) (Snapshot snapshot, const void *arg);

extern Snapshot current_snapshot(void);
extern Snapshot latest_snapshot(void);
extern void snapshot_compare(SnapshotReader reader, const void *arg);
extern uint64 snapshot_sum(uint64 sum, ItemPointer version);
pg_noreturn extern void raise_concurrent_change(void);

#endif							/* PARTREG_SNAPSHOT_H */
