/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/peer.h"

#include "net/json.h"
#include "net/peer-private.h"

#include <errno.h>
#include <string.h>

#define STRANGER_LINES 20 /* a minute */
#define PUSH_CALLS 16      /* members that are called when the roster has changed here */
#define FETCH_GAP_MS 1000  /* between two newer rosters */

static int64_t now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

/* ---- members ---- */

struct member *peers_member(const struct peers *peers, const char *name)
{
	g_autofree char *key = g_ascii_strdown(name, -1);

	return g_hash_table_lookup(peers->members, key);
}

void peers_heard(struct peers *peers, const char *name)
{
	struct member *member = peers_member(peers, name);

	if (member)
		member->heard = now_ms();
}

void peers_trouble(struct peers *peers, const char *name, const char *why)
{
	struct member *member = peers_member(peers, name);

	if (!member || g_strcmp0(member->trouble, why) == 0)
		return;
	if (why)
		g_message("%s: %s", name, why);
	g_free(member->trouble);
	member->trouble = g_strdup(why);
}

static void member_free(void *p)
{
	struct member *member = p;

	asks_fail(member, "it is no member of the cluster any more");
	g_free(member->trouble);
	g_free(member);
}

static void add_member(struct peers *peers, const struct roster_member *entry)
{
	struct member *member = g_new0(struct member, 1);
	char *at;

	member->peers = peers;
	g_strlcpy(member->name, entry->name, sizeof(member->name));
	g_strlcpy(member->fingerprint, entry->fingerprint,
		  sizeof(member->fingerprint));
	g_strlcpy(member->key, entry->name, sizeof(member->key));
	for (at = member->key; *at; at++)
		*at = g_ascii_tolower(*at);
	g_queue_init(&member->asks);
	g_hash_table_insert(peers->members, member->key, member);
}

/* One that was removed and joined again is another one. */
static bool is_current(const struct peers *peers, const struct member *member)
{
	return cluster_judge_member(peers->cluster, member->name,
				    member->fingerprint, NULL) == 0;
}

static void add_members(struct peers *peers)
{
	const struct roster *roster = peers->cluster->roster;
	unsigned i;

	for (i = 0; i < roster->count; i++)
		if (strcmp(roster->members[i].name, peers->cluster->self) != 0 &&
		    !peers_member(peers, roster->members[i].name))
			add_member(peers, &roster->members[i]);
}

static void drop_members(struct peers *peers)
{
	GHashTableIter iter;
	gpointer member;

	g_hash_table_iter_init(&iter, peers->members);
	while (g_hash_table_iter_next(&iter, NULL, &member))
		if (!is_current(peers, member)) {
			asks_farewell(member);
			g_hash_table_iter_remove(&iter);
		}
}

void peers_log_stranger(struct peers *peers, const char *format, ...)
{
	int64_t minute = now_ms() / 60000;
	g_autofree char *text = NULL;
	va_list ap;

	if (minute != peers->log_minute) {
		peers->log_minute = minute;
		peers->log_left = STRANGER_LINES;
	}
	if (peers->log_left == 0)
		return;
	peers->log_left--;
	va_start(ap, format);
	text = g_strdup_vprintf(format, ap);
	va_end(ap);
	g_message("%s%s", text, peers->log_left ? "" :
		  " (more of this kind is not logged for a minute)");
}

/* ---- the roster ---- */

static void drop_roster_line(struct peers *peers)
{
	g_clear_pointer(&peers->roster_line, g_bytes_unref);
	json_object_put(peers->line_of);
	peers->line_of = NULL;
}

/* Thousands may ask for it within a second: all connections share it. */
GBytes *peers_roster_line(struct peers *peers)
{
	struct json_object *envelope = peers->cluster->envelope;
	char *text;

	if (peers->line_of == envelope)
		return peers->roster_line;
	drop_roster_line(peers);
	text = g_strdup_printf("{\"roster\":%s}\n", json_text(envelope));
	peers->roster_line = g_bytes_new_take(text, strlen(text));
	peers->line_of = json_object_get(envelope);
	return peers->roster_line;
}

struct json_object *peers_serial_line(const struct peers *peers)
{
	struct json_object *line = json_object_new_object();

	json_add_int(line, "serial", peers->cluster->roster->serial);
	return line;
}

static void stop_fetching(struct peers *peers)
{
	g_clear_handle_id(&peers->fetch_timer, g_source_remove);
	peers->fetch = NULL; /* drop_all() ends all calls */
	peers->newer_serial = 0;
}

/* Every connection, question and stream; the port stays. */
static void drop_all(struct peers *peers)
{
	struct call *call;
	struct greet *greet;

	stop_fetching(peers);
	g_hash_table_remove_all(peers->members);
	streams_clear(peers);
	while ((call = g_queue_peek_head(&peers->calls)))
		call_cancel(call);
	while ((greet = g_queue_peek_head(&peers->greets)))
		greet_cancel(greet);
	admits_clear(peers);
}

