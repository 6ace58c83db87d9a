/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-workload.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576.0

void sim_params_default(struct sim_params *params)
{
	*params = (struct sim_params){
		.tau = 2.2,
		/* Fast Ethernet, and what Monovisor's moves take besides. */
		.link = { .bandwidth = 11e6, .setup = 0.9, .resume = 0.1, .stop = 0.1,
			  .slowdown = 0.1, .cpu = 0.3 },
		.file_rate = 11e6,
		.step = 1,
		/* A quiet network of one site. */
		.loss = 0.001,
		.delay = 0.005,
		.move_noise = 0.5,
		.limit = 1e8,
		.window = 4,
		.known = 4096,
	};
}

void sim_workload_default(struct sim_workload *workload)
{
	*workload = (struct sim_workload){
		.rate = 0.1, .seconds = 1000, .alpha = 1, .least = 1, .most = 1e5,
		.mem_least = MIB, .mem_most = 64 * MIB, .dirty = 0.1, .hot = 0.2,
		.io_share = 1, .home = SIM_NOBODY,
	};
}

const char *sim_workload_name(enum sim_workload_kind kind)
{
	static const char *const names[] = { "fixed", "published", "lifetimes", "pareto",
					     "lublin" };

	static_assert(sizeof(names) / sizeof(names[0]) == SIM_WORKLOADS, "a name each");
	return names[kind];
}

void sim_scenario_free(struct sim_scenario *scenario)
{
	free(scenario->nodes);
	free(scenario->jobs);
	free(scenario->script);
	*scenario = (struct sim_scenario){ 0 };
}

void sim_plan_free(struct sim_plan *plan)
{
	sim_scenario_free(&plan->scenario);
	free(plan->trace);
	plan->trace = NULL;
}

struct maker {
	const struct sim_plan *plan;
	struct sched_random random;
	struct sim_job_spec *jobs;
	uint32_t count, room;
	double rate;
};

/* More than 0, at most 1. */
static double unit(struct maker *maker)
{
	return 1 - sched_random_unit(&maker->random);
}

static double exponential(struct maker *maker, double mean)
{
	return -log(unit(maker)) * mean;
}

/* Marsaglia and Tsang, "A simple method for generating gamma variables", 2000;
 * shape of at least 1. */
static double gamma_of(struct maker *maker, double shape, double scale)
{
	double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);

	for (;;) {
		double x = sched_random_normal(&maker->random), v = 1 + c * x;

		if (v <= 0)
			continue;
		v = v * v * v;
		if (log(unit(maker)) < 0.5 * x * x + d - d * v + d * log(v))
			return d * v * scale;
	}
}

static double gamma_any(struct maker *maker, double shape, double scale)
{
	if (shape >= 1)
		return gamma_of(maker, shape, scale);
	return gamma_of(maker, shape + 1, scale) * pow(unit(maker), 1 / shape);
}

static double memory(struct maker *maker)
{
	const struct sim_workload *workload = &maker->plan->workload;

	return fmin(workload->mem_least / unit(maker), workload->mem_most);
}

static uint32_t home(struct maker *maker)
{
	const struct sim_plan *plan = maker->plan;

	if (plan->workload.home != SIM_NOBODY)
		return plan->workload.home;
	return (uint32_t)sched_random_below(&maker->random, plan->scenario.node_count);
}

static void add(struct maker *maker, double arrival, double demand, double mem,
		uint32_t where)
{
	const struct sim_workload *workload = &maker->plan->workload;

	if (maker->count == SIM_MAX_JOBS)
		return;
	if (maker->count == maker->room) {
		maker->room = maker->room ? 2 * maker->room : 256;
		maker->jobs = sim_grow(maker->jobs, maker->room, sizeof(maker->jobs[0]));
	}
	maker->jobs[maker->count++] = (struct sim_job_spec){
		.arrival = arrival, .demand = demand, .mem = mem,
		.grow = workload->grow, .mem_most = workload->grow_most,
		.dirty = mem * workload->dirty, .hot = mem * workload->hot,
		.io = sched_random_unit(&maker->random) < workload->io_share ?
			workload->io : 0,
		.home = where, .peer = SIM_NOBODY, .after = SIM_NOBODY,
	};
}

/* ---- the generators: one arrival each ---- */

