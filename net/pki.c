/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/pki.h"

#include <glib.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#define SERIAL_SIZE 16
#define MAX_SIGNATURE 1024 /* characters of base64; ours have about 100 */

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_x509_crt_t, gnutls_x509_crt_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_x509_crq_t, gnutls_x509_crq_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_x509_privkey_t,
				gnutls_x509_privkey_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_privkey_t, gnutls_privkey_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_pubkey_t, gnutls_pubkey_deinit, NULL)

static int fail(struct err *err, int rc, const char *what)
{
	return err_set(err, 0, "cannot %s: %s", what, gnutls_strerror(rc));
}

static gnutls_datum_t datum(const char *text)
{
	gnutls_datum_t d = {
		.data = (unsigned char *)(uintptr_t)text,
		.size = (unsigned)strlen(text),
	};

	return d;
}

/* A text of GnuTLS's becomes one of GLib's, which our callers free. */
static char *take(gnutls_datum_t *d)
{
	char *text = g_strndup((char *)d->data, d->size);

	/* It may be a key. */
	gnutls_memset(d->data, 0, d->size);
	gnutls_free(d->data);
	return text;
}

static int make_key(gnutls_x509_privkey_t *key, char **text, struct err *err)
{
	gnutls_datum_t out;
	int rc = gnutls_x509_privkey_init(key);

	if (rc == 0)
		rc = gnutls_x509_privkey_generate(*key, GNUTLS_PK_ECDSA,
			GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	if (rc == 0)
		rc = gnutls_x509_privkey_export2_pkcs8(*key,
			GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &out);
	if (rc < 0)
		return fail(err, rc, "make a key");
	*text = take(&out);
	return 0;
}

static int load_key(gnutls_x509_privkey_t *key, const char *text,
		    struct err *err)
{
	gnutls_datum_t d = datum(text);
	int rc = gnutls_x509_privkey_init(key);

	if (rc == 0)
		rc = gnutls_x509_privkey_import(*key, &d, GNUTLS_X509_FMT_PEM);
	return rc < 0 ? fail(err, rc, "read the key") : 0;
}

static int load_cert(gnutls_x509_crt_t *cert, const char *text,
		     struct err *err)
{
	gnutls_datum_t d = datum(text);
	int rc = gnutls_x509_crt_init(cert);

	if (strlen(text) > PKI_MAX_PEM)
		return err_set(err, 0, "the certificate is too long");
	if (rc == 0)
		rc = gnutls_x509_crt_import(*cert, &d, GNUTLS_X509_FMT_PEM);
	return rc < 0 ? fail(err, rc, "read the certificate") : 0;
}

static int set_serial(gnutls_x509_crt_t cert)
{
	unsigned char serial[SERIAL_SIZE];
	int rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof(serial));

	/* RFC 5280, 4.1.2.2: positive, and not shorter than it looks. */
	serial[0] = (serial[0] & 0x3f) | 0x40;
	return rc < 0 ? rc : gnutls_x509_crt_set_serial(cert, serial,
							sizeof(serial));
}

/* What certificates of both kinds have. */
static int set_basics(gnutls_x509_crt_t cert, const char *name,
		      int64_t lifetime_s)
{
	time_t now = time(NULL), begin = now - PKI_BACKDATE_S;
	time_t end = now + (time_t)lifetime_s;
	int rc = gnutls_x509_crt_set_version(cert, 3);

	if (end < begin)
		begin = end - 1;
	if (rc == 0)
		rc = set_serial(cert);
	if (rc == 0)
		rc = gnutls_x509_crt_set_activation_time(cert, begin);
	if (rc == 0)
		rc = gnutls_x509_crt_set_expiration_time(cert, end);
	if (rc == 0)
		rc = gnutls_x509_crt_set_dn_by_oid(cert,
			GNUTLS_OID_X520_COMMON_NAME, 0, name,
			(unsigned)strlen(name));
	return rc;
}

/* RFC 5280, 4.2.1.2: chains are found by the hash of the public key. */
static int set_key_id(gnutls_x509_crt_t cert)
{
	unsigned char id[64];
	size_t size = sizeof(id);
	int rc = gnutls_x509_crt_get_key_id(cert, 0, id, &size);

	return rc < 0 ? rc : gnutls_x509_crt_set_subject_key_id(cert, id, size);
}

