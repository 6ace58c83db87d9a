/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How soon nodes find out that one is dead, and how often they are wrong. */
#ifndef MV_SCHED_MVSIM_SWIM_H
#define MV_SCHED_MVSIM_SWIM_H

#include "net/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sim_swim_config {
	unsigned nodes;
	unsigned deaths;  /* nodes that die, one after the other */
	double loss;      /* share of messages lost */
	double latency;   /* s, half to one and a half times that */
	double quiet;     /* s before the first death, and after the last */
	double interval;  /* s between deaths */
	double slow;      /* share of nodes that are short of CPU */
	double stall;     /* s that such a node stands still, at most */
	bool lifeguard;
	uint64_t seed;
};

struct sim_swim_result {
	double first_suspect; /* s from death until somebody suspects it, mean */
	double first_dead;    /* until somebody is sure */
	double all_dead;      /* until all are, mean over the deaths that all learned of */
	double all_dead_max;
	unsigned detected;    /* deaths that all learned of */
	uint64_t suspicions;  /* of the living, by the first to come to it */
	uint64_t wrong;       /* living nodes declared dead, by the first to do so */
	double wrong_per_hour;     /* of the cluster */
	double messages, bytes;    /* per node and second */
};

int sim_swim(const struct sim_swim_config *config, struct sim_swim_result *result,
	     struct err *err);

#endif
