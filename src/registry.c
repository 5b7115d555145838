/*
 * registry.c
 *		Sources and providers: who they are, what opens them, what is asked of
 *		them.
 *
 * Who a provider is asked for by rule "all" decides what is ready, so a change
 * of its effective range is handled like a withdrawal: after all open writers of
 * the provider, and counting its epoch up, which a REPEATABLE READ transaction
 * that began before notices.  A change of the rule, or a new provider, is one
 * row that a snapshot has or has not.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "compat.h"
#include "history.h"
#include "statement.h"
#include "token.h"

PG_FUNCTION_INFO_V1(register_source);
PG_FUNCTION_INFO_V1(register_provider);
PG_FUNCTION_INFO_V1(set_owner);
PG_FUNCTION_INFO_V1(set_readiness_rule);
PG_FUNCTION_INFO_V1(set_effective);
PG_FUNCTION_INFO_V1(set_trusted_role);
PG_FUNCTION_INFO_V1(rotate_access_token);
PG_FUNCTION_INFO_V1(reset_access_token);

static char *
argument_rule(FunctionCallInfo fcinfo, int argno)
{
	char	   *rule = argument_text(fcinfo, argno);

	if (strcmp(rule, "any") != 0 && strcmp(rule, "all") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown readiness rule \"%s\"", quotable(rule)),
				 errhint("The rules are \"any\" and \"all\".")));
	return rule;
}

/* The time for which a provider is asked; it may be unbounded or empty. */
static Datum
argument_effective(FunctionCallInfo fcinfo, int argno)
{
	TimeInterval effective;

	if (!range_to_interval(PG_GETARG_RANGE_P(argno), &effective))
		return empty_range();
	return interval_to_range(effective);
}

static void
refuse_revoked(const Access *access)
{
	if (access->revoked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("provider \"%s\" is revoked",
						quotable(access->provider_name)),
				 errhint("Revive it with register_provider().")));
}

/* An event of a source or provider as a whole */
static void
record(const char *event, const Access *access, TimestampTz at)
{
	history_record(&(Event) {
		.event = event, .access = access, .at = at
	});
}

/*
 * register_source(source_name text, owner text, rule text DEFAULT 'any')
 *		returns text: the source token, shown this once
 *
 * Errors: 22004, 22023, 42710.
 */
Datum
register_source(PG_FUNCTION_ARGS)
{
	static Statement find_namesake = {
		"SELECT 1 FROM partreg.source WHERE name = $1 AND id <> $2", 2, {TEXTOID, INT4OID}
	};
	static Statement insert_source = {
		"INSERT INTO partreg.source (name, owner, rule, registered_at, token_digest, token_changed_at)"
		" VALUES ($1, $2, $3, $4, $5, $4)"
		" ON CONFLICT DO NOTHING RETURNING id",
		5, {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BYTEAOID}
	};
	Access		access = {0};
	Datum		values[5];
	TokenDigest digest;
	char	   *token;
	text	   *result;
	char	   *rule = "any";
	bool		isnull;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	write_begin("register_source()");
	access.source_name = argument_name(fcinfo, 0);
	values[1] = CStringGetTextDatum(argument_name(fcinfo, 1));
	if (!PG_ARGISNULL(2))
		rule = argument_rule(fcinfo, 2);

	token = token_make(TOKEN_SOURCE);
	token_digest(token, &digest);
	values[0] = CStringGetTextDatum(access.source_name);
	values[2] = CStringGetTextDatum(rule);
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[4] = token_digest_datum(&digest);
	if (statement_run(&insert_source, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("source \"%s\" is registered already",
						access.source_name),
				 errhint("Its owner has the token; a lost one is replaced by reset_access_token().")));
	access.source_id = DatumGetInt32(statement_result(0, 1, &isnull));
	if (IsolationUsesXactSnapshot())
	{
		/* Dropped by somebody else since: the snapshot would have two. */
		values[1] = Int32GetDatum(access.source_id);
		if (statement_run(&find_namesake, values, NULL) > 0)
			raise_concurrent_change();
	}
	record("register_source", &access, GetCurrentTimestamp());
	write_end();

	result = cstring_to_text(token);
	PG_RETURN_TEXT_P(result);
}

