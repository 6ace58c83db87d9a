/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Orders of people to a node: what they change, and how far they are. */
#include "tests/unit/agent-world.h"

#include "net/peer.h"

static const struct mvd_settings *settings(void)
{
	return &world.mvd.config.settings;
}

static long long number(struct json_object *answer, const char *field)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(answer, field, &value));
	return json_object_get_int64(value);
}

/* What is said of the job that is left at this place. */
static const char *left(struct json_object *answer, size_t at)
{
	struct json_object *list;

	assert_true(json_object_object_get_ex(answer, "left", &list));
	return at < json_object_array_length(list) ?
	       world_text(json_object_array_get_idx(list, at), "text") : NULL;
}

static void changes_states(void **state)
{
	(void)state;
	assert_string_equal(world_text(world_order("block", "", ""), "state"), "blocked");
	assert_true(settings()->block);
	assert_string_equal(world_text(world_order("unblock", "", ""), "state"), "open");
	assert_non_null(world_order("stay", "", ""));
	assert_true(settings()->stay);
	assert_non_null(world_order("unstay", "", ""));
	assert_false(settings()->stay);
	assert_string_equal(world_text(world_order("drain", "", ""), "state"), "draining");
	assert_string_equal(world_text(world_order("undrain", "", ""), "state"), "open");
	assert_null(world_order("explode", "", ""));
	assert_non_null(strstr(world.refusal, "\"explode\" is not known"));
}

/* What the next agent here reads, or NULL. */
static char *kept(void)
{
	g_autofree char *path = g_build_filename(world.mvd.config.state_dir, "orders", NULL);
	char *text = NULL;

	g_file_get_contents(path, &text, NULL, NULL);
	return text;
}

static void orders_outlast_the_agent(void **state)
{
	g_autofree char *drained = NULL, *opened = NULL, *all = NULL;

	(void)state;
	assert_non_null(world_order("drain", "", ""));
	drained = kept();
	assert_string_equal(drained, "drain = yes\n");
	assert_non_null(world_order("undrain", "", ""));
	assert_null(kept());
	/* What only lasts as long as the agent is not among it. */
	assert_non_null(world_order("set", "slots", "3"));
	assert_null(kept());
	assert_non_null(world_order("bring", "", ""));
	assert_non_null(world_order("expel", "", ""));
	all = kept();
	assert_string_equal(all, "block = yes\nstay = yes\n");
	/* Against what is configured, too. */
	world.mvd.config.configured.stay = world.mvd.config.configured.block = true;
	assert_non_null(world_order("unblock", "", ""));
	opened = kept();
	assert_string_equal(opened, "block = no\n");
}

static void changes_settings(void **state)
{
	struct json_object *list, *answer;

	(void)state;
	assert_non_null(world_order("set", "slots", "3"));
	assert_int_equal(settings()->slots, 3);
	answer = world_order("get", "slots", "");
	assert_true(json_object_object_get_ex(answer, "settings", &list));
	assert_int_equal(json_object_array_length(list), 1);
	assert_int_equal(number(json_object_array_get_idx(list, 0), "value"), 3);
	assert_null(world_order("set", "slots", "many"));
	assert_null(world_order("set", "speed", "9"));
	assert_non_null(strstr(world.refusal, "no setting \"speed\""));
	assert_null(world_order("get", "speed", ""));
	assert_int_equal(settings()->slots, 3);
	assert_non_null(world_order("get", "", ""));
	assert_string_equal(world_text(world_order("best", "", "256"), "node"), "alpha");
	assert_string_equal(world_text(world_order("best", "", ""), "node"), "alpha");
	assert_null(world_order("best", "", "4G"));
	assert_non_null(strstr(world.refusal, "\"4G\" is no number of MiB"));
	assert_null(world_order("best", "", "0"));
	assert_null(world_order("best", "", "4294967296"));
}

static void tells_who_is_left(void **state)
{
	struct json_object *answer;
	struct job *pinned;

	(void)state;
	world_job("one");
	pinned = world_job("two");
	pinned->facts.pin = true;
	world_pass(6);
	answer = world_order("drain", "", "");
	assert_int_equal(number(answer, "jobs"), 2);
	world_pass(4);
	answer = world_order("status", "", "");
	assert_string_equal(left(answer, 0), "is on its way");
	assert_string_equal(left(answer, 1), "it is pinned");
	world_moved(1, 10, "the network is down");
	world_pass(60);
	if (world.moving)
		world_moved(1, 10, "the network is down");
	world_pass(60);
	if (world.moving)
		world_moved(1, 10, "the network is down");
	assert_string_equal(left(world_order("status", "", ""), 0), "the network is down");
	/* A new order forgets what failed. */
	assert_string_not_equal(left(world_order("drain", "", ""), 0),
				"the network is down");
	answer = world_order("undrain", "", "");
	assert_null(left(answer, 0));
}

static void sends_guests_only(void **state)
{
	struct job *own = world_job("own"), *guest = world_guest("guest", "beta");
	struct json_object *answer;

	(void)state;
	world_pass(6);
	answer = world_order("expel", "", "");
	assert_int_equal(number(answer, "guests"), 1);
	assert_true(settings()->block);
	world_pass(4);
	assert_ptr_equal(world.moving, guest);
	world_moved(1, 10, NULL);
	jobs_remove(guest);
	world_pass(10);
	assert_null(world.moving);
	assert_null(own->host);
	/* Done: it is over, but the door stays closed. */
	assert_false(number(world_order("status", "", ""), "expel"));
	assert_true(settings()->block);
}

static void answer_call(const char *error)
{
	struct json_object *object = json_object_new_object();
	struct peer_reply reply = { .answer = error ? NULL : object, .error = error };
	peer_reply_fn done = world.reply;

	assert_non_null(done);
	world.reply = NULL;
	done(world.reply_ctx, &reply);
	json_object_put(object);
}

static void calls_home(void **state)
{
	struct job *one = world_job("one"), *two = world_job("two");

	(void)state;
	one->host = g_strdup("beta");
	two->host = g_strdup("gamma");
	world_pass(1);
	assert_int_equal(number(world_order("bring", "", ""), "away"), 2);
	assert_true(settings()->stay);
	world_pass(1);
	assert_string_equal(world.asked_op, "migrate");
	assert_string_equal(world.asked_to, "alpha");
	assert_string_equal(world.asked, "beta");
	/* One after the other. */
	world_pass(5);
	assert_string_equal(world.asked, "beta");
	answer_call("it cannot be moved");
	world_pass(1);
	assert_string_equal(world.asked, "gamma");
	g_clear_pointer(&two->host, g_free);
	answer_call(NULL);
	world_pass(2);
	assert_string_equal(left(world_order("status", "", ""), 0), "it cannot be moved");
	assert_int_equal(number(world.answer, "away"), 1);
	assert_false(number(world.answer, "bring"));
	assert_non_null(world_order("unstay", "", ""));
	assert_false(settings()->stay);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(changes_states),
		TEST(orders_outlast_the_agent),
		TEST(changes_settings),
		TEST(tells_who_is_left),
		TEST(sends_guests_only),
		TEST(calls_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
