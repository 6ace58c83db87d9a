/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The events of a simulation, in order. */
#include "scheduler/mvsim.h"
#include "scheduler/weight.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- jobs ---- */

void sim_start(struct sim *sim, uint32_t job, uint32_t node)
{
	struct sim_job *j = &sim->jobs[job];

	assert(j->state == SIM_PENDING || j->state == SIM_WAITING);
	if (j->state == SIM_PENDING)
		j->remaining = j->spec->demand;
	j->state = SIM_RUNNING;
	j->target = SIM_NOBODY;
	j->tried = j->started = sim->now;
	j->weight = sim->method->weights ? sched_weight(&sim->policy, j->attained) : 1;
	sim_attach(sim, job, node);
}

void sim_arrive(struct sim *sim, uint32_t job)
{
	uint32_t home = sim->jobs[job].spec->home, tries;

	for (tries = 0; tries < sim->scenario->node_count && !sim->nodes[home].up; tries++)
		home = (home + 1) % sim->scenario->node_count;
	sim->jobs[job].home = home;
	sim->method->arrive(sim, job);
}

void sim_wait(struct sim *sim, uint32_t job)
{
	struct sim_job *j = &sim->jobs[job];

	assert(j->state == SIM_PENDING);
	j->state = SIM_WAITING;
	j->remaining = j->spec->demand;
	j->held_at = SIM_NOBODY;
	j->waits = j->tried = sim->now;
	sim->waiting[sim->waiting_count++] = job;
}

static void end_job(struct sim *sim, uint32_t job)
{
	struct sim_job *j = &sim->jobs[job];
	uint32_t i;

	if (j->target != SIM_NOBODY)
		sim_move_abort(sim, job);
	sim_detach(sim, job);
	j->state = SIM_DONE;
	j->ended = sim->now;
	sim->done++;
	for (i = 0; sim->chained && i < sim->scenario->job_count; i++)
		if (sim->scenario->jobs[i].after == job)
			sim_arrive(sim, i);
}

/* What is left of a job that has ended, after rounding. */
#define REST 1e-9

static void complete(struct sim *sim, const struct sim_event *event)
{
	struct sim_node *n = &sim->nodes[event->subject];
	uint32_t i = 0;

	if (n->generation != event->generation)
		return;
	sim_advance(sim, event->subject);
	while (i < n->job_count) {
		struct sim_job *j = &sim->jobs[n->jobs[i]];

		if (j->state == SIM_RUNNING &&
		    j->remaining <= REST * (1 + j->spec->demand))
			end_job(sim, n->jobs[i]);
		else
			i++;
	}
	sim_touch(sim, event->subject);
}

/* ---- steps ---- */

static void measure(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	double time;
	uint32_t i;

	sim_advance(sim, node);
	sim_grow_memory(sim, node);
	time = sim->now - n->run_from;
	if (time > 0)
		sched_meter_add(&n->meter, n->run_sum / time);
	sched_meter_add(&n->other_meter, n->others);
	n->run_sum = 0;
	n->run_from = sim->now;
	for (i = 0; i < n->job_count; i++) {
		struct sim_job *j = &sim->jobs[n->jobs[i]];

		j->used = (5 * j->used + 3 * j->cpu) / 8;
		if (sim->method->weights)
			j->weight = sched_weight(&sim->policy, j->attained);
	}
	if (sim->method->weights)
		sim_touch(sim, node);
}

static bool more_to_come(const struct sim *sim)
{
	return sim->done < sim->scenario->job_count;
}

static void node_step(struct sim *sim, const struct sim_event *event)
{
	struct sim_node *n = &sim->nodes[event->subject];

	if (n->up) {
		measure(sim, event->subject);
		if (sim->method->gossip)
			sim_gossip_step(sim, event->subject);
		if (sim->method->step)
			sim->method->step(sim, event->subject);
	}
	if (more_to_come(sim))
		sim_heap_push(&sim->heap, sim->now + sim->scenario->params.step, SIM_EV_STEP,
			 event->subject, 0);
}

static void manager_round(struct sim *sim)
{
	sim->method->round(sim);
	if (more_to_come(sim))
		sim_heap_push(&sim->heap, sim->now + sim->method->round_period, SIM_EV_ROUND, 0, 0);
}

static void handle(struct sim *sim, const struct sim_event *event)
{
	switch ((enum sim_kind)event->kind) {
	case SIM_EV_DONE:
		complete(sim, event);
		return;
	case SIM_EV_WATCH:
		sim_watch(sim);
		return;
	case SIM_EV_STEP:
		node_step(sim, event);
		return;
	case SIM_EV_ROUND:
		manager_round(sim);
		return;
	case SIM_EV_STOP:
		sim_move_stop(sim, event);
		return;
	case SIM_EV_MOVED:
		sim_move_end(sim, event);
		return;
	case SIM_EV_SCRIPT:
		sim_script_run(sim, &sim->scenario->script[event->subject]);
		return;
	case SIM_EV_MESSAGE:
		sim_message_arrive(sim, event->subject);
		return;
	}
}

