/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the link takes from the transport. Every byte here comes from a peer
 * that may be broken or hostile.
 */
#include "net/link-private.h"

#include "net/bytes.h"

#include <stdio.h>

void rx_reset(struct link *link)
{
	link->rx.used = 0;
	link->rx.need = FRAME_HEADER_SIZE;
	link->rx.unacked_frames = 0;
	link->rx.unacked_bytes = 0;
	link->rx.ack_at = -1;
}

void rx_consider_credit(struct channel *channel)
{
	uint64_t limit = channel->rx.consumed + channel->window;

	if (limit - channel->rx.granted >= channel->window / 4)
		channel->rx.credit_due = true;
}

/* Wait for a HELLO again, on the same transport. */
static void listen_for_hello(struct link *link, const char *why)
{
	link->state = LINK_HELLO;
	link->rx.ack_at = -1;
	link->bye_at = link->now + link->dead_after;
	link_set_reason(link, why);
}

/*
 * End the attachment. Home's transport cannot be trusted any longer. The
 * guest's may begin to carry another attachment at any byte, so it goes on
 * listening. Returns -1 when the transport is to be given up.
 */
static int refuse(struct link *link, const struct err *err)
{
	if (link->side == LINK_HOME) {
		link_detach(link, err->text);
		return -1;
	}
	listen_for_hello(link, err->text);
	link->tx.bye_due = true;
	return 0;
}

/* HELLO */

/* Can what the peer still lacks be sent again? */
static int check_resume(struct link *link, uint64_t peer_next, struct err *err)
{
	if (peer_next >= link->tx.acked && peer_next <= link->tx.next)
		return 0;
	link->incompatible = true;
	return err_set(err, 0,
		       "the peer wants to resume at frame %llu, but this side "
		       "has frames %llu to %llu",
		       (unsigned long long)peer_next,
		       (unsigned long long)link->tx.acked,
		       (unsigned long long)link->tx.next);
}

static int hello_at_home(struct link *link, const struct hello *hello,
			 struct err *err)
{
	if (hello->epoch != link->epoch)
		return 0;
	if (check_resume(link, hello->rx_next, err))
		return -1;
	/* An answer to a HELLO that was repeated before the first answer came
	 * says nothing new: what home has sent since is on its way. */
	if (link->state == LINK_UP) {
		link->heard_at = link->now;
		tx_acked(link, hello->rx_next);
		return 0;
	}
	link_up(link, hello->rx_next);
	link->tx.hello_due = false;
	if (link->events->up)
		link->events->up(link->ctx, link->epoch);
	return 0;
}

static int hello_at_guest(struct link *link, const struct hello *hello,
			  struct err *err)
{
	bool fresh = hello->epoch > link->epoch;

	if (hello->epoch < link->epoch || !hello->epoch)
		return 0;
	if (fresh)
		link_enter_epoch(link, hello->epoch);
	/* Answered in any case, so that home can read why it is refused. */
	link->tx.hello_due = true;
	if (check_resume(link, hello->rx_next, err))
		return -1;
	fresh |= link->state != LINK_UP;
	link_up(link, hello->rx_next);
	if (fresh && link->events->up)
		link->events->up(link->ctx, link->epoch);
	return 0;
}

static int take_hello(struct link *link, const struct hello *hello,
		      struct err *err)
{
	if (memcmp(hello->id, link->id, sizeof(link->id)) ||
	    hello->side != (link->side == LINK_HOME ? LINK_GUEST : LINK_HOME))
		return 0;
	if (hello->version != LINK_VERSION) {
		link->incompatible = true;
		link->tx.hello_due = link->side == LINK_GUEST;
		return err_set(err, 0,
			       "the peer speaks protocol version %u, this side "
			       "speaks version %u", hello->version,
			       LINK_VERSION);
	}
	return link->side == LINK_HOME ? hello_at_home(link, hello, err) :
					 hello_at_guest(link, hello, err);
}

/* Frames */

static void note_unacked(struct link *link, size_t len)
{
	struct link_rx *rx = &link->rx;

	rx->unacked_frames++;
	rx->unacked_bytes += len;
	if (rx->ack_at < 0)
		rx->ack_at = link->now + ACK_MS;
}

