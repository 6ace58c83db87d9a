/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/swim.h"

#include "scheduler/swim-member.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void swim_config_default(struct swim_config *config)
{
	*config = (struct swim_config){
		.period = 1, .timeout = 0.5, .indirect = 3, .suspicion = 4,
		.patience = 6, .retransmit = 4, .health_max = 8, .lifeguard = true,
	};
}

const char *swim_state_name(enum swim_state state)
{
	static const char *const names[] = { "unseen", "alive", "suspect", "dead" };

	static_assert(sizeof(names) / sizeof(names[0]) == SWIM_STATES, "a name each");
	return (unsigned)state < SWIM_STATES ? names[state] : "unknown";
}

/* ---- members ---- */

size_t swim_size(unsigned capacity)
{
	return capacity * (sizeof(struct swim_member) + sizeof(uint32_t)) +
	       sched_map_slots(capacity) * sizeof(uint32_t);
}

void swim_init(struct swim *swim, void *memory, unsigned capacity, uint64_t self,
	       const struct swim_config *config, double now)
{
	/* What is not used yet is not touched. */
	*swim = (struct swim){
		.self = self, .config = *config, .capacity = capacity,
		.members = memory, .next_probe = now,
	};
	swim->order = (void *)(swim->members + capacity);
	sched_map_init(&swim->map, swim->order + capacity, capacity,
		       &swim->members[0].id, sizeof(swim->members[0]));
}

int swim_add(struct swim *swim, uint64_t id, struct sched_random *random)
{
	uint32_t place = swim->count, at;

	if (id == swim->self || sched_map_find(&swim->map, id) != SCHED_MAP_NONE)
		return 0;
	if (swim->count == swim->capacity)
		return -1;
	swim->members[place] = (struct swim_member){ .id = id, .state = SWIM_UNSEEN };
	sched_map_put(&swim->map, place);
	/* Anywhere in the round. */
	at = (uint32_t)sched_random_below(random, ++swim->count);
	swim->order[place] = swim->order[at];
	swim->order[at] = place;
	return 0;
}

static void forget_news(struct swim *swim, uint32_t place)
{
	unsigned i = 0;

	while (i < swim->hot_count)
		if (swim->hot[i].place == place)
			swim->hot[i] = swim->hot[--swim->hot_count];
		else
			i++;
}

static void renumber(struct swim *swim, uint32_t from, uint32_t to)
{
	unsigned i;

	for (i = 0; i < swim->count; i++)
		if (swim->order[i] == from)
			swim->order[i] = to;
	for (i = 0; i < swim->hot_count; i++)
		if (swim->hot[i].place == from)
			swim->hot[i].place = to;
}

void swim_remove(struct swim *swim, uint64_t id)
{
	uint32_t place = sched_map_find(&swim->map, id), last = swim->count - 1, i = 0;
	struct swim_member *m;

	if (place == SCHED_MAP_NONE)
		return;
	m = &swim->members[place];
	swim->suspects -= m->state == SWIM_SUSPECT;
	swim->alive -= m->state == SWIM_ALIVE || m->state == SWIM_SUSPECT;
	forget_news(swim, place);
	while (swim->order[i] != place)
		i++;
	swim->order[i] = swim->order[last];
	sched_map_remove(&swim->map, id);
	swim->count = last;
	if (place == last)
		return;
	sched_map_remove(&swim->map, swim->members[last].id);
	*m = swim->members[last];
	sched_map_put(&swim->map, place);
	renumber(swim, last, place);
}

const struct swim_member *swim_find(const struct swim *swim, uint64_t id)
{
	uint32_t place = sched_map_find(&swim->map, id);

	return place == SCHED_MAP_NONE ? NULL : &swim->members[place];
}

/* ---- pings ---- */

static uint32_t next_sequence(struct swim *swim)
{
	if (++swim->sequence == 0)
		swim->sequence = 1;
	return swim->sequence;
}

static void shuffle(struct swim *swim, struct sched_random *random)
{
	uint32_t i;

	for (i = swim->count; i > 1; i--) {
		uint32_t j = (uint32_t)sched_random_below(random, i);
		uint32_t place = swim->order[i - 1];

		swim->order[i - 1] = swim->order[j];
		swim->order[j] = place;
	}
}

/* The next of the round that is not dead. */
static uint32_t next_target(struct swim *swim, struct sched_random *random)
{
	unsigned looked;

	for (looked = 0; looked <= swim->count; looked++) {
		uint32_t place;

		if (swim->next >= swim->count) {
			shuffle(swim, random);
			swim->next = 0;
		}
		if (swim->count == 0)
			break;
		place = swim->order[swim->next++];
		if (swim->members[place].state == SWIM_ALIVE ||
		    swim->members[place].state == SWIM_SUSPECT)
			return place;
	}
	return SWIM_NOBODY;
}

