/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is cleared away of jobs that ended, or were on their way to here, while no agent was here. The
 * real source, with a libvirt that answers at once and a clock that the test moves.
 */
#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-console.h"
#include "vmm-agent/mvd-dial.h"
#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-libvirt.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-tell.h"
#include "vmm-agent/mvd-vsock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID "6f6f0000-1111-2222-3333-000000000001"

static enum virt_state connection;
static struct virt_domain *there; /* NULL: none */
static unsigned described, destroyed;
static bool expected;
static GSourceFunc timer;
static gpointer timer_ctx;

static void describe(virt_described_fn done, void *ctx)
{
	described++;
	done(ctx, there);
}

static guint later(GSourceFunc function, gpointer ctx)
{
	assert_null(timer);
	timer = function;
	timer_ctx = ctx;
	return 1;
}

#define virt_state(virt) ((void)(virt), connection)
#define virt_describe(virt, uuid, done, ctx) ((void)(virt), (void)(uuid), describe(done, ctx))
#define virt_destroy(virt, uuid, done, ctx) ((void)(virt), (void)(uuid), (void)(done), destroyed++)
#define arrivals_expects(arrivals, uuid) ((void)(arrivals), (void)(uuid), expected)
#define g_timeout_add(ms, function, ctx) ((void)(ms), later(function, ctx))
#include "vmm-agent/mvd-adopt.c"

static struct mvd mvd;
static char dir[32], *file;

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/mv-adopt.XXXXXX");
	assert_non_null(mkdtemp(dir));
	mvd.node = (char *)"alpha";
	mvd.config.jobs_dir = dir;
	mvd.jobs = jobs_new(&mvd);
	file = boot_console(&mvd, UUID);
	assert_true(g_file_set_contents(file, "", 0, NULL));
	connection = VIRT_UP;
	there = NULL;
	described = destroyed = 0;
	expected = false;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file);
	g_clear_pointer(&file, g_free);
	assert_int_equal(rmdir(dir), 0);
	jobs_free(mvd.jobs);
	assert_null(timer);
	return 0;
}

/* The agent has started, or the connection is up again: this is what libvirt has. */
static void reconcile(void)
{
	g_autoptr(GPtrArray) domains = g_ptr_array_new();

	jobs_reconcile(mvd.jobs, domains);
}

/* A second passes. */
static void pass(void)
{
	GSourceFunc function = timer;

	assert_non_null(function);
	timer = NULL;
	function(timer_ctx);
}

static bool is_there(void)
{
	return access(file, F_OK) == 0;
}

static struct job *own_job(const char *host)
{
	struct job_facts facts = { .pid = 101, .uid = 1000, .uuid = UUID, .name = g_strdup("make"),
				   .command = g_strdup("make"), .user = g_strdup("ann"),
				   .home = g_strdup("alpha") };
	struct job *job = jobs_add(mvd.jobs, &facts);

	job->host = g_strdup(host);
	return job;
}

static void removes_files_of_nobody(void **state)
{
	(void)state;
	reconcile();
	assert_true(is_there());
	pass();
	assert_false(is_there());
	assert_int_equal(described, 2);
}

/* libvirt had the domain, which then fails to start: no event tells. */
static void removes_what_never_came(void **state)
{
	struct virt_domain domain = { .uuid = UUID, .moving = true };
	struct job_facts facts = { .uuid = UUID, .name = (char *)"make", .user = (char *)"ann",
				   .command = (char *)"make", .home = (char *)"beta",
				   .from = (char *)"", .agent = (char *)"/socket", .pid = 7,
				   .uid = 1000, .memory = 128, .cpus = 1, .incarnation = 2,
				   .attempt = 2, .boots = 1, .accel = ACCEL_TCG };
	g_autofree char *metadata = job_facts_to_xml(&facts);

	(void)state;
	mvd.config.socket = (char *)"/socket";
	domain.metadata = metadata;
	there = &domain;
	reconcile();
	pass();
	pass();
	assert_true(is_there());
	there = NULL;
	pass();
	assert_true(is_there());
	pass();
	assert_false(is_there());
	assert_int_equal(destroyed, 0);
	mvd.config.socket = NULL;
}

static void keeps_what_may_be_needed(void **state)
{
	struct job *job;

	(void)state;
	/* It comes. */
	expected = true;
	reconcile();
	assert_int_equal(described, 0);
	expected = false;
	/* It began to come between two looks. */
	reconcile();
	expected = true;
	pass();
	expected = false;
	/* The connection broke: nothing is known. */
	reconcile();
	connection = VIRT_DOWN;
	pass();
	connection = VIRT_UP;
	/* It is here. */
	job = own_job(NULL);
	described = 0;
	job->stage = JOB_WAITING;
	reconcile();
	assert_int_equal(described, 0);
	assert_true(is_there());
}

/* Its mvrun has told a new agent of it between two looks, and it is looked for. */
static void removes_what_is_sought(void **state)
{
	(void)state;
	reconcile();
	own_job(NULL)->absent = true;
	pass();
	assert_false(is_there());
}

/* Of a job of this home that another node has the files are an older copy's. */
static void removes_an_older_copy(void **state)
{
	struct job *job = own_job("beta");

	(void)state;
	job->stage = JOB_UP;
	jobs_event(mvd.jobs, UUID, VIRT_POWERDOWN);
	assert_int_equal(described, 0);
	jobs_event(mvd.jobs, UUID, VIRT_DESTROYED);
	assert_true(is_there());
	pass();
	assert_false(is_there());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(removes_files_of_nobody),
		TEST(removes_what_never_came),
		TEST(keeps_what_may_be_needed),
		TEST(removes_what_is_sought),
		TEST(removes_an_older_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
