/*
 * readiness.c
 *		May this be read?
 *
 * A range of a source is ready when every instant of it is available and no
 * lock row overlaps it.  Under the rule "any", an instant is available where
 * some provider's spans hold it; under "all", where besides each provider's do
 * whose effective range holds it.
 *
 * Everything is read from the caller's snapshot and from nothing else: that is
 * what lets a check and the read of the data in one REPEATABLE READ
 * transaction agree.
 */
#include "postgres.h"

#include "access/genam.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rangetypes.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "coverage.h"
#include "readiness.h"

PG_FUNCTION_INFO_V1(check_readiness);
PG_FUNCTION_INFO_V1(check_readiness_between);

/*
 * The source that a question is about.
 */
SourceKey
readiness_source(FunctionCallInfo fcinfo, int argno, Snapshot snapshot)
{
	text	   *name = PG_GETARG_TEXT_PP(argno);
	SourceKey	source;

	if (!source_lookup(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), snapshot,
					   &source))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source \"%s\" does not exist",
						quotable(text_to_cstring(name))),
				 errhint("The view partreg.sources lists the sources.")));
	return source;
}

/*
 * The providers of a source, with the time for which each is asked (clipped to
 * a window); those that are not asked for any of it are left out, unless they
 * are all wanted.
 */
List *
readiness_providers(int32 source_id, TimeInterval window, bool all,
					Snapshot snapshot)
{
	List	   *providers = NIL;
	CatalogScan scan;
	ScanKeyData key;
	bool		isnull;

	catalog_begin(&scan, PROVIDER_BY_NAME, snapshot);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(source_id));
	catalog_seek(&scan, &key, 1);
	while (catalog_next_row(&scan, ForwardScanDirection))
	{
		RangeType  *effective = DatumGetRangeTypeP(catalog_row_value(&scan,
																	 Anum_provider_effective,
																	 &isnull));
		ProviderDuty *duty;
		TimeInterval asked;
		bool		is_asked;

		is_asked = range_to_interval(effective, &asked) &&
			interval_overlaps(asked, window);
		if (!is_asked && !all)
			continue;

		duty = palloc(sizeof(ProviderDuty));
		duty->provider_id = DatumGetInt32(catalog_row_value(&scan,
															Anum_provider_id,
															&isnull));
		duty->name = all ? TextDatumGetCString(catalog_row_value(&scan,
																 Anum_provider_name,
																 &isnull)) : NULL;
		duty->is_asked = is_asked;
		if (is_asked)
		{
			duty->asked.start = Max(asked.start, window.start);
			duty->asked.end = Min(asked.end, window.end);
		}
		providers = lappend(providers, duty);
	}
	catalog_end(&scan);
	return providers;
}

/* Is anything in a window locked or failed? */
static bool
is_blocked(int32 source_id, TimeInterval window, Snapshot snapshot)
{
	OverlapScan overlap;
	bool		blocked;

	overlap_begin(&overlap, LOCK_BY_KEY, snapshot);
	overlap_seek(&overlap, source_id, window);
	blocked = overlap_next(&overlap);
	overlap_end(&overlap);
	return blocked;
}

/* Is every instant of a window available? */
static bool
is_available(SourceKey source, TimeInterval window, Snapshot snapshot)
{
	CoverageScan coverage;
	bool		available = true;
	bool		supplied = false;	/* by one provider, all of it */

	coverage_begin(&coverage, source.id, snapshot);
	if (source.needs_all)
	{
		List	   *providers = readiness_providers(source.id, window, false,
													snapshot);
		ListCell   *cell;

		foreach(cell, providers)
		{
			ProviderDuty *duty = lfirst(cell);

			if (coverage_reach(&coverage, duty->provider_id, duty->asked.start,
							   duty->asked.end) < duty->asked.end)
			{
				available = false;
				break;
			}
			if (duty->asked.start == window.start &&
				duty->asked.end == window.end)
				supplied = true;
		}
		list_free_deep(providers);
	}
	if (available && !supplied)
		available = coverage_reach_any(&coverage, window.start,
									   window.end) >= window.end;
	coverage_end(&coverage);
	return available;
}

static bool
is_ready(SourceKey source, TimeInterval window, Snapshot snapshot)
{
	return is_available(source, window, snapshot) &&
		!is_blocked(source.id, window, snapshot);
}

/*
 * check_readiness(source_name text, during tstzrange)
 *		returns boolean, never NULL
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
check_readiness(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	window = argument_interval(fcinfo, 1);
	PG_RETURN_BOOL(is_ready(readiness_source(fcinfo, 0, snapshot), window,
							snapshot));
}

/*
 * check_readiness(source_name text, start_at timestamptz, end_at timestamptz)
 *		returns boolean, never NULL: the same for [start_at, end_at)
 *
 * Errors: 22004, 22023, 42704.
 */
Datum
check_readiness_between(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot = GetActiveSnapshot();
	TimeInterval window;

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	window = interval_between(PG_GETARG_TIMESTAMPTZ(1),
							  PG_GETARG_TIMESTAMPTZ(2));
	PG_RETURN_BOOL(is_ready(readiness_source(fcinfo, 0, snapshot), window,
							snapshot));
}
