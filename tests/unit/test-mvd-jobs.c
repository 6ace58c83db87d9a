/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of jobs, who may touch one, and when a stopped one is frozen. */
#include "vmm-agent/mvd-jobs.h"

#include "vmm-agent/mvd-console.h"
#include "vmm-agent/mvd-info.h"
#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-process.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct mvd mvd;

static int set_up(void **state)
{
	(void)state;
	mvd.node = (char *)"alpha";
	mvd.jobs = jobs_new(&mvd);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	jobs_free(mvd.jobs);
	mvd.jobs = NULL;
	return 0;
}

static struct job *add(unsigned n, const char *name, uid_t uid)
{
	struct job_facts facts = { .pid = (pid_t)(100 + n), .uid = uid,
				   .since = 1000 - n, .start = n };

	snprintf(facts.uuid, sizeof(facts.uuid),
		 "6f6f0000-1111-2222-3333-%012u", n);
	facts.name = g_strdup(name);
	facts.user = g_strdup("ann");
	facts.command = g_strdup(name);
	return jobs_add(mvd.jobs, &facts);
}

static struct job *find(const char *text, uid_t uid)
{
	return jobs_find_named(mvd.jobs, text, uid, NULL);
}

static void finds_jobs(void **state)
{
	struct job *make = add(1, "make", 1000), *sort = add(2, "sort", 1000);

	(void)state;
	assert_ptr_equal(find("101", 1000), make);
	assert_ptr_equal(find("sort", 1000), sort);
	assert_ptr_equal(find("6F6F0000-1111-2222-3333-000000000002", 1000),
			 sort);
	assert_ptr_equal(jobs_find(mvd.jobs, make->facts.uuid), make);
	assert_null(find("103", 1000));
	assert_null(find("mak", 1000));
	assert_null(find("6f6f0000-1111-2222-3333-000000000009", 1000));
	jobs_remove(make);
	assert_null(find("101", 1000));
	assert_int_equal(jobs_count(mvd.jobs), 1);
}

/* What they were promised counts in full, where there is a bound to it. */
static void bounds_what_is_promised(void **state)
{
	double *share = &mvd.config.settings.memory_promised;
	struct node_memory memory;
	struct job *job;

	(void)state;
	node_memory(&memory);
	job = add(1, "make", 1000);
	job->facts.memory = memory.total / 2;
	add(2, "away", 1000)->host = g_strdup("beta");
	assert_true(node_room(&mvd) > 0);
	*share = 0.25;
	assert_int_equal(node_room(&mvd), 0);
	assert_int_equal(node_limit(&mvd, 8000), 2000);
	*share = 0.51;
	assert_in_range(node_room(&mvd), 0, memory.total / 50);
	*share = 1000;
	assert_true(node_room(&mvd) > 0);
	/* The smaller of the two bounds. */
	mvd.config.memory = 100;
	assert_int_equal(node_limit(&mvd, 8000), 100);
	*share = 0.001;
	assert_int_equal(node_limit(&mvd, 8000), 8);
	*share = mvd.config.memory = 0;
	assert_int_equal(node_limit(&mvd, 8000), 0);
}

static void wants_one_meaning(void **state)
{
	struct err err = { 0 };

	(void)state;
	add(1, "make", 1000);
	add(2, "make", 1000);
	add(3, "make", 1001);
	assert_null(jobs_find_named(mvd.jobs, "make", 1000, &err));
	assert_non_null(strstr(err.text, "2 jobs"));
	assert_non_null(find("make", 1001));
	/* A PID counts before a name that looks like one, but both are meant. */
	add(4, "101", 1000);
	assert_null(find("101", 1000));
}

/* A user may touch what he could kill; root anything. Nobody learns of others'. */
static void keeps_users_apart(void **state)
{
	struct job *job = add(1, "make", 1000);
	struct err err = { 0 };

	(void)state;
	assert_true(job_may_touch(job, 1000));
	assert_true(job_may_touch(job, 0));
	assert_false(job_may_touch(job, 1001));
	assert_ptr_equal(find("make", 0), job);
	assert_null(jobs_find_named(mvd.jobs, "make", 1001, &err));
	assert_non_null(strstr(err.text, "no job \"make\""));
	assert_null(find(job->facts.uuid, 1001));
}

/* It did not boot in time, and its second microVM starts; libvirt tells of the end of
 * the first one before or after its call to destroy it has returned. */
static struct job *second_microvm(unsigned n, bool told_before)
{
	struct job *job = add(n, "make", 1000);

