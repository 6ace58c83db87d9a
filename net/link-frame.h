/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of the link's frames: layout, encoding, and the checks that need
 * to know nothing but the frame. docs/wire-format.md describes the same.
 *
 * HELLO has a layout of its own that is the same in every protocol version. It
 * begins with a magic that cannot begin another frame, because the length that
 * its first four bytes would be is out of range.
 *
 * Every frame ends in a 64-bit check over all of it. The check of a HELLO has a
 * fixed seed, so that anybody's HELLO can be read; the others' seed is made of
 * the link's id, the epoch and the side that sends: a frame of another link, of
 * an earlier attachment or one's own, reflected, is as wrong as a damaged one.
 */
#ifndef MV_NET_LINK_FRAME_H
#define MV_NET_LINK_FRAME_H

#include "net/err.h"
#include "net/link.h"

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAGIC_SIZE 16
#define FRAME_HEADER_SIZE 24
#define FRAME_TRAILER_SIZE 8
#define FRAME_HELLO_SIZE 64
#define FRAME_CREDIT_SIZE 8
#define FRAME_MAX_REASON 200
#define FRAME_MAX_SIZE \
	(FRAME_HEADER_SIZE + LINK_MAX_PAYLOAD + FRAME_TRAILER_SIZE)

enum frame_kind {
	FRAME_DATA = 1, /* numbered: bytes of a channel's stream */
	FRAME_FIN,      /* numbered: the end of a channel's stream */
	FRAME_ACK,      /* only what every header says */
	FRAME_CREDIT,   /* u64: how far a channel's stream may go */
	FRAME_PING,     /* asks for a PONG and for every CREDIT */
	FRAME_PONG,
	FRAME_BYE,      /* text: why the sender ends the attachment; channel:
			   BYE_FINAL when attaching again cannot help, or 0 */
	FRAME_PAD,      /* ignored */
	FRAME_KIND_END,
};

#define BYE_FINAL 1

struct frame {
	uint32_t len; /* bytes of payload */
	uint8_t kind, channel;
	/* This frame's number when it is numbered, otherwise the number of the
	 * next numbered frame to follow it. */
	uint64_t seq;
	uint64_t ack; /* the next number its sender expects to receive */
};

struct hello {
	uint8_t id[LINK_ID_SIZE];
	uint16_t version;
	uint8_t side; /* enum link_side of the sender */
	uint64_t epoch;
	uint64_t rx_next; /* the next number its sender expects to receive */
};

extern const uint8_t frame_magic[FRAME_MAGIC_SIZE];

void frame_encode(uint8_t bytes[FRAME_HEADER_SIZE], const struct frame *frame);

/* -1 when no such frame can exist on a link with so many channels. */
int frame_decode(struct frame *frame, const uint8_t bytes[FRAME_HEADER_SIZE],
		 unsigned nchannels, struct err *err);

/* The seed of the checks of all frames that `sender` sends in `epoch`. */
uint64_t frame_seed(const uint8_t id[LINK_ID_SIZE], uint64_t epoch,
		    enum link_side sender);
uint64_t frame_check(uint64_t seed, const uint8_t header[FRAME_HEADER_SIZE],
		     const void *payload, size_t len);

void hello_encode(uint8_t bytes[FRAME_HELLO_SIZE], const struct hello *hello);
/* -1 when the bytes are no HELLO. */
int hello_decode(struct hello *hello, const uint8_t bytes[FRAME_HELLO_SIZE]);

#endif
