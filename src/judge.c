/*
 * judge.c
 *		Can this server go on from a position?
 *
 * A position is good if the history that it was taken from continues here.
 * This is judged, in this order, by
 *
 * - the registry, whose id CREATE EXTENSION draws and a dump takes along;
 *
 * - in the cluster where it was taken, the timeline and the place in the WAL:
 *	 whether this server's history has that timeline, and left it later;
 *
 * - the last event that it saw: whether it is here, with the time that it had.
 *	 A copy of a storage or of a database, a restore of an older dump, a second
 *	 promotion have the same ids and another history;
 *
 * - what purge_history() has removed: whether it may be something not seen.
 *
 * A server of the same cluster may be good and not see yet what the position
 * has seen: a standby that has not replayed it; a standby or primary on which
 * a commit becomes visible later than on the other; a transaction with an
 * older snapshot.  Then it returns nothing, so that nothing is returned twice.
 * Nevertheless, events that it sees as purged may be lost: a position may know
 * a later place in the WAL than its snapshot.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/timeline.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_subscription_rel.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "condition.h"
#include "identity.h"
#include "position.h"
#include "sequence.h"

/*
 * Has the snapshot's view no sight of an event that another view has seen?
 * Transactions from one to below another are looked at.
 *
 * A number of a transaction that the other view saw end may be used again (see
 * position.c); but then its events have greater numbers.
 */
static bool
misses_event_of(const View *seen, const View *here, uint64 from, uint64 below)
{
	CatalogScan scan;
	bool		misses = false;

	if (from >= below)
		return false;
	/* No snapshot: they are not visible yet. */
	catalog_begin(&scan, EVENT_BY_TRANSACTION, SnapshotAny);
	catalog_seek_transactions(&scan, from, below);
	while (!misses && catalog_next_entry(&scan, ForwardScanDirection))
	{
		uint64		xid = DatumGetUInt64(catalog_entry_value(&scan, Key_transaction_xid));
		int64		id = DatumGetInt64(catalog_entry_value(&scan, Key_transaction_event_id));

		misses = id <= seen->last_id && view_sees_transaction(seen, xid) &&
			catalog_fetch_row(&scan) &&
			(uint64) catalog_row_int64(&scan, Anum_event_system_id) == here->system_id;
	}
	catalog_end(&scan);
	return misses;
}

/* Is there something that a view of this cluster saw and this one does not? */
static bool
misses_something(const View *seen, const View *here)
{
	for (uint32 i = 0; i < here->count; i++)
	{
		uint64		xid = here->running[i];

		CHECK_FOR_INTERRUPTS();
		if (view_sees_transaction(seen, xid) &&
			misses_event_of(seen, here, xid, xid + 1))
			return true;
	}
	return misses_event_of(seen, here, here->xmax, seen->xmax);
}

/* By its timeline and its place in the WAL */
static Standing
judge_timeline(const View *seen, const View *here, const char **why)
{
	List	   *history;
	XLogRecPtr	end;
	TimeLineID	next;

	if (seen->timeline == here->timeline)
	{
		if (seen->lsn <= here->lsn)
			return POSITION_GOOD;
		if (RecoveryInProgress())
			return POSITION_AHEAD;
		*why = "The position was taken on a server that had a longer history.";
		return POSITION_GONE;
	}

	/* A standby follows a promotion later than others do. */
	if (seen->timeline > here->timeline && RecoveryInProgress())
		return POSITION_AHEAD;

	history = readTimeLineHistory(here->timeline);
	if (!tliInHistory(seen->timeline, history))
	{
		*why = psprintf("The position was taken on timeline %u, which is not in the history of this server.",
						seen->timeline);
		return POSITION_GONE;
	}
	end = tliSwitchPoint(seen->timeline, history, &next);
	if (seen->lsn <= end)
		return POSITION_GOOD;
	*why = psprintf("The position was taken on timeline %u after this server had left that timeline.",
					seen->timeline);
	return POSITION_GONE;
}

/* Is the last event that a view saw here, or was it purged last? */
static bool
has_last_event(const View *seen, const Identity *identity, Snapshot snapshot)
{
	CatalogScan scan;
	TimestampTz at;
	bool		found;

	catalog_begin(&scan, EVENT_BY_ID, snapshot);
	catalog_seek_number(&scan, seen->last_id);
	found = catalog_next_row(&scan, ForwardScanDirection);
	if (found)
		(void) catalog_row_time(&scan, Anum_event_at, &at);
	catalog_end(&scan);
	if (!found)
	{
		found = seen->last_id == identity->purged_id;
		at = identity->purged_at;
	}
	return found && at == seen->last_at;
}

