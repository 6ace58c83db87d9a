/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-compare.h"

#include "scheduler/mvsim-methods.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct sim_method *const tables[] = { sim_classic, sim_modern, sim_ours };
#define TABLES (sizeof(tables) / sizeof(tables[0]))

const struct sim_method *sim_method_next(const struct sim_method *method)
{
	unsigned i;

	if (!method)
		return tables[0];
	if ((++method)->name)
		return method;
	for (i = 0; i + 1 < TABLES; i++) {
		const struct sim_method *end = tables[i];

		while (end->name)
			end++;
		if (end == method)
			return tables[i + 1];
	}
	return NULL;
}

const struct sim_method *sim_method_find(const char *name)
{
	const struct sim_method *method = NULL;

	while ((method = sim_method_next(method)))
		if (strcmp(method->name, name) == 0)
			return method;
	return NULL;
}

static void add(struct sim_summary *summary, const struct sim_stats *stats,
		uint32_t jobs, unsigned run)
{
	summary->means[run] = stats->slowdown_mean;
	summary->by_execution += stats->slowdown_mean;
	summary->by_job += stats->slowdown_mean * jobs;
	summary->median += stats->slowdown_median;
	summary->p95 += stats->slowdown_p95;
	summary->worst = fmax(summary->worst, stats->slowdown_max);
	summary->moves += (double)stats->moves;
	summary->refused += (double)stats->refused;
	summary->aborted += (double)stats->aborted;
	summary->lost += (double)stats->lost;
	summary->move_seconds += stats->move_seconds;
	summary->move_bytes += stats->move_bytes;
	summary->down_seconds += stats->down_seconds;
	summary->time_off += stats->time_off;
	summary->time_bias += stats->time_bias;
	summary->down_off += stats->down_off;
	summary->forecasts += (double)stats->forecasts;
	summary->known_age += stats->known_age;
	summary->known_samples += (double)stats->known_samples;
	summary->wait += stats->wait_mean * jobs;
	summary->wait_max = fmax(summary->wait_max, stats->wait_max);
	summary->over_memory += stats->over_memory;
	summary->draining += stats->draining;
	summary->worst_memory = fmax(summary->worst_memory, stats->worst_memory);
	summary->balanced_at += stats->balanced_at;
	summary->makespan += stats->makespan;
	summary->bytes += (double)stats->bytes;
	summary->unfinished += stats->unfinished;
	summary->decisions += stats->decisions;
	if (stats->most_moves > summary->most_moves)
		summary->most_moves = stats->most_moves;
}

static void finish(struct sim_summary *summary, const struct sim_summary *reference,
		   uint64_t jobs, unsigned runs)
{
	double *per_run[] = { &summary->by_execution, &summary->median, &summary->p95,
			      &summary->over_memory, &summary->draining,
			      &summary->balanced_at,
			      &summary->makespan, &summary->bytes };
	double *per_job[] = { &summary->by_job, &summary->moves, &summary->refused,
			      &summary->aborted, &summary->lost, &summary->move_seconds,
			      &summary->move_bytes, &summary->down_seconds,
			      &summary->wait };
	double *per_move[] = { &summary->time_off, &summary->time_bias, &summary->down_off };
	unsigned i;

	for (i = 0; i < sizeof(per_run) / sizeof(per_run[0]); i++)
		*per_run[i] /= runs;
	for (i = 0; i < sizeof(per_job) / sizeof(per_job[0]); i++)
		*per_job[i] /= jobs ? (double)jobs : 1;
	for (i = 0; i < sizeof(per_move) / sizeof(per_move[0]); i++)
		*per_move[i] /= fmax(summary->forecasts, 1);
	summary->known_age /= fmax(summary->known_samples, 1);
	for (i = 0; i < runs; i++) {
		/* a run without jobs is as good as any other */
		if (reference->means[i] <= 0)
			continue;
		summary->geometric += log(summary->means[i] / reference->means[i]);
		summary->wins += summary->means[i] < reference->means[i];
	}
	summary->geometric = exp(summary->geometric / runs);
	summary->wins /= runs;
}

static int run_all(struct sim_comparison *comparison, unsigned run, struct err *err)
{
	struct sim_scenario scenario = comparison->plan->scenario;
	struct sim_job_spec *jobs;
	double *slowdowns;
	unsigned i;
	int result = 0;

	scenario.job_count = sim_workload_make(comparison->plan, comparison->seed + run,
					       &jobs);
	scenario.jobs = jobs;
	slowdowns = sim_need(scenario.job_count, sizeof(slowdowns[0]));
	for (i = 0; i < comparison->count && result == 0; i++) {
		struct sim_stats stats;

		result = sim_run(&scenario, comparison->methods[i],
				 &comparison->plan->policy, comparison->seed + run,
				 slowdowns, &stats, err);
		if (result == 0)
			add(&comparison->summaries[i], &stats, scenario.job_count, run);
	}
	comparison->jobs += scenario.job_count;
	free(slowdowns);
	free(jobs);
	return result;
}

