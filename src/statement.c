/*
 * statement.c
 *		SQL statements with kept plans, their parameters and results.
 *
 * Functions that write are SECURITY DEFINER with a pinned search_path, so
 * their statements run as the owner of the extension, and unqualified names of
 * operators and functions in them are pg_catalog's.
 *
 * Each statement runs after a CommandCounterIncrement and, under READ
 * COMMITTED, in a snapshot of its own: what follows a wait for somebody's row
 * lock sees what that somebody committed (docs/design.md, rule 1).  Plans are
 * generic: all statements here find rows by keys.
 *
 * Parameters are appended in the order of $1, $2, ...; a statement is prepared
 * for the types that it is first given, and gets no others later.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "statement.h"

void
param_datum(Parameters *parameters, Oid type, Datum value)
{
	int			n = parameters->count++;

	Assert(n < MAX_PARAMETERS);
	parameters->types[n] = type;
	parameters->values[n] = value;
	parameters->nulls[n] = ' ';
}

void
param_null(Parameters *parameters, Oid type)
{
	param_datum(parameters, type, (Datum) 0);
	parameters->nulls[parameters->count - 1] = 'n';
}

void
param_int4(Parameters *parameters, int32 value)
{
	param_datum(parameters, INT4OID, Int32GetDatum(value));
}

void
param_int8(Parameters *parameters, int64 value)
{
	param_datum(parameters, INT8OID, Int64GetDatum(value));
}

/* InvalidOid: null */
void
param_oid(Parameters *parameters, Oid value)
{
	if (OidIsValid(value))
		param_datum(parameters, OIDOID, ObjectIdGetDatum(value));
	else
		param_null(parameters, OIDOID);
}

void
param_time(Parameters *parameters, TimestampTz value)
{
	param_datum(parameters, TIMESTAMPTZOID, TimestampTzGetDatum(value));
}

/* NULL: null */
void
param_text(Parameters *parameters, const char *value)
{
	if (value == NULL)
		param_null(parameters, TEXTOID);
	else
		param_datum(parameters, TEXTOID, CStringGetTextDatum(value));
}

void
param_int2_array(Parameters *parameters, Datum *values, int count)
{
	param_datum(parameters, INT2ARRAYOID,
				PointerGetDatum(construct_array(values, count, INT2OID,
												sizeof(int16), true,
												TYPALIGN_SHORT)));
}

void
param_time_array(Parameters *parameters, Datum *values, int count)
{
	param_datum(parameters, TIMESTAMPTZARRAYOID,
				PointerGetDatum(construct_array(values, count, TIMESTAMPTZOID,
												sizeof(int64), FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE)));
}

static SPIPlanPtr
kept_plan(Statement *statement, Parameters *parameters)
{
	if (statement->plan == NULL)
	{
		SPIPlanPtr	plan;

		plan = SPI_prepare_cursor(statement->sql, parameters->count,
								  parameters->types, CURSOR_OPT_GENERIC_PLAN);
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s",
				 SPI_result_code_string(SPI_result));
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_keepplan failed");
		statement->plan = plan;
	}
#ifdef USE_ASSERT_CHECKING
	Assert(SPI_getargcount(statement->plan) == parameters->count);
	for (int i = 0; i < parameters->count; i++)
		Assert(SPI_getargtypeid(statement->plan, i) == parameters->types[i]);
#endif
	return statement->plan;
}

/*
 * Run a statement in a given snapshot (besides, what the transaction itself has
 * done since is seen), or in one of its own.
 */
static uint64
run_in(Statement *statement, Parameters *parameters, Snapshot snapshot)
{
	MemoryContext memory = CurrentMemoryContext;
	int			code;

	SPI_freetuptable(SPI_tuptable);
	code = SPI_execute_snapshot(kept_plan(statement, parameters),
								parameters->values, parameters->nulls, snapshot,
								InvalidSnapshot, false, true, 0);
	if (code < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s",
			 SPI_result_code_string(code));
	MemoryContextSwitchTo(memory);
	return SPI_processed;
}

/*
 * Run a statement; returns the number of rows.  Results are in SPI_tuptable
 * until the next one.
 */
uint64
statement_run(Statement *statement, Parameters *parameters)
{
	return run_in(statement, parameters, InvalidSnapshot);
}

/*
 * The same by the latest snapshot, whatever the isolation level.
 */
uint64
statement_run_latest(Statement *statement, Parameters *parameters)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	uint64		rows = run_in(statement, parameters, snapshot);

	UnregisterSnapshot(snapshot);
	return rows;
}

/*
 * Run statements in a subtransaction, which is rolled back if `attempt` fails
 * with the tolerated SQLSTATE; true: it did not.  Any other error is passed on,
 * from outside of the subtransaction.
 */
bool
statements_attempt(void (*attempt) (void *arg), void *arg, int tolerated)
{
	MemoryContext memory = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(memory);
	PG_TRY();
	{
		attempt(arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(memory);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();

	if (error == NULL)
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(memory);
	CurrentResourceOwner = owner;
	if (error != NULL && error->sqlerrcode != tolerated)
		ReThrowError(error);
	return error == NULL;
}

/* Values of the last statement's result; rows count from 0, columns from 1 */

static Datum
result_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
						 column, isnull);
}

Datum
result_datum(uint64 row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	Assert(!isnull);
	return value;
}

static TimestampTz
result_time(uint64 row, int column)
{
	return DatumGetTimestampTz(result_datum(row, column));
}

/* Of two columns, the start and the end */
TimeInterval
result_interval(uint64 row, int column)
{
	TimeInterval interval = {
		result_time(row, column), result_time(row, column + 1)
	};

	return interval;
}

/* NULL for null */
char *
result_text(uint64 row, int column)
{
	bool		isnull;
	Datum		value = result_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
