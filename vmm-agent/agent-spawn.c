/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/agent-spawn.h"

#include "net/cleanup.h"
#include "vmm-agent/agent-paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#define SPAWN_WAIT_MS 30000

/*
 * In the child. The agent must not inherit what belongs to the job: open files,
 * the terminal, blocked or ignored signals. Its complaints go to `report`
 * until it listens; then it writes to its own log.
 */
static void become_agent(const char *mvd, int report)
{
	char *const argv[] = {
		(char *)"mvd", (char *)"--daemonize",
		geteuid() == 0 ? NULL : (char *)"--session", NULL
	};
	sigset_t none;
	int null, sig;

	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The pipe may have one of the three standard numbers. */
	report = fcntl(report, F_DUPFD, 3);
	null = open("/dev/null", O_RDWR);
	if (report < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(report, 2) < 0)
		_exit(127);
	close_range(3, ~0u, 0);
	setsid();
	if (chdir("/") == 0)
		execv(mvd, argv);
	_exit(127);
}

/* Collect the tail of what the child says until it closes its end. */
static int read_report(int fd, char *text, size_t size)
{
	int64_t deadline = agent_now_ms() + SPAWN_WAIT_MS;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	text[0] = '\0';
	for (;;) {
		int64_t left = deadline - agent_now_ms();

		if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
			return -1;
		if (used == size - 1) {
			memmove(text, text + size / 2, used - size / 2);
			used -= size / 2;
		}
		n = read(fd, text + used, size - 1 - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		used += (size_t)n;
		text[used] = '\0';
	}
}

/* The last non-empty line, without the "mvd: " it begins with. */
static const char *last_line(char *text)
{
	size_t len = strlen(text);
	char *line;

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	return strncmp(line, "mvd: ", 5) == 0 ? line + 5 : line;
}

static int wait_child(pid_t child, int report, struct err *err)
{
	char text[1024];
	int status;

	if (read_report(report, text, sizeof(text)) < 0) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		return err_set(err, ETIMEDOUT, "the agent does not start");
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (text[0])
		return err_set(err, 0, "cannot start an agent: %s",
			       last_line(text));
	return err_set(err, 0, "cannot start an agent: mvd failed");
}

int agent_spawn(struct err *err)
{
	cleanup_fd int in = -1, out = -1;
	char mvd[PATH_MAX];
	int ends[2];
	pid_t child;

	if (agent_find_program("mvd", "vmm-agent", mvd, sizeof(mvd)) < 0)
		return err_set(err, 0, "no agent runs on this node and mvd is "
			       "not installed");
	if (geteuid() == 0 && !agent_libvirt_runs())
		return err_set(err, 0, "no agent runs on this node and none can "
			       "be started: libvirtd does not run (start "
			       "libvirtd, then mvd, see mvd(8))");
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, errno, "cannot start an agent");
	in = ends[0];
	out = ends[1];
	child = fork();
	if (child < 0)
		return err_set(err, errno, "cannot start an agent");
	if (child == 0)
		become_agent(mvd, out);
	close(steal_fd(&out));
	return wait_child(child, in, err);
}
