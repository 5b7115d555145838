/*
 * bulk.c
 *		Many partitions in one call.
 *
 * Set-based: each batch of some thousand partitions is a handful of statements,
 * whatever its size, so memory is bounded and a cancel is heard at once; calls
 * that take long tell every few seconds how far they are.
 *
 * lock_partitions and unlock_partitions go through the partitions of a provider
 * in the order of the primary key (length class, start, end) and lock their
 * rows in that order, so two of them cannot deadlock, whatever ranges they were
 * given.  What a batch does is decided in a snapshot taken after its rows are
 * locked, as in partition.c; and in one snapshot, in which the partitions of
 * the batch are exactly those that are locked: another might know some that
 * were registered meanwhile, and change them without their lock.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "calendar.h"
#include "catalog.h"
#include "compat.h"
#include "coverage.h"
#include "history.h"
#include "lockrow.h"
#include "partition.h"
#include "statement.h"

PG_FUNCTION_INFO_V1(register_partitions);
PG_FUNCTION_INFO_V1(lock_partitions);
PG_FUNCTION_INFO_V1(unlock_partitions);

#define BATCH_SIZE			20000
#define PROGRESS_SECONDS	5

/* What a bulk call has done so far */
typedef struct Bulk
{
	Access		access;
	TimeInterval during;
	TimestampTz now;			/* the time of a batch's events */
	int64		changed;
	TimeInterval extent;		/* from the first changed to the last */
	TimestampTz last_progress;
} Bulk;

static void
bulk_begin(FunctionCallInfo fcinfo, int token_argno, Bulk *bulk)
{
	memset(bulk, 0, sizeof(*bulk));
	access_provider(argument_text(fcinfo, 0), argument_text(fcinfo, 1),
					argument_text(fcinfo, token_argno), PROVIDER_WRITER, false,
					&bulk->access);
	bulk->during = argument_interval(fcinfo, 2);
	bulk->now = bulk->last_progress = GetCurrentTimestamp();
}

/*
 * Take in the result of a batch's statement: one row with the number of
 * partitions changed, their first start and last end.
 */
static void
bulk_count(Bulk *bulk)
{
	bool		isnull;
	int64		changed = DatumGetInt64(statement_result(0, 1, &isnull));
	TimeInterval extent;

	if (changed == 0)
		return;
	extent.start = DatumGetTimestampTz(statement_result(0, 2, &isnull));
	extent.end = DatumGetTimestampTz(statement_result(0, 3, &isnull));
	if (bulk->changed > 0)
	{
		extent.start = Min(extent.start, bulk->extent.start);
		extent.end = Max(extent.end, bulk->extent.end);
	}
	bulk->extent = extent;
	bulk->changed += changed;
}

static void
bulk_progress(Bulk *bulk, const char *done)
{
	TimestampTz now = GetCurrentTimestamp();

	CHECK_FOR_INTERRUPTS();
	if (!TimestampDifferenceExceeds(bulk->last_progress, now,
									PROGRESS_SECONDS * 1000))
		return;
	bulk->last_progress = now;
	ereport(NOTICE,
			(errmsg("%s " INT64_FORMAT " partitions so far", done,
					bulk->changed)));
}

/* One notification for all, with the id of the last event */
static int64
bulk_end(Bulk *bulk, const char *event)
{
	static Statement last_event = {
		"SELECT currval('partreg.event_id_seq')", 0
	};
	bool		isnull;

	if (bulk->changed > 0)
	{
		statement_run(&last_event, NULL, NULL);
		history_notify(&(Event) {
			.event = event, .access = &bulk->access, .during = &bulk->extent
		}, DatumGetInt64(statement_result(0, 1, &isnull)), bulk->changed);
	}
	return bulk->changed;
}

/*
 * What follows the CTE `changed` (start_at, end_at) in a batch's statement: an
 * event for each of its rows, and what bulk_count() wants to know.
 */
#define LOG_CHANGED(event, reason) \
	", logged AS (" \
	"    INSERT INTO partreg.event (event, source_id, provider_id, source_name, provider_name," \
	"        start_at, end_at, at, actor, holder, reason, xid, system_id, timeline)" \
	"    SELECT '" event "', $1, $2, $3, $4, start_at, end_at, $5, $6, $7, " reason ", $8, $9, $10" \
	"      FROM changed" \
	") SELECT count(*), min(start_at), max(end_at) FROM changed"

