/*
 * vacancy.h
 *		Remembering that a source has no lock rows.
 */
#ifndef PARTREG_VACANCY_H
#define PARTREG_VACANCY_H

#include "access/xlogdefs.h"
#include "storage/block.h"
#include "storage/buf.h"

#include "compat.h"

/* A page of the index of locks that held no entry of a source */
typedef struct Vacancy
{
	int32		source_id;		/* 0: none is known */
	RelLocator	index;
	uint64		generation;		/* see catalog_lock_index_again() */
	BlockNumber block;
	Buffer		buffer;
	XLogRecPtr	lsn;			/* of the page, when it was so */
} Vacancy;

extern bool vacancy_holds(Vacancy *vacancy, int32 source_id,
						  Snapshot snapshot);

#endif							/* PARTREG_VACANCY_H */
