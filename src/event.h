/*
 * event.h
 *		Reading events.
 */
#ifndef PARTREG_EVENT_H
#define PARTREG_EVENT_H

#include "access/transam.h"
#include "catalog.h"
#include "history.h"

/* Tells when events happened; zero-initialise before use. */
typedef struct EventClock
{
	bool		started;
	bool		has_commits;	/* the server keeps the times of commits */
	int64		system_id;		/* whose transaction ids mean something */
	FullTransactionId next;		/* none of them is this old */
	FullTransactionId asked;	/* the transaction asked for last, */
	bool		committed;		/* whether its time is known, */
	TimestampTz commit_time;	/* and what it is */
} EventClock;

extern TimestampTz event_time(EventClock *clock, CatalogScan *scan);
extern StateBefore event_state_before(CatalogScan *scan);
extern bool event_is(CatalogScan *scan, const char *what);
extern char *event_change(CatalogScan *scan, const char *what);

#endif							/* PARTREG_EVENT_H */
