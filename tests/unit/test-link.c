/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the link promises to its application: streams, credit, order, replay. */
#include "net/link-frame.h"
#include "tests/unit/link-pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
	*state = pair_new(1);
	return 0;
}

static int teardown(void **state)
{
	pair_free(*state);
	return 0;
}

static void send_text(struct peer *peer, unsigned channel, const char *text)
{
	assert_int_equal(link_send(peer->link, channel, text, strlen(text)), 0);
}

static void test_comes_up(void **state)
{
	struct pair *pair = *state;

	assert_int_equal(link_state(HOME(pair)->link), LINK_DETACHED);
	assert_string_equal(link_reason(HOME(pair)->link), "never attached");
	assert_false(link_wants_transmit(HOME(pair)->link, 0));
	assert_int_equal(link_deadline(HOME(pair)->link), -1);
	pair_attach(pair);
	assert_int_equal(link_state(HOME(pair)->link), LINK_HELLO);
	assert_true(link_wants_transmit(HOME(pair)->link, 0));
	/* The guest speaks only when spoken to. */
	assert_false(link_wants_transmit(GUEST(pair)->link, 0));
	pair_drain(pair);
	for (int side = 0; side < 2; side++) {
		assert_int_equal(link_state(pair->peer[side].link), LINK_UP);
		assert_int_equal(link_epoch(pair->peer[side].link), 1);
		assert_int_equal(pair->peer[side].ups, 1);
	}
}

static void test_each_channel_both_ways(void **state)
{
	struct pair *pair = *state;

	for (int side = 0; side < 2; side++)
		for (unsigned c = 0; c < PAIR_CHANNELS; c++)
			pair->peer[side].target[c] = 300000 + 1000 * c;
	pair_attach(pair);
	pair_finish(pair, 1000);
	assert_int_equal(pair->lost, 0);
}

static void test_queued_while_detached(void **state)
{
	struct pair *pair = *state;

	pair_send(HOME(pair), 1, 5000);
	assert_int_equal(link_pending(HOME(pair)->link, 1), 5000);
	assert_int_equal(link_room(HOME(pair)->link, 1), PAIR_WINDOW - 5000);
	pair_attach(pair);
	pair_finish(pair, 1000);
	assert_int_equal(link_room(HOME(pair)->link, 1), 0); /* after FIN */
	assert_int_equal(link_pending(HOME(pair)->link, 1), 0);
}

static void test_send_limits(void **state)
{
	static uint8_t bytes[PAIR_WINDOW + 1];
	struct pair *pair = *state;
	struct link *link = HOME(pair)->link;

	assert_int_equal(link_send(link, 1, bytes, sizeof(bytes)), -ENOBUFS);
	assert_int_equal(link_pending(link, 1), 0);
	assert_int_equal(link_send(link, 1, bytes, 0), 0);
	assert_int_equal(link_send(link, 1, bytes, PAIR_WINDOW), 0);
	assert_int_equal(link_room(link, 1), 0);
	assert_int_equal(link_send(link, 1, bytes, 1), -ENOBUFS);
	assert_int_equal(link_send_fin(link, 1), 0);
	assert_int_equal(link_send_fin(link, 1), 0);
	assert_int_equal(link_send(link, 1, bytes, 1), -EPIPE);
}

static void test_small_sends_share_a_frame(void **state)
{
	struct pair *pair = *state;
	struct link_stats before, after;

	pair_attach(pair);
	pair_drain(pair);
	link_stats(GUEST(pair)->link, &before);
	pair_send(HOME(pair), 1, 1000); /* byte by byte */
	pair_drain(pair);
	link_stats(GUEST(pair)->link, &after);
	assert_int_equal(GUEST(pair)->received[1], 1000);
	assert_int_equal(after.frames_received - before.frames_received, 1);
}

