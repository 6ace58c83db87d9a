/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests of the agent's local protocol (docs/agent-protocol.md): a line
 * of a client becomes a checked struct request. Everything a client sends is
 * checked here and nowhere else; pure, no GLib.
 */
#ifndef MV_MVD_PROTOCOL_H
#define MV_MVD_PROTOCOL_H

#include "net/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_TEXT_SIZE 37    /* with the final NUL */
#define REQUEST_NAME_MAX 64  /* bytes */
#define REQUEST_JOB_MAX 64
#define REQUEST_NODE_MAX 64
#define REQUEST_NODES_MAX 520 /* eight, and commas */
#define REQUEST_COMMAND_MAX 4096
#define REQUEST_HOST_MAX 270 /* a host name and a port */
#define REQUEST_TOKEN_MAX 128

enum request_op {
	REQUEST_HELLO,
	REQUEST_RUN,
	REQUEST_ATTACH,
	REQUEST_STARTED,
	REQUEST_BOOT_FAILED,
	REQUEST_STOPPING,
	REQUEST_RUNNING,
	REQUEST_UP,
	REQUEST_STALE,
	REQUEST_JOBS,
	REQUEST_INFO,
	REQUEST_SUSPEND,
	REQUEST_RESUME,
	REQUEST_KILL,
	REQUEST_MIGRATE,
	REQUEST_WHY,
	REQUEST_CLUSTER,
	REQUEST_NODES,
	REQUEST_DOCTOR,
	REQUEST_SCHEDULE,
	REQUEST_COUNT
};

struct request {
	enum request_op op;
	uint32_t version, memory, cpus, signal, incarnation, home_patience;
	bool pin, home, best, nowait, all, postcopy;
	char uuid[UUID_TEXT_SIZE]; /* lower case */
	char job[REQUEST_JOB_MAX + 1];
	char name[REQUEST_NAME_MAX + 1];
	char on[REQUEST_NODES_MAX + 1];  /* the node to start at, or several */
	char not_on[REQUEST_NODES_MAX + 1];
	char near[REQUEST_JOB_MAX + 1];  /* another job */
	char group[REQUEST_NAME_MAX + 1];
	char kind[16];                   /* "cpu-bound", "io-bound" */
	char value[512];                 /* of a setting */
	char host[REQUEST_NODE_MAX + 1]; /* where mvrun last knew it */
	char to[REQUEST_NODE_MAX + 1];   /* a node, or "home" */
	char command[REQUEST_COMMAND_MAX + 1];
	struct {
		uint32_t port;
		char action[16], token[REQUEST_TOKEN_MAX + 1];
		char host[REQUEST_HOST_MAX + 1], address[REQUEST_HOST_MAX + 1];
		char node[REQUEST_NODE_MAX + 1], name[REQUEST_NODE_MAX + 1];
	} cluster;
};

const char *request_name(enum request_op op);

/*
 * Parse one line of `len` bytes, without its newline. Fields that the operation
 * does not have are zero. Returns 0, or -1 with a text that is fit for the
 * client. Longer names and commands are cut, other strings refused.
 */
int request_parse(struct request *request, const char *line, size_t len,
		  struct err *err);

/* Check a UUID's form (8-4-4-4-12 hexadecimal digits), and put it in lower case. */
bool uuid_normalize(char out[UUID_TEXT_SIZE], const char *text);

/* {"event": name}, to which the caller adds; freed by json_object_put(). */
struct json_object *event_new(const char *name);
void event_add_string(struct json_object *event, const char *field,
		      const char *value);
void event_add_number(struct json_object *event, const char *field,
		      int64_t value);
void event_add_bool(struct json_object *event, const char *field, bool value);

#endif
