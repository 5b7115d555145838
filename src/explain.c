/*
 * explain.c
 *		What keeps a range from being ready, piece by piece.
 *
 * Where readiness.c stops at the first thing in the way, this collects all of
 * them: a row for each locked or failed partition; and where something is not
 * available, a row for each partition there that is registered and was never
 * unlocked, or, where there is none, one that says "missing".  Under the rule
 * "all" that is asked for each provider that lacks something; what no provider
 * is asked for and nobody has supplied is explained as under "any".
 *
 * The same snapshot, the same spans and the same lock rows as in readiness.c,
 * so no row comes out if and only if the range is ready.
 */
#include "postgres.h"

#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "coverage.h"
#include "effective.h"
#include "lockrow.h"
#include "source.h"

PG_FUNCTION_INFO_V1(explain_readiness);
PG_FUNCTION_INFO_V1(assert_ready);

/* How many obstacles assert_ready names */
#define DETAIL_LINES	5

typedef struct Obstacle
{
	TimeInterval during;
	const char *state;
	const char *provider_name;	/* NULL: missing, and nobody is asked */
	bool		has_since;
	TimestampTz since;
	const char *holder;			/* NULL: none */
	bool		has_lease;
	TimestampTz lease_expires_at;
	const char *reason;			/* NULL: none */
} Obstacle;

/* A question and what has been found so far */
typedef struct Explanation
{
	Source		source;
	TimeInterval window;
	Snapshot	snapshot;
	List	   *providers;		/* of EffectiveProvider, all of the source */
	LockRow    *locks;			/* in the window, by provider, start, end */
	size_t		n_locks;
	Obstacle   *obstacles;
	size_t		n_obstacles;
	size_t		capacity;
} Explanation;

static void
add_obstacle(Explanation *explanation, const Obstacle *obstacle)
{
	Obstacle   *added;

	if (explanation->n_obstacles == explanation->capacity)
	{
		size_t		capacity = Max(explanation->capacity * 2, 16);
		size_t		size = capacity * sizeof(Obstacle);

		explanation->obstacles = explanation->obstacles == NULL
			? MemoryContextAllocHuge(CurrentMemoryContext, size)
			: repalloc_huge(explanation->obstacles, size);
		explanation->capacity = capacity;
	}
	added = &explanation->obstacles[explanation->n_obstacles++];
	*added = *obstacle;
	added->during.start = Max(added->during.start, explanation->window.start);
	added->during.end = Min(added->during.end, explanation->window.end);
}

static int
compare_int64(int64 a, int64 b)
{
	return a < b ? -1 : a > b;
}

static int
compare_locks(const void *a, const void *b)
{
	const LockRow *x = a;
	const LockRow *y = b;
	int			order = compare_int64(x->provider_id, y->provider_id);

	if (order == 0)
		order = compare_int64(x->during.start, y->during.start);
	if (order == 0)
		order = compare_int64(x->during.end, y->during.end);
	return order;
}

static const char *
provider_name(const Explanation *explanation, int32 provider_id)
{
	ListCell   *cell;

	foreach(cell, explanation->providers)
	{
		EffectiveProvider *provider = lfirst(cell);

		if (provider->provider_id == provider_id)
			return provider->name;
	}
	return NULL;
}

/* Each locked or failed partition */
static void
explain_locks(Explanation *explanation)
{
	OverlapScan overlap;
	size_t		capacity = 16;

	explanation->locks = palloc(capacity * sizeof(LockRow));
	overlap_begin(&overlap, LOCK_BY_KEY, NULL, explanation->snapshot);
	overlap_seek(&overlap, explanation->source.id, explanation->window);
	while (overlap_next(&overlap))
	{
		LockRow    *lock;

		if (explanation->n_locks == capacity)
		{
			capacity *= 2;
			explanation->locks = repalloc_huge(explanation->locks,
											   capacity * sizeof(LockRow));
		}
		lock = &explanation->locks[explanation->n_locks++];
		lockrow_read(&overlap.scan, lock);
		add_obstacle(explanation, &(Obstacle) {
			.during = lock->during,
			.state = lock->failed ? "failed" : "locked",
			.provider_name = provider_name(explanation, lock->provider_id),
			.has_since = true, .since = lock->since,
			.holder = lock->holder,
			.has_lease = lock->has_lease,
			.lease_expires_at = lock->lease_expires_at,
			.reason = lock->reason
		});
	}
	overlap_end(&overlap);
	qsort(explanation->locks, explanation->n_locks, sizeof(LockRow),
		  compare_locks);
}

/*
 * Add what is registered of a provider in some gaps, and remember where that
 * is.
 */
