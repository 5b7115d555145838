/*
 * catalog.h
 *		The extension's own tables as C sees them.
 *
 * The enums must match the order of the columns in sql/10_tables.sql, and of
 * the columns of the indexes there: test/sql/columns.sql compares them.  Nobody
 * but catalog.c builds the keys of a scan.
 */
#ifndef PARTREG_CATALOG_H
#define PARTREG_CATALOG_H

#include "access/genam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "interval.h"

/* The columns of each table, in their order */

typedef enum SourceColumn
{
	Anum_source_id = 1,
	Anum_source_name,
	Anum_source_rule,
	Anum_source_owner,
	Anum_source_registered_at,
	Anum_source_token_digest,
	Anum_source_token_changed_at,
	Anum_source_old_token_digest,
	Anum_source_old_token_until,
	Anum_source_trusted_role,
	Anum_source_trusted_role_oid,
	Anum_source_trusted_role_system,
	Anum_source_trusted_role_database,
	Natts_source = Anum_source_trusted_role_database
} SourceColumn;

typedef enum ProviderColumn
{
	Anum_provider_id = 1,
	Anum_provider_source_id,
	Anum_provider_name,
	Anum_provider_effective,
	Anum_provider_epoch,
	Anum_provider_trusted_role,
	Anum_provider_registered_at,
	Anum_provider_token_digest,
	Anum_provider_token_changed_at,
	Anum_provider_old_token_digest,
	Anum_provider_old_token_until,
	Anum_provider_revoked_at,
	Anum_provider_deadline,
	Anum_provider_calendar_step,
	Anum_provider_calendar_start,
	Anum_provider_calendar_zone,
	Anum_provider_calendar_closed,
	Anum_provider_trusted_role_oid,
	Anum_provider_trusted_role_system,
	Anum_provider_trusted_role_database,
	Natts_provider = Anum_provider_trusted_role_database
} ProviderColumn;

/* The first five of partreg.partition are those of partreg.pending. */
typedef enum PartitionColumn
{
	Anum_partition_provider_id = 1,
	Anum_partition_length_class,
	Anum_partition_start_at,
	Anum_partition_end_at,
	Anum_partition_registered_at,
	Natts_pending = Anum_partition_registered_at,
	Anum_partition_first_unlocked_at,
	Anum_partition_unlocked_at,
	Anum_partition_unlocked_by,
	Natts_partition = Anum_partition_unlocked_by
} PartitionColumn;

typedef enum LockColumn
{
	Anum_lock_source_id = 1,
	Anum_lock_length_class,
	Anum_lock_start_at,
	Anum_lock_end_at,
	Anum_lock_provider_id,
	Anum_lock_state,
	Anum_lock_since,
	Anum_lock_holder,
	Anum_lock_lease_expires_at,
	Anum_lock_reason,
	Anum_lock_change,
	Natts_lock = Anum_lock_change
} LockColumn;

typedef enum CoverageColumn
{
	Anum_coverage_source_id = 1,
	Anum_coverage_provider_id,
	Anum_coverage_span_start,
	Anum_coverage_span_end,
	Natts_coverage = Anum_coverage_span_end
} CoverageColumn;

typedef enum EventColumn
{
	Anum_event_id = 1,
	Anum_event_event,
	Anum_event_source_id,
	Anum_event_provider_id,
	Anum_event_source_name,
	Anum_event_provider_name,
	Anum_event_start_at,
	Anum_event_end_at,
	Anum_event_at,
	Anum_event_actor,
	Anum_event_holder,
	Anum_event_reason,
	Anum_event_xid,
	Anum_event_system_id,
	Anum_event_timeline,
	Anum_event_credential,
	Anum_event_details,
	Anum_event_state_before,
	Anum_event_length_class,
	Natts_event = Anum_event_length_class
} EventColumn;

typedef enum RegistryColumn
{
	Anum_registry_id = 1,
	Anum_registry_created_at,
	Anum_registry_history_since,
	Anum_registry_purged_id,
	Anum_registry_purged_at,
	Anum_registry_purged_xid,
	Anum_registry_purged_system,
	Natts_registry = Anum_registry_purged_system
} RegistryColumn;

/* An index, and with it its table */
typedef enum CatalogIndex
{
	SOURCE_BY_ID,
	SOURCE_BY_NAME,
	SOURCE_BY_TOKEN,
	SOURCE_BY_OLD_TOKEN,
	PROVIDER_BY_ID,
	PROVIDER_BY_NAME,
	PENDING_BY_KEY,
	PARTITION_BY_KEY,
	LOCK_BY_KEY,
	COVERAGE_BY_KEY,
	EVENT_BY_ID,
	EVENT_BY_PARTITION,			/* those with details */
	EVENT_BY_TRANSACTION,
	EVENT_BY_CHANGE,			/* those that may change data */
	EVENT_BY_DURING,
	REGISTRY_BY_ID
} CatalogIndex;

#define CATALOG_INDEXES (REGISTRY_BY_ID + 1)

/* The columns of each index, in their order */

typedef enum NumberKey			/* SOURCE_BY_ID, PROVIDER_BY_ID, EVENT_BY_ID */
{
	Key_number = 1
} NumberKey;

typedef enum SourceKeyColumn	/* SOURCE_BY_NAME, _BY_TOKEN, _BY_OLD_TOKEN */
{
	Key_source_name = 1,
	Key_source_token = 1
} SourceKeyColumn;

