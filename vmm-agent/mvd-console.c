/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-console.h"

#include "net/cleanup.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CONSOLE (1024 * 1024)
#define MAX_LINE 160

static const char *const reason_names[] = {
	[GONE_DESTROYED] = "destroyed",
	[GONE_SHUTDOWN] = "shutdown",
	[GONE_CRASHED] = "crashed",
	[GONE_PANIC] = "panic",
	[GONE_MEMORY] = "memory",
	[GONE_FAILED] = "failed",
	[GONE_UNKNOWN] = "unknown",
};
G_STATIC_ASSERT(G_N_ELEMENTS(reason_names) == GONE_COUNT);

const char *gone_reason_name(enum gone_reason reason)
{
	return reason_names[reason];
}

enum gone_reason gone_reason_find(const char *name)
{
	unsigned i;

	for (i = 0; i < GONE_COUNT; i++)
		if (strcmp(gone_reason_name(i), name) == 0)
			return i;
	return GONE_UNKNOWN;
}

char *console_tail(const char *path, size_t max)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
				 O_NONBLOCK);
	char *tail = g_malloc(max + 1);
	struct stat st;
	ssize_t n = 0, i;
	off_t from = 0;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if ((size_t)st.st_size > max)
			from = st.st_size - (off_t)max;
		n = pread(fd, tail, max, from);
	}
	if (n < 0)
		n = 0;
	for (i = 0; i < n; i++)
		if (tail[i] == '\0')
			tail[i] = ' ';
	tail[n] = '\0';
	return tail;
}

/* Up to the end of the line, only what is fit for a terminal. */
static char *copy_line(const char *from, size_t len)
{
	char *line = g_strndup(from, MIN(len, MAX_LINE));
	char *at;

	for (at = line; *at; at++)
		if (!g_ascii_isprint(*at))
			*at = '?';
	return g_strstrip(line);
}

char *console_last_line(const char *tail)
{
	size_t end = strlen(tail), start;

	while (end > 0 && g_ascii_isspace(tail[end - 1]))
		end--;
	start = end;
	while (start > 0 && tail[start - 1] != '\n' && tail[start - 1] != '\r')
		start--;
	return copy_line(tail + start, end - start);
}

enum gone_reason console_judge(const char *tail, char **text)
{
	static const char mark[] = "Kernel panic - not syncing: ";
	const char *at = strstr(tail, mark);
	g_autofree char *line = NULL;

	*text = NULL;
	if (!at)
		return GONE_UNKNOWN;
	line = copy_line(at + strlen(mark), strcspn(at + strlen(mark), "\r\n"));
	if (strstr(tail, "Out of memory") || strstr(tail, "out of memory") ||
	    strstr(tail, "deadlocked on memory") ||
	    strstr(tail, "Initramfs unpacking failed")) {
		*text = g_strdup_printf("the microVM ran out of memory (give it "
					"more with -m): %s", line);
		return GONE_MEMORY;
	}
	*text = g_strdup_printf("the microVM's kernel panicked: %s (if it "
				"happens again, try more memory with -m or "
				"another kernel, see mvd(8))", line);
	return GONE_PANIC;
}

void console_trim(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size > MAX_CONSOLE)
		(void)!truncate(path, 0);
}
