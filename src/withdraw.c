/*
 * withdraw.c
 *		What takes away: retiring a partition, revoking a provider, dropping a
 *		source.
 *
 * Each first locks the provider's row (for a source: each provider's) FOR
 * UPDATE, which waits for the open writers of that provider and keeps new ones
 * out, and counts its epoch up.  The epoch is part of a unique key, so this is
 * a key update: a REPEATABLE READ transaction that began before gets a
 * serialization failure when it comes to lock the row FOR KEY SHARE, instead of
 * working on with a snapshot in which what was taken away is still there.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "compat.h"
#include "coverage.h"
#include "history.h"
#include "lockrow.h"
#include "partition.h"
#include "statement.h"

PG_FUNCTION_INFO_V1(retire_partition);
PG_FUNCTION_INFO_V1(revoke_provider);
PG_FUNCTION_INFO_V1(drop_source);

/*
 * retire_partition(source_name text, provider_name text, during tstzrange,
 *					access_token text DEFAULT NULL)
 *		returns boolean: true
 *
 * Errors: 22004, 42501, 42704, 22023, 55006.
 */
Datum
retire_partition(PG_FUNCTION_ARGS)
{
	static Statement count_epoch = {
		"UPDATE partreg.provider SET epoch = epoch + 1 WHERE id = $1", 1, {INT4OID}
	};
	static Statement delete_partition = {
		"DELETE FROM partreg.partition WHERE" IS_PARTITION,
		4, {PARTITION_KEY_TYPES}
	};
	Partition	partition;
	Datum		values[4];

	require_partition_arguments(fcinfo);
	write_begin("retire_partition()");
	partition_take(fcinfo, PROVIDER_WITHDRAWAL, &partition);
	partition_refuse_other_holder(&partition, caller_name());

	partition_key(&partition.access, partition.during, values);
	statement_run(&count_epoch, values, NULL);
	if (partition.state == STATE_LOCKED || partition.state == STATE_FAILED)
		partition_delete_lock(&partition);
	statement_run(&delete_partition, values, NULL);
	if (partition.first_unlocked)
		coverage_withdraw(&partition.access, partition.during);
	partition_record(&partition, "retire", NULL, NULL);
	write_end();
	PG_RETURN_BOOL(true);
}

/*
 * revoke_provider(source_name text, provider_name text, access_token text)
 *		returns void
 *
 * Under REPEATABLE READ all locks of the provider have to be as the snapshot
 * knows them: failing others would let the transaction see the lock of a
 * partition that it does not see.
 *
 * Errors: 22004, 42501, 42704 (absent, or revoked already).
 */
Datum
revoke_provider(PG_FUNCTION_ARGS)
{
	static Statement update_provider = {
		"UPDATE partreg.provider"
		"    SET revoked_at = $2, epoch = epoch + 1,"
		"        token_digest = NULL, old_token_digest = NULL, old_token_until = NULL,"
		"        trusted_role = NULL, effective = effective * tstzrange(NULL, $2)"
		" WHERE id = $1",
		2, {INT4OID, TIMESTAMPTZOID}
	};
	static Statement fail_locks = {
		"UPDATE partreg.lock SET state = 'failed', since = $3, lease_expires_at = NULL"
		" WHERE source_id = $1 AND provider_id = $2 AND state = 'locked'"
		" RETURNING start_at, end_at, holder",
		3, {INT4OID, INT4OID, TIMESTAMPTZOID}
	};
	Access		access;
	TimestampTz now;
	Datum		values[3];
	TimeInterval *failed;
	char	  **holders;
	uint64		n_failed;
	MemoryContext memory;
	bool		isnull;

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	write_begin("revoke_provider()");
	access_provider(argument_text(fcinfo, 0), argument_text(fcinfo, 1),
					argument_text(fcinfo, 2), PROVIDER_WITHDRAWAL, true,
					&access);
	if (access.revoked)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("provider \"%s\" is revoked already",
						quotable(access.provider_name)),
				 errhint("register_provider() revives it.")));

	now = GetCurrentTimestamp();
	values[0] = Int32GetDatum(access.provider_id);
	values[1] = TimestampTzGetDatum(now);
	statement_run(&update_provider, values, NULL);

	values[0] = Int32GetDatum(access.source_id);
	values[1] = Int32GetDatum(access.provider_id);
	values[2] = TimestampTzGetDatum(now);
	lockrow_refuse_old_snapshot(access.source_id, access.provider_id,
								(TimeInterval) {INTERVAL_MIN, INTERVAL_MAX});
	n_failed = statement_run(&fail_locks, values, NULL);
	failed = palloc_extended(Max(n_failed, 1) * sizeof(TimeInterval),
							 MCXT_ALLOC_HUGE);
	holders = palloc_extended(Max(n_failed, 1) * sizeof(char *),
							  MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < n_failed; i++)
	{
		failed[i].start = DatumGetTimestampTz(statement_result(i, 1, &isnull));
		failed[i].end = DatumGetTimestampTz(statement_result(i, 2, &isnull));
		holders[i] = TextDatumGetCString(statement_result(i, 3, &isnull));
	}

	history_record(&(Event) {
		.event = "revoke", .access = &access, .at = now
	});
	memory = AllocSetContextCreate(CurrentMemoryContext, "partreg event",
								   ALLOCSET_SMALL_SIZES);
	for (uint64 i = 0; i < n_failed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(memory);

		history_record(&(Event) {
			.event = "fail", .access = &access, .during = &failed[i],
			.at = now, .holder = holders[i], .reason = "provider revoked"
		});
		MemoryContextSwitchTo(old);
		MemoryContextReset(memory);
	}
	write_end();
	PG_RETURN_VOID();
}

/*
 * drop_source(source_name text, access_token text) returns void
 *
 * Waits for the open writers of the source.  Deletes what is there by the
 * latest snapshot: an older one would leave behind what it does not know.  But
 * first by that one: a row that it knows in an older version would stay in its
 * sight, so that is a serialization failure.
 *
 * Errors: 22004, 42501.
 */
Datum
drop_source(PG_FUNCTION_ARGS)
{
	static Statement lock_providers = {
		"SELECT id FROM partreg.provider WHERE source_id = $1 ORDER BY id FOR UPDATE",
		1, {INT4OID}
	};
	static Statement deletions[] = {
		{"DELETE FROM partreg.partition WHERE provider_id IN"
		" (SELECT id FROM partreg.provider WHERE source_id = $1)", 1, {INT4OID}},
		{"DELETE FROM partreg.lock WHERE source_id = $1", 1, {INT4OID}},
		{"DELETE FROM partreg.coverage WHERE source_id = $1", 1, {INT4OID}},
		{"DELETE FROM partreg.provider WHERE source_id = $1", 1, {INT4OID}},
		{"DELETE FROM partreg.source WHERE id = $1", 1, {INT4OID}},
	};
	Access		access;
	Datum		values[1];

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	write_begin("drop_source()");
	access_source(argument_text(fcinfo, 0), argument_text(fcinfo, 1), true,
				  &access);
	values[0] = Int32GetDatum(access.source_id);
	statement_run_latest(&lock_providers, values, NULL);
	for (int i = 0; i < lengthof(deletions); i++)
	{
		if (IsolationUsesXactSnapshot())
			statement_run(&deletions[i], values, NULL);
		statement_run_latest(&deletions[i], values, NULL);
	}
	history_record(&(Event) {
		.event = "drop_source", .access = &access,
		.at = GetCurrentTimestamp()
	});
	write_end();
	PG_RETURN_VOID();
}