static int fill_ca(gnutls_x509_crt_t cert, gnutls_x509_privkey_t key,
		   const char *name, int64_t lifetime_s)
{
	int rc = set_basics(cert, name, lifetime_s);

	if (rc == 0)
		rc = gnutls_x509_crt_set_key(cert, key);
	if (rc == 0)
		rc = gnutls_x509_crt_set_basic_constraints(cert, 1, 0);
	if (rc == 0)
		rc = gnutls_x509_crt_set_key_usage(cert,
			GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (rc == 0)
		rc = set_key_id(cert);
	return rc;
}

/* The subject, the extensions and whatever else a request holds is not copied:
 * only its key is the asker's business. */
static int fill_node(gnutls_x509_crt_t cert, gnutls_x509_crq_t request,
		     const char *name, int64_t lifetime_s)
{
	g_auto(gnutls_pubkey_t) key = NULL;
	int rc = gnutls_pubkey_init(&key);

	if (rc == 0)
		rc = gnutls_pubkey_import_x509_crq(key, request, 0);
	if (rc == 0)
		rc = gnutls_x509_crt_set_pubkey(cert, key);
	if (rc == 0)
		rc = set_basics(cert, name, lifetime_s);
	if (rc == 0)
		rc = gnutls_x509_crt_set_basic_constraints(cert, 0, -1);
	if (rc == 0)
		rc = gnutls_x509_crt_set_key_usage(cert,
			GNUTLS_KEY_DIGITAL_SIGNATURE);
	if (rc == 0)
		rc = gnutls_x509_crt_set_key_purpose_oid(cert,
			GNUTLS_KP_TLS_WWW_SERVER, 0);
	if (rc == 0)
		rc = gnutls_x509_crt_set_key_purpose_oid(cert,
			GNUTLS_KP_TLS_WWW_CLIENT, 0);
	if (rc == 0)
		rc = set_key_id(cert);
	return rc;
}

static int export_cert(gnutls_x509_crt_t cert, char **text, struct err *err)
{
	gnutls_datum_t out;
	int rc = gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &out);

	if (rc < 0)
		return fail(err, rc, "write a certificate");
	*text = take(&out);
	return 0;
}

int pki_make_ca(const char *name, int64_t lifetime_s, char **key_text,
		char **cert_text, struct err *err)
{
	g_auto(gnutls_x509_privkey_t) key = NULL;
	g_auto(gnutls_x509_crt_t) cert = NULL;
	g_autofree char *text = NULL;
	int rc;

	if (make_key(&key, &text, err) < 0)
		return -1;
	rc = gnutls_x509_crt_init(&cert);
	if (rc == 0)
		rc = fill_ca(cert, key, name, lifetime_s);
	if (rc == 0)
		rc = gnutls_x509_crt_sign2(cert, cert, key, GNUTLS_DIG_SHA256,
					   0);
	if (rc < 0)
		return fail(err, rc, "make the authority's certificate");
	if (export_cert(cert, cert_text, err) < 0)
		return -1;
	*key_text = g_steal_pointer(&text);
	return 0;
}

static int fill_request(gnutls_x509_crq_t request, gnutls_x509_privkey_t key,
			const char *name)
{
	int rc = gnutls_x509_crq_set_version(request, 1);

	if (rc == 0)
		rc = gnutls_x509_crq_set_dn_by_oid(request,
			GNUTLS_OID_X520_COMMON_NAME, 0, name,
			(unsigned)strlen(name));
	if (rc == 0)
		rc = gnutls_x509_crq_set_key(request, key);
	if (rc == 0)
		rc = gnutls_x509_crq_sign2(request, key, GNUTLS_DIG_SHA256, 0);
	return rc;
}

int pki_make_request(const char *name, char **key_text, char **request_text,
		     struct err *err)
{
	g_auto(gnutls_x509_privkey_t) key = NULL;
	g_auto(gnutls_x509_crq_t) request = NULL;
	g_autofree char *text = NULL;
	gnutls_datum_t out;
	int rc;

