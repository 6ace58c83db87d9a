/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The job's init: PID 1 of the job's PID namespace, in its mount namespace.
 *
 * It mounts home's root, moves it to /, starts the program with everything it
 * had at home, reaps orphans, passes signals on, and, when the first process has
 * ended, ends the others, writes back what is dirty and reports.
 */
#include "guest-kit/kit.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ROOT "/home"
/* How long what the first process left behind may go on: long enough for a
 * `>(tee log)` to finish, short enough not to be taken for a hang. */
#define LEFTOVER_MS 1000
#define TTY_LOOK_MS 100
#define KIT_MAX_FD 256 /* the kit has some ten */

struct init {
	const struct init_job *job;
	int signal_fd;
	int stdin_file; /* STDIO_FILE: kept to read the offset at the end */
	pid_t first;
	bool first_ended, left_hup, left_kill;
	int64_t ended_at;
	int tty; /* -1: none, or already seen to be wanted */
	struct control_exit exit;
	struct guard guard;
};

static void report_send(const struct init *init, const struct report *report)
{
	while (send(init->job->report_fd, report, sizeof(*report),
		    MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static void report(const struct init *init, enum report_kind kind, uint32_t a,
		   uint32_t b, const char *text)
{
	struct report r = { .kind = kind, .a = a, .b = b };

	if (text)
		snprintf(r.text, sizeof(r.text), "%s", text);
	report_send(init, &r);
}

/* A step that must work: report and end the job's namespace. */
static void fail(const struct init *init, const char *what)
{
	report(init, REPORT_FAILED, (uint32_t)errno, 0, what);
	_exit(1);
}

/* ---- the job's view of the file system ------------------------------------ */

static void mount_home(struct init *init)
{
	const struct control_start *start = init->job->start;
	unsigned long flags = MS_NODEV;
	char data[160];

	/* Root's job has its permissions checked by the guest's kernel, which
	 * knows its processes' credentials; a user's by home's kernel, which
	 * knows the user. Set-uid programs would give a user nothing at home. */
	snprintf(data, sizeof(data),
		 "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other,max_read=1048576%s",
		 init->job->fuse_fd, start->uid ? "" : ",default_permissions");
	if (start->uid)
		flags |= MS_NOSUID;
	if (mount("home", ROOT, "fuse.monovisor", flags, data))
		fail(init, "cannot mount home's files");
	close(init->job->fuse_fd);
	report(init, REPORT_MOUNTED, 0, 0, NULL);
}

static void make_node(const char *name, mode_t mode, unsigned major_number,
		      unsigned minor_number)
{
	char path[64];

	snprintf(path, sizeof(path), ROOT "/dev/%s", name);
	mknod(path, S_IFCHR | mode, makedev(major_number, minor_number));
	chmod(path, mode);
}

static void fill_dev(const struct init *init)
{
	make_node("null", 0666, 1, 3);
	make_node("zero", 0666, 1, 5);
	make_node("full", 0666, 1, 7);
	make_node("random", 0666, 1, 8);
	make_node("urandom", 0666, 1, 9);
	make_node("tty", 0666, 5, 0);
	make_node("fuse", 0666, 10, 229);
	if (symlink("pts/ptmx", ROOT "/dev/ptmx") ||
	    symlink("/proc/self/fd", ROOT "/dev/fd") ||
	    symlink("/proc/self/fd/0", ROOT "/dev/stdin") ||
	    symlink("/proc/self/fd/1", ROOT "/dev/stdout") ||
	    symlink("/proc/self/fd/2", ROOT "/dev/stderr") ||
	    mkdir(ROOT "/dev/pts", 0755) || mkdir(ROOT "/dev/shm", 01777) ||
	    mkdir(ROOT "/dev/mqueue", 01777))
		fail(init, "cannot fill /dev");
	if (mount("/dev/pts", ROOT "/dev/pts", NULL, MS_BIND, NULL) ||
	    mount("shm", ROOT "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"))
		fail(init, "cannot mount /dev/pts and /dev/shm");
	mount("mqueue", ROOT "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV, NULL);
}

/* The guest's own /proc, /sys and /dev, where home has these directories. */
static void mount_own(const struct init *init)
{
	if (mount("proc", ROOT "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  NULL))
		fail(init, "cannot mount /proc");
	if (mount("sysfs", ROOT "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  NULL) && errno != ENOENT)
		fail(init, "cannot mount /sys");
	if (mount("dev", ROOT "/dev", "tmpfs", MS_NOSUID, "mode=0755"))
		fail(init, "cannot mount /dev");
	fill_dev(init);
}

static void enter_home(struct init *init)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail(init, "cannot make mounts private");
	mount_home(init);
	mount_own(init);
	if (chdir(ROOT) || mount(ROOT, "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		fail(init, "cannot enter home's root");
}

/* ---- the first process ------------------------------------------------------ */

/* In the child, before exec: failures go to the parent through the pipe. */
struct exec_failure {
	int num;
	bool exec;
	char what[200];
};

static void child_fail(int fd, const char *what, bool exec)
{
	struct exec_failure failure = { .num = errno, .exec = exec };

	snprintf(failure.what, sizeof(failure.what), "%s", what);
	if (write(fd, &failure, sizeof(failure)) < 0)
		_exit(125);
	_exit(126);
}

static void child_limits(const struct control_start *start)
{
	for (unsigned i = 0; i < CONTROL_RLIMITS && i < RLIM_NLIMITS; i++) {
		struct rlimit limit = {
			start->rlimit_cur[i] == CONTROL_NO_LIMIT ?
				RLIM_INFINITY : start->rlimit_cur[i],
			start->rlimit_max[i] == CONTROL_NO_LIMIT ?
				RLIM_INFINITY : start->rlimit_max[i],
		};

		/* What this kernel does not have it cannot limit either. */
		setrlimit((__rlimit_resource_t)i, &limit);
	}
}

/* The kit is exempt from the out-of-memory killer; its job is not. */
static void child_oom_score(void)
{
	cleanup_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "0", 1) != 1)
		return;
}

static void child_identity(const struct control_start *start, int fail_fd)
{
	child_oom_score();
	setpriority(PRIO_PROCESS, 0, start->nice);
	child_limits(start);
	if (syscall(SYS_setgroups, (size_t)start->ngroups, start->groups) ||
	    syscall(SYS_setresgid, start->gid, start->gid, start->gid) ||
	    syscall(SYS_setresuid, start->uid, start->uid, start->uid))
		child_fail(fail_fd, "cannot take the user's identity", false);
	umask((mode_t)start->umask & 0777);
	prctl(PR_SET_DUMPABLE, 1);
}

static void child_stdio(const struct init *init, int fail_fd)
{
	int from[3];

	/* Lift all above 2 first: a pipe may have been given a low number. */
	for (int i = 0; i < 3; i++) {
		from[i] = init->job->stdio[i];
		if (from[i] >= 0)
			from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 16);
	}
	for (int i = 0; i < 3; i++) {
		uint32_t kind = init->job->start->stdio[i];

		if (kind == STDIO_NULL) {
			close(i);
			if (open("/dev/null", O_RDWR) != i)
				child_fail(fail_fd, "cannot open /dev/null", false);
		} else if (kind == STDIO_CLOSED) {
			close(i);
		} else if (from[i] < 0 || dup2(from[i], i) != i) {
			child_fail(fail_fd, "cannot set up the standard streams",
				   false);
		}
	}
}

/*
 * A process group of its own in the init's session, as a shell would make it:
 * a group whose leader's parent is in another session is orphaned, and the
 * kernel does not stop orphaned groups at Ctrl-Z.
 */
static void child_terminal(const struct init *init)
{
	pid_t self = getpid();

	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	for (int i = 0; i < 3; i++)
		if (init->job->start->stdio[i] == STDIO_TTY) {
			tcsetpgrp(i, self);
			return;
		}
}

static void child_signals(const struct control_start *start)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t blocked;

	sigemptyset(&blocked);
	for (int sig = 1; sig <= 64; sig++) {
		uint64_t bit = 1ull << (sig - 1);

		plain.sa_handler = start->ignored_signals & bit ? SIG_IGN : SIG_DFL;
		sigaction(sig, &plain, NULL);
		if (start->blocked_signals & bit)
			sigaddset(&blocked, sig);
	}
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* What execvp(3) does with a script that has no interpreter line. */
static void exec_script(const struct control_start *start)
{
	size_t n = 0;

	while (start->argv[n])
		n++;

	char **argv = calloc(n + 2, sizeof(*argv));

	if (!argv)
		return;
	argv[0] = (char *)"sh";
	argv[1] = (char *)start->program;
	memcpy(argv + 2, start->argv + 1, n * sizeof(*argv));
	execve("/bin/sh", argv, start->envp);
}

static void child_enter(const char *cwd, int fail_fd)
{
	char what[200];

	if (!chdir(cwd))
		return;
	snprintf(what, sizeof(what), "cannot enter the directory %s", cwd);
	child_fail(fail_fd, what, false);
}

static void child_main(const struct init *init, int fail_fd)
{
	const struct control_start *start = init->job->start;

	child_stdio(init, fail_fd);
	child_terminal(init);
	child_identity(start, fail_fd);
	child_enter(start->cwd, fail_fd);
	child_signals(start);
	execve(start->program, start->argv, start->envp);
	if (errno == ENOEXEC)
		exec_script(start);
	child_fail(fail_fd, start->program, true);
}

/* clone3 with home's PID; any PID where that one cannot be had. */
static pid_t spawn(uint32_t wanted)
{
	pid_t set_tid = (pid_t)wanted;
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&set_tid,
		.set_tid_size = wanted > 1 ? 1 : 0,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid >= 0 || wanted <= 1)
		return pid;
	return spawn(0);
}

/* The file that is stdin at home, when its name still leads to it. */
static void open_stdin_file(struct init *init)
{
	const struct control_start *start = init->job->start;
	struct stat st;

	if (start->stdio[0] != STDIO_FILE || init->job->stdio[0] >= 0)
		return;
	init->stdin_file = open(start->stdin_path,
				(int)start->stdin_flags | O_CLOEXEC | O_NOCTTY);
	if (init->stdin_file < 0 || fstat(init->stdin_file, &st) ||
	    !S_ISREG(st.st_mode) ||
	    lseek(init->stdin_file, (off_t)start->stdin_offset, SEEK_SET) < 0)
		fail(init, "cannot open standard input's file");
}

static void take_terminal(struct init *init, const struct init_job *job)
{
	setsid();
	for (int i = 0; i < 3; i++)
		if (job->start->stdio[i] == STDIO_TTY) {
			ioctl(job->stdio[i], TIOCSCTTY, 0);
			init->tty = fcntl(job->stdio[i], F_DUPFD_CLOEXEC, 3);
			return;
		}
}

static void start_first(struct init *init, struct init_job *job)
{
	struct exec_failure failure;
	int fds[2], lifted;
	ssize_t n;

	take_terminal(init, job);
	open_stdin_file(init);
	if (init->stdin_file >= 0)
		job->stdio[0] = init->stdin_file;
	if (pipe2(fds, O_CLOEXEC))
		fail(init, "cannot make a pipe");
	/* Out of the way of 0, 1 and 2. */
	lifted = fcntl(fds[1], F_DUPFD_CLOEXEC, 64);
	close(fds[1]);
	init->first = spawn(job->start->pid);
	if (init->first < 0)
		fail(init, "cannot start a process");
	if (!init->first)
		child_main(init, lifted);
	close(lifted);
	while ((n = read(fds[0], &failure, sizeof(failure))) < 0 && errno == EINTR)
		;
	close(fds[0]);
	if (n == sizeof(failure)) {
		report(init, REPORT_FAILED, (uint32_t)failure.num, failure.exec,
		       failure.what);
		_exit(1);
	}
	report(init, REPORT_STARTED, 0, 0, NULL);
}

/* ---- life ------------------------------------------------------------------ */

static uint32_t oom_kills(void)
{
	char line[128];
	unsigned count = 0;
	FILE *file = fopen("/proc/vmstat", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "oom_kill %u", &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

static void first_exited(struct init *init, int status, const struct rusage *ru)
{
	init->first_ended = true;
	init->ended_at = now_ms();
	init->exit.status = (uint32_t)status;
	init->exit.user_us = (uint64_t)ru->ru_utime.tv_sec * 1000000 +
			     (uint64_t)ru->ru_utime.tv_usec;
	init->exit.system_us = (uint64_t)ru->ru_stime.tv_sec * 1000000 +
			       (uint64_t)ru->ru_stime.tv_usec;
	init->exit.max_rss_kib = (uint64_t)ru->ru_maxrss;
}

/* Collect everything that changed. Returns false when no child is left. */
static bool reap(struct init *init)
{
	struct rusage ru;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED, &ru)) > 0) {
		if (pid != init->first)
			continue;
		if (WIFSTOPPED(status))
			report(init, REPORT_STOPPED, (uint32_t)WSTOPSIG(status), 0,
			       NULL);
		else if (WIFCONTINUED(status))
			report(init, REPORT_CONTINUED, 0, 0, NULL);
		else
			first_exited(init, status, &ru);
	}
	return !(pid < 0 && errno == ECHILD);
}

static void pass_signal(const struct init *init, const struct report *r)
{
	if (r->a < 1 || r->a > 64 || init->first_ended)
		return;
	/* The first process leads a group of its own. */
	kill(r->b == SIGNAL_PROCESS ? init->first : -init->first, (int)r->a);
}

/*
 * What was read from home and not changed can be read again where the guest goes,
 * if it is needed there at all. Pages that are free are zero (init_on_free), and
 * those are not sent.
 */
static void forget_clean_pages(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, "1", 1);
	close(fd);
}

static void take_order(const struct init *init, const struct report *r)
{
	if (r->kind == REPORT_SIGNAL)
		pass_signal(init, r);
	else if (r->kind == REPORT_TRIM)
		forget_clean_pages();
}

static int look_at_terminal(struct init *init)
{
	if (init->tty < 0)
		return -1;
	if (!tty_is_wanted(init->tty, init->job->tty_number))
		return TTY_LOOK_MS;
	report(init, REPORT_TTY_WANTED, 0, 0, NULL);
	close(init->tty);
	init->tty = -1;
	return -1;
}

/* What is due now; returns how long poll may wait for the next, in ms. */
static int do_due(struct init *init)
{
	int64_t age;

	if (!init->first_ended)
		return look_at_terminal(init);
	age = now_ms() - init->ended_at;
	if (age >= 2 * LEFTOVER_MS && !init->left_kill) {
		init->left_kill = true;
		kill(-1, SIGKILL);
	} else if (age >= LEFTOVER_MS && !init->left_hup) {
		init->left_hup = true;
		kill(-1, SIGHUP);
		kill(-1, SIGCONT);
	}
	return 50;
}

static void live(struct init *init)
{
	struct pollfd fds[3] = {
		{ .fd = init->signal_fd, .events = POLLIN },
		{ .fd = init->job->report_fd, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	struct report r;

	while (reap(init)) {
		fds[2] = (struct pollfd){ init->guard.pressure, POLLPRI, 0 };
		if (poll(fds, 3, do_due(init)) < 0)
			continue;
		if (fds[0].revents & POLLIN &&
		    read(init->signal_fd, &info, sizeof(info)) < 0)
			continue;
		if (fds[1].revents & POLLIN &&
		    recv(init->job->report_fd, &r, sizeof(r), MSG_DONTWAIT) ==
			    sizeof(r))
			take_order(init, &r);
		guard_run(&init->guard, fds[2].revents);
		if (fds[1].revents & (POLLHUP | POLLERR))
			_exit(1); /* the kit is gone, and the guest with it */
	}
}

static void finish(struct init *init)
{
	struct report r = { .kind = REPORT_EXIT };
	cleanup_fd int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (init->stdin_file >= 0)
		init->exit.stdin_offset =
			(uint64_t)lseek(init->stdin_file, 0, SEEK_CUR);
	/* Pages of shared mappings that nobody has written back yet. */
	if (root >= 0 && syncfs(root)) {
		char text[200];

		snprintf(text, sizeof(text),
			 "not all that was written to mapped files is at home: %s",
			 strerror(errno));
		report(init, REPORT_NOTE, 0, 0, text);
	}
	init->exit.oom_kills = oom_kills();
	r.exit = init->exit;
	report_send(init, &r);
}

/* The kit's own descriptors: a copy of a pipe's other end here would keep the
 * job from ever seeing its end of file. */
static void close_others(const struct init_job *job)
{
	for (int fd = 0; fd < KIT_MAX_FD; fd++)
		if (fd != job->report_fd && fd != job->fuse_fd &&
		    fd != job->stdio[0] && fd != job->stdio[1] &&
		    fd != job->stdio[2])
			close(fd);
}

void init_main(const struct init_job *borrowed)
{
	struct init_job job = *borrowed;
	struct init init = { .job = &job, .stdin_file = -1, .tty = -1 };
	sigset_t set;

	prctl(PR_SET_NAME, "job-init");
	prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0); /* the kit's privilege */
	close_others(&job);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
	init.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (init.signal_fd < 0)
		fail(&init, "cannot watch for signals");
	guard_open(&init.guard);
	enter_home(&init);
	start_first(&init, &job);
	for (int i = 0; i < 3; i++)
		if (job.stdio[i] >= 0 && job.stdio[i] != init.stdin_file)
			close(job.stdio[i]);
	live(&init);
	finish(&init);
	_exit(0);
}
