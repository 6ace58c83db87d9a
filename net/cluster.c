/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/cluster.h"

#include "net/cluster-file.h"
#include "net/json.h"
#include "net/seal-key.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ROSTER_FILE ROSTER_MAX_ENVELOPE

static int64_t now_s(void)
{
	return g_get_real_time() / G_USEC_PER_SEC;
}

void cluster_free(struct cluster *cluster)
{
	if (!cluster)
		return;
	g_free(cluster->dir);
	g_free(cluster->ca);
	g_free(cluster->cert);
	g_free(cluster->key);
	roster_free(cluster->roster);
	json_object_put(cluster->envelope);
	g_free(cluster);
}

/* ---- reading ---- */

static int load_roster(struct cluster *cluster, struct err *err)
{
	g_autofree char *text = cluster_file_read(cluster->dir, "roster.json",
						  MAX_ROSTER_FILE, err);

	if (!text)
		return -1;
	cluster->envelope = json_parse_object(text, strlen(text));
	cluster->roster = roster_open(cluster->envelope, cluster->ca, err);
	return cluster->roster ? 0 : err_prefix(err, "%s/roster.json",
						cluster->dir);
}

static int load_texts(struct cluster *cluster, struct err *err)
{
	const char *dir = cluster->dir;

	cluster->ca = cluster_file_read(dir, "ca.pem", PKI_MAX_PEM, err);
	if (!cluster->ca)
		return -1;
	cluster->cert = cluster_file_read(dir, "node.pem", PKI_MAX_PEM, err);
	cluster->key = cluster->cert ?
		cluster_file_read(dir, "node.key", PKI_MAX_PEM, err) : NULL;
	if (cluster->key)
		return 0;
	/* A directory with half of it is no "no cluster". */
	if (err && err->num == ENOENT)
		err->num = EINVAL;
	return -1;
}

static int load_all(struct cluster *cluster, struct err *err)
{
	g_autofree char *ca_key = g_build_filename(cluster->dir, "ca.key",
						   NULL);

	if (load_texts(cluster, err) < 0 ||
	    pki_cert_name(cluster->cert, cluster->self,
			  sizeof(cluster->self), err) < 0 ||
	    pki_fingerprint(cluster->cert, cluster->fingerprint, err) < 0 ||
	    pki_fingerprint(cluster->ca, cluster->ca_fingerprint, err) < 0)
		return -1;
	if (load_roster(cluster, err) < 0) {
		if (err && err->num == ENOENT)
			err->num = EINVAL;
		return -1;
	}
	cluster->authority = access(ca_key, F_OK) == 0;
	return 0;
}

struct cluster *cluster_load(const char *dir, struct err *err)
{
	struct cluster *cluster = g_new0(struct cluster, 1);

	cluster->dir = g_strdup(dir);
	if (load_all(cluster, err) == 0)
		return cluster;
	cluster_free(cluster);
	return NULL;
}

bool cluster_has_self(const struct cluster *cluster)
{
	return cluster_judge_member(cluster, cluster->self,
				    cluster->fingerprint, NULL) == 0;
}

/* ---- making and joining ---- */

static int check_identity(const char *name, const char *address, unsigned port,
			  struct err *err)
{
	if (!roster_name_ok(name))
		return err_set(err, 0, "\"%.64s\" cannot be a node's name: it "
			       "takes at most %d letters, digits and \"._-\", "
			       "and not the word \"home\"", name,
			       PEER_NAME_MAX);
	if (!roster_address_ok(address))
		return err_set(err, 0, "\"%.64s\" is neither a host name nor an "
			       "IP address", address);
	if (port < 1 || port > 65535)
		return err_set(err, 0, "there is no port %u", port);
	return 0;
}

/* What this node cannot be: a member already. */
static int check_free(const char *dir, struct err *err)
{
	struct err why = { 0 };
	struct cluster *old = cluster_load(dir, &why);
	int rc = 0;

	if (!old && why.num != ENOENT) {
		if (err)
			*err = why;
		return -1;
	}
	if (old && (old->authority || cluster_has_self(old)))
		rc = err_set(err, 0, "this node is in a cluster already, as %s",
			     old->self);
	cluster_free(old);
	return rc;
}

int cluster_check_new(const char *dir, const char *name, const char *address,
		      unsigned port, struct err *err)
{
	/* Any address will do for one that is not known yet. */
	if (check_identity(name, address ? address : "localhost", port,
			   err) < 0)
		return -1;
	return check_free(dir, err);
}

static int make_first(const char *name, const char *address, unsigned port,
		      const char *ca_key, const char *cert, char **roster,
		      struct err *err)
{
	struct roster_member member = { .port = port };
	struct roster *list = roster_new(name);
	struct json_object *envelope = NULL;

