/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-tsc.h"

#include <stdint.h>
#include <time.h>

#define MEASURE_NS 20000000

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static unsigned measure(void)
{
#if defined(__x86_64__) || defined(__i386__)
	uint64_t from_ns = now_ns(), from = __builtin_ia32_rdtsc();
	uint64_t to_ns, to;

	do
		to_ns = now_ns();
	while (to_ns - from_ns < MEASURE_NS);
	to = __builtin_ia32_rdtsc();
	return (unsigned)((to - from) * 1000000u / (to_ns - from_ns));
#else
	return 0;
#endif
}

unsigned tsc_khz(void)
{
	static unsigned khz;

	if (!khz)
		khz = measure();
	return khz;
}
