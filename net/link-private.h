/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the link share: link.c (life, timers, the application's
 * side), link-tx.c (what is transmitted) and link-rx.c (what is received).
 *
 * Theory of operation
 *
 * Bytes to send wait in one ring per channel from link_send() until the peer
 * has acknowledged them. Three offsets of the stream divide a ring:
 *
 *	acked           cut             end
 *	  |  in frames   |  in no frame  |
 *
 * A frame is cut when it is about to be transmitted, so small sends coalesce,
 * and its payload never wraps in the ring, so that it is one piece of memory
 * for the check and for copying. The table `sent` says for each number between
 * tx.acked and tx.next which piece of which ring it was; tx.cursor is the next
 * number to transmit, and while it is behind tx.next the link replays.
 *
 * The frame under way to the transport is struct outgoing. link_transmit() may
 * cut it anywhere; it is finished before another one begins, except that a new
 * attachment forgets it.
 *
 * Received bytes are examined where they are. Only the beginning of a frame
 * whose rest is still to come is copied, into rx.buffer, which holds the
 * largest frame. The guest does not trust its transport to tell it of a new
 * attachment, and may take the HELLO that announces one for the payload of a
 * frame that was cut. Then the check is wrong and the guest looks for the
 * magic in the bytes of the frame that it refused. So that this happens soon
 * also when home has nothing else to say, home adds to each HELLO but the first
 * a PAD as long as the longest frame.
 */
#ifndef MV_NET_LINK_PRIVATE_H
#define MV_NET_LINK_PRIVATE_H

#include "net/link-frame.h"
#include "net/link.h"

#define HELLO_FIRST_MS 200
#define HELLO_LAST_MS 5000
#define PING_AFTER_MS 5000
#define DEAD_AFTER_MS 15000

/* When an acknowledgement may wait no longer for a frame to travel in. */
#define ACK_FRAMES 32
#define ACK_BYTES 65536
#define ACK_MS 20

/* Unacknowledged frames at most; the last ones are for channel 0 alone. */
#define SENT_SLOTS 4096
#define SENT_RESERVED 64

#define RING_FIRST_SIZE 4096

struct tx_channel {
	uint8_t *ring;
	size_t size; /* of the ring: 0 or a power of two */
	uint64_t acked, cut, end;
	uint64_t limit; /* how far the peer lets the stream go */
	bool fin;       /* queued */
	bool fin_cut;   /* has its number */
};

struct rx_channel {
	uint64_t received, consumed;
	uint64_t granted; /* the limit last told to the peer */
	bool fin;
	bool credit_due;
};

struct channel {
	const char *name;
	uint32_t window;
	struct tx_channel tx;
	struct rx_channel rx;
};

/* A numbered frame that is not acknowledged. */
struct sent_frame {
	uint64_t offset; /* of its payload in the channel's stream */
	uint32_t len;
	uint8_t kind, channel;
};

/* Where the payload of the outgoing frame is. */
enum body { BODY_NONE, BODY_RING, BODY_PADDING };

struct outgoing {
	bool active;
	size_t at; /* how much of the frame is transmitted */
	uint8_t head[FRAME_HEADER_SIZE + FRAME_MAX_REASON];
	size_t head_len; /* with a short payload */
	enum body body;
	unsigned channel;
	uint64_t offset;
	size_t body_len;
	uint8_t tail[FRAME_TRAILER_SIZE];
	size_t tail_len;
};

struct link_tx {
	uint64_t seed; /* of the checks */
	uint64_t acked, cursor, next;
	struct sent_frame *sent;
	unsigned turn; /* the channel served last */
	bool hello_due, pad_due, bye_due, ping_due, pong_due;
	struct outgoing out;
};

struct link_rx {
	uint64_t seed;
	uint64_t next;
	/* What was received since the last acknowledgement went out. */
	unsigned unacked_frames;
	size_t unacked_bytes;
	int64_t ack_at; /* -1: nothing to acknowledge */
	uint8_t *buffer; /* FRAME_MAX_SIZE: the beginning of a frame */
	size_t used, need;
};

struct link {
	enum link_side side;
	uint8_t id[LINK_ID_SIZE];
	const struct link_events *events;
	void *ctx;
	int64_t ping_after, dead_after;

	enum link_state state;
	uint64_t epoch;
	bool incompatible;
	struct err reason; /* why the last attachment ended */

	int64_t now;
	int64_t hello_at;    /* home in LINK_HELLO: when to repeat it */
	int64_t hello_every;
	int64_t bye_at;      /* guest in LINK_HELLO: when to ask for one */
	int64_t ping_at;
	int64_t heard_at;    /* when the last good frame came */

	struct link_tx tx;
	struct link_rx rx;
	struct link_stats stats;
	unsigned nchannels;
	struct channel channels[LINK_MAX_CHANNELS];
};

/* link.c */

/* Enter an epoch: nothing of an earlier one is sent or taken from now on. */
void link_enter_epoch(struct link *link, uint64_t epoch);
/* Frames flow from now on; the peer expects frame `peer_next`. */
void link_up(struct link *link, uint64_t peer_next);
void link_set_reason(struct link *link, const char *why);

/* link-tx.c */

/* The first byte of the stream that the ring still has to hold. */
uint64_t tx_floor(const struct link *link, unsigned channel);
/* The peer has everything before frame `ack`, which is at most tx.next. */
void tx_acked(struct link *link, uint64_t ack);
/* Forget the frame under way and whatever belonged to the last attachment. */
void tx_reset(struct link *link);

/* link-rx.c */

void rx_reset(struct link *link);
/* Room for a limit that is worth telling the peer. */
void rx_consider_credit(struct channel *channel);

#endif
