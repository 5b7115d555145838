/*
 * bench_null.c
 *		What a call costs that does nothing: the baseline of scripts/bench.
 *
 * bench_null(text, tstzrange) has the arguments of check_readiness() and
 * returns true.  The server does for it what it does for any function: reads
 * the arguments, finds the privilege, builds and sends the answer.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_null);

Datum
bench_null(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}