	if (make_key(&key, &text, err) < 0)
		return -1;
	rc = gnutls_x509_crq_init(&request);
	if (rc == 0)
		rc = fill_request(request, key, name);
	if (rc == 0)
		rc = gnutls_x509_crq_export2(request, GNUTLS_X509_FMT_PEM,
					     &out);
	if (rc < 0)
		return fail(err, rc, "make a certificate request");
	*request_text = take(&out);
	*key_text = g_steal_pointer(&text);
	return 0;
}

/* The asker must have the private key, and a key that we would make. */
static int load_request(gnutls_x509_crq_t *request, const char *text,
			struct err *err)
{
	gnutls_datum_t d = datum(text);
	unsigned bits = 0;
	int rc;

	if (strlen(text) > PKI_MAX_PEM)
		return err_set(err, 0, "the certificate request is too long");
	rc = gnutls_x509_crq_init(request);
	if (rc == 0)
		rc = gnutls_x509_crq_import(*request, &d, GNUTLS_X509_FMT_PEM);
	if (rc == 0)
		rc = gnutls_x509_crq_verify(*request, 0);
	if (rc < 0)
		return fail(err, rc, "read the certificate request");
	if (gnutls_x509_crq_get_pk_algorithm(*request, &bits) !=
	    GNUTLS_PK_ECDSA || bits < 256)
		return err_set(err, 0, "the certificate request has no key of "
			       "the curve P-256");
	return 0;
}

int pki_sign_request(const char *ca_key, const char *ca_cert,
		     const char *request_text, const char *name,
		     int64_t lifetime_s, char **cert_text, struct err *err)
{
	g_auto(gnutls_x509_privkey_t) key = NULL;
	g_auto(gnutls_x509_crt_t) ca = NULL, cert = NULL;
	g_auto(gnutls_x509_crq_t) request = NULL;
	int rc;

	if (load_request(&request, request_text, err) < 0 ||
	    load_key(&key, ca_key, err) < 0 || load_cert(&ca, ca_cert, err) < 0)
		return -1;
	rc = gnutls_x509_crt_init(&cert);
	if (rc == 0)
		rc = fill_node(cert, request, name, lifetime_s);
	if (rc == 0)
		rc = gnutls_x509_crt_sign2(cert, ca, key, GNUTLS_DIG_SHA256, 0);
	if (rc < 0)
		return fail(err, rc, "sign a certificate");
	return export_cert(cert, cert_text, err);
}

static void to_hex(char *text, const unsigned char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		g_snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

void pki_hash(const void *bytes, size_t len, char hash[PKI_FINGERPRINT_SIZE])
{
	unsigned char digest[32];

	/* Fails only for an algorithm that GnuTLS does not have. */
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, len, digest) < 0)
		g_error("GnuTLS has no SHA-256");
	to_hex(hash, digest, sizeof(digest));
}

void pki_fingerprint_der(const void *der, size_t len,
			 char fingerprint[PKI_FINGERPRINT_SIZE])
{
	pki_hash(der, len, fingerprint);
}

int pki_fingerprint(const char *text, char fingerprint[PKI_FINGERPRINT_SIZE],
		    struct err *err)
{
	g_auto(gnutls_x509_crt_t) cert = NULL;
	gnutls_datum_t der;
	int rc;

	if (load_cert(&cert, text, err) < 0)
		return -1;
	rc = gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_DER, &der);
	if (rc < 0)
		return fail(err, rc, "read the certificate");
	pki_fingerprint_der(der.data, der.size, fingerprint);
	gnutls_free(der.data);
	return 0;
}

static int get_name(gnutls_x509_crt_t cert, char *name, size_t size)
{
	size_t len = size;
	int rc = gnutls_x509_crt_get_dn_by_oid(cert,
		GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &len);

	if (rc < 0 || strlen(name) != len) {
		name[0] = '\0';
		return -1;
	}
	return 0;
}

int pki_cert_name(const char *text, char *name, size_t size, struct err *err)
{
	g_auto(gnutls_x509_crt_t) cert = NULL;

	if (load_cert(&cert, text, err) < 0)
		return -1;
	if (get_name(cert, name, size) < 0)
		return err_set(err, 0, "the certificate names no node");
	return 0;
}

