/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link over transports that lose, split, double, swap and damage bytes: in
 * the end every frame has arrived once and in order. link-pair.c checks each
 * byte.
 */
#include "tests/unit/link-pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Virtual time; a fault may cost a keep-alive's limit and more. */
#define LIMIT_MS (10 * 60 * 1000)

static void small_conversation(struct pair *pair)
{
	static const uint64_t targets[2][PAIR_CHANNELS] = {
		{ 150, 300, 40, 0, 60 },
		{ 90, 0, 500, 200, 0 },
	};

	for (int side = 0; side < 2; side++) {
		memcpy(pair->peer[side].target, targets[side],
		       sizeof(targets[side]));
		pair->peer[side].step = 70;
	}
}

/* One fault at one position of what one side sends. */
struct one_fault {
	enum link_side from;
	uint64_t at;
	size_t span;
	void (*apply)(struct pair *pair, uint8_t *bytes, size_t *len,
		      size_t at, size_t span);
	bool done;
};

static void fault_once(struct pair *pair, enum link_side from, uint64_t at,
		       uint8_t *bytes, size_t *len)
{
	struct one_fault *fault = pair->fault_ctx;
	size_t span = fault->span, begin;

	if (fault->done || from != fault->from || fault->at < at ||
	    fault->at >= at + *len)
		return;
	begin = (size_t)(fault->at - at);
	if (span > *len - begin)
		span = *len - begin;
	fault->done = true;
	fault->apply(pair, bytes, len, begin, span);
}

static void apply_cut(struct pair *pair, uint8_t *bytes, size_t *len, size_t at,
		      size_t span)
{
	(void)bytes;
	(void)span;
	*len = at;
	pair->cut = true;
}

static void apply_drop(struct pair *pair, uint8_t *bytes, size_t *len,
		       size_t at, size_t span)
{
	(void)pair;
	memmove(bytes + at, bytes + at + span, *len - at - span);
	*len -= span;
}

static void apply_double(struct pair *pair, uint8_t *bytes, size_t *len,
			 size_t at, size_t span)
{
	(void)pair;
	memmove(bytes + at + span, bytes + at, *len - at);
	*len += span;
}

/* The second half of the span comes first. */
static void apply_swap(struct pair *pair, uint8_t *bytes, size_t *len,
		       size_t at, size_t span)
{
	uint8_t copy[1024];
	size_t half = span / 2;

	(void)pair;
	(void)len;
	assert_true(span <= sizeof(copy));
	memcpy(copy, bytes + at, span);
	memcpy(bytes + at, copy + half, span - half);
	memcpy(bytes + at + span - half, copy, half);
}

static void apply_damage(struct pair *pair, uint8_t *bytes, size_t *len,
			 size_t at, size_t span)
{
	(void)len;
	for (size_t i = 0; i < span; i++)
		bytes[at + i] ^= (uint8_t)(1 + pair_random(pair) % 255);
}

static uint64_t run_one(struct one_fault *fault, bool serial, bool tail)
{
	struct pair *pair = pair_new(fault->at + 1);
	uint64_t carried;

	pair->serial = serial;
	pair->serial_tail = tail;
	pair->fault = fault_once;
	pair->fault_ctx = fault;
	/* Small pieces, so that the conversation alternates. */
	pair->chunk = 97;
	small_conversation(pair);
	pair_attach(pair);
	pair_finish(pair, LIMIT_MS);
	carried = pair->wire[fault->from].carried;
	pair_free(pair);
	return carried;
}

/* The fault at every byte that either side sends. */
static void everywhere(void (*apply)(struct pair *, uint8_t *, size_t *, size_t,
				     size_t), size_t span)
{
	for (unsigned variant = 0; variant < 6; variant++) {
		enum link_side from = variant % 2 ? LINK_GUEST : LINK_HOME;
		bool serial = variant >= 2, tail = variant >= 4;
		uint64_t at = 0, faults = 0;

		for (;; at++) {
			struct one_fault fault = {
				.from = from, .at = at, .span = span,
				.apply = apply,
			};

			run_one(&fault, serial, tail);
			if (!fault.done)
				break;
			faults++;
		}
		/* The conversation is longer than its payload. */
		assert_true(faults > 800);
	}
}