	job->stage = JOB_UP;
	job->rebooting = true;
	job->unplaced = true; /* so that nothing is started here */
	if (told_before)
		jobs_event(mvd.jobs, job->facts.uuid, VIRT_DESTROYED);
	job_destroyed(job);
	assert_int_equal(job->stage, JOB_WAITING);
	job->stage = JOB_STARTING;
	return job;
}

static void tells_two_microvms_apart(void **state)
{
	struct job *late, *early;

	(void)state;
	mvd.config.uri = (char *)"test:///session";
	mvd.config.jobs_dir = (char *)"/nonexistent";
	late = second_microvm(1, false);
	early = second_microvm(2, true);
	jobs_event(mvd.jobs, late->facts.uuid, VIRT_DESTROYED);
	assert_false(late->stopped_early);
	jobs_event(mvd.jobs, late->facts.uuid, VIRT_CRASHED);
	assert_true(late->stopped_early);
	jobs_event(mvd.jobs, early->facts.uuid, VIRT_DESTROYED);
	assert_true(early->stopped_early);
}

/* Its mvrun has ended, its domain is just being destroyed. */
static void hides_what_is_over(void **state)
{
	struct job *job = add(1, "make", 1000);

	(void)state;
	assert_int_equal(jobs_count_where(mvd.jobs).here, 1);
	job->mvrun_gone = true;
	assert_null(find("make", 0));
	assert_null(find("make", 1000));
	assert_int_equal(jobs_count_where(mvd.jobs).here, 0);
	assert_int_equal(jobs_count(mvd.jobs), 1);
}

/* A host is a peer: it may say anything. */
static void takes_believable_figures(void **state)
{
	static const struct {
		const char *answer, *job;
	} cases[] = {
		{ "{\"figures\":{\"cpu_ms\":1500,\"cpu_use\":0.5,\"traffic\":0}}",
		  "{\"pid\":7,\"cpu_ms\":1500,\"cpu_use\":0.5,\"traffic\":0}" },
		{ "{\"figures\":{\"pid\":1,\"uid\":0,\"hot\":3}}", "{\"pid\":7,\"hot\":3}" },
		{ "{\"figures\":{\"cpu_ms\":-1,\"hot\":1e300,\"cpu_use\":NaN}}", "{\"pid\":7}" },
		{ "{\"figures\":{\"cpu_ms\":\"9\",\"hot\":[1],\"shares\":null}}", "{\"pid\":7}" },
		{ "{\"figures\":[1]}", "{\"pid\":7}" },
		{ "{\"gone\":true}", "{\"pid\":7}" },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct json_object *job = json_tokener_parse("{\"pid\":7}");
		struct json_object *answer = json_tokener_parse(cases[i].answer);

		assert_non_null(answer);
		info_take_figures(job, answer);
		assert_string_equal(json_object_to_json_string_ext(job, JSON_C_TO_STRING_PLAIN),
				    cases[i].job);
		json_object_put(answer);
		json_object_put(job);
	}
}

static void counts_where_they_are(void **state)
{
	struct job *here = add(1, "make", 1000), *sent = add(2, "gcc", 1000);
	struct job *guest = add(3, "tar", 1000), *left = add(4, "xz", 1000);
	struct jobs_where where;

	(void)state;
	(void)here;
	sent->host = g_strdup("node2");
	guest->foreign = true;
	left->foreign = true;
	left->absent = true;
	where = jobs_count_where(mvd.jobs);
	assert_int_equal(where.here, 2);
	assert_int_equal(where.guests, 1);
	assert_int_equal(where.away, 1);
}

static void counts_and_orders(void **state)
{
	g_autoptr(GPtrArray) list = NULL;
	struct job *job;

	(void)state;
	add(1, "a", 1000);
	add(2, "b", 1000);
	add(3, "c", 0)->facts.started = true;
	assert_int_equal(jobs_count_user(mvd.jobs, 1000), 2);
	assert_int_equal(jobs_count_booting(mvd.jobs), 2);
	list = jobs_list(mvd.jobs);
	assert_int_equal(list->len, 3);
	job = list->pdata[0];
	assert_string_equal(job->facts.name, "c");
}

static void tells_the_state(void **state)
{
	struct job *job = add(1, "make", 1000);
	struct json_object *json;

	(void)state;
	assert_string_equal(job_state(job), "starting");
	job->facts.started = true;
	assert_string_equal(job_state(job), "running");
	job->freeze.paused = true;
	assert_string_equal(job_state(job), "suspended");
	job->freeze.ours = true;
	assert_string_equal(job_state(job), "stopped");
	json = job_to_json(job);
	assert_non_null(strstr(json_object_to_json_string(json),
			       "\"state\": \"stopped\""));
	assert_non_null(strstr(json_object_to_json_string(json),
			       "\"host\": \"alpha\""));
	json_object_put(json);
}

