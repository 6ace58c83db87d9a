/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a job starts, when it waits, and whether a node takes one. */
#include "tests/unit/agent-world.h"

#include "scheduler/gossip-wire.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-tell.h"

#include <math.h>

static struct request request;

static void crowd(unsigned jobs)
{
	while (jobs-- > 0)
		world_job("loop");
	world_pass(10);
}

static struct job *asked(struct err *err)
{
	struct job *job = world_newcomer("new");

	memset(err, 0, sizeof(*err));
	return scheduler_place(job, &request, err) == 0 ? job : NULL;
}

static struct job *placed(void)
{
	struct err err;
	struct job *job = asked(&err);

	assert_non_null(job);
	return job;
}

static int set_up(void **state)
{
	memset(&request, 0, sizeof(request));
	return world_set_up(state);
}

static void stays_at_home(void **state)
{
	struct job *job;

	(void)state;
	/* It does not count against itself. */
	job = placed();
	assert_null(job->host);
	assert_false(job->unplaced);
	assert_true(g_str_has_prefix(came_text(job), "started at alpha: home is best"));
}

static void goes_where_it_is_better(void **state)
{
	struct job *job;

	(void)state;
	crowd(3);
	world.beta.others = 5;
	job = placed();
	assert_string_equal(job->host, "gamma");
	assert_true(g_str_has_prefix(came_text(job), "started at gamma: gamma is best"));
	/* What has been sent there counts there. */
	world.gamma.mem_total = 500 * WORLD_MIB;
	world.gamma.mem_free = 500 * WORLD_MIB;
	job = placed();
	assert_string_not_equal(job->host ? job->host : "alpha", "gamma");
	world.mvd.config.settings.place = false;
	job = placed();
	assert_null(job->host);
	assert_true(g_str_has_prefix(came_text(job), "started at alpha: this node does not"));
	request.best = true;
	world.beta.others = 0;
	assert_string_equal(placed()->host, "beta");
}

static void asks_the_next_one(void **state)
{
	struct job *job;

	(void)state;
	crowd(3);
	job = placed();
	assert_non_null(job->host);
	job->facts.boots = 1;
	job->stage = JOB_STARTING;
	{
		g_autofree char *first = g_strdup(job->host);

		assert_true(scheduler_place_again(job, "no room"));
		assert_non_null(job->host);
		assert_string_not_equal(first, job->host);
		assert_string_equal(world.asked, job->host);
		assert_string_equal(world.asked_op, "start");
	}
	/* A job that it started itself, or whose mvrun has ended, is not tried again. */
	job->mvrun_gone = true;
	assert_false(scheduler_place_again(job, "no room"));
}

/* What a node says of itself, as it does on the wire. */
static struct json_object *said(const struct sched_node *node, size_t len)
{
	struct json_object *object = json_object_new_object();
	uint8_t entry[GOSSIP_ENTRY];
	g_autofree char *text = NULL;

	gossip_put_entry(entry, node, 7, 1000);
	text = g_base64_encode(entry, len);
	event_add_string(object, "load", text);
	return object;
}

static void refuses(const struct sched_node *node)
{
	const struct peer_reply reply = { .error = "it has no room", .refused = true,
					  .details = said(node, GOSSIP_ENTRY) };

	world.reply(world.reply_ctx, &reply);
	json_object_put(reply.details);
}

static void hears_what_refuses(void **state)
{
	g_autofree char *first = NULL;
	struct sched_node full;
	struct job *job;

	(void)state;
	crowd(3);
	job = placed();
	first = g_strdup(job->host);
	job_advance(job);
	assert_string_equal(world.asked, first);
	full = strcmp(first, "beta") == 0 ? world.beta : world.gamma;
	full.mem_free = 10 * WORLD_MIB;
	refuses(&full);
	assert_string_not_equal(job->host, first);
	assert_int_equal(world.noted, 1);
	/* Nor is it asked for the next one, when it would be the best by far. */
	*(full.id == 2 ? &world.gamma : &world.beta) = (struct sched_node){
		.id = 5 - full.id, .state = SCHED_GONE, .cpus = 1, .speed = 1 };
	assert_null(placed()->host);
}

static bool notes(const char *from, const struct sched_node *node, size_t len)
{
	const struct peer_reply reply = { .answer = said(node, len) };
	unsigned before = world.noted;

	tell_note(&world.mvd, from, &reply);
	json_object_put(reply.answer);
	return world.noted > before;
}

