/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of net/peer*.c share.
 *
 *	peer.c         the members, the roster, the public face
 *	peer-conn.c    a TLS connection as lines
 *	peer-greet.c   who is there? the same at both ends
 *	peer-dial.c    from a name to a greeted connection
 *	peer-ask.c     our questions and their answers
 *	peer-listen.c  the port
 *	peer-serve.c   others' questions
 *	peer-admit.c   a node that wants to join
 *	peer-stream.c  streams, ours and others'
 */
#ifndef MV_NET_PEER_PRIVATE_H
#define MV_NET_PEER_PRIVATE_H

#include "net/cluster.h"
#include "net/peer-conn.h"
#include "net/peer.h"

#include <gio/gio.h>

#define PEER_PROTOCOL_VERSION 1
#define PEER_CONNECT_MS 5000
#define PEER_GREET_MS 10000
#define PEER_MAX_STREAMS 256 /* with one member, in one direction */
/* A roster that was promised, with a certificate beside it where a node is admitted. */
#define PEER_MAX_ROSTER_LINE (ROSTER_MAX_ENVELOPE + 2 * PKI_MAX_PEM)

struct call;

/* A member of the cluster other than this node. */
struct member {
	struct peers *peers;
	char name[PEER_NAME_MAX + 1], key[PEER_NAME_MAX + 1]; /* the key: in lower case */
	char fingerprint[PKI_FINGERPRINT_SIZE];
	int64_t heard;
	int64_t clock_ahead_ms;
	char *trouble;
	/* Our connection for questions: being made, or made. */
	struct call *call;
	struct conn *out;
	bool in_turn; /* it is to be called */
	guint idle;   /* the connection is not used */
	GQueue asks;  /* of struct ask: not yet answered */
	unsigned streams_out, streams_in;
};

struct peers {
	char *dir;
	const struct peers_handlers *handlers;
	void *ctx;
	struct cluster *cluster; /* NULL: none */
	bool active;             /* a member of it, with a port */
	GTlsCertificate *own;
	struct conn_set conns;
	GHashTable *members; /* of struct member, by its name in lower case */
	/* The line with the roster, and the roster that it was made of. */
	GBytes *roster_line;
	struct json_object *line_of;
	/* The newer roster that is fetched, and who else says to have one. */
	struct call *fetch;
	char newer_from[PEER_NAME_MAX + 1];
	int64_t newer_serial;
	guint fetch_timer;
	GSocketListener *listener;
	GCancellable *accepting;
	guint accept_pause;
	/* In the order in which they began. */
	GQueue callers, greets, calls, admits, inbound, streams, opening, finished;
	GQueue turn; /* of struct member: to be called for questions */
	unsigned calling; /* of those called for questions */
	guint settle_source, finished_source;
	int64_t next_id;
	unsigned log_left; /* lines about strangers in this minute */
	int64_t log_minute;
};

struct member *peers_member(const struct peers *peers, const char *name);
/* A sign of life. */
void peers_heard(struct peers *peers, const char *name);
/* Note why it cannot be reached; NULL: it can. */
void peers_trouble(struct peers *peers, const char *name, const char *why);
/* The roster has changed; `push`: this node did it, and tells the others. */
void peers_changed(struct peers *peers, bool push);
/* A roster from another node. -1 when it is not one of this cluster's. */
int peers_take_roster(struct peers *peers, struct json_object *envelope,
		      const char *from, struct err *err);
/* {"roster": the signed roster}, and a newline. Borrowed. */
GBytes *peers_roster_line(struct peers *peers);
/* {"serial": the roster's number} */
struct json_object *peers_serial_line(const struct peers *peers);
/* A line of a member; true when it was about the number of its roster. */
bool peers_take_serial(struct peers *peers, const char *from, struct json_object *line);
/* About somebody unknown: lines of these are limited, so that a scan does not
 * fill the log. */
void peers_log_stranger(struct peers *peers, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- peer-greet.c ---- */

enum purpose {
	PURPOSE_ASK,
	PURPOSE_STREAM,
	PURPOSE_JOIN,
	PURPOSES
};
const char *purpose_name(enum purpose purpose);

struct greeted {
	char name[PEER_NAME_MAX + 1]; /* "" for one who wants to join */
	enum purpose purpose;
	int64_t clock_ahead_ms;
};
/*
 * Exactly once: with the connection, paused, whose owner the callee is now (and
 * has its reference); or with NULL and why not, which the other side knows too.
 */
typedef void (*greet_fn)(void *ctx, struct conn *conn,
			 const struct greeted *who, const char *error);

struct greet;
/* `expect`: whom we called, and then we are the client; NULL: we are called. */
struct greet *greet_new(struct peers *peers, GSocketConnection *tcp,
			const char *expect, enum purpose purpose,
			greet_fn done, void *ctx);
/* The callback is not made. */
void greet_cancel(struct greet *greet);
/* How many callers of this address ("10.0.0.2"; NULL: any) are being greeted. */
unsigned greets_from(const struct peers *peers, const char *address);

/* ---- peer-dial.c ---- */

struct dial;
typedef void (*dial_fn)(void *ctx, GSocketConnection *tcp, const char *error);
struct dial *dial_new(const char *host, unsigned port, unsigned timeout_ms,
		      dial_fn done, void *ctx);
void dial_cancel(struct dial *dial);

/* Dial a member and greet it. The callback is never made from inside. */
struct call *call_new(struct peers *peers, const char *name,
		      enum purpose purpose, greet_fn done, void *ctx);
void call_cancel(struct call *call);

/* ---- peer-ask.c ---- */

/* Close our connection to the member and fail what it has not answered. */
void asks_fail(struct member *member, const char *why);
/* The same for one that was removed: it is told so. */
void asks_farewell(struct member *member);
/* The connection for our questions is there. */
void asks_connected(struct member *member, struct conn *conn,
		    const struct greeted *who);
/* Tell it the number of our roster, if it is connected: true. */
bool asks_tell_roster(struct member *member);
/* See that it gets our roster, calling it if need be. */
void asks_push_roster(struct member *member);
void asks_init(struct peers *peers);
/* Drop all answers still owed. */
void asks_clear(struct peers *peers);

/* ---- peer-listen.c ---- */

int listen_start(struct peers *peers, unsigned port, struct err *err);
void listen_stop(struct peers *peers);

/* ---- peer-serve.c ---- */

/* A member's connection for its questions. */
void questions_serve(struct peers *peers, struct conn *conn,
		     const struct greeted *who);
/* End the connections of nodes that are no members now. */
void questions_settle(struct peers *peers);
void questions_tell_roster(struct peers *peers);
void questions_clear(struct peers *peers);

/* ---- peer-admit.c ---- */

void admit_start(struct peers *peers, struct conn *conn,
		 const struct greeted *who);
void admits_clear(struct peers *peers);

/* ---- peer-stream.c ---- */

void streams_serve(struct peers *peers, struct conn *conn,
		   const struct greeted *who);
void streams_settle(struct peers *peers);
void streams_clear(struct peers *peers);

#endif
