/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces in the Standard Workload Format. */
#include "scheduler/mvsim-trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sim_node_spec nodes[4];
static const struct sim_scenario scenario = { .nodes = nodes, .node_count = 4,
					      .mem_largest = 0x1p30 };

static uint32_t parse(const char *text, struct sim_job_spec **jobs)
{
	struct err err = { 0 };
	uint32_t count;

	if (sim_trace_parse(text, strlen(text), &scenario, jobs, &count, &err) < 0)
		fail_msg("%s", err.text);
	return count;
}

static void jobs_are_read(void **state)
{
	static const char text[] =
		"; UnixStartTime: 0\n"
		"\n"
		"  1   100  5  40  1  30  2048  1  60  -1  1  3  1 -1 1 -1 -1 -1\n"
		"2\t130\t0 20 3 -1 1024 3 60 -1 1 6 1 -1 1 -1 -1 -1\r\n"
		"3 140 0 -1 -1 -1 -1 2 60 -1 5 4 1 -1 1 -1 -1 -1\n"
		"4 90 0 0.5 -1 -1 -1 -1 60 4096 1 -1 1 -1 1 -1 2 10";
	struct sim_job_spec *jobs;

	(void)state;
	assert_int_equal(parse(text, &jobs), 5); /* 1, three of 2, none of 3, 4 */
	/* The CPU time if it is known, else the run time; times from the first on. */
	assert_true(jobs[0].arrival == 10 && jobs[0].demand == 30);
	assert_true(jobs[0].mem == 2048 * 1024 && jobs[0].home == 3);
	assert_true(jobs[1].arrival == 40 && jobs[1].demand == 20 && jobs[1].home == 2);
	assert_memory_equal(&jobs[1], &jobs[3], sizeof(jobs[1]));
	/* What it asked for, where what it used is not known; no user: by its number. */
	assert_true(jobs[4].arrival == 0 && jobs[4].demand == 0.5);
	assert_true(jobs[4].mem == 4096 * 1024 && jobs[4].home == 0);
	assert_true(jobs[4].after == SIM_NOBODY && jobs[4].peer == SIM_NOBODY);
	free(jobs);
}

static void refuse(const char *words, const char *text, size_t len)
{
	struct sim_job_spec *jobs;
	struct err err = { 0 };
	uint32_t count;

	assert_int_equal(sim_trace_parse(text, len, &scenario, &jobs, &count, &err), -1);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, err.text);
}

#define REFUSE(words, text) refuse(words, text, sizeof(text) - 1)
#define REST " 1 60 -1 1 3 1 -1 1 -1 -1 -1\n"

static void bad_lines_are_refused(void **state)
{
	(void)state;
	REFUSE("no jobs", "");
	REFUSE("no jobs", "; nothing\n\n");
	REFUSE("no jobs", "1 0 0 -1 1 -1 -1" REST);
	REFUSE("line 2: there must be", "; x\n1 2 3\n");
	REFUSE("more than 18", "1 0 0 1 1 1 1 1 60 -1 1 3 1 -1 1 -1 -1 -1 7\n");
	REFUSE("line 1", "1 0 0 1 1 nan 1" REST);
	REFUSE("line 1", "1 0 0 1 1 inf 1" REST);
	REFUSE("line 1", "1 0 0 1 1 1e999 1" REST);
	REFUSE("line 1", "1 0 0 1 1 0x10 1" REST);
	REFUSE("line 1", "1 0 0 1 1 1-1 1" REST);
	REFUSE("line 1", "1 0 0 1 1 1\0 1" REST);
	REFUSE("too long", "1 0 0 1 1 0000000000000000000000000000000000000000001 1" REST);
	REFUSE("out of range", "1 -5 0 1 1 1 1" REST);
	REFUSE("out of range", "1 2e9 0 1 1 1 1" REST);
	REFUSE("out of range", "1 0 0 1 1 2e9 1" REST);
	REFUSE("memory", "1 0 0 1 1 1 1e9" REST);
	REFUSE("more than 1000000 jobs", "1 0 0 1 1e6 1 1" REST "2 0 0 1 1 1 1" REST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_are_read),
		cmocka_unit_test(bad_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
