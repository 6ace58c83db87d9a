/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the kit that do not need a guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest-kit/kit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define ID "mv.id=00112233-4455-6677-8899-aabbccddeeff"

/* ---- the kernel command line ------------------------------------------------ */

static void the_command_line_gives_id_and_transport(void **state)
{
	struct boot_options options;
	struct err err;

	(void)state;
	assert_int_equal(boot_parse("quiet " ID " mv.transport=vsock:9000\n",
				    &options, &err), 0);
	assert_int_equal(options.id[0], 0x00);
	assert_int_equal(options.id[15], 0xff);
	assert_string_equal(options.transport->name, "vsock");
	assert_string_equal(options.address, "2:9000");
	assert_int_equal(boot_parse(ID " mv.transport=serial:some.port", &options,
				    &err), 0);
	assert_string_equal(options.transport->name, "virtio-serial");
	assert_string_equal(options.address, "some.port");
	assert_int_equal(boot_parse(ID, &options, &err), 0);
	assert_string_equal(options.address, "org.monovisor.link.0");
}

static void a_bad_command_line_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "quiet", "mv.id=", "mv.id=0011", "xmv.id=00112233445566778899aabbccddeeff",
		"mv.id=00112233445566778899aabbccddeeff00",
		"mv.id=0011223344556677889-aabbccddeegg", ID " mv.transport=pigeon",
		ID " mv.transport=serialx",
	};
	struct boot_options options;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(boot_parse(bad[i], &options, &err), -1);
}

/* ---- streams ------------------------------------------------------------------- */

static struct stream_in in;

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	assert_int_equal(channel, CHANNEL_STDIN);
	stream_in_receive(&in, data, len, *(struct link **)ctx);
}

static void on_fin(void *ctx, unsigned channel)
{
	(void)ctx;
	assert_int_equal(channel, CHANNEL_STDIN);
	in.fin = true;
}

static struct link *guest, *home;

static struct link *new_link(enum link_side side)
{
	static const struct link_events events = { .data = on_data, .fin = on_fin };
	struct link_config config = { .side = side, .nchannels = CHANNEL_COUNT,
				      .channels = job_channels };
	struct link *link = link_new(&config, &events, &guest);

	assert_non_null(link);
	return link;
}

static void move(struct link *from, struct link *to, int64_t now)
{
	static uint8_t bytes[65536];
	size_t len = link_transmit(from, bytes, sizeof(bytes), now);

	assert_int_equal(link_receive(to, bytes, len, now), 0);
}

static int64_t exchange(int64_t now)
{
	for (int i = 0; i < 20; i++, now += 30) {
		move(home, guest, now);
		move(guest, home, now);
	}
	return now;
}

static int make_links(void **state)
{
	(void)state;
	guest = new_link(LINK_GUEST);
	home = new_link(LINK_HOME);
	link_attach(guest, 0);
	link_attach(home, 0);
	exchange(0);
	assert_int_equal(link_state(home), LINK_UP);
	return 0;
}

static int free_links(void **state)
{
	(void)state;
	link_free(guest);
	link_free(home);
	free(in.buffer);
	in.buffer = NULL;
	return 0;
}

static void output_is_taken_only_as_far_as_there_is_room(void **state)
{
	struct stream_out out = { .channel = CHANNEL_STDERR };
	static uint8_t bytes[65536];
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	out.fd = fds[0];
	for (int i = 0; i < 4; i++) {
		ssize_t ignored = write(fds[1], bytes, sizeof(bytes));

		(void)ignored;
		stream_out_run(&out, guest);
		stream_out_run(&out, guest);
		stream_out_run(&out, guest);
	}
	assert_int_equal(link_pending(guest, CHANNEL_STDERR),
			 job_channels[CHANNEL_STDERR].window);
	assert_int_equal(stream_out_events(&out, guest), 0);
	close(fds[1]);
	stream_out_end(&out, guest);
	assert_int_equal(out.fd, -1);
}

static void input_waits_for_its_reader(void **state)
{
	static uint8_t bytes[200000], got[70000];
	size_t total = 0;
	int64_t now = 1000;
	int fds[2];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	assert_int_equal(stream_in_open(&in, fds[1], CHANNEL_STDIN), 0);
	assert_int_equal(link_send(home, CHANNEL_STDIN, bytes, sizeof(bytes)), 0);
	link_send_fin(home, CHANNEL_STDIN);
	while (in.fd >= 0 || total < sizeof(bytes)) {
		ssize_t n;

		now = exchange(now);
		assert_int_equal(stream_in_run(&in, guest), 0);
		n = read(fds[0], got, sizeof(got));
		assert_true(n > 0);
		assert_memory_equal(got, bytes + total, (size_t)n);
		total += (size_t)n;
	}
	assert_int_equal(read(fds[0], got, 1), 0);
	assert_int_equal(in.written, sizeof(bytes));
	close(fds[0]);
	stream_in_close(&in, guest);
	assert_int_equal(in.rest, -1);
}

