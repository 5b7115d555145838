/*
 * explain.h
 *		What keeps a range from being ready, piece by piece.
 */
#ifndef PARTREG_EXPLAIN_H
#define PARTREG_EXPLAIN_H

#include "obstacle.h"
#include "source.h"

extern char *explain_briefly(const Source *source, TimeInterval window,
							 Snapshot snapshot, bool *failed);
pg_noreturn extern void raise_not_ready(const char *name, const char *detail,
										bool failed);

#endif							/* PARTREG_EXPLAIN_H */
