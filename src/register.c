/*
 * register.c
 *		Registering partitions.
 *
 * A registered partition is a row in partreg.pending.  A partition that has
 * been unlocked is in partreg.partition instead.  So a registration looks
 * there too: before the row is inserted, and once more after it.  The
 * insertion may have waited for a transaction that moved the partition from
 * one table to the other; then the row is removed again.
 *
 * Many are registered in batches: all of a batch is inserted as if it were new,
 * in a subtransaction, and only where that fails with the tables' own check.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "bulk.h"
#include "calendar.h"
#include "compat.h"
#include "condition.h"
#include "history.h"
#include "partition.h"
#include "row.h"
#include "snapshot.h"
#include "statement.h"
#include "write.h"

PG_FUNCTION_INFO_V1(register_partition);
PG_FUNCTION_INFO_V1(register_partitions);

/* One partition */

typedef struct KnownKey
{
	int32		provider_id;
	TimeInterval during;
} KnownKey;

static uint64
sum_supplied(Snapshot snapshot, const void *arg)
{
	const KnownKey *key = arg;
	CatalogScan scan;
	uint64		sum = 0;

	catalog_begin(&scan, PARTITION_BY_KEY, snapshot);
	catalog_seek_partition(&scan, key->provider_id, key->during);
	if (catalog_next_row(&scan, ForwardScanDirection))
		sum = snapshot_sum(0, &scan.slot->tts_tid);
	catalog_end(&scan);
	return sum;
}

/* Has a partition been unlocked, by what is committed now? */
static bool
is_supplied(int32 provider_id, TimeInterval during)
{
	KnownKey	key = {provider_id, during};
	Snapshot	snapshot = latest_snapshot();
	bool		supplied = sum_supplied(snapshot, &key) != 0;

	UnregisterSnapshot(snapshot);
	snapshot_compare(sum_supplied, &key);
	return supplied;
}

static void
param_key(Parameters *parameters, int32 provider_id, TimeInterval during)
{
	param_int4(parameters, provider_id);
	param_datum(parameters, INT2OID, Int16GetDatum(length_class(during)));
	param_time(parameters, during.start);
	param_time(parameters, during.end);
}

/* Take back the registration of a partition that was in the other table. */
static void
take_back(int32 provider_id, TimeInterval during)
{
	static Statement delete = {
		"DELETE FROM partreg.pending"
		" WHERE provider_id = $1 AND length_class = $2 AND start_at = $3 AND end_at = $4"
	};
	Parameters	key = {0};

	param_key(&key, provider_id, during);
	statement_run(&delete, &key);
}

/*
 * Register a partition; false: it is known.  Waits for an open transaction that
 * is registering it, or is unlocking it for the first time; after the latter it
 * is in the other table, hence the second look.
 */
bool
partition_register(const Access *access, TimeInterval during, TimestampTz now)
{
	static Statement insert = {
		"INSERT INTO partreg.pending (provider_id, length_class, start_at, end_at, registered_at)"
		" VALUES ($1, $2, $3, $4, $5)"
		" ON CONFLICT (provider_id, length_class, start_at, end_at) DO NOTHING"
	};
	Parameters	row = {0};

	if (is_supplied(access->provider_id, during))
		return false;
	param_key(&row, access->provider_id, during);
	param_time(&row, now);
	if (statement_run(&insert, &row) == 0)
		return false;
	if (!is_supplied(access->provider_id, during))
		return true;
	take_back(access->provider_id, during);
	return false;
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
	PartitionCall call;
	bool		if_not_exists;
	Access		access;
	TimeInterval during;
	Event		event = {
		.event = "register_partition",
		.state_before = STATE_ABSENT
	};
	bool		is_new;

	partition_read_call(fcinfo, 3, -1, &call);
	if_not_exists = argument_flag(fcinfo, 4);

	write_begin("register_partition()");
	access_provider(call.source_name, call.provider_name, call.token,
					ACCESS_WRITE, &access);
	during = check_interval(call.range);
	event.access = &access;
	event.during = &during;
	event.at = GetCurrentTimestamp();
	is_new = partition_register(&access, during, event.at);
	if (is_new)
		history_record(&event);
	else if (!if_not_exists)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errcondition("already_exists"),
				 errmsg("partition %s of provider \"%s\" already exists",
						show_interval(during), quotable(access.provider_name)),
				 errhint("With if_not_exists => true this is no error.")));
	write_end();
	PG_RETURN_BOOL(is_new);
}

/* Many partitions */

/* Has the provider unlocked anything there? */
static bool
overlaps_supplied(const Bulk *bulk, TimeInterval window)
{
	Snapshot	snapshot = latest_snapshot();
	OverlapScan overlap;
	bool		found;

	overlap_begin(&overlap, PARTITION_BY_KEY, NULL, snapshot);
	overlap_seek(&overlap, bulk->access.provider_id, window);
	found = overlap_next(&overlap);
	overlap_end(&overlap);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Leave out of some steps those that have been unlocked; with `inserted`, they
 * were inserted in vain, as somebody moved them to the other table meanwhile.
 */
static void
leave_out_supplied(const Bulk *bulk, IntervalSet *steps, bool inserted)
{
	TimeInterval window;
	size_t		kept = 0;

	if (steps->count == 0)
		return;
	window.start = steps->items[0].start;
	window.end = steps->items[steps->count - 1].end;
	if (!overlaps_supplied(bulk, window))
		return;
	for (size_t i = 0; i < steps->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_supplied(bulk->access.provider_id, steps->items[i]))
			steps->items[kept++] = steps->items[i];
		else if (inserted)
			take_back(bulk->access.provider_id, steps->items[i]);
	}
	steps->count = kept;
}