int sim_compare(struct sim_comparison *comparison, struct err *err)
{
	unsigned i;

	for (i = 0; i < comparison->count; i++) {
		comparison->summaries[i] = (struct sim_summary){
			.method = comparison->methods[i],
			.means = sim_need(comparison->runs, sizeof(double)),
		};
	}
	for (i = 0; i < comparison->runs; i++)
		if (run_all(comparison, i, err) < 0)
			return -1;
	for (i = 0; i < comparison->count; i++)
		finish(&comparison->summaries[i],
		       &comparison->summaries[comparison->reference], comparison->jobs,
		       comparison->runs);
	for (i = 0; i < comparison->count; i++)
		comparison->summaries[i].ratio =
			comparison->summaries[i].by_execution /
			comparison->summaries[comparison->reference].by_execution;
	return 0;
}

void sim_comparison_free(struct sim_comparison *comparison)
{
	unsigned i;

	for (i = 0; i < comparison->count; i++)
		free(comparison->summaries[i].means);
}

/* ---- output ---- */

static const struct column {
	const char *title, *json;
	size_t at;
	const char *format;
	double scale;
} columns[] = {
#define C(title, field, format, scale) \
	{ title, #field, offsetof(struct sim_summary, field), format, scale }
	C("by run", by_execution, "%8.3f", 1),
	C("ratio", ratio, "%7.3f", 1),
	C("geo", geometric, "%7.3f", 1),
	C("wins%", wins, "%6.1f", 100),
	C("by job", by_job, "%8.3f", 1),
	C("median", median, "%7.3f", 1),
	C("p95", p95, "%8.2f", 1),
	C("worst", worst, "%8.1f", 1),
	C("moves", moves, "%7.3f", 1),
	C("down s", down_seconds, "%7.3f", 1),
	C("wait s", wait, "%7.2f", 1),
	C("over s", over_memory, "%7.0f", 1),
	C("mem%", worst_memory, "%6.0f", 100),
	C(NULL, draining, "%g", 1),
	C(NULL, refused, "%g", 1),
	C(NULL, aborted, "%g", 1),
	C(NULL, lost, "%g", 1),
	C(NULL, move_seconds, "%g", 1),
	C(NULL, move_bytes, "%g", 1),
	C(NULL, time_off, "%g", 1),
	C(NULL, down_off, "%g", 1),
	C(NULL, time_bias, "%g", 1),
	C(NULL, known_age, "%g", 1),
	C(NULL, wait_max, "%g", 1),
	C(NULL, balanced_at, "%g", 1),
	C(NULL, makespan, "%g", 1),
	C(NULL, bytes, "%g", 1),
#undef C
	{ 0 },
};

static double value_of(const struct sim_summary *summary, const struct column *column)
{
	return *(const double *)((const char *)summary + column->at);
}

static int width_of(const struct column *column)
{
	return atoi(column->format + 1);
}

void sim_print_table(const struct sim_comparison *comparison, FILE *to)
{
	const struct column *column;
	unsigned i;

	fprintf(to, "%s: %llu jobs in %u runs from seed %llu, against %s\n",
		comparison->plan->scenario.name, (unsigned long long)comparison->jobs,
		comparison->runs, (unsigned long long)comparison->seed,
		comparison->methods[comparison->reference]->name);
	fprintf(to, "%-16s", "method");
	for (column = columns; column->json; column++)
		if (column->title)
			fprintf(to, " %*s", width_of(column), column->title);
	fputc('\n', to);
	for (i = 0; i < comparison->count; i++) {
		const struct sim_summary *summary = &comparison->summaries[i];

		fprintf(to, "%-16s", summary->method->name);
		for (column = columns; column->json; column++)
			if (column->title)
				fprintf(to, " %*.*f", width_of(column),
					atoi(strchr(column->format, '.') + 1),
					value_of(summary, column) * column->scale);
		fputc('\n', to);
	}
}

static void print_summary(const struct sim_comparison *comparison,
			  const struct sim_summary *summary, FILE *to)
{
	const struct column *column;
	unsigned i;

	fprintf(to, "  {\"method\": \"%s\"", summary->method->name);
	for (column = columns; column->json; column++)
		fprintf(to, ", \"%s\": %.9g", column->json, value_of(summary, column));
	fprintf(to, ",\n   \"most_moves\": %u, \"unfinished\": %llu, \"decisions\": %llu,\n"
		"   \"means\": [", summary->most_moves,
		(unsigned long long)summary->unfinished,
		(unsigned long long)summary->decisions);
	for (i = 0; i < comparison->runs; i++)
		fprintf(to, "%s%.9g", i ? ", " : "", summary->means[i]);
	fprintf(to, "]}");
}

void sim_print_json(const struct sim_comparison *comparison, FILE *to)
{
	unsigned i;

	fprintf(to, "{\"scenario\": \"%s\", \"seed\": %llu, \"runs\": %u, \"jobs\": %llu,\n"
		" \"reference\": \"%s\", \"methods\": [\n",
		comparison->plan->scenario.name, (unsigned long long)comparison->seed,
		comparison->runs, (unsigned long long)comparison->jobs,
		comparison->methods[comparison->reference]->name);
	for (i = 0; i < comparison->count; i++) {
		print_summary(comparison, &comparison->summaries[i], to);
		fputs(i + 1 < comparison->count ? ",\n" : "\n", to);
	}
	fputs(" ]}\n", to);
}
