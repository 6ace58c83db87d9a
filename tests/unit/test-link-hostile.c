/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer that sends what no honest one would. The attachment ends with a
 * message, nothing reaches the application, and the link can be attached again.
 */
#include "net/bytes.h"
#include "net/link-frame.h"
#include "net/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define WINDOW 8192
#define GOOD_EPOCH 5

static const struct link_channel channels[] = {
	{ "control", WINDOW }, { "one", WINDOW },
};
static const uint8_t id[LINK_ID_SIZE] = "0123456789abcde";
static const uint8_t other_id[LINK_ID_SIZE] = "0123456789abcdf";

/* The link under attack, and what reached its application. */
struct victim {
	struct link *link;
	enum link_side side, peer;
	unsigned events, ups;
	uint64_t seed; /* of the attacker's checks */
};

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct victim *victim = ctx;

	(void)data;
	victim->events++;
	link_consume(victim->link, channel, len);
}

static void on_fin(void *ctx, unsigned channel)
{
	(void)channel;
	((struct victim *)ctx)->events++;
}

static void on_up(void *ctx, uint64_t epoch)
{
	(void)epoch;
	((struct victim *)ctx)->ups++;
}

static const struct link_events events = { on_data, on_fin, on_up };

/* All that the link wants to say; the length goes to *len. */
static const uint8_t *listen_to(struct victim *victim, size_t *len)
{
	static uint8_t bytes[4 * FRAME_MAX_SIZE];

	*len = link_transmit(victim->link, bytes, sizeof(bytes), 0);
	return bytes;
}

static struct hello good_hello(const struct victim *victim, uint64_t epoch)
{
	struct hello hello = {
		.version = LINK_VERSION,
		.side = (uint8_t)victim->peer,
		.epoch = epoch,
	};

	memcpy(hello.id, id, sizeof(id));
	return hello;
}

static int say_hello(struct victim *victim, const struct hello *hello)
{
	uint8_t bytes[FRAME_HELLO_SIZE];

	hello_encode(bytes, hello);
	return link_receive(victim->link, bytes, sizeof(bytes), 0);
}

/* A link that is up, in epoch GOOD_EPOCH, with a frame each way. */
static void bring_up(struct victim *victim, enum link_side side)
{
	struct link_config config = {
		.side = side, .nchannels = 2, .channels = channels,
	};
	struct hello hello;
	size_t len;

	memset(victim, 0, sizeof(*victim));
	memcpy(config.id, id, sizeof(id));
	victim->side = side;
	victim->peer = side == LINK_HOME ? LINK_GUEST : LINK_HOME;
	victim->link = link_new(&config, &events, victim);
	assert_non_null(victim->link);
	for (int i = 0; i < (side == LINK_HOME ? GOOD_EPOCH : 1); i++)
		link_attach(victim->link, 0);
	hello = good_hello(victim, GOOD_EPOCH);
	assert_int_equal(say_hello(victim, &hello), 0);
	assert_int_equal(link_state(victim->link), LINK_UP);
	listen_to(victim, &len);
	victim->seed = frame_seed(id, GOOD_EPOCH, victim->peer);
}

static size_t build(uint8_t *bytes, const struct frame *frame, uint64_t seed)
{
	frame_encode(bytes, frame);
	memset(bytes + FRAME_HEADER_SIZE, 'x', frame->len);
	put_le64(bytes + FRAME_HEADER_SIZE + frame->len,
		 frame_check(seed, bytes, bytes + FRAME_HEADER_SIZE,
			     frame->len));
	return FRAME_HEADER_SIZE + frame->len + FRAME_TRAILER_SIZE;
}

/* Give the bytes in pieces; stops when the link refuses. */
static int give(struct victim *victim, const uint8_t *bytes, size_t len,
		size_t piece)
{
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;

		if (link_receive(victim->link, bytes + at, n, 0))
			return -1;
	}
	return 0;
}

