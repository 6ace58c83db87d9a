/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a decision costs the node that makes it. */
#ifndef MV_SCHED_MVSIM_DECIDE_H
#define MV_SCHED_MVSIM_DECIDE_H

#include <stdint.h>

struct sim_decide_result {
	double place, balance, usher, gossip_write, gossip_read; /* ns of CPU time of a call, the best of several */
	unsigned jobs;
};

/* With so many known nodes and 32 jobs here. */
void sim_decide(unsigned nodes, uint64_t seed, struct sim_decide_result *result);

#endif
