/*
 * row.h
 *		Locking and writing single rows of our own tables.
 */
#ifndef PARTREG_ROW_H
#define PARTREG_ROW_H

#include "catalog.h"
#include "nodes/lockoptions.h"

/* Gives the values of the n-th of many rows, n counting from 0 */
typedef void (*RowFiller) (void *arg, size_t n, Datum *values, bool *nulls);

/*
 * Finds another row that must not be beside one that is in the table at `own`
 * (NULL: it is not there): also one that is not committed, of which the
 * snapshot, a dirty one, then says whose it is.
 */
typedef bool (*RivalFinder) (const void *arg, ItemPointer own, Snapshot dirty);

extern bool row_lock(CatalogScan *scan, LockTupleMode mode);
extern bool row_lock_told(CatalogScan *scan, LockTupleMode mode, bool *waited);
extern bool row_lock_at_once(CatalogScan *scan, ItemPointer tid,
							 LockTupleMode mode);
extern void row_insert(CatalogIndex which, const Datum *values,
					   const bool *nulls);
extern bool row_try_insert(CatalogIndex which, const Datum *values,
						   const bool *nulls, RivalFinder find_rival,
						   const void *arg);
extern void row_insert_many(CatalogIndex which, size_t count, RowFiller fill,
							void *arg);
extern void row_update(CatalogIndex which, ItemPointer tid,
					   const Datum *values, const bool *nulls);
extern void row_delete(CatalogIndex which, ItemPointer tid);
extern void row_delete_many(CatalogIndex which, const ItemPointerData *tids,
							size_t count);

#endif							/* PARTREG_ROW_H */
