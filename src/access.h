/*
 * access.h
 *		Who may write: tokens and trusted roles.
 */
#ifndef PARTREG_ACCESS_H
#define PARTREG_ACCESS_H

#include "compat.h"

/* What entitles a caller; the letters stand in partreg.event.credential. */
typedef enum Credential
{
	CREDENTIAL_NONE = 0,
	CREDENTIAL_SOURCE_TOKEN = 's',
	CREDENTIAL_PROVIDER_TOKEN = 'p',
	CREDENTIAL_OLD_TOKEN = 'o', /* rotated, and in its grace */
	CREDENTIAL_TRUSTED_ROLE = 't',
	CREDENTIAL_OPERATOR = 'x',
	CREDENTIAL_OWNER = 'w'		/* of the extension */
} Credential;

/* What a caller has shown to be entitled to */
typedef struct Access
{
	int32		source_id;
	char	   *source_name;
	int32		provider_id;	/* 0: the source as a whole */
	char	   *provider_name;	/* NULL likewise */
	Credential	credential;
	bool		of_source;		/* good for all of the source: it overrides
								 * holders */
	bool		revoked;		/* the provider is */
} Access;

/* In which mode the row of a source or provider is locked */
typedef enum AccessLock
{
	ACCESS_UNLOCKED,			/* not at all */
	ACCESS_WRITE,				/* FOR KEY SHARE: writers side by side */
	ACCESS_CHANGE,				/* FOR NO KEY UPDATE: beside writers */
	ACCESS_WITHDRAW				/* FOR UPDATE: after all open writers */
} AccessLock;

extern void access_provider(const char *source_name, const char *provider_name,
							const char *token, AccessLock lock,
							Access *access);
extern void access_provider_by_source(const char *source_name,
									  const char *provider_name,
									  const char *token, AccessLock lock,
									  Access *access);
extern void access_source(const char *source_name, const char *token,
						  AccessLock lock, Access *access);
extern void access_named(const char *source_name, const char *provider_name,
						 Credential credential, AccessLock lock,
						 Access *access);
extern void access_refuse_revoked(const Access *access);
pg_noreturn extern void access_deny(void);
pg_noreturn extern void raise_unknown_provider(const char *source_name,
											   const char *provider_name);

#endif							/* PARTREG_ACCESS_H */
