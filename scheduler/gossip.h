/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gossip: how nodes learn each other's load. A state machine without I/O: the
 * caller says when a step is due, sends what comes out, and hands in what arrives.
 *
 * Theory of operation. MOSIX's fixed window (Amar, Barak, Drezner, Okun,
 * "Randomized gossip algorithms for maintaining a distributed bulletin board
 * with guaranteed age properties", CPE 21, 2009): at each step a node sends its own
 * vector and the newest others it knows, `window` entries in all, to one random
 * node. What a node sends does not depend on how many nodes there are. Times travel as
 * ages, so clocks need not agree. Which of two entries of a node is newer says the
 * stamp that the node itself gave it; when stamps are too far apart for one clock, the age.
 *
 * Entries leave the window only by newer ones (all grow old at the same rate), so
 * a step looks at the window and not at all that is known.
 *
 * Urgent entries (a node that drains, blocks or is dead) go first, in the next
 * 1.386 log2 n messages, whatever their age.
 *
 * Each node believes what others relay about third ones: messages are
 * authenticated outside, with the cluster's key, so a liar is a member. What it can do is
 * attract or repel jobs, until the next word of the node that it lies about has spread
 * (a minute later at most, when the lie is dated that much ahead); a job is moved only after the target itself has reserved
 * room for it.
 */
#ifndef MV_SCHED_GOSSIP_H
#define MV_SCHED_GOSSIP_H

#include "net/err.h"
#include "scheduler/load.h"
#include "scheduler/map.h"
#include "scheduler/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GOSSIP_WINDOW_MAX 256
#define GOSSIP_AGE_WANTED 8.0 /* steps */

/* What is known beside the load vector, at the same place of another array. */
struct gossip_slot {
	uint64_t stamp;  /* the origin's own, higher is newer */
	uint32_t urgent; /* messages that still carry it first */
	bool in_window;
	bool written;    /* in the message that is being made */
};

struct gossip {
	uint64_t self;
	unsigned window;   /* entries of a message, the own one included */
	double max_age;    /* what is older is forgotten, s */
	unsigned capacity, count; /* count includes self, at place 0 */
	struct sched_node *nodes;
	struct gossip_slot *slots;
	struct sched_map map;
	uint32_t recent[GOSSIP_WINDOW_MAX]; /* newest first, without self */
	unsigned recent_count;
	unsigned urgent_count; /* places with urgent != 0 */
	/* Whose entries are taken; NULL: anybody's. Set after gossip_init(). */
	bool (*member)(void *data, uint64_t id);
	void *member_data;
	/* what happened, for metrics */
	uint64_t sent, received, refused, news;
};

/* Bytes of memory for what a node knows of `capacity` nodes, itself included. */
size_t gossip_size(unsigned capacity);

/*
 * `memory` is the caller's, of gossip_size(capacity) bytes, aligned for a double,
 * and must live as long. The own vector is all zero until gossip_own().
 */
void gossip_init(struct gossip *gossip, void *memory, unsigned capacity,
		 uint64_t self, unsigned window, double max_age);

/* Another window: there are more nodes now, or fewer. */
void gossip_set_window(struct gossip *gossip, unsigned window);

/*
 * The own vector has been measured. `stamp` must grow from call to call and from
 * start to start of the node; its wall clock in milliseconds will do, and when
 * others know a higher one (the clock was set back, somebody lied) that is exceeded.
 */
void gossip_own(struct gossip *gossip, const struct sched_node *node,
		uint64_t stamp, double now);
/* Have what is known of a node travel first. */
void gossip_urgent(struct gossip *gossip, uint64_t id);

/* Whom to send to: one of the alive, or, once in max(5, alive) steps, any of all, so that
 * one message a step reaches each dead node from the whole cluster. `ids` has the
 * alive ones first. False when there is nobody. */
bool gossip_pick(const struct gossip *gossip, const uint64_t *ids, unsigned alive,
		 unsigned all, struct sched_random *random, uint64_t *to);

/* The message of a step; its length, 0 when it does not fit. */
size_t gossip_write(struct gossip *gossip, double now, uint8_t *out, size_t size);

/*
 * A message that arrived, authenticated. Refused as a whole when it is not a message
 * of this format; entries that no node would send are skipped and counted.
 */
int gossip_read(struct gossip *gossip, const uint8_t *bytes, size_t len, double now,
		struct err *err);

/* What the target of a reservation said of itself: newer than any gossip. */
void gossip_note(struct gossip *gossip, const struct sched_node *node);

/* NULL when unknown. Also of nodes that are too old to be counted on. */
const struct sched_node *gossip_find(const struct gossip *gossip, uint64_t id);
void gossip_forget(struct gossip *gossip, uint64_t id);
/* Drop all that is older than max_age; call now and then. */
void gossip_expire(struct gossip *gossip, double now);

/*
 * The formulas of the paper, in steps; n nodes, w window. Average and maximal age
 * of what a node knows, and how many entries are at most `age` old.
 */
double gossip_average_age(double n, double w);
double gossip_maximum_age(double n, double w);
double gossip_up_to(double n, double w, double age);
/*
 * The window of a cluster: `least` (what a datagram holds) or all nodes, if they are fewer; and
 * with more nodes what keeps the average age below GOSSIP_AGE_WANTED.
 */
unsigned gossip_window(unsigned nodes, unsigned least);
/* The smallest window that keeps the average age below `age`, at most n. */
unsigned gossip_window_for(double n, double age);

#endif
