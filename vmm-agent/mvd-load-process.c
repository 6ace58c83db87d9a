/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-load-process.h"

#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-measure.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_AGAIN_S 2.0

/* A file of a process, or with `tid` of one of its threads. */
static char *read_file(long pid, long tid, const char *name, gsize *len)
{
	char path[96];
	char *text = NULL;

	if (tid)
		snprintf(path, sizeof(path), "/proc/%ld/task/%ld/%s", pid, tid, name);
	else
		snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
	return g_file_get_contents(path, &text, len, NULL) ? text : NULL;
}

/* libvirt's QEMU, not some user's process that calls itself so. */
static bool is_trusted(const struct mvd *mvd, long pid, enum accel accel)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%ld", pid);
	if (stat(path, &st) < 0)
		return false;
	return st.st_uid == 0 || st.st_uid == geteuid() ||
	       st.st_uid == arrivals_uid(virt_facts(mvd->virt)->dac[accel]);
}

static bool runs_job(const struct mvd *mvd, long pid, const struct job *job)
{
	g_autofree char *comm = read_file(pid, 0, "comm", NULL);
	g_autofree char *words = NULL;
	const char *uuid;
	gsize len;

	if (!comm || !g_str_has_prefix(comm, "qemu-system") ||
	    !is_trusted(mvd, pid, job->facts.accel))
		return false;
	words = read_file(pid, 0, "cmdline", &len);
	uuid = words ? measure_option(words, len, "-uuid") : NULL;
	return uuid && g_ascii_strcasecmp(uuid, job->facts.uuid) == 0;
}

/* The threads do not change while a domain lives: none is plugged in. */
static void find_vcpus(struct load_job *seen)
{
	g_autofree char *path = g_strdup_printf("/proc/%ld/task", (long)seen->pid);
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *name;

	seen->vcpu_count = 0;
	while (dir && (name = g_dir_read_name(dir)) &&
	       seen->vcpu_count < G_N_ELEMENTS(seen->vcpus)) {
		long tid = strtol(name, NULL, 10);
		g_autofree char *comm = read_file(seen->pid, tid, "comm", NULL);

		if (comm && measure_is_vcpu(comm))
			seen->vcpus[seen->vcpu_count++] = (pid_t)tid;
	}
	if (dir)
		g_dir_close(dir);
}

void load_process_find(const struct mvd *mvd, struct load_job *seen, double now)
{
	const char *name;
	GDir *dir;

	if (seen->pid || seen->job->stage != JOB_UP ||
	    (seen->looked > 0 && now - seen->looked < LOOK_AGAIN_S))
		return;
	seen->looked = now;
	dir = g_dir_open("/proc", 0, NULL);
	while (dir && !seen->pid && (name = g_dir_read_name(dir)))
		if (isdigit((unsigned char)*name) &&
		    runs_job(mvd, strtol(name, NULL, 10), seen->job))
			seen->pid = (pid_t)strtol(name, NULL, 10);
	if (dir)
		g_dir_close(dir);
	seen->vcpu_count = 0;
	seen->niced = false;
}

bool load_process_time(struct load_job *seen, uint64_t *run, uint64_t *wait)
{
	unsigned i;

	*run = *wait = 0;
	if (seen->vcpu_count == 0)
		find_vcpus(seen);
	for (i = 0; i < seen->vcpu_count; i++) {
		g_autofree char *text = read_file(seen->pid, seen->vcpus[i], "schedstat",
						  NULL);
		uint64_t ran, waited;

		if (!text || !measure_schedstat(text, &ran, &waited))
			return false;
		*run += ran;
		*wait += waited;
	}
	return seen->vcpu_count > 0;
}

double load_process_resident(pid_t pid)
{
	g_autofree char *text = read_file(pid, 0, "statm", NULL);

	return text ? (double)measure_resident(text) * (double)sysconf(_SC_PAGESIZE) : 0;
}

int load_process_nice(double weight)
{
	double steps;

	if (!(weight > 0))
		return 19;
	steps = -log(weight) / log(1.25);
	return (int)fmin(fmax(steps + 0.5, 0), 19);
}

void load_process_weigh(struct load_job *seen, double weight)
{
	/* To what libvirt's daemon, and so all of QEMU, was started with. */
	int nice = MIN(getpriority(PRIO_PROCESS, (id_t)seen->pid) +
		       load_process_nice(weight), 19);
	unsigned i;

	if (seen->vcpu_count == 0)
		return;
	/* An agent before us may have changed it. */
	if (!seen->niced)
		seen->nice = getpriority(PRIO_PROCESS, (id_t)seen->vcpus[0]);
	seen->niced = true;
	if (nice == seen->nice)
		return;
	for (i = 0; i < seen->vcpu_count; i++)
		if (setpriority(PRIO_PROCESS, (id_t)seen->vcpus[i], nice) < 0) {
			g_info("cannot make job %ld nice: %s",
			       (long)seen->job->facts.pid, g_strerror(errno));
			break;
		}
	seen->nice = nice;
}
