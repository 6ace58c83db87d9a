/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-room.h"

#include "scheduler/usher.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-vector.h"

#include <math.h>
#include <string.h>

#define MIB 1048576.0
#define ASK_MS 5000
#define QUIET 2 /* pauses without a question, then a member is as good as new */

static const struct sched_policy *policy_of(const struct mvd *mvd)
{
	return &mvd->config.settings.policy;
}

/* Members that cannot be asked, nor speak, any more. */
static bool is_gone(struct mvd *mvd, const char *name)
{
	if (strcmp(name, mvd->node) == 0)
		return false;
	return !peers_in_cluster(mvd->peers) || !peers_is_member(mvd->peers, name) ||
	       g_strcmp0(mvd_gossip_state(mvd, name), "dead") == 0;
}

/* ---- the node that makes room ---- */

/* A member for which room was kept: its attempts since the first of a row. */
struct asker {
	char name[PEER_NAME_MAX + 1];
	double first, ended;
};

void room_init(struct room *room)
{
	memset(room, 0, sizeof(*room));
	room->askers = g_array_new(FALSE, FALSE, sizeof(struct asker));
}

void room_clear(struct room *room)
{
	g_free(room->home);
	g_array_unref(room->askers);
}

bool room_is_kept(const struct mvd *mvd)
{
	return mvd->scheduler && mvd->scheduler->room.uuid[0];
}

bool room_is_for(const struct mvd *mvd, const char *uuid, const char *home)
{
	return room_is_kept(mvd) && strcmp(mvd->scheduler->room.uuid, uuid) == 0 &&
	       strcmp(mvd->scheduler->room.home, home) == 0;
}

/* Members that have been quiet for long are forgotten. */
static void forget_askers(struct room *room, const struct sched_policy *policy, double now)
{
	unsigned i = 0;

	while (i < room->askers->len) {
		const struct asker *asker = &g_array_index(room->askers, struct asker, i);
		double quiet = (now - asker->ended) / QUIET;

		if (sched_room_due(policy, asker->ended - asker->first + quiet, quiet))
			g_array_remove_index_fast(room->askers, i);
		else
			i++;
	}
}

static struct asker *find_asker(struct room *room, const char *name)
{
	unsigned i;

	for (i = 0; i < room->askers->len; i++)
		if (strcmp(g_array_index(room->askers, struct asker, i).name, name) == 0)
			return &g_array_index(room->askers, struct asker, i);
	return NULL;
}

static void note_asker(struct room *room, double now, bool came)
{
	struct asker *asker = find_asker(room, room->home);
	struct asker new = { .first = room->since };

	if (!asker) {
		g_strlcpy(new.name, room->home, sizeof(new.name));
		g_array_append_val(room->askers, new);
		asker = find_asker(room, room->home);
	}
	if (came)
		asker->first = room->since;
	asker->ended = now;
}

void room_end(struct mvd *mvd, bool came)
{
	double now = mvd_gossip_now();
	struct room *room;

	if (!room_is_kept(mvd))
		return;
	room = &mvd->scheduler->room;
	g_info("keeps no room any more for a job of %s, which has %scome", room->home,
	       came ? "" : "not ");
	note_asker(room, now, came);
	if (!came)
		room->vain = now + policy_of(mvd)->patience;
	room->uuid[0] = '\0';
	g_clear_pointer(&room->home, g_free);
}

/* Could it come, were the memory free? By this node's own figures. */
static int check_fit(struct mvd *mvd, const struct sched_job *job, struct sched_node *self,
		     struct err *err)
{
	const struct sched_policy *policy = policy_of(mvd);
	double spare;
	struct sched_reason reason;
	struct sched_node empty;
	g_autofree char *text = NULL;

	load_node(mvd->scheduler->load, self, false);
	empty = *self;
	empty.mem_free = empty.mem_total;
	spare = policy->memory_low * empty.mem_total;
	reason = (struct sched_reason){
		.why = sched_objection(policy, job, &empty, empty.time, spare),
		.node = self->id, .need = job->mem, .have = fmax(empty.mem_total - spare, 0),
	};
	if (reason.why == SCHED_WHY_NONE)
		return 0;
	text = scheduler_reason(mvd, &reason);
	return err_set(err, 0, "%s", text);
}

