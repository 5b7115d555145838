/*
 * feed.h
 *		The change feed: events as rows of the type `change`.
 */
#ifndef PARTREG_FEED_H
#define PARTREG_FEED_H

#include "catalog.h"

/* Columns of the type, from 0 */
#define CHANGE_SOURCE_NAME		2
#define CHANGE_PROVIDER_NAME	3
#define CHANGE_DURING			4
#define CHANGE_NEXT_POSITION	10
#define CHANGE_COLUMNS			11

extern void change_values(CatalogScan *scan, Datum *values, bool *nulls);

#endif							/* PARTREG_FEED_H */