static void ping(struct swim *swim, uint64_t to, uint32_t sequence, struct swim_out *out)
{
	struct swim_header header = { .kind = SWIM_PING, .target = to,
				      .sequence = sequence };

	swim_send(swim, out, to, &header);
}

/* From all nodes together each of the dead and unseen hears at most once a
 * period: so two halves of a network find each other again. */
static void ping_the_lost(struct swim *swim, struct sched_random *random,
			  struct swim_out *out)
{
	uint32_t place;

	if (swim->alive == swim->count)
		return;
	place = (uint32_t)sched_random_below(random, swim->count);
	if (swim->members[place].state == SWIM_DEAD ||
	    swim->members[place].state == SWIM_UNSEEN)
		ping(swim, swim->members[place].id, next_sequence(swim), out);
}

static void start_probe(struct swim *swim, double now, struct sched_random *random,
			struct swim_out *out)
{
	double period = swim->config.period * swim_doubt(swim);
	uint32_t place;

	swim->next_probe = now + period;
	ping_the_lost(swim, random, out);
	place = next_target(swim, random);
	if (place == SWIM_NOBODY)
		return;
	swim->probe = (struct swim_probe){
		.active = true,
		.target = swim->members[place].id,
		.sequence = next_sequence(swim),
		.direct_until = now + swim->config.timeout * swim_doubt(swim),
		.until = now + period,
	};
	ping(swim, swim->probe.target, swim->probe.sequence, out);
}

static bool can_help(const struct swim *swim, const struct swim_member *m)
{
	return m->state == SWIM_ALIVE && m->id != swim->probe.target;
}

static void ask_others(struct swim *swim, struct sched_random *random,
		       struct swim_out *out)
{
	struct swim_header header = { .kind = SWIM_PING_FOR,
				      .target = swim->probe.target,
				      .sequence = swim->probe.sequence };
	uint64_t asked[SWIM_INDIRECT_MAX] = { 0 };
	unsigned tries, i;

	swim->probe.helped = true;
	for (tries = 0; tries < 4 * swim->config.indirect && swim->count &&
	     swim->probe.asked < swim->config.indirect &&
	     swim->probe.asked < SWIM_INDIRECT_MAX; tries++) {
		const struct swim_member *m =
			&swim->members[sched_random_below(random, swim->count)];

		for (i = 0; i < swim->probe.asked && asked[i] != m->id; i++)
			;
		if (i < swim->probe.asked || !can_help(swim, m))
			continue;
		asked[swim->probe.asked++] = m->id;
		swim_send(swim, out, m->id, &header);
	}
}

/* No answer, from anybody. Helpers that did not even say so are a sign that
 * something is wrong with this node. */
static void probe_failed(struct swim *swim, double now, struct swim_out *out)
{
	uint32_t place = sched_map_find(&swim->map, swim->probe.target);
	struct swim_update update;

	swim->probe.active = false;
	swim->failed_probes++;
	if (swim->probe.asked == 0)
		swim_feel(swim, 1);
	else if (swim->probe.nacks < swim->probe.asked)
		swim_feel(swim, (int)(swim->probe.asked - swim->probe.nacks));
	if (place == SWIM_NOBODY)
		return;
	update = (struct swim_update){
		.id = swim->probe.target, .accuser = swim->self,
		.incarnation = swim->members[place].incarnation,
		.state = SWIM_SUSPECT,
	};
	swim_believe(swim, &update, now, out);
}

/* ---- pings for others ---- */

static void relay_nack(struct swim *swim, struct swim_relay *relay, struct swim_out *out)
{
	struct swim_header header = { .kind = SWIM_NACK, .sequence = relay->asked };

	relay->nack_at = 0;
	if (swim->config.lifeguard)
		swim_send(swim, out, relay->asker, &header);
}

static void relays_due(struct swim *swim, double now, struct swim_out *out)
{
	unsigned i;

	for (i = 0; i < SWIM_RELAYS; i++) {
		struct swim_relay *relay = &swim->relays[i];

		if (relay->sequence && relay->nack_at > 0 && relay->nack_at <= now)
			relay_nack(swim, relay, out);
		if (relay->sequence && relay->until <= now)
			relay->sequence = 0;
	}
}

static void ping_for(struct swim *swim, const struct swim_header *header, double now,
		     struct swim_out *out)
{
	unsigned i = 0;

