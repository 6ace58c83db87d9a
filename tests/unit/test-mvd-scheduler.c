/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which job leaves this node, where it goes, and what is learnt of it. */
#include "tests/unit/agent-world.h"

#include <math.h>

static void crowd(unsigned jobs)
{
	while (jobs-- > 0)
		world_job("loop");
}

static struct scheduler *s(void)
{
	return world.mvd.scheduler;
}

static void sends_one_away(void **state)
{
	g_autofree char *why = NULL;

	(void)state;
	crowd(4);
	world.gamma.others = 9;
	world_pass(60);
	assert_int_equal(world.begun, 1); /* at a time */
	assert_string_equal(world.to, "beta");
	why = scheduler_move_reason(world.moving);
	assert_true(g_str_has_prefix(why, "moves to beta: that gains"));
	world_moved(2, 100, NULL);
	assert_int_equal(s()->moves, 1);
	assert_int_equal(s()->error.count, 1);
	world_pass(60);
	assert_int_equal(world.begun, 2);
}

static void has_nothing_to_move(void **state)
{
	struct job *job = world_job("alone");
	g_autofree char *why = NULL;

	(void)state;
	world_pass(60);
	assert_int_equal(world.begun, 0);
	why = scheduler_why(job);
	assert_true(g_str_has_prefix(why, "stays"));
	/* Nor by itself where that is switched off. */
	crowd(4);
	world.mvd.config.settings.balance = false;
	world_pass(30);
	assert_int_equal(world.begun, 0);
}

static void waits_after_a_failure(void **state)
{
	(void)state;
	world.mvd.config.settings.policy.retry = 30;
	world_job("loop");
	world_job("loop")->facts.pin = true;
	world_job("loop")->facts.pin = true;
	world_pass(60);
	assert_int_equal(world.begun, 1);
	world_moved(2, 0, "it went wrong");
	assert_int_equal(s()->failed, 1);
	assert_int_equal(s()->error.count, 0);
	world_pass(25);
	assert_int_equal(world.begun, 1);
	world_pass(30);
	assert_int_equal(world.begun, 2);
}

/* What was in its way there may be what no vector tells: the next best is asked. */
static void asks_another_after_a_refusal(void **state)
{
	struct job *job = world_job("job");
	unsigned i;

	(void)state;
	world.beta.speed = 2; /* the best place for it */
	world.mvd.config.settings.drain = true;
	world_pass(4);
	assert_string_equal(world.to, "beta");
	world_moved(1, 0, "this node has no vsock");
	world_pass(10);
	assert_int_equal(world.begun, 2);
	assert_ptr_equal(world.moving, job);
	assert_string_equal(world.to, "gamma");
	/* When all have refused they are asked again. */
	world_moved(1, 0, "it is full");
	world_pass(10);
	assert_int_equal(world.begun, 3);
	world_moved(1, 0, "it is full");
	/* A minute later nothing is remembered. */
	job->facts.pin = true;
	world_pass(REFUSALS_S);
	job->facts.pin = false;
	world_pass(10);
	assert_int_equal(world.begun, 4);
	assert_string_equal(world.to, "beta");
	world_moved(1, 0, "this node has no vsock");
	/* Nor after a new order. */
	assert_non_null(world_order("drain", "", ""));
	world_pass(10);
	assert_int_equal(world.begun, 5);
	assert_string_equal(world.to, "beta");
	world_moved(1, 0, "this node has no vsock");
	/* It stays where it is forbidden to go, whoever refuses. */
	job->facts.never = g_strdup("gamma");
	load_lists(&job->facts, &world_seen(job)->vector);
	for (i = 0; i < 3; i++) {
		world_pass(10);
		assert_string_equal(world.to, "beta");
		world_moved(1, 0, "this node has no vsock");
	}
}

static void learns_each_link(void **state)
{
	struct links links;

	(void)state;
	links_init(&links);
	assert_true(links_to(&links, 2).bandwidth == links.typical.bandwidth);
	while (links_to(&links, 2).bandwidth > 2e6)
		links_learn(&links, 2, 1e6, 1, 1.5);
	assert_true(fabs(links_to(&links, 2).setup - 0.5) < 0.2);
	links_learn(&links, 3, 1e8, 1, 2);
	assert_true(links_to(&links, 3).bandwidth > 10 * links_to(&links, 2).bandwidth);
	/* What cannot be is not learnt from. */
	links_learn(&links, 4, NAN, 1, 2);
	links_learn(&links, 4, INFINITY, 1, 2);
	links_learn(&links, 4, 1e6, 2, 1);
	links_learn(&links, 4, 1e6, 0, 1);
	links_learn(&links, 4, 0, 1, 2);
	assert_int_equal(g_hash_table_size(links.peers), 2);
	links_clear(&links);
}

/* The margin of a move is that of its target, as the decision has found it. */
static void allows_what_the_target_is_worth(void **state)
{
	struct sched_link link = { .bandwidth = 1e9, .stop = 0.1 };
	struct sched_job job = { .age = 1000, .touched = 0x1p20 };
	struct sched_move move = { .reason = { .why = SCHED_WHY_BALANCE, .here = 0.5,
					       .there = 0.25, .gain = 250, .need = 0.2 } };
	struct sched_policy policy;

	(void)state;
	sched_policy_default(&policy);
	assert_true(links_allow(&policy, &link, &job, &move));
	move.reason.need = 0.3;
	assert_false(links_allow(&policy, &link, &job, &move));
	assert_int_equal(move.reason.why, SCHED_WHY_PRICE);
}

