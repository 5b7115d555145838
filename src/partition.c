/*
 * partition.c
 *		Partitions: registering them, and the changes of their state.
 *
 * A partition is one row: in partreg.pending until it is first unlocked, and
 * in partreg.partition from then on.  It never moves back.  So a call that
 * does not find it in the first table, and then, by a newer snapshot, not in
 * the second, knows that it does not exist.  A row in partreg.lock says that
 * the partition is locked or failed now; transition.c judges what that means
 * for a call.
 *
 * Who locks what, in this order: the provider's row FOR KEY SHARE (access.c),
 * the partition's row FOR NO KEY UPDATE, then whatever is written.  Two calls on
 * one partition take turns on its row; calls on different ones do not meet,
 * save for first unlocks that add the same instants (coverage.c).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "coverage.h"
#include "history.h"
#include "partition.h"
#include "row.h"
#include "snapshot.h"
#include "transition.h"
#include "write.h"

PG_FUNCTION_INFO_V1(lock_partition);
PG_FUNCTION_INFO_V1(unlock_partition);
PG_FUNCTION_INFO_V1(fail_partition);
PG_FUNCTION_INFO_V1(force_fail_partition);

/* How many partitions the error names that there are where one is not */
#define NEIGHBOURS	3

/*
 * Read source_name, provider_name and during (arguments 0 to 2), access_token
 * and holder (-1: the function has no such argument).
 */
void
partition_read_call(FunctionCallInfo fcinfo, int token_argno,
					int holder_argno, PartitionCall *call)
{
	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	call->source_name = argument_text(fcinfo, 0);
	call->provider_name = argument_text(fcinfo, 1);
	call->range = argument_range(fcinfo, 2);
	call->token = token_argno < 0 ? NULL : argument_text(fcinfo, token_argno);
	call->holder = holder_argno < 0 ? NULL : argument_text(fcinfo, holder_argno);
}

/* The holder that a call names, or the caller's role */
const char *
partition_holder(const PartitionCall *call)
{
	if (call->holder == NULL)
		return caller_name();
	check_name(call->holder, "holder");
	return call->holder;
}

/* Finding */

/* Copy the row under a scan of PENDING_BY_KEY or PARTITION_BY_KEY. */
void
partition_read_row(CatalogScan *scan, Partition *partition)
{
	partition->during = catalog_row_interval(scan);
	partition->pending = scan->which == PENDING_BY_KEY;
	partition->tid = scan->slot->tts_tid;
	partition->lock = NULL;
	partition->unlocked_by = NULL;
	(void) catalog_row_time(scan, Anum_partition_registered_at,
							&partition->registered_at);
	if (partition->pending)
		return;
	(void) catalog_row_time(scan, Anum_partition_first_unlocked_at,
							&partition->first_unlocked_at);
	if (!catalog_row_time(scan, Anum_partition_unlocked_at,
						  &partition->unlocked_at))
		partition->unlocked_at = partition->first_unlocked_at;
	partition->unlocked_by = catalog_row_text(scan, Anum_partition_unlocked_by);
}

/* The state of a partition, as the event that changes it is to remember it */
StateBefore
partition_state(const Partition *partition)
{
	if (partition->lock == NULL)
		return partition->pending ? STATE_REGISTERED : STATE_UNLOCKED;
	if (partition->lock->failed)
		return partition->pending ? STATE_FAILED_AT_FIRST : STATE_FAILED;
	return partition->pending ? STATE_LOCKED_AT_FIRST : STATE_LOCKED;
}

/* Find a partition in one of the two tables and lock its row. */
bool
partition_lock_row(CatalogIndex which, int32 provider_id, TimeInterval during,
				   Partition *partition)
{
	Snapshot	snapshot = current_snapshot();
	CatalogScan scan;
	bool		found;

	catalog_begin_for_locking(&scan, which, snapshot);
	catalog_seek_partition(&scan, provider_id, during);
	found = catalog_next_row(&scan, ForwardScanDirection) &&
		row_lock(&scan, LockTupleNoKeyExclusive);
	if (found)
		partition_read_row(&scan, partition);
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);
	return found;
}

