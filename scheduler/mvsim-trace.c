/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 32
#define NUMBER_MAX 1e15
#define TIME_MAX 1e9

/* The fields of a line that matter, by their places in it. */
enum field { NUMBER, SUBMIT, WAIT, RUN, PROCESSORS, CPU, MEMORY, ASKED_PROCESSORS, ASKED_TIME,
	     ASKED_MEMORY, STATUS, USER, GROUP, PROGRAM, QUEUE, PARTITION, AFTER, THINK, FIELDS };

struct parser {
	const struct sim_scenario *scenario;
	const char *at, *end;
	unsigned line;
	struct sim_job_spec *jobs;
	uint32_t count, room;
	double first; /* submission of all, s */
	struct err *err;
};

static int refuse(struct parser *parser, const char *what)
{
	return err_set(parser->err, 0, "line %u: %s", parser->line, what);
}

static void skip_blanks(struct parser *parser, const char *end)
{
	while (parser->at < end && strchr(" \t\r", *parser->at) && *parser->at)
		parser->at++;
}

static int read_number(struct parser *parser, const char *end, double *number)
{
	static const char allowed[] = "0123456789.+-eE";
	char token[TOKEN_MAX + 1], *stop;
	size_t len = 0;

	while (parser->at < end && *parser->at && strchr(allowed, *parser->at)) {
		if (len == TOKEN_MAX)
			return refuse(parser, "a number is too long");
		token[len++] = *parser->at++;
	}
	token[len] = '\0';
	*number = strtod(token, &stop);
	if (len == 0 || *stop || !(fabs(*number) <= NUMBER_MAX))
		return refuse(parser, "there must be 18 numbers");
	return 0;
}

/* 1 when there was nothing but a comment. */
static int read_line(struct parser *parser, const char *end, double *fields)
{
	unsigned i;

	skip_blanks(parser, end);
	if (parser->at == end || *parser->at == ';')
		return 1;
	for (i = 0; i < FIELDS; i++) {
		if (read_number(parser, end, &fields[i]) < 0)
			return -1;
		if (parser->at < end && !strchr(" \t\r", *parser->at))
			return refuse(parser, "there must be numbers, with blanks between them");
		skip_blanks(parser, end);
	}
	return parser->at < end ? refuse(parser, "there are more than 18 numbers") : 0;
}

static double known_of(double first, double second)
{
	return first > 0 ? first : second > 0 ? second : 0;
}

static uint32_t home_of(const struct sim_scenario *scenario, const double *fields)
{
	double of = fields[USER] >= 0 ? fields[USER] : fmax(fields[NUMBER], 0);

	return (uint32_t)fmod(floor(of), scenario->node_count);
}

static void add(struct parser *parser, const struct sim_job_spec *job)
{
	if (parser->count == parser->room) {
		parser->room = parser->room ? 2 * parser->room : 256;
		parser->jobs = sim_grow(parser->jobs, parser->room, sizeof(*job));
	}
	parser->jobs[parser->count++] = *job;
}

static int add_jobs(struct parser *parser, const double *fields)
{
	double parts = fmax(1, floor(known_of(fields[PROCESSORS], fields[ASKED_PROCESSORS])));
	double mem = 1024 * known_of(fields[MEMORY], fields[ASKED_MEMORY]);
	struct sim_job_spec job = {
		.arrival = fields[SUBMIT], .demand = known_of(fields[CPU], fields[RUN]),
		.mem = mem, .mem_most = mem, .dirty = 0.1 * mem, .hot = 0.2 * mem,
		.home = home_of(parser->scenario, fields),
		.peer = SIM_NOBODY, .after = SIM_NOBODY,
	};

	if (job.demand <= 0) /* it was cancelled, or is not known */
		return 0;
	if (!(job.arrival >= 0 && job.arrival <= TIME_MAX && job.demand <= TIME_MAX))
		return refuse(parser, "a time is out of range");
	if (mem > parser->scenario->mem_largest)
		return refuse(parser, "no node has that much memory");
	if (parts > SIM_MAX_JOBS - parser->count)
		return err_set(parser->err, 0, "line %u: more than %u jobs", parser->line,
			       SIM_MAX_JOBS);
	job.demand = fmax(job.demand, 1e-3);
	parser->first = fmin(parser->first, job.arrival);
	while (parts-- > 0)
		add(parser, &job);
	return 0;
}

static int read_all(struct parser *parser)
{
	double fields[FIELDS];

	while (parser->at < parser->end) {
		const char *end = memchr(parser->at, '\n', (size_t)(parser->end - parser->at));
		int result;

		if (!end)
			end = parser->end;
		parser->line++;
		result = read_line(parser, end, fields);
		if (result < 0 || (result == 0 && add_jobs(parser, fields) < 0))
			return -1;
		parser->at = end == parser->end ? end : end + 1;
	}
	return parser->count ? 0 : err_set(parser->err, 0, "there are no jobs that ran");
}

int sim_trace_parse(const char *text, size_t len, const struct sim_scenario *scenario,
		    struct sim_job_spec **jobs, uint32_t *count, struct err *err)
{
	struct parser parser = { .scenario = scenario, .at = text, .end = text + len,
				 .first = INFINITY, .err = err };
	uint32_t i;

	if (read_all(&parser) < 0) {
		free(parser.jobs);
		return -1;
	}
	for (i = 0; i < parser.count; i++)
		parser.jobs[i].arrival -= parser.first;
	*jobs = parser.jobs;
	*count = parser.count;
	return 0;
}
