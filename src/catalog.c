/*
 * catalog.c
 *		The extension's own tables as C sees them.
 *
 * Questions are asked thousands of times more often than anything is changed.
 * Therefore questions do not use the planner and executor: they scan the
 * indexes of our tables directly, under the caller's snapshot.  This skips
 * privileges and row security; EXECUTE on the function is the gate.
 *
 * Three things make a walk cheap:
 *
 * - OIDs are kept, and forgotten when the relation cache hears of a change to
 *	 one of our tables or indexes.  The table is opened (and with that locked)
 *	 before the index is looked up: whoever wants to drop an index that we have
 *	 found, REINDEX CONCURRENTLY above all, waits for holders of the table lock.
 *
 * - What the index itself holds is not fetched from the table where the
 *	 visibility map says that all is visible there.
 *
 * - The rows that are wanted most are found by hints: source.c.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"

typedef struct CatalogName
{
	const char *table;
	const char *index;
} CatalogName;

static const CatalogName names[CATALOG_INDEXES] = {
	[SOURCE_BY_ID] = {"source", "source_pkey"},
	[SOURCE_BY_NAME] = {"source", "source_name_key"},
	[SOURCE_BY_TOKEN] = {"source", "source_token_digest_idx"},
	[SOURCE_BY_OLD_TOKEN] = {"source", "source_old_token_digest_idx"},
	[PROVIDER_BY_ID] = {"provider", "provider_pkey"},
	[PROVIDER_BY_NAME] = {"provider", "provider_source_id_name_key"},
	[PENDING_BY_KEY] = {"pending", "pending_pkey"},
	[PARTITION_BY_KEY] = {"partition", "partition_pkey"},
	[LOCK_BY_KEY] = {"lock", "lock_pkey"},
	[COVERAGE_BY_KEY] = {"coverage", "coverage_pkey"},
	[EVENT_BY_ID] = {"event", "event_pkey"},
	[EVENT_BY_PARTITION] = {"event", "event_details_idx"},
	[EVENT_BY_TRANSACTION] = {"event", "event_xid_idx"},
	[EVENT_BY_CHANGE] = {"event", "event_change_idx"},
	[EVENT_BY_DURING] = {"event", "event_during_idx"},
	[REGISTRY_BY_ID] = {"registry", "registry_pkey"},
};

/* InvalidOid: not known, or not any more */
static struct
{
	Oid			table;
	Oid			index;
	uint64		generation;		/* counts how often one was looked up */
}			oids[CATALOG_INDEXES];

static void
forget_relation(Datum arg, Oid relid)
{
	for (int i = 0; i < CATALOG_INDEXES; i++)
	{
		if (!OidIsValid(relid) || oids[i].table == relid)
			oids[i].table = oids[i].index = InvalidOid;
		else if (oids[i].index == relid)
			oids[i].index = InvalidOid;
	}
}

static Oid
relation_oid(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("partreg", false));
}

static void
watch_relations(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
		registered = true;
	}
}

/*
 * An open index is known under this number until something about it or its table
 * changes.
 */
uint64
catalog_generation(CatalogIndex which)
{
	return oids[which].generation;
}

/*
 * For callers that remember a page of a table and want to read it without
 * opening the table: lock the table, and return its OID if neither it nor the index has
 * changed since the caller had that generation; InvalidOid otherwise.
 *
 * A command that replaces a file of one waits for this lock, or has had its own
 * lock before, and then we get its invalidation message as we lock.  It is not
 * enough to read messages without locking: a transaction is in snapshots before
 * its messages are sent, and may have written to the new file itself.
 */
Oid
catalog_lock_again(CatalogIndex which, uint64 generation)
{
	if (OidIsValid(oids[which].table))
		LockRelationOid(oids[which].table, AccessShareLock);
	if (!OidIsValid(oids[which].index) || oids[which].generation != generation)
		return InvalidOid;
	return oids[which].table;
}

/*
 * The same for a page of the index; false: something has changed.  The table is
 * locked before the index, as by everybody.
 */
