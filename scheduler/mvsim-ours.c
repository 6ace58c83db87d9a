/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scheduler's own code, as the agent runs it. */
#include "scheduler/balance.h"
#include "scheduler/mvsim-methods.h"
#include "scheduler/usher.h"

#include <math.h>

struct ours {
	bool place; /* else jobs start at home */
	bool move;
	bool wait;  /* else a job that fits nowhere starts at home all the same */
};

#define ATTEMPTS 4 /* reservations, for one decision */
#define QUEUE 32   /* waiting jobs of a home that are tried in a step, the oldest */

static struct sched_view view_of(struct sim *sim, uint32_t node, struct sched_node *self)
{
	struct sim_node *n = &sim->nodes[node];

	sim_vector(sim, node, self);
	self->others = sched_meter_here(&n->other_meter);
	return (struct sched_view){
		.policy = &sim->policy,
		.self = self,
		.peers = n->gossip.nodes + 1,
		.count = n->gossip.count - 1,
		.now = sim->now,
		.bandwidth = sim->scenario->params.file_rate,
	};
}

/* Ask the target for room; what it says of itself is known from then on. */
static bool reserve(struct sim *sim, uint32_t from, uint32_t to,
		    const struct sched_job *job, double expected, bool moves)
{
	struct sched_reason reason;
	struct sched_node vector;

	if (!sim_reachable(sim, from, to)) {
		gossip_forget(&sim->nodes[from].gossip, sim_id(to));
		return false;
	}
	sim_vector(sim, to, &vector);
	reason = sched_admit(&sim->policy, &vector, job, expected,
			     sim->scenario->params.file_rate, moves, sim->now);
	sim_told(sim, to, &vector);
	if (reason.why == SCHED_WHY_NONE)
		sched_node_add(&vector, job);
	if (to != from)
		gossip_note(&sim->nodes[from].gossip, &vector);
	if (reason.why != SCHED_WHY_NONE)
		sim->stats.refused++;
	return reason.why == SCHED_WHY_NONE;
}

static bool try_place(struct sim *sim, uint32_t job)
{
	uint32_t home = sim->jobs[job].home, attempt;
	struct sched_node self;
	struct sched_job vector;

	sim_job_vector(sim, job, &vector);
	for (attempt = 0; attempt < ATTEMPTS; attempt++) {
		struct sched_view view = view_of(sim, home, &self);
		struct sched_place place = sched_place(&view, &vector, &sim->random);

		sim->stats.decisions++;
		if (!place.node)
			return false;
		if (reserve(sim, home, sim_of_id(place.node->id), &vector, place.cost,
			    false)) {
			sim_start(sim, job, sim_of_id(place.reason.node));
			return true;
		}
		/* It has refused; it is not asked again in this decision. */
		sched_job_exclude(&vector, place.reason.node);
	}
	return false;
}

static bool could_take(const struct sim *sim, uint32_t node, const struct sched_job *job)
{
	double mem = sim->nodes[node].spec->mem;
	struct sched_node empty = {
		.id = sim_id(node), .time = sim->now, .mem_total = mem, .mem_free = mem,
		.slots = 1, .qemu = job->qemu, .cpu = job->cpu, .state = SCHED_OPEN,
	};

	return sched_objection(&sim->policy, job, &empty, sim->now,
			       sim->policy.memory_low * mem) == SCHED_WHY_NONE;
}

/* No node could take it were it empty: it would wait for good, and begins at home, as it
 * does with mvd. Of all nodes, because at first gossip tells of few. */
static bool is_hopeless(struct sim *sim, uint32_t job)
{
	uint32_t node, home = sim->jobs[job].home;
	struct sched_job vector;

	sim_job_vector(sim, job, &vector);
	for (node = 0; node < sim->scenario->node_count; node++)
		if (sim_reachable(sim, home, node) && could_take(sim, node, &vector))
			return false;
	return true;
}

static void ours_arrive(struct sim *sim, uint32_t job)
{
	const struct ours *ours = sim->method->options;
	uint32_t home = sim->jobs[job].home;

	if (ours->place && try_place(sim, job))
		return;
	if (ours->wait && !is_hopeless(sim, job))
		sim_wait(sim, job);
	else
		sim_start(sim, job, home);
}

/* A node keeps what it has free for the job, and sends others away for it. */
static void hold_room(struct sim *sim, uint32_t job, uint32_t home)
{
	const struct sched_node *node;
	struct sched_job vector;
	struct sched_node self;
	struct sched_view view = view_of(sim, home, &self);

	sim_job_vector(sim, job, &vector);
	node = sched_room(&view, &vector);
	if (!node || !sim_reachable(sim, home, sim_of_id(node->id)) ||
	    sim->nodes[sim_of_id(node->id)].held != SIM_NOBODY)
		return;
	sim->nodes[sim_of_id(node->id)].held = job;
	sim->jobs[job].held_at = sim_of_id(node->id);
	sim->jobs[job].tried = sim->now;
}

/* The job waits on; its place is others' again. */
static void give_up(struct sim *sim, uint32_t job)
{
	struct sim_job *j = &sim->jobs[job];

	sim->nodes[j->held_at].held = SIM_NOBODY;
	j->held_at = SIM_NOBODY;
	j->tried = sim->now;
}