static void
fill_pending(void *arg, size_t n, Datum *values, bool *nulls)
{
	const Bulk *bulk = ((void **) arg)[0];
	const IntervalSet *steps = ((void **) arg)[1];
	TimeInterval step = steps->items[n];

	memset(nulls, false, Natts_pending * sizeof(bool));
	values[Anum_partition_provider_id - 1] =
		Int32GetDatum(bulk->access.provider_id);
	values[Anum_partition_length_class - 1] = Int16GetDatum(length_class(step));
	values[Anum_partition_start_at - 1] = TimestampTzGetDatum(step.start);
	values[Anum_partition_end_at - 1] = TimestampTzGetDatum(step.end);
	values[Anum_partition_registered_at - 1] =
		TimestampTzGetDatum(bulk->claim.now);
}

/* Insert a batch as if all of it were new; arg: the bulk and the steps. */
static void
insert_new(void *arg)
{
	const IntervalSet *steps = ((void **) arg)[1];

	row_insert_many(PENDING_BY_KEY, steps->count, fill_pending, arg);
}

/*
 * Insert those that are new; the others are left out of `steps`.  ON CONFLICT
 * takes several times as long, so that is left for those batches that need it.
 */
static void
insert_steps(Bulk *bulk, IntervalSet *steps)
{
	static Statement insert_missing = {
		"INSERT INTO partreg.pending (provider_id, length_class, start_at, end_at, registered_at)"
		" SELECT $1, b.length_class, b.start_at, b.end_at, $2"
		"   FROM unnest($3, $4, $5) AS b (length_class, start_at, end_at)"
		" ON CONFLICT (provider_id, length_class, start_at, end_at) DO NOTHING"
		" RETURNING start_at, end_at"
	};
	void	   *arg[2] = {bulk, steps};
	Parameters	parameters = {0};
	Datum	   *classes;
	Datum	   *starts;
	Datum	   *ends;
	int			count = (int) steps->count;

	if (count == 0 ||
		statements_attempt(insert_new, arg, ERRCODE_UNIQUE_VIOLATION))
		return;

	classes = palloc(count * sizeof(Datum));
	starts = palloc(count * sizeof(Datum));
	ends = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
	{
		classes[i] = Int16GetDatum(length_class(steps->items[i]));
		starts[i] = TimestampTzGetDatum(steps->items[i].start);
		ends[i] = TimestampTzGetDatum(steps->items[i].end);
	}
	param_int4(&parameters, bulk->access.provider_id);
	param_time(&parameters, bulk->claim.now);
	param_int2_array(&parameters, classes, count);
	param_time_array(&parameters, starts, count);
	param_time_array(&parameters, ends, count);
	steps->count = statement_run(&insert_missing, &parameters);
	for (uint64 i = 0; i < steps->count; i++)
		steps->items[i] = result_interval(i, 1);
}

/*
 * register_partitions(source_name text, provider_name text, during tstzrange,
 *					   step interval, access_token text DEFAULT NULL,
 *					   time_zone text DEFAULT 'UTC')
 *		returns bigint: how many are new
 *
 * Errors: 22004, 42501, 42704, 22023 (also: not a whole number of steps, or too
 * many).
 */
Datum
register_partitions(PG_FUNCTION_ARGS)
{
	PartitionCall call;
	Interval   *step;
	char	   *time_zone;
	Bulk		bulk;
	Calendar	calendar;
	CalendarWalk walk;
	MemoryContext memory;
	StateBefore *states;
	bool		more = true;

	partition_read_call(fcinfo, 4, -1, &call);
	argument_require(fcinfo, 3);
	step = argument_interval(fcinfo, 3);
	time_zone = argument_text(fcinfo, 5);

	write_begin("register_partitions()");
	bulk_begin(&call, ACCESS_WRITE, "registered", &bulk);
	bulk.during = check_interval(call.range);
	calendar_init(&calendar, step, time_zone, bulk.during.start);
	(void) calendar_steps(&calendar, bulk.during.end);
	calendar_walk_begin(&walk, &calendar);
	/* One time for all, so that they are alike in explain_readiness(). */
	bulk.claim.now = GetCurrentTimestamp();

	states = palloc(BATCH_SIZE * sizeof(StateBefore));
	for (int i = 0; i < BATCH_SIZE; i++)
		states[i] = STATE_ABSENT;
	memory = AllocSetContextCreate(CurrentMemoryContext,
								   "partreg batch of partitions",
								   ALLOCSET_DEFAULT_SIZES);
	while (more)
	{
		MemoryContext old = MemoryContextSwitchTo(memory);
		IntervalSet steps = {0};
		TimeInterval next;

		while (steps.count < BATCH_SIZE &&
			   (more = calendar_walk_next(&walk, bulk.during.end, &next)))
			interval_set_add(&steps, next);
		leave_out_supplied(&bulk, &steps, false);
		insert_steps(&bulk, &steps);
		leave_out_supplied(&bulk, &steps, true);
		bulk_record(&bulk, "register_partition", NULL, NULL, NULL, &steps,
					states);
		MemoryContextSwitchTo(old);
		MemoryContextReset(memory);
		bulk_progress(&bulk);
	}
	bulk_notify(&bulk, "register_partition");
	write_end();
	PG_RETURN_INT64(bulk.changed);
}
