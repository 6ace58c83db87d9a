/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes that did not take a job, so that the next one is asked: what speaks against them may be
 * something that no vector tells, like a missing vsock.
 */
#ifndef MV_MVD_REFUSALS_H
#define MV_MVD_REFUSALS_H

#include "scheduler/load.h"

#define REFUSALS_MAX 4
#define REFUSALS_S 60 /* then it is asked again, for what was in the way may be gone */

struct refusals {
	struct {
		uint64_t node;
		double when; /* mvd_gossip_now() */
	} list[REFUSALS_MAX];
	unsigned next;
};

/* A move to it has failed. The oldest is forgotten for it. */
void refusals_add(struct refusals *refusals, uint64_t node, double now);
void refusals_forget(struct refusals *refusals);
/* Not to those that have refused lately. True when there is one. */
bool refusals_apply(const struct refusals *refusals, struct sched_job *job, double now);

#endif