typedef enum ProviderKey		/* PROVIDER_BY_NAME */
{
	Key_provider_source_id = 1,
	Key_provider_name
} ProviderKey;

/*
 * Intervals by overlap: PENDING_BY_KEY and PARTITION_BY_KEY, whose group is a
 * provider, LOCK_BY_KEY and EVENT_BY_DURING, whose group is a source
 */
typedef enum OverlapKey
{
	Key_group = 1,
	Key_length_class,
	Key_start_at,
	Key_end_at,
	Key_lock_provider_id		/* of LOCK_BY_KEY alone */
} OverlapKey;

typedef enum CoverageKey		/* COVERAGE_BY_KEY */
{
	Key_coverage_source_id = 1,
	Key_coverage_provider_id,
	Key_coverage_span_start,
	Key_coverage_span_end		/* included, no key */
} CoverageKey;

typedef enum DetailsKey			/* EVENT_BY_PARTITION */
{
	Key_details_provider_id = 1,
	Key_details_start_at,
	Key_details_end_at,
	Key_details_event_id
} DetailsKey;

typedef enum TransactionKey		/* EVENT_BY_TRANSACTION */
{
	Key_transaction_xid = 1,
	Key_transaction_event_id
} TransactionKey;

typedef enum ChangeKey			/* EVENT_BY_CHANGE */
{
	Key_change_source_id = 1,
	Key_change_xid,
	Key_change_start_at,
	Key_change_end_at
} ChangeKey;

typedef struct CatalogScan
{
	CatalogIndex which;
	bool		for_entries;	/* it gives index entries */
	Relation	table;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;			/* NULL until the first look */
	bool		at_entry;		/* the last look found one */
	TupleTableSlot *slot;		/* made when a row of the table is wanted */
	Buffer		vmbuffer;
} CatalogScan;

extern Relation catalog_open_table(CatalogIndex which, LOCKMODE mode);
extern void catalog_check_version(void);
extern uint64 catalog_generation(CatalogIndex which);
extern Oid	catalog_lock_again(CatalogIndex which, uint64 generation);
extern bool catalog_lock_index_again(CatalogIndex which, uint64 generation);
extern void catalog_begin(CatalogScan *scan, CatalogIndex which,
						  Snapshot snapshot);
extern void catalog_begin_for_locking(CatalogScan *scan, CatalogIndex which,
									  Snapshot snapshot);

/* Which index: one for each way of searching it */
extern void catalog_seek_source(CatalogScan *scan, Datum name_or_digest);
extern void catalog_seek_provider(CatalogScan *scan, int32 source_id,
								  const char *name);
extern void catalog_seek_number(CatalogScan *scan, int64 number);
extern void catalog_seek_all(CatalogScan *scan);
extern void catalog_seek_partition(CatalogScan *scan, int32 provider_id,
								   TimeInterval during);
extern void catalog_seek_partitions_after(CatalogScan *scan, int32 provider_id,
										  int length_class, int64 start);
extern void catalog_seek_lock(CatalogScan *scan, int32 source_id,
							  int32 provider_id, TimeInterval during);
extern void catalog_seek_length_class_above(CatalogScan *scan, int32 group,
											int length_class);
extern void catalog_seek_spans(CatalogScan *scan, int32 source_id,
							   int32 provider_id, StrategyNumber strategy,
							   int64 start);
extern void catalog_seek_spans_between(CatalogScan *scan, int32 source_id,
									   int32 provider_id, int64 start,
									   int64 limit);
extern void catalog_seek_spans_of(CatalogScan *scan, int32 source_id,
								  StrategyNumber strategy, int32 provider_id);
extern void catalog_seek_details(CatalogScan *scan, int32 provider_id,
								 TimeInterval during);
extern void catalog_seek_events_of_source(CatalogScan *scan, int32 source_id);
extern void catalog_seek_numbers(CatalogScan *scan, int64 first);
extern void catalog_seek_transactions(CatalogScan *scan, uint64 from,
									  uint64 below);
extern void catalog_seek_changes(CatalogScan *scan, int32 source_id,
								 uint64 from, uint64 below);

extern bool catalog_next_entry(CatalogScan *scan, ScanDirection direction);
extern bool catalog_fetch_row(CatalogScan *scan);
extern bool catalog_entry_visible(CatalogScan *scan);
extern bool catalog_next_row(CatalogScan *scan, ScanDirection direction);
extern Datum catalog_entry_value(CatalogScan *scan, int key_column);
extern bool catalog_entry_time(CatalogScan *scan, int key_column,
							   TimestampTz *time);
extern TimeInterval catalog_row_interval(CatalogScan *scan);
extern Datum catalog_row_value(CatalogScan *scan, int attnum, bool *isnull);
extern int32 catalog_row_int32(CatalogScan *scan, int attnum);
extern int64 catalog_row_int64(CatalogScan *scan, int attnum);
extern char *catalog_row_text(CatalogScan *scan, int attnum);
extern bool catalog_row_time(CatalogScan *scan, int attnum, TimestampTz *time);
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
extern void overlap_leap(OverlapScan *overlap, int length_class);
extern void overlap_skip_class(OverlapScan *overlap);
extern void overlap_end(OverlapScan *overlap);

#endif							/* PARTREG_CATALOG_H */
