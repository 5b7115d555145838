/*
 * party.h
 *		What is stored about who may write: of a source, or of a provider.
 */
#ifndef PARTREG_PARTY_H
#define PARTREG_PARTY_H

#include "storage/itemptr.h"
#include "token.h"
#include "utils/snapshot.h"

/* What is stored about who may write to a source or as a provider */
typedef struct Party
{
	int32		id;				/* 0: there is none */
	char	   *name;
	bytea	   *digest;			/* NULL: none */
	bytea	   *old_digest;		/* NULL: none, or its time is over */
	char	   *role_name;		/* the trusted role; NULL: none */
	Oid			role_oid;
	int64		role_system;
	Oid			role_database;
	bool		revoked;
	ItemPointerData version;	/* of the row that all this was read from */
} Party;

/* Does a token open a source or provider? */
typedef enum Match
{
	MATCH_NONE,
	MATCH_CURRENT,
	MATCH_OLD					/* rotated, and in its grace */
} Match;

extern void party_find_source(const char *name, Snapshot snapshot,
							  Party *source);
extern void party_find_by_token(const TokenDigest *digest, Snapshot snapshot,
								Party *source);
extern void party_find_provider(int32 source_id, const char *name,
								Snapshot snapshot, Party *provider);
extern Match party_compare_token(const TokenDigest *digest,
								 const Party *party);

#endif							/* PARTREG_PARTY_H */