/* What is not consumed is not sent for ever, and holds up nobody else. */
static void test_credit(void **state)
{
	struct pair *pair = *state;
	struct peer *home = HOME(pair), *guest = GUEST(pair);

	home->target[1] = 10 * PAIR_WINDOW;
	guest->hold[1] = true;
	pair_attach(pair);
	pair_settle(pair);
	assert_int_equal(guest->received[1], PAIR_WINDOW);
	/* The sender's own ring is full as well. */
	assert_int_equal(home->sent[1], 2 * PAIR_WINDOW);
	assert_int_equal(link_room(home->link, 1), 0);

	home->target[0] = 2000;
	home->target[2] = 10 * PAIR_WINDOW;
	pair_settle(pair);
	assert_int_equal(guest->received[0], 2000);
	assert_int_equal(guest->received[2], 10 * PAIR_WINDOW);

	/* Less than a quarter of the window is not worth a frame. */
	link_consume(guest->link, 1, PAIR_WINDOW / 4 - 1);
	pair_settle(pair);
	assert_int_equal(guest->received[1], PAIR_WINDOW);
	link_consume(guest->link, 1, 1);
	pair_settle(pair);
	assert_int_equal(guest->received[1], PAIR_WINDOW + PAIR_WINDOW / 4);

	link_consume(guest->link, 1, PAIR_WINDOW);
	guest->hold[1] = false;
	pair_finish(pair, 1000);
}

/* A credit survives any number of attachments, and is not doubled by them. */
static void test_credit_across_attachments(void **state)
{
	struct pair *pair = *state;
	struct peer *home = HOME(pair), *guest = GUEST(pair);

	home->target[1] = 3 * PAIR_WINDOW;
	guest->hold[1] = true;
	for (int i = 0; i < 5; i++) {
		pair_attach(pair);
		pair_settle(pair);
		assert_int_equal(guest->received[1], PAIR_WINDOW);
	}
	link_consume(guest->link, 1, PAIR_WINDOW);
	guest->hold[1] = false;
	pair_attach(pair);
	pair_finish(pair, 1000);
}

static void test_control_goes_first(void **state)
{
	struct pair *pair = *state;
	struct peer *guest = GUEST(pair);

	pair_send(HOME(pair), 2, 3000);
	pair_send(HOME(pair), 1, 3000);
	pair_send(HOME(pair), 0, 3000);
	pair_attach(pair);
	pair_drain(pair);
	assert_int_equal(guest->received[2], 3000);
	assert_int_equal(guest->order[0], 0);
}

/* A keystroke overtakes whatever waits, without waiting for its credit. */
static void test_control_overtakes(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[512];

	pair_attach(pair);
	pair_drain(pair);
	pair_send(HOME(pair), 1, 60000);
	assert_int_equal(link_transmit(HOME(pair)->link, bytes, sizeof(bytes),
				       0), sizeof(bytes));
	assert_int_equal(link_receive(GUEST(pair)->link, bytes, sizeof(bytes),
				      0), 0);
	pair_send(HOME(pair), 2, 100);
	pair_send(HOME(pair), 0, 100);
	pair_drain(pair);
	/* The frame under way, then control, then by turns. */
	assert_int_equal(GUEST(pair)->order[0], 1);
	assert_int_equal(GUEST(pair)->order[1], 0);
	assert_int_equal(GUEST(pair)->order[2], 2);
}

static void test_round_robin(void **state)
{
	struct pair *pair = *state;
	const int8_t *order = GUEST(pair)->order;
	unsigned turns[PAIR_CHANNELS] = { 0 };

	/* Channel 3's window is a frame of 4 KiB at most; so are the others'
	 * first frames, as their rings begin with that size. */
	HOME(pair)->target[1] = 4 * PAIR_WINDOW;
	HOME(pair)->target[2] = 4 * PAIR_WINDOW;
	HOME(pair)->target[3] = 8 * 4096;
	pair->peer[LINK_HOME].step = 512;
	pair_attach(pair);
	pair_settle(pair);
	for (unsigned i = 0; i < 9; i++)
		turns[order[i]]++;
	assert_in_range(turns[1], 2, 4);
	assert_in_range(turns[2], 2, 4);
	assert_in_range(turns[3], 2, 4);
	pair_finish(pair, 1000);
}

