/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/squeeze.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#define OUT_SIZE (256 * 1024)
/* The effort changes between frames only. */
#define FRAME_BYTES (4u << 20)
#define FIRST_EFFORT (-1)
#define LEAST_EFFORT (-7)
#define MOST_EFFORT 3
#define MAX_WINDOW_LOG 23 /* memory for what a peer sends: 8 MiB */

/* After a frame that hardly shrank so many go as they are: what does not compress
 * mostly comes in long runs, and trying costs a quarter of the agents' time. */
#define PLAIN_FRAMES 7
#define HARDLY(in) ((in) - (in) / 32)

/* A frame of blocks that are not compressed, as RFC 8878 has it, 3.1.1: its header names
 * a window of 128 KiB, which is also a block's most. */
#define BLOCK_BYTES (128u * 1024)
#define BLOCK_HEADER 3
static const unsigned char plain_header[] = { 0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3 };

struct squeeze {
	ZSTD_CCtx *compressor; /* one of the two */
	ZSTD_DCtx *expander;
	squeeze_write_fn write;
	void *ctx;
	int effort;
	size_t in_frame, out_frame;
	unsigned plain; /* frames that are still to go as they are, this one included */
	int64_t compress_ns, write_ns; /* of this frame */
	char out[OUT_SIZE];
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct squeeze *squeeze_new(bool compress, squeeze_write_fn write, void *ctx)
{
	struct squeeze *squeeze = calloc(1, sizeof(*squeeze));

	if (!squeeze)
		return NULL;
	squeeze->write = write;
	squeeze->ctx = ctx;
	squeeze->effort = FIRST_EFFORT;
	if (compress)
		squeeze->compressor = ZSTD_createCCtx();
	else
		squeeze->expander = ZSTD_createDCtx();
	if (squeeze->compressor)
		ZSTD_CCtx_setParameter(squeeze->compressor,
				       ZSTD_c_compressionLevel, squeeze->effort);
	if (squeeze->expander)
		ZSTD_DCtx_setParameter(squeeze->expander, ZSTD_d_windowLogMax,
				       MAX_WINDOW_LOG);
	if (squeeze->compressor || squeeze->expander)
		return squeeze;
	free(squeeze);
	return NULL;
}

void squeeze_free(struct squeeze *squeeze)
{
	if (!squeeze)
		return;
	ZSTD_freeCCtx(squeeze->compressor);
	ZSTD_freeDCtx(squeeze->expander);
	free(squeeze);
}

static bool write_out(struct squeeze *squeeze, size_t len)
{
	int64_t begin = now_ns();
	bool ok = !len || squeeze->write(squeeze->ctx, squeeze->out, len);

	squeeze->write_ns += now_ns() - begin;
	return ok;
}

static void adapt(struct squeeze *squeeze)
{
	int64_t compress = squeeze->compress_ns, write = squeeze->write_ns;

	/* 0 is zstd's name for its default, which is more than 1. */
	if (write > compress + compress / 2 && squeeze->effort < MOST_EFFORT)
		squeeze->effort += squeeze->effort == -1 ? 2 : 1;
	else if (compress > write + write / 2 && squeeze->effort > LEAST_EFFORT)
		squeeze->effort -= squeeze->effort == 1 ? 2 : 1;
	if (squeeze->out_frame > HARDLY(squeeze->in_frame))
		squeeze->plain = PLAIN_FRAMES;
	squeeze->in_frame = squeeze->out_frame = 0;
	squeeze->compress_ns = squeeze->write_ns = 0;
	ZSTD_CCtx_setParameter(squeeze->compressor, ZSTD_c_compressionLevel,
			       squeeze->effort);
}

static bool compress_all(struct squeeze *squeeze, const void *bytes, size_t len)
{
	ZSTD_inBuffer in = { bytes, len, 0 };
	ZSTD_EndDirective end;
	size_t left;

	squeeze->in_frame += len;
	/* Nobody knows when the next bytes come: these go at once. */
	end = squeeze->in_frame >= FRAME_BYTES ? ZSTD_e_end : ZSTD_e_flush;
	do {
		ZSTD_outBuffer out = { squeeze->out, OUT_SIZE, 0 };
		int64_t begin = now_ns();

		left = ZSTD_compressStream2(squeeze->compressor, &out, &in, end);
		squeeze->compress_ns += now_ns() - begin;
		squeeze->out_frame += out.pos;
		if (ZSTD_isError(left) || !write_out(squeeze, out.pos))
			return false;
	} while (left);
	if (end == ZSTD_e_end)
		adapt(squeeze);
	return true;
}

static size_t put_block(char *at, const char *bytes, size_t len, bool last)
{
	unsigned header = (unsigned)len << 3 | last; /* type 0: as it is */

	at[0] = (char)header;
	at[1] = (char)(header >> 8);
	at[2] = (char)(header >> 16);
	memcpy(at + BLOCK_HEADER, bytes, len);
	return BLOCK_HEADER + len;
}

static bool send_plain(struct squeeze *squeeze, const char *bytes, size_t len)
{
	while (len) {
		size_t part = len < BLOCK_BYTES ? len : BLOCK_BYTES, used = 0;
		bool last;

		if (!squeeze->in_frame) {
			used = sizeof(plain_header);
			memcpy(squeeze->out, plain_header, used);
		}
		squeeze->in_frame += part;
		last = part == len && squeeze->in_frame >= FRAME_BYTES;
		used += put_block(squeeze->out + used, bytes, part, last);
		if (!write_out(squeeze, used))
			return false;
		bytes += part;
		len -= part;
	}
	if (squeeze->in_frame >= FRAME_BYTES) {
		squeeze->in_frame = 0;
		squeeze->plain--;
	}
	squeeze->write_ns = 0;
	return true;
}

static bool expand_all(struct squeeze *squeeze, const void *bytes, size_t len)
{
	ZSTD_inBuffer in = { bytes, len, 0 };
	bool full = true;

	while (in.pos < in.size || full) {
		ZSTD_outBuffer out = { squeeze->out, OUT_SIZE, 0 };
		size_t rc = ZSTD_decompressStream(squeeze->expander, &out, &in);

		if (ZSTD_isError(rc) || !write_out(squeeze, out.pos))
			return false;
		/* A full buffer may mean that there is more inside. */
		full = out.pos == out.size;
	}
	return true;
}

bool squeeze_put(struct squeeze *squeeze, const void *bytes, size_t len)
{
	if (squeeze->compressor && squeeze->plain)
		return send_plain(squeeze, bytes, len);
	if (squeeze->compressor)
		return compress_all(squeeze, bytes, len);
	return expand_all(squeeze, bytes, len);
}
