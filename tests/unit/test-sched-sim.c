/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulator: what it reads, what it makes of a seed, and what the scheduler does in it. */
#include "scheduler/mvsim-builtin.h"
#include "scheduler/mvsim-compare.h"
#include "scheduler/mvsim-scenario.h"
#include "tests/unit/sched-world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- running ---- */

static struct sim_plan parse(const char *text)
{
	struct err err = { 0 };
	struct sim_plan plan;

	if (sim_plan_parse(text, strlen(text), &plan, &err) < 0)
		fail_msg("%s", err.text);
	return plan;
}

/* The slowdowns of the jobs, sorted; to be freed. */
static double *run(const struct sim_plan *plan, const char *method, uint64_t number,
		   struct sim_stats *stats, uint32_t *count)
{
	struct sim_scenario scenario = plan->scenario;
	struct sim_job_spec *jobs;
	struct err err = { 0 };
	double *slowdowns;

	*count = scenario.job_count = sim_workload_make(plan, number, &jobs);
	scenario.jobs = jobs;
	slowdowns = calloc(scenario.job_count + 1, sizeof(double));
	assert_non_null(sim_method_find(method));
	assert_int_equal(sim_run(&scenario, sim_method_find(method), &plan->policy, number,
				 slowdowns, stats, &err), 0);
	free(jobs);
	return slowdowns;
}

static struct sim_stats stats_of(const char *text, const char *method, uint64_t number)
{
	struct sim_plan plan = parse(text);
	struct sim_stats stats;
	uint32_t count;

	free(run(&plan, method, number, &stats, &count));
	sim_plan_free(&plan);
	return stats;
}

#define NODES(n) "\"nodes\": [{\"name\": \"n\", \"count\": " #n ", \"memory\": \"1G\"}]"

/* ---- the physics ---- */

static void a_job_alone_takes_its_time(void **state)
{
	struct sim_stats stats = stats_of(
		"{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"speed\": 2}],"
		"\"jobs\": [{\"cpu\": 10}]}", "rr", 1);

	(void)state;
	assert_true(fabs(stats.makespan - 5) < 1e-6);
	assert_true(fabs(stats.slowdown_mean - 0.5) < 1e-6);
}

static void jobs_share_a_cpu(void **state)
{
	/* Both run until 20, with half of the CPU each; the second has 10 more. */
	struct sim_stats stats = stats_of(
		"{\"name\": \"t\", \"nodes\": [{\"name\": \"a\"}],"
		"\"jobs\": [{\"cpu\": 10}, {\"cpu\": 20}]}", "rr", 1);

	(void)state;
	assert_true(fabs(stats.makespan - 30) < 1e-6);
	assert_true(fabs(stats.slowdown_mean - (2 + 1.5) / 2) < 1e-6);
	/* Too much memory: all is slower by the thrashing factor. */
	stats = stats_of("{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"memory\": 100},"
			 "{\"name\": \"b\", \"memory\": 60, \"speed\": 0.001}],"
			 "\"params\": {\"thrashing\": 4},"
			 "\"jobs\": [{\"cpu\": 10, \"memory\": 60},"
			 "{\"cpu\": 10, \"memory\": 60, \"home\": \"a\"}]}", "mv-weight", 1);
	assert_true(stats.slowdown_max > 7.9);
	assert_true(stats.over_memory > 0);
}

static void one_job_after_the_other(void **state)
{
	struct sim_stats stats = stats_of(
		"{\"name\": \"t\"," NODES(2) ","
		"\"jobs\": [{\"cpu\": 10, \"after\": 1}, {\"cpu\": 5, \"after\": 2}, {\"cpu\": 1}]}",
		"monovisor", 1);

	(void)state;
	assert_int_equal(stats.unfinished, 0);
	assert_true(fabs(stats.makespan - 16) < 0.5);
}

