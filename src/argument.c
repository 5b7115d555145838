/*
 * argument.c
 *		Reading and checking what callers give.
 *
 * The functions are not STRICT: `IF NOT f(...)` would take a NULL answer to
 * "may I read this?" for a yes.  So NULL is an error (22004) for every
 * required argument, and any other unusable value is 22023.
 *
 * SQL-callable functions first read their arguments into local variables
 * (argument_*).  They check the values later (check_*), because a caller
 * without a token must not get any other error first.
 *
 * A caller may pass an access token in the wrong place.  So messages quote
 * what the caller gave only through quotable(), and no text that contains a
 * token is ever stored.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/numeric.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "secret.h"

/* in bytes */
#define MAX_TEXT_LENGTH	500

/* of history() and changes_since() */
#define DEFAULT_MAX_EVENTS	1000

/*
 * While the library is new and the extension has not been updated yet, its
 * functions have fewer arguments; write_begin() then ends the call.
 */
static bool
argument_is_null(FunctionCallInfo fcinfo, int argno)
{
	return argno >= PG_NARGS() || PG_ARGISNULL(argno);
}

/* The name of an argument, for messages. */
static const char *
argument_label(FunctionCallInfo fcinfo, int argno)
{
	HeapTuple	tuple;
	Oid		   *types;
	char	  **names;
	char	   *modes;
	const char *label = "";

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u",
			 fcinfo->flinfo->fn_oid);
	if (get_func_arg_info(tuple, &types, &names, &modes) > argno &&
		names != NULL)
		label = names[argno];
	ReleaseSysCache(tuple);
	return label;
}

/* Complain about NULL (22004). */
void
argument_require(FunctionCallInfo fcinfo, int argno)
{
	if (unlikely(argument_is_null(fcinfo, argno)))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" must not be null",
						argument_label(fcinfo, argno)),
				 errhint("Only arguments that have a default may be null or left out.")));
}

/* Does a string hold something like one of our tokens, whole or damaged? */
bool
looks_like_token(const char *string)
{
	size_t		length;

	return secret_find_token(string, &length) != NULL;
}

/*
 * A caller's string as it may stand in a message: not a token, and no longer
 * than a name may be.
 */
const char *
quotable(const char *string)
{
	size_t		length = strlen(string);

	if (looks_like_token(string))
		return "(not shown: it looks like an access token)";
	if (length <= MAX_NAME_LENGTH)
		return string;
	length = pg_mbcliplen(string, Min(length, 2 * MAX_NAME_LENGTH),
						  MAX_NAME_LENGTH);
	return psprintf("%.*s...", (int) length, string);
}

/*
 * A text, or of one that is compressed or stored elsewhere as much as is
 * wanted.
 */
static text *
beginning(Datum given, int bytes)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(given);

	if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
		return DatumGetTextPSlice(given, 0, bytes);
	return (text *) value;
}

/*
 * A text as a C string.  No name, token or word that we know is longer than
 * MAX_TEXT_LENGTH; what is beyond it is left out, so that a huge text costs no
 * more than a short one.
 */
char *
text_to_short_cstring(Datum given)
{
	text	   *value = beginning(given, MAX_TEXT_LENGTH + 1);
	int			length = VARSIZE_ANY_EXHDR(value);

	if (unlikely(length > MAX_TEXT_LENGTH))
		length = pg_mbcliplen(VARDATA_ANY(value), MAX_TEXT_LENGTH + 1,
							  MAX_TEXT_LENGTH);
	return pnstrdup(VARDATA_ANY(value), length);
}

char *
argument_text(FunctionCallInfo fcinfo, int argno)
{
	return argument_is_null(fcinfo, argno) ? NULL
		: text_to_short_cstring(PG_GETARG_DATUM(argno));
}

RangeType *
argument_range(FunctionCallInfo fcinfo, int argno)
{
	return argument_is_null(fcinfo, argno) ? NULL : PG_GETARG_RANGE_P(argno);
}

Interval *
argument_interval(FunctionCallInfo fcinfo, int argno)
{
	return argument_is_null(fcinfo, argno) ? NULL : PG_GETARG_INTERVAL_P(argno);
}

/* As it was given: it may be compressed, or stored elsewhere. */
struct varlena *
argument_details(FunctionCallInfo fcinfo, int argno)
{
	return argument_is_null(fcinfo, argno) ? NULL
		: (struct varlena *) PG_GETARG_POINTER(argno);
}

/* A boolean whose default is false */
bool
argument_flag(FunctionCallInfo fcinfo, int argno)
{
	return !argument_is_null(fcinfo, argno) && PG_GETARG_BOOL(argno);
}

