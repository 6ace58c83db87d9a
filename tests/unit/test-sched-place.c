/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a job starts: what must hold whatever the nodes are like. */
#include "tests/unit/sched-world.h"

#include <math.h>
#include <string.h>

#define ROUNDS 20000

static struct sched_job new_job(struct world *world)
{
	struct sched_job job = world_job(&world->random, 99);

	job.age = 0;
	job.home = 1;
	return job;
}

/* No node that could take it costs much less. */
static void check_nearly_best(const struct world *world, const struct sched_job *job,
			      double cost)
{
	unsigned i;

	for (i = 0; i < world->peer_count; i++) {
		const struct sched_node *node = &world->peers[i];
		double spare = world->policy.memory_low * node->mem_total;

		if (sched_objection(&world->policy, job, node, WORLD_NOW, spare) ==
		    SCHED_WHY_NONE)
			assert_true(cost <= (1 + world->policy.equal) *
				    world_cost(world, job, node));
	}
}

/* The chosen node costs no more than home, has the room, and no objection. */
static void never_worse_than_home(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i, away = 0, waits = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_place place;
		struct sched_job job;
		double spare, home;

		world_make_hard(&world);
		job = new_job(&world);
		place = sched_place(&world.view, &job, &world.random);
		spare = world.policy.memory_low * world.self.mem_total;
		home = sched_objection(&world.policy, &job, &world.self, WORLD_NOW,
				       spare) == SCHED_WHY_NONE ?
			world_cost(&world, &job, &world.self) : INFINITY;
		if (!place.node) {
			assert_true(home == INFINITY);
			assert_int_equal(place.reason.why, SCHED_WHY_WAITS);
			waits++;
			continue;
		}
		assert_true(place.cost <= home);
		assert_true(place.cost == world_cost(&world, &job, place.node));
		assert_true(job.mem + world.policy.memory_low * place.node->mem_total <=
			    place.node->mem_free);
		assert_int_equal(sched_objection(&world.policy, &job, place.node, WORLD_NOW,
						 0), SCHED_WHY_NONE);
		assert_true(place.reason.node == place.node->id);
		check_nearly_best(&world, &job, place.cost);
		away += place.node != &world.self;
	}
	/* All three ends of it have been seen. */
	assert_in_range(away, ROUNDS / 20, ROUNDS);
	assert_in_range(waits, 1, ROUNDS / 2);
	assert_true(away + waits < ROUNDS);
}

/* A node takes job after job until it says no, and has then memory to spare. */
static void admission_never_overcommits(void **state)
{
	struct sched_random random = world_seed;
	struct sched_policy policy;
	unsigned i, full = 0;

	(void)state;
	sched_policy_default(&policy);
	for (i = 0; i < ROUNDS / 20; i++) {
		struct sched_node node = world_node(&random, 1 + i);
		double used = node.mem_total - node.mem_free, low = policy.memory_low;
		unsigned tries;

		for (tries = 0; tries < 100; tries++) {
			struct sched_job job = world_job(&random, tries);
			struct sched_reason reason =
				sched_admit(&policy, &node, &job, 1e9, 1e8,
					    tries % 2, WORLD_NOW);

			if (reason.why == SCHED_WHY_MEMORY) {
				assert_true(reason.need == job.mem);
				full++;
			}
			if (reason.why != SCHED_WHY_NONE)
				continue;
			used += job.mem;
			assert_true(used <= node.mem_total * (1 - low) * (1 + 1e-12));
			sched_node_add(&node, &job);
			assert_true(fabs(node.mem_total - node.mem_free - used) <=
				    1e-9 * node.mem_total);
		}
	}
	assert_in_range(full, 100, 100 * ROUNDS);
}

