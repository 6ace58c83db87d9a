/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The failure detector's world: a cluster in one process, with a clock and a network of
 * the test's own.
 */
#ifndef MV_TESTS_SWIM_WORLD_H
#define MV_TESTS_SWIM_WORLD_H

#include "scheduler/swim-member.h"
#include "scheduler/swim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MOST 24
#define DELAY 0.002 /* seconds that a packet takes */

extern struct swim agents[MOST]; /* ids 1 to count */
extern unsigned count, deaths, revivals;
extern bool mute[MOST + 1][MOST + 1]; /* from, to: nothing arrives */
extern double now, loss; /* seconds; the part of all packets that is lost */
extern uint64_t packets;

/* A new cluster at time 0, with ids 1 to n. */
void cluster(unsigned n, bool lifeguard);
int tear_down(void **state);
void run(double seconds);
void kill_node(uint64_t id);
/* It has forgotten all. */
void restart(uint64_t id);

const struct swim_member *seen(uint64_t by, uint64_t whom);
enum swim_state state_of(uint64_t by, uint64_t whom);
/* Those that are up. */
bool all_see(uint64_t whom, enum swim_state state);
bool all_well(void);

/* A message with at most one update, as swim_receive() says. */
int receive(struct swim *swim, enum swim_kind kind, uint64_t sender,
	    const struct swim_update *update, struct swim_out *out);
/* Counts what changed, and sends the packets. */
void carry(uint64_t from, const struct swim_out *out);

#endif
