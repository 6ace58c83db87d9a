/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"
#include "vmm-agent/mvd-server.h"

#include "net/cleanup.h"
#include "vmm-agent/agent-client.h"
#include "vmm-agent/agent-paths.h"
#include "vmm-agent/mvd-process.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 128
#define MAX_CLIENTS 4096
#define MAX_USER_CLIENTS 512
#define MAX_OUTPUT (8 * 1024 * 1024)
#define LINES_AT_ONCE 16
#define ACCEPT_PAUSE_MS 500

struct output {
	char *bytes;
	size_t len, sent;
	int fd;
};

struct client {
	int refs;
	struct server *server; /* NULL once closed */
	int fd;
	uid_t uid;
	pid_t pid;
	uint64_t start;
	bool greeted, ending, backlog;
	char *in;
	size_t in_used;
	GQueue out;
	size_t out_bytes;
	guint in_source, out_source;
};

struct server {
	char *path, *node;
	int fd;
	guint source;
	bool open;
	const struct server_handlers *handlers;
	void *ctx;
	GPtrArray *clients;
};

static void start_reading(struct client *client);
static void serve_backlog(struct client *client);

static void output_free(struct output *output)
{
	cleanup_fd_(&output->fd);
	g_free(output->bytes);
	g_free(output);
}

struct client *client_ref(struct client *client)
{
	client->refs++;
	return client;
}

void client_unref(struct client *client)
{
	if (--client->refs > 0)
		return;
	g_free(client->in);
	g_free(client);
}

static void client_close(struct client *client)
{
	struct server *server = client->server;
	struct output *output;

	if (!server)
		return;
	client->server = NULL;
	g_clear_handle_id(&client->in_source, g_source_remove);
	g_clear_handle_id(&client->out_source, g_source_remove);
	while ((output = g_queue_pop_head(&client->out)))
		output_free(output);
	cleanup_fd_(&client->fd);
	client->fd = -1;
	server->handlers->closed(server->ctx, client);
	/* Drops the list's reference. */
	g_ptr_array_remove_fast(server->clients, client);
}

bool client_is_open(const struct client *client)
{
	return client->server;
}

uid_t client_uid(const struct client *client)
{
	return client->uid;
}

pid_t client_pid(const struct client *client)
{
	return client->pid;
}

uint64_t client_start(const struct client *client)
{
	return client->start;
}

/* Output */