	g_strlcpy(member.name, name, sizeof(member.name));
	g_strlcpy(member.address, address, sizeof(member.address));
	if (pki_fingerprint(cert, member.fingerprint, err) == 0 &&
	    roster_add(list, &member, err) == 0)
		envelope = roster_seal(list, ca_key, err);
	roster_free(list);
	if (!envelope)
		return -1;
	*roster = g_strdup(json_text(envelope));
	json_object_put(envelope);
	return 0;
}

int cluster_init(const char *dir, const char *name, const char *address,
		 unsigned port, int64_t node_lifetime_s, struct err *err)
{
	g_autofree char *ca_key = NULL, *ca = NULL, *key = NULL, *cert = NULL;
	g_autofree char *request = NULL, *roster = NULL, *subject = NULL;
	g_autofree char *datagrams = NULL;
	struct seal_key datagram_key;

	if (cluster_check_new(dir, name, address, port, err) < 0)
		return -1;
	subject = g_strdup_printf("Monovisor cluster made on %.40s", name);
	if (pki_make_ca(subject, CLUSTER_CA_YEARS * PKI_YEAR_S, &ca_key, &ca,
			err) < 0 ||
	    pki_make_request(name, &key, &request, err) < 0 ||
	    pki_sign_request(ca_key, ca, request, name, node_lifetime_s, &cert,
			     err) < 0 ||
	    make_first(name, address, port, ca_key, cert, &roster, err) < 0 ||
	    seal_key_make(&datagram_key, 1, err) < 0)
		return -1;
	datagrams = seal_key_text(&datagram_key);

	const struct cluster_file files[] = {
		{ "ca.key", ca_key }, { "ca.pem", ca }, { "node.key", key },
		{ "node.pem", cert }, { "roster.json", roster },
		{ SEAL_KEY_FILE, datagrams },
	};

	return cluster_dir_write(dir, files, G_N_ELEMENTS(files), err);
}

int cluster_store(const char *dir, const char *ca, const char *cert,
		  const char *key, struct json_object *envelope,
		  struct err *err)
{
	const struct cluster_file files[] = {
		{ "ca.pem", ca }, { "node.key", key }, { "node.pem", cert },
		{ "roster.json", json_text(envelope) },
	};

	if (check_free(dir, err) < 0)
		return -1;
	return cluster_dir_write(dir, files, G_N_ELEMENTS(files), err);
}

/* ---- the roster ---- */

/* Sign it, keep it, and make it ours. Takes it, whatever happens. */
static int publish(struct cluster *cluster, struct roster *roster,
		   const char *ca_key, struct err *err)
{
	struct json_object *envelope = roster_seal(roster, ca_key, err);

	if (!envelope || cluster_file_write(cluster->dir, "roster.json",
					    json_text(envelope), err) < 0) {
		json_object_put(envelope);
		roster_free(roster);
		return -1;
	}
	json_object_put(cluster->envelope);
	roster_free(cluster->roster);
	cluster->envelope = envelope;
	cluster->roster = roster;
	return 0;
}

static char *load_ca_key(const struct cluster *cluster, struct err *err)
{
	if (!cluster->authority) {
		err_set(err, 0, "only %s, where the cluster was made, can do "
			"this", cluster->roster->authority);
		return NULL;
	}
	return cluster_file_read(cluster->dir, "ca.key", PKI_MAX_PEM, err);
}

int cluster_adopt(struct cluster *cluster, struct json_object *envelope,
		  struct err *err)
{
	struct roster *roster = roster_open(envelope, cluster->ca, err);

	if (!roster)
		return -1;
	if (roster->serial <= cluster->roster->serial) {
		roster_free(roster);
		return 0;
	}
	if (cluster_file_write(cluster->dir, "roster.json",
			       json_text(envelope), err) < 0) {
		roster_free(roster);
		return -1;
	}
	json_object_put(cluster->envelope);
	roster_free(cluster->roster);
	cluster->envelope = json_object_get(envelope);
	cluster->roster = roster;
	return 1;
}

/* Whoever is removed has the key of datagrams. The new one comes first: a key that
 * nobody asks for does no harm if the rest fails. */
static int replace_datagram_key(const struct cluster *cluster, int64_t serial,
				struct err *err)
{
	struct seal_key old = { 0 }, fresh;
	uint64_t number = (uint64_t)serial;

	/* Without one, as in a cluster made before there was any, it is the first. */
	if (seal_key_load(cluster->dir, &old, NULL) == 0 && number <= old.number)
		number = old.number + 1;
	if (seal_key_make(&fresh, number, err) < 0)
		return -1;
	return seal_key_save(cluster->dir, &fresh, err);
}

