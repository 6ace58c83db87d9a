/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The deputy's end of the FUSE channel, with a guest at the other end of a link. */
#include "guest-kit/control.h"
#include "vmm-agent/files-check.h"
#include "vmm-agent/fuse-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((size_t)1024 * 1024)

static char root[] = "/tmp/test-fuse-channel.XXXXXX";
static struct link *home, *guest;
static struct fuse_channel *channel;
static struct err channel_err;
static bool channel_failed, guest_reads;
static size_t held, answers, answer_bytes;

static void on_home(void *ctx, unsigned number, const void *data, size_t len)
{
	(void)ctx;
	(void)number;
	if (!channel_failed)
		channel_failed = fuse_channel_receive(channel, data, len,
						      &channel_err) < 0;
}

/* Counts answers by their lengths, whatever pieces they come in. */
static void on_guest(void *ctx, unsigned number, const void *data, size_t len)
{
	static uint8_t header[sizeof(struct fuse_out_header)];
	static size_t have, rest;
	const uint8_t *at = data;
	size_t n;

	(void)ctx;
	answer_bytes += len;
	held += len;
	if (guest_reads) {
		link_consume(guest, number, held);
		held = 0;
	}
	for (; len; at += n, len -= n) {
		if (rest) {
			n = rest < len ? rest : len;
			rest -= n;
			continue;
		}
		n = sizeof(header) - have < len ? sizeof(header) - have : len;
		memcpy(header + have, at, n);
		have += n;
		if (have < sizeof(header))
			continue;
		rest = ((struct fuse_out_header *)header)->len - sizeof(header);
		have = 0;
		answers++;
	}
}

static void carry(struct link *from, struct link *to)
{
	static uint8_t buf[65536];
	size_t n;

	while ((n = link_transmit(from, buf, sizeof(buf), 0)))
		assert_int_equal(link_receive(to, buf, n, 0), 0);
}

/* Everything that can move now, moves. */
static void turn(int wait_ms)
{
	struct pollfd p = { .fd = fuse_channel_fd(channel), .events = POLLIN };

	poll(&p, 1, wait_ms);
	fuse_channel_flush(channel);
	carry(home, guest);
	carry(guest, home);
	carry(home, guest);
}

static void turn_until(size_t wanted)
{
	int i;

	for (i = 0; i < 2000 && answers < wanted; i++)
		turn(10);
	assert_int_equal(answers, wanted);
}

static size_t request(void *to, uint32_t opcode, uint64_t nodeid,
		      const void *payload, size_t len)
{
	static uint64_t unique;
	struct fuse_in_header header = { .len = (uint32_t)(sizeof(header) + len),
					 .opcode = opcode, .nodeid = nodeid,
					 .unique = unique += 2 };

	memcpy(to, &header, sizeof(header));
	memcpy((uint8_t *)to + sizeof(header), payload, len);
	return header.len;
}

static void send_init(size_t piece)
{
	const struct fuse_init_in init = { .major = 7, .minor = 38,
					   .flags = FUSE_MAX_PAGES };
	uint8_t message[256];
	size_t len = request(message, FUSE_INIT, 0, &init, sizeof(init)), at;
	size_t wanted = answers + 1;

	for (at = 0; at < len; at += piece) {
		assert_int_equal(link_send(guest, CHANNEL_FUSE, message + at,
					   len - at < piece ? len - at : piece),
				 0);
		turn(0);
	}
	turn_until(wanted);
}

static void requests_come_in_pieces(void **state)
{
	uint8_t message[256];
	size_t len, i;

	(void)state;
	send_init(1);
	len = request(message, FUSE_LOOKUP, 1, "nothing", 8);
	for (i = 0; i < len; i++) {
		assert_int_equal(link_send(guest, CHANNEL_FUSE, message + i, 1),
				 0);
		turn(0);
	}
	turn_until(2);
	/* Two and a half in one. */
	len += request(message + len, FUSE_LOOKUP, 1, "nothing", 8);
	assert_int_equal(link_send(guest, CHANNEL_FUSE, message, len), 0);
	turn_until(4);
	assert_false(channel_failed);
}

