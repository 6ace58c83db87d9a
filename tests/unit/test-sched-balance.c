/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which job moves, and where: what must hold whatever the nodes are like. */
#include "tests/unit/sched-world.h"

#include <math.h>
#include <string.h>

#define ROUNDS 4000

static struct sched_node without(const struct world *world, const struct sched_job *job)
{
	struct sched_node node = world->self;

	sched_node_remove(&node, job);
	return node;
}

static bool moves_job(enum sched_why why)
{
	return why == SCHED_WHY_BALANCE || why == SCHED_WHY_USHER || why == SCHED_WHY_ROOM ||
	       why == SCHED_WHY_DRAIN;
}

static bool stays(enum sched_why why)
{
	return why >= SCHED_WHY_PINNED && why < SCHED_WHYS;
}

static bool objects(enum sched_why why)
{
	return why > SCHED_WHY_NONE && why <= SCHED_WHY_CHANGED;
}

/* The job's time won, by what both nodes cost it, is more than the move costs. */
static void check_gain(const struct world *world, const struct sched_move *move)
{
	const struct sched_job *job = &world->jobs[move->job];
	struct sched_node here = without(world, job);
	double gain = world_cost(world, job, &here) - world_cost(world, job, move->node);

	assert_true(gain > world->policy.margin / move->node->speed);
	assert_true(gain * sched_remaining(job->age, world->policy.youngest) >
		    world->policy.payback * move->forecast.delay);
	assert_true(move->cost == world_cost(world, job, move->node));
}

static void check_target(const struct world *world, const struct sched_move *move)
{
	const struct sched_job *job = &world->jobs[move->job];

	assert_in_range(move->job, 0, world->job_count - 1);
	assert_true(move->node->id != world->self.id);
	assert_false(job->pinned);
	assert_true(job->tried >= world->policy.retry);
	assert_false(move->node->flags & SCHED_TAKING);
	assert_true(job->mem + world->policy.memory_high * move->node->mem_total <=
		    move->node->mem_free);
	assert_int_equal(sched_objection(&world->policy, job, move->node, WORLD_NOW, 0),
			 SCHED_WHY_NONE);
	assert_true(move->forecast.time > 0 && move->forecast.time < INFINITY);
}

static void never_worse_than_staying(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reasons[WORLD_JOBS];
	unsigned i, k, moved = 0, still = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_move move;
		unsigned told = 0;

		world_make_hard(&world);
		move = sched_balance(&world.view, world.jobs, world.job_count, &world.link,
				     &world.random, reasons);
		for (k = 0; k < world.job_count; k++) {
			bool is_it = move.node && k == move.job;

			assert_true(is_it ? moves_job(reasons[k].why) :
					    stays(reasons[k].why));
			told += is_it;
		}
		assert_int_equal(told, move.node ? 1 : 0);
		moved += told;
		still += !told;
		if (!move.node)
			continue;
		assert_int_equal(move.reason.why, SCHED_WHY_BALANCE);
		assert_true(world.jobs[move.job].resident >= world.policy.residency);
		assert_false(world.self.flags & (SCHED_STAY | SCHED_SENDING));
		check_target(&world, &move);
		check_gain(&world, &move);
	}
	assert_in_range(moved, ROUNDS / 20, ROUNDS);
	assert_in_range(still, ROUNDS / 20, ROUNDS);
}

/* Of the jobs of one cluster, each node's own and those that have come to it. */
struct cluster {
	struct world world;
	struct sched_node nodes[6];
	struct sched_job jobs[6][48];
	unsigned count[6];
};

static void make_cluster(struct cluster *cluster, struct sched_random *random)
{
	unsigned node, i;

	*cluster = (struct cluster){ 0 };
	world_make(&cluster->world);
	cluster->world.policy.residency = cluster->world.policy.retry = 0;
	for (node = 0; node < 6; node++) {
		struct sched_node n = world_node(random, node + 1);

		memset(n.load, 0, sizeof(n.load));
		n.mem_free = n.mem_total;
		n.jobs = 0;
		cluster->nodes[node] = n;
	}
	for (i = 0; i < 8; i++) {
		struct sched_job job = world_job(random, i + 1);

		node = (unsigned)sched_random_below(random, 3);
		if (job.mem > cluster->nodes[node].mem_free * 0.9)
			continue;
		sched_node_add(&cluster->nodes[node], &job);
		cluster->jobs[node][cluster->count[node]++] = job;
	}
}

