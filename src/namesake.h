/*
 * namesake.h
 *		Which source or provider bears a name already.
 */
#ifndef PARTREG_NAMESAKE_H
#define PARTREG_NAMESAKE_H

#include "compat.h"

typedef struct Namesake
{
	int32		id;				/* 0: there is none */
	bool		revoked;		/* it is a provider that is */
} Namesake;

extern void namesake_find_source(const char *name, Namesake *namesake);
extern void namesake_find_provider(int32 source_id, const char *name,
								   Namesake *namesake);
pg_noreturn extern void namesake_refuse_source(const char *name,
											   const char *hint);
pg_noreturn extern void namesake_refuse_provider(const char *source_name,
												 const char *name,
												 const char *hint);

#endif							/* PARTREG_NAMESAKE_H */
