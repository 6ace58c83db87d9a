/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces, and a short run of what is taken. */
#include "scheduler/mvsim-trace.c"

#include "scheduler/mvsim-compare.h"

#define FUZZ_RUNS 100000
#include "tests/fuzz/standalone.h"

static struct sim_node_spec nodes[] = {
	{ .name = "a", .cpus = 2, .speed = 1, .mem = 0x1p30 },
	{ .name = "b", .cpus = 1, .speed = 2, .mem = 0x1p28 },
	{ .name = "c", .cpus = 1, .speed = 0.5, .mem = 0x1p26 },
};
#define NODES (sizeof(nodes) / sizeof(nodes[0]))

/* What the engine takes for granted. */
static void check(const struct sim_job_spec *jobs, uint32_t count)
{
	uint32_t i;

	if (count == 0 || count > SIM_MAX_JOBS)
		abort();
	for (i = 0; i < count; i++)
		if (!(jobs[i].demand >= 1e-3 && jobs[i].demand <= 1e9) ||
		    !(jobs[i].arrival >= 0 && jobs[i].arrival <= 1e9) ||
		    !(jobs[i].mem >= 0 && jobs[i].mem <= 0x1p30) ||
		    jobs[i].home >= NODES || jobs[i].peer != SIM_NOBODY ||
		    jobs[i].after != SIM_NOBODY)
			abort();
}

static void try_it(struct sim_scenario *scenario)
{
	struct sched_policy policy;
	struct sim_stats stats;
	double slowdowns[64];

	sched_policy_default(&policy);
	sim_params_default(&scenario->params);
	scenario->params.limit = 20;
	if (scenario->job_count <= 64 &&
	    sim_run(scenario, sim_method_find("monovisor"), &policy, 1, slowdowns, &stats,
		    NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim_scenario scenario = { .nodes = nodes, .node_count = NODES,
					 .mem_largest = 0x1p30 };
	struct err err = { 0 };

	if (sim_trace_parse((const char *)data, size, &scenario, &scenario.jobs,
			    &scenario.job_count, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	check(scenario.jobs, scenario.job_count);
	try_it(&scenario);
	free(scenario.jobs);
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	static const char *const texts[] = {
		"; Version: 2.2\n1 0 5 40 1 30 2048 1 60 -1 1 3 1 -1 1 -1 -1 -1\n",
		("1 10 0 20 3 -1 1024 3 60 -1 1 4 1 -1 1 -1 -1 -1\r\n\n"
		 "2 11 0 -1 -1 -1 -1 2 60 -1 5 4 1 -1 1 -1 -1 -1\n"),
		" 7\t1e1 0 0.5 1 6 -1 1 60 4096 1 -1 1 -1 1 -1 2 10",
	};

	return fuzz_text(texts[n % (sizeof(texts) / sizeof(texts[0]))], out, size);
}
