/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvrun.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static int64_t began_ms;
static bool is_verbose;

int64_t say_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void say_init(bool verbose)
{
	began_ms = say_now_ms();
	is_verbose = verbose;
}

/* In one write: other processes share the terminal. */
__attribute__((format(printf, 2, 0)))
static void print_line(const char *prefix, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "mvrun: %s%s%s\n", prefix, text, tty_is_raw() ? "\r" : "");
	fflush(stderr);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print_line("", fmt, ap);
	va_end(ap);
}

void say_verbose(const char *fmt, ...)
{
	char prefix[32];
	va_list ap;

	if (!is_verbose)
		return;
	snprintf(prefix, sizeof(prefix), "%.3f s: ",
		 (double)(say_now_ms() - began_ms) / 1000);
	va_start(ap, fmt);
	print_line(prefix, fmt, ap);
	va_end(ap);
}
