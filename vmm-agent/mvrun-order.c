/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvrun.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- the program ----------------------------------------------------------- */

/* 0 when it can be executed, else the errno that execve(2) would give. */
static int check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) ? errno : 0;
}

static int program_error(const char *name, int num, struct err *err)
{
	bool missing = num == ENOENT || num == ENOTDIR;

	err_set(err, num, "cannot execute '%s'", name);
	return missing ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}

static int search_path(const char *name, char **path)
{
	const char *at = getenv("PATH");
	int worst = ENOENT;

	if (!at)
		at = "/bin:/usr/bin";
	for (;;) {
		size_t len = strcspn(at, ":");
		char *candidate = NULL;
		int num;

		if (asprintf(&candidate, "%.*s%s%s", (int)len, at,
			     len ? "/" : "", name) < 0)
			return ENOMEM;
		num = check_program(candidate);
		if (!num) {
			*path = candidate;
			return 0;
		}
		free(candidate);
		if (num == EACCES)
			worst = EACCES;
		if (!at[len])
			return worst;
		at += len + 1;
	}
}

int order_find_program(const char *name, char **path, struct err *err)
{
	int num;

	if (!strchr(name, '/')) {
		num = *name ? search_path(name, path) : ENOENT;
	} else {
		num = check_program(name);
		if (!num)
			*path = strdup(name);
	}
	return num ? program_error(name, num, err) : 0;
}

/* ---- standard streams ---------------------------------------------------------- */

static bool is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* The file's name, if it has one by which the job can open it again. */
static bool find_stdin_path(struct mvrun_start *start, const struct stat *st)
{
	char *path = start->stdin_path;
	struct stat again;
	ssize_t len = readlink("/proc/self/fd/0", path,
			       sizeof(start->stdin_path) - 1);
	int flags = fcntl(0, F_GETFL) & (O_ACCMODE | O_APPEND | O_NOATIME);

	if (len <= 0)
		return false;
	path[len] = 0;
	if (!strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5) ||
	    !strncmp(path, "/dev/", 5))
		return false;
	cleanup_fd int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, &again) || again.st_dev != st->st_dev ||
	    again.st_ino != st->st_ino)
		return false;
	start->order.stdin_flags = (uint32_t)flags;
	return true;
}

static uint32_t stdio_kind(struct mvrun_start *start, int fd)
{
	struct stat st;
	off_t offset;

	if (fstat(fd, &st))
		return STDIO_CLOSED;
	if (isatty(fd))
		return STDIO_TTY;
	if (is_null_device(&st))
		return STDIO_NULL;
	if (fd != 0 || !S_ISREG(st.st_mode) || !find_stdin_path(start, &st))
		return STDIO_STREAM;
	offset = lseek(0, 0, SEEK_CUR);
	if (offset < 0)
		return STDIO_STREAM;
	start->order.stdin_offset = (uint64_t)offset;
	return STDIO_FILE;
}

/* Whether stderr is stdout's own open file, so that their order is one. */
static bool same_open_file(int a, int b)
{
	struct stat sa, sb;
	long same = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b);

	if (same >= 0)
		return same == 0;
	return !fstat(a, &sa) && !fstat(b, &sb) && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* A terminal that can be read: stdin, else the controlling one. */
static int open_terminal(const struct control_start *order)
{
	int fd;

	if (order->stdio[0] == STDIO_TTY)
		return fcntl(0, F_DUPFD_CLOEXEC, 3);
	fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return fcntl(order->stdio[1] == STDIO_TTY ? 1 : 2, F_DUPFD_CLOEXEC, 3);
}

static void gather_terminal(struct mvrun_start *start)
{
	struct control_start *order = &start->order;

	start->tty_fd = -1;
	for (int i = 0; i < 3; i++)
		if (order->stdio[i] == STDIO_TTY && start->tty_fd < 0 &&
		    !ttyname_r(i, start->tty_path, sizeof(start->tty_path)))
			start->tty_fd = open_terminal(order);
	order->tty_path = start->tty_path;
	if (start->tty_fd < 0 || tcgetattr(start->tty_fd, &start->termios))
		return;
	order->termios = (const uint8_t *)&start->termios;
	order->termios_size = sizeof(start->termios);
	tty_init(start->tty_fd, &start->termios);
	tty_size(&order->winsize);
}

static void gather_stdio(struct mvrun_start *start)
{
	struct control_start *order = &start->order;

	for (int i = 0; i < 3; i++)
		order->stdio[i] = stdio_kind(start, i);
	if (order->stdio[1] == STDIO_STREAM && order->stdio[2] == STDIO_STREAM &&
	    same_open_file(1, 2))
		order->stdio[2] = STDIO_SAME;
	order->stdin_path = start->stdin_path;
	gather_terminal(start);
}

/* ---- identity -------------------------------------------------------------------- */

static int gather_groups(struct control_start *order, struct err *err)
{
	int n = getgroups(0, NULL);

	order->groups = calloc((size_t)n + 1, sizeof(*order->groups));
	if (n < 0 || !order->groups)
		return err_set(err, errno, "cannot get the list of groups");
	n = getgroups(n, order->groups);
	if (n < 0)
		return err_set(err, errno, "cannot get the list of groups");
	order->ngroups = (uint32_t)n;
	return 0;
}

static uint64_t limit_value(rlim_t limit)
{
	return limit == RLIM_INFINITY ? CONTROL_NO_LIMIT : (uint64_t)limit;
}

static void gather_limits(struct control_start *order)
{
	for (unsigned i = 0; i < CONTROL_RLIMITS; i++) {
		struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

		getrlimit((__rlimit_resource_t)i, &limit);
		order->rlimit_cur[i] = limit_value(limit.rlim_cur);
		order->rlimit_max[i] = limit_value(limit.rlim_max);
	}
}

static void gather_signals(struct mvrun_start *start)
{
	struct sigaction old;

	sigprocmask(SIG_SETMASK, NULL, &start->signal_mask);
	for (int sig = 1; sig <= 64; sig++) {
		uint64_t bit = 1ull << (sig - 1);

		if (!sigaction(sig, NULL, &old) && old.sa_handler == SIG_IGN)
			start->order.ignored_signals |= bit;
		if (sigismember(&start->signal_mask, sig) == 1)
			start->order.blocked_signals |= bit;
	}
}

uint64_t order_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int order_gather(struct mvrun_start *start, char **argv, struct err *err)
{
	struct control_start *order = &start->order;
	mode_t mask = umask(0);

	umask(mask);
	order->pid = (uint32_t)getpid();
	order->uid = (uint32_t)geteuid();
	order->gid = (uint32_t)getegid();
	order->umask = (uint32_t)mask;
	errno = 0;
	order->nice = getpriority(PRIO_PROCESS, 0);
	gather_signals(start);
	gather_limits(order);
	gather_stdio(start);
	if (gather_groups(order, err))
		return -1;
	if (gethostname(start->hostname, sizeof(start->hostname) - 1))
		return err_set(err, errno, "cannot get the host's name");
	order->hostname = start->hostname;
	start->cwd = getcwd(NULL, 0);
	if (!start->cwd)
		return err_set(err, errno, "cannot get the working directory");
	order->cwd = start->cwd;
	order->program = start->program;
	order->argv = argv;
	order->envp = environ;
	return 0;
}

void order_free(struct mvrun_start *start)
{
	free(start->order.groups);
	free(start->cwd);
	free(start->program);
}
