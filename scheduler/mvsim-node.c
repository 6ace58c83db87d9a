/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes: how fast their jobs run, and what their agents measure and tell. */
#include "scheduler/mvsim.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void sim_touch(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];

	if (n->dirty)
		return;
	n->dirty = true;
	sim->dirty[sim->dirty_count++] = node;
}

/* ---- running ---- */

double sim_run_queue(const struct sim_node *node)
{
	return node->job_count + node->others;
}

static double mem_in_use(const struct sim_node *n)
{
	return n->mem_used + n->mem_reserved;
}

/* A byte less than nothing is rounding. */
static bool over_memory(const struct sim_node *n)
{
	return mem_in_use(n) > n->spec->mem + 1;
}

/* Let the node's jobs run at their rates until now. */
void sim_advance(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	double time = sim->now - n->last;
	uint32_t i;

	if (time <= 0)
		return;
	for (i = 0; i < n->job_count; i++) {
		struct sim_job *j = &sim->jobs[n->jobs[i]];

		j->remaining -= j->rate * time;
		j->attained += j->cpu * n->spec->speed * time;
	}
	n->run_sum += sim_run_queue(n) * time;
	if (over_memory(n))
		sim->stats.over_memory += time;
	if (n->draining && n->job_count)
		sim->stats.draining += time;
	n->last = sim->now;
}

/* Seconds that a job waits for data per CPU second: files of home, its peer. */
static double waiting(const struct sim *sim, const struct sim_job *j)
{
	double bytes = j->node == j->home ? 0 : j->spec->io;

	if (j->spec->peer != SIM_NOBODY &&
	    sim->jobs[j->spec->peer].state == SIM_RUNNING &&
	    sim->jobs[j->spec->peer].node != j->node)
		bytes += j->spec->talk;
	return bytes / sim->scenario->params.file_rate;
}

static double job_cap(const struct sim *sim, const struct sim_job *j)
{
	double work = 1 / sim->nodes[j->node].spec->speed;

	return work / (work + waiting(sim, j));
}

struct share {
	double cpus, weights; /* not yet given out, not yet satisfied */
	unsigned jobs;        /* that run */
};

/* Those whose share is more than they can use get what they can use. */
static bool satisfy(struct sim *sim, struct sim_node *n, struct share *share)
{
	double per_weight = share->cpus / share->weights;
	bool any = false;
	uint32_t i;

	for (i = 0; i < n->job_count; i++) {
		struct sim_job *j = &sim->jobs[n->jobs[i]];

		if (j->state != SIM_RUNNING || j->cpu >= 0 ||
		    j->weight * per_weight < j->cap)
			continue;
		j->cpu = j->cap;
		share->cpus -= j->cap;
		share->weights -= j->weight;
		any = true;
	}
	return any && share->weights > 1e-12;
}

/* What moves and other processes take, each as much as a job: weights are among jobs,
 * as in cgroups, where all jobs together have their parent's share. */
static void others_first(const struct sim *sim, const struct sim_node *n,
			 struct share *share)
{
	double moves = (n->in + n->out) * sim->scenario->params.link.cpu;
	double wanted = n->others + moves;
	double fair;

	if (wanted <= 0)
		return;
	fair = share->cpus * wanted / (wanted + share->jobs);
	share->cpus -= fmin(fair, wanted);
}

static void start_sharing(struct sim *sim, struct sim_node *n, struct share *share)
{
	uint32_t i;

	*share = (struct share){ .cpus = n->spec->cpus };
	for (i = 0; i < n->job_count; i++) {
		struct sim_job *j = &sim->jobs[n->jobs[i]];

		j->cpu = j->state == SIM_RUNNING ? -1 : 0;
		if (j->state != SIM_RUNNING)
			continue;
		j->cap = job_cap(sim, j);
		share->weights += j->weight;
		share->jobs++;
	}
	others_first(sim, n, share);
}

static double job_rate(struct sim *sim, struct sim_node *n, struct sim_job *j)
{
	double rate = j->cpu * n->spec->speed;

	if (over_memory(n))
		rate /= sim->scenario->params.tau;
	if (j->target != SIM_NOBODY)
		rate *= 1 - sim->scenario->params.link.slowdown;
	return rate;
}

void sim_rates(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	struct share share;
	double next = INFINITY;
	uint32_t i;

	sim_advance(sim, node);
	n->dirty = false;
	n->generation++;
	start_sharing(sim, n, &share);
	while (share.weights > 0 && satisfy(sim, n, &share))
		;
	for (i = 0; i < n->job_count; i++) {
		struct sim_job *j = &sim->jobs[n->jobs[i]];

		if (j->cpu < 0)
			j->cpu = j->weight * share.cpus / share.weights;
		j->rate = job_rate(sim, n, j);
		if (j->rate > 0)
			next = fmin(next, fmax(j->remaining, 0) / j->rate);
	}
	sim->stats.worst_memory = fmax(sim->stats.worst_memory,
				       mem_in_use(n) / n->spec->mem);
	sim->max_load = fmax(sim->max_load, n->job_count);
	if (next < INFINITY)
		sim_heap_push(&sim->heap, sim->now + next, SIM_EV_DONE, node, n->generation);
}

/* ---- who is where ---- */

static void room_for_one(struct sim_node *n)
{
	if (n->job_count < n->job_room)
		return;
	n->job_room = n->job_room ? 2 * n->job_room : 16;
	n->jobs = sim_grow(n->jobs, n->job_room, sizeof(n->jobs[0]));
}

