/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a job starts, and whether one is taken: home asks, the target decides.
 */
#include "vmm-agent/mvd-scheduler.h"

#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-probe.h"
#include "vmm-agent/mvd-vector.h"

#include <math.h>
#include <string.h>

#define MAX_REFUSALS 3

/* The choice for one job, until it runs. */
struct placement {
	struct sched_job vector;
	double expected;
	unsigned refusals;
	bool must_not_be_home, nowait;
	char *waits; /* what for, in words; NULL: it does not */
	struct room_wish room;
};

/* The target */

static gboolean on_publish(void *p)
{
	struct scheduler *s = p;

	s->publish = 0;
	scheduler_publish(s);
	return G_SOURCE_REMOVE;
}

static void publish_soon(struct scheduler *s)
{
	if (!s->publish)
		s->publish = g_idle_add(on_publish, s);
}

/* By hand, which is without a cost that was expected, it may come wherever it has room, and
 * that has been looked at by who asks us, as have QEMU and the processors. But not where no job
 * is to come. */
static struct sched_reason admit_by_hand(const struct mvd *mvd,
					 const struct sched_node *node,
					 const struct sched_job *told)
{
	struct sched_job job = *told;

	job.mem = 0;
	job.qemu = node->qemu;
	job.cpu = 0;
	return sched_admit(&mvd->config.settings.policy, node, &job, INFINITY,
			   1, false, mvd_gossip_now());
}

/* The vector of a job that wants to come, and what it is to cost. */
static int read_newcomer(struct mvd *mvd, const struct job_facts *facts,
			 struct json_object *body, struct sched_job *job,
			 double *expected, struct err *err)
{
	*expected = vector_expected(body);
	if (!json_object_object_get_ex(body, "vector", NULL)) {
		load_newcomer(mvd, facts, job);
		*expected = 0;
	} else if (!vector_read(body, facts->home, job)) {
		return err_set(err, 0, "what was said of the job makes no sense");
	}
	return 0;
}

static int judge(struct mvd *mvd, const struct sched_job *job, double expected, bool moves,
		 struct err *err)
{
	struct scheduler *s = mvd->scheduler;
	g_autofree char *text = NULL;
	struct sched_reason reason;
	struct sched_node node;

	load_node(s->load, &node, false);
	reason = expected > 0 ?
		 sched_admit(&mvd->config.settings.policy, &node, job, expected,
			     s->links.typical.bandwidth, moves, mvd_gossip_now()) :
		 admit_by_hand(mvd, &node, job);
	if (reason.why == SCHED_WHY_NONE)
		return 0;
	text = scheduler_reason(mvd, &reason);
	return err_set(err, 0, "%s", text);
}

int scheduler_admit(struct mvd *mvd, const struct job_facts *facts,
		    struct json_object *body, bool moves, struct err *err)
{
	bool kept = !moves && room_is_for(mvd, facts->uuid, facts->home);
	struct scheduler *s = mvd->scheduler;
	struct sched_job job;
	double expected;

	if (!s)
		return 0;
	s->refused++; /* until it is not */
	if (room_is_kept(mvd) && !kept)
		return err_set(err, 0, "%s keeps its free memory for a job that has waited "
			       "for room", mvd->node);
	if (read_newcomer(mvd, facts, body, &job, &expected, err) < 0)
		return -1;
	/* An earlier attempt's place makes way for this one. */
	load_expect(s->load, facts->uuid, NULL);
	if (judge(mvd, &job, expected, moves, err) < 0)
		return -1;
	s->refused--;
	if (moves)
		load_expect(s->load, facts->uuid, &job);
	if (kept)
		room_end(mvd, true);
	publish_soon(s);
	return 0;
}

void scheduler_describe_move(struct job *job, struct json_object *body)
{
	struct scheduler *s = job->mvd->scheduler;
	struct load_job *seen = s ? load_job(s->load, job) : NULL;
	struct sched_job vector;

	if (!seen)
		return;
	load_vector(seen, &vector);
	vector_write(job->mvd, &vector, seen->expected, body);
}

/* Home */

