/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvctl: looks at and steers the jobs of a node, by asking its agent.
 */
#ifndef MV_MVCTL_H
#define MV_MVCTL_H

#include "net/err.h"
#include "vmm-agent/agent-client.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#define MVCTL_MISUSED (-2) /* from a command: the command line is wrong */
#define MVCTL_MAX_WORDS 12

/* What is said on the command line besides the subcommand. */
struct mvctl_options {
	bool json, all;
	int signal;
	const char *job;
	const char *node; /* migrate: where to */
	const char *group; /* instead of a job; jobs: of those only */
	const char *command; /* its name */
	bool post_copy;
	const char *words[MVCTL_MAX_WORDS + 1]; /* cluster: the rest */
	unsigned word_count;
};

/* ---- asking the agent: mvctl-ask.c ---- */

struct json_object *request_new(const char *op);
/* Send a request (taken) on a new connection; the answer, or NULL. */
struct json_object *ask(struct json_object *request, struct err *err);
/* The same; what the agent says on the way goes to `progress`. */
struct json_object *ask_on_the_way(struct json_object *request,
				   void (*progress)(void *ctx,
						    struct json_object *event),
				   void *ctx, struct err *err);

/* ---- mvctl-migrate.c ---- */

int do_migrate(const struct mvctl_options *options, struct err *err);
int do_why(const struct mvctl_options *options, struct err *err);

/* ---- mvctl-schedule.c ---- */

int do_schedule(const struct mvctl_options *options, struct err *err);

/* ---- mvctl-cluster.c ---- */

int do_cluster(const struct mvctl_options *options, struct err *err);
void cluster_usage(FILE *out);

/* Print what the agent answered, for people. */
void print_jobs(FILE *out, struct json_object *jobs);
void print_job(FILE *out, struct json_object *job);
void print_nodes(FILE *out, struct json_object *nodes);
void print_checks(FILE *out, struct json_object *checks);
void print_discovered(FILE *out, struct json_object *nodes);
void print_cluster(FILE *out, struct json_object *answer);
/* Anything, for programs. */
void print_json(FILE *out, struct json_object *value);

/*
 * A text from somebody else, made fit for a terminal: control characters,
 * which could steer it, become '?'. At most `size` - 1 bytes; returns `to`.
 */
char *print_clean(char *to, size_t size, const char *text);

/* Checks that need no agent: an array as the agent's `doctor` gives it, which
 * begins with the agent itself. `agent` may be NULL: then `why` says so. */
struct json_object *doctor_checks(struct agent *agent, const struct err *why);
/* True when each of them is ok. */
bool doctor_all_ok(struct json_object *checks);

/* A signal by number or name, with or without SIG; -1: there is none such. */
int signal_find(const char *name);

#endif
