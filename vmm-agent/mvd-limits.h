/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this agent's control group leaves to the jobs of this node, which run in it
 * too: processor time and memory. Of both hierarchies, v1 and v2; without a group
 * there is no limit.
 */
#ifndef MV_MVD_LIMITS_H
#define MV_MVD_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* One controller's directory, and where its hierarchy begins. */
struct limits_group {
	char *dir, *top; /* NULL: none */
	bool v2;
};

struct limits {
	struct limits_group cpu, cpuacct, memory;
};

void limits_find(struct limits *limits);
void limits_clear(struct limits *limits);

/* CPUs, by the strictest of the groups above; 0: no limit. */
double limits_cpus(const struct limits *limits);
/* ns of CPU time that the group has used; MEASURE_UNKNOWN: not known, or the group
 * has no limit, so that the whole machine is what counts. */
uint64_t limits_cpu_used(const struct limits *limits);
/* Bytes that the group may have, and those it can still get; false: no limit. */
bool limits_memory(const struct limits *limits, uint64_t *total, uint64_t *available);
/* Share of the time in which all tasks of the group waited for memory; of the whole
 * machine where the group has no such figure and no limit. */
double limits_pressure(const struct limits *limits);

#endif
