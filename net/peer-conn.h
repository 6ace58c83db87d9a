/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One TLS connection between two agents, as lines of JSON in the main loop:
 * what the rest of net/peer*.c and net/join.c share. Lines in and out are
 * bounded. Nothing here trusts the other end, nor knows who it is.
 *
 * A connection is counted by references: its owner has one, each operation that
 * GIO has not finished has one. Callbacks are made to an owner only; after
 * conn_close() or conn_finish() there is none.
 */
#ifndef MV_NET_PEER_CONN_H
#define MV_NET_PEER_CONN_H

#include "net/err.h"

#include <gio/gio.h>
#include <json-c/json.h>
#include <stdbool.h>

/* Every connection that is not closed yet, so that all can be. */
struct conn_set {
	GHashTable *conns;
};

struct conn;

struct conn_handlers {
	/* TLS is established. */
	void (*secure)(void *ctx, struct conn *conn);
	/* A line has come. */
	void (*line)(void *ctx, struct conn *conn, struct json_object *object);
	/* The connection is lost; the owner's reference is still its own. */
	void (*lost)(void *ctx, struct conn *conn, const char *why);
};

void conn_set_init(struct conn_set *set);
/* Closes all that are left. */
void conn_set_clear(struct conn_set *set);

/*
 * Begin TLS on a connected socket, as its server or its client, with our own
 * certificate (NULL: none). Any certificate of the other end is let through:
 * judging it is the owner's task.
 */
struct conn *conn_new(struct conn_set *set, GSocketConnection *tcp,
		      bool server, GTlsCertificate *own,
		      const struct conn_handlers *handlers, void *ctx);
struct conn *conn_ref(struct conn *conn);
void conn_unref(struct conn *conn);
void conn_own(struct conn *conn, const struct conn_handlers *handlers,
	      void *ctx);

/* The certificate (DER) of the other end; NULL when it showed none. */
GByteArray *conn_certificate(struct conn *conn);
/* "10.0.0.2": where the other end is. */
const char *conn_remote(const struct conn *conn);
char *conn_remote_name(GSocketConnection *tcp); /* to be freed */

/* Lines come from now on, until paused. */
void conn_read(struct conn *conn);
void conn_pause(struct conn *conn);
/* The longest line that is taken: PEER_MAX_LINE at first. A longer one has to consist of
 * strings. */
void conn_limit_lines(struct conn *conn, size_t max);

/* Send a line; the object is taken. */
void conn_send(struct conn *conn, struct json_object *object);
/* A line ready made, without its newline. */
void conn_send_text(struct conn *conn, const char *text);
/* The same with its newline; they are shared, not copied. */
void conn_send_bytes(struct conn *conn, GBytes *line);
/* Bytes that wait to be sent. */
size_t conn_queued(const struct conn *conn);

/* Fail with the text unless called again within the time; 0: no limit. */
void conn_deadline(struct conn *conn, unsigned ms, const char *text);

/* The end, at once. */
void conn_close(struct conn *conn);
/* The end, once what was sent has gone out; with a last word when not NULL. */
void conn_finish(struct conn *conn, const char *error);

/*
 * Give the TLS stream up to somebody else once all is sent: `done` gets a
 * reference to it and what was read too far. The connection then ends without a
 * word. Reading must be paused.
 */
typedef void (*conn_release_fn)(void *ctx, GIOStream *tls,
				GSocketConnection *tcp, GBytes *surplus);
void conn_release(struct conn *conn, conn_release_fn done, void *ctx);

#endif
