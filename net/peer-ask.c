/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our questions. One connection to each member is made when there is the first
 * question for it, and kept. Every callback is made from an idle source of its
 * own, so that no caller is called from inside its call.
 */
#include "net/peer-private.h"

#include "net/json.h"

#include <string.h>

#define MAX_ASKS 1024 /* that wait for one member */
#define MAX_QUEUED (4 * 1024 * 1024)

struct ask {
	struct peers *peers;
	struct member *member; /* NULL: finished */
	int64_t id;
	char *line; /* NULL once sent */
	guint timer;
	peer_reply_fn done;
	void *ctx;
	/* The outcome. */
	struct json_object *answer, *details;
	char *error;
	bool refused;
};

static void ask_free(struct ask *ask)
{
	g_clear_handle_id(&ask->timer, g_source_remove);
	json_object_put(ask->answer);
	json_object_put(ask->details);
	g_free(ask->line);
	g_free(ask->error);
	g_free(ask);
}

/* ---- outcomes ---- */

static gboolean on_finished(void *p)
{
	struct peers *peers = p;
	struct ask *ask = g_queue_pop_head(&peers->finished);
	bool more = !g_queue_is_empty(&peers->finished);

	if (!more)
		peers->finished_source = 0;
	if (ask) {
		struct peer_reply reply = {
			.answer = ask->answer,
			.error = ask->error,
			.refused = ask->refused,
			.details = ask->details,
		};

		ask->done(ask->ctx, &reply);
		ask_free(ask);
	}
	return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void finish(struct ask *ask)
{
	struct peers *peers = ask->peers;

	if (ask->member)
		g_queue_remove(&ask->member->asks, ask);
	ask->member = NULL;
	g_clear_handle_id(&ask->timer, g_source_remove);
	g_queue_push_tail(&peers->finished, ask);
	if (!peers->finished_source)
		peers->finished_source = g_idle_add_full(G_PRIORITY_DEFAULT,
			on_finished, peers, NULL);
}

static void fail(struct ask *ask, const char *node, const char *why)
{
	ask->error = g_strdup_printf("cannot ask %s: %s", node, why);
	finish(ask);
}

static gboolean on_late(void *p)
{
	struct ask *ask = p;

	ask->timer = 0;
	fail(ask, ask->member->name, "it does not answer in time");
	return G_SOURCE_REMOVE;
}

void asks_fail(struct member *member, const char *why)
{
	struct call *call = g_steal_pointer(&member->call);
	struct conn *out = g_steal_pointer(&member->out);
	struct ask *ask;

	if (call)
		call_cancel(call);
	if (out) {
		conn_close(out);
		conn_unref(out);
	}
	while ((ask = g_queue_peek_head(&member->asks)))
		fail(ask, member->name, why);
}

void asks_farewell(struct member *member)
{
	struct conn *out = g_steal_pointer(&member->out);

	if (!out)
		return;
	conn_send(out, peers_roster_line(member->peers));
	conn_finish(out, "the node was removed from the cluster");
	conn_unref(out);
}

/* ---- the connection ---- */

static struct ask *find(struct member *member, int64_t id)
{
	GList *l;

	for (l = member->asks.head; l; l = l->next) {
		struct ask *ask = l->data;

		if (ask->id == id && !ask->line)
			return ask;
	}
	return NULL;
}

static void take_answer(struct member *member, struct json_object *line)
{
	const char *refused = json_peek_string(line, "refused");
	struct json_object *answer = json_peek_object(line, "answer");
	struct ask *ask;
	int64_t id;

	if (!json_get_int(line, "id", 1, member->peers->next_id, &id) ||
	    (!refused && !answer)) {
		asks_fail(member, "it answers what was not asked");
		return;
	}
	/* Nobody may be waiting for it any more. */
	ask = find(member, id);
	if (!ask)
		return;
	ask->refused = refused != NULL;
	if (refused) {
		ask->error = g_strdup(refused);
		ask->details = json_object_get(json_peek_object(line, "details"));
	} else {
		ask->answer = json_object_get(answer);
	}
	finish(ask);
}

static void on_line(void *ctx, struct conn *conn, struct json_object *line)
{
	struct member *member = ctx;
	struct json_object *roster = json_peek_object(line, "roster");
	const char *error = json_peek_string(line, "error");
	struct err err = { 0 };

	(void)conn;
	peers_heard(member->peers, member->name);
	if (error)
		asks_fail(member, error);
	else if (!roster)
		take_answer(member, line);
	else if (peers_take_roster(member->peers, roster, member->name,
				   &err) < 0)
		asks_fail(member, err.text);
}

static void on_lost(void *ctx, struct conn *conn, const char *why)
{
	struct member *member = ctx;

	(void)conn;
	peers_trouble(member->peers, member->name, why);
	asks_fail(member, why);
}

static const struct conn_handlers out_handlers = {
	.line = on_line,
	.lost = on_lost,
};

static void send_ask(struct ask *ask)
{
	conn_send_text(ask->member->out, ask->line);
	g_clear_pointer(&ask->line, g_free);
}

static void on_called(void *ctx, struct conn *conn, const struct greeted *who,
		      const char *error)
{
	struct member *member = ctx;

	member->call = NULL;
	if (error)
		asks_fail(member, error);
	else
		asks_connected(member, conn, who);
}

void asks_connected(struct member *member, struct conn *conn,
		    const struct greeted *who)
{
	GList *l;

	member->out = conn;
	member->clock_ahead_ms = who->clock_ahead_ms;
	conn_own(conn, &out_handlers, member);
	conn_read(conn);
	for (l = member->asks.head; l; l = l->next)
		send_ask(l->data);
}

static void connect_member(struct member *member)
{
	if (!member->out && !member->call)
		member->call = call_new(member->peers, member->name,
					PURPOSE_ASK, on_called, member);
}

void asks_push_roster(struct member *member)
{
	if (member->out)
		conn_send(member->out, peers_roster_line(member->peers));
	else
		connect_member(member); /* rosters are compared in greeting */
}

/* ---- asking ---- */

static char *ask_line(int64_t id, struct json_object *body)
{
	struct json_object *line = json_object_new_object();
	char *text;

	json_add_int(line, "id", id);
	json_object_object_add(line, "ask", body);
	text = g_strdup(json_text(line));
	json_object_put(line);
	return text;
}

/* NULL when the question can be put. */
static const char *cannot(struct peers *peers, struct member *member,
			  const char *node, const struct ask *ask)
{
	if (!peers->active)
		return "this node is in no cluster";
	if (g_ascii_strcasecmp(node, peers->cluster->self) == 0)
		return "that is this node itself";
	if (!member)
		return "there is no such node in the cluster";
	if (strlen(ask->line) > PEER_MAX_LINE)
		return "the question is too long";
	if (member->asks.length >= MAX_ASKS ||
	    (member->out && conn_queued(member->out) > MAX_QUEUED))
		return "too many questions wait for it";
	return NULL;
}

void peer_ask(struct peers *peers, const char *node, struct json_object *body,
	      unsigned timeout_ms, peer_reply_fn done, void *ctx)
{
	struct member *member = peers->active ? peers_member(peers, node) :
						NULL;
	struct ask *ask = g_new0(struct ask, 1);
	const char *why;

	ask->peers = peers;
	ask->id = ++peers->next_id;
	ask->done = done;
	ask->ctx = ctx;
	ask->line = ask_line(ask->id, body);
	why = cannot(peers, member, node, ask);
	if (why) {
		fail(ask, node, why);
		return;
	}
	ask->member = member;
	g_queue_push_tail(&member->asks, ask);
	ask->timer = g_timeout_add(timeout_ms, on_late, ask);
	if (member->out)
		send_ask(ask);
	else
		connect_member(member);
}

void asks_init(struct peers *peers)
{
	g_queue_init(&peers->finished);
}

void asks_clear(struct peers *peers)
{
	g_clear_handle_id(&peers->finished_source, g_source_remove);
	g_queue_clear_full(&peers->finished, (GDestroyNotify)ask_free);
}
