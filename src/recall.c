/*
 * recall.c
 *		Rows remembered by their place.
 *
 * A sensor asks the same question again and again, in one backend about the
 * same few sources.  What a backend remembers of a source is where its row was
 * found, and where the span that last answered for it was found; never what
 * they said.  The next question looks there first, and believes what it finds
 * only if it is visible in its snapshot and is what is wanted:
 *
 * - A name is unique among the rows of partreg.source that a snapshot sees, so
 *	 a visible row with the name is the one that the index would find.
 *
 * - A visible row of partreg.coverage that belongs to the source and holds the
 *	 whole window proves that it is available under the rule "any", whichever
 *	 row it is.
 *
 * So whatever happened to the rows in between (updates, drops, VACUUM FULL, a
 * place used again for another row), there is nothing to invalidate: at worst
 * the look was in vain.  "Unknown" and "not available" are asked of the index.
 *
 * The length classes of the source's locks that were met are remembered as a
 * guess, which makes a walk through the locks shorter and never wrong.
 *
 * The buffer is remembered too: ReadRecentBuffer() pins it only if it still
 * holds that block, and so never reads beyond the end of a table that shrank.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "recall.h"

/* More sources than this in one backend, and it starts anew. */
#define MAX_REMEMBERED	10000

typedef struct Place
{
	ItemPointerData tid;
	Buffer		buffer;			/* InvalidBuffer: none */
} Place;

typedef struct SourceName
{
	const char *bytes;
	size_t		length;
} SourceName;

typedef struct RememberedSource
{
	SourceName	name;
	uint32		hash;
	char		status;			/* of the slot, for simplehash */
	Place		source;
	Place		span;
	uint64		lock_classes;	/* length classes of its locks, met so far */
} RememberedSource;

