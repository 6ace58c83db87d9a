/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One error: what was tried, on what, and why.
 *
 * Functions that can fail take a `struct err *` last, fill it once at the place
 * where the failure is seen, and return -1 (or NULL). They never print. Only
 * main() prints, once. A NULL error is allowed and discards the text.
 */
#ifndef MV_NET_ERR_H
#define MV_NET_ERR_H

#include <stdarg.h>

struct err {
	int num;        /* errno value, 0 when the failure has none */
	char text[480]; /* one line, without newline or program name */
};

/*
 * Set the error to the formatted text, followed by ": strerror(num)" when num
 * is not 0. Always returns -1, so that a caller can `return err_set(...)`.
 */
int err_set(struct err *err, int num, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "formatted text: " before what the error already says. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
