/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QEMU process of a job: parts of mvd-load.c. */
#ifndef MV_MVD_LOAD_PROCESS_H
#define MV_MVD_LOAD_PROCESS_H

#include "vmm-agent/mvd-load.h"

/* Look for the QEMU of the job, unless it is known or was just looked for. */
void load_process_find(const struct mvd *mvd, struct load_job *seen, double now);
/* ns that its virtual processors ran, and waited to run. False: it is no more. */
bool load_process_time(struct load_job *seen, uint64_t *run, uint64_t *wait);
/* Bytes; 0: not known. */
double load_process_resident(pid_t pid);
/* Give its virtual processors this share of the largest weight, by their niceness. */
void load_process_weigh(struct load_job *seen, double weight);
/* The niceness for a weight, 0 to 19 more than QEMU's own: each step is worth a quarter. */
int load_process_nice(double weight);

#endif
