/*
 * access.h
 *		Who may write: tokens and trusted roles.
 */
#ifndef PARTREG_ACCESS_H
#define PARTREG_ACCESS_H

#include "compat.h"
/* What a caller has shown to be entitled to */
typedef struct Access
{
	int32		source_id;
	char	   *source_name;
	int32		provider_id;	/* 0: the source as a whole */
	char	   *provider_name;	/* NULL likewise */
	bool		by_source_token;
	bool		by_old_token;	/* one that was rotated and is in its grace */
	bool		revoked;		/* the provider is */
} Access;

/* How the provider's row is locked: against withdrawal, or for it */
typedef enum ProviderLock
{
	PROVIDER_WRITER,			/* FOR KEY SHARE: writers side by side */
	PROVIDER_CHANGE,			/* FOR NO KEY UPDATE: beside writers */
	PROVIDER_WITHDRAWAL			/* FOR UPDATE: after all open writers */
} ProviderLock;

extern void access_provider(const char *source_name, const char *provider_name,
							const char *token, ProviderLock lock,
							bool source_token_only, Access *access);
extern void access_source(const char *source_name, const char *token,
						  bool for_drop, Access *access);
extern void access_source_by_token(const char *token, Access *access);
extern void access_owner(const char *source_name, const char *provider_name,
						 Access *access);
pg_noreturn extern void access_deny(void);
pg_noreturn extern void raise_concurrent_change(void);
extern char *caller_name(void);
extern Datum caller_name_datum(void);

#endif							/* PARTREG_ACCESS_H */