static void check_resumes(struct victim *victim)
{
	struct hello hello = good_hello(victim, GOOD_EPOCH + 1);

	if (victim->side == LINK_HOME)
		link_attach(victim->link, 0);
	assert_int_equal(say_hello(victim, &hello), 0);
	assert_int_equal(link_state(victim->link), LINK_UP);
	assert_int_equal(link_epoch(victim->link), GOOD_EPOCH + 1);
}

static void check_refused(struct victim *victim, int result, const char *why)
{
	size_t len;
	const uint8_t *bytes;

	if (!strstr(link_reason(victim->link), why))
		fail_msg("the reason is \"%s\", not \"%s\"",
			 link_reason(victim->link), why);
	assert_int_equal(victim->events, 0);
	bytes = listen_to(victim, &len);
	if (victim->side == LINK_HOME) {
		assert_int_equal(result, -1);
		assert_int_equal(link_state(victim->link), LINK_DETACHED);
		assert_int_equal(len, 0);
	} else {
		/* The guest keeps its transport and says why. */
		assert_int_equal(result, 0);
		assert_int_equal(link_state(victim->link), LINK_HELLO);
		assert_non_null(memmem(bytes, len, why, strlen(why)));
	}
}

static const struct attack {
	const char *why;
	struct frame frame;
	bool header_only; /* refused before any payload comes */
} attacks[] = {
	{ "unknown kind 0", { 0, 0, 0, 0, 0 }, true },
	{ "unknown kind 9", { 0, FRAME_KIND_END, 0, 0, 0 }, true },
	{ "unknown kind 255", { 0, 255, 0, 0, 0 }, true },
	{ "DATA frame with 0 bytes", { 0, FRAME_DATA, 1, 0, 0 }, true },
	{ "DATA frame with 65537 bytes", { 65537, FRAME_DATA, 1, 0, 0 }, true },
	{ "DATA frame with 4294967295 bytes",
	  { UINT32_MAX, FRAME_DATA, 1, 0, 0 }, true },
	{ "FIN frame with 1 bytes", { 1, FRAME_FIN, 1, 0, 0 }, true },
	{ "ACK frame with 1 bytes", { 1, FRAME_ACK, 0, 0, 0 }, true },
	{ "CREDIT frame with 7 bytes", { 7, FRAME_CREDIT, 1, 0, 0 }, true },
	{ "CREDIT frame with 9 bytes", { 9, FRAME_CREDIT, 1, 0, 0 }, true },
	{ "PING frame with 1 bytes", { 1, FRAME_PING, 0, 0, 0 }, true },
	{ "PONG frame with 1 bytes", { 1, FRAME_PONG, 0, 0, 0 }, true },
	{ "BYE frame with 201 bytes", { 201, FRAME_BYE, 0, 0, 0 }, true },
	{ "PAD frame with 65537 bytes", { 65537, FRAME_PAD, 0, 0, 0 }, true },
	{ "DATA frame for channel 2", { 1, FRAME_DATA, 2, 0, 0 }, true },
	{ "DATA frame for channel 255", { 1, FRAME_DATA, 255, 0, 0 }, true },
	{ "FIN frame for channel 2", { 0, FRAME_FIN, 2, 0, 0 }, true },
	{ "CREDIT frame for channel 2", { 8, FRAME_CREDIT, 2, 0, 0 }, true },
	{ "ACK frame for channel 1", { 0, FRAME_ACK, 1, 0, 0 }, true },
	{ "PING frame for channel 1", { 0, FRAME_PING, 1, 0, 0 }, true },
	{ "BYE frame for channel 2", { 0, FRAME_BYE, 2, 0, 0 }, true },
	{ "frames are missing", { 10, FRAME_DATA, 1, 1, 0 }, false },
	{ "frames are missing", { 10, FRAME_DATA, 1, UINT64_MAX, 0 }, false },
	{ "frames are missing", { 0, FRAME_FIN, 1, 1, 0 }, false },
	{ "frames are missing", { 0, FRAME_ACK, 0, 1, 0 }, false },
	{ "frames are missing", { 0, FRAME_PONG, 0, UINT64_MAX, 0 }, false },
	{ "frame 1 was acknowledged", { 0, FRAME_ACK, 0, 0, 1 }, false },
	{ "was acknowledged", { 10, FRAME_DATA, 1, 0, UINT64_MAX }, false },
	{ "beyond its limit by 1", { WINDOW + 1, FRAME_DATA, 1, 0, 0 }, false },
	{ "beyond its limit", { LINK_MAX_PAYLOAD, FRAME_DATA, 0, 0, 0 }, false },
};

