/*
 * namesake.c
 *		Which source or provider bears a name already.
 *
 * A call looks for a new name before it gives it.  If an open transaction is
 * about to give the same name, the call waits for it, as a unique index does.
 * The remaining races are decided by that index.
 *
 * Under REPEATABLE READ and SERIALIZABLE the name has to mean in the
 * transaction's snapshot what it means now.  Otherwise a name that was given
 * since would "already exist", although the transaction cannot see what has
 * it; and a new source with a name that was dropped or changed since would be,
 * in the transaction's sight, the second one of that name.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "condition.h"
#include "namesake.h"
#include "snapshot.h"

/*
 * Look for a name in a snapshot: SOURCE_BY_NAME, or PROVIDER_BY_NAME and a
 * source.
 */
static void
look(CatalogIndex which, int32 source_id, const char *name,
	 Snapshot snapshot, Namesake *namesake)
{
	CatalogScan scan;
	TimestampTz revoked_at;

	namesake->id = 0;
	namesake->revoked = false;
	catalog_begin(&scan, which, snapshot);
	if (which == SOURCE_BY_NAME)
		catalog_seek_source(&scan, CStringGetTextDatum(name));
	else
		catalog_seek_provider(&scan, source_id, name);
	if (catalog_next_row(&scan, ForwardScanDirection))
	{
		if (which == SOURCE_BY_NAME)
			namesake->id = catalog_row_int32(&scan, Anum_source_id);
		else
		{
			namesake->id = catalog_row_int32(&scan, Anum_provider_id);
			namesake->revoked = catalog_row_time(&scan,
												 Anum_provider_revoked_at,
												 &revoked_at);
		}
	}
	catalog_end(&scan);
}

/*
 * Look for a name as a unique index does: also among what others have not
 * committed, and wait for them.
 */
static void
look_and_wait(CatalogIndex which, int32 source_id, const char *name,
			  Namesake *namesake)
{
	for (;;)
	{
		SnapshotData dirty;
		TransactionId other;

		InitDirtySnapshot(dirty);
		look(which, source_id, name, &dirty, namesake);
		if (namesake->id == 0)
			return;
		other = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
		if (!TransactionIdIsValid(other))
			return;
		XactLockTableWait(other, NULL, NULL, XLTW_None);
	}
}

/* Does the transaction's snapshot know the same under this name? */
static void
compare_snapshot(CatalogIndex which, int32 source_id, const char *name,
				 const Namesake *namesake)
{
	Snapshot	snapshot;
	Namesake	known;

	if (!IsolationUsesXactSnapshot())
		return;
	snapshot = current_snapshot();
	look(which, source_id, name, snapshot, &known);
	UnregisterSnapshot(snapshot);
	if (known.id != namesake->id)
		raise_concurrent_change();
}

/*
 * Which source bears a name?  One whose row is being changed may be gone when
 * that is committed, and is waited for.
 */
void
namesake_find_source(const char *name, Namesake *namesake)
{
	look_and_wait(SOURCE_BY_NAME, 0, name, namesake);
	compare_snapshot(SOURCE_BY_NAME, 0, name, namesake);
}

/*
 * Which provider of a source, whose row is locked, bears a name?  One that does
 * is known at once, whatever is going on with it: a retirement, say, in
 * somebody's long transaction.
 */
void
namesake_find_provider(int32 source_id, const char *name, Namesake *namesake)
{
	Snapshot	snapshot = latest_snapshot();

	look(PROVIDER_BY_NAME, source_id, name, snapshot, namesake);
	UnregisterSnapshot(snapshot);
	if (namesake->id == 0)
		look_and_wait(PROVIDER_BY_NAME, source_id, name, namesake);
	compare_snapshot(PROVIDER_BY_NAME, source_id, name, namesake);
}

void
namesake_refuse_source(const char *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errcondition("already_exists"),
			 errmsg("source \"%s\" already exists", name),
			 errhint("%s", hint)));
}

void
namesake_refuse_provider(const char *source_name, const char *name,
						 const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errcondition("already_exists"),
			 errmsg("provider \"%s\" of source \"%s\" already exists",
					name, quotable(source_name)),
			 errhint("%s", hint)));
}
