/*
 * secret.h
 *		Secrets in texts that people can read.
 */
#ifndef PARTREG_SECRET_H
#define PARTREG_SECRET_H

/* One of our tokens: prefix, random digits, checksum; see token.c */
#define TOKEN_SOURCE_PREFIX		"prs_"
#define TOKEN_PROVIDER_PREFIX	"prp_"
#define TOKEN_PREFIX_LENGTH		4
#define TOKEN_RANDOM_BYTES		32	/* two digits each */
#define TOKEN_LENGTH			(TOKEN_PREFIX_LENGTH + 2 * TOKEN_RANDOM_BYTES + 8)

extern const char *secret_find_token(const char *string, size_t *length);
extern void secret_mask(char *string, bool cut);
extern bool secret_is_password_key(const char *key);

#endif							/* PARTREG_SECRET_H */