static void run_attack(const struct attack *attack, enum link_side side,
		       size_t piece)
{
	static uint8_t bytes[FRAME_MAX_SIZE];
	struct victim victim;
	size_t len = FRAME_HEADER_SIZE;

	bring_up(&victim, side);
	if (attack->header_only)
		frame_encode(bytes, &attack->frame);
	else
		len = build(bytes, &attack->frame, victim.seed);
	check_refused(&victim, give(&victim, bytes, len, piece), attack->why);
	check_resumes(&victim);
	link_free(victim.link);
}

static void test_attacks(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		for (int side = 0; side < 2; side++) {
			run_attack(&attacks[i], (enum link_side)side, 1);
			run_attack(&attacks[i], (enum link_side)side, 1 << 20);
		}
}

/* A correct frame with one bit changed is refused, whichever bit it is. */
static void test_every_bit(void **state)
{
	struct frame frame = { 20, FRAME_DATA, 1, 0, 0 };
	uint8_t bytes[100];
	size_t len = FRAME_HEADER_SIZE + 20 + FRAME_TRAILER_SIZE;

	(void)state;
	for (size_t bit = 0; bit < 8 * len; bit++)
		for (int side = 0; side < 2; side++) {
			struct victim victim;

			bring_up(&victim, (enum link_side)side);
			build(bytes, &frame, victim.seed);
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			/* A longer frame has not ended yet: add what follows. */
			if (!give(&victim, bytes, len, len) &&
			    link_state(victim.link) == LINK_UP) {
				static const uint8_t more[FRAME_MAX_SIZE];

				give(&victim, more, sizeof(more), sizeof(more));
			}
			assert_int_equal(victim.events, 0);
			assert_int_not_equal(link_state(victim.link), LINK_UP);
			check_resumes(&victim);
			link_free(victim.link);
		}
}

/* Frames that are right in every respect but whose they are. */
static void test_foreign_frames(void **state)
{
	struct frame frame = { 20, FRAME_DATA, 1, 0, 0 };

	(void)state;
	for (int side = 0; side < 2; side++) {
		enum link_side own = (enum link_side)side;
		const uint64_t seeds[] = {
			frame_seed(id, GOOD_EPOCH, own), /* reflected */
			frame_seed(id, GOOD_EPOCH - 1, (enum link_side)!own),
			frame_seed(id, GOOD_EPOCH + 1, (enum link_side)!own),
			frame_seed(other_id, GOOD_EPOCH, (enum link_side)!own),
		};

		for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
			struct victim victim;
			uint8_t bytes[100];
			size_t len = build(bytes, &frame, seeds[i]);

			bring_up(&victim, own);
			check_refused(&victim, give(&victim, bytes, len, len),
				      "the check of a frame is wrong");
			check_resumes(&victim);
			link_free(victim.link);
		}
	}
}

