/*
 * transition.h
 *		What a call may do with a partition.
 */
#ifndef PARTREG_TRANSITION_H
#define PARTREG_TRANSITION_H

#include "access.h"
#include "partition.h"

typedef enum Call
{
	CALL_LOCK,
	CALL_RENEW,
	CALL_UNLOCK,
	CALL_FAIL,
	CALL_RETIRE,
	CALL_FORCE_FAIL
} Call;

/* Who calls for what */
typedef struct Claim
{
	Call		call;
	const Access *access;
	const char *holder;			/* the one named, or the caller's role */
	bool		named;			/* it was named */
	bool		bulk;			/* the call is about many partitions */
	TimestampTz now;
} Claim;

typedef enum Verdict
{
	VERDICT_NOTHING,			/* it is so already */
	VERDICT_CHANGE,				/* the state changes */
	VERDICT_RENEW,				/* the holder's own lock gets another lease */
	VERDICT_TAKE_OVER,			/* the lock gets another holder */
	VERDICT_HELD,				/* refused: another holder has the lock */
	VERDICT_LOST,				/* refused: the holder named does not have it */
	VERDICT_DONE				/* refused: the holder named has unlocked */
} Verdict;

extern Verdict transition_judge(const Claim *claim, const Partition *partition);
extern Verdict transition_allow(const Claim *claim, const Partition *partition);

#endif							/* PARTREG_TRANSITION_H */
