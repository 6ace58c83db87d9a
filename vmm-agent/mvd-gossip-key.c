/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-gossip-private.h"

#include "net/json.h"
#include "vmm-agent/mvd-cluster.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#define ASK_MS 10000
#define ASK_GAP 1.0      /* s between two questions */
#define RETRY_MAX_S 30
#define FORMER_S 10.0    /* how long the old key is still taken */

static void plan(struct mesh *mesh);

static bool is_authority(const struct mesh *mesh)
{
	const char *authority = peers_authority(mesh->mvd->peers);

	return authority && g_ascii_strcasecmp(authority, mesh->self) == 0;
}

/* A key with a lower number is none: it would let in somebody who was removed. */
static void use(struct mesh *mesh, const struct seal_key *key)
{
	struct seal *seal = &mesh->seal;

	if (key->number <= seal->key.number)
		return;
	seal->former = seal->key;
	mesh->former_until = mvd_gossip_now() + FORMER_S;
	seal->key = *key;
	mesh->key_tries = 0;
	g_clear_handle_id(&mesh->key_timer, g_source_remove);
	g_message("the cluster's key for datagrams is number %" G_GUINT64_FORMAT,
		  key->number);
	mesh_key_changed(mesh);
}

/* ---- asking ---- */

static void on_answer(void *ctx, const struct peer_reply *reply)
{
	struct mvd *mvd = ctx;
	struct mesh *mesh = mvd->mesh;
	g_autofree char *dir = cluster_dir(mvd);
	struct err err = { 0 };
	struct seal_key key;

	if (!mesh)
		return;
	mesh->key_asked = false;
	if (reply->answer && seal_key_parse(&key, reply->answer, &err) == 0 &&
	    key.number > mesh->seal.key.number) {
		if (seal_key_save(dir, &key, &err) < 0)
			g_warning("%s", err.text);
		use(mesh, &key);
	} else if (!reply->answer) {
		g_info("no key for datagrams yet: %s", reply->error);
	}
	gnutls_memset(&key, 0, sizeof(key));
	if (mesh->seal.key.number == 0)
		plan(mesh);
}

static void ask(struct mesh *mesh, const char *name)
{
	struct json_object *body;
	double now = mvd_gossip_now();

	if (mesh->key_asked || now < mesh->key_asked_at + ASK_GAP)
		return;
	mesh->key_asked = true;
	mesh->key_asked_at = now;
	body = json_object_new_object();
	json_add_string(body, "op", "datagram-key");
	peer_ask(mesh->mvd->peers, name, body, ASK_MS, on_answer, mesh->mvd);
}

/* The authority always has it; when that cannot be reached, another may. */
static const char *whom(const struct mesh *mesh)
{
	const char *authority = peers_authority(mesh->mvd->peers);
	unsigned count = peers_count(mesh->mvd->peers);
	struct peer_info info;

	if (mesh->key_tries % 2 == 0 && authority && !is_authority(mesh))
		return authority;
	if (count == 0)
		return NULL;
	peers_get(mesh->mvd->peers, g_random_int_range(0, (gint32)count), &info);
	return info.self ? NULL : info.name;
}

static gboolean on_time(void *p)
{
	struct mesh *mesh = p;
	const char *name = whom(mesh);

	mesh->key_timer = 0;
	mesh->key_tries++;
	if (name)
		ask(mesh, name);
	if (!mesh->key_asked)
		plan(mesh);
	return G_SOURCE_REMOVE;
}

static void plan(struct mesh *mesh)
{
	unsigned wait = mesh->key_tries < 5 ? 1u << mesh->key_tries : RETRY_MAX_S;

	if (mesh->key_timer == 0 && mesh->socket)
		mesh->key_timer = mesh->key_tries ?
			g_timeout_add_seconds(MIN(wait, RETRY_MAX_S), on_time, mesh) :
			g_idle_add(on_time, mesh);
}

void mesh_key_seen(struct mesh *mesh, struct mesh_peer *peer, uint64_t number)
{
	/* Anybody can write a number. He gains that a member is asked now and then. */
	if (number > mesh->seal.key.number)
		ask(mesh, peer->name);
}

/* ---- the file ---- */

/* The authority of a cluster that was made before there were datagrams. */
static int make_first(struct mesh *mesh, const char *dir, struct seal_key *key,
		      struct err *err)
{
	return seal_key_make(key, (uint64_t)peers_serial(mesh->mvd->peers), err) == 0 ?
		seal_key_save(dir, key, err) : -1;
}

void mesh_key_start(struct mesh *mesh)
{
	g_autofree char *dir = cluster_dir(mesh->mvd);
	struct err err = { 0 };
	struct seal_key key;
	int rc = seal_key_load(dir, &key, &err);

	if (rc < 0 && err.num == ENOENT && is_authority(mesh)) {
		err = (struct err){ 0 };
		rc = make_first(mesh, dir, &key, &err);
	}
	if (rc == 0)
		use(mesh, &key);
	else if (err.num != ENOENT)
		g_warning("%s", err.text);
	gnutls_memset(&key, 0, sizeof(key));
	if (mesh->seal.key.number == 0)
		plan(mesh);
}

void mesh_key_stop(struct mesh *mesh)
{
	g_clear_handle_id(&mesh->key_timer, g_source_remove);
	mesh->key_tries = 0;
	gnutls_memset(&mesh->seal.key, 0, sizeof(mesh->seal.key));
	gnutls_memset(&mesh->seal.former, 0, sizeof(mesh->seal.former));
}

/* ---- others ask ---- */

void mvd_gossip_question(struct mvd *mvd, const char *from, struct json_object *body,
			 struct peer_question *question)
{
	struct mesh *mesh = mvd->mesh;
	struct json_object *answer;
	g_autofree char *text = NULL;

	(void)from;
	(void)body;
	/* By an older roster than the key's the asker may be one whom it shuts out. */
	if (!mesh || mesh->seal.key.number == 0 ||
	    (!is_authority(mesh) && (uint64_t)peers_serial(mvd->peers) <
				    mesh->seal.key.number)) {
		peer_refuse(question, "this node does not have the key yet");
		return;
	}
	text = seal_key_text(&mesh->seal.key);
	answer = json_parse_object(text, strlen(text));
	gnutls_memset(text, 0, strlen(text));
	peer_answer(question, answer);
}
