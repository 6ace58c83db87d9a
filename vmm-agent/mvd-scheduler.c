/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-scheduler.h"

#include "scheduler/usher.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-node.h"

#include <math.h>
#include <string.h>
#include <sys/random.h>

#define TICK_MS 1000
#define TEXT_SIZE 320
#define TARGETS 3 /* that are looked at before a slow link keeps a job */

/* What others know, and what has been sent to them since */

static bool is_late(const struct promise *promise, double now)
{
	return now - promise->when > 3 * PROMISE_S;
}

static void apply(struct scheduler *s, struct sched_node *node, double now)
{
	unsigned i;

	for (i = 0; i < s->promises->len; i++) {
		struct promise *promise = &g_array_index(s->promises, struct promise, i);

		if (promise->node == node->id && !is_late(promise, now) &&
		    promise->when + PROMISE_S > node->time)
			sched_node_add(node, &promise->job);
	}
}

static void forget_promises(struct scheduler *s, double now)
{
	unsigned i = 0;

	while (i < s->promises->len)
		if (is_late(&g_array_index(s->promises, struct promise, i), now))
			g_array_remove_index_fast(s->promises, i);
		else
			i++;
}

void scheduler_promise(struct scheduler *s, uint64_t node, const struct sched_job *job)
{
	struct promise promise = { .node = node, .when = mvd_gossip_now(), .job = *job };

	g_array_append_val(s->promises, promise);
}

void scheduler_view(struct scheduler *s, struct view *view)
{
	unsigned known = 0, count = 0, i;
	const struct sched_node *nodes = mvd_gossip_nodes(s->mvd, &known);
	double now = mvd_gossip_now();

	load_node(s->load, &view->self, false);
	view->peers = g_new0(struct sched_node, known + 1);
	forget_promises(s, now);
	for (i = 0; i < known; i++) {
		if (nodes[i].id == view->self.id)
			continue;
		view->peers[count] = nodes[i];
		apply(s, &view->peers[count++], now);
	}
	view->view = (struct sched_view){
		.policy = &s->mvd->config.settings.policy,
		.self = &view->self, .peers = view->peers, .count = count,
		.now = now, .bandwidth = s->links.typical.bandwidth,
	};
}

void view_clear(struct view *view)
{
	g_clear_pointer(&view->peers, g_free);
}

void scheduler_publish(struct scheduler *s)
{
	struct sched_node told;

	load_node(s->load, &told, true);
	mvd_gossip_own(s->mvd, &told);
	mvd_gossip_urgent(s->mvd);
}

/* Words */

static const char *name_of(uint64_t node, void *mvd)
{
	return mvd_gossip_name(mvd, node);
}

char *scheduler_reason(struct mvd *mvd, const struct sched_reason *reason)
{
	char text[TEXT_SIZE];

	return g_strdup(sched_reason_text(reason, name_of, mvd, text, sizeof(text)));
}

static bool decides(const struct mvd *mvd)
{
	const struct mvd_settings *settings = &mvd->config.settings;

	return mvd->scheduler && peers_in_cluster(mvd->peers) &&
	       (settings->balance || settings->drain || mvd->scheduler->expel ||
		room_is_kept(mvd));
}

char *scheduler_why(const struct job *job)
{
	struct mvd *mvd = job->mvd;
	struct load_job *seen;

	if (job->unplaced)
		return scheduler_waits_for(job);
	if (!job_is_here(job))
		return g_strdup(job->why ? job->why : "");
	if (!decides(mvd))
		return g_strdup("");
	seen = load_job(mvd->scheduler->load, job);
	return seen && seen->reasoned ? scheduler_reason(mvd, &seen->reason) :
					g_strdup("");
}

/* Whoever orders a move has no reason that the agent could tell. */
char *scheduler_move_reason(const struct job *job)
{
	struct mvd *mvd = job->mvd;
	struct load_job *seen = mvd->scheduler ? load_job(mvd->scheduler->load, job) : NULL;

	return seen && seen->expected > 0 ? scheduler_reason(mvd, &seen->reason) :
		g_strdup("it was ordered (mvctl migrate or bring)");
}

