/*
 * party.c
 *		What is stored about who may write: of a source, or of a provider.
 *
 * Both have a token; for a while after a rotation, the token before it; and a
 * trusted role. access.c judges what these entitle to.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "party.h"

/* Where that stands in the two tables */
typedef struct PartyColumns
{
	int			id;
	int			name;
	int			digest;
	int			old_digest;
	int			old_until;
	int			role_name;
	int			role_oid;
	int			role_system;
	int			role_database;
	int			revoked_at;		/* 0: it cannot be revoked */
} PartyColumns;

static const PartyColumns source_columns = {
	.id = Anum_source_id,
	.name = Anum_source_name,
	.digest = Anum_source_token_digest,
	.old_digest = Anum_source_old_token_digest,
	.old_until = Anum_source_old_token_until,
	.role_name = Anum_source_trusted_role,
	.role_oid = Anum_source_trusted_role_oid,
	.role_system = Anum_source_trusted_role_system,
	.role_database = Anum_source_trusted_role_database
};

static const PartyColumns provider_columns = {
	.id = Anum_provider_id,
	.name = Anum_provider_name,
	.digest = Anum_provider_token_digest,
	.old_digest = Anum_provider_old_token_digest,
	.old_until = Anum_provider_old_token_until,
	.role_name = Anum_provider_trusted_role,
	.role_oid = Anum_provider_trusted_role_oid,
	.role_system = Anum_provider_trusted_role_system,
	.role_database = Anum_provider_trusted_role_database,
	.revoked_at = Anum_provider_revoked_at
};

/* A copy of a digest; NULL for null */
static bytea *
row_digest(CatalogScan *scan, int column)
{
	bool		isnull;
	Datum		value = catalog_row_value(scan, column, &isnull);

	return isnull ? NULL : DatumGetByteaPCopy(value);
}

static void
read_party(CatalogScan *scan, const PartyColumns *columns, Party *party)
{
	TimestampTz until;
	bool		isnull;

	party->id = catalog_row_int32(scan, columns->id);
	party->name = catalog_row_text(scan, columns->name);
	party->digest = row_digest(scan, columns->digest);
	party->old_digest = NULL;
	if (catalog_row_time(scan, columns->old_until, &until) &&
		until > GetCurrentTimestamp())
		party->old_digest = row_digest(scan, columns->old_digest);

	/* What is null of these is read as 0, which is no OID. */
	party->role_name = catalog_row_text(scan, columns->role_name);
	party->role_oid = DatumGetObjectId(catalog_row_value(scan,
														 columns->role_oid,
														 &isnull));
	party->role_system = DatumGetInt64(catalog_row_value(scan,
														 columns->role_system,
														 &isnull));
	party->role_database = DatumGetObjectId(catalog_row_value(scan,
															  columns->role_database,
															  &isnull));
	party->revoked = columns->revoked_at != 0 &&
		catalog_row_time(scan, columns->revoked_at, &until);
	party->version = scan->slot->tts_tid;
}

/* Both tokens are always compared, each in constant time. */
Match
party_compare_token(const TokenDigest *digest, const Party *party)
{
	bool		current = token_digest_equals(digest, party->digest);
	bool		old = token_digest_equals(digest, party->old_digest);

	return current ? MATCH_CURRENT : old ? MATCH_OLD : MATCH_NONE;
}

/* The source of a name; its id is 0 where there is none. */
void
party_find_source(const char *name, Snapshot snapshot, Party *source)
{
	CatalogScan scan;

	memset(source, 0, sizeof(*source));
	catalog_begin(&scan, SOURCE_BY_NAME, snapshot);
	catalog_seek_source(&scan, CStringGetTextDatum(name));
	if (catalog_next_row(&scan, ForwardScanDirection))
		read_party(&scan, &source_columns, source);
	catalog_end(&scan);
}

/* The source that a token opens, likewise */
void
party_find_by_token(const TokenDigest *digest, Snapshot snapshot,
					Party *source)
{
	static const CatalogIndex indexes[] = {
		SOURCE_BY_TOKEN, SOURCE_BY_OLD_TOKEN
	};
	bool		found = false;

	for (int i = 0; i < lengthof(indexes) && !found; i++)
	{
		CatalogScan scan;

		catalog_begin(&scan, indexes[i], snapshot);
		catalog_seek_source(&scan, token_digest_datum(digest));
		while (!found && catalog_next_row(&scan, ForwardScanDirection))
		{
			read_party(&scan, &source_columns, source);
			found = party_compare_token(digest, source) != MATCH_NONE;
		}
		catalog_end(&scan);
	}
	if (!found)
		memset(source, 0, sizeof(*source));
}

/*
 * A provider of a source, likewise.  Also where there is no such source: id 0
 * has no providers, but costs as much.
 */
void
party_find_provider(int32 source_id, const char *name, Snapshot snapshot,
					Party *provider)
{
	CatalogScan scan;

	catalog_begin(&scan, PROVIDER_BY_NAME, snapshot);
	catalog_seek_provider(&scan, source_id, name);
	if (catalog_next_row(&scan, ForwardScanDirection))
		read_party(&scan, &provider_columns, provider);
	catalog_end(&scan);
}
