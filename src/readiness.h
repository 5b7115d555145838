/*
 * readiness.h
 *		May this be read?
 */
#ifndef PARTREG_READINESS_H
#define PARTREG_READINESS_H

#include "source.h"

extern bool readiness_holds(const Source *source, TimeInterval window,
							Snapshot snapshot);

#endif							/* PARTREG_READINESS_H */
