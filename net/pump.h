/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pump moves bytes between a link and the descriptor of its transport. It is
 * the same loop body in the kit and in the deputy:
 *
 *	poll pump_fd() for pump_events(), no longer than link_deadline();
 *	pump_run(), which reads, lets the link work, and writes.
 *
 * It keeps the unwritten rest of what link_transmit() gave, and throws it away
 * when a new transport is attached.
 *
 * On a transport whose end of file is a pause the descriptor is kept whatever
 * the link says: when the link gives an attachment up, the pump attaches the
 * same descriptor again. While nobody is at its other end, such a descriptor
 * polls as ready all the time, so pump_fd() is then a timer instead.
 */
#ifndef MV_NET_PUMP_H
#define MV_NET_PUMP_H

#include "net/link.h"
#include "net/transport.h"

struct pump;

/* `link` is borrowed and must outlive the pump. NULL when out of memory or of
 * descriptors, with errno. */
struct pump *pump_new(struct link *link);
/* Closes the descriptor it holds. */
void pump_free(struct pump *pump);

/* Attach `fd` (ownership passes to the pump) as the link's transport. */
void pump_attach(struct pump *pump, const struct transport *transport, int fd,
		 int64_t now_ms);

/* Give the transport up, close its descriptor, detach the link. */
void pump_detach(struct pump *pump, const char *why);

/* The descriptor to poll, or -1 when nothing is attached. It may change with
 * every call of the functions above and of pump_run(). */
int pump_fd(const struct pump *pump);
/* NULL when nothing is attached. */
const struct transport *pump_transport(const struct pump *pump);

/* POLLIN and POLLOUT as needed now. */
short pump_events(const struct pump *pump, int64_t now_ms);

/*
 * Move what can be moved without blocking and run the link's timers. `revents`
 * is what poll() gave; POLLIN reads. A bounded amount is moved in one call.
 * Returns 0, or -1 when the attachment ended: the pump is then detached,
 * link_reason() says why.
 */
int pump_run(struct pump *pump, short revents, int64_t now_ms);

#endif
