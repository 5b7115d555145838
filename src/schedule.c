/*
 * schedule.c
 *		When a provider is to supply what: its deadline and its calendar.
 *
 * Neither has any influence on what is ready, so changing them waits for no
 * open writer of the provider. lateness.c and expectation.c say what they
 * mean.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "utils/multirangetypes.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "calendar.h"
#include "compat.h"
#include "condition.h"
#include "history.h"
#include "statement.h"
#include "write.h"

PG_FUNCTION_INFO_V1(set_deadline);
PG_FUNCTION_INFO_V1(set_calendar);

/* In bytes: some 40,000 ranges.  Each question about lateness reads it. */
#define MAX_CLOSED_LENGTH	1000000

/* Run the update of a provider, and record that it changed something. */
static void
change_provider(Statement *update, Parameters *parameters,
				const Access *access)
{
	Event		event = {
		.event = "change_provider",
		.access = access
	};

	if (statement_run(update, parameters) == 0)
		return;
	event.at = GetCurrentTimestamp();
	history_record(&event);
}

/*
 * set_deadline(source_name text, provider_name text, within interval,
 *				access_token text DEFAULT NULL)
 *		returns void
 *
 * within: how long after its end a partition is late; a day is 24 hours.  NULL:
 * never.
 *
 * Errors: 22004, 42501, 42704, 22023.
 */
Datum
set_deadline(PG_FUNCTION_ARGS)
{
	static Statement update_deadline = {
		"UPDATE partreg.provider SET deadline = $2"
		" WHERE id = $1 AND deadline IS DISTINCT FROM $2"
	};
	Parameters	parameters = {0};
	Access		access;
	char	   *source_name;
	char	   *provider_name;
	Interval   *within;
	char	   *token;

	for (int i = 0; i < 2; i++)
		argument_require(fcinfo, i);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);
	within = argument_interval(fcinfo, 2);
	token = argument_text(fcinfo, 3);

	write_begin("set_deadline()");
	access_provider_by_source(source_name, provider_name, token, ACCESS_CHANGE,
							  &access);
	param_int4(&parameters, access.provider_id);
	if (within == NULL)
		param_null(&parameters, INTERVALOID);
	else
	{
		(void) check_duration(within, "within");
		param_datum(&parameters, INTERVALOID, IntervalPGetDatum(within));
	}
	change_provider(&update_deadline, &parameters, &access);
	write_end();
	PG_RETURN_VOID();
}

/*
 * What is closed, as it is stored: half-open ranges; NULL means nothing is.  Its
 * size is checked before it is unpacked.
 */
static Datum
check_closed(Datum given, bool isnull)
{
	IntervalSet closed = {0};

	if (!isnull)
	{
		if (toast_raw_datum_size(given) > MAX_CLOSED_LENGTH)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errcondition("bad_argument"),
					 errmsg("argument \"closed\" has too many ranges"),
					 errdetail("Together the ranges may take at most %d bytes.", MAX_CLOSED_LENGTH),
					 errhint("Leave out ranges that are long past, and join ranges that touch.")));
		multirange_to_interval_set(DatumGetMultirangeTypeP(given), &closed);
	}
	return interval_set_to_multirange(&closed);
}

/*
 * set_calendar(source_name text, provider_name text, step interval,
 *				start_at timestamptz, access_token text DEFAULT NULL,
 *				time_zone text DEFAULT 'UTC',
 *				closed tstzmultirange DEFAULT '{}')
 *		returns void
 *
 * step: from bound to bound by the wall clock of the time zone (calendar.c),
 * counted from start_at.  NULL: no calendar, and the other arguments are not
 * looked at.
 *
 * Steps are compared byte by byte: PostgreSQL calls a day and 24 hours equal.
 *
 * Errors: 22004, 42501, 42704, 22023.
 */
Datum
set_calendar(PG_FUNCTION_ARGS)
{
	static Statement update_calendar = {
		"UPDATE partreg.provider SET calendar_step = $2, calendar_start = $3,"
		"    calendar_zone = $4, calendar_closed = $5"
		" WHERE id = $1 AND (interval_send(calendar_step), calendar_start,"
		"    calendar_zone, calendar_closed)"
		"    IS DISTINCT FROM (interval_send($2), $3, $4, $5)"
	};
	Parameters	parameters = {0};
	Access		access;
	char	   *source_name;
	char	   *provider_name;
	Interval   *step;
	TimestampTz start_at = 0;
	char	   *token;
	char	   *time_zone;

	for (int i = 0; i < 2; i++)
		argument_require(fcinfo, i);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);
	step = argument_interval(fcinfo, 2);
	if (step != NULL)
	{
		argument_require(fcinfo, 3);
		start_at = PG_GETARG_TIMESTAMPTZ(3);
	}
	token = argument_text(fcinfo, 4);
	time_zone = argument_text(fcinfo, 5);

	write_begin("set_calendar()");
	access_provider_by_source(source_name, provider_name, token, ACCESS_CHANGE,
							  &access);
	param_int4(&parameters, access.provider_id);
	if (step == NULL)
	{
		param_null(&parameters, INTERVALOID);
		param_null(&parameters, TIMESTAMPTZOID);
		param_null(&parameters, TEXTOID);
		param_null(&parameters, TSTZMULTIRANGEOID);
	}
	else
	{
		Calendar	calendar;

		if (time_zone == NULL)
			time_zone = "UTC";
		if (TIMESTAMP_NOT_FINITE(start_at))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errcondition("bad_argument"),
					 errmsg("argument \"start_at\" must be a finite timestamp"),
					 errhint("Give the start of the first partition that is expected.")));
		calendar_init(&calendar, step, time_zone, start_at);
		param_datum(&parameters, INTERVALOID, IntervalPGetDatum(step));
		param_time(&parameters, start_at);
		param_text(&parameters, time_zone);
		param_datum(&parameters, TSTZMULTIRANGEOID,
					check_closed(PG_ARGISNULL(6) ? (Datum) 0 : PG_GETARG_DATUM(6),
								 PG_ARGISNULL(6)));
	}
	change_provider(&update_calendar, &parameters, &access);
	write_end();
	PG_RETURN_VOID();
}
