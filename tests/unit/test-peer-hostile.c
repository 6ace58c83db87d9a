/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Those who are refused, and what they and we are told. */
#include "tests/unit/peer-pair.h"

#include "net/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what the agents log ---- */

static GString *logged;

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields,
				  gsize n, void *ctx)
{
	gsize i;

	(void)ctx;
	if (level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG))
		return G_LOG_WRITER_HANDLED;
	for (i = 0; i < n; i++)
		if (strcmp(fields[i].key, "MESSAGE") == 0)
			g_string_append_printf(logged, "%s\n",
					       (const char *)fields[i].value);
	return G_LOG_WRITER_HANDLED;
}

static void log_says(const char *text)
{
	if (!strstr(logged->str, text))
		fail_msg("the log does not say \"%s\":\n%s", text, logged->str);
}

static bool log_has(const char *text)
{
	return strstr(logged->str, text) != NULL;
}

/* ---- a client of no good: TLS in a thread of its own ---- */

struct raw {
	unsigned port;
	GTlsCertificate *own;
	const char *says; /* once TLS is there */
	size_t len;
	bool plain;       /* no TLS at all */
	bool stays;       /* silent, until it is thrown out */
	GString *hears;
	char *error;
	gint ended;
};

static gboolean accept_any(GTlsConnection *tls, GTlsCertificate *certificate,
			   GTlsCertificateFlags errors, void *p)
{
	(void)tls;
	(void)certificate;
	(void)errors;
	(void)p;
	return TRUE;
}

static GIOStream *raw_stream(struct raw *raw, GSocketConnection *tcp,
			     GError **error)
{
	GIOStream *tls;

	if (raw->plain)
		return g_object_ref(G_IO_STREAM(tcp));
	tls = g_tls_client_connection_new(G_IO_STREAM(tcp), NULL, error);
	g_signal_connect(tls, "accept-certificate", G_CALLBACK(accept_any),
			 NULL);
	if (raw->own)
		g_tls_connection_set_certificate(G_TLS_CONNECTION(tls),
						 raw->own);
	g_tls_connection_handshake(G_TLS_CONNECTION(tls), NULL, error);
	return tls;
}

static void raw_listen(struct raw *raw, GIOStream *stream, GError **error)
{
	char bytes[4096];
	gssize n;

	do {
		n = g_input_stream_read(g_io_stream_get_input_stream(stream),
					bytes, sizeof(bytes), NULL, error);
		if (n > 0)
			g_string_append_len(raw->hears, bytes, n);
	} while (n > 0);
}

static void *raw_run(void *p)
{
	g_autoptr(GSocketClient) client = g_socket_client_new();
	g_autoptr(GSocketConnection) tcp = NULL;
	g_autoptr(GIOStream) stream = NULL;
	g_autoptr(GError) error = NULL;
	struct raw *raw = p;

	g_socket_client_set_enable_proxy(client, FALSE);
	g_socket_client_set_timeout(client, WAIT_MS / 1000);
	tcp = g_socket_client_connect_to_host(client, "127.0.0.1",
					      (guint16)raw->port, NULL, &error);
	if (tcp)
		stream = raw_stream(raw, tcp, &error);
	if (!error && raw->says)
		g_output_stream_write_all(g_io_stream_get_output_stream(stream),
					  raw->says, raw->len, NULL, NULL,
					  &error);
	/* What it is told, even when it could not say all. */
	if (stream)
		raw_listen(raw, stream, error ? NULL : &error);
	raw->error = error ? g_strdup(error->message) : NULL;
	g_atomic_int_set(&raw->ended, 1);
	return NULL;
}

/* Run it against the first node until it is done. */
static void raw_try(struct raw *raw)
{
	GThread *thread;

	raw->port = nodes[0].port;
	raw->hears = g_string_new(NULL);
	if (raw->says && !raw->len)
		raw->len = strlen(raw->says);
	thread = g_thread_new("raw", raw_run, raw);
	LOOP_UNTIL(g_atomic_int_get(&raw->ended));
	g_thread_join(thread);
}

static void raw_clear(struct raw *raw)
{
	g_string_free(raw->hears, TRUE);
	g_free(raw->error);
	g_clear_object(&raw->own);
	memset(raw, 0, sizeof(*raw));
}

