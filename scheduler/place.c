/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/place.h"

#include "scheduler/pick.h"

#include <math.h>

static double second_fastest(const struct sched_view *view, unsigned first, unsigned count)
{
	double most = view->self->speed, second = 0;
	unsigned i;

	for (i = 0; i < count; i++) {
		const struct sched_node *node = &view->peers[(first + i) % view->count];
		double speed = node->id == view->self->id ? 0 : node->speed;

		second = fmax(second, fmin(speed, most));
		most = fmax(most, speed);
	}
	return second;
}

void sched_ask_among(struct sched_ask *ask, const struct sched_view *view,
		     const struct sched_job *job, unsigned first, unsigned count)
{
	double believed = view->policy->lead * second_fastest(view, first, count);

	sched_ask(ask, view->policy, job, view->self);
	ask->speed = fmin(ask->speed, fmax(believed, view->self->speed));
}

/* Cost of the job at the node; INFINITY when it cannot go there. */
static double cost_at(const struct sched_view *view, const struct sched_ask *ask,
		      const struct sched_node *node)
{
	double spare = view->policy->memory_low * node->mem_total;

	if (sched_objection(view->policy, ask->job, node, view->now, spare) !=
	    SCHED_WHY_NONE)
		return INFINITY;
	return sched_cost(ask, view->policy, node, view->bandwidth);
}

static struct sched_place waits(const struct sched_view *view,
				const struct sched_job *job)
{
	double most = view->self->mem_free;
	unsigned i;

	for (i = 0; i < view->count; i++)
		most = fmax(most, view->peers[i].mem_free);
	return (struct sched_place){
		.cost = INFINITY,
		.reason = { .why = SCHED_WHY_WAITS, .need = job->mem, .have = most },
	};
}

struct sched_place sched_place(const struct sched_view *view,
			       const struct sched_job *job, struct sched_random *random)
{
	uint64_t draw = sched_random_next(random);
	struct sched_pick pick = SCHED_PICK;
	double home, limit;
	struct sched_ask ask;
	unsigned i;

	sched_ask_among(&ask, view, job, 0, view->count);
	home = cost_at(view, &ask, view->self);
	for (i = 0; i < view->count; i++)
		if (view->peers[i].id != view->self->id)
			sched_pick_best(&pick, cost_at(view, &ask, &view->peers[i]));
	if (home == INFINITY && pick.best == INFINITY)
		return waits(view, job);
	limit = pick.best * (1 + view->policy->equal);
	if (home <= limit)
		return (struct sched_place){
			.node = view->self, .cost = home,
			.reason = { .why = SCHED_WHY_HOME, .node = view->self->id,
				    .here = home, .there = pick.best },
		};
	for (i = 0; i < view->count; i++)
		if (view->peers[i].id != view->self->id &&
		    cost_at(view, &ask, &view->peers[i]) <= limit)
			sched_pick_one(&pick, draw, view->peers[i].id, i);
	return (struct sched_place){
		.node = &view->peers[pick.index],
		.cost = cost_at(view, &ask, &view->peers[pick.index]),
		.reason = { .why = SCHED_WHY_BEST, .node = view->peers[pick.index].id,
			    .here = home, .there = pick.best },
	};
}

struct sched_reason sched_admit(const struct sched_policy *policy,
				const struct sched_node *node,
				const struct sched_job *job, double expected,
				double bandwidth, bool moves, double now)
{
	struct sched_reason reason = { .node = node->id, .need = job->mem,
				       .have = node->mem_free, .there = expected };
	struct sched_ask ask;

	reason.why = sched_objection(policy, job, node, now,
				     policy->memory_low * node->mem_total);
	if (reason.why == SCHED_WHY_NONE && moves && (node->flags & SCHED_TAKING))
		reason.why = SCHED_WHY_TAKING;
	if (reason.why != SCHED_WHY_NONE)
		return reason;
	sched_ask(&ask, policy, job, node);
	reason.here = sched_cost(&ask, policy, node, bandwidth);
	if (reason.here > expected * policy->surprise)
		reason.why = SCHED_WHY_CHANGED;
	return reason;
}