/* Freezing */

static void freezes_what_stops(void **state)
{
	struct freeze f = { 0 };

	(void)state;
	assert_int_equal(freeze_look(&f, false, 0), FREEZE_NOTHING);
	assert_int_equal(freeze_look(&f, true, 1), FREEZE_SUSPEND);
	assert_false(freeze_domain_paused(&f));
	assert_int_equal(freeze_look(&f, true, 2), FREEZE_NOTHING);
	assert_int_equal(freeze_look(&f, false, 3), FREEZE_RESUME);
	assert_false(freeze_domain_resumed(&f));
	assert_int_equal(freeze_look(&f, false, 4), FREEZE_NOTHING);
}

/* It says "stopping" before it is stopped. */
static void waits_for_the_stop_it_was_told(void **state)
{
	struct freeze f = { 0 };

	(void)state;
	assert_int_equal(freeze_stopping(&f, 1000), FREEZE_SUSPEND);
	assert_int_equal(freeze_look(&f, false, 1500), FREEZE_NOTHING);
	assert_int_equal(freeze_look(&f, true, 2500), FREEZE_NOTHING);
	assert_int_equal(freeze_look(&f, false, 2600), FREEZE_RESUME);
	/* And if it never stops, the job goes on. */
	assert_int_equal(freeze_stopping(&f, 3000), FREEZE_SUSPEND);
	assert_int_equal(freeze_look(&f, false, 7000), FREEZE_RESUME);
	assert_int_equal(freeze_stopping(&f, 8000), FREEZE_SUSPEND);
	assert_int_equal(freeze_running(&f), FREEZE_RESUME);
	assert_int_equal(freeze_running(&f), FREEZE_NOTHING);
}

static void leaves_others_suspensions_alone(void **state)
{
	struct freeze f = { 0 };

	(void)state;
	assert_true(freeze_domain_paused(&f));
	assert_int_equal(freeze_look(&f, true, 1), FREEZE_NOTHING);
	assert_int_equal(freeze_stopping(&f, 2), FREEZE_NOTHING);
	assert_int_equal(freeze_look(&f, false, 9000), FREEZE_NOTHING);
	assert_int_equal(freeze_running(&f), FREEZE_NOTHING);
	assert_true(freeze_domain_resumed(&f));
}

/* Somebody resumes the domain of a stopped mvrun: his word counts until mvrun
 * stops the next time. */
static void obeys_who_resumes(void **state)
{
	struct freeze f = { 0 };

	(void)state;
	assert_int_equal(freeze_look(&f, true, 1), FREEZE_SUSPEND);
	freeze_domain_paused(&f);
	assert_true(freeze_domain_resumed(&f));
	assert_int_equal(freeze_look(&f, true, 2), FREEZE_NOTHING);
	assert_int_equal(freeze_look(&f, false, 3), FREEZE_NOTHING);
	assert_int_equal(freeze_look(&f, true, 4), FREEZE_SUSPEND);
}

static void tries_again_what_failed(void **state)
{
	struct freeze f = { 0 };

	(void)state;
	assert_int_equal(freeze_look(&f, true, 1), FREEZE_SUSPEND);
	freeze_failed(&f, FREEZE_SUSPEND);
	assert_int_equal(freeze_look(&f, true, 2), FREEZE_SUSPEND);
	freeze_domain_paused(&f);
	assert_int_equal(freeze_look(&f, false, 3), FREEZE_RESUME);
	freeze_failed(&f, FREEZE_RESUME);
	assert_int_equal(freeze_look(&f, false, 4), FREEZE_RESUME);
}

/* An event about a resumption without a suspension (a domain that starts). */
static void says_nothing_of_starting(void **state)
{
	struct freeze f = { 0 };

	(void)state;
	assert_false(freeze_domain_resumed(&f));
}

/* Processes */

static void reads_odd_names(void **state)
{
	struct process p;

	(void)state;
	assert_int_equal(process_parse_stat(
		"7 (a) R 1 (b) T 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 "
		"4242 20 21", &p), 0);
	assert_int_equal(p.state, 'T');
	assert_int_equal(p.start, 4242);
	assert_int_equal(process_parse_stat("7 (a", &p), -1);
	assert_int_equal(process_parse_stat("7 (a) R 1 2 3", &p), -1);
	assert_int_equal(process_parse_stat("", &p), -1);
}

