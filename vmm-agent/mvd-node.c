/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"
#include "vmm-agent/mvd-node.h"

#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-libvirt.h"
#include "vmm-agent/mvd-limits.h"
#include "vmm-agent/mvd-probe.h"
#include "vmm-agent/mvd-scheduler.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MEMORY 1024
#define MIN_MEMORY 96    /* the kernel, the kit, and little else */
#define MIN_RESERVE 128  /* what the node keeps for itself */
#define DEFAULT_CPUS 4

unsigned node_meminfo(const char *text, const char *name)
{
	g_autofree char *key = g_strdup_printf("%s:", name);
	const char *line = g_str_has_prefix(text, key) ? text : NULL;
	g_autofree char *inner = g_strdup_printf("\n%s:", name);

	if (!line && (line = strstr(text, inner)))
		line++;
	if (!line)
		return 0;
	return (unsigned)(g_ascii_strtoull(line + strlen(key), NULL, 10) / 1024);
}

/* Of a control group that this agent and its guests are in. */
static void limit_memory(struct node_memory *memory)
{
	uint64_t total, available;
	struct limits limits;

	limits_find(&limits);
	if (limits_memory(&limits, &total, &available)) {
		memory->total = MIN(memory->total, (unsigned)(total >> 20));
		memory->available = MIN(memory->available, (unsigned)(available >> 20));
	}
	limits_clear(&limits);
}

void node_memory(struct node_memory *memory)
{
	g_autofree char *text = NULL;

	memset(memory, 0, sizeof(*memory));
	if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
		return;
	memory->total = node_meminfo(text, "MemTotal");
	memory->available = node_meminfo(text, "MemAvailable");
	limit_memory(memory);
}

unsigned node_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

unsigned node_default_cpus(enum accel accel, unsigned online)
{
	return accel == ACCEL_KVM ? MIN(DEFAULT_CPUS, online) : 1;
}

int node_admit(unsigned total, unsigned online, unsigned *memory,
	       unsigned cpus, struct err *err)
{
	unsigned reserve = MAX(MIN_RESERVE, total / 16);
	unsigned most = total > reserve ? total - reserve : 0;

	if (*memory == 0)
		*memory = MIN(DEFAULT_MEMORY, MAX(total / 2, MIN_MEMORY));
	if (*memory < MIN_MEMORY)
		return err_set(err, 0, "%u MiB of memory are too little for a "
			       "microVM (at least %u)", *memory, MIN_MEMORY);
	if (*memory > most)
		return err_set(err, 0, "the job asks for %u MiB of memory, this "
			       "node can give %u at most", *memory, most);
	if (cpus > online)
		return err_set(err, 0, "the job asks for %u processors, this "
			       "node has %u", cpus, online);
	return 0;
}

/* Is this group one of the user's? */
static bool in_group(uid_t uid, gid_t primary, gid_t group)
{
	gid_t groups[64];
	int n = G_N_ELEMENTS(groups), i;
	struct passwd *pwd = getpwuid(uid);

	if (group == primary)
		return true;
	if (!pwd || getgrouplist(pwd->pw_name, pwd->pw_gid, groups, &n) < 0)
		return false;
	for (i = 0; i < n; i++)
		if (groups[i] == group)
			return true;
	return false;
}

bool node_kvm_closed(const char *dac)
{
	unsigned uid, gid;
	struct stat st;

	if (!dac || sscanf(dac, "+%u:+%u", &uid, &gid) != 2 || uid == 0 ||
	    stat("/dev/kvm", &st) < 0)
		return false;
	if (st.st_uid == uid)
		return (st.st_mode & 0600) != 0600;
	if (in_group(uid, gid, st.st_gid))
		return (st.st_mode & 0060) != 0060;
	return (st.st_mode & 0006) != 0006;
}

/* MiB promised to the jobs that are here. */
static unsigned promised(const struct jobs *jobs)
{
	GHashTableIter iter;
	struct job *job;
	unsigned sum = 0;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		if (job_is_here(job) && !job->unplaced)
			sum += job->facts.memory;
	return sum;
}

unsigned node_limit(const struct mvd *mvd, unsigned total)
{
	unsigned limit = (unsigned)mvd->config.memory;
	double share = mvd->config.settings.memory_promised * total;

	if (share <= 0)
		return limit;
	share = CLAMP(share, 1, G_MAXINT32);
	return limit ? MIN(limit, (unsigned)share) : (unsigned)share;
}

unsigned node_room(const struct mvd *mvd)
{
	unsigned reserved = arrivals_memory(mvd->jobs->arrivals), limit, used;
	struct node_memory memory;

	node_memory(&memory);
	limit = node_limit(mvd, memory.total);
	memory.available -= MIN(memory.available, reserved);
	if (!limit)
		return memory.available;
	used = MIN(limit, promised(mvd->jobs) + reserved);
	return MIN(memory.available, limit - used);
}

struct json_object *node_to_json(struct mvd *mvd)
{
	struct json_object *json = json_object_new_object();
	struct jobs_where where = jobs_count_where(mvd->jobs);
	enum accel accel = probe_accel(mvd->probe);
	struct node_memory memory;

	node_memory(&memory);
	event_add_string(json, "name", mvd->node);
	event_add_string(json, "state", virt_state(mvd->virt) == VIRT_UP ?
			 "up" : "no-libvirt");
	event_add_number(json, "cpus", node_cpus());
	event_add_number(json, "memory", memory.total);
	event_add_number(json, "free", memory.available);
	event_add_number(json, "jobs", where.here);
	event_add_number(json, "guests", where.guests);
	event_add_number(json, "away", where.away);
	event_add_string(json, "accel", accel == ACCEL_AUTO ? "unknown" :
			 accel_name(accel));
	event_add_string(json, "accel_reason", probe_reason(mvd->probe));
	event_add_string(json, "libvirt", virt_uri(mvd->virt));
	event_add_string(json, "mvd", PACKAGE_VERSION);
	event_add_number(json, "pid", getpid());
	if (mvd->scheduler)
		json_object_object_add(json, "scheduler",
				       scheduler_to_json(mvd));
	return json;
}