static void test_cut_at_every_byte(void **state)
{
	(void)state;
	everywhere(apply_cut, 0);
}

static void test_drop_at_every_byte(void **state)
{
	(void)state;
	everywhere(apply_drop, 1);
	everywhere(apply_drop, 40);
}

static void test_double_at_every_byte(void **state)
{
	(void)state;
	everywhere(apply_double, 1);
	everywhere(apply_double, 40);
}

static void test_swap_at_every_byte(void **state)
{
	(void)state;
	everywhere(apply_swap, 2);
	everywhere(apply_swap, 80);
}

static void test_damage_at_every_byte(void **state)
{
	(void)state;
	everywhere(apply_damage, 1);
	everywhere(apply_damage, 9);
}

/* Large streams, many faults of all kinds at random places. */

struct storm {
	unsigned left;
	unsigned one_in;
};

static void fault_storm(struct pair *pair, enum link_side from, uint64_t at,
			uint8_t *bytes, size_t *len)
{
	struct storm *storm = pair->fault_ctx;
	size_t begin, span;

	(void)from;
	(void)at;
	if (!storm->left || pair_random(pair) % storm->one_in)
		return;
	storm->left--;
	begin = pair_random(pair) % *len;
	span = 1 + pair_random(pair) % 1000;
	if (span > *len - begin)
		span = *len - begin;
	switch (pair_random(pair) % 8) {
	case 0:
		apply_drop(pair, bytes, len, 0, *len);
		break;
	case 1:
		apply_double(pair, bytes, len, 0, *len);
		break;
	case 2:
		apply_drop(pair, bytes, len, begin, span);
		break;
	case 3:
		apply_double(pair, bytes, len, begin, span);
		break;
	case 4:
		apply_swap(pair, bytes, len, begin, span);
		break;
	case 5:
		apply_damage(pair, bytes, len, begin, span);
		break;
	default:
		apply_cut(pair, bytes, len, begin, 0);
		break;
	}
}

static void run_storm(uint64_t seed, bool serial)
{
	struct storm storm = { .left = 60, .one_in = 7 };
	struct pair *pair = pair_new(seed);

	pair->serial = serial;
	pair->serial_tail = seed % 2;
	pair->fault = fault_storm;
	pair->fault_ctx = &storm;
	pair->chunk = seed % 3 ? 50000 : 700;
	for (int side = 0; side < 2; side++)
		for (unsigned c = 0; c < PAIR_CHANNELS; c++) {
			pair->peer[side].target[c] =
				c >= 3 ? 30000 * c : 400000 + c * 1000;
			pair->peer[side].step = 1 + pair_random(pair) % 20000;
		}
	pair_attach(pair);
	pair_finish(pair, 60 * LIMIT_MS);
	assert_true(pair->lost > 0);
	pair_free(pair);
}

static void test_storm(void **state)
{
	const char *text = getenv("MV_TEST_SEED");
	uint64_t first = text ? strtoull(text, NULL, 0) : 1;

	(void)state;
	print_message("seeds %llu to %llu (MV_TEST_SEED sets the first)\n",
		      (unsigned long long)first,
		      (unsigned long long)first + 19);
	for (uint64_t seed = first; seed < first + 20; seed++) {
		run_storm(seed, false);
		run_storm(seed, true);
	}
}

/* Each received piece as small as can be, and every size in between. */
static void test_split(void **state)
{
	(void)state;
	for (size_t chunk = 1; chunk < 130; chunk++) {
		struct pair *pair = pair_new(chunk);

		pair->chunk = chunk;
		small_conversation(pair);
		pair_attach(pair);
		pair_finish(pair, 1000);
		assert_int_equal(pair->lost, 0);
		pair_free(pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_drop_at_every_byte),
		cmocka_unit_test(test_double_at_every_byte),
		cmocka_unit_test(test_swap_at_every_byte),
		cmocka_unit_test(test_damage_at_every_byte),
		cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
