/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What moves to each peer have taken: bandwidth and set-up time, for forecasts of the
 * next ones. Until a peer has been moved to, it is taken to be like the others. Pure.
 */
#ifndef MV_MVD_LINKS_H
#define MV_MVD_LINKS_H

#include "scheduler/balance.h"

#include <glib.h>

struct links {
	struct sched_link typical;
	GHashTable *peers; /* by the peer's number */
};

void links_init(struct links *links);
void links_clear(struct links *links);

struct sched_link links_to(const struct links *links, uint64_t peer);

/* A move to the peer has taken `total` seconds, `transfer` of which the guest's memory was
 * sent, `bytes` of it. */
void links_learn(struct links *links, uint64_t peer, double bytes, double transfer,
		 double total);

/* Is the move, decided by the link to a typical peer, still worth it by this one? Its
 * forecast becomes that of this link; if it is not, its reason says so. */
bool links_allow(const struct sched_policy *policy, const struct sched_link *link,
		 const struct sched_job *job, struct sched_move *move);

#endif
