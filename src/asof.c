/*
 * asof.c
 *		What was ready at an earlier instant, and since when is it?
 *
 * History is undone, from now back to the instant.  Each event of a partition
 * keeps the state that the partition had before the event.  So at an instant T
 * a partition was in the state that its first event after T keeps, or, if
 * there is no such event, in its present state.  A change of a rule or an
 * effective range also keeps the value before it.  Nothing from before T is
 * needed: purging older events changes no answer about T.
 *
 * What one provider had made available at T is found so: take its present
 * spans; remove the partitions that were not unlocked at T; add the partitions
 * that were unlocked at T, whether they exist now or not; and add again what
 * was removed although another partition, about which nothing has happened
 * since T, supplies it now as it did then.
 *
 * event.c says when an event happened, and so what "after T" means.  Ids order
 * the events of one partition, whatever the clock did.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "condition.h"
#include "coverage.h"
#include "effective.h"
#include "event.h"
#include "identity.h"
#include "readiness.h"
#include "source.h"

PG_FUNCTION_INFO_V1(readiness_as_of);
PG_FUNCTION_INFO_V1(ready_since);

/* A provider as it was */
typedef struct PastProvider
{
	int32		id;
	bool		is_asked;		/* under rule "all", for anything */
	TimeInterval asked;
	int64		undone;			/* the event that says so; 0: it is so now */

	/*
	 * The partitions about which something has happened since: those that
	 * were not unlocked then, and those that were.  In the order of class,
	 * start and end.
	 */
	IntervalSet lacking;
	IntervalSet supplied;

	/* Its first event about the interval that is being read; 0: none yet */
	int64		first_event;
	StateBefore state;
} PastProvider;

/* A source as it was at an instant */
typedef struct Past
{
	const Source *source;
	Snapshot	snapshot;
	EventClock *clock;
	TimestampTz as_of;
	TimeInterval window;
	bool		needs_all;
	PastProvider *providers;	/* in the order of their ids */
	int			n_providers;
	PastProvider **touched;		/* those that have a first event */
	int			n_touched;
} Past;

static bool
is_after(Past *past, CatalogScan *scan)
{
	return event_time(past->clock, scan) > past->as_of;
}

static PastProvider *
find_provider(Past *past, int32 id)
{
	int			low = 0;
	int			high = past->n_providers;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (past->providers[middle].id == id)
			return &past->providers[middle];
		if (past->providers[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("history mentions provider %d, which does not exist", id),
			 errhint("Run partreg.verify().")));
}

/* The providers as they are now */
static void
read_providers(Past *past)
{
	static const TimeInterval always = {INTERVAL_MIN, INTERVAL_MAX};
	List	   *providers = effective_providers(past->source->id, always, true,
												past->snapshot);
	ListCell   *cell;

	past->providers = palloc_extended(Max(list_length(providers), 1) * sizeof(PastProvider),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	past->touched = palloc_extended(Max(list_length(providers), 1) * sizeof(PastProvider *),
									MCXT_ALLOC_HUGE);
	foreach(cell, providers)
	{
		EffectiveProvider *now = lfirst(cell);
		PastProvider *provider = &past->providers[past->n_providers++];

		provider->id = now->provider_id;
		provider->is_asked = now->is_asked;
		provider->asked = now->asked;
	}
}

/*
 * Undo the event of a provider under a scan, if it changed what the provider is
 * asked for.
 */
static void
undo_effective(Past *past, CatalogScan *scan)
{
	int64		id = catalog_row_int64(scan, Anum_event_id);
	char	   *before = event_change(scan, "effective");
	PastProvider *provider;

	if (before == NULL && !event_is(scan, "register_provider"))
		return;
	provider = find_provider(past, catalog_row_int32(scan,
													 Anum_event_provider_id));
	if (provider->undone != 0 && provider->undone < id)
		return;
	provider->undone = id;
	provider->is_asked = before != NULL &&
		effective_parse(before, &provider->asked);
}

/* The rule, and what was asked of each provider */
static void
read_rules(Past *past)
{
	CatalogScan scan;
	int64		undone = 0;

	past->needs_all = past->source->needs_all;
	catalog_begin(&scan, EVENT_BY_DURING, past->snapshot);
	catalog_seek_events_of_source(&scan, past->source->id);
	while (catalog_next_row(&scan, ForwardScanDirection))
	{
		char	   *rule;

		if (!is_after(past, &scan))
			continue;
		rule = event_change(&scan, "rule");
		if (rule == NULL)
			undo_effective(past, &scan);
		else if (undone == 0 ||
				 catalog_row_int64(&scan, Anum_event_id) < undone)
		{
			undone = catalog_row_int64(&scan, Anum_event_id);
			past->needs_all = strcmp(rule, "all") == 0;
		}
	}
	catalog_end(&scan);
}

pg_noreturn static void
raise_history_gone(TimestampTz since)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errcondition("history_gone"),
			 errmsg("history does not reach back to that instant"),
			 TIMESTAMP_NOT_FINITE(since) ? 0
			 : errdetail("It begins at %s.", timestamptz_to_str(since)),
			 errhint("Ask about a later instant. Earlier events were purged, or written by a version that did not record enough.")));
}

