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

static enum sched_why all_stay(const struct sched_node *self)
{
	if (self->flags & SCHED_STAY)
		return SCHED_WHY_STAY;
	if (self->flags & SCHED_SENDING)
		return SCHED_WHY_SENDING;
	return SCHED_WHY_NONE;
}

static struct sched_reason must_stay(const struct sched_view *view,
				     const struct sched_job *job)
{
	const struct sched_policy *policy = view->policy;
	enum sched_why all = all_stay(view->self);

	if (job->pinned)
		return (struct sched_reason){ .why = SCHED_WHY_PINNED };
	if (all != SCHED_WHY_NONE)
		return (struct sched_reason){ .why = all };
	if (job->resident < policy->residency)
		return (struct sched_reason){ .why = SCHED_WHY_NEW,
					      .have = job->resident,
					      .need = policy->residency };
	if (job->tried < policy->retry)
		return (struct sched_reason){ .why = SCHED_WHY_RETRY,
					      .have = job->tried,
					      .need = policy->retry };
	return (struct sched_reason){ .why = SCHED_WHY_NONE };
}

/* With very many nodes some of them, others each time, are enough to look at. */
struct range {
	unsigned first, count;
};

static struct range some(unsigned all, unsigned most, uint64_t draw)
{
	struct range range = { 0, all };

	if (all > most) {
		range.first = (unsigned)(draw % all);
		range.count = most;
	}
	return range;
}

static struct candidate consider(const struct sched_view *view,
				 const struct sched_job *job,
				 const struct sched_link *link, uint64_t draw)
{
	struct range range = some(view->count, SCHED_LOOK_NODES, draw);
	struct sched_node without = *view->self;
	struct candidate candidate;

	sched_node_remove(&without, job);
	sched_ask_among(&candidate.ask, view, job, range.first, range.count);
	candidate.here = sched_cost(&candidate.ask, view->policy, &without,
				    view->bandwidth);
	candidate.remaining = sched_remaining(job->age, view->policy->youngest);
	candidate.forecast = sched_forecast(job, link);
	candidate.price = sched_move_price(&candidate.forecast, link);
	return candidate;
}

/* Slowdowns that a move there must gain: what so many CPU seconds take there. */
static double margin_at(const struct sched_view *view, const struct candidate *candidate,
			const struct sched_node *node)
{
	return view->policy->margin / sched_speed(&candidate->ask, node);
}

static enum sched_why objection_of(const struct sched_view *view,
				   const struct candidate *candidate,
				   const struct sched_node *node)
{
	return sched_move_objection(view->policy, candidate->ask.job, node, view->now,
				    -INFINITY);
}

/*
 * Slowdowns that the move saves, its price and the margin taken off, or -INFINITY when it
 * cannot be. So the margins of fast and slow targets can be compared: it is what the move
 * gains even if so much more work is there than was thought.
 */
static double sure_gain(const struct sched_view *view, const struct candidate *candidate,
		       const struct sched_node *node)
{
	const struct sched_policy *policy = view->policy;
	double there;

	if (node->id == view->self->id ||
	    objection_of(view, candidate, node) != SCHED_WHY_NONE)
		return -INFINITY;
	there = sched_cost(&candidate->ask, policy, node, view->bandwidth);
	return candidate->here - there -
	       policy->payback * candidate->price / candidate->remaining -
	       margin_at(view, candidate, node);
}

static const struct sched_node *peer_of(const struct sched_view *view,
					const struct range *range, unsigned i)
{
	return &view->peers[(range->first + i) % view->count];
}

/* The best target, or one of those that are as good; NULL when there is none. */
static const struct sched_node *target_of(const struct sched_view *view,
					  const struct candidate *candidate,
					  uint64_t draw, double *gain)
{
	struct range range = some(view->count, SCHED_LOOK_NODES, draw);
	struct sched_pick pick = SCHED_PICK;
	double limit;
	unsigned i;

	for (i = 0; i < range.count; i++)
		sched_pick_best(&pick, -sure_gain(view, candidate,
						  peer_of(view, &range, i)));
	if (pick.best == INFINITY)
		return NULL;
	limit = pick.best + view->policy->equal * candidate->here;
	for (i = 0; i < range.count; i++) {
		const struct sched_node *node = peer_of(view, &range, i);

		if (-sure_gain(view, candidate, node) <= limit)
			sched_pick_one(&pick, draw, node->id, i);
	}
	*gain = sure_gain(view, candidate, peer_of(view, &range, pick.index));
	return peer_of(view, &range, pick.index);
}

