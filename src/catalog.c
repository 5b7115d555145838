/*
 * catalog.c
 *		The extension's own tables as C sees them.
 *
 * A question is asked thousands of times for each time that something is told,
 * so questions do not go through the planner and executor: they walk the
 * indexes of our tables themselves, under the caller's snapshot.  That skips
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
 * - The rows that are wanted most are remembered by their place: recall.c.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "common/int.h"
#include "compat.h"

static const struct
{
	const char *table;
	const char *index;
}			names[CATALOG_INDEXES] =
{
	[SOURCE_BY_NAME] = {"source", "source_name_key"},
	[SOURCE_BY_TOKEN] = {"source", "source_token_digest_idx"},
	[SOURCE_BY_OLD_TOKEN] = {"source", "source_old_token_digest_idx"},
	[PROVIDER_BY_NAME] = {"provider", "provider_source_id_name_key"},
	[PARTITION_BY_KEY] = {"partition", "partition_pkey"},
	[LOCK_BY_KEY] = {"lock", "lock_pkey"},
	[COVERAGE_BY_KEY] = {"coverage", "coverage_pkey"},
};

/* InvalidOid: not known, or not any more */
static struct
{
	Oid			table;
	Oid			index;
}			oids[CATALOG_INDEXES];

static void
forget_relation(Datum arg, Oid relid)
{
	for (int i = 0; i < CATALOG_INDEXES; i++)
	{
		if (!OidIsValid(relid) || oids[i].table == relid)
			oids[i].table = oids[i].index = InvalidOid;
		if (oids[i].index == relid)
			oids[i].index = InvalidOid;
	}
}

static Oid
relation_oid(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("partreg", false));
}

/*
 * Open a table whose OID is remembered from the last use of an index; NULL: it
 * is not remembered, or the table is gone.
 */
Relation
catalog_reopen_table(CatalogIndex which)
{
	if (!OidIsValid(oids[which].table))
		return NULL;
	return try_relation_open(oids[which].table, AccessShareLock);
}

/*
 * Open an index and its table for reading under a snapshot, which has to be
 * the active one or registered.
 */
void
catalog_begin(CatalogScan *scan, CatalogIndex which, Snapshot snapshot)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
		registered = true;
	}

	/*
	 * A kept OID may belong to a table that is gone since (DROP EXTENSION,
	 * CREATE EXTENSION): the lock tells, and we look again by name.
	 */
	scan->table = catalog_reopen_table(which);
	if (scan->table == NULL)
	{
		Oid			table = relation_oid(names[which].table);

		if (!OidIsValid(table))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("table partreg.%s does not exist",
							names[which].table)));
		scan->table = table_open(table, AccessShareLock);
		oids[which].table = table;
		oids[which].index = InvalidOid;
	}
	if (!OidIsValid(oids[which].index))
	{
		Oid			index = relation_oid(names[which].index);

		if (!OidIsValid(index))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("index partreg.%s does not exist",
							names[which].index)));
		oids[which].index = index;
	}
	scan->index = index_open(oids[which].index, AccessShareLock);

	scan->snapshot = snapshot;
	scan->slot = NULL;
	scan->vmbuffer = InvalidBuffer;
	scan->scan = index_beginscan_compat(scan->table, scan->index, snapshot,
										CATALOG_MAX_KEYS);
	scan->scan->xs_want_itup = true;
}

/* Go to where some keys say; any number of times in one scan. */
void
catalog_seek(CatalogScan *scan, ScanKey keys, int nkeys)
{
	Assert(nkeys <= CATALOG_MAX_KEYS);

	/* Room was made for CATALOG_MAX_KEYS; fewer may be used. */
	scan->scan->numberOfKeys = nkeys;
	index_rescan(scan->scan, keys, nkeys, NULL, 0);
}

/* The next index entry, whether its row is visible or not. */
bool
catalog_next_entry(CatalogScan *scan, ScanDirection direction)
{
	CHECK_FOR_INTERRUPTS();
	return index_getnext_tid(scan->scan, direction) != NULL;
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
catalog_entry_value(CatalogScan *scan, int column)
{
	bool		isnull;
	Datum		result = index_getattr(scan->scan->xs_itup, column,
									   scan->scan->xs_itupdesc, &isnull);

	Assert(!isnull);
	return result;
}

/* An attribute of the current row, valid until the scan moves on. */
Datum
catalog_row_value(CatalogScan *scan, int attnum, bool *isnull)
{
	return slot_getattr(scan->slot, attnum, isnull);
}

/* Close; the locks stay until the transaction ends. */
void
catalog_end(CatalogScan *scan)
{
	if (scan->slot != NULL)
		ExecDropSingleTupleTableSlot(scan->slot);
	if (BufferIsValid(scan->vmbuffer))
		ReleaseBuffer(scan->vmbuffer);
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
	uint64		length = (uint64) interval.end - (uint64) interval.start;

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

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(overlap->group));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT2GT,
				Int16GetDatum(overlap->length_class));
	ScanKeyInit(&keys[2], 2, BTLessStrategyNumber, F_INT2LT,
				Int16GetDatum(known));
	/* 64 may be a class itself: that of half of all time. */
	catalog_seek(&overlap->scan, keys, known == 64 ? 2 : 3);
	if (catalog_next_entry(&overlap->scan, ForwardScanDirection))
	{
		overlap->length_class = DatumGetInt16(catalog_entry_value(&overlap->scan, 2));
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
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ,
				Int16GetDatum(overlap->length_class));
	ScanKeyInit(&keys[2], 3, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT,
				TimestampTzGetDatum(from));
	ScanKeyInit(&keys[3], 3, BTLessStrategyNumber, F_TIMESTAMPTZ_LT,
				TimestampTzGetDatum(overlap->window.end));
	catalog_seek(&overlap->scan, keys, 4);
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
			TimeInterval during = {
				DatumGetTimestampTz(catalog_entry_value(&overlap->scan, 3)),
				DatumGetTimestampTz(catalog_entry_value(&overlap->scan, 4))
			};

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