/*
 * register_provider(provider_name text, access_token text,
 *					 trusted_role text DEFAULT NULL,
 *					 effective tstzrange DEFAULT '(,)')
 *		returns text: the provider token, shown this once
 *
 * The source is the one that the token opens.  A revoked provider of this name
 * is revived: what it supplied is still there.
 *
 * Errors: 22004, 42501, 22023, 42704 (trusted_role), 42710.
 */
Datum
register_provider(PG_FUNCTION_ARGS)
{
	static Statement insert_provider = {
		"INSERT INTO partreg.provider (source_id, name, trusted_role, effective, registered_at,"
		"    token_digest, token_changed_at)"
		" VALUES ($1, $2, $3, $4, $5, $6, $5)"
		" ON CONFLICT DO NOTHING RETURNING id",
		6, {INT4OID, TEXTOID, TEXTOID, TSTZRANGEOID, TIMESTAMPTZOID, BYTEAOID}
	};
	/* Not as ON CONFLICT DO UPDATE, which would wait for open writers first. */
	static Statement revive_provider = {
		"UPDATE partreg.provider"
		"    SET trusted_role = $3, effective = $4, epoch = epoch + 1,"
		"        token_digest = $6, token_changed_at = $5, revoked_at = NULL"
		" WHERE source_id = $1 AND name = $2 AND revoked_at IS NOT NULL"
		" RETURNING id",
		6, {INT4OID, TEXTOID, TEXTOID, TSTZRANGEOID, TIMESTAMPTZOID, BYTEAOID}
	};
	Access		access;
	Datum		values[6];
	char		nulls[7] = "      ";
	TokenDigest digest;
	char	   *token;
	char	   *trusted_role;
	bool		revived = false;
	bool		isnull;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	write_begin("register_provider()");
	access_source_by_token(argument_text(fcinfo, 1), &access);
	access.provider_name = argument_name(fcinfo, 0);
	trusted_role = argument_role(fcinfo, 2);

	token = token_make(TOKEN_PROVIDER);
	token_digest(token, &digest);
	values[0] = Int32GetDatum(access.source_id);
	values[1] = CStringGetTextDatum(access.provider_name);
	if (trusted_role == NULL)
		nulls[2] = 'n';
	else
		values[2] = CStringGetTextDatum(trusted_role);
	values[3] = PG_ARGISNULL(3)
		? interval_to_range((TimeInterval) {INTERVAL_MIN, INTERVAL_MAX})
		: argument_effective(fcinfo, 3);
	values[4] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[5] = token_digest_datum(&digest);
	if (statement_run(&insert_provider, values, nulls) == 0)
	{
		/* It may have waited for a registration, and a revocation after it. */
		values[4] = TimestampTzGetDatum(GetCurrentTimestamp());
		revived = statement_run(&revive_provider, values, nulls) > 0;
	}
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("provider \"%s\" of source \"%s\" is registered already",
						access.provider_name, quotable(access.source_name)),
				 errhint("It has its token; a lost one is replaced by rotate_access_token() with the source token.")));
	access.provider_id = DatumGetInt32(statement_result(0, 1, &isnull));
	history_record(&(Event) {
		.event = "register_provider", .access = &access,
		.at = GetCurrentTimestamp(),
		.may_make_ready = revived
	});
	write_end();

	PG_RETURN_TEXT_P(cstring_to_text(token));
}

/*
 * set_owner(source_name text, owner text, access_token text) returns void
 *
 * Leaves no event: it changes a label, and nothing about readiness or access.
 *
 * Errors: 22004, 42501, 22023.
 */
