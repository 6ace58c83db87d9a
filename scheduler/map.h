/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From identities to places in an array: a hash table in memory of the caller, by open
 * addressing. The identities stay where they are, `stride` bytes apart.
 */
#ifndef MV_SCHED_MAP_H
#define MV_SCHED_MAP_H

#include <stddef.h>
#include <stdint.h>

#define SCHED_MAP_NONE UINT32_MAX

struct sched_map {
	uint32_t *slots; /* places, or SCHED_MAP_NONE */
	unsigned mask;
	const char *ids; /* the first one */
	size_t stride;
};

/* Slots for so many places: to be given to sched_map_init() as memory. */
unsigned sched_map_slots(unsigned capacity);
void sched_map_init(struct sched_map *map, uint32_t *slots, unsigned capacity,
		    const uint64_t *ids, size_t stride);

uint32_t sched_map_find(const struct sched_map *map, uint64_t id);
/* The place's identity must be set, and in the map at no other place. */
void sched_map_put(struct sched_map *map, uint32_t place);
/* While the identity is still at its place. */
void sched_map_remove(struct sched_map *map, uint64_t id);

#endif
