/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Room for a job that fits nowhere: who is asked for it, who gets it, and for how long. */
#include "tests/unit/agent-world.h"

#include <math.h>

#define UUID "6f6f0000-1111-2222-3333-0000000000aa"
#define OTHER "6f6f0000-1111-2222-3333-0000000000bb"

static struct request request;

static int set_up(void **state)
{
	memset(&request, 0, sizeof(request));
	world_set_up(state);
	world.mvd.config.settings.balance = false;
	return 0;
}

/* ---- home: alpha ---- */

static struct job *newcomer(void)
{
	struct job *job = world_newcomer("new");
	struct err err = { 0 };

	assert_int_equal(scheduler_place(job, &request, &err), 0);
	return job;
}

/* Nobody has room: it takes 368 MiB, and a twentieth is to be left. */
static struct job *waiting(void)
{
	struct job *job;

	world.room = 300;
	world.beta.mem_free = 500 * WORLD_MIB;
	world.gamma.mem_free = 600 * WORLD_MIB;
	job = newcomer();
	assert_true(job->unplaced);
	return job;
}

static void answer(const char *error)
{
	struct json_object *yes = json_object_new_object();
	struct peer_reply reply = { .answer = error ? NULL : yes, .error = error,
				    .refused = error };
	peer_reply_fn done = world.reply;

	world.reply = NULL;
	assert_non_null(done);
	done(world.reply_ctx, &reply);
	json_object_put(yes);
}

static void agree(void)
{
	world_pass(12);
	assert_string_equal(world.questions->str, "make-room@gamma ");
	answer(NULL);
	world.gamma.flags = SCHED_MAKING;
	g_string_truncate(world.questions, 0);
}

static bool says(const struct job *job, const char *text)
{
	g_autofree char *why = scheduler_why(job);

	return strstr(why, text) != NULL;
}

static void asks_once_when_it_is_due(void **state)
{
	struct job *job = waiting();

	(void)state;
	world_pass(10);
	assert_string_equal(world.questions->str, "");
	world_pass(2);
	assert_string_equal(world.questions->str, "make-room@gamma ");
	assert_false(says(job, "being made"));
	world_pass(4);
	answer(NULL);
	world.gamma.flags = SCHED_MAKING;
	world_pass(10);
	assert_string_equal(world.questions->str, "make-room@gamma ");
	assert_true(says(job, "waits for room, which is being made at gamma: "));
}

static void gets_the_room(void **state)
{
	struct job *job = waiting(), *second = newcomer();

	(void)state;
	agree();
	/* Who came later gets nothing of it, nor does anybody else. */
	world.gamma.mem_free = 7000 * WORLD_MIB;
	job->mvrun_gone = true;
	world_pass(1);
	assert_true(second->unplaced);
	assert_string_equal(world.questions->str, "make-room@beta ");
	answer("it keeps its jobs");
	assert_true(newcomer()->unplaced);
	assert_string_not_equal(scheduler_best(&world.mvd, 256) ?: "", "gamma");
	job->mvrun_gone = false;
	world_pass(1);
	assert_string_equal(job->host, "gamma");
	assert_true(second->unplaced);
	assert_non_null(strstr(world.questions->str, "start@gamma "));
	assert_null(strstr(world.questions->str, "no-room"));
}

static void finds_a_place_elsewhere(void **state)
{
	struct job *job = waiting();

	(void)state;
	agree();
	world.beta.mem_free = 7000 * WORLD_MIB;
	world_pass(1);
	assert_string_equal(job->host, "beta");
	assert_string_equal(world.questions->str, "no-room@gamma start@beta ");
}

static void ends_while_it_waits(void **state)
{
	struct job *job = waiting();

	(void)state;
	agree();
	jobs_remove(job);
	assert_string_equal(world.questions->str, "no-room@gamma ");
}

static void asks_another(void **state)
{
	struct job *job = waiting();

	(void)state;
	world_pass(12);
	answer("it keeps its jobs");
	world_pass(4);
	assert_string_equal(world.questions->str, "make-room@gamma ");
	world_pass(3);
	assert_string_equal(world.questions->str, "make-room@gamma make-room@beta ");
	answer("nor does this one");
	/* Then home, which has nothing to send away; and all again. */
	world_pass(30);
	assert_false(room_is_kept(&world.mvd));
	assert_true(says(job, "waits for room: "));
	assert_non_null(strstr(world.questions->str, "make-room@beta make-room@gamma "));
}

static void gives_up(void **state)
{
	struct job *job = waiting();

	(void)state;
	agree();
	world_pass(31);
	assert_string_equal(world.questions->str, "no-room@gamma ");
	assert_true(says(job, "waits for room: "));
	/* The pause is twice as long as it has waited. */
	world_pass(75);
	assert_string_equal(world.questions->str, "no-room@gamma ");
	world_pass(20);
	assert_string_equal(world.questions->str, "no-room@gamma make-room@beta ");
}

