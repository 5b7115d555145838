/*
 * partition.c
 *		Partitions: registering them, and the changes of their state.
 *
 * The state is derived.  partreg.partition says which interval a provider
 * supplies and whether it was ever unlocked; a row in partreg.lock says that it
 * is locked or failed now.  So
 *
 *		lock row, 'locked'		locked
 *		lock row, 'failed'		failed
 *		none, unlocked before	unlocked
 *		none, never unlocked	registered
 *
 * Who locks what, in this order: the provider's row FOR KEY SHARE (access.c),
 * the partition's row FOR NO KEY UPDATE, then whatever is written.  Two calls on one
 * partition take turns on its row; calls on different ones do not meet, save
 * for first unlocks that add the same instants (coverage.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "coverage.h"
#include "history.h"
#include "partition.h"
#include "statement.h"

PG_FUNCTION_INFO_V1(register_partition);
PG_FUNCTION_INFO_V1(lock_partition);
PG_FUNCTION_INFO_V1(unlock_partition);
PG_FUNCTION_INFO_V1(fail_partition);

/* The key of a partition: four values. */
void
partition_key(const Access *access, TimeInterval during, Datum *values)
{
	values[0] = Int32GetDatum(access->provider_id);
	values[1] = Int16GetDatum(length_class(during));
	values[2] = TimestampTzGetDatum(during.start);
	values[3] = TimestampTzGetDatum(during.end);
}

/* A range as it stands in messages: ISO, in the session's time zone. */
static char *
show_interval(TimeInterval during)
{
	return psprintf("[%s, %s)",
					pstrdup(timestamptz_to_str(during.start)),
					pstrdup(timestamptz_to_str(during.end)));
}

/*
 * Find a partition and lock its row: waits for open transactions that are
 * changing it.  Arguments 0 to 3 of the calling function are source_name,
 * provider_name, during and access_token.
 */
void
partition_take(FunctionCallInfo fcinfo, ProviderLock lock,
			   Partition *partition)
{
	static Statement lock_row = {
		"SELECT first_unlocked_at FROM partreg.partition"
		" WHERE" IS_PARTITION " FOR NO KEY UPDATE",
		4, {PARTITION_KEY_TYPES}
	};
	Datum		values[4];
	bool		isnull;

	access_provider(argument_text(fcinfo, 0), argument_text(fcinfo, 1),
					argument_text(fcinfo, 3), lock, false,
					&partition->access);
	partition->during = argument_interval(fcinfo, 2);

	partition_key(&partition->access, partition->during, values);
	if (statement_run(&lock_row, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("partition %s of provider \"%s\" does not exist",
						show_interval(partition->during),
						quotable(partition->access.provider_name)),
				 errhint("Register it with register_partition(); the range has to be the very same.")));
	statement_result(0, 1, &isnull);
	partition->first_unlocked = !isnull;

	if (lockrow_find(partition->access.source_id, partition->access.provider_id,
					 partition->during, &partition->lock))
		partition->state = partition->lock.failed ? STATE_FAILED : STATE_LOCKED;
	else
		partition->state = isnull ? STATE_REGISTERED : STATE_UNLOCKED;
	partition->now = GetCurrentTimestamp();
}

static bool
is_held_by(const Partition *partition, const char *holder)
{
	return strcmp(partition->lock.holder, holder) == 0;
}

/* Complain that somebody else holds the lock (55006). */
void
raise_held(TimeInterval during, const char *provider_name,
		   const LockRow *lock)
{
	bool		over = lock->has_lease &&
		lock->lease_expires_at <= GetCurrentTimestamp();

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("partition %s of provider \"%s\" is locked by another holder",
					show_interval(during), quotable(provider_name)),
			 errdetail("It has been held by \"%s\" since %s.",
					   quotable(lock->holder), timestamptz_to_str(lock->since)),
			 over ? errhint("Its lease is over: lock_partition() takes it over.")
			 : errhint("Name the same holder, wait, or override it with the source token.")));
}

/* Another holder's lock stands; the source token overrides it. */
void
partition_refuse_other_holder(const Partition *partition, const char *holder)
{
	if (partition->state == STATE_LOCKED && !is_held_by(partition, holder) &&
		!partition->access.by_source_token)
		raise_held(partition->during, partition->access.provider_name,
				   &partition->lock);
}