bool
catalog_lock_index_again(CatalogIndex which, uint64 generation)
{
	if (!OidIsValid(catalog_lock_again(which, generation)))
		return false;
	LockRelationOid(oids[which].index, AccessShareLock);
	return OidIsValid(oids[which].index) &&
		oids[which].generation == generation;
}

/* Open the table of an index. */
Relation
catalog_open_table(CatalogIndex which, LOCKMODE mode)
{
	Relation	table;

	watch_relations();

	/*
	 * A kept OID may belong to a table that is gone since (DROP EXTENSION,
	 * CREATE EXTENSION): the lock tells, and we look again by name.
	 */
	table = OidIsValid(oids[which].table)
		? try_relation_open(oids[which].table, mode) : NULL;
	if (table == NULL)
	{
		Oid			oid = relation_oid(names[which].table);

		/* One that the version of the extension has not got yet is not lost. */
		if (!OidIsValid(oid) && which != EVENT_BY_ID)
			catalog_check_version();
		if (!OidIsValid(oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table partreg.%s does not exist",
							names[which].table),
					 errhint("Restore it from a backup, or drop and create the extension again.")));
		table = table_open(oid, mode);
		oids[which].table = oid;
		oids[which].index = InvalidOid;
		oids[which].generation++;
	}
	return table;
}

/*
 * Are the tables those that this library knows?  Not between the installation
 * of its files and the update of the extension.
 */
void
catalog_check_version(void)
{
	Relation	table = catalog_open_table(EVENT_BY_ID, AccessShareLock);
	int			natts = RelationGetNumberOfAttributes(table);

	table_close(table, NoLock);
	if (natts != Natts_event)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"partition_registry\" has another version than its library"),
				 errhint("Run ALTER EXTENSION partition_registry UPDATE.")));
}

static Relation
open_index(CatalogIndex which, LOCKMODE mode)
{
	if (!OidIsValid(oids[which].index))
	{
		Oid			oid = relation_oid(names[which].index);

		if (!OidIsValid(oid))
			catalog_check_version();
		if (!OidIsValid(oid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("index partreg.%s does not exist",
							names[which].index),
					 errhint("Restore it from a backup, or drop and create the extension again.")));
		oids[which].index = oid;
		oids[which].generation++;
	}
	return index_open(oids[which].index, mode);
}

/*
 * Open an index and its table for a look under a snapshot, which has to be the
 * active one or registered.
 */
static void
begin(CatalogScan *scan, CatalogIndex which, LOCKMODE mode, Snapshot snapshot)
{
	scan->which = which;
	scan->table = catalog_open_table(which, mode);
	scan->index = open_index(which, AccessShareLock);
	scan->snapshot = snapshot;
	scan->scan = NULL;
	scan->at_entry = false;
	scan->slot = NULL;
	scan->vmbuffer = InvalidBuffer;
}

void
catalog_begin(CatalogScan *scan, CatalogIndex which, Snapshot snapshot)
{
	begin(scan, which, AccessShareLock, snapshot);
	scan->for_entries = true;
}

/*
 * The same for those who lock rows of the table, which can mean a long wait.
 * Such a scan gives rows and no index entries, as it has no page of the index
 * pinned: VACUUM would have to wait for that, and others for VACUUM.
 */
void
catalog_begin_for_locking(CatalogScan *scan, CatalogIndex which,
						  Snapshot snapshot)
{
	begin(scan, which, RowShareLock, snapshot);
	scan->for_entries = false;
}

/* Go to where some keys say; any number of times in one scan. */
static void
seek(CatalogScan *scan, ScanKey keys, int nkeys)
{
	if (scan->scan != NULL && scan->scan->numberOfKeys != nkeys)
	{
		index_endscan(scan->scan);
		scan->scan = NULL;
	}
	if (scan->scan == NULL)
	{
		scan->scan = index_beginscan_compat(scan->table, scan->index,
											scan->snapshot, nkeys);
		scan->scan->xs_want_itup = scan->for_entries;
	}
	index_rescan(scan->scan, keys, nkeys, NULL, 0);
	scan->at_entry = false;
}

