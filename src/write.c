/*
 * write.c
 *		The frame of a call that writes.
 *
 * A change that was acknowledged is durable, whatever synchronous_commit says.
 * Nothing is written where writing is not allowed (25006), or in another
 * role's name.
 *
 * lock_timeout limits each single wait in PostgreSQL.  A call that waits for
 * several transactions in turn has to keep within it in total.  So while a
 * call runs, a timer of ours adds up how long it has waited for locks, and
 * when the sum reaches lock_timeout, it brings forward the timeout of the
 * current wait.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "condition.h"
#include "history.h"
#include "write.h"

/* How often to look whether the call is waiting, in milliseconds */
#define TICK_MS		10

static TimeoutId total_timeout = MAX_TIMEOUTS;
static int	call_nest_level;	/* of the transaction that the call began in */
static volatile TimestampTz last_tick;
static volatile int64 waited;	/* microseconds */

/* Runs in a signal handler. */
static void
total_timeout_handler(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (get_timeout_active(LOCK_TIMEOUT))
	{
		waited += now - last_tick;
		if (waited >= (int64) LockTimeout * 1000)
			enable_timeout_after(LOCK_TIMEOUT, 0);
	}
	last_tick = now;
}

static void
disarm(void)
{
	if (total_timeout != MAX_TIMEOUTS)
		disable_timeout(total_timeout, false);
}

static void
disarm_at_abort(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		disarm();
}

static void
disarm_at_subabort(SubXactEvent event, SubTransactionId mySubid,
				   SubTransactionId parentSubid, void *arg)
{
	/* A subtransaction within the call may fail without ending it. */
	if (event == SUBXACT_EVENT_ABORT_SUB &&
		GetCurrentTransactionNestLevel() <= call_nest_level)
		disarm();
}

/*
 * Each step may run out of memory; the next call goes on from there.  The timer
 * comes last, as it must not be armed while nothing would disarm it.
 */
static void
watch_transactions(void)
{
	static int	steps = 0;

	if (steps == 0)
	{
		RegisterXactCallback(disarm_at_abort, NULL);
		steps = 1;
	}
	if (steps == 1)
	{
		RegisterSubXactCallback(disarm_at_subabort, NULL);
		steps = 2;
	}
	if (total_timeout == MAX_TIMEOUTS)
		total_timeout = RegisterTimeout(USER_TIMEOUT, total_timeout_handler);
}

/*
 * In a security-restricted operation (ANALYZE, REINDEX, REFRESH, also of
 * autovacuum) the code of a table's owner runs for somebody else, whose name
 * history would give for what that code does.  What a subscription's worker
 * applies is restricted, too, but there the triggers of a table may well have
 * something to write.
 */
static void
refuse_restricted(const char *function)
{
	if (InSecurityRestrictedOperation() && !IsLogicalWorker())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errcondition("not_allowed"),
				 errmsg("cannot execute %s within security-restricted operation",
						function)));
}

/*
 * Begin a call that writes: not here when nothing may be written (25006), and
 * durable whatever synchronous_commit says.
 */
void
write_begin(const char *function)
{
	refuse_restricted(function);
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
	PreventCommandDuringRecovery(function);
	catalog_check_version();

	define_notify();
	watch_transactions();
	call_nest_level = GetCurrentTransactionNestLevel();
	if (LockTimeout > 0)
	{
		waited = 0;
		last_tick = GetCurrentTimestamp();
		enable_timeout_every(total_timeout,
							 TimestampTzPlusMilliseconds(last_tick, TICK_MS),
							 TICK_MS);
	}

	ForceSyncCommit();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
write_end(void)
{
	disarm();
	SPI_finish();
}
