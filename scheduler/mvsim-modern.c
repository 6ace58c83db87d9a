/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What others do today, in the terms of this simulator: rules as published or as in their
 * sources, with the knowledge that their central managers have, which is all of
 * it and fresh.
 */
#include "scheduler/mvsim-methods.h"

#include <math.h>

/* Load per capacity, with `extra` jobs more. */
static double load_of(const struct sim *sim, uint32_t node, double extra)
{
	const struct sim_node *n = &sim->nodes[node];

	return (sim_run_queue(n) + n->in + extra) / (n->spec->speed * n->spec->cpus);
}

static uint32_t least_loaded(const struct sim *sim, double mem)
{
	uint32_t node, best = SIM_NOBODY;

	for (node = 0; node < sim->scenario->node_count; node++)
		if (sim->nodes[node].up && !sim->nodes[node].draining &&
		    sim_free(sim, node) >= mem &&
		    (best == SIM_NOBODY || load_of(sim, node, 1) < load_of(sim, best, 1)))
			best = node;
	return best;
}

static uint32_t most_free(const struct sim *sim)
{
	uint32_t node, best = 0;

	for (node = 1; node < sim->scenario->node_count; node++)
		if (sim->nodes[node].up && (!sim->nodes[best].up ||
		    sim_free(sim, node) > sim_free(sim, best)))
			best = node;
	return best;
}

static void least_arrive(struct sim *sim, uint32_t job)
{
	uint32_t node = least_loaded(sim, sim->jobs[job].mem);

	sim_start(sim, job, node == SIM_NOBODY ? most_free(sim) : node);
}

/* ---- best fit: the fullest node that still has room ---- */

static void fit_arrive(struct sim *sim, uint32_t job)
{
	double mem = sim->jobs[job].mem;
	uint32_t node, best = SIM_NOBODY;

	for (node = 0; node < sim->scenario->node_count; node++)
		if (sim->nodes[node].up && sim_free(sim, node) >= mem &&
		    (best == SIM_NOBODY || sim_free(sim, node) < sim_free(sim, best)))
			best = node;
	sim_start(sim, job, best == SIM_NOBODY ? most_free(sim) : best);
}

/* ---- the power of two choices ---- */

static void two_arrive(struct sim *sim, uint32_t job)
{
	uint32_t count = sim->scenario->node_count, tries;
	uint32_t a = 0, b = 0;

	for (tries = 0; tries < 64; tries++) {
		a = (uint32_t)sched_random_below(&sim->random, count);
		b = (uint32_t)sched_random_below(&sim->random, count);
		if (sim->nodes[a].up && sim->nodes[b].up)
			break;
	}
	sim_start(sim, job, load_of(sim, a, 1) <= load_of(sim, b, 1) ? a : b);
}

/* ---- imbalance ---- */

struct moments {
	double sum, squares;
	uint32_t count;
};

static struct moments moments_of(const struct sim *sim)
{
	struct moments m = { 0 };
	uint32_t node;

	for (node = 0; node < sim->scenario->node_count; node++) {
		double load;

		if (!sim->nodes[node].up)
			continue;
		load = load_of(sim, node, 0);
		m.sum += load;
		m.squares += load * load;
		m.count++;
	}
	return m;
}

static double deviation(const struct moments *m)
{
	double mean = m->sum / m->count;

	return sqrt(fmax(m->squares / m->count - mean * mean, 0));
}

/* The moments when one job goes from one node to another. */
static struct moments moved(const struct sim *sim, const struct moments *m,
			    uint32_t from, uint32_t to)
{
	double a = load_of(sim, from, 0), b = load_of(sim, to, 0);
	double c = load_of(sim, from, -1), d = load_of(sim, to, 1);

	return (struct moments){ m->sum - a - b + c + d,
				 m->squares - a * a - b * b + c * c + d * d, m->count };
}

static uint32_t any_job(const struct sim *sim, uint32_t from, uint32_t to)
{
	const struct sim_node *n = &sim->nodes[from];
	uint32_t i, best = SIM_NOBODY;

	/* the one with the least memory: the cheapest move */
	for (i = 0; i < n->job_count; i++) {
		const struct sim_job *j = &sim->jobs[n->jobs[i]];

		if (j->state == SIM_RUNNING && j->target == SIM_NOBODY &&
		    !j->spec->pinned && j->mem <= sim_free(sim, to) &&
		    (best == SIM_NOBODY || j->mem < sim->jobs[best].mem))
			best = n->jobs[i];
	}
	return best;
}

