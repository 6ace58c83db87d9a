/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the link promises over a transport that works, or is silent. */
#include "net/bytes.h"
#include "net/link-frame.h"
#include "tests/unit/link-pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOME(p) (&(p)->peer[LINK_HOME])
#define GUEST(p) (&(p)->peer[LINK_GUEST])

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

/* Queue `len` bytes of the stream that link-pair.c expects. */
static void send_stream(struct peer *peer, unsigned channel, size_t len)
{
	peer->target[channel] = peer->sent[channel] + len;
	while (peer->sent[channel] < peer->target[channel]) {
		uint8_t byte = pair_byte(peer->side, channel,
					 peer->sent[channel]++);

		assert_int_equal(link_send(peer->link, channel, &byte, 1), 0);
	}
}

/* Move without pair_feed(), which would send FINs. */
static void settle(struct pair *pair)
{
	while (pair_move(pair))
		;
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
	settle(pair);
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

	send_stream(HOME(pair), 1, 5000);
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
	settle(pair);
	link_stats(GUEST(pair)->link, &before);
	send_stream(HOME(pair), 1, 1000); /* byte by byte */
	settle(pair);
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

	send_stream(HOME(pair), 2, 3000);
	send_stream(HOME(pair), 1, 3000);
	send_stream(HOME(pair), 0, 3000);
	pair_attach(pair);
	settle(pair);
	assert_int_equal(guest->received[2], 3000);
	assert_int_equal(guest->order[0], 0);
}

/* A keystroke overtakes whatever waits, without waiting for its credit. */
static void test_control_overtakes(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[512];

	pair_attach(pair);
	settle(pair);
	send_stream(HOME(pair), 1, 60000);
	assert_int_equal(link_transmit(HOME(pair)->link, bytes, sizeof(bytes),
				       0), sizeof(bytes));
	assert_int_equal(link_receive(GUEST(pair)->link, bytes, sizeof(bytes),
				      0), 0);
	send_stream(HOME(pair), 2, 100);
	send_stream(HOME(pair), 0, 100);
	settle(pair);
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
	settle(pair);
	for (; frames < 10000; frames++) {
		assert_int_equal(link_send(home, 1, "x", 1), 0);
		if (!link_transmit(home, bytes, sizeof(bytes), 0))
			break;
	}
	assert_in_range(frames, 3000, 4096);
	send_text(HOME(pair), 0, "control");
	assert_true(link_transmit(home, bytes, sizeof(bytes), 0) > 0);
	assert_int_equal(link_transmit(home, bytes, sizeof(bytes), 0), 0);
	assert_false(link_wants_transmit(home, 0));
}

static void test_fin(void **state)
{
	struct pair *pair = *state;
	struct peer *home = HOME(pair), *guest = GUEST(pair);

	pair_attach(pair);
	assert_int_equal(link_send_fin(home->link, 2), 0);
	send_stream(home, 1, 10);
	assert_int_equal(link_send_fin(home->link, 1), 0);
	settle(pair);
	assert_true(guest->fin_received[1]);
	assert_true(guest->fin_received[2]);
	assert_false(guest->fin_received[3]);
	assert_int_equal(guest->received[1], 10);
	/* The other direction is still open. */
	send_stream(guest, 1, 10);
	settle(pair);
	assert_int_equal(home->received[1], 10);
}

static void test_acknowledged_in_time(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;

	pair_attach(pair);
	settle(pair);
	send_stream(HOME(pair), 1, 10);
	settle(pair);
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
	settle(pair);
	for (int i = 0; i < 32; i++) {
		send_stream(HOME(pair), 1, 1);
		settle(pair);
	}
	assert_int_equal(link_pending(home, 1), 0);
	send_stream(HOME(pair), 2, PAIR_WINDOW);
	GUEST(pair)->hold[2] = true; /* no CREDIT to travel in */
	settle(pair);
	assert_int_equal(link_pending(home, 2), 0);
}

/* An acknowledgement that the transport does not take must not make its owner
 * poll with no time-out. */