/* Before its end, after it, and when the reader has closed it. */
static void input_that_nobody_reads_is_counted(void **state)
{
	static uint8_t bytes[3000], got[1000];
	int64_t now = 1000;
	int fds[2];

	(void)state;
	for (int when = 0; when < 3; when++) {
		assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
		assert_int_equal(stream_in_open(&in, fds[1], CHANNEL_STDIN), 0);
		assert_int_equal(link_send(home, CHANNEL_STDIN, bytes, sizeof(bytes)), 0);
		now = exchange(now);
		in.fin = when == 1;
		assert_int_equal(stream_in_run(&in, guest), 0);
		assert_int_equal(in.fd < 0, when == 1);
		assert_int_equal(stream_in_taken(&in), 0);
		assert_int_equal(read(fds[0], got, sizeof(got)), sizeof(got));
		if (when == 2)
			close(fds[0]);
		assert_int_equal(stream_in_taken(&in), sizeof(got));
		stream_in_close(&in, guest);
		assert_int_equal(in.written, sizeof(got));
		assert_int_equal(stream_in_taken(&in), sizeof(got));
		if (when != 2)
			close(fds[0]);
		free(in.buffer);
		in.buffer = NULL;
	}
}

static void input_whose_reader_is_gone_says_so(void **state)
{
	int fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
	assert_int_equal(stream_in_open(&in, fds[1], CHANNEL_STDIN), 0);
	close(fds[0]);
	assert_int_equal(link_send(home, CHANNEL_STDIN, "x", 1), 0);
	exchange(1000);
	assert_int_equal(stream_in_run(&in, guest), -1);
	assert_int_equal(in.fd, -1);
}

/* ---- the terminal ------------------------------------------------------------------ */

static int open_pty(int *slave, int *number)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	const char *name;

	assert_true(master >= 0 && !grantpt(master) && !unlockpt(master));
	name = ptsname(master);
	*number = atoi(name + strlen("/dev/pts/"));
	*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(*slave >= 0);
	return master;
}

static void signal_characters_are_recognised(void **state)
{
	int slave, number, master = open_pty(&slave, &number);
	struct termios raw;

	(void)state;
	assert_int_equal(tty_signal_of(master, (const uint8_t *)"abc", 3), 0);
	assert_int_equal(tty_signal_of(master, (const uint8_t *)"a\003", 2), SIGINT);
	assert_int_equal(tty_signal_of(master, (const uint8_t *)"\034", 1), SIGQUIT);
	assert_int_equal(tty_signal_of(master, (const uint8_t *)"\032", 1), SIGTSTP);
	tcgetattr(slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	assert_int_equal(tty_signal_of(master, (const uint8_t *)"\003", 1), 0);
	close(slave);
	close(master);
}

static void wait_in_read(int tty)
{
	char c;

	if (read(tty, &c, 1) < 0)
		_exit(1);
}

static void wait_in_poll(int tty)
{
	struct pollfd p[2] = { { .fd = -1, .events = POLLIN },
			       { .fd = tty, .events = POLLIN } };

	poll(p, 2, -1);
}

static void wait_in_select(int tty)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(tty, &set);
	select(tty + 1, &set, NULL, NULL, NULL);
}

static void wait_in_epoll(int tty)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, tty, &event);
	epoll_wait(epoll, &event, 1, -1);
}

static void wait_for_something_else(int tty)
{
	(void)tty;
	pause();
}

