/*
 * lease.c
 *		Renewing leases.
 *
 * A renewal never takes a lock: it gives a new lease to a lock that its holder
 * has.  It takes nothing that anybody else may want, so it waits only for
 * calls that change one of these same partitions.  Therefore it does not lock
 * the provider's row, for which it would wait while other partitions of the
 * provider are withdrawn.  But a revocation fails the locks of a provider
 * without locking their partitions.  So a renewal locks the lock row, too, and
 * judges access again after a wait.
 *
 * Partitions are locked in the order of bulk calls: those that were never
 * unlocked first, each in the order of the key.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "partition.h"
#include "transition.h"
#include "write.h"

PG_FUNCTION_INFO_V1(renew_lease);
PG_FUNCTION_INFO_V1(renew_leases);

/* A renewal, from its arguments on */
typedef struct Renewal
{
	PartitionCall call;
	Access		access;
	Claim		claim;
} Renewal;

/* The first judgement of access; nothing has been waited for. */
static void
begin_renewal(Renewal *renewal, bool bulk)
{
	const PartitionCall *call = &renewal->call;
	Claim	   *claim = &renewal->claim;

	access_provider(call->source_name, call->provider_name, call->token,
					ACCESS_UNLOCKED, &renewal->access);
	claim->call = CALL_RENEW;
	claim->access = &renewal->access;
	claim->holder = partition_holder(call);
	claim->named = true;
	claim->bulk = bulk;
}

/* The second one, after the waits; the lease counts from now on. */
static TimestampTz
end_of_lease(Renewal *renewal, const Interval *lease)
{
	const PartitionCall *call = &renewal->call;

	access_provider(call->source_name, call->provider_name, call->token,
					ACCESS_UNLOCKED, &renewal->access);
	renewal->claim.now = GetCurrentTimestamp();
	return timestamp_after(renewal->claim.now, check_duration(lease, "lease"));
}

static bool
lock_lockrow(const Renewal *renewal, TimeInterval during, LockRow *lock)
{
	return lockrow_lock(renewal->access.source_id, renewal->access.provider_id,
						during, lock);
}

static void
give_lease(const LockRow *lock, TimestampTz lease_expires_at)
{
	LockRow		row = *lock;

	row.has_lease = true;
	row.lease_expires_at = lease_expires_at;
	lockrow_update(&row);
}

/*
 * renew_lease(source_name text, provider_name text, during tstzrange,
 *			   lease interval, access_token text DEFAULT NULL,
 *			   holder text DEFAULT NULL)
 *		returns timestamptz: when the lease ends now
 *
 * Leaves no event.
 *
 * Errors: 22004, 42501, 42704, 22023, 55006 (the holder does not have the lock).
 */
Datum
renew_lease(PG_FUNCTION_ARGS)
{
	Renewal		renewal;
	Interval   *lease;
	TimeInterval during;
	Partition	partition;
	LockRow		lock;
	TimestampTz lease_expires_at;

	partition_read_call(fcinfo, 4, 5, &renewal.call);
	argument_require(fcinfo, 3);
	lease = argument_interval(fcinfo, 3);

	write_begin("renew_lease()");
	begin_renewal(&renewal, false);
	during = check_interval(renewal.call.range);
	partition_take(&renewal.access, during, &partition, &lock);
	lease_expires_at = end_of_lease(&renewal, lease);
	partition.lock = lock_lockrow(&renewal, during, &lock) ? &lock : NULL;
	(void) transition_allow(&renewal.claim, &partition);
	give_lease(&lock, lease_expires_at);
	write_end();
	PG_RETURN_TIMESTAMPTZ(lease_expires_at);
}

/*
 * Of the lock rows that were found, leave those of the holder, and lock their
 * partitions.  Those that were not found are retired; what may have been
 * registered in their place since is not locked, and none of ours.
 */
static void
lock_own(const Renewal *renewal, LockRowSet *locks)
{
	static const CatalogIndex tables[] = {PENDING_BY_KEY, PARTITION_BY_KEY};
	Partition	partition;
	bool	   *found;
	size_t		kept = 0;

	for (size_t i = 0; i < locks->count; i++)
	{
		partition.lock = &locks->items[i];
		if (transition_judge(&renewal->claim, &partition) == VERDICT_RENEW)
			locks->items[kept++] = locks->items[i];
	}
	locks->count = kept;
	found = palloc_extended(Max(kept, 1) * sizeof(bool),
							MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < lengthof(tables); i++)
	{
		for (size_t j = 0; j < locks->count; j++)
		{
			CHECK_FOR_INTERRUPTS();
			if (!found[j])
				found[j] = partition_lock_row(tables[i],
											  renewal->access.provider_id,
											  locks->items[j].during,
											  &partition);
		}
	}
	kept = 0;
	for (size_t i = 0; i < locks->count; i++)
	{
		if (found[i])
			locks->items[kept++] = locks->items[i];
	}
	locks->count = kept;
}

pg_noreturn static void
raise_none_held(const Claim *claim)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errcondition("lock_lost"),
			 errmsg("holder \"%s\" has no lock on a partition of provider \"%s\" within the range",
					quotable(claim->holder),
					quotable(claim->access->provider_name)),
			 errhint("Roll back what was done under the lock. The view partreg.locks lists all locks.")));
}

/*
 * renew_leases(source_name text, provider_name text, during tstzrange,
 *				lease interval, access_token text DEFAULT NULL,
 *				holder text DEFAULT NULL)
 *		returns bigint: how many leases were renewed
 *
 * Of every lock of this holder within the range, which may be unbounded.
 *
 * Errors: 22004, 42501, 42704 (provider), 22023, 55006 (the holder has no lock
 * there).
 */
Datum
renew_leases(PG_FUNCTION_ARGS)
{
	Renewal		renewal;
	Interval   *lease;
	TimeInterval during;
	LockRowSet	locks = {0};
	TimestampTz lease_expires_at;
	int64		renewed = 0;

	partition_read_call(fcinfo, 4, 5, &renewal.call);
	argument_require(fcinfo, 3);
	lease = argument_interval(fcinfo, 3);

	write_begin("renew_leases()");
	begin_renewal(&renewal, true);
	during = check_extent(renewal.call.range);
	lockrow_compare_snapshots(renewal.access.source_id,
							  renewal.access.provider_id, during);
	lockrow_collect(renewal.access.source_id, renewal.access.provider_id, -1,
					during, &locks);
	lock_own(&renewal, &locks);
	lease_expires_at = end_of_lease(&renewal, lease);
	for (size_t i = 0; i < locks.count; i++)
	{
		LockRow		lock;
		Partition	partition = {.lock = &lock};

		CHECK_FOR_INTERRUPTS();
		/* Others may have ended or taken it during the waits. */
		if (!lock_lockrow(&renewal, locks.items[i].during, &lock) ||
			transition_judge(&renewal.claim, &partition) != VERDICT_RENEW)
			continue;
		give_lease(&lock, lease_expires_at);
		renewed++;
	}
	if (renewed == 0)
		raise_none_held(&renewal.claim);
	write_end();
	PG_RETURN_INT64(renewed);
}
