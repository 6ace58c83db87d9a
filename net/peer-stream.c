/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams: a connection each. One line says what for, one says yes or no, and
 * then the connection belongs to a splice.
 */
#include "net/peer-private.h"

#include "net/json.h"
#include "net/splice.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Ours that is not open yet. */
struct opening {
	struct peers *peers;
	char name[PEER_NAME_MAX + 1];
	char *line;
	struct call *call;
	struct conn *conn;
	guint timer, source;
	char *error;
	int fd;
	int own; /* the caller's socket, or -1: make a pair */
	bool compress;
	struct peer_meter *meter;
	peer_opened_fn done;
	void *ctx;
};

/* One of a member's from its request on, and ours once it is open. */
struct peer_stream {
	struct peers *peers; /* NULL: peers_free() came first */
	char name[PEER_NAME_MAX + 1];
	char fingerprint[PKI_FINGERPRINT_SIZE];
	bool ours;
	bool compress;
	struct peer_meter *meter;
	bool asked;          /* the handler has it and owes an answer */
	struct json_object *body;
	struct conn *conn;
	struct splice *splice;
	int fd;
};

static unsigned *counter(const struct peer_stream *stream)
{
	struct member *member = peers_member(stream->peers, stream->name);

	if (!member)
		return NULL;
	return stream->ours ? &member->streams_out : &member->streams_in;
}

static struct peer_stream *stream_new(struct peers *peers, const char *name,
				      bool ours)
{
	const struct roster_member *entry =
		roster_find(peers->cluster->roster, name);
	struct peer_stream *stream = g_new0(struct peer_stream, 1);
	unsigned *count;

	stream->peers = peers;
	stream->ours = ours;
	stream->fd = -1;
	g_strlcpy(stream->name, name, sizeof(stream->name));
	if (entry)
		g_strlcpy(stream->fingerprint, entry->fingerprint,
			  sizeof(stream->fingerprint));
	count = counter(stream);
	if (count)
		(*count)++;
	g_queue_push_tail(&peers->streams, stream);
	return stream;
}

/* The connection, the splice and the descriptor go. What the handler still has
 * in its hands stays, as a shell. */
static void stream_end(struct peer_stream *stream)
{
	unsigned *count;

	if (stream->peers) {
		count = counter(stream);
		if (count)
			(*count)--;
		g_queue_remove(&stream->peers->streams, stream);
		stream->peers = NULL;
	}
	if (stream->conn) {
		conn_close(stream->conn);
		g_clear_pointer(&stream->conn, conn_unref);
	}
	g_clear_pointer(&stream->splice, splice_free);
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	if (stream->asked)
		return;
	g_clear_pointer(&stream->meter, peer_meter_unref);
	json_object_put(stream->body);
	g_free(stream);
}

static void on_spliced(void *ctx, struct splice *splice)
{
	(void)splice;
	stream_end(ctx);
}

/* The TLS stream is ours alone now. */
static void on_released(void *ctx, GIOStream *tls, GSocketConnection *tcp,
			GBytes *surplus)
{
	struct peer_stream *stream = ctx;
	struct splice_config config = {
		.tls = tls, .tcp = tcp, .fd = stream->fd, .first = surplus,
		.compress = stream->compress, .meter = stream->meter,
	};
	struct err err = { 0 };

	g_clear_pointer(&stream->conn, conn_unref);
	stream->fd = -1;
	stream->splice = splice_new(&config, on_spliced, stream, &err);
	if (stream->splice)
		return;
	g_message("a stream of %s came to nothing: %s", stream->name, err.text);
	stream_end(stream);
}

/* Hand over; the descriptor is taken. */
static void splice_stream(struct peer_stream *stream, int fd)
{
	stream->fd = fd;
	conn_deadline(stream->conn, 0, NULL);
	conn_release(stream->conn, on_released, stream);
}

static bool wants_compression(struct json_object *body)
{
	struct json_object *value;

	return json_object_object_get_ex(body, "compress", &value) &&
	       json_object_get_boolean(value);
}

/* ---- ours ---- */