static bool
find_and_lock(const Access *access, TimeInterval during, Partition *partition,
			  LockRow *lock)
{
	if (!partition_lock_row(PENDING_BY_KEY, access->provider_id, during,
							partition) &&
		!partition_lock_row(PARTITION_BY_KEY, access->provider_id, during,
							partition))
		return false;
	if (lockrow_find(access->source_id, access->provider_id, during, lock))
		partition->lock = lock;
	return true;
}

/* What there is where a partition was asked for, as a sentence; NULL: nothing */
char *
partition_list_neighbours(const Access *access, TimeInterval during)
{
	Snapshot	snapshot = latest_snapshot();
	StringInfoData list;
	int			count = 0;

	initStringInfo(&list);
	for (int i = 0; i < 2 && count < NEIGHBOURS; i++)
	{
		OverlapScan overlap;

		overlap_begin(&overlap, i == 0 ? PARTITION_BY_KEY : PENDING_BY_KEY, NULL,
					  snapshot);
		overlap_seek(&overlap, access->provider_id, during);
		while (count < NEIGHBOURS && overlap_next(&overlap))
			appendStringInfo(&list, "%s%s", count++ == 0 ? "" : ", ",
							 show_interval(overlap.during));
		overlap_end(&overlap);
	}
	UnregisterSnapshot(snapshot);
	return count == 0 ? NULL
		: psprintf("Registered there: %s.", list.data);
}

/* The partitions of a provider that lie within a range, for snapshot_compare() */
typedef struct Within
{
	int32		provider_id;
	TimeInterval during;
} Within;

static uint64
sum_within(Snapshot snapshot, const void *arg)
{
	static const CatalogIndex tables[] = {PENDING_BY_KEY, PARTITION_BY_KEY};
	const Within *within = arg;
	uint64		sum = 0;

	for (int i = 0; i < lengthof(tables); i++)
	{
		OverlapScan overlap;

		overlap_begin(&overlap, tables[i], NULL, snapshot);
		overlap_seek(&overlap, within->provider_id, within->during);
		while (overlap_next(&overlap))
		{
			if (overlap.during.start >= within->during.start &&
				overlap.during.end <= within->during.end)
				sum = snapshot_sum(sum, &overlap.scan.slot->tts_tid);
		}
		overlap_end(&overlap);
	}
	return sum;
}

/*
 * Before it is said that there is no partition: under REPEATABLE READ and
 * SERIALIZABLE it may only be that the transaction's snapshot does not know it.
 */
void
partition_compare_snapshots(const Access *access, TimeInterval during)
{
	Within		within = {access->provider_id, during};

	snapshot_compare(sum_within, &within);
}

pg_noreturn static void
raise_unknown_partition(const Access *access, TimeInterval during)
{
	char	   *neighbours;

	partition_compare_snapshots(access, during);
	neighbours = partition_list_neighbours(access, during);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errcondition("unknown_partition"),
			 errmsg("partition %s of provider \"%s\" does not exist",
					show_interval(during), quotable(access->provider_name)),
			 neighbours == NULL ? 0 : errdetail_internal("%s", neighbours),
			 errhint("Give exactly the range that was registered, or register this one with partreg.register_partition().")));
}

/*
 * Find a partition, lock its row and read its lock row into `lock`; waits for
 * open transactions that are changing it.
 */
void
partition_take(const Access *access, TimeInterval during,
			   Partition *partition, LockRow *lock)
{
	if (!find_and_lock(access, during, partition, lock))
		raise_unknown_partition(access, during);
}

/* The same; one that there is not is registered. */
static void
take_or_register(const Access *access, TimeInterval during,
				 Partition *partition, LockRow *lock)
{
	while (!find_and_lock(access, during, partition, lock))
	{
		TimestampTz now = GetCurrentTimestamp();
		Event		event = {
			.event = "register_partition",
			.access = access,
			.during = &during,
			.state_before = STATE_ABSENT,
			.at = now
		};

		if (partition_register(access, during, now))
			history_record(&event);
	}
}