/* One decision of a node, carried out; the node that the job went to, or -1. */
static int step_cluster(struct cluster *cluster, unsigned node, uint64_t *job_id)
{
	struct world *world = &cluster->world;
	struct sched_view view = world->view;
	struct sched_move move;
	struct sched_job job;
	unsigned to;

	view.self = &cluster->nodes[node];
	view.peers = cluster->nodes;
	view.count = 6;
	move = sched_balance(&view, cluster->jobs[node], cluster->count[node], &world->link,
			     &world->random, NULL);
	if (!move.node)
		return -1;
	to = (unsigned)(move.node->id - 1);
	job = cluster->jobs[node][move.job];
	cluster->jobs[node][move.job] = cluster->jobs[node][--cluster->count[node]];
	cluster->jobs[to][cluster->count[to]++] = job;
	sched_node_remove(&cluster->nodes[node], &job);
	sched_node_add(&cluster->nodes[to], &job);
	assert_true(cluster->nodes[to].mem_free > 0);
	*job_id = job.id;
	return (int)to;
}

/* Even with no residency at all: a job that has moved does not go back when nothing
 * else has changed. */
static void no_ping_pong(void **state)
{
	static struct cluster cluster;
	struct sched_random random = world_seed;
	unsigned i, moved = 0;

	(void)state;
	cluster.world.random = world_seed;
	for (i = 0; i < ROUNDS; i++) {
		unsigned from = (unsigned)sched_random_below(&random, 3);
		uint64_t first, second;
		int to, back;

		make_cluster(&cluster, &random);
		cluster.world.random = random;
		to = step_cluster(&cluster, from, &first);
		if (to < 0)
			continue;
		moved++;
		back = step_cluster(&cluster, (unsigned)to, &second);
		assert_false(back == (int)from && second == first);
	}
	assert_in_range(moved, ROUNDS / 20, ROUNDS);
}

/* With jobs that neither age nor end, moves come to an end, soon. */
static void it_settles(void **state)
{
	static struct cluster cluster;
	struct sched_random random = world_seed;
	unsigned i, k, most = 0;

	(void)state;
	cluster.world.random = world_seed;
	for (i = 0; i < ROUNDS / 4; i++) {
		unsigned moves = 0, quiet = 0;
		uint64_t job;

		make_cluster(&cluster, &random);
		cluster.world.random = random;
		for (k = 0; quiet < 6; k++)
			if (step_cluster(&cluster, k % 6, &job) < 0) {
				quiet++;
			} else {
				quiet = 0;
				assert_in_range(++moves, 1, 4 * 8);
			}
		most = moves > most ? moves : most;
	}
	assert_in_range(most, 3, 4 * 8);
}

static void order_does_not_matter(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_random draw;
		struct sched_move a, b;
		uint64_t job, node;

		world_make_hard(&world);
		draw = world.random;
		a = sched_balance(&world.view, world.jobs, world.job_count, &world.link,
				  &world.random, NULL);
		job = a.node ? world.jobs[a.job].id : 0;
		node = a.node ? a.node->id : 0;
		world_shuffle(&world.random, world.peers, world.peer_count,
			      sizeof(world.peers[0]));
		world_shuffle(&world.random, world.jobs, world.job_count,
			      sizeof(world.jobs[0]));
		b = sched_balance(&world.view, world.jobs, world.job_count, &world.link,
				  &draw, NULL);
		assert_true(node == (b.node ? b.node->id : 0));
		assert_true(job == (b.node ? world.jobs[b.job].id : 0));
	}
}

/* More load at home makes a move no less probable; more load elsewhere, no more. */
static void moves_are_monotone(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i, k, more = 0, less = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_random draw;
		bool before, after;

		world_make(&world);
		world.policy.equal = 0;
		draw = world.random;
		before = sched_balance(&world.view, world.jobs, world.job_count, &world.link,
				       &world.random, NULL).node;
		if (i % 2) {
			world.self.others += 8;
			after = sched_balance(&world.view, world.jobs, world.job_count,
					      &world.link, &draw, NULL).node;
			assert_true(after || !before);
			more += after && !before;
		} else {
			for (k = 0; k < world.peer_count; k++)
				world.peers[k].others += 8;
			after = sched_balance(&world.view, world.jobs, world.job_count,
					      &world.link, &draw, NULL).node;
			assert_true(before || !after);
			less += before && !after;
		}
	}
	assert_in_range(more, 50, ROUNDS);
	assert_in_range(less, 50, ROUNDS);
}

/* ---- those that must go ---- */