Datum
set_owner(PG_FUNCTION_ARGS)
{
	static Statement update_owner = {
		"UPDATE partreg.source SET owner = $2 WHERE id = $1", 2, {INT4OID, TEXTOID}
	};
	Access		access;
	Datum		values[2];

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	write_begin("set_owner()");
	access_source(argument_text(fcinfo, 0), argument_text(fcinfo, 2), false,
				  &access);
	values[0] = Int32GetDatum(access.source_id);
	values[1] = CStringGetTextDatum(argument_name(fcinfo, 1));
	statement_run(&update_owner, values, NULL);
	write_end();
	PG_RETURN_VOID();
}

/*
 * set_readiness_rule(source_name text, rule text, access_token text)
 *		returns void
 *
 * Errors: 22004, 42501, 22023.
 */
Datum
set_readiness_rule(PG_FUNCTION_ARGS)
{
	static Statement update_rule = {
		"UPDATE partreg.source SET rule = $2 WHERE id = $1 AND rule <> $2", 2, {INT4OID, TEXTOID}
	};
	Access		access;
	Datum		values[2];

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	write_begin("set_readiness_rule()");
	access_source(argument_text(fcinfo, 0), argument_text(fcinfo, 2), false,
				  &access);
	values[0] = Int32GetDatum(access.source_id);
	values[1] = CStringGetTextDatum(argument_rule(fcinfo, 1));
	if (statement_run(&update_rule, values, NULL) > 0)
		record("change_rule", &access, GetCurrentTimestamp());
	write_end();
	PG_RETURN_VOID();
}

/*
 * set_effective(source_name text, provider_name text, effective tstzrange,
 *				 access_token text) returns void
 *
 * Waits for the open writers of the provider.
 *
 * Errors: 22004, 42501, 42704.
 */
Datum
set_effective(PG_FUNCTION_ARGS)
{
	static Statement update_effective = {
		"UPDATE partreg.provider SET effective = $2, epoch = epoch + 1"
		" WHERE id = $1 AND effective <> $2",
		2, {INT4OID, TSTZRANGEOID}
	};
	Access		access;
	Datum		values[2];

	for (int i = 0; i < 4; i++)
		argument_require(fcinfo, i);
	write_begin("set_effective()");
	access_provider(argument_text(fcinfo, 0), argument_text(fcinfo, 1),
					argument_text(fcinfo, 3), PROVIDER_WITHDRAWAL, true,
					&access);
	values[0] = Int32GetDatum(access.provider_id);
	values[1] = argument_effective(fcinfo, 2);
	if (statement_run(&update_effective, values, NULL) > 0)
		record("change_provider", &access, GetCurrentTimestamp());
	write_end();
	PG_RETURN_VOID();
}

/*
 * set_trusted_role(source_name text, provider_name text, trusted_role text,
 *					access_token text) returns void
 *
 * trusted_role NULL: none.
 *
 * Errors: 22004, 42501, 42704, 55000 (the provider is revoked).
 */
Datum
set_trusted_role(PG_FUNCTION_ARGS)
{
	static Statement update_trusted_role = {
		"UPDATE partreg.provider SET trusted_role = $2"
		" WHERE id = $1 AND trusted_role IS DISTINCT FROM $2", 2, {INT4OID, TEXTOID}
	};
	Access		access;
	Datum		values[2];
	char		nulls[3] = "  ";
	char	   *role;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	argument_require(fcinfo, 3);
	write_begin("set_trusted_role()");
	access_provider(argument_text(fcinfo, 0), argument_text(fcinfo, 1),
					argument_text(fcinfo, 3), PROVIDER_CHANGE, true, &access);
	refuse_revoked(&access);
	role = argument_role(fcinfo, 2);
	values[0] = Int32GetDatum(access.provider_id);
	if (role == NULL)
		nulls[1] = 'n';
	else
		values[1] = CStringGetTextDatum(role);
	if (statement_run(&update_trusted_role, values, nulls) > 0)
		record("change_provider", &access, GetCurrentTimestamp());
	write_end();
	PG_RETURN_VOID();
}

