/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/map.h"

#include "scheduler/random.h"

#include <string.h>

unsigned sched_map_slots(unsigned capacity)
{
	unsigned slots = 4;

	while (slots < 2 * capacity)
		slots *= 2;
	return slots;
}

void sched_map_init(struct sched_map *map, uint32_t *slots, unsigned capacity,
		    const uint64_t *ids, size_t stride)
{
	unsigned count = sched_map_slots(capacity);

	memset(slots, 0xff, count * sizeof(slots[0]));
	*map = (struct sched_map){ slots, count - 1, (const char *)ids, stride };
}

static uint64_t id_at(const struct sched_map *map, uint32_t place)
{
	uint64_t id;

	memcpy(&id, map->ids + place * map->stride, sizeof(id));
	return id;
}

static unsigned home_of(const struct sched_map *map, uint64_t id)
{
	return (unsigned)sched_mix(id, 0) & map->mask;
}

/* Where it is, or the free slot where it would go. */
static unsigned slot_of(const struct sched_map *map, uint64_t id)
{
	unsigned slot = home_of(map, id);

	while (map->slots[slot] != SCHED_MAP_NONE && id_at(map, map->slots[slot]) != id)
		slot = (slot + 1) & map->mask;
	return slot;
}

uint32_t sched_map_find(const struct sched_map *map, uint64_t id)
{
	return map->slots[slot_of(map, id)];
}

void sched_map_put(struct sched_map *map, uint32_t place)
{
	map->slots[slot_of(map, id_at(map, place))] = place;
}

/* Linear probing: what follows moves up, so that no search ends too early. */
void sched_map_remove(struct sched_map *map, uint64_t id)
{
	unsigned slot = slot_of(map, id), next = slot;

	if (map->slots[slot] == SCHED_MAP_NONE)
		return;
	for (;;) {
		unsigned home;

		map->slots[slot] = SCHED_MAP_NONE;
		do {
			next = (next + 1) & map->mask;
			if (map->slots[next] == SCHED_MAP_NONE)
				return;
			home = home_of(map, id_at(map, map->slots[next]));
		} while (((next - home) & map->mask) < ((next - slot) & map->mask));
		map->slots[slot] = map->slots[next];
		slot = next;
	}
}