static void hears(struct raw *raw, const char *text)
{
	if (!strstr(raw->hears->str, text))
		fail_msg("told \"%s\" (%s), not \"%s\"", raw->hears->str,
			 raw->error ? raw->error : "no error", text);
}

/* A certificate for the name, by the first node's own authority or another. */
static GTlsCertificate *certificate_new(const char *name, int64_t lifetime_s,
					bool foreign)
{
	g_autofree char *ca_key = NULL, *ca = NULL, *key = NULL, *cert = NULL;
	g_autofree char *request = NULL, *pem = NULL, *path = NULL;
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(nodes[0].dir, &err);

	path = g_build_filename(nodes[0].dir, "ca.key", NULL);
	if (foreign)
		assert_int_equal(pki_make_ca("foreign", PKI_YEAR_S, &ca_key,
					     &ca, &err), 0);
	else
		assert_true(g_file_get_contents(path, &ca_key, NULL, NULL));
	assert_int_equal(pki_make_request(name, &key, &request, &err), 0);
	assert_int_equal(pki_sign_request(ca_key, foreign ? ca : cluster->ca,
					  request, name, lifetime_s, &cert,
					  &err), 0);
	cluster_free(cluster);
	pem = g_strconcat(cert, "\n", key, NULL);
	return g_tls_certificate_new_from_pem(pem, -1, NULL);
}

/* The certificate that a node really has. */
static GTlsCertificate *certificate_of(const struct node *node)
{
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(node->dir, &err);
	g_autofree char *pem = g_strconcat(cluster->cert, "\n", cluster->key,
					   NULL);

	cluster_free(cluster);
	return g_tls_certificate_new_from_pem(pem, -1, NULL);
}

static char *hello(const char *purpose, int64_t serial)
{
	return g_strdup_printf("{\"monovisor\":1,\"node\":\"x\",\"purpose\":"
			       "\"%s\",\"roster\":%lld,\"time\":%lld}\n",
			       purpose, (long long)serial,
			       (long long)g_get_real_time() / 1000);
}

