/*
 * sequence.c
 *		The numbers of sources, providers and events.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "utils/lsyscache.h"

#include "sequence.h"

static const char *const names[] = {"source_id_seq", "provider_id_seq", "event_id_seq"};

void
sequence_check(Sequence which)
{
}

int64
sequence_draw(Sequence which)
{
	return nextval_internal(get_relname_relid(names[which], get_namespace_oid("partreg", false)), false);
}

int64
sequence_next(Sequence which)
{
	sequence_check(which);
	return sequence_draw(which);
}