void scheduler_add_to_job(struct job *job, struct json_object *json)
{
	g_autofree char *why = job->mvd->peers ? scheduler_why(job) : NULL;

	event_add_string(json, "group", job->facts.group ? job->facts.group : "");
	event_add_string(json, "why", why ? why : "");
	event_add_string(json, "came", came_text(job));
	scheduler_add_figures(job, json);
}

void scheduler_add_figures(const struct job *job, struct json_object *json)
{
	const struct load_job *seen = job->mvd->scheduler && !job->host ?
		load_job(job->mvd->scheduler->load, job) : NULL;

	if (!seen)
		return;
	event_add_number(json, "cpu_ms", (int64_t)scheduler_age_ms(job));
	json_object_object_add(json, "cpu_use", json_object_new_double(seen->vector.use));
	event_add_number(json, "resident", (int64_t)(seen->resident / 1048576));
	event_add_number(json, "shares", seen->shares);
	if (seen->dirty >= 0)
		event_add_number(json, "dirty_rate", (int64_t)seen->dirty);
	if (seen->vector.hot > 0)
		event_add_number(json, "hot", (int64_t)(seen->vector.hot / 1048576));
	if (seen->vector.traffic[0].node == seen->vector.home)
		event_add_number(json, "traffic", (int64_t)seen->vector.traffic[0].rate);
}

/* Moving */

struct order {
	struct mvd *mvd;
	char uuid[UUID_TEXT_SIZE];
	uint64_t target;
	struct sched_job vector;
	struct sched_forecast forecast;
};

static void learn(struct scheduler *s, const struct order *order,
		  const struct migrated *result)
{
	double total = (double)result->total_ms / 1000;
	/* Less than the guest's memory: pages of zeros are not sent. */
	double bytes = result->stats.bytes ? (double)result->stats.bytes :
					     order->vector.touched;

	sched_forecast_compare(&s->error, order->forecast.time, total);
	links_learn(&s->links, order->target, bytes,
		    (double)result->stats.total_ms / 1000, total);
}

static void on_moved(void *ctx, const struct migrated *result)
{
	struct order *order = ctx;
	struct scheduler *s = order->mvd->scheduler;
	struct job *job = jobs_find(order->mvd->jobs, order->uuid);
	struct load_job *seen = s && job ? load_job(s->load, job) : NULL;

	if (seen) {
		seen->expected = 0;
		seen->tried = mvd_gossip_now();
		seen->failures += result->error != NULL;
		if (result->error)
			refusals_add(&seen->refusals, order->target, seen->tried);
		g_free(seen->trouble);
		seen->trouble = g_strdup(result->error);
	}
	if (s && result->error) {
		s->failed++;
	} else if (s) {
		s->moves++;
		learn(s, order, result);
		scheduler_promise(s, order->target, &order->vector);
		scheduler_publish(s);
	}
	g_free(order);
}

static void move(struct scheduler *s, struct load_job *seen,
		 const struct sched_move *move, const struct sched_job *vector)
{
	g_autofree char *why = scheduler_reason(s->mvd, &move->reason);
	const char *to = mvd_gossip_name(s->mvd, move->node->id);
	struct order *order;

	if (!to)
		return;
	g_message("job %ld %s", (long)seen->job->facts.pid, why);
	order = g_new0(struct order, 1);
	order->mvd = s->mvd;
	g_strlcpy(order->uuid, seen->job->facts.uuid, sizeof(order->uuid));
	order->target = move->node->id;
	order->vector = *vector;
	order->forecast = move->forecast;
	seen->expected = fmax(move->cost, 1e-6);
	migrate_begin(seen->job, to, false, on_moved, order);
}

struct load_job *scheduler_find(const struct mvd *mvd, const char *uuid)
{
	struct job *job = mvd->scheduler ? jobs_find(mvd->jobs, uuid) : NULL;

