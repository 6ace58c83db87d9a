/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/link-private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool config_valid(const struct link_config *config)
{
	if (config->nchannels < 1 || config->nchannels > LINK_MAX_CHANNELS)
		return false;
	for (unsigned i = 0; i < config->nchannels; i++) {
		uint32_t window = config->channels[i].window;

		if (!window || window % 4096 || window > UINT32_MAX / 2)
			return false;
	}
	return true;
}

static void set_channels(struct link *link, const struct link_config *config)
{
	link->nchannels = config->nchannels;
	for (unsigned i = 0; i < config->nchannels; i++) {
		link->channels[i].name = config->channels[i].name;
		link->channels[i].window = config->channels[i].window;
	}
}

struct link *link_new(const struct link_config *config,
		      const struct link_events *events, void *ctx)
{
	struct link *link;

	assert(config_valid(config));
	link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	link->tx.sent = calloc(SENT_SLOTS, sizeof(*link->tx.sent));
	link->rx.buffer = malloc(FRAME_MAX_SIZE);
	if (!link->tx.sent || !link->rx.buffer) {
		link_free(link);
		return NULL;
	}
	link->side = config->side;
	memcpy(link->id, config->id, sizeof(link->id));
	link->events = events;
	link->ctx = ctx;
	link->ping_after = config->ping_after ? config->ping_after :
						PING_AFTER_MS;
	link->dead_after = config->dead_after ? config->dead_after :
						DEAD_AFTER_MS;
	link->rx.ack_at = -1;
	set_channels(link, config);
	link_set_reason(link, "never attached");
	return link;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	for (unsigned i = 0; i < link->nchannels; i++)
		free(link->channels[i].tx.ring);
	free(link->tx.sent);
	free(link->rx.buffer);
	free(link);
}

enum link_state link_state(const struct link *link)
{
	return link->state;
}

uint64_t link_epoch(const struct link *link)
{
	return link->epoch;
}

const char *link_reason(const struct link *link)
{
	return link->reason.text;
}

bool link_incompatible(const struct link *link)
{
	return link->incompatible;
}

void link_stats(const struct link *link, struct link_stats *stats)
{
	*stats = link->stats;
}

void link_set_reason(struct link *link, const char *why)
{
	/* It may be what link_reason() returned. */
	if (why != link->reason.text)
		err_set(&link->reason, 0, "%s", why);
}

/* Attachments */

static enum link_side other_side(enum link_side side)
{
	return side == LINK_HOME ? LINK_GUEST : LINK_HOME;
}

void link_enter_epoch(struct link *link, uint64_t epoch)
{
	link->epoch = epoch;
	link->tx.seed = frame_seed(link->id, epoch, link->side);
	link->rx.seed = frame_seed(link->id, epoch, other_side(link->side));
	tx_reset(link);
}

void link_attach(struct link *link, int64_t now_ms)
{
	link->now = now_ms;
	link->stats.attachments++;
	link->state = LINK_HELLO;
	link->incompatible = false;
	rx_reset(link);
	if (link->side == LINK_HOME) {
		link_enter_epoch(link, link->epoch + 1);
		link->tx.hello_due = true;
		link->hello_at = now_ms;
		link->hello_every = 0;
	} else {
		link_enter_epoch(link, link->epoch);
		/* On a transport without end of file home may believe that the
		 * last attachment still stands. */
		link->tx.bye_due = link->epoch > 0;
		link->bye_at = now_ms + link->dead_after;
	}
}

void link_detach(struct link *link, const char *why)
{
	if (link->state == LINK_DETACHED)
		return;
	link->state = LINK_DETACHED;
	link->rx.ack_at = -1;
	tx_reset(link);
	link_set_reason(link, why);
}

void link_up(struct link *link, uint64_t peer_next)
{
	bool was_up = link->state == LINK_UP;

	tx_acked(link, peer_next);
	link->tx.cursor = peer_next;
	link->tx.pad_due = false;
	link->tx.bye_due = false;
	for (unsigned i = 0; i < link->nchannels; i++)
		link->channels[i].rx.credit_due = true;
	link->state = LINK_UP;
	link->incompatible = false;
	link->heard_at = link->now;
	if (!was_up)
		link->ping_at = link->now + link->ping_after;
}

/* Timers */

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t hello_deadline(const struct link *link)
{
	if (link->side == LINK_HOME)
		return link->tx.hello_due ? -1 : link->hello_at;
	return link->tx.bye_due ? -1 : link->bye_at;
}

