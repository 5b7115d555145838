/*
 * source.h
 *		Finding the source that a question is about.
 */
#ifndef PARTREG_SOURCE_H
#define PARTREG_SOURCE_H

#include "catalog.h"
#include "compat.h"
#include "interval.h"
#include "utils/snapshot.h"

struct SourceHints;

/* What a question needs to know of a source */
typedef struct Source
{
	int32		id;
	bool		needs_all;		/* rule "all" */
	struct SourceHints *hints;	/* until the next source is looked for */
} Source;

extern Source source_find(const char *name, Snapshot snapshot);
pg_noreturn extern void raise_unknown_source(const char *name);
extern uint64 *source_lock_classes(const Source *source);
extern bool source_has_no_locks(const Source *source, Snapshot snapshot);
extern bool source_hinted_span_holds(const Source *source, TimeInterval window,
									 Snapshot snapshot);
extern void source_hint_span(const Source *source, const CatalogScan *scan);

#endif							/* PARTREG_SOURCE_H */
