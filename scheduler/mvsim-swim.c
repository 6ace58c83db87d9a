/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-swim.h"

#include "scheduler/mvsim-heap.h"
#include "scheduler/swim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind { TICK, ARRIVAL, DEATH, STALL };

struct letter {
	uint8_t bytes[SWIM_MESSAGE_MAX];
	size_t len;
	uint32_t next_free;
};

struct agent {
	struct swim swim;
	void *memory;
	bool dead, slow;
	double died, stalled_until, tick_at;
	uint32_t sure;     /* living nodes that know it is dead */
	/* lowest incarnation that nobody was wrong about yet */
	uint32_t unsuspected, undeclared;
	double suspected, declared;
};

struct world {
	const struct sim_swim_config *config;
	struct sched_random random;
	struct sim_heap heap;
	struct agent *agents;
	struct letter *letters;
	uint32_t letter_count, letter_room, free_letter;
	uint32_t living, next_death;
	double now;
	uint64_t messages, bytes;
	struct sim_swim_result *result;
};

#define NONE UINT32_MAX
#define STALL_EVERY 20.0 /* s, on average, between two stalls of a slow node */

static uint32_t letter_new(struct world *world)
{
	uint32_t letter = world->free_letter;

	if (letter != NONE) {
		world->free_letter = world->letters[letter].next_free;
		return letter;
	}
	if (world->letter_count == world->letter_room) {
		world->letter_room = world->letter_room ? 2 * world->letter_room : 1024;
		world->letters = sim_grow(world->letters, world->letter_room,
					  sizeof(world->letters[0]));
	}
	return world->letter_count++;
}

static void post(struct world *world, const struct swim_packet *packet)
{
	double delay = world->config->latency * (0.5 + sched_random_unit(&world->random));
	uint32_t letter;

	world->messages++;
	world->bytes += packet->len;
	if (sched_random_unit(&world->random) < world->config->loss)
		return;
	letter = letter_new(world);
	memcpy(world->letters[letter].bytes, packet->bytes, packet->len);
	world->letters[letter].len = packet->len;
	sim_heap_push(&world->heap, world->now + delay, ARRIVAL,
		      (uint32_t)(packet->to - 1), letter);
}

/* ---- what is measured ---- */

static void died(struct world *world, struct agent *subject, const struct swim_change *c)
{
	if (c->state >= SWIM_SUSPECT && subject->suspected < 0)
		subject->suspected = world->now - subject->died;
	if (c->state != SWIM_DEAD)
		return;
	if (subject->declared < 0)
		subject->declared = world->now - subject->died;
	if (++subject->sure < world->living)
		return;
	world->result->detected++;
	world->result->all_dead += world->now - subject->died;
	world->result->all_dead_max = fmax(world->result->all_dead_max,
					   world->now - subject->died);
}

/* Counted once per incarnation: that ends with the refutation. */
static void maligned(struct world *world, struct agent *subject,
		     const struct swim_change *c)
{
	if (c->state == SWIM_SUSPECT && c->incarnation >= subject->unsuspected) {
		world->result->suspicions++;
		subject->unsuspected = c->incarnation + 1;
	}
	if (c->state == SWIM_DEAD && c->incarnation >= subject->undeclared) {
		world->result->wrong++;
		subject->undeclared = c->incarnation + 1;
	}
}

static void take_out(struct world *world, const struct swim_out *out)
{
	unsigned i;

	for (i = 0; i < out->change_count; i++) {
		struct agent *subject = &world->agents[out->changes[i].id - 1];

		if (subject->dead)
			died(world, subject, &out->changes[i]);
		else
			maligned(world, subject, &out->changes[i]);
	}
	for (i = 0; i < out->packet_count; i++)
		post(world, &out->packets[i]);
}

/* ---- events ---- */

static void plan_tick(struct world *world, uint32_t agent)
{
	struct agent *a = &world->agents[agent];
	double at = fmax(swim_next(&a->swim), world->now);

	if (a->tick_at <= at && a->tick_at >= world->now)
		return; /* one comes sooner, and will plan again */
	a->tick_at = at;
	sim_heap_push(&world->heap, at, TICK, agent, 0);
}

static bool stalled(struct world *world, const struct sim_event *event)
{
	const struct agent *a = &world->agents[event->subject];

	if (a->stalled_until <= world->now)
		return false;
	sim_heap_push(&world->heap, a->stalled_until, event->kind, event->subject,
		      event->generation);
	return true;
}

static void tick(struct world *world, const struct sim_event *event)
{
	struct agent *a = &world->agents[event->subject];
	struct swim_out out;

	if (a->dead || a->tick_at != event->time)
		return;
	if (a->stalled_until > world->now) {
		a->tick_at = a->stalled_until;
		sim_heap_push(&world->heap, a->tick_at, TICK, event->subject, 0);
		return;
	}
	out.packet_count = out.change_count = 0;
	swim_tick(&a->swim, world->now, &world->random, &out);
	take_out(world, &out);
	a->tick_at = -1;
	plan_tick(world, event->subject);
}

