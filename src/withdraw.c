/*
 * withdraw.c
 *		What takes away: retiring a partition, revoking a provider, dropping a
 *		source.
 *
 * Each of them first locks the provider's row FOR UPDATE (for a source: each
 * provider's), which waits for the open writers of that provider and keeps new
 * ones out.  Then it increments the provider's epoch.  The epoch is part of a
 * unique key, so this is a key update: a REPEATABLE READ transaction that
 * began before gets a serialization failure when it locks the row FOR KEY
 * SHARE, and cannot go on with a snapshot that still has what was taken away.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "coverage.h"
#include "effective.h"
#include "history.h"
#include "lockrow.h"
#include "partition.h"
#include "row.h"
#include "snapshot.h"
#include "statement.h"
#include "transition.h"
#include "withdraw.h"
#include "write.h"

PG_FUNCTION_INFO_V1(retire_partition);
PG_FUNCTION_INFO_V1(revoke_provider);
PG_FUNCTION_INFO_V1(drop_source);

/* Whose epoch was counted up last, and by which transaction; 0: forgotten */
static int32 counted_provider = 0;
static FullTransactionId counted_by = {0};

static void
forget_count(SubXactEvent event, SubTransactionId mySubid,
			 SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		counted_provider = 0;
}

/*
 * Count up the epoch of a provider whose row is locked FOR UPDATE.  Once a
 * transaction is enough, and a thousand retirements in one would otherwise leave
 * a thousand versions of the row.  So what was counted last is remembered, until
 * a savepoint is rolled back, which may take it back.
 */
void
provider_count_epoch(const Access *access)
{
	static Statement count = {
		"UPDATE partreg.provider SET epoch = epoch + 1 WHERE id = $1"
	};
	static bool registered = false;
	FullTransactionId transaction = GetTopFullTransactionId();
	Parameters	parameters = {0};

	if (!registered)
	{
		RegisterSubXactCallback(forget_count, NULL);
		registered = true;
	}
	if (counted_provider == access->provider_id &&
		FullTransactionIdEquals(counted_by, transaction))
		return;
	param_int4(&parameters, access->provider_id);
	statement_run(&count, &parameters);
	counted_provider = access->provider_id;
	counted_by = transaction;
}

/*
 * retire_partition(source_name text, provider_name text, during tstzrange,
 *					access_token text DEFAULT NULL, holder text DEFAULT NULL)
 *		returns boolean: true
 *
 * A holder that is named has to have the lock.
 *
 * Errors: 22004, 42501, 42704, 22023, 55006.
 */
Datum
retire_partition(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	Access		access;
	TimeInterval during;
	Partition	partition;
	LockRow		lock;
	Claim		claim = {
		.call = CALL_RETIRE,
		.access = &access
	};
	Event		event = {
		.event = "retire",
		.access = &access,
		.during = &during
	};

	partition_read_call(fcinfo, 3, 4, &call);

	write_begin("retire_partition()");
	access_provider(call.source_name, call.provider_name, call.token,
					ACCESS_WITHDRAW, &access);
	during = check_interval(call.range);
	claim.holder = partition_holder(&call);
	claim.named = call.holder != NULL;
	partition_take(&access, during, &partition, &lock);
	claim.now = event.at = GetCurrentTimestamp();
	(void) transition_allow(&claim, &partition);

	provider_count_epoch(&access);
	if (partition.lock != NULL)
		row_delete(LOCK_BY_KEY, &lock.tid);
	row_delete(partition.pending ? PENDING_BY_KEY : PARTITION_BY_KEY,
			   &partition.tid);
	if (!partition.pending)
		coverage_withdraw(&access, during);
	event.holder = call.holder;
	event.state_before = partition_state(&partition);
	history_record(&event);
	write_end();
	PG_RETURN_BOOL(true);
}