#define SH_PREFIX sources
#define SH_ELEMENT_TYPE RememberedSource
#define SH_KEY_TYPE SourceName
#define SH_KEY name
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key).bytes, (int) (key).length)
#define SH_EQUAL(table, a, b) \
	((a).length == (b).length && memcmp((a).bytes, (b).bytes, (a).length) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(table, element) (element)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext sources_context = NULL;
static sources_hash *sources = NULL;

static Place
place_of(Relation table, ItemPointerData tid)
{
	Place		place = {tid};

	place.buffer = ReadBuffer(table, ItemPointerGetBlockNumber(&tid));
	ReleaseBuffer(place.buffer);
	return place;
}

/*
 * Go to a place.  If a row there, or in its HOT chain, is visible, it is in
 * `tuple`, and its buffer is pinned and locked until leave().
 */
static bool
visit(const Place *place, Relation table, Snapshot snapshot, HeapTuple tuple)
{
	ItemPointerData tid = place->tid;

	if (!BufferIsValid(place->buffer) ||
		!ReadRecentBuffer(rel_locator(table), MAIN_FORKNUM,
						  ItemPointerGetBlockNumber(&tid), place->buffer))
		return false;
	LockBuffer(place->buffer, BUFFER_LOCK_SHARE);
	if (heap_hot_search_buffer(&tid, table, place->buffer, snapshot, tuple,
							   NULL, true))
		return true;
	UnlockReleaseBuffer(place->buffer);
	return false;
}

static void
leave(const Place *place)
{
	UnlockReleaseBuffer(place->buffer);
}

static Datum
attribute(HeapTuple tuple, Relation table, int attnum)
{
	bool		isnull;

	return heap_getattr(tuple, attnum, RelationGetDescr(table), &isnull);
}

static bool
text_is(Datum value, const char *wanted, size_t length)
{
	text	   *string = DatumGetTextPP(value);

	return VARSIZE_ANY_EXHDR(string) == length &&
		memcmp(VARDATA_ANY(string), wanted, length) == 0;
}

/* Look for a source where it was. */
static bool
recall_source(SourceName name, Snapshot snapshot, SourceKey *key)
{
	Relation	table;
	HeapTupleData tuple;
	bool		found = false;

	key->remembered = sources == NULL ? NULL : sources_lookup(sources, name);
	if (key->remembered == NULL)
		return false;
	table = catalog_reopen_table(SOURCE_BY_NAME);
	if (table == NULL)
		return false;
	if (visit(&key->remembered->source, table, snapshot, &tuple))
	{
		found = text_is(attribute(&tuple, table, Anum_source_name),
						name.bytes, name.length);
		key->id = DatumGetInt32(attribute(&tuple, table, Anum_source_id));
		key->needs_all = text_is(attribute(&tuple, table, Anum_source_rule),
								 "all", 3);
		leave(&key->remembered->source);
	}
	table_close(table, NoLock);
	return found;
}

static RememberedSource *
remember_source(SourceName name, Place place)
{
	RememberedSource *remembered;
	bool		found;

	if (sources_context == NULL)
		sources_context = AllocSetContextCreate(TopMemoryContext,
												"partreg places of sources",
												ALLOCSET_DEFAULT_SIZES);
	if (sources != NULL && sources->members >= MAX_REMEMBERED)
	{
		sources = NULL;
		MemoryContextReset(sources_context);
	}
	if (sources == NULL)
		sources = sources_create(sources_context, 64, NULL);

	remembered = sources_lookup(sources, name);
	if (remembered == NULL)
	{
		char	   *copy = MemoryContextAlloc(sources_context, name.length + 1);

		memcpy(copy, name.bytes, name.length);
		name.bytes = copy;
		remembered = sources_insert(sources, name, &found);
		remembered->span.buffer = InvalidBuffer;
		remembered->lock_classes = 0;
	}
	remembered->source = place;
	return remembered;
}

/*
 * Find a source by name in a snapshot; false: the snapshot knows none.
 */
bool
source_lookup(const char *name, size_t length, Snapshot snapshot,
			  SourceKey *key)
{
	SourceName	wanted = {name, length};
	CatalogScan scan;
	ScanKeyData keys[1];
	bool		found = false;

	if (recall_source(wanted, snapshot, key))
		return true;

	catalog_begin(&scan, SOURCE_BY_NAME, snapshot);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(cstring_to_text_with_len(name, (int) length)));
	catalog_seek(&scan, keys, 1);
	while (!found && catalog_next_entry(&scan, ForwardScanDirection))
	{
		/* The root of the HOT chain; fetching the row moves xs_heaptid on. */
		ItemPointerData root = scan.scan->xs_heaptid;
		bool		isnull;

		if (!catalog_fetch_row(&scan))
			continue;
		found = true;
		key->id = DatumGetInt32(catalog_row_value(&scan, Anum_source_id,
												  &isnull));
		key->needs_all = text_is(catalog_row_value(&scan, Anum_source_rule,
												   &isnull), "all", 3);
		key->remembered = remember_source(wanted, place_of(scan.table, root));
	}
	catalog_end(&scan);
	return found;
}

/* Where to keep the length classes of a source's locks: overlap_begin(). */
uint64 *
known_lock_classes(const SourceKey *key)
{
	return &key->remembered->lock_classes;
}

/*
 * Does the span that last answered for a source hold a window?
 */
bool
recall_span(const SourceKey *key, TimeInterval window, Snapshot snapshot)
{
	const Place *place = &key->remembered->span;
	Relation	table;
	HeapTupleData tuple;
	bool		holds = false;

	if (!BufferIsValid(place->buffer))
		return false;
	table = catalog_reopen_table(COVERAGE_BY_KEY);
	if (table == NULL)
		return false;
	if (visit(place, table, snapshot, &tuple))
	{
		holds = DatumGetInt32(attribute(&tuple, table, Anum_coverage_source_id)) == key->id &&
			DatumGetTimestampTz(attribute(&tuple, table, Anum_coverage_span_start)) <= window.start &&
			DatumGetTimestampTz(attribute(&tuple, table, Anum_coverage_span_end)) >= window.end;
		leave(place);
	}
	table_close(table, NoLock);
	return holds;
}

/* Remember the span that a scan of COVERAGE_BY_KEY has come to. */
void
remember_span(const SourceKey *key, const CatalogScan *scan)
{
	key->remembered->span = place_of(scan->table, scan->scan->xs_heaptid);
}
