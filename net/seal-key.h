/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The key that the members of a cluster share for their datagrams, in the file
 * "datagram.key" of the cluster's directory: {"number": 3, "key": "<64 hexadecimal digits>"}.
 *
 * The authority makes it, and a new one when a member is removed. Its number is the
 * serial of the roster from then on: whoever has a key gives it only to those in a roster
 * at least as new, and so never to somebody whom it is to shut out.
 */
#ifndef MV_NET_SEAL_KEY_H
#define MV_NET_SEAL_KEY_H

#include "net/seal.h"

#include <json-c/json.h>

#define SEAL_KEY_FILE "datagram.key"

int seal_key_make(struct seal_key *key, uint64_t number, struct err *err);
/* The file's text; to be freed by g_free(). */
char *seal_key_text(const struct seal_key *key);
/* From that text as an object: a file's, or a peer's answer. */
int seal_key_parse(struct seal_key *key, struct json_object *object, struct err *err);

/* err.num is ENOENT when there is none. */
int seal_key_load(const char *dir, struct seal_key *key, struct err *err);
int seal_key_save(const char *dir, const struct seal_key *key, struct err *err);

#endif