static int check_stream(const struct channel *c, const struct frame *frame,
			struct err *err)
{
	if (c->rx.fin)
		return err_set(err, 0, "more on channel %s after its end",
			       c->name);
	if (frame->len > c->rx.granted - c->rx.received)
		return err_set(err, 0,
			       "%u bytes on channel %s, beyond its limit by %llu",
			       frame->len, c->name,
			       (unsigned long long)(c->rx.received + frame->len -
						    c->rx.granted));
	return 0;
}

static int take_numbered(struct link *link, const struct frame *frame,
			 const uint8_t *payload, struct err *err)
{
	struct channel *c = &link->channels[frame->channel];

	note_unacked(link, frame->len);
	if (frame->seq < link->rx.next) {
		link->stats.frames_repeated++;
		return 0;
	}
	if (check_stream(c, frame, err))
		return -1;
	link->rx.next++;
	c->rx.received += frame->len;
	if (frame->kind == FRAME_DATA) {
		link->events->data(link->ctx, frame->channel, payload,
				   frame->len);
		return 0;
	}
	c->rx.fin = true;
	if (link->events->fin)
		link->events->fin(link->ctx, frame->channel);
	return 0;
}

static void take_credit(struct link *link, const struct frame *frame,
			const uint8_t *payload)
{
	struct tx_channel *tx = &link->channels[frame->channel].tx;
	uint64_t limit = get_le64(payload);

	if (limit > tx->limit)
		tx->limit = limit;
}

static void take_ping(struct link *link)
{
	link->tx.pong_due = true;
	/* A lost CREDIT leaves no gap in the numbers; this makes it good. */
	for (unsigned i = 0; i < link->nchannels; i++)
		link->channels[i].rx.credit_due = true;
}

/* The text is the peer's, and ends up on a terminal. */
static int take_bye(struct link *link, const struct frame *frame,
		    const uint8_t *payload, struct err *err)
{
	char text[FRAME_MAX_REASON + 1];

	for (uint32_t i = 0; i < frame->len; i++)
		text[i] = payload[i] >= ' ' && payload[i] < 0x7f ?
				  (char)payload[i] : '?';
	text[frame->len] = '\0';
	err_set(err, 0, "the peer ended the attachment: %s", text);
	if (link->side == LINK_HOME) {
		link->incompatible = frame->channel == BYE_FINAL;
		return -1;
	}
	listen_for_hello(link, err->text);
	return 0;
}

/* In an ordered stream nothing can be ahead of what was sent. */
static int check_numbers(const struct link *link, const struct frame *frame,
			 struct err *err)
{
	if (frame->seq > link->rx.next)
		return err_set(err, 0, "frames are missing: %llu came, "
				       "%llu was expected",
			       (unsigned long long)frame->seq,
			       (unsigned long long)link->rx.next);
	if (frame->ack > link->tx.next)
		return err_set(err, 0, "frame %llu was acknowledged, but only "
				       "%llu were sent",
			       (unsigned long long)frame->ack,
			       (unsigned long long)link->tx.next);
	return 0;
}

static int take_frame(struct link *link, const struct frame *frame,
		      const uint8_t *payload, struct err *err)
{
	if (check_numbers(link, frame, err))
		return -1;
	link->stats.frames_received++;
	link->heard_at = link->now;
	tx_acked(link, frame->ack);
	switch ((enum frame_kind)frame->kind) {
	case FRAME_DATA:
	case FRAME_FIN:
		return take_numbered(link, frame, payload, err);
	case FRAME_CREDIT:
		take_credit(link, frame, payload);
		return 0;
	case FRAME_PING:
		take_ping(link);
		return 0;
	case FRAME_BYE:
		return take_bye(link, frame, payload, err);
	case FRAME_ACK:
	case FRAME_PONG:
	case FRAME_PAD:
	case FRAME_KIND_END:
		break;
	}
	return 0;
}

/*
 * The steps below look at `len` bytes and return how many they have used up, 0
 * when they need more (rx.need in all), or -1 when the bytes break the protocol.
 */

static ssize_t step_hello(struct link *link, const uint8_t *bytes, size_t len,
			  struct err *err)
{
	struct hello hello;

