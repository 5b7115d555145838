/*
 * access.c
 *		Who may write: tokens and trusted roles.
 *
 * EXECUTE on a function lets a role in at all (grant_privileges); this is
 * about which source and provider it may write to.
 *
 * Tokens, expiries and revocations are read by the latest snapshot, under
 * every isolation level: REPEATABLE READ would go on believing a token that
 * was rotated since.  They are judged twice: once before any lock is waited
 * for, so that a stranger holds up nobody, and again when the lock on the
 * provider's row is held, as they may have changed during the wait.  From then
 * on a revocation waits for us; a rotation does not, and need not.
 *
 * Whatever is wrong with a token (missing, mistyped, unknown, expired, revoked,
 * of another source or provider, or for a source that does not exist) gives
 * one and the same error, for the same work: what exists is no business of
 * somebody without a token.  Only behind a good source token an unknown
 * provider is called unknown.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "statement.h"
#include "token.h"

/* What is stored about the tokens of a source or a provider */
typedef struct Credentials
{
	int32		id;				/* 0: there is none */
	char	   *name;
	bytea	   *digest;			/* NULL: none */
	bytea	   *old_digest;		/* NULL: none, or its time is over */
	char	   *trusted_role;	/* of a provider; NULL: none */
	bool		revoked;
} Credentials;

/*
 * The caller: the login role or what SET ROLE made of it.  Not the current
 * user, which is the definer while a SECURITY DEFINER function runs, ours or
 * somebody else's.
 */
char *
caller_name(void)
{
	return GetUserNameFromId(GetOuterUserId(), false);
}

/* The same as a value of type name, which is of fixed length. */
Datum
caller_name_datum(void)
{
	Name		name = palloc0(NAMEDATALEN);

	namestrcpy(name, caller_name());
	return NameGetDatum(name);
}

void
access_deny(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("not allowed: no source and provider for which this access token or role is good"),
			 errhint("Check the names, and the access token or the provider's trusted role; a lost token is replaced by rotate_access_token() or reset_access_token().")));
}

/*
 * Under REPEATABLE READ and SERIALIZABLE: something that this call depends on
 * changed after the transaction's snapshot.
 */
void
raise_concurrent_change(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errhint("Repeat the transaction.")));
}

pg_noreturn static void
raise_unknown_provider(const char *source_name, const char *provider_name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("provider \"%s\" of source \"%s\" does not exist",
					quotable(provider_name), quotable(source_name)),
			 errhint("Register it with register_provider(); the view partreg.providers lists those there are.")));
}

static bytea *
row_digest(CatalogScan *scan, int attnum)
{
	bool		isnull;
	Datum		value = catalog_row_value(scan, attnum, &isnull);

	return isnull ? NULL : DatumGetByteaPCopy(value);
}

static char *
row_text(CatalogScan *scan, int attnum)
{
	bool		isnull;
	Datum		value = catalog_row_value(scan, attnum, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* The digest of the token before the last rotation, if it is still good. */
static bytea *
row_old_digest(CatalogScan *scan, int digest_attnum, int until_attnum)
{
	bool		isnull;
	Datum		until = catalog_row_value(scan, until_attnum, &isnull);

	if (isnull || DatumGetTimestampTz(until) <= GetCurrentTimestamp())
		return NULL;
	return row_digest(scan, digest_attnum);
}

static void
source_credentials(CatalogScan *scan, Credentials *source)
{
	bool		isnull;

	source->id = DatumGetInt32(catalog_row_value(scan, Anum_source_id,
												 &isnull));
	source->name = row_text(scan, Anum_source_name);
	source->digest = row_digest(scan, Anum_source_token_digest);
	source->old_digest = row_old_digest(scan, Anum_source_old_token_digest,
										Anum_source_old_token_until);
}

/* What is known of a source, and of a provider of it where one is named */
static void
find_credentials(const char *source_name, const char *provider_name,
				 Credentials *source, Credentials *provider)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	CatalogScan scan;
	ScanKeyData keys[2];
	bool		isnull;

	memset(source, 0, sizeof(*source));
	memset(provider, 0, sizeof(*provider));

	catalog_begin(&scan, SOURCE_BY_NAME, snapshot);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(source_name));
	catalog_seek(&scan, keys, 1);
	if (catalog_next_row(&scan, ForwardScanDirection))
		source_credentials(&scan, source);
	catalog_end(&scan);

	if (provider_name != NULL)
	{
		/* Also with no source: id 0 has no providers, but costs as much. */
		catalog_begin(&scan, PROVIDER_BY_NAME, snapshot);
		ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ,
					Int32GetDatum(source->id));
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TEXTEQ,
					CStringGetTextDatum(provider_name));
		catalog_seek(&scan, keys, 2);
		if (catalog_next_row(&scan, ForwardScanDirection))
		{
			provider->id = DatumGetInt32(catalog_row_value(&scan,
														   Anum_provider_id,
														   &isnull));
			provider->name = row_text(&scan, Anum_provider_name);
			provider->digest = row_digest(&scan, Anum_provider_token_digest);
			provider->old_digest = row_old_digest(&scan,
												  Anum_provider_old_token_digest,
												  Anum_provider_old_token_until);
			provider->trusted_role = row_text(&scan,
											  Anum_provider_trusted_role);
			catalog_row_value(&scan, Anum_provider_revoked_at, &isnull);
			provider->revoked = !isnull;
		}
		catalog_end(&scan);
	}
	UnregisterSnapshot(snapshot);
}

