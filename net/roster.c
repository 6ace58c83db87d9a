/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/roster.h"

#include "net/json.h"

#include <glib.h>
#include <string.h>

#define ROSTER_VERSION 1

static bool is_alnum(char c)
{
	return g_ascii_isalnum(c);
}

static bool all_of(const char *text, const char *extra)
{
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr(extra, *text))
			return false;
	return true;
}

bool roster_name_ok(const char *name)
{
	return is_alnum(name[0]) && strlen(name) <= PEER_NAME_MAX &&
	       all_of(name, "._-") && g_ascii_strcasecmp(name, "home") != 0;
}

bool roster_address_ok(const char *address)
{
	return (is_alnum(address[0]) || address[0] == ':') &&
	       strlen(address) <= ROSTER_ADDRESS_MAX &&
	       /* "%" names the interface of a link-local IPv6 address. */
	       all_of(address, ".-:%_");
}

static bool fingerprint_ok(const char *text)
{
	size_t i;

	for (i = 0; text[i]; i++)
		if (!g_ascii_isxdigit(text[i]) || g_ascii_isupper(text[i]))
			return false;
	return i == PKI_FINGERPRINT_SIZE - 1;
}

static bool member_ok(const struct roster_member *member)
{
	return roster_name_ok(member->name) &&
	       roster_address_ok(member->address) && member->port >= 1 &&
	       member->port <= 65535 && fingerprint_ok(member->fingerprint);
}

/* ---- finding ---- */

struct roster_index {
	GHashTable *names; /* in lower case: place + 1 */
	GHashTable *fingerprints;
};

static struct roster_index *index_new(void)
{
	struct roster_index *index = g_new(struct roster_index, 1);

	index->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	index->fingerprints = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
						    NULL);
	return index;
}

static void index_free(struct roster_index *index)
{
	g_hash_table_unref(index->names);
	g_hash_table_unref(index->fingerprints);
	g_free(index);
}

static void index_add(struct roster *roster, unsigned place)
{
	const struct roster_member *member = &roster->members[place];

	g_hash_table_insert(roster->index->names, g_ascii_strdown(member->name, -1),
			    GUINT_TO_POINTER(place + 1));
	g_hash_table_insert(roster->index->fingerprints, g_strdup(member->fingerprint),
			    GUINT_TO_POINTER(place + 1));
}

static void index_again(struct roster *roster)
{
	unsigned i;

	g_hash_table_remove_all(roster->index->names);
	g_hash_table_remove_all(roster->index->fingerprints);
	for (i = 0; i < roster->count; i++)
		index_add(roster, i);
}

static const struct roster_member *member_at(const struct roster *roster, gpointer place)
{
	return place ? &roster->members[GPOINTER_TO_UINT(place) - 1] : NULL;
}

const struct roster_member *roster_find(const struct roster *roster,
					const char *name)
{
	g_autofree char *lower = g_ascii_strdown(name, -1);

	return member_at(roster, g_hash_table_lookup(roster->index->names, lower));
}

/* ---- making and changing ---- */

struct roster *roster_new(const char *authority)
{
	struct roster *roster = g_new0(struct roster, 1);

	g_strlcpy(roster->authority, authority, sizeof(roster->authority));
	roster->index = index_new();
	return roster;
}

void roster_free(struct roster *roster)
{
	if (!roster)
		return;
	index_free(roster->index);
	g_free(roster->members);
	g_free(roster);
}

struct roster *roster_copy(const struct roster *roster)
{
	struct roster *copy = g_new(struct roster, 1);

	*copy = *roster;
	copy->members = g_memdup2(roster->members,
				  roster->count * sizeof(*roster->members));
	copy->room = roster->count;
	copy->index = index_new();
	index_again(copy);
	return copy;
}

/* Neither the same name nor the same certificate twice. */
static int append(struct roster *roster, const struct roster_member *member,
		  struct err *err)
{
	const struct roster_member *same;

	if (!member_ok(member))
		return err_set(err, 0, "a member has no good name, address, port "
			       "and fingerprint");
	if (roster->count >= ROSTER_MAX_MEMBERS)
		return err_set(err, 0, "a cluster has at most %d nodes",
			       ROSTER_MAX_MEMBERS);
	if (roster_find(roster, member->name))
		return err_set(err, 0, "the name %s is taken", member->name);
	same = member_at(roster, g_hash_table_lookup(roster->index->fingerprints,
						     member->fingerprint));
	if (same)
		return err_set(err, 0, "%s and %s have one certificate", same->name,
			       member->name);
	if (roster->count >= roster->room) {
		roster->room = MAX(2 * roster->count, 16);
		roster->members = g_renew(struct roster_member, roster->members,
					  roster->room);
	}
	roster->members[roster->count] = *member;
	index_add(roster, roster->count++);
	return 0;
}

int roster_add(struct roster *roster, const struct roster_member *member,
	       struct err *err)
{
	if (append(roster, member, err) < 0)
		return -1;
	roster->serial++;
	return 0;
}

