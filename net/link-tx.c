/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the link transmits, and in which order. */
#include "net/link-private.h"

#include "net/bytes.h"

/* The payload of every PAD. Never written, so it costs no memory. */
static uint8_t padding[LINK_MAX_PAYLOAD];

static struct sent_frame *sent_slot(const struct link *link, uint64_t seq)
{
	return &link->tx.sent[seq % SENT_SLOTS];
}

uint64_t tx_floor(const struct link *link, unsigned channel)
{
	const struct outgoing *out = &link->tx.out;
	uint64_t acked = link->channels[channel].tx.acked;

	/* A frame may be acknowledged while it is transmitted again: its bytes
	 * must stay what its check says. */
	if (out->active && out->body == BODY_RING && out->channel == channel &&
	    out->offset < acked)
		return out->offset;
	return acked;
}

void tx_acked(struct link *link, uint64_t ack)
{
	struct link_tx *tx = &link->tx;

	for (; tx->acked < ack; tx->acked++) {
		const struct sent_frame *frame = sent_slot(link, tx->acked);

		link->channels[frame->channel].tx.acked += frame->len;
	}
	if (tx->cursor < tx->acked)
		tx->cursor = tx->acked;
}

void tx_reset(struct link *link)
{
	struct link_tx *tx = &link->tx;

	tx->out.active = false;
	tx->hello_due = tx->pad_due = tx->bye_due = false;
	tx->ping_due = tx->pong_due = false;
	/* Whatever the peer has, it is not less than it acknowledged. */
	tx->cursor = tx->acked;
}

/* Beginning a frame */

/* Every frame acknowledges what was received before it. */
static void acknowledge(struct link *link)
{
	link->rx.unacked_frames = 0;
	link->rx.unacked_bytes = 0;
	link->rx.ack_at = -1;
}

static void begin(struct link *link, enum body body)
{
	struct outgoing *out = &link->tx.out;

	out->active = true;
	out->at = 0;
	out->body = body;
	out->body_len = 0;
	acknowledge(link);
	link->stats.frames_sent++;
}

static const uint8_t *body_bytes(const struct link *link)
{
	const struct outgoing *out = &link->tx.out;
	const struct tx_channel *tx;

	if (out->body == BODY_PADDING)
		return padding;
	tx = &link->channels[out->channel].tx;
	return tx->ring + (out->offset & (tx->size - 1));
}

/* Fill in header and check; a payload in the ring or padding is in place. */
static void begin_frame(struct link *link, enum frame_kind kind,
			unsigned channel, const void *payload, size_t len)
{
	struct outgoing *out = &link->tx.out;
	struct frame frame = {
		.len = (uint32_t)len,
		.kind = (uint8_t)kind,
		.channel = (uint8_t)channel,
		.seq = link->tx.cursor,
		.ack = link->rx.next,
	};

	frame_encode(out->head, &frame);
	out->head_len = FRAME_HEADER_SIZE;
	out->tail_len = FRAME_TRAILER_SIZE;
	put_le64(out->tail,
		 frame_check(link->tx.seed, out->head, payload, len));
}

/* A frame whose payload is copied into the head. */
static void begin_short(struct link *link, enum frame_kind kind,
			unsigned channel, const void *payload, size_t len)
{
	struct outgoing *out = &link->tx.out;

	begin(link, BODY_NONE);
	memcpy(out->head + FRAME_HEADER_SIZE, payload, len);
	begin_frame(link, kind, channel, payload, len);
	out->head_len += len;
}

static void begin_hello(struct link *link)
{
	struct outgoing *out = &link->tx.out;
	struct hello hello = {
		.version = LINK_VERSION,
		.side = (uint8_t)link->side,
		.epoch = link->epoch,
		.rx_next = link->rx.next,
	};

	begin(link, BODY_NONE);
	memcpy(hello.id, link->id, sizeof(hello.id));
	hello_encode(out->head, &hello);
	out->head_len = FRAME_HELLO_SIZE;
	out->tail_len = 0;
	link->tx.hello_due = false;
	if (link->side == LINK_GUEST)
		return;
	link->tx.pad_due = link->hello_every > 0;
	link->hello_every *= 2;
	if (!link->hello_every)
		link->hello_every = HELLO_FIRST_MS;
	else if (link->hello_every > HELLO_LAST_MS)
		link->hello_every = HELLO_LAST_MS;
	link->hello_at = link->now + link->hello_every;
}

