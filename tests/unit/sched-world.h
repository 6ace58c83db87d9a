/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random nodes, jobs and views, for tests of what must hold of all of them. The
 * seed is printed; MV_TEST_SEED sets another.
 */
#ifndef MV_TESTS_SCHED_WORLD_H
#define MV_TESTS_SCHED_WORLD_H

#include "scheduler/balance.h"
#include "scheduler/usher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define WORLD_NODES 12
#define WORLD_JOBS 10
#define WORLD_NOW 1000.0

struct world {
	struct sched_policy policy;
	struct sched_random random;
	struct sched_node self, peers[WORLD_NODES];
	struct sched_job jobs[WORLD_JOBS]; /* run at self */
	unsigned peer_count, job_count;
	struct sched_link link;
	struct sched_view view;
};

/* Each test takes a copy, so that it has the same numbers whichever others run. */
extern struct sched_random world_seed;
/* A group's set-up: seeds world_seed, and prints the seed. */
int world_begin(void **state);
double world_between(struct sched_random *random, double low, double high);
struct sched_node world_node(struct sched_random *random, uint64_t id);
struct sched_job world_job(struct sched_random *random, uint64_t id);
/* Where each node has room, is open and told so a moment ago; jobs may move. */
void world_make(struct world *world);
/* The same, and anything may be in the way of anything. */
void world_make_hard(struct world *world);
/* A node with nothing on it and memory beyond need; a job that may move at no price. */
struct sched_node world_idle(uint64_t id, double cpus, double speed);
struct sched_job world_old(uint64_t id, double age);
/* No chance in it: old jobs here, and two idle nodes, because one's word is not enough. */
void world_plain(struct world *world, double cpus, double here, double there, unsigned jobs);
/* Idle nodes of one CPU beside a busy one of this speed: a job costs costs[i] at peers[i]. */
void world_choice(struct world *world, double speed, const double *costs, unsigned count);
/* The node of that identity, self included. */
struct sched_node *world_find(struct world *world, uint64_t id);

/* What the job costs at the node, believed as `self` believes it. */
double world_cost(const struct world *world, const struct sched_job *job,
		  const struct sched_node *node);
void world_shuffle(struct sched_random *random, void *array, unsigned count, size_t size);

#endif
