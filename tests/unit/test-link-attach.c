/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How attachments begin and end: HELLO, BYE, keep-alive. */
#include "net/bytes.h"
#include "net/link-frame.h"
#include "tests/unit/link-pair.h"

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
	pair_drain(pair);
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
	pair_drain(pair);
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
	pair_drain(pair);
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

	pair_send(guest, 1, 1000);
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
		pair_drain(pair);
		/* Grow the ring to its full size, so that a frame can be of
		 * the largest size, too. */
		pair_send(HOME(pair), 1, PAIR_WINDOW);
		pair_pass(pair, 100);
		pair_send(HOME(pair), 1, PAIR_WINDOW);
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
	pair_drain(pair);
	link_detach(guest->link, "a test of the guest's");
	link_attach(guest->link, pair->now);
	pair_drain(pair);
	assert_int_equal(pair->lost, 1);
	assert_int_equal(link_epoch(guest->link), 2);
	assert_int_equal(link_state(guest->link), LINK_UP);
}

/* The answer comes just when the next HELLO is due: that one is not sent. */
static void test_late_answer(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link;
	uint8_t bytes[4096];
	size_t len;

	link_attach(GUEST(pair)->link, 0);
	link_attach(home, 0);
	pair_carry(HOME(pair), GUEST(pair), 4096, 0);
	assert_int_equal(link_tick(home, 200), 0);
	pair_carry(GUEST(pair), HOME(pair), 4096, 200);
	len = link_transmit(home, bytes, sizeof(bytes), 200);
	assert_true(len > 0);
	assert_null(memmem(bytes, len, frame_magic, FRAME_MAGIC_SIZE));
}

/* Home believes the attachment stands, and the first BYE is lost. */
static void test_bye_is_repeated(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link, *guest = GUEST(pair)->link;
	uint8_t bytes[4096];
	size_t len;

	pair_attach(pair);
	pair_drain(pair);
	link_detach(guest, "a test of the guest's");
	link_attach(guest, 0);
	assert_true(link_transmit(guest, bytes, sizeof(bytes), 0) > 0);
	assert_false(link_wants_transmit(guest, 0));
	assert_int_equal(link_deadline(guest), 15000);
	assert_int_equal(link_tick(guest, 15000), 0);
	len = link_transmit(guest, bytes, sizeof(bytes), 15000);
	assert_int_equal(link_receive(home, bytes, len, 15000), -1);
	assert_string_equal(link_reason(home),
			    "the peer ended the attachment: "
			    "a test of the guest's");
}

/* Home is told why, in words. */
static void test_bye_tells_why(void **state)
{
	struct pair *pair = *state;
	struct link *home = HOME(pair)->link, *guest = GUEST(pair)->link;
	uint8_t bytes[4096];
	size_t len;

	pair_attach(pair);
	pair_drain(pair);
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
		TEST(test_late_answer),
		TEST(test_bye_is_repeated),
		TEST(test_bye_tells_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
