/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's live migration of one domain, watched while it lasts. Knows nothing
 * of jobs, peers or what it is for.
 */
#ifndef MV_MVD_VIRT_MOVE_H
#define MV_MVD_VIRT_MOVE_H

#include "vmm-agent/mvd-libvirt.h"

#include <stdint.h>

struct virt_move;

/* All strings are copied. */
struct virt_move_spec {
	const char *uuid;
	const char *name;    /* of the domain at the target */
	const char *libvirt; /* URI of the target's libvirt, as seen from here */
	const char *stream;  /* path of the socket that carries the memory, the
				same at the target */
	const struct domain_place *place;
	const struct job_facts *facts; /* as they are to be at the target */
	bool live;     /* else it is stopped before anything is sent */
	bool postcopy; /* implies live */
};

struct virt_move_stats {
	uint64_t total_ms, downtime_ms;
	uint64_t bytes;           /* sent */
	uint64_t memory, left;    /* bytes of the guest: all, still to be sent */
	unsigned rounds;          /* over its memory */
	uint64_t zero_pages;      /* that were not sent */
	uint64_t page_size;
};

struct virt_moved {
	/* NULL: it runs at the target, and here it is no more. Else it is not
	 * known where it runs: libvirt lets it go on here, as a rule. */
	const char *error;
	struct virt_move_stats stats;
};
typedef void (*virt_moved_fn)(void *ctx, const struct virt_moved *moved);

/* `done` is made exactly once, from the main loop; `move` is freed after it. */
struct virt_move *virt_move_begin(struct virt *virt,
				  const struct virt_move_spec *spec,
				  virt_moved_fn done, void *ctx);

/* How long the guest may stop, ms, after so many rounds over its memory: longer and
 * longer, so that every move ends. */
unsigned long long virt_move_downtime_ms(unsigned rounds);

/* As last seen, about twice a second. */
const struct virt_move_stats *virt_move_stats(const struct virt_move *move);

/* Ask libvirt to stop it; `done` will tell what came of that. */
void virt_move_abort(struct virt_move *move);

#endif
