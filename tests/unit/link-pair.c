/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/link-pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct link_channel channels[PAIR_CHANNELS] = {
	{ "control", PAIR_WINDOW },
	{ "one", PAIR_WINDOW },
	{ "two", PAIR_WINDOW },
	{ "small", 4096 },
	{ "odd", 12288 },
};

uint8_t pair_byte(enum link_side side, unsigned channel, uint64_t offset)
{
	uint64_t x = (offset / 8 + 1) * 0x9E3779B97F4A7C15ull;

	x ^= (uint64_t)(side + 1) << 40 ^ (uint64_t)(channel + 1) << 20;
	x *= 0xBF58476D1CE4E5B9ull;
	return (uint8_t)(x >> (8 * (offset % 8)));
}

/* xorshift64 */
uint64_t pair_random(struct pair *pair)
{
	uint64_t x = pair->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return pair->random = x;
}

static void on_data(void *ctx, unsigned channel, const void *data, size_t len)
{
	struct peer *peer = ctx;
	enum link_side sender = peer->side == LINK_HOME ? LINK_GUEST : LINK_HOME;
	const uint8_t *bytes = data;

	assert_true(len > 0);
	assert_false(peer->fin_received[channel]);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], pair_byte(sender, channel,
						     peer->received[channel]++));
	if (peer->norder < sizeof(peer->order))
		peer->order[peer->norder++] = (int8_t)channel;
	if (peer->hold[channel])
		peer->unconsumed[channel] += len;
	else
		link_consume(peer->link, channel, len);
}

static void on_fin(void *ctx, unsigned channel)
{
	struct peer *peer = ctx;

	assert_false(peer->fin_received[channel]);
	peer->fin_received[channel] = true;
	if (peer->norder < sizeof(peer->order))
		peer->order[peer->norder++] = -1;
}

static void on_up(void *ctx, uint64_t epoch)
{
	struct peer *peer = ctx;

	assert_int_equal(epoch, link_epoch(peer->link));
	peer->ups++;
}

static const struct link_events events = { on_data, on_fin, on_up };

struct pair *pair_new(uint64_t seed)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	assert_non_null(pair);
	pair->random = seed * 2 + 1;
	pair->capacity = 256 * 1024;
	for (int side = LINK_HOME; side <= LINK_GUEST; side++) {
		struct link_config config = {
			.side = (enum link_side)side,
			.id = "0123456789abcde",
			.nchannels = PAIR_CHANNELS,
			.channels = channels,
		};
		struct peer *peer = &pair->peer[side];

		peer->pair = pair;
		peer->side = (enum link_side)side;
		peer->step = 20000;
		peer->link = link_new(&config, &events, peer);
		assert_non_null(peer->link);
	}
	return pair;
}

void pair_free(struct pair *pair)
{
	for (int side = 0; side < 2; side++) {
		link_free(pair->peer[side].link);
		free(pair->wire[side].bytes);
	}
	free(pair);
}

/* On a serial port the end of what the guest had written arrives first. */
static void keep_tail(struct pair *pair)
{
	struct wire *wire = &pair->wire[LINK_GUEST];
	size_t keep = wire->used ? pair_random(pair) % wire->used : 0;

	if (keep)
		memmove(wire->bytes, wire->bytes + wire->used - keep, keep);
	wire->used = keep;
}

void pair_attach(struct pair *pair)
{
	pair->cut = false;
	pair->wire[LINK_HOME].used = 0;
	if (pair->serial && pair->serial_tail)
		keep_tail(pair);
	else
		pair->wire[LINK_GUEST].used = 0;
	link_attach(pair->peer[LINK_HOME].link, pair->now);
	if (!pair->serial || link_state(pair->peer[LINK_GUEST].link) ==
				     LINK_DETACHED)
		link_attach(pair->peer[LINK_GUEST].link, pair->now);
}

static void feed_channel(struct peer *peer, unsigned channel)
{
	uint64_t *sent = &peer->sent[channel];
	uint8_t bytes[20000];

	while (*sent < peer->target[channel]) {
		uint64_t left = peer->target[channel] - *sent;
		size_t room = link_room(peer->link, channel);
		size_t len = left < room ? (size_t)left : room;

		if (len > peer->step)
			len = peer->step;
		if (!len)
			return;
		for (size_t i = 0; i < len; i++)
			bytes[i] = pair_byte(peer->side, channel, *sent + i);
		assert_int_equal(link_send(peer->link, channel, bytes, len), 0);
		*sent += len;
	}
	if (peer->target[channel] && !peer->fin_sent[channel] &&
	    !peer->pair->keep_open) {
		peer->fin_sent[channel] = true;
		assert_int_equal(link_send_fin(peer->link, channel), 0);
	}
}

void pair_feed(struct pair *pair)
{
	for (int side = 0; side < 2; side++)
		for (unsigned c = 0; c < PAIR_CHANNELS; c++)
			feed_channel(&pair->peer[side], c);
}

static void wire_put(struct wire *wire, const uint8_t *bytes, size_t len)
{
	if (!len)
		return;
	if (wire->used + len > wire->size) {
		wire->size = 2 * (wire->used + len);
		wire->bytes = realloc(wire->bytes, wire->size);
		assert_non_null(wire->bytes);
	}
	memcpy(wire->bytes + wire->used, bytes, len);
	wire->used += len;
}

