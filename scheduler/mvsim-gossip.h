/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How old is what nodes know of each other: the gossip of the agents, among many.
 *
 * What a node sends depends only on the newest entries it has, so all but a few
 * observers remember only some; the observers remember all, and are measured.
 */
#ifndef MV_SCHED_MVSIM_GOSSIP_H
#define MV_SCHED_MVSIM_GOSSIP_H

#include "net/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_GOSSIP_POINTS 6

struct sim_gossip_config {
	unsigned nodes, window, observers, steps;
	double loss;
	uint64_t seed;
};

struct sim_gossip_result {
	double average, maximum; /* steps; of what all observers know in the last steps */
	double average_formula, maximum_formula;
	double known;            /* share of nodes that observers know */
	double age[SIM_GOSSIP_POINTS], up_to[SIM_GOSSIP_POINTS],
	       up_to_formula[SIM_GOSSIP_POINTS];
	double bytes;            /* sent per node and step */
	uint64_t messages;
};

/* Steps after which the ages no longer change. */
unsigned sim_gossip_steps(unsigned nodes, unsigned window);

int sim_gossip(const struct sim_gossip_config *config, struct sim_gossip_result *result,
	       struct err *err);

#endif
