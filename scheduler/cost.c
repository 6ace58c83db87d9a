/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/cost.h"

#include <math.h>

#define NETWORK_LEFT 0.1 /* of a busy network a job still gets so much */

/* See "CPU" in the header. */
static double kernel(const struct sched_policy *policy, int distance)
{
	double d = distance < 0 ? -distance : distance;
	double weights = fmax(exp2(-policy->weight_power * d), 1 / policy->weight_ratio);

	return (exp2(-d) + weights) / 2;
}

void sched_ask(struct sched_ask *ask, const struct sched_policy *policy,
	       const struct sched_job *job, const struct sched_node *self)
{
	int class = (int)sched_class(fmax(job->age, policy->youngest)), i;

	*ask = (struct sched_ask){ .job = job, .use = job->use,
				    .speed = policy->trust * self->speed };
	for (i = 0; i < SCHED_CLASSES; i++)
		ask->kernel[i] = kernel(policy, i - class);
	for (i = 0; i < SCHED_TRAFFIC; i++)
		ask->rate += job->traffic[i].rate;
}

static double demand_cost(const struct sched_node *node, double speed, double demand)
{
	return demand * fmax(1, demand / node->cpus) / speed;
}

double sched_speed(const struct sched_ask *ask, const struct sched_node *node)
{
	return fmin(node->speed, ask->speed);
}

static double cpu_cost(const struct sched_ask *ask, const struct sched_node *node)
{
	double demand = node->others, speed = sched_speed(ask, node);
	unsigned i;

	for (i = 0; i < SCHED_CLASSES; i++)
		demand += ask->kernel[i] * node->load[i];
	return demand_cost(node, speed, demand + ask->use) -
	       demand_cost(node, speed, demand);
}

static double memory_price(const struct sched_policy *policy, double used)
{
	return policy->memory_price * used * used * used;
}

static double memory_cost(const struct sched_ask *ask, const struct sched_policy *policy,
			  const struct sched_node *node)
{
	double used = node->mem_total - node->mem_free;

	if (ask->job->mem > node->mem_free)
		return INFINITY;
	return memory_price(policy, (used + ask->job->mem) / node->mem_total) -
	       memory_price(policy, used / node->mem_total);
}

static double network_cost(const struct sched_ask *ask, const struct sched_node *node,
			   double bandwidth)
{
	double away = ask->rate, free = 1;
	unsigned i;

	if (away <= 0)
		return 0;
	for (i = 0; i < SCHED_TRAFFIC; i++)
		if (ask->job->traffic[i].node == node->id)
			away -= ask->job->traffic[i].rate;
	if (node->net_max > 0)
		free = fmax(1 - node->net_rate / node->net_max, NETWORK_LEFT);
	return fmax(away, 0) / fmax(bandwidth * free, 1);
}

double sched_cost(const struct sched_ask *ask, const struct sched_policy *policy,
		  const struct sched_node *node, double bandwidth)
{
	return cpu_cost(ask, node) + memory_cost(ask, policy, node) +
	       network_cost(ask, node, bandwidth);
}

static bool listed(const uint64_t *list, uint64_t id)
{
	unsigned i;

	for (i = 0; i < SCHED_NODE_LIST && list[i]; i++)
		if (list[i] == id)
			return true;
	return false;
}

static bool wanted(const struct sched_job *job, const struct sched_node *node)
{
	return (job->only[0] == 0 || listed(job->only, node->id)) &&
	       !listed(job->never, node->id);
}

enum sched_why sched_objection(const struct sched_policy *policy,
			       const struct sched_job *job,
			       const struct sched_node *node, double now, double spare)
{
	bool guest = job->home != node->id;

	if (node->state == SCHED_GONE || node->state == SCHED_DRAINING ||
	    (node->state == SCHED_BLOCKED && guest))
		return SCHED_WHY_CLOSED;
	if ((node->flags & SCHED_OWNER_ACTIVE) && guest)
		return SCHED_WHY_OWNER;
	if (now - node->time > policy->max_age)
		return SCHED_WHY_OLD;
	if (job->qemu != node->qemu || (job->cpu & ~node->cpu))
		return SCHED_WHY_UNLIKE;
	if (!wanted(job, node))
		return SCHED_WHY_NOT_WANTED;
	if (node->jobs + node->reserved >= node->slots)
		return SCHED_WHY_SLOTS;
	if (job->mem > node->mem_free - spare)
		return SCHED_WHY_MEMORY;
	return SCHED_WHY_NONE;
}

enum sched_why sched_move_objection(const struct sched_policy *policy, const struct sched_job *job,
				    const struct sched_node *node, double now, double left)
{
	enum sched_why why = sched_objection(policy, job, node, now,
					     policy->memory_high * node->mem_total);

	if (why != SCHED_WHY_NONE)
		return why;
	if (node->mem_free - job->mem <= left)
		return SCHED_WHY_MEMORY;
	return node->flags & SCHED_TAKING ? SCHED_WHY_TAKING : SCHED_WHY_NONE;
}

void sched_objection_keep(struct sched_reason *reason, enum sched_why why,
			  const struct sched_job *job, const struct sched_node *node)
{
	if (why < reason->objection ||
	    (why == reason->objection && node->mem_free <= reason->have))
		return;
	reason->objection = why;
	reason->node = node->id;
	reason->need = job->mem;
	reason->have = node->mem_free;
}
