/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same calls in two directories must have the same results. A scenario is a
 * function that works in the current directory and writes down what it gets; it
 * is run natively first, then on the mounted file system, and the two records
 * must be equal, letter by letter.
 */
#ifndef MV_TESTS_FILES_TRACE_H
#define MV_TESTS_FILES_TRACE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

struct scenario {
	const char *name;
	void (*run)(void);
};

/* All scenarios of a file; ends with a NULL name. */
extern const struct scenario name_scenarios[];
extern const struct scenario data_scenarios[];
extern const struct scenario attr_scenarios[];
extern const struct scenario lock_scenarios[];

/* Append to the record. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
long say_result(const char *call, long result, int error);

/* The value and, when it is -1, the errno of a call. */
#define CALL(expr)                                        \
	({                                                \
		errno = 0;                                \
		long call_result_ = (long)(expr);         \
		say_result(#expr, call_result_, errno);   \
	})

/* For calls whose value differs by nature (descriptors, addresses). */
#define OPEN(expr)                                                       \
	({                                                               \
		errno = 0;                                               \
		int open_result_ = (expr);                               \
		say_result(#expr, open_result_ < 0 ? -1 : 0, errno);     \
		open_result_;                                            \
	})

/* What stat shows of a path (not followed) or of a descriptor. */
void say_path(const char *path);
void say_fd(int fd);
/* Length and checksum of a file's contents; reads through a descriptor. */
void say_contents(const char *path);
/* The names in a directory, sorted, with their types. */
void say_names(const char *path);

void put(const char *path, const char *text);
void fill_pattern(uint8_t *bytes, size_t len, unsigned seed);

/* Run in a child process; its end is in the record. */
void in_child(void (*run)(void));

#endif
