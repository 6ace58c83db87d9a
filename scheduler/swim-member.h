/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the detector believes of members, and how news of it spread; parts of swim.c. */
#ifndef MV_SCHED_SWIM_MEMBER_H
#define MV_SCHED_SWIM_MEMBER_H

#include "scheduler/swim-wire.h"

#define SWIM_NOBODY SCHED_MAP_NONE

/* How much longer this node waits because it doubts itself. */
double swim_doubt(const struct swim *swim);
void swim_feel(struct swim *swim, int worse);

/* Somebody says so. */
void swim_believe(struct swim *swim, const struct swim_update *update, double now,
		  struct swim_out *out);
/* The member itself sent something, as this incarnation. */
void swim_heard(struct swim *swim, uint32_t place, uint32_t incarnation, double now,
		struct swim_out *out);
/* Its state is another now. */
void swim_change(struct swim *swim, uint32_t place, enum swim_state state, double now,
		 struct swim_out *out);
/* Suspicions that are due become deaths. */
void swim_expire(struct swim *swim, double now, struct swim_out *out);
double swim_next_expiry(const struct swim *swim);

/* A message to `to`, with news on it. */
void swim_send(struct swim *swim, struct swim_out *out, uint64_t to,
	       const struct swim_header *header);

#endif