/*
 * File what the partitions of one interval were, of each provider that something
 * has happened to there.  False: one was locked or failed.
 */
static bool
file_states(Past *past, TimeInterval during)
{
	while (past->n_touched > 0)
	{
		PastProvider *provider = past->touched[--past->n_touched];

		provider->first_event = 0;
		switch (provider->state)
		{
			case STATE_ABSENT:
			case STATE_REGISTERED:
				interval_set_add(&provider->lacking, during);
				break;
			case STATE_UNLOCKED:
				interval_set_add(&provider->supplied, during);
				break;
			default:
				return false;
		}
	}
	return true;
}

/*
 * Read what has happened since to partitions that overlap the window; false: one
 * of them was locked or failed.  The index brings all events of one interval
 * together.
 */
static bool
read_partitions(Past *past)
{
	OverlapScan overlap;
	TimeInterval during = {0, 0};	/* of the events just read; empty: none */
	bool		blocked = false;

	overlap_begin(&overlap, EVENT_BY_DURING, NULL, past->snapshot);
	overlap_seek(&overlap, past->source->id, past->window);
	while (!blocked && overlap_next(&overlap))
	{
		CatalogScan *scan = &overlap.scan;
		PastProvider *provider;
		int64		id;

		if (!is_after(past, scan))
			continue;
		if (overlap.during.start != during.start ||
			overlap.during.end != during.end)
		{
			blocked = !file_states(past, during);
			during = overlap.during;
		}
		id = catalog_row_int64(scan, Anum_event_id);
		provider = find_provider(past, catalog_row_int32(scan,
														 Anum_event_provider_id));
		if (provider->first_event == 0)
			past->touched[past->n_touched++] = provider;
		else if (provider->first_event < id)
			continue;
		provider->first_event = id;
		provider->state = event_state_before(scan);
		if (provider->state == STATE_NOT_REMEMBERED)
			raise_history_gone(DT_NOBEGIN);
	}
	overlap_end(&overlap);
	return !blocked && file_states(past, during);
}

/* In the order of class, start and end */
static int
compare_partitions(TimeInterval a, TimeInterval b)
{
	int			order = length_class(a) - length_class(b);

	if (order == 0)
		order = (a.start > b.start) - (a.start < b.start);
	return order != 0 ? order : (a.end > b.end) - (a.end < b.end);
}

