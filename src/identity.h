/*
 * identity.h
 *		Which registry this is, and how far back its history reaches.
 */
#ifndef PARTREG_IDENTITY_H
#define PARTREG_IDENTITY_H

#include "datatype/timestamp.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

typedef struct Identity
{
	pg_uuid_t	id;
	TimestampTz created_at;
	TimestampTz history_since;	/* what was so before is not known */
	int64		purged_id;		/* the greatest that was purged; 0: none was */
	TimestampTz purged_at;		/* of that event */
	uint64		purged_xid;		/* the greatest, in purged_system */
	uint64		purged_system;	/* the cluster of purged_xid */
} Identity;

extern void identity_read(Snapshot snapshot, Identity *identity);

#endif							/* PARTREG_IDENTITY_H */
