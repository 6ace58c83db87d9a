/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Several methods on the same scenarios, and what comes out as text or JSON. */
#ifndef MV_SCHED_MVSIM_COMPARE_H
#define MV_SCHED_MVSIM_COMPARE_H

#include "scheduler/mvsim-workload.h"

#include <stdio.h>

#define SIM_MAX_METHODS 32

struct sim_summary {
	const struct sim_method *method;
	double by_execution, by_job; /* mean slowdown; the first of each run's mean */
	double ratio;                /* by execution, to the reference */
	double geometric;            /* mean ratio run by run */
	double wins;                 /* share of runs with a smaller mean than the reference */
	double median, p95, worst;   /* slowdown; means of the runs', worst of all */
	double moves, refused, aborted, lost; /* per job */
	double move_seconds, move_bytes, down_seconds; /* per job */
	double time_off, down_off;   /* mean |log(actual/forecast)| of what moves took, and stood still */
	double time_bias;            /* the same with its sign */
	double forecasts;
	double known_age;            /* s, mean of what the first node knows of others by gossip */
	double known_samples;
	double wait, wait_max;       /* s until a job starts */
	double over_memory, draining; /* node seconds per run */
	double worst_memory;         /* share of a node's memory */
	double balanced_at, makespan; /* s, means */
	double bytes;                /* of gossip per run */
	uint64_t unfinished, decisions;
	uint32_t most_moves;
	double *means;               /* of each run; to be freed */
};

struct sim_comparison {
	const struct sim_plan *plan;
	const struct sim_method *methods[SIM_MAX_METHODS];
	unsigned count, runs, reference;
	uint64_t seed;
	struct sim_summary summaries[SIM_MAX_METHODS];
	uint64_t jobs;
};

const struct sim_method *sim_method_find(const char *name);
/* Each known method in turn, NULL after the last. */
const struct sim_method *sim_method_next(const struct sim_method *method);

int sim_compare(struct sim_comparison *comparison, struct err *err);
void sim_comparison_free(struct sim_comparison *comparison);

void sim_print_table(const struct sim_comparison *comparison, FILE *to);
void sim_print_json(const struct sim_comparison *comparison, FILE *to);

#endif
