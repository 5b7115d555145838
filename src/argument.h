/*
 * argument.h
 *		Reading and checking what callers give.
 */
#ifndef PARTREG_ARGUMENT_H
#define PARTREG_ARGUMENT_H

#include "fmgr.h"
#include "interval.h"
#include "utils/rangetypes.h"

/* in bytes */
#define MAX_NAME_LENGTH		200
#define MAX_REASON_LENGTH	2000

extern void argument_require(FunctionCallInfo fcinfo, int argno);
extern char *argument_text(FunctionCallInfo fcinfo, int argno);
extern char *argument_name(FunctionCallInfo fcinfo, int argno);
extern char *argument_reason(FunctionCallInfo fcinfo, int argno);
extern char *argument_role(FunctionCallInfo fcinfo, int argno);
extern TimeInterval argument_interval(FunctionCallInfo fcinfo, int argno);
extern bool range_to_interval(RangeType *range, TimeInterval *result);
extern TimeInterval interval_between(TimestampTz start_at, TimestampTz end_at);
extern int64 argument_duration(FunctionCallInfo fcinfo, int argno);
extern TimestampTz timestamp_after(TimestampTz now, int64 duration);
extern Datum empty_range(void);
extern Datum interval_to_range(TimeInterval interval);

extern int control_character(const char *string);
extern bool looks_like_token(const char *string);
extern const char *quotable(const char *string);

#endif							/* PARTREG_ARGUMENT_H */