static void
int4_key(ScanKey key, int column, StrategyNumber strategy, int32 value)
{
	static const RegProcedure comparisons[] = {
		[BTLessStrategyNumber] = F_INT4LT,
		[BTLessEqualStrategyNumber] = F_INT4LE,
		[BTEqualStrategyNumber] = F_INT4EQ,
		[BTGreaterEqualStrategyNumber] = F_INT4GE,
		[BTGreaterStrategyNumber] = F_INT4GT
	};

	ScanKeyInit(key, column, strategy, comparisons[strategy],
				Int32GetDatum(value));
}

static void
int2_key(ScanKey key, int column, StrategyNumber strategy, int value)
{
	static const RegProcedure comparisons[] = {
		[BTLessStrategyNumber] = F_INT2LT,
		[BTEqualStrategyNumber] = F_INT2EQ,
		[BTGreaterStrategyNumber] = F_INT2GT
	};

	ScanKeyInit(key, column, strategy, comparisons[strategy],
				Int16GetDatum(value));
}

static void
time_key(ScanKey key, int column, StrategyNumber strategy, int64 value)
{
	static const RegProcedure comparisons[] = {
		[BTLessStrategyNumber] = F_TIMESTAMPTZ_LT,
		[BTLessEqualStrategyNumber] = F_TIMESTAMPTZ_LE,
		[BTEqualStrategyNumber] = F_TIMESTAMPTZ_EQ,
		[BTGreaterEqualStrategyNumber] = F_TIMESTAMPTZ_GE,
		[BTGreaterStrategyNumber] = F_TIMESTAMPTZ_GT
	};

	ScanKeyInit(key, column, strategy, comparisons[strategy],
				TimestampTzGetDatum(value));
}

static void
xid_key(ScanKey key, int column, StrategyNumber strategy, uint64 value)
{
	ScanKeyInit(key, column, strategy,
				strategy == BTLessStrategyNumber ? F_XID8LT : F_XID8GE,
				UInt64GetDatum(value));
}

/* SOURCE_BY_NAME: a text; SOURCE_BY_TOKEN, SOURCE_BY_OLD_TOKEN: a digest */
void
catalog_seek_source(CatalogScan *scan, Datum name_or_digest)
{
	ScanKeyData keys[1];

	ScanKeyInit(&keys[0], Key_source_name, BTEqualStrategyNumber,
				scan->which == SOURCE_BY_NAME ? F_TEXTEQ : F_BYTEAEQ,
				name_or_digest);
	seek(scan, keys, 1);
}

/* PROVIDER_BY_NAME: one provider of a source, or (NULL) all of them */
void
catalog_seek_provider(CatalogScan *scan, int32 source_id, const char *name)
{
	ScanKeyData keys[2];

	int4_key(&keys[0], Key_provider_source_id, BTEqualStrategyNumber, source_id);
	if (name != NULL)
		ScanKeyInit(&keys[1], Key_provider_name, BTEqualStrategyNumber,
					F_TEXTEQ, CStringGetTextDatum(name));
	seek(scan, keys, name == NULL ? 1 : 2);
}

/* SOURCE_BY_ID, PROVIDER_BY_ID, EVENT_BY_ID */
void
catalog_seek_number(CatalogScan *scan, int64 number)
{
	ScanKeyData keys[1];

	if (scan->which == EVENT_BY_ID)
		ScanKeyInit(&keys[0], Key_number, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum(number));
	else
		int4_key(&keys[0], Key_number, BTEqualStrategyNumber, (int32) number);
	seek(scan, keys, 1);
}

/* Any index: a walk through all of it */
void
catalog_seek_all(CatalogScan *scan)
{
	seek(scan, NULL, 0);
}

/* PENDING_BY_KEY, PARTITION_BY_KEY: one partition */
void
catalog_seek_partition(CatalogScan *scan, int32 provider_id,
					   TimeInterval during)
{
	ScanKeyData keys[4];

	int4_key(&keys[0], Key_group, BTEqualStrategyNumber, provider_id);
	int2_key(&keys[1], Key_length_class, BTEqualStrategyNumber,
			 length_class(during));
	time_key(&keys[2], Key_start_at, BTEqualStrategyNumber, during.start);
	time_key(&keys[3], Key_end_at, BTEqualStrategyNumber, during.end);
	seek(scan, keys, 4);
}