int64_t link_deadline(const struct link *link)
{
	int64_t at;

	if (link->state == LINK_DETACHED)
		return -1;
	if (link->state == LINK_HELLO)
		return hello_deadline(link);
	at = earlier(link->ping_at, link->heard_at + link->dead_after);
	/* An acknowledgement that is due already waits for the transport, and
	 * link_wants_transmit() says so. */
	return link->rx.ack_at > link->now ? earlier(at, link->rx.ack_at) : at;
}

static void tick_hello(struct link *link)
{
	if (link->side == LINK_HOME) {
		if (link->now >= link->hello_at)
			link->tx.hello_due = true;
	} else if (link->now >= link->bye_at) {
		link->tx.bye_due = true;
		link->bye_at = link->now + link->dead_after;
	}
}

static int tick_up(struct link *link)
{
	char why[80];

	/* Silence counts only while the owner listens: one that was stopped for
	 * an hour has not waited for an hour. */
	if (link->now - link->ping_at >= link->ping_after)
		link->heard_at = link->now;
	if (link->now - link->heard_at >= link->dead_after) {
		snprintf(why, sizeof(why), "nothing was received for %lld ms",
			 (long long)(link->now - link->heard_at));
		link_detach(link, why);
		return -1;
	}
	if (link->now >= link->ping_at) {
		link->tx.ping_due = true;
		link->ping_at = link->now + link->ping_after;
	}
	return 0;
}

int link_tick(struct link *link, int64_t now_ms)
{
	link->now = now_ms;
	if (link->state == LINK_UP)
		return tick_up(link);
	if (link->state == LINK_HELLO)
		tick_hello(link);
	return 0;
}

/* The application's side */

static struct channel *channel_get(const struct link *link, unsigned channel)
{
	assert(channel < link->nchannels);
	return (struct channel *)&link->channels[channel];
}

static size_t channel_used(const struct link *link, unsigned channel)
{
	return (size_t)(link->channels[channel].tx.end -
			tx_floor(link, channel));
}

size_t link_room(const struct link *link, unsigned channel)
{
	const struct channel *c = channel_get(link, channel);

	return c->tx.fin ? 0 : c->window - channel_used(link, channel);
}

size_t link_pending(const struct link *link, unsigned channel)
{
	const struct channel *c = channel_get(link, channel);

	return (size_t)(c->tx.end - c->tx.acked);
}

/* Copy stream bytes into a ring; the piece may wrap. */
static void ring_put(uint8_t *ring, size_t size, uint64_t offset,
		     const uint8_t *bytes, size_t len)
{
	size_t at = (size_t)offset & (size - 1);
	size_t first = len < size - at ? len : size - at;

	memcpy(ring + at, bytes, first);
	memcpy(ring, bytes + first, len - first);
}

/*
 * A ring twice the size keeps every frame in one piece: what did not wrap at a
 * multiple of the old size does not wrap at one of the new.
 */
static int ring_grow(struct link *link, unsigned channel, size_t want)
{
	struct tx_channel *tx = &link->channels[channel].tx;
	size_t size = tx->size ? tx->size : RING_FIRST_SIZE;
	uint8_t *ring;

	while (size < want)
		size *= 2;
	if (size == tx->size)
		return 0;
	ring = malloc(size);
	if (!ring)
		return -ENOMEM;
	for (uint64_t at = tx_floor(link, channel); at < tx->end;) {
		size_t from = (size_t)at & (tx->size - 1);
		size_t len = tx->size - from;

		if (len > tx->end - at)
			len = (size_t)(tx->end - at);
		ring_put(ring, size, at, tx->ring + from, len);
		at += len;
	}
	free(tx->ring);
	tx->ring = ring;
	tx->size = size;
	return 0;
}

int link_send(struct link *link, unsigned channel, const void *data, size_t len)
{
	struct channel *c = channel_get(link, channel);

	if (c->tx.fin)
		return -EPIPE;
	if (len > link_room(link, channel))
		return -ENOBUFS;
	if (!len)
		return 0;
	if (ring_grow(link, channel, channel_used(link, channel) + len))
		return -ENOMEM;
	ring_put(c->tx.ring, c->tx.size, c->tx.end, data, len);
	c->tx.end += len;
	return 0;
}

int link_send_fin(struct link *link, unsigned channel)
{
	channel_get(link, channel)->tx.fin = true;
	return 0;
}

void link_consume(struct link *link, unsigned channel, size_t len)
{
	struct channel *c = channel_get(link, channel);

	assert(len <= c->rx.received - c->rx.consumed);
	c->rx.consumed += len;
	rx_consider_credit(c);
}
