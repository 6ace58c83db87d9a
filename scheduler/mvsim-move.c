/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves that take what they take, and what happens to a cluster meanwhile. */
#include "scheduler/mvsim.h"

#include <assert.h>
#include <math.h>

static double noise(struct sim *sim)
{
	return exp(sim->scenario->params.move_noise * sched_random_normal(&sim->noise));
}

static void compare(struct sim_stats *stats, const struct sched_forecast *expected,
		    const struct sched_forecast *actual)
{
	double off;

	if (!(expected->time > 0 && expected->downtime > 0))
		return;
	off = log(actual->time / expected->time);
	stats->forecasts++;
	stats->time_off += fabs(off);
	stats->time_bias += off;
	stats->down_off += fabs(log(actual->downtime / expected->downtime));
}

/* What the move really takes. The forecast knows the usual link, and how fast the job has
 * changed its memory until now; this time the network and both hosts are busier or less, and
 * the job changes more or less. */
static struct sched_forecast actual_cost(struct sim *sim, uint32_t job)
{
	struct sched_link link = sim->scenario->params.link;
	struct sched_forecast expected, actual;
	struct sched_job vector;
	double factor = noise(sim);

	sim_job_vector(sim, job, &vector);
	expected = sched_forecast(&vector, &link);
	link.bandwidth /= factor;
	link.setup *= factor;
	link.resume *= factor;
	vector.dirty *= noise(sim);
	actual = sched_forecast(&vector, &link);
	compare(&sim->stats, &expected, &actual);
	return actual;
}

static void move_at_once(struct sim *sim, uint32_t job, uint32_t target)
{
	sim_detach(sim, job);
	sim_attach(sim, job, target);
	sim->jobs[job].moves++;
	sim->stats.moves++;
}

bool sim_move(struct sim *sim, uint32_t job, uint32_t target)
{
	struct sim_job *j = &sim->jobs[job];
	struct sim_node *to = &sim->nodes[target], *from = &sim->nodes[j->node];
	struct sched_forecast cost;

	j->tried = sim->now;
	if (j->state != SIM_RUNNING || j->target != SIM_NOBODY || target == j->node ||
	    !sim_reachable(sim, j->node, target) || to->in || from->out) {
		sim->stats.refused++;
		return false;
	}
	sim_advance(sim, j->node);
	if (sim->scenario->params.free_moves) {
		move_at_once(sim, job, target);
		return true;
	}
	cost = actual_cost(sim, job);
	j->target = target;
	to->in++;
	from->out++;
	j->reserved = j->mem;
	to->mem_reserved += j->reserved;
	to->incoming[sched_class(j->attained)] += 1;
	sim_touch(sim, target);
	sim_touch(sim, j->node);
	sim->stats.move_seconds += cost.time;
	sim->stats.move_bytes += cost.bytes;
	sim->stats.down_seconds += cost.downtime;
	sim_heap_push(&sim->heap, sim->now + cost.time - cost.downtime, SIM_EV_STOP, job,
		 ++j->generation);
	sim_heap_push(&sim->heap, sim->now + cost.time, SIM_EV_MOVED, job, j->generation);
	return true;
}

void sim_move_stop(struct sim *sim, const struct sim_event *event)
{
	struct sim_job *j = &sim->jobs[event->subject];

	if (j->generation != event->generation || j->target == SIM_NOBODY)
		return;
	sim_advance(sim, j->node);
	j->state = SIM_STOPPED;
	sim_touch(sim, j->node);
}

/* The load that the move announced: its class may have changed since. */
static void withdraw(struct sim_node *to, const struct sim_job *j)
{
	unsigned class = sched_class(j->attained);

	while (class > 0 && to->incoming[class] < 1)
		class--;
	to->incoming[class] = fmax(0, to->incoming[class] - 1);
}

/* The move is over, one way or the other. */
static void release(struct sim *sim, struct sim_job *j)
{
	struct sim_node *to = &sim->nodes[j->target], *from = &sim->nodes[j->node];

	to->in--;
	from->out--;
	to->mem_reserved = to->in ? to->mem_reserved - j->reserved : 0;
	withdraw(to, j);
	sim_touch(sim, j->target);
	sim_touch(sim, j->node);
	j->target = SIM_NOBODY;
	j->generation++;
}

void sim_move_abort(struct sim *sim, uint32_t job)
{
	struct sim_job *j = &sim->jobs[job];

	sim_advance(sim, j->node);
	sim_advance(sim, j->target);
	release(sim, j);
	if (j->state == SIM_STOPPED)
		j->state = SIM_RUNNING;
	sim->stats.aborted++;
}

void sim_move_end(struct sim *sim, const struct sim_event *event)
{
	struct sim_job *j = &sim->jobs[event->subject];
	uint32_t target = j->target;

	if (j->generation != event->generation || target == SIM_NOBODY)
		return;
	sim_advance(sim, target);
	release(sim, j);
	j->state = SIM_RUNNING;
	move_at_once(sim, event->subject, target);
}

/* ---- what happens to nodes ---- */

/* Its jobs are lost. Whoever waits for them starts them anew. */
static void fail(struct sim *sim, uint32_t node)
{
	struct sim_node *n = &sim->nodes[node];
	uint32_t i, count = 0;

	sim_advance(sim, node);
	for (i = 0; i < sim->scenario->job_count; i++)
		if (sim->jobs[i].target != SIM_NOBODY &&
		    (sim->jobs[i].target == node || sim->jobs[i].node == node))
			sim_move_abort(sim, i);
	n->up = false;
	while (n->job_count) {
		struct sim_job *j = &sim->jobs[n->jobs[0]];

		sim->scratch[count++] = n->jobs[0];
		sim_detach(sim, n->jobs[0]);
		j->state = SIM_PENDING;
		j->attained = 0;
		j->mem = j->spec->mem;
		j->node = SIM_NOBODY;
		sim->stats.lost++;
	}
	for (i = 0; i < count; i++)
		sim_arrive(sim, sim->scratch[i]);
}

static void cut(struct sim *sim, uint32_t node, unsigned group)
{
	uint32_t i;

	sim->nodes[node].group = group;
	for (i = 0; i < sim->scenario->job_count; i++)
		if (sim->jobs[i].target != SIM_NOBODY &&
		    !sim_reachable(sim, sim->jobs[i].node, sim->jobs[i].target))
			sim_move_abort(sim, i);
}

void sim_script_run(struct sim *sim, const struct sim_script *script)
{
	struct sim_node *n = &sim->nodes[script->node];

	sim_advance(sim, script->node);
	switch (script->what) {
	case SIM_FAIL:
		if (n->up)
			fail(sim, script->node);
		break;
	case SIM_RETURN:
		if (!n->up)
			sim_node_reset(sim, script->node);
		n->up = true;
		break;
	case SIM_DRAIN:
	case SIM_OPEN:
		n->draining = script->what == SIM_DRAIN;
		break;
	case SIM_CUT:
	case SIM_HEAL:
		cut(sim, script->node, script->what == SIM_CUT ?
		    (unsigned)script->value : 0);
		break;
	case SIM_OTHERS:
		n->others = script->value;
		break;
	case SIM_LIE:
		n->lie = script->value;
		break;
	case SIM_BOAST:
		n->boast = script->value;
		break;
	case SIM_HIDE:
		n->hides = script->value != 0;
		break;
	case SIM_WHATS:
		break;
	}
	sim_touch(sim, script->node);
}
