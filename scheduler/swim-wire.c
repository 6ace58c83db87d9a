/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/swim-wire.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#define MAGIC 0x6d77736dul /* "mswm" */
#define VERSION 1

struct wire_header {
	uint32_t magic;
	uint8_t version;
	uint8_t kind;
	uint16_t updates;
	uint64_t sender;
	uint64_t target;
	uint32_t sequence;
	uint32_t incarnation;
	uint64_t note;
};
static_assert(sizeof(struct wire_header) == SWIM_HEADER, "wire format");

struct wire_update {
	uint64_t id;
	uint64_t accuser;
	uint32_t incarnation;
	uint8_t state;
	uint8_t unused[3]; /* 0 */
};
static_assert(sizeof(struct wire_update) == SWIM_UPDATE, "wire format");
static_assert(SWIM_HEADER + SWIM_UPDATES * SWIM_UPDATE <= SWIM_MESSAGE_MAX, "fits");

void swim_put_header(uint8_t *out, const struct swim_header *header)
{
	struct wire_header wire = {
		.magic = htole32(MAGIC),
		.version = VERSION,
		.kind = (uint8_t)header->kind,
		.updates = htole16((uint16_t)header->updates),
		.sender = htole64(header->sender),
		.target = htole64(header->target),
		.sequence = htole32(header->sequence),
		.incarnation = htole32(header->incarnation),
		.note = htole64(header->note),
	};

	memcpy(out, &wire, sizeof(wire));
}

void swim_put_update(uint8_t *out, const struct swim_update *update)
{
	struct wire_update wire = {
		.id = htole64(update->id),
		.accuser = htole64(update->accuser),
		.incarnation = htole32(update->incarnation),
		.state = (uint8_t)update->state,
	};

	memcpy(out, &wire, sizeof(wire));
}

int swim_get_header(const uint8_t *bytes, size_t len, struct swim_header *header,
		    struct err *err)
{
	struct wire_header wire;

	if (len < sizeof(wire))
		return err_set(err, 0, "a detector's message of %zu bytes is too short",
			       len);
	memcpy(&wire, bytes, sizeof(wire));
	if (le32toh(wire.magic) != MAGIC)
		return err_set(err, 0, "not a detector's message");
	if (wire.version != VERSION)
		return err_set(err, 0, "a detector's message of version %u, not %u",
			       wire.version, VERSION);
	if (wire.kind == 0 || wire.kind >= SWIM_KINDS)
		return err_set(err, 0, "a detector's message of kind %u", wire.kind);
	*header = (struct swim_header){
		.kind = (enum swim_kind)wire.kind,
		.sender = le64toh(wire.sender),
		.target = le64toh(wire.target),
		.sequence = le32toh(wire.sequence),
		.incarnation = le32toh(wire.incarnation),
		.updates = le16toh(wire.updates),
		.note = le64toh(wire.note),
	};
	if (header->updates > SWIM_UPDATES ||
	    len != SWIM_HEADER + (size_t)header->updates * SWIM_UPDATE)
		return err_set(err, 0, "a detector's message of %u updates in %zu bytes",
			       header->updates, len);
	if (header->sender == 0 || header->sequence == 0)
		return err_set(err, 0, "a detector's message from nobody");
	return 0;
}

int swim_get_update(const uint8_t *bytes, struct swim_update *update, struct err *err)
{
	struct wire_update wire;

	memcpy(&wire, bytes, sizeof(wire));
	if (wire.id == 0)
		return err_set(err, 0, "news of nobody");
	if (wire.state < SWIM_ALIVE || wire.state >= SWIM_STATES ||
	    wire.unused[0] || wire.unused[1] || wire.unused[2])
		return err_set(err, 0, "news of state %u", wire.state);
	*update = (struct swim_update){
		.id = le64toh(wire.id),
		.accuser = le64toh(wire.accuser),
		.incarnation = le32toh(wire.incarnation),
		.state = (enum swim_state)wire.state,
	};
	return 0;
}
