/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XXH64: a fast 64-bit hash that finds damaged, cut, doubled and reordered
 * bytes. It detects accidents; it authenticates nothing.
 *
 * The algorithm is Yann Collet's, as his "xxHash fast digest algorithm"
 * specification describes it.
 */
#ifndef MV_NET_XXH64_H
#define MV_NET_XXH64_H

#include <stddef.h>
#include <stdint.h>

uint64_t xxh64(uint64_t seed, const void *bytes, size_t len);

#endif
