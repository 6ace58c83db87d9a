/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs that leave because they must, whatever the CPU load: the node is short of
 * memory, has to make room for a job that fits nowhere, or is to be emptied.
 *
 * MOSIX's memory ushering (Barak and Braverman, 1998; the text was not found, the
 * rule is ours): before a node swaps it sends away the job that costs the fewest
 * bytes to move and leaves enough free, to any node that has room and will be better off than this
 * one; of several, to the one where it costs least.
 */
#ifndef MV_SCHED_USHER_H
#define MV_SCHED_USHER_H

#include "scheduler/balance.h"

/* Bytes that have to leave the node now: 0 when memory is not short, and will not be
 * soon. `growth`: bytes/s by which the jobs here grow. */
double sched_usher_lack(const struct sched_policy *policy,
			const struct sched_node *self, double growth);

/*
 * The job to send away so that `lack` bytes become free; reasons as in
 * sched_balance(). Several calls may be needed, one after each move. Does not look
 * at residency: memory comes first. Pinned jobs stay.
 */
struct sched_move sched_usher(const struct sched_view *view,
			      const struct sched_job *jobs, unsigned count, double lack,
			      const struct sched_link *link,
			      struct sched_random *random, struct sched_reason *reasons);

/* The next job to leave a node that is to be emptied: the cheapest to move. With
 * no move left, `reasons` tell of each job why it cannot go. */
struct sched_move sched_drain(const struct sched_view *view,
			      const struct sched_job *jobs, unsigned count,
			      const struct sched_link *link,
			      struct sched_random *random, struct sched_reason *reasons);

/*
 * The node that should make room for a job that fits nowhere: the one that has to send
 * the least away. NULL when no node is large enough. A node that `flags` SCHED_MAKING
 * does so for another job already.
 */
const struct sched_node *sched_room(const struct sched_view *view,
				    const struct sched_job *job);

/*
 * Memory that is kept for one job is kept from all others, so it is not kept for
 * long: whether to ask a node to make room for a job that has waited for so many seconds,
 * `tried` of them since the last attempt ended (or all of them); and whether to give up
 * what has been kept for `held` seconds in vain. The pauses grow with the wait.
 */
bool sched_room_due(const struct sched_policy *policy, double waited, double tried);
bool sched_room_over(const struct sched_policy *policy, double held);

#endif