static void test_deadline_of_blocked_transport(void **state)
{
	struct pair *pair = *state;
	struct link *guest = GUEST(pair)->link;

	pair_attach(pair);
	settle(pair);
	send_stream(HOME(pair), 1, 10);
	settle(pair);
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
	settle(pair);
	send_stream(HOME(pair), 1, 1000);
	send_stream(GUEST(pair), 2, 1000);
	/* Written, and then the transport vanishes. */
	for (int side = 0; side < 2; side++) {
		uint8_t bytes[4096];

		assert_true(link_transmit(pair->peer[side].link, bytes,
					  sizeof(bytes), 0) > 1000);
	}
	pair_attach(pair);
	settle(pair);
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
	settle(pair);
	send_stream(HOME(pair), 1, 1000);
	settle(pair);
	assert_int_equal(link_pending(HOME(pair)->link, 1), 1000);
	pair_attach(pair);
	settle(pair);
	assert_int_equal(link_pending(HOME(pair)->link, 1), 0);
	link_stats(HOME(pair)->link, &stats);
	assert_int_equal(stats.frames_replayed, 0);
}

/*
 * A frame is acknowledged while it is being replayed, and its place in the ring
 * is wanted: its bytes must stay until the last of them is transmitted.
 */
static void test_acknowledged_while_replayed(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link, *guest = GUEST(pair)->link;
	struct hello hello = { .version = LINK_VERSION, .side = LINK_HOME,
			       .epoch = 1 };
	uint8_t bytes[2 * PAIR_WINDOW];
	size_t len;

	(void)home;
	pair_attach(pair);
	settle(pair);
	send_stream(GUEST(pair), 3, 4096); /* the whole window */
	len = link_transmit(guest, bytes, sizeof(bytes), 0);
	assert_int_equal(link_receive(home, bytes, len, 0), 0);
	/* A second HELLO of the same epoch makes the guest replay. */
	memcpy(hello.id, "0123456789abcde", sizeof(hello.id));
	hello_encode(bytes, &hello);
	assert_int_equal(link_receive(guest, bytes, FRAME_HELLO_SIZE, 0), 0);
	len = link_transmit(guest, bytes, 1000, 0);
	assert_int_equal(link_receive(home, bytes, len, 0), 0);
	/* Home acknowledges the first copy. */
	len = link_transmit(home, bytes, sizeof(bytes), 1000);
	assert_int_equal(link_receive(guest, bytes, len, 0), 0);
	assert_int_equal(link_pending(guest, 3), 0);
	assert_true(link_room(guest, 3) < 4096);
	send_stream(GUEST(pair), 3, link_room(guest, 3));
	len = link_transmit(guest, bytes, sizeof(bytes), 0);
	assert_int_equal(link_receive(home, bytes, len, 0), 0);
	settle(pair);
	assert_int_equal(HOME(pair)->received[3], GUEST(pair)->sent[3]);
	assert_int_equal(pair->lost, 0);
}

/* Keep-alive */

static void test_quiet_link_stays_up(void **state)
{
	struct pair *pair = *state;

	pair_attach(pair);
	pair_pass(pair, 3600 * 1000);
	assert_int_equal(link_state(HOME(pair)->link), LINK_UP);
	assert_int_equal(link_state(GUEST(pair)->link), LINK_UP);
	assert_int_equal(pair->lost, 0);
}

static void swallow(struct pair *pair, enum link_side from, uint64_t at,
		    uint8_t *bytes, size_t *len)
{
	(void)at;
	(void)bytes;
	if (!pair->fault_ctx || *(enum link_side *)pair->fault_ctx == from)
		*len = 0;
}

static void test_silent_transport_is_found(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;
	uint8_t bytes[4096];
	int64_t t;

	pair_attach(pair);
	settle(pair);
	for (t = 0; t < 20000; t += 100) {
		if (link_tick(home, t))
			break;
		/* Written, but nobody answers. */
		link_transmit(home, bytes, sizeof(bytes), t);
	}
	assert_int_equal(t, 15000);
	assert_int_equal(link_state(home), LINK_DETACHED);
	assert_string_equal(link_reason(home),
			    "nothing was received for 15000 ms");
}

/* A direction that is dead is found from the side that hears nothing. */
static void test_half_dead_transport(void **state)
{
	struct pair *pair = *state;
	static enum link_side from;

	for (int side = 0; side < 2; side++) {
		uint64_t lost = pair->lost;

		pair_attach(pair);
		pair_settle(pair);
		from = (enum link_side)side;
		pair->fault = swallow;
		pair->fault_ctx = &from;
		pair_pass(pair, 16000);
		assert_true(pair->lost > lost);
		pair->fault = NULL;
		pair_pass(pair, 6000);
		assert_int_equal(link_state(HOME(pair)->link), LINK_UP);
	}
}