/*
 * PENDING_BY_KEY, PARTITION_BY_KEY: those of a class that start at an instant
 * or later
 */
void
catalog_seek_partitions_after(CatalogScan *scan, int32 provider_id,
							  int length_class, int64 start)
{
	ScanKeyData keys[3];

	int4_key(&keys[0], Key_group, BTEqualStrategyNumber, provider_id);
	int2_key(&keys[1], Key_length_class, BTEqualStrategyNumber, length_class);
	time_key(&keys[2], Key_start_at, BTGreaterEqualStrategyNumber, start);
	seek(scan, keys, 3);
}

/* LOCK_BY_KEY: the row of one partition */
void
catalog_seek_lock(CatalogScan *scan, int32 source_id, int32 provider_id,
				  TimeInterval during)
{
	ScanKeyData keys[5];

	int4_key(&keys[0], Key_group, BTEqualStrategyNumber, source_id);
	int2_key(&keys[1], Key_length_class, BTEqualStrategyNumber,
			 length_class(during));
	time_key(&keys[2], Key_start_at, BTEqualStrategyNumber, during.start);
	time_key(&keys[3], Key_end_at, BTEqualStrategyNumber, during.end);
	int4_key(&keys[4], Key_lock_provider_id, BTEqualStrategyNumber, provider_id);
	seek(scan, keys, 5);
}

/* The first entry of a group whose length class is higher than one */
void
catalog_seek_length_class_above(CatalogScan *scan, int32 group,
								int length_class)
{
	ScanKeyData keys[2];

	int4_key(&keys[0], Key_group, BTEqualStrategyNumber, group);
	int2_key(&keys[1], Key_length_class, BTGreaterStrategyNumber, length_class);
	seek(scan, keys, 2);
}

/* COVERAGE_BY_KEY: the spans of a provider that start as a strategy says */
void
catalog_seek_spans(CatalogScan *scan, int32 source_id, int32 provider_id,
				   StrategyNumber strategy, int64 start)
{
	ScanKeyData keys[3];

	int4_key(&keys[0], Key_coverage_source_id, BTEqualStrategyNumber, source_id);
	int4_key(&keys[1], Key_coverage_provider_id, BTEqualStrategyNumber,
			 provider_id);
	time_key(&keys[2], Key_coverage_span_start, strategy, start);
	seek(scan, keys, 3);
}

/* COVERAGE_BY_KEY: those that start at an instant or later, but before a limit */
void
catalog_seek_spans_between(CatalogScan *scan, int32 source_id,
						   int32 provider_id, int64 start, int64 limit)
{
	ScanKeyData keys[4];

	int4_key(&keys[0], Key_coverage_source_id, BTEqualStrategyNumber, source_id);
	int4_key(&keys[1], Key_coverage_provider_id, BTEqualStrategyNumber,
			 provider_id);
	time_key(&keys[2], Key_coverage_span_start, BTGreaterEqualStrategyNumber,
			 start);
	time_key(&keys[3], Key_coverage_span_start, BTLessStrategyNumber, limit);
	seek(scan, keys, 4);
}

/* COVERAGE_BY_KEY: the spans of providers whose id is as a strategy says */
void
catalog_seek_spans_of(CatalogScan *scan, int32 source_id,
					  StrategyNumber strategy, int32 provider_id)
{
	ScanKeyData keys[2];

	int4_key(&keys[0], Key_coverage_source_id, BTEqualStrategyNumber, source_id);
	int4_key(&keys[1], Key_coverage_provider_id, strategy, provider_id);
	seek(scan, keys, 2);
}

