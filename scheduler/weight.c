/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/weight.h"

#include <math.h>

double sched_weight(const struct sched_policy *policy, double age)
{
	double least = 1 / policy->weight_ratio, relative = age / policy->youngest;

	if (!(relative > 1) || policy->weight_power == 0)
		return 1;
	return fmax(pow(relative, -policy->weight_power), least);
}

unsigned sched_weight_cgroup(const struct sched_policy *policy, double age,
			     unsigned base)
{
	double weight = base * sched_weight(policy, age);

	return (unsigned)fmin(fmax(weight + 0.5, 1), 10000);
}
