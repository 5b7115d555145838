/*
 * verify.c
 *		What verify() needs of C: the rules that the writing functions go by,
 *		for what is stored already, and a quick look at all of history.
 *
 * verify() compares the state of each partition with what the last events say
 * of it.  Sorting millions of events for that would take many times as long as
 * all else that it does.  So one pass here puts what the events say into a hash
 * table, holds the other tables against it, and gives out those partitions alone
 * that look contradicted.  The view _damage_history judges these few anew,
 * exactly, and says what is wrong: what comes out here may be too much, never
 * too little.
 *
 * The events of a partition are in the order of their ids, which is mostly, but
 * not always, that in which they lie in the table.  A partition with a
 * retirement, whose events lie in another order, comes out as well.
 *
 * Memory is bounded: where there is much history, the providers are dealt out
 * to several passes.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "argument.h"
#include "catalog.h"
#include "compat.h"

/* What history says of a partition */
#define SAID_REGISTERED		0x01	/* its registration is kept */
#define SAID_UNLOCKED		0x02	/* an unlock is */
#define SAID_RETIRED		0x04	/* nothing is later */
#define SAID_LOCKED			0x08	/* nothing is later */
#define SAID_FAILED			0x10	/* nothing is later */
#define SAID_LAST			(SAID_RETIRED | SAID_LOCKED | SAID_FAILED)
#define SAID_RETIREMENT		0x20	/* there is one: all else is of later */
#define OUT_OF_TURN			0x40	/* which of them are of later is not known */
/* Where it is */
#define IN_PENDING			0x80
#define IN_PARTITION		0x100
#define HAS_LOCKED			0x200
#define HAS_FAILED			0x400

typedef struct SaidKey
{
	TimestampTz start_at;
	TimestampTz end_at;
	int32		provider_id;
} SaidKey;

typedef struct Said
{
	SaidKey key;
	int64		last;			/* event */
	uint16		flags;
	char		status;			/* of simplehash */
} Said;

static inline uint64
mix(uint64 bits)
{
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xff51afd7ed558ccd);
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xc4ceb9fe1a85ec53);
	return bits ^ bits >> 33;
}

static inline uint32
key_hash(SaidKey key)
{
	return (uint32) mix(mix(mix((uint32) key.provider_id) ^ (uint64) key.start_at) ^
						(uint64) key.end_at);
}

static inline bool
key_equal(SaidKey a, SaidKey b)
{
	return a.start_at == b.start_at && a.end_at == b.end_at &&
		a.provider_id == b.provider_id;
}

#define SH_PREFIX said
#define SH_ELEMENT_TYPE Said
#define SH_KEY_TYPE SaidKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) key_hash(key)
#define SH_EQUAL(table, a, b) key_equal(a, b)
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/* Entries that a pass may have, by a guess: 64 MB and less than twice that */
#define ENTRIES_IN_A_PASS	1000000
/* A guess that is on the high side */
#define EVENTS_ON_A_PAGE	100

/* One pass, over every passes-th provider */
typedef struct Pass
{
	said_hash  *said;
	uint32		passes;
	uint32		pass;
	int32	   *providers;		/* there are, in order */
	int			n_providers;
	int			room;
} Pass;

typedef void (*RowReader) (Pass *pass, TupleTableSlot *slot);

static inline bool
column_is(TupleTableSlot *slot, int attnum, const char *word)
{
	bool		isnull;
	text	   *value = DatumGetTextPP(slot_getattr(slot, attnum, &isnull));
	size_t		length = strlen(word);

	return VARSIZE_ANY_EXHDR(value) == length &&
		memcmp(VARDATA_ANY(value), word, length) == 0;
}

/* The partition that a row is about; false: none, or not one of this pass. */
static inline bool
row_key(const Pass *pass, TupleTableSlot *slot, int provider_id, int start_at,
		int end_at, SaidKey *key)
{
	bool		isnull[3];

	memset(key, 0, sizeof(*key));
	/* The last column first: the others are there then. */
	key->end_at = DatumGetTimestampTz(slot_getattr(slot, end_at, &isnull[0]));
	key->start_at = DatumGetTimestampTz(slot_getattr(slot, start_at, &isnull[1]));
	key->provider_id = DatumGetInt32(slot_getattr(slot, provider_id, &isnull[2]));
	return !isnull[0] && !isnull[1] && !isnull[2] &&
		(pass->passes == 1 ||
		 (uint32) key->provider_id % pass->passes == pass->pass);
}

static void
read_provider(Pass *pass, TupleTableSlot *slot)
{
	bool		isnull;

	if (pass->n_providers == pass->room)
	{
		pass->room *= 2;
		pass->providers = repalloc_huge(pass->providers,
										pass->room * sizeof(int32));
	}
	pass->providers[pass->n_providers++] =
		DatumGetInt32(slot_getattr(slot, Anum_provider_id, &isnull));
}

static int
compare_ids(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return left < right ? -1 : left > right;
}

static uint16
event_flag(TupleTableSlot *slot)
{
	static const struct
	{
		const char *word;
		uint16		flag;
	}			events[] = {
		{"register_partition", SAID_REGISTERED}, {"unlock", SAID_UNLOCKED},
		{"lock", SAID_LOCKED}, {"take_over", SAID_LOCKED}, {"fail", SAID_FAILED},
		{"retire", SAID_RETIRED}, {"force_fail", SAID_FAILED},
		{"revoke", SAID_FAILED}
	};

	for (int i = 0; i < lengthof(events); i++)
	{
		if (column_is(slot, Anum_event_event, events[i].word))
			return events[i].flag;
	}
	return OUT_OF_TURN;
}