static void owner_types(const char *root)
{
	struct owner *owner = load_owner(s()->load);

	owner->root = root;
	owner->seen = true;
	owner->input = world.now;
}

static void the_owner_comes_and_goes(void **state)
{
	struct mvd_settings *settings = &world.mvd.config.settings;
	struct job *guest = world_guest("guest", "beta");

	(void)state;
	settings->in_use = SETTINGS_AUTO;
	owner_types("/nonexistent");
	world_pass(6);
	assert_true(world_self().flags & SCHED_OWNER_ACTIVE);
	/* Guests stay. */
	assert_int_equal(world.begun, 0);
	world_pass((unsigned)settings->owner_idle);
	assert_false(world_self().flags & SCHED_OWNER_ACTIVE);
	settings->expel_when_used = true;
	owner_types("/nonexistent");
	world_pass(3);
	assert_ptr_equal(world.moving, guest);
	assert_false(settings->block);
	world_moved(1, 10, NULL);
	jobs_remove(guest);
	world_pass(2);
	assert_false(s()->expel);
}

static void the_owner_sends_away_while_there(void **state)
{
	struct mvd_settings *settings = &world.mvd.config.settings;

	(void)state;
	world.obstacle = "it is pinned";
	world_guest("guest", "beta");
	settings->expel_when_used = true;
	world_pass(2);
	settings->in_use = SETTINGS_YES;
	world_pass(2);
	assert_true(s()->expel);
	/* By hand it was stopped: it is not begun again. */
	assert_non_null(world_order("undrain", "", ""));
	world_pass(2);
	assert_false(s()->expel);
	settings->in_use = SETTINGS_NO;
	world_pass(2);
	settings->in_use = SETTINGS_YES;
	world_pass(2);
	assert_true(s()->expel);
	settings->in_use = SETTINGS_NO;
	world_pass(2);
	assert_false(s()->expel);
	/* What was ordered goes on. */
	settings->in_use = SETTINGS_YES;
	assert_non_null(world_order("expel", "", ""));
	world_pass(2);
	settings->in_use = SETTINGS_NO;
	world_pass(2);
	assert_true(s()->expel);
}

static void avoids_a_slow_link(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 40; i++)
		links_learn(&s()->links, 2, 1e4, 1, 1.1);
	s()->links.typical.bandwidth = 60e6;
	s()->links.typical.setup = 1;
	world_job("loop");
	world_job("loop")->facts.pin = true;
	world_job("loop")->facts.pin = true;
	world.gamma.others = 9;
	world_pass(30);
	/* Over there it is idle, and would still be when the job has ended. */
	assert_int_equal(world.begun, 0);
	world.gamma.others = 0;
	world_pass(30);
	assert_int_equal(world.begun, 1);
	assert_string_equal(world.to, "gamma");
}

static void ushers(void **state)
{
	g_autofree char *why = NULL;

	(void)state;
	world.mvd.config.settings.balance = false;
	world_job("one");
	world_pass(20);
	assert_int_equal(world.begun, 0);
	world.room = 200;
	/* At once, not only when it is time to decide. */
	world.mvd.config.settings.interval = 3600;
	world_pass(1);
	assert_int_equal(world.begun, 1);
	why = scheduler_reason(&world.mvd, &world_seen(world.moving)->reason);
	assert_non_null(strstr(why, "memory is short"));
}

static void ushers_before_it_is_too_late(void **state)
{
	struct job *job = world_job("grows");
	unsigned left;

	(void)state;
	world.mvd.config.settings.balance = false;
	job->facts.memory = 6000;
	world_pass(20);
	for (left = 4000; left > 100 && world.begun == 0; left -= 150) {
		world.room = left;
		world_process(job)->resident += 150;
		world_pass(1);
	}
	/* 5 % of the node would be 400: its growth is looked ahead. */
	assert_int_equal(world.begun, 1);
	assert_true(left > 1000);
}

static void drains(void **state)
{
	struct job *pinned, *job;

	(void)state;
	job = world_job("one");
	pinned = world_job("two");
	pinned->facts.pin = true;
	world_pass(5);
	assert_int_equal(world.begun, 0);
	world.mvd.config.settings.drain = true;
	world_pass(4);
	assert_int_equal(world.begun, 1);
	assert_ptr_equal(world.moving, job);
	world_moved(2, 100, NULL);
	world_pass(30);
	assert_int_equal(world.begun, 1);
	assert_null(pinned->host);
}

static void decides_nothing_alone(void **state)
{
	(void)state;
	world.alone = true;
	crowd(4);
	world_pass(30);
	assert_int_equal(world.begun, 0);
	assert_int_equal(world.measured, 0);
	/* Old jobs yield to young ones all the same. */
	assert_true(world.weighed > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sends_one_away),
		TEST(has_nothing_to_move),
		TEST(waits_after_a_failure),
		TEST(asks_another_after_a_refusal),
		TEST(learns_each_link),
		TEST(allows_what_the_target_is_worth),
		TEST(the_owner_comes_and_goes),
		TEST(the_owner_sends_away_while_there),
		TEST(avoids_a_slow_link),
		TEST(ushers),
		TEST(ushers_before_it_is_too_late),
		TEST(drains),
		TEST(decides_nothing_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
