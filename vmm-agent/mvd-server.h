/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's socket: clients, their identity, lines from them and messages to
 * them. A client that is slow, silent, or hostile harms only itself: input and
 * output are bounded for each, clients for each user.
 */
#ifndef MV_MVD_SERVER_H
#define MV_MVD_SERVER_H

#include "net/err.h"
#include "vmm-agent/mvd-protocol.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct server;
struct client;

struct server_handlers {
	/* A request in due form, after the hello. */
	void (*request)(void *ctx, struct client *client,
			const struct request *request);
	/* The client is going away; who kept it must forget it now. */
	void (*closed)(void *ctx, struct client *client);
};

/* Listen at `path`, replacing a stale socket; the caller holds the lock that
 * makes it the only one. `mode` is the socket's. */
struct server *server_new(const char *path, int mode, const char *node,
			  const struct server_handlers *handlers, void *ctx,
			  struct err *err);
/* Removes the socket. Handlers are not called. */
void server_free(struct server *server);

/*
 * Until it is open, the server greets clients and keeps their requests; they
 * hear `text` as a phase. Opening it serves what has been kept.
 */
void server_open(struct server *server);
bool server_is_open(const struct server *server);

unsigned server_clients(const struct server *server);

/* Who it is: from the socket, at the time it connected. */
uid_t client_uid(const struct client *client);
pid_t client_pid(const struct client *client);
/* Start time of that process, struct process; 0 when it could not be told. */
uint64_t client_start(const struct client *client);

/* False when it has gone. */
bool client_is_open(const struct client *client);

/* Send a message; takes the reference. May close the client, but not before the
 * caller has returned to the main loop. */
void client_send(struct client *client, struct json_object *message);
/* With a descriptor, which is taken too. */
void client_send_fd(struct client *client, struct json_object *message,
		    int fd);
/* An `error` in answer to `op` (NULL: none known). */
void client_error(struct client *client, const char *op, const char *text,
		  const char *hint);

struct client *client_ref(struct client *client);
void client_unref(struct client *client);

#endif
