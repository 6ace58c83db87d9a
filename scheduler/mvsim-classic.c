/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The methods of Amir, Awerbuch, Barak, Borgstrom and Keren, "An opportunity cost
 * approach for job assignment in a scalable computing cluster" (TPDS 11(7), 2000),
 * and MOSIX's balancer with its constants.
 */
#include "scheduler/mvsim-methods.h"

#include <math.h>

/* ---- round robin: PVM ---- */

static void rr_arrive(struct sim *sim, uint32_t job)
{
	uint32_t count = sim->scenario->node_count, tries;

	for (tries = 0; tries < count; tries++) {
		uint32_t node = sim->started++ % count;

		if (sim->nodes[node].up) {
			sim_start(sim, job, node);
			return;
		}
	}
	sim_start(sim, job, 0);
}

/* ---- opportunity cost: E-PVM ---- */

/* Smallest power of two greater than any load seen so far. */
static double load_limit(const struct sim *sim)
{
	double limit = 1;

	while (limit <= sim->max_load)
		limit *= 2;
	return limit;
}

static double paper_cost(const struct sim *sim, uint32_t node, double mem, double load)
{
	const struct sim_node_spec *spec = sim->nodes[node].spec;
	double n = sim->scenario->node_count;

	return pow(n, mem / spec->mem) +
	       pow(n, load / spec->speed / spec->cpus / load_limit(sim));
}

/* What the job adds to the cost of a node that it is not on. */
static double paper_marginal(const struct sim *sim, const struct sim_job *j,
			     uint32_t node)
{
	const struct sim_node *n = &sim->nodes[node];
	double mem = n->mem_used + n->mem_reserved;
	double load = sim_run_queue(n) + n->in;

	return paper_cost(sim, node, mem + j->mem, load + 1) -
	       paper_cost(sim, node, mem, load);
}

static double paper_saving(const struct sim *sim, const struct sim_job *j)
{
	const struct sim_node *n = &sim->nodes[j->node];
	double mem = n->mem_used + n->mem_reserved;
	double load = sim_run_queue(n) + n->in;

	return paper_cost(sim, j->node, mem, load) -
	       paper_cost(sim, j->node, mem - j->mem, load - 1);
}

static void epvm_arrive(struct sim *sim, uint32_t job)
{
	uint32_t node, best = sim->jobs[job].home;
	double least = INFINITY;

	for (node = 0; node < sim->scenario->node_count; node++) {
		double cost = paper_marginal(sim, &sim->jobs[job], node);

		if (sim->nodes[node].up && cost < least) {
			least = cost;
			best = node;
		}
	}
	sim_start(sim, job, best);
}

/* ---- E-MOSIX: the same cost, with moves ---- */

#define EMOSIX_PEERS 3 /* asked per decision: MOSIX knows a few random others */

static uint32_t random_other(struct sim *sim, uint32_t node)
{
	uint32_t count = sim->scenario->node_count;

	return (node + 1 + (uint32_t)sched_random_below(&sim->random, count - 1)) % count;
}

static void emosix_arrive(struct sim *sim, uint32_t job)
{
	uint32_t best = sim->jobs[job].home, i;
	double least = sim->nodes[best].up ?
		paper_marginal(sim, &sim->jobs[job], best) : INFINITY;

	for (i = 0; i < EMOSIX_PEERS && sim->scenario->node_count > 1; i++) {
		uint32_t node = random_other(sim, sim->jobs[job].home);
		double cost = paper_marginal(sim, &sim->jobs[job], node);

		if (sim->nodes[node].up && cost < least) {
			least = cost;
			best = node;
		}
	}
	sim_start(sim, job, best);
}

