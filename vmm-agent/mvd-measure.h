/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading what the kernel says about this node and its processes. All but
 * measure_speed() and measure_net_capacity() take a file's text: whatever is in it, the answer is a number
 * in its range, or "not known".
 */
#ifndef MV_MVD_MEASURE_H
#define MV_MVD_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#define MEASURE_UNKNOWN UINT64_MAX

/*
 * The directory of this process's control group that has the controller, from the texts of
 * /proc/self/cgroup and /proc/self/mountinfo; NULL when there is none to be
 * seen. *v2: it is one of the unified hierarchy. *top gets where that is mounted, if
 * not NULL; both are allocated.
 */
char *measure_cgroup(const char *cgroup, const char *mountinfo, const char *controller,
		     bool *v2, char **top);

/* CPUs that a cgroup v2's cpu.max allows; 0: no limit. */
double measure_cpu_max(const char *text);
/* The same of v1: cpu.cfs_quota_us and cpu.cfs_period_us. */
double measure_cfs_quota(const char *quota, const char *period);

/* A file that is one number; "max" and negative numbers are MEASURE_UNKNOWN. */
uint64_t measure_number(const char *text);
/* "NAME NUMBER" on a line of its own, or MEASURE_UNKNOWN. */
uint64_t measure_key(const char *text, const char *name);

/* Of a pressure file: the share of the last ten seconds in which all tasks waited. */
double measure_pressure(const char *text);

/* /proc/stat: CPU time that was used, in ticks, all processors together; and how
 * many tasks can run. False when it is not understood. */
bool measure_stat(const char *text, uint64_t *busy, unsigned *running);

/* /proc/PID/task/TID/schedstat, ns: time on a processor, time waited for one. */
bool measure_schedstat(const char *text, uint64_t *run, uint64_t *wait);
/* /proc/PID/task/TID/comm of QEMU: is it a virtual processor's thread? */
bool measure_is_vcpu(const char *comm);
/* /proc/PID/statm: resident pages; 0: not known. */
uint64_t measure_resident(const char *text);
/* /proc/PID/cmdline, `len` bytes: the value of an option, or NULL. */
const char *measure_option(const char *cmdline, unsigned long len, const char *option);
/* /proc/PID/io: bytes that the process passed on: read, or written, whichever is more. */
uint64_t measure_io(const char *text);

/* /proc/net/dev: bytes in and out, all interfaces but the loopback. */
uint64_t measure_net(const char *text);

/* Bytes/s that the fastest interface with a device carries, as drivers say in /sys/class/net,
 * which is `dir`; 0: none says it, as in most virtual machines. */
double measure_net_capacity(const char *dir);

/*
 * The speed of a processor relative to the reference: a fixed piece of work,
 * timed by the CPU time that it took, so that a busy node is not measured as a
 * slow one. Some fifty milliseconds of CPU time.
 */
double measure_speed(void);

#endif
