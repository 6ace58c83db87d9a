/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/xxh64.h"

#include "net/bytes.h"

#define PRIME_1 0x9E3779B185EBCA87ull
#define PRIME_2 0xC2B2AE3D27D4EB4Full
#define PRIME_3 0x165667B19E3779F9ull
#define PRIME_4 0x85EBCA77C2B2AE63ull
#define PRIME_5 0x27D4EB2F165667C5ull

#define STRIPE 32

static uint64_t rotate(uint64_t value, int bits)
{
	return value << bits | value >> (64 - bits);
}

static uint64_t mix(uint64_t lane, uint64_t input)
{
	return rotate(lane + input * PRIME_2, 31) * PRIME_1;
}

static uint64_t merge(uint64_t hash, uint64_t lane)
{
	return (hash ^ mix(0, lane)) * PRIME_1 + PRIME_4;
}

/* Four independent lanes, so that the multiplications overlap. */
static uint64_t stripes(uint64_t seed, const uint8_t *at, const uint8_t *end)
{
	uint64_t a = seed + PRIME_1 + PRIME_2, b = seed + PRIME_2;
	uint64_t c = seed, d = seed - PRIME_1, hash;

	for (; end - at >= STRIPE; at += STRIPE) {
		a = mix(a, get_le64(at));
		b = mix(b, get_le64(at + 8));
		c = mix(c, get_le64(at + 16));
		d = mix(d, get_le64(at + 24));
	}
	hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
	return merge(merge(merge(merge(hash, a), b), c), d);
}

/* The last bytes that fill no stripe. */
static uint64_t rest(uint64_t hash, const uint8_t *at, const uint8_t *end)
{
	for (; end - at >= 8; at += 8)
		hash = rotate(hash ^ mix(0, get_le64(at)), 27) * PRIME_1 +
		       PRIME_4;
	if (end - at >= 4) {
		hash = rotate(hash ^ get_le32(at) * PRIME_1, 23) * PRIME_2 +
		       PRIME_3;
		at += 4;
	}
	for (; at < end; at++)
		hash = rotate(hash ^ *at * PRIME_5, 11) * PRIME_1;
	return hash;
}

static uint64_t avalanche(uint64_t hash)
{
	hash = (hash ^ hash >> 33) * PRIME_2;
	hash = (hash ^ hash >> 29) * PRIME_3;
	return hash ^ hash >> 32;
}

uint64_t xxh64(uint64_t seed, const void *bytes, size_t len)
{
	const uint8_t *at = bytes, *end = at + len;
	uint64_t hash = seed + PRIME_5;

	if (len >= STRIPE)
		hash = stripes(seed, at, end);
	return avalanche(rest(hash + len, at + len / STRIPE * STRIPE, end));
}
