/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which job leaves a node, and where it goes.
 *
 * A move has to be worth it: what the job would cost less there (its own
 * delay and that of others), times the CPU time that it probably still needs, must
 * exceed what moving costs, and by a margin: what so many CPU seconds take at the
 * target with nobody else there, the same part of the job's work on fast nodes and
 * slow ones. "Nothing is worth moving" is the usual answer, with
 * the reason for each job.
 */
#ifndef MV_SCHED_BALANCE_H
#define MV_SCHED_BALANCE_H

#include "scheduler/place.h"
#include "scheduler/predict.h"

#define SCHED_LOOK_NODES 256 /* of more, so many are looked at in one decision */
#define SCHED_LOOK_JOBS 64

struct sched_move {
	const struct sched_node *node; /* NULL: nothing moves */
	unsigned job;                  /* its place in the array */
	double cost;                   /* expected at the target, for sched_admit() */
	struct sched_forecast forecast;
	struct sched_reason reason;
};

/*
 * `jobs` are those that run at view->self, which counts them in its vector;
 * `reasons`, of the same length or NULL, is filled with why each stays or goes. The
 * link is the one to a typical peer.
 */
struct sched_move sched_balance(const struct sched_view *view,
				const struct sched_job *jobs, unsigned count,
				const struct sched_link *link,
				struct sched_random *random,
				struct sched_reason *reasons);

#endif
