/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joining a cluster: this node makes a key, connects to a member without a
 * certificate, makes sure by the token that it speaks with the right cluster,
 * shows the token, and gets a certificate and the roster.
 */
#ifndef MV_NET_JOIN_H
#define MV_NET_JOIN_H

#include "net/err.h"

struct join;

struct join_order {
	const char *dir;     /* where the cluster's state shall be */
	const char *host;    /* of the node that admits */
	unsigned host_port;
	const char *token;
	const char *name;    /* of this node */
	const char *address; /* NULL: as the other node sees it */
	unsigned port;
};

/* Once, from the main loop: NULL, or why not. */
typedef void (*join_fn)(void *ctx, const char *error);

struct join *join_new(const struct join_order *order, join_fn done, void *ctx,
		      struct err *err);
/* The callback is not made. */
void join_cancel(struct join *join);

#endif