static void test_after_fin(void **state)
{
	struct frame fin = { 0, FRAME_FIN, 1, 0, 0 };
	struct frame more[] = {
		{ 1, FRAME_DATA, 1, 1, 0 }, { 0, FRAME_FIN, 1, 1, 0 },
	};

	(void)state;
	for (int side = 0; side < 2; side++)
		for (int i = 0; i < 2; i++) {
			struct victim victim;
			uint8_t bytes[100];
			size_t len;

			bring_up(&victim, (enum link_side)side);
			len = build(bytes, &fin, victim.seed);
			assert_int_equal(give(&victim, bytes, len, len), 0);
			assert_int_equal(victim.events, 1);
			victim.events = 0;
			len = build(bytes, &more[i], victim.seed);
			check_refused(&victim, give(&victim, bytes, len, len),
				      "more on channel one after its end");
			link_free(victim.link);
		}
}

/* A frame that came already is dropped, and changes nothing. */
static void test_repeated(void **state)
{
	struct frame frame = { 20, FRAME_DATA, 1, 0, 0 };
	struct victim victim;
	struct link_stats stats;
	uint8_t bytes[100];
	size_t len;

	(void)state;
	bring_up(&victim, LINK_HOME);
	len = build(bytes, &frame, victim.seed);
	for (int i = 0; i < 5; i++)
		assert_int_equal(give(&victim, bytes, len, len), 0);
	assert_int_equal(victim.events, 1);
	link_stats(victim.link, &stats);
	assert_int_equal(stats.frames_repeated, 4);
	link_free(victim.link);
}

/* A CREDIT of any value is only a limit; a smaller one changes nothing. */
static void test_any_credit(void **state)
{
	struct frame frame = { 8, FRAME_CREDIT, 1, 0, 0 };
	static const uint64_t limits[] = { 10, 3, UINT64_MAX, 0 };
	struct victim victim;
	uint8_t bytes[100];
	size_t len;

	(void)state;
	bring_up(&victim, LINK_GUEST);
	assert_int_equal(link_send(victim.link, 1, "0123456789abcdef", 16), 0);
	listen_to(&victim, &len);
	assert_int_equal(len, 0);
	for (int i = 0; i < 4; i++) {
		frame_encode(bytes, &frame);
		put_le64(bytes + FRAME_HEADER_SIZE, limits[i]);
		put_le64(bytes + FRAME_HEADER_SIZE + 8,
			 frame_check(victim.seed, bytes,
				     bytes + FRAME_HEADER_SIZE, 8));
		assert_int_equal(give(&victim, bytes, 40, 40), 0);
		listen_to(&victim, &len);
		assert_int_equal(len, i == 0 ? 32 + 10 : i == 2 ? 32 + 6 : 0);
	}
	link_free(victim.link);
}

/* The text of a BYE reaches a terminal: no control character may. */
static void test_bye_text(void **state)
{
	static const char text[] = "\033[2J\r\n\x9b\x7f ok";
	struct frame frame = { sizeof(text) - 1, FRAME_BYE, 0, 0, 0 };
	uint8_t bytes[100], *payload = bytes + FRAME_HEADER_SIZE;

	(void)state;
	for (int side = 0; side < 2; side++) {
		struct victim victim;
		int result;

		bring_up(&victim, (enum link_side)side);
		frame_encode(bytes, &frame);
		memcpy(payload, text, frame.len);
		put_le64(payload + frame.len,
			 frame_check(victim.seed, bytes, payload, frame.len));
		result = give(&victim, bytes, 32 + frame.len, sizeof(bytes));
		assert_int_equal(result, side == LINK_HOME ? -1 : 0);
		assert_string_equal(link_reason(victim.link),
				    "the peer ended the attachment: "
				    "?[2J???? ok");
		check_resumes(&victim);
		link_free(victim.link);
	}
}

/* HELLOs */