static void
read_event(Pass *pass, TupleTableSlot *slot)
{
	SaidKey		key;
	Said	   *said;
	bool		found;
	bool		isnull;
	int64		id;
	uint16		flag;

	if (!row_key(pass, slot, Anum_event_provider_id, Anum_event_start_at,
				 Anum_event_end_at, &key))
		return;
	id = DatumGetInt64(slot_getattr(slot, Anum_event_id, &isnull));
	flag = event_flag(slot);
	said = said_insert(pass->said, key, &found);
	if (!found)
		said->flags = 0;

	if (!found || id > said->last)
	{
		said->last = id;
		if (flag == SAID_RETIRED)
			said->flags = (said->flags & OUT_OF_TURN) | SAID_RETIREMENT;
		else
			said->flags &= ~SAID_LAST;
		said->flags |= flag;
	}
	else if (flag == SAID_RETIRED || (said->flags & SAID_RETIREMENT))
		said->flags |= OUT_OF_TURN;
	else
		said->flags |= flag & ~SAID_LAST;
}

static void
mark(Pass *pass, SaidKey key, uint16 flag)
{
	Said	   *said = said_lookup(pass->said, key);

	if (said != NULL)
		said->flags |= flag;
}

static void
read_pending(Pass *pass, TupleTableSlot *slot)
{
	SaidKey key;

	if (row_key(pass, slot, Anum_partition_provider_id, Anum_partition_start_at,
				Anum_partition_end_at, &key))
		mark(pass, key, IN_PENDING);
}

static void
read_partition(Pass *pass, TupleTableSlot *slot)
{
	SaidKey key;

	if (row_key(pass, slot, Anum_partition_provider_id, Anum_partition_start_at,
				Anum_partition_end_at, &key))
		mark(pass, key, IN_PARTITION);
}

static void
read_lock(Pass *pass, TupleTableSlot *slot)
{
	SaidKey key;

	if (row_key(pass, slot, Anum_lock_provider_id, Anum_lock_start_at,
				Anum_lock_end_at, &key))
		mark(pass, key,
			 column_is(slot, Anum_lock_state, "locked") ? HAS_LOCKED : HAS_FAILED);
}

static Relation
open_table(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid("partreg", false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table partreg.%s does not exist", name)));
	return table_open(relid, AccessShareLock);
}

static void
read_table(Pass *pass, const char *name, RowReader reader)
{
	Relation	table = open_table(name);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		reader(pass, slot);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
}

/* Can what is there not be what history says? */
static bool
is_contradicted(const Said *said)
{
	uint16		flags = said->flags;
	uint16		lock = flags & (HAS_LOCKED | HAS_FAILED);

	if (flags & OUT_OF_TURN)
		return true;
	if (flags & SAID_RETIRED)
		return (flags & (IN_PENDING | IN_PARTITION)) != 0 || lock != 0;
	if (flags & IN_PENDING)
	{
		if (flags & (SAID_UNLOCKED | IN_PARTITION))
			return true;
	}
	else if (!(flags & IN_PARTITION) ||
			 ((flags & SAID_REGISTERED) && !(flags & SAID_UNLOCKED)))
		return true;
	return lock != (flags & SAID_LOCKED ? HAS_LOCKED :
					flags & SAID_FAILED ? HAS_FAILED : 0);
}

PG_FUNCTION_INFO_V1(_suspects);

/*
 * _suspects() returns TABLE (provider_id integer, start_at timestamptz,
 *							  end_at timestamptz)
 *		The partitions whose state history may contradict.
 */
Datum
_suspects(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	events = open_table("event");
	double		n_events = (double) RelationGetNumberOfBlocks(events) * EVENTS_ON_A_PAGE;
	Pass		pass;

	table_close(events, NoLock);
	InitMaterializedSRF(fcinfo, 0);

	pass.n_providers = 0;
	pass.room = 64;
	pass.providers = palloc(pass.room * sizeof(int32));
	read_table(&pass, "provider", read_provider);
	qsort(pass.providers, pass.n_providers, sizeof(int32), compare_ids);

	/* Two events for a partition is as few as there usually are. */
	pass.passes = 1 + (uint32) Min(n_events / 2 / ENTRIES_IN_A_PASS, 1000);
	for (pass.pass = 0; pass.pass < pass.passes; pass.pass++)
	{
		MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
													 "partreg history",
													 ALLOCSET_DEFAULT_SIZES);
		said_iterator at;
		Said	   *said;

		pass.said = said_create(memory, 1024, NULL);
		read_table(&pass, "event", read_event);
		read_table(&pass, "pending", read_pending);
		read_table(&pass, "partition", read_partition);
		read_table(&pass, "lock", read_lock);

		said_start_iterate(pass.said, &at);
		while ((said = said_iterate(pass.said, &at)) != NULL)
		{
			Datum		values[3];
			bool		nulls[3] = {false, false, false};

			/* Partitions of a dropped source are gone with it. */
			if (!is_contradicted(said) ||
				bsearch(&said->key.provider_id, pass.providers,
						pass.n_providers, sizeof(int32), compare_ids) == NULL)
				continue;
			values[0] = Int32GetDatum(said->key.provider_id);
			values[1] = TimestampTzGetDatum(said->key.start_at);
			values[2] = TimestampTzGetDatum(said->key.end_at);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values,
								 nulls);
		}
		MemoryContextDelete(memory);
	}
	return (Datum) 0;
}

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
