/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts about a process from /proc. A PID alone names nobody, because it is
 * used again; PID and start time together do.
 */
#ifndef MV_MVD_PROCESS_H
#define MV_MVD_PROCESS_H

#include "net/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
	pid_t pid;
	uint64_t start; /* field 22 of /proc/PID/stat: clock ticks since boot */
	char state;     /* field 3: R, S, D, Z, T ... */
	uid_t uid;      /* effective */
};

/* Returns 0, or -1 when there is no such process (num ESRCH) or /proc fails. */
int process_read(pid_t pid, struct process *process, struct err *err);

/* Parse a line of /proc/PID/stat; exposed for tests. The command name in it may
 * hold anything, spaces and parentheses included. Fills state and start. */
int process_parse_stat(const char *line, struct process *process);

/*
 * A pidfd of the process that has this PID and this start time; -1 when it is
 * gone (num ESRCH).
 */
int process_open(pid_t pid, uint64_t start, struct err *err);

#endif
