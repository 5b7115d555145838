/*
 * access.c
 *		Who may write: tokens and trusted roles.
 *
 * EXECUTE on a function, which grant_privileges() gives, lets a role call it
 * at all.  This file decides which source and provider the call may write to.
 *
 * Tokens, expiries, revocations and trusted roles are read by the latest
 * snapshot, under every isolation level: by its own snapshot, a REPEATABLE
 * READ transaction would accept a token that was rotated since.  They are
 * judged twice.  The first time is before the call waits for any row lock, so
 * that a stranger makes nobody wait.  The second time is after the row of the
 * source or provider is locked, as they may have changed during the wait.
 * From then on a revocation waits for this call.  A rotation does not wait,
 * and need not.
 *
 * Whatever is wrong with a token (it is missing, mistyped, unknown, expired,
 * revoked, of another source or provider, or for a source that does not
 * exist), the error is the same, and the work before it is the same.  So a
 * caller without a good token does not learn what exists.  The error says that
 * a provider does not exist only if the caller gave a good source token or is
 * trusted by the source.
 *
 * A trusted role is known by its OID.  So neither a role that was created
 * again under the same name is trusted, nor one that was renamed to it.  An
 * OID means something only in its own cluster, and a dump may be restored
 * anywhere.  Therefore the cluster (its system identifier) and the database in
 * which the OID was stored stand beside it.  In any other place, the name
 * counts.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "nodes/lockoptions.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "access.h"
#include "argument.h"
#include "catalog.h"
#include "compat.h"
#include "condition.h"
#include "party.h"
#include "row.h"
#include "snapshot.h"
#include "source.h"
#include "token.h"

/* What a call asks for */
typedef struct Request
{
	const char *source_name;	/* NULL: the source that the token opens */
	const char *provider_name;	/* NULL: the source as a whole */
	const char *token;			/* NULL: by trusted role */
	bool		of_source;		/* what opens the provider is not enough */
	Credential	named;			/* of a caller who needs no token, or NONE */
	/* What authorize() makes of the token */
	TokenKind	kind;
	TokenDigest digest;
} Request;

void
access_deny(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errcondition("not_allowed"),
			 errmsg("permission denied for source or provider"),
			 errdetail("No source and provider with these names accept this access token or role."),
			 errhint("Check the names, and the access token or trusted role. partreg.rotate_access_token() and partreg.reset_access_token() replace a lost token.")));
}

/* Refuse what nobody can do for a provider that is revoked. */
void
access_refuse_revoked(const Access *access)
{
	if (access->revoked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errcondition("provider_revoked"),
				 errmsg("provider \"%s\" is revoked",
						quotable(access->provider_name)),
				 errhint("Revive it with partreg.register_provider().")));
}

void
raise_unknown_provider(const char *source_name, const char *provider_name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errcondition("unknown_provider"),
			 errmsg("provider \"%s\" of source \"%s\" does not exist",
					quotable(provider_name), quotable(source_name)),
			 errhint("Register it with partreg.register_provider(); the view partreg.providers lists the providers.")));
}

/* The trusted role; InvalidOid: none, or it is gone. */
static Oid
trusted_role(const Party *party)
{
	if (party->role_name == NULL)
		return InvalidOid;
	if (!OidIsValid(party->role_oid) ||
		party->role_system != (int64) GetSystemIdentifier() ||
		party->role_database != MyDatabaseId)
		return get_role_oid(party->role_name, true);
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(party->role_oid)))
		return InvalidOid;
	return party->role_oid;
}

/*
 * Is the caller the trusted role of a source or provider, or a member of it
 * with USAGE?  The caller is the login role or what SET ROLE made of it, never
 * the definer of a function.  A superuser has the privileges of every role; that
 * alone does not count.
 */
static bool
is_trusted(const Party *party)
{
	Oid			caller = GetOuterUserId();
	Oid			role;

	/*
	 * In a security-restricted operation (ANALYZE, REINDEX, ...) code runs
	 * for a table's owner and must not act for the caller.
	 */
	if (party->role_name == NULL || party->revoked ||
		InSecurityRestrictedOperation())
		return false;
	/* A transaction that has all its locks has heard of no REVOKE since. */
	AcceptInvalidationMessages();
	role = trusted_role(party);
	return OidIsValid(role) &&
		has_privs_of_role(caller, role) &&
		is_member_of_role_nosuper(caller, role);
}

/*
 * What entitles the caller, and whether to all of the source; denies where
 * nothing does.  Who is trusted by the provider and by the source acts as the
 * provider.
 */
static Credential
find_credential(const Request *request, const Party *source,
				const Party *provider, bool *of_source)
{
	Match		opens_source = party_compare_token(&request->digest, source);
	Match		opens_provider = party_compare_token(&request->digest, provider);

	*of_source = true;
	if (request->named != CREDENTIAL_NONE)
		return request->named;
	if (request->token == NULL)
	{
		*of_source = request->of_source || !is_trusted(provider);
		if (*of_source && !is_trusted(source))
			access_deny();
		return CREDENTIAL_TRUSTED_ROLE;
	}
	if (request->kind == TOKEN_SOURCE)
	{
		if (opens_source == MATCH_NONE)
			access_deny();
		return opens_source == MATCH_OLD ? CREDENTIAL_OLD_TOKEN
			: CREDENTIAL_SOURCE_TOKEN;
	}
	*of_source = false;
	if (request->of_source || opens_provider == MATCH_NONE ||
		provider->revoked)
		access_deny();
	return opens_provider == MATCH_OLD ? CREDENTIAL_OLD_TOKEN
		: CREDENTIAL_PROVIDER_TOKEN;
}

