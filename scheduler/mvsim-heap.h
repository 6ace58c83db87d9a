/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events in order of time, and of those of one time in order of insertion. */
#ifndef MV_SCHED_MVSIM_HEAP_H
#define MV_SCHED_MVSIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_event {
	double time;
	uint64_t order;
	int kind;
	uint32_t subject, generation;
};

struct sim_heap {
	struct sim_event *events; /* to be freed */
	size_t count, room;
	uint64_t order;
};

void sim_heap_push(struct sim_heap *heap, double time, int kind, uint32_t subject,
		   uint32_t generation);
bool sim_heap_pop(struct sim_heap *heap, struct sim_event *event);
/* Time of the first, INFINITY when there is none. */
double sim_heap_next(const struct sim_heap *heap);

/* Memory or the end: nothing is lost but the run. */
void *sim_need(size_t count, size_t size);
void *sim_grow(void *memory, size_t count, size_t size);

#endif
