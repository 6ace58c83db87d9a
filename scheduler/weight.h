/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU weights by attained service.
 *
 * A job that has had little CPU time is probably a short one, so it goes before
 * those that have had much: that makes most jobs much faster and the long ones
 * hardly slower. Weights fall as the age rises, to no less than 1/weight_ratio of the
 * largest, so that an old job always advances.
 */
#ifndef MV_SCHED_WEIGHT_H
#define MV_SCHED_WEIGHT_H

#include "scheduler/policy.h"

/* From 1 (a job that begins) down to 1/weight_ratio. */
double sched_weight(const struct sched_policy *policy, double age);

/* The same as a cgroup's cpu.weight, 1 to 10000; `base` is that of a job that begins. */
unsigned sched_weight_cgroup(const struct sched_policy *policy, double age,
			     unsigned base);

#endif
