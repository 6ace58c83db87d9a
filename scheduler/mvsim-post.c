/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gossip between simulated nodes: messages that are under way for a while, or lost. */
#include "scheduler/gossip-wire.h"
#include "scheduler/mvsim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A place for a message of at most that many bytes. */
static uint32_t post_place(struct sim *sim, size_t most)
{
	struct sim_post *post = &sim->post;

	if (post->unused_count)
		return post->unused[--post->unused_count];
	if (post->count == post->room) {
		post->room = post->room ? 2 * post->room : 64;
		post->messages = sim_grow(post->messages, post->room,
					  sizeof(post->messages[0]));
		post->unused = sim_grow(post->unused, post->room, sizeof(post->unused[0]));
	}
	post->messages[post->count].bytes = sim_need(1, most);
	return post->count++;
}

void sim_post_free(struct sim *sim)
{
	uint32_t i;

	for (i = 0; i < sim->post.count; i++)
		free(sim->post.messages[i].bytes);
	free(sim->post.messages);
	free(sim->post.unused);
}

static void deliver(struct sim *sim, uint32_t from, uint32_t to, const uint8_t *bytes,
		    size_t len)
{
	if (sim_reachable(sim, from, to))
		gossip_read(&sim->nodes[to].gossip, bytes, len, sim->now, NULL);
}

void sim_message_arrive(struct sim *sim, uint32_t place)
{
	const struct sim_message *message = &sim->post.messages[place];

	deliver(sim, message->from, message->to, message->bytes, message->len);
	sim->post.unused[sim->post.unused_count++] = place;
}

/* The age of what it carries is that of the moment when it was sent: nobody can tell
 * how long a datagram was under way. */
static void post(struct sim *sim, uint32_t from, uint32_t to, const uint8_t *bytes, size_t len)
{
	const struct sim_params *params = &sim->scenario->params;
	double unit = 1 - sched_random_unit(&sim->noise); /* more than 0 */
	struct sim_message *message;
	uint32_t place;

	if (params->delay <= 0) {
		deliver(sim, from, to, bytes, len);
		return;
	}
	place = post_place(sim, GOSSIP_HEADER + (size_t)params->window * GOSSIP_ENTRY);
	message = &sim->post.messages[place];
	memcpy(message->bytes, bytes, len);
	message->len = len;
	message->from = from;
	message->to = to;
	sim_heap_push(&sim->heap, sim->now - log(unit) * params->delay, SIM_EV_MESSAGE, place, 0);
}

/* Of one node, which stands for all. By the stamps, which are the origins' own clocks: what was
 * under way is older than its reader can know. */
static void sample_age(struct sim *sim)
{
	const struct gossip *gossip = &sim->nodes[0].gossip;
	double sum = 0;
	unsigned i;

	for (i = 1; i < gossip->count; i++)
		sum += sim->now - (double)gossip->slots[i].stamp / 1000;
	if (gossip->count < 2)
		return;
	sim->stats.known_age += sum / (gossip->count - 1);
	sim->stats.known_samples++;
}

void sim_gossip_step(struct sim *sim, uint32_t node)
{
	static uint8_t bytes[GOSSIP_MESSAGE_MAX];
	struct gossip *gossip = &sim->nodes[node].gossip;
	uint32_t count = sim->scenario->node_count;
	struct sched_node own;
	uint64_t to;
	size_t len;

	if (node == 0)
		sample_age(sim);
	sim_told(sim, node, &own);
	gossip_own(gossip, &own, (uint64_t)(sim->now * 1000), sim->now);
	if (!gossip_pick(gossip, sim->ids, count, count, &sim->random, &to))
		return;
	len = gossip_write(gossip, sim->now, bytes, sizeof(bytes));
	sim->stats.messages++;
	sim->stats.bytes += len;
	if (sched_random_unit(&sim->noise) >= sim->scenario->params.loss)
		post(sim, node, sim_of_id(to), bytes, len);
}