/* As large as a node that keeps some memory free: it would wait for good. */
static void what_fits_nowhere_begins_at_home(void **state)
{
	static const char *const methods[] = { "monovisor", "mv-place" };
	struct sim_stats stats;
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		stats = stats_of("{\"name\": \"t\"," NODES(4) ", \"params\": {\"limit\": 1000},"
				 "\"jobs\": [{\"cpu\": 3, \"memory\": \"1G\"}]}", methods[i], 1);
		assert_int_equal(stats.unfinished, 0);
		assert_true(stats.makespan < 5);
		/* It waits while there is a node that it fits on, until that one is gone. */
		stats = stats_of("{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"memory\": \"1G\"},"
				 "{\"name\": \"b\", \"memory\": \"2G\"}], \"params\": {\"limit\": 1000},"
				 "\"events\": [{\"at\": 10, \"node\": \"b\", \"what\": \"drain\"},"
				 "{\"at\": 50, \"node\": \"b\", \"what\": \"fail\"}],"
				 "\"jobs\": [{\"at\": 20, \"cpu\": 3, \"memory\": \"1G\"}]}",
				 methods[i], 1);
		assert_int_equal(stats.unfinished, 0);
		assert_true(stats.wait_max > 30 && stats.wait_max < 33);
	}
}

/* Each second of work waits another one for the other job's data, while they are apart. */
static void talkers_come_together(void **state)
{
	static const char text[] =
		"{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"cpus\": 2}, {\"name\": \"b\", \"cpus\": 2}],"
		"\"params\": {\"file_rate\": 1e6, \"setup\": 0.1},"
		"\"jobs\": [{\"cpu\": 200, \"home\": \"a\", \"pinned\": true},"
		"{\"cpu\": 200, \"home\": \"b\", \"talks_to\": 0, \"talk\": 1e6}]}";
	struct sim_stats apart = stats_of(text, "mv-none", 1), together = stats_of(text, "monovisor", 1);

	(void)state;
	/* The first one has ended after 200: then there is nobody to wait for. */
	assert_true(fabs(apart.makespan - 300) < 1);
	assert_int_equal(apart.moves, 0);
	assert_int_equal(together.moves, 1);
	assert_true(together.makespan < 220);
}

/* ---- the same seed, the same numbers ---- */

static void a_seed_determines_everything(void **state)
{
	const struct sim_builtin *builtin;

	(void)state;
	for (builtin = sim_builtins; builtin->name; builtin++) {
		static const char *const methods[] = { "monovisor", "mosix", "e-mosix",
						       "two-choices", "drs" };
		struct sim_plan plan;
		struct sim_stats a, b;
		uint32_t na, nb;
		unsigned i;

		if (strcmp(builtin->name, "lublin") == 0 || strcmp(builtin->name, "mixed") == 0 ||
		    strcmp(builtin->name, "pareto") == 0 || strcmp(builtin->name, "flash") == 0)
			continue; /* long */
		plan = parse(builtin->text);
		for (i = 0; i < 5; i++) {
			double *x = run(&plan, methods[i], 4, &a, &na);
			double *y = run(&plan, methods[i], 4, &b, &nb);

			assert_int_equal(na, nb);
			assert_memory_equal(x, y, na * sizeof(*x));
			assert_memory_equal(&a, &b, sizeof(a));
			free(x);
			free(y);
		}
		sim_plan_free(&plan);
	}
}

/* ---- what no decision can know ---- */

#define MOVING "{\"name\": \"m\", \"nodes\": [{\"name\": \"n\", \"count\": 4, \"memory\": \"1G\"}]," \
	"\"workload\": {\"kind\": \"pareto\", \"rate\": 1, \"count\": 24, \"least\": 50, \"most\": 500," \
	"\"memory_least\": \"9M\", \"memory_most\": \"90M\", \"home\": \"n-1\"}, \"params\": {"