static bool is_list(const char *names)
{
	return strchr(names, ',') != NULL;
}

static bool names_node(const char *names, const char *node)
{
	g_auto(GStrv) words = g_strsplit(names, ",", -1);
	unsigned i;

	for (i = 0; words[i]; i++)
		if (g_ascii_strcasecmp(g_strstrip(words[i]), node) == 0)
			return true;
	return false;
}

static int check_names(const struct mvd *mvd, const char *names, struct err *err)
{
	g_auto(GStrv) words = g_strsplit(names, ",", -1);
	unsigned i;

	if (g_strv_length(words) > SCHED_NODE_LIST)
		return err_set(err, 0, "at most %d nodes can be named", SCHED_NODE_LIST);
	for (i = 0; words[i]; i++)
		if (strcmp(g_strstrip(words[i]), mvd->node) != 0 &&
		    !peers_is_member(mvd->peers, words[i]))
			return err_set(err, 0, "there is no node %.64s in the cluster "
				       "(mvctl nodes lists them)", words[i]);
	return 0;
}

int scheduler_check_run(struct mvd *mvd, const struct request *request, struct err *err)
{
	if (is_list(request->on) && check_names(mvd, request->on, err) < 0)
		return -1;
	if (request->not_on[0] && check_names(mvd, request->not_on, err) < 0)
		return -1;
	if (request->kind[0] && strcmp(request->kind, "cpu-bound") != 0 &&
	    strcmp(request->kind, "io-bound") != 0)
		return err_set(err, 0, "a job is cpu-bound or io-bound, not \"%s\"",
			       request->kind);
	return 0;
}

static int be_near(struct job *job, const char *text, struct err *err)
{
	struct job *other = jobs_find_named(job->mvd->jobs, text, job->facts.uid, err);

	if (!other)
		return -1;
	g_free(job->facts.near);
	job->facts.near = g_strdup(other->facts.uuid);
	return 0;
}

static bool is_wanted(const struct mvd *mvd, const struct request *request)
{
	return peers_in_cluster(mvd->peers) && !request->home &&
	       (mvd->config.settings.place || request->best || is_list(request->on) ||
		request->not_on[0] || request->near[0]);
}

/* Waiting */

/* Were it open, and nothing else there. */
static bool could_take(const struct view *view, const struct sched_node *node,
		       const struct sched_job *job)
{
	struct sched_node empty = *node;

	if (node->state == SCHED_GONE)
		return false;
	empty.state = SCHED_OPEN;
	empty.flags = 0;
	empty.time = view->view.now;
	empty.jobs = empty.reserved = 0;
	empty.slots = 1;
	empty.mem_free = empty.mem_total;
	return sched_objection(view->view.policy, job, &empty, view->view.now,
			       view->view.policy->memory_low * empty.mem_total) ==
	       SCHED_WHY_NONE;
}

/* What a job waits for that nobody can take now, allocated; NULL: nobody ever can. */
static char *wait_reason(struct mvd *mvd, const struct view *view,
			 const struct sched_job *job)
{
	const struct sched_policy *policy = view->view.policy;
	const struct sched_node *best = NULL;
	struct sched_reason reason;
	double spare;
	unsigned i;

	for (i = 0; i <= view->view.count; i++) {
		const struct sched_node *node = i ? &view->peers[i - 1] : &view->self;

		if (could_take(view, node, job) && (!best || node->mem_free > best->mem_free))
			best = node;
	}
	if (!best)
		return NULL;
	spare = policy->memory_low * best->mem_total;
	reason = (struct sched_reason){
		.why = sched_objection(policy, job, best, view->view.now, spare),
		.node = best->id, .need = job->mem, .have = fmax(best->mem_free - spare, 0),
	};
	return scheduler_reason(mvd, &reason);
}

static void stop_waiting(struct job *job)
{
	g_clear_pointer(&job->placement->waits, g_free);
	job->unplaced = false;
	room_settle(job, &job->placement->room);
}

