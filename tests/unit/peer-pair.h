/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes of a cluster inside one test: each has a directory, a port of loopback
 * and a struct peers; all share the test's main loop.
 */
#ifndef MV_TESTS_UNIT_PEER_PAIR_H
#define MV_TESTS_UNIT_PEER_PAIR_H

#include "net/cluster.h"
#include "net/join.h"
#include "net/peer.h"

#include <gio/gio.h>
#include <stdbool.h>

#define NODES 3
#define WAIT_MS 30000 /* only there to end a hang */

/* Run the loop until the condition holds, for a bounded time. */
#define LOOP_UNTIL(condition) do { \
	guint waker_ = g_timeout_add(5, loop_wake, NULL); \
	gint64 limit_ = g_get_monotonic_time() + WAIT_MS * 1000; \
	bool so_; \
	while (!(so_ = (condition)) && g_get_monotonic_time() < limit_) \
		g_main_context_iteration(NULL, TRUE); \
	g_source_remove(waker_); \
	if (!so_) \
		fail_msg("still not so: %s", #condition); \
} while (0)
gboolean loop_wake(void *p);

struct node {
	struct peers *peers;
	char *dir;
	unsigned port;
	/* What its handlers have seen. */
	char *last_from;
	GQueue kept; /* of struct peer_question: "keep", not answered yet */
	struct peer_stream *kept_stream;
	unsigned questions, streams, rosters;
	int stream_fd; /* our end of the last stream that was accepted, or -1 */
};
extern struct node nodes[NODES];

/* The outcome of a question. */
struct heard {
	bool done, refused;
	char *text, *error;
	struct json_object *answer;
};
void heard_clear(struct heard *heard);
void on_reply(void *ctx, const struct peer_reply *reply);

/* The outcome of opening a stream. */
struct opened {
	bool done;
	int fd;
	char *error;
};
void opened_clear(struct opened *opened);
void on_opened(void *ctx, int fd, const char *error);

/*
 * {"op": op, "text": text}. The nodes know: "echo", which answers with the text;
 * "refuse", which refuses with it, in the details too; "keep", which does not answer yet. For
 * streams: "echo", whose other end is nodes[].stream_fd, "refuse" and "keep".
 */
struct json_object *body_new(const char *op, const char *text);

/* Answer the first that is kept. */
void answer_kept(struct node *node, const char *text);

/* A cluster of "one" and "two", both running. */
void pair_up(void);
/* Join another node by a token of the first's. */
void node_join(struct node *node, const char *name);
void node_start(struct node *node);
void node_stop(struct node *node);
/* Stop all, remove their directories, and finish what GIO has begun. */
void pair_down(void);

/* A port of loopback that is free. */
unsigned free_port(void);
/* Open descriptors of this process. */
unsigned count_fds(void);
unsigned count_threads(void);

#endif