/* Is a partition among those of a set? */
static bool
is_member(const IntervalSet *set, TimeInterval during)
{
	size_t		low = 0;
	size_t		high = set->count;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;
		int			order = compare_partitions(set->items[middle], during);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Is anything locked or failed now about which nothing has happened since? */
static bool
is_blocked_still(Past *past)
{
	OverlapScan overlap;
	bool		blocked = false;

	overlap_begin(&overlap, LOCK_BY_KEY, source_lock_classes(past->source),
				  past->snapshot);
	overlap_seek(&overlap, past->source->id, past->window);
	while (!blocked && overlap_next(&overlap))
	{
		PastProvider *provider;

		provider = find_provider(past, catalog_row_int32(&overlap.scan,
														 Anum_lock_provider_id));
		blocked = !is_member(&provider->lacking, overlap.during) &&
			!is_member(&provider->supplied, overlap.during);
	}
	overlap_end(&overlap);
	return blocked;
}

/*
 * Add what other partitions of a provider supplied, of what was taken away with
 * those that were not unlocked.
 */
static void
supply_gaps(Past *past, const PastProvider *provider, const IntervalSet *gaps,
			IntervalSet *supplied)
{
	OverlapScan overlap;

	overlap_begin(&overlap, PARTITION_BY_KEY, NULL, past->snapshot);
	for (size_t i = 0; i < gaps->count; i++)
	{
		overlap_seek(&overlap, provider->id, gaps->items[i]);
		while (overlap_next(&overlap))
		{
			if (!is_member(&provider->lacking, overlap.during))
				interval_set_merge(supplied, overlap.during);
		}
	}
	overlap_end(&overlap);
}

/* What a provider had made available of the window, coalesced */
static void
find_supplied(Past *past, CoverageScan *coverage, const PastProvider *provider,
			  IntervalSet *supplied)
{
	IntervalSet spans = {0};
	IntervalSet lacking = {0};
	IntervalSet gaps = {0};

	coverage_collect(coverage, provider->id, past->window, &spans);
	interval_set_coalesce(&spans);
	for (size_t i = 0; i < provider->lacking.count; i++)
		interval_set_merge(&lacking, provider->lacking.items[i]);
	interval_set_coalesce(&lacking);
	interval_set_subtract(&spans, &lacking, supplied);
	interval_set_intersect(&spans, &lacking, &gaps);
	supply_gaps(past, provider, &gaps, supplied);
	for (size_t i = 0; i < provider->supplied.count; i++)
		interval_set_merge(supplied, provider->supplied.items[i]);
	interval_set_coalesce(supplied);
	interval_set_free(&spans);
	interval_set_free(&lacking);
	interval_set_free(&gaps);
}

/* Was every instant of the window available? */
static bool
was_available(Past *past)
{
	IntervalSet anybody = {0};
	CoverageScan coverage;
	bool		available = true;

	coverage_begin(&coverage, past->source->id, past->snapshot);
	for (int i = 0; i < past->n_providers && available; i++)
	{
		const PastProvider *provider = &past->providers[i];
		IntervalSet supplied = {0};

		find_supplied(past, &coverage, provider, &supplied);
		for (size_t j = 0; j < supplied.count; j++)
			interval_set_merge(&anybody, supplied.items[j]);
		if (past->needs_all && provider->is_asked &&
			interval_overlaps(provider->asked, past->window))
		{
			TimeInterval asked = {
				Max(provider->asked.start, past->window.start),
				Min(provider->asked.end, past->window.end)
			};

			available = interval_set_holds(&supplied, asked);
		}
		interval_set_free(&supplied);
	}
	coverage_end(&coverage);
	interval_set_coalesce(&anybody);
	return available && interval_set_holds(&anybody, past->window);
}

/* Was a window of a source ready at an instant that history reaches back to? */
static bool
was_ready(const Source *source, TimeInterval window, TimestampTz as_of,
		  EventClock *clock, Snapshot snapshot)
{
	MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
												 "partreg past",
												 ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(memory);
	Past		past = {
		.source = source,
		.snapshot = snapshot,
		.clock = clock,
		.as_of = as_of,
		.window = window
	};
	bool		ready;

	read_providers(&past);
	read_rules(&past);
	ready = read_partitions(&past) && !is_blocked_still(&past) &&
		was_available(&past);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(memory);
	return ready;
}

/*
 * readiness_as_of(source_name text, during tstzrange, as_of timestamptz)
 *		returns boolean, never NULL: was it ready at that instant?
 *
 * An event counts from the commit of its transaction on where the server knows
 * that time, and else from the moment of the call.
 *
 * Errors: 22004, 22023 (also: in the future), 42704, 55000 (before what history
 * keeps).
 */
Datum
readiness_as_of(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	EventClock	clock = {0};
	TimeInterval window;
	TimestampTz as_of;
	Identity	registry;
	Source		source;

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	window = check_interval(range);
	as_of = PG_GETARG_TIMESTAMPTZ(2);
	if (as_of > GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" is in the future", "as_of"),
				 errhint("Use partreg.check_readiness() to ask what is ready now.")));
	source = source_find(name, snapshot);
	identity_read(snapshot, &registry);
	if (as_of < registry.history_since)
		raise_history_gone(registry.history_since);
	PG_RETURN_BOOL(was_ready(&source, window, as_of, &clock, snapshot));
}