	return job ? load_job(mvd->scheduler->load, job) : NULL;
}

uint64_t scheduler_age_ms(const struct job *job)
{
	struct scheduler *s = job->mvd->scheduler;

	return s ? load_age_ms(s->load, job) : job->facts.age_ms;
}

/* Deciding */

struct candidates {
	struct sched_job *vectors;
	struct load_job **seen;
	struct sched_reason *reasons;
	unsigned count;
	bool stands_still; /* they are emulated: a move stops them from begin to end */
	bool avoids;       /* nodes that have refused */
};

static bool may_go(const struct scheduler *s, const struct job *job)
{
	g_autofree char *obstacle = NULL;

	if (s->expel && !job->foreign && !s->mvd->config.settings.drain)
		return false;
	if (job->migration)
		return true;
	obstacle = migrate_obstacle(job);
	return !obstacle;
}

static void collect(struct scheduler *s, struct candidates *c)
{
	g_autoptr(GPtrArray) list = load_jobs(s->load);
	double now = mvd_gossip_now();
	unsigned i;

	memset(c, 0, sizeof(*c));
	c->vectors = g_new0(struct sched_job, list->len + 1);
	c->seen = g_new0(struct load_job *, list->len + 1);
	c->reasons = g_new0(struct sched_reason, list->len + 1);
	for (i = 0; i < list->len; i++) {
		struct load_job *seen = list->pdata[i];

		seen->reasoned = false;
		if (!may_go(s, seen->job))
			continue;
		load_vector(seen, &c->vectors[c->count]);
		if (sched_job_check(&c->vectors[c->count], NULL) < 0)
			continue;
		c->stands_still |= seen->job->facts.accel == ACCEL_TCG;
		c->avoids |= refusals_apply(&seen->refusals, &c->vectors[c->count], now);
		c->seen[c->count++] = seen;
	}
}

/* One that has refused is asked again when it is that or nothing. */
static void avoid_nobody(struct candidates *c)
{
	unsigned i;

	for (i = 0; i < c->count; i++)
		load_lists(&c->seen[i]->job->facts, &c->vectors[i]);
}

static void clear(struct candidates *c)
{
	g_free(c->vectors);
	g_free(c->seen);
	g_free(c->reasons);
}

/* What really leaves the memory, not what was promised at most; unless what is promised
 * counts here (--memory). */
static void count_resident(const struct scheduler *s, struct candidates *c)
{
	unsigned i;

	if (s->mvd->config.memory)
		return;
	for (i = 0; i < c->count; i++)
		if (c->seen[i]->resident > 0)
			c->vectors[i].mem = fmin(c->vectors[i].mem, c->seen[i]->resident);
}

/* Bytes that have to leave. What has been promised to jobs on their way is theirs, but it is
 * no shortage: they were let in because there is room. */
static double lack_of(const struct scheduler *s, const struct sched_node *here)
{
	const struct mvd_settings *settings = &s->mvd->config.settings;
	struct sched_node self = *here;
	struct node_memory memory;

	if (!settings->usher)
		return 0;
	node_memory(&memory);
	if (!s->mvd->config.memory)
		self.mem_free = memory.available * 1048576.0;
	return sched_usher_lack(&settings->policy, &self,
				load_growth(s->load, settings->policy.lookahead));
}

static struct sched_move choose_by(struct scheduler *s, const struct view *view,
				   struct candidates *c, const struct sched_link *typical)
{
	const struct mvd_settings *settings = &s->mvd->config.settings;
	struct sched_link link = *typical;
	bool sending = view->self.flags & SCHED_SENDING;
	double lack = fmax(lack_of(s, &view->self), room_lack(s->mvd, &view->self));

