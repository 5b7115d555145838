/*
 * states.c
 *		The states of a source's partitions, coalesced, for pictures.
 *
 * A picture gives each instant of a provider one colour, so each belongs to one
 * state at most, the first of these that applies: failed, locked, unlocked,
 * late, registered.  Late is what lateness.c says, also what is missing.  What
 * is in no state is neither registered nor late.
 *
 * What is unlocked is read from the spans.  So the cost depends on the spans,
 * the locks, and the partitions that were never unlocked, within the range.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "effective.h"
#include "lateness.h"
#include "lockrow.h"
#include "source.h"

PG_FUNCTION_INFO_V1(provider_states);

/* The columns of the SQL type partreg.provider_state */
#define STATE_COLUMNS	3

/* In the order in which they count */
typedef enum PartitionState
{
	STATE_FAILED,
	STATE_LOCKED,
	STATE_UNLOCKED,
	STATE_LATE,
	STATE_REGISTERED
} PartitionState;

#define STATES	(STATE_REGISTERED + 1)

static const char *const state_words[] = {
	[STATE_FAILED] = "failed",
	[STATE_LOCKED] = "locked",
	[STATE_UNLOCKED] = "unlocked",
	[STATE_LATE] = "late",
	[STATE_REGISTERED] = "registered"
};

/* What has been found of a provider */
typedef struct ProviderStates
{
	int32		provider_id;
	IntervalSet states[STATES];
} ProviderStates;

static int
by_provider(const void *a, const void *b)
{
	int32		x = ((const ProviderStates *) a)->provider_id;
	int32		y = ((const ProviderStates *) b)->provider_id;

	return x < y ? -1 : x > y;
}

static void
add_late(const Late *late, void *arg)
{
	interval_set_merge((IntervalSet *) arg, late->during);
}

/* Providers in the order of their ids, with the locks of the source that overlap */
static ProviderStates *
collect_locks(const Source *source, TimeInterval window, Snapshot snapshot,
			  int *count)
{
	List	   *providers = effective_providers(source->id, window, true,
												snapshot);
	ProviderStates *result;
	MemoryContext rows;
	OverlapScan locks;
	ListCell   *cell;

	result = palloc_extended(Max(list_length(providers), 1) *
							 sizeof(ProviderStates),
							 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	*count = 0;
	foreach(cell, providers)
		result[(*count)++].provider_id = ((EffectiveProvider *) lfirst(cell))->provider_id;

	rows = AllocSetContextCreate(CurrentMemoryContext, "partreg lock row",
								 ALLOCSET_SMALL_SIZES);
	overlap_begin(&locks, LOCK_BY_KEY, NULL, snapshot);
	overlap_seek(&locks, source->id, window);
	while (overlap_next(&locks))
	{
		MemoryContext memory = MemoryContextSwitchTo(rows);
		ProviderStates key;
		ProviderStates *found;
		LockRow		lock;

		CHECK_FOR_INTERRUPTS();
		lockrow_read(&locks.scan, &lock);
		MemoryContextSwitchTo(memory);
		key.provider_id = lock.provider_id;
		found = bsearch(&key, result, *count, sizeof(ProviderStates),
						by_provider);
		if (found != NULL)
			interval_set_merge(&found->states[lock.failed ? STATE_FAILED
											  : STATE_LOCKED],
							   lock.during);
		MemoryContextReset(rows);
	}
	overlap_end(&locks);
	MemoryContextDelete(rows);
	return result;
}

/* The rest of what there is of a provider: spans, what is late or registered */
static void
collect_states(LatenessScan *scan, CatalogScan *provider,
			   TimeInterval window, ProviderStates *states)
{
	HoldingScan *holding = &scan->holding;

	holding->coverage.source_id = catalog_row_int32(provider,
													Anum_provider_source_id);
	coverage_collect(&holding->coverage, states->provider_id, window,
					 &states->states[STATE_UNLOCKED]);
	overlap_seek(&holding->pending, states->provider_id, window);
	while (overlap_next(&holding->pending))
	{
		CHECK_FOR_INTERRUPTS();
		interval_set_merge(&states->states[STATE_REGISTERED],
						   holding->pending.during);
	}
	lateness_find(scan, provider, window, add_late,
				  &states->states[STATE_LATE]);
}

/* A row for each state of a provider */
static void
put_rows(ReturnSetInfo *rsinfo, Datum name, TimeInterval window,
		 ProviderStates *states)
{
	IntervalSet whole = {&window, 1, 1};
	IntervalSet taken = {0};

	for (int i = 0; i < STATES; i++)
	{
		IntervalSet inside = {0};
		IntervalSet rest = {0};

		interval_set_coalesce(&states->states[i]);
		interval_set_intersect(&states->states[i], &whole, &inside);
		interval_set_subtract(&inside, &taken, &rest);
		if (rest.count > 0)
		{
			bool		nulls[STATE_COLUMNS] = {0};
			Datum		values[STATE_COLUMNS] = {
				name,
				CStringGetTextDatum(state_words[i]),
				interval_set_to_multirange(&rest)
			};

			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
								 nulls);
		}
		for (size_t j = 0; j < rest.count; j++)
			interval_set_merge(&taken, rest.items[j]);
		interval_set_coalesce(&taken);
		interval_set_free(&inside);
		interval_set_free(&rest);
		interval_set_free(&states->states[i]);
	}
	interval_set_free(&taken);
}

/*
 * provider_states(source_name text, during tstzrange)
 *		returns SETOF provider_state: of each provider, by name, where in the
 *		range it has which state
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
provider_states(PG_FUNCTION_ARGS)
{
	char	   *source_name = argument_text(fcinfo, 0);
	RangeType  *range = argument_range(fcinfo, 1);
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;
	Source		source;
	CatalogScan provider;
	LatenessScan scan;
	ProviderStates *states;
	int			count;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	InitMaterializedSRF(fcinfo, 0);
	window = check_interval(range);
	source = source_find(source_name, snapshot);
	states = collect_locks(&source, window, snapshot, &count);

	lateness_begin(&scan, snapshot);
	catalog_begin(&provider, PROVIDER_BY_NAME, snapshot);
	catalog_seek_provider(&provider, source.id, NULL);
	while (catalog_next_row(&provider, ForwardScanDirection))
	{
		ProviderStates key = {
			.provider_id = catalog_row_int32(&provider, Anum_provider_id)
		};
		ProviderStates *found = bsearch(&key, states, count,
										sizeof(ProviderStates), by_provider);
		char	   *name = catalog_row_text(&provider, Anum_provider_name);

		CHECK_FOR_INTERRUPTS();
		collect_states(&scan, &provider, window, found);
		put_rows((ReturnSetInfo *) fcinfo->resultinfo,
				 CStringGetTextDatum(name), window, found);
		pfree(name);
	}
	catalog_end(&provider);
	lateness_end(&scan);
	return (Datum) 0;
}
