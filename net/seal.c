/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/seal.h"

#include "net/bytes.h"
#include "net/xxh64.h"

#include <assert.h>
#include <glib.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#define MAGIC 0x6764766du /* "mvdg" */
#define VERSION 1
#define CIPHER GNUTLS_CIPHER_CHACHA20_POLY1305
#define NONCE 12
#define HELLO (2 * SEAL_CHALLENGE)

/* The parts of the header. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 4,
	AT_KIND = 5,
	AT_ZERO = 6, /* 16 bits */
	AT_KEY = 8,
	AT_FROM = 16,
	AT_TO = 24,
	AT_FROM_BOOT = 32,
	AT_TO_BOOT = 40,
	AT_COUNTER = 48,
};
static_assert(AT_COUNTER + 8 == SEAL_HEADER, "wire format");

struct header {
	enum seal_kind kind;
	uint64_t key, from, to, from_boot, to_boot, counter;
};

const char *seal_verdict_name(enum seal_verdict verdict)
{
	static const char *const names[] = { "good", "malformed", "stranger",
					     "unknown_key", "forged", "replayed",
					     "unproven" };

	static_assert(G_N_ELEMENTS(names) == SEAL_VERDICTS, "a name each");
	return (unsigned)verdict < SEAL_VERDICTS ? names[verdict] : "unknown";
}

/* ---- names ---- */

static void set_name(char to[PEER_NAME_MAX + 1], const char *name)
{
	size_t i;

	for (i = 0; name[i] && i < PEER_NAME_MAX; i++)
		to[i] = g_ascii_tolower(name[i]);
	to[i] = '\0';
}

uint64_t seal_id(const char *name)
{
	char lower[PEER_NAME_MAX + 1];
	uint64_t id;

	set_name(lower, name);
	id = xxh64(0, lower, strlen(lower));
	return id ? id : 1;
}

static int random_bytes(void *bytes, size_t len, struct err *err)
{
	int rc = gnutls_rnd(GNUTLS_RND_NONCE, bytes, len);

	return rc < 0 ? err_set(err, 0, "cannot draw random numbers: %s",
				gnutls_strerror(rc)) : 0;
}

int seal_init(struct seal *seal, const char *name, struct err *err)
{
	*seal = (struct seal){ .id = seal_id(name) };
	set_name(seal->name, name);
	while (seal->boot == 0)
		if (random_bytes(&seal->boot, sizeof(seal->boot), err) < 0)
			return -1;
	return 0;
}

void seal_peer_init(struct seal_peer *peer, const char *name)
{
	*peer = (struct seal_peer){ .id = seal_id(name) };
	set_name(peer->name, name);
}

/* ---- the header ---- */

static void put_header(uint8_t *out, const struct header *header)
{
	memset(out, 0, SEAL_HEADER);
	put_le32(out + AT_MAGIC, MAGIC);
	out[AT_VERSION] = VERSION;
	out[AT_KIND] = (uint8_t)header->kind;
	put_le64(out + AT_KEY, header->key);
	put_le64(out + AT_FROM, header->from);
	put_le64(out + AT_TO, header->to);
	put_le64(out + AT_FROM_BOOT, header->from_boot);
	put_le64(out + AT_TO_BOOT, header->to_boot);
	put_le64(out + AT_COUNTER, header->counter);
}

static bool get_header(const uint8_t *bytes, size_t len, struct header *header)
{
	if (len < SEAL_HEADER + SEAL_TAG || len > SEAL_MAX ||
	    get_le32(bytes + AT_MAGIC) != MAGIC || bytes[AT_VERSION] != VERSION ||
	    bytes[AT_KIND] == 0 || bytes[AT_KIND] >= SEAL_KINDS ||
	    get_le16(bytes + AT_ZERO) != 0)
		return false;
	*header = (struct header){
		.kind = bytes[AT_KIND],
		.key = get_le64(bytes + AT_KEY),
		.from = get_le64(bytes + AT_FROM),
		.to = get_le64(bytes + AT_TO),
		.from_boot = get_le64(bytes + AT_FROM_BOOT),
		.to_boot = get_le64(bytes + AT_TO_BOOT),
		.counter = get_le64(bytes + AT_COUNTER),
	};
	return header->key != 0 && header->from_boot != 0 && header->counter != 0;
}

