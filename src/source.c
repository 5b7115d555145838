/*
 * source.c
 *		Finding the source that a question is about.
 *
 * A sensor asks the same question again and again, in one backend about the
 * same few sources.  So a backend keeps hints: where the row of a source was
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
 * So whatever happened to the rows in between (updates, drops, a place used
 * again for another row), there is nothing to invalidate: a wrong hint costs a
 * look, never an answer.  "Does not exist" and "not available" are answered by
 * the index alone.
 *
 * The table is locked for that, but not opened.  Where it has another file
 * since (VACUUM FULL), we hear of it: catalog_lock_again().
 *
 * The length classes of the source's locks that were met are kept as a hint,
 * too, which makes a walk through the locks shorter and never wrong; as long as
 * none were met, where it can be seen that there are none (vacancy.c).
 *
 * The buffer is part of a hint: ReadRecentBuffer() pins it only if it still
 * holds that block, and so never reads beyond the end of a table that shrank.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "condition.h"
#include "source.h"
#include "vacancy.h"

/* With more sources than this, a backend forgets all hints. */
#define MAX_HINTS	10000

typedef struct Place
{
	RelLocator	file;
	uint64		generation;		/* see catalog_lock_again() */
	ItemPointerData tid;
	Buffer		buffer;			/* InvalidBuffer: none */
} Place;

/* A row of partreg.source, which begins with columns that are never null */
typedef struct SourceRow
{
	int32		id;
	char		name[FLEXIBLE_ARRAY_MEMBER];	/* a text; then the rule */
} SourceRow;

/* A row of partreg.coverage */
typedef struct CoverageRow
{
	int32		source_id;
	int32		provider_id;
	TimestampTz span_start;
	TimestampTz span_end;
} CoverageRow;

typedef struct SourceName
{
	const char *bytes;
	size_t		length;
} SourceName;

typedef struct SourceHints
{
	SourceName	name;
	uint32		hash;
	char		status;			/* of the slot, for simplehash */
	Place		row;
	Place		span;
	uint64		lock_classes;	/* length classes of its locks, met so far */
	Vacancy		vacancy;
} SourceHints;

#define SH_PREFIX hints
#define SH_ELEMENT_TYPE SourceHints
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

static MemoryContext hints_context = NULL;

/* NULL also while a hint is being added: see keep_hint(). */
static hints_hash *hints = NULL;

/* The place of a row that a scan has come to */
static Place
place_of(const CatalogScan *scan, ItemPointerData tid)
{
	Place		place = {
		.file = rel_locator(scan->table),
		.generation = catalog_generation(scan->which),
		.tid = tid
	};

	place.buffer = ReadBuffer(scan->table, ItemPointerGetBlockNumber(&tid));
	ReleaseBuffer(place.buffer);
	return place;
}

/*
 * Go to a place.  If the row there is visible, it is in `tuple`, and its
 * buffer is pinned and locked until leave().  Not under SERIALIZABLE, where
 * PostgreSQL wants to know what was read of which table.
 */
