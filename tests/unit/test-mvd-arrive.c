/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs that are on their way to this node: one at a time of those that agents send, and all
 * others know of it at once. The real source, with a libvirt and a kit that are ready.
 */
#include "tests/unit/agent-world.h"

#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-libvirt.h"
#include "vmm-agent/mvd-questions.h"

static struct virt_facts libvirt;

#define virt_state(virt) ((void)(virt), VIRT_UP)
#define virt_facts(virt) ((void)(virt), &libvirt)
#define kit_state(kit) ((void)(kit), KIT_READY)
#define kit_kernel(kit) ((void)(kit), "/kernel")
#define kit_initramfs(kit) ((void)(kit), "/initramfs")
#include "vmm-agent/mvd-arrive.c"

#define FIRST "6f6f0000-1111-2222-3333-0000000000aa"
#define SECOND "6f6f0000-1111-2222-3333-0000000000bb"

static char dac[64];

static struct arrivals *arrivals(void)
{
	return world.mvd.jobs->arrivals;
}

static int set_up(void **state)
{
	world_set_up(state);
	g_free(world.mvd.config.socket);
	world.mvd.config.socket = g_build_filename(world.mvd.config.state_dir, "socket", NULL);
	snprintf(dac, sizeof(dac), "+%u:+%u", (unsigned)geteuid(), (unsigned)getegid());
	libvirt.dac[ACCEL_TCG] = dac;
	return 0;
}

static int tear_down(void **state)
{
	g_autofree char *path = g_build_filename(world.mvd.config.state_dir, "migrate", NULL);

	arrivals_done(arrivals(), FIRST);
	arrivals_done(arrivals(), SECOND);
	rmdir(path);
	return world_tear_down(state);
}

/* As another agent asks that has decided to send the job. */
static struct json_object *wish_of(const char *uuid, int64_t time)
{
	struct json_object *body = json_object_new_object(), *vector = json_object_new_object();

	event_add_string(body, "uuid", uuid);
	event_add_string(body, "home", "beta");
	event_add_string(body, "accel", accel_name(ACCEL_TCG));
	event_add_number(body, "memory", 256);
	event_add_number(body, "time", time);
	json_object_object_add(vector, "use", json_object_new_double(1));
	json_object_object_add(vector, "mem", json_object_new_double(300 * WORLD_MIB));
	event_add_number(vector, "qemu", 0);
	json_object_object_add(body, "vector", vector);
	json_object_object_add(body, "expected", json_object_new_double(100));
	return body;
}

/* Its secret; NULL: world.refusal says why not. */
static const char *reserved_at(const char *uuid, int64_t time)
{
	struct json_object *body = wish_of(uuid, time);

	json_object_put(world.answer);
	world.answer = NULL;
	g_clear_pointer(&world.refusal, g_free);
	arrivals_reserve(arrivals(), "beta", body, NULL);
	json_object_put(body);
	return world.answer ? world_text(world.answer, "secret") : NULL;
}

static const char *reserved(const char *uuid)
{
	return reserved_at(uuid, g_get_real_time() / 1000);
}

static void released(const char *uuid, const char *secret)
{
	struct json_object *body = json_object_new_object();

	event_add_string(body, "uuid", uuid);
	event_add_string(body, "secret", secret);
	json_object_put(world.answer);
	arrivals_release(arrivals(), "beta", body, NULL);
	json_object_put(body);
}

/* What others are told is the node as it is: so many are on their way. */
static void tells(unsigned reserved)
{
	struct sched_node node = world_self();

	assert_int_equal(node.reserved, reserved);
	assert_int_equal(node.flags & SCHED_TAKING, reserved ? SCHED_TAKING : 0);
	assert_true(sched_node_load(&node) == reserved);
	assert_int_equal(arrivals_memory(arrivals()), 256 * reserved);
}