/* Since when */

/* When something may have become available that was not, and where */
typedef struct Candidate
{
	TimestampTz time;
	TimeInterval during;
} Candidate;

typedef struct Candidates
{
	Candidate  *items;
	size_t		count;
	size_t		capacity;
	TimestampTz blocked_until;	/* when the last lock or failure ended */
} Candidates;

/* An event of a partition of the interval that is being read */
typedef struct Moment
{
	int32		provider_id;
	TimestampTz time;
	int64		id;
	StateBefore state;
} Moment;

typedef struct Moments
{
	Moment	   *items;
	size_t		count;
	size_t		capacity;
} Moments;

/* The latest first; there may be as many as there are partitions. */
#define ST_SORT sort_by_time
#define ST_ELEMENT_TYPE Candidate
#define ST_COMPARE(a, b) (((b)->time > (a)->time) - ((b)->time < (a)->time))
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

static void
add_candidate(Candidates *candidates, TimestampTz time, TimeInterval during)
{
	if (candidates->count == candidates->capacity)
	{
		candidates->capacity = Max(candidates->capacity * 2, 16);
		candidates->items = candidates->items == NULL
			? palloc(candidates->capacity * sizeof(Candidate))
			: repalloc_huge(candidates->items,
							candidates->capacity * sizeof(Candidate));
	}
	candidates->items[candidates->count].time = time;
	candidates->items[candidates->count++].during = during;
}

/* Is a state one that blocks? */
static bool
blocks(StateBefore state)
{
	return state == STATE_LOCKED_AT_FIRST || state == STATE_FAILED_AT_FIRST ||
		state == STATE_LOCKED || state == STATE_FAILED;
}

static void
add_moment(Moments *moments, const Moment *moment)
{
	if (moments->count == moments->capacity)
	{
		moments->capacity = Max(moments->capacity * 2, 16);
		moments->items = moments->items == NULL
			? palloc(moments->capacity * sizeof(Moment))
			: repalloc_huge(moments->items,
							moments->capacity * sizeof(Moment));
	}
	moments->items[moments->count++] = *moment;
}

/* By provider, the latest first */
static int
compare_moments(const void *a, const void *b)
{
	const Moment *x = a;
	const Moment *y = b;

	if (x->provider_id != y->provider_id)
		return x->provider_id < y->provider_id ? -1 : 1;
	return (y->time > x->time) - (y->time < x->time);
}

/*
 * File what the events of one interval, cut at the window, say: when each of its
 * partitions ceased to be locked or failed, and when it became unlocked.
 *
 * Right before an instant a partition was what the first of its events from that
 * instant on says.  Events of one transaction may happen at one instant, so what
 * was locked and unlocked in it was never locked.
 */
static void
file_moments(Moments *moments, TimeInterval piece, Candidates *candidates)
{
	const Moment *items = moments->items;

	if (moments->count > 1)
		qsort(moments->items, moments->count, sizeof(Moment), compare_moments);
	for (size_t i = 0; i < moments->count;)
	{
		int32		provider_id = items[i].provider_id;
		const Moment *first = &items[i];
		bool		is_unlocked = true; /* after the moment; it may be so now */

		while (i < moments->count && items[i].provider_id == provider_id)
		{
			TimestampTz time = items[i].time;

			for (; i < moments->count && items[i].provider_id == provider_id &&
				 items[i].time == time; i++)
			{
				if (items[i].id < first->id)
					first = &items[i];
			}
			if (blocks(first->state))
				candidates->blocked_until = Max(candidates->blocked_until, time);
			else if (is_unlocked && first->state != STATE_UNLOCKED)
				add_candidate(candidates, time, piece);
			is_unlocked = first->state == STATE_UNLOCKED;
		}
	}
	moments->count = 0;
}

