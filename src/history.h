/*
 * history.h
 *		Events, and the notifications that go with them.
 */
#ifndef PARTREG_HISTORY_H
#define PARTREG_HISTORY_H

#include "access.h"
#include "datatype/timestamp.h"
#include "interval.h"
#include "utils/jsonb.h"
#include "utils/snapshot.h"

/* Setting partreg.notify */
typedef enum NotifyLevel
{
	NOTIFY_OFF,
	NOTIFY_READY,
	NOTIFY_ALL
} NotifyLevel;

extern int	notify_level;

extern void define_notify(void);

/* What a partition was before an event: partreg.event.state_before */
typedef enum StateBefore
{
	STATE_NOT_REMEMBERED = 0,	/* or of no partition */
	STATE_ABSENT = 'n',
	STATE_REGISTERED = 'r',
	STATE_UNLOCKED = 'u',
	STATE_LOCKED_AT_FIRST = 'l',	/* never unlocked */
	STATE_FAILED_AT_FIRST = 'f',
	STATE_LOCKED = 'L',
	STATE_FAILED = 'F'
} StateBefore;

typedef struct Event
{
	const char *event;
	const Access *access;
	const TimeInterval *during; /* NULL: of no partition */
	StateBefore state_before;
	TimestampTz at;
	const char *holder;			/* or NULL */
	const char *reason;			/* or NULL */
	Jsonb	   *details;		/* or NULL */
	bool		may_make_ready; /* though not all events of its kind may */
} Event;

extern void history_record(const Event *event);
extern int64 history_record_many(const Event *event,
								 const TimeInterval *durings,
								 const StateBefore *states, size_t count);
extern void history_notify(const Event *event, int64 event_id, int64 count);
extern Jsonb *history_details(int32 provider_id, TimeInterval during,
							  TimestampTz since, Snapshot snapshot);
extern Jsonb *history_change(const char *what, const char *before,
							 const char *after);
extern char *caller_name(void);

#endif							/* PARTREG_HISTORY_H */
