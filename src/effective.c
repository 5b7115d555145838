/*
 * effective.c
 *		The providers of a source, and the time that each has to supply.
 *
 * Under the rule "all", an instant is available only if every provider whose
 * effective range contains it has made it available.  The effective range of a
 * provider is all of time, unless the owner of the source has changed it.  The
 * range of a revoked provider ends at the revocation; what the provider was
 * required to supply before, it still is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "effective.h"
#include "statement.h"

/* A bound in UTC; nothing for none */
static void
append_time(StringInfo text, int64 bound)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char		buffer[MAXDATELEN + 1];

	if (bound == INTERVAL_MIN || bound == INTERVAL_MAX)
		return;
	if (timestamp2tm(bound, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	tm.tm_isdst = 0;			/* or no offset is written */
	EncodeDateTime(&tm, fsec, true, 0, NULL, USE_ISO_DATES, buffer);
	appendStringInfoString(text, buffer);
}

/*
 * An effective range as it stands in the details of an event: in UTC, whatever
 * the session's settings, so that effective_parse() reads the same anywhere.
 */
char *
effective_text(Datum range)
{
	TimeInterval effective;
	StringInfoData text;

	if (!range_to_interval(DatumGetRangeTypeP(range), &effective))
		return pstrdup("empty");
	initStringInfo(&text);
	appendStringInfoChar(&text, effective.start == INTERVAL_MIN ? '(' : '[');
	append_time(&text, effective.start);
	appendStringInfoChar(&text, ',');
	append_time(&text, effective.end);
	appendStringInfoChar(&text, ')');
	return text.data;
}

/* Read that back; false: it is empty. */
bool
effective_parse(const char *text, TimeInterval *effective)
{
	Oid			input;
	Oid			typioparam;
	Datum		range;

	getTypeInputInfo(TSTZRANGEOID, &input, &typioparam);
	range = OidInputFunctionCall(input, pstrdup(text), typioparam, -1);
	return range_to_interval(DatumGetRangeTypeP(range), effective);
}

/* The effective range of a provider, whose row is locked, as that text */
char *
effective_lock(int32 provider_id)
{
	static Statement statement = {
		"SELECT effective FROM partreg.provider WHERE id = $1 FOR UPDATE"
	};
	Parameters	parameters = {0};

	param_int4(&parameters, provider_id);
	if (statement_run(&statement, &parameters) == 0)
		return NULL;
	return effective_text(result_datum(0, 1));
}

/*
 * The same of a range as it lies in its row.  That of most providers has no
 * bounds, which the last byte of a range tells without a copy of it.
 */
static bool
read_effective(Datum range, TimeInterval *effective)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(range);
	char		flags = VARDATA_ANY(packed)[VARSIZE_ANY_EXHDR(packed) - 1];

	if ((flags & (RANGE_EMPTY | RANGE_LB_INF | RANGE_UB_INF)) ==
		(RANGE_LB_INF | RANGE_UB_INF))
	{
		*effective = (TimeInterval)
		{
			INTERVAL_MIN, INTERVAL_MAX
		};
		return true;
	}
	return range_to_interval(DatumGetRangeTypeP(range), effective);
}

static int32
cell_provider_id(const ListCell *cell)
{
	return ((const EffectiveProvider *) lfirst(cell))->provider_id;
}

#define ST_SORT sort_by_provider_id
#define ST_ELEMENT_TYPE ListCell
#define ST_COMPARE(a, b) \
	((cell_provider_id(a) > cell_provider_id(b)) - \
	 (cell_provider_id(a) < cell_provider_id(b)))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * The providers of a source, with the time that each has to supply (clipped to
 * a window); those that are not asked for any of it are left out, unless they
 * are all wanted.  In the order of their ids, as coverage_fulfils() needs them.
 */
List *
effective_providers(int32 source_id, TimeInterval window, bool all,
					Snapshot snapshot)
{
	List	   *providers = NIL;
	CatalogScan scan;

	catalog_begin(&scan, PROVIDER_BY_NAME, snapshot);
	catalog_seek_provider(&scan, source_id, NULL);
	while (catalog_next_row(&scan, ForwardScanDirection))
	{
		bool		isnull;
		Datum		effective = catalog_row_value(&scan, Anum_provider_effective,
												  &isnull);
		EffectiveProvider *provider;
		TimeInterval asked;
		bool		is_asked;

		is_asked = read_effective(effective, &asked) &&
			interval_overlaps(asked, window);
		if (!is_asked && !all)
			continue;

		provider = palloc(sizeof(EffectiveProvider));
		provider->provider_id = catalog_row_int32(&scan, Anum_provider_id);
		provider->name = all ? catalog_row_text(&scan, Anum_provider_name) : NULL;
		provider->is_asked = is_asked;
		if (is_asked)
		{
			provider->asked.start = Max(asked.start, window.start);
			provider->asked.end = Min(asked.end, window.end);
		}
		providers = lappend(providers, provider);
	}
	catalog_end(&scan);
	if (providers != NIL)
		sort_by_provider_id(providers->elements, list_length(providers));
	return providers;
}
