/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a live migration will cost, and how long a job will live.
 *
 * Pre-copy sends the memory, then what changed meanwhile, and so on, until the
 * rest fits in the allowed stop. With dirty rate D and bandwidth R each round sends
 * D/R of the one before (Liu et al., HPDC 2011), but never more than the set of
 * pages that the job changes again and again.
 */
#ifndef MV_SCHED_PREDICT_H
#define MV_SCHED_PREDICT_H

#include "scheduler/load.h"

#include <stdbool.h>

#define PREDICT_ROUNDS 30 /* then the stop is taken as it comes; Xen's limit is 29 */

/* What moving costs besides the bytes. Measured by the agent. */
struct sched_link {
	double bandwidth; /* bytes/s between the two nodes */
	double setup;     /* s from the order to the first byte, and after the last one */
	double resume;    /* s that the job stands still besides the last bytes */
	double stop;      /* s that it may stand still for the last bytes */
	double slowdown;  /* share of its speed that the job loses while it is copied */
	double cpu;       /* CPUs that copying takes at either end */
};

struct sched_forecast {
	double time;      /* s from the order to the end */
	double downtime;  /* s that the job stands still */
	double bytes;
	double delay;     /* s that the job loses in all */
	unsigned rounds;
	bool converges;   /* else it has to be slowed down, or post-copy */
};

struct sched_forecast sched_forecast(const struct sched_job *job,
				     const struct sched_link *link);
/* Seconds: the job's own delay, and the CPU time of both ends that others lose. */
double sched_move_price(const struct sched_forecast *forecast,
			const struct sched_link *link);

/*
 * How wrong forecasts were, as a metric: the means of |log(actual/forecast)|, and of its
 * sign, over the last sixteen moves or so.
 */
struct sched_forecast_error {
	double spread, bias;
	unsigned long count;
};
void sched_forecast_compare(struct sched_forecast_error *error, double forecast,
			    double actual);

/*
 * CPU seconds, at speed 1, that a job of this age probably still needs: half of
 * those of age a need at least another a. A job that has just begun is taken to be
 * `youngest` old.
 */
double sched_remaining(double age, double youngest);

#endif
