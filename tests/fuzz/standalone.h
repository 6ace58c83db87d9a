/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A main() for fuzz targets where libFuzzer is not: inputs made from a fixed
 * seed, half random bytes, half mutations of the target's own examples. Build a
 * target with clang -fsanitize=fuzzer -DMV_LIBFUZZER to explore instead.
 *
 * A target defines LLVMFuzzerTestOneInput() and fuzz_example(), which writes
 * valid input number `n` to `out` (at most `size` bytes) and returns its length.
 */
#ifndef MV_TESTS_FUZZ_STANDALONE_H
#define MV_TESTS_FUZZ_STANDALONE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_example(unsigned n, uint8_t *out, size_t size);

/* For an example that is text. */
static inline size_t fuzz_text(const char *text, uint8_t *out, size_t size)
{
	size_t len = strlen(text);

	if (len > size)
		return 0;
	memcpy(out, text, len);
	return len;
}

#ifndef MV_LIBFUZZER
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_MAX_INPUT 4096
#ifndef FUZZ_RUNS
#define FUZZ_RUNS 200000
#endif

static uint64_t fuzz_state;

/* xorshift64*; Vigna, "An experimental exploration of Marsaglia's xorshift" */
static uint64_t fuzz_random(void)
{
	fuzz_state ^= fuzz_state >> 12;
	fuzz_state ^= fuzz_state << 25;
	fuzz_state ^= fuzz_state >> 27;
	return fuzz_state * 2685821657736338717ull;
}

static size_t fuzz_noise(uint8_t *out)
{
	size_t len = fuzz_random() % 256;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)fuzz_random();
	return len;
}

static size_t fuzz_mutate(unsigned n, uint8_t *out)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xfe, 0xff };
	size_t len = fuzz_example(n, out, FUZZ_MAX_INPUT);

	for (unsigned i = fuzz_random() % 8; i && len; i--)
		out[fuzz_random() % len] =
			fuzz_random() % 2 ? (uint8_t)fuzz_random() :
					    edges[fuzz_random() % sizeof(edges)];
	if (fuzz_random() % 4 == 0)
		len = fuzz_random() % (len + 1);
	return len;
}

int main(int argc, char **argv)
{
	unsigned runs = argc > 1 ? (unsigned)atoi(argv[1]) :
				   FUZZ_RUNS;
	static uint8_t input[FUZZ_MAX_INPUT];

	fuzz_state = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x6d6f6e6f;
	printf("%u inputs, seed %#llx\n", runs, (unsigned long long)fuzz_state);
	for (unsigned n = 0; n < runs; n++) {
		size_t len = n % 2 ? fuzz_noise(input) : fuzz_mutate(n / 2, input);
		/* Of its exact size, so that sanitizers see one byte too far. */
		uint8_t *exact = malloc(len ? len : 1);

		if (!exact)
			return 1;
		memcpy(exact, input, len);
		LLVMFuzzerTestOneInput(exact, len);
		free(exact);
	}
	return 0;
}
#endif
#endif