/* The numbers of the first file that is looked up and opened. */
#define FIRST_NODEID 2
#define FIRST_HANDLE ((uint64_t)1 << 32)

static void open_big(void)
{
	const struct fuse_open_in in = { .flags = O_RDONLY };
	uint8_t message[256];
	size_t len = request(message, FUSE_LOOKUP, 1, "big", 4);

	link_send(guest, CHANNEL_FUSE, message, len);
	turn_until(answers + 1);
	len = request(message, FUSE_OPEN, FIRST_NODEID, &in, sizeof(in));
	link_send(guest, CHANNEL_FUSE, message, len);
	turn_until(answers + 1);
}

/*
 * Small requests with large answers, by a guest that takes no answers: memory
 * stays within bounds, and nothing is lost when it does take them.
 */
static void a_guest_that_does_not_read(void **state)
{
	struct fuse_read_in in = { .fh = FIRST_HANDLE, .size = 128 * 1024 };
	size_t before, sent = 0, first, len;
	uint8_t message[256];
	int i;

	(void)state;
	send_init(1000);
	open_big();
	first = answers;
	guest_reads = false;
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (i = 0; i < 3000; i++) {
		while (link_room(guest, CHANNEL_FUSE) >= 80 && sent < 20000) {
			len = request(message, FUSE_READ, FIRST_NODEID, &in,
				      sizeof(in));
			assert_int_equal(link_send(guest, CHANNEL_FUSE, message,
						   len), 0);
			sent++;
		}
		turn(i < 100 ? 1 : 0);
	}
	assert_true(sent > 1000);
	assert_true(mallinfo2().uordblks + mallinfo2().hblkhd - before <
		    100 * MIB);
	guest_reads = true;
	link_consume(guest, CHANNEL_FUSE, held);
	held = 0;
	turn_until(first + sent);
	assert_false(channel_failed);
	assert_true(answer_bytes > sent * in.size);
}

static int start(void **state)
{
	static const struct link_events home_events = { .data = on_home };
	static const struct link_events guest_events = { .data = on_guest };
	struct link_config config = { .id = "test", .nchannels = CHANNEL_COUNT,
				      .channels = job_channels };
	const struct files_config files = { .root = root };

	(void)state;
	config.side = LINK_HOME;
	home = link_new(&config, &home_events, NULL);
	config.side = LINK_GUEST;
	guest = link_new(&config, &guest_events, NULL);
	channel = fuse_channel_new(home, CHANNEL_FUSE, &files, &channel_err);
	if (!home || !guest || !channel)
		return -1;
	channel_failed = false;
	guest_reads = true;
	held = answers = answer_bytes = 0;
	link_attach(guest, 0);
	link_attach(home, 0);
	turn(0);
	return link_state(home) == LINK_UP ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	fuse_channel_free(channel);
	link_free(home);
	link_free(guest);
	return 0;
}

static void absurd_lengths_end_it(void **state)
{
	const uint32_t lengths[] = { 0, 39, FILES_MAX_MESSAGE + 1, UINT32_MAX };
	struct fuse_in_header header = { .opcode = FUSE_STATFS };
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		send_init(1000);
		header.len = lengths[i];
		link_send(guest, CHANNEL_FUSE, &header, sizeof(header));
		turn(0);
		assert_true(channel_failed);
		assert_non_null(strstr(channel_err.text, "FUSE request"));
		end(state);
		assert_int_equal(start(state), 0);
	}
}

static int remove_root(void **state)
{
	(void)state;
	return unlink("big") || chdir("/") || rmdir(root);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_come_in_pieces),
		TEST(absurd_lengths_end_it),
		TEST(a_guest_that_does_not_read),
	};
	int fd;

	if (!mkdtemp(root) || chdir(root))
		return 1;
	fd = open("big", O_CREAT | O_RDWR, 0600);
	if (fd < 0 || ftruncate(fd, MIB) < 0)
		return 1;
	close(fd);
	return cmocka_run_group_tests(tests, NULL, remove_root);
}