static void leave(struct peers *peers)
{
	peers->active = false;
	drop_all(peers);
	questions_clear(peers);
	listen_stop(peers);
}

/* Whoever is connected to us is told, so that news spread by themselves. */
static void tell_roster(struct peers *peers)
{
	GHashTableIter iter;
	gpointer member;

	questions_tell_roster(peers);
	g_hash_table_iter_init(&iter, peers->members);
	while (g_hash_table_iter_next(&iter, NULL, &member))
		asks_tell_roster(member);
}

/* Some are called, whoever they are. They have it then, and the rest hear of it from them:
 * a roster of thousands is not sent to thousands by one. */
static void push_roster(struct peers *peers)
{
	const struct roster *roster = peers->cluster->roster;
	unsigned i, left = PUSH_CALLS, start = g_random_int();

	tell_roster(peers);
	for (i = 0; i < roster->count && left > 0; i++) {
		struct member *member = peers_member(
			peers, roster->members[(start + i) % roster->count].name);

		if (!member || member->out)
			continue;
		asks_push_roster(member);
		left--;
	}
}

static void fetch_newer(struct peers *peers);

static gboolean on_fetch_time(void *p)
{
	struct peers *peers = p;

	peers->fetch_timer = 0;
	fetch_newer(peers);
	return G_SOURCE_REMOVE;
}

/* The greeting has brought it, if it is there. */
static void on_fetched(void *ctx, struct conn *conn, const struct greeted *who,
		       const char *error)
{
	struct peers *peers = ctx;

	(void)who;
	(void)error;
	peers->fetch = NULL;
	if (conn) {
		conn_finish(conn, NULL);
		conn_unref(conn);
	}
	peers->fetch_timer = g_timeout_add(FETCH_GAP_MS, on_fetch_time, peers);
}

static void fetch_newer(struct peers *peers)
{
	if (!peers->active || peers->fetch || peers->fetch_timer ||
	    peers->newer_serial <= peers->cluster->roster->serial)
		return;
	/* Once: whoever has it says so again. */
	peers->newer_serial = 0;
	peers->fetch = call_new(peers, peers->newer_from, PURPOSE_ASK, on_fetched, peers);
}

void peers_newer(struct peers *peers, const char *from, int64_t serial)
{
	if (!peers->active || serial <= peers->cluster->roster->serial ||
	    serial <= peers->newer_serial || !peers_member(peers, from))
		return;
	peers->newer_serial = serial;
	g_strlcpy(peers->newer_from, from, sizeof(peers->newer_from));
	fetch_newer(peers);
}

bool peers_take_serial(struct peers *peers, const char *from, struct json_object *line)
{
	int64_t serial;

	if (!json_get_int(line, "serial", 1, INT64_MAX, &serial))
		return false;
	peers_newer(peers, from, serial);
	return true;
}

static gboolean on_settle(void *p)
{
	struct peers *peers = p;

	peers->settle_source = 0;
	if (!peers->cluster)
		return G_SOURCE_REMOVE;
	streams_settle(peers);
	questions_settle(peers);
	if (peers->active && !cluster_has_self(peers->cluster)) {
		g_message("this node was removed from the cluster");
		leave(peers);
	}
	if (peers->active) {
		drop_members(peers);
		add_members(peers);
	}
	if (peers->handlers->roster)
		peers->handlers->roster(peers->ctx);
	return G_SOURCE_REMOVE;
}

void peers_changed(struct peers *peers, bool push)
{
	/* To the old members: a new one has it, one removed should hear it. */
	if (push && peers->active)
		push_roster(peers);
	if (peers->active)
		add_members(peers);
	/* Later, because this may end the connection whose line we serve. */
	if (!peers->settle_source)
		peers->settle_source = g_idle_add(on_settle, peers);
}

int peers_take_roster(struct peers *peers, struct json_object *envelope,
		      const char *from, struct err *err)
{
	int rc = cluster_adopt(peers->cluster, envelope, err);

	if (rc <= 0)
		return rc;
	g_message("roster %lld of the cluster, from %s: %u nodes",
		  (long long)peers->cluster->roster->serial, from,
		  peers->cluster->roster->count);
	tell_roster(peers);
	peers_changed(peers, false);
	return 0;
}

/* ---- the beginning and the end ---- */

static GTlsCertificate *load_own(const struct cluster *cluster,
				 struct err *err)
{
	g_autofree char *pem = g_strconcat(cluster->cert, "\n", cluster->key,
					   NULL);
	g_autoptr(GError) error = NULL;
	GTlsCertificate *own = NULL;

	if (!g_tls_backend_supports_tls(g_tls_backend_get_default()))
		err_set(err, 0, "GIO has no TLS here (install "
			"glib-networking)");
	else if (!(own = g_tls_certificate_new_from_pem(pem, -1, &error)))
		err_set(err, 0, "cannot use the certificate in %s: %s",
			cluster->dir, error->message);
	return own;
}