#define WATCH_UNTIL 20000.0 /* s: longer runs are about other things */

static double run_per_cpu(const struct sim *sim, uint32_t node)
{
	const struct sim_node *n = &sim->nodes[node];

	return sim_run_queue(n) / (n->spec->speed * n->spec->cpus);
}

/* Whether some node has a job more than its share of the load. */
void sim_watch(struct sim *sim)
{
	double load = 0, capacity = 0, most = 0;
	uint32_t node;

	for (node = 0; node < sim->scenario->node_count; node++) {
		const struct sim_node *n = &sim->nodes[node];

		if (!n->up)
			continue;
		load += sim_run_queue(n);
		capacity += n->spec->speed * n->spec->cpus;
		most = fmax(most, run_per_cpu(sim, node) -
			    1 / (n->spec->speed * n->spec->cpus));
	}
	if (capacity > 0 && most > fmax(load / capacity, 1))
		sim->stats.balanced_at = sim->now;
	if (more_to_come(sim) && sim->now < WATCH_UNTIL)
		sim_heap_push(&sim->heap, sim->now + 1, SIM_EV_WATCH, 0, 0);
}

static void flush(struct sim *sim)
{
	uint32_t i;

	for (i = 0; i < sim->dirty_count; i++)
		sim_rates(sim, sim->dirty[i]);
	sim->dirty_count = 0;
}

static double next_arrival(const struct sim *sim)
{
	if (sim->next_arrival == sim->scenario->job_count)
		return INFINITY;
	return sim->scenario->jobs[sim->arrivals[sim->next_arrival]].arrival;
}

static void loop(struct sim *sim)
{
	struct sim_event event;

	while (more_to_come(sim) && sim->now < sim->scenario->params.limit) {
		double arrival = next_arrival(sim);

		flush(sim);
		if (sim_heap_next(&sim->heap) < arrival) {
			if (!sim_heap_pop(&sim->heap, &event))
				return;
			sim->now = event.time;
			handle(sim, &event);
		} else if (arrival < INFINITY) {
			sim->now = arrival;
			sim_arrive(sim, sim->arrivals[sim->next_arrival++]);
		} else {
			return;
		}
	}
}

/* ---- begin and end ---- */

static const struct sim_scenario *sorting;

static int by_arrival(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	double x = sorting->jobs[i].arrival, y = sorting->jobs[j].arrival;

	return x < y ? -1 : x > y ? 1 : i < j ? -1 : 1;
}

static void sort_arrivals(struct sim *sim)
{
	uint32_t i, count = 0;

	for (i = 0; i < sim->scenario->job_count; i++)
		if (sim->scenario->jobs[i].after == SIM_NOBODY)
			sim->arrivals[count++] = i;
	sorting = sim->scenario;
	qsort(sim->arrivals, count, sizeof(sim->arrivals[0]), by_arrival);
	/* those that wait for others arrive when these have ended */
	for (i = count; i < sim->scenario->job_count; i++)
		sim->arrivals[i] = SIM_NOBODY;
	sim->next_arrival = sim->scenario->job_count - count;
	memmove(sim->arrivals + sim->next_arrival, sim->arrivals,
		count * sizeof(sim->arrivals[0]));
}

void sim_node_reset(struct sim *sim, uint32_t node)
{
	const struct sim_params *params = &sim->scenario->params;
	struct sim_node *n = &sim->nodes[node];
	unsigned known = params->known;

	n->held = SIM_NOBODY;
	if (!sim->method->gossip)
		return;
	if (known > sim->scenario->node_count)
		known = sim->scenario->node_count;
	if (known < 2)
		known = 2;
	if (!n->gossip_memory)
		n->gossip_memory = sim_need(1, gossip_size(known));
	gossip_init(&n->gossip, n->gossip_memory, known, sim_id(node), params->window,
		    sim->policy.max_age);
}

static void init_node(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];

	n->spec = &sim->scenario->nodes[node];
	n->others = n->spec->others;
	n->up = true;
	n->lie = n->boast = 1;
	sim->ids[node] = sim_id(node);
	sim_node_reset(sim, node);
	/* Agents do not beat in time. */
	if (sim->method->gossip || sim->method->step || sim->method->weights)
		sim_heap_push(&sim->heap, sim->scenario->params.step *
			      sched_random_unit(&sim->random), SIM_EV_STEP, node, 0);
	sim_touch(sim, node);
}

