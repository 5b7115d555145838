/*
 * coverage.h
 *		The spans of what providers have made available.
 */
#ifndef PARTREG_COVERAGE_H
#define PARTREG_COVERAGE_H

#include "access.h"
#include "catalog.h"
#include "interval.h"
#include "nodes/pg_list.h"

/* Reading */
typedef struct CoverageScan
{
	CatalogScan scan;
	int32		source_id;
} CoverageScan;

extern void coverage_begin(CoverageScan *coverage, int32 source_id,
						   Snapshot snapshot);
extern int64 coverage_reach_any(CoverageScan *coverage, int64 from,
								int64 limit);
extern int64 coverage_reach(CoverageScan *coverage, int32 provider_id,
							int64 from, int64 limit);
extern bool coverage_fulfils(CoverageScan *coverage, const List *providers);
extern bool coverage_last_before(CoverageScan *coverage, int32 provider_id,
								 int64 instant, TimeInterval *span);
extern void coverage_collect(CoverageScan *coverage, int32 provider_id,
							 TimeInterval window, IntervalSet *spans);
extern void coverage_end(CoverageScan *coverage);

/* Writing */
extern void coverage_add(const Access *access, TimeInterval interval);
extern void coverage_withdraw(const Access *access, TimeInterval interval);

#endif							/* PARTREG_COVERAGE_H */
