/*
 * feed.h
 *		The change feed: events as rows of the type `change`.
 */
#ifndef PARTREG_FEED_H
#define PARTREG_FEED_H

#include "catalog.h"

/* The columns of the type, from 0, as far as they are no column of an event */
#define CHANGE_DURING			4
#define CHANGE_NEXT_POSITION	10
#define CHANGE_COLUMNS			11

extern void change_values(CatalogScan *scan, Datum *values, bool *nulls);

#endif							/* PARTREG_FEED_H */
