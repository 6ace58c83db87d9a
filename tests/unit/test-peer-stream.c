/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams: every byte arrives, ends are passed on, nothing is left. */
#include "tests/unit/peer-pair.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1024 * 1024)

static void open_stream(struct node *node, const char *who, const char *op,
			struct opened *opened)
{
	memset(opened, 0, sizeof(*opened));
	peer_open(node->peers, who, body_new(op, "no stream today"), 10000,
		  on_opened, opened);
	assert_false(opened->done);
	LOOP_UNTIL(opened->done);
}

/* Both ends of an open stream; the second is nodes[1].stream_fd. */
static int open_echo(void)
{
	struct opened opened;

	nodes[1].stream_fd = -1;
	open_stream(&nodes[0], "two", "echo", &opened);
	if (opened.error)
		fail_msg("%s", opened.error);
	assert_true(nodes[1].stream_fd >= 0);
	return opened.fd;
}

/* Bytes that tell when one is lost, doubled, or in the wrong place. */
static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i ^ (i >> 8) ^ (i >> 16) * 7);
}

struct flow {
	int fd;
	size_t size, done;
	bool sends, slow;
	gint ended;
};

static void send_flow(struct flow *flow)
{
	unsigned char bytes[65536];
	size_t i, n;
	ssize_t sent;

	while (flow->done < flow->size) {
		n = MIN(sizeof(bytes), flow->size - flow->done);
		for (i = 0; i < n; i++)
			bytes[i] = byte_at(flow->done + i);
		sent = send(flow->fd, bytes, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		flow->done += (size_t)sent;
	}
}

static void receive_flow(struct flow *flow)
{
	unsigned char bytes[50000];
	ssize_t i, n;

	while (flow->done < flow->size) {
		n = recv(flow->fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			return;
		for (i = 0; i < n; i++)
			if (bytes[i] != byte_at(flow->done + (size_t)i))
				return;
		flow->done += (size_t)n;
		if (flow->slow)
			g_usleep(1000);
	}
}

static void *run_flow(void *p)
{
	struct flow *flow = p;

	if (flow->sends)
		send_flow(flow);
	else
		receive_flow(flow);
	g_atomic_int_set(&flow->ended, 1);
	return NULL;
}

static void carries_bytes_both_ways(void **state)
{
	struct flow flows[4] = { 0 };
	GThread *threads[4];
	size_t i;
	int fd;

	(void)state;
	pair_up();
	fd = open_echo();
	for (i = 0; i < 4; i++) {
		flows[i].fd = i < 2 ? fd : nodes[1].stream_fd;
		flows[i].sends = i % 2;
		flows[i].size = i == 1 || i == 2 ? 24 * MIB : 5 * MIB + 77;
		flows[i].slow = i == 0;
		threads[i] = g_thread_new("flow", run_flow, &flows[i]);
	}
	for (i = 0; i < 4; i++) {
		LOOP_UNTIL(g_atomic_int_get(&flows[i].ended));
		g_thread_join(threads[i]);
		assert_int_equal(flows[i].done, flows[i].size);
	}
	close(fd);
	pair_down();
}

static bool at_end(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* What was written before the end arrives before the end. */
static void passes_the_end_on(void **state)
{
	struct flow out = { .size = 3 * MIB + 5, .sends = true };
	struct flow in = { .size = 3 * MIB + 5, .slow = true };
	GThread *sender, *receiver;

	(void)state;
	pair_up();
	out.fd = open_echo();
	in.fd = nodes[1].stream_fd;
	sender = g_thread_new("out", run_flow, &out);
	LOOP_UNTIL(out.done > 0);
	receiver = g_thread_new("in", run_flow, &in);
	LOOP_UNTIL(g_atomic_int_get(&out.ended));
	g_thread_join(sender);
	/* At once, with much still under way. */
	close(out.fd);
	LOOP_UNTIL(g_atomic_int_get(&in.ended));
	g_thread_join(receiver);
	assert_int_equal(in.done, in.size);
	LOOP_UNTIL(at_end(in.fd));
	pair_down();
}

/* The acceptor's end closes, with bytes unread in the other direction. */
static void acceptor_closes(void **state)
{
	static const char words[] = "the last words";
	char heard[sizeof(words)] = "";
	int fd;

	(void)state;
	pair_up();
	fd = open_echo();
	assert_int_equal(send(fd, "unread", 6, 0), 6);
	assert_int_equal(send(nodes[1].stream_fd, words, sizeof(words), 0),
			 sizeof(words));
	close(nodes[1].stream_fd);
	nodes[1].stream_fd = -1;
	LOOP_UNTIL(recv(fd, heard, sizeof(heard), MSG_DONTWAIT) ==
		   sizeof(heard));
	assert_string_equal(heard, words);
	LOOP_UNTIL(at_end(fd));
	close(fd);
	pair_down();
}

static void refuses(void **state)
{
	struct opened opened;

	(void)state;
	pair_up();
	open_stream(&nodes[0], "two", "refuse", &opened);
	assert_non_null(strstr(opened.error, "no stream today"));
	opened_clear(&opened);
	open_stream(&nodes[0], "three", "echo", &opened);
	assert_non_null(strstr(opened.error, "no such node"));
	opened_clear(&opened);
	open_stream(&nodes[0], "one", "echo", &opened);
	assert_non_null(strstr(opened.error, "itself"));
	opened_clear(&opened);
	node_stop(&nodes[1]);
	open_stream(&nodes[0], "two", "echo", &opened);
	assert_non_null(strstr(opened.error, "Connection refused"));
	opened_clear(&opened);
	pair_down();
}

/* Accepted when nobody waits any more. */
static void accepted_too_late(void **state)
{
	struct opened opened = { 0 };
	int ends[2];

	(void)state;
	pair_up();
	peer_open(nodes[0].peers, "two", body_new("keep", ""), 2000, on_opened,
		  &opened);
	LOOP_UNTIL(opened.done && nodes[1].kept_stream);
	assert_non_null(strstr(opened.error, "in time"));
	opened_clear(&opened);
	assert_non_null(nodes[1].kept_stream);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	peer_accept(nodes[1].kept_stream, ends[1]);
	LOOP_UNTIL(at_end(ends[0]));
	close(ends[0]);

	/* After the end of the peers, too. */
	nodes[1].kept_stream = NULL;
	peer_open(nodes[0].peers, "two", body_new("keep", ""), 9000, on_opened,
		  &opened);
	LOOP_UNTIL(nodes[1].kept_stream);
	node_stop(&nodes[1]);
	LOOP_UNTIL(opened.done);
	opened_clear(&opened);
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	peer_accept(nodes[1].kept_stream, ends[1]);
	assert_true(at_end(ends[0]));
	close(ends[0]);
	pair_down();
}

/* A reader that takes a long rest is no dead one. */
static void waits_for_slow_readers(void **state)
{
	struct flow out = { .size = 12 * MIB, .sends = true };
	struct flow in = { .size = 12 * MIB };
	gint64 until;
	GThread *sender, *receiver;
	guint waker;

	(void)state;
	pair_up();
	out.fd = open_echo();
	in.fd = nodes[1].stream_fd;
	sender = g_thread_new("out", run_flow, &out);
	/* Longer than a cut network is put up with. */
	until = g_get_monotonic_time() + 14 * G_USEC_PER_SEC;
	waker = g_timeout_add(50, loop_wake, NULL);
	while (g_get_monotonic_time() < until)
		g_main_context_iteration(NULL, TRUE);
	g_source_remove(waker);
	assert_false(g_atomic_int_get(&out.ended));
	receiver = g_thread_new("in", run_flow, &in);
	LOOP_UNTIL(g_atomic_int_get(&out.ended) &&
		   g_atomic_int_get(&in.ended));
	g_thread_join(sender);
	g_thread_join(receiver);
	assert_int_equal(in.done, in.size);
	close(out.fd);
	pair_down();
}

/* One side stops reading for ever; the other side's end is the end. */
static void ends_with_a_stuck_reader(void **state)
{
	struct flow out = { .size = 64 * MIB, .sends = true };
	GThread *sender;

	(void)state;
	pair_up();
	out.fd = open_echo();
	sender = g_thread_new("out", run_flow, &out);
	LOOP_UNTIL(out.done > MIB);
	close(nodes[1].stream_fd);
	nodes[1].stream_fd = -1;
	LOOP_UNTIL(g_atomic_int_get(&out.ended));
	g_thread_join(sender);
	assert_true(out.done < out.size);
	close(out.fd);
	pair_down();
}

/* Enough descriptors for all streams and both their ends. */
static void raise_limit(void)
{
	struct rlimit limit;

	assert_return_code(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_return_code(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void bounds_streams(void **state)
{
	static struct opened opened[260];
	static int others[260];
	unsigned i, open;

	(void)state;
	raise_limit();
	memset(opened, 0, sizeof(opened));
	pair_up();
	for (i = open = 0; i < G_N_ELEMENTS(opened); i++) {
		nodes[1].stream_fd = -1;
		open_stream(&nodes[0], "two", "echo", &opened[i]);
		others[i] = nodes[1].stream_fd;
		nodes[1].stream_fd = -1;
		open += opened[i].fd >= 0;
		if (opened[i].error)
			assert_non_null(strstr(opened[i].error, "too many"));
	}
	assert_int_equal(open, 256);
	for (i = 0; i < G_N_ELEMENTS(opened); i++) {
		opened_clear(&opened[i]);
		if (others[i] >= 0)
			close(others[i]);
	}
	pair_down();
}

static void removed_member_loses_streams(void **state)
{
	struct err err = { 0 };
	struct cluster *cluster;
	int fd;

	(void)state;
	pair_up();
	fd = open_echo();
	cluster = cluster_load(nodes[0].dir, &err);
	assert_int_equal(cluster_remove(cluster, "two", &err), 0);
	cluster_free(cluster);
	assert_int_equal(peers_reload(nodes[0].peers, &err), 0);
	LOOP_UNTIL(at_end(fd));
	LOOP_UNTIL(at_end(nodes[1].stream_fd));
	close(fd);
	pair_down();
}

static void leaves_nothing(void **state)
{
	unsigned fds, threads, i;
	int fd;

	(void)state;
	pair_up();
	close(open_echo());
	pair_down();
	fds = count_fds();
	threads = count_threads();
	for (i = 0; i < 4; i++) {
		pair_up();
		fd = open_echo();
		assert_int_equal(send(fd, "x", 1, 0), 1);
		/* With the stream open at both ends. */
		node_stop(&nodes[i % 2]);
		LOOP_UNTIL(at_end(fd));
		close(fd);
		pair_down();
	}
	assert_int_equal(count_fds(), fds);
	assert_in_range(count_threads(), 1, threads + 2); /* GIO's pool */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carries_bytes_both_ways),
		cmocka_unit_test(passes_the_end_on),
		cmocka_unit_test(acceptor_closes),
		cmocka_unit_test(refuses),
		cmocka_unit_test(accepted_too_late),
		cmocka_unit_test(waits_for_slow_readers),
		cmocka_unit_test(ends_with_a_stuck_reader),
		cmocka_unit_test(bounds_streams),
		cmocka_unit_test(removed_member_loses_streams),
		cmocka_unit_test(leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