static void moves_take_what_no_forecast_knows(void **state)
{
	struct sim_stats exact = stats_of(MOVING "\"move_noise\": 0}}", "mosix", 3);
	struct sim_stats little = stats_of(MOVING "\"move_noise\": 0.2}}", "mosix", 3);
	struct sim_stats much = stats_of(MOVING "\"move_noise\": 1}}", "mosix", 3);

	(void)state;
	assert_in_range(exact.forecasts, 10, 10000);
	assert_true(exact.time_off < 1e-6 && exact.down_off < 1e-6);
	/* The mean of |x| is sigma sqrt(2/pi) for what is proportional to the factor. */
	assert_true(little.time_off / (double)little.forecasts > 0.08);
	assert_true(little.time_off / (double)little.forecasts < 0.3);
	assert_true(much.time_off / (double)much.forecasts > 0.4);
	assert_true(much.time_off / (double)much.forecasts < 2);
}

static double known_age(const char *params)
{
	char text[1024];
	struct sim_stats stats;

	sprintf(text, MOVING "%s}}", params);
	stats = stats_of(text, "monovisor", 3);
	assert_in_range(stats.known_samples, 100, 1000000);
	return stats.known_age / (double)stats.known_samples;
}

static void delay_and_loss_make_information_older(void **state)
{
	double now = known_age("\"delay\": 0, \"loss\": 0");
	double late = known_age("\"delay\": 2, \"loss\": 0");
	double lossy = known_age("\"delay\": 0, \"loss\": 0.6");

	(void)state;
	/* A message that takes two seconds is older by them, and may come after a newer one. */
	assert_true(late > now + 1);
	assert_true(lossy > 1.5 * now);
}

/* ---- what the scheduler must not do ---- */

/* Nodes of any kind, jobs that come and go, nodes that fail, are drained and cut off. */
static char *random_scenario(struct sched_random *random)
{
	static const char *const whats[] = { "fail", "return", "drain", "open", "cut", "heal",
					     "others" };
	static char text[16384];
	unsigned nodes = 2 + (unsigned)sched_random_below(random, 6), i;
	int at;

	at = sprintf(text, "{\"name\": \"r\", \"nodes\": [");
	for (i = 0; i < nodes; i++)
		at += sprintf(text + at, "%s{\"name\": \"n%u\", \"cpus\": %u, \"speed\": %.3f,"
			      "\"memory\": \"%uM\"}", i ? "," : "", i,
			      1 << sched_random_below(random, 4),
			      exp2(world_between(random, -1, 1)),
			      64 << sched_random_below(random, 4));
	at += sprintf(text + at, "], \"workload\": {\"kind\": \"pareto\", \"rate\": %.3f,"
		      "\"seconds\": 200, \"least\": 1, \"most\": 300, \"memory_least\": \"2M\","
		      "\"memory_most\": \"60M\"}, \"events\": [",
		      world_between(random, 0.1, 1.5));
	for (i = 0; i < 12; i++)
		at += sprintf(text + at, "%s{\"at\": %.1f, \"node\": \"n%u\", \"what\": \"%s\","
			      "\"value\": %u}", i ? "," : "", world_between(random, 0, 250),
			      1 + (unsigned)sched_random_below(random, nodes - 1),
			      whats[sched_random_below(random, 7)],
			      (unsigned)sched_random_below(random, 4));
	for (i = 1; i < nodes; i++) /* all is well again in the end */
		at += sprintf(text + at, ",{\"at\": 300, \"node\": \"n%u\", \"what\": \"return\"},"
			      "{\"at\": 300, \"node\": \"n%u\", \"what\": \"open\"},"
			      "{\"at\": 300, \"node\": \"n%u\", \"what\": \"heal\"}", i, i, i);
	sprintf(text + at, "], \"params\": {\"loss\": %.2f, \"limit\": 100000}}",
		world_between(random, 0, 0.2));
	return text;
}