static enum pki_verdict judge_times(gnutls_x509_crt_t cert, int64_t now)
{
	time_t begin = gnutls_x509_crt_get_activation_time(cert);
	time_t end = gnutls_x509_crt_get_expiration_time(cert);

	if (begin == (time_t)-1 || end == (time_t)-1)
		return PKI_MALFORMED;
	if (now < begin)
		return PKI_NOT_YET;
	return now >= end ? PKI_EXPIRED : PKI_GOOD;
}

enum pki_verdict pki_judge(const char *ca_cert, const void *der, size_t len,
			   int64_t now, char *name, size_t size)
{
	g_auto(gnutls_x509_crt_t) ca = NULL, cert = NULL;
	gnutls_datum_t d = {
		.data = (unsigned char *)(uintptr_t)der,
		.size = (unsigned)len,
	};
	unsigned status = 0;

	name[0] = '\0';
	if (len > PKI_MAX_PEM || gnutls_x509_crt_init(&cert) < 0 ||
	    gnutls_x509_crt_import(cert, &d, GNUTLS_X509_FMT_DER) < 0)
		return PKI_MALFORMED;
	/* Of times we tell more than GnuTLS would. */
	if (load_cert(&ca, ca_cert, NULL) < 0 ||
	    gnutls_x509_crt_verify(cert, &ca, 1,
				   GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
				   GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS,
				   &status) < 0 || status != 0)
		return PKI_FOREIGN;
	if (get_name(cert, name, size) < 0)
		return PKI_MALFORMED;
	return judge_times(cert, now);
}

int pki_sign(const char *ca_key, const void *bytes, size_t len,
	     char **signature, struct err *err)
{
	g_auto(gnutls_x509_privkey_t) x509 = NULL;
	g_auto(gnutls_privkey_t) key = NULL;
	gnutls_datum_t d = {
		.data = (unsigned char *)(uintptr_t)bytes,
		.size = (unsigned)len,
	};
	gnutls_datum_t out;
	int rc;

	if (load_key(&x509, ca_key, err) < 0)
		return -1;
	rc = gnutls_privkey_init(&key);
	if (rc == 0)
		rc = gnutls_privkey_import_x509(key, x509, 0);
	if (rc == 0)
		rc = gnutls_privkey_sign_data2(key,
			GNUTLS_SIGN_ECDSA_SHA256, 0, &d, &out);
	if (rc < 0)
		return fail(err, rc, "sign");
	*signature = g_base64_encode(out.data, out.size);
	gnutls_free(out.data);
	return 0;
}

int pki_verify(const char *ca_cert, const void *bytes, size_t len,
	       const char *signature, struct err *err)
{
	g_auto(gnutls_x509_crt_t) ca = NULL;
	g_auto(gnutls_pubkey_t) key = NULL;
	g_autofree guchar *raw = NULL;
	gnutls_datum_t d = {
		.data = (unsigned char *)(uintptr_t)bytes,
		.size = (unsigned)len,
	}, s;
	gsize size = 0;
	int rc;

	if (strlen(signature) > MAX_SIGNATURE)
		return err_set(err, 0, "the signature is too long");
	if (load_cert(&ca, ca_cert, err) < 0)
		return -1;
	raw = g_base64_decode(signature, &size);
	s.data = raw;
	s.size = (unsigned)size;
	rc = gnutls_pubkey_init(&key);
	if (rc == 0)
		rc = gnutls_pubkey_import_x509(key, ca, 0);
	if (rc == 0)
		rc = gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_ECDSA_SHA256,
						0, &d, &s);
	if (rc < 0)
		return err_set(err, 0, "the signature is not that of the "
			       "cluster's authority");
	return 0;
}

int pki_random(char *text, size_t bytes, struct err *err)
{
	unsigned char raw[64];
	int rc;

	g_assert(bytes <= sizeof(raw));
	rc = gnutls_rnd(GNUTLS_RND_KEY, raw, bytes);
	if (rc < 0)
		return fail(err, rc, "get random bytes");
	to_hex(text, raw, bytes);
	return 0;
}
