/*
 * statement.h
 *		The frame of a call that writes, and the SQL statements in it.
 */
#ifndef PARTREG_STATEMENT_H
#define PARTREG_STATEMENT_H

#include "executor/spi.h"
#include "utils/snapshot.h"

#define MAX_PARAMETERS	20

/* A statement whose plan is kept for the life of the backend. */
typedef struct Statement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[MAX_PARAMETERS];
	SPIPlanPtr	plan;			/* NULL until first run */
} Statement;

/* The function's SQL name, for "cannot execute ... in a read-only transaction" */
extern void write_begin(const char *function);
extern void write_end(void);

extern uint64 statement_run(Statement *statement, Datum *values,
							const char *nulls);
extern uint64 statement_run_in(Statement *statement, Datum *values,
							   const char *nulls, Snapshot snapshot);
extern uint64 statement_run_latest(Statement *statement, Datum *values,
								   const char *nulls);
extern bool statements_attempt(bool (*attempt) (void *arg), void *arg,
							   int tolerated);
extern Datum statement_result(uint64 row, int column, bool *isnull);

#endif							/* PARTREG_STATEMENT_H */
