/*
 * registry.c
 *		Sources and providers: declaring and describing them.
 *
 * Which providers are required under rule "all" decides what is ready, so a
 * change of a provider's effective range is handled like a withdrawal: after
 * all open writers of the provider, and counting its epoch up, which a
 * REPEATABLE READ transaction that began before notices.  A change of the rule,
 * or a new provider, is one row that a snapshot has or has not.
 *
 * A deployment script declares its sources and providers again and again.  So a
 * name is looked for before anything is made (namesake.c), and a call that is
 * refused or repeated draws no number: ids are integers, of which there are two
 * thousand million.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "effective.h"
#include "history.h"
#include "namesake.h"
#include "sequence.h"
#include "snapshot.h"
#include "statement.h"
#include "token.h"
#include "write.h"

PG_FUNCTION_INFO_V1(register_source);
PG_FUNCTION_INFO_V1(register_provider);
PG_FUNCTION_INFO_V1(set_owner);
PG_FUNCTION_INFO_V1(set_readiness_rule);
PG_FUNCTION_INFO_V1(set_effective);
PG_FUNCTION_INFO_V1(set_trusted_role);

#define UPDATE_TRUSTED_ROLE(table) \
	"UPDATE partreg." table " SET trusted_role = $2, trusted_role_oid = $3," \
	"    trusted_role_system = $4, trusted_role_database = $5" \
	" WHERE id = $1 AND (trusted_role, trusted_role_oid," \
	"    trusted_role_system, trusted_role_database)" \
	"    IS DISTINCT FROM ($2, $3, $4, $5)"

static void
check_rule(const char *rule)
{
	if (strcmp(rule, "any") != 0 && strcmp(rule, "all") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("unrecognized readiness rule \"%s\"", quotable(rule)),
				 errhint("The rules are \"any\" and \"all\".")));
}

/*
 * The time for which a provider is required under rule "all", as it is stored;
 * it may be unbounded or empty.  NULL: all of time.
 */
static Datum
check_effective(RangeType *given)
{
	TimeInterval effective = {INTERVAL_MIN, INTERVAL_MAX};

	if (given != NULL && !range_to_interval(given, &effective))
		return empty_range();
	return interval_to_range(effective);
}

/* The columns trusted_role, _oid, _system and _database; NULL: no role */
static void
param_trusted_role(Parameters *parameters, const char *role)
{
	param_text(parameters, role);
	if (role == NULL)
	{
		param_null(parameters, OIDOID);
		param_null(parameters, INT8OID);
		param_null(parameters, OIDOID);
		return;
	}
	param_oid(parameters, get_role_oid(role, false));
	param_int8(parameters, (int64) GetSystemIdentifier());
	param_oid(parameters, MyDatabaseId);
}

/* An event of a source or provider as a whole; details: NULL, if it has none */
static void
record(const char *what, const Access *access, Jsonb *details)
{
	Event		event = {
		.event = what,
		.access = access,
		.at = GetCurrentTimestamp(),
		.details = details
	};

	history_record(&event);
}

/* Insert a source; false: somebody else has inserted one of its name. */
static bool
insert_source(const Access *access, const char *owner, const char *rule,
			  const char *role, const TokenDigest *digest)
{
	static Statement statement = {
		"INSERT INTO partreg.source (id, name, owner, rule, registered_at,"
		"    token_digest, token_changed_at, trusted_role, trusted_role_oid,"
		"    trusted_role_system, trusted_role_database)"
		" OVERRIDING SYSTEM VALUE"
		" VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8, $9, $10)"
		" ON CONFLICT (name) DO NOTHING"
	};
	Parameters	parameters = {0};

	param_int4(&parameters, access->source_id);
	param_text(&parameters, access->source_name);
	param_text(&parameters, owner);
	param_text(&parameters, rule);
	param_time(&parameters, GetCurrentTimestamp());
	param_datum(&parameters, BYTEAOID, token_digest_datum(digest));
	param_trusted_role(&parameters, role);
	return statement_run(&statement, &parameters) > 0;
}

