/*
 * vacancy.c
 *		Remembering that a source has no lock rows.
 *
 * Most sources have no lock most of the time, and half of the cost of a check
 * was to search the index of locks and find nothing.  All entries of a source,
 * if it had any, would begin on one page of that index: the leaf on which a
 * descent for the source ends.  Once that leaf was seen to have none, it is
 * enough to see that it has not changed since: whatever puts an entry there,
 * or makes another page the one where it belongs, writes WAL and so moves the
 * LSN of the page.  If the index has no leaf yet, its metapage stands for it.
 *
 * That the index has no entry is more than that a snapshot sees no row: an entry
 * stays as long as any snapshot may want its row.  So this is what the walk
 * itself would find now, whatever the snapshot.
 *
 * Nothing is remembered where a page can change without its LSN, where
 * PostgreSQL wants to know of each page that was read (SERIALIZABLE), or where
 * it may take rows from those who see them (old_snapshot_threshold).
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "compat.h"
#include "vacancy.h"

/* Is the page that is remembered as it was? */
static bool
unchanged(const Vacancy *vacancy)
{
	bool		same;

	if (!catalog_lock_index_again(LOCK_BY_KEY, vacancy->generation) ||
		!ReadRecentBuffer(vacancy->index, MAIN_FORKNUM, vacancy->block,
						  vacancy->buffer))
		return false;
	/* Who is changing it now has not committed what we would have to see. */
	same = BufferGetLSNAtomic(vacancy->buffer) == vacancy->lsn;
	ReleaseBuffer(vacancy->buffer);
	return same;
}

/* The source of an entry of a page, or of its high key */
static int32
entry_source(Relation index, Page page, OffsetNumber at)
{
	IndexTuple	entry = (IndexTuple) PageGetItem(page, PageGetItemId(page, at));
	bool		isnull;

	return DatumGetInt32(index_getattr(entry, Key_group,
									   RelationGetDescr(index), &isnull));
}

/* Has a leaf no entry of a source, and cannot the next one have any? */
static bool
has_none(Relation index, Page page, int32 source_id)
{
	BTPageOpaque opaque = BTPageGetOpaque(page);
	OffsetNumber end = PageGetMaxOffsetNumber(page) + 1;
	OffsetNumber low = P_FIRSTDATAKEY(opaque);
	OffsetNumber high = end;

	if (!P_RIGHTMOST(opaque) &&
		entry_source(index, page, P_HIKEY) <= source_id)
		return false;
	while (low < high)
	{
		OffsetNumber middle = low + (high - low) / 2;

		if (entry_source(index, page, middle) < source_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low == end || entry_source(index, page, low) != source_id;
}

/*
 * The leaf on which the entries of a source would begin, or the metapage if
 * there is no leaf; pinned and locked.
 */
static Buffer
find_page(const CatalogScan *scan, int32 source_id)
{
	BTScanInsert key = _bt_mkscankey(scan->index, NULL);
	Buffer		buffer;

	key->keysz = 1;
	key->scankeys[0].sk_argument = Int32GetDatum(source_id);
	key->scankeys[0].sk_flags &= ~SK_ISNULL;
	bt_search_compat(scan->index, scan->table, key, &buffer, scan->snapshot);
	pfree(key);
	if (!BufferIsValid(buffer))
		buffer = _bt_getbuf(scan->index, BTREE_METAPAGE, BT_READ);
	return buffer;
}

/* Look, and remember the page if the source has no entry. */
static bool
look(Vacancy *vacancy, int32 source_id, Snapshot snapshot)
{
	CatalogScan scan;
	bool		vacant = false;

	vacancy->source_id = 0;
	catalog_begin(&scan, LOCK_BY_KEY, snapshot);
	vacancy->generation = catalog_generation(LOCK_BY_KEY);
	if (RelationNeedsWAL(scan.index))
	{
		Buffer		buffer = find_page(&scan, source_id);
		Page		page = BufferGetPage(buffer);

		vacancy->index = rel_locator(scan.index);
		vacancy->block = BufferGetBlockNumber(buffer);
		vacancy->buffer = buffer;
		vacancy->lsn = BufferGetLSNAtomic(buffer);
		vacant = vacancy->block == BTREE_METAPAGE
			? BTPageGetMeta(page)->btm_root == P_NONE
			: has_none(scan.index, page, source_id);
		_bt_relbuf(scan.index, buffer);
	}
	catalog_end(&scan);
	if (vacant)
		vacancy->source_id = source_id;
	return vacant;
}

/*
 * Is it certain that a source has no lock row?  False: it has to be looked by a
 * scan.
 */
bool
vacancy_holds(Vacancy *vacancy, int32 source_id, Snapshot snapshot)
{
	if (IsolationIsSerializable() || rows_may_be_taken())
		return false;
	if (vacancy->source_id == source_id && unchanged(vacancy))
		return true;
	return look(vacancy, source_id, snapshot);
}
