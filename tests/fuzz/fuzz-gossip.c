/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A gossip message, as a member might send it: the table stays sound, and what is
 * in it can be decided on. */
#include "scheduler/gossip-wire.c"
#include "scheduler/gossip.c"

#include "tests/fuzz/standalone.h"

#include <stdlib.h>

#define ROOM 12
#define WINDOW 5
#define SELF 7

static struct gossip table;
static double now = 1000;

static void check_node(const struct sched_node *node)
{
	struct sched_node copy = *node;

	if (sched_node_check(&copy, NULL) < 0 || !isfinite(node->time) || node->time > now)
		abort();
	/* Checked already: a second time changes nothing. */
	if (copy.speed != node->speed || copy.mem_free != node->mem_free ||
	    copy.run != node->run || copy.state != node->state)
		abort();
}

static void check(void)
{
	unsigned i, urgent = 0;

	if (table.count < 1 || table.count > ROOM || table.recent_count > WINDOW - 1 ||
	    table.nodes[0].id != SELF)
		abort();
	for (i = 0; i < table.count; i++) {
		if (sched_map_find(&table.map, table.nodes[i].id) != i)
			abort();
		urgent += table.slots[i].urgent != 0;
		if (i > 0)
			check_node(&table.nodes[i]);
	}
	if (urgent != table.urgent_count)
		abort();
	for (i = 0; i < table.recent_count; i++)
		if (table.recent[i] == 0 || table.recent[i] >= table.count ||
		    !table.slots[table.recent[i]].in_window)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[GOSSIP_MESSAGE_MAX];
	struct err err = { 0 };
	size_t len;

	if (!table.nodes)
		gossip_init(&table, malloc(gossip_size(ROOM)), ROOM, SELF, WINDOW, 60);
	now += 0.001;
	if (gossip_read(&table, data, size, now, &err) < 0 && !err.text[0])
		abort();
	check();
	len = gossip_write(&table, now, out, sizeof(out));
	if (len == 0 || len > GOSSIP_HEADER + WINDOW * GOSSIP_ENTRY)
		abort();
	if (size % 7 == 0)
		gossip_expire(&table, now);
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	struct sched_node node = {
		.cpus = 4, .speed = 1.5, .run = 3, .load = { 1, 2 }, .mem_total = 0x1p34,
		.mem_free = 0x1p33, .net_rate = 1e6, .net_max = 1e9, .jobs = 2,
		.slots = 64, .qemu = 7002000, .cpu = 1, .state = SCHED_OPEN + n % 3,
		.flags = n % 32,
	};
	struct gossip_header header = { .sender = 1 + n % 20, .count = 1 + n % 4 };
	unsigned i;

	if (size < GOSSIP_HEADER + header.count * GOSSIP_ENTRY)
		return 0;
	gossip_put_header(out, &header);
	for (i = 0; i < header.count; i++) {
		node.id = 1 + (header.sender + i * 3) % 24;
		gossip_put_entry(out + GOSSIP_HEADER + i * GOSSIP_ENTRY, &node, n + 1,
				 n % 70);
	}
	return GOSSIP_HEADER + header.count * GOSSIP_ENTRY;
}