static void begin(struct sim *sim)
{
	const struct sim_scenario *scenario = sim->scenario;
	uint32_t i;

	sim->jobs = sim_need(scenario->job_count, sizeof(sim->jobs[0]));
	sim->nodes = sim_need(scenario->node_count, sizeof(sim->nodes[0]));
	sim->dirty = sim_need(scenario->node_count, sizeof(sim->dirty[0]));
	sim->waiting = sim_need(scenario->job_count, sizeof(sim->waiting[0]));
	sim->scratch = sim_need(scenario->job_count, sizeof(sim->scratch[0]));
	sim->arrivals = sim_need(scenario->job_count, sizeof(sim->arrivals[0]));
	sim->ids = sim_need(scenario->node_count, sizeof(sim->ids[0]));
	sim->vectors = sim_need(scenario->job_count, sizeof(sim->vectors[0]));
	sim->state = sim_need(scenario->node_count, sizeof(sim->state[0]));
	sort_arrivals(sim);
	for (i = 0; i < scenario->job_count; i++) {
		sim->jobs[i].spec = &scenario->jobs[i];
		sim->jobs[i].node = sim->jobs[i].target = SIM_NOBODY;
		sim->jobs[i].mem = scenario->jobs[i].mem;
		sim->chained |= scenario->jobs[i].after != SIM_NOBODY;
		sim->talking |= scenario->jobs[i].peer != SIM_NOBODY;
	}
	sim_heap_push(&sim->heap, 1, SIM_EV_WATCH, 0, 0);
	for (i = 0; i < scenario->node_count; i++)
		init_node(sim, i);
	for (i = 0; i < scenario->script_count; i++)
		sim_heap_push(&sim->heap, scenario->script[i].at, SIM_EV_SCRIPT, i, 0);
	if (sim->method->round)
		sim_heap_push(&sim->heap, sim->method->round_period, SIM_EV_ROUND, 0, 0);
}

static void finish(struct sim *sim)
{
	uint32_t i;

	for (i = 0; i < sim->scenario->node_count; i++) {
		free(sim->nodes[i].jobs);
		free(sim->nodes[i].gossip_memory);
	}
	free(sim->jobs);
	free(sim->nodes);
	free(sim->dirty);
	free(sim->waiting);
	free(sim->scratch);
	free(sim->arrivals);
	free(sim->ids);
	free(sim->vectors);
	free(sim->state);
	free(sim->heap.events);
	sim_post_free(sim);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static bool has_begun(const struct sim_job *j)
{
	return j->state != SIM_PENDING && j->state != SIM_WAITING;
}

static void summarize(struct sim *sim, double *slowdowns)
{
	uint32_t i, count = 0, total = sim->scenario->job_count;
	struct sim_stats *stats = &sim->stats;
	double sum = 0, wait = 0, waited;

	for (i = 0; i < total; i++) {
		const struct sim_job *j = &sim->jobs[i];
		double end = j->state == SIM_DONE ? j->ended : sim->now;

		if (j->state != SIM_DONE)
			stats->unfinished++;
		if (j->spec->after != SIM_NOBODY && j->state == SIM_PENDING)
			continue;
		slowdowns[count] = fmax(end - j->spec->arrival, 0) / j->spec->demand;
		sum += slowdowns[count++];
		waited = fmax((has_begun(j) ? j->started : end) - j->spec->arrival, 0);
		wait += waited;
		stats->wait_max = fmax(stats->wait_max, waited);
		if (j->moves > stats->most_moves)
			stats->most_moves = j->moves;
		stats->makespan = fmax(stats->makespan, end);
	}
	if (count == 0)
		return;
	qsort(slowdowns, count, sizeof(slowdowns[0]), by_value);
	stats->slowdown_mean = sum / count;
	stats->wait_mean = wait / count;
	stats->slowdown_median = slowdowns[(count - 1) / 2];
	stats->slowdown_p95 = slowdowns[(uint32_t)(0.95 * (count - 1))];
	stats->slowdown_max = slowdowns[count - 1];
}

int sim_run(const struct sim_scenario *scenario, const struct sim_method *method,
	    const struct sched_policy *policy, uint64_t seed, double *slowdowns,
	    struct sim_stats *stats, struct err *err)
{
	struct sim sim = { .scenario = scenario, .method = method, .policy = *policy };

	if (scenario->node_count == 0 || scenario->node_count > SIM_MAX_NODES)
		return err_set(err, 0, "a scenario has 1 to %u nodes, not %u",
			       SIM_MAX_NODES, scenario->node_count);
	/* Costs are of the weights that there are. */
	if (!method->weights)
		sim.policy.weight_power = 0;
	sched_random_seed(&sim.random, seed);
	sched_random_seed(&sim.noise, sched_mix(seed, 2));
	begin(&sim);
	loop(&sim);
	summarize(&sim, slowdowns);
	*stats = sim.stats;
	finish(&sim);
	return 0;
}
