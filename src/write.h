/*
 * write.h
 *		The frame of a call that writes.
 */
#ifndef PARTREG_WRITE_H
#define PARTREG_WRITE_H

/* The function's SQL name, for "cannot execute ... in a read-only transaction" */
extern void write_begin(const char *function);
extern void write_end(void);

#endif							/* PARTREG_WRITE_H */
