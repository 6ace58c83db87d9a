/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One of those that are nearly best, at random, whatever their order: each has a
 * number made of the draw and its identity, and the smallest wins. Otherwise all nodes
 * that decide at the same moment would choose the same target.
 */
#ifndef MV_SCHED_PICK_H
#define MV_SCHED_PICK_H

#include "scheduler/random.h"

#include <math.h>

struct sched_pick {
	double best; /* the least cost seen */
	uint64_t key;
	unsigned index;
};
#define SCHED_PICK ((struct sched_pick){ .best = INFINITY, .key = UINT64_MAX })

static inline void sched_pick_best(struct sched_pick *pick, double cost)
{
	if (cost < pick->best)
		pick->best = cost;
}

static inline void sched_pick_one(struct sched_pick *pick, uint64_t draw, uint64_t id,
				  unsigned index)
{
	uint64_t key = sched_mix(draw, id);

	if (key > pick->key)
		return;
	pick->key = key;
	pick->index = index;
}

#endif