static void opening_free(struct opening *opening)
{
	g_clear_handle_id(&opening->timer, g_source_remove);
	g_clear_handle_id(&opening->source, g_source_remove);
	g_queue_remove(&opening->peers->opening, opening);
	if (opening->call)
		call_cancel(opening->call);
	if (opening->conn) {
		conn_close(opening->conn);
		conn_unref(opening->conn);
	}
	if (opening->fd >= 0)
		close(opening->fd);
	if (opening->own >= 0)
		close(opening->own);
	if (opening->meter)
		peer_meter_unref(opening->meter);
	g_free(opening->line);
	g_free(opening->error);
	g_free(opening);
}

static gboolean on_opened(void *p)
{
	struct opening *opening = p;
	int fd = opening->fd;

	opening->source = 0;
	opening->fd = -1;
	opening->done(opening->ctx, fd, opening->error);
	opening_free(opening);
	return G_SOURCE_REMOVE;
}

/* The outcome is told from the main loop. */
static void outcome(struct opening *opening, int fd, const char *why)
{
	if (opening->source)
		return;
	g_clear_handle_id(&opening->timer, g_source_remove);
	opening->fd = fd;
	if (why)
		opening->error = g_strdup_printf("cannot open a stream to %s: %s",
						 opening->name, why);
	opening->source = g_idle_add_full(G_PRIORITY_DEFAULT, on_opened,
					  opening, NULL);
}

static void join_socket(struct opening *opening)
{
	struct peer_stream *stream;
	int ends[2] = { -1, opening->own };

	opening->own = -1;
	if (ends[1] < 0 &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		outcome(opening, -1, g_strerror(errno));
		return;
	}
	stream = stream_new(opening->peers, opening->name, true);
	stream->conn = g_steal_pointer(&opening->conn);
	stream->compress = opening->compress;
	stream->meter = g_steal_pointer(&opening->meter);
	conn_pause(stream->conn);
	splice_stream(stream, ends[1]);
	outcome(opening, ends[0], NULL);
}

static void on_answer(void *ctx, struct conn *conn, struct json_object *line)
{
	struct opening *opening = ctx;
	const char *refused = json_peek_string(line, "refused");

	(void)conn;
	if (!refused)
		refused = json_peek_string(line, "error");
	if (refused)
		outcome(opening, -1, refused);
	else if (json_peek_object(line, "accepted"))
		join_socket(opening);
	else
		outcome(opening, -1, "it neither accepted nor refused");
}

static void on_opening_lost(void *ctx, struct conn *conn, const char *why)
{
	(void)conn;
	outcome(ctx, -1, why);
}

static const struct conn_handlers opening_handlers = {
	.line = on_answer,
	.lost = on_opening_lost,
};

static void on_called(void *ctx, struct conn *conn, const struct greeted *who,
		      const char *error)
{
	struct opening *opening = ctx;

	(void)who;
	opening->call = NULL;
	if (error) {
		outcome(opening, -1, error);
		return;
	}
	opening->conn = conn;
	conn_own(conn, &opening_handlers, opening);
	conn_send_text(conn, opening->line);
	conn_read(conn);
}

static gboolean on_late(void *p)
{
	struct opening *opening = p;

	opening->timer = 0;
	outcome(opening, -1, "it does not answer in time");
	return G_SOURCE_REMOVE;
}

static const char *cannot(struct peers *peers, const char *node,
			  const char *line)
{
	struct member *member;

	if (!peers->active)
		return "this node is in no cluster";
	if (g_ascii_strcasecmp(node, peers->cluster->self) == 0)
		return "that is this node itself";
	member = peers_member(peers, node);
	if (!member)
		return "there is no such node in the cluster";
	if (strlen(line) > PEER_MAX_LINE)
		return "the request is too long";
	if (member->streams_out >= PEER_MAX_STREAMS)
		return "too many streams lead there";
	return NULL;
}

void peer_open_on(struct peers *peers, const char *node,
		  struct json_object *body, unsigned timeout_ms, int fd,
		  struct peer_meter *meter, peer_opened_fn done, void *ctx)
{
	struct opening *opening = g_new0(struct opening, 1);
	struct json_object *line = json_object_new_object();
	const char *why;

