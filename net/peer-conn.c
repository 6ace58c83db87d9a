/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/peer-conn.h"

#include "net/json.h"
#include "net/peer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define CHUNK 16384             /* the most that one TLS record holds */
#define MAX_OUTPUT (8 * 1024 * 1024)
#define LINGER_MS 3000
#define LINGER_RATE 256         /* bytes of output, for each of which it is a ms longer */
#define MAX_BARE 64             /* bytes of a long line that are in no string */
#define USER_TIMEOUT_MS 10000   /* a cut network is noticed after this */
#define KEEPALIVE_IDLE_S 5
#define KEEPALIVE_EVERY_S 2
#define KEEPALIVE_COUNT 3

struct conn {
	int refs;
	struct conn_set *set; /* NULL once closed */
	GSocketConnection *tcp;
	GIOStream *tls;
	GCancellable *cancel;
	const struct conn_handlers *handlers; /* NULL: nobody owns it */
	void *ctx;
	char *remote;
	bool closed, ending, want_read, reading, writing, in_lines;
	char *chunk;
	GByteArray *in;
	size_t scanned; /* bytes of `in` that hold no newline */
	size_t max_line;
	GQueue out;     /* of GBytes */
	size_t out_bytes;
	guint timer;
	char *timer_text;
	conn_release_fn release;
	void *release_ctx;
};

static void pump_in(struct conn *conn);
static void pump_out(struct conn *conn);

void conn_set_init(struct conn_set *set)
{
	set->conns = g_hash_table_new(NULL, NULL);
}

void conn_set_clear(struct conn_set *set)
{
	GHashTableIter iter;
	gpointer conn;

	if (!set->conns)
		return;
	for (;;) {
		g_hash_table_iter_init(&iter, set->conns);
		if (!g_hash_table_iter_next(&iter, &conn, NULL))
			break;
		conn_close(conn);
	}
	g_clear_pointer(&set->conns, g_hash_table_unref);
}

struct conn *conn_ref(struct conn *conn)
{
	conn->refs++;
	return conn;
}

void conn_unref(struct conn *conn)
{
	if (--conn->refs > 0)
		return;
	g_assert(conn->closed);
	g_clear_object(&conn->tls);
	g_clear_object(&conn->tcp);
	g_clear_object(&conn->cancel);
	g_byte_array_unref(conn->in);
	g_queue_clear_full(&conn->out, (GDestroyNotify)g_bytes_unref);
	g_free(conn->timer_text);
	g_free(conn->remote);
	g_free(conn->chunk);
	g_free(conn);
}

void conn_own(struct conn *conn, const struct conn_handlers *handlers,
	      void *ctx)
{
	conn->handlers = handlers;
	conn->ctx = ctx;
}

static void clear_timer(struct conn *conn)
{
	g_clear_handle_id(&conn->timer, g_source_remove);
	g_clear_pointer(&conn->timer_text, g_free);
}

/* Forget it; the set's reference goes. Operations under way end soon. */
static void detach(struct conn *conn)
{
	struct conn_set *set = conn->set;

	conn->closed = true;
	conn->handlers = NULL;
	clear_timer(conn);
	conn->set = NULL;
	if (set) {
		g_hash_table_remove(set->conns, conn);
		conn_unref(conn);
	}
}

void conn_close(struct conn *conn)
{
	if (conn->closed)
		return;
	conn_ref(conn);
	g_cancellable_cancel(conn->cancel);
	g_socket_shutdown(g_socket_connection_get_socket(conn->tcp), TRUE, TRUE,
			  NULL);
	detach(conn);
	conn_unref(conn);
}

static void give_up_stream(struct conn *conn)
{
	conn_release_fn release = conn->release;
	GIOStream *tls = g_object_ref(conn->tls);
	GSocketConnection *tcp = g_object_ref(conn->tcp);
	GBytes *surplus = g_bytes_new(conn->in->data, conn->in->len);
	void *ctx = conn->release_ctx;

	conn->release = NULL;
	detach(conn);
	release(ctx, tls, tcp, surplus);
	g_bytes_unref(surplus);
	g_object_unref(tcp);
	g_object_unref(tls);
}

static void lose(struct conn *conn, const char *why)
{
	const struct conn_handlers *handlers = conn->handlers;
	void *ctx = conn->ctx;

	if (conn->closed)
		return;
	conn_ref(conn);
	if (conn->release) {
		/* Who is to have the stream gets it, and finds it dead. */
		g_socket_shutdown(g_socket_connection_get_socket(conn->tcp),
				  TRUE, TRUE, NULL);
		give_up_stream(conn);
	} else {
		conn_close(conn);
		if (handlers)
			handlers->lost(ctx, conn, why);
	}
	conn_unref(conn);
}

