/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster, for root on this node: make one, invite, join, remove, look.
 */
#ifndef MV_MVD_CLUSTER_H
#define MV_MVD_CLUSTER_H

#include "vmm-agent/mvd-server.h"
#include "vmm-agent/mvd.h"

/* Where the cluster's state is kept; to be freed. */
char *cluster_dir(const struct mvd *mvd);

/* Answers the client's request, perhaps later. */
void mvd_cluster(struct mvd *mvd, struct client *client,
		 const struct request *request);
/* Forget requests that are not answered yet. */
void mvd_cluster_stop(void);

#endif
