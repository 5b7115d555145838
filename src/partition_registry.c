/*
 * partition_registry.c
 *		What the server sees of the library: its magic and its one setting.
 */
#include "postgres.h"

#include "fmgr.h"
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

void
_PG_init(void)
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
	MarkGUCPrefixReserved("partreg");
}