/*
 * Put a new token in the place of the one of a source or provider, whose row
 * is locked; the old one stays good for `grace` microseconds.
 */
static char *
replace_token(const Access *access, int64 grace)
{
	static Statement update_source = {
		"UPDATE partreg.source SET token_digest = $2, token_changed_at = $3,"
		"    old_token_digest = CASE WHEN $4 > $3 THEN token_digest END,"
		"    old_token_until = CASE WHEN $4 > $3 THEN $4 END"
		" WHERE id = $1",
		4, {INT4OID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
	};
	static Statement update_provider = {
		"UPDATE partreg.provider SET token_digest = $2, token_changed_at = $3,"
		"    old_token_digest = CASE WHEN $4 > $3 THEN token_digest END,"
		"    old_token_until = CASE WHEN $4 > $3 THEN $4 END"
		" WHERE id = $1",
		4, {INT4OID, BYTEAOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
	};
	bool		of_source = access->provider_name == NULL;
	char	   *token = token_make(of_source ? TOKEN_SOURCE : TOKEN_PROVIDER);
	TimestampTz now = GetCurrentTimestamp();
	TokenDigest digest;
	Datum		values[4];

	token_digest(token, &digest);
	values[0] = Int32GetDatum(of_source ? access->source_id
							  : access->provider_id);
	values[1] = token_digest_datum(&digest);
	values[2] = TimestampTzGetDatum(now);
	values[3] = TimestampTzGetDatum(timestamp_after(now, grace));
	statement_run(of_source ? &update_source : &update_provider, values, NULL);
	record("rotate", access, now);
	return token;
}

/*
 * rotate_access_token(source_name text, provider_name text, access_token text,
 *					   grace interval DEFAULT '0')
 *		returns text: the new token, shown this once
 *
 * provider_name NULL: the source's own token.  The old token stays good for
 * `grace`, by the clock; one that is older still dies at once.  A token in its
 * grace rotates nothing: whoever stole it would have a new one, without end.
 *
 * Errors: 22004, 42501, 42704, 22023, 55000 (the provider is revoked).
 */
Datum
rotate_access_token(PG_FUNCTION_ARGS)
{
	Access		access;
	int64		grace = 0;
	char	   *token;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 2);
	write_begin("rotate_access_token()");
	if (PG_ARGISNULL(1))
		access_source(argument_text(fcinfo, 0), argument_text(fcinfo, 2), false,
					  &access);
	else
		access_provider(argument_text(fcinfo, 0), argument_text(fcinfo, 1),
						argument_text(fcinfo, 2), PROVIDER_CHANGE, false,
						&access);
	if (access.by_old_token)
		access_deny();
	refuse_revoked(&access);
	if (!PG_ARGISNULL(3))
		grace = argument_duration(fcinfo, 3);
	token = replace_token(&access, grace);
	write_end();

	PG_RETURN_TEXT_P(cstring_to_text(token));
}

/*
 * reset_access_token(source_name text, provider_name text DEFAULT NULL)
 *		returns text: the new token, shown this once
 *
 * For the owner of the extension.  The old token dies at once.
 *
 * Errors: 22004, 42704, 55000 (the provider is revoked).
 */
Datum
reset_access_token(PG_FUNCTION_ARGS)
{
	Access		access;
	char	   *token;

	argument_require(fcinfo, 0);
	write_begin("reset_access_token()");
	access_owner(argument_text(fcinfo, 0), argument_text(fcinfo, 1), &access);
	refuse_revoked(&access);
	token = replace_token(&access, 0);
	write_end();

	PG_RETURN_TEXT_P(cstring_to_text(token));
}