static void lose_error(struct conn *conn, const char *what,
		       const GError *error)
{
	g_autofree char *text = g_strdup_printf("%s: %s", what,
						error->message);

	lose(conn, text);
}

static gboolean on_timer(void *p)
{
	struct conn *conn = p;
	g_autofree char *text = g_steal_pointer(&conn->timer_text);

	conn->timer = 0;
	lose(conn, text);
	return G_SOURCE_REMOVE;
}

void conn_deadline(struct conn *conn, unsigned ms, const char *text)
{
	clear_timer(conn);
	if (ms == 0 || conn->closed)
		return;
	conn->timer_text = g_strdup(text);
	conn->timer = g_timeout_add(ms, on_timer, conn);
}

/* ---- output ---- */

static gboolean on_release(void *p)
{
	struct conn *conn = p;

	if (conn->release && !conn->closed)
		give_up_stream(conn);
	conn_unref(conn);
	return G_SOURCE_REMOVE;
}

static void on_ended(GObject *source, GAsyncResult *result, void *p)
{
	struct conn *conn = p;

	/* Now the other end sees the end; and when it closes, so do we. */
	g_output_stream_close_finish(G_OUTPUT_STREAM(source), result, NULL);
	conn_unref(conn);
}

/* Everything is sent. */
static void drained(struct conn *conn)
{
	if (conn->release)
		g_idle_add(on_release, conn_ref(conn));
	else if (conn->ending)
		g_output_stream_close_async(
			g_io_stream_get_output_stream(conn->tls),
			G_PRIORITY_DEFAULT, conn->cancel, on_ended,
			conn_ref(conn));
}

static void on_written(GObject *source, GAsyncResult *result, void *p)
{
	struct conn *conn = p;
	g_autoptr(GError) error = NULL;
	GBytes *sent = g_queue_pop_head(&conn->out);

	conn->writing = false;
	conn->out_bytes -= g_bytes_get_size(sent);
	g_bytes_unref(sent);
	if (!g_output_stream_write_all_finish(G_OUTPUT_STREAM(source), result,
					      NULL, &error))
		lose_error(conn, "the connection broke", error);
	else if (!conn->closed)
		pump_out(conn);
	conn_unref(conn);
}

static void pump_out(struct conn *conn)
{
	GBytes *next = g_queue_peek_head(&conn->out);

	if (conn->writing || conn->closed)
		return;
	if (!next) {
		drained(conn);
		return;
	}
	conn->writing = true;
	g_output_stream_write_all_async(
		g_io_stream_get_output_stream(conn->tls),
		g_bytes_get_data(next, NULL), g_bytes_get_size(next),
		G_PRIORITY_DEFAULT, conn->cancel, on_written, conn_ref(conn));
}

static gboolean on_overflow(void *p)
{
	struct conn *conn = p;

	lose(conn, "it asks and does not read the answers");
	conn_unref(conn);
	return G_SOURCE_REMOVE;
}

void conn_send_bytes(struct conn *conn, GBytes *line)
{
	if (conn->closed || conn->ending)
		return;
	conn->out_bytes += g_bytes_get_size(line);
	g_queue_push_tail(&conn->out, g_bytes_ref(line));
	/* Not at once: no caller expects its connection to vanish. */
	if (conn->out_bytes > MAX_OUTPUT)
		g_idle_add(on_overflow, conn_ref(conn));
	else
		pump_out(conn);
}

void conn_send_text(struct conn *conn, const char *text)
{
	char *line = g_strconcat(text, "\n", NULL);
	GBytes *bytes = g_bytes_new_take(line, strlen(line));

	conn_send_bytes(conn, bytes);
	g_bytes_unref(bytes);
}

void conn_send(struct conn *conn, struct json_object *object)
{
	conn_send_text(conn, json_text(object));
	json_object_put(object);
}

size_t conn_queued(const struct conn *conn)
{
	return conn->out_bytes;
}

void conn_finish(struct conn *conn, const char *error)
{
	struct json_object *object;

	if (conn->closed || conn->ending)
		return;
	if (error) {
		object = json_object_new_object();
		json_add_string(object, "error", error);
		conn_send(conn, object);
	}
	conn->handlers = NULL;
	conn->ending = true;
	conn_deadline(conn, LINGER_MS + (unsigned)(conn->out_bytes / LINGER_RATE), "");
	/* What still comes is read, and thrown away: closing a socket with
	 * unread bytes would reset the connection, and our last word with it. */
	conn->want_read = true;
	pump_in(conn);
	if (!conn->writing && g_queue_is_empty(&conn->out))
		drained(conn);
}