static void
explain_registered(Explanation *explanation, OverlapScan *overlap,
				   const EffectiveProvider *provider, const IntervalSet *gaps,
				   IntervalSet *registered)
{
	for (size_t i = 0; i < gaps->count; i++)
	{
		TimeInterval gap = gaps->items[i];

		overlap_seek(overlap, provider->provider_id, gap);
		while (overlap_next(overlap))
		{
			LockRow		key = {
				.provider_id = provider->provider_id, .during = overlap->during
			};
			TimeInterval piece = {
				Max(overlap->during.start, gap.start),
				Min(overlap->during.end, gap.end)
			};
			TimestampTz since;

			if (bsearch(&key, explanation->locks, explanation->n_locks,
						sizeof(LockRow), compare_locks) != NULL)
				continue;

			(void) catalog_row_time(&overlap->scan, Anum_partition_registered_at,
									&since);
			interval_set_add(registered, piece);
			add_obstacle(explanation, &(Obstacle) {
				.during = piece, .state = "registered",
				.provider_name = provider->name,
				.has_since = true, .since = since
			});
		}
	}
}

/*
 * Explain gaps: by what one provider has registered there, or, with none
 * given, by what anybody has; and the rest as missing.
 */
static void
explain_gaps(Explanation *explanation, const EffectiveProvider *provider,
			 const IntervalSet *gaps)
{
	OverlapScan overlap;
	IntervalSet registered = {0};
	IntervalSet missing = {0};
	ListCell   *cell;

	if (gaps->count == 0)
		return;

	overlap_begin(&overlap, PENDING_BY_KEY, NULL, explanation->snapshot);
	if (provider != NULL)
		explain_registered(explanation, &overlap, provider, gaps, &registered);
	else
		foreach(cell, explanation->providers)
			explain_registered(explanation, &overlap, lfirst(cell), gaps,
							   &registered);
	overlap_end(&overlap);

	interval_set_coalesce(&registered);
	interval_set_subtract(gaps, &registered, &missing);
	for (size_t i = 0; i < missing.count; i++)
		add_obstacle(explanation, &(Obstacle) {
			.during = missing.items[i], .state = "missing",
			.provider_name = provider == NULL ? NULL : provider->name
		});
}

/* What of a window is not in the spans of a provider (0: of any)? */
static void
find_gaps(CoverageScan *coverage, int32 provider_id, TimeInterval window,
		  IntervalSet *gaps)
{
	IntervalSet spans = {0};

	coverage_collect(coverage, provider_id, window, &spans);
	interval_set_coalesce(&spans);
	interval_set_gaps(&spans, window, gaps);
}

/* Whatever is not available */
static void
explain_unavailable(Explanation *explanation)
{
	CoverageScan coverage;
	IntervalSet lacking = {0};	/* by a provider that is asked */
	IntervalSet nobody = {0};	/* has supplied it */
	IntervalSet rest = {0};

	coverage_begin(&coverage, explanation->source.id, explanation->snapshot);
	if (explanation->source.needs_all)
	{
		ListCell   *cell;

		foreach(cell, explanation->providers)
		{
			EffectiveProvider *provider = lfirst(cell);
			IntervalSet gaps = {0};

			if (!provider->is_asked)
				continue;
			find_gaps(&coverage, provider->provider_id, provider->asked, &gaps);
			explain_gaps(explanation, provider, &gaps);
			for (size_t i = 0; i < gaps.count; i++)
				interval_set_add(&lacking, gaps.items[i]);
		}
		interval_set_coalesce(&lacking);
	}
	find_gaps(&coverage, 0, explanation->window, &nobody);
	coverage_end(&coverage);

	interval_set_subtract(&nobody, &lacking, &rest);
	explain_gaps(explanation, NULL, &rest);
}

/* NULL comes last, as in SQL. */
static int
compare_strings(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a == NULL) - (b == NULL);
	return strcmp(a, b);
}

/* All that tells two obstacles apart but the time that they are about */
static int
compare_kinds(const Obstacle *x, const Obstacle *y)
{
	int			order = compare_strings(x->provider_name, y->provider_name);

	if (order == 0)
		order = compare_strings(x->state, y->state);
	if (order == 0)
		order = compare_int64(x->has_since, y->has_since);
	if (order == 0)
		order = compare_int64(x->since, y->since);
	if (order == 0)
		order = compare_strings(x->holder, y->holder);
	if (order == 0)
		order = compare_int64(x->has_lease, y->has_lease);
	if (order == 0)
		order = compare_int64(x->lease_expires_at, y->lease_expires_at);
	if (order == 0)
		order = compare_strings(x->reason, y->reason);
	return order;
}

static int
compare_times(const Obstacle *x, const Obstacle *y)
{
	int			order = compare_int64(x->during.start, y->during.start);

	if (order == 0)
		order = compare_int64(x->during.end, y->during.end);
	return order;
}

static int
by_kind(const void *a, const void *b)
{
	int			order = compare_kinds(a, b);

	return order != 0 ? order : compare_times(a, b);
}

static int
by_time(const void *a, const void *b)
{
	int			order = compare_times(a, b);

	return order != 0 ? order : compare_kinds(a, b);
}

