/*
 * sequence.h
 *		The numbers of sources, providers and events.
 */
#ifndef PARTREG_SEQUENCE_H
#define PARTREG_SEQUENCE_H

typedef enum Sequence
{
	SEQUENCE_SOURCE,
	SEQUENCE_PROVIDER,
	SEQUENCE_EVENT
} Sequence;

extern void sequence_check(Sequence which);
extern int64 sequence_draw(Sequence which);
extern int64 sequence_next(Sequence which);

#endif							/* PARTREG_SEQUENCE_H */
