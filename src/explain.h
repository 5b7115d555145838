/*
 * explain.h
 *		What keeps a range from being ready, piece by piece.
 */
#ifndef PARTREG_EXPLAIN_H
#define PARTREG_EXPLAIN_H

#include "obstacle.h"
#include "source.h"

extern ObstacleSort *explain_source(const Source *source, TimeInterval window,
									Snapshot snapshot);

#endif							/* PARTREG_EXPLAIN_H */
