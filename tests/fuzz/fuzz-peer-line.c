/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of another agent, or of somebody who wants to be taken for one: all of
 * net/peer-*.c but its TLS, which is replaced by memory, and its certificates,
 * of which the other end shows what suits the part of the protocol.
 *
 * The first byte of an input chooses that part; the rest is what is said.
 */
#define conn_new conn_new_real
#define conn_certificate conn_certificate_real
#include "net/peer-conn.c"
#undef conn_new
#undef conn_certificate

#include "net/cluster.h"
#include "net/peer-private.h"
#include "net/roster.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_RUNS 6000
#include "tests/fuzz/standalone.h"

enum part {
	PART_CALLED,    /* a member has connected to us */
	PART_ANONYMOUS, /* somebody without a certificate has */
	PART_CALLER,    /* we have connected to a member */
	PART_QUESTIONS,
	PART_ANSWERS,
	PART_STREAM,
	PART_JOIN,
	PARTS
};

static struct peers *peers;
static GByteArray *member_der, *shown;
static struct conn *last_conn;
static char *base;

struct conn *conn_new(struct conn_set *set, GSocketConnection *tcp, bool server,
		      GTlsCertificate *own,
		      const struct conn_handlers *handlers, void *ctx);
GByteArray *conn_certificate(struct conn *conn);

GByteArray *conn_certificate(struct conn *conn)
{
	(void)conn;
	return shown ? g_byte_array_ref(shown) : NULL;
}

/* As the real one, with memory for TLS. */
struct conn *conn_new(struct conn_set *set, GSocketConnection *tcp, bool server,
		      GTlsCertificate *own,
		      const struct conn_handlers *handlers, void *ctx)
{
	GInputStream *in = g_memory_input_stream_new();
	GOutputStream *out = g_memory_output_stream_new_resizable();
	struct conn *conn = g_new0(struct conn, 1);

	(void)server;
	(void)own;
	conn->refs = 2;
	conn->set = set;
	conn->tcp = g_object_ref(tcp);
	conn->tls = g_simple_io_stream_new(in, out);
	g_object_unref(in);
	g_object_unref(out);
	conn->cancel = g_cancellable_new();
	conn->remote = g_strdup("10.0.0.9");
	conn->chunk = g_malloc(CHUNK);
	conn->in = g_byte_array_new();
	conn->max_line = PEER_MAX_LINE;
	g_queue_init(&conn->out);
	conn_own(conn, handlers, ctx);
	g_hash_table_add(set->conns, conn);
	last_conn = conn;
	return conn;
}

static GSocketConnection *socket_new(void)
{
	GSocketConnection *tcp;
	GSocket *socket;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
		abort();
	close(ends[1]);
	socket = g_socket_new_from_fd(ends[0], NULL);
	tcp = g_socket_connection_factory_create_connection(socket);
	g_object_unref(socket);
	return tcp;
}

static void ignore_greeted(void *ctx, struct conn *conn,
			   const struct greeted *who, const char *error)
{
	(void)ctx;
	if ((conn != NULL) == (error != NULL) || (conn && !who))
		abort();
	if (!conn)
		return;
	conn_close(conn);
	conn_unref(conn);
}

static void ignore_reply(void *ctx, const struct peer_reply *reply)
{
	(void)ctx;
	if ((reply->answer != NULL) == (reply->error != NULL))
		abort();
}

static void take_question(void *ctx, const char *from, struct json_object *body,
			  struct peer_question *question)
{
	(void)ctx;
	if (strcmp(from, "two") != 0 ||
	    !json_object_is_type(body, json_type_object))
		abort();
	peer_answer(question, json_object_get(body));
}

static void take_stream(void *ctx, const char *from, struct json_object *body,
			struct peer_stream *stream)
{
	(void)ctx;
	if (strcmp(from, "two") != 0 ||
	    !json_object_is_type(body, json_type_object))
		abort();
	peer_decline(stream, "no");
}

static const struct peers_handlers peers_handlers = {
	.question = take_question,
	.stream = take_stream,
};

static GLogWriterOutput no_log(GLogLevelFlags level, const GLogField *fields,
			       gsize n, void *ctx)
{
	(void)level;
	(void)fields;
	(void)n;
	(void)ctx;
	return G_LOG_WRITER_HANDLED;
}

static unsigned free_port(void)
{
	GSocketListener *listener = g_socket_listener_new();
	unsigned port = g_socket_listener_add_any_inet_port(listener, NULL,
							    NULL);

	g_object_unref(listener);
	return port;
}

static GByteArray *der_of(const char *pem)
{
	GTlsCertificate *cert = g_tls_certificate_new_from_pem(pem, -1, NULL);
	GByteArray *der;

	g_object_get(cert, "certificate", &der, NULL);
	g_object_unref(cert);
	return der;
}

static void remove_dir(void)
{
	static const char *const names[] = {
		"ca.pem", "ca.key", "node.pem", "node.key", "roster.json",
		"invites", "datagram.key",
	};
	size_t i;

	peers_free(peers);
	for (i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename(base, "cluster",
							 names[i], NULL);

		g_unlink(path);
	}
	g_autofree char *dir = g_build_filename(base, "cluster", NULL);

	g_rmdir(dir);
	g_rmdir(base);
}

