/*
 * verify.c
 *		What verify() needs of C: the rules that the writing functions go by,
 *		for what is stored already.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(_is_name);

/*
 * _is_name(name text) returns boolean
 *		May a source, provider, owner or holder have this name?
 */
Datum
_is_name(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	size_t		length = strlen(name);

	if (length < 1 || length > MAX_NAME_LENGTH ||
		name[0] == ' ' || name[length - 1] == ' ' || looks_like_token(name))
		PG_RETURN_BOOL(false);
	for (const char *at = name; *at != '\0'; at++)
	{
		if (control_character(at) > 0)
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}