/*
 * "2/r seconds", "(1/m)% of the largest machine memory"; 5 % of the jobs are 1 to 20
 * parallel components. That each of them needs 20/r seconds and all of the memory is our
 * reading: with it the published slowdowns come out, with shares of it far smaller ones.
 */
static void published(struct maker *maker, double at)
{
	uint32_t where = home(maker), parts = 1;
	double demand = 2 / unit(maker), mem = memory(maker);

	if (sched_random_unit(&maker->random) < 0.05) {
		parts = 1 + (uint32_t)sched_random_below(&maker->random, 20);
		demand *= 10;
	}
	demand = fmin(demand, maker->plan->workload.most);
	while (parts--)
		add(maker, at, demand, mem, where);
}

static void lifetimes(struct maker *maker, double at)
{
	double demand = fmin(1 / unit(maker), maker->plan->workload.most);
	uint32_t where = home(maker);

	add(maker, at, demand, memory(maker), where);
}

static void pareto(struct maker *maker, double at)
{
	const struct sim_workload *w = &maker->plan->workload;
	/* by inversion, between the bounds */
	double ratio = pow(w->least / w->most, w->alpha);
	double u = sched_random_unit(&maker->random);
	double demand = w->least / pow(1 - u * (1 - ratio), 1 / w->alpha);
	uint32_t where = home(maker);

	add(maker, at, demand, memory(maker), where);
}

/* m_lublin99.c, column "all": sizes two-stage uniform in log2, run times hyper-gamma
 * in ln, longer for larger sizes. Its daily cycle of arrivals is left out. */
static uint32_t lublin_size(struct maker *maker)
{
	double high, med, par;
	double cpus = 0;
	uint32_t i;

	for (i = 0; i < maker->plan->scenario.node_count; i++)
		cpus += maker->plan->scenario.nodes[i].cpus;
	high = log2(fmax(cpus, 2));
	med = fmax(high - 2.5, 0.8);
	if (sched_random_unit(&maker->random) < 0.244)
		return 1;
	if (sched_random_unit(&maker->random) < 0.86)
		par = 0.8 + (med - 0.8) * sched_random_unit(&maker->random);
	else
		par = med + (high - med) * sched_random_unit(&maker->random);
	if (sched_random_unit(&maker->random) < 0.576)
		par = floor(par + 0.5);
	return (uint32_t)fmax(1, floor(exp2(par) + 0.5));
}

static double lublin_time(struct maker *maker, uint32_t size)
{
	double p = fmin(fmax(-0.0054 * size + 0.78, 0), 1), ln;

	do
		ln = sched_random_unit(&maker->random) < p ?
			gamma_any(maker, 4.2, 0.94) : gamma_any(maker, 312, 0.03);
	while (ln > 12);
	return fmin(exp(ln), maker->plan->workload.most);
}

static void lublin(struct maker *maker, double at)
{
	uint32_t size = lublin_size(maker), where = home(maker);
	double demand = lublin_time(maker, size), mem = memory(maker);

	while (size--)
		add(maker, at, demand, mem, where);
}

static void (*const generators[])(struct maker *maker, double at) = {
	[SIM_PUBLISHED] = published,
	[SIM_LIFETIMES] = lifetimes,
	[SIM_PARETO] = pareto,
	[SIM_LUBLIN] = lublin,
};

static void generate(struct maker *maker)
{
	const struct sim_workload *workload = &maker->plan->workload;
	double at = workload->from;

	maker->rate = workload->rate *
		      exp(workload->spread * (2 * sched_random_unit(&maker->random) - 1));
	while (maker->count < SIM_MAX_JOBS) {
		at += exponential(maker, 1 / maker->rate);
		if (workload->count ? maker->count >= workload->count :
				      at > workload->from + workload->seconds)
			return;
		generators[workload->kind](maker, at);
	}
}

uint32_t sim_workload_make(const struct sim_plan *plan, uint64_t seed,
			   struct sim_job_spec **jobs)
{
	struct maker maker = { .plan = plan };

	sched_random_seed(&maker.random, sched_mix(seed, 1));
	if (plan->workload.kind == SIM_FIXED) {
		maker.count = plan->scenario.job_count;
		maker.jobs = sim_need(maker.count, sizeof(maker.jobs[0]));
		if (maker.count)
			memcpy(maker.jobs, plan->scenario.jobs,
			       maker.count * sizeof(maker.jobs[0]));
	} else {
		generate(&maker);
	}
	*jobs = maker.jobs;
	return maker.count;
}
