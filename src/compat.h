/*
 * compat.h
 *		What differs between the supported versions of PostgreSQL: every test of
 *		PG_VERSION_NUM is here.
 */
#ifndef PARTREG_COMPAT_H
#define PARTREG_COMPAT_H

/* From 16 on, postgres.h does not include it any more. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* From 17 on, intervals may be infinite. */
#if PG_VERSION_NUM < 170000
#define INTERVAL_NOT_FINITE(interval) false
#endif

/* From 18 on, the word for a function that does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* From 16 on, one argument more: where to put a soft error. */
#if PG_VERSION_NUM >= 160000
#define make_range_compat(typcache, lower, upper, empty) \
	make_range(typcache, lower, upper, empty, NULL)
#else
#define make_range_compat(typcache, lower, upper, empty) \
	make_range(typcache, lower, upper, empty)
#endif

/* From 16 on, a relation's files are called its locator. */
#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
#define RelLocator RelFileLocator
#define rel_locator(rel) ((rel)->rd_locator)
#else
#include "storage/relfilenode.h"
#define RelLocator RelFileNode
#define rel_locator(rel) ((rel)->rd_node)
#endif

/*
 * From 16 on, the table is an argument; from 17 on, the snapshot is none; from
 * 19 on, the way to the leaf is not remembered unless asked for.
 */
#if PG_VERSION_NUM >= 190000
#define bt_search_compat(index, table, key, buffer, snapshot) \
	_bt_search(index, table, key, buffer, BT_READ, false)
#elif PG_VERSION_NUM >= 170000
#define bt_search_compat(index, table, key, buffer, snapshot) \
	_bt_freestack(_bt_search(index, table, key, buffer, BT_READ))
#elif PG_VERSION_NUM >= 160000
#define bt_search_compat(index, table, key, buffer, snapshot) \
	_bt_freestack(_bt_search(index, table, key, buffer, BT_READ, snapshot))
#else
#define bt_search_compat(index, table, key, buffer, snapshot) \
	_bt_freestack(_bt_search(index, key, buffer, BT_READ, snapshot))
#endif

/* Up to 16, a setting lets VACUUM remove rows that old snapshots see. */
#if PG_VERSION_NUM < 170000
#define rows_may_be_taken() OldSnapshotThresholdActive()
#else
#define rows_may_be_taken() false
#endif

/*
 * From 18 on, one argument more: where to count what the scan does; from 19
 * on, another: flags, of which none is set.
 */
#if PG_VERSION_NUM >= 190000
#define index_beginscan_compat(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0, 0)
#elif PG_VERSION_NUM >= 180000
#define index_beginscan_compat(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define index_beginscan_compat(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* From 19 on, one argument more: flags, of which none is set. */
#if PG_VERSION_NUM >= 190000
#define table_beginscan_compat(table, snapshot) \
	table_beginscan(table, snapshot, 0, NULL, 0)
#else
#define table_beginscan_compat(table, snapshot) \
	table_beginscan(table, snapshot, 0, NULL)
#endif

/*
 * From 16 on, one argument more: only indexes that sum up blocks; from 19 on,
 * the switches are flags.  `conflict` NULL: a conflict is an error.
 */
#if PG_VERSION_NUM >= 190000
#define insert_index_tuples_compat(relation, slot, estate, conflict) \
	ExecInsertIndexTuples(relation, estate, \
						  (conflict) == NULL ? 0 : EIIT_NO_DUPE_ERROR, slot, \
						  NIL, conflict)
#elif PG_VERSION_NUM >= 160000
#define insert_index_tuples_compat(relation, slot, estate, conflict) \
	ExecInsertIndexTuples(relation, slot, estate, false, (conflict) != NULL, \
						  conflict, NIL, false)
#else
#define insert_index_tuples_compat(relation, slot, estate, conflict) \
	ExecInsertIndexTuples(relation, slot, estate, false, (conflict) != NULL, \
						  conflict, NIL)
#endif

/* From 19 on, a tuple descriptor that one fills has to be said to be full. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(desc) ((void) 0)
#endif

/* From 19 on, the value that is built is in the state, and not returned. */
#if PG_VERSION_NUM >= 190000
#define JsonbBuildState JsonbInState
#define push_jsonb_compat(state, token, value) \
	(pushJsonbValue(state, token, value), (state)->result)
#else
#define JsonbBuildState JsonbParseState *
#define push_jsonb_compat(state, token, value) \
	pushJsonbValue(state, token, value)
#endif

/*
 * From 19 on, a listener that has notifications to read is not woken by more of
 * them, and while it is busy it reads none.
 */
#if PG_VERSION_NUM >= 190000
#define more_notifications_wake() (!notifyInterruptPending)
#else
#define more_notifications_wake() true
#endif

/* From 16 on, one argument more: whether to copy what is not by value. */
#if PG_VERSION_NUM >= 160000
#define tuplesort_getdatum_compat(state, forward, value, isnull) \
	tuplesort_getdatum(state, forward, false, value, isnull, NULL)
#else
#define tuplesort_getdatum_compat(state, forward, value, isnull) \
	tuplesort_getdatum(state, forward, value, isnull, NULL)
#endif

#endif							/* PARTREG_COMPAT_H */
