/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A detector's message, as a member might send it: its books stay sound, and what
 * it sends can be read. */
#include "scheduler/swim-wire.c"
#include "scheduler/swim-member.c"
#include "scheduler/swim.c"

#include "tests/fuzz/standalone.h"

#include <stdlib.h>

#define ROOM 8
#define MEMBERS 6
#define SELF 1

static struct swim swim;
static struct swim_out out;
static struct sched_random source;
static double now;

static void set_up(void)
{
	struct swim_config config;
	uint64_t id;

	swim_config_default(&config);
	sched_random_seed(&source, 1);
	swim_init(&swim, malloc(swim_size(ROOM)), ROOM, SELF, &config, 0);
	for (id = 2; id < 2 + MEMBERS; id++)
		swim_add(&swim, id, &source);
}

static void check_packets(void)
{
	struct swim_header header;
	struct swim_update update;
	unsigned i, k;

	if (out.packet_count > SWIM_PACKETS || out.change_count > SWIM_CHANGES)
		abort();
	for (i = 0; i < out.packet_count; i++) {
		const struct swim_packet *packet = &out.packets[i];

		if (swim_get_header(packet->bytes, packet->len, &header, NULL) < 0 ||
		    packet->to == SELF || !swim_find(&swim, packet->to))
			abort();
		for (k = 0; k < header.updates; k++)
			if (swim_get_update(packet->bytes + SWIM_HEADER + k * SWIM_UPDATE,
					    &update, NULL) < 0)
				abort();
	}
}

static void check(void)
{
	unsigned i, alive = 0, suspects = 0;

	for (i = 0; i < swim.count; i++) {
		const struct swim_member *m = &swim.members[i];

		alive += m->state == SWIM_ALIVE || m->state == SWIM_SUSPECT;
		suspects += m->state == SWIM_SUSPECT;
		if (m->accuser_count > SWIM_ACCUSERS || m->state >= SWIM_STATES ||
		    sched_map_find(&swim.map, m->id) != i)
			abort();
	}
	if (swim.count != MEMBERS || alive != swim.alive || suspects != swim.suspects ||
	    swim.hot_count > SWIM_HOT || swim.health >= swim.config.health_max ||
	    !(swim_next(&swim) < now + 100))
		abort();
	check_packets();
}

static void empty(void)
{
	out.packet_count = out.change_count = 0;
	out.changes_lost = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };

	if (swim.count == 0)
		set_up();
	now += 0.05;
	empty();
	if (swim_receive(&swim, data, size, now, &out, &err) < 0 && !err.text[0])
		abort();
	check();
	empty();
	swim_tick(&swim, now, &source, &out);
	check();
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *to, size_t size)
{
	struct swim_header header = { .kind = 1 + n % (SWIM_KINDS - 1),
				      .sender = 2 + n % MEMBERS,
				      .target = 1 + n / 4 % (MEMBERS + 1),
				      .sequence = n + 1, .incarnation = n / 64,
				      .updates = n % 6 };
	unsigned i;

	if (size < SWIM_HEADER + header.updates * SWIM_UPDATE)
		return 0;
	swim_put_header(to, &header);
	for (i = 0; i < header.updates; i++) {
		struct swim_update update = { .id = 1 + (n + i) % (MEMBERS + 3),
					      .accuser = 2 + n / 8 % MEMBERS,
					      .incarnation = n / 128,
					      .state = SWIM_ALIVE + (n / 3 + i) % 3 };

		swim_put_update(to + SWIM_HEADER + i * SWIM_UPDATE, &update);
	}
	return SWIM_HEADER + header.updates * SWIM_UPDATE;
}
