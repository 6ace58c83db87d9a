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

/* What is asked of a target. */
struct wish {
	const struct sched_view *view;
	const struct sched_job *job;
	struct sched_ask ask;
	double left; /* it must have more than that free when the job has come */
};

/* The least costly node with room, or one that is as good; *reason tells what is in the
 * way when there is none. */
static const struct sched_node *any_room(const struct wish *wish, uint64_t draw,
					 struct sched_reason *reason)
{
	const struct sched_view *view = wish->view;
	struct sched_pick pick = SCHED_PICK;
	unsigned i, passes;

	*reason = (struct sched_reason){ 0 };
	for (passes = 0; passes < 2; passes++)
		for (i = 0; i < view->count; i++) {
			const struct sched_node *node = &view->peers[i];
			enum sched_why why = sched_move_objection(view->policy, wish->job, node,
								  view->now, wish->left);
			double cost;

			if (node->id == view->self->id)
				continue;
			if (why != SCHED_WHY_NONE) {
				sched_objection_keep(reason, why, wish->job, node);
				continue;
			}
			cost = sched_cost(&wish->ask, view->policy, node, view->bandwidth);
			if (passes == 0)
				sched_pick_best(&pick, cost);
			else if (cost <= pick.best * (1 + view->policy->equal))
				sched_pick_one(&pick, draw, node->id, i);
		}
	if (pick.best == INFINITY) {
		reason->why = reason->objection ? reason->objection : SCHED_WHY_ALONE;
		return NULL;
	}
	*reason = (struct sched_reason){ .node = view->peers[pick.index].id,
					 .there = pick.best };
	return &view->peers[pick.index];
}

/* Whether moving `a` is the better answer to a lack of memory than moving `b`. */
static bool fewer_bytes(double a, double b, double lack)
{
	if ((a >= lack) != (b >= lack))
		return a >= lack;
	return a >= lack ? a < b : a > b;
}

/* How much memory, and why. */
struct sending {
	enum sched_why because;
	double lack, left;
	const struct sched_link *link;
};

static const struct sched_node *try_job(const struct sched_view *view,
					const struct sched_job *job, uint64_t draw,
					const struct sending *sending,
					struct sched_reason *reason)
{
	struct wish wish = { .view = view, .job = job, .left = sending->left };
	const struct sched_node *node;

	*reason = (struct sched_reason){ .have = job->tried, .need = view->policy->retry };
	reason->why = job->pinned ? SCHED_WHY_PINNED :
		      job->tried < view->policy->retry ? SCHED_WHY_RETRY : SCHED_WHY_NONE;
	if (reason->why != SCHED_WHY_NONE)
		return NULL;
	sched_ask_among(&wish.ask, view, job, 0, view->count);
	node = any_room(&wish, draw, reason);
	if (!node)
		return NULL;
	reason->why = sending->because;
	reason->need = sending->lack;
	reason->have = view->self->mem_free;
	return node;
}

static struct sched_move send_away(const struct sched_view *view,
				   const struct sched_job *jobs, unsigned count,
				   const struct sending *sending,
				   struct sched_random *random,
				   struct sched_reason *reasons)
{
	uint64_t draw = sched_random_next(random);
	struct sched_move best = { 0 };
	unsigned i;

	for (i = 0; i < count; i++) {
		struct sched_reason reason;
		const struct sched_node *node = try_job(view, &jobs[i], draw, sending, &reason);

		if (node && (!best.node || fewer_bytes(jobs[i].mem, jobs[best.job].mem,
						       sending->lack))) {
			if (best.node && reasons)
				reasons[best.job].why = SCHED_WHY_NEXT;
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
		best.forecast = sched_forecast(&jobs[best.job], sending->link);
	return best;
}

/* A target must be better off than this node, so that the job is not sent on, or
 * back. What is free here does not count when it is kept for a job, or there
 * is pressure all the same. */
static double must_be_left(const struct sched_view *view)
{
	if ((view->self->flags & SCHED_MAKING) ||
	    view->self->pressure > view->policy->pressure)
		return 0;
	return view->self->mem_free;
}

struct sched_move sched_usher(const struct sched_view *view,
			      const struct sched_job *jobs, unsigned count, double lack,
			      const struct sched_link *link,
			      struct sched_random *random, struct sched_reason *reasons)
{
	const struct sending sending = {
		view->self->flags & SCHED_MAKING ? SCHED_WHY_ROOM : SCHED_WHY_USHER,
		lack, must_be_left(view), link,
	};

	return send_away(view, jobs, count, &sending, random, reasons);
}

struct sched_move sched_drain(const struct sched_view *view,
			      const struct sched_job *jobs, unsigned count,
			      const struct sched_link *link,
			      struct sched_random *random, struct sched_reason *reasons)
{
	/* No job restores nothing: the smallest goes first. */
	const struct sending sending = { SCHED_WHY_DRAIN, 0, -1, link };

	return send_away(view, jobs, count, &sending, random, reasons);
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

/* The pause before an attempt, in waits until the one before had ended. */
#define PAUSE 2

bool sched_room_due(const struct sched_policy *policy, double waited, double tried)
{
	return tried > fmax(policy->patience, PAUSE * (waited - tried));
}

bool sched_room_over(const struct sched_policy *policy, double held)
{
	return held > policy->hold;
}
