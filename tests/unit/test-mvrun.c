/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of mvrun that need no agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm-agent/mvrun.h"
#include "vmm-agent/mvrun-silence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char place[] = "/tmp/mv-test-mvrun.XXXXXX";

static int make_place(void **state)
{
	(void)state;
	return !mkdtemp(place) || chdir(place);
}

static int remove_place(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "/bin/rm -rf '%s'", place);
	return chdir("/") || system(command);
}

static void make_file(const char *name, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0 && !fchmod(fd, mode));
	close(fd);
}

/* ---- finding the program -------------------------------------------------------- */

static void assert_finds(const char *name, int status, const char *wanted)
{
	struct err err = { 0 };
	char *path = NULL;

	assert_int_equal(order_find_program(name, &path, &err), status);
	if (status)
		assert_non_null(strstr(err.text, name));
	else
		assert_string_equal(path, wanted);
	free(path);
}

static void programs_are_found_as_a_shell_finds_them(void **state)
{
	(void)state;
	assert_int_equal(mkdir("a", 0755) | mkdir("b", 0755) | mkdir("b/dir", 0755), 0);
	make_file("a/tool", 0644);
	make_file("b/tool", 0755);
	make_file("a/plain", 0644);
	make_file("here", 0755);
	setenv("PATH", "a:b", 1);
	assert_finds("tool", 0, "b/tool"); /* what cannot be executed is passed over */
	assert_finds("plain", EXIT_CANNOT_EXECUTE, NULL);
	assert_finds("dir", EXIT_NOT_FOUND, NULL);
	assert_finds("missing", EXIT_NOT_FOUND, NULL);
	assert_finds("", EXIT_NOT_FOUND, NULL);
	assert_finds("./here", 0, "./here");
	assert_finds("./b/dir", EXIT_CANNOT_EXECUTE, NULL);
	assert_finds("a/plain", EXIT_CANNOT_EXECUTE, NULL);
	assert_finds("a/none", EXIT_NOT_FOUND, NULL);
	assert_finds("here/below", EXIT_NOT_FOUND, NULL);
	setenv("PATH", "a::b", 1);
	assert_finds("here", 0, "here"); /* an empty element is the directory */
}

/* ---- what the standard descriptors are --------------------------------------------- */

/* The kinds of 0, 1 and 2 as a child with these descriptors finds them. */
static void assert_kinds(int in, int out, int err, const uint32_t *wanted)
{
	static char *argv[] = { "program", NULL };
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		static struct mvrun_start start;
		int wrong = 0;

		dup2(in, 0);
		dup2(out, 1);
		dup2(err, 2);
		if (order_gather(&start, argv, NULL))
			_exit(100);
		for (int i = 0; i < 3; i++)
			wrong |= (start.order.stdio[i] != wanted[i]) << i;
		_exit(wrong);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void descriptors_are_told_apart(void **state)
{
	int null = open("/dev/null", O_RDWR), pipes[2], other[2];
	int file = open("input", O_RDWR | O_CREAT, 0644);
	int gone = open("unlinked", O_RDWR | O_CREAT, 0644);

	(void)state;
	assert_int_equal(pipe(pipes) | pipe(other) | unlink("unlinked"), 0);
	assert_kinds(null, null, null,
		     (uint32_t[]){ STDIO_NULL, STDIO_NULL, STDIO_NULL });
	assert_kinds(file, pipes[1], other[1],
		     (uint32_t[]){ STDIO_FILE, STDIO_STREAM, STDIO_STREAM });
	assert_kinds(pipes[0], pipes[1], pipes[1],
		     (uint32_t[]){ STDIO_STREAM, STDIO_STREAM, STDIO_SAME });
	assert_kinds(gone, file, file, /* without a name it is a stream */
		     (uint32_t[]){ STDIO_STREAM, STDIO_STREAM, STDIO_SAME });
}

/* ---- output -------------------------------------------------------------------------- */

static struct sink sink;
static struct link *guest, *home;

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	(void)channel;
	if (ctx)
		sink_receive(&sink, data, len, home);
}

static struct link *new_link(enum link_side side, void *ctx)
{
	static const struct link_events events = { .data = on_data };
	struct link_config config = { .side = side, .nchannels = CHANNEL_COUNT,
				      .channels = job_channels };

	return link_new(&config, &events, ctx);
}

static void move(struct link *from, struct link *to, int64_t now)
{
	static uint8_t bytes[65536];
	size_t len = link_transmit(from, bytes, sizeof(bytes), now);

	assert_int_equal(link_receive(to, bytes, len, now), 0);
}

static void exchange(int64_t now)
{
	for (int i = 0; i < 20; i++, now += 30) {
		move(home, guest, now);
		move(guest, home, now);
	}
}

static int make_links(void **state)
{
	(void)state;
	guest = new_link(LINK_GUEST, NULL);
	home = new_link(LINK_HOME, &sink);
	link_attach(guest, 0);
	link_attach(home, 0);
	exchange(0);
	return link_state(home) != LINK_UP;
}

static int free_links(void **state)
{
	(void)state;
	link_free(guest);
	link_free(home);
	free(sink.buffer);
	sink.buffer = NULL;
	return 0;
}

static void the_terminals_line_ends_are_not_doubled(void **state)
{
	char got[64];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(sink_open(&sink, fds[1], CHANNEL_TTY), 0);
	sink.drop_cr = true;
	assert_int_equal(link_send(guest, CHANNEL_TTY, "a\r\nb\rc\r\r\n", 9), 0);
	exchange(1000);
	assert_int_equal(sink_run(&sink, home), 0);
	assert_int_equal(read(fds[0], got, sizeof(got)), 7);
	assert_memory_equal(got, "a\nb\rc\r\n", 7);
	assert_false(sink_done(&sink));
	sink.fin = true;
	assert_true(sink_done(&sink));
	close(fds[0]);
	close(fds[1]);
}

