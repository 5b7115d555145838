/*
 * condition.h
 *		The word that an error carries for programs.
 *
 * SQLSTATEs are few; which of several cases an error is stands, as one word, in
 * the field in which PostgreSQL names a violated constraint.
 */
#ifndef PARTREG_CONDITION_H
#define PARTREG_CONDITION_H

#include "utils/elog.h"

#define errcondition(word) err_generic_string(PG_DIAG_CONSTRAINT_NAME, word)

#endif							/* PARTREG_CONDITION_H */