/* 4096 frames may be unacknowledged; control keeps a reserve of them. */
static void test_replay_is_bounded(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;
	uint8_t bytes[1000];
	unsigned frames = 0;

	pair_attach(pair);
	pair_drain(pair);
	for (; frames < 10000; frames++) {
		assert_int_equal(link_send(home, 1, "x", 1), 0);
		if (!link_transmit(home, bytes, sizeof(bytes), 0))
			break;
	}
	assert_int_equal(frames, 4096 - 64);
	for (; frames < 10000; frames++) {
		send_text(HOME(pair), 0, "x");
		if (!link_transmit(home, bytes, sizeof(bytes), 0))
			break;
	}
	assert_int_equal(frames, 4096);
	assert_false(link_wants_transmit(home, 0));
}

static void test_fin(void **state)
{
	struct pair *pair = *state;
	struct peer *home = HOME(pair), *guest = GUEST(pair);

	pair_attach(pair);
	assert_int_equal(link_send_fin(home->link, 2), 0);
	pair_send(home, 1, 10);
	assert_int_equal(link_send_fin(home->link, 1), 0);
	pair_drain(pair);
	assert_true(guest->fin_received[1]);
	assert_true(guest->fin_received[2]);
	assert_false(guest->fin_received[3]);
	assert_int_equal(guest->received[1], 10);
	/* The other direction is still open. */
	pair_send(guest, 1, 10);
	pair_drain(pair);
	assert_int_equal(home->received[1], 10);
}

static void test_acknowledged_in_time(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;

	pair_attach(pair);
	pair_drain(pair);
	pair_send(HOME(pair), 1, 10);
	pair_drain(pair);
	assert_int_equal(link_pending(home, 1), 10);
	assert_int_equal(link_deadline(GUEST(pair)->link), pair->now + 20);
	pair_pass(pair, 20);
	assert_int_equal(link_pending(home, 1), 0);
}

static void test_acknowledged_by_frames_and_bytes(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;

	pair_attach(pair);
	pair_drain(pair);
	for (int i = 0; i < 32; i++) {
		pair_send(HOME(pair), 1, 1);
		pair_drain(pair);
	}
	assert_int_equal(link_pending(home, 1), 0);
	pair_send(HOME(pair), 2, PAIR_WINDOW);
	GUEST(pair)->hold[2] = true; /* no CREDIT to travel in */
	pair_drain(pair);
	assert_int_equal(link_pending(home, 2), 0);
}

/* An acknowledgement that the transport does not take must not make its owner
 * poll with no time-out. */
static void test_deadline_of_blocked_transport(void **state)
{
	struct pair *pair = *state;
	struct link *guest = GUEST(pair)->link;

	pair_attach(pair);
	pair_drain(pair);
	pair_send(HOME(pair), 1, 10);
	pair_drain(pair);
	pair->now += 25;
	assert_int_equal(link_tick(guest, pair->now), 0);
	assert_true(link_wants_transmit(guest, pair->now));
	assert_true(link_deadline(guest) > pair->now);
}

static void test_replay_after_loss(void **state)
{
	struct pair *pair = *state;
	struct link_stats stats;

	pair_attach(pair);
	pair_drain(pair);
	pair_send(HOME(pair), 1, 1000);
	pair_send(GUEST(pair), 2, 1000);
	/* Written, and then the transport vanishes. */
	for (int side = 0; side < 2; side++) {
		uint8_t bytes[4096];

		assert_true(link_transmit(pair->peer[side].link, bytes,
					  sizeof(bytes), 0) > 1000);
	}
	pair_attach(pair);
	pair_drain(pair);
	assert_int_equal(GUEST(pair)->received[1], 1000);
	assert_int_equal(HOME(pair)->received[2], 1000);
	link_stats(HOME(pair)->link, &stats);
	assert_int_equal(stats.frames_replayed, 1);
	assert_int_equal(stats.attachments, 2);
	assert_int_equal(link_epoch(GUEST(pair)->link), 2);
	assert_int_equal(GUEST(pair)->ups, 2);
}

/* Only what the peer lacks is sent again. */
static void test_delivered_is_not_replayed(void **state)
{
	struct pair *pair = *state;
	struct link_stats stats;

	pair_attach(pair);
	pair_drain(pair);
	pair_send(HOME(pair), 1, 1000);
	pair_drain(pair);
	assert_int_equal(link_pending(HOME(pair)->link, 1), 1000);
	pair_attach(pair);
	pair_drain(pair);
	assert_int_equal(link_pending(HOME(pair)->link, 1), 0);
	link_stats(HOME(pair)->link, &stats);
	assert_int_equal(stats.frames_replayed, 0);
}

