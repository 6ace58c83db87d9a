/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a move is worth it, with the figures worked out here once more. */
#include "tests/unit/sched-world.h"

#include <math.h>
#include <string.h>

#define ROUNDS 4000

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
	struct world world = { .random = world_seed };
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
	struct world world = { .random = world_seed };
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

/* One node's word is not enough for all it says, but for that much. */
static void the_only_faster_node_is_enough(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reason;

	(void)state;
	world_plain(&world, 1, 1, 5, 1);
	world.view.count = 1;
	assert_ptr_equal(decide(&world, &reason).node, &world.peers[0]);
	assert_true(fabs(reason.there - 0.5) < 1e-9);
	world.peers[0].speed = 1.7;
	assert_null(decide(&world, &reason).node);
	assert_int_equal(reason.why, SCHED_WHY_MARGIN);
}

/* Two for each CPU, and nobody elsewhere. */
static void a_crowd_leaves_a_fast_node(void **state)
{
	struct world world = { .random = world_seed };
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
	struct world world = { .random = world_seed };
	struct sched_reason reasons[WORLD_JOBS];

	(void)state;
	/* Two jobs of one age cost each other 1, so that here is 3, there 1/speed. */
	world_plain(&world, 1, 1, 0.7, 2);
	assert_non_null(decide(&world, reasons).node);
	world_plain(&world, 1, 1, 0.55, 2);
	assert_null(decide(&world, reasons).node);
	assert_int_equal(reasons[0].why, SCHED_WHY_MARGIN);
}

/* Nobody is believed to be faster than `lead` times the next: nor is the margin so small. */
static void a_boast_makes_no_margin_smaller(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reason;

	(void)state;
	world_plain(&world, 1, 1, 1, 1);
	world.policy.lead = 1.25;
	world.peers[0].speed = 100;
	/* It gains 1.3^2 - 0.3 - 1 / 1.25, that is 0.59. */
	world.self.others = 0.3;
	assert_null(decide(&world, &reason).node);
	assert_int_equal(reason.why, SCHED_WHY_MARGIN);
	assert_true(fabs(reason.need - 0.8 / 1.25) < 1e-9);
}

/* ---- what a move costs ---- */

/*
 * Two old jobs share a CPU, one of them pinned. The other costs 2^2 - 1 here and 1 on
 * an idle node, so that it gains 2 for each CPU second that remains, its age.
 */
static struct sched_reason judge(double age, double dirty, double youngest)
{
	struct world world = { .random = world_seed };
	struct sched_reason reasons[2];
	unsigned i;

	world_plain(&world, 1, 1, 1, 0);
	world.policy.youngest = youngest;
	world.link = (struct sched_link){ .bandwidth = 1e8, .setup = 5, .resume = 1,
					  .stop = 0.1, .slowdown = 0.1, .cpu = 0.5 };
	for (i = 0; i < 2; i++) {
		struct sched_job *job = &world.jobs[i];

		*job = world_old(i + 1, age);
		job->touched = 1e9;
		job->dirty = dirty;
		job->pinned = i == 1;
		sched_node_add(&world.self, job);
	}
	world.job_count = 2;
	decide(&world, reasons);
	assert_int_equal(reasons[1].why, SCHED_WHY_PINNED);
	return reasons[0];
}

static void check_judged(struct sched_reason reason, enum sched_why why, double gain,
			 double price)
{
	assert_string_equal(sched_why_name(reason.why), sched_why_name(why));
	assert_true(fabs(reason.gain - gain) < 1e-3);
	assert_true(fabs(reason.cost - 2 * price) < 1e-3); /* payback */
}

/*
 * It is copied for 10 s, a tenth slower, and then stands still for 1 s; all takes 16 s, and
 * half a CPU at either end. It must gain twice that, and 0.8 for each CPU second.
 */
static void an_old_job_is_worth_its_price(void **state)
{
	const double price = 10 * 0.1 + 1 + 2 * 0.5 * (5 + 10 + 1);

	(void)state;
	check_judged(judge(price - 1, 0, 1), SCHED_WHY_PRICE, 2 * (price - 1), price);
	check_judged(judge(price + 1, 0, 1), SCHED_WHY_MARGIN, 2 * (price + 1), price);
	/* 2 age - 2 price > 0.8 age */
	check_judged(judge(price / 0.6 - 1, 0, 1), SCHED_WHY_MARGIN, 2 * (price / 0.6 - 1),
		     price);
	check_judged(judge(price / 0.6 + 1, 0, 1), SCHED_WHY_BALANCE, 2 * (price / 0.6 + 1),
		     price);
}