static void reads_itself(void **state)
{
	struct process p;
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(process_read(getpid(), &p, NULL), 0);
	assert_int_equal(p.uid, geteuid());
	assert_true(p.start > 0);
	fd = process_open(getpid(), p.start, NULL);
	assert_true(fd >= 0);
	close(fd);
	/* The same number, another process. */
	assert_int_equal(process_open(getpid(), p.start + 1, &err), -1);
	assert_int_equal(err.num, ESRCH);
	assert_int_equal(process_read(0, &p, &err), -1);
}

static void a_zombie_is_gone(void **state)
{
	siginfo_t info;
	struct process p;
	struct err err = { 0 };
	pid_t child = fork();

	(void)state;
	if (child == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT),
			 0);
	assert_int_equal(process_read(child, &p, NULL), 0);
	assert_int_equal(process_open(child, p.start, &err), -1);
	assert_int_equal(err.num, ESRCH);
	waitpid(child, NULL, 0);
}

/* The node */

static void admits(void **state)
{
	unsigned memory = 0;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(node_admit(8192, 8, &memory, 0, &err), 0);
	assert_int_equal(memory, 1024);
	memory = 0;
	assert_int_equal(node_admit(1000, 1, &memory, 0, &err), 0);
	assert_int_equal(memory, 500);
	assert_int_equal(node_default_cpus(ACCEL_KVM, 8), 4);
	assert_int_equal(node_default_cpus(ACCEL_KVM, 2), 2);
	assert_int_equal(node_default_cpus(ACCEL_TCG, 8), 1);
	memory = 8000;
	assert_int_equal(node_admit(8192, 8, &memory, 1, &err), -1);
	assert_non_null(strstr(err.text, "7680 at most"));
	memory = 95;
	assert_int_equal(node_admit(8192, 8, &memory, 1, &err), -1);
	memory = 512;
	assert_int_equal(node_admit(8192, 8, &memory, 9, &err), -1);
	memory = 4294967295u;
	assert_int_equal(node_admit(8192, 8, &memory, 1, &err), -1);
}

static void reads_meminfo(void **state)
{
	static const char text[] = "MemTotal:  2048 kB\nXMemFree: 1 kB\n"
				   "MemFree:   1024 kB\n";

	(void)state;
	assert_int_equal(node_meminfo(text, "MemTotal"), 2);
	assert_int_equal(node_meminfo(text, "MemFree"), 1);
	assert_int_equal(node_meminfo(text, "MemAvailable"), 0);
	assert_int_equal(node_meminfo("", "MemTotal"), 0);
}

/* Who is root, or whom libvirt does not name, has no trouble with /dev/kvm. */
static void minds_who_opens_kvm(void **state)
{
	struct stat st;
	bool there = stat("/dev/kvm", &st) == 0;

	(void)state;
	assert_false(node_kvm_closed(NULL));
	assert_false(node_kvm_closed("+0:+0"));
	assert_false(node_kvm_closed("nonsense"));
	/* A user and a group that own nothing. */
	assert_int_equal(node_kvm_closed("+4000000001:+4000000002"),
			 there && (st.st_mode & 0006) != 0006);
}

/* The console and the kit */

static void judges(const char *tail, enum gone_reason want, const char *says)
{
	g_autofree char *text = NULL;

	assert_int_equal(console_judge(tail, &text), want);
	if (says)
		assert_non_null(strstr(text, says));
	else
		assert_null(text);
}

static void judges_consoles(void **state)
{
	(void)state;
	judges("", GONE_UNKNOWN, NULL);
	judges("monovisor-kit: waiting\n", GONE_UNKNOWN, NULL);
	judges("Out of memory: Killed process 7 (x)\n", GONE_UNKNOWN, NULL);
	judges("[ 1.0] Kernel panic - not syncing: VFS: Unable to mount\x1b[0m"
	       " root\r\n[ 1.1] CPU: 0\n", GONE_PANIC,
	       "VFS: Unable to mount?[0m root (");
	judges("[ 1.0] Out of memory: Killed process 1 (init)\n[ 1.1] Kernel "
	       "panic - not syncing: Attempted to kill init!\n", GONE_MEMORY,
	       "-m");
	judges("Kernel panic - not syncing: System is deadlocked on memory",
	       GONE_MEMORY, "-m");
}

static void quotes_the_last_line(void **state)
{
	g_autofree char *line = console_last_line("a\nb \x07\xc3\xa4 c\r\n\n");
	g_autofree char *none = console_last_line("\n\n");

	(void)state;
	assert_string_equal(line, "b ??? c");
	assert_string_equal(none, "");
}

