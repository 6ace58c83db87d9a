/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets at either end of a peer's stream. */
#ifndef MV_MVD_DIAL_H
#define MV_MVD_DIAL_H

#include "net/peer.h"

/* A connected, non-blocking socket, or -1. */
int dial_now(const char *path);

/* Join the stream with the socket at `path`, which may appear within the time;
 * else decline it with the text (copied). */
void dial_join(struct peer_stream *stream, const char *path, unsigned limit_ms,
	       const char *refusal);

/*
 * A socket that listens here and leads to a peer: each connection becomes a
 * stream of its own. The question for it is copied from `body` (borrowed). `uid`
 * owns the socket.
 */
struct tunnel;
struct tunnel *tunnel_new(struct peers *peers, const char *node,
			  const char *path, unsigned uid,
			  struct json_object *body, struct err *err);
/* Bytes sent through it so far, as they are on the wire. */
uint64_t tunnel_sent(const struct tunnel *tunnel);
/* Removes the socket. Streams that are open stay so. */
void tunnel_free(struct tunnel *tunnel);

#endif
