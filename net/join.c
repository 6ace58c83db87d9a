/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/join.h"

#include "net/json.h"
#include "net/peer-private.h"

#include <string.h>
#include <time.h>

#define JOIN_MS 20000

struct join {
	char *dir, *host, *name, *address, *key, *request, *ca;
	unsigned port;
	struct cluster_token token;
	struct conn_set conns;
	struct dial *dial;
	struct conn *conn;
	join_fn done;
	void *ctx;
};

void join_cancel(struct join *join)
{
	if (join->dial)
		dial_cancel(join->dial);
	if (join->conn) {
		conn_close(join->conn);
		conn_unref(join->conn);
	}
	conn_set_clear(&join->conns);
	g_free(join->dir);
	g_free(join->host);
	g_free(join->name);
	g_free(join->address);
	g_free(join->key);
	g_free(join->request);
	g_free(join->ca);
	g_free(join);
}

static void end(struct join *join, const char *error)
{
	g_autofree char *text = g_strdup(error);
	join_fn done = join->done;
	void *ctx = join->ctx;

	join_cancel(join);
	done(ctx, text);
}

static void fail(struct join *join, const char *why)
{
	g_autofree char *text = g_strdup_printf("cannot join by way of %s: %s",
						join->host, why);

	end(join, text);
}

/* Is this the cluster that the token is for? */
static bool check_authority(struct join *join, const char *ca)
{
	g_autoptr(GByteArray) der = conn_certificate(join->conn);
	char name[PEER_NAME_MAX + 1], fingerprint[PKI_FINGERPRINT_SIZE];
	enum pki_verdict verdict;

	if (!ca || !der || pki_fingerprint(ca, fingerprint, NULL) < 0 ||
	    strncmp(fingerprint, join->token.ca_hash,
		    strlen(join->token.ca_hash)) != 0) {
		fail(join, "the token is for another cluster");
		return false;
	}
	/* Of the clocks the other side will judge. */
	verdict = pki_judge(ca, der->data, der->len, time(NULL), name,
			    sizeof(name));
	if (verdict == PKI_MALFORMED || verdict == PKI_FOREIGN) {
		fail(join, "its certificate is of another cluster");
		return false;
	}
	return true;
}

static void send_join(struct join *join)
{
	struct json_object *body = json_object_new_object();
	struct json_object *line = json_object_new_object();

	json_add_string(body, "secret", join->token.secret);
	json_add_string(body, "name", join->name);
	if (join->address)
		json_add_string(body, "address", join->address);
	json_add_int(body, "port", join->port);
	json_add_string(body, "request", join->request);
	json_object_object_add(line, "join", body);
	conn_send(join->conn, line);
}

static void take_hello(struct join *join, struct json_object *hello)
{
	const char *ca = json_peek_string(hello, "ca");

	if (!check_authority(join, ca))
		return;
	join->ca = g_strdup(ca);
	/* It is the cluster that the token is for: its roster may be long. */
	conn_limit_lines(join->conn, PEER_MAX_ROSTER_LINE);
	send_join(join);
}

static void take_admitted(struct join *join, struct json_object *admitted)
{
	const char *cert = json_peek_string(admitted, "certificate");
	struct json_object *envelope = json_peek_object(admitted, "roster");
	struct roster *roster = NULL;
	struct err err = { 0 };

	if (!cert || strlen(cert) > PKI_MAX_PEM)
		err_set(&err, 0, "its answer has no certificate");
	else
		roster = roster_open(envelope, join->ca, &err);
	if (!roster || cluster_store(join->dir, join->ca, cert, join->key,
				     envelope, &err) < 0)
		fail(join, err.text);
	else
		end(join, NULL);
	roster_free(roster);
}

static void on_line(void *ctx, struct conn *conn, struct json_object *line)
{
	struct join *join = ctx;
	const char *error = json_peek_string(line, "error");
	struct json_object *admitted = json_peek_object(line, "admitted");

	(void)conn;
	if (error)
		fail(join, error);
	else if (!join->ca)
		take_hello(join, line);
	else if (admitted)
		take_admitted(join, admitted);
	else
		fail(join, "its answer makes no sense");
}

static void on_secure(void *ctx, struct conn *conn)
{
	struct json_object *hello = json_object_new_object();

	(void)ctx;
	json_add_int(hello, "monovisor", PEER_PROTOCOL_VERSION);
	json_add_string(hello, "purpose", purpose_name(PURPOSE_JOIN));
	json_add_int(hello, "time", g_get_real_time() / 1000);
	conn_send(conn, hello);
	conn_read(conn);
}

static void on_lost(void *ctx, struct conn *conn, const char *why)
{
	(void)conn;
	fail(ctx, why);
}

static const struct conn_handlers handlers = {
	.secure = on_secure,
	.line = on_line,
	.lost = on_lost,
};

static void on_dialled(void *ctx, GSocketConnection *tcp, const char *error)
{
	struct join *join = ctx;

	join->dial = NULL;
	if (error) {
		end(join, error);
		return;
	}
	join->conn = conn_new(&join->conns, tcp, false, NULL, &handlers, join);
	if (join->conn)
		conn_deadline(join->conn, JOIN_MS, "it does not answer");
	else
		fail(join, "GIO has no TLS here (install glib-networking)");
}

struct join *join_new(const struct join_order *order, join_fn done, void *ctx,
		      struct err *err)
{
	struct cluster_token token;
	struct join *join;

	if (cluster_token_parse(&token, order->token, err) < 0 ||
	    cluster_check_new(order->dir, order->name, order->address,
			      order->port, err) < 0)
		return NULL;
	join = g_new0(struct join, 1);
	join->dir = g_strdup(order->dir);
	join->host = g_strdup(order->host);
	join->name = g_strdup(order->name);
	join->address = g_strdup(order->address);
	join->port = order->port;
	join->token = token;
	join->done = done;
	join->ctx = ctx;
	conn_set_init(&join->conns);
	if (pki_make_request(order->name, &join->key, &join->request,
			     err) < 0) {
		join_cancel(join);
		return NULL;
	}
	join->dial = dial_new(order->host, order->host_port, PEER_CONNECT_MS,
			      on_dialled, join);
	return join;
}
