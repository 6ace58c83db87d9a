/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/balance.h"

#include "scheduler/pick.h"

#include <math.h>

/* What is worked out for a job before looking at other nodes. */
struct candidate {
	struct sched_ask ask;
	struct sched_forecast forecast;
	double here;      /* its cost where it is */
	double remaining; /* CPU seconds */
	double price;     /* s, of moving it */
};

static enum sched_why must_stay(const struct sched_view *view,
				const struct sched_job *job, struct sched_reason *reason)
{
	if (job->pinned)
		return SCHED_WHY_PINNED;
	if (job->resident < view->policy->residency) {
		reason->have = job->resident;
		reason->need = view->policy->residency;
		return SCHED_WHY_NEW;
	}
	if (job->moved_to < view->policy->retry) {
		reason->have = job->moved_to;
		reason->need = view->policy->retry;
		return SCHED_WHY_RETRY;
	}
	return SCHED_WHY_NONE;
}

static void consider(struct candidate *candidate, const struct sched_view *view,
		     const struct sched_job *job, const struct sched_link *link)
{
	struct sched_node without = *view->self;

	sched_node_remove(&without, job);
	sched_ask(&candidate->ask, view->policy, job);
	candidate->here = sched_cost(&candidate->ask, view->policy, &without,
				     view->bandwidth);
	candidate->remaining = sched_remaining(job->age, view->policy->youngest);
	candidate->forecast = sched_forecast(job, link);
	candidate->price = candidate->forecast.delay +
			   2 * link->cpu * candidate->forecast.time;
}

/* Slowdowns that the move saves, its price taken off; -INFINITY when it cannot be. */
static double net_gain(const struct sched_view *view, const struct candidate *candidate,
		       const struct sched_node *node)
{
	const struct sched_policy *policy = view->policy;
	double there;

	if (node->id == view->self->id || (node->flags & SCHED_TAKING) ||
	    sched_objection(policy, candidate->ask.job, node, view->now,
			    policy->memory_high * node->mem_total) != SCHED_WHY_NONE)
		return -INFINITY;
	there = sched_cost(&candidate->ask, policy, node, view->bandwidth);
	return candidate->here - there -
	       policy->payback * candidate->price / candidate->remaining;
}

/* Why the job stays, seen from the node that would be the best for it. */
static void explain_stay(const struct sched_view *view, const struct candidate *candidate,
			 const struct sched_node *best, struct sched_reason *reason)
{
	reason->here = candidate->here;
	reason->why = SCHED_WHY_NOWHERE;
	if (!best)
		return;
	reason->node = best->id;
	reason->there = sched_cost(&candidate->ask, view->policy, best, view->bandwidth);
	reason->gain = (reason->here - reason->there) * candidate->remaining;
	reason->cost = view->policy->payback * candidate->price;
	reason->need = view->policy->margin;
	if (reason->gain <= 0)
		reason->why = SCHED_WHY_BETTER;
	else if (reason->gain <= reason->cost)
		reason->why = SCHED_WHY_PRICE;
	else
		reason->why = SCHED_WHY_MARGIN;
}

/* The best target of one job, one of the nearly best; NULL when there is none. */
static const struct sched_node *target_of(const struct sched_view *view,
					  const struct candidate *candidate,
					  uint64_t draw, double *gain)
{
	struct sched_pick pick = SCHED_PICK;
	double limit;
	unsigned i;

	for (i = 0; i < view->count; i++)
		sched_pick_best(&pick, -net_gain(view, candidate, &view->peers[i]));
	if (pick.best == INFINITY)
		return NULL;
	limit = pick.best + view->policy->equal * candidate->here;
	for (i = 0; i < view->count; i++)
		if (-net_gain(view, candidate, &view->peers[i]) <= limit)
			sched_pick_one(&pick, draw, view->peers[i].id, i);
	*gain = net_gain(view, candidate, &view->peers[pick.index]);
	return &view->peers[pick.index];
}

static struct sched_move move_of(const struct sched_view *view,
				 const struct candidate *candidate, unsigned job,
				 const struct sched_node *node)
{
	struct sched_move move = {
		.node = node, .job = job, .forecast = candidate->forecast,
		.reason = { .why = SCHED_WHY_BALANCE, .node = node->id,
			    .here = candidate->here, .cost = candidate->price },
	};

	move.cost = sched_cost(&candidate->ask, view->policy, node, view->bandwidth);
	move.reason.there = move.cost;
	move.reason.gain = (candidate->here - move.cost) * candidate->remaining;
	return move;
}

static enum sched_why all_stay(const struct sched_view *view)
{
	if (view->self->flags & SCHED_STAY)
		return SCHED_WHY_STAY;
	if (view->self->flags & SCHED_SENDING)
		return SCHED_WHY_SENDING;
	return SCHED_WHY_NONE;
}

static void give_reason(struct sched_reason *reasons, unsigned job,
			const struct sched_reason *reason)
{
	if (reasons)
		reasons[job] = *reason;
}

struct sched_move sched_balance(const struct sched_view *view,
				const struct sched_job *jobs, unsigned count,
				const struct sched_link *link,
				struct sched_random *random,
				struct sched_reason *reasons)
{
	uint64_t draw = sched_random_next(random);
	struct sched_move best = { .reason = { .why = all_stay(view) } };
	double most = view->policy->margin;
	unsigned i;

	for (i = 0; i < count; i++) {
		struct sched_reason reason = { .why = best.reason.why };
		const struct sched_node *node;
		struct candidate candidate;
		double gain;

		if (!best.node && reason.why == SCHED_WHY_NONE)
			reason.why = SCHED_WHY_NONE;
		reason.why = all_stay(view);
		if (reason.why == SCHED_WHY_NONE)
			reason.why = must_stay(view, &jobs[i], &reason);
		if (reason.why != SCHED_WHY_NONE) {
			give_reason(reasons, i, &reason);
			continue;
		}
		consider(&candidate, view, &jobs[i], link);
		node = target_of(view, &candidate, draw, &gain);
		if (node && gain > most) {
			if (best.node && reasons)
				reasons[best.job].why = SCHED_WHY_NEXT;
			most = gain;
			best = move_of(view, &candidate, i, node);
			give_reason(reasons, i, &best.reason);
			continue;
		}
		explain_stay(view, &candidate, node, &reason);
		if (node && gain > view->policy->margin)
			reason.why = SCHED_WHY_NEXT;
		give_reason(reasons, i, &reason);
	}
	return best;
}