/* What two jobs wait for each other's data depends on where both are. */
static void touch_talkers(struct sim *sim, uint32_t job)
{
	uint32_t i;

	for (i = 0; sim->talking && i < sim->scenario->job_count; i++)
		if (sim->scenario->jobs[i].peer == job && sim->jobs[i].state == SIM_RUNNING)
			sim_touch(sim, sim->jobs[i].node);
}

void sim_attach(struct sim *sim, uint32_t job, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	struct sim_job *j = &sim->jobs[job];

	sim_advance(sim, node);
	room_for_one(n);
	n->jobs[n->job_count++] = job;
	n->mem_used += j->mem;
	j->node = node;
	j->since = sim->now;
	sim_touch(sim, node);
	touch_talkers(sim, job);
}

void sim_detach(struct sim *sim, uint32_t job)
{
	struct sim_job *j = &sim->jobs[job];
	struct sim_node *n = &sim->nodes[j->node];
	uint32_t i = 0;

	sim_advance(sim, j->node);
	while (n->jobs[i] != job)
		i++;
	n->job_count--;
	memmove(&n->jobs[i], &n->jobs[i + 1], (n->job_count - i) * sizeof(n->jobs[0]));
	n->mem_used = n->job_count ? n->mem_used - j->mem : 0;
	sim_touch(sim, j->node);
	touch_talkers(sim, job);
}

/* What its jobs have grown to. */
void sim_grow_memory(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	double sum = 0, grown;
	uint32_t i;

	for (i = 0; i < n->job_count; i++) {
		struct sim_job *j = &sim->jobs[n->jobs[i]];

		if (j->spec->grow > 0)
			j->mem = fmin(j->spec->mem + j->spec->grow * j->attained,
				      fmax(j->spec->mem_most, j->spec->mem));
		sum += j->mem;
	}
	if (sum != n->mem_used)
		sim_touch(sim, node);
	grown = sum - n->mem_used;
	if (grown < 1) /* less than a byte is rounding */
		grown = 0;
	n->growth += (grown / sim->scenario->params.step - n->growth) * 3 / 8;
	n->mem_used = sum;
}

double sim_free(const struct sim *sim, uint32_t node)
{
	const struct sim_node *n = &sim->nodes[node];

	return n->spec->mem - mem_in_use(n);
}

/* ---- what an agent measures ---- */

void sim_vector(struct sim *sim, uint32_t node, struct sched_node *vector)
{
	struct sim_node *n = &sim->nodes[node];
	uint32_t i;

	sim_advance(sim, node);
	*vector = (struct sched_node){
		.id = sim_id(node),
		.time = sim->now,
		.cpus = n->spec->cpus,
		.speed = n->spec->speed * n->lie,
		.run = n->meter.upper,
		.others = sched_meter_told(&n->other_meter),
		.mem_total = n->spec->mem,
		.mem_free = fmax(0, sim_free(sim, node)),
		.net_max = sim->scenario->params.file_rate,
		.jobs = n->job_count,
		.reserved = n->in,
		.slots = SCHED_MAX_JOBS,
		.qemu = 1,
		.cpu = 1,
		.state = n->draining ? SCHED_DRAINING : SCHED_OPEN,
		.flags = (n->in ? SCHED_TAKING : 0) | (n->out ? SCHED_SENDING : 0) |
			 (n->held != SIM_NOBODY ? SCHED_MAKING : 0),
	};
	if (n->held != SIM_NOBODY) /* kept for that one */
		vector->mem_free = 0;
	memcpy(vector->load, n->incoming, sizeof(vector->load));
	for (i = 0; i < n->job_count; i++) {
		const struct sim_job *j = &sim->jobs[n->jobs[i]];

		vector->load[sched_class(j->attained)] += j->cap;
	}
}

void sim_told(struct sim *sim, uint32_t node, struct sched_node *vector)
{
	sim_vector(sim, node, vector);
	vector->speed *= sim->nodes[node].boast;
	if (!sim->nodes[node].hides)
		return;
	memset(vector->load, 0, sizeof(vector->load));
	vector->run = vector->others = vector->jobs = 0;
	vector->mem_free = vector->mem_total;
}

void sim_job_vector(struct sim *sim, uint32_t job, struct sched_job *vector)
{
	const struct sim_job *j = &sim->jobs[job];
	const struct sim_job_spec *spec = j->spec;

	*vector = (struct sched_job){
		.id = job,
		.home = sim_id(j->home),
		.age = j->attained,
		.use = j->state == SIM_RUNNING ? j->cap : 1,
		.mem = j->mem,
		.touched = j->mem,
		.dirty = spec->dirty,
		.hot = spec->hot,
		.resident = sim->now - j->since,
		.tried = sim->now - j->tried,
		.qemu = 1,
		.cpu = 1,
		.pinned = spec->pinned,
	};
	vector->traffic[0].node = sim_id(j->home);
	vector->traffic[0].rate = spec->io;
	if (spec->peer != SIM_NOBODY &&
	    sim->jobs[spec->peer].state == SIM_RUNNING) {
		vector->traffic[1].node = sim_id(sim->jobs[spec->peer].node);
		vector->traffic[1].rate = spec->talk;
	}
}

bool sim_reachable(const struct sim *sim, uint32_t a, uint32_t b)
{
	return sim->nodes[a].up && sim->nodes[b].up &&
	       sim->nodes[a].group == sim->nodes[b].group;
}
