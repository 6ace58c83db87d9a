/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Certificates: made, judged, and refused for the right reason. */
#include "net/pki.h"

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct authority {
	char *key, *cert;
};

static struct authority authority_new(const char *name)
{
	struct authority ca;
	struct err err = { 0 };

	if (pki_make_ca(name, PKI_YEAR_S, &ca.key, &ca.cert, &err) < 0)
		fail_msg("%s", err.text);
	return ca;
}

static void authority_clear(struct authority *ca)
{
	g_free(ca->key);
	g_free(ca->cert);
}

static char *node_new(const struct authority *ca, const char *name,
		      int64_t lifetime_s)
{
	g_autofree char *key = NULL, *request = NULL;
	struct err err = { 0 };
	char *cert = NULL;

	if (pki_make_request("whatever", &key, &request, &err) < 0 ||
	    pki_sign_request(ca->key, ca->cert, request, name, lifetime_s,
			     &cert, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(strstr(key, "PRIVATE KEY"));
	assert_null(strstr(cert, "PRIVATE KEY"));
	return cert;
}

static enum pki_verdict judge(const struct authority *ca, const char *cert,
			      int64_t now, char name[65])
{
	g_autofree char *base64 = NULL;
	g_autofree guchar *der = NULL;
	const char *begin = strchr(cert, '\n') + 1;
	gsize len;

	base64 = g_strndup(begin, (gsize)(strstr(begin, "-----END") - begin));
	der = g_base64_decode(base64, &len);
	return pki_judge(ca->cert, der, len, now, name, 65);
}

static void judges_its_own(void **state)
{
	struct authority ca = authority_new("ours"), other;
	g_autofree char *cert = node_new(&ca, "node-1", PKI_YEAR_S);
	g_autofree char *dead = node_new(&ca, "node-1", -3600);
	char name[65];
	int64_t now = time(NULL);

	(void)state;
	other = authority_new("ours"); /* of the same name */
	assert_int_equal(judge(&ca, cert, now, name), PKI_GOOD);
	assert_string_equal(name, "node-1");
	/* A clock that is an hour behind does no harm, two days do. */
	assert_int_equal(judge(&ca, cert, now - 3600, name), PKI_GOOD);
	assert_int_equal(judge(&ca, cert, now - 2 * 86400, name), PKI_NOT_YET);
	assert_int_equal(judge(&ca, cert, now + PKI_YEAR_S - 60, name),
			 PKI_GOOD);
	assert_int_equal(judge(&ca, cert, now + PKI_YEAR_S + 60, name),
			 PKI_EXPIRED);
	assert_int_equal(judge(&ca, dead, now, name), PKI_EXPIRED);
	assert_string_equal(name, "node-1");
	assert_int_equal(judge(&other, cert, now, name), PKI_FOREIGN);
	assert_string_equal(name, "");
	/* The authority's own certificate belongs to no node, and a certificate
	 * signs no other. */
	assert_int_equal(pki_judge(ca.cert, "x", 1, now, name, sizeof(name)),
			 PKI_MALFORMED);
	authority_clear(&ca);
	authority_clear(&other);
}

static void node_makes_no_certificates(void **state)
{
	struct authority ca = authority_new("ours"), fake;
	g_autofree char *key = NULL, *request = NULL, *cert = NULL;
	struct err err = { 0 };
	char name[65];

	(void)state;
	assert_int_equal(pki_make_request("bad", &key, &request, &err), 0);
	assert_int_equal(pki_sign_request(ca.key, ca.cert, request, "bad",
					  PKI_YEAR_S, &cert, &err), 0);
	fake.key = key;
	fake.cert = cert;
	g_autofree char *made = node_new(&fake, "victim", PKI_YEAR_S);

	assert_int_equal(judge(&ca, made, time(NULL), name), PKI_FOREIGN);
	authority_clear(&ca);
}

static void refuses_bad_requests(void **state)
{
	struct authority ca = authority_new("ours");
	g_autofree char *key = NULL, *request = NULL, *long_text = NULL;
	g_autofree char *spoilt = NULL;
	char *cert = NULL, *middle;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(pki_make_request("n", &key, &request, &err), 0);
	long_text = g_strnfill(PKI_MAX_PEM + 1, 'A');
	spoilt = g_strdup(request);
	/* Among the key's bytes: the request's own signature is wrong then. */
	middle = spoilt + strlen(spoilt) / 2;
	*middle = *middle == 'A' ? 'B' : 'A';
	assert_int_equal(pki_sign_request(ca.key, ca.cert, "", "n", PKI_YEAR_S,
					  &cert, &err), -1);
	assert_int_equal(pki_sign_request(ca.key, ca.cert, key, "n", PKI_YEAR_S,
					  &cert, &err), -1);
	assert_int_equal(pki_sign_request(ca.key, ca.cert, long_text, "n",
					  PKI_YEAR_S, &cert, &err), -1);
	assert_non_null(strstr(err.text, "too long"));
	assert_int_equal(pki_sign_request(ca.key, ca.cert, spoilt, "n",
					  PKI_YEAR_S, &cert, &err), -1);
	assert_null(cert);
	authority_clear(&ca);
}

static void signs_and_verifies(void **state)
{
	struct authority ca = authority_new("a"), other = authority_new("b");
	g_autofree char *signature = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(pki_sign(ca.key, "text", 4, &signature, &err), 0);
	assert_int_equal(pki_verify(ca.cert, "text", 4, signature, &err), 0);
	assert_int_equal(pki_verify(ca.cert, "texT", 4, signature, &err), -1);
	assert_int_equal(pki_verify(ca.cert, "text", 3, signature, &err), -1);
	assert_int_equal(pki_verify(other.cert, "text", 4, signature, &err), -1);
	assert_int_equal(pki_verify(ca.cert, "text", 4, "", &err), -1);
	assert_int_equal(pki_verify(ca.cert, "text", 4, "\xff=", &err), -1);
	authority_clear(&ca);
	authority_clear(&other);
}

static void tells_fingerprints(void **state)
{
	struct authority ca = authority_new("a");
	g_autofree char *one = node_new(&ca, "n", PKI_YEAR_S);
	g_autofree char *two = node_new(&ca, "n", PKI_YEAR_S);
	char a[PKI_FINGERPRINT_SIZE], b[PKI_FINGERPRINT_SIZE], name[65];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(pki_fingerprint(one, a, &err), 0);
	assert_int_equal(pki_fingerprint(two, b, &err), 0);
	assert_int_equal(strlen(a), PKI_FINGERPRINT_SIZE - 1);
	assert_string_not_equal(a, b);
	assert_int_equal(pki_fingerprint("nonsense", a, &err), -1);
	assert_int_equal(pki_cert_name(one, name, sizeof(name), &err), 0);
	assert_string_equal(name, "n");
	/* FIPS 180-2, B.1 */
	pki_hash("abc", 3, a);
	assert_string_equal(a, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb"
			    "410ff61f20015ad");
	authority_clear(&ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_its_own),
		cmocka_unit_test(node_makes_no_certificates),
		cmocka_unit_test(refuses_bad_requests),
		cmocka_unit_test(signs_and_verifies),
		cmocka_unit_test(tells_fingerprints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