static void begin_pad(struct link *link)
{
	link->tx.pad_due = false;
	begin(link, BODY_PADDING);
	link->tx.out.body_len = sizeof(padding);
	begin_frame(link, FRAME_PAD, 0, padding, sizeof(padding));
}

static void begin_bye(struct link *link)
{
	size_t len = strnlen(link->reason.text, FRAME_MAX_REASON);

	link->tx.bye_due = false;
	begin_short(link, FRAME_BYE, link->incompatible ? BYE_FINAL : 0,
		    link->reason.text, len);
}

static void begin_credit(struct link *link, unsigned channel)
{
	struct channel *c = &link->channels[channel];
	uint8_t limit[FRAME_CREDIT_SIZE];

	c->rx.credit_due = false;
	c->rx.granted = c->rx.consumed + c->window;
	put_le64(limit, c->rx.granted);
	begin_short(link, FRAME_CREDIT, channel, limit, sizeof(limit));
}

/* Transmit the numbered frame at the cursor, for the first time or again. */
static void begin_numbered(struct link *link)
{
	const struct sent_frame *frame = sent_slot(link, link->tx.cursor);
	struct outgoing *out = &link->tx.out;
	const void *payload = out->head;

	begin(link, frame->len ? BODY_RING : BODY_NONE);
	out->channel = frame->channel;
	out->offset = frame->offset;
	out->body_len = frame->len;
	if (frame->len)
		payload = body_bytes(link);
	begin_frame(link, frame->kind, frame->channel, payload, frame->len);
	link->tx.cursor++;
}

static void begin_replayed(struct link *link)
{
	link->stats.frames_replayed++;
	begin_numbered(link);
}

static size_t smaller(uint64_t a, uint64_t b)
{
	return (size_t)(a < b ? a : b);
}

/* How many bytes the next DATA frame of a channel would carry. */
static size_t data_ready(const struct tx_channel *tx)
{
	size_t len = smaller(tx->end - tx->cut, tx->limit - tx->cut);

	return smaller(len, LINK_MAX_PAYLOAD);
}

static bool fin_ready(const struct tx_channel *tx)
{
	return tx->fin && !tx->fin_cut && tx->cut == tx->end;
}

/* Give the next number to the next piece of a channel's stream. */
static void cut_frame(struct link *link, unsigned channel)
{
	struct tx_channel *tx = &link->channels[channel].tx;
	struct sent_frame *frame = sent_slot(link, link->tx.next);
	size_t len = data_ready(tx);

	frame->channel = (uint8_t)channel;
	frame->offset = tx->cut;
	if (len) {
		frame->kind = FRAME_DATA;
		frame->len = (uint32_t)smaller(
			len, tx->size - (tx->cut & (tx->size - 1)));
		tx->cut += frame->len;
	} else {
		frame->kind = FRAME_FIN;
		frame->len = 0;
		tx->fin_cut = true;
	}
	link->tx.next++;
	link->tx.turn = channel;
}

/* Choosing what comes next */

enum choice {
	SEND_NOTHING, SEND_HELLO, SEND_PAD, SEND_BYE, SEND_CREDIT, SEND_PONG,
	SEND_PING, SEND_REPLAYED, SEND_NUMBERED, SEND_ACK,
};

static bool channel_ready(const struct link *link, unsigned channel)
{
	const struct tx_channel *tx = &link->channels[channel].tx;

	return data_ready(tx) || fin_ready(tx);
}

/* The channel whose turn it is to send a new frame. */
static bool choose_channel(const struct link *link, unsigned *channel)
{
	uint64_t unacked = link->tx.next - link->tx.acked;

	*channel = 0;
	if (unacked >= SENT_SLOTS)
		return false;
	if (channel_ready(link, 0))
		return true;
	if (unacked >= SENT_SLOTS - SENT_RESERVED)
		return false;
	for (unsigned i = 1; i <= link->nchannels; i++) {
		*channel = (link->tx.turn + i) % link->nchannels;
		if (*channel && channel_ready(link, *channel))
			return true;
	}
	return false;
}