/*
 * While it is copied it changes half as much as can be sent, slowed down by a tenth. So
 * each round takes 0.45 of the one before, until a tenth of a second is left: after six.
 */
static void a_busy_writer_costs_more_to_move(void **state)
{
	const double left = 10 * pow(0.45, 6), copying = (10 - left) / (1 - 0.45);
	const double price = copying * 0.1 + left + 1 + (5 + copying + left + 1);

	(void)state;
	assert_true(left < 0.1 && left / 0.45 > 0.1);
	check_judged(judge(price - 1, 5e7, 1), SCHED_WHY_PRICE, 2 * (price - 1), price);
	check_judged(judge(price / 0.6 - 1, 5e7, 1), SCHED_WHY_MARGIN,
		     2 * (price / 0.6 - 1), price);
	check_judged(judge(price / 0.6 + 1, 5e7, 1), SCHED_WHY_BALANCE,
		     2 * (price / 0.6 + 1), price);
	/* One of that age that only reads goes. */
	assert_int_equal(judge(price / 0.6 - 1, 0, 1).why, SCHED_WHY_BALANCE);
}

/* It is taken to have that much left, and then it pays; 20 s and 31 s are one class of ages. */
static void youngest_is_what_a_new_job_has_left(void **state)
{
	(void)state;
	check_judged(judge(20, 0, 1), SCHED_WHY_MARGIN, 40, 18);
	check_judged(judge(20, 0, 31), SCHED_WHY_BALANCE, 62, 18);
	check_judged(judge(10, 0, 1), SCHED_WHY_PRICE, 20, 18);
}

static void here_can_be_best(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reason;

	(void)state;
	world_plain(&world, 1, 1, 0.9, 1);
	assert_null(decide(&world, &reason).node);
	assert_int_equal(reason.why, SCHED_WHY_BETTER);
	assert_true(fabs(reason.here - 1) < 1e-6 && fabs(reason.there - 1 / 0.9) < 1e-6);
}

/*
 * The job costs 3 here, and a tenth of that is `equal`. There it costs 1/speed, and its
 * margin is 0.8/speed.
 */
static void nearly_equal_is_equal(void **state)
{
	static const double costs[] = { 1.15, 1, 1.18, 1.1, 1.3 };
	struct world world = { .random = world_seed };
	unsigned i, seen[5] = { 0 };

	(void)state;
	world_choice(&world, 1, costs, 5);
	for (i = 0; i < 2; i++) {
		world.jobs[i] = world_old(i + 1, 1000);
		sched_node_add(&world.self, &world.jobs[i]);
	}
	world.job_count = 2;
	for (i = 0; i < 3000; i++)
		seen[decide(&world, NULL).node - world.peers]++;
	for (i = 0; i < 5; i++)
		if (1.8 * (costs[i] - 1) < 0.3)
			assert_in_range(seen[i], 850, 1150);
		else
			assert_int_equal(seen[i], 0);
	world.policy.equal = 0;
	for (i = 0; i < 100; i++)
		assert_ptr_equal(decide(&world, NULL).node, &world.peers[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speed_is_relative),
		cmocka_unit_test(a_lone_job_goes_where_it_is_faster),
		cmocka_unit_test(the_only_faster_node_is_enough),
		cmocka_unit_test(a_crowd_leaves_a_fast_node),
		cmocka_unit_test(a_slow_target_has_a_larger_margin),
		cmocka_unit_test(a_boast_makes_no_margin_smaller),
		cmocka_unit_test(an_old_job_is_worth_its_price),
		cmocka_unit_test(a_busy_writer_costs_more_to_move),
		cmocka_unit_test(youngest_is_what_a_new_job_has_left),
		cmocka_unit_test(here_can_be_best),
		cmocka_unit_test(nearly_equal_is_equal),
	};

	return cmocka_run_group_tests(tests, world_begin, NULL);
}