static void notes_only_what_can_be(void **state)
{
	struct sched_node node = world.gamma;
	struct peer_reply reply = { .error = "it does not answer" };

	(void)state;
	assert_true(notes("gamma", &node, GOSSIP_ENTRY));
	assert_true(world.gamma.time == world.now);
	/* Nobody speaks for others, and no nonsense. */
	assert_false(notes("beta", &node, GOSSIP_ENTRY));
	assert_false(notes("gamma", &node, GOSSIP_ENTRY - 1));
	node.state = (enum sched_state)7;
	assert_false(notes("gamma", &node, GOSSIP_ENTRY));
	/* One that says nothing is an older one. */
	tell_note(&world.mvd, "gamma", &reply);
	reply = (struct peer_reply){ .answer = json_object_new_object() };
	tell_note(&world.mvd, "gamma", &reply);
	/* This node's own are of this form. */
	tell_load(&world.mvd, reply.answer);
	world.noted = 0;
	tell_note(&world.mvd, "alpha", &reply);
	assert_int_equal(world.noted, 1);
	json_object_put(reply.answer);
}

static void obeys_lists(void **state)
{
	struct job *job;
	struct err err;

	(void)state;
	strcpy(request.not_on, "alpha,beta");
	job = world_newcomer("choosy");
	job->facts.never = g_strdup("alpha,beta");
	assert_int_equal(scheduler_check_run(&world.mvd, &request, &err), 0);
	assert_int_equal(scheduler_place(job, &request, &err), 0);
	assert_string_equal(job->host, "gamma");
	strcpy(request.not_on, "alpha,beta,gamma");
	job = world_newcomer("nowhere");
	job->facts.never = g_strdup("alpha,beta,gamma");
	assert_int_equal(scheduler_place(job, &request, &err), -1);
	assert_non_null(strstr(err.text, "none of the nodes"));
	strcpy(request.not_on, "delta");
	assert_int_equal(scheduler_check_run(&world.mvd, &request, &err), -1);
	assert_non_null(strstr(err.text, "no node delta"));
}

static void no_slots(void)
{
	world.mvd.config.settings.slots = 0;
	world.beta.slots = world.gamma.slots = 0;
}

static void waits_for_room(void **state)
{
	struct job *job, *second;
	g_autofree char *why = NULL;

	(void)state;
	no_slots();
	job = placed();
	assert_true(job->unplaced);
	assert_null(job->host);
	assert_string_equal(job_state(job), "waiting");
	assert_string_equal(came_text(job), "");
	why = scheduler_waits_for(job);
	assert_non_null(strstr(why, "as many jobs as it may"));
	second = placed();
	assert_true(second->unplaced);
	world_pass(3);
	assert_true(job->unplaced && second->unplaced);
	/* The first that came is the first that goes. */
	world.beta.slots = 1;
	world_pass(1);
	assert_false(job->unplaced);
	assert_string_equal(job->host, "beta");
	assert_true(second->unplaced);
	/* It ends while it waits. */
	jobs_remove(second);
	world_pass(1);
}

static void waits_for_memory(void **state)
{
	struct job *job;
	g_autofree char *why = NULL;

	(void)state;
	world.room = 300;
	world.beta.mem_free = 100 * WORLD_MIB;
	world.gamma.mem_free = 600 * WORLD_MIB;
	job = placed();
	assert_true(job->unplaced);
	why = scheduler_waits_for(job);
	assert_non_null(strstr(why, "gamma has"));
	assert_non_null(strstr(why, "of memory free, the job needs 432 MiB"));
	/* It starts here then, and fails, because there is no libvirt in this world. */
	job_ref(job);
	world.room = 7000;
	world_pass(1);
	assert_false(job->unplaced);
	assert_null(job->host);
	assert_null(jobs_find(world.mvd.jobs, job->facts.uuid));
	job_unref(job);
}

static void does_not_wait_in_vain(void **state)
{
	struct err err;
	struct job *job;

	(void)state;
	no_slots();
	request.nowait = true;
	assert_null(asked(&err));
	assert_non_null(strstr(err.text, "no node has room for it now"));
	request.nowait = false;
	/* What could never be: home takes it as it did before there were others. */
	job = world_newcomer("huge");
	job->facts.memory = 100000;
	world.mvd.config.settings.slots = 512;
	assert_int_equal(scheduler_place(job, &request, &err), 0);
	assert_false(job->unplaced);
	assert_null(job->host);
}

