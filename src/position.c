/*
 * position.c
 *		Positions: texts that stand for what a snapshot sees of the history.
 *
 * Events are numbered when they are written, not when they commit, so "all up
 * to number n" would hide those that commit late.  A position therefore keeps
 * which transactions a snapshot sees, as txid_snapshot does; what it does not
 * see comes later.  Three things make such a snapshot something to store:
 *
 * - The caller's own transaction counts as one that is running, although a
 *	 snapshot does not list it.  A snapshot of a standby lists all that are
 *	 running, subtransactions among them, where one of a primary lists
 *	 subtransactions alone.
 *
 * - Numbers of transactions may be used again: after a crash those that left
 *	 nothing in the WAL, in a copy or after a promotion those that the other
 *	 server has used since, after a restore all.  Numbers of events are not: the
 *	 sequence is never behind an event that has committed.  So an event is seen
 *	 if its number is not above the greatest that the snapshot sees, and if its
 *	 transaction is seen, where that number means something: in the cluster
 *	 (system identifier) in which the position was taken.
 *
 * - Where it was taken (registry, cluster, timeline, place in the WAL) and the
 *	 last event with its time, by which judge.c tells whether a server can go on
 *	 from it.
 *
 * The place in the WAL is what was flushed (on a standby: replayed) after the
 * snapshot was taken.  Commits of events are flushed before anybody sees them,
 * so all that the snapshot sees is before that place, and no crash takes the
 * place away: it is never within a record.
 *
 * While the feed gives one page after the other, a position has two views: what
 * was seen before, and the target that is being given, in the order of numbers,
 * up to one.
 *
 * A writer has WAL under its transaction before it draws the number of an event
 * (it has locked or written a row).  So events of transactions that began after
 * a view was taken have numbers above all that it sees.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "lib/qunique.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "argument.h"
#include "compat.h"
#include "condition.h"
#include "identity.h"
#include "position.h"

/* The form of the text: the first character of each */
#define POSITION_FORM	'1'

/* In bytes; two views of ten thousand sessions have less. */
#define MAX_POSITION_LENGTH	(4 * 1024 * 1024)

/* A transaction id with its epoch: it is at most two billion before the next. */
static uint64
widen(TransactionId xid, FullTransactionId next)
{
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return x < y ? -1 : x > y;
}

/* Which transactions does a snapshot see? */
static void
take_transactions(Snapshot snapshot, View *view)
{
	bool		on_standby = snapshot->takenDuringRecovery;
	const TransactionId *xids = on_standby ? snapshot->subxip : snapshot->xip;
	uint32		count = on_standby ? snapshot->subxcnt : snapshot->xcnt;
	FullTransactionId next = ReadNextFullTransactionId();
	uint64		own = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());

	view->next = U64FromFullTransactionId(next);
	view->xmax = widen(snapshot->xmax, next);
	view->running = palloc_extended(((Size) count + 1) * sizeof(uint64),
									MCXT_ALLOC_HUGE);
	view->count = 0;
	for (uint32 i = 0; i < count; i++)
		view->running[view->count++] = widen(xids[i], next);
	if (own != 0)
		view->running[view->count++] = own;
	qsort(view->running, view->count, sizeof(uint64), compare_xids);
	/* One that is being prepared is listed twice for a moment. */
	view->count = qunique(view->running, view->count, sizeof(uint64),
						  compare_xids);
	while (view->count > 0 && view->running[view->count - 1] >= view->xmax)
		view->count--;
}

/*
 * Which is the last event that a view sees, or saw before it was purged?
 *
 * What open transactions have written last is walked over one by one.
 */
static void
take_last_event(Snapshot snapshot, const Identity *identity, View *view)
{
	CatalogScan scan;

	catalog_begin(&scan, EVENT_BY_ID, snapshot);
	view->table = RelationGetRelid(scan.table);
	catalog_seek_all(&scan);
	while (catalog_next_row(&scan, BackwardScanDirection))
	{
		uint64		xid = (uint64) catalog_row_int64(&scan, Anum_event_xid);
		bool		of_cluster = (uint64) catalog_row_int64(&scan, Anum_event_system_id) == view->system_id;

		/* The snapshot sees the caller's own ones, the view does not. */
		if (of_cluster && !view_sees_transaction(view, xid))
			continue;
		view->last_xid = of_cluster ? xid : 0;
		view->last_id = catalog_row_int64(&scan, Anum_event_id);
		(void) catalog_row_time(&scan, Anum_event_at, &view->last_at);
		break;
	}
	catalog_end(&scan);
	if (identity->purged_id > view->last_id)
	{
		view->last_id = identity->purged_id;
		view->last_at = identity->purged_at;
		view->last_xid = identity->purged_system == view->system_id
			? identity->purged_xid : 0;
	}
}

