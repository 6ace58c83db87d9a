/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of vmm-agent/mvd-gossip*.c share.
 *
 *	mvd-gossip.c      the table of load vectors, the detector, the clock
 *	mvd-gossip-net.c  the socket, datagrams to and from members
 *	mvd-gossip-key.c  the key, and how it is had
 *	mvd-gossip-lives.c  two machines that claim to be one node
 *
 * Theory of operation
 *
 * A member is pinged and gossiped to at its roster's address until it has proven who
 * it is (net/seal.h); from then on where its answers come from, and again at the
 * roster's when it does not answer there any more. What is sent before
 * the proof waits for it, for a moment. There is a socket while
 * there is another member, and timers while there is a key as well.
 *
 * With thousands of members one is heard of every few minutes only, and that is no sign of
 * trouble; a name is not resolved for each datagram; and nothing is kept for each
 * but who and where it is.
 */
#ifndef MV_MVD_GOSSIP_PRIVATE_H
#define MV_MVD_GOSSIP_PRIVATE_H

#include "vmm-agent/mvd-gossip.h"

#include "net/peer.h"
#include "net/seal-key.h"
#include "net/seal.h"
#include "scheduler/gossip.h"
#include "scheduler/swim.h"

#include <gio/gio.h>
#include <json-c/json.h>

#define MESH_ADDRESSES 4 /* of a name, so many are tried */

/* Another member. */
struct mesh_peer {
	struct mesh *mesh;
	struct seal_peer seal;
	char *name, *host; /* as in the roster */
	unsigned port;
	bool listed; /* in the roster that is being read */
	GCancellable *resolving;
	GSocketAddress *addresses[MESH_ADDRESSES];
	unsigned address_count, next_address;
	bool stale;             /* the addresses are there until there are others */
	GSocketAddress *proven; /* where it answers; NULL: not proven */
	double resolve_at;      /* not before */
	double asked;           /* when the last challenge was sent */
	unsigned unanswered;    /* challenges, since its last good datagram */
	double heard;           /* its last good datagram; 0: none */
	unsigned answers;       /* of ours to its challenges, since `answers_since` */
	double answers_since;
	struct mesh_lives {
		uint64_t boot, former; /* of its last datagram, and the one before that */
		double changed;        /* when it was another one for the last time */
		unsigned returns;      /* to the former */
	} lives;
};

struct mesh_counters {
	uint64_t sent, unsent;
	uint64_t verdicts[SEAL_VERDICTS];
	uint64_t nonsense; /* authenticated, and still no message */
};

struct mesh {
	struct mvd *mvd;
	char *self;
	/* load */
	struct gossip table;
	void *table_memory;
	struct sched_node *list; /* for mvd_gossip_nodes() */
	bool measured;
	double next_step, next_urgent;
	/* liveness */
	struct swim swim;
	void *swim_memory;
	struct swim_out out;
	struct sched_random random;
	guint timer;
	/* the others */
	GHashTable *peers; /* by id */
	GQueue waiting; /* datagrams, until their receivers have proven who they are */
	struct seal seal;
	GSocket *socket;
	GSource *source;
	unsigned port;
	guint retry; /* to have the socket */
	bool complained;
	struct mesh_counters counters;
	/* the key */
	guint key_timer;
	unsigned key_tries;
	bool key_asked; /* an answer is awaited */
	double key_asked_at, former_until;
};

/* ---- mvd-gossip.c ---- */

/* An authenticated message from a member. */
void mesh_take(struct mesh *mesh, struct mesh_peer *peer, enum seal_kind kind,
	       const uint8_t *bytes, size_t len);
/* There is a key now, or another one. */
void mesh_key_changed(struct mesh *mesh);

/* ---- mvd-gossip-net.c ---- */

struct mesh_peer *mesh_peer(const struct mesh *mesh, uint64_t id);
struct mesh_peer *mesh_peer_new(struct mesh *mesh, const char *name);
/* Where it is now, by the roster. */
void mesh_peer_place(struct mesh_peer *peer, const char *host, unsigned port);
void mesh_peer_free(void *peer);
/* Drop what waits for proofs. */
void mesh_waiting_clear(struct mesh *mesh);

/* The socket at this port; 0: none. */
void mesh_socket(struct mesh *mesh, unsigned port);
void mesh_send(struct mesh *mesh, uint64_t to, enum seal_kind kind, const uint8_t *bytes,
	       size_t len);
/* A first word to each, or to some of many: whoever does not have the key yet sees that there is one. */
void mesh_greet_all(struct mesh *mesh);

/* ---- mvd-gossip-lives.c ---- */

/* A datagram that is sealed by the member has come, of this life. */
void mesh_life(struct mesh_peer *peer, uint64_t boot, double now);

/* ---- mvd-gossip-key.c ---- */

/* The key in the directory; when there is none it is asked for, or made. */
void mesh_key_start(struct mesh *mesh);
void mesh_key_stop(struct mesh *mesh);
/* A datagram of this member names a key that is not known here. */
void mesh_key_seen(struct mesh *mesh, struct mesh_peer *peer, uint64_t number);

#endif
