/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-heap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void *sim_grow(void *memory, size_t count, size_t size)
{
	memory = reallocarray(memory, count ? count : 1, size);
	if (!memory) {
		fputs("mvsim: no memory for a simulation of this size\n", stderr);
		exit(1);
	}
	return memory;
}

void *sim_need(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	return memory ? memory : sim_grow(NULL, SIZE_MAX, 2);
}

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->time < b->time || (a->time == b->time && a->order < b->order);
}

void sim_heap_push(struct sim_heap *heap, double time, int kind, uint32_t subject,
		   uint32_t generation)
{
	struct sim_event event = { time, heap->order++, kind, subject, generation };
	size_t at = heap->count++;

	if (at == heap->room) {
		heap->room = heap->room ? 2 * heap->room : 256;
		heap->events = sim_grow(heap->events, heap->room, sizeof(event));
	}
	while (at > 0 && earlier(&event, &heap->events[(at - 1) / 2])) {
		heap->events[at] = heap->events[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap->events[at] = event;
}

bool sim_heap_pop(struct sim_heap *heap, struct sim_event *event)
{
	struct sim_event last;
	size_t at = 0, child;

	if (heap->count == 0)
		return false;
	*event = heap->events[0];
	last = heap->events[--heap->count];
	while ((child = 2 * at + 1) < heap->count) {
		if (child + 1 < heap->count &&
		    earlier(&heap->events[child + 1], &heap->events[child]))
			child++;
		if (!earlier(&heap->events[child], &last))
			break;
		heap->events[at] = heap->events[child];
		at = child;
	}
	heap->events[at] = last;
	return true;
}

double sim_heap_next(const struct sim_heap *heap)
{
	return heap->count ? heap->events[0].time : INFINITY;
}
