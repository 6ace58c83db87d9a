/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link: one reliable, multiplexed, flow-controlled stream of frames between
 * two peers over transports that may lose bytes, stall or vanish.
 *
 * Theory of operation
 *
 * A link outlives its transports. Each time a transport is attached, the home
 * side speaks first: a HELLO with a long magic, the link's id, a new epoch and
 * the next sequence number it expects. It is repeated until the guest answers
 * with a HELLO of its own. Each side then replays what the other lacks. Until
 * the magic of a valid HELLO is seen, received bytes are discarded: a transport
 * may begin in the middle of a frame that was sent before.
 *
 * Data frames carry sequence numbers (one space per direction, over all
 * channels) and are kept until the peer's cumulative acknowledgement covers
 * them. Every frame ends in a 64-bit check over the whole of it, seeded with the
 * link's id, the epoch and the sender's side, and takes effect only when the
 * check is right and no number before it is missing: a frame that was cut
 * short and then continued by another transport's bytes, bytes lost, doubled,
 * swapped or damaged, or a frame of an earlier attachment never reach the
 * application. Whatever is wrong ends the attachment, and the next one resumes.
 *
 * A channel is a byte stream of its own with a credit: the receiver grants an
 * absolute limit of stream bytes, and grants more as the application consumes.
 * Neither what is queued or unacknowledged at the sender nor what is unconsumed
 * at the receiver exceeds the channel's window there, so memory is bounded on
 * both sides by the windows alone and a full channel never holds up another.
 * Channel 0 goes first; the others share by turns, a frame each.
 *
 * The link does no I/O, owns no thread and reads no clock: its owner moves
 * bytes (see net/pump.h) and passes the time, in milliseconds of any monotonic
 * clock. It is not thread-safe; one thread owns it.
 *
 * The bytes are described in docs/wire-format.md.
 */
#ifndef MV_NET_LINK_H
#define MV_NET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LINK_VERSION 1 /* of the protocol */
#define LINK_ID_SIZE 16
#define LINK_MAX_CHANNELS 16
#define LINK_MAX_PAYLOAD 65536 /* bytes of data in one frame */

struct link;

enum link_side {
	LINK_HOME,  /* speaks first, chooses the epoch */
	LINK_GUEST, /* answers */
};

enum link_state {
	LINK_DETACHED, /* no transport */
	LINK_HELLO,    /* transport attached, HELLO not yet exchanged */
	LINK_UP,       /* frames flow */
};

/* One channel; both peers are built with the same table. */
struct link_channel {
	const char *name; /* for messages and statistics */
	uint32_t window;  /* bytes, each way; a multiple of 4096 */
};

/*
 * What the link tells its owner, from inside link_receive() and link_tick().
 * The callbacks may call link_send() and link_consume(), nothing else.
 */
struct link_events {
	/* Bytes of a channel's stream arrived. The owner must call
	 * link_consume() for them, now or later. */
	void (*data)(void *ctx, unsigned channel, const void *data, size_t len);
	/* The peer will send no more on this channel. */
	void (*fin)(void *ctx, unsigned channel);
	/* HELLOs were exchanged; frames flow. May be NULL, like fin. */
	void (*up)(void *ctx, uint64_t epoch);
};

struct link_config {
	enum link_side side;
	uint8_t id[LINK_ID_SIZE]; /* both peers know it: a job's UUID */
	unsigned nchannels;       /* 1..LINK_MAX_CHANNELS */
	const struct link_channel *channels; /* must outlive the link */
	/* Keep-alive in ms: a PING every `ping_after`, the attachment is given
	 * up after `dead_after` without a good frame. 0: 5000 and 15000. */
	unsigned ping_after, dead_after;
};

/* NULL when out of memory. `events` and `ctx` are borrowed. */
struct link *link_new(const struct link_config *config,
		      const struct link_events *events, void *ctx);
void link_free(struct link *link);

/*
 * A fresh transport is there. Home: the epoch is raised by one and HELLO will
 * be transmitted. Guest: bytes are discarded until a HELLO. Ends an attachment
 * that still exists.
 */
void link_attach(struct link *link, int64_t now_ms);

/* The transport is gone or is to be given up; `why` is kept for link_reason(). */
void link_detach(struct link *link, const char *why);

enum link_state link_state(const struct link *link);
uint64_t link_epoch(const struct link *link);

/* Why the last attachment ended, a static or link-owned string; never NULL. */
const char *link_reason(const struct link *link);

/*
 * True when the peer speaks another version of the protocol, or its numbers do
 * not continue ours: attaching again cannot help. link_reason() has the words.
 */
bool link_incompatible(const struct link *link);

/*
 * Bytes came from the transport. Returns 0, or -1 when they break the protocol:
 * then the link is detached, link_reason() says why, and the owner closes the
 * transport. Only home's does: the guest tells home why (BYE), keeps the
 * transport and is in LINK_HELLO again, since a new attachment may begin on the
 * same descriptor at any byte.
 */
int link_receive(struct link *link, const void *bytes, size_t len,
		 int64_t now_ms);

/*
 * Fill `buf` with the next bytes to be written to the transport; returns how
 * many (0: nothing to send). They count as sent: the owner writes all of them
 * or attaches a new transport.
 */
size_t link_transmit(struct link *link, void *buf, size_t cap, int64_t now_ms);

/* True when link_transmit() would return bytes. */
bool link_wants_transmit(const struct link *link, int64_t now_ms);

/* When link_tick() must be called at the latest, in ms, -1 for never. */
int64_t link_deadline(const struct link *link);

/* Keep-alive and repeated HELLO. Returns -1 when it ended the attachment. */
int link_tick(struct link *link, int64_t now_ms);

/* How many bytes link_send() would take on this channel now. Works detached;
 * 0 after link_send_fin(). */
size_t link_room(const struct link *link, unsigned channel);

/*
 * Queue bytes on a channel: all or nothing. Returns 0, or -ENOBUFS when
 * link_room() is smaller, -EPIPE after link_send_fin(), -ENOMEM.
 */
int link_send(struct link *link, unsigned channel, const void *data,
	      size_t len);

/* No more will be sent on this channel. Idempotent. */
int link_send_fin(struct link *link, unsigned channel);

/* The owner has used `len` bytes of what data() gave it: grant as much again. */
void link_consume(struct link *link, unsigned channel, size_t len);

/* Bytes sent or queued on this channel that the peer has not acknowledged. */
size_t link_pending(const struct link *link, unsigned channel);

struct link_stats {
	uint64_t frames_sent, frames_received, frames_replayed, frames_repeated;
	uint64_t bytes_sent, bytes_received, bytes_discarded;
	uint64_t attachments;
};
void link_stats(const struct link *link, struct link_stats *stats);

#endif
