/*
 * token.c
 *		Access tokens: making, recognising and comparing them.
 *
 * A token is a prefix that says what it opens (prs_ a source, prp_ one
 * provider), 256 random bits from pgcrypto as 64 hexadecimal digits, and the
 * CRC-32C of all that as 8 more.  The prefix and the checksum let a secret
 * scanner recognise one without asking us, and let us turn away a mistyped one
 * without looking anything up: a CRC finds every change of up to 32 bits in a
 * row.
 *
 * Only the SHA-256 digest of a token is stored.  A salt or a slow hash would
 * add nothing: there is no dictionary of 256 random bits.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "executor/spi.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"

#include "compat.h"
#include "secret.h"
#include "statement.h"
#include "token.h"

#define CHECKED_LENGTH	(TOKEN_PREFIX_LENGTH + 2 * TOKEN_RANDOM_BYTES)

static const char *const prefixes[] = {
	[TOKEN_SOURCE] = TOKEN_SOURCE_PREFIX,
	[TOKEN_PROVIDER] = TOKEN_PROVIDER_PREFIX
};

static Statement random_bytes = {"SELECT partreg._random_bytes()"};

/* The checksum of a token's first CHECKED_LENGTH bytes, as it is written. */
static void
write_checksum(const char *token, char *checksum)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, token, CHECKED_LENGTH);
	FIN_CRC32C(crc);
	snprintf(checksum, 9, "%08x", crc);
}

/*
 * A new token of a kind.  Needs an SPI connection; the result is allocated in
 * the caller's upper context, so that it outlives SPI_finish().
 */
char *
token_make(TokenKind kind)
{
	Parameters	none = {0};
	bytea	   *random;
	bool		isnull;
	char	   *token = SPI_palloc(TOKEN_LENGTH + 1);

	statement_run(&random_bytes, &none);
	random = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0],
										   SPI_tuptable->tupdesc, 1, &isnull));
	if (isnull || VARSIZE_ANY_EXHDR(random) != TOKEN_RANDOM_BYTES)
		elog(ERROR, "could not make an access token");

	memcpy(token, prefixes[kind], TOKEN_PREFIX_LENGTH);
	hex_encode(VARDATA_ANY(random), TOKEN_RANDOM_BYTES, token + TOKEN_PREFIX_LENGTH);
	write_checksum(token, token + CHECKED_LENGTH);
	return token;
}

/*
 * What kind of token is this, and what is its digest?  The digest is computed
 * for a malformed one too, so that a wrong token costs what a right one does.
 */
TokenKind
token_parse(const char *token, TokenDigest *digest)
{
	char		checksum[9];

	token_digest(token, digest);
	if (strnlen(token, TOKEN_LENGTH + 1) != TOKEN_LENGTH)
		return TOKEN_MALFORMED;
	write_checksum(token, checksum);
	if (memcmp(checksum, token + CHECKED_LENGTH, 8) != 0)
		return TOKEN_MALFORMED;
	if (memcmp(token, prefixes[TOKEN_SOURCE], TOKEN_PREFIX_LENGTH) == 0)
		return TOKEN_SOURCE;
	if (memcmp(token, prefixes[TOKEN_PROVIDER], TOKEN_PREFIX_LENGTH) == 0)
		return TOKEN_PROVIDER;
	return TOKEN_MALFORMED;
}

/*
 * The SHA-256 digest of a token.  Of what is longer than a token, one byte more
 * than a token has is enough to tell it from all of them.
 */
void
token_digest(const char *token, TokenDigest *digest)
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
	size_t		length = strnlen(token, TOKEN_LENGTH + 1);

	if (pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) token, length) < 0 ||
		pg_cryptohash_final(ctx, digest->bytes, sizeof(digest->bytes)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg_internal("could not compute SHA-256 digest: %s",
								 pg_cryptohash_error(ctx))));
	pg_cryptohash_free(ctx);
}

/*
 * Is this the stored digest (NULL: there is none)?  Takes the same time
 * wherever the two differ.
 */
bool
token_digest_equals(const TokenDigest *digest, const bytea *stored)
{
	static const uint8 nothing[PG_SHA256_DIGEST_LENGTH];
	bool		comparable;
	const uint8 *other;
	uint8		difference = 0;

	comparable = stored != NULL &&
		VARSIZE_ANY_EXHDR(stored) == sizeof(digest->bytes);
	other = comparable ? (const uint8 *) VARDATA_ANY(stored) : nothing;
	for (size_t i = 0; i < sizeof(digest->bytes); i++)
		difference |= digest->bytes[i] ^ other[i];
	return comparable && difference == 0;
}

/* A digest as it is stored. */
Datum
token_digest_datum(const TokenDigest *digest)
{
	bytea	   *result = palloc(VARHDRSZ + sizeof(digest->bytes));

	SET_VARSIZE(result, VARHDRSZ + sizeof(digest->bytes));
	memcpy(VARDATA(result), digest->bytes, sizeof(digest->bytes));
	return PointerGetDatum(result);
}