static int set_up(void **state)
{
	(void)state;
	pair_up();
	g_string_truncate(logged, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pair_down();
	return 0;
}

/* ---- certificates ---- */

static void refuses_other_clusters(void **state)
{
	struct raw raw = { .own = certificate_new("two", PKI_YEAR_S, true) };
	g_autofree char *says = hello("ask", 1);

	(void)state;
	raw.says = says;
	raw_try(&raw);
	hears(&raw, "the certificate is of another cluster");
	log_says("came to nothing: the certificate is of another cluster");
	raw_clear(&raw);
}

static void refuses_expired_ones(void **state)
{
	struct raw raw = { .own = certificate_new("two", -60, false) };
	g_autofree char *says = hello("ask", 1);

	(void)state;
	raw.says = says;
	raw_try(&raw);
	hears(&raw, "the certificate of two has expired");
	log_says("the certificate of two has expired");
	raw_clear(&raw);
}

/* Signed by our authority, but not the one in the roster. */
static void refuses_replaced_ones(void **state)
{
	struct raw raw = { .own = certificate_new("two", PKI_YEAR_S, false) };
	g_autofree char *says = hello("ask", 2);

	(void)state;
	raw.says = says;
	raw_try(&raw);
	hears(&raw, "the certificate of two was revoked: another");
	log_says("the certificate of two was revoked");
	raw_clear(&raw);
}

static void refuses_unknown_names(void **state)
{
	struct raw raw = { .own = certificate_new("evil", PKI_YEAR_S, false) };
	g_autofree char *says = hello("ask", 2);

	(void)state;
	raw.says = says;
	raw_try(&raw);
	hears(&raw, "the certificate of evil was revoked");
	raw_clear(&raw);
}

/* It claims to have a newer roster, in which it is a member. */
static void takes_no_false_roster(void **state)
{
	struct raw raw = { .own = certificate_new("evil", PKI_YEAR_S, false) };
	g_autofree char *first = hello("ask", 99), *says = NULL;

	(void)state;
	says = g_strconcat(first, "{\"roster\":{\"roster\":\"{}\",\"signature\":"
			   "\"MEUCIQ==\"}}\n", NULL);
	raw.says = says;
	raw_try(&raw);
	hears(&raw, "signature");
	raw_clear(&raw);
	assert_int_equal(peers_count(nodes[0].peers), 2);
}

static void refuses_no_certificate(void **state)
{
	struct raw raw = { 0 };
	g_autofree char *says = hello("ask", 2);

	(void)state;
	raw.says = says;
	raw_try(&raw);
	hears(&raw, "no certificate was shown");
	log_says("no certificate was shown");
	raw_clear(&raw);
}

/* The node that it calls is not who it should be. */
static void caller_refuses_the_called(void **state)
{
	struct heard heard = { 0 };
	struct roster *roster;
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(nodes[0].dir, &err);
	g_autofree char *key = NULL, *path = NULL;
	struct json_object *envelope;

	(void)state;
	/* A roster in which the first's port leads to the second. */
	path = g_build_filename(nodes[0].dir, "ca.key", NULL);
	assert_true(g_file_get_contents(path, &key, NULL, NULL));
	roster = roster_copy(cluster->roster);
	roster->serial++;
	roster->members[1].port = nodes[0].port;
	envelope = roster_seal(roster, key, &err);
	assert_int_equal(cluster_adopt(cluster, envelope, &err), 1);
	assert_int_equal(peers_reload(nodes[0].peers, &err), 0);
	peer_ask(nodes[0].peers, "two", body_new("echo", ""), 9000, on_reply,
		 &heard);
	LOOP_UNTIL(heard.done);
	assert_non_null(strstr(heard.error, "is one, not two"));
	/* And the one that was called knows why, too. */
	LOOP_UNTIL(log_has("refused: the node at 127.0.0.1 is one, not two"));
	heard_clear(&heard);
	json_object_put(envelope);
	roster_free(roster);
	cluster_free(cluster);
}

/* ---- joining ---- */

struct outcome {
	bool done;
	char *error;
};

static void on_joined(void *ctx, const char *error)
{
	struct outcome *outcome = ctx;

	outcome->done = true;
	outcome->error = g_strdup(error);
}

static void join_fails(const char *token, const char *name, const char *why)
{
	g_autofree char *dir = g_dir_make_tmp("mv-join-XXXXXX", NULL);
	g_autofree char *inside = g_build_filename(dir, "cluster", NULL);
	struct join_order order = {
		.dir = inside,
		.host = "127.0.0.1",
		.host_port = nodes[0].port,
		.token = token,
		.name = name,
		.port = 1,
	};
	struct outcome outcome = { 0 };
	struct err err = { 0 };

	if (!join_new(&order, on_joined, &outcome, &err))
		fail_msg("%s", err.text);
	LOOP_UNTIL(outcome.done);
	if (!outcome.error || !strstr(outcome.error, why))
		fail_msg("\"%s\" does not say \"%s\"", outcome.error, why);
	g_free(outcome.error);
	/* Nothing is left of it. */
	assert_return_code(rmdir(dir), 0);
}

static void refuses_to_admit(void **state)
{
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(nodes[0].dir, &err);
	g_autofree char *token = cluster_invite(cluster, &err);
	g_autofree char *wrong = g_strdup(token), *foreign = g_strdup(token);
	char *last = foreign + strlen(foreign) - 1;

	(void)state;
	wrong[4] = wrong[4] == '0' ? '1' : '0';
	*last = *last == '0' ? '1' : '0';
	join_fails(wrong, "three", "the token is not known here");
	log_says("was not admitted: the token is not known");
	/* Then it does not even show the token. */
	join_fails(foreign, "three", "the token is for another cluster");
	join_fails(token, "two", "the cluster has a node two already");
	assert_int_equal(peers_count(nodes[0].peers), 2);
	node_join(&nodes[2], "three");
	cluster_free(cluster);
	/* One that cannot admit says who can. */
	nodes[0].port = nodes[1].port;
	join_fails(token, "four", "by way of one, where the cluster was made");
}

static void refuses_wrong_clocks(void **state)
{
	struct raw raw = { 0 };
	g_autofree char *says = g_strdup_printf(
		"{\"monovisor\":1,\"purpose\":\"join\",\"time\":%lld}\n"
		"{\"join\":{\"secret\":\"x\",\"name\":\"y\",\"port\":1,"
		"\"request\":\"z\"}}\n",
		(long long)g_get_real_time() / 1000 + 3600000);

	(void)state;
	raw.says = says;
	raw_try(&raw);
	hears(&raw, "seconds ahead of that of one");
	raw_clear(&raw);
}

/* ---- nonsense ---- */

static void refuses_nonsense(void **state)
{
	static const char *const lines[] = {
		"hello\n", "\n", "{}\n", "[]\n", "{\"monovisor\":2,\"time\":1}\n",
		"{\"monovisor\":\"1\"}\n", "{\"monovisor\":1}\n",
		"{\"monovisor\":1,\"time\":1,\"purpose\":\"rule\",\"roster\":1}\n",
		"{\"monovisor\":1,\"time\":1,\"purpose\":\"join\",\"roster\":2}\n",
		"{\"monovisor\":1,\"time\":1,\"purpose\":\"ask\",\"roster\":0}\n",
		"{\"error\":\"\\u001b]0;owned\\u0007\"}\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < G_N_ELEMENTS(lines); i++) {
		struct raw raw = { .own = certificate_of(&nodes[1]),
				   .says = lines[i] };

		g_string_truncate(logged, 0);
		raw_try(&raw);
		log_says("came to nothing");
		assert_null(strchr(logged->str, 0x1b));
		assert_null(strstr(raw.hears->str, "\"ok\""));
		raw_clear(&raw);
	}
	assert_int_equal(nodes[0].questions, 0);
}

static void refuses_long_lines(void **state)
{
	struct raw raw = { .own = certificate_of(&nodes[1]) };
	g_autofree char *says = g_strnfill(4 * PEER_MAX_LINE, 'x');

	(void)state;
	raw.says = says;
	raw_try(&raw);
	log_says("a line that is too long");
	raw_clear(&raw);
}

/* A newer roster was promised, so its line may be long; what it is parsed into may not. */
static void refuses_long_lines_that_are_no_text(void **state)
{
	struct raw raw = { .own = certificate_of(&nodes[1]) };
	g_autofree char *first = hello("ask", 99);
	GString *says = g_string_new(first);

	(void)state;
	g_string_append(says, "{\"roster\":{\"roster\":[");
	while (says->len < 2 * PEER_MAX_LINE)
		g_string_append(says, "[],");
	g_string_append(says, "[]],\"signature\":\"\"}}\n");
	raw.says = says->str;
	raw_try(&raw);
	log_says("what is no message");
	raw_clear(&raw);
	/* Nor longer than the longest roster. */
	g_string_truncate(says, strlen(first));
	g_string_append(says, "{\"roster\":{\"roster\":\"");
	while (says->len < 2 * ROSTER_MAX_ENVELOPE)
		g_string_append(says, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	raw = (struct raw){ .own = certificate_of(&nodes[1]), .says = says->str };
	raw_try(&raw);
	log_says("a line that is too long");
	raw_clear(&raw);
	g_string_free(says, TRUE);
}

/* Once it has come, ordinary lines are short again. */
static void refuses_long_lines_after_a_roster(void **state)
{
	struct raw raw = { .own = certificate_of(&nodes[1]) };
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(nodes[0].dir, &err);
	g_autofree char *key = NULL, *path = NULL, *first = hello("ask", 3), *says = NULL;
	g_autofree char *tail = g_strnfill(2 * PEER_MAX_LINE, 'x');
	struct json_object *envelope;
	struct roster *roster;

	(void)state;
	path = g_build_filename(nodes[0].dir, "ca.key", NULL);
	assert_true(g_file_get_contents(path, &key, NULL, NULL));
	roster = roster_copy(cluster->roster);
	roster->serial = 3;
	envelope = roster_seal(roster, key, &err);
	says = g_strdup_printf("%s{\"roster\":%s}\n{\"id\":1,\"ask\":{\"op\":\"%s\"}}\n", first,
			       json_text(envelope), tail);
	raw.says = says;
	raw_try(&raw);
	assert_int_equal(peers_serial(nodes[0].peers), 3);
	assert_int_equal(nodes[0].questions, 0);
	raw_clear(&raw);
	json_object_put(envelope);
	roster_free(roster);
	cluster_free(cluster);
}

/* A member whose questions are none. */
static void refuses_bad_questions(void **state)
{
	static const char *const lines[] = {
		"{\"id\":1}\n", "{\"ask\":{}}\n", "{\"id\":0,\"ask\":{}}\n",
		"{\"id\":1,\"ask\":[]}\n", "{\"id\":1,\"answer\":{}}\n", "x\n",
		"{\"roster\":{\"roster\":\"\",\"signature\":\"\"}}\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < G_N_ELEMENTS(lines); i++) {
		g_autofree char *first = hello("ask", 2);
		g_autofree char *says = g_strconcat(first, lines[i], NULL);
		struct raw raw = { .own = certificate_of(&nodes[1]),
				   .says = says };

		raw_try(&raw);
		hears(&raw, "\"ok\"");
		raw_clear(&raw);
	}
	assert_int_equal(nodes[0].questions, 0);
}

static void refuses_bad_streams(void **state)
{
	g_autofree char *first = hello("stream", 2);
	g_autofree char *says = g_strconcat(first, "{\"open\":7}\n", NULL);
	struct raw raw = { .own = certificate_of(&nodes[1]), .says = says };

	(void)state;
	raw_try(&raw);
	hears(&raw, "asks for no stream");
	raw_clear(&raw);
	assert_int_equal(nodes[0].streams, 0);
}

static void refuses_what_is_no_tls(void **state)
{
	struct raw raw = { .plain = true, .says = "GET / HTTP/1.0\r\n\r\n" };

	(void)state;
	raw_try(&raw);
	log_says("the TLS handshake failed");
	raw_clear(&raw);
}

static void throws_out_the_silent(void **state)
{
	struct raw raw = { 0 };

	(void)state;
	raw_try(&raw);
	hears(&raw, "nothing was said");
	raw_clear(&raw);
	raw.plain = true;
	raw_try(&raw);
	log_says("came to nothing: nothing was said");
	raw_clear(&raw);
	/* The beginning of a TLS record, and no more. */
	raw.plain = true;
	raw.says = "\x16\x03\x01\x02";
	raw_try(&raw);
	log_says("it does not answer");
	raw_clear(&raw);
}

/* Strangers cannot fill the log, nor keep members out, of whom one calls from
 * the same address. */
static void bounds_strangers(void **state)
{
	struct sockaddr_storage address;
	GSocketAddress *to = g_inet_socket_address_new_from_string(
		"127.0.0.1", nodes[0].port);
	struct heard heard = { 0 };
	int fds[200];
	unsigned i;

	(void)state;
	assert_true(g_socket_address_to_native(to, &address, sizeof(address),
					       NULL));
	for (i = 0; i < G_N_ELEMENTS(fds); i++) {
		fds[i] = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK,
				0);
		(void)!connect(fds[i], (struct sockaddr *)&address,
			(socklen_t)g_socket_address_get_native_size(to));
	}
	LOOP_UNTIL(log_has("too many callers at once"));
	LOOP_UNTIL(log_has("more of this kind is not logged"));
	for (i = 0; i < 100; i++)
		close(fds[i]);
	/* While the rest are there. */
	peer_ask(nodes[1].peers, "one", body_new("echo", "x"), 25000, on_reply,
		 &heard);
	LOOP_UNTIL(heard.done);
	if (heard.error)
		fail_msg("%s", heard.error);
	heard_clear(&heard);
	for (; i < G_N_ELEMENTS(fds); i++)
		close(fds[i]);
	g_object_unref(to);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(refuses_other_clusters),
		TEST(refuses_expired_ones),
		TEST(refuses_replaced_ones),
		TEST(refuses_unknown_names),
		TEST(takes_no_false_roster),
		TEST(refuses_long_lines_that_are_no_text),
		TEST(refuses_long_lines_after_a_roster),
		TEST(refuses_no_certificate),
		TEST(caller_refuses_the_called),
		TEST(refuses_to_admit),
		TEST(refuses_wrong_clocks),
		TEST(refuses_nonsense),
		TEST(refuses_long_lines),
		TEST(refuses_bad_questions),
		TEST(refuses_bad_streams),
		TEST(refuses_what_is_no_tls),
		TEST(throws_out_the_silent),
		TEST(bounds_strangers),
	};

	logged = g_string_new(NULL);
	g_log_set_writer_func(write_log, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
