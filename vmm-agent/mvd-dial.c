/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-dial.h"

#include "net/cleanup.h"
#include "vmm-agent/agent-paths.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN_MS 50
#define OPEN_MS 10000
#define BACKLOG 8

struct dial {
	struct peer_stream *stream;
	char *path, *refusal;
	gint64 until;
};

struct tunnel {
	struct peers *peers;
	char *node, *path;
	struct json_object *body;
	struct peer_meter *meter;
	int fd;
	guint source;
};

int dial_now(const char *path)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
				   SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (fd < 0 || agent_address(&address, path, NULL) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return steal_fd(&fd);
}

static bool dial_try(struct dial *dial)
{
	int fd = dial_now(dial->path);

	if (fd < 0 && g_get_monotonic_time() < dial->until)
		return false;
	if (fd < 0)
		peer_decline(dial->stream, dial->refusal);
	else
		peer_accept(dial->stream, fd);
	g_free(dial->path);
	g_free(dial->refusal);
	g_free(dial);
	return true;
}

static gboolean on_again(void *p)
{
	return dial_try(p) ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

void dial_join(struct peer_stream *stream, const char *path, unsigned limit_ms,
	       const char *refusal)
{
	struct dial *dial = g_new0(struct dial, 1);

	dial->stream = stream;
	dial->path = g_strdup(path);
	dial->refusal = g_strdup(refusal);
	dial->until = g_get_monotonic_time() + (gint64)limit_ms * 1000;
	if (!dial_try(dial))
		g_timeout_add(AGAIN_MS, on_again, dial);
}

/* Tunnels */

static void on_opened(void *ctx, int fd, const char *error)
{
	(void)ctx;
	(void)fd;
	if (error)
		g_message("a stream could not be opened: %s", error);
}

/* Each question is taken, and may get more fields. */
static struct json_object *copy_of(struct json_object *body)
{
	struct json_object *copy = NULL;

	json_object_deep_copy(body, &copy, NULL);
	return copy;
}

static gboolean on_connection(int fd, GIOCondition condition, void *p)
{
	struct tunnel *tunnel = p;
	int end = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)condition;
	if (end >= 0)
		peer_open_on(tunnel->peers, tunnel->node,
			     copy_of(tunnel->body), OPEN_MS, end,
			     tunnel->meter, on_opened, NULL);
	return G_SOURCE_CONTINUE;
}

static int listen_at(const char *path, unsigned uid, struct err *err)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
				   SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (agent_address(&address, path, err) < 0)
		return -1;
	if (fd < 0 || (unlink(path) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(path, 0600) < 0 || chown(path, uid, (gid_t)-1) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_set(err, errno, "cannot listen at %s", path);
	return steal_fd(&fd);
}

struct tunnel *tunnel_new(struct peers *peers, const char *node,
			  const char *path, unsigned uid,
			  struct json_object *body, struct err *err)
{
	int fd = listen_at(path, uid, err);
	struct tunnel *tunnel;

	if (fd < 0)
		return NULL;
	tunnel = g_new0(struct tunnel, 1);
	tunnel->peers = peers;
	tunnel->node = g_strdup(node);
	tunnel->path = g_strdup(path);
	tunnel->body = json_object_get(body);
	tunnel->meter = peer_meter_new();
	tunnel->fd = fd;
	tunnel->source = g_unix_fd_add(fd, G_IO_IN, on_connection, tunnel);
	return tunnel;
}

void tunnel_free(struct tunnel *tunnel)
{
	g_clear_handle_id(&tunnel->source, g_source_remove);
	cleanup_fd_(&tunnel->fd);
	unlink(tunnel->path);
	json_object_put(tunnel->body);
	peer_meter_unref(tunnel->meter);
	g_free(tunnel->node);
	g_free(tunnel->path);
	g_free(tunnel);
}

uint64_t tunnel_sent(const struct tunnel *tunnel)
{
	return peer_meter_sent(tunnel->meter);
}