/*
 * One judgement: denies, or says what the caller is entitled to.  `version` is
 * set to the place of the row that is to be locked.
 */
static void
judge(const Request *request, Access *access, ItemPointer version)
{
	Snapshot	snapshot = latest_snapshot();
	Party		source = {0};
	Party		provider = {0};

	if (request->source_name == NULL)
		party_find_by_token(&request->digest, snapshot, &source);
	else
		party_find_source(request->source_name, snapshot, &source);
	if (request->provider_name != NULL)
		party_find_provider(source.id, request->provider_name, snapshot, &provider);
	UnregisterSnapshot(snapshot);

	access->credential = find_credential(request, &source, &provider,
										 &access->of_source);
	if (source.id == 0)
		raise_unknown_source(request->source_name);
	if (request->provider_name != NULL && provider.id == 0)
		raise_unknown_provider(source.name, request->provider_name);
	access->source_id = source.id;
	access->source_name = source.name;
	access->provider_id = provider.id;
	access->provider_name = provider.name;
	access->revoked = provider.revoked;
	*version = request->provider_name != NULL ? provider.version
		: source.version;
}

/*
 * Lock the row of a source or provider that was there a moment ago.  True: it
 * is the version that was judged, and nobody had to be waited for.
 */
static bool
lock_party(CatalogIndex which, int32 id, AccessLock lock, ItemPointer judged)
{
	static const LockTupleMode modes[] = {
		[ACCESS_WRITE] = LockTupleKeyShare,
		[ACCESS_CHANGE] = LockTupleNoKeyExclusive,
		[ACCESS_WITHDRAW] = LockTupleExclusive
	};
	Snapshot	snapshot = current_snapshot();
	CatalogScan scan;
	bool		waited;
	bool		as_judged = false;

	catalog_begin_for_locking(&scan, which, snapshot);
	catalog_seek_number(&scan, id);
	if (catalog_next_row(&scan, ForwardScanDirection))
	{
		as_judged = row_lock_told(&scan, modes[lock], &waited) && !waited &&
			ItemPointerEquals(&scan.slot->tts_tid, judged);
	}
	else if (IsolationUsesXactSnapshot())
		raise_concurrent_change();	/* The snapshot is too old to know it. */
	catalog_end(&scan);
	UnregisterSnapshot(snapshot);
	return as_judged;
}

/*
 * Under REPEATABLE READ and SERIALIZABLE: the source, whose row is not locked
 * for its provider, must have the same name in the transaction's snapshot, or
 * what the transaction reads under that name is of another one.
 */
static void
refuse_renamed_source(const Access *access)
{
	Snapshot	snapshot;
	Party		source;

	if (!IsolationUsesXactSnapshot())
		return;
	snapshot = current_snapshot();
	party_find_source(access->source_name, snapshot, &source);
	UnregisterSnapshot(snapshot);
	if (source.id != access->source_id)
		raise_concurrent_change();
}

/*
 * Judge, lock the row, and judge again, until what is judged is what is locked:
 * it may have been dropped, or renamed, and another one of its name been
 * registered meanwhile.  Where the lock was had at once, on the very version
 * that was judged, nothing of that can be, and the judgement stands.
 */
static void
authorize(Request *request, AccessLock lock, Access *access)
{
	bool		of_provider = request->provider_name != NULL;
	ItemPointerData version;
	int32		locked;
	int32		judged;

	if (request->token != NULL)
	{
		request->kind = token_parse(request->token, &request->digest);
		if (request->kind == TOKEN_MALFORMED)
			access_deny();
	}
	judge(request, access, &version);
	if (lock == ACCESS_UNLOCKED)
		return;
	judged = of_provider ? access->provider_id : access->source_id;
	do
	{
		locked = judged;
		if (lock_party(of_provider ? PROVIDER_BY_ID : SOURCE_BY_ID, locked,
					   lock, &version))
			break;
		judge(request, access, &version);
		judged = of_provider ? access->provider_id : access->source_id;
	} while (judged != locked);
	if (of_provider)
		refuse_renamed_source(access);
}

/*
 * For the partitions of a provider: its token or trusted role is good, and so
 * are those of the source, which are good for more.  token NULL: by trusted
 * role.  The provider's row is locked when this returns.
 */
void
access_provider(const char *source_name, const char *provider_name,
				const char *token, AccessLock lock, Access *access)
{
	Request		request = {
		.source_name = source_name,
		.provider_name = provider_name,
		.token = token
	};

	authorize(&request, lock, access);
}

/* For a provider itself: only the token or trusted role of the source is good. */
void
access_provider_by_source(const char *source_name, const char *provider_name,
						  const char *token, AccessLock lock, Access *access)
{
	Request		request = {
		.source_name = source_name,
		.provider_name = provider_name,
		.token = token,
		.of_source = true
	};

	authorize(&request, lock, access);
}

/*
 * For a source: by its token or (token NULL) trusted role.  source_name NULL:
 * the one that the token opens.  One of the two has to be given; where both
 * are, they have to agree.
 */
void
access_source(const char *source_name, const char *token, AccessLock lock,
			  Access *access)
{
	Request		request = {
		.source_name = source_name,
		.token = token,
		.of_source = true
	};

	Assert(source_name != NULL || token != NULL);
	authorize(&request, lock, access);
}

/*
 * For callers who need no token (operators, the owner of the extension): a
 * source, or a provider of it, by name.
 */
void
access_named(const char *source_name, const char *provider_name,
			 Credential credential, AccessLock lock, Access *access)
{
	Request		request = {
		.source_name = source_name,
		.provider_name = provider_name,
		.of_source = true,
		.named = credential
	};

	Assert(credential != CREDENTIAL_NONE);
	authorize(&request, lock, access);
}