/*
 * Does a view see all that was purged, as far as can be known?
 *
 * As long as purged_system is another cluster, nothing that was written in this
 * one has been purged, and a view of this one sees all of the others.
 */
static bool
sees_purged(const View *view, const View *here, const Identity *identity)
{
	if (identity->purged_id > view->last_id)
		return false;
	if (view->system_id != identity->purged_system)
		return view->system_id == here->system_id ||
			(view->count == 0 && view->xmax == view->next);
	if (identity->purged_xid >= view->xmax)
		return false;
	for (uint32 i = 0; i < view->count; i++)
	{
		uint64		xid = view->running[i];

		/* What runs still has lost nothing. */
		if (xid <= identity->purged_xid &&
			(view->system_id != here->system_id || view_sees_transaction(here, xid)))
			return false;
	}
	return true;
}

/*
 * Can a server go on from a position, as a snapshot sees its history?  `here`
 * is the position of that snapshot.  *why: a sentence, where it is gone.
 */
Standing
position_judge(const Position *position, const Position *here,
			   Snapshot snapshot, const char **why)
{
	/* The target is the later one, and was found good after the other. */
	const View *last = position->in_page ? &position->target : &position->seen;
	Standing	standing = POSITION_GOOD;
	Identity	identity;

	if (memcmp(&position->registry, &here->registry, sizeof(pg_uuid_t)) != 0)
	{
		*why = "The position comes from another registry.";
		return POSITION_GONE;
	}
	if (last->system_id == here->seen.system_id)
	{
		standing = judge_timeline(last, &here->seen, why);
		if (standing == POSITION_GONE)
			return standing;
		if (standing == POSITION_GOOD && misses_something(last, &here->seen))
			standing = POSITION_AHEAD;
	}

	identity_read(snapshot, &identity);
	if (standing == POSITION_GOOD && last->last_id > 0 &&
		last->last_id >= identity.purged_id &&
		!has_last_event(last, &identity, snapshot))
	{
		*why = psprintf("Event " INT64_FORMAT ", the last that the position saw, is not in this history.",
						last->last_id);
		return POSITION_GONE;
	}
	if (identity.purged_id > 0 &&
		(!sees_purged(last, &here->seen, &identity) ||
		 (position->in_page && identity.purged_id > position->given &&
		  !sees_purged(&position->seen, &here->seen, &identity))))
	{
		*why = "Events that the position has not seen may have been purged.";
		return POSITION_GONE;
	}
	return standing;
}

void
position_refuse(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errcondition("history_gone"),
			 errmsg("history does not continue from this position"),
			 errdetail_internal("%s", why),
			 errhint("Start again: take a position with partreg.feed_position(), then read everything once.")));
}

/*
 * May the owner of a subscription write to a table?  From 16 on others than
 * superusers make subscriptions, also for tables that they may not write to.
 */
static bool
may_write(Oid subscription, Oid table)
{
	HeapTuple	tuple = SearchSysCache1(SUBSCRIPTIONOID,
										ObjectIdGetDatum(subscription));
	HeapTuple	relation = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	bool		may = false;

	if (HeapTupleIsValid(tuple) && HeapTupleIsValid(relation))
	{
		Oid			owner = ((Form_pg_subscription) GETSTRUCT(tuple))->subowner;

		may = pg_class_aclcheck(table, owner,
								ACL_INSERT | ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE) == ACLCHECK_OK ||
			is_member_of_role(owner, ((Form_pg_class) GETSTRUCT(relation))->relowner);
	}
	if (HeapTupleIsValid(relation))
		ReleaseSysCache(relation);
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return may;
}

/* Does a subscription write to the registry's tables? */
static bool
is_subscriber(void)
{
	Relation	table = table_open(SubscriptionRelRelationId, AccessShareLock);
	Oid			schema = get_namespace_oid("partreg", false);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_subscription_rel written = (Form_pg_subscription_rel) GETSTRUCT(tuple);

		found = get_rel_namespace(written->srrelid) == schema &&
			may_write(written->srsubid, written->srrelid);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return found;
}

/*
 * Complain (55000) where events do not come in the order of their numbers: under
 * a subscription, and after it until the sequence was advanced.
 */
void
position_check_feed(void)
{
	if (is_subscriber())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a subscription writes to the tables of the registry"),
				 errhint("Call this on the publisher. After the subscription is dropped, the owner of the extension has to call partreg.advance_sequences().")));
	sequence_check(SEQUENCE_EVENT);
}
