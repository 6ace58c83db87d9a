/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this node knows of the others' load, and who of them is alive.
 *
 * Members of the cluster send each other authenticated datagrams: load vectors once a
 * second (scheduler/gossip.h), pings and answers (scheduler/swim.h). Without a cluster
 * of at least two there is no socket and no timer, and only this node is known.
 *
 * Times are seconds of this machine's monotonic clock (mvd_gossip_now()). All
 * functions are called in the main loop's thread, and do nothing before
 * mvd_gossip_start().
 */
#ifndef MV_MVD_GOSSIP_H
#define MV_MVD_GOSSIP_H

#include "scheduler/load.h"
#include "vmm-agent/mvd.h"

#include <json-c/json.h>
#include <stdint.h>

struct peer_question;

void mvd_gossip_start(struct mvd *mvd);
void mvd_gossip_stop(struct mvd *mvd);
/* The roster, or this node's own place in it, has changed. */
void mvd_gossip_roster(struct mvd *mvd);

double mvd_gossip_now(void);

/* The measured vector of this node, about once a second. Its id and time are set here. */
void mvd_gossip_own(struct mvd *mvd, const struct sched_node *own);
/*
 * The vectors of members, this node's own first (once it has been measured). Of those that are believed
 * dead the state is SCHED_GONE; `time` tells how old each is. Valid until
 * the main loop's next turn, or the next call.
 */
const struct sched_node *mvd_gossip_nodes(struct mvd *mvd, unsigned *count);
/* What a member has just said of itself over TLS; `time` counts. */
void mvd_gossip_note(struct mvd *mvd, const struct sched_node *node);
/* The own state has changed: others hear of it now, not at the next step. */
void mvd_gossip_urgent(struct mvd *mvd);

/* A node is known by a number made from its name; never 0. */
uint64_t mvd_gossip_id(const char *node_name);
/* NULL when no member, nor this node, has it. Valid until the roster changes. */
const char *mvd_gossip_name(struct mvd *mvd, uint64_t id);

/* "alive", "suspect", "dead", "unseen"; NULL when it is not this node's business. */
const char *mvd_gossip_state(struct mvd *mvd, const char *node_name);
/* Seconds since the vector that is known of a node was true; -1 when there is none. */
double mvd_gossip_age(struct mvd *mvd, const char *node_name);
/* Seconds since it sent a datagram; -1 when it never has. */
double mvd_gossip_silence(struct mvd *mvd, const char *node_name);
/* Do two machines claim to be this node? */
bool mvd_gossip_twins(struct mvd *mvd, const char *node_name);
/* Does this node have what it needs to send and receive datagrams? True outside a cluster
 * of two. `why` says what it lacks. */
bool mvd_gossip_works(struct mvd *mvd, const char **why);
/* The first address that its name in the roster leads to; NULL when none is known yet. */
const char *mvd_gossip_address(struct mvd *mvd, const char *node_name);
/* Counters, for people and scripts; NULL without a socket. */
struct json_object *mvd_gossip_to_json(struct mvd *mvd);

/* A member asks for the key of datagrams. */
void mvd_gossip_question(struct mvd *mvd, const char *from, struct json_object *body,
			 struct peer_question *question);
#endif
