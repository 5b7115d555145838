/*
 * rename.c
 *		Other names for sources and providers.
 *
 * All tables refer to a source or provider by its id, so the name is one
 * column of one row; only events keep the name that it had then.  The name is
 * part of a unique key, so its update conflicts with every lock on the row.  A
 * provider is renamed when none of its writers is open, and a source when
 * nobody is registering a provider of it.  Calls that write to partitions of a
 * source do not lock the source; a REPEATABLE READ transaction notices the new
 * name by itself (access.c).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "compat.h"
#include "history.h"
#include "namesake.h"
#include "statement.h"
#include "write.h"

#define CHOOSE_ANOTHER_NAME "Choose another name."

PG_FUNCTION_INFO_V1(rename_source);
PG_FUNCTION_INFO_V1(rename_provider);

/*
 * Give a row another name.  False: somebody else has just taken it (which we
 * hear as a violation of the unique index; the caller has to raise an error).
 */
static bool
update_name(Statement *statement, int32 id, const char *new_name)
{
	MemoryContext memory = CurrentMemoryContext;
	Parameters	parameters = {0};
	volatile bool renamed = true;

	param_int4(&parameters, id);
	param_text(&parameters, new_name);
	PG_TRY();
	{
		statement_run(statement, &parameters);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_UNIQUE_VIOLATION)
			PG_RE_THROW();
		MemoryContextSwitchTo(memory);
		FlushErrorState();
		renamed = false;
	}
	PG_END_TRY();
	return renamed;
}

/* The event of a renaming, under the old name, with the new one in details */
static void
record_rename(const Access *access, const char *new_name)
{
	Event		event = {
		.event = "rename",
		.access = access,
		.at = GetCurrentTimestamp(),
		/* Whoever asks for the new name finds what is ready there. */
		.may_make_ready = access->provider_name == NULL
	};
	StringInfoData details;

	initStringInfo(&details);
	appendStringInfoString(&details, "{\"new_name\": ");
	escape_json(&details, new_name);
	appendStringInfoChar(&details, '}');
	event.details = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
													   CStringGetDatum(details.data)));
	history_record(&event);
}

/*
 * rename_source(source_name text, new_name text,
 *				 access_token text DEFAULT NULL)
 *		returns void
 *
 * Everything that belongs to the source goes along.  Waits for those who are
 * registering a provider of it; writers of its partitions do not notice.
 *
 * Errors: 22004, 42501, 22023, 42710 (also where the new name is the old one).
 */
Datum
rename_source(PG_FUNCTION_ARGS)
{
	static Statement statement = {
		"UPDATE partreg.source SET name = $2 WHERE id = $1"
	};
	Access		access;
	Namesake	namesake;
	char	   *source_name;
	char	   *new_name;
	char	   *token;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	source_name = argument_text(fcinfo, 0);
	new_name = argument_text(fcinfo, 1);
	token = argument_text(fcinfo, 2);

	write_begin("rename_source()");
	access_source(source_name, token, ACCESS_WITHDRAW, &access);
	check_name(new_name, "new_name");
	namesake_find_source(new_name, &namesake);
	if (namesake.id != 0 ||
		!update_name(&statement, access.source_id, new_name))
		namesake_refuse_source(new_name, CHOOSE_ANOTHER_NAME);
	record_rename(&access, new_name);
	write_end();
	PG_RETURN_VOID();
}

/*
 * rename_provider(source_name text, provider_name text, new_name text,
 *				   access_token text DEFAULT NULL)
 *		returns void
 *
 * Everything that belongs to the provider goes along; it may be revoked.  Waits
 * for its open writers.
 *
 * Errors: 22004, 42501, 42704, 22023, 42710 (also where the new name is the old
 * one).
 */
Datum
rename_provider(PG_FUNCTION_ARGS)
{
	static Statement statement = {
		"UPDATE partreg.provider SET name = $2 WHERE id = $1"
	};
	Access		access;
	Namesake	namesake;
	char	   *source_name;
	char	   *provider_name;
	char	   *new_name;
	char	   *token;

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);
	new_name = argument_text(fcinfo, 2);
	token = argument_text(fcinfo, 3);

	write_begin("rename_provider()");
	access_provider_by_source(source_name, provider_name, token,
							  ACCESS_WITHDRAW, &access);
	check_name(new_name, "new_name");
	namesake_find_provider(access.source_id, new_name, &namesake);
	if (namesake.id != 0 ||
		!update_name(&statement, access.provider_id, new_name))
		namesake_refuse_provider(access.source_name, new_name,
								 CHOOSE_ANOTHER_NAME);
	record_rename(&access, new_name);
	write_end();
	PG_RETURN_VOID();
}
