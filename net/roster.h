/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The roster: who the members of the cluster are. A list of names, addresses
 * and fingerprints of certificates, with a number that grows with each change,
 * signed with the key of the cluster's authority. A node that is not in it is
 * not heard, whatever certificate it shows: removing a node means signing a
 * roster without it.
 *
 * As JSON:	{"version": 1, "serial": 7, "authority": "node1", "members":
 *		 [{"name": "node1", "address": "10.0.0.1", "port": 7480,
 *		   "fingerprint": "<64 hexadecimal digits>"}]}
 * Signed:	{"roster": "<that text>", "signature": "<base64>"}
 *
 * Pure: no files, no sockets. Members are found and added in a time that does not
 * grow with the roster; one is removed in a time that does.
 */
#ifndef MV_NET_ROSTER_H
#define MV_NET_ROSTER_H

#include "net/err.h"
#include "net/peer.h"
#include "net/pki.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define ROSTER_MAX_MEMBERS 4096
#define ROSTER_ADDRESS_MAX 253 /* bytes of a host name: RFC 1035, 2.3.4 */
/* So many members, all with the longest of names and addresses, and 8 KiB. */
#define ROSTER_MAX_MEMBER (60 + PEER_NAME_MAX + ROSTER_ADDRESS_MAX + PKI_FINGERPRINT_SIZE)
#define ROSTER_MAX_TEXT (ROSTER_MAX_MEMBERS * ROSTER_MAX_MEMBER + 8192)
/* In its envelope, where each quotation mark takes a byte more. */
#define ROSTER_MAX_ENVELOPE (ROSTER_MAX_TEXT + ROSTER_MAX_MEMBERS * 16 + 8192)

struct roster_index;

struct roster_member {
	char name[PEER_NAME_MAX + 1];
	char address[ROSTER_ADDRESS_MAX + 1];
	unsigned port;
	char fingerprint[PKI_FINGERPRINT_SIZE];
};

struct roster {
	int64_t serial;                     /* 1 or more */
	char authority[PEER_NAME_MAX + 1];  /* the node that has the CA's key */
	struct roster_member *members;
	unsigned count, room; /* for so many there is memory */
	/* To find a member by: its name, and its certificate's fingerprint. */
	struct roster_index *index;
};

struct roster *roster_new(const char *authority);
void roster_free(struct roster *roster);
struct roster *roster_copy(const struct roster *roster);

/* Strict: anything that roster_text() would not write is refused. */
struct roster *roster_parse(const char *text, size_t len, struct err *err);
/* To be freed by g_free(); NULL when it would be too long. */
char *roster_text(const struct roster *roster, struct err *err);

/* The roster in its envelope, signed; to be put. */
struct json_object *roster_seal(const struct roster *roster,
				const char *ca_key, struct err *err);
/* Check the envelope's signature and read what is in it. */
struct roster *roster_open(struct json_object *envelope, const char *ca_cert,
			   struct err *err);

/* NULL: no such member. Names differ in more than upper and lower case. */
const struct roster_member *roster_find(const struct roster *roster,
					const char *name);
/* Add or remove one; the serial number grows. */
int roster_add(struct roster *roster, const struct roster_member *member,
	       struct err *err);
int roster_remove(struct roster *roster, const char *name, struct err *err);

/* What may be a node's name: a letter or digit, then those and "._-", and not
 * "home", which means something else in commands. */
bool roster_name_ok(const char *name);
/* What may be an address: a host name, an IPv4 or an IPv6 address. */
bool roster_address_ok(const char *address);

#endif
