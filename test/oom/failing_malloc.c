/*
 * failing_malloc.c
 *		Memory that runs out: an allocation that fails, once.
 *
 * Loaded into a server before everything else (LD_PRELOAD), so that its
 * malloc() and realloc() come before the C library's; and, as it is a module
 * of PostgreSQL besides, SQL functions of it set the counter in a backend:
 *
 *		fail_allocation(n, m)	the n-th allocation of m bytes or more from now on
 *								fails
 *		allocations_left()		how many were still to come; 0: it has failed
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fail_allocation);
PG_FUNCTION_INFO_V1(allocations_left);

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *pointer, size_t size);

static int32 left = 0;
static size_t least = 0;

Datum
fail_allocation(PG_FUNCTION_ARGS)
{
	left = PG_GETARG_INT32(0);
	least = PG_GETARG_INT32(1);
	PG_RETURN_VOID();
}

Datum
allocations_left(PG_FUNCTION_ARGS)
{
	int32		were = left;

	left = 0;
	PG_RETURN_INT32(were);
}

static bool
fails(size_t size)
{
	if (left == 0 || size < least || --left > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return fails(size) ? NULL : __libc_malloc(size);
}

void *
realloc(void *pointer, size_t size)
{
	return fails(size) ? NULL : __libc_realloc(pointer, size);
}