/* The parameters that it uses; there are EVENT_PARAMETERS of them */
#define EVENT_PARAMETERS	10
#define EVENT_PARAMETER_TYPES \
	INT4OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, NAMEOID, TEXTOID, \
	XID8OID, INT8OID, INT4OID

/* $1 source_id, $2 provider_id, $3 and $4 names, $5 at, $6 actor, $7 holder,
 * $8 xid, $9 system_id, $10 timeline */
static void
event_parameters(const Bulk *bulk, const char *holder, Datum *values,
				 char *nulls)
{
	values[0] = Int32GetDatum(bulk->access.source_id);
	values[1] = Int32GetDatum(bulk->access.provider_id);
	values[2] = CStringGetTextDatum(bulk->access.source_name);
	values[3] = CStringGetTextDatum(bulk->access.provider_name);
	values[4] = TimestampTzGetDatum(bulk->now);
	values[5] = caller_name_datum();
	if (holder == NULL)
		nulls[6] = 'n';
	else
		values[6] = CStringGetTextDatum(holder);
	history_era(&values[7]);
}

/* Registering */

static Datum
timestamps_array(Datum *items, int count)
{
	return PointerGetDatum(construct_array(items, count, TIMESTAMPTZOID,
										   sizeof(int64), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

#define INSERT_BATCH(on_conflict) \
	"WITH changed AS (" \
	"    INSERT INTO partreg.partition (provider_id, length_class, start_at, end_at, registered_at)" \
	"    SELECT $2, b.length_class, b.start_at, b.end_at, $5" \
	"      FROM unnest($11, $12, $13) AS b (length_class, start_at, end_at)" \
	"    " on_conflict " RETURNING start_at, end_at" \
	")" LOG_CHANGED("register_partition", "NULL")
#define INSERT_PARAMETERS		(EVENT_PARAMETERS + 3)
#define INSERT_PARAMETER_TYPES \
	EVENT_PARAMETER_TYPES, INT2ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID

typedef struct Insertion
{
	Datum	   *values;
	const char *nulls;
} Insertion;

/* Insert a batch as if all of it were new. */
static bool
insert_new(void *arg)
{
	static Statement insert = {
		INSERT_BATCH(""), INSERT_PARAMETERS, {INSERT_PARAMETER_TYPES}
	};
	Insertion  *insertion = arg;

	statement_run(&insert, insertion->values, insertion->nulls);
	return true;
}

/* Register the next steps of a walk; there are at least that many. */
static void
register_batch(Bulk *bulk, CalendarWalk *walk, int count)
{
	static Statement insert_missing = {
		INSERT_BATCH("ON CONFLICT DO NOTHING"), INSERT_PARAMETERS,
		{INSERT_PARAMETER_TYPES}
	};
	Datum	   *classes = palloc(count * sizeof(Datum));
	Datum	   *starts = palloc(count * sizeof(Datum));
	Datum	   *ends = palloc(count * sizeof(Datum));
	Datum		values[INSERT_PARAMETERS];
	char		nulls[INSERT_PARAMETERS + 1] = "             ";
	TimeInterval step = {0};

	for (int i = 0; i < count; i++)
	{
		(void) calendar_walk_next(walk, bulk->during.end, &step);
		classes[i] = Int16GetDatum(length_class(step));
		starts[i] = TimestampTzGetDatum(step.start);
		ends[i] = TimestampTzGetDatum(step.end);
	}

	event_parameters(bulk, NULL, values, nulls);
	values[EVENT_PARAMETERS] =
		PointerGetDatum(construct_array(classes, count, INT2OID, sizeof(int16),
										true, TYPALIGN_SHORT));
	values[EVENT_PARAMETERS + 1] = timestamps_array(starts, count);
	values[EVENT_PARAMETERS + 2] = timestamps_array(ends, count);
	/*
	 * ON CONFLICT takes about three times as long (it looks at the index
	 * twice, and marks and unmarks each row), so that is left for those
	 * batches that need it.
	 */
	if (!statements_attempt(insert_new, &(Insertion) {values, nulls},
							ERRCODE_UNIQUE_VIOLATION))
		statement_run(&insert_missing, values, nulls);
	bulk_count(bulk);
}

/*
 * register_partitions(source_name text, provider_name text, during tstzrange,
 *					   step interval, access_token text DEFAULT NULL,
 *					   time_zone text DEFAULT 'UTC')
 *		returns bigint: how many are new
 *
 * Errors: 22004, 42501, 42704, 22023 (also: not a whole number of steps).
 */
Datum
register_partitions(PG_FUNCTION_ARGS)
{
	Bulk		bulk;
	Calendar	calendar;
	CalendarWalk walk;
	MemoryContext batch;
	int64		steps;

	require_partition_arguments(fcinfo);
	argument_require(fcinfo, 3);
	write_begin("register_partitions()");
	bulk_begin(fcinfo, 4, &bulk);
	calendar_init(&calendar, PG_GETARG_INTERVAL_P(3), argument_text(fcinfo, 5),
				  bulk.during.start);
	steps = calendar_steps(&calendar, bulk.during.end);
	calendar_walk_begin(&walk, &calendar);

	batch = AllocSetContextCreate(CurrentMemoryContext,
								  "partreg batch of partitions",
								  ALLOCSET_DEFAULT_SIZES);
	for (int64 k = 0; k < steps; k += BATCH_SIZE)
	{
		MemoryContext old = MemoryContextSwitchTo(batch);

		register_batch(&bulk, &walk, (int) Min(BATCH_SIZE, steps - k));
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch);
			bulk_progress(&bulk, "registered");
	}
	steps = bulk_end(&bulk, "register_partition");
	write_end();
	PG_RETURN_INT64(steps);
}

/* Locking and unlocking */

/* Where lock_partitions and unlock_partitions are, in the order of the key */
typedef struct Batch
{
	int			length_class;
	TimeInterval last_before;	/* what comes after this one ... */
	TimeInterval last;			/* ... up to this one */
	uint64		count;
	IntervalSet never_unlocked;
	Snapshot	snapshot;		/* that knows these and no others */
} Batch;

/* The partitions of a batch, by $2 provider_id and $11 to $16 */
#define IS_IN_BATCH(p) \
	" " #p ".provider_id = $2 AND " #p ".length_class = $11" \
	" AND " #p ".start_at >= $12 AND (" #p ".start_at, " #p ".end_at) > ($12, $13)" \
	" AND (" #p ".start_at, " #p ".end_at) <= ($14, $15) AND " #p ".end_at <= $16"
#define BATCH_PARAMETERS		6
#define BATCH_PARAMETER_TYPES \
	INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID

static void
batch_parameters(const Bulk *bulk, const Batch *batch, Datum *values)
{
	values[0] = Int16GetDatum(batch->length_class);
	values[1] = TimestampTzGetDatum(batch->last_before.start);
	values[2] = TimestampTzGetDatum(batch->last_before.end);
	values[3] = TimestampTzGetDatum(batch->last.start);
	values[4] = TimestampTzGetDatum(batch->last.end);
	values[5] = TimestampTzGetDatum(bulk->during.end);
}

/* Leap to the provider's next length class; false: no more. */
static bool
next_length_class(const Bulk *bulk, Batch *batch)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	CatalogScan scan;
	ScanKeyData keys[2];
	bool		found;

	catalog_begin(&scan, PARTITION_BY_KEY, snapshot);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(bulk->access.provider_id));
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT2GT,
				Int16GetDatum(batch->length_class));
	catalog_seek(&scan, keys, 2);
	found = catalog_next_entry(&scan, ForwardScanDirection);
	if (found)
		batch->length_class = DatumGetInt16(catalog_entry_value(&scan, 2));
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/* Lock the rows that come after batch->last_before. */
static void
lock_rows(const Bulk *bulk, Batch *batch)
{
	static Statement lock_in_order = {
		"SELECT start_at, end_at, first_unlocked_at IS NULL FROM partreg.partition"
		" WHERE provider_id = $1 AND length_class = $2"
		"   AND start_at >= $3 AND (start_at, end_at) > ($3, $4)"
		"   AND start_at < $5 AND end_at <= $5"
		" ORDER BY length_class, start_at, end_at LIMIT $6 FOR NO KEY UPDATE",
		6, {INT4OID, INT2OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
	};
	Datum		values[6];
	bool		isnull;

	values[0] = Int32GetDatum(bulk->access.provider_id);
	values[1] = Int16GetDatum(batch->length_class);
	values[2] = TimestampTzGetDatum(batch->last_before.start);
	values[3] = TimestampTzGetDatum(batch->last_before.end);
	values[4] = TimestampTzGetDatum(bulk->during.end);
	values[5] = Int64GetDatum(BATCH_SIZE);
	batch->count = statement_run(&lock_in_order, values, NULL);

	batch->never_unlocked.count = 0;
	for (uint64 i = 0; i < batch->count; i++)
	{
		batch->last.start = DatumGetTimestampTz(statement_result(i, 1, &isnull));
		batch->last.end = DatumGetTimestampTz(statement_result(i, 2, &isnull));
		if (DatumGetBool(statement_result(i, 3, &isnull)))
			interval_set_add(&batch->never_unlocked, batch->last);
	}
}

/* How many partitions does the batch's snapshot know where the batch is? */
static uint64
count_batch(const Bulk *bulk, const Batch *batch)
{
	static Statement count = {
		"SELECT count(*) FROM partreg.partition p"
		" WHERE" IS_IN_BATCH(p),
		EVENT_PARAMETERS + BATCH_PARAMETERS,
		{EVENT_PARAMETER_TYPES, BATCH_PARAMETER_TYPES}
	};
	Datum		values[EVENT_PARAMETERS + BATCH_PARAMETERS];
	char		nulls[EVENT_PARAMETERS + BATCH_PARAMETERS + 1] = "n nnnnnnnn      ";
	bool		isnull;

	values[1] = Int32GetDatum(bulk->access.provider_id);
	batch_parameters(bulk, batch, &values[EVENT_PARAMETERS]);
	statement_run_in(&count, values, nulls, batch->snapshot);
	return DatumGetInt64(statement_result(0, 1, &isnull));
}

typedef struct BatchLocking
{
	const Bulk *bulk;
	Batch	   *batch;
	ResourceOwner owner;		/* of the batch's snapshot */
} BatchLocking;

/* Lock the rows of a batch and take its snapshot; false: they are not all. */
static bool
try_to_lock_batch(void *arg)
{
	BatchLocking *locking = arg;
	Batch	   *batch = locking->batch;

	lock_rows(locking->bulk, batch);
	if (batch->count == 0)
		return true;
	batch->snapshot = RegisterSnapshotOnOwner(GetTransactionSnapshot(),
											  locking->owner);
	if (count_batch(locking->bulk, batch) == batch->count)
		return true;
	UnregisterSnapshotFromOwner(batch->snapshot, locking->owner);
	return false;
}

/*
 * Lock the rows of the next batch, and take its snapshot; false: there are no
 * more in this class.
 *
 * If some were registered between them while we waited, all the rows of the
 * batch are let go, with the subtransaction that locked them, and locked anew:
 * to lock only the newcomers would be out of order.
 */
static bool
lock_batch(Bulk *bulk, Batch *batch)
{
	BatchLocking locking = {bulk, batch, CurrentResourceOwner};

	batch->last_before = batch->last;
	while (!statements_attempt(try_to_lock_batch, &locking, 0))
		CHECK_FOR_INTERRUPTS();
	bulk->now = GetCurrentTimestamp();
	return batch->count > 0;
}

/*
 * Another holder's lock in the batch that stands?  With `leases`, one whose
 * lease is over does not.
 */
static void
refuse_other_holders(const Bulk *bulk, const Batch *batch, const char *holder,
					 bool leases)
{
	static Statement find_other = {
		"SELECT l.start_at, l.end_at, l.holder, l.since, l.lease_expires_at"
		"  FROM partreg.lock l"
		" WHERE l.source_id = $1 AND l.state = 'locked' AND l.holder <> $7"
		"   AND ($8 IS NULL OR l.lease_expires_at IS NULL OR l.lease_expires_at > $8)"
		"   AND" IS_IN_BATCH(l)
		" ORDER BY l.start_at, l.end_at LIMIT 1",
		EVENT_PARAMETERS + BATCH_PARAMETERS,
		{INT4OID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, NAMEOID, TEXTOID,
		TIMESTAMPTZOID, INT8OID, INT4OID, BATCH_PARAMETER_TYPES}
	};
	Datum		values[EVENT_PARAMETERS + BATCH_PARAMETERS];
	char		nulls[EVENT_PARAMETERS + BATCH_PARAMETERS + 1] = "  nnnn  nn      ";
	LockRow		lock;
	bool		isnull;

	if (bulk->access.by_source_token)
		return;
	values[0] = Int32GetDatum(bulk->access.source_id);
	values[1] = Int32GetDatum(bulk->access.provider_id);
	batch_parameters(bulk, batch, &values[EVENT_PARAMETERS]);
	values[6] = CStringGetTextDatum(holder);
	if (leases)
		values[7] = TimestampTzGetDatum(bulk->now);
	else
		nulls[7] = 'n';
	if (statement_run_in(&find_other, values, nulls, batch->snapshot) == 0)
		return;
	lock.during.start = DatumGetTimestampTz(statement_result(0, 1, &isnull));
	lock.during.end = DatumGetTimestampTz(statement_result(0, 2, &isnull));
	lock.holder = TextDatumGetCString(statement_result(0, 3, &isnull));
	lock.since = DatumGetTimestampTz(statement_result(0, 4, &isnull));
	lock.lease_expires_at = DatumGetTimestampTz(statement_result(0, 5, &isnull));
	lock.has_lease = !isnull;
	raise_held(lock.during, bulk->access.provider_name, &lock);
}

/* Say how many partitions lie only partly within the range. */
static void
warn_of_partial(const Bulk *bulk)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TimeInterval during = bulk->during;
	TimeInterval edges[2] = {
		{during.start, during.start + 1}, {during.end - 1, during.end}
	};
	OverlapScan overlap;
	int64		count = 0;

	overlap_begin(&overlap, PARTITION_BY_KEY, NULL, snapshot);
	for (int i = 0; i < 2; i++)
	{
		overlap_seek(&overlap, bulk->access.provider_id, edges[i]);
		while (overlap_next(&overlap))
		{
			bool		before = overlap.during.start < during.start;
			bool		beyond = overlap.during.end > during.end;

			/* Those that stick out on both sides are met at both edges. */
			count += i == 0 ? before : beyond && !before;
		}
	}
	overlap_end(&overlap);
	UnregisterSnapshot(snapshot);
	if (count > 0)
		ereport(WARNING,
				(errmsg_plural(INT64_FORMAT " partition that overlaps the range without lying within it is left alone",
							   INT64_FORMAT " partitions that overlap the range without lying within it are left alone",
							   count, count)));
}

