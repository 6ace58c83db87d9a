/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs, made by the generators that papers use. */
#ifndef MV_SCHED_MVSIM_WORKLOAD_H
#define MV_SCHED_MVSIM_WORKLOAD_H

#include "scheduler/mvsim.h"

enum sim_workload_kind {
	SIM_FIXED,     /* listed one by one */
	SIM_PUBLISHED, /* Amir et al. 2000: 2/r s and (1/m) % of memory, 1 in 20 parallel */
	SIM_LIFETIMES, /* Harchol-Balter and Downey 1997: Pr[L > T] = 1/T, T >= 1 s */
	SIM_PARETO,    /* bounded Pareto */
	SIM_LUBLIN,    /* Lublin and Feitelson 2003, sizes and run times */
	SIM_WORKLOADS
};

struct sim_workload {
	enum sim_workload_kind kind;
	double rate;     /* jobs per second, on average */
	double from;     /* s, when the first may arrive */
	double seconds;  /* that jobs arrive during */
	double spread;   /* the rate of a run is up to e^spread larger or smaller */
	double alpha;    /* SIM_PARETO */
	double least, most;         /* CPU seconds */
	double mem_least, mem_most; /* bytes, as least/U up to most */
	double grow, grow_most;     /* bytes per CPU second, up to so many */
	double dirty;    /* share of its memory that a job changes per second */
	double hot;      /* share that it changes again and again */
	double io;       /* bytes of home's files per CPU second */
	double io_share; /* of the jobs that do so */
	uint32_t home;   /* all start there; SIM_NOBODY: anywhere */
	uint32_t count;  /* so many, whatever the time; 0: as many as come */
};

/* What a scenario is made from for each seed. Owns its arrays. */
struct sim_plan {
	struct sim_scenario scenario; /* nodes, script, parameters, fixed jobs */
	struct sim_workload workload;
	struct sched_policy policy;
	char *trace; /* file of the jobs, which are read by sim_plan_load(); or NULL */
};

void sim_plan_free(struct sim_plan *plan);
void sim_workload_default(struct sim_workload *workload);
const char *sim_workload_name(enum sim_workload_kind kind);

/* The jobs of a seed; `jobs` to be freed. Their number. */
uint32_t sim_workload_make(const struct sim_plan *plan, uint64_t seed,
			   struct sim_job_spec **jobs);

#endif