/* EVENT_BY_PARTITION: the events of a partition that have details */
void
catalog_seek_details(CatalogScan *scan, int32 provider_id,
					 TimeInterval during)
{
	ScanKeyData keys[3];

	int4_key(&keys[0], Key_details_provider_id, BTEqualStrategyNumber,
			 provider_id);
	time_key(&keys[1], Key_details_start_at, BTEqualStrategyNumber, during.start);
	time_key(&keys[2], Key_details_end_at, BTEqualStrategyNumber, during.end);
	seek(scan, keys, 3);
}

/* EVENT_BY_DURING: the events of a source that are of no partition */
void
catalog_seek_events_of_source(CatalogScan *scan, int32 source_id)
{
	ScanKeyData keys[2];

	int4_key(&keys[0], Key_group, BTEqualStrategyNumber, source_id);
	ScanKeyEntryInitialize(&keys[1], SK_ISNULL | SK_SEARCHNULL,
						   Key_length_class, InvalidStrategy, InvalidOid,
						   InvalidOid, InvalidOid, (Datum) 0);
	seek(scan, keys, 2);
}

/* SOURCE_BY_ID, PROVIDER_BY_ID, EVENT_BY_ID: those from a number on */
void
catalog_seek_numbers(CatalogScan *scan, int64 first)
{
	ScanKeyData keys[1];

	ScanKeyEntryInitialize(&keys[0], 0, Key_number,
						   BTGreaterEqualStrategyNumber, INT8OID, InvalidOid,
						   scan->which == EVENT_BY_ID ? F_INT8GE : F_INT48GE,
						   Int64GetDatum(first));
	seek(scan, keys, 1);
}

/* EVENT_BY_TRANSACTION: those of the transactions from one to below another */
void
catalog_seek_transactions(CatalogScan *scan, uint64 from, uint64 below)
{
	ScanKeyData keys[2];

	xid_key(&keys[0], Key_transaction_xid, BTGreaterEqualStrategyNumber, from);
	xid_key(&keys[1], Key_transaction_xid, BTLessStrategyNumber, below);
	seek(scan, keys, 2);
}

/* EVENT_BY_CHANGE: those of a source, of such transactions */
void
catalog_seek_changes(CatalogScan *scan, int32 source_id, uint64 from,
					 uint64 below)
{
	ScanKeyData keys[3];

	int4_key(&keys[0], Key_change_source_id, BTEqualStrategyNumber, source_id);
	xid_key(&keys[1], Key_change_xid, BTGreaterEqualStrategyNumber, from);
	xid_key(&keys[2], Key_change_xid, BTLessStrategyNumber, below);
	seek(scan, keys, 3);
}

/* The next index entry, whether its row is visible or not. */
bool
catalog_next_entry(CatalogScan *scan, ScanDirection direction)
{
	CHECK_FOR_INTERRUPTS();
	scan->at_entry = index_getnext_tid(scan->scan, direction) != NULL;
	return scan->at_entry;
}

/* Fetch the row of the current entry; false: no version of it is visible. */
bool
catalog_fetch_row(CatalogScan *scan)
{
	if (scan->slot == NULL)
		scan->slot = table_slot_create(scan->table, NULL);
	return index_fetch_heap(scan->scan, scan->slot);
}

/* Is the row of the current entry visible? */
bool
catalog_entry_visible(CatalogScan *scan)
{
	BlockNumber block = ItemPointerGetBlockNumber(&scan->scan->xs_heaptid);

	if (!VM_ALL_VISIBLE(scan->table, block, &scan->vmbuffer))
		return catalog_fetch_row(scan);

	/* As the row is not read, SERIALIZABLE has to hear of it here. */
	PredicateLockPage(scan->table, block, scan->snapshot);
	return true;
}

/* The next visible row. */
bool
catalog_next_row(CatalogScan *scan, ScanDirection direction)
{
	while (catalog_next_entry(scan, direction))
	{
		if (catalog_fetch_row(scan))
			return true;
	}
	return false;
}

/* A column of the current index entry; those of ours are never null. */
Datum
catalog_entry_value(CatalogScan *scan, int key_column)
{
	bool		isnull;
	Datum		result = index_getattr(scan->scan->xs_itup, key_column,
									   scan->scan->xs_itupdesc, &isnull);

	Assert(!isnull);
	return result;
}

