/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of methods; each ends with a NULL name. */
#ifndef MV_SCHED_MVSIM_METHODS_H
#define MV_SCHED_MVSIM_METHODS_H

#include "scheduler/mvsim.h"

extern const struct sim_method sim_classic[];
extern const struct sim_method sim_modern[];
extern const struct sim_method sim_ours[];

#endif
