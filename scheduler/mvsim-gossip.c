/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-gossip.h"

#include "scheduler/gossip-wire.h"
#include "scheduler/mvsim-heap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 20 /* moments at which ages are measured, one in `SPACING` steps */
#define SPACING 2

struct world {
	const struct sim_gossip_config *config;
	struct sched_random random;
	struct gossip *nodes;
	void **memory;
	uint64_t *ids;
	double *phase; /* when within a step a node takes its own */
	uint64_t messages, bytes;
};

unsigned sim_gossip_steps(unsigned nodes, unsigned window)
{
	return (unsigned)(2 * gossip_maximum_age(nodes, window)) + SAMPLES * SPACING;
}

/* A node of a cluster in which nothing happens: gossip has the same length anyhow. */
static struct sched_node vector_of(uint64_t id)
{
	return (struct sched_node){
		.id = id, .cpus = 4, .speed = 1, .mem_total = 0x1p33, .mem_free = 0x1p32,
		.slots = 64, .qemu = 1, .cpu = 1, .state = SCHED_OPEN,
	};
}

static void init(struct world *world)
{
	const struct sim_gossip_config *config = world->config;
	unsigned i, count = config->nodes;

	sched_random_seed(&world->random, config->seed);
	world->nodes = sim_need(count, sizeof(world->nodes[0]));
	world->memory = sim_need(count, sizeof(world->memory[0]));
	world->ids = sim_need(count, sizeof(world->ids[0]));
	world->phase = sim_need(count, sizeof(world->phase[0]));
	for (i = 0; i < count; i++) {
		unsigned known = i < config->observers ? count : config->window + 4;

		if (known > count)
			known = count;
		world->ids[i] = i + 1;
		world->phase[i] = sched_random_unit(&world->random);
		world->memory[i] = sim_need(1, gossip_size(known));
		gossip_init(&world->nodes[i], world->memory[i], known, i + 1,
			    config->window, 1e6);
	}
}

static void destroy(struct world *world)
{
	unsigned i;

	for (i = 0; i < world->config->nodes; i++)
		free(world->memory[i]);
	free(world->memory);
	free(world->nodes);
	free(world->ids);
	free(world->phase);
}

static void send(struct world *world, unsigned from, double now)
{
	static uint8_t message[GOSSIP_MESSAGE_MAX];
	struct gossip *gossip = &world->nodes[from];
	struct sched_node own = vector_of(gossip->self);
	size_t len;
	uint64_t to;

	gossip_own(gossip, &own, (uint64_t)(now * 1000), now);
	if (!gossip_pick(gossip, world->ids, world->config->nodes, world->config->nodes,
			 &world->random, &to))
		return;
	len = gossip_write(gossip, now, message, sizeof(message));
	world->messages++;
	world->bytes += len;
	if (sched_random_unit(&world->random) >= world->config->loss)
		gossip_read(&world->nodes[to - 1], message, len, now, NULL);
}

/* All nodes once, in the order of their phases. */
static void step(struct world *world, const unsigned *order, unsigned number)
{
	unsigned i;

	for (i = 0; i < world->config->nodes; i++)
		send(world, order[i], number + world->phase[order[i]]);
}

static const double *sort_phase;

static int by_phase(const void *a, const void *b)
{
	unsigned i = *(const unsigned *)a, j = *(const unsigned *)b;

	return sort_phase[i] < sort_phase[j] ? -1 : sort_phase[i] > sort_phase[j] ? 1 :
	       i < j ? -1 : 1;
}

static unsigned *make_order(struct world *world)
{
	unsigned *order = sim_need(world->config->nodes, sizeof(order[0])), i;

	for (i = 0; i < world->config->nodes; i++)
		order[i] = i;
	sort_phase = world->phase;
	qsort(order, world->config->nodes, sizeof(order[0]), by_phase);
	return order;
}

/* What one observer knows now. */
static void observe(const struct world *world, const struct gossip *gossip, double now,
		    struct sim_gossip_result *result)
{
	double sum = 0, most = 0;
	unsigned i, k;

	for (i = 1; i < gossip->count; i++) {
		double age = now - gossip->nodes[i].time;

		sum += age;
		most = fmax(most, age);
		for (k = 0; k < SIM_GOSSIP_POINTS; k++)
			result->up_to[k] += age <= result->age[k];
	}
	/* The observer itself is one of those it knows of. */
	for (k = 0; k < SIM_GOSSIP_POINTS; k++)
		result->up_to[k] += 1;
	result->average += gossip->count > 1 ? sum / (gossip->count - 1) : 0;
	result->maximum += most;
	result->known += (double)gossip->count / world->config->nodes;
}

static void set_points(const struct sim_gossip_config *config,
		       struct sim_gossip_result *result)
{
	/* shares of the average age, and within what had passed at the first sample */
	static const double shares[SIM_GOSSIP_POINTS] = { 0.05, 0.1, 0.25, 0.5, 1, 2 };
	double average = gossip_average_age(config->nodes, config->window);
	unsigned k;

	average = fmin(average, config->steps > SAMPLES * SPACING ?
			       (config->steps - SAMPLES * SPACING) / 2.0 : 1);
	for (k = 0; k < SIM_GOSSIP_POINTS; k++) {
		result->age[k] = fmax(1, round(average * shares[k]));
		result->up_to_formula[k] =
			gossip_up_to(config->nodes, config->window, result->age[k]);
	}
}

static void divide(struct sim_gossip_result *result, double by)
{
	unsigned k;

	result->average /= by;
	result->maximum /= by;
	result->known /= by;
	for (k = 0; k < SIM_GOSSIP_POINTS; k++)
		result->up_to[k] /= by;
}

static void simulate(struct world *world, struct sim_gossip_result *result)
{
	const struct sim_gossip_config *config = world->config;
	unsigned *order = make_order(world), number, i, samples = 0;

	for (number = 0; number < config->steps; number++) {
		step(world, order, number);
		if (config->steps - number > SAMPLES * SPACING ||
		    (config->steps - number) % SPACING != 1)
			continue;
		samples++;
		for (i = 0; i < config->observers; i++)
			observe(world, &world->nodes[i], number + 1, result);
	}
	divide(result, (double)samples * config->observers);
	free(order);
}

int sim_gossip(const struct sim_gossip_config *config, struct sim_gossip_result *result,
	       struct err *err)
{
	struct world world = { .config = config };

	if (config->nodes < 4 || config->nodes > 1000000 || config->window < 2 ||
	    config->window > GOSSIP_WINDOW_MAX || config->window >= config->nodes)
		return err_set(err, 0, "gossip needs 4 to 1000000 nodes and a window of "
			       "2 to %d (--window), smaller than the nodes: not %u and %u",
			       GOSSIP_WINDOW_MAX, config->nodes, config->window);
	if (config->observers < 1 || config->observers > config->nodes ||
	    config->steps < 1 || !(config->loss >= 0 && config->loss < 1))
		return err_set(err, 0, "gossip needs 1 to %u observers, 1 step or more, "
			       "and a loss of less than 1", config->nodes);
	*result = (struct sim_gossip_result){
		.average_formula = gossip_average_age(config->nodes, config->window),
		.maximum_formula = gossip_maximum_age(config->nodes, config->window),
	};
	set_points(config, result);
	init(&world);
	simulate(&world, result);
	result->messages = world.messages;
	result->bytes = (double)world.bytes / config->nodes / config->steps;
	destroy(&world);
	return 0;
}