static void never_over_memory(void **state)
{
	struct sched_random random = world_seed;
	uint64_t moves = 0, refused = 0, lost = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < 80; i++) {
		const char *text = random_scenario(&random);
		struct sim_stats stats = stats_of(text, "monovisor", i);

		assert_true(stats.over_memory == 0);
		assert_true(stats.worst_memory <= 1);
		/* Each job fits on some node, and all nodes come back. */
		if (stats.unfinished)
			fail_msg("%u jobs have not ended in %s", (unsigned)stats.unfinished,
				 text);
		assert_in_range(stats.most_moves, 0, 60);
		moves += stats.moves;
		refused += stats.refused;
		lost += stats.lost;
	}
	/* It was not for lack of anything to do. */
	assert_in_range(moves, 150, 1000000);
	assert_in_range(refused, 10, 1000000);
	assert_in_range(lost, 50, 1000000);
}

/* A few jobs for ever on a few nodes: they move now and then as they age, not all the time. */
static void it_comes_to_rest(void **state)
{
	struct sched_random random = world_seed;
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++) {
		char text[1024];
		struct sim_stats stats;

		sprintf(text, "{\"name\": \"rest\", \"nodes\": ["
			"{\"name\": \"a\", \"count\": 3, \"speed\": %.2f},"
			"{\"name\": \"b\", \"count\": 3, \"cpus\": 2}],"
			"\"workload\": {\"kind\": \"pareto\", \"rate\": 1, \"count\": %u,"
			"\"least\": 5000, \"most\": 5001, \"home\": \"b-1\"}}",
			world_between(&random, 0.5, 2), 2 + 2 * i);
		stats = stats_of(text, "monovisor", i);
		assert_int_equal(stats.unfinished, 0);
		/* Hours, in which jobs grow older and end. */
		assert_true(stats.moves <= 8 * (2 + 2 * i));
		assert_in_range(stats.most_moves, 0, 20);
	}
}

static double cost_of(const char *name, const char *method)
{
	return stats_of(sim_builtin_find(name)->text, method, 3).slowdown_mean;
}

static void check_trouble(const char *text)
{
	struct sim_stats stats = stats_of(text, "monovisor", 2);

	assert_int_equal(stats.unfinished, 0);
	assert_true(stats.over_memory == 0);
	assert_true(stats.worst_memory <= 1);
	assert_in_range(stats.most_moves, 0, 40);
}

/* The abuse and the trouble that the evaluation measures, in short. */
static void trouble_is_survived(void **state)
{
	static const char *const names[] = { "oscillate", "liar", "boaster", "hider", "visitor",
					     "drained", "parted", "usher" };
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check_trouble(sim_builtin_find(names[i])->text);
	/* A flash crowd: 200 jobs at one node of ten. */
	check_trouble("{\"name\": \"crowd\", \"nodes\": [{\"name\": \"n\", \"count\": 10,"
		      "\"cpus\": 4, \"memory\": \"8G\"}], \"workload\": {\"kind\": \"pareto\","
		      "\"from\": 20, \"rate\": 500, \"count\": 200, \"least\": 20, \"most\": 200,"
		      "\"memory_least\": \"16M\", \"memory_most\": \"1G\", \"home\": \"n-1\"},"
		      "\"params\": {\"bandwidth\": 1.1e8, \"window\": 8}}");
	/* A liar costs the others something, and less than MOSIX loses by it. */
	assert_true(cost_of("liar", "monovisor") < 1.5 * cost_of("honest", "monovisor"));
	assert_true(cost_of("boaster", "monovisor") < 1.5 * cost_of("honest", "monovisor"));
	assert_true(cost_of("hider", "monovisor") < 1.5 * cost_of("honest", "monovisor"));
	assert_true(cost_of("liar", "monovisor") < cost_of("liar", "mosix"));
}