/* Nothing lay within the range. */
pg_noreturn static void
raise_none_within(const Bulk *bulk)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("no partition of provider \"%s\" lies within the range",
					quotable(bulk->access.provider_name)),
			 errhint("The view partreg.partitions lists the partitions there are.")));
}

/* A window that the partitions of a batch lie within, and not many others */
static TimeInterval
batch_window(const Bulk *bulk, const Batch *batch)
{
	TimeInterval window = {batch->last_before.start, bulk->during.end};
	int64		end;

	if (batch->length_class < 62 &&
		!pg_add_s64_overflow(batch->last.start,
							 INT64CONST(1) << batch->length_class, &end))
		window.end = Min(window.end, end);
	return window;
}

/*
 * Do something to every batch of the provider's partitions that lie within the
 * range; returns how many it changed.
 */
static int64
for_each_batch(Bulk *bulk, const char *event, const char *done,
			   void (*work) (Bulk *bulk, const Batch *batch, void *arg),
			   void *arg)
{
	Batch		batch = {.length_class = -1};
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
												 "partreg batch of partitions",
												 ALLOCSET_DEFAULT_SIZES);
	uint64		found = 0;

	while (next_length_class(bulk, &batch))
	{
		/* Before the first that starts within the range */
		batch.last.start = bulk->during.start;
		batch.last.end = INTERVAL_MIN;
		while (lock_batch(bulk, &batch))
		{
			MemoryContext old = MemoryContextSwitchTo(memory);

			found += batch.count;
			lockrow_refuse_old_snapshot(bulk->access.source_id,
										bulk->access.provider_id,
										batch_window(bulk, &batch));
			work(bulk, &batch, arg);
			UnregisterSnapshot(batch.snapshot);
			MemoryContextSwitchTo(old);
			MemoryContextReset(memory);
			bulk_progress(bulk, done);
		}
	}
	if (found == 0)
		raise_none_within(bulk);
	warn_of_partial(bulk);
	return bulk_end(bulk, event);
}