static void does_without_the_dead(void **state)
{
	struct job *job = waiting();

	(void)state;
	agree();
	world.dead = "gamma";
	world_pass(1);
	assert_true(job->unplaced && says(job, "waits for room: "));
	assert_string_equal(world.questions->str, "");
}

/* ---- who makes room: alpha, for beta's job ---- */

static struct json_object *body(const char *uuid, double mib)
{
	struct json_object *object = json_object_new_object(), *vector;

	vector = json_object_new_object();
	json_object_object_add(vector, "use", json_object_new_double(1));
	json_object_object_add(vector, "mem", json_object_new_double(mib * WORLD_MIB));
	json_object_object_add(vector, "qemu", json_object_new_int(0));
	json_object_object_add(object, "vector", vector);
	json_object_object_add(object, "expected", json_object_new_double(100));
	event_add_string(object, "uuid", uuid);
	return object;
}

/* Why not; NULL: it makes room. */
static const char *asked(const char *from, const char *uuid, double mib)
{
	struct json_object *question = body(uuid, mib);

	g_clear_pointer(&world.refusal, g_free);
	room_question(&world.mvd, from, question, NULL);
	json_object_put(question);
	return world.refusal;
}

static void ended(const char *from, const char *uuid)
{
	struct json_object *question = body(uuid, 1);

	room_end_question(&world.mvd, from, question, NULL);
	json_object_put(question);
}

static const char *admitted(const char *from, const char *uuid, bool moves, bool by_hand)
{
	struct job_facts facts = { .home = (char *)from, .memory = 256, .accel = ACCEL_TCG };
	struct json_object *question = body(uuid, 368);
	static struct err err;
	int rc;

	memset(&err, 0, sizeof(err));
	g_strlcpy(facts.uuid, uuid, sizeof(facts.uuid));
	if (by_hand)
		json_object_object_del(question, "expected");
	rc = scheduler_admit(&world.mvd, &facts, question, moves, &err);
	json_object_put(question);
	return rc < 0 ? err.text : NULL;
}

static bool makes_room(void)
{
	return world_self().flags & SCHED_MAKING;
}

/* Of which each has 368 MiB, and the node 600 left. */
static void crowd(unsigned jobs)
{
	while (jobs-- > 0)
		world_job("loop");
	world_pass(10);
	world.room = 600;
	assert_int_equal(world.begun, 0);
}

static void sends_others_away(void **state)
{
	struct job *goes;

	(void)state;
	world_job("pinned")->facts.pin = true;
	goes = world_job("goes");
	crowd(0);
	assert_null(asked("beta", UUID, 368));
	assert_true(makes_room());
	/* The question was heard twice. */
	assert_null(asked("beta", UUID, 368));
	world_pass(2);
	assert_ptr_equal(world.moving, goes);
	assert_true(says(goes, "it makes room for a job that fits nowhere"));
	world_pass(5);
	assert_int_equal(world.begun, 1);
	world.room = 900;
	world_moved(2, 100, NULL);
	world_pass(5);
	assert_int_equal(world.begun, 1);
	assert_null(admitted("beta", UUID, false, false));
	assert_false(makes_room());
}

static void keeps_it_from_others(void **state)
{
	struct job *job;

	(void)state;
	crowd(3);
	assert_null(asked("beta", UUID, 700));
	world.room = 2000;
	assert_non_null(strstr(admitted("gamma", OTHER, false, false), "keeps its free memory"));
	assert_non_null(strstr(admitted("beta", OTHER, true, false), "keeps its free memory"));
	assert_non_null(strstr(admitted("gamma", OTHER, false, true), "keeps its free memory"));
	/* Not even with the name of the job. */
	assert_non_null(admitted("gamma", UUID, false, false));
	assert_non_null(admitted("beta", UUID, true, false));
	/* Nor from this node's own. */
	world.beta.others = world.gamma.others = 50;
	job = newcomer();
	assert_non_null(job->host);
	assert_true(makes_room());
	assert_null(admitted("beta", UUID, false, false));
	assert_false(makes_room());
	assert_null(admitted("gamma", OTHER, false, true));
}

static void lets_go(void **state)
{
	(void)state;
	crowd(3);
	world.mvd.config.settings.policy.retry = 1000;
	assert_null(asked("beta", UUID, 700));
	world_pass(29);
	assert_true(makes_room());
	world_pass(2);
	assert_false(makes_room());
	/* Somebody else's word does not count, and an end counts at once. */
	world_pass(200);
	assert_null(asked("beta", UUID, 700));
	ended("gamma", UUID);
	ended("beta", OTHER);
	ended("beta", "nonsense");
	assert_true(makes_room());
	ended("beta", UUID);
	assert_false(makes_room());
	world_pass(200);
	assert_null(asked("beta", UUID, 700));
	world.dead = "beta";
	world_pass(1);
	assert_false(makes_room());
	world.dead = NULL;
	world_pass(500);
	assert_null(asked("beta", UUID, 700));
	world.mvd.config.settings.drain = true;
	world_pass(1);
	assert_false(makes_room());
}

