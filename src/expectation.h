/*
 * expectation.h
 *		Which partitions a provider's calendar expects.
 *
 * The theory is at the head of expectation.c.
 */
#ifndef PARTREG_EXPECTATION_H
#define PARTREG_EXPECTATION_H

#include "calendar.h"
#include "catalog.h"
#include "coverage.h"
#include "interval.h"

/* What a provider's calendar says */
typedef struct Expectation
{
	bool		is_known;		/* false: the time zone is not known here */
	Calendar	calendar;
	TimeInterval extent;		/* steps within it; none if start >= end */
	IntervalSet closed;			/* no step that overlaps it; coalesced */
} Expectation;

/* Where to look for what providers have supplied or registered */
typedef struct HoldingScan
{
	CoverageScan coverage;
	OverlapScan pending;
} HoldingScan;

extern void holding_begin(HoldingScan *holding, Snapshot snapshot);
extern void holding_end(HoldingScan *holding);

extern bool expectation_read(CatalogScan *provider, Expectation *expectation);
extern void expectation_free(Expectation *expectation);
extern void expectation_missing(const Expectation *expectation,
								HoldingScan *holding, int32 source_id,
								int32 provider_id, TimeInterval window,
								IntervalSet *missing);
extern TimeInterval expectation_first_step(const Expectation *expectation,
										   TimeInterval missing);

#endif							/* PARTREG_EXPECTATION_H */
