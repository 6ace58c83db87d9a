/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-limits.h"

#include "vmm-agent/mvd-measure.h"

#include <glib.h>
#include <string.h>

#define MAX_DEPTH 32
#define NO_LIMIT (UINT64_C(1) << 60) /* what v1 says where there is none is larger */

static char *text_in(const char *dir, const char *name)
{
	g_autofree char *path = g_build_filename(dir, name, NULL);
	char *text = NULL;

	g_file_get_contents(path, &text, NULL, NULL);
	return text;
}

static uint64_t number_in(const char *dir, const char *name)
{
	g_autofree char *text = text_in(dir, name);

	return text ? measure_number(text) : MEASURE_UNKNOWN;
}

static void find(struct limits_group *group, const char *cgroup, const char *mountinfo,
		 const char *controller)
{
	group->dir = measure_cgroup(cgroup, mountinfo, controller, &group->v2,
				    &group->top);
}

void limits_find(struct limits *limits)
{
	g_autofree char *cgroup = NULL, *mountinfo = NULL;

	memset(limits, 0, sizeof(*limits));
	if (!g_file_get_contents("/proc/self/cgroup", &cgroup, NULL, NULL) ||
	    !g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, NULL))
		return;
	find(&limits->cpu, cgroup, mountinfo, "cpu");
	find(&limits->cpuacct, cgroup, mountinfo, "cpuacct");
	find(&limits->memory, cgroup, mountinfo, "memory");
}

static void clear(struct limits_group *group)
{
	g_free(group->dir);
	g_free(group->top);
}

void limits_clear(struct limits *limits)
{
	clear(&limits->cpu);
	clear(&limits->cpuacct);
	clear(&limits->memory);
}

/* The groups above it limit it too. False at the top. */
static bool go_up(char *dir, const char *top)
{
	char *slash = strrchr(dir, '/');

	if (!top || strlen(dir) <= strlen(top) || !slash)
		return false;
	*slash = '\0';
	return strlen(dir) >= strlen(top);
}

static double cpus_of(const char *dir, bool v2)
{
	g_autofree char *quota = text_in(dir, v2 ? "cpu.max" : "cpu.cfs_quota_us");
	g_autofree char *period = v2 ? NULL : text_in(dir, "cpu.cfs_period_us");

	if (v2)
		return quota ? measure_cpu_max(quota) : 0;
	return quota && period ? measure_cfs_quota(quota, period) : 0;
}

double limits_cpus(const struct limits *limits)
{
	const struct limits_group *group = &limits->cpu;
	g_autofree char *dir = g_strdup(group->dir);
	double least = 0, here;
	unsigned depth = 0;

	if (!dir)
		return 0;
	do {
		here = cpus_of(dir, group->v2);
		if (here > 0 && (least == 0 || here < least))
			least = here;
	} while (go_up(dir, group->top) && ++depth < MAX_DEPTH);
	return least;
}

uint64_t limits_cpu_used(const struct limits *limits)
{
	const struct limits_group *group = &limits->cpuacct;
	g_autofree char *stat = NULL;
	uint64_t used;

	/* Where the time is not limited the whole machine is counted: /proc/stat. */
	if (!group->dir || limits_cpus(limits) == 0)
		return MEASURE_UNKNOWN;
	if (!group->v2)
		return number_in(group->dir, "cpuacct.usage");
	stat = text_in(group->dir, "cpu.stat");
	used = stat ? measure_key(stat, "usage_usec") : MEASURE_UNKNOWN;
	return used < NO_LIMIT / 1000 ? used * 1000 : MEASURE_UNKNOWN;
}

static uint64_t unused_cache(const char *dir, bool v2)
{
	g_autofree char *stat = text_in(dir, "memory.stat");
	uint64_t bytes = stat ? measure_key(stat, v2 ? "inactive_file" :
					    "total_inactive_file") : MEASURE_UNKNOWN;

	return bytes == MEASURE_UNKNOWN ? 0 : bytes;
}

static bool memory_of(const char *dir, bool v2, uint64_t *total, uint64_t *available)
{
	uint64_t limit = number_in(dir, v2 ? "memory.max" : "memory.limit_in_bytes");
	uint64_t used = number_in(dir, v2 ? "memory.current" : "memory.usage_in_bytes");
	uint64_t cache;

	if (limit >= NO_LIMIT || used >= NO_LIMIT)
		return false;
	cache = unused_cache(dir, v2);
	used -= MIN(used, cache);
	*total = limit;
	*available = limit - MIN(limit, used);
	return true;
}

bool limits_memory(const struct limits *limits, uint64_t *total, uint64_t *available)
{
	const struct limits_group *group = &limits->memory;
	g_autofree char *dir = g_strdup(group->dir);
	uint64_t limit, left;
	unsigned depth = 0;
	bool found = false;

	if (!dir)
		return false;
	do {
		if (!memory_of(dir, group->v2, &limit, &left))
			continue;
		*total = found ? MIN(*total, limit) : limit;
		*available = found ? MIN(*available, left) : left;
		found = true;
	} while (go_up(dir, group->top) && ++depth < MAX_DEPTH);
	return found;
}

double limits_pressure(const struct limits *limits)
{
	const struct limits_group *group = &limits->memory;
	g_autofree char *text = NULL;
	uint64_t total, available;

	if (group->dir && group->v2)
		text = text_in(group->dir, "memory.pressure");
	/* Others' shortage is not that of a group with a limit of its own. */
	if (!text && !limits_memory(limits, &total, &available))
		text = text_in("/proc/pressure", "memory");
	return text ? measure_pressure(text) : 0;
}
