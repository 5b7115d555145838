/*
 * argument.h
 *		Reading and checking what callers give.
 */
#ifndef PARTREG_ARGUMENT_H
#define PARTREG_ARGUMENT_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "interval.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"

/* in bytes */
#define MAX_NAME_LENGTH		200
#define MAX_REASON_LENGTH	2000
#define MAX_DETAILS_LENGTH	8000

/* Reading, at the top of a function; NULL where NULL was given */
extern void argument_require(FunctionCallInfo fcinfo, int argno);
extern char *argument_text(FunctionCallInfo fcinfo, int argno);
extern char *argument_reason(FunctionCallInfo fcinfo, int argno);
extern RangeType *argument_range(FunctionCallInfo fcinfo, int argno);
extern Interval *argument_interval(FunctionCallInfo fcinfo, int argno);
extern struct varlena *argument_details(FunctionCallInfo fcinfo, int argno);
extern bool argument_flag(FunctionCallInfo fcinfo, int argno);
extern int32 argument_max_events(FunctionCallInfo fcinfo, int argno);

/* Checking; the label is the argument's name */
extern void check_name(const char *name, const char *label);
extern void check_role_name(const char *role, const char *label);
extern void check_source_names(ArrayType *names);
extern int64 check_duration(const Interval *given, const char *label);
extern Jsonb *check_details(struct varlena *given);
extern TimeInterval check_interval(RangeType *range);
extern TimeInterval check_extent(RangeType *range);
extern TimeInterval interval_between(TimestampTz start_at, TimestampTz end_at);
extern TimestampTz timestamp_after(TimestampTz now, int64 duration);

extern char *text_to_short_cstring(Datum given);
extern bool range_to_interval(RangeType *range, TimeInterval *result);
extern Datum empty_range(void);
extern Datum interval_to_range(TimeInterval interval);
extern Datum interval_set_to_multirange(const IntervalSet *set);
extern void multirange_to_interval_set(const MultirangeType *given,
									   IntervalSet *set);
extern char *show_interval(TimeInterval interval);

extern int	control_character(const char *string);
extern bool looks_like_token(const char *string);
extern const char *quotable(const char *string);

#endif							/* PARTREG_ARGUMENT_H */
