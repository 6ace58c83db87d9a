/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A guest has no swap. A job that slowly uses up its memory does not fail: the
 * kernel drops pages of programs and reads them again from home, over and over,
 * and as each round frees something its OOM killer sees no reason to act. In the
 * end the kit itself waits for a page; whoever could free one waits for the kit.
 *
 * So job-init watches. The kernel reports, by POLLPRI, each second of which tasks
 * spent GUARD_STALL_US waiting for memory. When that goes on for GUARD_PATIENCE_MS
 * with next to nothing that the kernel could still take back, job-init asks for
 * the OOM killer (SysRq f), which chooses as always and counts as always.
 *
 * Reading files much larger than the guest's memory stalls for a fifth of the
 * time at most, and a job that needs nearly all memory but does not wait for it
 * makes no report; neither is killed.
 *
 * Everything is opened before there is a job. In the end a path could lead to home,
 * through the kit, and a buffer could cost a page.
 */
#include "guest-kit/kit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUARD_STALL_US 400000
#define GUARD_WINDOW_US 1000000
#define GUARD_PATIENCE_MS 10000
/* Reports come once a window while it goes on; a longer pause ended it. */
#define GUARD_PAUSE_MS 3000
/* Little: a sixteenth of the memory, and of a large one not more than this. */
#define GUARD_LITTLE_SHARE 16
#define GUARD_LITTLE_MAX_KIB (256 * 1024)

static uint64_t field_of(const char *meminfo, const char *name)
{
	const char *at = strstr(meminfo, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

bool guard_is_little(const char *meminfo)
{
	uint64_t total = field_of(meminfo, "MemTotal:");
	uint64_t little = total / GUARD_LITTLE_SHARE;

	if (little > GUARD_LITTLE_MAX_KIB)
		little = GUARD_LITTLE_MAX_KIB;
	return field_of(meminfo, "MemAvailable:") < little;
}

bool guard_stalled(struct guard *guard, int64_t now, bool little)
{
	bool anew = !guard->since || now - guard->last > GUARD_PAUSE_MS;

	guard->last = now;
	if (!little)
		guard->since = 0;
	else if (anew)
		guard->since = now;
	if (!guard->since || now - guard->since < GUARD_PATIENCE_MS)
		return false;
	guard->since = 0;
	return true;
}

static bool memory_is_little(const struct guard *guard)
{
	char text[2048];
	ssize_t n = pread(guard->meminfo, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return n > 0 && guard_is_little(text);
}

void guard_close(struct guard *guard)
{
	int *fds[] = { &guard->pressure, &guard->meminfo, &guard->sysrq };

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

void guard_open(struct guard *guard)
{
	char trigger[64];

	*guard = (struct guard){
		.pressure = open("/proc/pressure/memory",
				 O_RDWR | O_NONBLOCK | O_CLOEXEC),
		.meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC),
		.sysrq = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC),
	};
	snprintf(trigger, sizeof(trigger), "some %d %d", GUARD_STALL_US,
		 GUARD_WINDOW_US);
	if (guard->pressure >= 0 && guard->meminfo >= 0 && guard->sysrq >= 0 &&
	    write(guard->pressure, trigger, strlen(trigger) + 1) > 0) {
		memory_is_little(guard); /* allocates the file's buffer */
		return;
	}
	kit_say("monovisor-kit: no watch for want of memory: %s (the guest's kernel needs CONFIG_PSI and CONFIG_MAGIC_SYSRQ)",
		strerror(errno));
	guard_close(guard);
}

void guard_run(struct guard *guard, short revents)
{
	if (revents & POLLERR)
		guard_close(guard);
	else if (revents & POLLPRI &&
		 guard_stalled(guard, now_ms(), memory_is_little(guard)) &&
		 write(guard->sysrq, "f", 1) != 1)
		guard_close(guard);
}