/*
 * A place between two records up to which the WAL was flushed.
 *
 * What was flushed may end within a record, at the end of a page, and a crash
 * takes such a record away.
 */
static XLogRecPtr
flushed_end(TimeLineID *timeline)
{
	XLogRecPtr	end = GetFlushRecPtr(timeline);

	if (end % XLOG_BLCKSZ != 0)
		return end;
	end = GetXLogInsertRecPtr();
	/* At the end of a page that is the place after the next one's header. */
	if (end % XLOG_BLCKSZ <= SizeOfXLogLongPHD)
		end -= end % XLOG_BLCKSZ;
	XLogFlush(end);
	return end;
}

/* What a snapshot sees, as a position. */
Position *
position_take(Snapshot snapshot)
{
	Position   *position = palloc0(sizeof(Position));
	View	   *view = &position->seen;
	Identity	identity;

	identity_read(snapshot, &identity);
	position->registry = identity.id;
	view->system_id = GetSystemIdentifier();
	take_transactions(snapshot, view);
	if (RecoveryInProgress())
		view->lsn = GetXLogReplayRecPtr(&view->timeline);
	else
		view->lsn = flushed_end(&view->timeline);
	take_last_event(snapshot, &identity, view);
	return position;
}

/* The position that has seen nothing. */
Position *
position_before_all(const Position *here)
{
	Position   *position = palloc0(sizeof(Position));

	position->registry = here->registry;
	return position;
}

/* Does a view see what a transaction of its cluster has committed? */
bool
view_sees_transaction(const View *view, uint64 xid)
{
	return xid < view->xmax &&
		(view->count == 0 ||
		 bsearch(&xid, view->running, view->count, sizeof(uint64),
				 compare_xids) == NULL);
}

/* Does a view see an event that has committed? */
bool
view_sees(const View *view, int64 id, uint64 xid, uint64 system_id)
{
	return id <= view->last_id &&
		(system_id != view->system_id || view_sees_transaction(view, xid));
}

bool
position_sees(const Position *position, int64 id, uint64 xid,
			  uint64 system_id)
{
	return view_sees(&position->seen, id, xid, system_id) ||
		(position->in_page && id <= position->given &&
		 view_sees(&position->target, id, xid, system_id));
}

/*
 * The text form: form.registry.view[.view.given].checksum, and a view is
 * system,timeline,table,lsn,last_id,last_at,last_xid,next,xmax[,xid...].  Numbers
 * are hexadecimal; each of the running transactions is written as its distance
 * from the one before it in the text, the greatest first.
 */
static void
append_number(StringInfo text, char separator, uint64 number)
{
	appendStringInfo(text, "%c%llx", separator, (unsigned long long) number);
}

static void
append_view(StringInfo text, const View *view)
{
	uint64		above = view->xmax;

	append_number(text, '.', view->system_id);
	append_number(text, ',', view->timeline);
	append_number(text, ',', view->table);
	append_number(text, ',', view->lsn);
	append_number(text, ',', (uint64) view->last_id);
	append_number(text, ',', (uint64) view->last_at);
	append_number(text, ',', view->last_xid);
	append_number(text, ',', view->next);
	append_number(text, ',', view->xmax);
	for (uint32 i = view->count; i > 0; i--)
	{
		append_number(text, ',', above - view->running[i - 1]);
		above = view->running[i - 1];
	}
}

static uint32
checksum(const char *text, size_t length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, text, length);
	FIN_CRC32C(crc);
	return crc;
}

char *
position_text(const Position *position)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%c.", POSITION_FORM);
	for (int i = 0; i < UUID_LEN; i++)
		appendStringInfo(&text, "%02x", position->registry.data[i]);
	append_view(&text, &position->seen);
	if (position->in_page)
	{
		append_view(&text, &position->target);
		append_number(&text, '.', (uint64) position->given);
	}
	append_number(&text, '.', checksum(text.data, text.len));
	return text.data;
}