/* A target that is busier than was thought says so, and only then. */
static void a_surprise_is_refused(void **state)
{
	struct sched_random random = world_seed;
	struct sched_policy policy;
	struct sched_job job;
	unsigned i;

	(void)state;
	sched_policy_default(&policy);
	for (i = 0; i < 1000; i++) {
		struct sched_node node = world_node(&random, 5);
		struct sched_reason reason;
		struct sched_ask ask;
		double cost;

		node.mem_free = node.mem_total;
		job = world_job(&random, 1);
		job.mem = 0;
		sched_ask(&ask, &policy, &job, &node);
		cost = sched_cost(&ask, &policy, &node, 1e8);
		reason = sched_admit(&policy, &node, &job, cost / policy.surprise * 1.01, 1e8,
				     true, WORLD_NOW);
		assert_int_equal(reason.why, SCHED_WHY_NONE);
		reason = sched_admit(&policy, &node, &job, cost / policy.surprise * 0.99, 1e8,
				     true, WORLD_NOW);
		assert_int_equal(reason.why, SCHED_WHY_CHANGED);
		node.flags |= SCHED_TAKING;
		assert_int_equal(sched_admit(&policy, &node, &job, 1e9, 1e8, true,
					     WORLD_NOW).why, SCHED_WHY_TAKING);
		assert_int_equal(sched_admit(&policy, &node, &job, 1e9, 1e8, false,
					     WORLD_NOW).why, SCHED_WHY_NONE);
	}
}

static void order_of_nodes_does_not_matter(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_random draw;
		struct sched_place a, b;
		struct sched_job job;
		uint64_t chosen;

		world_make_hard(&world);
		job = new_job(&world);
		/* Many that are equal: the choice is random, but not by order. */
		if (i % 2 && world.peer_count > 2)
			for (unsigned k = 1; k < world.peer_count; k++) {
				uint64_t id = world.peers[k].id;

				world.peers[k] = world.peers[0];
				world.peers[k].id = id;
			}
		draw = world.random;
		a = sched_place(&world.view, &job, &world.random);
		chosen = a.node ? a.node->id : 0;
		world_shuffle(&world.random, world.peers, world.peer_count,
			      sizeof(world.peers[0]));
		b = sched_place(&world.view, &job, &draw);
		assert_true(chosen == (b.node ? b.node->id : 0));
		assert_true(a.cost == b.cost);
	}
}

/* Of several that are as good, each is chosen at times. */
static void equals_share(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i, seen[6] = { 0 };
	struct sched_job job;

	(void)state;
	world_make(&world);
	job = new_job(&world);
	job.mem = job.touched = 0x1p20;
	memset(job.traffic, 0, sizeof(job.traffic));
	world.self.others = 50;
	world.view.count = 6;
	for (i = 0; i < 6; i++) {
		world.peers[i] = (struct sched_node){
			.id = i + 2, .time = WORLD_NOW, .cpus = 4, .speed = 1,
			.mem_total = 0x1p33, .mem_free = 0x1p33, .slots = 9, .qemu = 7,
			.cpu = 3,
		};
	}
	for (i = 0; i < 6000; i++) {
		struct sched_place place = sched_place(&world.view, &job, &world.random);

		assert_non_null(place.node);
		assert_in_range(place.node->id, 2, 7);
		seen[place.node->id - 2]++;
	}
	for (i = 0; i < 6; i++)
		assert_in_range(seen[i], 800, 1200);
}

/* See cost.h: F(x) = x max(1, x/c) / s, and jobs of one age matter to each other whole. */
static void cost_is_the_formula(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_node node = { .id = 2, .time = WORLD_NOW, .cpus = 1, .speed = 1,
				   .mem_total = 100, .mem_free = 100, .slots = 9 };
	struct sched_job job = { .id = 1, .age = 1, .use = 1 };

	(void)state;
	world_make(&world);
	world.self.speed = 10;
	assert_true(world_cost(&world, &job, &node) == 1);
	node.speed = 0.5;
	assert_true(world_cost(&world, &job, &node) == 2);
	node.speed = 1;
	node.load[sched_class(1)] = 1;
	assert_true(world_cost(&world, &job, &node) == 4 - 1);
	node.cpus = 2;
	assert_true(world_cost(&world, &job, &node) == 1);
	/* One that is a class older has half of the weight, and one that is younger is
	 * gone in half of the time. */
	node.cpus = 1;
	node.load[sched_class(1)] = 0;
	node.load[sched_class(2)] = 1;
	assert_true(world_cost(&world, &job, &node) == 1.5 * 1.5 - 0.5);
	node.load[sched_class(2)] = 0;
	node.load[sched_class(0.5)] = 1;
	assert_true(world_cost(&world, &job, &node) == 1.5 * 1.5 - 0.5);
	/* Memory by the cube; too much of it not at all. */
	node.load[0] = 0;
	node.mem_free = 60;
	job.mem = 10;
	assert_true(fabs(world_cost(&world, &job, &node) - 1 - (0.125 - 0.064)) < 1e-12);
	job.mem = 61;
	assert_true(world_cost(&world, &job, &node) == INFINITY);
	/* The network, in seconds per CPU second. */
	job.mem = 0;
	job.traffic[0] = (struct sched_traffic){ 7, 2 * world.view.bandwidth };
	assert_true(world_cost(&world, &job, &node) == 3);
	node.id = 7;
	assert_true(world_cost(&world, &job, &node) == 1);
}