/* The argument max_events */
int32
argument_max_events(FunctionCallInfo fcinfo, int argno)
{
	int32		max_events = argument_is_null(fcinfo, argno) ? DEFAULT_MAX_EVENTS
		: PG_GETARG_INT32(argno);

	if (max_events < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" must be at least 1", "max_events"),
				 errhint("Leave it out to get %d events at most.",
						 DEFAULT_MAX_EVENTS)));
	return max_events;
}

/* No token may be stored where people can read it. */
static void
refuse_token(const char *value, const char *label)
{
	if (looks_like_token(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" holds what looks like an access token",
						label),
				 errhint("Pass the token as access_token, and rotate it if it may have been seen.")));
}

/*
 * The bytes of the control character that a string begins with (C0, DEL or,
 * where the encoding tells, C1); 0: it begins with none.
 */
int
control_character(const char *string)
{
	const unsigned char *at = (const unsigned char *) string;
	int			encoding = GetDatabaseEncoding();

	if ((*at > 0 && *at < 0x20) || *at == 0x7f)
		return 1;
	if (encoding == PG_UTF8)
		return at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f ? 2 : 0;
	if ((encoding >= PG_LATIN1 && encoding <= PG_LATIN10) ||
		(encoding >= PG_ISO_8859_5 && encoding <= PG_ISO_8859_8))
		return *at >= 0x80 && *at <= 0x9f ? 1 : 0;
	return 0;
}

static bool
has_control_character(const char *string)
{
	while (*string != '\0' && control_character(string) == 0)
		string++;
	return *string != '\0';
}

/* A name that is to be stored: of a source, provider, owner or holder. */
void
check_name(const char *name, const char *label)
{
	size_t		length = strlen(name);

	if (length < 1 || length > MAX_NAME_LENGTH ||
		name[0] == ' ' || name[length - 1] == ' ' ||
		has_control_character(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("invalid value for argument \"%s\"", label),
				 errhint("A name has 1 to %d bytes, no control characters and no space at either end.",
						 MAX_NAME_LENGTH)));
	refuse_token(name, label);
}

/*
 * A reason, without secrets, cut to what is kept of it at a whole character.
 * It is often somebody else's error message with a statement in it, so that a
 * token is no reason to refuse the call.
 */
char *
argument_reason(FunctionCallInfo fcinfo, int argno)
{
	/* Enough to know a secret by that lies across the cut */
	const int	enough = 2 * MAX_REASON_LENGTH;
	text	   *given;
	char	   *reason;
	int			length;
	bool		cut;

	if (argument_is_null(fcinfo, argno))
		return NULL;
	given = beginning(PG_GETARG_DATUM(argno), enough + 1);
	length = VARSIZE_ANY_EXHDR(given);
	cut = length > enough;
	if (cut)
		length = pg_mbcliplen(VARDATA_ANY(given), enough + 1, enough);
	reason = pnstrdup(VARDATA_ANY(given), length);
	secret_mask(reason, cut);
	reason[pg_mbcliplen(reason, length, MAX_REASON_LENGTH)] = '\0';
	return reason;
}

/* The name of a role that exists. */
void
check_role_name(const char *role, const char *label)
{
	if (!OidIsValid(get_role_oid(role, true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errcondition("bad_argument"),
				 errmsg("role \"%s\" does not exist", quotable(role)),
				 errhint("The name is taken as it is written, without folding its case.")));
	refuse_token(role, label);
}

/* An array of names: none (22023), and nulls among them (22004) */
void
check_source_names(ArrayType *names)
{
	if (ArrayGetNItems(ARR_NDIM(names), ARR_DIMS(names)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"source_names\" must not be empty"),
				 errhint("Name at least one source.")));
	if (array_contains_nulls(names))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errcondition("bad_argument"),
				 errmsg("argument \"source_names\" must not contain nulls"),
				 errhint("Leave them out, for example with array_remove().")));
}

/* A number of details as it is written */
static char *
number_text(const JsonbValue *value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   NumericGetDatum(value->val.numeric)));
}

/* measure: how long they are, as a sentence */
pg_noreturn static void
raise_long_details(const char *measure)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errcondition("bad_argument"),
			 errmsg("argument \"%s\" is too long", "details"),
			 errdetail_internal("%s", measure),
			 errhint("Store long values elsewhere, and give their location here.")));
}

/*
 * Details have to be short as text.  As jsonb they are at most four times as
 * long ([0, 0, ...]), so that huge ones need not be unfolded.
 */
static Jsonb *
unfold_details(struct varlena *given)
{
	Size		size = toast_raw_datum_size(PointerGetDatum(given));

	if (size > 8 * MAX_DETAILS_LENGTH)
		raise_long_details(psprintf("The object has %zu bytes as jsonb, and may have at most %d bytes as text.",
									size, MAX_DETAILS_LENGTH));
	return DatumGetJsonbP(PointerGetDatum(given));
}

/*
 * As text a number may be ten thousand times as long (1e131071); one that is
 * too long for details is the last that is written out.
 */
