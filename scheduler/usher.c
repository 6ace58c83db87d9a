/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/usher.h"

#include "scheduler/pick.h"

#include <math.h>

double sched_usher_lack(const struct sched_policy *policy, const struct sched_node *self,
			double growth)
{
	double soon = fmax(growth, 0) * policy->lookahead;
	double low = policy->memory_low * self->mem_total + soon;
	double high = policy->memory_high * self->mem_total + soon;

	if (self->mem_free >= low && self->pressure <= policy->pressure)
		return 0;
	/* Pressure with memory to spare: what is free is not what it seems. */
	return fmax(high - self->mem_free, low);
}

/* The least costly node with room; *why tells what is in the way when there is none. */
static const struct sched_node *any_room(const struct sched_view *view,
					 const struct sched_job *job, uint64_t draw,
					 struct sched_reason *reason)
{
	struct sched_pick pick = SCHED_PICK;
	struct sched_ask ask;
	unsigned i, passes;

	sched_ask(&ask, view->policy, job, view->self);
	reason->why = SCHED_WHY_ALONE;
	for (passes = 0; passes < 2; passes++)
		for (i = 0; i < view->count; i++) {
			const struct sched_node *node = &view->peers[i];
			enum sched_why why;
			double cost;

			if (node->id == view->self->id)
				continue;
			why = node->flags & SCHED_TAKING ? SCHED_WHY_TAKING :
				sched_objection(view->policy, job, node, view->now,
						view->policy->memory_high *
						node->mem_total);
			if (why != SCHED_WHY_NONE) {
				reason->why = why;
				continue;
			}
			cost = sched_cost(&ask, view->policy, node, view->bandwidth);
			if (passes == 0)
				sched_pick_best(&pick, cost);
			else if (cost <= pick.best * (1 + view->policy->equal))
				sched_pick_one(&pick, draw, node->id, i);
		}
	if (pick.best == INFINITY)
		return NULL;
	reason->there = pick.best;
	reason->node = view->peers[pick.index].id;
	return &view->peers[pick.index];
}

/* Whether moving `a` is the better answer to a lack of memory than moving `b`. */
static bool fewer_bytes(double a, double b, double lack)
{
	if ((a >= lack) != (b >= lack))
		return a >= lack;
	return a >= lack ? a < b : a > b;
}

static struct sched_move send_away(const struct sched_view *view,
				   const struct sched_job *jobs, unsigned count,
				   double lack, enum sched_why because,
				   const struct sched_link *link,
				   struct sched_random *random,
				   struct sched_reason *reasons)
{
	uint64_t draw = sched_random_next(random);
	struct sched_move best = { 0 };
	unsigned i;

	for (i = 0; i < count; i++) {
		struct sched_reason reason = { .need = lack,
					       .have = view->self->mem_free };
		const struct sched_node *node = NULL;

		if (jobs[i].pinned)
			reason.why = SCHED_WHY_PINNED;
		else if (jobs[i].tried < view->policy->retry)
			reason.why = SCHED_WHY_RETRY;
		else
			node = any_room(view, &jobs[i], draw, &reason);
		if (node && (!best.node || fewer_bytes(jobs[i].mem, jobs[best.job].mem,
						       lack))) {
			if (best.node && reasons)
				reasons[best.job].why = SCHED_WHY_NEXT;
			reason.why = because;
			best = (struct sched_move){ .node = node, .job = i,
						    .cost = reason.there,
						    .reason = reason };
		} else if (node) {
			reason.why = SCHED_WHY_NEXT;
		}
		if (reasons)
			reasons[i] = reason;
	}
	if (best.node)
		best.forecast = sched_forecast(&jobs[best.job], link);
	return best;
}

struct sched_move sched_usher(const struct sched_view *view,
			      const struct sched_job *jobs, unsigned count, double lack,
			      const struct sched_link *link,
			      struct sched_random *random, struct sched_reason *reasons)
{
	return send_away(view, jobs, count, lack, SCHED_WHY_USHER, link, random, reasons);
}

struct sched_move sched_drain(const struct sched_view *view,
			      const struct sched_job *jobs, unsigned count,
			      const struct sched_link *link,
			      struct sched_random *random, struct sched_reason *reasons)
{
	/* No job restores nothing: the smallest goes first. */
	return send_away(view, jobs, count, 0, SCHED_WHY_DRAIN, link, random, reasons);
}

const struct sched_node *sched_room(const struct sched_view *view,
				    const struct sched_job *job)
{
	const struct sched_node *best = NULL;
	unsigned i;

	for (i = 0; i <= view->count; i++) {
		const struct sched_node *node = i ? &view->peers[i - 1] : view->self;
		struct sched_node empty = *node;

		if ((i && node->id == view->self->id) || (node->flags & SCHED_MAKING))
			continue;
		empty.mem_free = empty.mem_total;
		if (sched_objection(view->policy, job, &empty, view->now,
				    view->policy->memory_low * node->mem_total) !=
		    SCHED_WHY_NONE)
			continue;
		if (!best || node->mem_free > best->mem_free)
			best = node;
	}
	return best;
}