uint64_t seal_sender(const struct seal *seal, const uint8_t *bytes, size_t len,
		     uint64_t *key_number)
{
	struct header header;

	if (!get_header(bytes, len, &header) || header.to != seal->id)
		return 0;
	*key_number = header.key;
	return header.from;
}

/* ---- sealing ---- */

/* The key of one direction between two nodes in one life of both. A hello is
 * sealed before the receiver's boot is known: as if it were 0. */
static int derive(const struct seal_key *key, const struct header *header,
		  const char *from, const char *to, uint8_t out[SEAL_KEY])
{
	static const char label[] = "monovisor datagram 1";
	uint8_t text[sizeof(label) + 2 * (PEER_NAME_MAX + 1) + 16] = { 0 };
	uint8_t *at = text + sizeof(label) + 2 * (PEER_NAME_MAX + 1);

	memcpy(text, label, sizeof(label));
	strcpy((char *)text + sizeof(label), from);
	strcpy((char *)text + sizeof(label) + PEER_NAME_MAX + 1, to);
	put_le64(at, header->from_boot);
	put_le64(at + 8, header->kind == SEAL_HELLO ? 0 : header->to_boot);
	return gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->bytes, SEAL_KEY, text,
				sizeof(text), out);
}

static gnutls_aead_cipher_hd_t begin(const struct seal_key *key,
				     const struct header *header, const char *from,
				     const char *to, uint8_t nonce[NONCE])
{
	uint8_t secret[SEAL_KEY];
	gnutls_datum_t datum = { secret, sizeof(secret) };
	gnutls_aead_cipher_hd_t cipher = NULL;

	memset(nonce, 0, NONCE);
	put_le64(nonce, header->counter);
	if (derive(key, header, from, to, secret) < 0 ||
	    gnutls_aead_cipher_init(&cipher, CIPHER, &datum) < 0)
		cipher = NULL;
	gnutls_memset(secret, 0, sizeof(secret));
	return cipher;
}

size_t seal_write(const struct seal *seal, struct seal_peer *peer, enum seal_kind kind,
		  const uint8_t *payload, size_t len, uint8_t *out, size_t size)
{
	size_t room = size - SEAL_HEADER;
	gnutls_aead_cipher_hd_t cipher;
	uint8_t nonce[NONCE];
	struct header header = {
		.kind = kind, .key = seal->key.number,
		.from = seal->id, .to = peer->id,
		.from_boot = seal->boot, .to_boot = peer->boot,
	};
	int rc;

	if (seal->key.number == 0 || len > SEAL_PAYLOAD_MAX ||
	    size < SEAL_HEADER + len + SEAL_TAG ||
	    (kind != SEAL_HELLO && peer->boot == 0))
		return 0;
	header.counter = ++peer->counter;
	put_header(out, &header);
	cipher = begin(&seal->key, &header, seal->name, peer->name, nonce);
	if (!cipher)
		return 0;
	rc = gnutls_aead_cipher_encrypt(cipher, nonce, NONCE, out, SEAL_HEADER, SEAL_TAG,
					payload, len, out + SEAL_HEADER, &room);
	gnutls_aead_cipher_deinit(cipher);
	return rc < 0 ? 0 : SEAL_HEADER + room;
}

/* ---- opening ---- */

static const struct seal_key *find_key(const struct seal *seal, uint64_t number)
{
	if (seal->key.number == number)
		return &seal->key;
	return seal->former.number == number ? &seal->former : NULL;
}

static bool unseal(const struct seal *seal, const struct seal_peer *peer,
		   const struct seal_key *key, const struct header *header,
		   const uint8_t *bytes, size_t len, uint8_t *payload, size_t *used)
{
	uint8_t nonce[NONCE];
	gnutls_aead_cipher_hd_t cipher = begin(key, header, peer->name, seal->name,
					       nonce);
	int rc;

	if (!cipher)
		return false;
	*used = SEAL_PAYLOAD_MAX;
	rc = gnutls_aead_cipher_decrypt(cipher, nonce, NONCE, bytes, SEAL_HEADER,
					SEAL_TAG, bytes + SEAL_HEADER,
					len - SEAL_HEADER, payload, used);
	gnutls_aead_cipher_deinit(cipher);
	return rc >= 0;
}