static void reads_tails(void **state)
{
	g_autofree char *path = NULL;
	g_autofree char *tail = NULL, *missing = NULL;
	int fd = g_file_open_tmp("mvd-console-XXXXXX", &path, NULL);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0123456789\0abc", 14), 14);
	close(fd);
	tail = console_tail(path, 6);
	assert_string_equal(tail, "89 abc");
	unlink(path);
	missing = console_tail(path, 6);
	assert_string_equal(missing, "");
}

static void understands_mvkit(void **state)
{
	char *kernel = NULL, *initramfs = NULL;

	(void)state;
	assert_true(kit_parse("kernel /boot/vmlinuz-6\ninitramfs /k/a b.cpio\n",
			      &kernel, &initramfs));
	assert_string_equal(kernel, "/boot/vmlinuz-6");
	assert_string_equal(initramfs, "/k/a b.cpio");
	g_clear_pointer(&kernel, g_free);
	g_clear_pointer(&initramfs, g_free);
	assert_false(kit_parse("kernel vmlinuz\ninitramfs /k\n", &kernel,
			       &initramfs));
	g_clear_pointer(&initramfs, g_free);
	assert_false(kit_parse("", &kernel, &initramfs));
}

/* ---- guests that dial by vsock ---- */

static struct job *add_guest(unsigned n, unsigned cid)
{
	struct job *job = add(n, "guest", 1000);

	job->facts.transport = JOB_VSOCK;
	job->stage = JOB_UP;
	job->cid = cid;
	return job;
}

/* Returns the guest's end. */
static int dial(unsigned cid)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	jobs_dialled(mvd.jobs, cid, ends[1]);
	return ends[0];
}

static bool is_over(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

static void ends_what_the_guest_left(void **state)
{
	struct job *job = add_guest(1, 5);
	int first = dial(5), second, had, again;

	(void)state;
	had = job_connect(job);
	assert_true(had >= 0);
	assert_int_equal(send(first, "x", 1, 0), 1);
	assert_false(is_over(had));
	second = dial(5);
	assert_true(is_over(had));
	again = job_connect(job);
	assert_true(again >= 0);
	assert_false(is_over(again));
	assert_false(is_over(second));
	/* Whoever asks once more has given that one up: the guest shall dial anew. */
	assert_int_equal(job_connect(job), -1);
	assert_true(is_over(second));
	close(first);
	close(second);
	close(had);
	close(again);
}

static void gives_nobody_anothers_guest(void **state)
{
	struct job *left = add_guest(1, 5), *here = add_guest(2, 5), *lost = add_guest(3, 5);
	int guest, fd, stranger;

	(void)state;
	left->host = g_strdup("beta");
	lost->absent = true;
	guest = dial(5);
	assert_int_equal(job_connect(left), -1);
	assert_int_equal(job_connect(lost), -1);
	fd = job_connect(here);
	assert_true(fd >= 0);
	stranger = dial(6);
	assert_true(is_over(stranger));
	assert_int_equal(job_connect(here), -1);
	close(stranger);
	close(guest);
	close(fd);
	g_clear_pointer(&left->host, g_free);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(finds_jobs),
		TEST(bounds_what_is_promised),
		TEST(wants_one_meaning),
		TEST(keeps_users_apart),
		TEST(tells_two_microvms_apart),
		TEST(hides_what_is_over),
		TEST(counts_where_they_are),
		TEST(takes_believable_figures),
		TEST(counts_and_orders),
		TEST(tells_the_state),
		TEST(ends_what_the_guest_left),
		TEST(gives_nobody_anothers_guest),
		cmocka_unit_test(freezes_what_stops),
		cmocka_unit_test(waits_for_the_stop_it_was_told),
		cmocka_unit_test(leaves_others_suspensions_alone),
		cmocka_unit_test(obeys_who_resumes),
		cmocka_unit_test(tries_again_what_failed),
		cmocka_unit_test(says_nothing_of_starting),
		cmocka_unit_test(reads_odd_names),
		cmocka_unit_test(reads_itself),
		cmocka_unit_test(a_zombie_is_gone),
		cmocka_unit_test(admits),
		cmocka_unit_test(reads_meminfo),
		cmocka_unit_test(minds_who_opens_kvm),
		cmocka_unit_test(judges_consoles),
		cmocka_unit_test(quotes_the_last_line),
		cmocka_unit_test(reads_tails),
		cmocka_unit_test(understands_mvkit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