static void arrival(struct world *world, const struct sim_event *event)
{
	struct agent *a = &world->agents[event->subject];
	struct letter *letter = &world->letters[event->generation];
	struct swim_out out;

	if (!a->dead && stalled(world, event))
		return;
	if (!a->dead) {
		out.packet_count = out.change_count = 0;
		swim_receive(&a->swim, letter->bytes, letter->len, world->now, &out,
			     NULL);
		take_out(world, &out);
		plan_tick(world, event->subject);
	}
	world->letters[event->generation].next_free = world->free_letter;
	world->free_letter = event->generation;
}

static void death(struct world *world)
{
	struct agent *a = &world->agents[world->next_death++];

	a->dead = true;
	a->died = world->now;
	a->suspected = a->declared = -1;
	a->sure = 0;
	world->living--;
}

static void stall(struct world *world, uint32_t agent)
{
	struct agent *a = &world->agents[agent];

	a->stalled_until = world->now +
			   world->config->stall * sched_random_unit(&world->random);
	sim_heap_push(&world->heap, world->now + 2 * STALL_EVERY *
		      sched_random_unit(&world->random), STALL, agent, 0);
}

static void handle(struct world *world, const struct sim_event *event)
{
	switch ((enum kind)event->kind) {
	case TICK:
		tick(world, event);
		break;
	case ARRIVAL:
		arrival(world, event);
		break;
	case DEATH:
		death(world);
		break;
	case STALL:
		stall(world, event->subject);
		break;
	}
}

/* ---- begin and end ---- */

static void init_agent(struct world *world, uint32_t agent)
{
	struct agent *a = &world->agents[agent];
	struct swim_config config;
	uint32_t i;

	swim_config_default(&config);
	config.lifeguard = world->config->lifeguard;
	a->memory = sim_need(1, swim_size(world->config->nodes));
	a->suspected = a->declared = a->tick_at = -1;
	/* Not all in time. */
	swim_init(&a->swim, a->memory, world->config->nodes, agent + 1, &config,
		  config.period * sched_random_unit(&world->random));
	for (i = 0; i < world->config->nodes; i++)
		swim_add(&a->swim, i + 1, &world->random);
	/* Those that die come first, so that slow ones are among the living. */
	a->slow = agent >= world->config->deaths &&
		  sched_random_unit(&world->random) < world->config->slow;
	if (a->slow)
		sim_heap_push(&world->heap, STALL_EVERY *
			      sched_random_unit(&world->random), STALL, agent, 0);
	plan_tick(world, agent);
}

static double length(const struct sim_swim_config *config)
{
	return 2 * config->quiet + config->deaths * config->interval;
}

static void simulate(struct world *world)
{
	const struct sim_swim_config *config = world->config;
	struct sim_event event;
	uint32_t i;

	for (i = 0; i < config->nodes; i++)
		init_agent(world, i);
	for (i = 0; i < config->deaths; i++)
		sim_heap_push(&world->heap, config->quiet + i * config->interval, DEATH,
			      0, 0);
	while (sim_heap_pop(&world->heap, &event) && event.time < length(config)) {
		world->now = event.time;
		handle(world, &event);
	}
}

static void summarize(struct world *world)
{
	const struct sim_swim_config *config = world->config;
	struct sim_swim_result *result = world->result;
	unsigned i, suspected = 0, declared = 0;

	for (i = 0; i < config->deaths; i++) {
		const struct agent *a = &world->agents[i];

		if (a->suspected >= 0 && ++suspected)
			result->first_suspect += a->suspected;
		if (a->declared >= 0 && ++declared)
			result->first_dead += a->declared;
	}
	result->first_suspect /= suspected ? suspected : 1;
	result->first_dead /= declared ? declared : 1;
	result->all_dead /= result->detected ? result->detected : 1;
	result->wrong_per_hour = (double)result->wrong * 3600 / length(config);
	result->messages = (double)world->messages / config->nodes / length(config);
	result->bytes = (double)world->bytes / config->nodes / length(config);
}

int sim_swim(const struct sim_swim_config *config, struct sim_swim_result *result,
	     struct err *err)
{
	struct world world = { .config = config, .free_letter = NONE, .result = result,
			       .living = config->nodes };
	uint32_t i;

	if (config->nodes < 3 || config->nodes > 10000 ||
	    config->deaths > config->nodes / 2)
		return err_set(err, 0, "the detector needs 3 to 10000 nodes, of which at "
			       "most half die");
	if (!(config->loss >= 0 && config->loss < 1) || !(config->latency > 0) ||
	    !(config->quiet >= 0) || !(config->interval >= 0) || !(config->stall >= 0) ||
	    !(config->slow >= 0 && config->slow <= 1))
		return err_set(err, 0, "loss and slow are shares, times are not negative");
	*result = (struct sim_swim_result){ 0 };
	sched_random_seed(&world.random, config->seed);
	world.agents = sim_need(config->nodes, sizeof(world.agents[0]));
	simulate(&world);
	summarize(&world);
	for (i = 0; i < config->nodes; i++)
		free(world.agents[i].memory);
	free(world.agents);
	free(world.letters);
	free(world.heap.events);
	return 0;
}
