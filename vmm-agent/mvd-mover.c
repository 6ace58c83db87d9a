/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-mover.h"

#include "net/peer.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-scheduler.h"

#include <string.h>

#define MOVE_MS (24 * 3600 * 1000)
#define TICK_MS 50
#define LOOK_TICKS 10 /* between two looks at how far it is */
#define LINK_S 30     /* for mvrun to reach its guest where it is now */
#define ASK_MS 3000

struct mover {
	int refs;
	struct job *job;       /* a reference */
	struct client *client; /* a reference */
	char *from, *to;
	unsigned incarnation; /* before the move */
	guint timer;
	unsigned ticks;
	bool asking, over, aborted;
	/* It has moved; what is missing is mvrun's link. */
	struct json_object *figures;
	gint64 since, link_by;
};

static void mover_unref(struct mover *mover)
{
	if (--mover->refs > 0)
		return;
	job_unref(mover->job);
	client_unref(mover->client);
	json_object_put(mover->figures);
	g_free(mover->from);
	g_free(mover->to);
	g_free(mover);
}

/* The end */

static void end(struct mover *mover)
{
	mover->over = true;
	g_clear_handle_id(&mover->timer, g_source_remove);
	mover_unref(mover);
}

static void fail(struct mover *mover, const char *why)
{
	g_autofree char *text =
		g_strdup_printf("job %ld does not move to %s: %s",
				(long)mover->job->facts.pid, mover->to, why);

	client_error(mover->client, "migrate", text, "");
	end(mover);
}

/* Its host may be about to move it all the same. */
static void lose_sight(struct mover *mover, const char *why)
{
	g_autofree char *text =
		g_strdup_printf("it is not known whether job %ld moves to %s: %s",
				(long)mover->job->facts.pid, mover->to, why);

	client_error(mover->client, "migrate", text,
		     "mvctl jobs shows where it is");
	end(mover);
}

static void tell_figures(struct mover *mover)
{
	struct json_object *event = event_new("migrated");

	json_object_object_add(event, "result", mover->figures);
	mover->figures = NULL;
	client_send(mover->client, event);
	end(mover);
}

static void tell_linked(struct mover *mover)
{
	event_add_number(mover->figures, "linked_ms",
			 (g_get_monotonic_time() - mover->since) / 1000);
	tell_figures(mover);
}

static bool is_at(const struct job *job, const char *node)
{
	const char *at = job->host ? job->host : job->mvd->node;

	return !job->absent && strcmp(at, node) == 0;
}

/* The guest runs at its target; its user has it back when mvrun is linked to it. */
static void look_for_link(struct mover *mover)
{
	const struct job *job = mover->job;
	g_autofree char *text = NULL;

	/* Only its home knows of links; and it may have ended at its target. */
	if (job->foreign || job->stage != JOB_UP) {
		tell_figures(mover);
	} else if (is_at(job, mover->to) && job->freeze.paused) {
		tell_figures(mover); /* a guest that is stopped says nothing */
	} else if (is_at(job, mover->to) && home_is_linked(job)) {
		tell_linked(mover);
	} else if (is_at(job, mover->from) && home_is_linked(job) &&
		   job->facts.incarnation > mover->incarnation) {
		text = g_strdup_printf("its copy there could not go on; it runs "
				       "at %s", mover->from);
		fail(mover, text);
	} else if (g_get_monotonic_time() > mover->link_by) {
		lose_sight(mover, "mvrun has no link to it there yet");
	}
}

static void succeed(struct mover *mover, struct json_object *figures)
{
	mover->figures = figures;
	mover->link_by = g_get_monotonic_time() + LINK_S * G_USEC_PER_SEC;
	look_for_link(mover);
}

static void on_migrated(void *ctx, const struct migrated *result)
{
	struct mover *mover = ctx;

	if (result->error)
		fail(mover, result->error);
	else
		succeed(mover, migrated_to_json(result));
}

static void on_reply(void *ctx, const struct peer_reply *reply)
{
	struct mover *mover = ctx;
	struct json_object *gone;

	if (!reply->answer && !reply->refused)
		lose_sight(mover, reply->error);
	else if (!reply->answer)
		fail(mover, reply->error);
	else if (json_object_object_get_ex(reply->answer, "gone", &gone))
		fail(mover, "it has just ended there, or left");
	else
		succeed(mover, json_object_get(reply->answer));
}

/* On the way */

static void send_progress(struct mover *mover, struct json_object *figures)
{
	struct json_object *event;

	if (mover->over)
		return;
	event = event_new("progress");
	json_object_object_add(event, "progress", json_object_get(figures));
	client_send(mover->client, event);
}

