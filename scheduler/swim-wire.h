/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of a detector's message (docs/peer-protocol.md, "The detector"). */
#ifndef MV_SCHED_SWIM_WIRE_H
#define MV_SCHED_SWIM_WIRE_H

#include "scheduler/swim.h"

#define SWIM_HEADER 40
#define SWIM_UPDATE 24
#define SWIM_UPDATES ((SWIM_MESSAGE_MAX - SWIM_HEADER) / SWIM_UPDATE)

enum swim_kind { SWIM_PING = 1, SWIM_PING_FOR, SWIM_ACK, SWIM_NACK, SWIM_KINDS };

struct swim_header {
	enum swim_kind kind;
	uint64_t sender;
	uint64_t target;      /* that is, or is to be, pinged */
	uint32_t sequence;
	uint32_t incarnation; /* the sender's */
	unsigned updates;
	uint64_t note;        /* the sender's swim.note */
};

struct swim_update {
	uint64_t id;
	uint64_t accuser; /* who says so, of a suspect */
	uint32_t incarnation;
	enum swim_state state;
};

void swim_put_header(uint8_t *out, const struct swim_header *header);
void swim_put_update(uint8_t *out, const struct swim_update *update);
int swim_get_header(const uint8_t *bytes, size_t len, struct swim_header *header,
		    struct err *err);
int swim_get_update(const uint8_t *bytes, struct swim_update *update, struct err *err);

#endif