static void output_never_waits_for_its_reader(void **state)
{
	static uint8_t bytes[200000];
	size_t window = job_channels[CHANNEL_STDOUT].window, before;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(sink_open(&sink, fds[1], CHANNEL_STDOUT), 0);
	assert_int_equal(link_send(guest, CHANNEL_STDOUT, bytes, sizeof(bytes)), 0);
	exchange(1000);
	assert_int_equal(sink_run(&sink, home), 0); /* a full pipe: returns */
	before = sink.used;
	assert_true(before > 0 && before < window);
	assert_int_equal(read(fds[0], bytes, 65536), 65536);
	assert_int_equal(sink_run(&sink, home), 0);
	assert_true(sink.used < before);
	close(fds[0]);
	assert_int_equal(sink_run(&sink, home), EPIPE); /* said once */
	assert_int_equal(sink_run(&sink, home), 0);
	sink.fin = true;
	assert_true(sink_done(&sink));
	close(fds[1]);
}

/* ---- silence ------------------------------------------------------------------------- */

static struct silence silence;
static int64_t now_ms;
static unsigned begins, ends;
static bool excused;

static void look(void)
{
	struct link_stats stats;
	enum silence_news news;

	link_stats(home, &stats);
	news = silence_look(&silence, stats.frames_received, excused, now_ms);
	begins += news == SILENCE_BEGINS;
	ends += news == SILENCE_ENDS;
}

static void carry(struct link *from, struct link *to)
{
	static uint8_t bytes[65536];
	size_t len = link_transmit(from, bytes, sizeof(bytes), now_ms);

	if (len && to)
		link_receive(to, bytes, len, now_ms);
}

/* Seconds go by; of a transport that is cut nothing comes out. */
static void pass(unsigned seconds, bool cut)
{
	for (unsigned i = 0; i < 4 * seconds; i++, now_ms += 250) {
		link_tick(home, now_ms);
		link_tick(guest, now_ms);
		carry(home, cut ? NULL : guest);
		carry(guest, cut ? NULL : home);
		look();
		assert_true(silence_deadline(&silence) == -1 ||
			    silence_deadline(&silence) > now_ms);
	}
}

static void attach_again(void)
{
	link_attach(guest, now_ms);
	link_attach(home, now_ms);
	pass(1, false);
	assert_int_equal(link_state(home), LINK_UP);
}

static int begin_silence(void **state)
{
	silence = (struct silence){ 0 };
	begins = ends = 0;
	excused = false;
	now_ms = 5000000;
	if (make_links(state))
		return -1;
	attach_again();
	return 0;
}

static void assert_said(unsigned begun, unsigned ended)
{
	assert_int_equal(begins, begun);
	assert_int_equal(ends, ended);
}

static void an_idle_job_is_not_silent(void **state)
{
	(void)state;
	pass(600, false);
	assert_said(0, 0);
}

static void silence_is_said_once_and_its_end_once(void **state)
{
	(void)state;
	pass(60, false);
	pass(14, true);
	assert_said(0, 0);
	pass(12, true);
	assert_said(1, 0);
	assert_int_equal(link_state(home), LINK_DETACHED);
	pass(300, true);
	assert_said(1, 0);
	attach_again();
	pass(30, false);
	assert_said(1, 1);
	pass(30, true);
	assert_said(2, 1);
}

static void another_transport_mends_it_without_a_word(void **state)
{
	(void)state;
	pass(17, true);
	assert_int_equal(link_state(home), LINK_DETACHED);
	attach_again();
	pass(30, false);
	assert_said(0, 0);
}

/* The agent has said why, or the job is on its way. */
static void what_is_known_is_not_said(void **state)
{
	(void)state;
	excused = true;
	pass(100, true);
	assert_said(0, 0);
	excused = false;
	attach_again();
	pass(10, false);
	silence_moving(&silence, now_ms);
	pass(100, true);
	assert_said(0, 0);
	attach_again();
	silence_linked(&silence);
	pass(10, false);
	assert_said(0, 0);
	pass(30, true);
	assert_said(1, 0);
	/* A move that nobody has heard the end of. */
	attach_again();
	silence_moving(&silence, now_ms);
	pass(SILENCE_MOVE_MS / 1000 - 5, true);
	assert_said(1, 1);
	pass(30, true);
	assert_said(2, 1);
}

static void who_was_stopped_has_not_waited(void **state)
{
	(void)state;
	pass(10, true);
	now_ms += 3600000; /* Ctrl-Z, or the lid was closed */
	pass(15, true);
	assert_said(0, 0);
	pass(10, true);
	assert_said(1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_are_found_as_a_shell_finds_them),
		cmocka_unit_test(descriptors_are_told_apart),
		cmocka_unit_test_setup_teardown(the_terminals_line_ends_are_not_doubled,
						make_links, free_links),
		cmocka_unit_test_setup_teardown(output_never_waits_for_its_reader,
						make_links, free_links),
		cmocka_unit_test_setup_teardown(an_idle_job_is_not_silent,
						begin_silence, free_links),
		cmocka_unit_test_setup_teardown(silence_is_said_once_and_its_end_once,
						begin_silence, free_links),
		cmocka_unit_test_setup_teardown(another_transport_mends_it_without_a_word,
						begin_silence, free_links),
		cmocka_unit_test_setup_teardown(what_is_known_is_not_said,
						begin_silence, free_links),
		cmocka_unit_test_setup_teardown(who_was_stopped_has_not_waited,
						begin_silence, free_links),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_place, remove_place);
}
