/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/swim-member.h"

#include <math.h>
#include <string.h>

#define SPREAD 4 /* of those that are not news, told with each message */

double swim_doubt(const struct swim *swim)
{
	return swim->config.lifeguard ? swim->health + 1 : 1;
}

void swim_feel(struct swim *swim, int worse)
{
	int health = (int)swim->health + worse;

	if (health < 0)
		health = 0;
	if (health >= (int)swim->config.health_max)
		health = (int)swim->config.health_max - 1;
	swim->health = (unsigned)health;
}

/* Numbers go round (RFC 1982), so that a liar cannot use them up. Half of them are
 * behind any one: nobody takes those, and whom they are about refutes the others. */
static bool is_behind(uint32_t incarnation, uint32_t other)
{
	return (int32_t)(incarnation - other) < 0;
}

static bool is_ahead(uint32_t incarnation, uint32_t other)
{
	return (int32_t)(incarnation - other) > 0;
}

/* ---- news ---- */

static unsigned news_limit(const struct swim *swim)
{
	return swim->config.retransmit *
	       (unsigned)ceil(log10(swim->count + 2));
}

/* When there are too many the one sent most often has spread best. */
static unsigned hot_slot(struct swim *swim, uint32_t place)
{
	unsigned i, most = 0;

	for (i = 0; i < swim->hot_count; i++) {
		if (swim->hot[i].place == place)
			return i;
		if (swim->hot[i].sent > swim->hot[most].sent)
			most = i;
	}
	return swim->hot_count < SWIM_HOT ? swim->hot_count++ : most;
}

static void tell(struct swim *swim, uint32_t place)
{
	swim->hot[hot_slot(swim, place)] = (struct swim_news){ .place = place };
}

static void put_member(const struct swim *swim, uint8_t *at, const struct swim_member *m)
{
	struct swim_update update = {
		.id = m->id, .incarnation = m->incarnation, .state = m->state,
		.accuser = m->accuser_count ? m->accusers[0] : swim->self,
	};
	uint32_t i;

	/* Of what this node suspects itself it is the witness. */
	for (i = 0; i < m->accuser_count; i++)
		if (m->accusers[i] == swim->self)
			update.accuser = swim->self;
	swim_put_update(at, &update);
}

static void drop_stale_news(struct swim *swim)
{
	unsigned i = 0, limit = news_limit(swim);

	while (i < swim->hot_count)
		if (swim->hot[i].sent >= limit)
			swim->hot[i] = swim->hot[--swim->hot_count];
		else
			i++;
}

/* The next that has been sent least often, not in this message yet. */
static int freshest(const struct swim *swim, const bool *used)
{
	int best = -1;
	unsigned i;

	for (i = 0; i < swim->hot_count; i++)
		if (!used[i] && (best < 0 || swim->hot[i].sent < swim->hot[best].sent))
			best = (int)i;
	return best;
}

static unsigned put_news(struct swim *swim, uint8_t *at, unsigned room, uint32_t skip)
{
	bool used[SWIM_HOT] = { false };
	unsigned count = 0;
	int i;

	drop_stale_news(swim);
	while (count < room && (i = freshest(swim, used)) >= 0) {
		used[i] = true;
		swim->hot[i].sent++;
		if (swim->hot[i].place == skip)
			continue;
		put_member(swim, at + count++ * SWIM_UPDATE,
			   &swim->members[swim->hot[i].place]);
	}
	return count;
}

/* A few known ones in turn: whoever missed the news hears of it in the end. */
static unsigned put_refresh(struct swim *swim, uint8_t *at, unsigned room)
{
	unsigned count = 0, looked;

	for (looked = 0; looked < SPREAD && looked < swim->count && count < room;
	     looked++) {
		const struct swim_member *m = &swim->members[swim->refresh++ %
							     swim->count];

		if (m->state != SWIM_UNSEEN)
			put_member(swim, at + count++ * SWIM_UPDATE, m);
	}
	return count;
}

static unsigned put_self(struct swim *swim, uint8_t *at)
{
	struct swim_update update = { .id = swim->self, .accuser = swim->self,
				      .incarnation = swim->incarnation,
				      .state = SWIM_ALIVE };

	if (swim->self_news == 0)
		return 0;
	swim->self_news--;
	swim_put_update(at, &update);
	return 1;
}

/* It is told first what is said of it (Lifeguard's buddy system). */
static unsigned put_buddy(const struct swim *swim, uint8_t *at, uint32_t place)
{
	if (place == SWIM_NOBODY || swim->members[place].state < SWIM_SUSPECT ||
	    (!swim->config.lifeguard && swim->members[place].state == SWIM_SUSPECT))
		return 0;
	put_member(swim, at, &swim->members[place]);
	return 1;
}

void swim_send(struct swim *swim, struct swim_out *out, uint64_t to,
	       const struct swim_header *header)
{
	struct swim_header full = *header;
	struct swim_packet *packet;
	uint32_t place = sched_map_find(&swim->map, to);
	unsigned count;
	uint8_t *at;

	if (out->packet_count == SWIM_PACKETS)
		return; /* as if it were lost on the way */
	packet = &out->packets[out->packet_count++];
	at = packet->bytes + SWIM_HEADER;
	count = put_buddy(swim, at, place);
	if (count == 0)
		place = SWIM_NOBODY;
	count += put_self(swim, at + count * SWIM_UPDATE);
	count += put_news(swim, at + count * SWIM_UPDATE, SWIM_UPDATES - count, place);
	count += put_refresh(swim, at + count * SWIM_UPDATE, SWIM_UPDATES - count);
	full.sender = swim->self;
	full.incarnation = swim->incarnation;
	full.updates = count;
	full.note = swim->note;
	swim_put_header(packet->bytes, &full);
	packet->to = to;
	packet->len = SWIM_HEADER + (size_t)count * SWIM_UPDATE;
}

