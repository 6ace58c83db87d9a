/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link's receiver. A frame made at random dies at its check, so the input
 * is taken as a list of orders: give these raw bytes, or give this frame with a
 * check that is right, or let the application or the clock act.
 */
#include "net/link-frame.c"
#include "net/link-rx.c"
#include "net/link-tx.c"
#include "net/link.c"

#include "tests/fuzz/standalone.h"

#include <stdlib.h>

#define WINDOW 8192
#define CHANNELS 3
#define EPOCH 3

enum order {
	ORDER_RAW,     /* u8 length, bytes */
	ORDER_FRAME,   /* header, payload of the length in the header */
	ORDER_HELLO,   /* u8 version, u8 side, u8 epoch, u64 rx_next */
	ORDER_SEND,    /* u8 channel, u8 length */
	ORDER_TICK,    /* u8 in units of 100 ms */
	ORDER_ATTACH,
	ORDER_TRANSMIT,
	ORDER_COUNT,
};

struct target {
	struct link *link;
	int64_t now;
	const uint8_t *at, *end;
	uint64_t consumed[CHANNELS];
	bool fin[CHANNELS];
};

static const struct link_channel channels[CHANNELS] = {
	{ "zero", WINDOW }, { "one", WINDOW }, { "two", 4096 },
};
static const uint8_t link_id[LINK_ID_SIZE] = "fuzz";

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct target *t = ctx;
	static uint8_t copy[LINK_MAX_PAYLOAD];

	check(channel < CHANNELS && len > 0 && len <= channels[channel].window);
	check(!t->fin[channel]);
	memcpy(copy, data, len);
	t->consumed[channel] += len;
	link_consume(t->link, channel, len);
	if (link_room(t->link, channel) >= 10)
		link_send(t->link, channel, copy, len < 10 ? len : 10);
}

static void on_up(void *ctx, uint64_t epoch)
{
	check(epoch == link_epoch(((struct target *)ctx)->link));
}

static void on_fin(void *ctx, unsigned channel)
{
	struct target *t = ctx;

	check(channel < CHANNELS && !t->fin[channel]);
	t->fin[channel] = true;
}

static uint8_t take_u8(struct target *t)
{
	return t->at < t->end ? *t->at++ : 0;
}

static size_t take(struct target *t, uint8_t *out, size_t len)
{
	size_t n = (size_t)(t->end - t->at);

	if (n > len)
		n = len;
	memcpy(out, t->at, n);
	memset(out + n, 0, len - n);
	t->at += n;
	return n;
}

static void receive(struct target *t, const uint8_t *bytes, size_t len)
{
	/* Of its exact size, so that sanitizers see one byte too far. */
	uint8_t *exact = malloc(len ? len : 1);
	bool attached = link_state(t->link) != LINK_DETACHED;

	check(exact != NULL);
	memcpy(exact, bytes, len);
	if (link_receive(t->link, exact, len, t->now)) {
		check(link_state(t->link) == LINK_DETACHED);
		check(t->link->side == LINK_HOME || !attached);
	}
	free(exact);
}

static void order_frame(struct target *t)
{
	uint8_t bytes[FRAME_HEADER_SIZE + 2 * WINDOW + FRAME_TRAILER_SIZE];
	uint32_t len;

	take(t, bytes, FRAME_HEADER_SIZE);
	len = get_le32(bytes);
	if (len <= 2 * WINDOW)
		take(t, bytes + FRAME_HEADER_SIZE, len);
	else
		len = 0; /* refused by its header, or waits for more */
	put_le64(bytes + FRAME_HEADER_SIZE + len,
		 frame_check(t->link->rx.seed, bytes,
			     bytes + FRAME_HEADER_SIZE, len));
	receive(t, bytes, FRAME_HEADER_SIZE + len + FRAME_TRAILER_SIZE);
}

static void order_hello(struct target *t)
{
	struct hello hello = { .version = take_u8(t), .side = take_u8(t),
			       .epoch = take_u8(t) };
	uint8_t bytes[FRAME_HELLO_SIZE];

	take(t, bytes, 8);
	hello.rx_next = get_le64(bytes);
	memcpy(hello.id, link_id, sizeof(hello.id));
	hello_encode(bytes, &hello);
	receive(t, bytes, sizeof(bytes));
}

static void order_send(struct target *t)
{
	unsigned channel = take_u8(t) % CHANNELS;
	uint8_t bytes[255];
	size_t len = take(t, bytes, take_u8(t));
	size_t room = link_room(t->link, channel);

	if (!len)
		link_send_fin(t->link, channel);
	else
		check(!link_send(t->link, channel, bytes, len) ==
		      (len <= room));
}

/* Whatever the peer said, what is transmitted has an end. */
static void order_transmit(struct target *t)
{
	static uint8_t bytes[2000];
	size_t n, total = 0;

	while ((n = link_transmit(t->link, bytes, sizeof(bytes), t->now))) {
		check(n <= sizeof(bytes));
		total += n;
		check(total < 1 << 20);
	}
	check(!link_wants_transmit(t->link, t->now));
}

static void step(struct target *t)
{
	uint8_t raw[255];

	switch ((enum order)(take_u8(t) % ORDER_COUNT)) {
	case ORDER_RAW:
		receive(t, raw, take(t, raw, take_u8(t)));
		break;
	case ORDER_FRAME:
		order_frame(t);
		break;
	case ORDER_HELLO:
		order_hello(t);
		break;
	case ORDER_SEND:
		order_send(t);
		break;
	case ORDER_TICK:
		t->now += take_u8(t) * 100;
		if (link_tick(t->link, t->now))
			check(link_state(t->link) == LINK_DETACHED);
		break;
	case ORDER_ATTACH:
		link_attach(t->link, t->now);
		break;
	case ORDER_TRANSMIT:
	case ORDER_COUNT:
		order_transmit(t);
		break;
	}
}

