/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-scenario.h"

#include "net/cleanup.h"
#include "scheduler/mvsim-json.h"
#include "scheduler/mvsim-trace.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SCRIPT 100000u
#define MAX_TIME 1e9

/* ---- fields ---- */

#define F(type, name, structure, member, min, max) \
	{ name, SIM_##type, offsetof(struct structure, member), min, max }

static const struct sim_field param_fields[] = {
	F(NUMBER, "thrashing", sim_params, tau, 1, 1000),
	F(BYTES, "bandwidth", sim_params, link.bandwidth, 1, 1e12),
	F(NUMBER, "setup", sim_params, link.setup, 0, 3600),
	F(NUMBER, "resume", sim_params, link.resume, 0, 3600),
	F(NUMBER, "stop", sim_params, link.stop, 0, 3600),
	F(NUMBER, "slowdown", sim_params, link.slowdown, 0, 0.99),
	F(NUMBER, "copy_cpu", sim_params, link.cpu, 0, 64),
	F(BYTES, "file_rate", sim_params, file_rate, 1, 1e12),
	F(NUMBER, "loss", sim_params, loss, 0, 0.99),
	F(NUMBER, "delay", sim_params, delay, 0, 60),
	F(NUMBER, "move_noise", sim_params, move_noise, 0, 3),
	F(NUMBER, "step", sim_params, step, 0.01, 3600),
	F(NUMBER, "limit", sim_params, limit, 1, MAX_TIME),
	F(COUNT, "window", sim_params, window, 2, GOSSIP_WINDOW_MAX),
	F(COUNT, "known", sim_params, known, 2, SIM_MAX_NODES),
	F(BOOL, "free_moves", sim_params, free_moves, 0, 0),
	{ 0 },
};

static const struct sim_field node_fields[] = {
	F(NUMBER, "cpus", sim_node_spec, cpus, 1.0 / 64, SCHED_MAX_CPUS),
	F(NUMBER, "speed", sim_node_spec, speed, SCHED_MIN_SPEED, SCHED_MAX_SPEED),
	F(BYTES, "memory", sim_node_spec, mem, 1, SCHED_MAX_BYTES),
	F(NUMBER, "others", sim_node_spec, others, 0, 1000),
	{ "name", SIM_OTHER, 0, 0, 0 },
	{ "count", SIM_OTHER, 0, 0, 0 },
	{ 0 },
};

static const struct sim_field job_fields[] = {
	F(NUMBER, "at", sim_job_spec, arrival, 0, MAX_TIME),
	F(NUMBER, "cpu", sim_job_spec, demand, 1e-3, MAX_TIME),
	F(BYTES, "memory", sim_job_spec, mem, 0, SCHED_MAX_BYTES),
	F(BYTES, "grow", sim_job_spec, grow, 0, 1e12),
	F(BYTES, "grow_most", sim_job_spec, mem_most, 0, SCHED_MAX_BYTES),
	F(BYTES, "dirty", sim_job_spec, dirty, 0, 1e12),
	F(BYTES, "hot", sim_job_spec, hot, 0, SCHED_MAX_BYTES),
	F(BYTES, "io", sim_job_spec, io, 0, 1e12),
	F(BYTES, "talk", sim_job_spec, talk, 0, 1e12),
	F(BOOL, "pinned", sim_job_spec, pinned, 0, 0),
	{ "home", SIM_OTHER, 0, 0, 0 },
	{ "talks_to", SIM_OTHER, 0, 0, 0 },
	{ "after", SIM_OTHER, 0, 0, 0 },
	{ 0 },
};

static const struct sim_field workload_fields[] = {
	F(NUMBER, "rate", sim_workload, rate, 1e-9, 1e6),
	F(NUMBER, "from", sim_workload, from, 0, MAX_TIME),
	F(NUMBER, "seconds", sim_workload, seconds, 0, MAX_TIME),
	F(NUMBER, "spread", sim_workload, spread, 0, 5),
	F(NUMBER, "alpha", sim_workload, alpha, 0.05, 20),
	F(NUMBER, "least", sim_workload, least, 1e-3, MAX_TIME),
	F(NUMBER, "most", sim_workload, most, 1e-3, MAX_TIME),
	F(BYTES, "memory_least", sim_workload, mem_least, 0, SCHED_MAX_BYTES),
	F(BYTES, "memory_most", sim_workload, mem_most, 0, SCHED_MAX_BYTES),
	F(BYTES, "grow", sim_workload, grow, 0, 1e12),
	F(BYTES, "grow_most", sim_workload, grow_most, 0, SCHED_MAX_BYTES),
	F(NUMBER, "dirty", sim_workload, dirty, 0, 1000),
	F(NUMBER, "hot", sim_workload, hot, 0, 1),
	F(BYTES, "io", sim_workload, io, 0, 1e12),
	F(NUMBER, "io_share", sim_workload, io_share, 0, 1),
	F(COUNT, "count", sim_workload, count, 0, SIM_MAX_JOBS),
	{ "kind", SIM_OTHER, 0, 0, 0 },
	{ "home", SIM_OTHER, 0, 0, 0 },
	{ 0 },
};

static const struct sim_field script_fields[] = {
	F(NUMBER, "at", sim_script, at, 0, MAX_TIME),
	F(NUMBER, "value", sim_script, value, 0, 1e9),
	{ "node", SIM_OTHER, 0, 0, 0 },
	{ "what", SIM_OTHER, 0, 0, 0 },
	{ "every", SIM_OTHER, 0, 0, 0 },
	{ "until", SIM_OTHER, 0, 0, 0 },
	{ 0 },
};

static const struct sim_field top_fields[] = {
	{ "name", SIM_OTHER, 0, 0, 0 }, { "nodes", SIM_OTHER, 0, 0, 0 },
	{ "jobs", SIM_OTHER, 0, 0, 0 }, { "workload", SIM_OTHER, 0, 0, 0 },
	{ "events", SIM_OTHER, 0, 0, 0 }, { "params", SIM_OTHER, 0, 0, 0 },
	{ "policy", SIM_OTHER, 0, 0, 0 }, { "trace", SIM_OTHER, 0, 0, 0 },
	{ 0 },
};

/* ---- nodes ---- */

struct reader {
	struct sim_plan *plan;
	uint32_t *by_name; /* nodes, sorted */
};

static int set_name(char *to, const char *name, const char *where, struct err *err)
{
	size_t len = name ? strlen(name) : 0;

	if (!name)
		return err_set(err, 0, "%s needs a \"name\"", where);
	if (len == 0 || len > SIM_NAME_MAX ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789-_.") != len)
		return err_set(err, 0, "%s: a name has 1 to %d letters, digits, '-', '_' "
			       "or '.'", where, SIM_NAME_MAX);
	memcpy(to, name, len + 1);
	return 0;
}

static int node_count(struct json_object *json, const char *where, uint32_t *count,
		      struct err *err)
{
	struct sim_field field = { "count", SIM_COUNT, 0, 1, SIM_MAX_NODES };
	struct json_object *value = sim_json_get(json, "count");

	*count = 1;
	return value ? sim_json_number(value, &field, (char *)count, where, err) : 0;
}

/* "count": 3 makes name-1, name-2 and name-3. */
static int add_nodes(struct sim_scenario *scenario, const struct sim_node_spec *spec,
		     uint32_t count, const char *where, struct err *err)
{
	uint32_t i;

	if (count > SIM_MAX_NODES - scenario->node_count)
		return err_set(err, 0, "%s: more than %u nodes", where, SIM_MAX_NODES);
	scenario->nodes = sim_grow(scenario->nodes, scenario->node_count + count,
				   sizeof(scenario->nodes[0]));
	for (i = 0; i < count; i++) {
		struct sim_node_spec *node = &scenario->nodes[scenario->node_count++];

		*node = *spec;
		if (count > 1 && snprintf(node->name, sizeof(node->name), "%.*s-%u",
					  SIM_NAME_MAX - 7, spec->name, i + 1) < 0)
			return -1;
	}
	return 0;
}

static int read_node(struct json_object *json, struct sim_scenario *scenario,
		     const char *where, struct err *err)
{
	struct sim_node_spec spec = { .cpus = 1, .speed = 1, .mem = 0x1p32 };
	uint32_t count;

	if (sim_json_fields(json, node_fields, &spec, where, err) < 0 ||
	    set_name(spec.name, sim_json_text(json, "name"), where, err) < 0 ||
	    node_count(json, where, &count, err) < 0)
		return -1;
	scenario->mem_largest = fmax(scenario->mem_largest, spec.mem);
	return add_nodes(scenario, &spec, count, where, err);
}

static const struct sim_node_spec *sorting;

static int by_name(const void *a, const void *b)
{
	return strcmp(sorting[*(const uint32_t *)a].name,
		      sorting[*(const uint32_t *)b].name);
}

static int sort_names(struct reader *reader, struct err *err)
{
	const struct sim_scenario *scenario = &reader->plan->scenario;
	uint32_t i;

	reader->by_name = sim_need(scenario->node_count, sizeof(reader->by_name[0]));
	for (i = 0; i < scenario->node_count; i++)
		reader->by_name[i] = i;
	sorting = scenario->nodes;
	qsort(reader->by_name, scenario->node_count, sizeof(reader->by_name[0]), by_name);
	for (i = 1; i < scenario->node_count; i++)
		if (strcmp(sorting[reader->by_name[i - 1]].name,
			   sorting[reader->by_name[i]].name) == 0)
			return err_set(err, 0, "two nodes have the name \"%s\"",
				       sorting[reader->by_name[i]].name);
	return 0;
}

static int find_node(const struct reader *reader, const char *name, const char *where,
		     uint32_t *node, struct err *err)
{
	const struct sim_scenario *scenario = &reader->plan->scenario;
	uint32_t low = 0, high = scenario->node_count;

	while (name && low < high) {
		uint32_t middle = (low + high) / 2;
		int order = strcmp(name, scenario->nodes[reader->by_name[middle]].name);

		if (order == 0) {
			*node = reader->by_name[middle];
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return err_set(err, 0, "%s: there is no node \"%.40s\"", where,
		       name ? name : "");
}

static int read_nodes(struct reader *reader, struct json_object *top, struct err *err)
{
	struct json_object *array;
	uint32_t count, i;

	if (sim_json_array(top, "nodes", SIM_MAX_NODES, &array, &count, err) < 0)
		return -1;
	if (count == 0)
		return err_set(err, 0, "a scenario needs \"nodes\"");
	for (i = 0; i < count; i++) {
		char where[32];

		snprintf(where, sizeof(where), "nodes[%u]", i);
		if (read_node(json_object_array_get_idx(array, i),
			      &reader->plan->scenario, where, err) < 0)
			return -1;
	}
	return sort_names(reader, err);
}

/* ---- jobs ---- */

static int job_reference(struct json_object *json, const char *name, uint32_t self,
			 uint32_t count, const char *where, uint32_t *job,
			 struct err *err)
{
	struct sim_field field = { name, SIM_COUNT, 0, 0, count - 1.0 };
	struct json_object *value = sim_json_get(json, name);

	*job = SIM_NOBODY;
	if (!value)
		return 0;
	if (sim_json_number(value, &field, (char *)job, where, err) < 0)
		return -1;
	if (*job == self)
		return err_set(err, 0, "%s: \"%s\" is the job itself", where, name);
	return 0;
}

static int read_job(const struct reader *reader, struct json_object *json, uint32_t self,
		    uint32_t count, struct err *err)
{
	struct sim_job_spec *job = &reader->plan->scenario.jobs[self];
	char where[32];

	snprintf(where, sizeof(where), "jobs[%u]", self);
	*job = (struct sim_job_spec){ .demand = 1 };
	if (sim_json_fields(json, job_fields, job, where, err) < 0 ||
	    job_reference(json, "talks_to", self, count, where, &job->peer, err) < 0 ||
	    job_reference(json, "after", self, count, where, &job->after, err) < 0)
		return -1;
	if (job->mem > reader->plan->scenario.mem_largest)
		return err_set(err, 0, "%s: no node has that much memory", where);
	if (!sim_json_get(json, "home"))
		return 0; /* the first node */
	return find_node(reader, sim_json_text(json, "home"), where, &job->home, err);
}

/* Follow "after" from each job; a chain that is longer than there are jobs is a
 * circle. Jobs found to end are not followed again. */
static int check_chains(const struct sim_scenario *scenario, struct err *err)
{
	cleanup_free uint32_t *seen = sim_need(scenario->job_count, sizeof(seen[0]));
	uint32_t i, job;

	for (i = 0; i < scenario->job_count; i++) {
		for (job = i; job != SIM_NOBODY && seen[job] == 0;
		     job = scenario->jobs[job].after)
			seen[job] = i + 1;
		if (job != SIM_NOBODY && seen[job] == i + 1)
			return err_set(err, 0, "jobs[%u]: it waits, by \"after\", for "
				       "itself", job);
	}
	return 0;
}

static int read_jobs(struct reader *reader, struct json_object *top, struct err *err)
{
	struct sim_scenario *scenario = &reader->plan->scenario;
	struct json_object *array;
	uint32_t count, i;

	if (sim_json_array(top, "jobs", SIM_MAX_JOBS, &array, &count, err) < 0)
		return -1;
	scenario->jobs = sim_need(count, sizeof(scenario->jobs[0]));
	scenario->job_count = count;
	for (i = 0; i < count; i++)
		if (read_job(reader, json_object_array_get_idx(array, i), i, count,
			     err) < 0)
			return -1;
	return check_chains(scenario, err);
}

static int workload_kind(const char *name, enum sim_workload_kind *kind, struct err *err)
{
	unsigned i;

	for (i = SIM_FIXED + 1; name && i < SIM_WORKLOADS; i++)
		if (strcmp(sim_workload_name(i), name) == 0) {
			*kind = i;
			return 0;
		}
	return err_set(err, 0, "workload: there is no kind \"%.40s\"", name ? name : "");
}

static int check_workload(const struct reader *reader, struct err *err)
{
	const struct sim_workload *workload = &reader->plan->workload;

	if (workload->least > workload->most)
		return err_set(err, 0, "workload: \"least\" is more than \"most\"");
	if (workload->mem_most > reader->plan->scenario.mem_largest)
		return err_set(err, 0, "workload: no node has \"memory_most\"");
	if (workload->rate * workload->seconds * exp(workload->spread) > SIM_MAX_JOBS &&
	    !workload->count)
		return err_set(err, 0, "workload: that would be more than %u jobs",
			       SIM_MAX_JOBS);
	return 0;
}

static int read_trace_name(struct reader *reader, struct json_object *top, struct err *err)
{
	const char *name = sim_json_text(top, "trace");

	if (!sim_json_get(top, "trace"))
		return 0;
	if (!name || !*name)
		return err_set(err, 0, "\"trace\" is not the name of a file");
	reader->plan->trace = strdup(name);
	return reader->plan->trace ? 0 : err_set(err, errno, "\"trace\"");
}

static int read_workload(struct reader *reader, struct json_object *top, struct err *err)
{
	struct sim_workload *workload = &reader->plan->workload;
	struct json_object *json = sim_json_get(top, "workload");

	sim_workload_default(workload);
	workload->kind = SIM_FIXED;
	if (reader->plan->trace && (json || reader->plan->scenario.job_count))
		return err_set(err, 0, "a scenario with a \"trace\" has no other jobs");
	if (!json && !reader->plan->trace && reader->plan->scenario.job_count == 0)
		return err_set(err, 0, "a scenario needs \"jobs\", a \"workload\" or a "
			       "\"trace\"");
	if (!json)
		return 0;
	if (reader->plan->scenario.job_count)
		return err_set(err, 0, "a scenario has \"jobs\" or a \"workload\", not "
			       "both");
	workload->mem_most = fmin(workload->mem_most, reader->plan->scenario.mem_largest);
	if (sim_json_fields(json, workload_fields, workload, "workload", err) < 0 ||
	    workload_kind(sim_json_text(json, "kind"), &workload->kind, err) < 0 ||
	    check_workload(reader, err) < 0)
		return -1;
	if (!sim_json_get(json, "home"))
		return 0;
	return find_node(reader, sim_json_text(json, "home"), "workload", &workload->home,
			 err);
}

/* ---- events ---- */

static const char *const whats[] = {
	[SIM_FAIL] = "fail", [SIM_RETURN] = "return", [SIM_DRAIN] = "drain",
	[SIM_OPEN] = "open", [SIM_CUT] = "cut", [SIM_HEAL] = "heal",
	[SIM_OTHERS] = "others", [SIM_LIE] = "lie",
	[SIM_BOAST] = "boast", [SIM_HIDE] = "hide",
};
static_assert(sizeof(whats) / sizeof(whats[0]) == SIM_WHATS, "a name each");

static int event_kind(struct json_object *json, const char *where, enum sim_what *kind,
		      struct err *err)
{
	const char *what = sim_json_text(json, "what");
	unsigned i = 0;

	while (what && i < SIM_WHATS && strcmp(whats[i], what) != 0)
		i++;
	if (!what || i == SIM_WHATS)
		return err_set(err, 0, "%s: there is no event \"%.40s\"", where,
			       what ? what : "");
	*kind = i;
	return 0;
}

/* "every" so many seconds "until" a time, or once. */
static int repeat(struct json_object *json, struct sim_scenario *scenario,
		  struct sim_script event, const char *where, struct err *err)
{
	static const struct sim_field every_field = { "every", SIM_NUMBER, 0, 0.1, MAX_TIME };
	static const struct sim_field until_field = { "until", SIM_NUMBER, 0, 0, MAX_TIME };
	double every = INFINITY, until = event.at;

	if (sim_json_get(json, "every") &&
	    (sim_json_number(sim_json_get(json, "every"), &every_field, (char *)&every, where,
			err) < 0 ||
	     !sim_json_get(json, "until") ||
	     sim_json_number(sim_json_get(json, "until"), &until_field, (char *)&until, where,
			err) < 0))
		return err_prefix(err, "%s: \"every\" needs an \"until\"", where);
	for (; event.at <= until; event.at += every) {
		if (scenario->script_count == MAX_SCRIPT)
			return err_set(err, 0, "%s: more than %u events", where,
				       MAX_SCRIPT);
		scenario->script = sim_grow(scenario->script, scenario->script_count + 1,
					    sizeof(event));
		scenario->script[scenario->script_count++] = event;
	}
	return 0;
}

static int read_event(const struct reader *reader, struct json_object *json,
		      uint32_t index, struct err *err)
{
	struct sim_script event = { .value = 1 };
	char where[32];

	snprintf(where, sizeof(where), "events[%u]", index);
	if (sim_json_fields(json, script_fields, &event, where, err) < 0 ||
	    find_node(reader, sim_json_text(json, "node"), where, &event.node, err) < 0 ||
	    event_kind(json, where, &event.what, err) < 0)
		return -1;
	return repeat(json, &reader->plan->scenario, event, where, err);
}

static int read_events(struct reader *reader, struct json_object *top, struct err *err)
{
	struct json_object *array;
	uint32_t count, i;

	if (sim_json_array(top, "events", MAX_SCRIPT, &array, &count, err) < 0)
		return -1;
	for (i = 0; i < count; i++)
		if (read_event(reader, json_object_array_get_idx(array, i), i, err) < 0)
			return -1;
	return 0;
}

static int read_policy(struct reader *reader, struct json_object *top, struct err *err)
{
	struct json_object *policy = sim_json_get(top, "policy");

	sched_policy_default(&reader->plan->policy);
	if (!policy)
		return 0;
	if (!json_object_is_type(policy, json_type_object))
		return err_set(err, 0, "\"policy\" is not an object");
	json_object_object_foreach(policy, name, value) {
		if (!json_object_is_type(value, json_type_int) &&
		    !json_object_is_type(value, json_type_double))
			return err_set(err, 0, "policy: \"%.40s\" is not a number", name);
		if (sched_policy_set(&reader->plan->policy, name,
				     json_object_get_double(value), err) < 0)
			return err_prefix(err, "policy");
	}
	return 0;
}

/* ---- the whole ---- */

static int read_plan(struct reader *reader, struct json_object *top, struct err *err)
{
	struct sim_scenario *scenario = &reader->plan->scenario;
	struct json_object *params = sim_json_get(top, "params");

	sim_params_default(&scenario->params);
	if (sim_json_fields(top, top_fields, NULL, "the scenario", err) < 0 ||
	    set_name(scenario->name, sim_json_text(top, "name"), "the scenario", err) < 0)
		return -1;
	if (params && sim_json_fields(params, param_fields, &scenario->params, "params",
				  err) < 0)
		return -1;
	if (read_nodes(reader, top, err) < 0 || read_jobs(reader, top, err) < 0 ||
	    read_trace_name(reader, top, err) < 0 ||
	    read_workload(reader, top, err) < 0)
		return -1;
	if (read_events(reader, top, err) < 0)
		return -1;
	return read_policy(reader, top, err);
}

int sim_plan_parse(const char *text, size_t len, struct sim_plan *plan, struct err *err)
{
	struct json_object *top = sim_json_parse(text, len, SIM_MAX_TEXT, err);
	struct reader reader = { .plan = plan };
	int result;

	*plan = (struct sim_plan){ 0 };
	if (!top)
		return -1;
	result = read_plan(&reader, top, err);
	free(reader.by_name);
	json_object_put(top);
	if (result < 0)
		sim_plan_free(plan);
	return result;
}

int sim_plan_param(struct sim_plan *plan, const char *name, double value, struct err *err)
{
	const struct sim_field *field = param_fields;

	while (field->name && (field->type == SIM_BOOL || strcmp(field->name, name) != 0))
		field++;
	if (!field->name)
		return err_set(err, 0, "no number of a scenario's parameters is named \"%.40s\"",
			       name);
	return sim_json_set(value, field, (char *)&plan->scenario.params, "params", err);
}

static char *read_file(const char *path, size_t *len, struct err *err)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	ssize_t got = 0;

	*len = 0;
	if (fd < 0) {
		err_set(err, errno, "cannot open %s", path);
		return NULL;
	}
	do {
		text = sim_grow(text, *len + 65536, 1);
		got = read(fd, text + *len, 65536);
		if (got > 0)
			*len += (size_t)got;
	} while ((got > 0 || (got < 0 && errno == EINTR)) && *len <= SIM_MAX_TEXT);
	if (got < 0)
		err_set(err, errno, "cannot read %s", path);
	else if (*len > SIM_MAX_TEXT)
		err_set(err, 0, "%s has more than %u bytes", path, SIM_MAX_TEXT);
	else
		return text;
	free(text);
	return NULL;
}

/* A name without a slash in front is one in the scenario's own directory. */
static char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	size_t directory = *name == '/' || !slash ? 0 : (size_t)(slash - path) + 1;
	char *whole = sim_need(directory + strlen(name) + 1, 1);

	memcpy(whole, path, directory);
	strcpy(whole + directory, name);
	return whole;
}

static int read_trace(const char *path, struct sim_plan *plan, struct err *err)
{
	cleanup_free char *file = beside(path, plan->trace), *text = NULL;
	size_t len;

	text = read_file(file, &len, err);
	if (!text)
		return -1;
	free(plan->scenario.jobs);
	plan->scenario.jobs = NULL;
	if (sim_trace_parse(text, len, &plan->scenario, &plan->scenario.jobs,
			    &plan->scenario.job_count, err) < 0)
		return err_prefix(err, "%s", file);
	return 0;
}

int sim_plan_load(const char *path, struct sim_plan *plan, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t len;

	text = read_file(path, &len, err);
	if (!text)
		return -1;
	if (sim_plan_parse(text, len, plan, err) < 0)
		return err_prefix(err, "%s", path);
	if (!plan->trace || read_trace(path, plan, err) == 0)
		return 0;
	sim_plan_free(plan);
	return -1;
}