int roster_remove(struct roster *roster, const char *name, struct err *err)
{
	const struct roster_member *member = roster_find(roster, name);
	unsigned i;

	if (!member)
		return err_set(err, 0, "there is no node %s in the cluster",
			       name);
	i = (unsigned)(member - roster->members);
	roster->count--;
	memmove(&roster->members[i], &roster->members[i + 1],
		(roster->count - i) * sizeof(*roster->members));
	index_again(roster);
	roster->serial++;
	return 0;
}

/* ---- text ---- */

static int parse_member(struct roster *roster, struct json_object *object,
			struct err *err)
{
	struct roster_member member = { 0 };
	int64_t port;

	if (!json_object_is_type(object, json_type_object) ||
	    json_object_object_length(object) != 4 ||
	    !json_get_string(object, "name", member.name,
			     sizeof(member.name)) ||
	    !json_get_string(object, "address", member.address,
			     sizeof(member.address)) ||
	    !json_get_string(object, "fingerprint", member.fingerprint,
			     sizeof(member.fingerprint)) ||
	    !json_get_int(object, "port", 1, 65535, &port))
		return err_set(err, 0, "a member lacks a field");
	member.port = (unsigned)port;
	return append(roster, &member, err);
}

static int parse_members(struct roster *roster, struct json_object *object,
			 struct err *err)
{
	struct json_object *members;
	size_t i, n;

	if (!json_object_object_get_ex(object, "members", &members) ||
	    !json_object_is_type(members, json_type_array))
		return err_set(err, 0, "it has no members");
	n = json_object_array_length(members);
	if (n > ROSTER_MAX_MEMBERS)
		return err_set(err, 0, "it has too many members");
	for (i = 0; i < n; i++)
		if (parse_member(roster, json_object_array_get_idx(members, i),
				 err) < 0)
			return -1;
	return 0;
}

static int parse_object(struct roster *roster, struct json_object *object,
			struct err *err)
{
	int64_t version;

	if (!json_get_int(object, "version", 1, INT32_MAX, &version))
		return err_set(err, 0, "it has no version");
	if (version != ROSTER_VERSION)
		return err_set(err, 0, "its version %d is unknown here",
			       (int)version);
	if (json_object_object_length(object) != 4 ||
	    !json_get_int(object, "serial", 1, INT64_MAX, &roster->serial) ||
	    !json_get_string(object, "authority", roster->authority,
			     sizeof(roster->authority)) ||
	    !roster_name_ok(roster->authority))
		return err_set(err, 0, "a field is missing or wrong");
	return parse_members(roster, object, err);
}

struct roster *roster_parse(const char *text, size_t len, struct err *err)
{
	struct json_object *object = NULL;
	struct roster *roster = roster_new("");
	int rc = -1;

	if (len <= ROSTER_MAX_TEXT)
		object = json_parse_object(text, len);
	if (object)
		rc = parse_object(roster, object, err);
	else
		err_set(err, 0, "it is not a JSON object");
	json_object_put(object);
	if (rc == 0)
		return roster;
	err_prefix(err, "cannot read the cluster's roster");
	roster_free(roster);
	return NULL;
}

static struct json_object *member_object(const struct roster_member *member)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name",
			       json_object_new_string(member->name));
	json_object_object_add(object, "address",
			       json_object_new_string(member->address));
	json_object_object_add(object, "port",
			       json_object_new_int((int)member->port));
	json_object_object_add(object, "fingerprint",
			       json_object_new_string(member->fingerprint));
	return object;
}

char *roster_text(const struct roster *roster, struct err *err)
{
	struct json_object *object = json_object_new_object();
	struct json_object *members = json_object_new_array();
	char *text;
	unsigned i;

	json_object_object_add(object, "version",
			       json_object_new_int(ROSTER_VERSION));
	json_object_object_add(object, "serial",
			       json_object_new_int64(roster->serial));
	json_object_object_add(object, "authority",
			       json_object_new_string(roster->authority));
	for (i = 0; i < roster->count; i++)
		json_object_array_add(members,
				      member_object(&roster->members[i]));
	json_object_object_add(object, "members", members);
	text = g_strdup(json_text(object));
	json_object_put(object);
	if (strlen(text) <= ROSTER_MAX_TEXT)
		return text;
	g_free(text);
	err_set(err, 0, "the cluster's roster would be too long");
	return NULL;
}

struct json_object *roster_seal(const struct roster *roster,
				const char *ca_key, struct err *err)
{
	g_autofree char *text = roster_text(roster, err);
	g_autofree char *signature = NULL;
	struct json_object *envelope;

	if (!text ||
	    pki_sign(ca_key, text, strlen(text), &signature, err) < 0)
		return NULL;
	envelope = json_object_new_object();
	json_object_object_add(envelope, "roster", json_object_new_string(text));
	json_object_object_add(envelope, "signature",
			       json_object_new_string(signature));
	return envelope;
}

struct roster *roster_open(struct json_object *envelope, const char *ca_cert,
			   struct err *err)
{
	const char *text = json_peek_string(envelope, "roster");
	const char *signature = json_peek_string(envelope, "signature");

	if (!text || !signature) {
		err_set(err, 0, "what should be the cluster's roster is "
			"something else");
		return NULL;
	}
	if (pki_verify(ca_cert, text, strlen(text), signature, err) < 0) {
		err_prefix(err, "cannot take the cluster's roster");
		return NULL;
	}
	return roster_parse(text, strlen(text), err);
}