static bool choose_credit(const struct link *link, unsigned *channel)
{
	for (*channel = 0; *channel < link->nchannels; ++*channel)
		if (link->channels[*channel].rx.credit_due)
			return true;
	return false;
}

static bool ack_due(const struct link *link, int64_t now)
{
	const struct link_rx *rx = &link->rx;

	return rx->ack_at >= 0 &&
	       (now >= rx->ack_at || rx->unacked_frames >= ACK_FRAMES ||
		rx->unacked_bytes >= ACK_BYTES);
}

static enum choice choose_up(const struct link *link, int64_t now,
			     unsigned *channel)
{
	if (choose_credit(link, channel))
		return SEND_CREDIT;
	if (link->tx.pong_due)
		return SEND_PONG;
	if (link->tx.ping_due)
		return SEND_PING;
	if (link->tx.cursor < link->tx.next)
		return SEND_REPLAYED;
	if (choose_channel(link, channel))
		return SEND_NUMBERED;
	return ack_due(link, now) ? SEND_ACK : SEND_NOTHING;
}

static enum choice choose(const struct link *link, int64_t now,
			  unsigned *channel)
{
	if (link->state == LINK_DETACHED)
		return SEND_NOTHING;
	if (link->tx.pad_due)
		return SEND_PAD;
	if (link->tx.hello_due)
		return SEND_HELLO;
	if (link->tx.bye_due)
		return SEND_BYE;
	if (link->state == LINK_HELLO)
		return SEND_NOTHING;
	return choose_up(link, now, channel);
}

static bool begin_next(struct link *link, int64_t now)
{
	unsigned channel = 0;

	switch (choose(link, now, &channel)) {
	case SEND_NOTHING:
		return false;
	case SEND_HELLO:
		begin_hello(link);
		break;
	case SEND_PAD:
		begin_pad(link);
		break;
	case SEND_BYE:
		begin_bye(link);
		break;
	case SEND_CREDIT:
		begin_credit(link, channel);
		break;
	case SEND_PONG:
		link->tx.pong_due = false;
		begin_short(link, FRAME_PONG, 0, "", 0);
		break;
	case SEND_PING:
		link->tx.ping_due = false;
		begin_short(link, FRAME_PING, 0, "", 0);
		break;
	case SEND_REPLAYED:
		begin_replayed(link);
		break;
	case SEND_NUMBERED:
		cut_frame(link, channel);
		begin_numbered(link);
		break;
	case SEND_ACK:
		begin_short(link, FRAME_ACK, 0, "", 0);
		break;
	}
	return true;
}

bool link_wants_transmit(const struct link *link, int64_t now_ms)
{
	unsigned channel;

	return link->tx.out.active ||
	       choose(link, now_ms, &channel) != SEND_NOTHING;
}

/* Copy the part of [from, from + len) of the frame that fits. */
static size_t copy_part(struct outgoing *out, size_t from, const uint8_t *bytes,
			size_t len, uint8_t *buf, size_t cap)
{
	size_t skip = out->at - from, n;

	if (out->at < from || skip >= len)
		return 0;
	n = smaller(len - skip, cap);
	memcpy(buf, bytes + skip, n);
	out->at += n;
	return n;
}

static size_t copy_frame(struct link *link, uint8_t *buf, size_t cap)
{
	struct outgoing *out = &link->tx.out;
	size_t tail_at = out->head_len + out->body_len, n;

	n = copy_part(out, 0, out->head, out->head_len, buf, cap);
	if (out->body != BODY_NONE)
		n += copy_part(out, out->head_len, body_bytes(link),
			       out->body_len, buf + n, cap - n);
	n += copy_part(out, tail_at, out->tail, out->tail_len, buf + n, cap - n);
	out->active = out->at < tail_at + out->tail_len;
	return n;
}

size_t link_transmit(struct link *link, void *buf, size_t cap, int64_t now_ms)
{
	size_t used = 0;

	link->now = now_ms;
	while (used < cap &&
	       (link->tx.out.active || begin_next(link, now_ms)))
		used += copy_frame(link, (uint8_t *)buf + used, cap - used);
	link->stats.bytes_sent += used;
	return used;
}