/* What is drained is empty soon, with MOSIX too, and stays so. */
static void drained_nodes_become_empty(void **state)
{
	static const char *const methods[] = { "monovisor", "mosix", "mosix-best", "mosix-known" };
	struct sim_stats stats;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		stats = stats_of("{\"name\": \"d\"," NODES(4) ", \"workload\": {\"kind\": \"pareto\","
				 "\"rate\": 1, \"count\": 24, \"least\": 300, \"most\": 600,"
				 "\"memory_least\": \"9M\", \"memory_most\": \"20M\", \"home\": \"n-2\"},"
				 "\"events\": [{\"at\": 100, \"node\": \"n-1\", \"what\": \"drain\"}]}",
				 methods[i], 1);
		assert_int_equal(stats.unfinished, 0);
		assert_true(stats.draining > 1 && stats.draining < 90);
	}
}

/* ---- the generators ---- */

static uint32_t make(const char *workload, struct sim_job_spec **jobs)
{
	char text[512];
	struct sim_plan plan;
	uint32_t count;

	sprintf(text, "{\"name\": \"w\", \"nodes\": [{\"name\": \"n\", \"cpus\": 64,"
		"\"memory\": \"64M\"}], \"workload\": {%s}}", workload);
	plan = parse(text);
	count = sim_workload_make(&plan, 9, jobs);
	sim_plan_free(&plan);
	return count;
}

/* Share of jobs that need more than that. */
static double share_above(const struct sim_job_spec *jobs, uint32_t count, double demand)
{
	uint32_t i, above = 0;

	for (i = 0; i < count; i++)
		above += jobs[i].demand > demand;
	return (double)above / count;
}

static void generators_have_their_distributions(void **state)
{
	struct sim_job_spec *jobs;
	uint32_t count, i;
	double sum = 0, ratio;

	(void)state;
	/* Pr[L > T] = 1/T */
	count = make("\"kind\": \"lifetimes\", \"rate\": 100, \"seconds\": 1000, \"most\": 1e6",
		     &jobs);
	assert_in_range(count, 98000, 102000);
	assert_true(fabs(share_above(jobs, count, 2) - 0.5) < 0.01);
	assert_true(fabs(share_above(jobs, count, 10) - 0.1) < 0.005);
	assert_true(fabs(share_above(jobs, count, 100) - 0.01) < 0.002);
	for (i = 1; i < count; i++)
		assert_true(jobs[i].arrival >= jobs[i - 1].arrival);
	free(jobs);
	/* Bounded Pareto: (L^a x^-a - (L/H)^a) / (1 - (L/H)^a) */
	count = make("\"kind\": \"pareto\", \"count\": 100000, \"alpha\": 0.7, \"least\": 1,"
		     "\"most\": 1000", &jobs);
	assert_int_equal(count, 100000);
	ratio = pow(1e-3, 0.7);
	assert_true(fabs(share_above(jobs, count, 10) -
			 (pow(10, -0.7) - ratio) / (1 - ratio)) < 0.005);
	assert_true(share_above(jobs, count, 1000.001) == 0);
	free(jobs);
	/* 2/r s; (1/m) % of memory; 5 % of arrivals are 1 to 20 components of 20/r s */
	count = make("\"kind\": \"published\", \"rate\": 100, \"seconds\": 1000, \"most\": 1e6,"
		     "\"memory_least\": 671088.64, \"memory_most\": \"64M\"", &jobs);
	assert_true(fabs(count / 1e5 - (0.95 + 0.05 * 10.5)) < 0.02);
	ratio = 0.95 + 0.05 * 10.5;
	assert_true(fabs(share_above(jobs, count, 20) - (0.95 * 0.1 + 0.525) / ratio) < 0.01);
	for (i = 0; i < count; i++) {
		assert_true(jobs[i].mem >= 671088 && jobs[i].mem <= 64 * 0x1p20);
		sum += jobs[i].mem > 2 * 671088.64;
	}
	assert_true(fabs(sum / count - 0.5) < 0.02);
	free(jobs);
	/* Lublin and Feitelson: a quarter are serial, run times span minutes to hours. */
	count = make("\"kind\": \"lublin\", \"rate\": 1, \"seconds\": 5000, \"most\": 2e5",
		     &jobs);
	for (i = 0, sum = 0; i < count; i++)
		sum += (i == 0 || jobs[i].arrival > jobs[i - 1].arrival) &&
		       (i + 1 == count || jobs[i].arrival < jobs[i + 1].arrival);
	assert_true(sum > 0.244 * 5000 * 0.9 && sum < 0.5 * 5000);
	assert_true(share_above(jobs, count, 60) > 0.2 && share_above(jobs, count, 60) < 0.95);
	free(jobs);
}