static void on_progress(void *ctx, const struct peer_reply *reply)
{
	struct mover *mover = ctx;

	mover->asking = false;
	if (reply->answer)
		send_progress(mover, reply->answer);
	mover_unref(mover);
}

static void ask_progress(struct mover *mover)
{
	struct json_object *body = json_object_new_object();

	mover->asking = true;
	mover->refs++;
	event_add_string(body, "op", "progress");
	event_add_string(body, "uuid", mover->job->facts.uuid);
	peer_ask(mover->job->mvd->peers, mover->job->host, body, ASK_MS,
		 on_progress, mover);
}

static void look_here(struct mover *mover)
{
	struct json_object *figures = json_object_new_object();
	struct migrate_progress progress;

	if (migrate_progress(mover->job, &progress)) {
		event_add_string(figures, "stage", progress.stage);
		event_add_number(figures, "memory",
				 (int64_t)progress.stats.memory);
		event_add_number(figures, "left", (int64_t)progress.stats.left);
		event_add_number(figures, "bytes",
				 (int64_t)progress.sent);
		event_add_number(figures, "rounds", progress.stats.rounds);
		send_progress(mover, figures);
	}
	json_object_put(figures);
}

static void on_abort_heard(void *ctx, const struct peer_reply *reply)
{
	(void)reply;
	mover_unref(ctx);
}

/* Whoever wanted it does not wait for it any more. */
static void give_up(struct mover *mover)
{
	struct json_object *body;

	mover->aborted = true;
	if (mover->job->migration) {
		migrate_abort(mover->job);
	} else if (mover->job->host) {
		body = json_object_new_object();
		event_add_string(body, "op", "abort");
		event_add_string(body, "uuid", mover->job->facts.uuid);
		mover->refs++;
		peer_ask(mover->job->mvd->peers, mover->job->host, body, ASK_MS,
			 on_abort_heard, mover);
	}
}

static void look(struct mover *mover)
{
	if (mover->job->host && !mover->asking && !mover->job->migration)
		ask_progress(mover);
	else if (!mover->job->host || mover->job->migration)
		look_here(mover);
}

static gboolean on_timer(void *p)
{
	struct mover *mover = p;
	bool over;

	if (mover->figures) {
		mover->refs++;
		look_for_link(mover);
		over = mover->over;
		mover_unref(mover);
		return over ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
	}
	if (!client_is_open(mover->client) && !mover->aborted)
		give_up(mover);
	else if (!mover->aborted && ++mover->ticks % LOOK_TICKS == 0)
		look(mover);
	return G_SOURCE_CONTINUE;
}

void mover_begin(struct job *job, struct client *client, const char *to,
		 bool postcopy)
{
	struct mover *mover = g_new0(struct mover, 1);
	struct json_object *body;
	g_autofree char *obstacle = migrate_obstacle(job);

	mover->refs = 1;
	mover->job = job_ref(job);
	mover->client = client_ref(client);
	mover->from = g_strdup(job->host ? job->host : job->mvd->node);
	mover->incarnation = job->facts.incarnation;
	mover->to = g_strdup(strcmp(to, "home") == 0 ? job->facts.home : to);
	if (obstacle) {
		fail(mover, obstacle);
		return;
	}
	mover->since = g_get_monotonic_time();
	mover->timer = g_timeout_add(TICK_MS, on_timer, mover);
	if (!job->host) {
		migrate_begin(job, mover->to, postcopy, on_migrated, mover);
		return;
	}
	body = json_object_new_object();
	event_add_string(body, "op", "migrate");
	event_add_string(body, "uuid", job->facts.uuid);
	event_add_string(body, "to", mover->to);
	event_add_bool(body, "postcopy", postcopy);
	peer_ask(job->mvd->peers, job->host, body, MOVE_MS, on_reply, mover);
}

void mover_why(struct job *job, struct client *client)
{
	g_autofree char *obstacle = job->unplaced ? scheduler_waits_for(job) :
						    migrate_obstacle(job);
	g_autofree char *reason = obstacle ? NULL : scheduler_why(job);
	struct json_object *event = event_new("why"), *why;

	why = json_object_new_object();
	event_add_number(why, "pid", job->facts.pid);
	event_add_string(why, "host", job->host ? job->host : job->mvd->node);
	event_add_bool(why, "movable", !obstacle);
	event_add_string(why, "text", obstacle ? obstacle :
			 *reason ? reason :
			 "nothing keeps it from moving: nobody has asked for it");
	event_add_string(why, "came", came_text(job));
	json_object_object_add(event, "why", why);
	client_send(client, event);
}
