/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our questions. One connection to each member is made when there is the first
 * question for it, and kept until there has been none for a minute. Every callback is
 * made from an idle source of its own, so that no caller is called from inside its call.
 *
 * Somebody may ask all members, who may be thousands. Only so many are called at
 * a time; the others wait for their turn, and the time that their answers have
 * begins with it.
 */
#include "net/peer-private.h"

#include "net/json.h"

#include <string.h>

#define MAX_ASKS 1024 /* that wait for one member */
#define MAX_QUEUED (4 * 1024 * 1024)
#define MAX_CALLS 64       /* members that are called at the same time */
#define IDLE_MS 60000      /* a connection that nobody uses */

struct ask {
	struct peers *peers;
	struct member *member; /* NULL: finished */
	int64_t id;
	char *line; /* NULL once sent */
	unsigned timeout_ms;
	guint timer; /* 0 too while its member waits for its turn */
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

static gboolean on_unused(void *p)
{
	struct member *member = p;
	struct conn *out = g_steal_pointer(&member->out);

	member->idle = 0;
	conn_finish(out, NULL);
	conn_unref(out);
	return G_SOURCE_REMOVE;
}

/* Thousands of connections that rest would cost much, here and there. */
static void rest(struct member *member)
{
	if (member->out && !member->idle && g_queue_is_empty(&member->asks))
		member->idle = g_timeout_add(IDLE_MS, on_unused, member);
}

static void finish(struct ask *ask)
{
	struct peers *peers = ask->peers;
	struct member *member = ask->member;

	if (member) {
		g_queue_remove(&member->asks, ask);
		rest(member);
	}
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

static struct conn *take_out(struct member *member)
{
	g_clear_handle_id(&member->idle, g_source_remove);
	return g_steal_pointer(&member->out);
}

static void next_in_turn(struct peers *peers);

static void forget_call(struct member *member)
{
	struct call *call = g_steal_pointer(&member->call);

	if (member->in_turn)
		g_queue_remove(&member->peers->turn, member);
	member->in_turn = false;
	if (!call)
		return;
	call_cancel(call);
	member->peers->calling--;
	next_in_turn(member->peers);
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
	struct conn *out = take_out(member);
	struct ask *ask;

	forget_call(member);
	if (out) {
		conn_close(out);
		conn_unref(out);
	}
	while ((ask = g_queue_peek_head(&member->asks)))
		fail(ask, member->name, why);
}

void asks_farewell(struct member *member)
{
	struct conn *out = take_out(member);

	if (!out)
		return;
	conn_send(out, peers_serial_line(member->peers));
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
	const char *error = json_peek_string(line, "error");

	(void)conn;
	peers_heard(member->peers, member->name);
	if (error)
		asks_fail(member, error);
	else if (!peers_take_serial(member->peers, member->name, line))
		take_answer(member, line);
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
	member->peers->calling--;
	if (error)
		asks_fail(member, error);
	else
		asks_connected(member, conn, who);
	next_in_turn(member->peers);
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
	rest(member);
}

static void start_timer(struct ask *ask)
{
	if (!ask->timer)
		ask->timer = g_timeout_add(ask->timeout_ms, on_late, ask);
}

static void call_member(struct member *member)
{
	GList *l;

	member->peers->calling++;
	member->call = call_new(member->peers, member->name, PURPOSE_ASK, on_called,
				member);
	for (l = member->asks.head; l; l = l->next)
		start_timer(l->data);
}

static void next_in_turn(struct peers *peers)
{
	struct member *member;

	while (peers->active && peers->calling < MAX_CALLS &&
	       (member = g_queue_pop_head(&peers->turn))) {
		member->in_turn = false;
		call_member(member);
	}
}

static void connect_member(struct member *member)
{
	if (member->out || member->call || member->in_turn)
		return;
	g_queue_push_tail(&member->peers->turn, member);
	member->in_turn = true;
	next_in_turn(member->peers);
}

bool asks_tell_roster(struct member *member)
{
	if (member->out)
		conn_send(member->out, peers_serial_line(member->peers));
	return member->out != NULL;
}

void asks_push_roster(struct member *member)
{
	if (!asks_tell_roster(member))
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
	ask->timeout_ms = timeout_ms;
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
	g_clear_handle_id(&member->idle, g_source_remove);
	if (member->out)
		send_ask(ask);
	else
		connect_member(member);
	if (!member->in_turn)
		start_timer(ask);
}

void asks_init(struct peers *peers)
{
	g_queue_init(&peers->finished);
	g_queue_init(&peers->turn);
}

void asks_clear(struct peers *peers)
{
	g_clear_handle_id(&peers->finished_source, g_source_remove);
	g_queue_clear_full(&peers->finished, (GDestroyNotify)ask_free);
}