/* ---- states ---- */

void swim_change(struct swim *swim, uint32_t place, enum swim_state state, double now,
		 struct swim_out *out)
{
	struct swim_member *m = &swim->members[place];

	if (out->change_count < SWIM_CHANGES)
		out->changes[out->change_count++] =
			(struct swim_change){ m->id, state, m->state,
					      m->incarnation };
	else
		out->changes_lost = true;
	swim->suspects += (state == SWIM_SUSPECT) - (m->state == SWIM_SUSPECT);
	swim->alive += (state == SWIM_ALIVE || state == SWIM_SUSPECT) -
		       (m->state == SWIM_ALIVE || m->state == SWIM_SUSPECT);
	m->state = state;
	m->since = now;
	if (state != SWIM_SUSPECT)
		m->accuser_count = 0;
}

/* memberlist, suspicion.go: from long to short, as more come to suspect it. */
static double suspicion_time(const struct swim *swim, const struct swim_member *m)
{
	const struct swim_config *config = &swim->config;
	double least = config->suspicion * fmax(1, log10(swim->count + 1)) *
		       config->period;
	double most = least * config->patience;
	unsigned k = config->suspicion > 2 ? config->suspicion - 2 : 0;
	unsigned others = m->accuser_count ? m->accuser_count - 1 : 0;

	if (!config->lifeguard || k == 0 || swim->count < k + 2)
		return least;
	return fmax(least, most - (most - least) * log(others + 1) / log(k + 1));
}

static bool accused_by(const struct swim_member *m, uint64_t accuser)
{
	uint32_t i;

	for (i = 0; i < m->accuser_count; i++)
		if (m->accusers[i] == accuser)
			return true;
	return false;
}

static void suspect(struct swim *swim, uint32_t place, const struct swim_update *update,
		    double now, struct swim_out *out)
{
	struct swim_member *m = &swim->members[place];

	if (m->state == SWIM_DEAD && !is_ahead(update->incarnation, m->incarnation))
		return;
	if (m->state != SWIM_SUSPECT || is_ahead(update->incarnation, m->incarnation)) {
		m->accuser_count = 0;
		m->incarnation = update->incarnation;
		swim_change(swim, place, SWIM_SUSPECT, now, out);
	}
	if (m->accuser_count == SWIM_ACCUSERS || accused_by(m, update->accuser))
		return;
	m->accusers[m->accuser_count++] = update->accuser;
	m->deadline = m->since + suspicion_time(swim, m);
	tell(swim, place);
}

static void alive(struct swim *swim, uint32_t place, uint32_t incarnation, double now,
		  struct swim_out *out)
{
	struct swim_member *m = &swim->members[place];

	if (m->state != SWIM_UNSEEN && !is_ahead(incarnation, m->incarnation))
		return;
	m->incarnation = incarnation;
	if (m->state != SWIM_ALIVE)
		swim_change(swim, place, SWIM_ALIVE, now, out);
	tell(swim, place);
}

static void dead(struct swim *swim, uint32_t place, uint32_t incarnation, double now,
		 struct swim_out *out)
{
	struct swim_member *m = &swim->members[place];

	if (m->state == SWIM_DEAD && !is_ahead(incarnation, m->incarnation))
		return;
	m->incarnation = incarnation;
	if (m->state != SWIM_DEAD)
		swim_change(swim, place, SWIM_DEAD, now, out);
	tell(swim, place);
}

/* Somebody thinks ill of this node: it is alive, as a later incarnation. Of a number
 * just opposite neither is ahead, so that is exceeded too: whoever told this hears in the
 * answer what is ahead of what he believes, whatever it is. */
static void refute(struct swim *swim, const struct swim_update *update)
{
	if (update->state == SWIM_ALIVE ||
	    is_ahead(swim->incarnation, update->incarnation))
		return;
	swim->incarnation = update->incarnation + 1;
	swim->self_news = news_limit(swim);
	swim->refuted++;
	swim_feel(swim, 1);
}

void swim_believe(struct swim *swim, const struct swim_update *update, double now,
		  struct swim_out *out)
{
	uint32_t place;

	if (update->id == swim->self) {
		refute(swim, update);
		return;
	}
	place = sched_map_find(&swim->map, update->id);
	if (place == SWIM_NOBODY)
		return; /* no member */
	if (swim->members[place].state != SWIM_UNSEEN &&
	    is_behind(update->incarnation, swim->members[place].incarnation))
		return;
	if (update->state == SWIM_ALIVE)
		alive(swim, place, update->incarnation, now, out);
	else if (update->state == SWIM_SUSPECT)
		suspect(swim, place, update, now, out);
	else
		dead(swim, place, update->incarnation, now, out);
}

void swim_heard(struct swim *swim, uint32_t place, uint32_t incarnation, double now,
		struct swim_out *out)
{
	swim->members[place].heard = now;
	/* As who it was when it was declared dead it does not come back: it is
	 * told, and refutes. */
	alive(swim, place, incarnation, now, out);
}

void swim_expire(struct swim *swim, double now, struct swim_out *out)
{
	uint32_t place;

	for (place = 0; swim->suspects && place < swim->count; place++) {
		struct swim_member *m = &swim->members[place];

		if (m->state == SWIM_SUSPECT && m->deadline <= now) {
			swim_change(swim, place, SWIM_DEAD, now, out);
			tell(swim, place);
		}
	}
}

double swim_next_expiry(const struct swim *swim)
{
	double next = INFINITY;
	uint32_t place;

	for (place = 0; swim->suspects && place < swim->count; place++)
		if (swim->members[place].state == SWIM_SUSPECT)
			next = fmin(next, swim->members[place].deadline);
	return next;
}
