/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes on one network find each other: multicast DNS, by the Avahi daemon's
 * D-Bus interface. What is found is a hint and may be anybody's: who is let in decides the
 * token, and whom a node speaks with its certificate.
 *
 * A node announces a service "_monovisor._tcp" with the port of its cluster and
 * the text records "node=NAME", "cluster=FINGERPRINT" and "authority=yes" or "no".
 */
#ifndef MV_MVD_AVAHI_H
#define MV_MVD_AVAHI_H

#include "net/peer.h"
#include "net/pki.h"
#include "net/roster.h"

#include <stdbool.h>

#define AVAHI_SERVICE "_monovisor._tcp"
#define AVAHI_MAX_FOUND 256

struct avahi;
struct avahi_search;

struct avahi_node {
	char name[PEER_NAME_MAX + 1];
	char cluster[PKI_FINGERPRINT_SIZE]; /* of its authority's certificate */
	char address[ROSTER_ADDRESS_MAX + 1];
	unsigned port;
	bool authority; /* lets nodes in */
};

/* Looks on the system's bus for the daemon, which may come and go. */
struct avahi *avahi_new(void);
void avahi_free(struct avahi *avahi);
/* NULL when the daemon is there, else why it is of no use. */
const char *avahi_trouble(const struct avahi *avahi);

/* Announce this, whenever there is a daemon; NULL: nothing. The address is the
 * daemon's business. */
void avahi_announce(struct avahi *avahi, const struct avahi_node *node);

/* Exactly once, from the main loop; the array is the callee's to read. */
typedef void (*avahi_found_fn)(void *ctx, const struct avahi_node *nodes,
			       unsigned count, const char *trouble);
/* Who is on this network now? Takes some seconds at most. */
struct avahi_search *avahi_search(struct avahi *avahi, avahi_found_fn done, void *ctx);
void avahi_search_cancel(struct avahi_search *search);

#endif