/* The holder named in an argument, or the caller's role. */
const char *
argument_holder(FunctionCallInfo fcinfo, int argno)
{
	if (PG_ARGISNULL(argno))
		return caller_name();
	return argument_name(fcinfo, argno);
}

/* source_name, provider_name and during */
void
require_partition_arguments(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
}

/* An event of a partition */
void
partition_record(const Partition *partition, const char *event,
				 const char *holder, const char *reason)
{
	history_record(&(Event) {
		.event = event, .access = &partition->access,
		.during = &partition->during, .at = partition->now,
		.holder = holder, .reason = reason
	});
}

/* Write the lock row: a new one, or other values in the one there is. */
static void
put_lock(const Partition *partition, const char *state, const char *holder,
		 const TimestampTz *lease_expires_at, const char *reason,
		 TimestampTz since)
{
	static Statement upsert = {
		"INSERT INTO partreg.lock (provider_id, length_class, start_at, end_at, source_id,"
		"    state, since, holder, lease_expires_at, reason)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
		" ON CONFLICT (source_id, length_class, start_at, end_at, provider_id) DO UPDATE"
		"    SET state = EXCLUDED.state, since = EXCLUDED.since, holder = EXCLUDED.holder,"
		"        lease_expires_at = EXCLUDED.lease_expires_at, reason = EXCLUDED.reason",
		10, {PARTITION_KEY_TYPES, INT4OID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID, TEXTOID}
	};
	Datum		values[10];
	char		nulls[11] = "          ";

	partition_key(&partition->access, partition->during, values);
	values[4] = Int32GetDatum(partition->access.source_id);
	values[5] = CStringGetTextDatum(state);
	values[6] = TimestampTzGetDatum(since);
	values[7] = CStringGetTextDatum(holder);
	if (lease_expires_at == NULL)
		nulls[8] = 'n';
	else
		values[8] = TimestampTzGetDatum(*lease_expires_at);
	if (reason == NULL)
		nulls[9] = 'n';
	else
		values[9] = CStringGetTextDatum(reason);
	statement_run(&upsert, values, nulls);
}

/* Delete the lock row. */
void
partition_delete_lock(const Partition *partition)
{
	static Statement delete_lock = {
		"DELETE FROM partreg.lock WHERE" IS_PARTITION " AND source_id = $5",
		5, {PARTITION_KEY_TYPES, INT4OID}
	};
	Datum		values[5];

	partition_key(&partition->access, partition->during, values);
	values[4] = Int32GetDatum(partition->access.source_id);
	statement_run(&delete_lock, values, NULL);
}

/*
 * register_partition(source_name text, provider_name text, during tstzrange,
 *					  access_token text DEFAULT NULL,
 *					  if_not_exists boolean DEFAULT false)
 *		returns boolean: it is new
 *
 * Errors: 22004, 42501, 42704 (provider), 22023, 42710.
 */
Datum
register_partition(PG_FUNCTION_ARGS)
{
	static Statement insert_partition = {
		"INSERT INTO partreg.partition (provider_id, length_class, start_at, end_at, registered_at)"
		" VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		5, {PARTITION_KEY_TYPES, TIMESTAMPTZOID}
	};
	Partition	partition;
	Datum		values[5];
	bool		is_new;

	require_partition_arguments(fcinfo);
	write_begin("register_partition()");
	access_provider(argument_text(fcinfo, 0), argument_text(fcinfo, 1),
					argument_text(fcinfo, 3), PROVIDER_WRITER, false,
					&partition.access);
	partition.during = argument_interval(fcinfo, 2);
	partition.now = GetCurrentTimestamp();

	partition_key(&partition.access, partition.during, values);
	values[4] = TimestampTzGetDatum(partition.now);
	is_new = statement_run(&insert_partition, values, NULL) > 0;
	if (is_new)
		partition_record(&partition, "register_partition", NULL, NULL);
	else if (PG_ARGISNULL(4) || !PG_GETARG_BOOL(4))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("partition %s of provider \"%s\" is registered already",
						show_interval(partition.during),
						quotable(partition.access.provider_name)),
				 errhint("With if_not_exists => true this is no error.")));
	write_end();
	PG_RETURN_BOOL(is_new);
}