/* False for null, and *time is 0 then */
bool
catalog_entry_time(CatalogScan *scan, int key_column, TimestampTz *time)
{
	bool		isnull;
	Datum		value = index_getattr(scan->scan->xs_itup, key_column,
									  scan->scan->xs_itupdesc, &isnull);

	*time = isnull ? 0 : DatumGetTimestampTz(value);
	return !isnull;
}

/* The interval of the current entry of an index by overlap */
static TimeInterval
entry_interval(CatalogScan *scan)
{
	TimeInterval during = {
		DatumGetTimestampTz(catalog_entry_value(scan, Key_start_at)),
		DatumGetTimestampTz(catalog_entry_value(scan, Key_end_at))
	};

	return during;
}

/* The interval of the current row of partitions or locks */
TimeInterval
catalog_row_interval(CatalogScan *scan)
{
	TimeInterval during;

	StaticAssertStmt((int) Anum_partition_start_at == (int) Anum_lock_start_at &&
					 (int) Anum_partition_end_at == (int) Anum_lock_end_at,
					 "partition and lock have their intervals in the same columns");
	(void) catalog_row_time(scan, Anum_partition_start_at, &during.start);
	(void) catalog_row_time(scan, Anum_partition_end_at, &during.end);
	return during;
}

/* An attribute of the current row, valid until the scan moves on. */
Datum
catalog_row_value(CatalogScan *scan, int attnum, bool *isnull)
{
	return slot_getattr(scan->slot, attnum, isnull);
}

/* The same of columns that are never null */
int32
catalog_row_int32(CatalogScan *scan, int attnum)
{
	bool		isnull;

	return DatumGetInt32(catalog_row_value(scan, attnum, &isnull));
}

int64
catalog_row_int64(CatalogScan *scan, int attnum)
{
	bool		isnull;

	return DatumGetInt64(catalog_row_value(scan, attnum, &isnull));
}