/* Changes of the state */

typedef struct Supply
{
	const Access *access;
	const Partition **partitions;
	const char *holder;
	TimestampTz now;
} Supply;

static void
set_time(Datum *values, bool *nulls, int column, TimestampTz time)
{
	values[column - 1] = TimestampTzGetDatum(time);
	nulls[column - 1] = false;
}

/* The row of a partition that is unlocked now */
static void
fill_supplied(void *arg, size_t n, Datum *values, bool *nulls)
{
	const Supply *supply = arg;
	const Partition *partition = supply->partitions[n];

	values[Anum_partition_provider_id - 1] =
		Int32GetDatum(supply->access->provider_id);
	values[Anum_partition_length_class - 1] =
		Int16GetDatum(length_class(partition->during));
	nulls[Anum_partition_provider_id - 1] = false;
	nulls[Anum_partition_length_class - 1] = false;
	set_time(values, nulls, Anum_partition_start_at, partition->during.start);
	set_time(values, nulls, Anum_partition_end_at, partition->during.end);
	set_time(values, nulls, Anum_partition_registered_at,
			 partition->registered_at);
	set_time(values, nulls, Anum_partition_first_unlocked_at,
			 partition->pending ? supply->now : partition->first_unlocked_at);
	set_time(values, nulls, Anum_partition_unlocked_at, supply->now);
	/* Null, where it is the same, takes no room. */
	nulls[Anum_partition_unlocked_at - 1] = partition->pending;
	values[Anum_partition_unlocked_by - 1] = CStringGetTextDatum(supply->holder);
	nulls[Anum_partition_unlocked_by - 1] = false;
}

/*
 * Write that partitions are unlocked now, and by whom: those that never were
 * move to the other table.
 */
void
partition_supply_many(const Access *access, const Partition *partitions,
					  size_t count, const char *holder, TimestampTz now)
{
	Supply		supply = {access, NULL, holder, now};
	ItemPointerData *tids = palloc(count * sizeof(ItemPointerData));
	size_t		n_pending = 0;

	supply.partitions = palloc(count * sizeof(Partition *));
	for (size_t i = 0; i < count; i++)
	{
		const Partition *partition = &partitions[i];

		if (partition->pending)
		{
			tids[n_pending] = partition->tid;
			supply.partitions[n_pending++] = partition;
		}
		else
		{
			Supply		again = {access, &partition, holder, now};
			Datum		values[Natts_partition];
			bool		nulls[Natts_partition];
			ItemPointerData tid = partition->tid;

			fill_supplied(&again, 0, values, nulls);
			row_update(PARTITION_BY_KEY, &tid, values, nulls);
		}
	}
	if (n_pending > 0)
	{
		row_delete_many(PENDING_BY_KEY, tids, n_pending);
		row_insert_many(PARTITION_BY_KEY, n_pending, fill_supplied, &supply);
	}
	pfree(supply.partitions);
	pfree(tids);
}

/* A call about one partition, from its arguments to its event */
typedef struct Change
{
	Access		access;
	TimeInterval during;
	Partition	partition;
	LockRow		lock;			/* of the partition, if it has one */
	Claim		claim;
} Change;

/*
 * Authorise, find and lock the partition, and judge.  With `registers` a
 * partition that there is not is registered.
 */
static Verdict
begin_change(const PartitionCall *call, Call what, bool registers,
			 Change *change)
{
	Claim	   *claim = &change->claim;

	access_provider(call->source_name, call->provider_name, call->token,
					ACCESS_WRITE, &change->access);
	change->during = check_interval(call->range);
	claim->call = what;
	claim->access = &change->access;
	claim->holder = partition_holder(call);
	claim->named = call->holder != NULL;
	claim->bulk = false;
	if (registers)
		take_or_register(&change->access, change->during, &change->partition,
						 &change->lock);
	else
		partition_take(&change->access, change->during, &change->partition,
					   &change->lock);
	claim->now = GetCurrentTimestamp();
	return transition_allow(claim, &change->partition);
}

