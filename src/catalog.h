/*
 * catalog.h
 *		The extension's own tables as C sees them.
 *
 * The attribute numbers must match the order of the columns in
 * sql/10_tables.sql, the index columns the keys there.
 */
#ifndef PARTREG_CATALOG_H
#define PARTREG_CATALOG_H

#include "access/genam.h"
#include "access/relscan.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "interval.h"

/* partreg.source */
#define Anum_source_id					1
#define Anum_source_name				2
#define Anum_source_rule				3
#define Anum_source_token_digest		6
#define Anum_source_old_token_digest	8
#define Anum_source_old_token_until		9

/* partreg.provider */
#define Anum_provider_id				1
#define Anum_provider_name				3
#define Anum_provider_effective			4
#define Anum_provider_trusted_role		6
#define Anum_provider_token_digest		8
#define Anum_provider_old_token_digest	10
#define Anum_provider_old_token_until	11
#define Anum_provider_revoked_at		12

/* partreg.coverage */
#define Anum_coverage_source_id			1
#define Anum_coverage_span_start		3
#define Anum_coverage_span_end			4

/* partreg.partition */
#define Anum_partition_registered_at	5
#define Anum_partition_first_unlocked_at 6

/* partreg.lock */
#define Anum_lock_provider_id			5
#define Anum_lock_state					6
#define Anum_lock_since					7
#define Anum_lock_holder				8
#define Anum_lock_lease_expires_at		9
#define Anum_lock_reason				10

/* An index, and with it its table. */
typedef enum CatalogIndex
{
	SOURCE_BY_NAME,				/* (name) */
	SOURCE_BY_TOKEN,			/* (token_digest) */
	SOURCE_BY_OLD_TOKEN,		/* (old_token_digest) */
	PROVIDER_BY_NAME,			/* (source_id, name) */
	PARTITION_BY_KEY,			/* (provider_id, length_class, start_at,
								 * end_at) */
	LOCK_BY_KEY,				/* (source_id, length_class, start_at, end_at,
								 * provider_id) */
	COVERAGE_BY_KEY				/* (source_id, provider_id, span_start)
								 * INCLUDE (span_end) */
} CatalogIndex;

#define CATALOG_INDEXES (COVERAGE_BY_KEY + 1)
#define CATALOG_MAX_KEYS 5

typedef struct CatalogScan
{
	Relation	table;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;		/* made when a row of the table is wanted */
	Buffer		vmbuffer;
} CatalogScan;

extern Relation catalog_reopen_table(CatalogIndex which);
extern void catalog_begin(CatalogScan *scan, CatalogIndex which,
						  Snapshot snapshot);
extern void catalog_seek(CatalogScan *scan, ScanKey keys, int nkeys);
extern bool catalog_next_entry(CatalogScan *scan, ScanDirection direction);
extern bool catalog_fetch_row(CatalogScan *scan);
extern bool catalog_entry_visible(CatalogScan *scan);
extern bool catalog_next_row(CatalogScan *scan, ScanDirection direction);
extern Datum catalog_entry_value(CatalogScan *scan, int column);
extern Datum catalog_row_value(CatalogScan *scan, int attnum, bool *isnull);
extern void catalog_end(CatalogScan *scan);

/* All members of a group that overlap a window: see overlap_seek(). */
typedef struct OverlapScan
{
	CatalogScan scan;
	int32		group;
	TimeInterval window;
	int			length_class;	/* -1 before the first */
	bool		in_class;
	uint64	   *known_classes;	/* a bit for each met so far, or NULL */
	TimeInterval during;		/* of the member found */
} OverlapScan;

extern int	length_class(TimeInterval interval);
extern void overlap_begin(OverlapScan *overlap, CatalogIndex which,
						  uint64 *known_classes, Snapshot snapshot);
extern void overlap_seek(OverlapScan *overlap, int32 group,
						 TimeInterval window);
extern bool overlap_next(OverlapScan *overlap);
extern void overlap_skip_class(OverlapScan *overlap);
extern void overlap_end(OverlapScan *overlap);

#endif							/* PARTREG_CATALOG_H */