static void test_ignored_hellos(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		struct victim victim;
		struct hello hello;
		size_t len;

		bring_up(&victim, (enum link_side)side);
		for (int up = 1; up >= 0; up--) {
			unsigned ups = victim.ups;

			if (!up)
				link_attach(victim.link, 0);
			listen_to(&victim, &len);
			hello = good_hello(&victim, link_epoch(victim.link));
			memcpy(hello.id, other_id, sizeof(hello.id));
			assert_int_equal(say_hello(&victim, &hello), 0);
			hello = good_hello(&victim, link_epoch(victim.link));
			hello.side = (uint8_t)victim.side;
			assert_int_equal(say_hello(&victim, &hello), 0);
			hello.side = 77;
			assert_int_equal(say_hello(&victim, &hello), 0);
			hello = good_hello(&victim, GOOD_EPOCH - 1);
			assert_int_equal(say_hello(&victim, &hello), 0);
			hello.epoch = 0;
			assert_int_equal(say_hello(&victim, &hello), 0);
			if (victim.side == LINK_HOME) {
				hello.epoch = UINT64_MAX;
				assert_int_equal(say_hello(&victim, &hello), 0);
			}
			assert_int_equal(victim.ups, ups);
			listen_to(&victim, &len);
			assert_int_equal(len, 0);
			assert_int_equal(link_state(victim.link),
					 up ? LINK_UP : LINK_HELLO);
		}
		link_free(victim.link);
	}
}

static void test_other_version(void **state)
{
	static const char *why =
		"the peer speaks protocol version 7, this side speaks version 1";

	(void)state;
	for (int side = 0; side < 2; side++) {
		struct victim victim;
		struct hello hello;
		const uint8_t *bytes;
		size_t len;

		bring_up(&victim, (enum link_side)side);
		hello = good_hello(&victim, GOOD_EPOCH);
		hello.version = 7;
		assert_int_equal(say_hello(&victim, &hello),
				 side == LINK_HOME ? -1 : 0);
		assert_string_equal(link_reason(victim.link), why);
		assert_true(link_incompatible(victim.link));
		if (side == LINK_GUEST) {
			/* It answers, so that home can say it, too. */
			bytes = listen_to(&victim, &len);
			assert_true(len >= FRAME_HELLO_SIZE);
			assert_int_equal(hello_decode(&hello, bytes), 0);
			assert_int_equal(hello.version, LINK_VERSION);
			assert_int_equal(link_state(victim.link), LINK_HELLO);
		}
		link_free(victim.link);
	}
}

/* Three frames are sent, and two of them acknowledged. */
static void exchange_frames(struct victim *victim)
{
	struct frame credit = { FRAME_CREDIT_SIZE, FRAME_CREDIT, 1, 0, 0 };
	struct frame ack = { 0, FRAME_ACK, 0, 0, 2 };
	uint8_t bytes[100];
	size_t len = build(bytes, &credit, victim->seed);

	assert_int_equal(give(victim, bytes, len, len), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(link_send(victim->link, 1, "x", 1), 0);
		listen_to(victim, &len);
		assert_true(len > 0);
	}
	len = build(bytes, &ack, victim->seed);
	assert_int_equal(give(victim, bytes, len, len), 0);
	assert_int_equal(link_pending(victim->link, 1), 1);
}

/* Neither what was acknowledged nor what was never sent can be replayed. */
static void test_resume_out_of_range(void **state)
{
	static const uint64_t bad[] = { 0, 1, 4, 1ull << 32, UINT64_MAX };

	(void)state;
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			struct victim victim;
			struct hello hello;
			size_t len;

			bring_up(&victim, (enum link_side)side);
			exchange_frames(&victim);
			if (victim.side == LINK_HOME)
				link_attach(victim.link, 0);
			hello = good_hello(&victim, GOOD_EPOCH + 1);
			hello.rx_next = bad[i];
			assert_int_equal(say_hello(&victim, &hello),
					 side == LINK_HOME ? -1 : 0);
			assert_non_null(strstr(link_reason(victim.link),
					       "the peer wants to resume at"));
			assert_true(link_incompatible(victim.link));
			listen_to(&victim, &len);
			/* The guest's answer and its BYE; no replay. */
			if (side == LINK_GUEST)
				assert_in_range(len, FRAME_HELLO_SIZE + 33,
						FRAME_HELLO_SIZE + 32 +
							FRAME_MAX_REASON);
			else
				assert_int_equal(len, 0);
			link_free(victim.link);
		}
}

