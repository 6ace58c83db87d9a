/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a node knows of its cluster, kept in a directory (0700, files 0600):
 *
 *	ca.pem       the authority's certificate
 *	node.pem     this node's certificate, signed by it
 *	node.key     its private key, which never leaves the node
 *	roster.json  the newest roster seen, signed
 *	datagram.key the key of datagrams (net/seal-key.h)
 *	ca.key       the authority's private key: only where the cluster was made
 *	invites      tokens given out and not yet forgotten: only there, too
 *
 * Each file is replaced as a whole (written, synced, renamed), and a directory
 * appears whole, so that a node that loses power has the old state or the new.
 */
#ifndef MV_NET_CLUSTER_H
#define MV_NET_CLUSTER_H

#include "net/err.h"
#include "net/peer.h"
#include "net/pki.h"
#include "net/roster.h"

#include <json-c/json.h>
#include <stdbool.h>

#define CLUSTER_NODE_YEARS 10
#define CLUSTER_CA_YEARS 30
#define CLUSTER_INVITE_S 3600
#define CLUSTER_MAX_CLOCK_S 300 /* a node whose clock is off by more is not admitted */

struct cluster {
	char *dir, *ca, *cert, *key; /* texts, PEM */
	char self[PEER_NAME_MAX + 1];
	char fingerprint[PKI_FINGERPRINT_SIZE];    /* of this node's certificate */
	char ca_fingerprint[PKI_FINGERPRINT_SIZE]; /* names the cluster */
	struct roster *roster;
	struct json_object *envelope; /* the roster as signed */
	bool authority;               /* the authority's key is here */
};

/* NULL when it cannot be read; err.num is ENOENT when there is no cluster. */
struct cluster *cluster_load(const char *dir, struct err *err);
void cluster_free(struct cluster *cluster);

/* False once a roster without this node has been seen. */
bool cluster_has_self(const struct cluster *cluster);

/* Could this node, now in no cluster, become a member so? The address may be
 * NULL. */
int cluster_check_new(const char *dir, const char *name, const char *address,
		      unsigned port, struct err *err);
/* Make a new cluster of this one node, its authority. */
int cluster_init(const char *dir, const char *name, const char *address,
		 unsigned port, int64_t node_lifetime_s, struct err *err);

/* A token for one node, valid for an hour; to be freed by g_free(). */
char *cluster_invite(struct cluster *cluster, struct err *err);

/* The parts of a token: mv1-SECRET-HASH. */
#define CLUSTER_SECRET_SIZE 33
struct cluster_token {
	char secret[CLUSTER_SECRET_SIZE];
	char ca_hash[CLUSTER_SECRET_SIZE]; /* the first half of its fingerprint */
};
int cluster_token_parse(struct cluster_token *token, const char *text,
			struct err *err);

/* What a node that wants to join says. */
struct cluster_admission {
	const char *secret, *name, *address, *request;
	unsigned port;
};
/*
 * Check the secret, use it up, sign the request and put the node into the
 * roster. The error is fit for the one who asks.
 */
int cluster_admit(struct cluster *cluster,
		  const struct cluster_admission *admission, char **cert,
		  struct err *err);
int cluster_remove(struct cluster *cluster, const char *name, struct err *err);

/* Keep what joining brought: in a new directory, or over that of a cluster that
 * this node was removed from. */
int cluster_store(const char *dir, const char *ca, const char *cert,
		  const char *key, struct json_object *envelope,
		  struct err *err);

/* A roster from somebody else: 1 when it was newer and has been taken, 0 when
 * it is no news, -1 when it is no roster of this cluster. */
int cluster_adopt(struct cluster *cluster, struct json_object *envelope,
		  struct err *err);

/* Judge the certificate that somebody has shown, by authority and time only;
 * `name` (PEER_NAME_MAX + 1 bytes) gets whom it names. The text says what is
 * wrong, and is meant for both sides. */
int cluster_judge(const struct cluster *cluster, const void *der, size_t len,
		  char *name, struct err *err);
/* Judge by the roster. */
int cluster_judge_member(const struct cluster *cluster, const char *name,
			 const char *fingerprint, struct err *err);

#endif