/* Any one thing that makes a node worse makes a job there cost no less. */
static void cost_rises_with_load(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_node node, worse;
		struct sched_job job;

		world_make(&world);
		job = world_job(&world.random, 1);
		node = worse = world_node(&world.random, 1 + i % WORLD_NODES);
		switch (i % 6) {
		case 0:
			worse.load[sched_random_below(&world.random, SCHED_CLASSES)] +=
				world_between(&world.random, 0, 5);
			break;
		case 1: worse.others += world_between(&world.random, 0, 5); break;
		case 2: worse.mem_free *= sched_random_unit(&world.random); break;
		case 3: worse.speed *= sched_random_unit(&world.random); break;
		case 4: worse.cpus *= world_between(&world.random, 0.1, 1); break;
		case 5: worse.net_rate += world_between(&world.random, 0, 1e9); break;
		}
		assert_true(world_cost(&world, &job, &worse) >=
			    world_cost(&world, &job, &node) * (1 - 1e-9));
		assert_true(world_cost(&world, &job, &node) >= 0);
	}
}

/* More load where the job did not go does not bring it there; less load where it went
 * does not drive it away. */
static void choice_is_monotone(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i, changed = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_random draw;
		struct sched_node *chosen;
		struct sched_place place;
		struct sched_job job;
		unsigned k;

		world_make(&world);
		world.policy.equal = 0;
		job = new_job(&world);
		draw = world.random;
		place = sched_place(&world.view, &job, &world.random);
		if (!place.node)
			continue;
		chosen = world_find(&world, place.node->id);
		for (k = 0; k < world.peer_count; k++)
			if (&world.peers[k] != chosen)
				world.peers[k].others +=
					(double)sched_random_below(&world.random, 3);
		for (k = 0; k < SCHED_CLASSES; k++)
			chosen->load[k] /= 2;
		place = sched_place(&world.view, &job, &draw);
		assert_ptr_equal(place.node, chosen);
		changed++;
	}
	assert_in_range(changed, ROUNDS / 2, ROUNDS);
}

/* Who claims any speed at all is believed a few times one's own. */
static void a_lie_has_a_limit(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		struct sched_node fast, absurd;
		struct sched_job job;

		world_make(&world);
		job = new_job(&world);
		job.mem = 0;
		fast = absurd = world_node(&world.random, 2);
		fast.speed = world.policy.trust * world.self.speed;
		absurd.speed = SCHED_MAX_SPEED;
		assert_true(world_cost(&world, &job, &fast) ==
			    world_cost(&world, &job, &absurd));
	}
}

static double believed(const struct world *world, const struct sched_view *view)
{
	struct sched_job job = { .age = 1, .use = 1 };
	struct sched_ask ask;

	sched_ask_among(&ask, view, &job, 0, view->count);
	assert_true(ask.speed >= world->self.speed);
	assert_true(ask.speed <= world->policy.trust * world->self.speed);
	return ask.speed;
}

/* One node's word raises what is believed by `lead` at most; two that claim the same are
 * believed as far as `trust` goes; and nobody can lower it. */
