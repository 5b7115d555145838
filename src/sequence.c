/*
 * sequence.c
 *		The numbers of sources, providers and events.
 *
 * A sequence may be behind its table: logical replication copies rows but no
 * sequences, and neither does a load of the tables alone.  Then the numbers
 * that the sequence gives are in use.  Callers would be told that a name is
 * taken, or would get an error about a duplicate key that they cannot
 * understand.  So before a number is drawn, this file checks whether the
 * sequence is behind.
 *
 * A healthy sequence is never found behind, whatever other sessions do in
 * between.  Whoever puts number n into the index has drawn it before: at that
 * moment the sequence was at n or above, and it never goes back.  So a number
 * in the index is compared with what is read of the sequence after it, which is
 * of a later moment than the entry, and of a still later one than the draw.
 * (The sequence is read before as well: only numbers from there on are looked
 * for, as to ask for the greatest of all would copy a page of the index.)
 * Nothing in this depends on who has committed or rolled back, and the look goes
 * by index entries, whether or not their rows can be seen.  After a crash the
 * same holds: the WAL of the draw comes before that of the entry.  Only where a
 * sequence is behind the entries are those of dead rows left out: their numbers
 * are free, and advance_sequences() does not advance over what it cannot see.
 *
 * The check does not make SERIALIZABLE transactions depend on each other
 * either: it does not read by a snapshot, and leaves no predicate lock.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "storage/bufmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog.h"
#include "identity.h"
#include "sequence.h"

static const struct
{
	const char *name;
	CatalogIndex index;			/* that has the numbers in use */
}			sequences[] = {
	[SEQUENCE_SOURCE] = {"source_id_seq", SOURCE_BY_ID},
	[SEQUENCE_PROVIDER] = {"provider_id_seq", PROVIDER_BY_ID},
	[SEQUENCE_EVENT] = {"event_id_seq", EVENT_BY_ID}
};

/* InvalidOid: not known, or not any more */
static Oid	oids[lengthof(sequences)];

static void
forget_sequence(Datum arg, Oid relid)
{
	for (int i = 0; i < lengthof(oids); i++)
	{
		if (!OidIsValid(relid) || oids[i] == relid)
			oids[i] = InvalidOid;
	}
}

static Oid
sequence_oid(Sequence which)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_sequence, (Datum) 0);
		registered = true;
	}
	if (!OidIsValid(oids[which]))
	{
		Oid			relid = get_relname_relid(sequences[which].name,
											  get_namespace_oid("partreg", false));

		if (!OidIsValid(relid))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("sequence partreg.%s does not exist",
							sequences[which].name)));
		oids[which] = relid;
	}
	return oids[which];
}

/* The greatest number of an event that purge_history() has removed; 0: none */
static int64
purged_number(void)
{
	Identity	identity;

	identity_read(GetActiveSnapshot(), &identity);
	return identity.purged_id;
}

/*
 * The greatest number in the index, from one on; 0: there is none.  Entries of
 * rows that are dead count, unless only living ones are wanted.  Where no
 * event was numbered here yet, what was purged elsewhere counts too: positions
 * have seen those numbers.
 */
static int64
greatest_number(Sequence which, int64 from, bool living)
{
	CatalogScan scan;
	SnapshotData dirty;
	int64		result = 0;

	/* No snapshot of a transaction: what others have not committed counts. */
	InitDirtySnapshot(dirty);
	catalog_begin(&scan, sequences[which].index, living ? &dirty : SnapshotAny);
	catalog_seek_numbers(&scan, from);
	if (living ? catalog_next_row(&scan, BackwardScanDirection)
		: catalog_next_entry(&scan, BackwardScanDirection))
	{
		Datum		number = catalog_entry_value(&scan, Key_number);

		result = which == SEQUENCE_EVENT ? DatumGetInt64(number) :
			DatumGetInt32(number);
	}
	catalog_end(&scan);
	if (result == 0 && which == SEQUENCE_EVENT && from == 1)
		result = purged_number();
	return result;
}

/* The number that would be drawn next. */
static int64
next_number(Sequence which)
{
	Relation	sequence = relation_open(sequence_oid(which), AccessShareLock);
	Buffer		buffer = ReadBuffer(sequence, 0);
	Page		page;
	HeapTupleHeader row;
	Form_pg_sequence_data data;
	int64		result;

	/* A sequence is one row on one page, without nulls. */
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	row = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
	data = (Form_pg_sequence_data) ((char *) row + row->t_hoff);
	result = data->last_value + (data->is_called ? 1 : 0);
	UnlockReleaseBuffer(buffer);
	relation_close(sequence, NoLock);
	return result;
}

/* Complain about a sequence that is behind its table (55000). */
void
sequence_check(Sequence which)
{
	int64		next = next_number(which);
	int64		greatest = greatest_number(which, next, false);

	if (likely(greatest == 0 || next_number(which) > greatest))
		return;
	greatest = greatest_number(which, next, true);
	if (greatest != 0 && next_number(which) <= greatest)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sequence partreg.%s is behind the numbers in use",
						sequences[which].name),
				 errdetail("Number " INT64_FORMAT " is in use.", greatest),
				 errhint("After logical replication has ended, the owner of the extension has to call partreg.advance_sequences().")));
}

/* Draw the next number, where sequence_check() was called in this call. */
int64
sequence_draw(Sequence which)
{
	return nextval_internal(sequence_oid(which), false);
}

/* Draw the next number. */
int64
sequence_next(Sequence which)
{
	sequence_check(which);
	return sequence_draw(which);
}
