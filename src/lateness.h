/*
 * lateness.h
 *		What providers have not supplied by their deadlines.
 *
 * The theory is at the head of lateness.c.
 */
#ifndef PARTREG_LATENESS_H
#define PARTREG_LATENESS_H

#include "expectation.h"

typedef struct Late
{
	TimeInterval during;
	const char *state;			/* as the view late_partitions shows it */
	TimestampTz due_at;
} Late;

typedef void (*LateFunction) (const Late *late, void *arg);

typedef struct LatenessScan
{
	HoldingScan holding;
	CatalogScan locks;
	TimestampTz now;
	bool		with_unknown;	/* also report what is not known */
} LatenessScan;

extern void lateness_begin(LatenessScan *scan, Snapshot snapshot);
extern void lateness_find(LatenessScan *scan, CatalogScan *provider,
						  TimeInterval window, LateFunction report, void *arg);
extern void lateness_end(LatenessScan *scan);

#endif							/* PARTREG_LATENESS_H */
