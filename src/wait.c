/*
 * wait.c
 *		Waiting until something may be read.
 *
 * A wait is a sequence of polls, each a transaction of its own: a snapshot, a
 * check, COMMIT.  Between two polls the session has no snapshot, so that
 * VACUUM can remove what has died meanwhile.  It has no lock but the one on
 * its own virtual transaction id, which every transaction has, and for which
 * only those wait who need its snapshot or one of its tables to be released.
 * This needs a procedure, called where COMMIT is allowed.
 *
 * It sleeps on its latch, which a cancel and a shutdown set.  So does a
 * notification, where the session listens already, and then the next poll comes
 * early.  It does not LISTEN by itself: a session that is busy, as one that
 * waits is, does not read its notifications, so that the server could not
 * empty the queue; every commit that notifies signals each listener; and on a
 * standby it is not allowed.  Figures: docs/design.md, "Waiting".
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "explain.h"
#include "lockrow.h"
#include "readiness.h"

PG_FUNCTION_INFO_V1(wait_until_ready);

#define DEFAULT_POLL	USECS_PER_SEC
/* The least time between polls, whatever the argument and the notifications */
#define SHORTEST_POLL	(10 * INT64CONST(1000))
#define SHORTEST_NOTIFIED_POLL	(50 * INT64CONST(1000))

/* May this call end its transaction? */
static bool
may_commit(FunctionCallInfo fcinfo)
{
	return fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic && !IsSubTransaction();
}

/* Microseconds since a moment, by a clock that nobody sets */
static int64
elapsed_since(instr_time moment)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, moment);
	return INSTR_TIME_GET_MICROSEC(now);
}

/* Is a failed partition in a window? */
static bool
has_failed(const Source *source, TimeInterval window, Snapshot snapshot)
{
	OverlapScan overlap;
	LockRow		lock;
	bool		failed = false;

	if (source_has_no_locks(source, snapshot))
		return false;
	overlap_begin(&overlap, LOCK_BY_KEY, source_lock_classes(source), snapshot);
	overlap_seek(&overlap, source->id, window);
	while (!failed && overlap_next(&overlap))
	{
		lockrow_read(&overlap.scan, &lock);
		failed = lock.failed;
	}
	overlap_end(&overlap);
	return failed;
}

/*
 * One poll: is it ready?  An error where a failed partition is in the way, and
 * where it is not ready and this is the last poll.
 */
static bool
poll_readiness(const char *name, TimeInterval window, bool last)
{
	Snapshot	snapshot;
	Source		source;
	bool		ready;

	PushActiveSnapshot(GetTransactionSnapshot());
	snapshot = GetActiveSnapshot();
	source = source_find(name, snapshot);
	ready = readiness_holds(&source, window, snapshot);
	if (!ready && (last || has_failed(&source, window, snapshot)))
	{
		bool		failed;
		char	   *detail = explain_briefly(&source, window, snapshot, &failed);

		if (failed)
			raise_not_ready(name, detail, true);
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errcondition("timed_out"),
				 errmsg("timed out waiting for source \"%s\" to be ready",
						quotable(name)),
				 errdetail_internal("%s", detail),
				 errhint("partreg.explain_readiness() lists all obstacles.")));
	}
	PopActiveSnapshot();
	return ready;
}

/*
 * Sleep for some microseconds, or until a notification comes.  CHECK_FOR_INTERRUPTS
 * comes after the latch is reset: the reason is set before the latch is.
 */
static void
sleep_until_poll(int64 duration)
{
	instr_time	begin;
	int64		left;

	INSTR_TIME_SET_CURRENT(begin);
	while ((left = duration - elapsed_since(begin)) > 0)
	{
		int			events;

		events = WaitLatch(MyLatch,
						   WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						   Min(left / 1000 + 1, INT_MAX),
						   PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if ((events & WL_LATCH_SET) != 0 && notifyInterruptPending)
			duration = Min(duration, SHORTEST_NOTIFIED_POLL);
	}
}

/*
 * wait_until_ready(source_name text, during tstzrange, timeout interval,
 *		poll interval DEFAULT '1s')
 *		a procedure: it ends when the range is ready, or with an error
 *
 * The first poll is made at once, the last one when the timeout is over: with a
 * timeout of 0 they are the same.
 *
 * Errors: 22004, 22023, 25001 (in a transaction block or function), 42704,
 * 55000 (a failed partition is in the way), 55P03 (timed out).
 */
Datum
wait_until_ready(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Interval   *poll_given = argument_interval(fcinfo, 3);
	int64		poll = DEFAULT_POLL;
	int64		timeout;
	int64		left;
	TimeInterval window;
	instr_time	begin;
	MemoryContext polls;

	for (int argno = 0; argno < 3; argno++)
		argument_require(fcinfo, argno);
	if (!may_commit(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("wait_until_ready cannot be called inside a transaction block or a function"),
				 errhint("Call it by itself, with autocommit: it ends its transaction after each poll.")));
	window = check_interval(range);
	timeout = check_duration(PG_GETARG_INTERVAL_P(2), "timeout");
	if (poll_given != NULL)
		poll = Max(check_duration(poll_given, "poll"), SHORTEST_POLL);

	INSTR_TIME_SET_CURRENT(begin);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	/* Of the procedure, where no COMMIT takes it away */
	name = pstrdup(name);
	polls = AllocSetContextCreate(CurrentMemoryContext, "partreg poll",
								  ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContext memory = MemoryContextSwitchTo(polls);
		bool		ready;

		left = timeout - elapsed_since(begin);
		ready = poll_readiness(name, window, left <= 0);
		MemoryContextSwitchTo(memory);
		MemoryContextReset(polls);
		if (ready)
			break;
		SPI_commit();
		if (!more_notifications_wake())
			poll = Min(poll, DEFAULT_POLL);
		sleep_until_poll(Min(poll, left));
	}
	SPI_finish();
	PG_RETURN_VOID();
}