static int begin_waiting(struct job *job, char *reason, struct err *err)
{
	struct placement *placement = job->placement;

	g_free(placement->waits);
	placement->waits = reason;
	job->unplaced = true;
	return placement->nowait ?
		err_set(err, 0, "no node has room for it now: %s", reason) : 0;
}

char *scheduler_waits_for(const struct job *job)
{
	const struct placement *placement = job->placement;
	const char *what = placement && placement->waits ? placement->waits :
			   "it has just been asked for";

	if (placement && placement->room.agreed)
		return g_strdup_printf("waits for room, which is being made at %s: %s",
				       placement->room.node, what);
	return g_strdup_printf("waits for room: %s", what);
}

struct room_wish *scheduler_wish(struct job *job)
{
	return job->placement ? &job->placement->room : NULL;
}

/* What decided where it starts; one that waits is not placed yet. */
static void note_place(struct job *job, const struct sched_place *place)
{
	g_autofree char *why = scheduler_reason(job->mvd, &place->reason);

	if (place->node)
		came_start(job, why);
}

/* Sets job->host, or has it wait; -1 when no node can take it and home may not. */
static int choose(struct job *job, struct err *err)
{
	struct placement *placement = job->placement;
	struct scheduler *s = job->mvd->scheduler;
	struct sched_place place;
	const char *name = NULL;
	char *waits = NULL;
	struct view view;

	g_clear_pointer(&job->host, g_free);
	if (placement->refusals < MAX_REFUSALS) {
		scheduler_view(s, &view);
		room_keep(&view, room_made_at(&placement->room));
		place = sched_place(&view.view, &placement->vector, &s->random);
		placement->expected = fmax(place.cost, 1e-6);
		if (place.node && place.node->id != view.self.id)
			name = mvd_gossip_name(job->mvd, place.node->id);
		if (name) {
			scheduler_promise(s, place.node->id, &placement->vector);
			job->host = g_strdup(name);
		}
		note_place(job, &place);
		if (!place.node)
			waits = wait_reason(job->mvd, &view, &placement->vector);
		view_clear(&view);
		if (waits)
			return begin_waiting(job, waits, err);
		stop_waiting(job);
		if (job->host || place.node)
			return 0;
	}
	stop_waiting(job);
	came_start(job, "no other node takes it");
	if (!placement->must_not_be_home)
		return 0;
	return err_set(err, 0, "none of the nodes that --on and --not-on leave can take "
		       "the job (mvctl nodes shows them)");
}

/* In the order in which they came; but a smaller one does not wait for a larger one's room. */
void scheduler_serve_waiting(struct mvd *mvd)
{
	g_autoptr(GPtrArray) list = jobs_list(mvd->jobs);
	struct err err = { 0 };
	bool one_is_here = false, asked = false;
	unsigned i;

	for (i = 0; i < list->len; i++) {
		struct job *job = list->pdata[i];
		struct placement *placement = job->placement;
		g_autofree char *text = NULL;

		if (!job->unplaced || !placement || job->mvrun_gone || one_is_here)
			continue;
		text = scheduler_waits_for(job);
		job_send_phase(job, "waiting", text);
		/* Those that refused it may have room now. */
		load_lists(&job->facts, &placement->vector);
		placement->refusals = 0;
		if (choose(job, &err) < 0)
			job_fail(job, err.text, "");
		else if (!job->unplaced) {
			/* What it takes here is seen at the next sample. */
			one_is_here = !job->host;
			job_advance(job);
		} else if (!asked)
			/* Whom the next one can ask is known when the answer has come. */
			asked = room_seek(job, &placement->room, &placement->vector);
	}
}

/* It is to be here, and nowhere else. */
static int settle_here(struct job *job, const struct request *request, struct err *err)
{
	struct mvd *mvd = job->mvd;
	struct sched_node node;

	if (!mvd->scheduler || !peers_in_cluster(mvd->peers))
		return 0;
	job->unplaced = true;
	load_node(mvd->scheduler->load, &node, false);
	job->unplaced = false;
	if (node.jobs + node.reserved >= node.slots)
		return err_set(err, 0, "this node hosts as many jobs as it may (%u; see "
			       "mvctl get slots)", node.slots);
	came_start(job, request->home || request->on[0] ? "its user said so" :
		   "this node does not choose where its jobs start (place)");
	return 0;
}

