/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagrams between members of the cluster: authenticated, encrypted, bound to sender
 * and receiver, and each taken once. A state machine without I/O and without clock.
 * The bytes are in docs/peer-protocol.md, "Datagrams".
 *
 * Theory of operation
 *
 * All members share a key (net/seal-key.h), which is replaced when one is removed. For
 * each direction between two nodes another one is made from it, the two names, and the
 * two nodes' boots: random numbers that each draws when it starts. So a datagram is
 * good between these two, in this life of both, and nowhere else; within that
 * its counter says whether it came already. No clock is compared.
 *
 * The boot of another is not believed from what it says, which might be old, but proven:
 * each is sent a random challenge, and the answer, sealed like all else, carries its boot. That is
 * what hellos are for. Until then other datagrams cannot be sent to it, and
 * those from it are refused.
 *
 * A member that knows the key can pretend to be another member. Against members
 * the roster and TLS guard, where it matters; this guards against everybody else.
 */
#ifndef MV_NET_SEAL_H
#define MV_NET_SEAL_H

#include "net/err.h"
#include "net/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEAL_KEY 32
#define SEAL_HEADER 56
#define SEAL_TAG 16
#define SEAL_MAX 1200 /* bytes of a datagram: fits every network's packets */
#define SEAL_PAYLOAD_MAX (SEAL_MAX - SEAL_HEADER - SEAL_TAG)
#define SEAL_CHALLENGE 16
#define SEAL_WINDOW 64 /* how far datagrams may overtake each other */

enum seal_kind { SEAL_HELLO = 1, SEAL_GOSSIP, SEAL_SWIM, SEAL_KINDS };

/* What became of a datagram that arrived. */
enum seal_verdict {
	SEAL_GOOD,
	SEAL_MALFORMED,   /* no datagram of this kind and version */
	SEAL_STRANGER,    /* from no member, or not meant for this node */
	SEAL_KEY_UNKNOWN, /* sealed with a key that this node does not have */
	SEAL_FORGED,      /* not sealed with the key that it names, or altered */
	SEAL_REPLAYED,    /* came already, or is too old to tell */
	SEAL_UNPROVEN,    /* of another life of the sender, or of this node */
	SEAL_VERDICTS
};
const char *seal_verdict_name(enum seal_verdict verdict);

struct seal_key {
	uint64_t number; /* 0: none */
	uint8_t bytes[SEAL_KEY];
};

/* This node. */
struct seal {
	char name[PEER_NAME_MAX + 1]; /* lower case */
	uint64_t id, boot;
	struct seal_key key;    /* what is sealed with */
	struct seal_key former; /* what is still taken */
};

/* Another. */
struct seal_peer {
	char name[PEER_NAME_MAX + 1]; /* lower case */
	uint64_t id;
	uint64_t boot;             /* proven; 0: not yet */
	uint64_t counter;          /* of the last datagram sent to it */
	uint64_t highest, seen;    /* received: the highest counter, a bit for each below */
	bool challenged;
	uint8_t challenge[SEAL_CHALLENGE]; /* sent to it, and not answered yet */
};

/* Names of nodes, and the numbers made of them (never 0). */
uint64_t seal_id(const char *name);
int seal_init(struct seal *seal, const char *name, struct err *err);
void seal_peer_init(struct seal_peer *peer, const char *name);

/* Who sent it, as it says itself, to find the peer by; and with which key. 0 when it is none of ours. */
uint64_t seal_sender(const struct seal *seal, const uint8_t *bytes, size_t len,
		     uint64_t *key_number);

/* The datagram's length, 0 when it cannot be: no key, no proof, too long. */
size_t seal_write(const struct seal *seal, struct seal_peer *peer, enum seal_kind kind,
		  const uint8_t *payload, size_t len, uint8_t *out, size_t size);

/*
 * Open one from `peer` (NULL: no member's). `payload` has SEAL_PAYLOAD_MAX bytes.
 * `kind`, `payload` and `used` count after SEAL_GOOD only.
 */
enum seal_verdict seal_open(const struct seal *seal, struct seal_peer *peer,
			    const uint8_t *bytes, size_t len, enum seal_kind *kind,
			    uint8_t *payload, size_t *used);

/* The sender's boot in a datagram that seal_open() called good or unproven. */
uint64_t seal_boot(const uint8_t *bytes);

/* ---- hellos ---- */

/*
 * A hello to a peer: with a challenge, and with the answer to its challenge (NULL:
 * none). One that is not answered yet is sent again.
 */
size_t seal_hello(const struct seal *seal, struct seal_peer *peer, bool challenge,
		  const uint8_t *answer, uint8_t *out, size_t size);

struct seal_heard {
	bool answered;   /* our challenge: it is where this came from */
	bool proven;     /* and its boot is another than was known */
	bool doubtful;   /* it says that its boot is another than the proven one */
	bool challenges; /* it wants an answer */
	uint8_t challenge[SEAL_CHALLENGE];
};
/* What is in a hello that seal_open() called good; `bytes` is the whole datagram. -1 when
 * it makes no sense. */
int seal_take_hello(struct seal_peer *peer, const uint8_t *bytes,
		    const uint8_t *payload, size_t len, struct seal_heard *heard);

#endif