/*
 * Collect what may have made a window ready, as far back as history goes: the
 * ends of locks and failures, first unlocks, and changes of what is asked for.
 */
static void
find_candidates(const Source *source, TimeInterval window, TimestampTz since,
				EventClock *clock, Snapshot snapshot, Candidates *candidates)
{
	OverlapScan overlap;
	CatalogScan scan;
	Moments		moments = {0};
	TimeInterval piece = {0, 0};	/* of the events just read */
	TimeInterval during = {0, 0};

	candidates->blocked_until = DT_NOBEGIN;
	overlap_begin(&overlap, EVENT_BY_DURING, NULL, snapshot);
	overlap_seek(&overlap, source->id, window);
	while (overlap_next(&overlap))
	{
		Moment		moment = {
			.provider_id = catalog_row_int32(&overlap.scan,
											 Anum_event_provider_id),
			.time = event_time(clock, &overlap.scan),
			.id = catalog_row_int64(&overlap.scan, Anum_event_id),
			.state = event_state_before(&overlap.scan)
		};

		if (overlap.during.start != during.start ||
			overlap.during.end != during.end)
		{
			file_moments(&moments, piece, candidates);
			during = overlap.during;
			piece.start = Max(during.start, window.start);
			piece.end = Min(during.end, window.end);
		}
		if (moment.time >= since && moment.time > candidates->blocked_until)
			add_moment(&moments, &moment);
	}
	file_moments(&moments, piece, candidates);
	overlap_end(&overlap);

	catalog_begin(&scan, EVENT_BY_DURING, snapshot);
	catalog_seek_events_of_source(&scan, source->id);
	while (catalog_next_row(&scan, ForwardScanDirection))
	{
		TimestampTz time = event_time(clock, &scan);

		if (time >= since && time > candidates->blocked_until &&
			(event_change(&scan, "rule") != NULL ||
			 event_change(&scan, "effective") != NULL))
			add_candidate(candidates, time, window);
	}
	catalog_end(&scan);
}

/*
 * ready_since(source_name text, during tstzrange)
 *		returns timestamptz: when the range became ready last
 *
 * NULL: it is not ready, or it has been since before what history keeps.
 *
 * Going back from now, what has to be looked at is each instant at which
 * something became available, until at one of them the rest was not.
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
ready_since(PG_FUNCTION_ARGS)
{
	char	   *name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	EventClock	clock = {0};
	Candidates	candidates = {0};
	Identity	registry;
	TimeInterval window;
	Source		source;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	window = check_interval(range);
	source = source_find(name, snapshot);
	if (!readiness_holds(&source, window, snapshot))
		PG_RETURN_NULL();

	identity_read(snapshot, &registry);
	find_candidates(&source, window, registry.history_since, &clock, snapshot,
					&candidates);
	sort_by_time(candidates.items, candidates.count);
	for (size_t i = 0; i < candidates.count;)
	{
		TimestampTz time = candidates.items[i].time;
		IntervalSet changed = {0};

		if (time <= candidates.blocked_until)
			break;
		for (; i < candidates.count && candidates.items[i].time == time; i++)
			interval_set_merge(&changed, candidates.items[i].during);
		interval_set_coalesce(&changed);
		for (size_t j = 0; j < changed.count; j++)
		{
			if (!was_ready(&source, changed.items[j], time - 1, &clock,
						   snapshot))
				PG_RETURN_TIMESTAMPTZ(time);
		}
		interval_set_free(&changed);
	}
	if (candidates.blocked_until == DT_NOBEGIN)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(candidates.blocked_until);
}