/* Home says its first HELLO of epoch 1 once more: the guest will replay. */
static void repeat_hello(struct pair *pair)
{
	struct hello hello = { .version = LINK_VERSION, .side = LINK_HOME,
			       .epoch = 1 };
	uint8_t bytes[FRAME_HELLO_SIZE];

	memcpy(hello.id, "0123456789abcde", sizeof(hello.id));
	hello_encode(bytes, &hello);
	assert_int_equal(link_receive(GUEST(pair)->link, bytes, sizeof(bytes),
				      0), 0);
}

/*
 * A frame is acknowledged while it is being replayed, and its place in the ring
 * is wanted: its bytes must stay until the last of them is transmitted, also in
 * a ring that grows meanwhile.
 */
static void test_acknowledged_while_replayed(void **state)
{
	static const struct { unsigned channel; size_t more; } cases[] = {
		{ 3, 1000 }, { 1, 30000 },
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pair *pair = pair_new(1);
		struct peer *home = HOME(pair), *guest = GUEST(pair);
		unsigned c = cases[i].channel;

		pair_attach(pair);
		pair_drain(pair);
		pair_send(guest, c, 4096); /* fills the ring */
		pair_carry(guest, home, 2 * PAIR_WINDOW, 0);
		repeat_hello(pair);
		/* HELLO, CREDITs, and a part of the frame. */
		pair_carry(guest, home, 1000, 0);
		/* Home acknowledges the first copy. */
		pair_carry(home, guest, 2 * PAIR_WINDOW, 1000);
		assert_int_equal(link_pending(guest->link, c), 0);
		if (c == 3)
			assert_int_equal(link_room(guest->link, c), 0);
		else
			pair_send(guest, c, cases[i].more);
		pair_drain(pair);
		pair_send(guest, c, cases[i].more);
		pair_drain(pair);
		assert_int_equal(home->received[c], guest->sent[c]);
		assert_int_equal(pair->lost, 0);
		pair_free(pair);
	}
}

/* An acknowledgement overtakes the replay that it makes needless. */
static void test_acknowledged_before_replay(void **state)
{
	struct pair *pair = *state;
	struct link_stats stats;

	pair_attach(pair);
	pair_drain(pair);
	pair_send(GUEST(pair), 1, 1000);
	pair_carry(GUEST(pair), HOME(pair), 4096, 0);
	repeat_hello(pair);
	pair_carry(HOME(pair), GUEST(pair), 4096, 1000);
	pair_drain(pair);
	link_stats(GUEST(pair)->link, &stats);
	assert_int_equal(stats.frames_replayed, 0);
	assert_int_equal(pair->lost, 0);
}

/* A new attachment does not begin with the rest of the last one. */
static void test_attach_forgets_the_frame_under_way(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;
	uint8_t bytes[4096];

	pair_attach(pair);
	pair_drain(pair);
	pair_send(HOME(pair), 1, 4000);
	assert_int_equal(link_transmit(home, bytes, 100, 0), 100);
	link_attach(home, 0);
	assert_int_equal(link_transmit(home, bytes, sizeof(bytes), 0),
			 FRAME_HELLO_SIZE);
	assert_memory_equal(bytes, frame_magic, FRAME_MAGIC_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_comes_up),
		TEST(test_each_channel_both_ways),
		TEST(test_queued_while_detached),
		TEST(test_send_limits),
		TEST(test_small_sends_share_a_frame),
		TEST(test_credit),
		TEST(test_credit_across_attachments),
		TEST(test_control_goes_first),
		TEST(test_control_overtakes),
		TEST(test_round_robin),
		TEST(test_replay_is_bounded),
		TEST(test_fin),
		TEST(test_acknowledged_in_time),
		TEST(test_acknowledged_by_frames_and_bytes),
		TEST(test_deadline_of_blocked_transport),
		TEST(test_replay_after_loss),
		TEST(test_delivered_is_not_replayed),
		cmocka_unit_test(test_acknowledged_while_replayed),
		TEST(test_acknowledged_before_replay),
		TEST(test_attach_forgets_the_frame_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
