/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scenarios from files: JSON, as docs/man/mvsim.1 describes it. Strict: what is not
 * known, not a number, out of range or in a circle is refused, with the place of it.
 */
#ifndef MV_SCHED_MVSIM_SCENARIO_H
#define MV_SCHED_MVSIM_SCENARIO_H

#include "scheduler/mvsim-workload.h"

#define SIM_MAX_TEXT (64u << 20) /* bytes of a scenario */

/* On failure nothing is to be freed. The first opens no file: a trace is left to be read. */
int sim_plan_parse(const char *text, size_t len, struct sim_plan *plan, struct err *err);
/* Another value of one of "params", by its name. */
int sim_plan_param(struct sim_plan *plan, const char *name, double value, struct err *err);
int sim_plan_load(const char *path, struct sim_plan *plan, struct err *err);

#endif
