/*
 * recall.h
 *		Rows remembered by their place.
 */
#ifndef PARTREG_RECALL_H
#define PARTREG_RECALL_H

#include "catalog.h"
#include "interval.h"
#include "utils/snapshot.h"

struct RememberedSource;

/* What a question needs to know of a source */
typedef struct SourceKey
{
	int32		id;
	bool		needs_all;		/* rule "all" */
	struct RememberedSource *remembered;	/* until the next look-up */
} SourceKey;

extern bool source_lookup(const char *name, size_t length, Snapshot snapshot,
						  SourceKey *key);
extern uint64 *known_lock_classes(const SourceKey *key);
extern bool recall_span(const SourceKey *key, TimeInterval window,
						Snapshot snapshot);
extern void remember_span(const SourceKey *key, const CatalogScan *scan);

#endif							/* PARTREG_RECALL_H */
