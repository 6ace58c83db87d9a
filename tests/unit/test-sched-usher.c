/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a job goes that must leave, and what weight one has that stays. */
#include "tests/unit/sched-world.h"

#include "scheduler/weight.h"

#include <math.h>

typedef struct sched_move sends(struct world *world, struct sched_reason *reason);

static struct sched_move usher(struct world *world, struct sched_reason *reason)
{
	return sched_usher(&world->view, world->jobs, world->job_count, 1, &world->link,
			   &world->random, reason);
}

static struct sched_move drain(struct world *world, struct sched_reason *reason)
{
	return sched_drain(&world->view, world->jobs, world->job_count, &world->link,
			   &world->random, reason);
}

/* Short of memory, of which the others have enough. */
static void add_job(struct world *world)
{
	world->jobs[0] = world_old(1, 1000);
	world->job_count = 1;
	sched_node_add(&world->self, &world->jobs[0]);
	world->self.mem_free = 0.04 * world->self.mem_total;
}

static void check_choice(sends *send)
{
	static const double costs[] = { 1.05, 3, 1, 1.2, 1.08 };
	struct world world = { .random = world_seed };
	unsigned i, seen[5] = { 0 };

	world_choice(&world, 1, costs, 5);
	add_job(&world);
	for (i = 0; i < 3000; i++)
		seen[send(&world, NULL).node - world.peers]++;
	for (i = 0; i < 5; i++)
		if (costs[i] < 1.1)
			assert_in_range(seen[i], 850, 1150);
		else
			assert_int_equal(seen[i], 0);
	world.policy.equal = 0;
	for (i = 0; i < 100; i++)
		assert_ptr_equal(send(&world, NULL).node, &world.peers[2]);
}

static void it_goes_where_it_costs_least(void **state)
{
	(void)state;
	check_choice(usher);
	check_choice(drain);
}

/* As much is free there as here, so it would be worse off with the job. */
static void memory_that_is_kept_is_not_free(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reason;

	(void)state;
	world_plain(&world, 1, 1, 1, 0);
	add_job(&world);
	world.view.count = 1;
	world.self.mem_free = 0.2 * world.self.mem_total;
	world.peers[0].mem_free = 0.2 * world.self.mem_total;
	assert_null(usher(&world, &reason).node);
	assert_int_equal(reason.why, SCHED_WHY_MEMORY);
	world.self.flags = SCHED_MAKING;
	assert_ptr_equal(usher(&world, &reason).node, &world.peers[0]);
	world.self.flags = 0;
	world.self.pressure = 0.11;
	assert_ptr_equal(usher(&world, &reason).node, &world.peers[0]);
	world.self.pressure = 0.09;
	assert_null(usher(&world, &reason).node);
	assert_ptr_equal(drain(&world, &reason).node, &world.peers[0]);
}

/* It does so for one job at a time. */
static void who_makes_room_is_not_asked(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_job job = world_old(9, 0);

	(void)state;
	world_plain(&world, 1, 1, 1, 0);
	job.mem = 0.9 * world.self.mem_total;
	world.self.mem_free = 0.1 * world.self.mem_total;
	world.peers[0].mem_free = 0.3 * world.self.mem_total;
	world.peers[1].mem_free = 0.2 * world.self.mem_total;
	assert_ptr_equal(sched_room(&world.view, &job), &world.peers[0]);
	world.peers[0].flags = SCHED_MAKING;
	assert_ptr_equal(sched_room(&world.view, &job), &world.peers[1]);
	world.peers[1].flags = SCHED_MAKING;
	assert_ptr_equal(sched_room(&world.view, &job), &world.self);
	world.self.flags = SCHED_MAKING;
	assert_null(sched_room(&world.view, &job));
}

static bool weighs(const struct sched_policy *policy, double age, double weight)
{
	return fabs(sched_weight(policy, age) - weight) < 1e-9;
}

static void weights_fall_with_the_age(void **state)
{
	struct sched_policy policy;

	(void)state;
	sched_policy_default(&policy);
	assert_true(weighs(&policy, 0, 1) && weighs(&policy, 1, 1));
	assert_true(weighs(&policy, 2, 0.5) && weighs(&policy, 40, 1.0 / 40));
	assert_true(weighs(&policy, 101, 0.01) && weighs(&policy, 1e6, 0.01));
	policy.weight_power = 2;
	assert_true(weighs(&policy, 4, 1.0 / 16) && weighs(&policy, 40, 0.01));
	policy.weight_power = 0.5;
	assert_true(weighs(&policy, 4, 0.5) && weighs(&policy, 1e4, 0.01));
	policy.weight_power = 0;
	assert_true(weighs(&policy, 1e6, 1));
	sched_policy_default(&policy);
	policy.youngest = 10;
	policy.weight_ratio = 4;
	assert_true(weighs(&policy, 10, 1) && weighs(&policy, 20, 0.5));
	assert_true(weighs(&policy, 1000, 0.25));
}

static void control_groups_get_the_same(void **state)
{
	struct sched_policy policy;

	(void)state;
	sched_policy_default(&policy);
	assert_int_equal(sched_weight_cgroup(&policy, 0, 1024), 1024);
	assert_int_equal(sched_weight_cgroup(&policy, 4, 1024), 256);
	assert_int_equal(sched_weight_cgroup(&policy, 3, 100), 33);
	assert_int_equal(sched_weight_cgroup(&policy, 1e6, 1024), 10);
	/* What the kernel accepts */
	assert_int_equal(sched_weight_cgroup(&policy, 1e6, 10), 1);
	assert_int_equal(sched_weight_cgroup(&policy, 0, 20000), 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_where_it_costs_least),
		cmocka_unit_test(memory_that_is_kept_is_not_free),
		cmocka_unit_test(who_makes_room_is_not_asked),
		cmocka_unit_test(weights_fall_with_the_age),
		cmocka_unit_test(control_groups_get_the_same),
	};

	return cmocka_run_group_tests(tests, world_begin, NULL);
}
