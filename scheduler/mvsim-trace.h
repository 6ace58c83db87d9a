/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traces of real machines in the Standard Workload Format of the Parallel Workloads Archive
 * (Chapin et al., "Benchmarks and standards for the evaluation of parallel job schedulers",
 * 1999; version 2.2): a line of 18 numbers for each job, -1 for what is not known; lines that
 * begin with ';' are comments.
 */
#ifndef MV_SCHED_MVSIM_TRACE_H
#define MV_SCHED_MVSIM_TRACE_H

#include "scheduler/mvsim.h"

/*
 * The jobs of a trace, to be freed. A job of several processors becomes as many jobs that
 * arrive together. Each needs the average CPU time or, if that is not known, the run time; its
 * memory is what it used, or else asked for, or else none. A user's home is always the same
 * node. Jobs that never ran are left out; times count from the first job's.
 */
int sim_trace_parse(const char *text, size_t len, const struct sim_scenario *scenario,
		    struct sim_job_spec **jobs, uint32_t *count, struct err *err);

#endif
