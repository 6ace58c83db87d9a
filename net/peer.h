/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Peers: the agents of a cluster's other nodes, over one TCP port each.
 *
 * Theory of operation
 *
 * Every connection is TLS 1.3 with a certificate of the cluster's own CA on both
 * sides, and belongs to one purpose, which its first line names:
 *
 *	ask     questions and answers, a JSON object on a line each. A node
 *		keeps one such connection to each peer it has questions for; the
 *		peer's own questions come over the peer's connection.
 *	stream  one question, one answer, and if that is no refusal raw bytes
 *		from then on, spliced with a descriptor at each end.
 *
 * Who is at the other end is the name in its certificate, and that name must be
 * in the roster: the list of members with their addresses and the fingerprints
 * of their certificates, numbered and signed with the CA's key. Peers compare
 * numbers when they connect and the older one takes the newer roster, so that a
 * node that was removed is soon refused everywhere. On a connection that is there
 * only the number is told: who lacks that roster connects anew. It may be
 * megabytes, and nobody gets it twice.
 *
 * This module knows nothing of jobs or libvirt. All functions are called, and
 * call back, in the main loop's thread; bytes of streams are moved by threads of
 * their own.
 */
#ifndef MV_NET_PEER_H
#define MV_NET_PEER_H

#include "net/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define PEER_DEFAULT_PORT 7480
#define PEER_MAX_LINE (256 * 1024) /* bytes of one question or answer */
#define PEER_NAME_MAX 64           /* bytes of a node's name */
/* For GIO's environment variable G_TLS_GNUTLS_PRIORITY, which main() sets. A
 * connection of another version is refused without it, too. */
#define PEER_TLS_PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3"

struct peers;
struct peer_question;
struct peer_stream;

struct peers_handlers {
	/*
	 * A member asks. Answer by peer_answer() or peer_refuse(), now or later,
	 * and exactly once, even after peers_free(). `from` and `body` last until
	 * the answer. The question {"op": "ping"} is answered with {} without
	 * coming here.
	 */
	void (*question)(void *ctx, const char *from, struct json_object *body,
			 struct peer_question *question);
	/* A member wants a stream: peer_accept() or peer_decline(), now or
	 * later. `from` and `body` last until then. */
	void (*stream)(void *ctx, const char *from, struct json_object *body,
		       struct peer_stream *stream);
	/* The roster has changed. May be NULL. */
	void (*roster)(void *ctx);
};

/*
 * The peers of the node whose cluster state is in `dir` (see net/pki.h for its
 * files). A directory without a cluster is no error: then there are no peers
 * and no port, until peers_reload(). NULL with a text when the state cannot be
 * used or the port cannot be had.
 */
struct peers *peers_new(const char *dir, const struct peers_handlers *handlers,
			void *ctx, struct err *err);
/* Closes every connection. Callbacks still owed are not made. Not from one. */
void peers_free(struct peers *peers);
/* The cluster state in the directory has changed (a cluster was made or joined,
 * a member admitted or removed). */
int peers_reload(struct peers *peers, struct err *err);

/* Could a node have this port? Asked before it becomes a member. */
int peers_check_port(unsigned port, struct err *err);

/* False outside a cluster. */
bool peers_in_cluster(const struct peers *peers);
/* This node's name in the cluster, NULL outside one. */
const char *peers_self(const struct peers *peers);
/* True for every member, this node included. */
bool peers_is_member(const struct peers *peers, const char *name);

/* The newest roster's number, and the member that signs rosters; 0 and NULL outside a
 * cluster. */
int64_t peers_serial(const struct peers *peers);
const char *peers_authority(const struct peers *peers);
/* A member says elsewhere than here that its roster has this number; if that is newer
 * than ours it is fetched. */
void peers_newer(struct peers *peers, const char *from, int64_t serial);
/* What names the cluster: the fingerprint of its authority's certificate. */
const char *peers_cluster(const struct peers *peers);

/* What is known of a member; strings are borrowed until the next callback. */
struct peer_info {
	const char *name, *address; /* a host name or an IP address */
	unsigned port;
	bool self;
	int64_t heard;      /* monotonic ms of its last sign of life, 0: none */
	const char *trouble; /* why the last attempt to reach it failed, or NULL */
	int64_t clock_ahead_ms; /* of its clock against ours, as last seen */
};
unsigned peers_count(const struct peers *peers);
void peers_get(const struct peers *peers, unsigned index,
	       struct peer_info *info);

/* ---- asking ---- */

/*
 * Exactly one of `answer` (borrowed) and `error` is given. The callback is made
 * exactly once, never from inside the call, unless peers_free() comes first.
 * `refused` is true when the peer itself said no: the error is its own words, and
 * `details` (borrowed) what it says beside them, or NULL. Otherwise it is unknown
 * whether the question was heard.
 */
struct peer_reply {
	struct json_object *answer;
	const char *error;
	bool refused;
	struct json_object *details;
};
typedef void (*peer_reply_fn)(void *ctx, const struct peer_reply *reply);

/* Ask a member; `body` is taken, and gets a field "op" by its author. With many members
 * asked at once some wait for their turn; the time begins with it. */
void peer_ask(struct peers *peers, const char *node, struct json_object *body,
	      unsigned timeout_ms, peer_reply_fn done, void *ctx);

/* Answer with an object, which is taken (NULL: an empty one). */
void peer_answer(struct peer_question *question, struct json_object *answer);
/* Say no, in words for people. */
void peer_refuse(struct peer_question *question, const char *text);
/* And tell the asker's program something; `details` is taken. */
void peer_refuse_with(struct peer_question *question, const char *text,
		      struct json_object *details);

/* ---- streams ---- */

/*
 * A body with "compress": true has both agents compress the bytes (net/squeeze.h),
 * each as hard as pays between processor and network.
 *
 * A meter counts the bytes that are sent on streams, as they are on the wire. It
 * may be shared by several streams and outlive them.
 */
struct peer_meter;
struct peer_meter *peer_meter_new(void);
struct peer_meter *peer_meter_ref(struct peer_meter *meter);
void peer_meter_unref(struct peer_meter *meter);
uint64_t peer_meter_sent(struct peer_meter *meter);

/* `fd` is a connected stream socket of the caller's, or -1 with an error.
 * Closing it closes the stream; the stream's end is the socket's. */
typedef void (*peer_opened_fn)(void *ctx, int fd, const char *error);

/* Ask a member for a stream; `body` is taken. Like peer_ask(). */
void peer_open(struct peers *peers, const char *node, struct json_object *body,
	       unsigned timeout_ms, peer_opened_fn done, void *ctx);

/*
 * The same with a connected socket of the caller's own, which is taken: the
 * stream is joined with it, and metered if `meter` is not NULL. `done` gets no
 * descriptor (-1), and an error or NULL.
 */
void peer_open_on(struct peers *peers, const char *node,
		  struct json_object *body, unsigned timeout_ms, int fd,
		  struct peer_meter *meter, peer_opened_fn done, void *ctx);

/* Join the stream with a connected socket, which is taken. */
void peer_accept(struct peer_stream *stream, int fd);
void peer_decline(struct peer_stream *stream, const char *text);

#endif