/* A copy; NULL for null */
char *
catalog_row_text(CatalogScan *scan, int attnum)
{
	bool		isnull;
	Datum		value = catalog_row_value(scan, attnum, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* False for null, and *time is 0 then */
bool
catalog_row_time(CatalogScan *scan, int attnum, TimestampTz *time)
{
	bool		isnull;
	Datum		value = catalog_row_value(scan, attnum, &isnull);

	*time = isnull ? 0 : DatumGetTimestampTz(value);
	return !isnull;
}

/* Close; the locks stay until the transaction ends. */
void
catalog_end(CatalogScan *scan)
{
	if (scan->slot != NULL)
		ExecDropSingleTupleTableSlot(scan->slot);
	if (BufferIsValid(scan->vmbuffer))
		ReleaseBuffer(scan->vmbuffer);
	if (scan->scan != NULL)
		index_endscan(scan->scan);
	index_close(scan->index, NoLock);
	table_close(scan->table, NoLock);
}

/*
 * Intervals by overlap, from a btree.
 *
 * The index has the columns (group, length class, start, end, ...).  The class
 * of an interval is the smallest c with length <= 2^c, so what overlaps [a, b)
 * in class c starts after a - 2^c and before b; and as it is longer than
 * 2^(c-1), not many that start there miss the window, unless many lie on top
 * of one another.  Classes are few (an hour, a day and a month are three), and
 * those that a group has are found by leaps.  In all this costs a handful of
 * probes, and an insert into a btree is several times cheaper than into the
 * GiST index that would otherwise answer this.
 *
 * A leap asks for the first entry of any class above the last one, and a btree
 * scan copies all that match on the page before it returns the first.  Where
 * the same group is asked about again and again, the caller keeps the classes
 * that were met; then each leap ends at the next of those, finds nothing, and
 * copies nothing.
 */
int
length_class(TimeInterval interval)
{
	uint64		length = interval_length(interval);

	return length <= 1 ? 0 : pg_leftmost_one_pos64(length - 1) + 1;
}

void
overlap_begin(OverlapScan *overlap, CatalogIndex which, uint64 *known_classes,
			  Snapshot snapshot)
{
	overlap->known_classes = known_classes;
	catalog_begin(&overlap->scan, which, snapshot);
}

/*
 * Begin to look for what of a group overlaps a window; any number of times in
 * one scan.
 */
void
overlap_seek(OverlapScan *overlap, int32 group, TimeInterval window)
{
	overlap->group = group;
	overlap->window = window;
	overlap->length_class = -1;
	overlap->in_class = false;
}

/* The next class that is known; 64 if none is. */
static int
next_known_class(const OverlapScan *overlap)
{
	uint64		above = 0;

	if (overlap->known_classes != NULL && overlap->length_class < 63)
		above = *overlap->known_classes & ~UINT64CONST(0) << (overlap->length_class + 1);
	return above == 0 ? 64 : pg_rightmost_one_pos64(above);
}

/* Leap to the next class that the index has for the group. */
static bool
next_class(OverlapScan *overlap)
{
	ScanKeyData keys[4];
	int			known = next_known_class(overlap);
	int64		from;

	int4_key(&keys[0], Key_group, BTEqualStrategyNumber, overlap->group);
	int2_key(&keys[1], Key_length_class, BTGreaterStrategyNumber,
			 overlap->length_class);
	/* 64 may be a class itself: that of half of all time. */
	int2_key(&keys[2], Key_length_class, BTLessStrategyNumber,
			 known == 64 ? 65 : known);
	/* As many keys as below, so that the scan need not be started again */
	keys[3] = keys[2];
	seek(&overlap->scan, keys, 4);
	if (catalog_next_entry(&overlap->scan, ForwardScanDirection))
	{
		overlap->length_class = DatumGetInt16(catalog_entry_value(&overlap->scan,
																  Key_length_class));
		if (overlap->known_classes != NULL && overlap->length_class < 64)
			*overlap->known_classes |= UINT64CONST(1) << overlap->length_class;
	}
	else if (known < 64)
		overlap->length_class = known;
	else
		return false;

	if (overlap->length_class >= 63 ||
		pg_sub_s64_overflow(overlap->window.start,
							INT64CONST(1) << overlap->length_class, &from))
		from = INTERVAL_MIN;
	int2_key(&keys[1], Key_length_class, BTEqualStrategyNumber,
			 overlap->length_class);
	time_key(&keys[2], Key_start_at, BTGreaterStrategyNumber, from);
	time_key(&keys[3], Key_start_at, BTLessStrategyNumber, overlap->window.end);
	seek(&overlap->scan, keys, 4);
	return true;
}

/*
 * The next member, in the order of class, start and end: `during` is set, and
 * its row is at hand.
 */
bool
overlap_next(OverlapScan *overlap)
{
	for (;;)
	{
		while (overlap->in_class &&
			   catalog_next_entry(&overlap->scan, ForwardScanDirection))
		{
			TimeInterval during = entry_interval(&overlap->scan);

			if (interval_overlaps(during, overlap->window) &&
				catalog_fetch_row(&overlap->scan))
			{
				overlap->during = during;
				return true;
			}
		}
		overlap->in_class = next_class(overlap);
		if (!overlap->in_class)
			return false;
	}
}

/* Leave out the classes below one. */
void
overlap_leap(OverlapScan *overlap, int length_class)
{
	overlap->length_class = length_class - 1;
}

/* Leave out what is left of the current class, which starts later. */
void
overlap_skip_class(OverlapScan *overlap)
{
	overlap->in_class = false;
}

void
overlap_end(OverlapScan *overlap)
{
	catalog_end(&overlap->scan);
}

PG_FUNCTION_INFO_V1(_length_class);

/*
 * _length_class(start_at timestamptz, end_at timestamptz) returns smallint
 *		For verify(), which files everything anew and compares.
 */
Datum
_length_class(PG_FUNCTION_ARGS)
{
	TimeInterval interval = {PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_TIMESTAMPTZ(1)};

	PG_RETURN_INT16(length_class(interval));
}
