/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opportunity cost of resources, in one currency: slowdown, that is seconds of delay per
 * CPU second of work, summed over the jobs that have it.
 *
 * Theory of operation. As in the opportunity-cost method (Amir et al., TPDS 2000) a node
 * has a cost that rises faster than its load, and a job goes where it raises the sum of
 * costs least. What differs is the function, because here jobs are weighted by age and
 * memory is not over-committed:
 *
 * CPU. Two jobs on a CPU delay each other. Of the delay that a job of age a sees over the
 * rest of its life, about a, a younger one causes its own remaining life at most; an older
 * one causes its share of the weights. In slowdowns, with ages in powers of two, jobs d
 * classes apart cost each other ((1/2)^d + max((1/2)^pd, 1/ratio)) / 2, where p is the power
 * and ratio the bound of the weights. So E, the demand that matters to a job, is the node's load by classes times that.
 * A demand of x on c CPUs of speed s has the cost F(x) = x max(1, x/c) / s,
 * and the job costs F(E + its own use) - F(E): its own slowdown, and what it
 * does to others. That is quadratic: steeper than any sum of loads, and, unlike an exponential of
 * them, of the same meaning on every node.
 *
 * Memory. price times the cube of the used share, which is close to (16^used - 1)/15
 * and cheaper: nearly nothing on an empty node, three times the price per
 * share at the end. Beyond what is free the cost is infinite.
 *
 * Network. Bytes per CPU second that the job exchanges with other nodes (its files at
 * home, the jobs it talks to) over what the network gives: seconds per CPU second,
 * added as they are. A job drifts to its data and its talkers.
 */
#ifndef MV_SCHED_COST_H
#define MV_SCHED_COST_H

#include "scheduler/load.h"
#include "scheduler/policy.h"
#include "scheduler/reason.h"

/* What a job needs, worked out once for a decision about many nodes. */
struct sched_ask {
	const struct sched_job *job;
	double kernel[SCHED_CLASSES]; /* how much the load of each class matters */
	double use;
	double rate;  /* sum of its traffic */
	double speed; /* no node is believed to be faster */
};

/* `self` is the node that asks: it knows its own speed. */
void sched_ask(struct sched_ask *ask, const struct sched_policy *policy,
	       const struct sched_job *job, const struct sched_node *self);

/* How fast the node is believed to be. */
double sched_speed(const struct sched_ask *ask, const struct sched_node *node);

/* Marginal cost of the job at a node that it is not part of; INFINITY when its memory
 * does not fit. `bandwidth` of the network, bytes/s. */
double sched_cost(const struct sched_ask *ask, const struct sched_policy *policy,
		  const struct sched_node *node, double bandwidth);

/* Why the node cannot take the job; SCHED_WHY_NONE when it can. `spare` bytes must be
 * left free. */
enum sched_why sched_objection(const struct sched_policy *policy,
			       const struct sched_job *job,
			       const struct sched_node *node, double now, double spare);

/* The same of one that is to move there: the reserve is kept, one comes at a time, and more than
 * `left` bytes (-INFINITY: any number) must be free when it has come. */
enum sched_why sched_move_objection(const struct sched_policy *policy, const struct sched_job *job,
				    const struct sched_node *node, double now, double left);

/*
 * Of the objections of several nodes the last one in the order of the enumeration is the least to
 * overcome, and of lacks of memory the smallest. *reason keeps that one, with the node and its facts;
 * at first it has none.
 */
void sched_objection_keep(struct sched_reason *reason, enum sched_why why,
			  const struct sched_job *job, const struct sched_node *node);

#endif
