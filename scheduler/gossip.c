/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/gossip.h"

#include "scheduler/gossip-wire.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define EVICTION_SAMPLE 8

/* Stamps that differ by more, in milliseconds, are not of one clock: of a node's earlier
 * life, or made up. Which entry is newer is then told by their ages. */
#define ONE_CLOCK 60000

/* Stamps go round, so that a liar cannot use them up. */
static int64_t ahead(uint64_t stamp, uint64_t other)
{
	return (int64_t)(stamp - other);
}

static bool one_clock(uint64_t stamp, uint64_t other)
{
	return ahead(stamp, other) <= ONE_CLOCK && ahead(stamp, other) >= -ONE_CLOCK;
}

size_t gossip_size(unsigned capacity)
{
	return (size_t)capacity * (sizeof(struct sched_node) +
				   sizeof(struct gossip_slot)) +
	       sched_map_slots(capacity) * sizeof(uint32_t);
}

void gossip_init(struct gossip *gossip, void *memory, unsigned capacity,
		 uint64_t self, unsigned window, double max_age)
{
	assert(capacity >= 2 && window >= 1 && window <= GOSSIP_WINDOW_MAX);
	/* What is not used yet is not touched: it may be room for thousands. */
	*gossip = (struct gossip){
		.self = self,
		.window = window,
		.max_age = max_age,
		.capacity = capacity,
		.count = 1,
		.nodes = memory,
	};
	gossip->slots = (void *)(gossip->nodes + capacity);
	sched_map_init(&gossip->map, (void *)(gossip->slots + capacity), capacity,
		       &gossip->nodes[0].id, sizeof(gossip->nodes[0]));
	gossip->nodes[0] = (struct sched_node){ .id = self };
	gossip->slots[0] = (struct gossip_slot){ 0 };
	sched_map_put(&gossip->map, 0);
}

/* ---- the window ---- */

static void window_remove(struct gossip *gossip, uint32_t place)
{
	unsigned i = 0;

	if (!gossip->slots[place].in_window)
		return;
	while (gossip->recent[i] != place)
		i++;
	gossip->recent_count--;
	memmove(&gossip->recent[i], &gossip->recent[i + 1],
		(gossip->recent_count - i) * sizeof(gossip->recent[0]));
	gossip->slots[place].in_window = false;
}

static void window_insert(struct gossip *gossip, uint32_t place)
{
	double time = gossip->nodes[place].time;
	unsigned i = gossip->recent_count;

	window_remove(gossip, place);
	i = gossip->recent_count;
	while (i > 0 && gossip->nodes[gossip->recent[i - 1]].time < time)
		i--;
	if (i >= gossip->window - 1)
		return;
	if (gossip->recent_count == gossip->window - 1)
		gossip->slots[gossip->recent[--gossip->recent_count]].in_window = false;
	memmove(&gossip->recent[i + 1], &gossip->recent[i],
		(gossip->recent_count - i) * sizeof(gossip->recent[0]));
	gossip->recent[i] = place;
	gossip->recent_count++;
	gossip->slots[place].in_window = true;
}

void gossip_set_window(struct gossip *gossip, unsigned window)
{
	assert(window >= 1 && window <= GOSSIP_WINDOW_MAX);
	gossip->window = window;
	while (gossip->recent_count > window - 1)
		gossip->slots[gossip->recent[--gossip->recent_count]].in_window = false;
}

/* ---- the table ---- */

static void remove_place(struct gossip *gossip, uint32_t place)
{
	uint32_t last = gossip->count - 1;
	unsigned i;

	window_remove(gossip, place);
	if (gossip->slots[place].urgent)
		gossip->urgent_count--;
	sched_map_remove(&gossip->map, gossip->nodes[place].id);
	gossip->count = last;
	if (place == last)
		return;
	sched_map_remove(&gossip->map, gossip->nodes[last].id);
	gossip->nodes[place] = gossip->nodes[last];
	sched_map_put(&gossip->map, place);
	gossip->slots[place] = gossip->slots[last];
	for (i = 0; i < gossip->recent_count; i++)
		if (gossip->recent[i] == last)
			gossip->recent[i] = place;
}

/* The oldest of a few: cheap, and what is new stays for long. No random source: the
 * id that is to come in decides where to look. */
static void evict(struct gossip *gossip, uint64_t id)
{
	uint32_t oldest = SCHED_MAP_NONE;
	unsigned i;

	if (gossip->recent_count == gossip->count - 1)
		oldest = gossip->recent[gossip->recent_count - 1];

	for (i = 0; i < EVICTION_SAMPLE; i++) {
		uint32_t place = 1 + (uint32_t)(sched_mix(id, gossip->received + i) %
						(gossip->count - 1));

		while (gossip->slots[place].in_window && oldest == SCHED_MAP_NONE)
			place = 1 + place % (gossip->count - 1);
		if (oldest == SCHED_MAP_NONE ||
		    (!gossip->slots[place].in_window &&
		     gossip->nodes[place].time < gossip->nodes[oldest].time))
			oldest = place;
	}
	remove_place(gossip, oldest);
}

