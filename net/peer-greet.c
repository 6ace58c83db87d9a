/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * TLS lets every certificate through, so that whoever is refused can be told
 * why in words. Each side judges the other's certificate as soon as TLS is
 * established, and says nothing but the refusal to one that is not of this
 * cluster. Then both send a hello at once, with the serial number of their
 * roster; who has the newer one sends it next; and only with the newer one each
 * judges whether the other is a member. The server's {"ok": true} ends it.
 *
 * Here, and when a node is admitted, are the only places where a roster is sent, to
 * one who has an older one and waits for it; and so the only ones where a line may be as long as
 * a roster.
 *
 * A caller without a certificate may say one thing: that it wants to join.
 */
#include "net/peer-private.h"

#include "net/json.h"

#include <string.h>

#define MAX_STRANGER_LINE 32768 /* a certificate request has 600 bytes */

static const char *const purpose_names[] = {
	[PURPOSE_ASK] = "ask",
	[PURPOSE_STREAM] = "stream",
	[PURPOSE_JOIN] = "join",
};
G_STATIC_ASSERT(G_N_ELEMENTS(purpose_names) == PURPOSES);

enum state {
	STATE_SECURE, /* TLS is under way */
	STATE_HELLO,  /* the other's hello is next */
	STATE_ROSTER, /* its newer roster is next */
	STATE_OK,     /* the server's consent is next */
};

struct greet {
	struct peers *peers;
	struct conn *conn;
	bool server, anonymous;
	enum state state;
	char expect[PEER_NAME_MAX + 1];
	char fingerprint[PKI_FINGERPRINT_SIZE];
	struct greeted who;
	int64_t told; /* the number of the roster in our hello */
	guint timer;
	greet_fn done;
	void *ctx;
};

const char *purpose_name(enum purpose purpose)
{
	return purpose_names[purpose];
}

static void greet_free(struct greet *greet)
{
	g_clear_handle_id(&greet->timer, g_source_remove);
	g_queue_remove(&greet->peers->greets, greet);
	g_free(greet);
}

/* Whom we talk to, for messages. */
static const char *other(const struct greet *greet)
{
	if (greet->who.name[0])
		return greet->who.name;
	return greet->expect[0] ? greet->expect : "a stranger";
}

static void log_failure(struct greet *greet, const char *text)
{
	if (greet->server)
		peers_log_stranger(greet->peers, "a connection from %s (%s) came "
				   "to nothing: %s", conn_remote(greet->conn),
				   other(greet), text);
}

/* It came to nothing; the other side has been told what is to be told. */
static void fail(struct greet *greet, const char *text)
{
	struct conn *conn = greet->conn;
	greet_fn done = greet->done;
	void *ctx = greet->ctx;

	log_failure(greet, text);
	greet_free(greet);
	conn_unref(conn);
	done(ctx, NULL, NULL, text);
}

/* We do not want the other. */
static void refuse(struct greet *greet, const char *text)
{
	g_autofree char *told = g_strdup(text);

	conn_finish(greet->conn, told);
	fail(greet, told);
}

/* The other does not want us; its words may be anything. */
static void refused(struct greet *greet, const char *words)
{
	g_autofree char *clean = g_strndup(words, 300), *valid, *text;
	char *at;

	valid = g_utf8_make_valid(clean, -1);
	for (at = valid; *at; at++)
		if (g_ascii_iscntrl(*at))
			*at = '?';
	text = g_strdup_printf("%s refused: %s", other(greet), valid);
	conn_close(greet->conn);
	fail(greet, text);
}

static void succeed(struct greet *greet)
{
	struct conn *conn = greet->conn;
	struct greeted who = greet->who;
	greet_fn done = greet->done;
	void *ctx = greet->ctx;

	conn_pause(conn);
	if (who.name[0])
		peers_heard(greet->peers, who.name);
	greet_free(greet);
	done(ctx, conn, &who, NULL);
}

