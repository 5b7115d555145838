/*
 * readiness.h
 *		What the questions share.
 */
#ifndef PARTREG_READINESS_H
#define PARTREG_READINESS_H

#include "fmgr.h"
#include "interval.h"
#include "nodes/pg_list.h"
#include "recall.h"

/* A provider, and for what part of a window rule "all" asks it */
typedef struct ProviderDuty
{
	int32		provider_id;
	char	   *name;			/* NULL where only those asked were wanted */
	bool		is_asked;
	TimeInterval asked;
} ProviderDuty;

extern SourceKey readiness_source(const text *name, Snapshot snapshot);
extern List *readiness_providers(int32 source_id, TimeInterval window,
								 bool all, Snapshot snapshot);

#endif							/* PARTREG_READINESS_H */