/* ---- what it reads ---- */

static void refuse(const char *words, const char *text)
{
	struct sim_plan plan;
	struct err err = { 0 };

	if (sim_plan_parse(text, strlen(text), &plan, &err) == 0)
		fail_msg("taken: %s", text);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, err.text);
}

#define A "{\"name\": \"t\", \"nodes\": [{\"name\": \"a\"}], "

static void bad_scenarios_are_refused(void **state)
{
	(void)state;
	refuse("not a JSON object", "");
	refuse("not a JSON object", "[]");
	refuse("not a JSON object", "{\"name\": \"t\"} x");
	refuse("nesting", "{\"name\": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}");
	refuse("name", "{}");
	refuse("name", "{\"name\": \"../x\"}");
	refuse("needs \"nodes\"", "{\"name\": \"t\"}");
	refuse("\"nodes\" is not a list", "{\"name\": \"t\", \"nodes\": 3}");
	refuse("nodes[0]", "{\"name\": \"t\", \"nodes\": [7]}");
	refuse("two nodes", "{\"name\": \"t\", \"nodes\": [{\"name\": \"a\"}, {\"name\": \"a\"}],"
	       "\"jobs\": [{}]}");
	refuse("needs \"jobs\"", A "\"jobs\": []}");
	refuse("not both", A "\"jobs\": [{}], \"workload\": {\"kind\": \"pareto\"}}");
	refuse("there is no field \"nods\"", A "\"nods\": []}");
	refuse("there is no field \"sped\"",
	       "{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"sped\": 2}]}");
	/* circles */
	refuse("jobs[0]: \"after\" is the job itself", A "\"jobs\": [{\"after\": 0}]}");
	refuse("waits, by \"after\", for itself",
	       A "\"jobs\": [{\"after\": 1}, {\"after\": 2}, {\"after\": 0}]}");
	refuse("waits, by \"after\", for itself",
	       A "\"jobs\": [{}, {\"after\": 2}, {\"after\": 3}, {\"after\": 2}]}");
	refuse("after", A "\"jobs\": [{\"after\": 1}]}");
	refuse("after", A "\"jobs\": [{\"after\": -1}]}");
	refuse("after", A "\"jobs\": [{}, {\"after\": 0.5}]}");
	refuse("talks_to", A "\"jobs\": [{\"talks_to\": 0}]}");
	/* no numbers, and absurd ones */
	refuse("cpu", A "\"jobs\": [{\"cpu\": NaN}]}");
	refuse("cpu", A "\"jobs\": [{\"cpu\": Infinity}]}");
	refuse("cpu", A "\"jobs\": [{\"cpu\": 1e999}]}");
	refuse("cpu", A "\"jobs\": [{\"cpu\": -1}]}");
	refuse("cpu", A "\"jobs\": [{\"cpu\": 0}]}");
	refuse("cpu", A "\"jobs\": [{\"cpu\": \"much\"}]}");
	refuse("memory", A "\"jobs\": [{\"memory\": \"1X\"}]}");
	refuse("memory", A "\"jobs\": [{\"memory\": \"nan\"}]}");
	refuse("no node has that much memory", A "\"jobs\": [{\"memory\": \"1T\"}]}");
	refuse("speed", "{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"speed\": 1e9}]}");
	refuse("cpus", "{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"cpus\": 0}]}");
	refuse("count", "{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"count\": 1e6}]}");
	refuse("more than 100000 nodes",
	       "{\"name\": \"t\", \"nodes\": [{\"name\": \"a\", \"count\": 100000},"
	       "{\"name\": \"b\"}]}");
	refuse("workload", A "\"workload\": {\"kind\": \"pareto\", \"rate\": 1e6,"
	       "\"seconds\": 1e6}}");
	refuse("no kind", A "\"workload\": {\"kind\": \"fixed\"}}");
	refuse("\"least\" is more than \"most\"",
	       A "\"workload\": {\"kind\": \"pareto\", \"least\": 5, \"most\": 2}}");
	refuse("there is no node", A "\"workload\": {\"kind\": \"pareto\", \"home\": \"b\"}}");
	/* events */
	refuse("no event \"explode\"", A "\"jobs\": [{}], \"events\": [{\"node\": \"a\","
	       "\"what\": \"explode\"}]}");
	refuse("there is no node \"b\"", A "\"jobs\": [{}], \"events\": [{\"node\": \"b\","
	       "\"what\": \"fail\"}]}");
	refuse("until", A "\"jobs\": [{}], \"events\": [{\"node\": \"a\", \"what\": \"fail\","
	       "\"every\": 1}]}");
	refuse("more than", A "\"jobs\": [{}], \"events\": [{\"node\": \"a\", \"what\": \"fail\","
	       "\"every\": 0.1, \"until\": 1e9}]}");
	/* policy */
	refuse("the policy has no \"greed\"", A "\"jobs\": [{}], \"policy\": {\"greed\": 1}}");
	refuse("margin", A "\"jobs\": [{}], \"policy\": {\"margin\": -1}}");
	refuse("not a number", A "\"jobs\": [{}], \"policy\": {\"margin\": \"x\"}}");
	refuse("loss", A "\"jobs\": [{}], \"params\": {\"loss\": 1}}");
}