void conn_release(struct conn *conn, conn_release_fn done, void *ctx)
{
	g_assert(!conn->want_read && !conn->reading);
	conn->release = done;
	conn->release_ctx = ctx;
	conn->handlers = NULL;
	if (!conn->writing && g_queue_is_empty(&conn->out))
		drained(conn);
}

/* ---- input ---- */

/* The next whole line's length, or -1. */
static ssize_t next_line(struct conn *conn)
{
	const guint8 *end = NULL;

	if (conn->in->len > conn->scanned)
		end = memchr(conn->in->data + conn->scanned, '\n',
			     conn->in->len - conn->scanned);
	if (end)
		return end - conn->in->data;
	conn->scanned = conn->in->len;
	return -1;
}

/*
 * Is it all but a few bytes the inside of strings? Then what it is parsed into takes
 * little more memory than the line; of "[[],[],[]..." it is many times as much.
 */
static bool is_text(const guint8 *line, size_t len)
{
	size_t i, bare = 0;
	bool inside = false;

	for (i = 0; i < len; i++) {
		bare += !inside;
		if (line[i] == '"')
			inside = !inside;
		else if (inside && line[i] == '\\')
			i++;
	}
	return bare <= MAX_BARE;
}

/* A buffer that was large once does not stay so for the rest of the connection. */
static void consume(struct conn *conn, size_t len)
{
	g_byte_array_remove_range(conn->in, 0, (guint)len);
	conn->scanned = 0;
	if (len > PEER_MAX_LINE && conn->in->len == 0) {
		g_byte_array_unref(conn->in);
		conn->in = g_byte_array_new();
	}
}

static void take_line(struct conn *conn, size_t len)
{
	const guint8 *line = conn->in->data;
	struct json_object *object = NULL;

	if (len <= PEER_MAX_LINE || is_text(line, len))
		object = json_parse_object((const char *)line, len);
	consume(conn, len + 1);
	if (object)
		conn->handlers->line(conn->ctx, conn, object);
	else
		lose(conn, "it sent what is no message");
	json_object_put(object);
}

static void take_lines(struct conn *conn)
{
	ssize_t len;

	if (conn->in_lines)
		return;
	conn->in_lines = true;
	while (!conn->closed && conn->handlers && conn->want_read &&
	       (len = next_line(conn)) >= 0) {
		if ((size_t)len > conn->max_line)
			break;
		take_line(conn, (size_t)len);
	}
	conn->in_lines = false;
	if (!conn->handlers)
		g_byte_array_set_size(conn->in, conn->release ?
				      conn->in->len : 0);
	else if (conn->in->len > conn->max_line && conn->want_read)
		lose(conn, "it sent a line that is too long");
}

static void on_read(GObject *source, GAsyncResult *result, void *p)
{
	struct conn *conn = p;
	g_autoptr(GError) error = NULL;
	gssize n = g_input_stream_read_finish(G_INPUT_STREAM(source), result,
					      &error);

	conn->reading = false;
	if (n > 0 && !conn->closed) {
		g_byte_array_append(conn->in, (guint8 *)conn->chunk, (guint)n);
		take_lines(conn);
		pump_in(conn);
	} else if (n == 0 ||
		   g_error_matches(error, G_TLS_ERROR, G_TLS_ERROR_EOF)) {
		lose(conn, "it closed the connection");
	} else if (n < 0) {
		lose_error(conn, "the connection broke", error);
	}
	conn_unref(conn);
}

static void pump_in(struct conn *conn)
{
	if (conn->closed || conn->reading || !conn->want_read)
		return;
	conn->reading = true;
	g_input_stream_read_async(g_io_stream_get_input_stream(conn->tls),
				  conn->chunk, CHUNK, G_PRIORITY_DEFAULT,
				  conn->cancel, on_read, conn_ref(conn));
}

static gboolean on_backlog(void *p)
{
	struct conn *conn = p;

	take_lines(conn);
	pump_in(conn);
	conn_unref(conn);
	return G_SOURCE_REMOVE;
}

void conn_read(struct conn *conn)
{
	if (conn->closed || conn->want_read)
		return;
	conn->want_read = true;
	/* Lines may be here already. */
	g_idle_add(on_backlog, conn_ref(conn));
}

void conn_limit_lines(struct conn *conn, size_t max)
{
	conn->max_line = max;
}

void conn_pause(struct conn *conn)
{
	conn->want_read = false;
}

/* ---- the beginning ---- */

