/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest's console tells about its end. The text is the guest's: hostile.
 */
#ifndef MV_MVD_CONSOLE_H
#define MV_MVD_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

/* The kit writes this when it is up and waits for its deputy. */
#define CONSOLE_WAITING "monovisor-kit: waiting"

enum gone_reason {
	GONE_DESTROYED,
	GONE_SHUTDOWN,
	GONE_CRASHED,
	GONE_PANIC,
	GONE_MEMORY,
	GONE_FAILED,
	GONE_UNKNOWN,
	GONE_COUNT
};
const char *gone_reason_name(enum gone_reason reason);
/* GONE_UNKNOWN when there is none of this name. */
enum gone_reason gone_reason_find(const char *name);

/* The last `max` bytes of a file at most, each NUL replaced by a space; "" when
 * there is no such file. Never NULL. */
char *console_tail(const char *path, size_t max);

/*
 * Look for a kernel's panic in the tail of a console. Returns GONE_PANIC,
 * GONE_MEMORY, or GONE_UNKNOWN when there is none, with a sentence that says
 * what to do in *text (NULL for GONE_UNKNOWN).
 */
enum gone_reason console_judge(const char *tail, char **text);

/* The last line that is not empty, in printable ASCII and of bounded length. */
char *console_last_line(const char *tail);

/* Empty a console that has grown beyond its bound. */
void console_trim(const char *path);

#endif
