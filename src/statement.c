/*
 * statement.c
 *		The frame of a call that writes, and the SQL statements in it.
 *
 * Functions that write are SECURITY DEFINER with a pinned search_path, so
 * their statements run as the owner of the extension, and unqualified names of
 * operators and functions in them are pg_catalog's.
 *
 * Each statement runs after a CommandCounterIncrement and, under READ
 * COMMITTED, in a snapshot of its own: what follows a wait for somebody's row
 * lock sees what that somebody committed (docs/design.md, rule 1).  Plans are
 * generic: all statements here find rows by keys.
 *
 * lock_timeout bounds each wait of PostgreSQL's; a call that waits for several
 * transactions in turn has to keep within it in total.  So while a call runs, a
 * timer of ours adds up how long it has been waiting for locks, and when that is
 * as long as lock_timeout, it pulls forward the timeout of the wait under way.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "statement.h"

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
 * Begin a call that writes: not here when nothing may be written (25006), and
 * durable whatever synchronous_commit says.
 */
void
write_begin(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
	PreventCommandDuringRecovery(function);

	if (total_timeout == MAX_TIMEOUTS)
	{
		total_timeout = RegisterTimeout(USER_TIMEOUT, total_timeout_handler);
		RegisterXactCallback(disarm_at_abort, NULL);
		RegisterSubXactCallback(disarm_at_subabort, NULL);
	}
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

static SPIPlanPtr
kept_plan(Statement *statement)
{
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan;

		plan = SPI_prepare_cursor(statement->sql, statement->nargs,
								  statement->argtypes,
								  CURSOR_OPT_GENERIC_PLAN);
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s",
				 SPI_result_code_string(SPI_result));
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_keepplan failed");
		statement->plan = plan;
	}
	return statement->plan;
}

/*
 * Run a statement; returns the number of rows.  Results are in SPI_tuptable
 * until the next one.
 */
uint64
statement_run(Statement *statement, Datum *values, const char *nulls)
{
	return statement_run_in(statement, values, nulls, InvalidSnapshot);
}

/*
 * The same in a given snapshot (besides, what the transaction itself has done
 * since is seen).
 */
uint64
statement_run_in(Statement *statement, Datum *values, const char *nulls,
				 Snapshot snapshot)
{
	MemoryContext memory = CurrentMemoryContext;
	int			code;

	SPI_freetuptable(SPI_tuptable);
	code = SPI_execute_snapshot(kept_plan(statement), values, nulls, snapshot,
								InvalidSnapshot, false, true, 0);
	if (code < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s",
			 SPI_result_code_string(code));
	MemoryContextSwitchTo(memory);
	return SPI_processed;
}

/*
 * The same by the latest snapshot, whatever the isolation level.
 */
uint64
statement_run_latest(Statement *statement, Datum *values, const char *nulls)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	uint64		rows = statement_run_in(statement, values, nulls, snapshot);

	UnregisterSnapshot(snapshot);
	return rows;
}

/*
 * Run statements in a subtransaction, which is rolled back if `attempt` returns
 * false or fails with the tolerated SQLSTATE (0: with none); true: it was not.
 * Any other error is passed on, from outside of the subtransaction.
 */
bool
statements_attempt(bool (*attempt) (void *arg), void *arg, int tolerated)
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	PG_TRY();
	{
		done = attempt(arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();

	if (done)
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(memory);
	CurrentResourceOwner = owner;
	if (error != NULL && error->sqlerrcode != tolerated)
		ReThrowError(error);
	return done;
}

/* One value of the last statement's result; columns count from 1. */
Datum
statement_result(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}
