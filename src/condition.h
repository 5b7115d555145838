/*
 * condition.h
 *		The condition of an error, one word for programs.
 *
 * SQLSTATEs are PostgreSQL's own, so that drivers raise the exceptions that
 * they have for them; which of several meanings an error has, it says in the
 * field in which PostgreSQL names a constraint.  docs/reference.md lists the
 * words.
 */
#ifndef PARTREG_CONDITION_H
#define PARTREG_CONDITION_H

#define errcondition(word) err_generic_string(PG_DIAG_CONSTRAINT_NAME, word)

#endif							/* PARTREG_CONDITION_H */
