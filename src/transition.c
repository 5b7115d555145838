/*
 * transition.c
 *		What a call may do with a partition.
 *
 * The state of a partition is derived from its row and its lock row:
 *
 *		lock row, 'locked'			locked
 *		lock row, 'failed'			failed
 *		none, row in "partition"	unlocked
 *		none, row in "pending"		registered
 *
 * A lock has a holder.  A call that names a holder claims that this holder has
 * the lock, and is refused if it does not: a worker that was overtaken must
 * not commit, even if its successor has finished long ago.  There are two
 * kinds of refusal, as a caller acts on them differently: either its work is
 * already committed (VERDICT_DONE), or it is void (VERDICT_LOST).
 *
 * For that the partition remembers the last change of its state: while there is
 * a lock row, its columns change, holder and since; else the columns unlocked_by
 * and unlocked_at of its row in "partition".  Nothing is remembered of a row
 * that an earlier version wrote, and nothing of before a retirement.
 *
 * A call that names no holder makes no claim; if the partition is locked, the
 * lock is compared with the caller's role.  A caller with access to the whole
 * source overrides holders.
 *
 * All of that is judged here, from rows that the caller has locked.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "transition.h"

static bool
is_locked(const Partition *partition)
{
	return partition->lock != NULL && !partition->lock->failed;
}

static bool
is_failed(const Partition *partition)
{
	return partition->lock != NULL && partition->lock->failed;
}

static bool
holds(const Partition *partition, const char *holder)
{
	return is_locked(partition) &&
		strcmp(partition->lock->holder, holder) == 0;
}

/* Was this holder's unlock the last change? */
static bool
unlocked_last(const Partition *partition, const char *holder)
{
	return partition->lock == NULL && !partition->pending &&
		partition->unlocked_by != NULL &&
		strcmp(partition->unlocked_by, holder) == 0;
}

/* Was the call of this holder that the partition has failed the last change? */
static bool
failed_last(const Partition *partition, const char *holder)
{
	return is_failed(partition) && partition->lock->change != NULL &&
		strcmp(partition->lock->change, "fail") == 0 &&
		strcmp(partition->lock->holder, holder) == 0;
}

static bool
lease_is_over(const Partition *partition, TimestampTz now)
{
	return partition->lock->has_lease &&
		partition->lock->lease_expires_at <= now;
}

static Verdict
judge_lock(const Claim *claim, const Partition *partition)
{
	if (!is_locked(partition))
		return VERDICT_CHANGE;
	if (holds(partition, claim->holder))
		return VERDICT_RENEW;
	if (claim->access->of_source || lease_is_over(partition, claim->now))
		return VERDICT_TAKE_OVER;
	return VERDICT_HELD;
}

/* A call that ends a lock, by a holder that is named and does not have it */
static Verdict
judge_lost_claim(const Claim *claim, const Partition *partition)
{
	if (claim->call == CALL_UNLOCK && unlocked_last(partition, claim->holder))
		return VERDICT_DONE;
	/* A false alarm blocks; it does not release. */
	if (claim->call == CALL_FAIL && unlocked_last(partition, claim->holder))
		return VERDICT_CHANGE;
	if (claim->call == CALL_FAIL && failed_last(partition, claim->holder))
		return VERDICT_NOTHING;
	return VERDICT_LOST;
}

/* Judge, from a partition whose row and lock row cannot change meanwhile. */
Verdict
transition_judge(const Claim *claim, const Partition *partition)
{
	bool		has_it = holds(partition, claim->holder);

	if (claim->call == CALL_LOCK)
		return judge_lock(claim, partition);
	if (claim->call == CALL_RENEW)
		return has_it ? VERDICT_RENEW : VERDICT_LOST;

	if (claim->call != CALL_FORCE_FAIL && !claim->access->of_source && !has_it)
	{
		if (claim->named)
			return judge_lost_claim(claim, partition);
		if (is_locked(partition))
			return VERDICT_HELD;
	}
	switch (claim->call)
	{
		case CALL_UNLOCK:
			return partition->lock != NULL || partition->pending
				? VERDICT_CHANGE : VERDICT_NOTHING;
		case CALL_FAIL:
		case CALL_FORCE_FAIL:
			return is_failed(partition) ? VERDICT_NOTHING : VERDICT_CHANGE;
		default:
			return VERDICT_CHANGE;
	}
}