static void counts_slots_at_home(void **state)
{
	struct err err;

	(void)state;
	request.home = true;
	world.mvd.config.settings.slots = 1;
	assert_string_equal(came_text(asked(&err)), "started at alpha: its user said so");
	assert_null(asked(&err));
	assert_non_null(strstr(err.text, "as many jobs as it may"));
	request.home = false;
	strcpy(request.on, "alpha");
	assert_null(asked(&err));
	strcpy(request.on, "beta");
	assert_non_null(asked(&err));
}

static void starts_near(void **state)
{
	struct job *other = world_job("other"), *job;
	struct err err;

	(void)state;
	other->host = g_strdup("gamma");
	strcpy(request.near, "other");
	job = world_newcomer("near");
	assert_int_equal(scheduler_place(job, &request, &err), 0);
	assert_string_equal(job->host, "gamma");
	assert_string_equal(job->facts.near, other->facts.uuid);
	strcpy(request.near, "nobody");
	assert_int_equal(scheduler_place(world_newcomer("alone"), &request, &err), -1);
}

/* ---- the target's side ---- */

static struct job_facts facts;

static struct json_object *body(double use, double expected)
{
	struct json_object *object = json_object_new_object(), *vector;

	facts = (struct job_facts){ .uuid = "6f6f0000-1111-2222-3333-0000000000aa",
				    .home = (char *)"beta", .memory = 256,
				    .accel = ACCEL_TCG };
	if (use < 0)
		return object;
	vector = json_object_new_object();
	json_object_object_add(vector, "use", json_object_new_double(use));
	json_object_object_add(vector, "mem", json_object_new_double(300 * WORLD_MIB));
	json_object_object_add(vector, "qemu", json_object_new_int(0));
	json_object_object_add(object, "vector", vector);
	if (expected > 0)
		json_object_object_add(object, "expected", json_object_new_double(expected));
	return object;
}

static const char *refusal(double use, double expected)
{
	struct json_object *object = body(use, expected);
	static struct err err;
	int rc;

	memset(&err, 0, sizeof(err));
	rc = scheduler_admit(&world.mvd, &facts, object, true, &err);
	json_object_put(object);
	return rc < 0 ? err.text : NULL;
}

static void admits(void **state)
{
	(void)state;
	assert_null(refusal(1, 10));
	assert_null(refusal(1, 0));
	assert_null(refusal(-1, 0));
	/* One that is expected to cost less than it would is not taken; by hand it is. */
	crowd(5);
	assert_non_null(strstr(refusal(1, 0.001), "busier than was thought"));
	assert_null(refusal(1, 0));
	assert_non_null(strstr(refusal(NAN, 1), "makes no sense"));
	assert_non_null(strstr(refusal(INFINITY, 0), "makes no sense"));
}

/* By hand and without a vector, too. */
static void keeps_its_doors(void **state)
{
	struct mvd_settings *settings = &world.mvd.config.settings;

	(void)state;
	crowd(2);
	settings->slots = 2;
	assert_non_null(strstr(refusal(1, 100), "as many jobs as it may"));
	assert_non_null(strstr(refusal(1, 0), "as many jobs as it may"));
	assert_non_null(strstr(refusal(-1, 0), "as many jobs as it may"));
	settings->slots = 3;
	assert_null(refusal(-1, 0));
	settings->block = true;
	assert_non_null(strstr(refusal(-1, 0), "takes no jobs"));
	settings->block = false;
	settings->in_use = true;
	assert_non_null(strstr(refusal(1, 0), "in use by its owner"));
	assert_int_equal(world.mvd.scheduler->refused, 5);
}

static void names_the_best(void **state)
{
	(void)state;
	assert_string_equal(scheduler_best(&world.mvd, 256), "alpha");
	crowd(3);
	world.gamma.others = 9;
	assert_string_equal(scheduler_best(&world.mvd, 256), "beta");
	world.beta.mem_free = 100 * WORLD_MIB;
	assert_string_not_equal(scheduler_best(&world.mvd, 256), "beta");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stays_at_home),
		TEST(goes_where_it_is_better),
		TEST(asks_the_next_one),
		TEST(hears_what_refuses),
		TEST(notes_only_what_can_be),
		TEST(obeys_lists),
		TEST(waits_for_room),
		TEST(waits_for_memory),
		TEST(does_not_wait_in_vain),
		TEST(counts_slots_at_home),
		TEST(starts_near),
		TEST(admits),
		TEST(keeps_its_doors),
		TEST(names_the_best),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
