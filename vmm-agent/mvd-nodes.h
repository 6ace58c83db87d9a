/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All nodes of the cluster, for a client. */
#ifndef MV_MVD_NODES_H
#define MV_MVD_NODES_H

#include "vmm-agent/mvd-server.h"
#include "vmm-agent/mvd.h"

/* Ask every member about itself; the client gets `nodes` when all have answered,
 * or their time is up. */
void nodes_collect(struct mvd *mvd, struct client *client);

#endif
