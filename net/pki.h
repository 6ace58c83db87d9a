/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster's own certificate authority, with GnuTLS: keys, certificates,
 * fingerprints and signatures, as texts in memory. Where they are kept is
 * net/cluster.h's business; the TLS that uses them is GIO's.
 *
 * Keys are of the elliptic curve P-256. A certificate names its node in the
 * subject's common name and says nothing else about it: what counts besides is
 * the roster. Returned strings are freed by g_free().
 */
#ifndef MV_NET_PKI_H
#define MV_NET_PKI_H

#include "net/err.h"

#include <stddef.h>
#include <stdint.h>

#define PKI_FINGERPRINT_SIZE 65       /* SHA-256 in hexadecimal, with its NUL */
#define PKI_MAX_PEM 16384             /* bytes of a PEM text taken from others */
#define PKI_BACKDATE_S (24 * 60 * 60) /* certificates begin a day ago: clocks */
#define PKI_YEAR_S (365LL * 24 * 60 * 60)

/* A new authority; `name` goes into its subject, for people. */
int pki_make_ca(const char *name, int64_t lifetime_s, char **key, char **cert,
		struct err *err);
/* A new key, and the request for a certificate. */
int pki_make_request(const char *name, char **key, char **request,
		     struct err *err);
/*
 * The authority's certificate for the key of a request, which comes from
 * somebody else: all but the key in it is ignored. It ends `lifetime_s` from
 * now, which is negative in tests.
 */
int pki_sign_request(const char *ca_key, const char *ca_cert,
		     const char *request, const char *name, int64_t lifetime_s,
		     char **cert, struct err *err);

int pki_fingerprint(const char *cert, char fingerprint[PKI_FINGERPRINT_SIZE],
		    struct err *err);
void pki_fingerprint_der(const void *der, size_t len,
			 char fingerprint[PKI_FINGERPRINT_SIZE]);
/* SHA-256 of any bytes, in the same form. */
void pki_hash(const void *bytes, size_t len,
	      char hash[PKI_FINGERPRINT_SIZE]);

enum pki_verdict {
	PKI_GOOD,
	PKI_MALFORMED,
	PKI_FOREIGN,   /* another authority's */
	PKI_NOT_YET,   /* begins in the future */
	PKI_EXPIRED,
};

/*
 * Judge a certificate (DER) that a peer has shown: made by the authority, valid
 * at `now` (seconds since 1970). `name` gets its node when it is one of the
 * authority's certificates, else "".
 */
enum pki_verdict pki_judge(const char *ca_cert, const void *der, size_t len,
			   int64_t now, char *name, size_t size);
/* The common name of a certificate. */
int pki_cert_name(const char *cert, char *name, size_t size, struct err *err);

/* Sign bytes with the authority's key; the signature is base64. */
int pki_sign(const char *ca_key, const void *bytes, size_t len,
	     char **signature, struct err *err);
int pki_verify(const char *ca_cert, const void *bytes, size_t len,
	       const char *signature, struct err *err);

/* Random bytes fit for secrets, in hexadecimal: `bytes` * 2 + 1 characters. */
int pki_random(char *text, size_t bytes, struct err *err);

#endif
