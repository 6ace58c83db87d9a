/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A user's wish to move a job, wherever it is; and why it may not be. */
#ifndef MV_MVD_MOVER_H
#define MV_MVD_MOVER_H

#include "vmm-agent/mvd-jobs.h"

/* `to` is a node's name, or "home". The client hears how far it is, and in the
 * end `migrated`, or `error` with the reason why not. */
void mover_begin(struct job *job, struct client *client, const char *to,
		 bool postcopy);

void mover_why(struct job *job, struct client *client);

#endif
