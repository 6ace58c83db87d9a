/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt can do for the scheduler with a running domain: its CPU weight, and how
 * fast it changes its memory. Knows nothing of jobs.
 */
#ifndef MV_MVD_VIRT_TUNE_H
#define MV_MVD_VIRT_TUNE_H

#include "vmm-agent/mvd-libvirt.h"

/*
 * Give the domain's control group this many CPU shares: the kernel's cpu.shares, or its
 * cpu.weight with the second version of control groups.
 */
struct virt_weighed {
	const char *error; /* NULL: done */
	bool no_group;     /* libvirt has no group of its own for the domain */
};
typedef void (*virt_weighed_fn)(void *ctx, const struct virt_weighed *result);
void virt_set_weight(struct virt *virt, const char *uuid, unsigned shares,
		     virt_weighed_fn done, void *ctx);

/* `rate` in bytes/s; negative: it could not be measured, `error` says why. */
typedef void (*virt_dirty_fn)(void *ctx, double rate, const char *error);

/*
 * Measure for so many seconds, 1 to 60, how fast the domain changes its memory: a page counts
 * once, however often it has changed meanwhile. QEMU looks
 * at a sample of its pages, about 512 of each GiB, twice. Needs no KVM and does not disturb the
 * guest. A thread of the pool waits for it, so have one measured at a time.
 */
void virt_dirty_rate(struct virt *virt, const char *uuid, unsigned seconds, virt_dirty_fn done,
		     void *ctx);

#endif