static void one_nodes_word_is_not_enough(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i, k;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		double before, after, most;

		world_make(&world);
		world.policy.lead = world_between(&world.random, 1, 3);
		if (world.view.count < 2 || world.view.count + 1 >= WORLD_NODES)
			continue;
		most = world.self.speed;
		for (k = 0; k < world.view.count; k++)
			most = fmax(most, world.peers[k].speed);
		before = believed(&world, &world.view);
		/* one more, that lies */
		world.peers[world.view.count] = world_node(&world.random, 1000);
		world.peers[world.view.count++].speed = SCHED_MAX_SPEED;
		after = believed(&world, &world.view);
		assert_true(after >= before);
		assert_true(after <= fmax(world.policy.lead * most, world.self.speed));
		/* the order does not matter */
		world_shuffle(&world.random, world.peers, world.view.count,
			      sizeof(world.peers[0]));
		assert_true(believed(&world, &world.view) == after);
		/* another one that says so */
		world.peers[world.view.count] = world_node(&world.random, 1001);
		world.peers[world.view.count++].speed = SCHED_MAX_SPEED;
		assert_true(believed(&world, &world.view) ==
			    world.policy.trust * world.self.speed);
	}
}

/* A job goes where its data is when the network is what counts. */
static void a_job_goes_to_its_data(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_place place;
	struct sched_job job;
	unsigned i;

	(void)state;
	world_make(&world);
	job = new_job(&world);
	job.mem = job.touched = 0x1p20;
	world.self.others = 20;
	world.view.count = 3;
	for (i = 0; i < 3; i++)
		world.peers[i] = (struct sched_node){
			.id = i + 2, .time = WORLD_NOW, .cpus = 4, .speed = 1,
			.mem_total = 0x1p33, .mem_free = 0x1p33, .slots = 9, .qemu = 7,
			.cpu = 3,
		};
	memset(job.traffic, 0, sizeof(job.traffic));
	job.traffic[0] = (struct sched_traffic){ 3, 1e8 };
	for (i = 0; i < 100; i++) {
		place = sched_place(&world.view, &job, &world.random);
		assert_true(place.node->id == 3);
		assert_int_equal(place.reason.why, SCHED_WHY_BEST);
	}
}

/* `equal` is a tenth: what costs up to that much more than the best is as good. */
static void nearly_equal_is_equal(void **state)
{
	static const double costs[] = { 1.09, 1, 1.11, 1.05, 1.2 };
	struct world world = { .random = world_seed };
	struct sched_job job = world_old(1, 0);
	unsigned i, seen[5] = { 0 };

	(void)state;
	world_choice(&world, 1, costs, 5);
	world.self.others = 9;
	for (i = 0; i < 3000; i++)
		seen[sched_place(&world.view, &job, &world.random).node - world.peers]++;
	for (i = 0; i < 5; i++)
		if (costs[i] < 1.1)
			assert_in_range(seen[i], 850, 1150);
		else
			assert_int_equal(seen[i], 0);
	world.policy.equal = 0;
	for (i = 0; i < 100; i++)
		assert_ptr_equal(sched_place(&world.view, &job, &world.random).node,
				 &world.peers[1]);
}

/* Home need not be the best either. */
static void home_wins_when_nearly_equal(void **state)
{
	static const double costs[] = { 1, 1 };
	struct world world = { .random = world_seed };
	struct sched_job job = world_old(1, 0);

	(void)state;
	world_choice(&world, 1 / 1.09, costs, 2);
	assert_ptr_equal(sched_place(&world.view, &job, &world.random).node, &world.self);
	world_choice(&world, 1 / 1.11, costs, 2);
	assert_ptr_not_equal(sched_place(&world.view, &job, &world.random).node, &world.self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_worse_than_home),
		cmocka_unit_test(admission_never_overcommits),
		cmocka_unit_test(a_surprise_is_refused),
		cmocka_unit_test(order_of_nodes_does_not_matter),
		cmocka_unit_test(equals_share),
		cmocka_unit_test(nearly_equal_is_equal),
		cmocka_unit_test(home_wins_when_nearly_equal),
		cmocka_unit_test(cost_is_the_formula),
		cmocka_unit_test(cost_rises_with_load),
		cmocka_unit_test(choice_is_monotone),
		cmocka_unit_test(a_lie_has_a_limit),
		cmocka_unit_test(one_nodes_word_is_not_enough),
		cmocka_unit_test(a_job_goes_to_its_data),
	};

	return cmocka_run_group_tests(tests, world_begin, NULL);
}
