/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the agent does for each request.
 */
#ifndef MV_MVD_REQUESTS_H
#define MV_MVD_REQUESTS_H

#include "vmm-agent/mvd-server.h"
#include "vmm-agent/mvd.h"

void mvd_request(struct mvd *mvd, struct client *client,
		 const struct request *request);

#endif
