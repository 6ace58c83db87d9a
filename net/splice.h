/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joins a TLS stream with a connected socket.
 *
 * Theory of operation
 *
 * Two threads, one for each direction, do blocking reads and writes of large
 * buffers; GIO's TLS allows one reader and one writer at a time. They touch
 * nothing but the splice.
 *
 * When one direction comes to its end, everything that was read in it has been
 * written, and the end is passed on: as close_notify to the other agent, as a
 * shutdown to the socket. The other direction then gets a few seconds to come to
 * its own end, so that what was under way arrives; what can no longer be
 * delivered is read and thrown away, because closing a TCP socket with unread
 * bytes resets the connection and loses what is still to be sent. A failure of
 * the TLS stream ends both directions at once, and so does a network that is cut.
 *
 * All functions are for the main loop's thread.
 */
#ifndef MV_NET_SPLICE_H
#define MV_NET_SPLICE_H

#include "net/err.h"
#include "net/peer.h"

#include <gio/gio.h>

struct splice;

/* Both directions have ended. Made in the main loop; splice_free() is next. */
typedef void (*splice_done_fn)(void *ctx, struct splice *splice);

struct splice_config {
	GIOStream *tls;
	GSocketConnection *tcp;
	int fd;
	GBytes *first;
	bool compress; /* as the splice at the other end does */
	struct peer_meter *meter; /* counts what is sent; a reference is taken */
};

/*
 * Takes the socket, also when it fails; `first` (may be NULL) has come from the
 * stream already and is written to the socket first.
 */
struct splice *splice_new(const struct splice_config *config,
			  splice_done_fn done, void *ctx, struct err *err);
/* Ends it at once if it has not ended; waits for its threads, which is short. */
void splice_free(struct splice *splice);

#endif
