/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/peer-pair.h"

#include "net/json.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct node nodes[NODES];

gboolean loop_wake(void *p)
{
	(void)p;
	return G_SOURCE_CONTINUE;
}

void heard_clear(struct heard *heard)
{
	g_free(heard->text);
	g_free(heard->error);
	json_object_put(heard->answer);
	memset(heard, 0, sizeof(*heard));
}

void on_reply(void *ctx, const struct peer_reply *reply)
{
	struct heard *heard = ctx;

	assert_false(heard->done);
	assert_true((reply->answer == NULL) != (reply->error == NULL));
	heard->done = true;
	heard->refused = reply->refused;
	heard->error = g_strdup(reply->error);
	heard->answer = json_object_get(reply->answer);
	assert_true(!reply->details || reply->refused);
	heard->text = g_strdup(json_peek_string(reply->refused ? reply->details :
						reply->answer, "text"));
}

void opened_clear(struct opened *opened)
{
	if (opened->done && opened->fd >= 0)
		close(opened->fd);
	g_free(opened->error);
	memset(opened, 0, sizeof(*opened));
}

void on_opened(void *ctx, int fd, const char *error)
{
	struct opened *opened = ctx;

	assert_false(opened->done);
	assert_true((fd < 0) == (error != NULL));
	opened->done = true;
	opened->fd = fd;
	opened->error = g_strdup(error);
}

struct json_object *body_new(const char *op, const char *text)
{
	struct json_object *body = json_object_new_object();

	json_add_string(body, "op", op);
	json_add_string(body, "text", text);
	return body;
}

static bool is_op(struct json_object *body, const char *op)
{
	const char *have = json_peek_string(body, "op");

	return have && strcmp(have, op) == 0;
}

static void take_question(void *ctx, const char *from,
			  struct json_object *body,
			  struct peer_question *question)
{
	struct node *node = ctx;

	node->questions++;
	g_free(node->last_from);
	node->last_from = g_strdup(from);
	if (is_op(body, "echo"))
		peer_answer(question, json_object_get(body));
	else if (is_op(body, "refuse"))
		peer_refuse_with(question, json_peek_string(body, "text"),
				 json_object_get(body));
	else
		g_queue_push_tail(&node->kept, question);
}

void answer_kept(struct node *node, const char *text)
{
	struct peer_question *question = g_queue_pop_head(&node->kept);

	assert_non_null(question);
	peer_answer(question, body_new("", text));
}

static void take_stream(void *ctx, const char *from, struct json_object *body,
			struct peer_stream *stream)
{
	struct node *node = ctx;
	int ends[2];

	node->streams++;
	g_free(node->last_from);
	node->last_from = g_strdup(from);
	if (is_op(body, "refuse")) {
		peer_decline(stream, json_peek_string(body, "text"));
	} else if (is_op(body, "keep")) {
		node->kept_stream = stream;
	} else {
		assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, ends),
				   0);
		node->stream_fd = ends[0];
		peer_accept(stream, ends[1]);
	}
}

static void take_roster(void *ctx)
{
	struct node *node = ctx;

	node->rosters++;
}

static const struct peers_handlers handlers = {
	.question = take_question,
	.stream = take_stream,
	.roster = take_roster,
};

unsigned free_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_return_code(getsockname(fd, (struct sockaddr *)&address, &len),
			   0);
	close(fd);
	return ntohs(address.sin_port);
}

static unsigned count_entries(const char *path)
{
	GDir *dir = g_dir_open(path, 0, NULL);
	unsigned count = 0;

	while (g_dir_read_name(dir))
		count++;
	g_dir_close(dir);
	return count;
}

unsigned count_fds(void)
{
	return count_entries("/proc/self/fd");
}

unsigned count_threads(void)
{
	return count_entries("/proc/self/task");
}

void node_start(struct node *node)
{
	struct err err = { 0 };

	node->stream_fd = -1;
	node->peers = peers_new(node->dir, &handlers, node, &err);
	if (!node->peers)
		fail_msg("%s", err.text);
}

void node_stop(struct node *node)
{
	if (node->peers)
		peers_free(node->peers);
	node->peers = NULL;
	if (node->stream_fd >= 0)
		close(node->stream_fd);
	node->stream_fd = -1;
}

static void node_make(struct node *node)
{
	char *base = g_dir_make_tmp("mv-peer-XXXXXX", NULL);

	memset(node, 0, sizeof(*node));
	node->dir = g_build_filename(base, "cluster", NULL);
	node->port = free_port();
	node->stream_fd = -1;
	g_free(base);
}

static void on_joined(void *ctx, const char *error)
{
	bool *done = ctx;

	if (error)
		fail_msg("%s", error);
	*done = true;
}

void node_join(struct node *node, const char *name)
{
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(nodes[0].dir, &err);
	g_autofree char *token = cluster_invite(cluster, &err);
	struct join_order order = {
		.host = "127.0.0.1",
		.host_port = nodes[0].port,
		.token = token,
		.name = name,
	};
	bool done = false;

	assert_non_null(token);
	cluster_free(cluster);
	if (!node->dir)
		node_make(node);
	order.dir = node->dir;
	order.port = node->port;
	if (!join_new(&order, on_joined, &done, &err))
		fail_msg("%s", err.text);
	LOOP_UNTIL(done);
}

void pair_up(void)
{
	struct err err = { 0 };

	memset(nodes, 0, sizeof(nodes));
	node_make(&nodes[0]);
	if (cluster_init(nodes[0].dir, "one", "127.0.0.1", nodes[0].port,
			 PKI_YEAR_S, &err) < 0)
		fail_msg("%s", err.text);
	node_start(&nodes[0]);
	node_join(&nodes[1], "two");
	node_start(&nodes[1]);
}

static void remove_node(struct node *node)
{
	static const char *const names[] = {
		"ca.pem", "ca.key", "node.pem", "node.key", "roster.json",
		"invites", "datagram.key",
	};
	g_autofree char *base = NULL;
	size_t i;

	if (!node->dir)
		return;
	for (i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename(node->dir, names[i],
							 NULL);

		unlink(path);
	}
	base = g_path_get_dirname(node->dir);
	rmdir(node->dir);
	/* Nothing else is left there. */
	assert_return_code(rmdir(base), 0);
	g_free(node->dir);
	g_free(node->last_from);
	memset(node, 0, sizeof(*node));
}

/* Operations that were cancelled end in the loop. */
static void loop_settle(void)
{
	gint64 until = g_get_monotonic_time() + 200000;
	guint waker = g_timeout_add(5, loop_wake, NULL);

	while (g_get_monotonic_time() < until)
		g_main_context_iteration(NULL, TRUE);
	g_source_remove(waker);
}

void pair_down(void)
{
	unsigned i;

	for (i = 0; i < NODES; i++) {
		node_stop(&nodes[i]);
		/* Each is owed an answer, even now. */
		while (!g_queue_is_empty(&nodes[i].kept))
			answer_kept(&nodes[i], "");
	}
	loop_settle();
	for (i = 0; i < NODES; i++)
		remove_node(&nodes[i]);
}
