/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast each job changes its memory, which is what decides how long a live
 * migration takes. libvirt has QEMU measure one job at a time, for a second, and each job about
 * once a minute, so that it costs next to nothing however many there are.
 */
#ifndef MV_MVD_DIRTY_H
#define MV_MVD_DIRTY_H

#include "vmm-agent/mvd-load.h"

struct dirty {
	struct mvd *mvd;
	bool busy;
};

/* `jobs`: struct load_job by UUID. Once a second. */
void dirty_jobs(struct dirty *dirty, GHashTable *jobs, double now);

/* Bytes that it changes again and again, from what it changes per second in one second and in
 * eight; 0: that is not known. */
double dirty_hot(double rate, double rate_long);

/* Bytes/s: what was measured, or until then what is usual for so much work. */
double dirty_rate(const struct load_job *seen);

#endif