static void check_invariants(const struct target *t)
{
	const struct link *l = t->link;

	check(l->tx.acked <= l->tx.cursor && l->tx.cursor <= l->tx.next);
	check(l->tx.next - l->tx.acked <= SENT_SLOTS);
	check(l->rx.used <= FRAME_MAX_SIZE);
	check(link_reason(l)[0]);
	check(link_deadline(l) >= -1);
	for (unsigned i = 0; i < CHANNELS; i++) {
		const struct channel *c = &l->channels[i];

		check(c->tx.acked <= c->tx.cut && c->tx.cut <= c->tx.end);
		check(c->tx.cut <= c->tx.limit);
		check(c->tx.end - c->tx.acked <= c->window);
		check(link_pending(l, i) + link_room(l, i) <= c->window);
		check(c->tx.size <= c->window);
		check(c->rx.received <= c->rx.granted);
		check(c->rx.received == t->consumed[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct link_events events = {
		.data = on_data, .fin = on_fin, .up = on_up,
	};
	struct target t = { .at = data, .end = data + size };
	struct link_config config = {
		.side = take_u8(&t) % 2 ? LINK_HOME : LINK_GUEST,
		.nchannels = CHANNELS,
		.channels = channels,
	};

	memcpy(config.id, link_id, sizeof(link_id));
	t.link = link_new(&config, &events, &t);
	check(t.link != NULL);
	for (int i = 0; i < EPOCH; i++)
		link_attach(t.link, 0);
	while (t.at < t.end) {
		step(&t);
		check_invariants(&t);
	}
	link_free(t.link);
	return 0;
}

/* An example: both sides' HELLOs, then frames as a peer would send them. */

struct example {
	uint8_t *out;
	size_t len, size;
	bool home;
	uint64_t seq;
	unsigned sent, random;
};

static void add(struct example *e, const void *bytes, size_t len)
{
	if (e->len + len > e->size)
		return;
	memcpy(e->out + e->len, bytes, len);
	e->len += len;
}

static unsigned draw(struct example *e, unsigned below)
{
	e->random = e->random * 1103515245 + 12345;
	return e->random / 65536 % below;
}

static void add_hello(struct example *e, uint8_t rx_next)
{
	uint8_t order[12] = { ORDER_HELLO, LINK_VERSION,
			      e->home ? LINK_GUEST : LINK_HOME, EPOCH, rx_next };

	add(e, order, sizeof(order));
}

/* A HELLO as bytes, whole or damaged or in the middle of other bytes. */
static void add_raw_hello(struct example *e)
{
	struct hello hello = { .version = LINK_VERSION, .epoch = EPOCH + 1 };
	uint8_t order[2 + FRAME_HELLO_SIZE] = { ORDER_RAW, FRAME_HELLO_SIZE };

	memcpy(hello.id, link_id, sizeof(hello.id));
	hello_encode(order + 2, &hello);
	if (!draw(e, 3))
		order[2 + draw(e, FRAME_HELLO_SIZE)] ^= 1;
	order[1] -= (uint8_t)draw(e, 2);
	add(e, order, sizeof(order));
}

static void add_frame(struct example *e)
{
	static const uint8_t payload[300] = "example";
	struct frame frame = {
		.kind = (uint8_t)(1 + draw(e, FRAME_KIND_END - 1)),
		.seq = e->seq,
		.ack = draw(e, e->sent / 2 + 1),
	};
	uint8_t header[1 + FRAME_HEADER_SIZE] = { ORDER_FRAME };

	if (frame.kind == FRAME_DATA)
		frame.len = 1 + draw(e, sizeof(payload) - 1);
	else if (frame.kind == FRAME_CREDIT)
		frame.len = FRAME_CREDIT_SIZE;
	if (frame.kind <= FRAME_FIN || frame.kind == FRAME_CREDIT)
		frame.channel = (uint8_t)draw(e, CHANNELS);
	e->seq += frame.kind <= FRAME_FIN;
	frame_encode(header + 1, &frame);
	add(e, header, sizeof(header));
	add(e, payload, frame.len);
}

static void add_send(struct example *e)
{
	uint8_t order[] = { ORDER_SEND, (uint8_t)draw(e, CHANNELS), 2, 'x', 'y',
			    ORDER_TRANSMIT };

	add(e, order, sizeof(order));
	e->sent++;
}

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	struct example e = { .out = out, .size = size, .random = n,
			     .home = n % 2 };

	add(&e, (uint8_t[]){ e.home }, 1);
	add_hello(&e, 0);
	/* This grants the credit that DATA needs. */
	add(&e, (uint8_t[]){ ORDER_TRANSMIT }, 1);
	for (unsigned i = draw(&e, 30); i; i--)
		switch (draw(&e, 16)) {
		case 0:
			add(&e, (uint8_t[]){ ORDER_TICK, (uint8_t)draw(&e, 60),
					     ORDER_TRANSMIT }, 3);
			break;
		case 1:
			add_hello(&e, (uint8_t)draw(&e, 3));
			break;
		case 2:
			add(&e, (uint8_t[]){ ORDER_ATTACH }, 1);
			break;
		case 3:
			add_raw_hello(&e);
			break;
		case 4:
		case 5:
		case 6:
			add_send(&e);
			break;
		default:
			add_frame(&e);
			break;
		}
	return e.len;
}