static uint32_t add(struct gossip *gossip, uint64_t id)
{
	uint32_t place;

	if (gossip->count == gossip->capacity)
		evict(gossip, id);
	place = gossip->count++;
	gossip->slots[place] = (struct gossip_slot){ 0 };
	gossip->nodes[place] = (struct sched_node){ .id = id };
	sched_map_put(&gossip->map, place);
	return place;
}

void gossip_own(struct gossip *gossip, const struct sched_node *node,
		uint64_t stamp, double now)
{
	uint64_t old = gossip->slots[0].stamp;

	gossip->nodes[0] = *node;
	gossip->nodes[0].id = gossip->self;
	gossip->nodes[0].time = now;
	gossip->slots[0].stamp = ahead(stamp, old) > 0 ? stamp : old + 1;
}

static unsigned urgent_messages(const struct gossip *gossip)
{
	return 1 + (unsigned)(1.386 * log2(gossip->count + 1));
}

static void set_urgent(struct gossip *gossip, uint32_t place, unsigned messages)
{
	struct gossip_slot *slot = &gossip->slots[place];

	gossip->urgent_count += (messages != 0) - (slot->urgent != 0);
	slot->urgent = messages;
}

void gossip_urgent(struct gossip *gossip, uint64_t id)
{
	uint32_t place = sched_map_find(&gossip->map, id);

	if (place != SCHED_MAP_NONE && place != 0)
		set_urgent(gossip, place, urgent_messages(gossip));
}

bool gossip_pick(const struct gossip *gossip, const uint64_t *ids, unsigned alive,
		 unsigned all, struct sched_random *random, uint64_t *to)
{
	unsigned bound = alive, tries;

	if (alive == 0 || (alive < all &&
			   sched_random_below(random, alive < 5 ? 5 : alive) == 0))
		bound = all;
	for (tries = 0; tries < 16 && bound > 0; tries++) {
		*to = ids[sched_random_below(random, bound)];
		if (*to != gossip->self)
			return true;
	}
	return false;
}

/* ---- messages ---- */

static void write_entry(struct gossip *gossip, uint32_t place, double now, uint8_t *out)
{
	gossip_put_entry(out, &gossip->nodes[place], gossip->slots[place].stamp,
			 now - gossip->nodes[place].time);
}

/* While there are urgent entries, which is seldom, all places are looked at. */
static unsigned write_urgent(struct gossip *gossip, double now, uint8_t *out,
			     unsigned room)
{
	unsigned written = 0;
	uint32_t place;

	for (place = 1; gossip->urgent_count && place < gossip->count &&
	     written < room; place++) {
		struct gossip_slot *slot = &gossip->slots[place];

		if (!slot->urgent)
			continue;
		write_entry(gossip, place, now, out + written++ * GOSSIP_ENTRY);
		slot->written = slot->in_window;
		if (--slot->urgent == 0)
			gossip->urgent_count--;
	}
	return written;
}

static unsigned write_recent(struct gossip *gossip, double now, uint8_t *out,
			     unsigned room)
{
	unsigned i, written = 0;

	for (i = 0; i < gossip->recent_count; i++) {
		uint32_t place = gossip->recent[i];

		if (written < room && !gossip->slots[place].written &&
		    now - gossip->nodes[place].time <= gossip->max_age)
			write_entry(gossip, place, now, out + written++ * GOSSIP_ENTRY);
		gossip->slots[place].written = false;
	}
	return written;
}

size_t gossip_write(struct gossip *gossip, double now, uint8_t *out, size_t size)
{
	struct gossip_header header = { .sender = gossip->self, .count = 1 };
	uint8_t *entry = out + GOSSIP_HEADER;

	if (size < GOSSIP_HEADER + (size_t)gossip->window * GOSSIP_ENTRY)
		return 0;
	write_entry(gossip, 0, now, entry);
	header.count += write_urgent(gossip, now, entry + header.count * GOSSIP_ENTRY,
				     gossip->window - header.count);
	header.count += write_recent(gossip, now, entry + header.count * GOSSIP_ENTRY,
				     gossip->window - header.count);
	gossip_put_header(out, &header);
	gossip->sent++;
	return GOSSIP_HEADER + (size_t)header.count * GOSSIP_ENTRY;
}

static void store(struct gossip *gossip, uint32_t place, const struct sched_node *node,
		  uint64_t stamp)
{
	struct gossip_slot *slot = &gossip->slots[place];

	if (gossip->nodes[place].state != node->state)
		set_urgent(gossip, place, urgent_messages(gossip));
	gossip->nodes[place] = *node;
	slot->stamp = stamp;
	gossip->news++;
	window_insert(gossip, place);
}

static void take_entry(struct gossip *gossip, const struct sched_node *node,
		       uint64_t stamp)
{
	uint32_t place = sched_map_find(&gossip->map, node->id);

	if (place == SCHED_MAP_NONE) {
		place = add(gossip, node->id);
		gossip->nodes[place].state = node->state;
	}
	store(gossip, place, node, stamp);
}