static bool start_held(struct sim *sim, uint32_t job)
{
	uint32_t node = sim->jobs[job].held_at;

	if (!sim_reachable(sim, node, sim->jobs[job].home) ||
	    sim->nodes[node].held != job) { /* it is gone, or was and forgot */
		sim->jobs[job].held_at = SIM_NOBODY;
		return false;
	}
	if (sim_free(sim, node) < sim->jobs[job].mem) {
		if (sched_room_over(&sim->policy, sim->now - sim->jobs[job].tried))
			give_up(sim, job);
		return false;
	}
	sim->nodes[node].held = SIM_NOBODY;
	sim_start(sim, job, node);
	return true;
}

static bool try_waiting(struct sim *sim, uint32_t job)
{
	struct sim_job *j = &sim->jobs[job];

	if (j->held_at != SIM_NOBODY)
		return start_held(sim, job);
	if (try_place(sim, job))
		return true;
	if (is_hopeless(sim, job)) { /* now: where it would fit is gone */
		sim_start(sim, job, j->home);
		return true;
	}
	if (sched_room_due(&sim->policy, sim->now - j->waits, sim->now - j->tried))
		hold_room(sim, job, j->home);
	return false;
}

static void retry_waiting(struct sim *sim, uint32_t node)
{
	uint32_t i, kept = 0, tried = 0;

	for (i = 0; i < sim->waiting_count; i++) {
		uint32_t job = sim->waiting[i];

		if (sim->jobs[job].home != node || tried++ >= QUEUE ||
		    !try_waiting(sim, job))
			sim->waiting[kept++] = job;
	}
	sim->waiting_count = kept;
}

static unsigned job_vectors(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	unsigned count = 0, i;

	for (i = 0; i < n->job_count; i++) {
		if (sim->jobs[n->jobs[i]].state != SIM_RUNNING ||
		    sim->jobs[n->jobs[i]].target != SIM_NOBODY)
			continue;
		sim_job_vector(sim, n->jobs[i], &sim->vectors[count++]);
	}
	return count;
}

/* Bytes to free: for the job that room is made for, or because memory is short. */
static double lack_of(const struct sim *sim, uint32_t node, const struct sched_node *self)
{
	uint32_t held = sim->nodes[node].held;

	if (held == SIM_NOBODY)
		return sched_usher_lack(&sim->policy, self,
					sim->nodes[node].growth);
	return sim->jobs[held].mem + sim->policy.memory_low * self->mem_total -
	       sim_free(sim, node);
}

static struct sched_move decide(struct sim *sim, uint32_t node,
				const struct sched_view *view, unsigned count)
{
	const struct sched_link *link = &sim->scenario->params.link;
	double lack = lack_of(sim, node, view->self);

	sim->stats.decisions++;
	if (sim->nodes[node].draining)
		return sched_drain(view, sim->vectors, count, link, &sim->random, NULL);
	if (lack > 0)
		return sched_usher(view, sim->vectors, count, lack, link, &sim->random,
				   NULL);
	return sched_balance(view, sim->vectors, count, link, &sim->random, NULL);
}

/* Room is kept only for a job that still waits, and whose home can be asked. */
static void check_hold(struct sim *sim, uint32_t node)
{
	uint32_t job = sim->nodes[node].held;

	if (job != SIM_NOBODY && (sim->jobs[job].state != SIM_WAITING ||
				  sim->jobs[job].held_at != node ||
				  !sim_reachable(sim, node, sim->jobs[job].home)))
		sim->nodes[node].held = SIM_NOBODY;
}

static void ours_step(struct sim *sim, uint32_t node)
{
	const struct ours *ours = sim->method->options;
	unsigned count, attempt;

	check_hold(sim, node);
	if (ours->wait)
		retry_waiting(sim, node);
	if (!ours->move || sim->nodes[node].out)
		return;
	count = job_vectors(sim, node);
	for (attempt = 0; attempt < ATTEMPTS && count; attempt++) {
		struct sched_node self;
		struct sched_view view = view_of(sim, node, &self);
		struct sched_move move;

		move = decide(sim, node, &view, count);
		if (!move.node)
			return;
		if (reserve(sim, node, sim_of_id(move.reason.node),
			    &sim->vectors[move.job], move.cost, true)) {
			sim_move(sim, (uint32_t)sim->vectors[move.job].id,
				 sim_of_id(move.reason.node));
			return;
		}
		/* It has refused; it is not asked again in this decision. */
		sched_job_exclude(&sim->vectors[move.job], move.reason.node);
	}
}

static const struct ours all = { .place = true, .move = true, .wait = true };
static const struct ours nowait = { .place = true, .move = true };
static const struct ours placing = { .place = true, .wait = true };
static const struct ours homing = { .place = true };
static const struct ours moving = { .move = true };
static const struct ours nothing = { 0 };

#define OURS(label, text, which, weighted) \
	{ .name = label, .what = text, .arrive = ours_arrive, .step = ours_step, \
	  .gossip = true, .weights = weighted, .options = &which }

const struct sim_method sim_ours[] = {
	OURS("monovisor", "placement, moves and weights", all, true),
	OURS("mv-nowait", "the same, but jobs that fit nowhere start at home", nowait, true),
	OURS("mv-even", "mv-nowait without weights", nowait, false),
	OURS("mv-none", "each job stays at home, all weights are equal", nothing, false),
	OURS("mv-place", "placement only; what fits nowhere waits", placing, false),
	OURS("mv-move", "moves only", moving, false),
	OURS("mv-weight", "weights only", nothing, true),
	OURS("mv-place+move", "monovisor without weights", all, false),
	OURS("mv-best", "placement only; what fits nowhere starts at home", homing, false),
	OURS("mv-place+weight", "placement and weights", placing, true),
	OURS("mv-move+weight", "moves and weights", moving, true),
	{ 0 },
};