	if ((settings->drain || s->expel) && !sending)
		return sched_drain(&view->view, c->vectors, c->count, &link, &s->random,
				   c->reasons);
	if (lack > 0 && !sending) {
		count_resident(s, c);
		return sched_usher(&view->view, c->vectors, c->count, lack, &link,
				   &s->random, c->reasons);
	}
	if (settings->balance)
		return sched_balance(&view->view, c->vectors, c->count, &link,
				     &s->random, c->reasons);
	return (struct sched_move){ 0 };
}

static void close_to_jobs(struct view *view, const struct sched_node *node)
{
	view->peers[node - view->peers].flags |= SCHED_TAKING;
}

/* The link to the target may be slower than the typical one. */
static struct sched_move choose(struct scheduler *s, struct view *view,
				struct candidates *c)
{
	struct sched_link typical = s->links.typical, link;
	struct sched_reason dear = { 0 };
	struct sched_move chosen;
	unsigned job = 0, i;

	typical.slowdown = c->stands_still ? 1 : typical.slowdown;
	for (i = 0; i < TARGETS; i++) {
		chosen = choose_by(s, view, c, &typical);
		if (!chosen.node)
			break;
		link = links_to(&s->links, chosen.node->id);
		link.slowdown = typical.slowdown;
		if (links_allow(&s->mvd->config.settings.policy, &link,
				&c->vectors[chosen.job], &chosen))
			break;
		dear = chosen.reason;
		job = chosen.job;
		close_to_jobs(view, chosen.node);
		chosen.node = NULL;
	}
	if (dear.why != SCHED_WHY_NONE && !(chosen.node && chosen.job == job))
		c->reasons[job] = dear;
	return chosen;
}

static void decide(struct scheduler *s)
{
	struct sched_move chosen;
	struct candidates c;
	struct view view;
	unsigned i;

	scheduler_view(s, &view);
	room_keep(&view, view.self.id);
	collect(s, &c);
	chosen = choose(s, &view, &c);
	if (!chosen.node && c.avoids) {
		avoid_nobody(&c);
		chosen = choose(s, &view, &c);
	}
	for (i = 0; i < c.count; i++) {
		/* That one is moving stays its reason until it has moved. */
		if (c.seen[i]->job->migration && c.seen[i]->expected > 0) {
			c.seen[i]->reasoned = true;
			continue;
		}
		c.seen[i]->reason = c.reasons[i];
		c.seen[i]->reasoned = c.reasons[i].why != SCHED_WHY_NONE;
	}
	if (chosen.node)
		move(s, c.seen[chosen.job], &chosen, &c.vectors[chosen.job]);
	clear(&c);
	view_clear(&view);
}