/* SIGSTOP of the deputy, or a suspended VM: hours pass between two ticks. */
static void test_stopped_owner_is_not_silence(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;

	pair_attach(pair);
	settle(pair);
	assert_int_equal(link_tick(home, 3600 * 1000), 0);
	assert_int_equal(link_state(home), LINK_UP);
	/* But from now on silence counts. */
	assert_int_equal(link_tick(home, 3600 * 1000 + 5000), 0);
	assert_int_equal(link_tick(home, 3600 * 1000 + 10000), 0);
	assert_int_equal(link_tick(home, 3600 * 1000 + 15000), -1);
}

/* A CREDIT lost on its own leaves no gap; the next PING makes it good. */
static void drop_credits(struct pair *pair, enum link_side from, uint64_t at,
			 uint8_t *bytes, size_t *len)
{
	size_t i = 0;

	(void)pair;
	(void)at;
	if (from != LINK_GUEST)
		return;
	while (i + FRAME_HEADER_SIZE <= *len) {
		size_t size = FRAME_HEADER_SIZE + get_le32(bytes + i) +
			      FRAME_TRAILER_SIZE;

		assert_true(i + size <= *len);
		if (bytes[i + 4] == FRAME_CREDIT) {
			memmove(bytes + i, bytes + i + size, *len - i - size);
			*len -= size;
		} else {
			i += size;
		}
	}
}

static void test_lost_credit(void **state)
{
	struct pair *pair = *state;

	pair_attach(pair);
	settle(pair);
	pair->fault = drop_credits;
	HOME(pair)->target[1] = 3 * PAIR_WINDOW;
	pair_settle(pair);
	assert_int_equal(GUEST(pair)->received[1], PAIR_WINDOW);
	pair->fault = NULL;
	pair_pass(pair, 5000);
	assert_true(GUEST(pair)->received[1] > PAIR_WINDOW);
	pair_finish(pair, 30000);
	assert_int_equal(pair->lost, 0);
}

/* HELLO */

static void test_hello_is_repeated(void **state)
{
	static const int64_t expected[] = { 0, 200, 600, 1400, 3000, 6200, 11200,
					    16200, 21200 };
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;
	static uint8_t bytes[2 * FRAME_MAX_SIZE];
	unsigned n = 0;

	link_attach(home, 0);
	for (int64_t t = 0; t < 22000; t += 50) {
		size_t len;

		assert_int_equal(link_tick(home, t), 0);
		len = link_transmit(home, bytes, sizeof(bytes), t);
		if (!len)
			continue;
		assert_int_equal(t, expected[n]);
		/* The first alone, the others with a PAD. */
		assert_int_equal(len, n ? FRAME_HELLO_SIZE + FRAME_MAX_SIZE :
					  FRAME_HELLO_SIZE);
		n++;
	}
	assert_int_equal(n, sizeof(expected) / sizeof(expected[0]));
	assert_int_equal(link_state(home), LINK_HELLO);
}

/* While the transport takes nothing, one HELLO waits, not hundreds. */
static void test_hello_does_not_pile_up(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;
	static uint8_t bytes[4 * FRAME_MAX_SIZE];

	link_attach(home, 0);
	assert_int_equal(link_transmit(home, bytes, sizeof(bytes), 0),
			 FRAME_HELLO_SIZE);
	for (int64_t t = 0; t < 3600 * 1000; t += 1000)
		link_tick(home, t);
	assert_int_equal(link_deadline(home), -1);
	assert_int_equal(link_transmit(home, bytes, sizeof(bytes), 3600 * 1000),
			 FRAME_HELLO_SIZE + FRAME_MAX_SIZE);
}

/* A guest that was paused finds many HELLOs and answers them once. */
static void test_one_answer_for_many(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link, *guest = GUEST(pair)->link;
	static uint8_t bytes[4 * FRAME_MAX_SIZE];
	size_t len = 0;

	link_attach(home, 0);
	link_attach(guest, 0);
	for (int64_t t = 0; t < 1000; t += 100) {
		link_tick(home, t);
		len += link_transmit(home, bytes + len, sizeof(bytes) - len, t);
	}
	assert_int_equal(link_receive(guest, bytes, len, 1000), 0);
	assert_int_equal(GUEST(pair)->ups, 1);
	len = link_transmit(guest, bytes, sizeof(bytes), 1000);
	assert_int_equal(len, FRAME_HELLO_SIZE +
				      PAIR_CHANNELS * (FRAME_HEADER_SIZE +
						       FRAME_CREDIT_SIZE +
						       FRAME_TRAILER_SIZE));
	assert_int_equal(link_receive(home, bytes, len, 1000), 0);
	assert_int_equal(link_state(home), LINK_UP);
}