	while (i < SWIM_RELAYS && swim->relays[i].sequence)
		i++;
	if (i == SWIM_RELAYS || sched_map_find(&swim->map, header->target) ==
				SCHED_MAP_NONE)
		return;
	swim->relays[i] = (struct swim_relay){
		.asker = header->sender, .asked = header->sequence,
		.sequence = next_sequence(swim),
		/* In time for the asker, who waits half a period longer. */
		.nack_at = now + 0.8 * swim->config.timeout,
		.until = now + 2 * swim->config.period,
	};
	ping(swim, header->target, swim->relays[i].sequence, out);
}

static void relay_ack(struct swim *swim, const struct swim_header *header,
		      struct swim_out *out)
{
	unsigned i;

	for (i = 0; i < SWIM_RELAYS; i++) {
		struct swim_relay *relay = &swim->relays[i];
		struct swim_header answer = { .kind = SWIM_ACK, .sequence = relay->asked,
					      .target = header->sender };

		if (relay->sequence != header->sequence || relay->sequence == 0)
			continue;
		relay->sequence = 0;
		swim_send(swim, out, relay->asker, &answer);
	}
}

/* ---- time and messages ---- */

double swim_next(const struct swim *swim)
{
	double next = fmin(swim->next_probe, swim_next_expiry(swim));
	unsigned i;

	if (swim->probe.active)
		next = fmin(next, swim->probe.helped ? swim->probe.until :
						       swim->probe.direct_until);
	for (i = 0; i < SWIM_RELAYS; i++) {
		const struct swim_relay *relay = &swim->relays[i];

		if (relay->sequence)
			next = fmin(next, relay->nack_at > 0 ? relay->nack_at :
							       relay->until);
	}
	return next;
}

void swim_tick(struct swim *swim, double now, struct sched_random *random,
	       struct swim_out *out)
{
	relays_due(swim, now, out);
	if (swim->probe.active && !swim->probe.helped && swim->probe.direct_until <= now)
		ask_others(swim, random, out);
	if (swim->probe.active && swim->probe.until <= now)
		probe_failed(swim, now, out);
	swim_expire(swim, now, out);
	if (!swim->probe.active && swim->next_probe <= now)
		start_probe(swim, now, random, out);
}

static void answered(struct swim *swim, const struct swim_header *header,
		     struct swim_out *out)
{
	struct swim_probe *probe = &swim->probe;

	if (probe->active && header->sequence == probe->sequence &&
	    (header->sender == probe->target || header->target == probe->target)) {
		probe->active = false;
		swim_feel(swim, -1);
		return;
	}
	relay_ack(swim, header, out);
}

static void answer(struct swim *swim, const struct swim_header *header,
		   struct swim_out *out)
{
	struct swim_header ack = { .kind = SWIM_ACK, .target = swim->self,
				   .sequence = header->sequence };

	if (header->target == swim->self)
		swim_send(swim, out, header->sender, &ack);
}

static void act_on(struct swim *swim, const struct swim_header *header, double now,
		   struct swim_out *out)
{
	switch (header->kind) {
	case SWIM_PING:
		answer(swim, header, out);
		break;
	case SWIM_PING_FOR:
		ping_for(swim, header, now, out);
		break;
	case SWIM_ACK:
		answered(swim, header, out);
		break;
	case SWIM_NACK:
		if (swim->probe.active && header->sequence == swim->probe.sequence)
			swim->probe.nacks++;
		break;
	case SWIM_KINDS:
		break;
	}
}

void swim_hint(struct swim *swim, uint64_t id, double now, struct swim_out *out)
{
	uint32_t place = sched_map_find(&swim->map, id);

	if (place != SCHED_MAP_NONE && swim->members[place].state == SWIM_UNSEEN)
		swim_change(swim, place, SWIM_ALIVE, now, out);
}

int swim_receive(struct swim *swim, const uint8_t *bytes, size_t len, double now,
		 struct swim_out *out, struct err *err)
{
	struct swim_header header;
	struct swim_update update;
	uint32_t place;
	unsigned i;

	if (swim_get_header(bytes, len, &header, err) < 0) {
		swim->refused++;
		return -1;
	}
	place = sched_map_find(&swim->map, header.sender);
	if (place == SCHED_MAP_NONE) {
		swim->refused++;
		return err_set(err, 0, "a detector's message from a node that is no member");
	}
	for (i = 0; i < header.updates; i++)
		if (swim_get_update(bytes + SWIM_HEADER + i * SWIM_UPDATE, &update,
				    NULL) < 0)
			swim->refused++;
		else
			swim_believe(swim, &update, now, out);
	swim_heard(swim, place, header.incarnation, now, out);
	act_on(swim, &header, now, out);
	return 0;
}