static unsigned pause_of(const char *from)
{
	unsigned seconds = 0;

	while (asked(from, UUID, 700)) {
		assert_non_null(strstr(world.refusal, "a short time ago"));
		world_pass(1);
		assert_true(++seconds < 10000);
	}
	return seconds;
}

/* However a member asks, others have the node most of the time. */
static void has_growing_pauses(void **state)
{
	unsigned first, second, third;

	(void)state;
	crowd(3);
	assert_null(asked("beta", UUID, 700));
	assert_non_null(strstr(asked("gamma", OTHER, 700), "for another job"));
	world_pass(31);
	assert_false(makes_room());
	/* Members that take turns do not keep it for ever, either. */
	assert_in_range(pause_of("gamma"), 9, 11);
	ended("gamma", UUID);
	first = 11 + pause_of("beta");
	assert_in_range(first, 60, 65);
	world_pass(31);
	second = pause_of("beta");
	assert_true(second > 2 * first);
	world_pass(31);
	third = pause_of("beta");
	assert_true(third > 2 * second);
	/* One whose job comes has a short one. */
	world.room = 2000;
	world_pass(5);
	assert_null(admitted("beta", UUID, false, false));
	world.room = 600;
	assert_in_range(pause_of("beta"), 9, 12);
}

static void refuses(void **state)
{
	struct mvd_settings *settings = &world.mvd.config.settings;

	(void)state;
	crowd(2);
	assert_non_null(strstr(asked("beta", "", 300), "no sense"));
	assert_non_null(strstr(asked("beta", "../../etc", 300), "no sense"));
	assert_non_null(strstr(asked("beta", UUID, NAN), "no sense"));
	assert_non_null(strstr(asked("beta", UUID, -1), "no sense"));
	assert_non_null(strstr(asked("beta", UUID, 9000), "the job needs"));
	/* More than those can make that are here. */
	assert_non_null(strstr(asked("beta", UUID, 5000), "too few"));
	settings->usher = false;
	assert_non_null(strstr(asked("beta", UUID, 700), "keeps its jobs"));
	settings->usher = true;
	settings->stay = true;
	assert_non_null(strstr(asked("beta", UUID, 700), "keeps its jobs"));
	settings->stay = false;
	settings->block = true;
	assert_non_null(strstr(asked("beta", UUID, 700), "takes no jobs"));
	settings->block = false;
	world.beta.slots = world.gamma.slots = 0;
	assert_non_null(strstr(asked("beta", UUID, 700), "too few"));
	world.beta.slots = world.gamma.slots = 512;
	world.obstacle = "it has a lock";
	assert_non_null(strstr(asked("beta", UUID, 700), "too few"));
	world.obstacle = NULL;
	assert_false(makes_room());
	assert_null(asked("beta", UUID, 700));
}

/* Home is one of the nodes that can be asked. */
static void makes_room_for_its_own(void **state)
{
	struct job *job, *goes;

	(void)state;
	goes = world_job("goes");
	world_pass(10);
	world.room = 600;
	world.beta.mem_free = 500 * WORLD_MIB;
	world.gamma.state = SCHED_GONE;
	job = newcomer();
	assert_true(job->unplaced);
	/* Nobody could take what goes. */
	world_pass(14);
	assert_false(makes_room());
	/* A node where the newcomer may not be. */
	job->facts.never = g_strdup("beta");
	world.beta.mem_free = 7000 * WORLD_MIB;
	world_pass(30);
	assert_true(makes_room());
	assert_true(says(job, "being made at alpha"));
	assert_ptr_equal(world.moving, goes);
	world.room = 900;
	world_moved(2, 100, NULL);
	job_ref(job);
	world_pass(1);
	/* It begins, and fails, because there is no libvirt in this world. */
	assert_false(job->unplaced);
	assert_null(job->host);
	assert_false(makes_room());
	job_unref(job);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asks_once_when_it_is_due),
		TEST(gets_the_room),
		TEST(finds_a_place_elsewhere),
		TEST(ends_while_it_waits),
		TEST(asks_another),
		TEST(gives_up),
		TEST(does_without_the_dead),
		TEST(sends_others_away),
		TEST(keeps_it_from_others),
		TEST(lets_go),
		TEST(has_growing_pauses),
		TEST(refuses),
		TEST(makes_room_for_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
