/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does anybody want to read the terminal?
 *
 * A job shares its terminal at home with the rest of its pipeline and with the
 * shell: `mvrun find / | less` must not eat less's keystrokes, and what is typed
 * while `mvrun make` runs belongs to the next command. So home reads its terminal
 * only after a process of the job was seen waiting for input from the guest's.
 * No event tells: the kit looks, a few times a second until it is so, at which
 * system call each thread is blocked in. A terminal whose settings are no longer
 * line by line belongs to an interactive program and counts as wanted.
 *
 * This reads the memory of processes, which may have to come from home's files:
 * only the job's init may do it, never the kit.
 */
#include "guest-kit/kit.h"

#include "net/cleanup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define MAX_POLLED 256

struct blocked {
	int pid;
	long call;
	unsigned long args[3];
	int tty; /* number below /dev/pts */
};

static bool fd_is_tty(const struct blocked *b, int fd)
{
	char path[64], target[64], wanted[32];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", b->pid, fd);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return false;
	target[len] = 0;
	snprintf(wanted, sizeof(wanted), "/pts/%d", b->tty);
	len -= (ssize_t)strlen(wanted);
	return !strcmp(target, "/dev/tty") ||
	       (len >= 0 && !strcmp(target + len, wanted));
}

static bool read_memory(int pid, unsigned long address, void *to, size_t len)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && pread(fd, to, len, (off_t)address) == (ssize_t)len;
}

static bool polls_tty(const struct blocked *b)
{
	struct pollfd fds[MAX_POLLED];
	unsigned long n = b->args[1];

	if (!n || n > MAX_POLLED || !read_memory(b->pid, b->args[0], fds, n * sizeof(*fds)))
		return false;
	for (unsigned long i = 0; i < n; i++)
		if (fds[i].fd >= 0 && fds[i].events & POLLIN && fd_is_tty(b, fds[i].fd))
			return true;
	return false;
}

static bool selects_tty(const struct blocked *b)
{
	unsigned long n = b->args[0];
	fd_set set;

	FD_ZERO(&set);
	if (n > FD_SETSIZE)
		n = FD_SETSIZE;
	if (!b->args[1] || !read_memory(b->pid, b->args[1], &set, (n + 63) / 64 * 8))
		return false;
	for (int fd = 0; fd < (int)n; fd++)
		if (FD_ISSET(fd, &set) && fd_is_tty(b, fd))
			return true;
	return false;
}

static bool epolls_tty(const struct blocked *b)
{
	char path[64], line[128];
	bool found = false;
	int fd;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", b->pid, (int)b->args[0]);
	info = fopen(path, "re");
	while (info && !found && fgets(line, sizeof(line), info))
		found = sscanf(line, "tfd: %d", &fd) == 1 && fd_is_tty(b, fd);
	if (info)
		fclose(info);
	return found;
}

static bool waits_for_tty(const struct blocked *b)
{
	switch (b->call) {
	case SYS_read:
	case SYS_readv:
		return fd_is_tty(b, (int)b->args[0]);
#ifdef SYS_poll
	case SYS_poll:
#endif
	case SYS_ppoll:
		return polls_tty(b);
#ifdef SYS_select
	case SYS_select:
#endif
	case SYS_pselect6:
		return selects_tty(b);
#ifdef SYS_epoll_wait
	case SYS_epoll_wait:
#endif
	case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
	case SYS_epoll_pwait2:
#endif
		return epolls_tty(b);
	default:
		return false;
	}
}

static bool thread_waits(int pid, const char *tid, int tty)
{
	struct blocked b = { .pid = pid, .tty = tty };
	char path[320], line[256];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/syscall", pid, tid);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	len = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (len <= 0)
		return false;
	line[len] = 0; /* "running", or: number, arguments in hexadecimal */
	if (sscanf(line, "%ld %lx %lx %lx", &b.call, &b.args[0], &b.args[1],
		   &b.args[2]) != 4)
		return false;
	return waits_for_tty(&b);
}

static bool process_waits(int pid, int tty)
{
	char path[64];
	bool found = false;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir)))
		found = *entry->d_name != '.' && thread_waits(pid, entry->d_name, tty);
	if (dir)
		closedir(dir);
	return found;
}

bool tty_is_wanted(int tty, int number)
{
	struct termios settings;
	bool found = false;
	struct dirent *entry;
	DIR *dir;

	if (!tcgetattr(tty, &settings) && !(settings.c_lflag & ICANON))
		return true;
	dir = opendir("/proc");
	while (dir && !found && (entry = readdir(dir))) {
		int pid = atoi(entry->d_name);

		found = pid > 1 && process_waits(pid, number);
	}
	if (dir)
		closedir(dir);
	return found;
}
