/*
 * secret.c
 *		Secrets in texts that people can read.
 *
 * Reasons and details are often somebody else's error messages, with a
 * statement, a connection string or an environment in them.  They are kept
 * where every reader sees them, so secrets in them become stars, as many as
 * they had bytes:
 *
 * - the digits of what looks like one of our access tokens, whole or damaged;
 *
 * - the password of a URL, scheme://user:password@host;
 *
 * - the value of password=value, whatever stands before the word
 *	 (PGPASSWORD, sslpassword), with spaces around the sign, which may be := or
 *	 =>, in quotes or not; and of "password": value with the word in quotes.
 *
 * Both may be percent-encoded, or written as JSON writes them.
 *
 * Where it is open how far a password goes, it goes further: a star too many
 * hides a host, one too few shows a secret.  The word in prose, e-mail
 * addresses, ports, times and paths stay as they are.
 *
 * Nothing here knows tables or fmgr: it builds in the server and, with
 * -DFRONTEND, as a plain program for fuzzing.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <ctype.h>

#include "secret.h"

/*
 * Where does a string hold what a person or a secret scanner would take for a
 * token, whole or damaged?  NULL: nowhere.
 *
 * That is a prefix with a quarter of a token's random digits in a row behind
 * it, or with most of them among as many characters as a token has; or, without
 * a prefix, more digits in a row than the SHA-256 digests and the like that
 * people write about.  A date behind the letters of a prefix is none.
 */
const char *
secret_find_token(const char *string, size_t *length)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	const char *at = string;

	while (*at != '\0')
	{
		size_t		row = strspn(at, digits);

		if (row > 2 * TOKEN_RANDOM_BYTES)
		{
			*length = row;
			return at;
		}
		if (pg_strncasecmp(at, TOKEN_SOURCE_PREFIX, TOKEN_PREFIX_LENGTH) == 0 ||
			pg_strncasecmp(at, TOKEN_PROVIDER_PREFIX, TOKEN_PREFIX_LENGTH) == 0)
		{
			const char *body = at + TOKEN_PREFIX_LENGTH;
			size_t		width = strnlen(body, TOKEN_LENGTH - TOKEN_PREFIX_LENGTH);
			size_t		many = 0;

			for (size_t i = 0; i < width; i++)
				many += isxdigit((unsigned char) body[i]) != 0;
			if (strspn(body, digits) >= TOKEN_RANDOM_BYTES / 2 ||
				many > TOKEN_RANDOM_BYTES)
			{
				*length = TOKEN_PREFIX_LENGTH + width +
					strspn(body + width, digits);
				return at;
			}
		}
		at += Max(row, 1);
	}
	return NULL;
}