int scheduler_place(struct job *job, const struct request *request, struct err *err)
{
	struct mvd *mvd = job->mvd;
	struct placement *placement;
	struct sched_job vector;
	const char *near;

	if (request->near[0] && be_near(job, request->near, err) < 0)
		return -1;
	if (request->on[0] && !is_list(request->on)) {
		if (strcmp(request->on, mvd->node) == 0)
			return settle_here(job, request, err);
		job->host = g_strdup(request->on);
		came_start(job, "its user said so");
		return 0;
	}
	if (!mvd->scheduler || !is_wanted(mvd, request))
		return settle_here(job, request, err);
	/* So that it does not count as one of home's yet. */
	job->unplaced = true;
	load_newcomer(mvd, &job->facts, &vector);
	vector.pinned = false;
	/* So that it can come home, or anywhere home's jobs can. (A home without KVM asks for
	 * nothing: what a node with KVM starts for it stays among such nodes.) */
	vector.cpu = probe_accel(mvd->probe) == ACCEL_KVM ?
		     load_cpu_bit(mvd, ACCEL_KVM) : 0;
	near = load_near(job);
	if (near)
		vector.traffic[SCHED_TRAFFIC - 1] = (struct sched_traffic){
			mvd_gossip_id(near), LOAD_NEAR_RATE };
	placement = job->placement = g_new0(struct placement, 1);
	placement->vector = vector;
	placement->nowait = request->nowait;
	placement->must_not_be_home =
		(request->on[0] && !names_node(request->on, mvd->node)) ||
		names_node(request->not_on, mvd->node);
	load_sample(mvd->scheduler->load);
	return choose(job, err);
}

/* Not this one again. */
static void exclude(struct placement *placement, const char *name)
{
	if (!sched_job_exclude(&placement->vector, mvd_gossip_id(name)))
		placement->refusals = MAX_REFUSALS;
	placement->refusals++;
}

bool scheduler_place_again(struct job *job, const char *why)
{
	struct scheduler *s = job->mvd->scheduler;
	g_autofree char *refused = g_strdup(job->host);
	struct err err = { 0 };

	if (!job->placement || !s || !job->host || job->mvrun_gone)
		return false;
	g_message("job %ld does not start at %s: %s", (long)job->facts.pid, job->host, why);
	exclude(job->placement, job->host);
	if (choose(job, &err) < 0) {
		job->host = g_steal_pointer(&refused);
		return false;
	}
	job->stage = JOB_WAITING;
	job->facts.boots--;
	job->phase = NULL;
	job_advance(job);
	return true;
}

void scheduler_placed(struct job *job)
{
	struct scheduler *s = job->mvd->scheduler;

	if (job->placement && job->host && s)
		s->started_away++;
	scheduler_forget_place(job);
}

void scheduler_forget_place(struct job *job)
{
	if (!job->placement)
		return;
	room_forget(job, &job->placement->room);
	g_free(job->placement->waits);
	g_clear_pointer(&job->placement, g_free);
}

void scheduler_describe_start(struct job *job, struct json_object *body)
{
	if (job->placement)
		vector_write(job->mvd, &job->placement->vector,
			     job->placement->expected, body);
}

const char *scheduler_best(struct mvd *mvd, unsigned memory)
{
	struct job_facts facts = { .memory = memory ? memory : 1024, .home = mvd->node };
	struct scheduler *s = mvd->scheduler;
	struct sched_place place;
	struct sched_job vector;
	const char *name = NULL;
	struct view view;

	if (!s)
		return mvd->node;
	load_newcomer(mvd, &facts, &vector);
	load_sample(s->load);
	scheduler_view(s, &view);
	room_keep(&view, 0);
	place = sched_place(&view.view, &vector, &s->random);
	if (place.node)
		name = mvd_gossip_name(mvd, place.node->id);
	if (place.node && !name)
		name = mvd->node;
	view_clear(&view);
	return name;
}
