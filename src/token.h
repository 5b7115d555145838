/*
 * token.h
 *		Access tokens: making, recognising and comparing them.
 */
#ifndef PARTREG_TOKEN_H
#define PARTREG_TOKEN_H

#include "common/sha2.h"

typedef enum TokenKind
{
	TOKEN_MALFORMED,
	TOKEN_SOURCE,				/* prs_...: the owner's key */
	TOKEN_PROVIDER				/* prp_...: a job's key */
} TokenKind;

typedef struct TokenDigest
{
	uint8		bytes[PG_SHA256_DIGEST_LENGTH];
} TokenDigest;

extern char *token_make(TokenKind kind);
extern TokenKind token_parse(const char *token, TokenDigest *digest);
extern void token_digest(const char *token, TokenDigest *digest);
extern bool token_digest_equals(const TokenDigest *digest, const bytea *stored);
extern Datum token_digest_datum(const TokenDigest *digest);

#endif							/* PARTREG_TOKEN_H */
