/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The random source of decisions. It is handed in, so that the same seed gives
 * the same decisions. Not for secrets.
 *
 * xoshiro256** 1.0, seeded by splitmix64: D. Blackman and S. Vigna, "Scrambled
 * linear pseudorandom number generators", ACM TOMS 47(4), 2021; both algorithms
 * are in the public domain.
 */
#ifndef MV_SCHED_RANDOM_H
#define MV_SCHED_RANDOM_H

#include <stdint.h>

struct sched_random {
	uint64_t state[4];
};

void sched_random_seed(struct sched_random *random, uint64_t seed);
uint64_t sched_random_next(struct sched_random *random);
/* 0 to bound - 1, each as likely; 0 when the bound is 0 or 1. */
uint64_t sched_random_below(struct sched_random *random, uint64_t bound);
/* At least 0 and less than 1. */
double sched_random_unit(struct sched_random *random);
/* Of the standard normal distribution. */
double sched_random_normal(struct sched_random *random);

/* A number made of two, as a hash would; no state. */
uint64_t sched_mix(uint64_t a, uint64_t b);

#endif