/*
 * lock_partition(source_name text, provider_name text, during tstzrange,
 *				  access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *				  lease interval DEFAULT NULL, reason text DEFAULT NULL)
 *		returns boolean: it is newly yours
 *
 * holder NULL is the caller's role.  lease: how long until another holder may
 * take over (a day is 24 hours; NULL: never).  The same holder may call again,
 * which replaces the lease, and leaves no event.
 *
 * Errors: 22004, 42501, 42704, 22023, 55006.
 */
Datum
lock_partition(PG_FUNCTION_ARGS)
{
	Partition	partition;
	const LockRow *lock = &partition.lock;
	const char *holder;
	const char *reason;
	TimestampTz lease_expires_at;
	const TimestampTz *expires = NULL;
	bool		newly = true;

	require_partition_arguments(fcinfo);
	write_begin("lock_partition()");
	partition_take(fcinfo, PROVIDER_WRITER, &partition);
	holder = argument_holder(fcinfo, 4);
	reason = argument_reason(fcinfo, 6);
	if (!PG_ARGISNULL(5))
	{
		lease_expires_at = timestamp_after(partition.now,
										   argument_duration(fcinfo, 5));
		expires = &lease_expires_at;
	}

	if (partition.state != STATE_LOCKED)
	{
		put_lock(&partition, "locked", holder, expires, reason, partition.now);
		partition_record(&partition, "lock", holder, reason);
	}
	else if (is_held_by(&partition, holder))
	{
		put_lock(&partition, "locked", holder, expires,
				 reason != NULL ? reason : lock->reason, lock->since);
		newly = false;
	}
	else if (partition.access.by_source_token ||
			 (lock->has_lease && lock->lease_expires_at <= partition.now))
	{
		put_lock(&partition, "locked", holder, expires, reason, partition.now);
		partition_record(&partition, "take_over", holder, reason);
	}
	else
		raise_held(partition.during, partition.access.provider_name, lock);
	write_end();
	PG_RETURN_BOOL(newly);
}

/*
 * unlock_partition(source_name text, provider_name text, during tstzrange,
 *					access_token text DEFAULT NULL, holder text DEFAULT NULL)
 *		returns boolean: its state changed
 *
 * It need not have been locked before.
 *
 * Errors: 22004, 42501, 42704, 22023, 55006.
 */
Datum
unlock_partition(PG_FUNCTION_ARGS)
{
	static Statement mark_unlocked = {
		"UPDATE partreg.partition SET first_unlocked_at = $5 WHERE" IS_PARTITION,
		5, {PARTITION_KEY_TYPES, TIMESTAMPTZOID}
	};
	Partition	partition;
	const char *holder;
	Datum		values[5];

	require_partition_arguments(fcinfo);
	write_begin("unlock_partition()");
	partition_take(fcinfo, PROVIDER_WRITER, &partition);
	holder = argument_holder(fcinfo, 4);

	partition_refuse_other_holder(&partition, holder);
	if (partition.state == STATE_UNLOCKED)
	{
		write_end();
		PG_RETURN_BOOL(false);
	}

	if (partition.state != STATE_REGISTERED)
		partition_delete_lock(&partition);
	if (!partition.first_unlocked)
	{
		partition_key(&partition.access, partition.during, values);
		values[4] = TimestampTzGetDatum(partition.now);
		statement_run(&mark_unlocked, values, NULL);
		coverage_add(&partition.access, partition.during);
	}
	partition_record(&partition, "unlock", holder, NULL);
	write_end();
	PG_RETURN_BOOL(true);
}

/*
 * fail_partition(source_name text, provider_name text, during tstzrange,
 *				  access_token text DEFAULT NULL, reason text DEFAULT NULL,
 *				  holder text DEFAULT NULL)
 *		returns boolean: its state changed
 *
 * Errors: 22004, 42501, 42704, 22023, 55006.
 */
Datum
fail_partition(PG_FUNCTION_ARGS)
{
	Partition	partition;
	const char *holder;
	const char *reason;

	require_partition_arguments(fcinfo);
	write_begin("fail_partition()");
	partition_take(fcinfo, PROVIDER_WRITER, &partition);
	reason = argument_reason(fcinfo, 4);
	holder = argument_holder(fcinfo, 5);

	partition_refuse_other_holder(&partition, holder);
	if (partition.state != STATE_FAILED)
	{
		put_lock(&partition, "failed", holder, NULL, reason, partition.now);
		partition_record(&partition, "fail", holder, reason);
	}
	write_end();
	PG_RETURN_BOOL(partition.state != STATE_FAILED);
}
