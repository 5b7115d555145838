/*
 * rotate.c
 *		New tokens in the place of old ones.
 *
 * A source or provider has one token and at most one old token.  A rotation
 * may leave the old one valid for a while (its grace), so that jobs can get
 * the new one one after the other.  The clock decides when it expires,
 * whatever a snapshot says (access.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "compat.h"
#include "history.h"
#include "statement.h"
#include "token.h"
#include "write.h"

PG_FUNCTION_INFO_V1(rotate_access_token);
PG_FUNCTION_INFO_V1(reset_access_token);

#define REPLACE_TOKEN(table) \
	"UPDATE partreg." table " SET token_digest = $2, token_changed_at = $3," \
	"    old_token_digest = CASE WHEN $4 > $3 THEN token_digest END," \
	"    old_token_until = CASE WHEN $4 > $3 THEN $4 END" \
	" WHERE id = $1"

/*
 * Put a new token in the place of the one of a source or provider, whose row
 * is locked; the old one stays good for `grace` microseconds.
 */
static char *
replace_token(const Access *access, int64 grace)
{
	static Statement update_source = {REPLACE_TOKEN("source")};
	static Statement update_provider = {REPLACE_TOKEN("provider")};
	bool		of_source = access->provider_name == NULL;
	char	   *token = token_make(of_source ? TOKEN_SOURCE : TOKEN_PROVIDER);
	Parameters	parameters = {0};
	TokenDigest digest;
	Event		event = {
		.event = "rotate",
		.access = access,
		.at = GetCurrentTimestamp()
	};

	token_digest(token, &digest);
	param_int4(&parameters, of_source ? access->source_id
			   : access->provider_id);
	param_datum(&parameters, BYTEAOID, token_digest_datum(&digest));
	param_time(&parameters, event.at);
	param_time(&parameters, timestamp_after(event.at, grace));
	statement_run(of_source ? &update_source : &update_provider, &parameters);
	history_record(&event);
	return token;
}

/*
 * rotate_access_token(source_name text, provider_name text, access_token text,
 *					   grace interval DEFAULT '0')
 *		returns text: the new token, shown this once
 *
 * provider_name NULL: the source's own token.  The source token rotates those of
 * its providers, too.  The old token stays good for `grace`, by the clock; one
 * that is older still dies at once.  A token in its grace rotates nothing:
 * a thief of the old token could get a new one again and again.
 *
 * Errors: 22004, 42501, 42704, 22023, 55000 (the provider is revoked).
 */
Datum
rotate_access_token(PG_FUNCTION_ARGS)
{
	Access		access;
	char	   *source_name;
	char	   *provider_name;
	char	   *token;
	Interval   *grace;

	argument_require(fcinfo, 0);
	argument_require(fcinfo, 2);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);
	token = argument_text(fcinfo, 2);
	grace = argument_interval(fcinfo, 3);

	write_begin("rotate_access_token()");
	if (provider_name == NULL)
		access_source(source_name, token, ACCESS_CHANGE, &access);
	else
		access_provider(source_name, provider_name, token, ACCESS_CHANGE,
						&access);
	if (access.credential == CREDENTIAL_OLD_TOKEN)
		access_deny();
	access_refuse_revoked(&access);
	token = replace_token(&access, grace == NULL ? 0
						  : check_duration(grace, "grace"));
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
	char	   *source_name;
	char	   *provider_name;
	char	   *token;

	argument_require(fcinfo, 0);
	source_name = argument_text(fcinfo, 0);
	provider_name = argument_text(fcinfo, 1);

	write_begin("reset_access_token()");
	access_named(source_name, provider_name, CREDENTIAL_OWNER, ACCESS_CHANGE,
				 &access);
	access_refuse_revoked(&access);
	token = replace_token(&access, 0);
	write_end();

	PG_RETURN_TEXT_P(cstring_to_text(token));
}