/*
 * register_source(source_name text, owner text, rule text DEFAULT 'any',
 *				   trusted_role text DEFAULT NULL,
 *				   if_not_exists boolean DEFAULT false)
 *		returns text: the source token, shown this once
 *
 * trusted_role: the role whose members need no source token (NULL: none).
 * if_not_exists: for a source that exists NULL is returned, and nothing about it
 * is changed.
 *
 * Errors: 22004, 22023, 42704 (trusted_role), 42710.
 */
Datum
register_source(PG_FUNCTION_ARGS)
{
	Access		access = {0};
	char	   *owner;
	char	   *rule;
	char	   *role;
	bool		if_not_exists;
	char	   *token = NULL;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	access.source_name = argument_text(fcinfo, 0);
	owner = argument_text(fcinfo, 1);
	rule = argument_text(fcinfo, 2);
	role = argument_text(fcinfo, 3);
	if_not_exists = argument_flag(fcinfo, 4);

	write_begin("register_source()");
	check_name(access.source_name, "source_name");
	check_name(owner, "owner");
	if (rule == NULL)
		rule = "any";
	check_rule(rule);
	if (role != NULL)
		check_role_name(role, "trusted_role");

	while (token == NULL)
	{
		Namesake	namesake;
		TokenDigest digest;
		char	   *made;

		namesake_find_source(access.source_name, &namesake);
		if (namesake.id != 0)
			break;
		access.source_id = (int32) sequence_next(SEQUENCE_SOURCE);
		made = token_make(TOKEN_SOURCE);
		token_digest(made, &digest);
		if (insert_source(&access, owner, rule, role, &digest))
			token = made;
	}
	if (token != NULL)
		record("register_source", &access, NULL);
	else if (!if_not_exists)
		namesake_refuse_source(access.source_name,
							   "Its owner has the token. partreg.reset_access_token() replaces a lost token.");
	write_end();

	if (token == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

/* What register_provider() stores */
typedef struct NewProvider
{
	const char *role;
	Datum		effective;
	char	   *effective_before;	/* of one that is revived */
	TokenDigest digest;
} NewProvider;

/* Insert a provider; false: somebody else has inserted one of its name. */
static bool
insert_provider(const Access *access, const NewProvider *provider)
{
	static Statement statement = {
		"INSERT INTO partreg.provider (id, source_id, name, effective,"
		"    registered_at, token_digest, token_changed_at, trusted_role,"
		"    trusted_role_oid, trusted_role_system, trusted_role_database)"
		" OVERRIDING SYSTEM VALUE"
		" VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8, $9, $10)"
		" ON CONFLICT (source_id, name) DO NOTHING"
	};
	Parameters	parameters = {0};

	param_int4(&parameters, access->provider_id);
	param_int4(&parameters, access->source_id);
	param_text(&parameters, access->provider_name);
	param_datum(&parameters, TSTZRANGEOID, provider->effective);
	param_time(&parameters, GetCurrentTimestamp());
	param_datum(&parameters, BYTEAOID, token_digest_datum(&provider->digest));
	param_trusted_role(&parameters, provider->role);
	return statement_run(&statement, &parameters) > 0;
}

/* Revive a provider; false: somebody else has, or it has another name now. */
static bool
revive_provider(const Access *access, NewProvider *provider)
{
	static Statement statement = {
		"UPDATE partreg.provider"
		"    SET effective = $3, epoch = epoch + 1, token_digest = $4,"
		"        token_changed_at = $5, revoked_at = NULL, trusted_role = $6,"
		"        trusted_role_oid = $7, trusted_role_system = $8,"
		"        trusted_role_database = $9"
		" WHERE id = $1 AND name = $2 AND revoked_at IS NOT NULL"
	};
	Parameters	parameters = {0};

	provider->effective_before = effective_lock(access->provider_id);
	param_int4(&parameters, access->provider_id);
	param_text(&parameters, access->provider_name);
	param_datum(&parameters, TSTZRANGEOID, provider->effective);
	param_datum(&parameters, BYTEAOID, token_digest_datum(&provider->digest));
	param_time(&parameters, GetCurrentTimestamp());
	param_trusted_role(&parameters, provider->role);
	if (statement_run(&statement, &parameters) > 0)
		return true;

	/* The transaction's snapshot would find no other row next time. */
	if (IsolationUsesXactSnapshot())
		raise_concurrent_change();
	return false;
}

/*
 * register_provider(provider_name text, access_token text DEFAULT NULL,
 *					 trusted_role text DEFAULT NULL,
 *					 effective tstzrange DEFAULT '(,)',
 *					 source_name text DEFAULT NULL,
 *					 if_not_exists boolean DEFAULT false)
 *		returns text: the provider token, shown this once
 *
 * The source is the one that the token opens, and may be named; for the
 * source's trusted role, who needs no token, it has to be.  A revoked provider
 * of this name is revived: what it supplied is still there.  if_not_exists: for
 * a provider that exists and is not revoked NULL is returned, and nothing about
 * it is changed.
 *
 * Errors: 22004, 42501, 22023, 42704 (trusted_role), 42710.
 */
Datum
register_provider(PG_FUNCTION_ARGS)
{
	Access		access;
	NewProvider provider;
	char	   *name;
	char	   *source_token;
	char	   *role;
	RangeType  *effective;
	char	   *source_name;
	bool		if_not_exists;
	bool		revived = false;
	char	   *token = NULL;

	argument_require(fcinfo, 0);
	name = argument_text(fcinfo, 0);
	source_token = argument_text(fcinfo, 1);
	role = argument_text(fcinfo, 2);
	effective = argument_range(fcinfo, 3);
	source_name = argument_text(fcinfo, 4);
	if_not_exists = argument_flag(fcinfo, 5);
	if (source_token == NULL && source_name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errcondition("bad_argument"),
				 errmsg("argument \"source_name\" must not be null if \"access_token\" is null"),
				 errhint("Give the source token, or name the source that trusts your role.")));

	write_begin("register_provider()");
	access_source(source_name, source_token, ACCESS_WRITE, &access);
	check_name(name, "provider_name");
	if (role != NULL)
		check_role_name(role, "trusted_role");
	access.provider_name = name;
	provider.role = role;
	provider.effective = check_effective(effective);

	while (token == NULL)
	{
		Namesake	namesake;
		char	   *made;

		namesake_find_provider(access.source_id, name, &namesake);
		if (namesake.id != 0 && !namesake.revoked)
			break;
		made = token_make(TOKEN_PROVIDER);
		token_digest(made, &provider.digest);
		if (namesake.id != 0)
		{
			access.provider_id = namesake.id;
			revived = revive_provider(&access, &provider);
			if (revived)
				token = made;
		}
		else
		{
			access.provider_id = (int32) sequence_next(SEQUENCE_PROVIDER);
			if (insert_provider(&access, &provider))
				token = made;
		}
	}
	if (token != NULL)
	{
		Event		event = {
			.event = "register_provider",
			.access = &access,
			.at = GetCurrentTimestamp(),
			.may_make_ready = revived
		};

		/* A new one was not asked for anything before. */
		if (revived)
			event.details = history_change("effective",
										   provider.effective_before,
										   effective_text(provider.effective));

		history_record(&event);
	}
	else if (!if_not_exists)
		namesake_refuse_provider(access.source_name, name,
								 "partreg.rotate_access_token() with the source token replaces a lost token.");
	write_end();

	if (token == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

/*
 * set_owner(source_name text, owner text, access_token text DEFAULT NULL)
 *		returns void
 *
 * Leaves no event: it changes a label, and nothing about readiness or access.
 *
 * Errors: 22004, 42501, 22023.
 */
Datum
set_owner(PG_FUNCTION_ARGS)
{
	static Statement update_owner = {
		"UPDATE partreg.source SET owner = $2 WHERE id = $1"
	};
	Parameters	parameters = {0};
	Access		access;
	char	   *source_name;
	char	   *owner;
	char	   *token;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	source_name = argument_text(fcinfo, 0);
	owner = argument_text(fcinfo, 1);
	token = argument_text(fcinfo, 2);

	write_begin("set_owner()");
	access_source(source_name, token, ACCESS_CHANGE, &access);
	check_name(owner, "owner");
	param_int4(&parameters, access.source_id);
	param_text(&parameters, owner);
	statement_run(&update_owner, &parameters);
	write_end();
	PG_RETURN_VOID();
}

/*
 * set_readiness_rule(source_name text, rule text,
 *					  access_token text DEFAULT NULL)
 *		returns void
 *
 * Errors: 22004, 42501, 22023.
 */
Datum
set_readiness_rule(PG_FUNCTION_ARGS)
{
	static Statement update_rule = {
		"UPDATE partreg.source SET rule = $2 WHERE id = $1 AND rule <> $2"
	};
	Parameters	parameters = {0};
	Access		access;
	char	   *source_name;
	char	   *rule;
	char	   *token;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 1);
	source_name = argument_text(fcinfo, 0);
	rule = argument_text(fcinfo, 1);
	token = argument_text(fcinfo, 2);

	write_begin("set_readiness_rule()");
	access_source(source_name, token, ACCESS_CHANGE, &access);
	check_rule(rule);
	param_int4(&parameters, access.source_id);
	param_text(&parameters, rule);
	if (statement_run(&update_rule, &parameters) > 0)
		record("change_rule", &access,
			   history_change("rule", strcmp(rule, "any") == 0 ? "all" : "any",
							  rule));
	write_end();
	PG_RETURN_VOID();
}

/*
 * set_effective(source_name text, provider_name text, effective tstzrange,
 *				 access_token text DEFAULT NULL)
 *		returns void
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
		" WHERE id = $1 AND effective <> $2"
	};
	Parameters	parameters = {0};
	Access		access;
	char	   *source_name;
	char	   *provider_name;
	RangeType  *effective;
	char	   *token;
	Datum		after;
	char	   *before;

	for (int i = 0; i < 3; i++)
		argument_require(fcinfo, i);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);
	effective = argument_range(fcinfo, 2);
	token = argument_text(fcinfo, 3);

	write_begin("set_effective()");
	access_provider_by_source(source_name, provider_name, token,
							  ACCESS_WITHDRAW, &access);
	param_int4(&parameters, access.provider_id);
	after = check_effective(effective);
	param_datum(&parameters, TSTZRANGEOID, after);
	before = effective_lock(access.provider_id);
	if (statement_run(&update_effective, &parameters) > 0)
	{
		Event		event = {
			.event = "change_provider",
			.access = &access,
			.at = GetCurrentTimestamp(),
			.details = history_change("effective", before,
									  effective_text(after)),
			.may_make_ready = true
		};

		history_record(&event);
	}
	write_end();
	PG_RETURN_VOID();
}

/*
 * set_trusted_role(source_name text, provider_name text, trusted_role text,
 *					access_token text DEFAULT NULL)
 *		returns void
 *
 * provider_name NULL: the source's own.  trusted_role NULL: none.  The role is
 * stored as the one that bears the name now; so the same name given again is a
 * change where it means another role, or was all that was known of it.
 *
 * Errors: 22004, 42501, 42704, 55000 (the provider is revoked).
 */
Datum
set_trusted_role(PG_FUNCTION_ARGS)
{
	static Statement update_source = {UPDATE_TRUSTED_ROLE("source")};
	static Statement update_provider = {UPDATE_TRUSTED_ROLE("provider")};
	Parameters	parameters = {0};
	Access		access;
	char	   *source_name;
	char	   *provider_name;
	char	   *role;
	char	   *token;
	bool		of_provider;

	argument_require(fcinfo, 0);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);
	role = argument_text(fcinfo, 2);
	token = argument_text(fcinfo, 3);
	of_provider = provider_name != NULL;

	write_begin("set_trusted_role()");
	if (of_provider)
		access_provider_by_source(source_name, provider_name, token,
								  ACCESS_CHANGE, &access);
	else
		access_source(source_name, token, ACCESS_CHANGE, &access);
	access_refuse_revoked(&access);
	if (role != NULL)
		check_role_name(role, "trusted_role");
	param_int4(&parameters, of_provider ? access.provider_id
			   : access.source_id);
	param_trusted_role(&parameters, role);
	if (statement_run(of_provider ? &update_provider : &update_source,
					  &parameters) > 0)
		record("change_provider", &access, NULL);
	write_end();
	PG_RETURN_VOID();
}