/* A cluster of "one", which is us, and "two". */
static void set_up(void)
{
	g_autofree char *dir = NULL, *token = NULL, *key = NULL;
	g_autofree char *request = NULL, *cert = NULL;
	struct cluster_token parsed;
	struct cluster_admission admission = {
		.secret = parsed.secret, .name = "two", .address = "10.0.0.9",
		.port = 1,
	};
	struct cluster *cluster;

	if (peers)
		return;
	g_log_set_writer_func(no_log, NULL, NULL);
	base = g_dir_make_tmp("mv-fuzz-XXXXXX", NULL);
	dir = g_build_filename(base, "cluster", NULL);
	if (cluster_init(dir, "one", "127.0.0.1", free_port(), PKI_YEAR_S,
			 NULL) < 0)
		abort();
	cluster = cluster_load(dir, NULL);
	token = cluster_invite(cluster, NULL);
	cluster_token_parse(&parsed, token, NULL);
	pki_make_request("two", &key, &request, NULL);
	admission.request = request;
	if (cluster_admit(cluster, &admission, &cert, NULL) < 0)
		abort();
	member_der = der_of(cert);
	cluster_free(cluster);
	peers = peers_new(dir, &peers_handlers, NULL, NULL);
	if (!peers)
		abort();
	atexit(remove_dir);
}

/* A connection in the state where the part begins. */
static void begin(enum part part, GSocketConnection *tcp)
{
	struct greeted who = { .name = "two" };
	struct member *member = peers_member(peers, "two");
	struct conn *conn;

	shown = part == PART_ANONYMOUS ? NULL : member_der;
	if (part <= PART_CALLER) {
		greet_new(peers, tcp, part == PART_CALLER ? "two" : NULL,
			  PURPOSE_ASK, ignore_greeted, NULL);
		last_conn->handlers->secure(last_conn->ctx, last_conn);
		return;
	}
	conn = conn_new(&peers->conns, tcp, true, NULL, NULL, NULL);
	if (part == PART_QUESTIONS)
		questions_serve(peers, conn, &who);
	else if (part == PART_STREAM)
		streams_serve(peers, conn, &who);
	else if (part == PART_JOIN)
		admit_start(peers, conn, &who);
	else
		asks_connected(member, conn, &who);
	if (part == PART_ANSWERS)
		peer_ask(peers, "two", json_object_new_object(), 60000,
			 ignore_reply, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	GSocketConnection *tcp;
	struct conn *conn;

	set_up();
	if (size == 0)
		return 0;
	tcp = socket_new();
	last_conn = NULL;
	begin(data[0] % PARTS, tcp);
	g_object_unref(tcp);
	conn = conn_ref(last_conn);
	if (!conn->closed) {
		conn->want_read = true;
		g_byte_array_append(conn->in, data + 1, (guint)size - 1);
		take_lines(conn);
	}
	lose(conn, "the end of the input");
	conn_unref(conn);
	while (g_main_context_iteration(NULL, FALSE))
		;
	return 0;
}

#define HELLO(purpose, serial) "{\"monovisor\":1,\"node\":\"two\",\"purpose\":\"" \
	purpose "\",\"roster\":" serial ",\"time\":1700000000000}\n"

size_t fuzz_example(unsigned n, uint8_t *out, size_t size)
{
	static const struct {
		enum part part;
		const char *text;
	} examples[] = {
		{ PART_CALLED, HELLO("ask", "2") },
		{ PART_CALLED, HELLO("stream", "3") "{\"roster\":{\"roster\":\"{}\","
		  "\"signature\":\"MEUC\"}}\n" },
		{ PART_CALLED, "{\"error\":\"no\"}\n" },
		{ PART_ANONYMOUS, HELLO("join", "1") },
		{ PART_CALLER, HELLO("ask", "2") "{\"ok\":true}\n" },
		{ PART_CALLER, HELLO("ask", "1") "{\"error\":\"revoked\"}\n" },
		{ PART_QUESTIONS, "{\"id\":1,\"ask\":{\"op\":\"ping\"}}\n"
		  "{\"id\":2,\"ask\":{\"op\":\"jobs\",\"x\":[1,{\"y\":null}]}}\n" },
		{ PART_QUESTIONS, "{\"roster\":{\"roster\":\"{}\","
		  "\"signature\":\"MEUC\"}}\n" },
		{ PART_ANSWERS, "{\"id\":1,\"answer\":{}}\n{\"id\":2,\"answer\":"
		  "{}}\n{\"id\":3,\"refused\":\"no\"}\n" },
		{ PART_STREAM, "{\"open\":{\"op\":\"libvirt\"}}\nraw bytes" },
		{ PART_JOIN, "{\"join\":{\"secret\":\"00112233\",\"name\":\"three\","
		  "\"port\":7480,\"request\":\"-----BEGIN\"}}\n" },
	};
	size_t i = n % G_N_ELEMENTS(examples);
	size_t len = strlen(examples[i].text);

	if (len + 1 > size)
		return 0;
	out[0] = (uint8_t)examples[i].part;
	memcpy(out + 1, examples[i].text, len);
	return len + 1;
}
