/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The questions of others.
 */
#include "net/peer-private.h"

#include "net/json.h"

#include <string.h>

#define MAX_QUESTIONS 256 /* of one connection, unanswered */
#define MAX_INBOUND 16    /* connections for questions of one member */

/* A member's connection for its questions. */
struct inbound {
	struct peers *peers;
	struct conn *conn;
	char name[PEER_NAME_MAX + 1];
	char fingerprint[PKI_FINGERPRINT_SIZE];
	GQueue questions; /* of struct peer_question */
};

struct peer_question {
	struct inbound *inbound; /* NULL: the asker has gone */
	int64_t id;
	char from[PEER_NAME_MAX + 1];
	struct json_object *body;
};

/* ---- questions ---- */

static void inbound_free(struct inbound *inbound)
{
	struct peer_question *question;

	while ((question = g_queue_pop_head(&inbound->questions)))
		question->inbound = NULL;
	g_queue_remove(&inbound->peers->inbound, inbound);
	conn_unref(inbound->conn);
	g_free(inbound);
}

/* Send the line unless the asker has gone; the question is over. */
static void reply(struct peer_question *question, struct json_object *line)
{
	struct inbound *inbound = question->inbound;

	if (inbound) {
		json_add_int(line, "id", question->id);
		g_queue_remove(&inbound->questions, question);
		conn_send(inbound->conn, json_object_get(line));
		conn_read(inbound->conn);
	}
	json_object_put(line);
	json_object_put(question->body);
	g_free(question);
}

void peer_answer(struct peer_question *question, struct json_object *answer)
{
	struct json_object *line = json_object_new_object();

	json_object_object_add(line, "answer",
			       answer ? answer : json_object_new_object());
	if (strlen(json_text(line)) > PEER_MAX_LINE - 64) {
		json_object_put(line);
		peer_refuse(question, "the answer would be too long");
		return;
	}
	reply(question, line);
}

void peer_refuse_with(struct peer_question *question, const char *text,
		      struct json_object *details)
{
	struct json_object *line = json_object_new_object();

	json_add_string(line, "refused", text);
	if (details)
		json_object_object_add(line, "details", details);
	reply(question, line);
}

void peer_refuse(struct peer_question *question, const char *text)
{
	peer_refuse_with(question, text, NULL);
}

static void take_question(struct inbound *inbound, int64_t id,
			  struct json_object *body)
{
	struct peers *peers = inbound->peers;
	struct peer_question *question = g_new0(struct peer_question, 1);
	const char *op = json_peek_string(body, "op");

	question->inbound = inbound;
	question->id = id;
	question->body = json_object_get(body);
	g_strlcpy(question->from, inbound->name, sizeof(question->from));
	g_queue_push_tail(&inbound->questions, question);
	/* Read on when some are answered. */
	if (inbound->questions.length >= MAX_QUESTIONS)
		conn_pause(inbound->conn);
	if (op && strcmp(op, "ping") == 0)
		peer_answer(question, NULL);
	else
		peers->handlers->question(peers->ctx, question->from,
					  question->body, question);
}

static void end_inbound(struct inbound *inbound, const char *why)
{
	g_message("the connection of %s is closed: %s", inbound->name, why);
	conn_finish(inbound->conn, why);
	inbound_free(inbound);
}

static void on_line(void *ctx, struct conn *conn, struct json_object *line)
{
	struct inbound *inbound = ctx;
	struct json_object *body = json_peek_object(line, "ask");
	int64_t id;

	(void)conn;
	peers_heard(inbound->peers, inbound->name);
	if (body && json_get_int(line, "id", 1, INT64_MAX, &id))
		take_question(inbound, id, body);
	else if (!peers_take_serial(inbound->peers, inbound->name, line))
		end_inbound(inbound, "a line is neither a question nor about a roster");
}

static void on_lost(void *ctx, struct conn *conn, const char *why)
{
	struct inbound *inbound = ctx;

	(void)conn;
	g_info("the connection of %s is gone: %s", inbound->name, why);
	inbound_free(inbound);
}

static const struct conn_handlers inbound_handlers = {
	.line = on_line,
	.lost = on_lost,
};

static unsigned count_inbound(const struct peers *peers, const char *name)
{
	unsigned count = 0;
	GList *l;

	for (l = peers->inbound.head; l; l = l->next)
		count += strcmp(((struct inbound *)l->data)->name, name) == 0;
	return count;
}

void questions_serve(struct peers *peers, struct conn *conn,
		     const struct greeted *who)
{
	const struct roster_member *member =
		roster_find(peers->cluster->roster, who->name);
	struct inbound *inbound;

	if (!member || count_inbound(peers, who->name) >= MAX_INBOUND) {
		conn_finish(conn, "too many connections");
		conn_unref(conn);
		return;
	}
	inbound = g_new0(struct inbound, 1);
	inbound->peers = peers;
	inbound->conn = conn;
	g_strlcpy(inbound->name, who->name, sizeof(inbound->name));
	g_strlcpy(inbound->fingerprint, member->fingerprint,
		  sizeof(inbound->fingerprint));
	g_queue_init(&inbound->questions);
	g_queue_push_tail(&peers->inbound, inbound);
	conn_own(conn, &inbound_handlers, inbound);
	conn_read(conn);
}

/* ---- the end ---- */

void questions_clear(struct peers *peers)
{
	struct inbound *inbound;

	while ((inbound = g_queue_peek_head(&peers->inbound))) {
		conn_close(inbound->conn);
		inbound_free(inbound);
	}
}

void questions_settle(struct peers *peers)
{
	GList *l, *next;

	for (l = peers->inbound.head; l; l = next) {
		struct inbound *inbound = l->data;
		struct err err = { 0 };

		next = l->next;
		if (cluster_judge_member(peers->cluster, inbound->name,
					 inbound->fingerprint, &err) == 0)
			continue;
		/* It should know that it was removed. */
		conn_send(inbound->conn, peers_serial_line(peers));
		end_inbound(inbound, err.text);
	}
}

void questions_tell_roster(struct peers *peers)
{
	GList *l;

	for (l = peers->inbound.head; l; l = l->next)
		conn_send(((struct inbound *)l->data)->conn,
			  peers_serial_line(peers));
}