/* Beginnings of magics, HELLOs with wrong checks, then a good one. */
static void test_false_beginnings(void **state)
{
	struct victim victim;
	struct hello hello;
	uint8_t bytes[FRAME_HELLO_SIZE], stream[4096];

	(void)state;
	for (size_t piece = 1; piece < 100; piece++) {
		size_t len = 0;

		bring_up(&victim, LINK_GUEST);
		link_attach(victim.link, 0);
		hello = good_hello(&victim, GOOD_EPOCH + 1);
		hello_encode(bytes, &hello);
		for (size_t n = 1; n < sizeof(bytes); n += 5) {
			memcpy(stream + len, bytes, n);
			len += n;
		}
		memcpy(stream + len, bytes, sizeof(bytes));
		stream[len + 40] ^= 1;
		len += sizeof(bytes);
		memcpy(stream + len, bytes, sizeof(bytes));
		len += sizeof(bytes);
		/* Two in a row. */
		memcpy(stream + len, bytes, sizeof(bytes));
		len += sizeof(bytes);
		assert_int_equal(give(&victim, stream, len, piece), 0);
		assert_int_equal(link_state(victim.link), LINK_UP);
		assert_int_equal(link_epoch(victim.link), GOOD_EPOCH + 1);
		link_free(victim.link);
	}
}

/* An attachment that announces itself between two frames, or within one. */
static void test_new_attachment_in_place(void **state)
{
	struct frame frame = { 300, FRAME_DATA, 1, 0, 0 };
	uint8_t bytes[1000], hello_bytes[FRAME_HELLO_SIZE];

	(void)state;
	for (size_t cut = 0; cut <= 332; cut++) {
		struct victim victim;
		struct hello hello;
		struct frame pad = { 60000, FRAME_PAD, 0, 0, 0 };
		static uint8_t padding[FRAME_MAX_SIZE];
		size_t len;

		bring_up(&victim, LINK_GUEST);
		len = build(bytes, &frame, victim.seed);
		assert_int_equal(len, 332);
		hello = good_hello(&victim, GOOD_EPOCH + 1);
		hello_encode(hello_bytes, &hello);
		assert_int_equal(give(&victim, bytes, cut, 50), 0);
		assert_int_equal(give(&victim, hello_bytes,
				      sizeof(hello_bytes), 7), 0);
		len = build(padding, &pad,
			    frame_seed(id, GOOD_EPOCH + 1, LINK_HOME));
		assert_int_equal(give(&victim, padding, len, 20000), 0);
		assert_int_equal(link_state(victim.link), LINK_UP);
		assert_int_equal(link_epoch(victim.link), GOOD_EPOCH + 1);
		assert_int_equal(victim.events, cut == 332);
		link_free(victim.link);
	}
}

/* Answers are owed once, not per question. */
static void test_floods(void **state)
{
	struct frame ping = { 0, FRAME_PING, 0, 0, 0 };
	struct victim victim;
	uint8_t bytes[100];
	size_t len;

	(void)state;
	bring_up(&victim, LINK_GUEST);
	len = build(bytes, &ping, victim.seed);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(give(&victim, bytes, len, len), 0);
	listen_to(&victim, &len);
	/* A PONG and a CREDIT for each channel. */
	assert_int_equal(len, 32 + 2 * 40);
	link_free(victim.link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_foreign_frames),
		cmocka_unit_test(test_after_fin),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_any_credit),
		cmocka_unit_test(test_bye_text),
		cmocka_unit_test(test_ignored_hellos),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_resume_out_of_range),
		cmocka_unit_test(test_false_beginnings),
		cmocka_unit_test(test_new_attachment_in_place),
		cmocka_unit_test(test_floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