static bool
visit(CatalogIndex which, const Place *place, Snapshot snapshot,
	  HeapTuple tuple)
{
	OffsetNumber offset;
	Page		page;
	ItemId		item;

	if (!BufferIsValid(place->buffer) || IsolationIsSerializable())
		return false;
	offset = ItemPointerGetOffsetNumber(&place->tid);
	tuple->t_self = place->tid;
	tuple->t_tableOid = catalog_lock_again(which, place->generation);
	if (!OidIsValid(tuple->t_tableOid) ||
		!ReadRecentBuffer(place->file, MAIN_FORKNUM,
						  ItemPointerGetBlockNumber(&place->tid),
						  place->buffer))
		return false;
	LockBuffer(place->buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(place->buffer);
	item = PageGetItemId(page, offset);
	if (offset <= PageGetMaxOffsetNumber(page) && ItemIdIsNormal(item))
	{
		tuple->t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple->t_len = ItemIdGetLength(item);
		if (HeapTupleSatisfiesVisibility(tuple, snapshot, place->buffer))
			return true;
	}
	UnlockReleaseBuffer(place->buffer);
	return false;
}

static void
leave(const Place *place)
{
	UnlockReleaseBuffer(place->buffer);
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
try_hint(SourceName name, Snapshot snapshot, Source *source)
{
	HeapTupleData tuple;
	const SourceRow *row;
	const char *start;
	Size		rule;
	bool		found;

	source->hints = hints == NULL ? NULL : hints_lookup(hints, name);
	if (source->hints == NULL ||
		!visit(SOURCE_BY_NAME, &source->hints->row, snapshot, &tuple))
		return false;
	start = GETSTRUCT(&tuple);
	row = (const SourceRow *) start;
	found = text_is(PointerGetDatum(row->name), name.bytes, name.length);
	source->id = row->id;
	rule = offsetof(SourceRow, name) + VARSIZE_ANY(row->name);
	rule = att_align_pointer(rule, TYPALIGN_INT, -1, start + rule);
	source->needs_all = text_is(PointerGetDatum(start + rule), "all", 3);
	leave(&source->hints->row);
	return found;
}

/*
 * Keep where the row of a source is.
 *
 * simplehash is broken by an insertion that runs out of memory, so nobody may
 * find the table until it is over: the next call then starts a new one.
 */
static SourceHints *
keep_hint(SourceName name, Place row)
{
	hints_hash *table = hints;
	SourceHints *kept;
	bool		found;

	hints = NULL;
	if (hints_context == NULL)
		hints_context = AllocSetContextCreate(TopMemoryContext,
											  "partreg hints",
											  ALLOCSET_DEFAULT_SIZES);
	if (table == NULL || table->members >= MAX_HINTS)
	{
		MemoryContextReset(hints_context);
		table = hints_create(hints_context, 64, NULL);
	}

	kept = hints_lookup(table, name);
	if (kept == NULL)
	{
		char	   *copy = MemoryContextAlloc(hints_context, name.length + 1);

		memcpy(copy, name.bytes, name.length);
		name.bytes = copy;
		kept = hints_insert(table, name, &found);
		kept->span.buffer = InvalidBuffer;
		kept->lock_classes = 0;
		kept->vacancy.source_id = 0;
	}
	kept->row = row;
	hints = table;
	return kept;
}

/*
 * Find a source by name in a snapshot; false: there is none in it.
 */
static bool
lookup(const char *name, Snapshot snapshot, Source *source)
{
	SourceName	wanted = {name, strnlen(name, MAX_NAME_LENGTH + 1)};
	CatalogScan scan;
	Datum		key;
	bool		found = false;

	if (wanted.length > MAX_NAME_LENGTH)
		return false;
	if (try_hint(wanted, snapshot, source))
		return true;

	catalog_begin(&scan, SOURCE_BY_NAME, snapshot);
	key = CStringGetTextDatum(name);
	catalog_seek_source(&scan, key);
	while (!found && catalog_next_entry(&scan, ForwardScanDirection))
	{
		bool		isnull;

		if (!catalog_fetch_row(&scan))
			continue;
		found = true;
		source->id = catalog_row_int32(&scan, Anum_source_id);
		source->needs_all = text_is(catalog_row_value(&scan, Anum_source_rule,
													  &isnull), "all", 3);
		source->hints = keep_hint(wanted, place_of(&scan, scan.slot->tts_tid));
	}
	catalog_end(&scan);
	pfree(DatumGetPointer(key));
	return found;
}

/* The same where it has to exist. */
Source
source_find(const char *name, Snapshot snapshot)
{
	Source		source;

	if (unlikely(!lookup(name, snapshot, &source)))
		raise_unknown_source(name);
	return source;
}

void
raise_unknown_source(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errcondition("unknown_source"),
			 errmsg("source \"%s\" does not exist", quotable(name)),
			 errhint("The view partreg.sources lists the sources.")));
}

/* Where to keep the length classes of a source's locks: overlap_begin(). */
uint64 *
source_lock_classes(const Source *source)
{
	return &source->hints->lock_classes;
}

/*
 * Is it certain that a source has no locks?  It is not tried where some have
 * been met.
 */
bool
source_has_no_locks(const Source *source, Snapshot snapshot)
{
	return source->hints->lock_classes == 0 &&
		vacancy_holds(&source->hints->vacancy, source->id, snapshot);
}

/*
 * Does the span that last answered for a source hold a window?
 */
bool
source_hinted_span_holds(const Source *source, TimeInterval window,
						 Snapshot snapshot)
{
	const Place *place = &source->hints->span;
	HeapTupleData tuple;
	const CoverageRow *row;
	bool		holds;

	if (!visit(COVERAGE_BY_KEY, place, snapshot, &tuple))
		return false;
	row = (const CoverageRow *) GETSTRUCT(&tuple);
	holds = row->source_id == source->id && row->span_start <= window.start &&
		row->span_end >= window.end;
	leave(place);
	return holds;
}

/*
 * Keep where the span is that a scan of COVERAGE_BY_KEY has come to.  One that
 * has looked at very many is at its end, and at none.
 */
void
source_hint_span(const Source *source, const CatalogScan *scan)
{
	if (scan->at_entry)
		source->hints->span = place_of(scan, scan->scan->xs_heaptid);
}