static bool transmit(struct pair *pair, struct peer *peer)
{
	struct wire *wire = &pair->wire[peer->side];
	uint8_t bytes[2 * 32768];
	size_t len;

	if (wire->used > pair->capacity)
		return false;
	len = link_transmit(peer->link, bytes, sizeof(bytes) / 2, pair->now);
	if (!len)
		return false;
	wire->carried += len;
	if (pair->fault)
		pair->fault(pair, peer->side, wire->carried - len, bytes, &len);
	wire_put(wire, bytes, len);
	return true;
}

/* The owner's part when the link ends an attachment. */
static void ended(struct pair *pair, struct peer *peer)
{
	pair->lost++;
	if (peer->side == LINK_HOME || !pair->serial)
		pair_attach(pair);
	else
		link_attach(peer->link, pair->now);
}

static bool deliver(struct pair *pair, struct peer *to)
{
	struct wire *wire = &pair->wire[!to->side];
	size_t len = wire->used;
	uint8_t *bytes;
	int failed;

	if (!len)
		return false;
	/* A PAD in small pieces would only take time. */
	if (pair->chunk && len > 8192)
		len = 1 + pair_random(pair) % len;
	else if (pair->chunk && len > pair->chunk)
		len = 1 + pair_random(pair) % pair->chunk;
	bytes = malloc(len);
	assert_non_null(bytes);
	memcpy(bytes, wire->bytes, len);
	memmove(wire->bytes, wire->bytes + len, wire->used - len);
	wire->used -= len;
	failed = link_receive(to->link, bytes, len, pair->now);
	free(bytes);
	if (failed)
		ended(pair, to);
	return true;
}

bool pair_move(struct pair *pair)
{
	bool moved = false;

	for (int side = 0; side < 2; side++)
		moved |= transmit(pair, &pair->peer[side]);
	for (int side = 0; side < 2; side++)
		moved |= deliver(pair, &pair->peer[side]);
	if (pair->cut) {
		pair->lost++;
		pair_attach(pair);
	}
	return moved;
}

void pair_send(struct peer *peer, unsigned channel, size_t len)
{
	peer->target[channel] = peer->sent[channel] + len;
	while (peer->sent[channel] < peer->target[channel]) {
		uint8_t byte = pair_byte(peer->side, channel,
					 peer->sent[channel]++);

		assert_int_equal(link_send(peer->link, channel, &byte, 1), 0);
	}
}

void pair_carry(struct peer *from, struct peer *to, size_t max, int64_t now)
{
	static uint8_t bytes[4 * PAIR_WINDOW];
	size_t len = link_transmit(from->link, bytes, max, now);

	assert_true(len > 0);
	assert_int_equal(link_receive(to->link, bytes, len, now), 0);
}

void pair_drain(struct pair *pair)
{
	while (pair_move(pair))
		;
}

void pair_settle(struct pair *pair)
{
	do
		pair_feed(pair);
	while (pair_move(pair));
}

static int64_t next_deadline(const struct pair *pair)
{
	int64_t home = link_deadline(pair->peer[LINK_HOME].link);
	int64_t guest = link_deadline(pair->peer[LINK_GUEST].link);

	if (home < 0)
		return guest;
	return guest < 0 || home < guest ? home : guest;
}

static void tick(struct pair *pair)
{
	for (int side = 0; side < 2; side++)
		if (link_tick(pair->peer[side].link, pair->now))
			ended(pair, &pair->peer[side]);
}

void pair_wait(struct pair *pair)
{
	int64_t at = next_deadline(pair);

	pair->now = at > pair->now ? at : pair->now + 1;
	tick(pair);
}

void pair_pass(struct pair *pair, int64_t ms)
{
	int64_t end = pair->now + ms;

	for (;;) {
		int64_t at = next_deadline(pair);

		pair_settle(pair);
		if (at < 0 || at > end)
			break;
		pair->now = at > pair->now ? at : pair->now + 1;
		tick(pair);
	}
	pair->now = end;
	tick(pair);
	pair_settle(pair);
}

bool pair_done(const struct pair *pair)
{
	for (int side = 0; side < 2; side++) {
		const struct peer *from = &pair->peer[side];
		const struct peer *to = &pair->peer[!side];

		for (unsigned c = 0; c < PAIR_CHANNELS; c++)
			if (to->received[c] != from->target[c] ||
			    to->fin_received[c] != from->fin_sent[c] ||
			    from->fin_sent[c] != (from->target[c] &&
						  !pair->keep_open) ||
			    link_pending(from->link, c))
				return false;
	}
	return true;
}

void pair_finish(struct pair *pair, int64_t limit_ms)
{
	int64_t end = pair->now + limit_ms;

	for (;;) {
		pair_settle(pair);
		if (pair_done(pair))
			return;
		if (pair->now > end)
			fail_msg("not finished; home: %s; guest: %s",
				 link_reason(pair->peer[LINK_HOME].link),
				 link_reason(pair->peer[LINK_GUEST].link));
		pair_wait(pair);
	}
}
