/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a job that starts goes, and whether a node takes one.
 */
#ifndef MV_SCHED_PLACE_H
#define MV_SCHED_PLACE_H

#include "scheduler/cost.h"
#include "scheduler/random.h"

/* What a decision knows. */
struct sched_view {
	const struct sched_policy *policy;
	const struct sched_node *self;  /* the node that decides, as it is */
	const struct sched_node *peers; /* as they are believed to be; self is skipped */
	unsigned count;
	double now;
	double bandwidth; /* of the network, bytes/s */
};

/*
 * sched_ask() with what speeds are believed, from the claims of `count` peers from `first` on,
 * round the end of the array. One node's word is not enough: beyond `trust` times the own
 * speed, and beyond `lead` times what a second node claims or this one has, nobody is believed.
 */
void sched_ask_among(struct sched_ask *ask, const struct sched_view *view,
		     const struct sched_job *job, unsigned first, unsigned count);

struct sched_place {
	const struct sched_node *node; /* NULL: the job has to wait */
	double cost;
	struct sched_reason reason;
};

/*
 * The node that the job costs least on; `view->self` is its home, and wins when
 * it is as good as the best. Of others that are as good, one at random.
 */
struct sched_place sched_place(const struct sched_view *view,
			       const struct sched_job *job,
			       struct sched_random *random);

/*
 * The target's own decision, when asked to take a job that was expected to
 * cost `expected` there. `moves`: it comes from another node, running. The node's
 * vector must be of now.
 */
struct sched_reason sched_admit(const struct sched_policy *policy,
				const struct sched_node *node,
				const struct sched_job *job, double expected,
				double bandwidth, bool moves, double now);

#endif
