/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the agent makes of its accounts: vectors, weights, rates of change. */
#include "tests/unit/agent-world.h"

#include "vmm-agent/mvd-dirty.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-weigh.h"

#include <math.h>

static void measures_jobs(void **state)
{
	struct job *job = world_job("sort");
	struct sched_node node;

	(void)state;
	world_pass(10);
	assert_true(fabs(world_seen(job)->vector.use - 1) < 0.1);
	assert_true(world_seen(job)->vector.age > 7);
	assert_true(world_seen(job)->vector.touched == 200 * WORLD_MIB);
	node = world_self();
	assert_int_equal(node.jobs, 1);
	assert_true(sched_node_load(&node) > 0.9 && sched_node_load(&node) < 1.2);
	/* What it waits for it wants, too: on a crowded node it does not look small. */
	world_process(job)->runs = 0.25;
	world_process(job)->waits = 0.75;
	world_pass(10);
	assert_true(world_seen(job)->vector.use > 0.9);
}

static void counts_nobody_twice(void **state)
{
	struct job *waits = world_newcomer("waits"), *gone = world_job("gone");
	struct sched_job vector = { .use = 1, .mem = 64 * WORLD_MIB };

	(void)state;
	waits->unplaced = true;
	gone->host = g_strdup("beta");
	world_pass(2);
	assert_int_equal(world_self().jobs, 0);
	waits->unplaced = false;
	assert_int_equal(world_self().jobs, 1);
	/* A promise counts only while the place is kept, which nobody does here. */
	load_expect(world.mvd.scheduler->load, "6f6f0000-1111-2222-3333-000000000009", &vector);
	assert_int_equal(world_self().reserved, 0);
}

static void tells_what_is_not_here_yet(void **state)
{
	double before = world_self().mem_free;

	(void)state;
	/* Of one that has just been let in nothing is seen of what it will take. */
	world_newcomer("new");
	assert_true(world_self().mem_free <= before - 200 * WORLD_MIB);
}

static void gives_weights_to_groups(void **state)
{
	struct job *job = world_job("old");
	unsigned last = 1025, calls;

	(void)state;
	world.mvd.config.settings.policy.weight_ratio = 8;
	while (world.shares != 128 && world.now < 1300) {
		world_pass(1);
		assert_true(world.shares <= last);
		last = world.shares ? world.shares : last;
	}
	/* No less, however old: it always advances. And not a call a second. */
	assert_true(world.shares >= 128 && world.shares <= 128 * 1.25);
	calls = world.weighed;
	world_pass(30);
	assert_true(world.shares >= 128);
	assert_true(world.weighed <= calls + 1 && calls < 20);
	assert_int_equal(world_process(job)->nice, 0);
	assert_non_null(strstr(weigh_text(load_weigh(world.mvd.scheduler->load)),
			       "control groups"));
	world.mvd.config.settings.weights = false;
	world_pass(1);
	assert_int_equal(world.shares, 1024);
}

static void falls_back_to_niceness(void **state)
{
	struct job *old, *young;

	(void)state;
	world.no_group = true;
	old = world_job("old");
	world_pass(20);
	/* Alone it keeps its share of the node. */
	assert_true(world_process(old)->nice == 1);
	young = world_job("young");
	world_pass(2);
	if (geteuid() != 0)
		skip();
	assert_true(world_process(young)->nice == 1);
	assert_true(world_process(old)->nice < 0.5);
	/* It is asked once for each job, not again and again. */
	assert_int_equal(world.weighed, 2);
	assert_non_null(strstr(weigh_text(load_weigh(world.mvd.scheduler->load)),
			       "niceness"));
}

static void knows_when_weights_differ(void **state)
{
	struct mvd_settings settings;

	(void)state;
	settings_default(&settings);
	assert_int_equal(weigh_shares(&settings, 0, false), 1024);
	assert_int_equal(weigh_shares(&settings, 0, true), 100);
	assert_int_equal(weigh_shares(&settings, 1e9, true), 1);
	settings.policy.weight_ratio = 10000;
	assert_int_equal(weigh_shares(&settings, 1e9, false), 2);
	assert_true(weigh_differs(0, 1024, false));
	assert_false(weigh_differs(512, 512, false));
	assert_false(weigh_differs(512, 500, false));
	assert_true(weigh_differs(512, 400, false));
	/* Back to what all have, however near it is. */
	assert_true(weigh_differs(1000, 1024, false));
}

static void measures_how_memory_changes(void **state)
{
	struct job *job = world_job("writer"), *other;
	unsigned measured;

	(void)state;
	world.rate = 5e6;
	world.rate_long = 1e6;
	world_pass(3);
	assert_int_equal(world.measured, 0);
	/* Until it is known: what is usual for so much work. */
	assert_true(world_seen(job)->vector.dirty > 1e6);
	world_pass(3);
	assert_int_equal(world.measured, 1);
	assert_true(world_seen(job)->vector.dirty == 5e6);
	world_pass(50);
	assert_int_equal(world.measured, 1);
	world_pass(20);
	assert_int_equal(world.measured, 2);
	/* In eight seconds it changes 8 MB, of which each second 5. */
	assert_true(world_seen(job)->vector.dirty == 5e6);
	assert_true(world_seen(job)->vector.hot == 8e6);
	/* What cannot be measured stays what it was. */
	world.rate = world.rate_long = -1;
	world_pass(130);
	assert_int_equal(world.measured, 4);
	assert_true(world_seen(job)->vector.dirty == 5e6);
	assert_true(world_seen(job)->vector.hot == 8e6);
	/* One at a time, however many there are. */
	world.measuring = true;
	other = world_job("other");
	measured = world.measured;
	world_pass(200);
	assert_int_equal(world.measured, measured + 1);
	assert_non_null(world_seen(other));
}

