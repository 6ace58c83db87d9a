/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pumps over real descriptors: sockets, and a stand-in for a virtio-serial port. */
#include "net/cleanup.h"
#include "net/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>

#include <cmocka.h>

#define WINDOW (256 * 1024)
#define TOTAL (8u << 20)
/* Only to end a hang. */
#define LIMIT_MS 60000

static const struct link_channel channels[] = {
	{ "control", 65536 }, { "bulk", WINDOW },
};

struct end {
	struct link *link;
	struct pump *pump;
	uint64_t sent, received, target;
	enum link_side side;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint8_t byte_at(enum link_side side, uint64_t offset)
{
	return (uint8_t)(offset * 31 + offset / 251 + (side == LINK_HOME));
}

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct end *end = ctx;
	const uint8_t *bytes = data;

	assert_int_equal(channel, 1);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != byte_at((enum link_side)!end->side,
					end->received + i))
			fail_msg("byte %llu is wrong", (unsigned long long)
				 (end->received + i));
	end->received += len;
	link_consume(end->link, channel, len);
}

static const struct link_events events = { .data = on_data };

static void end_begin(struct end *end, enum link_side side)
{
	struct link_config config = {
		.side = side, .id = "pump", .nchannels = 2,
		.channels = channels,
	};

	memset(end, 0, sizeof(*end));
	end->side = side;
	end->link = link_new(&config, &events, end);
	assert_non_null(end->link);
	end->pump = pump_new(end->link);
	assert_non_null(end->pump);
	assert_int_equal(pump_fd(end->pump), -1);
	assert_int_equal(pump_events(end->pump, now_ms()), 0);
}

static void end_close(struct end *end)
{
	pump_free(end->pump);
	link_free(end->link);
}

static void feed(struct end *end)
{
	static uint8_t bytes[WINDOW];
	size_t room = link_room(end->link, 1);

	if (room > end->target - end->sent)
		room = (size_t)(end->target - end->sent);
	for (size_t i = 0; i < room; i++)
		bytes[i] = byte_at(end->side, end->sent + i);
	assert_int_equal(link_send(end->link, 1, bytes, room), 0);
	end->sent += room;
}

static int timeout_of(const struct end *a, const struct end *b)
{
	int64_t now = now_ms(), wait = 100;
	int64_t at[] = { link_deadline(a->link), link_deadline(b->link) };

	for (int i = 0; i < 2; i++)
		if (at[i] >= 0 && at[i] - now < wait)
			wait = at[i] > now ? at[i] - now : 0;
	return (int)wait;
}

/* One turn of a poll loop; returns which ends lost their attachment. */
static int turn(struct end *a, struct end *b)
{
	struct end *ends[] = { a, b };
	struct pollfd p[2];
	int lost = 0;

	for (int i = 0; i < 2; i++) {
		feed(ends[i]);
		p[i].fd = pump_fd(ends[i]->pump);
		p[i].events = pump_events(ends[i]->pump, now_ms());
		p[i].revents = 0;
	}
	assert_true(poll(p, 2, timeout_of(a, b)) >= 0);
	for (int i = 0; i < 2; i++)
		if (pump_fd(ends[i]->pump) >= 0 &&
		    pump_run(ends[i]->pump, p[i].revents, now_ms()))
			lost |= 1 << i;
	return lost;
}

static bool complete(const struct end *a, const struct end *b)
{
	return a->received == b->target && b->received == a->target &&
	       !link_pending(a->link, 1) && !link_pending(b->link, 1);
}

static void attach(struct end *end, enum transport_kind kind, int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	pump_attach(end->pump, transport_get(kind), fd, now_ms());
	assert_int_equal(pump_fd(end->pump), fd);
	assert_ptr_equal(pump_transport(end->pump), transport_get(kind));
}

static void attach_sockets(struct end *a, struct end *b)
{
	int fds[2], small = 4096;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
				    fds), 0);
	/* Short writes happen only when a buffer is small. */
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	attach(a, TRANSPORT_UNIX, fds[0]);
	attach(b, TRANSPORT_UNIX, fds[1]);
}

static void run_until_complete(struct end *a, struct end *b)
{
	int64_t limit = now_ms() + LIMIT_MS;

	while (!complete(a, b)) {
		assert_int_equal(turn(a, b), 0);
		assert_true(now_ms() < limit);
	}
}

