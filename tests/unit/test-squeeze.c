/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compressed streams: what goes in comes out, whatever it is and however it is cut. */
#include "net/squeeze.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1u << 20)

struct sink {
	char *bytes;
	size_t len, size;
};

static bool keep(void *ctx, const void *bytes, size_t len)
{
	struct sink *sink = ctx;

	if (sink->len + len > sink->size) {
		sink->size = 2 * (sink->len + len);
		sink->bytes = realloc(sink->bytes, sink->size);
		assert_non_null(sink->bytes);
	}
	memcpy(sink->bytes + sink->len, bytes, len);
	sink->len += len;
	return true;
}

static bool refuse(void *ctx, const void *bytes, size_t len)
{
	(void)ctx;
	(void)bytes;
	(void)len;
	return false;
}

/* xorshift64: what zstd can do nothing with, the same in each run. */
static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill_noise(char *bytes, size_t len, uint64_t seed)
{
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t value = next(&seed);

		memcpy(bytes + i, &value, sizeof(value));
	}
}

/* In pieces of up to `most` bytes. */
static void put_all(struct squeeze *squeeze, const char *bytes, size_t len,
		    size_t most)
{
	uint64_t seed = len + most;

	while (len) {
		size_t part = 1 + next(&seed) % most;

		part = part < len ? part : len;
		assert_true(squeeze_put(squeeze, bytes, part));
		bytes += part;
		len -= part;
	}
}

static size_t there_and_back(const char *bytes, size_t len, size_t most)
{
	struct sink small = { 0 }, back = { 0 };
	struct squeeze *in = squeeze_new(true, keep, &small);
	struct squeeze *out = squeeze_new(false, keep, &back);
	size_t wire;

	assert_non_null(in);
	assert_non_null(out);
	put_all(in, bytes, len, most);
	/* Nothing is kept back: who writes and waits is answered. */
	put_all(out, small.bytes, small.len, 70000);
	assert_int_equal(back.len, len);
	assert_memory_equal(back.bytes, bytes, len);
	wire = small.len;
	squeeze_free(in);
	squeeze_free(out);
	free(small.bytes);
	free(back.bytes);
	return wire;
}

static void noise(void **state)
{
	size_t len = 41 * MIB + 8, wire;
	char *bytes = malloc(len);

	(void)state;
	assert_non_null(bytes);
	fill_noise(bytes, len, 1);
	wire = there_and_back(bytes, len, 300000);
	assert_true(wire > len && wire < len + len / 200);
	there_and_back(bytes, 6 * MIB, 5);
	free(bytes);
}

static void zeros(void **state)
{
	size_t len = 40 * MIB;
	char *bytes = calloc(1, len);

	(void)state;
	assert_non_null(bytes);
	assert_true(there_and_back(bytes, len, MIB) < len / 100);
	free(bytes);
}

/* What follows noise is tried again, and shrinks. */
static void mixed(void **state)
{
	size_t noisy = 12 * MIB, len = 90 * MIB, wire;
	char *bytes = calloc(1, len);

	(void)state;
	assert_non_null(bytes);
	fill_noise(bytes, noisy, 2);
	wire = there_and_back(bytes, len, 200000);
	assert_true(wire > noisy && wire < len / 2);
	free(bytes);
}

static void hostile(void **state)
{
	struct sink sink = { 0 };
	struct squeeze *out;
	char bytes[4096];
	uint64_t seed;

	(void)state;
	for (seed = 1; seed < 200; seed++) {
		out = squeeze_new(false, keep, &sink);
		assert_non_null(out);
		fill_noise(bytes, sizeof(bytes), seed);
		if (seed % 2) /* a frame that asks for a window of 2 GiB */
			memcpy(bytes, "\x28\xb5\x2f\xfd\x00\xa8", 6);
		assert_false(squeeze_put(out, bytes, sizeof(bytes)));
		squeeze_free(out);
	}
	free(sink.bytes);
}

static void unwritable(void **state)
{
	struct squeeze *in = squeeze_new(true, refuse, NULL);

	(void)state;
	assert_non_null(in);
	assert_false(squeeze_put(in, "word", 4));
	squeeze_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noise), cmocka_unit_test(zeros),
		cmocka_unit_test(mixed), cmocka_unit_test(hostile),
		cmocka_unit_test(unwritable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