static gboolean on_accept_certificate(GTlsConnection *tls,
				      GTlsCertificate *certificate,
				      GTlsCertificateFlags errors, void *p)
{
	(void)tls;
	(void)certificate;
	(void)errors;
	(void)p;
	return TRUE;
}

static void on_handshake(GObject *source, GAsyncResult *result, void *p)
{
	struct conn *conn = p;
	g_autoptr(GError) error = NULL;
	GTlsConnection *tls = G_TLS_CONNECTION(source);

	if (!g_tls_connection_handshake_finish(tls, result, &error))
		lose_error(conn, "the TLS handshake failed", error);
	else if (g_tls_connection_get_protocol_version(tls) !=
		 G_TLS_PROTOCOL_VERSION_TLS_1_3)
		lose(conn, "it speaks an old version of TLS: only 1.3 is taken");
	else if (conn->handlers)
		conn->handlers->secure(conn->ctx, conn);
	conn_unref(conn);
}

static void set_options(GSocketConnection *tcp)
{
	GSocket *socket = g_socket_connection_get_socket(tcp);
	static const struct {
		int option, value;
	} options[] = {
		{ TCP_NODELAY, 1 },
		{ TCP_USER_TIMEOUT, USER_TIMEOUT_MS },
		{ TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ TCP_KEEPINTVL, KEEPALIVE_EVERY_S },
		{ TCP_KEEPCNT, KEEPALIVE_COUNT },
	};
	size_t i;

	g_socket_set_keepalive(socket, TRUE);
	for (i = 0; i < G_N_ELEMENTS(options); i++)
		g_socket_set_option(socket, IPPROTO_TCP, options[i].option,
				    options[i].value, NULL);
}

char *conn_remote_name(GSocketConnection *tcp)
{
	g_autoptr(GSocketAddress) address =
		g_socket_connection_get_remote_address(tcp, NULL);
	GInetAddress *inet;

	if (!address || !G_IS_INET_SOCKET_ADDRESS(address))
		return g_strdup("?");
	inet = g_inet_socket_address_get_address(
		G_INET_SOCKET_ADDRESS(address));
	return g_inet_address_to_string(inet);
}

static GIOStream *make_tls(GSocketConnection *tcp, bool server,
			   GTlsCertificate *own)
{
	GIOStream *tls;

	if (server)
		tls = g_tls_server_connection_new(G_IO_STREAM(tcp), own, NULL);
	else
		tls = g_tls_client_connection_new(G_IO_STREAM(tcp), NULL, NULL);
	if (!tls)
		return NULL;
	if (server)
		g_object_set(tls, "authentication-mode",
			     G_TLS_AUTHENTICATION_REQUESTED, NULL);
	else if (own)
		g_tls_connection_set_certificate(G_TLS_CONNECTION(tls), own);
	/* The machine's authorities are none of the cluster's. */
	g_tls_connection_set_database(G_TLS_CONNECTION(tls), NULL);
	/* An end without close_notify is an error only where it matters. */
	g_signal_connect(tls, "accept-certificate",
			 G_CALLBACK(on_accept_certificate), NULL);
	return tls;
}

struct conn *conn_new(struct conn_set *set, GSocketConnection *tcp,
		      bool server, GTlsCertificate *own,
		      const struct conn_handlers *handlers, void *ctx)
{
	GIOStream *tls = make_tls(tcp, server, own);
	struct conn *conn;

	if (!tls)
		return NULL;
	set_options(tcp);
	conn = g_new0(struct conn, 1);
	/* The set's and the owner's. */
	conn->refs = 2;
	conn->set = set;
	conn->tcp = g_object_ref(tcp);
	conn->tls = tls;
	conn->cancel = g_cancellable_new();
	conn->remote = conn_remote_name(tcp);
	conn->chunk = g_malloc(CHUNK);
	conn->in = g_byte_array_new();
	conn->max_line = PEER_MAX_LINE;
	g_queue_init(&conn->out);
	conn_own(conn, handlers, ctx);
	g_hash_table_add(set->conns, conn);
	g_tls_connection_handshake_async(G_TLS_CONNECTION(tls),
					 G_PRIORITY_DEFAULT, conn->cancel,
					 on_handshake, conn_ref(conn));
	return conn;
}

GByteArray *conn_certificate(struct conn *conn)
{
	GTlsCertificate *certificate = g_tls_connection_get_peer_certificate(
		G_TLS_CONNECTION(conn->tls));
	GByteArray *der = NULL;

	if (certificate)
		g_object_get(certificate, "certificate", &der, NULL);
	return der;
}

const char *conn_remote(const struct conn *conn)
{
	return conn->remote;
}