/* A sliding window, as in RFC 4303, 3.4.3. Hellos are not in it: they may be
 * taken twice. */
static bool is_new(struct seal_peer *peer, uint64_t counter)
{
	uint64_t behind;

	if (counter > peer->highest) {
		uint64_t ahead = counter - peer->highest;

		peer->seen = ahead < SEAL_WINDOW ? peer->seen << ahead : 0;
		peer->seen |= 1;
		peer->highest = counter;
		return true;
	}
	behind = peer->highest - counter;
	if (behind >= SEAL_WINDOW || (peer->seen >> behind & 1))
		return false;
	peer->seen |= 1ull << behind;
	return true;
}

enum seal_verdict seal_open(const struct seal *seal, struct seal_peer *peer,
			    const uint8_t *bytes, size_t len, enum seal_kind *kind,
			    uint8_t *payload, size_t *used)
{
	const struct seal_key *key;
	struct header header;

	if (!get_header(bytes, len, &header))
		return SEAL_MALFORMED;
	if (!peer || header.from != peer->id || header.to != seal->id)
		return SEAL_STRANGER;
	key = find_key(seal, header.key);
	if (!key)
		return SEAL_KEY_UNKNOWN;
	if (!unseal(seal, peer, key, &header, bytes, len, payload, used))
		return SEAL_FORGED;
	*kind = header.kind;
	if (header.kind == SEAL_HELLO)
		return SEAL_GOOD;
	if (header.to_boot != seal->boot || header.from_boot != peer->boot)
		return SEAL_UNPROVEN;
	return is_new(peer, header.counter) ? SEAL_GOOD : SEAL_REPLAYED;
}

uint64_t seal_boot(const uint8_t *bytes)
{
	return get_le64(bytes + AT_FROM_BOOT);
}

/* ---- hellos ---- */

size_t seal_hello(const struct seal *seal, struct seal_peer *peer, bool challenge,
		  const uint8_t *answer, uint8_t *out, size_t size)
{
	uint8_t payload[HELLO] = { 0 };

	if (challenge && !peer->challenged) {
		if (random_bytes(peer->challenge, SEAL_CHALLENGE, NULL) < 0)
			return 0;
		peer->challenged = true;
	}
	if (challenge)
		memcpy(payload, peer->challenge, SEAL_CHALLENGE);
	if (answer)
		memcpy(payload + SEAL_CHALLENGE, answer, SEAL_CHALLENGE);
	return seal_write(seal, peer, SEAL_HELLO, payload, sizeof(payload), out, size);
}

static void prove(struct seal_peer *peer, uint64_t boot, const uint8_t *answer,
		  struct seal_heard *heard)
{
	if (!peer->challenged ||
	    gnutls_memcmp(answer, peer->challenge, SEAL_CHALLENGE) != 0)
		return;
	peer->challenged = false;
	heard->answered = true;
	heard->proven = peer->boot != boot;
	if (heard->proven)
		peer->highest = peer->seen = 0;
	peer->boot = boot;
}

int seal_take_hello(struct seal_peer *peer, const uint8_t *bytes,
		    const uint8_t *payload, size_t len, struct seal_heard *heard)
{
	static const uint8_t none[SEAL_CHALLENGE];

	*heard = (struct seal_heard){ 0 };
	if (len != HELLO)
		return -1;
	prove(peer, get_le64(bytes + AT_FROM_BOOT), payload + SEAL_CHALLENGE, heard);
	heard->doubtful = get_le64(bytes + AT_FROM_BOOT) != peer->boot;
	heard->challenges = memcmp(payload, none, SEAL_CHALLENGE) != 0;
	memcpy(heard->challenge, payload, SEAL_CHALLENGE);
	return 0;
}
