/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compression of a stream that is written in pieces by one thread: zstd frames
 * one after another. How hard it tries follows from what is slower, the
 * processor or the network: where writing takes longer than compressing it tries
 * harder, and the other way round. What does not shrink goes as it is.
 */
#ifndef MV_NET_SQUEEZE_H
#define MV_NET_SQUEEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct squeeze;

/* Takes the bytes, or returns false when it cannot. */
typedef bool (*squeeze_write_fn)(void *ctx, const void *bytes, size_t len);

/* NULL when out of memory. */
struct squeeze *squeeze_new(bool compress, squeeze_write_fn write, void *ctx);
void squeeze_free(struct squeeze *squeeze);

/*
 * Compress the bytes, or expand what another one has compressed, and write what
 * comes of it: all of it, before this returns. False when the writer could not,
 * or when what is to be expanded is no such stream.
 */
bool squeeze_put(struct squeeze *squeeze, const void *bytes, size_t len);

#endif
