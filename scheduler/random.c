/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/random.h"

#include <math.h>

static uint64_t rotate(uint64_t value, int bits)
{
	return value << bits | value >> (64 - bits);
}

/* splitmix64's output function */
static uint64_t scramble(uint64_t value)
{
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ value >> 27) * 0x94d049bb133111ebull;
	return value ^ value >> 31;
}

void sched_random_seed(struct sched_random *random, uint64_t seed)
{
	int i;

	for (i = 0; i < 4; i++) {
		seed += 0x9e3779b97f4a7c15ull;
		random->state[i] = scramble(seed);
	}
}

uint64_t sched_random_next(struct sched_random *random)
{
	uint64_t *s = random->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t sched_random_below(struct sched_random *random, uint64_t bound)
{
	uint64_t value, limit;

	if (bound < 2)
		return 0;
	/* What is above the last whole multiple would favour small numbers. */
	limit = UINT64_MAX - UINT64_MAX % bound;
	do
		value = sched_random_next(random);
	while (value >= limit);
	return value % bound;
}

double sched_random_unit(struct sched_random *random)
{
	return (double)(sched_random_next(random) >> 11) * 0x1p-53;
}

/* Marsaglia's polar method: two would come out, one is enough. */
double sched_random_normal(struct sched_random *random)
{
	double x, y, s;

	do {
		x = 2 * sched_random_unit(random) - 1;
		y = 2 * sched_random_unit(random) - 1;
		s = x * x + y * y;
	} while (s >= 1 || s == 0);
	return x * sqrt(-2 * log(s) / s);
}

uint64_t sched_mix(uint64_t a, uint64_t b)
{
	return scramble(scramble(a + 0x9e3779b97f4a7c15ull) + b);
}