static void
refuse_long_numbers(Jsonb *details)
{
	JsonbIterator *iterator = JsonbIteratorInit(&details->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	size_t		length = 0;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		char	   *number;

		if ((token != WJB_VALUE && token != WJB_ELEM) ||
			value.type != jbvNumeric)
			continue;
		number = number_text(&value);
		length += strlen(number);
		pfree(number);
		if (length > MAX_DETAILS_LENGTH)
			raise_long_details(psprintf("The numbers of the object have more than %d bytes as text.",
										MAX_DETAILS_LENGTH));
	}
}

static void
refuse_long_text(Jsonb *details)
{
	StringInfoData text;

	initStringInfo(&text);
	(void) JsonbToCString(&text, &details->root, VARSIZE(details));
	if (text.len > MAX_DETAILS_LENGTH)
		raise_long_details(psprintf("The object has %d bytes as text, and may have at most %d.",
									text.len, MAX_DETAILS_LENGTH));
	pfree(text.data);
}

/*
 * Mask secrets in a key, or a value that is no array or object; all: the value
 * is a secret.
 */
static void
mask_scalar(JsonbValue *value, bool all)
{
	char	   *string;

	if (value->type == jbvNumeric && all)
		string = number_text(value);
	else if (value->type == jbvString)
		string = pnstrdup(value->val.string.val, value->val.string.len);
	else
		return;
	value->type = jbvString;
	value->val.string.val = string;
	value->val.string.len = strlen(string);
	if (all)
		memset(string, '*', value->val.string.len);
	else
		secret_mask(string, false);
}

/*
 * Details without secrets.  Under a key that says that its value is a password,
 * strings and numbers are masked, also in arrays.
 */
static Jsonb *
mask_details(Jsonb *details)
{
	JsonbIterator *iterator = JsonbIteratorInit(&details->root);
	JsonbBuildState state;
	JsonbValue *result = NULL;
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		is_password = false;	/* what follows the key */
	int			arrays = 0;		/* of passwords, one within the other */

	memset(&state, 0, sizeof(state));
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		bool		scalar = false;

		switch (token)
		{
			case WJB_KEY:
				scalar = true;
				is_password = secret_is_password_key(pnstrdup(value.val.string.val,
															  value.val.string.len));
				mask_scalar(&value, false);
				break;
			case WJB_VALUE:
			case WJB_ELEM:
				scalar = true;
				mask_scalar(&value, is_password || (token == WJB_ELEM && arrays > 0));
				is_password = false;
				break;
			case WJB_BEGIN_ARRAY:
				if (is_password || arrays > 0)
					arrays++;
				is_password = false;
				break;
			case WJB_END_ARRAY:
				arrays = Max(arrays - 1, 0);
				break;
			default:
				is_password = false;
		}
		result = push_jsonb_compat(&state, token, scalar ? &value : NULL);
	}
	return JsonbValueToJsonb(result);
}

/*
 * What consumers should know of a partition: a short object, of which secrets
 * are masked; NULL: nothing.
 */
Jsonb *
check_details(struct varlena *given)
{
	Jsonb	   *details;

	if (given == NULL)
		return NULL;
	details = unfold_details(given);
	if (!JB_ROOT_IS_OBJECT(details))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" must be a JSON object", "details"),
				 errhint("Give an object such as {\"rows\": 12}.")));
	refuse_long_numbers(details);
	refuse_long_text(details);
	return mask_details(details);
}

pg_noreturn static void
bad_range(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errcondition("bad_argument"),
			 errmsg("%s", why),
			 errhint("Give a finite, non-empty range such as [2024-01-01 00:00+00, 2024-01-02 00:00+00).")));
}

/*
 * A range as [start, end), exactly; false: it is empty.
 *
 * Timestamps count whole microseconds, so (a, b] holds the same ones as
 * [a + 1us, b + 1us).  A bound that is infinite, or beyond the last timestamp,
 * is no bound: there are no instants there.
 */
bool
range_to_interval(RangeType *range, TimeInterval *result)
{
	TypeCacheEntry *typcache;
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	result->start = INTERVAL_MIN;
	result->end = INTERVAL_MAX;
	typcache = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
	range_deserialize(typcache, range, &lower, &upper, &empty);
	if (empty)
		return false;

	if (!lower.infinite)
	{
		result->start = DatumGetTimestampTz(lower.val);
		if (!lower.inclusive && !TIMESTAMP_NOT_FINITE(result->start))
			result->start++;
		if (result->start >= END_TIMESTAMP)
			return false;
	}
	if (!upper.infinite)
	{
		result->end = DatumGetTimestampTz(upper.val);
		if (upper.inclusive && !TIMESTAMP_NOT_FINITE(result->end))
			result->end++;
		if (result->end >= END_TIMESTAMP)
			result->end = INTERVAL_MAX;
	}
	return result->start < result->end;
}

