/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests dial the host by vsock; the agent listens, and says who dialled by the
 * address of the peer.
 */
#ifndef MV_MVD_VSOCK_H
#define MV_MVD_VSOCK_H

#include "net/err.h"

#include <stdbool.h>

struct vsock;

/* A guest with this address dialled; `fd` becomes the callee's. */
typedef void (*vsock_dialled_fn)(void *ctx, unsigned cid, int fd);

struct vsock *vsock_new(vsock_dialled_fn dialled, void *ctx);
void vsock_free(struct vsock *vsock);

/* True when this host can give guests a vsock device. */
bool vsock_available(void);

/* Listen on this port as well; 0: on any. Returns the port, or 0 on failure. */
unsigned vsock_listen(struct vsock *vsock, unsigned port, struct err *err);

/* A port that is listened on, or 0. */
unsigned vsock_port(const struct vsock *vsock);

#endif