/* That no node can take it, and what is in the way of the one where that is least. */
static void tell_objection(const struct sched_view *view, const struct candidate *candidate,
			   uint64_t draw, struct sched_reason *reason)
{
	struct range range = some(view->count, SCHED_LOOK_NODES, draw);
	unsigned i;

	for (i = 0; i < range.count; i++) {
		const struct sched_node *node = peer_of(view, &range, i);

		if (node->id != view->self->id)
			sched_objection_keep(reason, objection_of(view, candidate, node),
					     candidate->ask.job, node);
	}
	reason->why = reason->objection ? SCHED_WHY_NOWHERE : SCHED_WHY_ALONE;
}

/* The facts about the job and the node that would be best for it. */
static struct sched_reason facts(const struct sched_view *view,
				 const struct candidate *candidate, uint64_t draw,
				 const struct sched_node *node)
{
	struct sched_reason reason = { .here = candidate->here,
				       .cost = view->policy->payback * candidate->price };

	if (!node) {
		tell_objection(view, candidate, draw, &reason);
		return reason;
	}
	reason.node = node->id;
	reason.there = sched_cost(&candidate->ask, view->policy, node, view->bandwidth);
	reason.need = margin_at(view, candidate, node);
	reason.gain = (reason.here - reason.there) * candidate->remaining;
	return reason;
}

static enum sched_why why_stay(const struct sched_reason *facts, double gain)
{
	if (facts->why != SCHED_WHY_NONE)
		return facts->why;
	if (facts->gain <= 0)
		return SCHED_WHY_BETTER;
	if (facts->gain <= facts->cost)
		return SCHED_WHY_PRICE;
	return gain <= 0 ? SCHED_WHY_MARGIN : SCHED_WHY_NEXT;
}

/* The best so far, while the jobs are gone through. */
struct search {
	const struct sched_view *view;
	const struct sched_link *link;
	uint64_t draw;
	double most; /* slowdowns, beyond the margin */
	struct sched_move move;
	struct sched_reason *reasons;
};

static void set_reason(struct search *search, unsigned job, struct sched_reason reason)
{
	if (search->reasons)
		search->reasons[job] = reason;
}

static void take(struct search *search, unsigned job, const struct candidate *candidate,
		 const struct sched_node *node, struct sched_reason reason)
{
	if (search->move.node && search->reasons)
		search->reasons[search->move.job].why = SCHED_WHY_NEXT;
	reason.why = SCHED_WHY_BALANCE;
	search->move = (struct sched_move){
		.node = node, .job = job, .cost = reason.there,
		.forecast = candidate->forecast, .reason = reason,
	};
	set_reason(search, job, reason);
}

static void look_at(struct search *search, const struct sched_job *job, unsigned index)
{
	struct sched_reason reason = must_stay(search->view, job);
	const struct sched_node *node;
	struct candidate candidate;
	double gain = -INFINITY;

	if (reason.why != SCHED_WHY_NONE) {
		set_reason(search, index, reason);
		return;
	}
	candidate = consider(search->view, job, search->link, search->draw);
	node = target_of(search->view, &candidate, search->draw, &gain);
	reason = facts(search->view, &candidate, search->draw, node);
	if (node && gain > search->most) {
		search->most = gain;
		take(search, index, &candidate, node, reason);
		return;
	}
	reason.why = why_stay(&reason, gain);
	set_reason(search, index, reason);
}

struct sched_move sched_balance(const struct sched_view *view,
				const struct sched_job *jobs, unsigned count,
				const struct sched_link *link,
				struct sched_random *random,
				struct sched_reason *reasons)
{
	struct search search = {
		.view = view, .link = link, .reasons = reasons,
		.draw = sched_random_next(random),
	};
	struct range range = some(count, reasons ? count : SCHED_LOOK_JOBS, search.draw);
	unsigned i;

	for (i = 0; i < range.count; i++) {
		unsigned job = (range.first + i) % count;

		look_at(&search, &jobs[job], job);
	}
	return search.move;
}
