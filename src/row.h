/*
 * row.h
 *		Locking and writing single rows of our own tables.
 */
#ifndef PARTREG_ROW_H
#define PARTREG_ROW_H

#include "catalog.h"
#include "nodes/lockoptions.h"

extern bool row_lock(CatalogScan *scan, LockTupleMode mode);
extern void row_insert(CatalogIndex which, Datum *values, bool *nulls);
extern void row_update(CatalogScan *scan, Datum *values, bool *nulls,
					   bool *replace);
extern void row_delete(CatalogScan *scan);

#endif							/* PARTREG_ROW_H */
