/*
 * effective.h
 *		The providers of a source, and the time that each has to supply.
 */
#ifndef PARTREG_EFFECTIVE_H
#define PARTREG_EFFECTIVE_H

#include "interval.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"

/* A provider, and for what part of a window rule "all" asks it */
typedef struct EffectiveProvider
{
	int32		provider_id;
	char	   *name;			/* NULL where only those asked were wanted */
	bool		is_asked;
	TimeInterval asked;
} EffectiveProvider;

extern char *effective_text(Datum range);
extern bool effective_parse(const char *text, TimeInterval *effective);
extern char *effective_lock(int32 provider_id);
extern List *effective_providers(int32 source_id, TimeInterval window,
								 bool all, Snapshot snapshot);

#endif							/* PARTREG_EFFECTIVE_H */