	link->rx.need = FRAME_HELLO_SIZE;
	if (len < FRAME_HELLO_SIZE)
		return 0;
	if (hello_decode(&hello, bytes))
		return err_set(err, 0, "a HELLO is damaged");
	if (take_hello(link, &hello, err))
		return -1;
	return FRAME_HELLO_SIZE;
}

/* Discard up to a valid HELLO. */
static ssize_t step_listen(struct link *link, const uint8_t *bytes, size_t len,
			   struct err *err)
{
	const uint8_t *magic;
	size_t skip;

	if (len < FRAME_MAGIC_SIZE)
		return 0;
	magic = memmem(bytes, len, frame_magic, FRAME_MAGIC_SIZE);
	if (magic == bytes) {
		struct hello hello;

		if (len >= FRAME_HELLO_SIZE && hello_decode(&hello, bytes)) {
			link->stats.bytes_discarded++;
			return 1;
		}
		return step_hello(link, bytes, len, err);
	}
	skip = magic ? (size_t)(magic - bytes) : len - FRAME_MAGIC_SIZE + 1;
	link->stats.bytes_discarded += skip;
	return (ssize_t)skip;
}

static ssize_t step_frame(struct link *link, const uint8_t *bytes, size_t len,
			  struct err *err)
{
	const uint8_t *payload = bytes + FRAME_HEADER_SIZE;
	struct frame frame;
	size_t size;

	link->rx.need = FRAME_HEADER_SIZE;
	if (len < FRAME_HEADER_SIZE)
		return 0;
	if (!memcmp(bytes, frame_magic, FRAME_MAGIC_SIZE))
		return step_hello(link, bytes, len, err);
	if (frame_decode(&frame, bytes, link->nchannels, err))
		return -1;
	size = FRAME_HEADER_SIZE + frame.len + FRAME_TRAILER_SIZE;
	link->rx.need = size;
	if (len < size)
		return 0;
	if (get_le64(payload + frame.len) !=
	    frame_check(link->rx.seed, bytes, payload, frame.len))
		return err_set(err, 0, "the check of a frame is wrong");
	if (take_frame(link, &frame, payload, err))
		return -1;
	return (ssize_t)size;
}

/* How many of the bytes are done with; -1 when the attachment has ended. */
static ssize_t take_bytes(struct link *link, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len) {
		struct err err;
		ssize_t n = link->state == LINK_UP ?
			step_frame(link, bytes + at, len - at, &err) :
			step_listen(link, bytes + at, len - at, &err);

		if (!n)
			break;
		if (n < 0) {
			if (refuse(link, &err))
				return -1;
			/* The frame that was refused may hide a HELLO. */
			n = 1;
		}
		at += (size_t)n;
	}
	return (ssize_t)at;
}

/* Add to a frame that began earlier as much as completes it. */
static size_t fill_buffer(struct link *link, const uint8_t *bytes, size_t len)
{
	struct link_rx *rx = &link->rx;
	size_t want = link->state == LINK_UP ? rx->need : FRAME_MAX_SIZE;
	size_t n = len < want - rx->used ? len : want - rx->used;

	memcpy(rx->buffer + rx->used, bytes, n);
	rx->used += n;
	return n;
}

static int take_buffer(struct link *link)
{
	struct link_rx *rx = &link->rx;
	ssize_t done = take_bytes(link, rx->buffer, rx->used);

	if (done < 0)
		return -1;
	rx->used -= (size_t)done;
	memmove(rx->buffer, rx->buffer + done, rx->used);
	return 0;
}

int link_receive(struct link *link, const void *bytes, size_t len,
		 int64_t now_ms)
{
	const uint8_t *at = bytes, *end = at + len;
	ssize_t done;

	if (link->state == LINK_DETACHED)
		return -1;
	link->now = now_ms;
	link->stats.bytes_received += len;
	while (at < end) {
		if (link->rx.used) {
			at += fill_buffer(link, at, (size_t)(end - at));
			if (take_buffer(link))
				return -1;
			continue;
		}
		done = take_bytes(link, at, (size_t)(end - at));
		if (done < 0)
			return -1;
		at += done;
		link->rx.used = (size_t)(end - at);
		memcpy(link->rx.buffer, at, link->rx.used);
		at = end;
	}
	return 0;
}
