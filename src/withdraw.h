/*
 * withdraw.h
 *		What takes away.
 */
#ifndef PARTREG_WITHDRAW_H
#define PARTREG_WITHDRAW_H

#include "access.h"

extern void provider_count_epoch(const Access *access);

#endif							/* PARTREG_WITHDRAW_H */
