/*
 * timeline.h
 *		A picture of a range in lines of text: a window of time divided into
 *		cells, what a cell shows, and an axis.
 */
#ifndef PARTREG_TIMELINE_H
#define PARTREG_TIMELINE_H

#include "interval.h"
#include "lib/stringinfo.h"

#define MIN_WIDTH		20
#define MAX_WIDTH		200
#define DEFAULT_WIDTH	72

/* A window of time and the cells that it is divided into, all equally long */
typedef struct Scale
{
	TimeInterval window;
	int			cells;			/* at most MAX_WIDTH */
} Scale;

extern bool scale_cells(const Scale *scale, TimeInterval during, int *first,
						int *last);
extern void axis_draw(StringInfo line, const Scale *scale, const char *tick,
					  int tick_length);

#endif							/* PARTREG_TIMELINE_H */