/* ---- what we say ---- */

static struct json_object *hello_new(struct greet *greet)
{
	const struct cluster *cluster = greet->peers->cluster;
	struct json_object *hello = json_object_new_object();

	json_add_int(hello, "monovisor", PEER_PROTOCOL_VERSION);
	json_add_string(hello, "node", cluster->self);
	greet->told = cluster->roster->serial;
	json_add_int(hello, "roster", greet->told);
	json_add_int(hello, "time", g_get_real_time() / 1000);
	if (!greet->server)
		json_add_string(hello, "purpose",
				purpose_names[greet->who.purpose]);
	/* Whoever joins knows the hash of it. */
	if (greet->anonymous)
		json_add_string(hello, "ca", cluster->ca);
	return hello;
}

/* ---- what we hear ---- */

static bool judge_certificate(struct greet *greet)
{
	g_autoptr(GByteArray) der = conn_certificate(greet->conn);
	g_autofree char *text = NULL;
	struct err err = { 0 };

	if (!der) {
		greet->anonymous = true;
		conn_limit_lines(greet->conn, MAX_STRANGER_LINE);
		if (greet->server)
			return true;
		refuse(greet, "it showed no certificate");
		return false;
	}
	if (cluster_judge(greet->peers->cluster, der->data, der->len,
			  greet->who.name, &err) < 0) {
		refuse(greet, err.text);
		return false;
	}
	pki_fingerprint_der(der->data, der->len, greet->fingerprint);
	if (greet->server || strcmp(greet->who.name, greet->expect) == 0)
		return true;
	text = g_strdup_printf("the node at %s is %s, not %s",
			       conn_remote(greet->conn), greet->who.name,
			       greet->expect);
	refuse(greet, text);
	return false;
}

static void on_secure(void *ctx, struct conn *conn)
{
	struct greet *greet = ctx;

	if (!judge_certificate(greet))
		return;
	greet->state = STATE_HELLO;
	if (!greet->anonymous)
		conn_send(conn, hello_new(greet));
	conn_read(conn);
}

/* With the newer of the two rosters at hand. */
static void judge_member(struct greet *greet)
{
	struct json_object *ok;
	struct err err = { 0 };

	if (cluster_judge_member(greet->peers->cluster, greet->who.name,
				 greet->fingerprint, &err) < 0) {
		refuse(greet, err.text);
		return;
	}
	if (!greet->server) {
		greet->state = STATE_OK;
		return;
	}
	ok = json_object_new_object();
	json_object_object_add(ok, "ok", json_object_new_boolean(true));
	conn_send(greet->conn, ok);
	succeed(greet);
}

static bool take_purpose(struct greet *greet, struct json_object *hello)
{
	const char *purpose = json_peek_string(hello, "purpose");
	int i;

	if (!greet->server)
		return true;
	for (i = 0; purpose && i < PURPOSES; i++)
		if (strcmp(purpose, purpose_names[i]) == 0) {
			greet->who.purpose = (enum purpose)i;
			return (i == PURPOSE_JOIN) == greet->anonymous;
		}
	return false;
}

/* By what both were told: a newer one may have come to either of us since, and both must
 * decide alike who sends one. */
static void compare_rosters(struct greet *greet, int64_t serial)
{
	if (serial < greet->told)
		conn_send_bytes(greet->conn, peers_roster_line(greet->peers));
	if (serial > greet->told) {
		greet->state = STATE_ROSTER;
		conn_limit_lines(greet->conn, PEER_MAX_ROSTER_LINE);
	} else {
		judge_member(greet);
	}
}