int cluster_remove(struct cluster *cluster, const char *name, struct err *err)
{
	g_autofree char *ca_key = load_ca_key(cluster, err);
	struct roster *roster;

	if (!ca_key)
		return -1;
	if (g_ascii_strcasecmp(name, cluster->self) == 0)
		return err_set(err, 0, "%s has the cluster's key and cannot be "
			       "removed", cluster->self);
	roster = roster_copy(cluster->roster);
	if (roster_remove(roster, name, err) < 0 ||
	    replace_datagram_key(cluster, roster->serial, err) < 0) {
		roster_free(roster);
		return -1;
	}
	return publish(cluster, roster, ca_key, err);
}

/* ---- judging ---- */

int cluster_judge(const struct cluster *cluster, const void *der, size_t len,
		  char *name, struct err *err)
{
	switch (pki_judge(cluster->ca, der, len, now_s(), name,
			  PEER_NAME_MAX + 1)) {
	case PKI_GOOD:
		return 0;
	case PKI_FOREIGN:
		return err_set(err, 0, "the certificate is of another cluster");
	case PKI_NOT_YET:
		return err_set(err, 0, "the certificate of %s is not valid yet "
			       "(is the clock right?)", name);
	case PKI_EXPIRED:
		return err_set(err, 0, "the certificate of %s has expired", name);
	default:
		return err_set(err, 0, "the certificate makes no sense");
	}
}

int cluster_judge_member(const struct cluster *cluster, const char *name,
			 const char *fingerprint, struct err *err)
{
	const struct roster_member *member = roster_find(cluster->roster, name);

	if (member && strcmp(member->name, name) == 0 &&
	    strcmp(member->fingerprint, fingerprint) == 0)
		return 0;
	if (member)
		return err_set(err, 0, "the certificate of %s was revoked: "
			       "another has taken its place", name);
	return err_set(err, 0, "the certificate of %s was revoked: the node was "
		       "removed from the cluster", name);
}

/* ---- invitations ---- */

#define MAX_INVITES (2 * ROSTER_MAX_MEMBERS)
#define MAX_INVITES_FILE (MAX_INVITES * 256)
#define REMEMBER_S (24 * 60 * 60) /* why a token is refused, after its hour */

/* The list of { hash, expires, used_by } that are worth remembering. */
static struct json_object *load_invites(const struct cluster *cluster)
{
	g_autofree char *text = cluster_file_read(cluster->dir, "invites",
						  MAX_INVITES_FILE, NULL);
	struct json_object *object, *old = NULL, *list;
	size_t i, n = 0;
	int64_t expires;

	object = text ? json_parse_object(text, strlen(text)) : NULL;
	if (object && json_object_object_get_ex(object, "invites", &old) &&
	    json_object_is_type(old, json_type_array))
		n = json_object_array_length(old);
	list = json_object_new_array();
	for (i = 0; i < n; i++) {
		struct json_object *invite = json_object_array_get_idx(old, i);

		if (json_get_int(invite, "expires", 0, INT64_MAX, &expires) &&
		    expires + REMEMBER_S > now_s())
			json_object_array_add(list, json_object_get(invite));
	}
	json_object_put(object);
	return list;
}

/* Takes the list. */
static int save_invites(const struct cluster *cluster,
			struct json_object *list, struct err *err)
{
	struct json_object *object = json_object_new_object();
	int rc;

	json_object_object_add(object, "invites", list);
	rc = cluster_file_write(cluster->dir, "invites", json_text(object),
				err);
	json_object_put(object);
	return rc;
}

static int add_invite(const struct cluster *cluster, const char *secret,
		      struct err *err)
{
	struct json_object *list = load_invites(cluster);
	struct json_object *invite;
	char hash[PKI_FINGERPRINT_SIZE];

	if (json_object_array_length(list) >= MAX_INVITES) {
		json_object_put(list);
		return err_set(err, 0, "%d tokens were given out today: that is "
			       "enough", MAX_INVITES);
	}
	/* Whoever reads the file learns no token. */
	pki_hash(secret, strlen(secret), hash);
	invite = json_object_new_object();
	json_add_string(invite, "hash", hash);
	json_add_int(invite, "expires", now_s() + CLUSTER_INVITE_S);
	json_add_string(invite, "used_by", "");
	json_object_array_add(list, invite);
	return save_invites(cluster, list, err);
}

