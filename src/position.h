/*
 * position.h
 *		Positions: texts that stand for what a snapshot sees of the history.
 */
#ifndef PARTREG_POSITION_H
#define PARTREG_POSITION_H

#include "access/xlogdefs.h"
#include "catalog.h"
#include "compat.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

/* What a snapshot sees of the history; all zero: nothing */
typedef struct View
{
	uint64		system_id;
	TimeLineID	timeline;
	Oid			table;			/* partreg.event: another one after a restore */
	XLogRecPtr	lsn;			/* all that it sees is in the WAL before */
	int64		last_id;		/* of the events that it sees; 0: it sees none */
	TimestampTz last_at;
	uint64		last_xid;		/* its transaction; 0: of another cluster */
	uint64		next;			/* transactions from this one on began later */
	uint64		xmax;			/* it sees none of the transactions from this
								 * one on, ... */
	uint32		count;			/* ... nor these, which are in order */
	uint64	   *running;
} View;

typedef struct Position
{
	pg_uuid_t	registry;
	View		seen;
	bool		in_page;		/* besides ... */
	View		target;			/* ... all that this view sees ... */
	int64		given;			/* ... up to this event */
} Position;

/* Can a server go on from a position? */
typedef enum Standing
{
	POSITION_GOOD,
	POSITION_AHEAD,				/* it does not yet see what the position saw */
	POSITION_GONE				/* an event not yet given may be gone */
} Standing;

extern Position *position_take(Snapshot snapshot);
extern Position *position_before_all(const Position *here);
extern Position *position_argument(FunctionCallInfo fcinfo, int argno);
extern char *position_text(const Position *position);
extern bool view_sees_transaction(const View *view, uint64 xid);
extern bool view_sees(const View *view, int64 id, uint64 xid,
					  uint64 system_id);
extern bool position_sees(const Position *position, int64 id, uint64 xid,
						  uint64 system_id);

/* judge.c */
extern Standing position_judge(const Position *position, const Position *here,
							   Snapshot snapshot, const char **why);
pg_noreturn extern void position_refuse(const char *why);
extern void position_check_feed(void);

#endif							/* PARTREG_POSITION_H */