/* An earlier life of this node, by a clock that was ahead. */
static void exceed(struct gossip *gossip, uint64_t stamp)
{
	uint64_t own = gossip->slots[0].stamp;

	if (one_clock(stamp, own) && ahead(stamp, own) > 0)
		gossip->slots[0].stamp = stamp + 1;
}

/* By its stamp it may be; by stamps of one clock it is. */
static bool may_be_news(struct gossip *gossip, uint64_t id, uint64_t stamp)
{
	uint32_t place = sched_map_find(&gossip->map, id);
	uint64_t known = place == SCHED_MAP_NONE ? 0 : gossip->slots[place].stamp;

	if (place == 0)
		exceed(gossip, stamp);
	return place != 0 && (place == SCHED_MAP_NONE || ahead(stamp, known) > 0 ||
			      !one_clock(stamp, known));
}

/* Of another clock what was measured last counts, so that the node's own next word ends a lie,
 * however that is dated. */
static bool is_late(const struct gossip *gossip, const struct sched_node *node, uint64_t stamp)
{
	uint32_t place = sched_map_find(&gossip->map, node->id);

	return place != SCHED_MAP_NONE && !one_clock(stamp, gossip->slots[place].stamp) &&
	       node->time <= gossip->nodes[place].time;
}

static void read_entry(struct gossip *gossip, const uint8_t *bytes, double now)
{
	struct sched_node node;
	uint64_t id, stamp;
	double age;

	gossip_peek_entry(bytes, &id, &stamp);
	if (!may_be_news(gossip, id, stamp) ||
	    (gossip->member && !gossip->member(gossip->member_data, id)))
		return;
	if (gossip_get_entry(bytes, &node, &stamp, &age, NULL) < 0) {
		gossip->refused++;
		return;
	}
	node.time = now - age;
	if (age <= gossip->max_age && !is_late(gossip, &node, stamp))
		take_entry(gossip, &node, stamp);
}

int gossip_read(struct gossip *gossip, const uint8_t *bytes, size_t len, double now,
		struct err *err)
{
	struct gossip_header header;
	unsigned i;

	if (gossip_get_header(bytes, len, &header, err) < 0) {
		gossip->refused++;
		return -1;
	}
	gossip->received++;
	for (i = 0; i < header.count; i++)
		read_entry(gossip, bytes + GOSSIP_HEADER + i * GOSSIP_ENTRY, now);
	return 0;
}

void gossip_note(struct gossip *gossip, const struct sched_node *node)
{
	uint32_t place = sched_map_find(&gossip->map, node->id);

	if (place == 0)
		return;
	if (place == SCHED_MAP_NONE)
		place = add(gossip, node->id);
	/* The stamp stays: the node's own gossip, when it comes, is as good. */
	gossip->nodes[place] = *node;
	window_insert(gossip, place);
}

const struct sched_node *gossip_find(const struct gossip *gossip, uint64_t id)
{
	uint32_t place = sched_map_find(&gossip->map, id);

	return place == SCHED_MAP_NONE ? NULL : &gossip->nodes[place];
}

void gossip_forget(struct gossip *gossip, uint64_t id)
{
	uint32_t place = sched_map_find(&gossip->map, id);

	if (place != SCHED_MAP_NONE && place != 0)
		remove_place(gossip, place);
}

void gossip_expire(struct gossip *gossip, double now)
{
	uint32_t place = 1;

	while (place < gossip->count)
		if (now - gossip->nodes[place].time > gossip->max_age)
			remove_place(gossip, place);
		else
			place++;
}

/* ---- the formulas of the paper ---- */

#define EULER 0.5772156649015329

/* The age below which a window of w holds the entries on average. */
static double threshold(double n, double w)
{
	return log(w * (n - 1) / (n - w)) * (n - 1) / n;
}

/* Mean age of what a message carries. */
static double window_age(double n, double w)
{
	double t = threshold(n, w), e = exp(n * t / (n - 1));

	return t - (n - 1) / w * (log(n - 1 + e) - log(n));
}

/* Of hearing of a given node in one step. */
static double heard(double n, double w)
{
	return -log1p(-1 / (n - 1)) * w;
}

double gossip_average_age(double n, double w)
{
	return 1 / -expm1(-heard(n, w)) + window_age(n, w);
}

double gossip_maximum_age(double n, double w)
{
	return (log(n) + EULER) / heard(n, w);
}

double gossip_up_to(double n, double w, double age)
{
	double t = threshold(n, w), e = exp(n * age / (n - 1));

	if (age <= t)
		return n * e / (n - 1 + e);
	return n * -expm1(-heard(n, w) * (age - window_age(n, w)));
}

unsigned gossip_window_for(double n, double age)
{
	unsigned w;

	for (w = 2; w < n; w++)
		if (gossip_average_age(n, w) < age)
			return w;
	return (unsigned)n;
}

unsigned gossip_window(unsigned nodes, unsigned least)
{
	unsigned window = nodes;

	if (nodes > least)
		window = gossip_window_for(nodes, GOSSIP_AGE_WANTED);
	if (nodes > least && window < least)
		window = least;
	if (window > GOSSIP_WINDOW_MAX)
		return GOSSIP_WINDOW_MAX;
	return window < 2 ? 2 : window;
}
