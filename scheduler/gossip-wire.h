/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a gossip message (docs/peer-protocol.md, "Gossip").
 */
#ifndef MV_SCHED_GOSSIP_WIRE_H
#define MV_SCHED_GOSSIP_WIRE_H

#include "scheduler/gossip.h"

#define GOSSIP_HEADER 16
#define GOSSIP_ENTRY 96
#define GOSSIP_MESSAGE_MAX (GOSSIP_HEADER + GOSSIP_WINDOW_MAX * GOSSIP_ENTRY)

struct gossip_header {
	uint64_t sender;
	unsigned count;
};

void gossip_put_header(uint8_t *out, const struct gossip_header *header);
int gossip_get_header(const uint8_t *bytes, size_t len, struct gossip_header *header,
		      struct err *err);

/* `age` in seconds, cut to 49 days. */
void gossip_put_entry(uint8_t *out, const struct sched_node *node, uint64_t stamp,
		      double age);
/* Only whose entry it is, and how new: enough to see that it is not needed. */
void gossip_peek_entry(const uint8_t *bytes, uint64_t *id, uint64_t *stamp);
/* The node's time is not set. */
int gossip_get_entry(const uint8_t *bytes, struct sched_node *node, uint64_t *stamp,
		     double *age, struct err *err);

#endif
