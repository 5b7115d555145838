/*
 * obstacle.h
 *		Obstacles: what keeps a piece of a range from being ready.
 */
#ifndef PARTREG_OBSTACLE_H
#define PARTREG_OBSTACLE_H

#include "datatype/timestamp.h"
#include "interval.h"
#include "lib/stringinfo.h"

/* In the order in which their words sort */
typedef enum ObstacleState
{
	OBSTACLE_FAILED,
	OBSTACLE_LOCKED,
	OBSTACLE_MISSING,
	OBSTACLE_REGISTERED
} ObstacleState;

typedef struct Obstacle
{
	TimeInterval during;
	ObstacleState state;
	const char *provider_name;	/* NULL: missing, and of no provider */
	bool		has_since;
	TimestampTz since;
	const char *holder;			/* NULL: none */
	bool		has_lease;
	TimestampTz lease_expires_at;
	const char *reason;			/* NULL: none */
} Obstacle;

/* The columns of the SQL type partreg.obstacle */
#define OBSTACLE_COLUMNS	7

typedef struct ObstacleSort ObstacleSort;

typedef enum ObstacleOrder
{
	OBSTACLES_BY_KIND,			/* alike ones in a row, by start and end */
	OBSTACLES_BY_TIME			/* by start, end, provider, state */
} ObstacleOrder;

extern ObstacleSort *obstacles_begin(ObstacleOrder order);
extern void obstacles_put(ObstacleSort *sort, const Obstacle *obstacle);
extern void obstacles_perform(ObstacleSort *sort);
extern bool obstacles_next(ObstacleSort *sort, Obstacle *obstacle);
extern void obstacles_end(ObstacleSort *sort);

extern void obstacle_values(const Obstacle *obstacle, Datum *values,
							bool *nulls);
extern void obstacle_describe(StringInfo line, const Obstacle *obstacle);

#endif							/* PARTREG_OBSTACLE_H */