typedef struct LockWork
{
	const char *holder;
	const char *reason;
	bool		has_lease;
	int64		lease;
} LockWork;

/* $1 to $16 as above, $17 reason, $18 lease_expires_at */
#define LOCK_PARAMETERS	(EVENT_PARAMETERS + BATCH_PARAMETERS + 2)
#define LOCK_PARAMETER_TYPES \
	EVENT_PARAMETER_TYPES, BATCH_PARAMETER_TYPES, TEXTOID, TIMESTAMPTZOID

static void
lock_work(Bulk *bulk, const Batch *batch, void *arg)
{
	/* In this order, so that no statement meets what one before it wrote. */
	static Statement renew = {
		"UPDATE partreg.lock l SET lease_expires_at = $18, reason = coalesce($17, l.reason)"
		" WHERE l.source_id = $1 AND" IS_IN_BATCH(l)
		"   AND l.state = 'locked' AND l.holder = $7",
		LOCK_PARAMETERS, {LOCK_PARAMETER_TYPES}
	};
	static Statement take_over = {
		"WITH changed AS ("
		"    UPDATE partreg.lock l"
		"       SET holder = $7, since = $5, lease_expires_at = $18, reason = $17"
		"     WHERE l.source_id = $1 AND" IS_IN_BATCH(l)
		"       AND l.state = 'locked' AND l.holder <> $7"
		"    RETURNING l.start_at, l.end_at"
		")" LOG_CHANGED("take_over", "$17"),
		LOCK_PARAMETERS, {LOCK_PARAMETER_TYPES}
	};
	static Statement lock_failed = {
		"WITH changed AS ("
		"    UPDATE partreg.lock l"
		"       SET state = 'locked', holder = $7, since = $5, lease_expires_at = $18, reason = $17"
		"     WHERE l.source_id = $1 AND" IS_IN_BATCH(l) " AND l.state = 'failed'"
		"    RETURNING l.start_at, l.end_at"
		")" LOG_CHANGED("lock", "$17"),
		LOCK_PARAMETERS, {LOCK_PARAMETER_TYPES}
	};
	static Statement lock_free = {
		"WITH changed AS ("
		"    INSERT INTO partreg.lock (source_id, length_class, start_at, end_at, provider_id,"
		"        state, since, holder, lease_expires_at, reason)"
		"    SELECT $1, p.length_class, p.start_at, p.end_at, p.provider_id, 'locked', $5, $7, $18, $17"
		"      FROM partreg.partition p WHERE" IS_IN_BATCH(p)
		"    ON CONFLICT DO NOTHING RETURNING start_at, end_at"
		")" LOG_CHANGED("lock", "$17"),
		LOCK_PARAMETERS, {LOCK_PARAMETER_TYPES}
	};
	static Statement *const changes[] = {&take_over, &lock_failed, &lock_free};
	const LockWork *work = arg;
	Datum		values[LOCK_PARAMETERS];
	char		nulls[LOCK_PARAMETERS + 1] = "                  ";

	refuse_other_holders(bulk, batch, work->holder, true);
	event_parameters(bulk, work->holder, values, nulls);
	batch_parameters(bulk, batch, &values[EVENT_PARAMETERS]);
	if (work->reason == NULL)
		nulls[16] = 'n';
	else
		values[16] = CStringGetTextDatum(work->reason);
	if (work->has_lease)
		values[17] = TimestampTzGetDatum(timestamp_after(bulk->now, work->lease));
	else
		nulls[17] = 'n';
	statement_run_in(&renew, values, nulls, batch->snapshot);
	for (int i = 0; i < lengthof(changes); i++)
	{
		statement_run_in(changes[i], values, nulls, batch->snapshot);
		bulk_count(bulk);
		}
}