static void chains_that_are_no_circles_are_taken(void **state)
{
	struct sim_plan plan = parse(A "\"jobs\": [{}, {\"after\": 0}, {\"after\": 0},"
				     "{\"after\": 2}, {\"after\": 2}]}");

	(void)state;
	assert_int_equal(plan.scenario.job_count, 5);
	sim_plan_free(&plan);
}

static void each_builtin_is_sound(void **state)
{
	const struct sim_builtin *builtin;

	(void)state;
	for (builtin = sim_builtins; builtin->name; builtin++) {
		struct sim_plan plan = parse(builtin->text);

		assert_string_equal(plan.scenario.name, builtin->name);
		sim_plan_free(&plan);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_alone_takes_its_time),
		cmocka_unit_test(jobs_share_a_cpu),
		cmocka_unit_test(one_job_after_the_other),
		cmocka_unit_test(what_fits_nowhere_begins_at_home),
		cmocka_unit_test(talkers_come_together),
		cmocka_unit_test(a_seed_determines_everything),
		cmocka_unit_test(moves_take_what_no_forecast_knows),
		cmocka_unit_test(delay_and_loss_make_information_older),
		cmocka_unit_test(never_over_memory),
		cmocka_unit_test(it_comes_to_rest),
		cmocka_unit_test(trouble_is_survived),
		cmocka_unit_test(drained_nodes_become_empty),
		cmocka_unit_test(generators_have_their_distributions),
		cmocka_unit_test(bad_scenarios_are_refused),
		cmocka_unit_test(chains_that_are_no_circles_are_taken),
		cmocka_unit_test(each_builtin_is_sound),
	};

	return cmocka_run_group_tests(tests, world_begin, NULL);
}
