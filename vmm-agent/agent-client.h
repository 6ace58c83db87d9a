/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's connection to the agent of this node: mvrun and mvctl. The
 * protocol is in docs/agent-protocol.md.
 *
 * The functions wait, where they wait, for a bounded time. A program with a
 * loop of its own polls agent_fd() for POLLIN and then calls agent_receive()
 * with a time of 0 until it returns 0: one read may bring several messages.
 */
#ifndef MV_AGENT_CLIENT_H
#define MV_AGENT_CLIENT_H

#include "net/err.h"

#include <json-c/json.h>
#include <stdbool.h>

#define AGENT_PROTOCOL_VERSION 1
#define AGENT_MAX_LINE 65536              /* bytes a client may send at once */
#define AGENT_MAX_ANSWER (16 * 1024 * 1024) /* bytes of one line from the agent */

struct agent;

enum agent_flags {
	/* Start an agent when none answers: an ordinary user's private one, or
	 * the system's when the caller is root. */
	AGENT_START = 1 << 0,
	/* Let root connect to another user's agent. */
	AGENT_OF_OTHERS = 1 << 1,
};

/*
 * Connect and exchange hellos. Tries $MONOVISOR_SOCKET alone when it is set,
 * else the system's socket, else the user's private one. `program` names the
 * caller. -1 with num ENOENT or ECONNREFUSED means that no agent runs; the text
 * says how to start one.
 */
int agent_connect(struct agent **agent, unsigned flags, const char *program,
		  struct err *err);
void agent_free(struct agent *agent);

int agent_fd(const struct agent *agent);
/* From the agent's hello: the name of its node. Owned by the agent. */
const char *agent_node(const struct agent *agent);
/* The path of the socket it is connected to. */
const char *agent_socket(const struct agent *agent);

/* Send one message; the caller keeps `message`. Returns 0 or -1. */
int agent_send(struct agent *agent, struct json_object *message,
	       struct err *err);
/* The same for {"op": op, "uuid": uuid}; a NULL uuid is left out. */
int agent_send_op(struct agent *agent, const char *op, const char *uuid,
		  struct err *err);

/*
 * Take the next message, waiting up to `timeout_ms` (0: not at all, -1: without
 * end). Returns 1 with a new reference in *message, 0 when none came, -1 when the
 * connection is lost (num is ECONNRESET) or what came is no message. *fd gets the
 * descriptor that came with an `attach` event, else -1; the caller owns it.
 */
int agent_receive(struct agent *agent, int timeout_ms,
		  struct json_object **message, int *fd, struct err *err);

/* A string field of a message, "" when it is missing or no string. */
const char *agent_string(struct json_object *message, const char *field);
/* A number or boolean field, 0 when it is missing. */
long long agent_number(struct json_object *message, const char *field);

#endif
