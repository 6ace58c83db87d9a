/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/seal-key.h"

#include "net/cluster-file.h"
#include "net/json.h"

#include <errno.h>
#include <glib.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#define MAX_TEXT 1024

int seal_key_make(struct seal_key *key, uint64_t number, struct err *err)
{
	int rc;

	key->number = number;
	rc = gnutls_rnd(GNUTLS_RND_KEY, key->bytes, SEAL_KEY);
	return rc < 0 ? err_set(err, 0, "cannot draw a key: %s",
				gnutls_strerror(rc)) : 0;
}

char *seal_key_text(const struct seal_key *key)
{
	char hex[2 * SEAL_KEY + 1];
	unsigned i;

	for (i = 0; i < SEAL_KEY; i++)
		g_snprintf(hex + 2 * i, 3, "%02x", key->bytes[i]);
	return g_strdup_printf("{\"number\":%" G_GUINT64_FORMAT ",\"key\":\"%s\"}",
			       key->number, hex);
}

static bool read_hex(const char *hex, uint8_t *bytes)
{
	unsigned i;

	if (!hex || strlen(hex) != 2 * SEAL_KEY)
		return false;
	for (i = 0; i < SEAL_KEY; i++) {
		int high = g_ascii_xdigit_value(hex[2 * i]);
		int low = g_ascii_xdigit_value(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

int seal_key_parse(struct seal_key *key, struct json_object *object, struct err *err)
{
	int64_t number;

	if (!json_get_int(object, "number", 1, INT64_MAX, &number) ||
	    !read_hex(json_peek_string(object, "key"), key->bytes))
		return err_set(err, EINVAL, "this is no key for datagrams");
	key->number = (uint64_t)number;
	return 0;
}

int seal_key_load(const char *dir, struct seal_key *key, struct err *err)
{
	g_autofree char *text = cluster_file_read(dir, SEAL_KEY_FILE, MAX_TEXT, err);
	struct json_object *object;
	int rc;

	if (!text)
		return -1;
	object = json_parse_object(text, strlen(text));
	rc = seal_key_parse(key, object, err);
	json_object_put(object);
	gnutls_memset(text, 0, strlen(text));
	return rc < 0 ? err_prefix(err, "%s/%s", dir, SEAL_KEY_FILE) : 0;
}

int seal_key_save(const char *dir, const struct seal_key *key, struct err *err)
{
	g_autofree char *text = seal_key_text(key);

	return cluster_file_write(dir, SEAL_KEY_FILE, text, err);
}