struct best_move {
	uint32_t job, to;
	double measure;
};

/* The one move that leaves the least deviation. */
static struct best_move best_of_all(const struct sim *sim, const struct moments *m)
{
	struct best_move best = { SIM_NOBODY, 0, deviation(m) };
	uint32_t from, to;

	for (from = 0; from < sim->scenario->node_count; from++) {
		if (sim->nodes[from].job_count == 0 || sim->nodes[from].out)
			continue;
		for (to = 0; to < sim->scenario->node_count; to++) {
			struct moments after;
			uint32_t job;

			if (to == from || sim->nodes[to].in || sim->nodes[to].draining ||
			    !sim_reachable(sim, from, to))
				continue;
			after = moved(sim, m, from, to);
			if (deviation(&after) >= best.measure)
				continue;
			job = any_job(sim, from, to);
			if (job != SIM_NOBODY)
				best = (struct best_move){ job, to, deviation(&after) };
		}
	}
	return best;
}

/* ---- Proxmox's automatic rebalancing (pve-ha-manager, 2026) ---- */

#define PVE_THRESHOLD 0.3
#define PVE_HOLD 3
#define PVE_MARGIN 0.1
#define PVE_ROUND 10

static double pve_imbalance(const struct moments *m, double measure)
{
	double mean = m->sum / m->count;

	return m->count < 2 || mean <= 0 ? 0 : measure / mean / sqrt(m->count - 1);
}

static bool anything_moves(const struct sim *sim)
{
	uint32_t node;

	for (node = 0; node < sim->scenario->node_count; node++)
		if (sim->nodes[node].in)
			return true;
	return false;
}

static void pve_round(struct sim *sim)
{
	struct moments m = moments_of(sim);
	double now = pve_imbalance(&m, deviation(&m));
	struct best_move best;

	if (anything_moves(sim))
		return;
	sim->held = now > PVE_THRESHOLD ? sim->held + 1 : 0;
	if (sim->held < PVE_HOLD)
		return;
	best = best_of_all(sim, &m);
	if (best.job == SIM_NOBODY ||
	    now - pve_imbalance(&m, best.measure) < PVE_MARGIN * now)
		return;
	sim_move(sim, best.job, best.to);
	sim->held = 0;
}

static void fewest_arrive(struct sim *sim, uint32_t job)
{
	uint32_t node, best = SIM_NOBODY;

	for (node = 0; node < sim->scenario->node_count; node++)
		if (sim->nodes[node].up && !sim->nodes[node].draining &&
		    sim_free(sim, node) >= sim->jobs[job].mem &&
		    (best == SIM_NOBODY ||
		     sim->nodes[node].job_count < sim->nodes[best].job_count))
			best = node;
	sim_start(sim, job, best == SIM_NOBODY ? most_free(sim) : best);
}

/* ---- DRS: greedy hill climbing over the deviation of normalised load ---- */

#define DRS_TARGET 0.2 /* of the mean */
#define DRS_MOVES 8    /* of one round */
#define DRS_ROUND 60   /* as of version 7; before, 300 */

static void drs_round(struct sim *sim)
{
	unsigned i;

	for (i = 0; i < DRS_MOVES; i++) {
		struct moments m = moments_of(sim);
		struct best_move best;

		if (m.count < 2 || deviation(&m) <= DRS_TARGET * m.sum / m.count)
			return;
		best = best_of_all(sim, &m);
		if (best.job == SIM_NOBODY || !sim_move(sim, best.job, best.to))
			return;
	}
}

const struct sim_method sim_modern[] = {
	{ .name = "best-fit", .what = "fullest node with room, all known, no moves",
	  .arrive = fit_arrive },
	{ .name = "least-loaded", .what = "least load with room, all known, no moves",
	  .arrive = least_arrive },
	{ .name = "two-choices", .what = "less loaded of two random nodes, no moves",
	  .arrive = two_arrive },
	{ .name = "proxmox", .what = "fewest jobs; one move when imbalance lasts, each 10 s",
	  .arrive = fewest_arrive, .round = pve_round, .round_period = PVE_ROUND },
	{ .name = "drs", .what = "least loaded; hill climb over the deviation each 60 s",
	  .arrive = least_arrive, .round = drs_round, .round_period = DRS_ROUND },
	{ 0 },
};