/* The first answer is lost without a trace, with the data behind it. */
static void test_lost_answer(void **state)
{
	struct pair *pair = *state;
	struct peer *guest = GUEST(pair);
	uint8_t bytes[4096];

	send_stream(guest, 1, 1000);
	pair_attach(pair);
	assert_true(link_transmit(HOME(pair)->link, bytes, sizeof(bytes), 0));
	assert_int_equal(link_receive(guest->link, bytes, FRAME_HELLO_SIZE, 0),
			 0);
	assert_true(link_transmit(guest->link, bytes, sizeof(bytes), 0));
	assert_int_equal(link_state(guest->link), LINK_UP);
	pair_pass(pair, 200);
	assert_int_equal(link_state(HOME(pair)->link), LINK_UP);
	assert_int_equal(HOME(pair)->received[1], 1000);
	assert_int_equal(pair->lost, 0);
	assert_int_equal(guest->ups, 1);
}

/*
 * A serial port carries a new attachment and the guest is in the middle of a
 * frame, at any byte of it: the HELLO is taken for payload, and still the guest
 * must be up soon.
 */
static void test_hello_within_a_cut_frame(void **state)
{
	static const size_t cuts[] = { 1, 3, 15, 23, 24, 25, 63, 64, 65, 1000,
				       40000, 65500, 65566, 65567 };

	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct pair *pair = pair_new(i);
		static uint8_t bytes[FRAME_MAX_SIZE];
		size_t len;

		pair->serial = true;
		pair->keep_open = true;
		pair_attach(pair);
		settle(pair);
		/* Grow the ring to its full size, so that a frame can be of
		 * the largest size, too. */
		send_stream(HOME(pair), 1, PAIR_WINDOW);
		pair_pass(pair, 100);
		send_stream(HOME(pair), 1, PAIR_WINDOW);
		len = link_transmit(HOME(pair)->link, bytes, sizeof(bytes),
				    pair->now);
		assert_int_equal(len, FRAME_MAX_SIZE);
		assert_int_equal(link_receive(GUEST(pair)->link, bytes, cuts[i],
					      pair->now), 0);
		pair_attach(pair);
		pair_pass(pair, 250);
		assert_int_equal(link_state(HOME(pair)->link), LINK_UP);
		assert_int_equal(GUEST(pair)->received[1], 2 * PAIR_WINDOW);
		assert_int_equal(link_epoch(GUEST(pair)->link), 2);
		pair_free(pair);
	}
}

/* The guest starts to listen again on the same port; home, unaware, is up. */
static void test_guest_asks_for_a_new_attachment(void **state)
{
	struct pair *pair = *state;
	struct peer *guest = GUEST(pair);

	pair->serial = true;
	pair_attach(pair);
	settle(pair);
	link_detach(guest->link, "a test of the guest's");
	link_attach(guest->link, pair->now);
	settle(pair);
	assert_int_equal(pair->lost, 1);
	assert_int_equal(link_epoch(guest->link), 2);
	assert_int_equal(link_state(guest->link), LINK_UP);
}

/* Home is told why, in words. */
static void test_bye_tells_why(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link, *guest = GUEST(pair)->link;
	uint8_t bytes[4096];
	size_t len;

	pair_attach(pair);
	settle(pair);
	memset(bytes, 0xee, FRAME_HEADER_SIZE);
	assert_int_equal(link_receive(guest, bytes, FRAME_HEADER_SIZE, 0), 0);
	assert_int_equal(link_state(guest), LINK_HELLO);
	assert_string_equal(link_reason(guest),
			    "a frame of the unknown kind 238");
	len = link_transmit(guest, bytes, sizeof(bytes), 0);
	assert_int_equal(link_receive(home, bytes, len, 0), -1);
	assert_string_equal(link_reason(home),
			    "the peer ended the attachment: "
			    "a frame of the unknown kind 238");
	assert_false(link_incompatible(home));
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
		TEST(test_acknowledged_while_replayed),
		TEST(test_quiet_link_stays_up),
		TEST(test_silent_transport_is_found),
		TEST(test_half_dead_transport),
		TEST(test_stopped_owner_is_not_silence),
		TEST(test_lost_credit),
		TEST(test_hello_is_repeated),
		TEST(test_hello_does_not_pile_up),
		TEST(test_one_answer_for_many),
		TEST(test_lost_answer),
		TEST(test_hello_within_a_cut_frame),
		TEST(test_guest_asks_for_a_new_attachment),
		TEST(test_bye_tells_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
