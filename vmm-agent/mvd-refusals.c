/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-refusals.h"

#include <string.h>

void refusals_add(struct refusals *refusals, uint64_t node, double now)
{
	unsigned i;

	for (i = 0; i < REFUSALS_MAX; i++)
		if (refusals->list[i].node == node) {
			refusals->list[i].when = now;
			return;
		}
	refusals->list[refusals->next].node = node;
	refusals->list[refusals->next].when = now;
	refusals->next = (refusals->next + 1) % REFUSALS_MAX;
}

void refusals_forget(struct refusals *refusals)
{
	memset(refusals, 0, sizeof(*refusals));
}

bool refusals_apply(const struct refusals *refusals, struct sched_job *job, double now)
{
	bool any = false;
	unsigned i;

	for (i = 0; i < REFUSALS_MAX; i++)
		if (refusals->list[i].node && now - refusals->list[i].when < REFUSALS_S)
			any |= sched_job_exclude(job, refusals->list[i].node);
	return any;
}