/* Whether a process that waits like this is noticed within two seconds. */
static bool is_noticed(void (*waits)(int tty))
{
	int slave, number, master = open_pty(&slave, &number);
	bool wanted = false;
	pid_t child = fork();

	assert_true(child >= 0);
	if (!child) {
		waits(slave);
		_exit(0);
	}
	for (int i = 0; i < 20 && !wanted; i++) {
		usleep(100000);
		wanted = tty_is_wanted(slave, number);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(slave);
	close(master);
	return wanted;
}

static void whoever_waits_for_the_terminal_is_noticed(void **state)
{
	(void)state;
	assert_true(is_noticed(wait_in_read));
	assert_true(is_noticed(wait_in_poll));
	assert_true(is_noticed(wait_in_select));
	assert_true(is_noticed(wait_in_epoll));
	assert_false(is_noticed(wait_for_something_else));
}

static void a_terminal_in_raw_mode_is_wanted(void **state)
{
	int slave, number, master = open_pty(&slave, &number);
	struct termios raw;

	(void)state;
	assert_false(tty_is_wanted(slave, number));
	tcgetattr(slave, &raw);
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	assert_true(tty_is_wanted(slave, number));
	close(slave);
	close(master);
}

/* ---- the watch for want of memory -------------------------------------------- */

static void little_memory_is_told_from_enough(void **state)
{
	(void)state;
	assert_true(guard_is_little("MemTotal:         165408 kB\n"
				    "MemFree:            2104 kB\n"
				    "MemAvailable:       6412 kB\n"));
	/* A file is read: hardly anything is free, nearly all can be had. */
	assert_false(guard_is_little("MemTotal:         165408 kB\n"
				     "MemFree:            2572 kB\n"
				     "MemAvailable:     126876 kB\n"));
	/* A sixteenth of a large memory is a lot. */
	assert_false(guard_is_little("MemTotal:       67108864 kB\n"
				     "MemAvailable:    1048576 kB\n"));
	assert_true(guard_is_little("MemTotal:       67108864 kB\n"
				    "MemAvailable:     131072 kB\n"));
	assert_false(guard_is_little(""));
	assert_false(guard_is_little("MemAvailable:          0 kB\n"));
}

/* Reports each second from `from` on; how many until it is time, 0 for never. */
static int reports_until_due(struct guard *guard, int64_t from, bool little)
{
	for (int i = 1; i <= 60; i++)
		if (guard_stalled(guard, from + 1000 * i, little))
			return i;
	return 0;
}

static void a_job_that_stalls_for_long_is_due(void **state)
{
	struct guard guard = { 0 };

	(void)state;
	assert_int_equal(reports_until_due(&guard, 0, true), 11);
	/* Once killed, the next has as long. */
	assert_int_equal(reports_until_due(&guard, 11000, true), 11);
}

static void a_job_with_memory_to_be_had_is_left_alone(void **state)
{
	struct guard guard = { 0 };

	(void)state;
	assert_int_equal(reports_until_due(&guard, 0, false), 0);
	/* One look at which there was enough begins the wait anew. */
	for (int i = 0; i < 10; i++)
		assert_false(guard_stalled(&guard, 100000 + 1000 * i, true));
	assert_false(guard_stalled(&guard, 110000, false));
	assert_int_equal(reports_until_due(&guard, 110000, true), 11);
}

static void a_pause_between_stalls_begins_the_wait_anew(void **state)
{
	struct guard guard = { 0 };

	(void)state;
	for (int i = 0; i < 60; i++)
		assert_false(guard_stalled(&guard, 5000 * i, true));
	/* A guest that was stopped for an hour, in the middle of it. */
	for (int i = 0; i < 9; i++)
		assert_false(guard_stalled(&guard, 400000 + 1000 * i, true));
	assert_int_equal(reports_until_due(&guard, 4000000, true), 11);
}

static void a_closed_guard_does_nothing(void **state)
{
	struct guard guard = { .pressure = -1, .meminfo = -1, .sysrq = -1 };

	(void)state;
	guard_run(&guard, 0);
	guard_close(&guard);
	assert_int_equal(guard.pressure, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_memory_is_told_from_enough),
		cmocka_unit_test(a_job_that_stalls_for_long_is_due),
		cmocka_unit_test(a_job_with_memory_to_be_had_is_left_alone),
		cmocka_unit_test(a_pause_between_stalls_begins_the_wait_anew),
		cmocka_unit_test(a_closed_guard_does_nothing),
		cmocka_unit_test(the_command_line_gives_id_and_transport),
		cmocka_unit_test(a_bad_command_line_is_refused),
		cmocka_unit_test_setup_teardown(
			output_is_taken_only_as_far_as_there_is_room, make_links, free_links),
		cmocka_unit_test_setup_teardown(
			input_waits_for_its_reader, make_links, free_links),
		cmocka_unit_test_setup_teardown(
			input_that_nobody_reads_is_counted, make_links, free_links),
		cmocka_unit_test_setup_teardown(
			input_whose_reader_is_gone_says_so, make_links, free_links),
		cmocka_unit_test(signal_characters_are_recognised),
		cmocka_unit_test(whoever_waits_for_the_terminal_is_noticed),
		cmocka_unit_test(a_terminal_in_raw_mode_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