/* Was a partition of a provider whose row is locked FOR UPDATE ever unlocked? */
static bool
is_supplied(int32 provider_id, TimeInterval during)
{
	Snapshot	snapshot = latest_snapshot();
	CatalogScan scan;
	bool		found;

	catalog_begin(&scan, PARTITION_BY_KEY, snapshot);
	catalog_seek_partition(&scan, provider_id, during);
	found = catalog_next_row(&scan, ForwardScanDirection);
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * revoke_provider(source_name text, provider_name text,
 *				   access_token text DEFAULT NULL) returns void
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
		"        trusted_role = NULL, trusted_role_oid = NULL,"
		"        trusted_role_system = NULL, trusted_role_database = NULL,"
		"        effective = effective * tstzrange(NULL, $2)"
		" WHERE id = $1"
		" RETURNING effective"
	};

	/* In the order of renewals, which do not lock the provider's row */
	static Statement lock_locks = {
		"SELECT count(*) FROM (SELECT FROM partreg.lock"
		" WHERE source_id = $1 AND provider_id = $2 AND state = 'locked'"
		" ORDER BY length_class, start_at, end_at FOR NO KEY UPDATE) AS l"
	};
	static Statement fail_locks = {
		"UPDATE partreg.lock"
		"    SET state = 'failed', since = $3, lease_expires_at = NULL, change = 'revoke'"
		" WHERE source_id = $1 AND provider_id = $2 AND state = 'locked'"
		" RETURNING start_at, end_at, holder"
	};
	static const TimeInterval always = {INTERVAL_MIN, INTERVAL_MAX};
	char	   *source_name;
	char	   *provider_name;
	char	   *token;
	Access		access;
	Event		event = {
		.event = "revoke",
		.access = &access
	};
	Parameters	provider = {0};
	Parameters	renewed = {0};
	Parameters	locks = {0};
	TimeInterval *failed;
	char	  **holders;
	StateBefore *states;
	char	   *effective_before;
	uint64		n_failed;
	MemoryContext memory;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);
	token = argument_text(fcinfo, 2);

	write_begin("revoke_provider()");
	access_provider_by_source(source_name, provider_name, token,
							  ACCESS_WITHDRAW, &access);
	if (access.revoked)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errcondition("provider_revoked"),
				 errmsg("provider \"%s\" is already revoked",
						quotable(access.provider_name)),
				 errhint("Revive it with partreg.register_provider().")));

	event.at = GetCurrentTimestamp();
	param_int4(&provider, access.provider_id);
	param_time(&provider, event.at);
	effective_before = effective_lock(access.provider_id);
	statement_run(&update_provider, &provider);
	event.details = history_change("effective", effective_before,
								   effective_text(result_datum(0, 1)));

	lockrow_compare_snapshots(access.source_id, access.provider_id, always);
	param_int4(&renewed, access.source_id);
	param_int4(&renewed, access.provider_id);
	statement_run(&lock_locks, &renewed);
	param_int4(&locks, access.source_id);
	param_int4(&locks, access.provider_id);
	param_time(&locks, event.at);
	n_failed = statement_run(&fail_locks, &locks);
	failed = palloc_extended(Max(n_failed, 1) * sizeof(TimeInterval),
							 MCXT_ALLOC_HUGE);
	holders = palloc_extended(Max(n_failed, 1) * sizeof(char *),
							  MCXT_ALLOC_HUGE);
	states = palloc_extended(Max(n_failed, 1) * sizeof(StateBefore),
							 MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < n_failed; i++)
	{
		failed[i] = result_interval(i, 1);
		holders[i] = result_text(i, 3);
		states[i] = is_supplied(access.provider_id, failed[i]) ? STATE_LOCKED
			: STATE_LOCKED_AT_FIRST;
	}
	history_record(&event);

	event.event = "fail";
	event.details = NULL;
	event.reason = "provider revoked";
	memory = AllocSetContextCreate(CurrentMemoryContext, "partreg event",
								   ALLOCSET_SMALL_SIZES);
	for (uint64 i = 0; i < n_failed; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(memory);

		CHECK_FOR_INTERRUPTS();
		event.during = &failed[i];
		event.holder = holders[i];
		event.state_before = states[i];
		history_record(&event);
		MemoryContextSwitchTo(old);
		MemoryContextReset(memory);
	}
	write_end();
	PG_RETURN_VOID();
}

/*
 * drop_source(source_name text, access_token text DEFAULT NULL) returns void
 *
 * Waits for the open writers of the source, and for open renewals of leases,
 * which do not lock the provider's row: so the partitions that have a lock are
 * locked in the order of renewals, before any is deleted.  Deletes what is there by the
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
		"SELECT id FROM partreg.provider WHERE source_id = $1 ORDER BY id FOR UPDATE"
	};
#define LOCK_RENEWABLE(table) \
	"SELECT count(*) FROM (SELECT FROM partreg." table " p" \
	"  JOIN partreg.lock l ON l.provider_id = p.provider_id AND l.length_class = p.length_class" \
	"                     AND l.start_at = p.start_at AND l.end_at = p.end_at" \
	" WHERE l.source_id = $1" \
	" ORDER BY p.provider_id, p.length_class, p.start_at, p.end_at FOR UPDATE OF p) AS q"
	static Statement lock_renewable[] = {
		{LOCK_RENEWABLE("pending")},
		{LOCK_RENEWABLE("partition")}
	};
	static Statement deletions[] = {
		{"DELETE FROM partreg.pending WHERE provider_id IN"
		" (SELECT id FROM partreg.provider WHERE source_id = $1)"},
		{"DELETE FROM partreg.partition WHERE provider_id IN"
		" (SELECT id FROM partreg.provider WHERE source_id = $1)"},
		{"DELETE FROM partreg.lock WHERE source_id = $1"},
		{"DELETE FROM partreg.coverage WHERE source_id = $1"},
		{"DELETE FROM partreg.provider WHERE source_id = $1"},
		{"DELETE FROM partreg.source WHERE id = $1"},
	};
	char	   *source_name;
	char	   *token;
	Access		access;
	Event		event = {
		.event = "drop_source",
		.access = &access
	};
	Parameters	parameters = {0};

	argument_require(fcinfo, 0);
	source_name = argument_text(fcinfo, 0);
	token = argument_text(fcinfo, 1);

	write_begin("drop_source()");
	access_source(source_name, token, ACCESS_WITHDRAW, &access);
	param_int4(&parameters, access.source_id);
	statement_run_latest(&lock_providers, &parameters);
	for (int i = 0; i < lengthof(lock_renewable); i++)
		statement_run_latest(&lock_renewable[i], &parameters);
	for (int i = 0; i < lengthof(deletions); i++)
	{
		if (IsolationUsesXactSnapshot())
			statement_run(&deletions[i], &parameters);
		statement_run_latest(&deletions[i], &parameters);
	}
	event.at = GetCurrentTimestamp();
	history_record(&event);
	write_end();
	PG_RETURN_VOID();
}