/*
 * lock_partitions(source_name text, provider_name text, during tstzrange,
 *				   access_token text DEFAULT NULL, holder text DEFAULT NULL,
 *				   lease interval DEFAULT NULL, reason text DEFAULT NULL)
 *		returns bigint: how many are newly yours
 *
 * Errors: 22004, 42501, 42704 (none within), 22023, 55006.
 */
Datum
lock_partitions(PG_FUNCTION_ARGS)
{
	Bulk		bulk;
	LockWork	work = {0};
	int64		changed;

	require_partition_arguments(fcinfo);
	write_begin("lock_partitions()");
	bulk_begin(fcinfo, 3, &bulk);
	work.holder = argument_holder(fcinfo, 4);
	work.reason = argument_reason(fcinfo, 6);
	work.has_lease = !PG_ARGISNULL(5);
	if (work.has_lease)
		work.lease = argument_duration(fcinfo, 5);
	changed = for_each_batch(&bulk, "lock", "locked", lock_work, &work);
	write_end();
	PG_RETURN_INT64(changed);
}

typedef struct UnlockWork
{
	const char *holder;
	IntervalSet never_unlocked; /* coalesced */
	MemoryContext memory;		/* of that */
} UnlockWork;

static void
unlock_work(Bulk *bulk, const Batch *batch, void *arg)
{
	static Statement unlock = {
		"WITH gone AS ("
		"    DELETE FROM partreg.lock l WHERE l.source_id = $1 AND" IS_IN_BATCH(l)
		"    RETURNING l.start_at, l.end_at"
		"), first AS ("
		"    UPDATE partreg.partition p SET first_unlocked_at = $5"
		"     WHERE" IS_IN_BATCH(p) " AND p.first_unlocked_at IS NULL"
		"    RETURNING p.start_at, p.end_at"
		"), changed AS ("
		"    SELECT start_at, end_at FROM first"
		"     UNION"
		"    SELECT start_at, end_at FROM gone"
		")" LOG_CHANGED("unlock", "NULL"),
		EVENT_PARAMETERS + BATCH_PARAMETERS,
		{EVENT_PARAMETER_TYPES, BATCH_PARAMETER_TYPES}
	};
	UnlockWork *work = arg;
	Datum		values[EVENT_PARAMETERS + BATCH_PARAMETERS];
	char		nulls[EVENT_PARAMETERS + BATCH_PARAMETERS + 1] = "                ";
	MemoryContext old;

	refuse_other_holders(bulk, batch, work->holder, false);
	event_parameters(bulk, work->holder, values, nulls);
	batch_parameters(bulk, batch, &values[EVENT_PARAMETERS]);
	statement_run_in(&unlock, values, nulls, batch->snapshot);
	bulk_count(bulk);

	old = MemoryContextSwitchTo(work->memory);
	for (size_t i = 0; i < batch->never_unlocked.count; i++)
		interval_set_add(&work->never_unlocked, batch->never_unlocked.items[i]);
	interval_set_coalesce(&work->never_unlocked);
	MemoryContextSwitchTo(old);
}

/*
 * unlock_partitions(source_name text, provider_name text, during tstzrange,
 *					 access_token text DEFAULT NULL, holder text DEFAULT NULL)
 *		returns bigint: how many changed
 *
 * Errors: 22004, 42501, 42704 (none within), 22023, 55006.
 */
Datum
unlock_partitions(PG_FUNCTION_ARGS)
{
	Bulk		bulk;
	UnlockWork	work = {0};
	MemoryContext spans;
	int64		changed;

	require_partition_arguments(fcinfo);
	write_begin("unlock_partitions()");
	bulk_begin(fcinfo, 3, &bulk);
	work.holder = argument_holder(fcinfo, 4);
	work.memory = CurrentMemoryContext;
	changed = for_each_batch(&bulk, "unlock", "unlocked", unlock_work, &work);
	spans = AllocSetContextCreate(CurrentMemoryContext, "partreg spans",
								  ALLOCSET_DEFAULT_SIZES);
	for (size_t i = 0; i < work.never_unlocked.count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(spans);

		coverage_add(&bulk.access, work.never_unlocked.items[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(spans);
		bulk_progress(&bulk, "unlocked");
	}
	write_end();
	PG_RETURN_INT64(changed);
}