static void emosix_step(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	uint32_t i, k, best_job = SIM_NOBODY, best_node = SIM_NOBODY;
	double best = 1e-9;

	if (n->out || sim->scenario->node_count < 2)
		return;
	for (i = 0; i < EMOSIX_PEERS; i++) {
		uint32_t to = random_other(sim, node);

		for (k = 0; k < n->job_count; k++) {
			struct sim_job *j = &sim->jobs[n->jobs[k]];
			double gain = paper_saving(sim, j) - paper_marginal(sim, j, to);

			if (j->target == SIM_NOBODY && gain > best) {
				best = gain;
				best_job = n->jobs[k];
				best_node = to;
			}
		}
	}
	if (best_job != SIM_NOBODY)
		sim_move(sim, best_job, best_node);
}

/* ---- MOSIX ---- */

#define STABILITY 1.3 /* stab_factor 130: of one process's load */

static void home_arrive(struct sim *sim, uint32_t job)
{
	uint32_t home = sim->jobs[job].home;

	if (!sim->nodes[home].up)
		rr_arrive(sim, job);
	else
		sim_start(sim, job, home);
}

struct mosix {
	bool known; /* all nodes are known as they are now, and not by gossip */
};

/* How many nodes a node knows of, places from 1 on; the place 0 is its own. */
static uint32_t mosix_count(const struct sim *sim, uint32_t node)
{
	const struct mosix *mosix = sim->method->options;

	return mosix->known ? sim->scenario->node_count : sim->nodes[node].gossip.count;
}

/* False when there is nothing of use at that place: what is drained takes nobody (mosctl block). */
static bool mosix_peer(struct sim *sim, uint32_t node, uint32_t place, struct sched_node *peer)
{
	const struct mosix *mosix = sim->method->options;

	if (!mosix->known) {
		*peer = sim->nodes[node].gossip.nodes[place];
		return peer->state == SCHED_OPEN;
	}
	place = (node + place) % sim->scenario->node_count;
	sim_told(sim, place, peer);
	if (!sim->nodes[place].hides)
		peer->run = sim_run_queue(&sim->nodes[place]);
	return peer->state == SCHED_OPEN && sim_reachable(sim, node, place);
}

/* mosrun -b: starts at the least loaded node that is known. */
static void best_arrive(struct sim *sim, uint32_t job)
{
	uint32_t home = sim->jobs[job].home, best = home, i;
	const struct sim_node *n = &sim->nodes[home];
	uint32_t count = mosix_count(sim, home);
	struct sched_node peer;
	double mem = sim->jobs[job].mem;
	double least = n->draining || sim_free(sim, home) < mem ? INFINITY :
		       (sim_run_queue(n) + 1) / n->spec->speed / n->spec->cpus;

	for (i = 1; i < count; i++) {
		double load;

		if (!mosix_peer(sim, home, i, &peer))
			continue;
		load = (peer.run + 1) / peer.speed / peer.cpus;
		if (load < least && peer.mem_free >= mem &&
		    sim->nodes[sim_of_id(peer.id)].up) {
			least = load;
			best = sim_of_id(peer.id);
		}
	}
	if (sim->nodes[best].up)
		sim_start(sim, job, best);
	else
		rr_arrive(sim, job);
}

/* The second most CPU-hungry process, the first if there is only one. */
static uint32_t mosix_choose(const struct sim *sim, const struct sim_node *n)
{
	uint32_t first = SIM_NOBODY, second = SIM_NOBODY, i;

	for (i = 0; i < n->job_count; i++) {
		const struct sim_job *j = &sim->jobs[n->jobs[i]];

		if (j->target != SIM_NOBODY || j->spec->pinned)
			continue;
		if (first == SIM_NOBODY || j->used > sim->jobs[first].used) {
			second = first;
			first = n->jobs[i];
		} else if (second == SIM_NOBODY || j->used > sim->jobs[second].used) {
			second = n->jobs[i];
		}
	}
	return second == SIM_NOBODY ? first : second;
}

/* Short of memory: the smallest job whose leaving suffices, to any node that has
 * room, whatever the CPU load. */
