/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/peer-private.h"

#include <string.h>

/* ---- a host's port ---- */

struct dial {
	GSocketClient *client;
	GCancellable *cancel;
	guint timer;
	char *where;
	dial_fn done; /* NULL: cancelled */
	void *ctx;
};

static void dial_free(struct dial *dial)
{
	g_clear_handle_id(&dial->timer, g_source_remove);
	g_object_unref(dial->client);
	g_object_unref(dial->cancel);
	g_free(dial->where);
	g_free(dial);
}

/* Tell whoever dials, unless he has gone. */
static void dial_tell(struct dial *dial, GSocketConnection *tcp,
		      const char *why)
{
	g_autofree char *text = why ? g_strdup_printf("cannot connect to %s: %s",
						      dial->where, why) : NULL;
	dial_fn done = dial->done;

	dial->done = NULL;
	if (done)
		done(dial->ctx, tcp, text);
}

static gboolean on_late(void *p)
{
	struct dial *dial = p;

	dial->timer = 0;
	dial_tell(dial, NULL, "it does not answer");
	g_cancellable_cancel(dial->cancel);
	return G_SOURCE_REMOVE;
}

static void on_connected(GObject *source, GAsyncResult *result, void *p)
{
	struct dial *dial = p;
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocketConnection) tcp =
		g_socket_client_connect_to_host_finish(
			G_SOCKET_CLIENT(source), result, &error);

	if (tcp)
		dial_tell(dial, tcp, NULL);
	else
		dial_tell(dial, NULL, error->message);
	dial_free(dial);
}

struct dial *dial_new(const char *host, unsigned port, unsigned timeout_ms,
		      dial_fn done, void *ctx)
{
	struct dial *dial = g_new0(struct dial, 1);
	/* "fe80::1" would be taken for host "fe80:" and port 1. */
	g_autofree char *literal = strchr(host, ':') ?
		g_strdup_printf("[%s]", host) : g_strdup(host);

	dial->client = g_socket_client_new();
	g_socket_client_set_enable_proxy(dial->client, FALSE);
	dial->cancel = g_cancellable_new();
	dial->where = g_strdup_printf("%s port %u", host, port);
	dial->done = done;
	dial->ctx = ctx;
	dial->timer = g_timeout_add(timeout_ms, on_late, dial);
	g_socket_client_connect_to_host_async(dial->client, literal,
					      (guint16)port, dial->cancel,
					      on_connected, dial);
	return dial;
}

void dial_cancel(struct dial *dial)
{
	dial->done = NULL;
	g_cancellable_cancel(dial->cancel);
}

/* ---- a member ---- */

struct call {
	struct peers *peers;
	char name[PEER_NAME_MAX + 1];
	enum purpose purpose;
	struct dial *dial;
	struct greet *greet;
	guint source;
	greet_fn done;
	void *ctx;
};

static void call_end(struct call *call, struct conn *conn,
		     const struct greeted *who, const char *error)
{
	struct peers *peers = call->peers;
	greet_fn done = call->done;
	void *ctx = call->ctx;

	if (error)
		peers_trouble(peers, call->name, error);
	else
		peers_trouble(peers, call->name, NULL);
	g_queue_remove(&peers->calls, call);
	g_free(call);
	done(ctx, conn, who, error);
}

static void on_call_greeted(void *ctx, struct conn *conn,
			    const struct greeted *who, const char *error)
{
	call_end(ctx, conn, who, error);
}

static void on_dialled(void *ctx, GSocketConnection *tcp, const char *error)
{
	struct call *call = ctx;

	call->dial = NULL;
	if (error)
		call_end(call, NULL, NULL, error);
	else
		call->greet = greet_new(call->peers, tcp, call->name,
					call->purpose, on_call_greeted, call);
}

static gboolean on_start(void *p)
{
	struct call *call = p;
	const struct roster_member *to =
		roster_find(call->peers->cluster->roster, call->name);

	call->source = 0;
	if (to)
		call->dial = dial_new(to->address, to->port, PEER_CONNECT_MS,
				      on_dialled, call);
	else
		call_end(call, NULL, NULL, "it is no member of the cluster");
	return G_SOURCE_REMOVE;
}

struct call *call_new(struct peers *peers, const char *name,
		      enum purpose purpose, greet_fn done, void *ctx)
{
	struct call *call = g_new0(struct call, 1);

	call->peers = peers;
	g_strlcpy(call->name, name, sizeof(call->name));
	call->purpose = purpose;
	call->done = done;
	call->ctx = ctx;
	call->source = g_idle_add(on_start, call);
	g_queue_push_tail(&peers->calls, call);
	return call;
}

void call_cancel(struct call *call)
{
	g_clear_handle_id(&call->source, g_source_remove);
	if (call->dial)
		dial_cancel(call->dial);
	if (call->greet)
		greet_cancel(call->greet);
	g_queue_remove(&call->peers->calls, call);
	g_free(call);
}
