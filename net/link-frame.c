/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/link-frame.h"

#include "net/bytes.h"
#include "net/xxh64.h"

#include <assert.h>

/*
 * Chosen to break when a terminal, a text filter or a seven-bit line touches
 * it. Its first byte occurs in it only once, so no two magics overlap.
 */
const uint8_t frame_magic[FRAME_MAGIC_SIZE] = {
	0x8b, 'm', 'o', 'n', 'o', '\r', '\n', 0x1a,
	'\n', 0x00, 0xff, 'l', 'i', 'n', 'k', 0xc7,
};

struct wire_header {
	uint32_t len;
	uint8_t kind;
	uint8_t channel;
	uint16_t zero;
	uint64_t seq;
	uint64_t ack;
};
static_assert(sizeof(struct wire_header) == FRAME_HEADER_SIZE, "header");
static_assert(offsetof(struct wire_header, seq) == 8, "header");

struct wire_hello {
	uint8_t magic[FRAME_MAGIC_SIZE];
	uint8_t id[LINK_ID_SIZE];
	uint16_t version;
	uint8_t side;
	uint8_t zero[5];
	uint64_t epoch;
	uint64_t rx_next;
	uint64_t check;
};
static_assert(sizeof(struct wire_hello) == FRAME_HELLO_SIZE, "HELLO");
static_assert(offsetof(struct wire_hello, version) == 32, "HELLO");
static_assert(offsetof(struct wire_hello, epoch) == 40, "HELLO");
static_assert(offsetof(struct wire_hello, check) == 56, "HELLO");

/* What each kind may be. */
static const struct {
	const char *name;
	bool known, has_channel;
	uint32_t min, max; /* bytes of payload */
} kinds[] = {
	[FRAME_DATA] = { "DATA", true, true, 1, LINK_MAX_PAYLOAD },
	[FRAME_FIN] = { "FIN", true, true, 0, 0 },
	[FRAME_ACK] = { "ACK", true, false, 0, 0 },
	[FRAME_CREDIT] = { "CREDIT", true, true, FRAME_CREDIT_SIZE,
			   FRAME_CREDIT_SIZE },
	[FRAME_PING] = { "PING", true, false, 0, 0 },
	[FRAME_PONG] = { "PONG", true, false, 0, 0 },
	[FRAME_BYE] = { "BYE", true, false, 0, FRAME_MAX_REASON },
	[FRAME_PAD] = { "PAD", true, false, 0, LINK_MAX_PAYLOAD },
};
static_assert(sizeof(kinds) / sizeof(kinds[0]) == FRAME_KIND_END, "kinds");

void frame_encode(uint8_t bytes[FRAME_HEADER_SIZE], const struct frame *frame)
{
	struct wire_header wire = {
		.len = htole32(frame->len),
		.kind = frame->kind,
		.channel = frame->channel,
		.seq = htole64(frame->seq),
		.ack = htole64(frame->ack),
	};

	memcpy(bytes, &wire, sizeof(wire));
}

/* A BYE says in this place whether another attachment would end alike. */
static unsigned channels_of(uint8_t kind, unsigned nchannels)
{
	if (kind == FRAME_BYE)
		return BYE_FINAL + 1;
	return kinds[kind].has_channel ? nchannels : 1;
}

static int check_shape(const struct frame *frame, uint16_t zero,
		       unsigned nchannels, struct err *err)
{
	const char *name;

	if (frame->kind >= FRAME_KIND_END || !kinds[frame->kind].known)
		return err_set(err, 0, "a frame of the unknown kind %u",
			       frame->kind);
	name = kinds[frame->kind].name;
	if (frame->len < kinds[frame->kind].min ||
	    frame->len > kinds[frame->kind].max)
		return err_set(err, 0, "a %s frame with %u bytes of payload",
			       name, frame->len);
	if (frame->channel >= channels_of(frame->kind, nchannels))
		return err_set(err, 0, "a %s frame for channel %u", name,
			       frame->channel);
	if (zero)
		return err_set(err, 0, "a %s frame with a reserved field set",
			       name);
	return 0;
}

int frame_decode(struct frame *frame, const uint8_t bytes[FRAME_HEADER_SIZE],
		 unsigned nchannels, struct err *err)
{
	struct wire_header wire;

	memcpy(&wire, bytes, sizeof(wire));
	frame->len = le32toh(wire.len);
	frame->kind = wire.kind;
	frame->channel = wire.channel;
	frame->seq = le64toh(wire.seq);
	frame->ack = le64toh(wire.ack);
	return check_shape(frame, wire.zero, nchannels, err);
}

uint64_t frame_seed(const uint8_t id[LINK_ID_SIZE], uint64_t epoch,
		    enum link_side sender)
{
	uint8_t bytes[LINK_ID_SIZE + 9];

	memcpy(bytes, id, LINK_ID_SIZE);
	put_le64(bytes + LINK_ID_SIZE, epoch);
	bytes[LINK_ID_SIZE + 8] = (uint8_t)sender;
	return xxh64(0, bytes, sizeof(bytes));
}

uint64_t frame_check(uint64_t seed, const uint8_t header[FRAME_HEADER_SIZE],
		     const void *payload, size_t len)
{
	return xxh64(xxh64(seed, header, FRAME_HEADER_SIZE), payload, len);
}

void hello_encode(uint8_t bytes[FRAME_HELLO_SIZE], const struct hello *hello)
{
	struct wire_hello wire = {
		.version = htole16(hello->version),
		.side = hello->side,
		.epoch = htole64(hello->epoch),
		.rx_next = htole64(hello->rx_next),
	};

	memcpy(wire.magic, frame_magic, sizeof(wire.magic));
	memcpy(wire.id, hello->id, sizeof(wire.id));
	wire.check = htole64(xxh64(0, &wire, offsetof(struct wire_hello, check)));
	memcpy(bytes, &wire, sizeof(wire));
}

int hello_decode(struct hello *hello, const uint8_t bytes[FRAME_HELLO_SIZE])
{
	struct wire_hello wire;

	memcpy(&wire, bytes, sizeof(wire));
	if (memcmp(wire.magic, frame_magic, sizeof(wire.magic)) ||
	    le64toh(wire.check) !=
		    xxh64(0, &wire, offsetof(struct wire_hello, check)))
		return -1;
	memcpy(hello->id, wire.id, sizeof(hello->id));
	hello->version = le16toh(wire.version);
	hello->side = wire.side;
	hello->epoch = le64toh(wire.epoch);
	hello->rx_next = le64toh(wire.rx_next);
	return 0;
}
