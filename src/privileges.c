/*
 * privileges.c
 *		Levels of privileges, after an upgrade; what may stand in messages.
 *
 * Privileges that a script of an extension grants count as initial privileges,
 * and pg_dump leaves it to CREATE EXTENSION to grant them again.  But CREATE
 * EXTENSION does not know the roles that have a level here.  So the grants
 * that extend levels to new functions must look like anybody's grants.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "argument.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(_extend_privileges);
PG_FUNCTION_INFO_V1(_is_of_this_transaction);
PG_FUNCTION_INFO_V1(_quotable);

/*
 * _extend_privileges() returns void
 *		Gives every role that has a level all of that level.  Upgrade scripts
 *		end with it.
 */
Datum
_extend_privileges(PG_FUNCTION_ARGS)
{
	bool		in_script = creating_extension;

	SPI_connect();
	creating_extension = false;
	PG_TRY();
	{
		if (SPI_execute("SELECT partreg._grant_level(l.grantee, l.level)"
						"  FROM partreg._granted_level l",
						false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not extend privileges");
	}
	PG_FINALLY();
	{
		creating_extension = in_script;
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * _is_of_this_transaction(row_xmin xid) returns boolean
 *		Did the current transaction, or one of its subtransactions that has not
 *		been rolled back, write the row that has this xmin?
 */
Datum
_is_of_this_transaction(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(TransactionIdIsCurrentTransactionId(PG_GETARG_TRANSACTIONID(0)));
}

/*
 * _quotable(given text) returns text
 *		What a caller gave, as it may stand in a message of plpgsql.
 */
Datum
_quotable(PG_FUNCTION_ARGS)
{
	/* A glance at a huge one: no more than shows a token at the cut. */
	text	   *start = PG_GETARG_TEXT_P_SLICE(0, 0, 4 * MAX_NAME_LENGTH);
	int			length = pg_mbcliplen(VARDATA_ANY(start),
									  VARSIZE_ANY_EXHDR(start),
									  4 * MAX_NAME_LENGTH);
	char	   *given = pnstrdup(VARDATA_ANY(start), length);

	PG_RETURN_TEXT_P(cstring_to_text(quotable(given)));
}
