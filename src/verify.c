/*
 * verify.c
 *		What verify() needs of C: the rules that the writing functions go by,
 *		for what is stored already, and a quick look at all of history.
 *
 * History and the partitions are the large tables. verify() compares each
 * partition with what its last events say, and checks every row by itself.
 * Sorting millions of events for that would take many times as long as
 * everything else.  So one pass here reads every row once, puts what the
 * events say into a hash table, and returns only the rows that look wrong.
 * The views of sql/60_verify.sql judge these few again, exactly, and say what
 * is wrong: this pass may return too much, but never too little.
 *
 * The events of a partition are in the order of their ids, which is mostly, but
 * not always, that in which they lie in the table.  A partition with a
 * retirement, whose events lie in another order, comes out as well.
 *
 * Memory is bounded: if there is much history, the providers are divided among
 * several passes.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
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
#include "utils/xid8.h"

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
	SaidKey		key;
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

/* A source and a provider (0: none) that events mention, and the last of them */
typedef struct Mention
{
	uint64		key;
	int64		last;
	char		status;			/* of simplehash */
} Mention;

#define SH_PREFIX mention
#define SH_ELEMENT_TYPE Mention
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(table, key) ((uint32) mix(key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/* By a guess: 48 bytes each, and at most as much again unused */
#define ENTRIES_IN_A_PASS	1000000
#define EVENTS_ON_A_PAGE	50
#define DAY					INT64CONST(86400000000)

/*
 * What is to go into the hash table.  As entries lie all over the memory, each
 * would be waited for; so a few are called for at once, and come meanwhile.
 */
#define QUEUE_LENGTH		32

#ifdef __GNUC__
#define prefetch(address)	__builtin_prefetch(address)
#else
#define prefetch(address)	((void) 0)
#endif

typedef struct Queued
{
	SaidKey		key;
	int64		event_id;		/* of an event */
	uint32		hash;
	uint16		flag;			/* of an event, or where it is (IN_PENDING,
								 * ...) */
} Queued;

/* One pass, over every passes-th provider */
typedef struct Pass
{
	Queued		queue[QUEUE_LENGTH];
	int			n_queued;
	ReturnSetInfo *rsinfo;
	uint32		passes;
	uint32		pass;
	said_hash  *said;
	mention_hash *mentioned;
	Mention    *mention;		/* the last one, which is often the next */
	int32	   *providers;		/* that there are, in order */
	int			n_providers;
	int			room;
	int32		last_provider;	/* one that there is; 0: none yet */
	TimestampTz future;			/* what no clock can have shown yet */
	uint64		system_id;
	FullTransactionId next_xid; /* first that cannot have written what is seen */
	FullTransactionId own_xid;
} Pass;

/* What is given out: see _suspects() */
typedef enum Suspicion
{
	SUSPECT_ROW = 'r',
	SUSPECT_STATE = 's',
	SUSPECT_EVENT = 'e',
	MENTIONED = 'm'
} Suspicion;

typedef void (*RowReader) (Pass *pass, TupleTableSlot *slot);

static void
give_out(Pass *pass, Suspicion what, int64 event_id, int32 source_id,
		 const SaidKey *key)
{
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = CharGetDatum((char) what);
	values[1] = Int64GetDatum(event_id);
	nulls[1] = what == SUSPECT_ROW || what == SUSPECT_STATE;
	values[2] = Int32GetDatum(source_id);
	nulls[2] = nulls[1];
	values[3] = Int32GetDatum(key->provider_id);
	values[4] = TimestampTzGetDatum(key->start_at);
	values[5] = TimestampTzGetDatum(key->end_at);
	nulls[3] = key->provider_id == 0 && what == MENTIONED;
	nulls[4] = nulls[5] = what == MENTIONED || what == SUSPECT_EVENT;
	tuplestore_putvalues(pass->rsinfo->setResult, pass->rsinfo->setDesc, values,
						 nulls);
}

static inline bool
is_past(const Pass *pass, TimestampTz at)
{
	return at > DT_NOBEGIN && at < pass->future;
}

/* A column of a row that read_table() has taken apart */
static inline Datum
column(TupleTableSlot *slot, int attnum, bool *isnull)
{
	*isnull = slot->tts_isnull[attnum - 1];
	return slot->tts_values[attnum - 1];
}

static inline bool
text_is(const text *value, const char *word, size_t length)
{
	return VARSIZE_ANY_EXHDR(value) == length &&
		memcmp(VARDATA_ANY(value), word, length) == 0;
}

/* The partition that a row is about; false: it is about none. */
static inline bool
row_key(TupleTableSlot *slot, int provider_id, int start_at, int end_at,
		SaidKey *key)
{
	bool		isnull[3];

	memset(key, 0, sizeof(*key));
	key->end_at = DatumGetTimestampTz(column(slot, end_at, &isnull[0]));
	key->start_at = DatumGetTimestampTz(column(slot, start_at, &isnull[1]));
	key->provider_id = DatumGetInt32(column(slot, provider_id, &isnull[2]));
	return !isnull[0] && !isnull[1] && !isnull[2];
}

static inline bool
is_of_pass(const Pass *pass, const SaidKey *key)
{
	return pass->passes == 1 ||
		(uint32) key->provider_id % pass->passes == pass->pass;
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
		DatumGetInt32(column(slot, Anum_provider_id, &isnull));
}

static int
compare_ids(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return left < right ? -1 : left > right;
}

static bool
provider_exists(Pass *pass, int32 id)
{
	if (id != pass->last_provider || id == 0)
	{
		if (bsearch(&id, pass->providers, pass->n_providers, sizeof(int32),
					compare_ids) == NULL)
			return false;
		pass->last_provider = id;
	}
	return true;
}

/* Does a name keep the rules for what is stored? */
static bool
is_name(const char *name, size_t length)
{
	if (length < 1 || length > MAX_NAME_LENGTH ||
		name[0] == ' ' || name[length - 1] == ' ' || looks_like_token(name))
		return false;
	for (const char *at = name; *at != '\0'; at++)
	{
		if (control_character(at) > 0)
			return false;
	}
	return true;
}

/* An event, in the order of the table */
static void
note_event(Pass *pass, const Queued *event)
{
	bool		found;
	Said	   *said = said_insert_hash(pass->said, event->key, event->hash, &found);

	if (!found)
		said->flags = 0;
	if (!found || event->event_id > said->last)
	{
		said->last = event->event_id;
		if (event->flag == SAID_RETIRED)
			said->flags = (said->flags & OUT_OF_TURN) | SAID_RETIREMENT;
		else
			said->flags &= ~SAID_LAST;
		said->flags |= event->flag;
	}
	else if (event->flag == SAID_RETIRED || (said->flags & SAID_RETIREMENT))
		said->flags |= OUT_OF_TURN;
	else
		said->flags |= event->flag & ~SAID_LAST;
}

static void
work_off_queue(Pass *pass)
{
	for (int i = 0; i < pass->n_queued; i++)
	{
		Queued	   *queued = &pass->queue[i];

		if (queued->flag < IN_PENDING)
			note_event(pass, queued);
		else
		{
			Said	   *said = said_lookup_hash(pass->said, queued->key, queued->hash);

			if (said != NULL)
				said->flags |= queued->flag;
		}
	}
	pass->n_queued = 0;
}

static void
enqueue(Pass *pass, const SaidKey *key, int64 event_id, uint16 flag)
{
	Queued	   *queued = &pass->queue[pass->n_queued++];

	queued->key = *key;
	queued->event_id = event_id;
	queued->hash = key_hash(*key);
	queued->flag = flag;
	prefetch(&pass->said->data[queued->hash & pass->said->sizemask]);
	if (pass->n_queued == QUEUE_LENGTH)
		work_off_queue(pass);
}

/* What each event says of a partition; 0: it is not about one */
typedef struct EventWord
{
	const char *word;
	uint16		flag;
} EventWord;

static const EventWord event_words[] = {
	{"register_partition", SAID_REGISTERED},
	{"unlock", SAID_UNLOCKED},
	{"lock", SAID_LOCKED},
	{"take_over", SAID_LOCKED},
	{"fail", SAID_FAILED},
	{"retire", SAID_RETIRED},
	{"force_fail", SAID_FAILED},
	{"revoke", SAID_FAILED},
	{"register_source", 0},
	{"register_provider", 0},
	{"rotate", 0},
	{"change_rule", 0},
	{"change_provider", 0},
	{"drop_source", 0},
	{"rename", 0}
};

/* What an event does to a partition; *known: is there such an event? */
static uint16
event_flag(TupleTableSlot *slot, bool *known)
{
	bool		isnull;
	text	   *event = DatumGetTextPP(column(slot, Anum_event_event, &isnull));

	*known = true;
	for (int i = 0; i < lengthof(event_words); i++)
	{
		if (text_is(event, event_words[i].word, strlen(event_words[i].word)))
			return event_words[i].flag;
	}
	*known = false;
	return 0;
}

/* Does an event look wrong by itself?  As _damage_events has it. */
static bool
event_is_odd(const Pass *pass, TupleTableSlot *slot, const SaidKey *key,
			 bool is_of_partition)
{
	bool		isnull;
	bool		no_provider;
	bool		no_start;
	bool		no_end;
	FullTransactionId xid;
	char		code;

	if (!is_past(pass, DatumGetTimestampTz(column(slot, Anum_event_at, &isnull))))
		return true;
	column(slot, Anum_event_provider_id, &no_provider);
	column(slot, Anum_event_start_at, &no_start);
	column(slot, Anum_event_end_at, &no_end);
	if (no_start != no_end || (no_provider && !no_start))
		return true;
	if (is_of_partition &&
		(key->start_at >= key->end_at || TIMESTAMP_NOT_FINITE(key->start_at) ||
		 TIMESTAMP_NOT_FINITE(key->end_at)))
		return true;
	xid = DatumGetFullTransactionId(column(slot, Anum_event_xid, &isnull));
	if (FullTransactionIdFollowsOrEquals(xid, pass->next_xid) &&
		!FullTransactionIdEquals(xid, pass->own_xid) &&
		(uint64) DatumGetInt64(column(slot, Anum_event_system_id, &isnull)) == pass->system_id)
		return true;
	code = DatumGetChar(column(slot, Anum_event_credential, &isnull));
	if (!isnull && (code == '\0' || strchr("spotxw", code) == NULL))
		return true;
	code = DatumGetChar(column(slot, Anum_event_state_before, &isnull));
	return !isnull && (code == '\0' || strchr("nrulfLF", code) == NULL);
}

static void
note_mention(Pass *pass, int32 source_id, int32 provider_id, int64 event_id)
{
	uint64		key = (uint64) (uint32) source_id << 32 | (uint32) provider_id;

	if (pass->mention == NULL || pass->mention->key != key)
	{
		bool		found;

		pass->mention = mention_insert(pass->mentioned, key, &found);
		if (!found)
			pass->mention->last = PG_INT64_MIN;
	}
	pass->mention->last = Max(pass->mention->last, event_id);
}

static void
read_event(Pass *pass, TupleTableSlot *slot)
{
	SaidKey		key;
	bool		is_of_partition;
	bool		known;
	bool		isnull;
	int64		id;
	uint16		flag;

	is_of_partition = row_key(slot, Anum_event_provider_id, Anum_event_start_at,
							  Anum_event_end_at, &key);
	id = DatumGetInt64(column(slot, Anum_event_id, &isnull));
	flag = event_flag(slot, &known);
	if (pass->pass == 0)
	{
		int32		source_id = DatumGetInt32(column(slot, Anum_event_source_id, &isnull));
		int32		provider_id = DatumGetInt32(column(slot, Anum_event_provider_id, &isnull));

		note_mention(pass, source_id, isnull ? 0 : provider_id, id);
		if (!known || event_is_odd(pass, slot, &key, is_of_partition))
			give_out(pass, SUSPECT_EVENT, id, source_id, &key);
	}
	if (!is_of_partition || !is_of_pass(pass, &key))
		return;

	enqueue(pass, &key, id, flag);
}

/* Does a partition look wrong by itself?  As _damage_partitions has it. */
static bool
partition_is_odd(Pass *pass, TupleTableSlot *slot, const SaidKey *key,
				 bool is_unlocked)
{
	TimeInterval during = {key->start_at, key->end_at};
	TimestampTz at;
	bool		isnull;

	if (key->start_at >= key->end_at || TIMESTAMP_NOT_FINITE(key->start_at) ||
		TIMESTAMP_NOT_FINITE(key->end_at) ||
		DatumGetInt16(column(slot, Anum_partition_length_class, &isnull)) != length_class(during) ||
		!is_past(pass, DatumGetTimestampTz(column(slot, Anum_partition_registered_at, &isnull))) ||
		!provider_exists(pass, key->provider_id))
		return true;
	if (!is_unlocked)
		return false;

	at = DatumGetTimestampTz(column(slot, Anum_partition_first_unlocked_at, &isnull));
	if (isnull || !is_past(pass, at))
		return true;
	at = DatumGetTimestampTz(column(slot, Anum_partition_unlocked_at, &isnull));
	if (!isnull && !is_past(pass, at))
		return true;
	column(slot, Anum_partition_unlocked_by, &isnull);
	if (!isnull)
	{
		Datum		value = column(slot, Anum_partition_unlocked_by, &isnull);
		char		name[MAX_NAME_LENGTH + 1];
		text	   *holder = DatumGetTextPP(value);
		size_t		length = VARSIZE_ANY_EXHDR(holder);

		if (length > MAX_NAME_LENGTH)
			return true;
		memcpy(name, VARDATA_ANY(holder), length);
		name[length] = '\0';
		return !is_name(name, length);
	}
	return false;
}

static void
read_partition_of(Pass *pass, TupleTableSlot *slot, bool is_unlocked)
{
	SaidKey		key;

	row_key(slot, Anum_partition_provider_id, Anum_partition_start_at,
			Anum_partition_end_at, &key);
	if (pass->pass == 0 && partition_is_odd(pass, slot, &key, is_unlocked))
		give_out(pass, SUSPECT_ROW, 0, 0, &key);
	if (is_of_pass(pass, &key))
		enqueue(pass, &key, 0, is_unlocked ? IN_PARTITION : IN_PENDING);
}

static void
read_pending(Pass *pass, TupleTableSlot *slot)
{
	read_partition_of(pass, slot, false);
}

static void
read_partition(Pass *pass, TupleTableSlot *slot)
{
	read_partition_of(pass, slot, true);
}

static void
read_lock(Pass *pass, TupleTableSlot *slot)
{
	SaidKey		key;
	bool		isnull;
	text	   *state = DatumGetTextPP(column(slot, Anum_lock_state, &isnull));

	row_key(slot, Anum_lock_provider_id, Anum_lock_start_at, Anum_lock_end_at,
			&key);
	if (is_of_pass(pass, &key))
		enqueue(pass, &key, 0,
				text_is(state, "locked", 6) ? HAS_LOCKED : HAS_FAILED);
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
	TableScanDesc scan = table_beginscan_compat(table, GetActiveSnapshot());

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		reader(pass, slot);
	}
	work_off_queue(pass);
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
 * _suspects() returns TABLE (what "char", event_id bigint, source_id integer,
 *							  provider_id integer, start_at timestamptz,
 *							  end_at timestamptz)
 *		What looks wrong: r a partition by itself, s the state of a partition by
 *		history, e an event; and m the pairs of source and provider that
 *		history mentions, with their last event.
 */
Datum
_suspects(PG_FUNCTION_ARGS)
{
	Pass		pass = {0};
	Relation	events = open_table("event");
	double		n_entries = (double) RelationGetNumberOfBlocks(events) *
		EVENTS_ON_A_PAGE / 2;
	Snapshot	snapshot = GetActiveSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	mention_iterator at_mention;

	table_close(events, NoLock);
	InitMaterializedSRF(fcinfo, 0);
	pass.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	pass.future = GetCurrentTimestamp() + DAY;
	pass.system_id = GetSystemIdentifier();
	pass.own_xid = GetTopFullTransactionIdIfAny();

	/* The snapshot's xmax in full: it is not after the next one of now. */
	pass.next_xid =
		FullTransactionIdFromEpochAndXid(EpochFromFullTransactionId(next) -
										 (snapshot->xmax > XidFromFullTransactionId(next) ? 1 : 0),
										 snapshot->xmax);
	pass.mentioned = mention_create(CurrentMemoryContext, 256, NULL);
	pass.room = 64;
	pass.providers = palloc(pass.room * sizeof(int32));
	read_table(&pass, "provider", read_provider);
	qsort(pass.providers, pass.n_providers, sizeof(int32), compare_ids);

	pass.passes = 1 + (uint32) Min(n_entries / ENTRIES_IN_A_PASS, 1000);
	for (pass.pass = 0; pass.pass < pass.passes; pass.pass++)
	{
		MemoryContext memory = AllocSetContextCreate(CurrentMemoryContext,
													 "partreg history",
													 ALLOCSET_DEFAULT_SIZES);
		said_iterator at;
		Said	   *said;

		pass.said = said_create(memory,
								(uint32) Max(64, n_entries / pass.passes), NULL);
		read_table(&pass, "event", read_event);
		read_table(&pass, "pending", read_pending);
		read_table(&pass, "partition", read_partition);
		read_table(&pass, "lock", read_lock);

		said_start_iterate(pass.said, &at);
		while ((said = said_iterate(pass.said, &at)) != NULL)
		{
			/* Partitions of a dropped source are gone with it. */
			if (is_contradicted(said) &&
				provider_exists(&pass, said->key.provider_id))
				give_out(&pass, SUSPECT_STATE, 0, 0, &said->key);
		}
		MemoryContextDelete(memory);
	}

	mention_start_iterate(pass.mentioned, &at_mention);
	while ((pass.mention = mention_iterate(pass.mentioned, &at_mention)) != NULL)
	{
		SaidKey		key = {.provider_id = (int32) pass.mention->key};

		give_out(&pass, MENTIONED, pass.mention->last,
				 (int32) (pass.mention->key >> 32), &key);
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

	PG_RETURN_BOOL(is_name(name, strlen(name)));
}
