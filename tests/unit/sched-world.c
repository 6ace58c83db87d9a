/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/sched-world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB 0x1p30

struct sched_random world_seed;

int world_begin(void **state)
{
	const char *text = getenv("MV_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : 20261121;

	(void)state;
	printf("seed %llu\n", (unsigned long long)seed);
	sched_random_seed(&world_seed, seed);
	return 0;
}

double world_between(struct sched_random *random, double low, double high)
{
	return low + (high - low) * sched_random_unit(random);
}

struct sched_node world_node(struct sched_random *random, uint64_t id)
{
	struct sched_node node = {
		.id = id, .time = WORLD_NOW,
		.cpus = (double)(1 << sched_random_below(random, 6)),
		.speed = exp2(world_between(random, -2, 2)),
		.mem_total = GIB * (double)(1 << sched_random_below(random, 6)),
		.net_max = 1e9, .slots = 256, .qemu = 7, .cpu = 3,
	};
	unsigned i;

	node.mem_free = node.mem_total * sched_random_unit(random);
	node.net_rate = node.net_max * sched_random_unit(random);
	node.others = (double)sched_random_below(random, 3);
	for (i = 0; i < SCHED_CLASSES; i++)
		if (sched_random_below(random, 3) == 0)
			node.load[i] = (double)sched_random_below(random, 6);
	node.jobs = (unsigned)sched_random_below(random, 30);
	return node;
}

struct sched_job world_job(struct sched_random *random, uint64_t id)
{
	struct sched_job job = {
		.id = id, .home = 1 + sched_random_below(random, 4), .owner = 1000,
		.age = exp2(world_between(random, -2, 14)),
		.use = world_between(random, 0.05, 2),
		.mem = GIB * exp2(world_between(random, -7, 3)),
		.resident = 1e4, .tried = 1e4, .qemu = 7, .cpu = 1,
	};

	job.touched = job.mem * sched_random_unit(random);
	job.dirty = job.touched * world_between(random, 0, 0.3);
	job.hot = job.touched * sched_random_unit(random);
	if (sched_random_below(random, 3) == 0)
		job.traffic[0] = (struct sched_traffic){
			1 + sched_random_below(random, WORLD_NODES),
			world_between(random, 0, 3e8) };
	return job;
}

void world_make(struct world *world)
{
	unsigned i;

	sched_policy_default(&world->policy);
	world->link = (struct sched_link){ .bandwidth = 1e8, .setup = 0.5, .resume = 0.1,
					   .stop = 0.1, .slowdown = 0.1, .cpu = 0.3 };
	world->self = world_node(&world->random, 1);
	world->self.mem_free = world->self.mem_total;
	world->peer_count = (unsigned)sched_random_below(&world->random, WORLD_NODES + 1);
	for (i = 0; i < world->peer_count; i++)
		world->peers[i] = world_node(&world->random, i + 2);
	world->job_count = 0;
	while (world->job_count < WORLD_JOBS) {
		struct sched_job job = world_job(&world->random, world->job_count + 1);

		if (job.mem > world->self.mem_free)
			break;
		sched_node_add(&world->self, &job);
		world->jobs[world->job_count++] = job;
	}
	world->view = (struct sched_view){
		.policy = &world->policy, .self = &world->self, .peers = world->peers,
		.count = world->peer_count, .now = WORLD_NOW, .bandwidth = 1e8,
	};
}

struct sched_node world_idle(uint64_t id, double cpus, double speed)
{
	return (struct sched_node){ .id = id, .time = WORLD_NOW, .cpus = cpus, .speed = speed,
				    .mem_total = 1024 * GIB, .mem_free = 1024 * GIB,
				    .slots = 99, .qemu = 7, .cpu = 1 };
}

struct sched_job world_old(uint64_t id, double age)
{
	return (struct sched_job){ .id = id, .home = 1, .age = age, .use = 1,
				   .mem = 0x1p20, .touched = 0x1p20, .resident = 1e3,
				   .tried = 1e3, .qemu = 7, .cpu = 1 };
}

void world_plain(struct world *world, double cpus, double here, double there, unsigned jobs)
{
	unsigned i;

	sched_policy_default(&world->policy);
	world->link = (struct sched_link){ .bandwidth = 1e9, .stop = 0.1 };
	world->self = world_idle(1, cpus, here);
	world->peer_count = 2;
	for (i = 0; i < 2; i++)
		world->peers[i] = world_idle(i + 2, cpus, there);
	world->view = (struct sched_view){ &world->policy, &world->self, world->peers, 2,
					   WORLD_NOW, 1e9 };
	for (world->job_count = i = 0; i < jobs; i++) {
		world->jobs[i] = world_old(i + 1, 1000);
		sched_node_add(&world->self, &world->jobs[i]);
		world->job_count++;
	}
}

void world_choice(struct world *world, double speed, const double *costs, unsigned count)
{
	unsigned i;

	world_plain(world, 1, speed, 1, 0);
	for (i = 0; i < count; i++)
		world->peers[i] = world_idle(i + 2, 1, 1 / costs[i]);
	world->peer_count = world->view.count = count;
}

static void make_hard_node(struct sched_random *random, struct sched_node *node)
{
	switch (sched_random_below(random, 10)) {
	case 0: node->state = (enum sched_state)sched_random_below(random, SCHED_STATES); break;
	case 1: node->flags = (unsigned)sched_random_below(random, SCHED_NODE_FLAGS + 1); break;
	case 2: node->time -= 100; break;
	case 3: node->slots = node->jobs; break;
	case 4: node->qemu++; break;
	case 5: node->cpu = 2; break;
	case 6: node->pressure = sched_random_unit(random); break;
	}
}

static void make_hard_job(struct sched_random *random, struct sched_job *job)
{
	switch (sched_random_below(random, 10)) {
	case 0: job->pinned = true; break;
	case 1: job->resident = 1; break;
	case 2: job->tried = 1; break;
	case 3: job->only[0] = 1 + sched_random_below(random, WORLD_NODES); break;
	case 4: job->never[0] = 1 + sched_random_below(random, WORLD_NODES); break;
	}
}

void world_make_hard(struct world *world)
{
	unsigned i;

	world_make(world);
	make_hard_node(&world->random, &world->self);
	for (i = 0; i < world->peer_count; i++)
		make_hard_node(&world->random, &world->peers[i]);
	for (i = 0; i < world->job_count; i++)
		make_hard_job(&world->random, &world->jobs[i]);
}

struct sched_node *world_find(struct world *world, uint64_t id)
{
	unsigned i;

	if (world->self.id == id)
		return &world->self;
	for (i = 0; i < world->peer_count; i++)
		if (world->peers[i].id == id)
			return &world->peers[i];
	return NULL;
}

double world_cost(const struct world *world, const struct sched_job *job,
		  const struct sched_node *node)
{
	struct sched_ask ask;

	sched_ask_among(&ask, &world->view, job, 0, world->view.count);
	return sched_cost(&ask, &world->policy, node, world->view.bandwidth);
}

void world_shuffle(struct sched_random *random, void *array, unsigned count, size_t size)
{
	char *bytes = array, kept[1024];
	unsigned i;

	assert_true(size <= sizeof(kept));
	for (i = count; i > 1; i--) {
		char *a = bytes + (i - 1) * size;
		char *b = bytes + sched_random_below(random, i) * size;

		memcpy(kept, a, size);
		memmove(a, b, size);
		memcpy(b, kept, size);
	}
}