static void take_hello(struct greet *greet, struct json_object *hello)
{
	int64_t version, serial = 0, time;

	if (!json_get_int(hello, "monovisor", 1, INT32_MAX, &version) ||
	    !json_get_int(hello, "time", 0, INT64_MAX / 2, &time)) {
		refuse(greet, "the first line is no hello of monovisor's");
		return;
	}
	if (version != PEER_PROTOCOL_VERSION) {
		refuse(greet, "it speaks another version of the protocol "
		       "(upgrade all nodes to one release)");
		return;
	}
	greet->who.clock_ahead_ms = time - g_get_real_time() / 1000;
	if (!take_purpose(greet, hello)) {
		refuse(greet, greet->anonymous ? "no certificate was shown: a "
		       "node without one can only join" :
		       "the purpose of the connection is unknown");
	} else if (greet->anonymous) {
		conn_send(greet->conn, hello_new(greet));
		succeed(greet);
	} else if (!json_get_int(hello, "roster", 1, INT64_MAX, &serial)) {
		refuse(greet, "the hello has no roster number");
	} else {
		compare_rosters(greet, serial);
	}
}

static void take_roster(struct greet *greet, struct json_object *line)
{
	struct json_object *envelope = json_peek_object(line, "roster");
	struct err err = { 0 };

	conn_limit_lines(greet->conn, PEER_MAX_LINE);
	if (!envelope)
		refuse(greet, "a newer roster was promised and not sent");
	else if (peers_take_roster(greet->peers, envelope, greet->who.name,
				   &err) < 0)
		refuse(greet, err.text);
	else
		judge_member(greet);
}

static void take_ok(struct greet *greet, struct json_object *line)
{
	struct json_object *ok;

	if (json_object_object_get_ex(line, "ok", &ok) &&
	    json_object_get_boolean(ok))
		succeed(greet);
	else
		refuse(greet, "it neither consented nor refused");
}

static void on_line(void *ctx, struct conn *conn, struct json_object *line)
{
	struct greet *greet = ctx;
	const char *error = json_peek_string(line, "error");

	(void)conn;
	if (error)
		refused(greet, error);
	else if (greet->state == STATE_HELLO)
		take_hello(greet, line);
	else if (greet->state == STATE_ROSTER)
		take_roster(greet, line);
	else
		take_ok(greet, line);
}

static void on_lost(void *ctx, struct conn *conn, const char *why)
{
	g_autofree char *text = g_strdup(why);

	(void)conn;
	fail(ctx, text);
}

static const struct conn_handlers handlers = {
	.secure = on_secure,
	.line = on_line,
	.lost = on_lost,
};

static gboolean on_late(void *p)
{
	struct greet *greet = p;

	greet->timer = 0;
	if (greet->state == STATE_SECURE) {
		conn_close(greet->conn);
		fail(greet, "it does not answer");
	} else {
		refuse(greet, greet->anonymous ?
		       "no certificate was shown, and nothing was said" :
		       "it does not answer");
	}
	return G_SOURCE_REMOVE;
}

struct greet *greet_new(struct peers *peers, GSocketConnection *tcp,
			const char *expect, enum purpose purpose,
			greet_fn done, void *ctx)
{
	struct greet *greet = g_new0(struct greet, 1);

	greet->peers = peers;
	greet->server = !expect;
	g_strlcpy(greet->expect, expect ? expect : "", sizeof(greet->expect));
	greet->who.purpose = purpose;
	greet->done = done;
	greet->ctx = ctx;
	greet->conn = conn_new(&peers->conns, tcp, greet->server, peers->own,
			       &handlers, greet);
	greet->timer = g_timeout_add(PEER_GREET_MS, on_late, greet);
	g_queue_push_tail(&peers->greets, greet);
	return greet;
}

void greet_cancel(struct greet *greet)
{
	struct conn *conn = greet->conn;

	greet_free(greet);
	conn_close(conn);
	conn_unref(conn);
}

unsigned greets_from(const struct peers *peers, const char *address)
{
	unsigned count = 0;
	GList *l;

	for (l = peers->greets.head; l; l = l->next) {
		const struct greet *greet = l->data;

		count += greet->server &&
			 (!address ||
			  strcmp(conn_remote(greet->conn), address) == 0);
	}
	return count;
}
