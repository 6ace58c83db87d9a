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

/* What is said on the command line besides the subcommand. */
struct mvctl_options {
	bool json, all;
	int signal;
	const char *job;
};

/* Print what the agent answered, for people. */
void print_jobs(FILE *out, struct json_object *jobs);
void print_job(FILE *out, struct json_object *job);
void print_nodes(FILE *out, struct json_object *nodes);
void print_checks(FILE *out, struct json_object *checks);
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