static void ushering_looks_at_memory_only(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reasons[WORLD_JOBS];
	unsigned i, k, sent = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_move move;
		double lack;

		world_make_hard(&world);
		lack = world.self.mem_total * sched_random_unit(&world.random) / 2;
		move = sched_usher(&world.view, world.jobs, world.job_count, lack,
				   &world.link, &world.random, reasons);
		for (k = 0; k < world.job_count; k++)
			assert_true(move.node && k == move.job ?
				    reasons[k].why == (world.self.flags & SCHED_MAKING ?
						       SCHED_WHY_ROOM : SCHED_WHY_USHER) :
				    stays(reasons[k].why) || objects(reasons[k].why));
		if (!move.node)
			continue;
		sent++;
		check_target(&world, &move);
		if (!(world.self.flags & SCHED_MAKING) &&
		    world.self.pressure <= world.policy.pressure)
			assert_true(move.node->mem_free - world.jobs[move.job].mem >
				    world.self.mem_free);
		/* None that could go as well would have been the better answer. */
		for (k = 0; k < world.job_count; k++) {
			double chosen = world.jobs[move.job].mem, mem = world.jobs[k].mem;

			if (reasons[k].why == SCHED_WHY_NEXT)
				assert_true(chosen >= lack ? mem < lack || mem >= chosen :
							     mem <= chosen);
		}
	}
	assert_in_range(sent, ROUNDS / 10, ROUNDS);
}

/* Two nodes of the same kind, and a job that is too large for either: it stays. */
static void ushering_does_not_pass_on(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reason;
	struct sched_move move;

	(void)state;
	world_make(&world);
	world.policy.memory_low = world.policy.memory_high = 0;
	world.self = (struct sched_node){ .id = 1, .time = WORLD_NOW, .cpus = 4, .speed = 1,
					  .mem_total = 0x1p30, .mem_free = 0x1p30,
					  .slots = 9, .qemu = 7, .cpu = 1 };
	world.peers[0] = world.self;
	world.peers[0].id = 2;
	world.view.count = 1;
	world.jobs[0] = (struct sched_job){ .id = 1, .home = 1, .age = 100, .use = 1,
					    .mem = 0x1p30, .touched = 0x1p30, .resident = 1e3,
					    .tried = 1e3, .qemu = 7, .cpu = 1 };
	sched_node_add(&world.self, &world.jobs[0]);
	move = sched_usher(&world.view, world.jobs, 1, 1, &world.link, &world.random,
			   &reason);
	assert_null(move.node);
	assert_int_equal(reason.why, SCHED_WHY_MEMORY);
	assert_true(reason.node == 2 && reason.need == 0x1p30 && reason.have == 0x1p30);
	/* Making room for another is something else, and so is leaving. */
	world.peers[0].mem_total = world.peers[0].mem_free = 0x1p31;
	world.self.flags = SCHED_MAKING;
	assert_non_null(sched_usher(&world.view, world.jobs, 1, 1, &world.link, &world.random,
				    &reason).node);
	assert_non_null(sched_drain(&world.view, world.jobs, 1, &world.link, &world.random,
				    &reason).node);
}

static void lack_is_what_brings_memory_back(void **state)
{
	struct sched_random random = world_seed;
	struct sched_policy policy;
	unsigned i;

	(void)state;
	sched_policy_default(&policy);
	for (i = 0; i < ROUNDS; i++) {
		struct sched_node node = world_node(&random, 1);
		double growth = i % 2 ? 0 : world_between(&random, 0, 1e8), lack;

		node.pressure = i % 3 ? 0 : sched_random_unit(&random);
		lack = sched_usher_lack(&policy, &node, growth);
		assert_true(lack >= 0);
		if (node.pressure > policy.pressure ||
		    node.mem_free < policy.memory_low * node.mem_total)
			assert_true(lack > 0);
		if (node.pressure <= policy.pressure &&
		    node.mem_free >= policy.memory_high * node.mem_total + 60 * growth)
			assert_true(lack == 0);
		node.mem_free += lack;
		node.pressure = 0;
		assert_true(sched_usher_lack(&policy, &node, growth) <=
			    1e-9 * node.mem_total);
	}
}