/* Is there a node that could take the job now? */
static bool can_leave(const struct sched_view *view, const struct load_job *seen)
{
	g_autofree char *obstacle = migrate_obstacle(seen->job);
	struct sched_job vector;
	unsigned i;

	load_vector(seen, &vector);
	if (seen->job->migration)
		return true;
	for (i = 0; i < view->count && !vector.pinned && !obstacle; i++)
		if (sched_objection(view->policy, &vector, &view->peers[i], view->now,
				    view->policy->memory_high * view->peers[i].mem_total) ==
		    SCHED_WHY_NONE)
			return true;
	return false;
}

/* Bytes of the jobs that can leave; not all of them may, but without any it is in vain. */
static double movable(struct mvd *mvd)
{
	g_autoptr(GPtrArray) list = load_jobs(mvd->scheduler->load);
	struct view view;
	double sum = 0;
	unsigned i;

	scheduler_view(mvd->scheduler, &view);
	room_keep(&view, view.self.id);
	for (i = 0; i < list->len; i++) {
		const struct load_job *seen = list->pdata[i];

		if (can_leave(&view.view, seen))
			sum += seen->vector.mem;
	}
	view_clear(&view);
	return sum;
}

static double lack_for(const struct mvd *mvd, const struct sched_job *job,
		       const struct sched_node *self)
{
	return job->mem + policy_of(mvd)->memory_low * self->mem_total - self->mem_free;
}

double room_lack(const struct mvd *mvd, const struct sched_node *self)
{
	return room_is_kept(mvd) ? fmax(lack_for(mvd, &mvd->scheduler->room.job, self), 0) : 0;
}

static int check_turn(struct mvd *mvd, const char *from, struct err *err)
{
	struct room *room = &mvd->scheduler->room;
	double now = mvd_gossip_now();
	const struct asker *asker;

	if (room_is_kept(mvd))
		return err_set(err, 0, "%s makes room for another job", mvd->node);
	forget_askers(room, policy_of(mvd), now);
	asker = find_asker(room, from);
	if (now < room->vain ||
	    (asker && !sched_room_due(policy_of(mvd), now - asker->first, now - asker->ended)))
		return err_set(err, 0, "%s has kept room a short time ago", mvd->node);
	return 0;
}

static int check_room(struct mvd *mvd, const char *from, const struct sched_job *job,
		      struct err *err)
{
	const struct mvd_settings *settings = &mvd->config.settings;
	struct sched_node self;

	if (!settings->usher || settings->stay)
		return err_set(err, 0, "%s keeps its jobs", mvd->node);
	if (check_turn(mvd, from, err) < 0 || check_fit(mvd, job, &self, err) < 0)
		return -1;
	if (lack_for(mvd, job, &self) > movable(mvd))
		return err_set(err, 0, "too few of the jobs at %s can leave", mvd->node);
	return 0;
}

static int promise(struct mvd *mvd, const char *from, const char *uuid,
		   const struct sched_job *job, struct err *err)
{
	struct room *room = &mvd->scheduler->room;

	if (room_is_for(mvd, uuid, from))
		return 0;
	if (check_room(mvd, from, job, err) < 0)
		return -1;
	g_message("makes room for a job of %s that fits nowhere, %.0f MiB", from,
		  job->mem / MIB);
	g_strlcpy(room->uuid, uuid, sizeof(room->uuid));
	room->home = g_strdup(from);
	room->job = *job;
	room->since = mvd_gossip_now();
	/* Also tells the others. */
	scheduler_hurry(mvd->scheduler);
	return 0;
}

void room_look(struct mvd *mvd)
{
	const struct room *room = &mvd->scheduler->room;
	struct err err = { 0 };
	struct sched_node self;

	if (!room_is_kept(mvd))
		return;
	if (!sched_room_over(policy_of(mvd), mvd_gossip_now() - room->since) &&
	    !is_gone(mvd, room->home) && check_fit(mvd, &room->job, &self, &err) == 0)
		return;
	room_end(mvd, false);
	scheduler_publish(mvd->scheduler);
}

