/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node without a certificate, which wants to join: it says one line, with a
 * token's secret and a certificate request, and gets a certificate or a reason.
 */
#include "net/peer-private.h"

#include "net/json.h"

#include <stdlib.h>

struct admit {
	struct peers *peers;
	struct conn *conn;
	int64_t clock_ahead_ms;
};

static void admit_free(struct admit *admit)
{
	g_queue_remove(&admit->peers->admits, admit);
	conn_unref(admit->conn);
	g_free(admit);
}

static void admit_end(struct admit *admit, const char *error)
{
	if (error)
		peers_log_stranger(admit->peers, "a node at %s was not admitted: "
				   "%s", conn_remote(admit->conn), error);
	conn_finish(admit->conn, error);
	admit_free(admit);
}

static int check_clock(const struct admit *admit, struct err *err)
{
	int64_t ahead_s = admit->clock_ahead_ms / 1000;

	if (llabs(ahead_s) <= CLUSTER_MAX_CLOCK_S)
		return 0;
	return err_set(err, 0, "its clock is %lld seconds %s that of %s (set the "
		       "clocks of both, then try again)", llabs(ahead_s),
		       ahead_s > 0 ? "ahead of" : "behind",
		       admit->peers->cluster->self);
}

static int read_admission(const struct admit *admit, struct json_object *join,
			  struct cluster_admission *admission, struct err *err)
{
	int64_t port;

	admission->secret = json_peek_string(join, "secret");
	admission->name = json_peek_string(join, "name");
	admission->request = json_peek_string(join, "request");
	admission->address = json_peek_string(join, "address");
	if (!admission->secret || !admission->name || !admission->request ||
	    !json_get_int(join, "port", 1, 65535, &port))
		return err_set(err, 0, "its request to join lacks a field");
	admission->port = (unsigned)port;
	if (!admission->address || !*admission->address)
		admission->address = conn_remote(admit->conn);
	return 0;
}

static void send_admitted(struct admit *admit, const char *cert)
{
	const struct cluster *cluster = admit->peers->cluster;
	struct json_object *admitted = json_object_new_object();
	struct json_object *line = json_object_new_object();

	json_add_string(admitted, "certificate", cert);
	json_object_object_add(admitted, "roster",
			       json_object_get(cluster->envelope));
	json_object_object_add(line, "admitted", admitted);
	conn_send(admit->conn, line);
}

static void on_line(void *ctx, struct conn *conn, struct json_object *line)
{
	struct json_object *join = json_peek_object(line, "join");
	struct cluster_admission admission = { 0 };
	g_autofree char *cert = NULL;
	struct admit *admit = ctx;
	struct err err = { 0 };

	if (json_peek_string(line, "error")) {
		admit_end(admit, "it changed its mind");
		return;
	}
	if (check_clock(admit, &err) < 0 ||
	    read_admission(admit, join, &admission, &err) < 0 ||
	    cluster_admit(admit->peers->cluster, &admission, &cert, &err) < 0) {
		admit_end(admit, err.text);
		return;
	}
	g_message("%s at %s port %u has joined the cluster", admission.name,
		  admission.address, admission.port);
	send_admitted(admit, cert);
	peers_changed(admit->peers, true);
	(void)conn;
	admit_end(admit, NULL);
}

static void on_lost(void *ctx, struct conn *conn, const char *why)
{
	struct admit *admit = ctx;

	(void)conn;
	admit_end(admit, why);
}

static const struct conn_handlers handlers = {
	.line = on_line,
	.lost = on_lost,
};

void admit_start(struct peers *peers, struct conn *conn,
		 const struct greeted *who)
{
	struct admit *admit = g_new0(struct admit, 1);

	admit->peers = peers;
	admit->conn = conn;
	admit->clock_ahead_ms = who->clock_ahead_ms;
	g_queue_push_tail(&peers->admits, admit);
	conn_own(conn, &handlers, admit);
	conn_deadline(conn, PEER_GREET_MS, "it did not say who it is");
	conn_read(conn);
}

void admits_clear(struct peers *peers)
{
	struct admit *admit;

	while ((admit = g_queue_peek_head(&peers->admits))) {
		conn_close(admit->conn);
		admit_free(admit);
	}
}