/* Make one of neighbours that are alike, and sort. */
static void
merge_neighbours(Explanation *explanation)
{
	Obstacle   *obstacles = explanation->obstacles;
	size_t		last = 0;

	if (explanation->n_obstacles < 2)
		return;
	qsort(obstacles, explanation->n_obstacles, sizeof(Obstacle), by_kind);
	for (size_t i = 1; i < explanation->n_obstacles; i++)
	{
		if (obstacles[i].during.start == obstacles[last].during.end &&
			compare_kinds(&obstacles[i], &obstacles[last]) == 0)
			obstacles[last].during.end = obstacles[i].during.end;
		else
			obstacles[++last] = obstacles[i];
	}
	explanation->n_obstacles = last + 1;
	qsort(obstacles, explanation->n_obstacles, sizeof(Obstacle), by_time);
}

/* Why is a window not ready? */
static void
explain(const char *name, TimeInterval window, Explanation *explanation)
{
	memset(explanation, 0, sizeof(*explanation));
	explanation->window = window;
	explanation->snapshot = GetActiveSnapshot();
	explanation->source = source_find(name, explanation->snapshot);
	explanation->providers = effective_providers(explanation->source.id,
												 window, true,
												 explanation->snapshot);
	explain_locks(explanation);
	explain_unavailable(explanation);
	merge_neighbours(explanation);
}

/*
 * explain_readiness(source_name text, during tstzrange)
 *		returns SETOF obstacle
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
explain_readiness(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Explanation explanation;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	InitMaterializedSRF(fcinfo, 0);
	explain(name, check_interval(range), &explanation);

	for (size_t i = 0; i < explanation.n_obstacles; i++)
	{
		const Obstacle *obstacle = &explanation.obstacles[i];
		Datum		values[7] = {0};
		bool		nulls[7] = {false};

		values[0] = interval_to_range(obstacle->during);
		values[1] = CStringGetTextDatum(obstacle->state);
		nulls[2] = obstacle->provider_name == NULL;
		if (!nulls[2])
			values[2] = CStringGetTextDatum(obstacle->provider_name);
		nulls[3] = !obstacle->has_since;
		values[3] = TimestampTzGetDatum(obstacle->since);
		nulls[4] = obstacle->holder == NULL;
		if (!nulls[4])
			values[4] = CStringGetTextDatum(obstacle->holder);
		nulls[5] = !obstacle->has_lease;
		values[5] = TimestampTzGetDatum(obstacle->lease_expires_at);
		nulls[6] = obstacle->reason == NULL;
		if (!nulls[6])
			values[6] = CStringGetTextDatum(obstacle->reason);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * A reason may have any characters; in a line of a message, those that control
 * a terminal or begin another line are spaces.
 */
static const char *
one_line(const char *reason)
{
	char	   *line = pstrdup(reason);

	for (char *at = line; *at != '\0'; at++)
		memset(at, ' ', control_character(at));
	return line;
}

/* One obstacle as a line for people */
static void
append_obstacle(StringInfo line, const Obstacle *obstacle)
{
	appendStringInfo(line, "%s in [%s, ", obstacle->state,
					 timestamptz_to_str(obstacle->during.start));
	appendStringInfo(line, "%s)", timestamptz_to_str(obstacle->during.end));
	if (obstacle->provider_name != NULL)
		appendStringInfo(line, ", provider \"%s\"",
						 quotable(obstacle->provider_name));
	if (obstacle->holder != NULL)
		appendStringInfo(line, ", holder \"%s\"", quotable(obstacle->holder));
	if (obstacle->has_since)
		appendStringInfo(line, ", since %s",
						 timestamptz_to_str(obstacle->since));
	if (obstacle->has_lease)
		appendStringInfo(line, ", lease until %s",
						 timestamptz_to_str(obstacle->lease_expires_at));
	if (obstacle->reason != NULL)
		appendStringInfo(line, ", reason: %s",
						 one_line(obstacle->reason));
}

/*
 * assert_ready(source_name text, during tstzrange)
 *		returns boolean: true, or an error
 *
 * Errors: 22004, 22023, 42704, 55000 (not ready).
 */
Datum
assert_ready(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Explanation explanation;
	StringInfoData detail;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	explain(name, check_interval(range), &explanation);
	if (explanation.n_obstacles == 0)
		PG_RETURN_BOOL(true);

	initStringInfo(&detail);
	for (size_t i = 0; i < Min(explanation.n_obstacles, DETAIL_LINES); i++)
	{
		if (i > 0)
			appendStringInfoChar(&detail, '\n');
		append_obstacle(&detail, &explanation.obstacles[i]);
	}
	if (explanation.n_obstacles > DETAIL_LINES)
		appendStringInfo(&detail, "\nand %zu more",
						 explanation.n_obstacles - DETAIL_LINES);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("source \"%s\" is not ready",
					quotable(name)),
			 errdetail_internal("%s", detail.data),
			 errhint("explain_readiness() lists all that is in the way.")));
}