/*
 * Is this one of the tokens?  Both are always compared.  `by_old` is set when
 * it is the one before the last rotation.
 */
static bool
opens(const TokenDigest *digest, const Credentials *credentials, bool *by_old)
{
	bool		current = token_digest_equals(digest, credentials->digest);
	bool		old = token_digest_equals(digest, credentials->old_digest);

	if (old)
		*by_old = true;
	return current || old;
}

/*
 * Is the caller the provider's trusted role, or a member of it with USAGE?  A
 * superuser has the privileges of every role; that alone does not count.
 */
static bool
is_trusted(const Credentials *provider)
{
	Oid			caller = GetOuterUserId();
	Oid			role;

	/*
	 * In a security-restricted operation (ANALYZE, REINDEX, ...) code runs for
	 * a table's owner and must not act for the caller.
	 */
	if (provider->trusted_role == NULL || provider->revoked ||
		InSecurityRestrictedOperation())
		return false;
	/* A transaction that has all its locks has heard of no REVOKE since. */
	AcceptInvalidationMessages();
	role = get_role_oid(provider->trusted_role, true);
	return OidIsValid(role) &&
		has_privs_of_role(caller, role) &&
		is_member_of_role_nosuper(caller, role);
}

/* One judgement: denies, or says what the caller is entitled to. */
static void
judge_provider(const char *source_name, const char *provider_name,
			   const char *token, bool source_token_only, Access *access)
{
	Credentials source;
	Credentials provider;
	TokenDigest digest;
	TokenKind	kind;
	bool		opens_source;
	bool		opens_provider;
	bool		by_old = false;

	kind = token_parse(token == NULL ? "" : token, &digest);
	if (token != NULL && kind == TOKEN_MALFORMED)
		access_deny();

	find_credentials(source_name, provider_name, &source, &provider);
	opens_source = opens(&digest, &source, &by_old);
	opens_provider = opens(&digest, &provider, &by_old);

	if (token == NULL)
	{
		if (source_token_only || !is_trusted(&provider))
			access_deny();
	}
	else if (kind == TOKEN_SOURCE)
	{
		if (!opens_source)
			access_deny();
		if (provider.id == 0)
			raise_unknown_provider(source_name, provider_name);
	}
	else if (source_token_only || !opens_provider || provider.revoked)
		access_deny();

	access->source_id = source.id;
	access->source_name = source.name;
	access->provider_id = provider.id;
	access->provider_name = provider.name;
	access->by_source_token = kind == TOKEN_SOURCE;
	access->by_old_token = by_old;
	access->revoked = provider.revoked;
}

static Statement lock_provider[] = {
	[PROVIDER_WRITER] = {"SELECT 1 FROM partreg.provider WHERE id = $1 FOR KEY SHARE", 1, {INT4OID}},
	[PROVIDER_CHANGE] = {"SELECT 1 FROM partreg.provider WHERE id = $1 FOR NO KEY UPDATE", 1, {INT4OID}},
	[PROVIDER_WITHDRAWAL] = {"SELECT 1 FROM partreg.provider WHERE id = $1 FOR UPDATE", 1, {INT4OID}},
};

/* Lock the row of a provider that was there a moment ago. */
static void
take_provider_lock(int32 provider_id, ProviderLock lock)
{
	Datum		values[1] = {Int32GetDatum(provider_id)};

	/* A transaction's snapshot may be too old to know the row. */
	if (statement_run(&lock_provider[lock], values, NULL) == 0 &&
		IsolationUsesXactSnapshot())
		raise_concurrent_change();
}

/*
 * May the caller write to a provider's partitions, or, with the source token
 * only, change the provider itself?  If so its row is locked when this returns.
 */
