/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine of an agent's world: its memory, processors, processes and probe. */
#include "tests/unit/agent-world.h"

#include "vmm-agent/mvd-limits.h"
#include "vmm-agent/mvd-load-process.h"
#include "vmm-agent/mvd-measure.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-probe.h"

#include <math.h>

/* ---- the machine ---- */

void limits_find(struct limits *limits)
{
	memset(limits, 0, sizeof(*limits));
}

void limits_clear(struct limits *limits)
{
	(void)limits;
}

double limits_cpus(const struct limits *limits)
{
	(void)limits;
	return 1;
}

uint64_t limits_cpu_used(const struct limits *limits)
{
	(void)limits;
	return world.used;
}

bool limits_memory(const struct limits *limits, uint64_t *total, uint64_t *available)
{
	(void)limits;
	(void)total;
	(void)available;
	return false;
}

double limits_pressure(const struct limits *limits)
{
	(void)limits;
	return 0;
}

void node_memory(struct node_memory *memory)
{
	memory->total = world.memory;
	memory->available = world.room;
}

unsigned node_limit(const struct mvd *mvd, unsigned total)
{
	(void)total;
	return (unsigned)mvd->config.memory;
}

unsigned node_room(const struct mvd *mvd)
{
	(void)mvd;
	return world.room;
}

unsigned node_cpus(void)
{
	return 1;
}

unsigned node_default_cpus(enum accel accel, unsigned online)
{
	(void)accel;
	return online;
}

unsigned node_meminfo(const char *text, const char *name)
{
	(void)text;
	(void)name;
	return 0;
}

int node_admit(unsigned total, unsigned online, unsigned *memory, unsigned cpus,
	       struct err *err)
{
	(void)total;
	(void)online;
	(void)memory;
	(void)cpus;
	(void)err;
	return 0;
}

bool node_kvm_closed(const char *dac)
{
	(void)dac;
	return false;
}

struct json_object *node_to_json(struct mvd *mvd)
{
	(void)mvd;
	return json_object_new_object();
}

struct probe *probe_new(struct mvd *mvd, probe_changed_fn changed, void *ctx)
{
	(void)mvd;
	(void)changed;
	(void)ctx;
	return NULL;
}

void probe_free(struct probe *probe)
{
	(void)probe;
}

void probe_advance(struct probe *probe)
{
	(void)probe;
}

void probe_abort(struct probe *probe)
{
	(void)probe;
}

bool probe_event(struct probe *probe, const char *uuid, enum virt_event event)
{
	(void)probe;
	(void)uuid;
	(void)event;
	return false;
}

enum accel probe_accel(const struct probe *probe)
{
	(void)probe;
	return ACCEL_TCG;
}

const char *probe_reason(const struct probe *probe)
{
	(void)probe;
	return "";
}

bool probe_fell_back(const struct probe *probe)
{
	(void)probe;
	return false;
}

char *probe_take_warning(struct probe *probe)
{
	(void)probe;
	return NULL;
}

/* ---- processes ---- */

struct world_process *world_process(const struct job *job)
{
	return &world.processes[job->facts.start % G_N_ELEMENTS(world.processes)];
}

void load_process_find(const struct mvd *mvd, struct load_job *seen, double now)
{
	(void)mvd;
	(void)now;
	if (seen->job->stage == JOB_UP)
		seen->pid = (pid_t)seen->job->facts.start;
	seen->vcpu_count = 1;
}

bool load_process_time(struct load_job *seen, uint64_t *run, uint64_t *wait)
{
	*run = world_process(seen->job)->run;
	*wait = world_process(seen->job)->wait;
	return true;
}

double load_process_resident(pid_t pid)
{
	return world.processes[pid].resident * WORLD_MIB;
}

int load_process_nice(double weight)
{
	return (int)weight;
}

void load_process_weigh(struct load_job *seen, double weight)
{
	world_process(seen->job)->nice = weight;
}