/* The same where a non-empty range is needed; it may be unbounded. */
TimeInterval
check_extent(RangeType *range)
{
	TimeInterval result;

	if (unlikely(!range_to_interval(range, &result)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("range is empty"),
				 errhint("Give a range that is not empty; it may be unbounded.")));
	return result;
}

/* The same where a finite and non-empty range is needed. */
TimeInterval
check_interval(RangeType *range)
{
	TimeInterval result;

	if (unlikely(!range_to_interval(range, &result)))
		bad_range("range is empty");
	if (unlikely(TIMESTAMP_NOT_FINITE(result.start) ||
				 TIMESTAMP_NOT_FINITE(result.end)))
		bad_range("range is not bounded by finite timestamps");
	return result;
}

/* A range given as a pair. */
TimeInterval
interval_between(TimestampTz start_at, TimestampTz end_at)
{
	TimeInterval result = {start_at, end_at};

	if (unlikely(TIMESTAMP_NOT_FINITE(start_at) || TIMESTAMP_NOT_FINITE(end_at)))
		bad_range("range is not bounded by finite timestamps");
	if (unlikely(start_at >= end_at))
		bad_range("range is empty: its start is not before its end");
	return result;
}

/*
 * An interval that means a length of time (a lease, a grace), in microseconds:
 * a day is 24 hours, and months have no length.
 */
int64
check_duration(const Interval *given, const char *label)
{
	int64		result;

	if (given->month != 0 ||
		pg_mul_s64_overflow(given->day, USECS_PER_DAY, &result) ||
		pg_add_s64_overflow(result, given->time, &result) ||
		result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("invalid length of time for argument \"%s\"", label),
				 errhint("Give days, hours, minutes or seconds. Months and negative fields are not allowed.")));
	return result;
}

/* When a length of time is over. */
TimestampTz
timestamp_after(TimestampTz now, int64 duration)
{
	TimestampTz result;

	if (pg_add_s64_overflow(now, duration, &result) ||
		!IS_VALID_TIMESTAMP(result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("length of time ends beyond the last timestamp"),
				 errhint("Give a shorter length of time.")));
	return result;
}

Datum
empty_range(void)
{
	return RangeTypePGetDatum(make_empty_range(lookup_type_cache(TSTZRANGEOID,
																 TYPECACHE_RANGE_INFO)));
}

/* [start, end) as a tstzrange; INTERVAL_MIN and INTERVAL_MAX are no bound. */
Datum
interval_to_range(TimeInterval interval)
{
	TypeCacheEntry *typcache;
	RangeBound	lower = {0};
	RangeBound	upper = {0};

	typcache = lookup_type_cache(TSTZRANGEOID, TYPECACHE_RANGE_INFO);
	lower.val = TimestampTzGetDatum(interval.start);
	lower.infinite = interval.start == INTERVAL_MIN;
	lower.inclusive = !lower.infinite;
	lower.lower = true;
	upper.val = TimestampTzGetDatum(interval.end);
	upper.infinite = interval.end == INTERVAL_MAX;
	return RangeTypePGetDatum(make_range_compat(typcache, &lower, &upper,
												false));
}

/* A coalesced set as a tstzmultirange */
Datum
interval_set_to_multirange(const IntervalSet *set)
{
	RangeType **ranges;

	ranges = palloc_extended(Max(set->count, 1) * sizeof(RangeType *),
							 MCXT_ALLOC_HUGE);
	for (size_t i = 0; i < set->count; i++)
		ranges[i] = DatumGetRangeTypeP(interval_to_range(set->items[i]));
	return MultirangeTypePGetDatum(make_multirange(TSTZMULTIRANGEOID,
												   lookup_type_cache(TSTZRANGEOID,
																	 TYPECACHE_RANGE_INFO),
												   set->count, ranges));
}

/* Add the members of a tstzmultirange to a set, and coalesce it. */
void
multirange_to_interval_set(const MultirangeType *given, IntervalSet *set)
{
	TypeCacheEntry *typcache = lookup_type_cache(TSTZRANGEOID,
												 TYPECACHE_RANGE_INFO);

	for (uint32 i = 0; i < given->rangeCount; i++)
	{
		RangeType  *range = multirange_get_range(typcache, given, i);
		TimeInterval interval;

		CHECK_FOR_INTERRUPTS();
		if (range_to_interval(range, &interval))
			interval_set_merge(set, interval);
		pfree(range);
	}
	interval_set_coalesce(set);
}

/* A range as it stands in messages: ISO, in the session's time zone. */
char *
show_interval(TimeInterval interval)
{
	return psprintf("[%s, %s)",
					pstrdup(timestamptz_to_str(interval.start)),
					pstrdup(timestamptz_to_str(interval.end)));
}