static void
record(const Change *change, const char *what, const char *reason,
	   Jsonb *details)
{
	Event		event = {
		.event = what,
		.access = &change->access,
		.during = &change->during,
		.state_before = partition_state(&change->partition),
		.at = change->claim.now,
		.holder = change->claim.holder,
		.reason = reason,
		.details = details
	};

	history_record(&event);
}

/*
 * Write the lock row: a new one, or other values in the one there is.  `change`
 * is the event that the partition is to remember.
 */
static void
put_lock(Change *change, const char *what, bool failed,
		 const TimestampTz *lease_expires_at, const char *reason)
{
	LockRow		row = {
		.during = change->during,
		.source_id = change->access.source_id,
		.provider_id = change->access.provider_id,
		.failed = failed,
		.since = change->claim.now,
		.holder = change->claim.holder,
		.has_lease = lease_expires_at != NULL,
		.lease_expires_at = lease_expires_at == NULL ? 0 : *lease_expires_at,
		.reason = reason,
		.change = what
	};

	if (change->partition.lock == NULL)
		lockrow_insert(&row);
	else
	{
		row.tid = change->partition.lock->tid;
		lockrow_update(&row);
	}
}

/* A holder's own lock: another lease, and another reason if one is given */
static void
renew_lock(Change *change, const TimestampTz *lease_expires_at,
		   const char *reason)
{
	LockRow		row = *change->partition.lock;

	row.has_lease = lease_expires_at != NULL;
	row.lease_expires_at = lease_expires_at == NULL ? 0 : *lease_expires_at;
	if (reason != NULL)
		row.reason = reason;
	lockrow_update(&row);
}

/*
 * lock_partition(source_name text, provider_name text, during tstzrange,
 *				  access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *				  lease interval DEFAULT NULL, reason text DEFAULT NULL,
 *				  register boolean DEFAULT false)
 *		returns boolean: it is newly yours
 *
 * holder NULL is the caller's role.  lease: how long until another holder may
 * take over (a day is 24 hours; NULL: never).  The same holder may call again,
 * which replaces the lease, and leaves no event.  register: one that there is
 * not is registered first.
 *
 * Errors: 22004, 42501, 42704, 22023, 55006.
 */
Datum
lock_partition(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	Interval   *lease;
	const char *reason;
	bool		registers;
	Change		change = {0};
	TimestampTz lease_expires_at;
	const TimestampTz *expires = NULL;
	Verdict		verdict;

	partition_read_call(fcinfo, 3, 4, &call);
	lease = argument_interval(fcinfo, 5);
	reason = argument_reason(fcinfo, 6);
	registers = argument_flag(fcinfo, 7);

	write_begin("lock_partition()");
	verdict = begin_change(&call, CALL_LOCK, registers, &change);
	if (lease != NULL)
	{
		lease_expires_at = timestamp_after(change.claim.now,
										   check_duration(lease, "lease"));
		expires = &lease_expires_at;
	}
	if (verdict == VERDICT_RENEW)
		renew_lock(&change, expires, reason);
	else
	{
		const char *what = verdict == VERDICT_TAKE_OVER ? "take_over" : "lock";

		put_lock(&change, what, false, expires, reason);
		record(&change, what, reason, NULL);
	}
	write_end();
	PG_RETURN_BOOL(verdict != VERDICT_RENEW);
}

/*
 * A partition is unlocked that is so already: do the details say what its last
 * unlock has not said?
 */
bool
partition_has_news(const Access *access, const Partition *partition,
				   Jsonb *details)
{
	Snapshot	snapshot;
	Jsonb	   *last;

	if (details == NULL)
		return false;
	snapshot = latest_snapshot();
	last = history_details(access->provider_id, partition->during,
						   partition->unlocked_at, snapshot);
	UnregisterSnapshot(snapshot);
	return last == NULL ||
		compareJsonbContainers(&last->root, &details->root) != 0;
}