void room_keep(struct view *view, uint64_t made_at)
{
	unsigned i;

	for (i = 0; i <= view->view.count; i++) {
		struct sched_node *node = i ? &view->peers[i - 1] : &view->self;

		if ((node->flags & SCHED_MAKING) && node->id != made_at)
			node->mem_free = 0;
	}
}

static const char *uuid_of(struct json_object *body)
{
	struct json_object *value;

	if (!json_object_object_get_ex(body, "uuid", &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

void room_question(struct mvd *mvd, const char *from, struct json_object *body,
		   struct peer_question *question)
{
	char uuid[UUID_TEXT_SIZE];
	struct err err = { 0 };
	struct sched_job job;

	if (!mvd->scheduler || !uuid_normalize(uuid, uuid_of(body)) ||
	    !vector_read(body, from, &job))
		peer_refuse(question, "what was said of the job makes no sense");
	else if (promise(mvd, from, uuid, &job, &err) < 0)
		peer_refuse(question, err.text);
	else
		peer_answer(question, NULL);
}

void room_end_question(struct mvd *mvd, const char *from, struct json_object *body,
		       struct peer_question *question)
{
	char uuid[UUID_TEXT_SIZE];

	if (uuid_normalize(uuid, uuid_of(body)) && room_is_for(mvd, uuid, from)) {
		room_end(mvd, false);
		scheduler_publish(mvd->scheduler);
	}
	peer_answer(question, NULL);
}

/* ---- home ---- */

/* What it waits for is something else now: its mvrun hears so at the next look. */
static void say(struct job *job)
{
	if (job->unplaced)
		job->phase = NULL;
}

static void on_told(void *ctx, const struct peer_reply *reply)
{
	(void)ctx;
	(void)reply;
}

/* It goes by its own clock if it does not hear this. */
static void tell_end(struct job *job, const char *node)
{
	struct mvd *mvd = job->mvd;
	struct json_object *body;

	if (strcmp(node, mvd->node) == 0) {
		if (room_is_for(mvd, job->facts.uuid, mvd->node))
			room_end(mvd, false);
		return;
	}
	body = json_object_new_object();
	event_add_string(body, "op", "no-room");
	event_add_string(body, "uuid", job->facts.uuid);
	peer_ask(mvd->peers, node, body, ASK_MS, on_told, NULL);
}

static void drop(struct job *job, struct room_wish *wish)
{
	g_autofree char *node = g_steal_pointer(&wish->node);

	wish->agreed = false;
	/* When the agent ends there are no peers any more. */
	if (node && job->mvd->scheduler && !is_gone(job->mvd, node))
		tell_end(job, node);
}

void room_forget(struct job *job, struct room_wish *wish)
{
	/* Its start there has ended the promise. */
	if (wish->node && job->stage == JOB_UP && g_strcmp0(job->host, wish->node) == 0)
		g_clear_pointer(&wish->node, g_free);
	drop(job, wish);
}

void room_settle(struct job *job, struct room_wish *wish)
{
	struct mvd *mvd = job->mvd;
	const char *at = job->host ? job->host : mvd->node;

	if (!wish->node)
		return;
	if (strcmp(wish->node, at) != 0) {
		drop(job, wish);
	} else if (!job->host) {
		if (room_is_for(mvd, job->facts.uuid, mvd->node))
			room_end(mvd, true);
		g_clear_pointer(&wish->node, g_free);
		wish->agreed = false;
	}
}

uint64_t room_made_at(const struct room_wish *wish)
{
	return wish->agreed ? mvd_gossip_id(wish->node) : 0;
}

static void note_vain(struct room_wish *wish, const char *node)
{
	memmove(wish->in_vain + 1, wish->in_vain,
		sizeof(wish->in_vain) - sizeof(wish->in_vain[0]));
	wish->in_vain[0] = mvd_gossip_id(node);
}

static void agreed(struct job *job, struct room_wish *wish)
{
	wish->agreed = true;
	say(job);
}

/* Another node may be asked, but not at once. */
static void refused(struct job *job, struct room_wish *wish, const char *why)
{
	g_info("no room is made for job %ld: %s", (long)job->facts.pid, why);
	note_vain(wish, wish->node);
	g_clear_pointer(&wish->node, g_free);
	wish->again = mvd_gossip_now() + policy_of(job->mvd)->retry;
}

struct ask {
	struct mvd *mvd;
	char uuid[UUID_TEXT_SIZE];
	double asked;
};

static void on_answer(void *ctx, const struct peer_reply *reply)
{
	g_autofree struct ask *ask = ctx;
	struct job *job = ask->mvd->scheduler ? jobs_find(ask->mvd->jobs, ask->uuid) : NULL;
	struct room_wish *wish = job ? scheduler_wish(job) : NULL;

	/* It may have found a place meanwhile, or have ended. */
	if (!wish || !wish->node || wish->asked != ask->asked)
		return;
	if (reply->answer)
		agreed(job, wish);
	else
		refused(job, wish, reply->error);
}

static void ask_peer(struct job *job, const struct room_wish *wish,
		     const struct sched_job *vector)
{
	struct json_object *body = json_object_new_object();
	struct ask *ask = g_new0(struct ask, 1);

	ask->mvd = job->mvd;
	g_strlcpy(ask->uuid, job->facts.uuid, sizeof(ask->uuid));
	ask->asked = wish->asked;
	event_add_string(body, "op", "make-room");
	event_add_string(body, "uuid", job->facts.uuid);
	vector_write(job->mvd, vector, 0, body);
	peer_ask(job->mvd->peers, wish->node, body, ASK_MS, on_answer, ask);
}

static void ask_self(struct job *job, struct room_wish *wish, const struct sched_job *vector)
{
	struct err err = { 0 };

	if (promise(job->mvd, job->mvd->node, job->facts.uuid, vector, &err) == 0)
		agreed(job, wish);
	else
		refused(job, wish, err.text);
}

/* The name of the node that should make room; allocated. */
static char *choose(struct mvd *mvd, struct room_wish *wish, const struct sched_job *vector)
{
	struct sched_job wanted = *vector;
	const struct sched_node *node;
	char *name = NULL;
	struct view view;
	unsigned i;

	for (i = 0; i < G_N_ELEMENTS(wish->in_vain); i++)
		if (wish->in_vain[i])
			sched_job_exclude(&wanted, wish->in_vain[i]);
	scheduler_view(mvd->scheduler, &view);
	node = sched_room(&view.view, &wanted);
	if (node)
		name = g_strdup(node == &view.self ? mvd->node :
				mvd_gossip_name(mvd, node->id));
	view_clear(&view);
	return name;
}

static bool is_over(struct job *job, const struct room_wish *wish, double now)
{
	struct mvd *mvd = job->mvd;

	return sched_room_over(policy_of(mvd), now - wish->asked) || is_gone(mvd, wish->node) ||
	       (strcmp(wish->node, mvd->node) == 0 &&
		!room_is_for(mvd, job->facts.uuid, mvd->node));
}

static void give_up(struct job *job, struct room_wish *wish, double now)
{
	bool was_agreed = wish->agreed;

	note_vain(wish, wish->node);
	drop(job, wish);
	wish->tried = now;
	if (was_agreed)
		say(job);
}

bool room_seek(struct job *job, struct room_wish *wish, const struct sched_job *vector)
{
	const struct sched_policy *policy = policy_of(job->mvd);
	double now = mvd_gossip_now();

	if (!wish->since)
		wish->since = wish->tried = now;
	if (wish->node && is_over(job, wish, now))
		give_up(job, wish, now);
	if (wish->node || now < wish->again ||
	    !sched_room_due(policy, now - wish->since, now - wish->tried))
		return false;
	wish->node = choose(job->mvd, wish, vector);
	if (!wish->node) {
		/* All are asked again, in their time. */
		memset(wish->in_vain, 0, sizeof(wish->in_vain));
		wish->again = now + policy->retry;
		return false;
	}
	wish->asked = now;
	if (strcmp(wish->node, job->mvd->node) == 0)
		ask_self(job, wish, vector);
	else
		ask_peer(job, wish, vector);
	return true;
}
