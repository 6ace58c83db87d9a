/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kit's file relay: raw FUSE messages between /dev/fuse and one channel of
 * the link. It looks at nothing but lengths. It must never touch the file
 * system that it relays: whoever waits for a request cannot answer it.
 */
#ifndef MV_KIT_RELAY_H
#define MV_KIT_RELAY_H

#include "net/err.h"
#include "net/link.h"

/* The longest request or reply: 1 MiB of data with its headers. */
#define RELAY_MAX_MESSAGE (1024 * 1024 + 8192)

struct relay;

/*
 * `fuse_fd`: /dev/fuse, open read-write, non-blocking, mounted or about to be;
 * ownership passes to the relay. `link` is borrowed.
 */
struct relay *relay_new(int fuse_fd, struct link *link, unsigned channel,
			struct err *err);
void relay_free(struct relay *relay); /* closes fuse_fd */

int relay_fd(const struct relay *relay);
/* POLLIN while the channel has room for a message of the largest size, else 0. */
short relay_events(const struct relay *relay);

/*
 * Read requests from the kernel, as many as there are and the channel has room
 * for, and send them. Returns 0, 1 when the file system is unmounted (ENODEV),
 * -1 on error.
 */
int relay_run(struct relay *relay, struct err *err);

/*
 * Bytes of the channel (link_events.data): assembles replies and writes each
 * to the kernel. Consumes the channel's credit itself. A reply whose request
 * is gone (ENOENT) is dropped; a length that cannot be is an error.
 */
int relay_receive(struct relay *relay, const void *data, size_t len,
		  struct err *err);

#endif