/* Calls of sched_drain() until none can go: what is left says why. */
static void draining_empties_a_node(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reasons[WORLD_JOBS];
	unsigned i, k, emptied = 0, stuck = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		double last = 0;

		world_make_hard(&world);
		world.self.state = SCHED_DRAINING;
		for (;;) {
			struct sched_move move =
				sched_drain(&world.view, world.jobs, world.job_count,
					    &world.link, &world.random, reasons);
			struct sched_node *to;

			if (!move.node)
				break;
			check_target(&world, &move);
			assert_int_equal(move.reason.why, SCHED_WHY_DRAIN);
			/* the smallest first, unless it could not go before */
			assert_true(world.jobs[move.job].mem >= last);
			last = world.jobs[move.job].mem;
			to = world_find(&world, move.node->id);
			sched_node_add(to, &world.jobs[move.job]);
			world.jobs[move.job] = world.jobs[--world.job_count];
		}
		for (k = 0; k < world.job_count; k++)
			assert_true(reasons[k].why != SCHED_WHY_NONE &&
				    !moves_job(reasons[k].why) &&
				    reasons[k].why != SCHED_WHY_NEXT);
		emptied += world.job_count == 0;
		stuck += world.job_count != 0;
	}
	assert_in_range(emptied, 100, ROUNDS);
	assert_in_range(stuck, 100, ROUNDS);
}

static void room_is_made_where_it_can_be(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i, k, made = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		const struct sched_node *node;
		struct sched_job job;

		world_make_hard(&world);
		job = world_job(&world.random, 9);
		node = sched_room(&world.view, &job);
		if (!node)
			continue;
		made++;
		assert_false(node->flags & SCHED_MAKING);
		assert_true(job.mem <= node->mem_total * (1 - world.policy.memory_low));
		assert_true(node->state != SCHED_GONE && node->state != SCHED_DRAINING);
		for (k = 0; k < world.peer_count; k++) {
			struct sched_node empty = world.peers[k];

			empty.mem_free = empty.mem_total;
			if (!(empty.flags & SCHED_MAKING) &&
			    sched_objection(&world.policy, &job, &empty, WORLD_NOW,
					    world.policy.memory_low * empty.mem_total) ==
			    SCHED_WHY_NONE)
				assert_true(world.peers[k].mem_free <= node->mem_free);
		}
	}
	assert_in_range(made, ROUNDS / 2, ROUNDS);
}

/* However long a job waits, what is kept for it is kept for a small part of the time. */
static void room_is_not_kept_for_ever(void **state)
{
	struct sched_policy policy;
	unsigned t, attempts = 0, kept = 0, since = 0;
	double last = 0;
	bool holding = false;

	(void)state;
	sched_policy_default(&policy);
	for (t = 1; t <= 100000; t++) {
		if (!holding && sched_room_due(&policy, t, t - last)) {
			assert_true(t > policy.patience);
			holding = true;
			since = t;
			attempts++;
		} else if (holding && sched_room_over(&policy, t - since)) {
			holding = false;
			last = t;
		}
		kept += holding;
	}
	assert_in_range(attempts, 5, 10);
	assert_in_range(kept, attempts * 30, attempts * 32);
}

/* Thousands of nodes and jobs: some are looked at, each time others. */
static void very_many_are_not_all_looked_at(void **state)
{
	static struct sched_node peers[5000];
	struct world world = { .random = world_seed };
	unsigned i, good = 4000, found = 0;

	(void)state;
	do
		world_make(&world);
	while (world.job_count == 0);
	world.policy.equal = 0;
	world.self.others = 64 * world.self.cpus;
	world.jobs[0].age = 10000;
	world.jobs[0].mem = world.jobs[0].touched = 0x1p20;
	world.jobs[0].use = 1;
	memset(world.jobs[0].traffic, 0, sizeof(world.jobs[0].traffic));
	for (i = 0; i < 5000; i++) {
		peers[i] = world_node(&world.random, i + 2);
		peers[i].others = 1e4;
	}
	peers[good].others = 0;
	peers[good].mem_free = peers[good].mem_total;
	world.view.peers = peers;
	world.view.count = 5000;
	for (i = 0; i < 1000; i++) {
		struct sched_move move = sched_balance(&world.view, world.jobs, 1, &world.link,
						       &world.random, NULL);

		found += move.node == &peers[good];
	}
	/* 256 of 5,000 each time. */
	assert_in_range(found, 20, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_worse_than_staying),
		cmocka_unit_test(no_ping_pong),
		cmocka_unit_test(it_settles),
		cmocka_unit_test(order_does_not_matter),
		cmocka_unit_test(moves_are_monotone),
		cmocka_unit_test(ushering_looks_at_memory_only),
		cmocka_unit_test(ushering_does_not_pass_on),
		cmocka_unit_test(lack_is_what_brings_memory_back),
		cmocka_unit_test(draining_empties_a_node),
		cmocka_unit_test(room_is_made_where_it_can_be),
		cmocka_unit_test(room_is_not_kept_for_ever),
		cmocka_unit_test(very_many_are_not_all_looked_at),
	};

	return cmocka_run_group_tests(tests, world_begin, NULL);
}
