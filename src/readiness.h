/*
 * readiness.h
 *		What the questions share.
 */
#ifndef PARTREG_READINESS_H
#define PARTREG_READINESS_H

#include "recall.h"

extern SourceKey readiness_source(const text *name, Snapshot snapshot);

#endif							/* PARTREG_READINESS_H */
