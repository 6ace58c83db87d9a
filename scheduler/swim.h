/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is alive: a failure detector. A state machine without I/O: time and messages in,
 * messages out into the caller's buffers.
 *
 * Theory of operation. SWIM (Das, Gupta, Motivala, DSN 2002): each period a node
 * pings one other, in a shuffled round so that each gets its turn. Without an answer
 * in time it asks a few others to ping it; without an answer by the end of the
 * period the node is suspected, and all are told. Whoever is suspected hears of it and refutes with a
 * higher incarnation of itself; otherwise it is dead after a while. News travel on
 * pings and answers, each a number of times that grows with the logarithm of the nodes, so
 * load per node is constant.
 *
 * Lifeguard (Dadgar, Phillips, Currey, 2018), for agents that are short of CPU,
 * which is the normal case here: a node whose own pings fail, or who has to
 * refute, doubts itself and waits longer (health); those asked to ping say when they
 * got no answer, so that silence of a helper is seen as the node's own fault; a suspicion
 * lasts long at first and is cut short as others come to it on their own; a
 * suspect is told so with the first ping it gets.
 *
 * Constants are memberlist's defaults for a LAN (hashicorp/memberlist config.go).
 *
 * Who is a member is not decided here: the caller adds and removes. Messages are
 * authenticated outside.
 */
#ifndef MV_SCHED_SWIM_H
#define MV_SCHED_SWIM_H

#include "net/err.h"
#include "scheduler/map.h"
#include "scheduler/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SWIM_MESSAGE_MAX 1024
#define SWIM_PACKETS 16  /* out of one call */
#define SWIM_CHANGES 32
#define SWIM_HOT 128     /* news that travel at the same time */
#define SWIM_RELAYS 32   /* pings for others at the same time */
#define SWIM_ACCUSERS 4
#define SWIM_INDIRECT_MAX 8

enum swim_state { SWIM_UNSEEN, SWIM_ALIVE, SWIM_SUSPECT, SWIM_DEAD, SWIM_STATES };

struct swim_config {
	double period;       /* s between pings */
	double timeout;      /* s for a direct answer */
	unsigned indirect;   /* helpers */
	unsigned suspicion;  /* periods of suspicion, times log10 n */
	unsigned patience;   /* times as long while nobody else suspects */
	unsigned retransmit; /* times log10(n + 1) that news are sent */
	unsigned health_max;
	bool lifeguard;
};

struct swim_member {
	uint64_t id;
	uint64_t accusers[SWIM_ACCUSERS];
	double since;    /* in this state */
	double deadline; /* a suspect is dead then */
	double heard;    /* last message of its own; 0: never */
	uint32_t incarnation;
	uint32_t accuser_count;
	enum swim_state state;
};

struct swim_news {
	uint32_t place;
	uint32_t sent;
};

/* A ping for somebody else. */
struct swim_relay {
	uint64_t asker;
	uint32_t asked, sequence; /* his number, ours; 0: free */
	double nack_at;           /* he is told that there is no answer yet; 0: was */
	double until;
};

/* The ping under way. */
struct swim_probe {
	bool active, helped;
	uint64_t target;
	uint32_t sequence;
	double direct_until, until;
	unsigned asked, nacks;
};

struct swim {
	uint64_t self;
	uint32_t incarnation, sequence;
	uint64_t note; /* the caller's, who has it told with each message */
	struct swim_config config;
	struct swim_member *members; /* without self */
	uint32_t *order;             /* places, shuffled */
	struct sched_map map;
	unsigned capacity, count, next, alive, suspects;
	unsigned health; /* 0: well */
	struct swim_probe probe;
	double next_probe;
	struct swim_relay relays[SWIM_RELAYS];
	struct swim_news hot[SWIM_HOT];
	unsigned hot_count;
	unsigned self_news; /* messages that still carry the own refutation */
	unsigned refresh;   /* next of those told without being news */
	uint64_t refused, refuted, failed_probes;
};

struct swim_packet {
	uint64_t to;
	size_t len;
	uint8_t bytes[SWIM_MESSAGE_MAX];
};

struct swim_change {
	uint64_t id;
	enum swim_state state, before;
	uint32_t incarnation;
};

/* What a call brings; the caller empties it before each. */
struct swim_out {
	struct swim_packet packets[SWIM_PACKETS];
	struct swim_change changes[SWIM_CHANGES];
	unsigned packet_count, change_count;
	bool changes_lost; /* more than fit: look at all members */
};

void swim_config_default(struct swim_config *config);

size_t swim_size(unsigned capacity);
/* `memory` of swim_size() bytes, aligned for a double, lives as long. */
void swim_init(struct swim *swim, void *memory, unsigned capacity, uint64_t self,
	       const struct swim_config *config, double now);
/* An unseen member. -1 when there is no room; 0 too when it is there already. */
int swim_add(struct swim *swim, uint64_t id, struct sched_random *random);
void swim_remove(struct swim *swim, uint64_t id);

/* When swim_tick() has something to do next. */
double swim_next(const struct swim *swim);
void swim_tick(struct swim *swim, double now, struct sched_random *random,
	       struct swim_out *out);
/* A message, authenticated as a member's. */
int swim_receive(struct swim *swim, const uint8_t *bytes, size_t len, double now,
		 struct swim_out *out, struct err *err);

/* It was alive a moment ago, as something else shows; that counts of an unseen one, and is
 * no news for others. */
void swim_hint(struct swim *swim, uint64_t id, double now, struct swim_out *out);

const struct swim_member *swim_find(const struct swim *swim, uint64_t id);
const char *swim_state_name(enum swim_state state);

#endif
