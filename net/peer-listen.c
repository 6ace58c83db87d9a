/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The port.
 *
 * Theory of operation
 *
 * A TLS handshake holds a thread of GIO's pool, which others need, too. So
 * strangers are kept at the door: a caller waits, and costs a descriptor, until
 * it has said something, and until few enough others are being greeted.
 */
#include "net/peer-private.h"

#include <string.h>

#define MAX_CALLERS 512     /* at the door */
#define MAX_CALLERS_FROM 128 /* of one address */
#define MAX_GREETS 32       /* being greeted */
#define MAX_GREETS_FROM 8   /* of one address */
#define ACCEPT_PAUSE_MS 500
#define BACKLOG 128

/* One at the door. */
struct caller {
	struct peers *peers;
	GSocketConnection *tcp;
	char *from;
	GSource *source; /* NULL: it has said something */
	guint timer;
};

static void accept_next(struct peers *peers);
static void let_in(struct peers *peers);

static void caller_free(struct caller *caller)
{
	g_queue_remove(&caller->peers->callers, caller);
	if (caller->source)
		g_source_destroy(caller->source);
	g_clear_pointer(&caller->source, g_source_unref);
	g_clear_handle_id(&caller->timer, g_source_remove);
	g_object_unref(caller->tcp);
	g_free(caller->from);
	g_free(caller);
}

static void on_greeted(void *ctx, struct conn *conn, const struct greeted *who,
		       const char *error)
{
	struct peers *peers = ctx;
	struct member *member;

	let_in(peers);
	/* The log has it, and so has the caller. */
	if (error)
		return;
	member = peers_member(peers, who->name);
	if (member)
		member->clock_ahead_ms = who->clock_ahead_ms;
	if (who->purpose == PURPOSE_JOIN)
		admit_start(peers, conn, who);
	else if (who->purpose == PURPOSE_STREAM)
		streams_serve(peers, conn, who);
	else
		questions_serve(peers, conn, who);
}

/* Greet those who may be, in their order. */
static void let_in(struct peers *peers)
{
	GList *l, *next;

	for (l = peers->callers.head; l; l = next) {
		struct caller *caller = l->data;

		next = l->next;
		if (greets_from(peers, NULL) >= MAX_GREETS)
			return;
		if (caller->source ||
		    greets_from(peers, caller->from) >= MAX_GREETS_FROM)
			continue;
		greet_new(peers, caller->tcp, NULL, PURPOSE_ASK, on_greeted,
			  peers);
		caller_free(caller);
	}
}

static gboolean on_said(GSocket *socket, GIOCondition condition, void *p)
{
	struct caller *caller = p;

	(void)socket;
	(void)condition;
	g_clear_pointer(&caller->source, g_source_unref);
	let_in(caller->peers);
	return G_SOURCE_REMOVE;
}

static gboolean on_late(void *p)
{
	struct caller *caller = p;

	caller->timer = 0;
	peers_log_stranger(caller->peers, "a connection from %s came to nothing: "
			   "%s", caller->from, caller->source ?
			   "nothing was said" : "too many callers at once");
	caller_free(caller);
	return G_SOURCE_REMOVE;
}

static unsigned callers_from(const struct peers *peers, const char *from)
{
	unsigned count = 0;
	GList *l;

	for (l = peers->callers.head; l; l = l->next)
		count += strcmp(((struct caller *)l->data)->from, from) == 0;
	return count;
}

static void add_caller(struct peers *peers, GSocketConnection *tcp, char *from)
{
	GSocket *socket = g_socket_connection_get_socket(tcp);
	struct caller *caller = g_new0(struct caller, 1);

	caller->peers = peers;
	caller->tcp = g_object_ref(tcp);
	caller->from = from;
	caller->timer = g_timeout_add(PEER_GREET_MS, on_late, caller);
	caller->source = g_socket_create_source(socket, G_IO_IN, NULL);
	g_source_set_callback(caller->source, G_SOURCE_FUNC(on_said), caller,
			      NULL);
	g_source_attach(caller->source, NULL);
	g_queue_push_tail(&peers->callers, caller);
}

static void take_caller(struct peers *peers, GSocketConnection *tcp)
{
	char *from = conn_remote_name(tcp);

	if (peers->callers.length < MAX_CALLERS &&
	    callers_from(peers, from) < MAX_CALLERS_FROM) {
		add_caller(peers, tcp, from);
		return;
	}
	peers_log_stranger(peers, "too many callers at once: one from %s is "
			   "turned away", from);
	g_free(from);
}

/* ---- the socket ---- */

static gboolean on_pause_over(void *p)
{
	struct peers *peers = p;

	peers->accept_pause = 0;
	accept_next(peers);
	return G_SOURCE_REMOVE;
}

static void on_accept(GObject *source, GAsyncResult *result, void *p)
{
	struct peers *peers = p;
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocketConnection) tcp = g_socket_listener_accept_finish(
		G_SOCKET_LISTENER(source), result, NULL, &error);

	/* Then there may be no peers any more. */
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return;
	if (!tcp) {
		peers_log_stranger(peers, "cannot take a connection: %s",
				   error->message);
		peers->accept_pause = g_timeout_add(ACCEPT_PAUSE_MS,
						    on_pause_over, peers);
		return;
	}
	take_caller(peers, tcp);
	accept_next(peers);
}

static void accept_next(struct peers *peers)
{
	g_socket_listener_accept_async(peers->listener, peers->accepting,
				       on_accept, peers);
}

static GSocketListener *listen_at(unsigned port, struct err *err)
{
	GSocketListener *listener = g_socket_listener_new();
	g_autoptr(GError) error = NULL;

	g_socket_listener_set_backlog(listener, BACKLOG);
	if (port <= 65535 &&
	    g_socket_listener_add_inet_port(listener, (guint16)port, NULL,
					    &error))
		return listener;
	err_set(err, 0, "cannot serve the cluster at port %u: %s", port,
		error ? error->message : "there is no such port");
	g_object_unref(listener);
	return NULL;
}

int peers_check_port(unsigned port, struct err *err)
{
	GSocketListener *listener = listen_at(port, err);

	if (!listener)
		return -1;
	g_socket_listener_close(listener);
	g_object_unref(listener);
	return 0;
}

int listen_start(struct peers *peers, unsigned port, struct err *err)
{
	peers->listener = listen_at(port, err);
	if (!peers->listener)
		return -1;
	peers->accepting = g_cancellable_new();
	accept_next(peers);
	return 0;
}

void listen_stop(struct peers *peers)
{
	struct caller *caller;

	while ((caller = g_queue_peek_head(&peers->callers)))
		caller_free(caller);
	if (!peers->listener)
		return;
	g_clear_handle_id(&peers->accept_pause, g_source_remove);
	g_cancellable_cancel(peers->accepting);
	g_socket_listener_close(peers->listener);
	g_clear_object(&peers->accepting);
	g_clear_object(&peers->listener);
}