static void knows_what_changes_again(void **state)
{
	(void)state;
	/* Always others: nothing is known of how many there are. */
	assert_true(dirty_hot(4e6, 4e6) == 0);
	assert_true(dirty_hot(4e6, 2e6) == 0);
	assert_true(dirty_hot(4e6, 1e6) == 8e6);
	/* No less than it changes in a second, and idle is idle. */
	assert_true(dirty_hot(4e6, 1e5) == 4e6);
	assert_true(dirty_hot(0, 0) == 0);
	/* It had not been measured, or it began to change more. */
	assert_true(dirty_hot(-1, 1e6) == 0);
	assert_true(dirty_hot(1e6, 4e6) == 0);
}

static const struct sched_traffic *traffic_with(const struct job *job, uint64_t node)
{
	const struct sched_job *vector = &world_seen(job)->vector;
	unsigned i;

	for (i = 0; i < SCHED_TRAFFIC; i++)
		if (vector->traffic[i].node == node && vector->traffic[i].rate > 0)
			return &vector->traffic[i];
	return NULL;
}

static void hears_of_traffic(void **state)
{
	struct job *job = world_guest("reader", "beta"), *bound = world_guest("bound", "beta");
	struct load *load = world.mvd.scheduler->load;
	unsigned i;

	(void)state;
	bound->facts.kind = JOB_CPU_BOUND;
	world_pass(1);
	for (i = 1; i < 6; i++) {
		load_hear_traffic(load, job, i * 1000000);
		load_hear_traffic(load, bound, i * 1000000);
		world_pass(1);
	}
	assert_non_null(traffic_with(job, 2));
	/* Who is said to be bound by its CPU goes where CPUs are. */
	assert_null(traffic_with(bound, 2));
}

/* Who is said to be bound by files is taken to need home's network from the start. */
static void believes_what_is_said_of_a_newcomer(void **state)
{
	struct sched_job plain, reader;
	struct job_facts facts = { .memory = 64, .cpus = 2 };

	(void)state;
	load_newcomer(&world.mvd, &facts, &plain);
	assert_true(plain.use == 2 && plain.traffic[0].rate == 0);
	facts.kind = JOB_IO_BOUND;
	load_newcomer(&world.mvd, &facts, &reader);
	assert_true(reader.use < 1);
	assert_int_equal(reader.traffic[0].node, 1);
	assert_true(reader.traffic[0].rate > 1e6);
}

static void stays_near(void **state)
{
	struct job *job = world_job("near"), *other = world_job("other");
	struct job *guest = world_guest("guest", "gamma");

	(void)state;
	job->facts.near = g_strdup(other->facts.uuid);
	world_pass(2);
	assert_non_null(traffic_with(job, 1));
	other->host = g_strdup("gamma");
	world_pass(2);
	assert_null(traffic_with(job, 1));
	assert_true(traffic_with(job, 3)->rate == LOAD_NEAR_RATE);
	/* Of another home's jobs only home knows where they are. */
	load_hear_near(world.mvd.scheduler->load, guest, "beta");
	world_pass(2);
	assert_non_null(traffic_with(guest, 2));
	load_hear_near(world.mvd.scheduler->load, guest, "");
	jobs_remove(other);
	world_pass(2);
	assert_null(traffic_with(guest, 2));
	assert_null(traffic_with(job, 3));
}

static void tells_its_state(void **state)
{
	struct mvd_settings *settings = &world.mvd.config.settings;

	(void)state;
	assert_int_equal(world_self().state, SCHED_OPEN);
	settings->block = true;
	assert_int_equal(world_self().state, SCHED_BLOCKED);
	settings->drain = true;
	assert_int_equal(world_self().state, SCHED_DRAINING);
	settings->in_use = settings->stay = true;
	assert_true(world_self().flags & SCHED_OWNER_ACTIVE);
	assert_true(world_self().flags & SCHED_STAY);
	settings->slots = 7;
	assert_int_equal(world_self().slots, 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(measures_jobs),
		TEST(counts_nobody_twice),
		TEST(tells_what_is_not_here_yet),
		TEST(gives_weights_to_groups),
		TEST(falls_back_to_niceness),
		TEST(knows_when_weights_differ),
		TEST(measures_how_memory_changes),
		TEST(knows_what_changes_again),
		TEST(hears_of_traffic),
		TEST(believes_what_is_said_of_a_newcomer),
		TEST(stays_near),
		TEST(tells_its_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