static void test_sockets(void **state)
{
	struct end home, guest;

	(void)state;
	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	home.target = guest.target = TOTAL;
	attach_sockets(&home, &guest);
	run_until_complete(&home, &guest);
	end_close(&home);
	end_close(&guest);
}

/* The transport is closed every few turns, with whatever was in it. */
static void test_lost_sockets(void **state)
{
	struct end home, guest;
	int64_t limit = now_ms() + LIMIT_MS;
	struct link_stats stats;

	(void)state;
	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	home.target = guest.target = TOTAL;
	for (unsigned n = 0; !complete(&home, &guest); n++) {
		if (n % 20 == 0)
			attach_sockets(&home, &guest);
		turn(&home, &guest);
		assert_true(now_ms() < limit);
	}
	link_stats(home.link, &stats);
	assert_true(stats.attachments > 5);
	assert_true(stats.frames_replayed > 0);
	end_close(&home);
	end_close(&guest);
}

/* A socket's end of file ends the attachment, after what came before it. */
static void test_end_of_file(void **state)
{
	struct end home, guest;
	int lost = 0;

	(void)state;
	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	home.target = 1000;
	attach_sockets(&home, &guest);
	run_until_complete(&home, &guest);
	home.target = 2000;
	feed(&home);
	assert_int_equal(pump_run(home.pump, 0, now_ms()), 0);
	pump_detach(home.pump, "a test");
	assert_string_equal(link_reason(home.link), "a test");
	for (int i = 0; i < 10 && !lost; i++)
		lost = turn(&home, &guest);
	assert_int_equal(lost, 2);
	assert_int_equal(guest.received, 2000);
	assert_int_equal(pump_fd(guest.pump), -1);
	assert_null(pump_transport(guest.pump));
	assert_string_equal(link_reason(guest.link),
			    "the peer closed the connection");
	assert_int_equal(pump_run(guest.pump, POLLIN, now_ms()), -1);
	end_close(&home);
	end_close(&guest);
}

/* Writing to a closed socket is an error like others, without a signal. */
static void test_no_sigpipe(void **state)
{
	struct end home;
	int fds[2];

	(void)state;
	end_begin(&home, LINK_HOME);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	attach(&home, TRANSPORT_UNIX, fds[0]);
	close(fds[1]);
	assert_int_equal(pump_run(home.pump, 0, now_ms()), -1);
	assert_string_equal(link_reason(home.link),
			    "writing to unix: Broken pipe");
	end_close(&home);
}

/* A peer that says something wrong: home closes, with the link's reason. */
static void test_broken_protocol(void **state)
{
	struct end home, guest;
	int fds[2], lost = 0;
	static const char junk[100] = "junk";

	(void)state;
	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	home.target = 1000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	attach(&home, TRANSPORT_UNIX, fds[0]);
	attach(&guest, TRANSPORT_UNIX, fds[1]);
	run_until_complete(&home, &guest);
	assert_int_equal(write(fds[1], junk, sizeof(junk)), sizeof(junk));
	for (int i = 0; i < 10 && !lost; i++)
		lost = turn(&home, &guest);
	assert_int_equal(lost, 1);
	assert_non_null(strstr(link_reason(home.link), "unknown kind"));
	assert_int_equal(pump_fd(home.pump), -1);
	end_close(&home);
	end_close(&guest);
}

/*
 * The guest's port: a socket whose end of file is a pause stands for it. The
 * pump must neither give the descriptor up nor spin on it.
 */
static void test_pause(void **state)
{
	struct end guest;
	unsigned turns = 0;
	int64_t end;
	int fds[2];

	(void)state;
	end_begin(&guest, LINK_GUEST);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	attach(&guest, TRANSPORT_SERIAL, fds[0]);
	close(fds[1]);
	for (end = now_ms() + 500; now_ms() < end; turns++) {
		struct pollfd p = {
			.fd = pump_fd(guest.pump),
			.events = pump_events(guest.pump, now_ms()),
		};

		poll(&p, 1, 500);
		assert_int_equal(pump_run(guest.pump, p.revents, now_ms()), 0);
	}
	/* Two for each pause of 50 ms, if every one ends in time. */
	assert_in_range(turns, 2, 30);
	assert_int_equal(link_state(guest.link), LINK_HELLO);
	end_close(&guest);
}