/*
 * unlock_partition(source_name text, provider_name text, during tstzrange,
 *					access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *					register boolean DEFAULT false,
 *					details jsonb DEFAULT NULL)
 *		returns boolean: its state changed
 *
 * A holder that is named has to have the lock; without one the partition need
 * not have been locked before.  register: one that there is not is registered
 * first.  details: what consumers should know, kept with the event.
 *
 * Errors: 22004, 42501, 42704, 22023, 55006, 55000 (this holder has unlocked it
 * already).
 */
Datum
unlock_partition(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	bool		registers;
	struct varlena *given;
	Jsonb	   *details;
	Change		change = {0};
	const Partition *partition = &change.partition;
	bool		changes;

	partition_read_call(fcinfo, 3, 4, &call);
	registers = argument_flag(fcinfo, 5);
	given = argument_details(fcinfo, 6);

	write_begin("unlock_partition()");
	changes = begin_change(&call, CALL_UNLOCK, registers,
						   &change) == VERDICT_CHANGE;
	details = check_details(given);
	if (changes)
	{
		if (partition->lock != NULL)
			row_delete(LOCK_BY_KEY, &change.lock.tid);
		partition_supply_many(&change.access, partition, 1, change.claim.holder,
							  change.claim.now);
		if (partition->pending)
			coverage_add(&change.access, change.during);
		record(&change, "unlock", NULL, details);
	}
	else if (partition_has_news(&change.access, partition, details))
		record(&change, "unlock", NULL, details);
	write_end();
	PG_RETURN_BOOL(changes);
}

/*
 * fail_partition(source_name text, provider_name text, during tstzrange,
 *				  access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *				  reason text DEFAULT NULL)
 *		returns boolean: its state changed
 *
 * A holder that is named has to have the lock, or to have unlocked or failed
 * the partition last.  A second call replaces the reason, if it has one.
 *
 * Errors: 22004, 42501, 42704, 22023, 55006.
 */
Datum
fail_partition(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	const char *reason;
	Change		change = {0};
	bool		changes;

	partition_read_call(fcinfo, 3, 4, &call);
	reason = argument_reason(fcinfo, 5);

	write_begin("fail_partition()");
	changes = begin_change(&call, CALL_FAIL, false, &change) == VERDICT_CHANGE;
	if (changes)
	{
		put_lock(&change, "fail", true, NULL, reason);
		record(&change, "fail", reason, NULL);
	}
	else if (reason != NULL)
		renew_lock(&change, NULL, reason);
	write_end();
	PG_RETURN_BOOL(changes);
}

/*
 * force_fail_partition(source_name text, provider_name text,
 *						during tstzrange, reason text)
 *		returns boolean: its state changed
 *
 * For operators: without a token, under any holder.
 *
 * Errors: 22004, 42704, 22023.
 */
Datum
force_fail_partition(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	const char *reason;
	Change		change = {0};
	Claim	   *claim = &change.claim;
	bool		changes;

	partition_read_call(fcinfo, -1, -1, &call);
	argument_require(fcinfo, 3);
	reason = argument_reason(fcinfo, 3);

	write_begin("force_fail_partition()");
	access_named(call.source_name, call.provider_name, CREDENTIAL_OPERATOR,
				 ACCESS_WRITE, &change.access);
	change.during = check_interval(call.range);
	claim->call = CALL_FORCE_FAIL;
	claim->access = &change.access;
	claim->holder = caller_name();
	claim->named = false;
	claim->bulk = false;
	partition_take(&change.access, change.during, &change.partition,
				   &change.lock);
	claim->now = GetCurrentTimestamp();
	changes = transition_allow(claim, &change.partition) == VERDICT_CHANGE;
	if (changes)
	{
		put_lock(&change, "force_fail", true, NULL, reason);
		record(&change, "force_fail", reason, NULL);
	}
	write_end();
	PG_RETURN_BOOL(changes);
}
