/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-process.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define STAT_SIZE 1024
#define STATUS_SIZE 4096

/* Read a small file of /proc/PID; a process that ended is ESRCH. */
static int read_proc(pid_t pid, const char *name, char *text, size_t size,
		     struct err *err)
{
	cleanup_fd int fd = -1;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno == ENOENT ? ESRCH : errno,
			       "cannot read %s", path);
	n = read(fd, text, size - 1);
	if (n <= 0)
		return err_set(err, n < 0 ? errno : ESRCH, "cannot read %s",
			       path);
	text[n] = '\0';
	return 0;
}

int process_parse_stat(const char *line, struct process *process)
{
	const char *at = strrchr(line, ')');
	unsigned long long start;
	char state;

	if (!at)
		return -1;
	/* After the name: state (3), eighteen fields to skip, start time (22). */
	if (sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %*s %*s %*s %*s %llu", &state, &start) != 2)
		return -1;
	process->state = state;
	process->start = start;
	return 0;
}

static int parse_uid(const char *status, struct process *process)
{
	const char *line = strstr(status, "\nUid:");
	unsigned effective;

	if (!line || sscanf(line + 5, "%*u %u", &effective) != 1)
		return -1;
	process->uid = effective;
	return 0;
}

int process_read(pid_t pid, struct process *process, struct err *err)
{
	char stat[STAT_SIZE], status[STATUS_SIZE];

	memset(process, 0, sizeof(*process));
	process->pid = pid;
	if (pid <= 0)
		return err_set(err, ESRCH, "the process is in another PID "
			       "namespace");
	if (read_proc(pid, "stat", stat, sizeof(stat), err) < 0 ||
	    read_proc(pid, "status", status, sizeof(status), err) < 0)
		return -1;
	if (process_parse_stat(stat, process) < 0 ||
	    parse_uid(status, process) < 0)
		return err_set(err, EPROTO, "cannot understand /proc/%ld",
			       (long)pid);
	return 0;
}

int process_open(pid_t pid, uint64_t start, struct err *err)
{
	cleanup_fd int fd = -1;
	struct process process;

	/* The descriptor first: what is read afterwards is about the process it
	 * holds, or the process is gone and its number may be another's. */
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return err_set(err, errno, "cannot watch process %ld",
			       (long)pid);
	if (process_read(pid, &process, err) < 0)
		return -1;
	if (process.start != start || process.state == 'Z' ||
	    process.state == 'X')
		return err_set(err, ESRCH, "process %ld is gone", (long)pid);
	return steal_fd(&fd);
}