char *cluster_invite(struct cluster *cluster, struct err *err)
{
	g_autofree char *ca_key = load_ca_key(cluster, err);
	char secret[CLUSTER_SECRET_SIZE];

	if (!ca_key ||
	    pki_random(secret, (CLUSTER_SECRET_SIZE - 1) / 2, err) < 0 ||
	    add_invite(cluster, secret, err) < 0)
		return NULL;
	return g_strdup_printf("mv1-%s-%.32s", secret,
			       cluster->ca_fingerprint);
}

static bool take_hex(char *to, const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (!g_ascii_isxdigit(text[i]))
			return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

int cluster_token_parse(struct cluster_token *token, const char *text,
			struct err *err)
{
	const size_t len = CLUSTER_SECRET_SIZE - 1;

	if (strlen(text) == 4 + len + 1 + len &&
	    memcmp(text, "mv1-", 4) == 0 && text[4 + len] == '-' &&
	    take_hex(token->secret, text + 4, len) &&
	    take_hex(token->ca_hash, text + 4 + len + 1, len))
		return 0;
	return err_set(err, 0, "this is no token: it looks like "
		       "mv1-SECRET-HASH, as \"mvctl cluster invite\" prints it");
}

static struct json_object *find_invite(struct json_object *list,
				       const char *secret)
{
	char hash[PKI_FINGERPRINT_SIZE];
	size_t i;

	pki_hash(secret, strlen(secret), hash);
	for (i = 0; i < json_object_array_length(list); i++) {
		struct json_object *invite = json_object_array_get_idx(list, i);
		const char *have = json_peek_string(invite, "hash");

		if (have && strcmp(have, hash) == 0)
			return invite;
	}
	return NULL;
}

static int check_invite(struct json_object *invite, struct err *err)
{
	const char *used_by = json_peek_string(invite, "used_by");
	int64_t expires = 0;

	json_get_int(invite, "expires", 0, INT64_MAX, &expires);
	if (!invite)
		return err_set(err, 0, "the token is not known here (ask for "
			       "one with \"mvctl cluster invite\")");
	if (!used_by || *used_by)
		return err_set(err, 0, "the token was used already, by %s (ask "
			       "for another with \"mvctl cluster invite\")",
			       used_by ? used_by : "somebody");
	if (now_s() >= expires)
		return err_set(err, 0, "the token has expired (ask for another "
			       "with \"mvctl cluster invite\")");
	return 0;
}

static int use_invite(const struct cluster *cluster, const char *secret,
		      const char *name, struct err *err)
{
	struct json_object *list = load_invites(cluster);
	struct json_object *invite = find_invite(list, secret);

	if (check_invite(invite, err) < 0) {
		json_object_put(list);
		return -1;
	}
	json_add_string(invite, "used_by", name);
	return save_invites(cluster, list, err);
}

static int check_token(const struct cluster *cluster, const char *secret,
		       struct err *err)
{
	struct json_object *list = load_invites(cluster);
	int rc = check_invite(find_invite(list, secret), err);

	json_object_put(list);
	return rc;
}

static int check_admission(const struct cluster *cluster,
			   const struct cluster_admission *admission,
			   struct err *err)
{
	if (check_token(cluster, admission->secret, err) < 0 ||
	    check_identity(admission->name, admission->address,
			   admission->port, err) < 0)
		return -1;
	if (roster_find(cluster->roster, admission->name))
		return err_set(err, 0, "the cluster has a node %s already (give "
			       "another name, or remove that one first)",
			       admission->name);
	return 0;
}

int cluster_admit(struct cluster *cluster,
		  const struct cluster_admission *admission, char **cert_out,
		  struct err *err)
{
	g_autofree char *ca_key = load_ca_key(cluster, err), *cert = NULL;
	struct roster_member member = { .port = admission->port };
	struct roster *roster;

	if (!cluster->authority)
		err_set(err, 0, "%s cannot admit nodes: join by way of %s, where "
			"the cluster was made", cluster->self,
			cluster->roster->authority);
	if (!ca_key || check_admission(cluster, admission, err) < 0 ||
	    pki_sign_request(ca_key, cluster->ca, admission->request,
			     admission->name, CLUSTER_NODE_YEARS * PKI_YEAR_S,
			     &cert, err) < 0 ||
	    pki_fingerprint(cert, member.fingerprint, err) < 0)
		return -1;
	g_strlcpy(member.name, admission->name, sizeof(member.name));
	g_strlcpy(member.address, admission->address, sizeof(member.address));
	roster = roster_copy(cluster->roster);
	/* A token is used up before it can admit a second node. */
	if (roster_add(roster, &member, err) < 0 ||
	    use_invite(cluster, admission->secret, admission->name, err) < 0) {
		roster_free(roster);
		return -1;
	}
	if (publish(cluster, roster, ca_key, err) < 0)
		return -1;
	*cert_out = g_steal_pointer(&cert);
	return 0;
}