static void takes_one_at_a_time(void **state)
{
	g_autofree char *secret = NULL;
	unsigned before = world.urgent;

	(void)state;
	tells(0);
	secret = g_strdup(reserved(FIRST));
	assert_non_null(secret);
	/* At once, and not when gossip is due: or all send theirs here. */
	tells(1);
	g_main_context_iteration(NULL, FALSE);
	assert_int_equal(world.urgent, before + 1);
	assert_true(world.told.flags & SCHED_TAKING);
	assert_int_equal(world.told.reserved, 1);
	assert_null(reserved(SECOND));
	assert_non_null(strstr(world.refusal, "another job is on its way"));
	tells(1);
	released(FIRST, "no secret");
	tells(1);
	released(FIRST, secret);
	tells(0);
	assert_non_null(reserved(SECOND));
	tells(1);
}

static void forgets_one_that_has_come(void **state)
{
	(void)state;
	assert_non_null(reserved(FIRST));
	tells(1);
	/* The domain runs: mvd-adopt.c has it from now on. */
	arrivals_done(arrivals(), FIRST);
	tells(0);
	world_pass(1);
	assert_false(world.told.flags & SCHED_TAKING);
	assert_non_null(reserved(SECOND));
}

static void keeps_nothing_for_one_that_it_refuses(void **state)
{
	(void)state;
	/* The scheduler takes it, and then something else is in the way. */
	assert_null(reserved_at(FIRST, 1));
	assert_non_null(strstr(world.refusal, "its clock is"));
	tells(0);
	assert_non_null(reserved(SECOND));
}

/* Both with its yes and its no it says how it is. */
static void tells_its_load_to_who_asks(void **state)
{
	(void)state;
	assert_non_null(reserved(FIRST));
	assert_int_equal(strlen(world_text(world.answer, "load")), 128);
	assert_null(reserved(SECOND));
	assert_int_equal(strlen(world_text(world.details, "load")), 128);
}

static struct job_facts facts_of(const char *uuid)
{
	struct job_facts facts = { .pid = 4711, .start = 1, .since = 1, .memory = 256, .cpus = 1,
				   .accel = ACCEL_TCG };

	g_strlcpy(facts.uuid, uuid, sizeof(facts.uuid));
	facts.home = g_strdup("beta");
	facts.name = g_strdup("sleep");
	facts.user = g_strdup("ann");
	facts.command = g_strdup("sleep 9");
	facts.agent = g_strdup("/nowhere/socket");
	return facts;
}

static void pass(unsigned ms)
{
	gint64 until = g_get_monotonic_time() + ms * 1000;

	while (!world.refusal && g_get_monotonic_time() < until)
		if (!g_main_context_iteration(NULL, FALSE))
			g_usleep(5000);
}

/* Home starts a job once more whose microVM did not boot, and does not wait until that is gone. */
static void waits_for_the_former_to_be_gone(void **state)
{
	struct job_facts facts = facts_of(FIRST);
	g_autofree char *xml = job_facts_to_xml(&facts);
	struct json_object *body = json_object_new_object();
	struct job *former = jobs_add(world.mvd.jobs, &facts);

	(void)state;
	former->mvrun_gone = true;
	event_add_string(body, "op", "start");
	event_add_string(body, "facts", xml);
	event_add_number(body, "cpus", 99); /* which it has not got: it is refused when it is looked at */
	mvd_question(&world.mvd, "beta", body, NULL);
	pass(300);
	assert_null(world.refusal);
	jobs_remove(former);
	pass(5000);
	assert_non_null(world.refusal);
	assert_non_null(strstr(world.refusal, "99 processors"));
	/* One that is to stay is another matter. */
	g_clear_pointer(&world.refusal, g_free);
	facts = facts_of(FIRST);
	former = jobs_add(world.mvd.jobs, &facts);
	mvd_question(&world.mvd, "beta", body, NULL);
	assert_non_null(strstr(world.refusal, "here already"));
	jobs_remove(former);
	json_object_put(body);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(takes_one_at_a_time),
		TEST(forgets_one_that_has_come),
		TEST(keeps_nothing_for_one_that_it_refuses),
		TEST(tells_its_load_to_who_asks),
		TEST(waits_for_the_former_to_be_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