/*
 * GIO reads the machine's authorities anew for each connection, ten milliseconds
 * long at both ends, only to be told to do without (see make_tls()). The cluster's
 * is one.
 */
static void replace_authorities(const struct cluster *cluster)
{
	g_autofree char *path = g_build_filename(cluster->dir, "ca.pem", NULL);
	g_autoptr(GTlsDatabase) database = g_tls_file_database_new(path, NULL);

	if (database)
		g_tls_backend_set_default_database(g_tls_backend_get_default(),
						   database);
}

/* Begin to be a member, with a port of our own. */
static int enter(struct peers *peers, struct err *err)
{
	const struct roster_member *self =
		roster_find(peers->cluster->roster, peers->cluster->self);

	g_clear_object(&peers->own);
	if (!cluster_has_self(peers->cluster)) {
		g_message("this node was removed from the cluster (join again "
			  "with \"mvctl cluster join\")");
		return 0;
	}
	peers->own = load_own(peers->cluster, err);
	replace_authorities(peers->cluster);
	if (!peers->own || listen_start(peers, self->port, err) < 0)
		return -1;
	peers->active = true;
	add_members(peers);
	return 0;
}

static bool same_identity(const struct cluster *a, const struct cluster *b)
{
	return strcmp(a->fingerprint, b->fingerprint) == 0 &&
	       strcmp(a->ca_fingerprint, b->ca_fingerprint) == 0;
}

/* Take over the state that was read; NULL: no cluster. */
static int change_to(struct peers *peers, struct cluster *fresh,
		     struct err *err)
{
	struct cluster *old = peers->cluster;
	bool same = old && fresh && same_identity(old, fresh);

	if (!same)
		leave(peers);
	peers->cluster = fresh;
	cluster_free(old);
	if (!same && fresh && enter(peers, err) < 0)
		return -1;
	peers_changed(peers, true);
	return 0;
}

int peers_reload(struct peers *peers, struct err *err)
{
	struct err why = { 0 };
	struct cluster *fresh = cluster_load(peers->dir, &why);

	if (!fresh && why.num != ENOENT) {
		if (err)
			*err = why;
		return -1;
	}
	return change_to(peers, fresh, err);
}

struct peers *peers_new(const char *dir, const struct peers_handlers *handlers,
			void *ctx, struct err *err)
{
	struct peers *peers = g_new0(struct peers, 1);

	peers->dir = g_strdup(dir);
	peers->handlers = handlers;
	peers->ctx = ctx;
	peers->members = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
					       member_free);
	conn_set_init(&peers->conns);
	g_queue_init(&peers->callers);
	g_queue_init(&peers->greets);
	g_queue_init(&peers->admits);
	g_queue_init(&peers->calls);
	g_queue_init(&peers->inbound);
	g_queue_init(&peers->streams);
	g_queue_init(&peers->opening);
	asks_init(peers);
	if (peers_reload(peers, err) == 0)
		return peers;
	peers_free(peers);
	return NULL;
}

void peers_free(struct peers *peers)
{
	leave(peers);
	g_clear_handle_id(&peers->settle_source, g_source_remove);
	asks_clear(peers);
	conn_set_clear(&peers->conns);
	g_hash_table_unref(peers->members);
	drop_roster_line(peers);
	g_clear_object(&peers->own);
	cluster_free(peers->cluster);
	g_free(peers->dir);
	g_free(peers);
}

/* ---- what is known ---- */

bool peers_in_cluster(const struct peers *peers)
{
	return peers->active;
}

const char *peers_self(const struct peers *peers)
{
	return peers->active ? peers->cluster->self : NULL;
}

bool peers_is_member(const struct peers *peers, const char *name)
{
	return peers->active && roster_find(peers->cluster->roster, name);
}

int64_t peers_serial(const struct peers *peers)
{
	return peers->active ? peers->cluster->roster->serial : 0;
}

const char *peers_authority(const struct peers *peers)
{
	return peers->active ? peers->cluster->roster->authority : NULL;
}

const char *peers_cluster(const struct peers *peers)
{
	return peers->active ? peers->cluster->ca_fingerprint : NULL;
}

unsigned peers_count(const struct peers *peers)
{
	return peers->active ? peers->cluster->roster->count : 0;
}

void peers_get(const struct peers *peers, unsigned index,
	       struct peer_info *info)
{
	const struct roster_member *entry =
		&peers->cluster->roster->members[index];
	const struct member *member = peers_member(peers, entry->name);

	*info = (struct peer_info){
		.name = entry->name,
		.address = entry->address,
		.port = entry->port,
		.self = strcmp(entry->name, peers->cluster->self) == 0,
	};
	if (!member)
		return;
	info->heard = member->heard;
	info->trouble = member->trouble;
	info->clock_ahead_ms = member->clock_ahead_ms;
}