static ssize_t send_output(int fd, struct output *output)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = {
		.iov_base = output->bytes + output->sent,
		.iov_len = output->len - output->sent,
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (output->fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &output->fd, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Returns false when the connection is done for. */
static bool flush(struct client *client)
{
	struct output *output;
	ssize_t n;

	while ((output = g_queue_peek_head(&client->out))) {
		n = send_output(client->fd, output);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		/* The descriptor went with the first bytes. */
		cleanup_fd_(&output->fd);
		output->fd = -1;
		output->sent += (size_t)n;
		client->out_bytes -= (size_t)n;
		if (output->sent < output->len)
			continue;
		g_queue_pop_head(&client->out);
		output_free(output);
	}
	return !client->ending;
}

static gboolean on_writable(int fd, GIOCondition condition, void *p)
{
	struct client *client = p;

	(void)fd;
	(void)condition;
	if (!flush(client)) {
		client->out_source = 0;
		client_close(client);
		return G_SOURCE_REMOVE;
	}
	if (!g_queue_is_empty(&client->out))
		return G_SOURCE_CONTINUE;
	client->out_source = 0;
	return G_SOURCE_REMOVE;
}

/* Written from the main loop only, so that no caller's client vanishes. */
static void want_write(struct client *client)
{
	if (!client->out_source)
		client->out_source = g_unix_fd_add(client->fd,
			G_IO_OUT | G_IO_HUP | G_IO_ERR, on_writable, client);
}

/* The client gets what is queued, and then the end of the connection. */
static void client_end(struct client *client)
{
	client->ending = true;
	g_clear_handle_id(&client->in_source, g_source_remove);
	want_write(client);
}

static gboolean on_overflow(void *p)
{
	client_close(p);
	client_unref(p);
	return G_SOURCE_REMOVE;
}

/* A client that asks much and reads nothing. */
static void drop_client(struct client *client)
{
	client->ending = true;
	g_idle_add(on_overflow, client_ref(client));
}

void client_send_fd(struct client *client, struct json_object *message, int fd)
{
	struct output *output = g_new0(struct output, 1);
	const char *text = json_object_to_json_string_ext(message,
		JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	output->fd = fd;
	output->bytes = g_strconcat(text, "\n", NULL);
	output->len = strlen(output->bytes);
	json_object_put(message);
	if (!client->server || client->ending) {
		output_free(output);
		return;
	}
	client->out_bytes += output->len;
	g_queue_push_tail(&client->out, output);
	if (client->out_bytes > MAX_OUTPUT)
		drop_client(client);
	else
		want_write(client);
}

void client_send(struct client *client, struct json_object *message)
{
	client_send_fd(client, message, -1);
}

void client_error(struct client *client, const char *op, const char *text,
		  const char *hint)
{
	struct json_object *error = event_new("error");

	event_add_string(error, "text", text);
	event_add_string(error, "hint", hint);
	event_add_string(error, "op", op);
	client_send(client, error);
}

/* Input */

static void send_hello(struct client *client)
{
	struct json_object *hello = event_new("hello");

	event_add_number(hello, "version", AGENT_PROTOCOL_VERSION);
	event_add_string(hello, "mvd", PACKAGE_VERSION);
	event_add_string(hello, "node", client->server->node);
	client_send(client, hello);
}

static void send_wait(struct client *client)
{
	struct json_object *phase = event_new("phase");

	event_add_string(phase, "phase", "connecting");
	event_add_string(phase, "text", "the agent is connecting to libvirt");
	client_send(client, phase);
}

static void take_hello(struct client *client, const struct request *request)
{
	g_autofree char *text = NULL;

	if (request->op == REQUEST_HELLO &&
	    request->version == AGENT_PROTOCOL_VERSION) {
		client->greeted = true;
		if (!client->server->open)
			send_wait(client);
		return;
	}
	text = request->op != REQUEST_HELLO ?
		g_strdup("the first message is no hello") :
		g_strdup_printf("version %u of the protocol is unknown (this is "
				"mvd " PACKAGE_VERSION ", version %d)",
				request->version, AGENT_PROTOCOL_VERSION);
	client_error(client, "hello", text, "restart mvd after an upgrade");
	client_end(client);
}

static void take_line(struct client *client, const char *line, size_t len)
{
	struct server *server = client->server;
	struct err err = { 0 };
	struct request request;

	if (request_parse(&request, line, len, &err) < 0)
		client_error(client, "", err.text, "");
	else if (!client->greeted || request.op == REQUEST_HELLO)
		take_hello(client, &request);
	else
		server->handlers->request(server->ctx, client, &request);
}

static bool may_take(const struct client *client)
{
	return client->server && !client->ending &&
	       (client->server->open || !client->greeted);
}

/* Serve complete lines, a few at a time. True when there may be more. */
static bool take_lines(struct client *client)
{
	unsigned count;
	size_t len;
	char *end;

	for (count = 0; count < LINES_AT_ONCE && may_take(client); count++) {
		end = memchr(client->in, '\n', client->in_used);
		if (!end)
			return false;
		len = (size_t)(end - client->in);
		take_line(client, client->in, len);
		client->in_used -= len + 1;
		memmove(client->in, end + 1, client->in_used);
	}
	return may_take(client) && client->in_used > 0;
}

static void refuse_long_line(struct client *client)
{
	client_error(client, "", "the line is too long", "");
	client_end(client);
}

/* Read what fits. Returns false when the connection has ended. */
static bool read_input(struct client *client)
{
	ssize_t n = recv(client->fd, client->in + client->in_used,
			 AGENT_MAX_LINE - client->in_used, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->in_used += (size_t)n;
	return n > 0;
}

static gboolean on_readable(int fd, GIOCondition condition, void *p)
{
	struct client *client = p;
	bool full;

	(void)fd;
	(void)condition;
	if (client->in_used < AGENT_MAX_LINE && !read_input(client)) {
		client->in_source = 0;
		client_close(client);
		return G_SOURCE_REMOVE;
	}
	client_ref(client);
	if (take_lines(client))
		serve_backlog(client);
	full = client->server && client->in_used == AGENT_MAX_LINE;
	if (full && !memchr(client->in, '\n', client->in_used))
		refuse_long_line(client);
	else if (full && !may_take(client))
		g_clear_handle_id(&client->in_source, g_source_remove);
	client_unref(client);
	return G_SOURCE_CONTINUE;
}

/* What a busy client sent in one go is served over several rounds of the loop,
 * so that others get their turn. */
static gboolean on_backlog(void *p)
{
	struct client *client = p;

	if (client->server && take_lines(client))
		return G_SOURCE_CONTINUE;
	if (client->server && !client->ending)
		start_reading(client);
	client->backlog = false;
	client_unref(client);
	return G_SOURCE_REMOVE;
}

static void serve_backlog(struct client *client)
{
	if (client->backlog)
		return;
	client->backlog = true;
	g_idle_add(on_backlog, client_ref(client));
}

static void start_reading(struct client *client)
{
	if (!client->in_source)
		client->in_source = g_unix_fd_add(client->fd, G_IO_IN |
			G_IO_HUP | G_IO_ERR, on_readable, client);
}

/* Clients */

static unsigned count_user(const struct server *server, uid_t uid)
{
	unsigned i, count = 0;

	for (i = 0; i < server->clients->len; i++) {
		struct client *client = server->clients->pdata[i];

		count += client->uid == uid;
	}
	return count;
}

static void identify(struct client *client, const struct ucred *cred)
{
	struct process process;

	client->uid = cred->uid;
	client->pid = cred->pid;
	/* A process that ended meanwhile, whose number is another user's now,
	 * owns no job. */
	if (process_read(cred->pid, &process, NULL) == 0 &&
	    process.uid == cred->uid)
		client->start = process.start;
}

static void add_client(struct server *server, int fd, const struct ucred *cred)
{
	struct client *client = g_new0(struct client, 1);

	client->refs = 1;
	client->server = server;
	client->fd = fd;
	client->in = g_malloc(AGENT_MAX_LINE);
	g_queue_init(&client->out);
	identify(client, cred);
	g_ptr_array_add(server->clients, client);
	send_hello(client);
	start_reading(client);
}

static gboolean resume_accept(void *p);

static gboolean on_accept(int fd, GIOCondition condition, void *p)
{
	struct server *server = p;
	cleanup_fd int peer = accept4(fd, NULL, NULL,
				      SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);

	(void)condition;
	if (peer < 0 && (errno == EMFILE || errno == ENFILE ||
			 errno == ENOMEM || errno == ENOBUFS)) {
		g_message("cannot take another client: %s", g_strerror(errno));
		server->source = g_timeout_add(ACCEPT_PAUSE_MS, resume_accept,
					       server);
		return G_SOURCE_REMOVE;
	}
	if (peer < 0 ||
	    getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return G_SOURCE_CONTINUE;
	if (server->clients->len >= MAX_CLIENTS ||
	    (cred.uid != 0 && count_user(server, cred.uid) >= MAX_USER_CLIENTS))
		return G_SOURCE_CONTINUE;
	add_client(server, steal_fd(&peer), &cred);
	return G_SOURCE_CONTINUE;
}

static gboolean resume_accept(void *p)
{
	struct server *server = p;

	server->source = g_unix_fd_add(server->fd, G_IO_IN, on_accept, server);
	return G_SOURCE_REMOVE;
}

static int listen_at(const char *path, int mode, struct err *err)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
				   SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (agent_address(&address, path, err) < 0)
		return -1;
	/* We hold the lock: whoever made this socket is gone. */
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, errno, "cannot replace the stale socket %s",
			       path);
	if (fd < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(path, (mode_t)mode) < 0 || listen(fd, BACKLOG) < 0)
		return err_set(err, errno, "cannot listen at %s", path);
	return steal_fd(&fd);
}

struct server *server_new(const char *path, int mode, const char *node,
			  const struct server_handlers *handlers, void *ctx,
			  struct err *err)
{
	int fd = listen_at(path, mode, err);
	struct server *server;

	if (fd < 0)
		return NULL;
	server = g_new0(struct server, 1);
	server->path = g_strdup(path);
	server->node = g_strdup(node);
	server->fd = fd;
	server->handlers = handlers;
	server->ctx = ctx;
	server->clients =
		g_ptr_array_new_with_free_func((GDestroyNotify)client_unref);
	resume_accept(server);
	return server;
}

static void ignore_closed(void *ctx, struct client *client)
{
	(void)ctx;
	(void)client;
}

void server_free(struct server *server)
{
	static const struct server_handlers none = { .closed = ignore_closed };

	server->handlers = &none;
	unlink(server->path);
	g_clear_handle_id(&server->source, g_source_remove);
	close(server->fd);
	while (server->clients->len > 0)
		client_close(server->clients->pdata[0]);
	g_ptr_array_unref(server->clients);
	g_free(server->path);
	g_free(server->node);
	g_free(server);
}

void server_open(struct server *server)
{
	unsigned i;

	if (server->open)
		return;
	server->open = true;
	for (i = 0; i < server->clients->len; i++)
		serve_backlog(server->clients->pdata[i]);
}

bool server_is_open(const struct server *server)
{
	return server->open;
}

unsigned server_clients(const struct server *server)
{
	return server->clients->len;
}
