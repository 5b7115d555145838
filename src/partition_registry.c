/*
 * partition_registry.c
 *		What the server sees of the library: its magic and its one setting.
 *
 * To define a setting PostgreSQL 15 sorts all that there are, which took a
 * quarter of what the first check of a connection costs.  So where a query loads
 * the library, the setting is defined by the first call that writes: until then
 * it is what it is while the library is not loaded, a name that anybody may set,
 * and whatever was set is judged when it is defined.  Where the library is
 * loaded otherwise (preloaded, by LOAD, by CREATE EXTENSION), it is defined at
 * once.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "fmgr.h"
#include "tcop/pquery.h"
#include "utils/guc.h"

#include "history.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static const struct config_enum_entry notify_options[] = {
	{"all", NOTIFY_ALL, false},
	{"ready", NOTIFY_READY, false},
	{"off", NOTIFY_OFF, false},
	{NULL, 0, false}
};

/*
 * Define the setting partreg.notify, once.  Each step may run out of memory; the
 * next call goes on from there.
 */
void
define_notify(void)
{
	static int	steps = 0;

	if (steps == 0)
	{
		DefineCustomEnumVariable("partreg.notify",
								 "Which events are notified on the channel \"partreg\".",
								 "\"all\", \"ready\" (only what can make something ready) or \"off\" (which two-phase commit needs).",
								 &notify_level,
								 NOTIFY_ALL,
								 notify_options,
								 PGC_SUSET,
								 0,
								 NULL, NULL, NULL);
		steps = 1;
	}
	if (steps == 1)
	{
		MarkGUCPrefixReserved("partreg");
		steps = 2;
	}
}

/*
 * A parallel worker, which never writes, must not know the setting better than
 * its leader, whose values it is handed.
 */
void
_PG_init(void)
{
	bool		by_query = ActivePortal != NULL &&
		ActivePortal->strategy == PORTAL_ONE_SELECT;

	if (!by_query && !IsParallelWorker())
		define_notify();
}
