/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/swim-world.h"

#include <stdlib.h>
#include <string.h>

#define QUEUE 4096

struct swim agents[MOST];
static void *memories[MOST];
unsigned count, deaths, revivals;
static bool down[MOST + 1];
bool mute[MOST + 1][MOST + 1];
static struct sched_random source;
double now, loss;
uint64_t packets;

static struct letter {
	double at;
	uint64_t from;
	struct swim_packet packet;
} queue[QUEUE];
static unsigned queued;

static void start(uint64_t id, const struct swim_config *config)
{
	uint64_t other;

	free(memories[id - 1]);
	memories[id - 1] = malloc(swim_size(MOST));
	swim_init(&agents[id - 1], memories[id - 1], MOST, id, config,
		  now + sched_random_unit(&source));
	for (other = 1; other <= count; other++)
		swim_add(&agents[id - 1], other, &source);
}

void cluster(unsigned n, bool lifeguard)
{
	struct swim_config config;
	uint64_t id;

	swim_config_default(&config);
	config.lifeguard = lifeguard;
	sched_random_seed(&source, n);
	count = n;
	now = loss = 0;
	queued = deaths = revivals = 0;
	packets = 0;
	memset(down, 0, sizeof(down));
	memset(mute, 0, sizeof(mute));
	for (id = 1; id <= n; id++)
		start(id, &config);
}

int tear_down(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < MOST; i++) {
		free(memories[i]);
		memories[i] = NULL;
	}
	return 0;
}

const struct swim_member *seen(uint64_t by, uint64_t whom)
{
	return swim_find(&agents[by - 1], whom);
}

enum swim_state state_of(uint64_t by, uint64_t whom)
{
	return seen(by, whom)->state;
}

/* ---- time passes ---- */

void carry(uint64_t from, const struct swim_out *out)
{
	unsigned i;

	for (i = 0; i < out->change_count; i++) {
		deaths += out->changes[i].state == SWIM_DEAD;
		revivals += out->changes[i].before == SWIM_DEAD &&
			    out->changes[i].state == SWIM_ALIVE;
	}
	packets += out->packet_count;
	for (i = 0; i < out->packet_count; i++) {
		uint64_t to = out->packets[i].to;

		assert_in_range(to, 1, count);
		if (mute[from][to] || sched_random_unit(&source) < loss)
			continue;
		assert_true(queued < QUEUE);
		queue[queued++] = (struct letter){ now + DELAY, from, out->packets[i] };
	}
}

static void deliver(void)
{
	static struct swim_out out;
	unsigned i, n = queued;
	static struct letter due[QUEUE];

	memcpy(due, queue, n * sizeof(due[0]));
	queued = 0;
	for (i = 0; i < n; i++) {
		uint64_t to = due[i].packet.to;

		if (due[i].at > now) {
			queue[queued++] = due[i];
			continue;
		}
		if (down[to])
			continue;
		out.packet_count = out.change_count = 0;
		assert_int_equal(swim_receive(&agents[to - 1], due[i].packet.bytes,
					      due[i].packet.len, now, &out, NULL), 0);
		carry(to, &out);
	}
}

void run(double seconds)
{
	static struct swim_out out;
	double until = now + seconds;
	uint64_t id;

	for (; now < until; now += DELAY) {
		deliver();
		for (id = 1; id <= count; id++) {
			if (down[id] || swim_next(&agents[id - 1]) > now)
				continue;
			out.packet_count = out.change_count = 0;
			swim_tick(&agents[id - 1], now, &source, &out);
			carry(id, &out);
		}
	}
}

bool all_see(uint64_t whom, enum swim_state state)
{
	uint64_t id;

	for (id = 1; id <= count; id++)
		if (id != whom && !down[id] && state_of(id, whom) != state)
			return false;
	return true;
}

bool all_well(void)
{
	uint64_t id;

	for (id = 1; id <= count; id++)
		if (!all_see(id, SWIM_ALIVE))
			return false;
	return true;
}

void kill_node(uint64_t id)
{
	down[id] = true;
}

void restart(uint64_t id)
{
	struct swim_config config = agents[id - 1].config;

	start(id, &config);
	down[id] = false;
}

int receive(struct swim *swim, enum swim_kind kind, uint64_t sender,
		   const struct swim_update *update, struct swim_out *out)
{
	struct swim_header header = { .kind = kind, .sender = sender, .target = swim->self,
				      .sequence = 1, .updates = update != NULL };
	uint8_t bytes[SWIM_HEADER + SWIM_UPDATE];

	swim_put_header(bytes, &header);
	if (update)
		swim_put_update(bytes + SWIM_HEADER, update);
	out->packet_count = out->change_count = 0;
	return swim_receive(swim, bytes, SWIM_HEADER + (update ? SWIM_UPDATE : 0), now, out,
			    NULL);
}
