/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A mvrun that is killed with -9 can restore nothing. So before it makes the
 * terminal raw it forks a keeper, which waits at a pipe that only mvrun can write
 * to: a byte means that all is well, its end alone that mvrun is dead. The keeper
 * is nobody's child, in a process group of its own, and blocks all signals as
 * mvrun does, so that what is sent to the job's group does not reach it.
 */
#include "vmm-agent/mvrun.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
	int fd;
	struct termios saved;
	volatile sig_atomic_t raw;
	volatile sig_atomic_t keeper; /* our end of its pipe, -1: none */
} tty = { .fd = -1, .keeper = -1 };

void tty_init(int fd, const struct termios *settings)
{
	tty.fd = fd;
	tty.saved = *settings;
}

bool tty_foreground(void)
{
	return tty.fd >= 0 && tcgetpgrp(tty.fd) == getpgrp();
}

static void close_all_but(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;

	if (low > 0)
		close_range(0, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range((unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0u, 0);
}

/* A shell may have its own settings by now: only ours are undone. */
static bool is_as_we_made_it(const struct termios *raw)
{
	struct termios now;

	return !tcgetattr(tty.fd, &now) && now.c_iflag == raw->c_iflag &&
	       now.c_oflag == raw->c_oflag && now.c_lflag == raw->c_lflag;
}

/* Other threads may hold locks of libc's: system calls only. */
static void keep(int pipe_end, const struct termios *raw)
{
	ssize_t n;
	char byte;

	setpgid(0, 0);
	prctl(PR_SET_NAME, "mvrun-tty");
	close_all_but(pipe_end, tty.fd);
	while ((n = read(pipe_end, &byte, 1)) < 0 && errno == EINTR)
		;
	if (n == 0 && is_as_we_made_it(raw))
		tcsetattr(tty.fd, TCSANOW, &tty.saved);
	_exit(0);
}

/* Without one, for want of processes, the terminal works all the same. */
static void start_keeper(const struct termios *raw)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return;
	pid = fork();
	if (pid == 0) {
		if (fork() == 0)
			keep(fds[0], raw);
		_exit(0);
	}
	close(fds[0]);
	tty.keeper = fds[1];
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void end_keeper(void)
{
	int fd = tty.keeper;

	tty.keeper = -1;
	if (fd < 0)
		return;
	/* SIGPIPE is blocked; a keeper that was killed needs no word. */
	if (write(fd, "", 1) != 1 && errno != EPIPE)
		return;
	close(fd);
}

bool tty_raw(void)
{
	struct termios raw = tty.saved;

	if (!tty_foreground())
		return false;
	if (tty.raw)
		return true;
	cfmakeraw(&raw);
	start_keeper(&raw);
	/* A program's output is processed by the guest's terminal. */
	if (tcsetattr(tty.fd, TCSADRAIN, &raw)) {
		end_keeper();
		return false;
	}
	tty.raw = 1;
	return true;
}

void tty_restore(void)
{
	if (!tty.raw)
		return;
	/* SIGTTOU is blocked: this works from the background as well. */
	tcsetattr(tty.fd, TCSADRAIN, &tty.saved);
	tty.raw = 0;
	end_keeper();
}

bool tty_is_raw(void)
{
	return tty.raw;
}

bool tty_size(struct winsize_order *size)
{
	struct winsize ws;

	if (tty.fd < 0 || ioctl(tty.fd, TIOCGWINSZ, &ws))
		return false;
	*size = (struct winsize_order){ ws.ws_row, ws.ws_col, ws.ws_xpixel,
					ws.ws_ypixel };
	return true;
}