pg_noreturn static void
raise_held(const Claim *claim, const Partition *partition)
{
	const LockRow *lock = partition->lock;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errcondition("held_by_other"),
			 errmsg("partition %s of provider \"%s\" is locked by another holder",
					show_interval(partition->during),
					quotable(claim->access->provider_name)),
			 errdetail("It has been held by \"%s\" since %s.",
					   quotable(lock->holder), timestamptz_to_str(lock->since)),
			 lease_is_over(partition, claim->now)
			 ? errhint("The lease of that holder has expired. Take the partition over with partreg.lock_partition().")
			 : errhint("Wait for that holder, or override it with the source token.")));
}

/* What was done last, by whom and when, as a sentence */
static char *
last_change(const Partition *partition)
{
	const LockRow *lock = partition->lock;
	const char *change;

	if (lock == NULL && partition->pending)
		return psprintf("It was never locked since it was registered at %s.",
						timestamptz_to_str(partition->registered_at));
	if (lock == NULL && partition->unlocked_by == NULL)
		return psprintf("It was first unlocked at %s. The version of the extension that unlocked it did not record the holder.",
						timestamptz_to_str(partition->first_unlocked_at));
	if (lock == NULL)
		return psprintf("It was unlocked by \"%s\" at %s.",
						quotable(partition->unlocked_by),
						timestamptz_to_str(partition->unlocked_at));

	change = lock->change;
	if (change == NULL && lock->failed)
		return psprintf("It has been failed since %s. The version of the extension that failed it did not record the holder.",
						timestamptz_to_str(lock->since));
	if (change == NULL || strcmp(change, "lock") == 0)
		change = "locked";
	else if (strcmp(change, "take_over") == 0)
		change = "taken over";
	else if (strcmp(change, "fail") == 0)
		change = "failed";
	else if (strcmp(change, "force_fail") == 0)
		change = "force-failed";
	else
		return psprintf("Its provider was revoked at %s, while \"%s\" had the lock.",
						timestamptz_to_str(lock->since),
						quotable(lock->holder));
	return psprintf("It was %s by \"%s\" at %s.", change,
					quotable(lock->holder), timestamptz_to_str(lock->since));
}

pg_noreturn static void
raise_lost(const Claim *claim, const Partition *partition)
{
	bool		newcomer = partition->pending && partition->lock == NULL;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errcondition("lock_lost"),
			 errmsg("partition %s of provider \"%s\" is not locked by holder \"%s\"",
					show_interval(partition->during),
					quotable(claim->access->provider_name),
					quotable(claim->holder)),
			 errdetail_internal("%s", last_change(partition)),
			 claim->bulk && newcomer
			 ? errhint("Partition %s may have been registered after the others were locked. Lock it too, or give a range without it.",
					   show_interval(partition->during))
			 : errhint("Roll back what was done under this lock. To start again, call partreg.lock_partition().")));
}

pg_noreturn static void
raise_done(const Claim *claim, const Partition *partition)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errcondition("done_already"),
			 errmsg("partition %s of provider \"%s\" has already been unlocked by holder \"%s\"",
					show_interval(partition->during),
					quotable(claim->access->provider_name),
					quotable(claim->holder)),
			 errdetail_internal("%s", last_change(partition)),
			 errhint("The work of this holder is committed. Roll back what was done a second time.")));
}

/* Judge, and raise an error where the call is refused. */
Verdict
transition_allow(const Claim *claim, const Partition *partition)
{
	Verdict		verdict = transition_judge(claim, partition);

	if (verdict == VERDICT_HELD)
		raise_held(claim, partition);
	if (verdict == VERDICT_LOST)
		raise_lost(claim, partition);
	if (verdict == VERDICT_DONE)
		raise_done(claim, partition);
	return verdict;
}