	opening->compress = wants_compression(body);
	opening->meter = meter ? peer_meter_ref(meter) : NULL;
	json_object_object_add(line, "open", body);
	opening->peers = peers;
	opening->line = g_strdup(json_text(line));
	json_object_put(line);
	g_strlcpy(opening->name, node, sizeof(opening->name));
	opening->fd = -1;
	opening->own = fd;
	opening->done = done;
	opening->ctx = ctx;
	g_queue_push_tail(&peers->opening, opening);
	why = cannot(peers, node, opening->line);
	if (why) {
		outcome(opening, -1, why);
		return;
	}
	opening->timer = g_timeout_add(timeout_ms, on_late, opening);
	opening->call = call_new(peers, node, PURPOSE_STREAM, on_called,
				 opening);
}

void peer_open(struct peers *peers, const char *node, struct json_object *body,
	       unsigned timeout_ms, peer_opened_fn done, void *ctx)
{
	peer_open_on(peers, node, body, timeout_ms, -1, NULL, done, ctx);
}

/* ---- others' ---- */

static void stream_say(struct peer_stream *stream, const char *field,
		       struct json_object *value)
{
	struct json_object *line = json_object_new_object();

	json_object_object_add(line, field, value);
	conn_send(stream->conn, line);
}

void peer_accept(struct peer_stream *stream, int fd)
{
	stream->asked = false;
	if (!stream->conn) {
		close(fd);
		stream_end(stream);
		return;
	}
	stream_say(stream, "accepted", json_object_new_object());
	splice_stream(stream, fd);
}

void peer_decline(struct peer_stream *stream, const char *text)
{
	stream->asked = false;
	if (stream->conn) {
		stream_say(stream, "refused", json_object_new_string(text));
		conn_finish(stream->conn, NULL);
		g_clear_pointer(&stream->conn, conn_unref);
	}
	stream_end(stream);
}

static void on_request(void *ctx, struct conn *conn, struct json_object *line)
{
	struct peer_stream *stream = ctx;
	struct peers *peers = stream->peers;

	conn_pause(conn);
	conn_deadline(conn, 0, NULL);
	peers_heard(peers, stream->name);
	stream->body = json_object_get(json_peek_object(line, "open"));
	if (!stream->body) {
		peer_decline(stream, "the line asks for no stream");
		return;
	}
	stream->asked = true;
	stream->compress = wants_compression(stream->body);
	peers->handlers->stream(peers->ctx, stream->name, stream->body, stream);
}

static void on_request_lost(void *ctx, struct conn *conn, const char *why)
{
	(void)conn;
	(void)why;
	stream_end(ctx);
}

static const struct conn_handlers request_handlers = {
	.line = on_request,
	.lost = on_request_lost,
};

void streams_serve(struct peers *peers, struct conn *conn,
		   const struct greeted *who)
{
	struct member *member = peers_member(peers, who->name);
	struct peer_stream *stream;

	if (!member || member->streams_in >= PEER_MAX_STREAMS) {
		conn_finish(conn, "too many streams");
		conn_unref(conn);
		return;
	}
	stream = stream_new(peers, who->name, false);
	stream->conn = conn;
	conn_own(conn, &request_handlers, stream);
	conn_deadline(conn, PEER_GREET_MS, "it did not say what for");
	conn_read(conn);
}

/* ---- the end ---- */

void streams_settle(struct peers *peers)
{
	GList *l, *next;

	for (l = peers->streams.head; l; l = next) {
		struct peer_stream *stream = l->data;

		next = l->next;
		if (cluster_judge_member(peers->cluster, stream->name,
					 stream->fingerprint, NULL) < 0)
			stream_end(stream);
	}
}

void streams_clear(struct peers *peers)
{
	struct peer_stream *stream;
	struct opening *opening;

	while ((stream = g_queue_peek_head(&peers->streams)))
		stream_end(stream);
	while ((opening = g_queue_peek_head(&peers->opening)))
		opening_free(opening);
}