static void
mask_tokens(char *string)
{
	const char *found;
	size_t		length;

	while ((found = secret_find_token(string, &length)) != NULL)
	{
		for (string += found - string; length > 0; string++, length--)
		{
			if (isxdigit((unsigned char) *string))
				*string = '*';
		}
	}
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_space(char c)
{
	return is_blank(c) || (c >= '\n' && c <= '\r');
}

static bool
is_quote(char c)
{
	return c == '\'' || c == '"' || c == '`';
}

/* Of JSON within JSON within JSON: each level doubles them, and adds one */
#define MAX_BACKSLASHES	7

/* Do two hexadecimal digits stand for a character? */
static bool
is_code(const char *at, char wanted)
{
	static const char digits[] = "0123456789abcdef";

	return at[0] == digits[wanted >> 4] && at[1] != '\0' &&
		tolower((unsigned char) at[1]) == digits[wanted & 15];
}

/*
 * How many bytes a character takes here, plain, percent-encoded or as JSON may
 * write it (\/, \u003d), in JSON within JSON with several backslashes; 0: it
 * is not here
 */
static size_t
takes(const char *at, char wanted)
{
	size_t		backslashes = 0;

	if (*at == wanted)
		return 1;
	if (*at == '%')
		return is_code(at + 1, wanted) ? 3 : 0;
	for (; *at == '\\' && backslashes < MAX_BACKSLASHES; at++)
		backslashes++;
	if (backslashes == 0)
		return 0;
	if (*at == '/' && wanted == '/')
		return backslashes + 1;
	if (strncmp(at, "u00", 3) == 0 && is_code(at + 3, wanted))
		return backslashes + 5;
	return 0;
}

/*
 * Mask the password in what follows "://", which is the end of the text or of
 * what of it is kept (cut).  Returns where to go on.
 *
 * Strictly, a password ends at the last "@" before the first "/", "?" or "#".
 * People forget to encode those; so where no "@" comes before one, and what
 * stands before it is not a port, the password ends at the last "@" before a
 * space.  The user may be an e-mail address.  But what follows an "@" and a ":"
 * is mostly a port or a path (git@host:org/repo.git); there it is judged
 * strictly.
 */
static char *
mask_userinfo(char *authority, bool cut)
{
	char	   *password = NULL;
	char	   *end = NULL;
	char	   *at = authority;
	bool		strictly = false;

	while (*at != '\0' && !is_space(*at) && *at != '[' &&
		   strchr("/?#", *at) == NULL)
	{
		size_t		width = takes(at, ':');

		strictly |= takes(at, '@') > 0;
		at += Max(width, 1);
		if (width > 0)
		{
			password = at;
			break;
		}
	}
	if (password == NULL)
		return at;

	while (*at != '\0' && !is_space(*at) && strchr("/?#", *at) == NULL)
	{
		if (takes(at, '@') > 0)
			end = at;
		at++;
	}
	if (end == NULL && !strictly &&
		password + strspn(password, "0123456789") < at)
	{
		for (; *at != '\0' && !is_space(*at); at++)
		{
			if (takes(at, '@') > 0)
				end = at;
		}
	}
	if (end == NULL && *at == '\0' && cut && !strictly)
		end = at;
	if (end == NULL)
		return password;
	memset(password, '*', end - password);
	return end;
}

static void
mask_urls(char *string, bool cut)
{
	while (*string != '\0')
	{
		size_t		width = takes(string, ':');
		size_t		slash = width == 0 ? 0 : takes(string + width, '/');

		if (slash > 0 && takes(string + width + slash, '/') > 0)
		{
			width += slash;
			width += takes(string + width, '/');
			string = mask_userinfo(string + width, cut);
		}
		else
			string++;
	}
}

/* Does a text go on with the name of a setting and a "="? */
static bool
begins_setting(const char *at)
{
	const char *name = at;

	while (isalnum((unsigned char) *at) || *at == '_' || *at == '-' || *at == '.')
		at++;
	if (at == name)
		return false;
	while (is_blank(*at))
		at++;
	return takes(at, '=') > 0;
}

/*
 * Is here the end of a value without quotes?  Spaces end it.  What separates
 * values or closes quotes and brackets may be a part of a password, unless the
 * text or a word ends there or another setting begins.
 */
static bool
value_ends(const char *at)
{
	const char *behind = at;

	if (*at == '\0' || is_space(*at))
		return true;
	for (;;)
	{
		size_t		width = *behind != '\0' && strchr(",;&'\"`)]}>|\\", *behind) != NULL;

		if (width == 0)
			width = takes(behind, '&') + takes(behind, ' ') +
				takes(behind, ';');
		if (width == 0 || is_space(*behind))
			break;
		behind += width;
	}
	return behind > at &&
		(*behind == '\0' || is_space(*behind) || begins_setting(behind));
}

/*
 * The end of a value in quotes, or in the braces of ODBC.  A quote within is
 * doubled or has a backslash before it; quotes that are themselves within a
 * quoted text have backslashes, as many at the end as at the beginning.
 */
static char *
quoted_value_end(char *at, int backslashes)
{
	char		close = *at == '{' ? '}' : *at;
	int			before = 0;

	for (at++; *at != '\0'; at++)
	{
		if (*at == close &&
			(before == backslashes || (backslashes == 0 && before % 2 == 0)))
		{
			if (backslashes > 0)
				return at - before;
			if (at[1] != close)
				return at;
			at++;
		}
		before = *at == '\\' ? before + 1 : 0;
	}
	return at;
}

static char *
mask_value(char *value)
{
	int			backslashes = strspn(value, "\\");
	char	   *end;

	if (is_quote(value[backslashes]) || *value == '{')
	{
		end = quoted_value_end(value + backslashes, backslashes);
		value += backslashes + 1;
	}
	else
	{
		for (end = value; !value_ends(end); end++)
			;
	}
	if (end > value)
		memset(value, '*', end - value);
	return end;
}

/* The bytes of the word for a password that a text begins with; 0: none */
static size_t
password_word(const char *at)
{
	if (pg_strncasecmp(at, "password", 8) == 0)
		return 8;
	if (pg_strncasecmp(at, "passwd", 6) == 0)
		return 6;
	return 0;
}

/* What follows the word and a sign that a value comes; NULL: no such sign */
static char *
find_value(char *at)
{
	size_t		backslashes = strspn(at, "\\");
	bool		quoted = is_quote(at[backslashes]);
	size_t		sign;

	if (quoted)
		at += backslashes + 1;
	while (is_blank(*at))
		at++;
	sign = takes(at, '=');
	if (*at == ':' && at[1] == '=')
		sign = 2;
	if (sign > 0)
	{
		at += sign;
		at += strspn(at, "=>");
	}
	else if (quoted && *at == ':')
		at++;
	else
		return NULL;
	while (is_blank(*at))
		at++;
	return at;
}

static void
mask_values(char *string)
{
	while (*string != '\0')
	{
		size_t		word = password_word(string);
		char	   *value = word == 0 ? NULL : find_value(string + word);

		if (value != NULL)
			string = mask_value(value);
		else
			string += Max(word, 1);
	}
}

/*
 * Write stars over the secrets in a string; `cut`: it goes on beyond what is
 * given.
 */
void
secret_mask(char *string, bool cut)
{
	mask_tokens(string);
	mask_urls(string, cut);
	mask_values(string);
}

/* Does a key of an object say that its value is a password? */
bool
secret_is_password_key(const char *key)
{
	size_t		length = strlen(key);

	return (length >= 8 && password_word(key + length - 8) == 8) ||
		(length >= 6 && password_word(key + length - 6) == 6);
}
