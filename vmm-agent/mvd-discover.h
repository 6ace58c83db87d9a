/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding a cluster: this node announces itself while it is in one, and looks for others'
 * when it is asked to, on this network (mvd-avahi.h) and at the seeds of the
 * configuration.
 */
#ifndef MV_MVD_DISCOVER_H
#define MV_MVD_DISCOVER_H

#include "vmm-agent/mvd-avahi.h"
#include "vmm-agent/mvd-server.h"
#include "vmm-agent/mvd.h"

void mvd_discover_start(struct mvd *mvd);
void mvd_discover_stop(struct mvd *mvd);
/* This node is in a cluster now, or no more, or its name has changed. */
void mvd_discover_roster(struct mvd *mvd);

/* Answers the client's request with who is there. */
void mvd_discover(struct mvd *mvd, struct client *client, const struct request *request);

/*
 * By way of whom a node may join the token's cluster, as HOST:PORT: those found that say
 * they are of it, first who admits nodes, then the seeds. To be unreferenced.
 */
GPtrArray *mvd_discover_hosts(const struct mvd *mvd, const char *token,
			      const struct avahi_node *nodes, unsigned count);

#endif
