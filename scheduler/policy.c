/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/policy.h"

#include <math.h>
#include <string.h>

#define ENTRY(field, unit, min, max, standard, what) \
	{ #field, unit, what, offsetof(struct sched_policy, field), min, max, standard }

const struct sched_policy_entry sched_policy_entries[] = {
	ENTRY(youngest, "s", 0.01, 60, 1, "CPU time a job that begins is taken to have had"),
	ENTRY(memory_price, "", 0, 1000, 1, "slowdowns for all the memory of a node"),
	ENTRY(margin, "", 0, 100, 0.8, "CPU seconds at the target, for each of work, that a move must gain"),
	ENTRY(payback, "", 1, 100, 2, "times its cost that a move must gain"),
	ENTRY(equal, "", 0, 1, 0.1, "share by which targets may differ and be equal"),
	ENTRY(residency, "s", 0, 86400, 3, "that a job stays where it came to"),
	ENTRY(retry, "s", 0, 86400, 5, "before a job is tried again after a failed move"),
	ENTRY(max_age, "s", 1, 3600, 30, "of older information nothing is decided"),
	ENTRY(memory_low, "", 0, 1, 0.05, "share of memory free below which jobs leave"),
	ENTRY(memory_high, "", 0, 1, 0.08, "share that is kept free at a target"),
	ENTRY(lookahead, "s", 0, 3600, 20, "of the jobs' growth that must still fit"),
	ENTRY(pressure, "", 0, 1, 0.1, "share of time waited for memory that is too much"),
	ENTRY(trust, "", 1, 1000, 3, "times the own speed that a node is believed to have"),
	ENTRY(lead, "", 1, 1000, 2, "times the second fastest that the fastest is believed to be"),
	ENTRY(surprise, "", 1, 100, 1.5, "times its expected cost that a target refuses at"),
	ENTRY(weight_power, "", 0, 4, 1, "weights fall with the age to this power"),
	ENTRY(weight_ratio, "", 1, 10000, 100, "largest to smallest weight"),
	ENTRY(patience, "s", 0, 86400, 10, "before a node is asked to make room for a job that waits"),
	ENTRY(hold, "s", 0, 86400, 30, "that it is kept free, before others have it again"),
	{ 0 },
};

static double *field(struct sched_policy *policy, const struct sched_policy_entry *entry)
{
	return (double *)((char *)policy + entry->at);
}

static const struct sched_policy_entry *find(const char *name)
{
	const struct sched_policy_entry *entry;

	for (entry = sched_policy_entries; entry->name; entry++)
		if (strcmp(entry->name, name) == 0)
			return entry;
	return NULL;
}

void sched_policy_default(struct sched_policy *policy)
{
	const struct sched_policy_entry *entry;

	for (entry = sched_policy_entries; entry->name; entry++)
		*field(policy, entry) = entry->standard;
}

int sched_policy_set(struct sched_policy *policy, const char *name, double value,
		     struct err *err)
{
	const struct sched_policy_entry *entry = find(name);

	if (!entry)
		return err_set(err, 0, "the policy has no \"%s\"", name);
	if (!(value >= entry->min && value <= entry->max))
		return err_set(err, 0, "%s must be between %g and %g, not %g", name,
			       entry->min, entry->max, value);
	*field(policy, entry) = value;
	return 0;
}

int sched_policy_get(const struct sched_policy *policy, const char *name, double *value)
{
	const struct sched_policy_entry *entry = find(name);

	if (!entry)
		return -1;
	*value = *(const double *)((const char *)policy + entry->at);
	return 0;
}