/* Read a number after a separator; false: there is none. */
static bool
read_number(const char **at, char separator, uint64 *number)
{
	const char *from = *at + 1;
	int			digits = strspn(from, "0123456789abcdef");

	if (**at != separator || digits < 1 || digits > 16)
		return false;
	*number = strtou64(from, NULL, 16);
	*at = from + digits;
	return true;
}

/* The number of an event */
static bool
read_id(const char **at, char separator, int64 *id)
{
	uint64		number;

	if (!read_number(at, separator, &number) || number >= PG_INT64_MAX)
		return false;
	*id = (int64) number;
	return true;
}

static bool
read_view(const char **at, View *view)
{
	uint64		timeline;
	uint64		table;
	uint64		last_at;
	uint64		above;
	const char *end;

	if (!read_number(at, '.', &view->system_id) ||
		!read_number(at, ',', &timeline) ||
		!read_number(at, ',', &table) ||
		!read_number(at, ',', &view->lsn) ||
		!read_id(at, ',', &view->last_id) ||
		!read_number(at, ',', &last_at) ||
		!read_number(at, ',', &view->last_xid) ||
		!read_number(at, ',', &view->next) ||
		!read_number(at, ',', &view->xmax))
		return false;
	view->timeline = (TimeLineID) timeline;
	view->table = (Oid) table;
	view->last_at = (TimestampTz) last_at;

	/* Each takes two characters at least. */
	end = strchr(*at, '.');
	if (end == NULL)
		return false;
	view->running = palloc_extended(((end - *at) / 2 + 1) * sizeof(uint64),
									MCXT_ALLOC_HUGE);
	view->count = 0;
	above = view->xmax;
	while (**at == ',')
	{
		uint64		distance;

		if (!read_number(at, ',', &distance) || distance == 0 ||
			distance > above)
			return false;
		above -= distance;
		view->running[view->count++] = above;
	}
	for (uint32 i = 0; i < view->count / 2; i++)
	{
		uint64		swapped = view->running[i];

		view->running[i] = view->running[view->count - 1 - i];
		view->running[view->count - 1 - i] = swapped;
	}
	return true;
}

static bool
read_registry(const char **at, pg_uuid_t *registry)
{
	if (strspn(*at, "0123456789abcdef") != 2 * UUID_LEN)
		return false;
	hex_decode(*at, 2 * UUID_LEN, (char *) registry->data);
	*at += 2 * UUID_LEN;
	return true;
}

/* Does the text end in its checksum? */
static bool
is_whole(const char *text)
{
	const char *last = strrchr(text, '.');
	const char *end = last;
	uint64		number;

	return last != NULL && read_number(&end, '.', &number) && *end == '\0' &&
		number == checksum(text, last - text);
}

/* What a text says; NULL: it is not a position. */
static Position *
read_position(const char *text)
{
	Position   *position = palloc0(sizeof(Position));
	const char *at = &text[2];
	uint64		number;

	if (text[0] != POSITION_FORM || text[1] != '.' || !is_whole(text) ||
		!read_registry(&at, &position->registry) ||
		!read_view(&at, &position->seen))
		return NULL;
	position->in_page = strchr(at + 1, '.') != NULL;
	if (position->in_page &&
		(!read_view(&at, &position->target) ||
		 !read_id(&at, '.', &position->given)))
		return NULL;
	return read_number(&at, '.', &number) && *at == '\0' ? position : NULL;
}

/* A position that a caller gives (22023: it is none); NULL for NULL. */
Position *
position_argument(FunctionCallInfo fcinfo, int argno)
{
	Position   *position = NULL;
	Datum		given;

	if (PG_ARGISNULL(argno))
		return NULL;
	given = PG_GETARG_DATUM(argno);

	/* A huge one is not unfolded for the look. */
	if (toast_raw_datum_size(given) <= MAX_POSITION_LENGTH)
		position = read_position(TextDatumGetCString(given));
	if (position == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errcondition("bad_argument"),
				 errmsg("argument \"%s\" is not a position", "since"),
				 errhint("Positions come from partreg.feed_position(), and from next_position of partreg.changes_since().")));
	return position;
}