void
access_provider(const char *source_name, const char *provider_name,
				const char *token, ProviderLock lock, bool source_token_only,
				Access *access)
{
	int32		locked;

	judge_provider(source_name, provider_name, token, source_token_only,
				   access);
	do
	{
		locked = access->provider_id;
		take_provider_lock(locked, lock);
		judge_provider(source_name, provider_name, token, source_token_only,
					   access);
		/* Dropped and registered anew meanwhile: that one is not locked. */
	} while (access->provider_id != locked);
}

static void
judge_source(const char *source_name, const char *token, Access *access)
{
	Credentials source;
	Credentials none;
	TokenDigest digest;
	bool		by_old = false;

	if (token_parse(token, &digest) == TOKEN_MALFORMED)
		access_deny();
	find_credentials(source_name, NULL, &source, &none);
	if (!opens(&digest, &source, &by_old))
		access_deny();

	memset(access, 0, sizeof(*access));
	access->source_id = source.id;
	access->source_name = source.name;
	access->by_source_token = true;
	access->by_old_token = by_old;
}

static Statement lock_source = {
	"SELECT 1 FROM partreg.source WHERE id = $1 FOR NO KEY UPDATE", 1, {INT4OID}
};
static Statement lock_source_for_drop = {
	"SELECT 1 FROM partreg.source WHERE id = $1 FOR UPDATE", 1, {INT4OID}
};
static Statement share_source = {
	"SELECT 1 FROM partreg.source WHERE id = $1 FOR KEY SHARE", 1, {INT4OID}
};

/* Lock the row of a source that was there a moment ago. */
static void
take_source_lock(Statement *lock, int32 source_id)
{
	Datum		values[1] = {Int32GetDatum(source_id)};

	if (statement_run(lock, values, NULL) == 0 && IsolationUsesXactSnapshot())
		raise_concurrent_change();
}

/*
 * May the caller change a source?  If so its row is locked, and for a drop
 * nobody is registering a provider of it.
 */
void
access_source(const char *source_name, const char *token, bool for_drop,
			  Access *access)
{
	int32		locked;

	judge_source(source_name, token, access);
	do
	{
		locked = access->source_id;
		take_source_lock(for_drop ? &lock_source_for_drop : &lock_source,
						 locked);
		judge_source(source_name, token, access);
	} while (access->source_id != locked);
}

/* The source that a token opens; 0: none */
static bool
find_source_by_token(const TokenDigest *digest, Credentials *source)
{
	static const CatalogIndex indexes[] = {SOURCE_BY_TOKEN, SOURCE_BY_OLD_TOKEN};
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		found = false;
	bool		by_old = false;

	memset(source, 0, sizeof(*source));
	for (int i = 0; i < lengthof(indexes) && !found; i++)
	{
		CatalogScan scan;
		ScanKeyData key;

		catalog_begin(&scan, indexes[i], snapshot);
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_BYTEAEQ,
					token_digest_datum(digest));
		catalog_seek(&scan, &key, 1);
		while (!found && catalog_next_row(&scan, ForwardScanDirection))
		{
			source_credentials(&scan, source);
			found = opens(digest, source, &by_old);
		}
		catalog_end(&scan);
	}
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * The source that a source token opens.  Its row is locked against being
 * dropped.
 */
void
access_source_by_token(const char *token, Access *access)
{
	Credentials source;
	TokenDigest digest;

	if (token_parse(token, &digest) != TOKEN_SOURCE ||
		!find_source_by_token(&digest, &source))
		access_deny();

	take_source_lock(&share_source, source.id);
	if (!find_source_by_token(&digest, &source))
		access_deny();

	memset(access, 0, sizeof(*access));
	access->source_id = source.id;
	access->source_name = source.name;
	access->by_source_token = true;
}

/*
 * For the owner of the extension, who needs no token: a source, or a provider
 * of it, by name.  Its row is locked for an update.
 */
void
access_owner(const char *source_name, const char *provider_name,
			 Access *access)
{
	Credentials source;
	Credentials provider;
	int32		locked = 0;

	for (;;)
	{
		int32		wanted;

		find_credentials(source_name, provider_name, &source, &provider);
		if (source.id == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("source \"%s\" does not exist",
							quotable(source_name)),
					 errhint("The view partreg.sources lists the sources.")));
		if (provider_name != NULL && provider.id == 0)
			raise_unknown_provider(source_name, provider_name);

		wanted = provider_name != NULL ? provider.id : source.id;
		if (wanted == locked)
			break;
		if (provider_name != NULL)
			take_provider_lock(wanted, PROVIDER_CHANGE);
		else
			take_source_lock(&lock_source, wanted);
		locked = wanted;
	}

	access->source_id = source.id;
	access->source_name = source.name;
	access->provider_id = provider.id;
	access->provider_name = provider.name;
	access->by_source_token = false;
	access->by_old_token = false;
	access->revoked = provider.revoked;
}