/* Guests that are here, or on their way. */
static bool has_guests(const struct mvd *mvd)
{
	GHashTableIter iter;
	struct job *job;

	g_hash_table_iter_init(&iter, mvd->jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		if (job->foreign && !job->mvrun_gone)
			return true;
	return false;
}

/* Others are told at once, and guests may have to leave: as by mvctl expel, but the node is not
 * blocked. While it is in use none is let in anyway, and afterwards they are welcome. */
static void mind_owner(struct scheduler *s)
{
	const struct mvd_settings *settings = &s->mvd->config.settings;
	bool used = load_in_use(s->load), expels = used && settings->expel_when_used;

	if (used != s->used) {
		s->used = used;
		g_message("this node is %s by its owner", used ? "in use" : "not in use any more");
		scheduler_hurry(s);
	}
	if (expels == s->used_expels)
		return;
	s->used_expels = expels;
	/* What was ordered by hand, which blocks, goes on when the owner is gone. */
	s->expel = expels || (s->expel && settings->block);
}

static gboolean on_tick(void *p)
{
	struct scheduler *s = p;
	double now = mvd_gossip_now();
	struct sched_node told;

	if (!peers_in_cluster(s->mvd->peers) && jobs_count(s->mvd->jobs) == 0) {
		s->timer = 0;
		return G_SOURCE_REMOVE;
	}
	load_sample(s->load);
	mind_owner(s);
	room_look(s->mvd);
	load_node(s->load, &told, true);
	mvd_gossip_own(s->mvd, &told);
	scheduler_serve_waiting(s->mvd);
	if (!peers_in_cluster(s->mvd->peers))
		return G_SOURCE_CONTINUE;
	if (s->expel && !has_guests(s->mvd))
		s->expel = false;
	if (s->bring)
		scheduler_bring(s);
	/* A shortage of memory does not wait until it is time. */
	if (now - s->decided < s->mvd->config.settings.interval - 0.05 &&
	    lack_of(s, &told) == 0)
		return G_SOURCE_CONTINUE;
	s->decided = now;
	decide(s);
	return G_SOURCE_CONTINUE;
}

void scheduler_hurry(struct scheduler *s)
{
	s->decided = 0;
	scheduler_publish(s);
}

void scheduler_wake(struct mvd *mvd)
{
	struct scheduler *s = mvd->scheduler;

	if (s && !s->timer)
		s->timer = g_timeout_add(TICK_MS, on_tick, s);
}

void scheduler_start(struct mvd *mvd)
{
	struct scheduler *s = g_new0(struct scheduler, 1);
	uint64_t seed = 1;

	s->mvd = mvd;
	s->load = load_new(mvd);
	s->promises = g_array_new(FALSE, FALSE, sizeof(struct promise));
	s->unbrought = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	links_init(&s->links);
	room_init(&s->room);
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint64_t)g_get_real_time();
	sched_random_seed(&s->random, seed);
	mvd->scheduler = s;
	load_sample(s->load);
	if (peers_in_cluster(mvd->peers) || jobs_count(mvd->jobs) > 0)
		scheduler_wake(mvd);
}

void scheduler_stop(struct mvd *mvd)
{
	struct scheduler *s = mvd->scheduler;

	if (!s)
		return;
	mvd->scheduler = NULL;
	g_clear_handle_id(&s->timer, g_source_remove);
	g_clear_handle_id(&s->publish, g_source_remove);
	g_array_unref(s->promises);
	g_hash_table_unref(s->unbrought);
	links_clear(&s->links);
	room_clear(&s->room);
	load_free(s->load);
	g_free(s);
}

struct json_object *scheduler_to_json(struct mvd *mvd)
{
	static const char *const states[] = {
		[SCHED_OPEN] = "open", [SCHED_BLOCKED] = "blocked",
		[SCHED_DRAINING] = "draining", [SCHED_GONE] = "gone",
	};
	struct scheduler *s = mvd->scheduler;
	struct json_object *json = json_object_new_object();
	struct sched_node node;

	load_sample(s->load);
	load_node(s->load, &node, false);
	event_add_string(json, "state", states[node.state]);
	event_add_bool(json, "stay", node.flags & SCHED_STAY);
	event_add_bool(json, "in_use", node.flags & SCHED_OWNER_ACTIVE);
	event_add_bool(json, "making_room", node.flags & SCHED_MAKING);
#define REAL(name, value) \
	json_object_object_add(json, name, json_object_new_double(value))
	REAL("cpus", node.cpus);
	REAL("speed", node.speed);
	REAL("load", sched_node_load(&node));
	REAL("others", node.others);
	REAL("pressure", node.pressure);
	event_add_number(json, "memory", (int64_t)(node.mem_total / 1048576));
	event_add_number(json, "memory_free", (int64_t)(node.mem_free / 1048576));
	event_add_number(json, "reserved", node.reserved);
	event_add_number(json, "moves", (int64_t)s->moves);
	event_add_number(json, "failed", (int64_t)s->failed);
	event_add_number(json, "refused", (int64_t)s->refused);
	event_add_number(json, "started_away", (int64_t)s->started_away);
	REAL("forecast_error", s->error.count ? expm1(s->error.spread) : 0);
	REAL("forecast_bias", s->error.bias);
	event_add_number(json, "forecasts", (int64_t)s->error.count);
	REAL("bandwidth", s->links.typical.bandwidth);
	REAL("setup", s->links.typical.setup);
#undef REAL
	return json;
}
