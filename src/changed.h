/*
 * changed.h
 *		What of a source may have changed since a position.
 */
#ifndef PARTREG_CHANGED_H
#define PARTREG_CHANGED_H

#include "interval.h"
#include "position.h"

extern void changed_collect(int32 source_id, TimeInterval window,
							const Position *since, const Position *here,
							Snapshot snapshot, IntervalSet *changed);

#endif							/* PARTREG_CHANGED_H */
