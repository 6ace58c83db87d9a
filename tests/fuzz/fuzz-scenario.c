/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenario files, and a short run of what is taken. */
#include "scheduler/mvsim-json.c"
#include "scheduler/mvsim-scenario.c"

#include "scheduler/mvsim-compare.h"

#include "tests/fuzz/standalone.h"

/* What the engine takes for granted. */
static void check(const struct sim_scenario *scenario)
{
	uint32_t i;

	if (scenario->node_count == 0 || scenario->node_count > SIM_MAX_NODES ||
	    scenario->job_count > SIM_MAX_JOBS || scenario->script_count > MAX_SCRIPT)
		abort();
	for (i = 0; i < scenario->node_count; i++)
		if (!(scenario->nodes[i].mem >= 1) || !(scenario->nodes[i].cpus > 0) ||
		    !(scenario->nodes[i].speed > 0) || !scenario->nodes[i].name[0])
			abort();
	for (i = 0; i < scenario->job_count; i++) {
		const struct sim_job_spec *job = &scenario->jobs[i];

		if (!(job->demand > 0) || !(job->arrival >= 0) || !(job->mem >= 0) ||
		    job->home >= scenario->node_count ||
		    (job->peer != SIM_NOBODY && job->peer >= scenario->job_count) ||
		    (job->after != SIM_NOBODY && job->after >= scenario->job_count))
			abort();
	}
	for (i = 0; i < scenario->script_count; i++)
		if (scenario->script[i].node >= scenario->node_count)
			abort();
}

/* A small one is also run, for a short time. */
static void try_it(struct sim_plan *plan)
{
	struct sim_scenario *scenario = &plan->scenario;
	double slowdowns[64];
	struct sim_stats stats;

	scenario->params.limit = fmin(scenario->params.limit, 20 * scenario->params.step);
	if (scenario->node_count > 16 || scenario->job_count == 0 || scenario->job_count > 64)
		return;
	if (sim_run(scenario, sim_method_find("monovisor"), &plan->policy, 1, slowdowns, &stats,
		    NULL) < 0 || !(stats.makespan >= 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct sim_plan plan;

	if (sim_plan_parse((const char *)data, size, &plan, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	check(&plan.scenario);
	try_it(&plan);
	sim_plan_free(&plan);
	return 0;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	static const char *const texts[] = {
		("{\"name\":\"t\",\"nodes\":[{\"name\":\"a\",\"count\":3,\"cpus\":2,\"speed\":1.5,"
		"\"memory\":\"64M\"}],\"jobs\":[{\"cpu\":3,\"memory\":\"9M\",\"grow\":1000,"
		"\"grow_most\":\"20M\",\"home\":\"a-1\"},{\"at\":2,\"after\":0,\"talks_to\":0,"
		"\"talk\":1e6,\"io\":1000,\"pinned\":true}]}"),
		("{\"name\":\"u\",\"nodes\":[{\"name\":\"a\",\"others\":2},{\"name\":\"b\"}],"
		"\"jobs\":[{},{\"at\":1,\"dirty\":1e5,\"hot\":\"1K\"}],\"events\":["
		"{\"at\":3,\"node\":\"b\",\"what\":\"fail\"},{\"at\":5,\"every\":2,\"until\":15,"
		"\"node\":\"b\",\"what\":\"return\",\"value\":1}],\"params\":{\"loss\":0.1,"
		"\"thrashing\":3,\"window\":4,\"free_moves\":false},\"policy\":{\"margin\":1}}"),
		("{\"name\":\"v\",\"nodes\":[{\"name\":\"a\"}],\"workload\":{\"kind\":\"lublin\","
		"\"rate\":0.5,\"seconds\":10,\"least\":1,\"most\":50,\"home\":\"a\"}}"),
		("{\"name\":\"w\",\"nodes\":[{\"name\":\"a\",\"count\":4,\"memory\":\"64M\"}],"
		"\"jobs\":[{\"cpu\":3,\"memory\":\"64M\"},{\"cpu\":9,\"memory\":\"60M\"}],"
		"\"events\":[{\"at\":2,\"node\":\"a-1\",\"what\":\"cut\"},{\"at\":3,\"node\":"
		"\"a-2\",\"what\":\"drain\"}],\"policy\":{\"memory_low\":0.5}}"),
	};

	return fuzz_text(texts[n % (sizeof(texts) / sizeof(texts[0]))], out, size);
}
