/*
 * statement.h
 *		SQL statements with kept plans, their parameters and results.
 */
#ifndef PARTREG_STATEMENT_H
#define PARTREG_STATEMENT_H

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "interval.h"
#include "utils/snapshot.h"

#define MAX_PARAMETERS	12

/* A statement whose plan is kept for the life of the backend */
typedef struct Statement
{
	const char *sql;
	SPIPlanPtr	plan;			/* NULL until first run */
} Statement;

/* The parameters of a statement, in the order of $1, $2, ... */
typedef struct Parameters
{
	int			count;
	Oid			types[MAX_PARAMETERS];
	Datum		values[MAX_PARAMETERS];
	char		nulls[MAX_PARAMETERS];
} Parameters;

extern void param_int4(Parameters *parameters, int32 value);
extern void param_int8(Parameters *parameters, int64 value);
extern void param_oid(Parameters *parameters, Oid value);
extern void param_time(Parameters *parameters, TimestampTz value);
extern void param_text(Parameters *parameters, const char *value);
extern void param_datum(Parameters *parameters, Oid type, Datum value);
extern void param_null(Parameters *parameters, Oid type);
extern void param_int2_array(Parameters *parameters, Datum *values, int count);
extern void param_time_array(Parameters *parameters, Datum *values, int count);

extern uint64 statement_run(Statement *statement, Parameters *parameters);
extern uint64 statement_run_latest(Statement *statement,
								   Parameters *parameters);
extern bool statements_attempt(void (*attempt) (void *arg), void *arg,
							   int tolerated);

extern Datum result_datum(uint64 row, int column);
extern TimeInterval result_interval(uint64 row, int column);
extern char *result_text(uint64 row, int column);

#endif							/* PARTREG_STATEMENT_H */
