/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-decide.h"

#include "scheduler/balance.h"
#include "scheduler/gossip-wire.h"
#include "scheduler/mvsim-heap.h"
#include "scheduler/usher.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#define JOBS 32
#define ROUNDS 5
#define WINDOW 14

struct bench {
	struct sched_policy policy;
	struct sched_random random;
	struct sched_node self, *peers;
	struct sched_job jobs[JOBS];
	struct sched_reason reasons[JOBS];
	struct sched_view view;
	struct gossip gossip, other;
	uint8_t message[GOSSIP_MESSAGE_MAX];
	size_t len;
	double now;
};

static struct sched_node random_node(struct sched_random *random, uint64_t id)
{
	struct sched_node node = {
		.id = id, .cpus = 4 << sched_random_below(random, 4),
		.speed = 0.5 + sched_random_unit(random), .mem_total = 0x1p35,
		.slots = 512, .qemu = 1, .cpu = 1,
	};
	unsigned i;

	node.mem_free = node.mem_total * sched_random_unit(random);
	for (i = 0; i < SCHED_CLASSES; i++)
		node.load[i] = (double)sched_random_below(random, 4);
	return node;
}

static struct sched_job random_job(struct sched_random *random, struct sched_node *node)
{
	struct sched_job job = {
		.age = 1 / (1 - sched_random_unit(random)), .use = 1,
		.mem = 0x1p28 * sched_random_unit(random), .dirty = 1e6,
		.resident = 100, .tried = 100, .qemu = 1, .cpu = 1,
	};

	job.touched = job.mem;
	sched_node_add(node, &job);
	return job;
}

/* Of this thread: what others did meanwhile does not count. */
static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static const struct sched_link link_of_bench = {
	.bandwidth = 1e8, .setup = 0.9, .resume = 0.1, .stop = 0.1, .slowdown = 0.1,
	.cpu = 0.3,
};

static void place(struct bench *bench)
{
	struct sched_job job = { .use = 1, .mem = 0x1p27, .qemu = 1, .cpu = 1 };

	sched_place(&bench->view, &job, &bench->random);
}

static void balance(struct bench *bench)
{
	sched_balance(&bench->view, bench->jobs, JOBS, &link_of_bench, &bench->random,
		      bench->reasons);
}

static void usher(struct bench *bench)
{
	sched_usher(&bench->view, bench->jobs, JOBS, 0x1p28, &link_of_bench, &bench->random,
		    bench->reasons);
}

static void write_gossip(struct bench *bench)
{
	bench->now += 1;
	gossip_own(&bench->gossip, &bench->self, (uint64_t)(bench->now * 1000),
		   bench->now);
	bench->len = gossip_write(&bench->gossip, bench->now, bench->message,
				  sizeof(bench->message));
}

/* Each message is of entries that are news. */
static void read_gossip(struct bench *bench)
{
	unsigned i;

	bench->now += 1;
	for (i = 0; i < WINDOW && i < bench->view.count; i++) {
		struct sched_node *node = &bench->peers[
			sched_random_below(&bench->random, bench->view.count)];

		gossip_put_entry(bench->message + GOSSIP_HEADER + i * GOSSIP_ENTRY, node,
				 (uint64_t)(bench->now * 1000) + i, 0);
	}
	gossip_put_header(bench->message, &(struct gossip_header){ 2, i });
	gossip_read(&bench->gossip, bench->message,
		    GOSSIP_HEADER + i * (size_t)GOSSIP_ENTRY, bench->now, NULL);
}

/* Many calls each time; the best is the one that found the caches least disturbed. */
static double measure(struct bench *bench, void (*call)(struct bench *bench),
		      unsigned nodes)
{
	unsigned calls = 400000 / (nodes + 400) + 20, round, i;
	double best = INFINITY;

	for (round = 0; round < ROUNDS; round++) {
		double start = seconds();

		for (i = 0; i < calls; i++)
			call(bench);
		best = fmin(best, (seconds() - start) / calls);
	}
	return best * 1e9;
}

void sim_decide(unsigned nodes, uint64_t seed, struct sim_decide_result *result)
{
	struct bench *bench = sim_need(1, sizeof(*bench));
	void *memory = sim_need(1, gossip_size(nodes + 2));
	unsigned i;

	sched_policy_default(&bench->policy);
	sched_random_seed(&bench->random, seed);
	bench->peers = sim_need(nodes, sizeof(bench->peers[0]));
	bench->self = random_node(&bench->random, 1);
	bench->self.mem_free = bench->self.mem_total;
	for (i = 0; i < nodes; i++)
		bench->peers[i] = random_node(&bench->random, i + 2);
	for (i = 0; i < JOBS; i++)
		bench->jobs[i] = random_job(&bench->random, &bench->self);
	gossip_init(&bench->gossip, memory, nodes + 2, 1, WINDOW, 1e9);
	bench->view = (struct sched_view){ &bench->policy, &bench->self, bench->peers,
					   nodes, 0, 1e8 };
	*result = (struct sim_decide_result){ .jobs = JOBS };
	result->place = measure(bench, place, nodes);
	result->balance = measure(bench, balance, nodes);
	result->usher = measure(bench, usher, nodes);
	result->gossip_read = measure(bench, read_gossip, nodes);
	result->gossip_write = measure(bench, write_gossip, nodes);
	free(bench->peers);
	free(bench);
	free(memory);
}