/* The other end goes and comes again on the same descriptor: a pty. */
static void test_port_comes_back(void **state)
{
	struct end home, guest;
	struct termios raw;
	int master, slave;
	char name[64];
	int64_t limit = now_ms() + LIMIT_MS;
	struct link_stats stats;

	(void)state;
	memset(&raw, 0, sizeof(raw));
	cfmakeraw(&raw);
	assert_int_equal(openpty(&master, &slave, name, &raw, NULL), 0);
	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	home.target = guest.target = 1024 * 1024;
	attach(&guest, TRANSPORT_SERIAL, master);
	for (int n = 0; !complete(&home, &guest); n++) {
		/* A few times, home comes anew and what was in the pty is lost. */
		if (n % 10 == 0 && n < 50) {
			int fd = n ? open(name, O_RDWR | O_NOCTTY) :
				     dup(slave);

			assert_true(fd >= 0);
			tcflush(fd, TCIOFLUSH);
			attach(&home, TRANSPORT_SERIAL, fd);
		}
		assert_int_equal(turn(&home, &guest), 0);
		assert_true(now_ms() < limit);
	}
	link_stats(home.link, &stats);
	assert_true(stats.attachments > 1);
	link_stats(guest.link, &stats);
	assert_int_equal(stats.attachments, 1);
	close(slave);
	end_close(&home);
	end_close(&guest);
}

/* Silence of home: the guest listens anew, on the port that it has. */
static void test_silent_port_is_kept(void **state)
{
	struct end home, guest;
	struct link_stats stats;
	int fds[2];
	int64_t limit = now_ms() + LIMIT_MS;

	(void)state;
	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	home.target = 1000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	attach(&home, TRANSPORT_UNIX, fds[0]);
	attach(&guest, TRANSPORT_SERIAL, fds[1]);
	run_until_complete(&home, &guest);
	while (link_state(guest.link) == LINK_UP) {
		/* Its clock runs a thousand times faster. */
		static int64_t ahead;

		ahead += 1000;
		assert_int_equal(pump_run(guest.pump, 0, now_ms() + ahead), 0);
		assert_true(now_ms() < limit);
	}
	assert_int_equal(link_state(guest.link), LINK_HELLO);
	assert_int_equal(pump_fd(guest.pump), fds[1]);
	link_stats(guest.link, &stats);
	assert_int_equal(stats.attachments, 2);
	end_close(&home);
	end_close(&guest);
}

/* What one transport did not take is not written to the next one. */
static void test_rest_is_thrown_away(void **state)
{
	struct end home, guest;
	uint8_t first;
	int fds[2], small = 4096;

	(void)state;
	end_begin(&home, LINK_HOME);
	end_begin(&guest, LINK_GUEST);
	home.target = 1000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	attach(&home, TRANSPORT_UNIX, fds[0]);
	attach(&guest, TRANSPORT_UNIX, fds[1]);
	run_until_complete(&home, &guest);
	home.target = WINDOW;
	feed(&home);
	assert_int_equal(pump_run(home.pump, 0, now_ms()), 0);
	assert_int_equal(pump_events(home.pump, now_ms()), POLLIN | POLLOUT);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	attach(&home, TRANSPORT_UNIX, fds[0]);
	assert_int_equal(pump_run(home.pump, 0, now_ms()), 0);
	assert_int_equal(read(fds[1], &first, 1), 1);
	assert_int_equal(first, 0x8b); /* of the magic */
	close(fds[1]);
	end_close(&home);
	end_close(&guest);
}

/* One pump_run() reads a bounded amount, however much there is. */
static void test_fairness(void **state)
{
	struct end guest;
	struct link_stats stats;
	int fd = memfd_create("endless", MFD_CLOEXEC);

	(void)state;
	end_begin(&guest, LINK_GUEST);
	assert_int_equal(ftruncate(fd, 64 << 20), 0);
	attach(&guest, TRANSPORT_SERIAL, fd);
	assert_int_equal(pump_run(guest.pump, POLLIN, now_ms()), 0);
	link_stats(guest.link, &stats);
	assert_in_range(stats.bytes_received, 1, 4 << 20);
	end_close(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_lost_sockets),
		cmocka_unit_test(test_end_of_file),
		cmocka_unit_test(test_no_sigpipe),
		cmocka_unit_test(test_broken_protocol),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_port_comes_back),
		cmocka_unit_test(test_silent_port_is_kept),
		cmocka_unit_test(test_rest_is_thrown_away),
		cmocka_unit_test(test_fairness),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
