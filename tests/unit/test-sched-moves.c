/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a move is worth it, with the figures worked out here once more. */
#include "tests/unit/sched-world.h"

#include <math.h>
#include <string.h>

#define ROUNDS 4000

static struct sched_random seed;

/* ---- on fast nodes as on slow ones ---- */

/* Everything goes on `by` times as fast. */
static void hurry(struct world *world, double by)
{
	unsigned i;

	world->self.speed *= by;
	for (i = 0; i < world->peer_count; i++)
		world->peers[i].speed *= by;
	for (i = 0; i < world->job_count; i++)
		world->jobs[i].dirty *= by;
	world->policy.memory_price /= by;
	world->view.bandwidth *= by;
	world->link.bandwidth *= by;
	world->link.setup /= by;
	world->link.resume /= by;
	world->link.stop /= by;
}

static void check_same(const struct sched_move *a, const struct sched_move *b)
{
	assert_ptr_equal(a->node, b->node);
	assert_int_equal(a->job, b->job);
	assert_true(a->forecast.bytes == b->forecast.bytes);
}

/* Powers of two, so that nothing is rounded differently. */
static void speed_is_relative(void **state)
{
	struct world world = { .random = seed };
	struct sched_reason before[WORLD_JOBS], after[WORLD_JOBS];
	unsigned i, k, moved = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_random draw;
		struct sched_move a, b;
		const struct sched_node *place;

		world_make_hard(&world);
		draw = world.random;
		a = sched_balance(&world.view, world.jobs, world.job_count, &world.link,
				  &draw, before);
		place = world.job_count ?
			sched_place(&world.view, &world.jobs[0], &draw).node : NULL;
		hurry(&world, i % 2 ? 16 : 1.0 / 16);
		draw = world.random;
		b = sched_balance(&world.view, world.jobs, world.job_count, &world.link,
				  &draw, after);
		check_same(&a, &b);
		for (k = 0; k < world.job_count; k++)
			assert_int_equal(before[k].why, after[k].why);
		if (world.job_count)
			assert_ptr_equal(place, sched_place(&world.view, &world.jobs[0],
							    &draw).node);
		moved += a.node != NULL;
	}
	assert_in_range(moved, ROUNDS / 20, ROUNDS);
}

static struct sched_move decide(struct world *world, struct sched_reason *reasons)
{
	return sched_balance(&world->view, world->jobs, world->job_count, &world->link,
			     &world->random, reasons);
}

static void a_lone_job_goes_where_it_is_faster(void **state)
{
	static const double speeds[] = { 0.1, 1, 4, 25 };
	struct world world = { .random = seed };
	struct sched_reason reason;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		world_plain(&world, 1, speeds[i], 2 * speeds[i], 1);
		assert_non_null(decide(&world, &reason).node);
		assert_int_equal(reason.why, SCHED_WHY_BALANCE);
		world_plain(&world, 1, speeds[i], 1.3 * speeds[i], 1);
		assert_null(decide(&world, &reason).node);
		assert_int_equal(reason.why, SCHED_WHY_MARGIN);
		/* Said in slowdowns, like the costs beside it. */
		assert_true(fabs(reason.need - 0.8 / (1.3 * speeds[i])) < 1e-9);
		assert_true(reason.here - reason.there < reason.need);
	}
}

/* Two for each CPU, and nobody elsewhere. */
static void a_crowd_leaves_a_fast_node(void **state)
{
	struct world world = { .random = seed };
	struct sched_reason reasons[WORLD_JOBS];

	(void)state;
	world_plain(&world, 4, 4, 4, 8);
	assert_non_null(decide(&world, reasons).node);
	world_plain(&world, 4, 4, 4, 4);
	assert_null(decide(&world, reasons).node);
}

/* A little more work than was known costs more there. */
static void a_slow_target_has_a_larger_margin(void **state)
{
	struct world world = { .random = seed };
	struct sched_reason reasons[WORLD_JOBS];

	(void)state;
	/* Two jobs of one age cost each other 1, so that here is 3, there 1/speed. */
	world_plain(&world, 1, 1, 0.7, 2);
	assert_non_null(decide(&world, reasons).node);
	world_plain(&world, 1, 1, 0.55, 2);
	assert_null(decide(&world, reasons).node);
	assert_int_equal(reasons[0].why, SCHED_WHY_MARGIN);
}

static int print_seed(void **state)
{
	(void)state;
	world_seed(&seed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speed_is_relative),
		cmocka_unit_test(a_lone_job_goes_where_it_is_faster),
		cmocka_unit_test(a_crowd_leaves_a_fast_node),
		cmocka_unit_test(a_slow_target_has_a_larger_margin),
	};

	return cmocka_run_group_tests(tests, print_seed, NULL);
}