static bool mosix_usher(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	uint32_t chosen = SIM_NOBODY, to = SIM_NOBODY, count = mosix_count(sim, node), i;
	struct sched_node peer;
	double lack = -sim_free(sim, node), most = 0;

	if (lack <= 0)
		return false;
	for (i = 0; i < n->job_count; i++) {
		const struct sim_job *j = &sim->jobs[n->jobs[i]];
		const struct sim_job *best =
			chosen == SIM_NOBODY ? NULL : &sim->jobs[chosen];
		bool enough = j->mem >= lack;

		if (j->target != SIM_NOBODY || j->spec->pinned)
			continue;
		if (!best || (enough && (best->mem < lack ||
					 j->mem < best->mem)) ||
		    (!enough && best->mem < lack && j->mem > best->mem))
			chosen = n->jobs[i];
	}
	if (chosen == SIM_NOBODY)
		return false;
	for (i = 1; i < count; i++)
		if (mosix_peer(sim, node, i, &peer) && peer.mem_free > most &&
		    peer.mem_free >= sim->jobs[chosen].mem) {
			most = peer.mem_free;
			to = sim_of_id(peer.id);
		}
	return to != SIM_NOBODY && sim_move(sim, chosen, to);
}

/* Known to have room for the job, and a load below `least`. */
static uint32_t mosix_target(struct sim *sim, uint32_t node, uint32_t job, double least)
{
	uint32_t count = mosix_count(sim, node), to = SIM_NOBODY, i;
	struct sched_node peer;

	for (i = 1; i < count; i++) {
		double load;

		if (!mosix_peer(sim, node, i, &peer))
			continue;
		load = (peer.run + STABILITY) / peer.speed / peer.cpus;
		if (load < least && peer.mem_free >= sim->jobs[job].mem) {
			least = load;
			to = sim_of_id(peer.id);
		}
	}
	return to;
}

static void mosix_step(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	uint32_t job, to;
	/* A node that says wrong things of its speed believes them. */
	double least = n->meter.mean / (n->spec->speed * n->lie) / n->spec->cpus;

	if (n->out || (!n->draining && mosix_usher(sim, node)))
		return;
	job = mosix_choose(sim, n);
	if (job == SIM_NOBODY)
		return;
	/* mosctl expel: all leave, one by one, whatever the loads. What is typed there
	 * begins there all the same, and leaves too. */
	to = mosix_target(sim, node, job, n->draining ? INFINITY : least);
	if (to != SIM_NOBODY)
		sim_move(sim, job, to);
}

static const struct mosix gossiped = { 0 };
static const struct mosix all_known = { .known = true };

#define MOSIX(label, text, arrives, which, gossips, weighted) \
	{ .name = label, .what = text, .arrive = arrives, .step = mosix_step, \
	  .gossip = gossips, .weights = weighted, .options = &which }

const struct sim_method sim_classic[] = {
	{ .name = "rr", .what = "round robin, as PVM", .arrive = rr_arrive },
	{ .name = "e-pvm", .what = "least opportunity cost at the start, all known",
	  .arrive = epvm_arrive },
	MOSIX("mosix", "MOSIX's balancer: starts at home, moves by load", home_arrive, gossiped,
	      true, false),
	MOSIX("mosix-best", "the same, but starts at the best known node", best_arrive, gossiped,
	      true, false),
	MOSIX("mosix-known", "the same, and each node knows all others as they are", best_arrive,
	      all_known, false, false),
	MOSIX("mosix+weight", "mosix with weights by attained service", home_arrive, gossiped,
	      true, true),
	MOSIX("mosix-best+weight", "mosix-best with weights", best_arrive, gossiped, true, true),
	MOSIX("mosix-known+weight", "mosix-known with weights", best_arrive, all_known, false,
	      true),
	{ .name = "e-mosix", .what = "least opportunity cost, three random nodes known",
	  .arrive = emosix_arrive, .step = emosix_step },
	{ 0 },
};
