/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two links joined by a transport in memory, with a clock of its own. What each
 * side sends is a function of side, channel and offset, so that every received
 * byte is checked as it arrives: wrong, lost, doubled or out of order, it fails
 * the test at that byte.
 */
#ifndef MV_TESTS_LINK_PAIR_H
#define MV_TESTS_LINK_PAIR_H

#include "net/link.h"

#include <stdbool.h>
#include <stdint.h>

#define PAIR_CHANNELS 5
#define PAIR_WINDOW 65536u

struct pair;

struct peer {
	struct pair *pair;
	enum link_side side;
	struct link *link;
	uint64_t target[PAIR_CHANNELS]; /* how many bytes to send in all */
	uint64_t sent[PAIR_CHANNELS], received[PAIR_CHANNELS];
	uint64_t unconsumed[PAIR_CHANNELS];
	bool fin_sent[PAIR_CHANNELS], fin_received[PAIR_CHANNELS];
	bool hold[PAIR_CHANNELS]; /* do not consume */
	unsigned ups;
	size_t step; /* most bytes in one link_send() */
	/* In which order the channels' data came; -1 is a FIN. */
	int8_t order[64];
	unsigned norder;
};

/* The bytes on their way from one side. */
struct wire {
	uint8_t *bytes;
	size_t used, size;
	uint64_t carried; /* bytes put into the wire since the beginning */
};

/*
 * A fault: change `*len` bytes that `from` sends, in place; there is room for
 * as many again. `at` is the position of the first in all that it ever sent.
 */
typedef void (*pair_fault)(struct pair *pair, enum link_side from, uint64_t at,
			   uint8_t *bytes, size_t *len);

struct pair {
	int64_t now;
	uint64_t random;
	struct peer peer[2]; /* by side */
	struct wire wire[2]; /* by the side that sends */
	size_t chunk;        /* most bytes delivered at once; 0: all */
	size_t capacity;     /* of a wire */
	bool serial;         /* the guest sees no new attachment */
	bool serial_tail;    /* it begins with a rest of the guest's last */
	bool keep_open;      /* pair_feed() sends no FIN */
	bool cut;            /* set by a fault: the transport breaks now */
	pair_fault fault;
	void *fault_ctx;
	uint64_t lost; /* attachments that ended */
};

struct pair *pair_new(uint64_t seed);
void pair_free(struct pair *pair);

#define HOME(pair) (&(pair)->peer[LINK_HOME])
#define GUEST(pair) (&(pair)->peer[LINK_GUEST])

uint64_t pair_random(struct pair *pair);
uint8_t pair_byte(enum link_side side, unsigned channel, uint64_t offset);

/* A new transport; what was on its way is lost. */
void pair_attach(struct pair *pair);

/* Send what the targets still lack, as far as there is room. */
void pair_feed(struct pair *pair);

/* Move bytes once, in both directions; false when nothing could move. */
bool pair_move(struct pair *pair);

/* Queue the next `len` bytes of a channel's stream, byte by byte. */
void pair_send(struct peer *peer, unsigned channel, size_t len);

/* Carry at most `max` bytes from one side to the other, past the wire. */
void pair_carry(struct peer *from, struct peer *to, size_t max, int64_t now);

/* Move until nothing moves. */
void pair_drain(struct pair *pair);

/* Feed and move until nothing moves, without letting time pass. */
void pair_settle(struct pair *pair);

/* Let time pass up to the next deadline, and tick. */
void pair_wait(struct pair *pair);

/* Let `ms` pass, with everything that is due on the way. */
void pair_pass(struct pair *pair, int64_t ms);

/* Both sides have everything, with FINs, and know that the other has. */
bool pair_done(const struct pair *pair);

/* Run to the end; fails the test when `limit_ms` of its clock were not enough. */
void pair_finish(struct pair *pair, int64_t limit_ms);

#endif
