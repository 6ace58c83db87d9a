/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of members: kept, signed, and read from anybody. */
#include "net/roster.h"

#include "net/json.h"

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FP "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

static struct roster_member member_new(const char *name, char last)
{
	struct roster_member member = { .port = 7480 };

	g_strlcpy(member.name, name, sizeof(member.name));
	g_strlcpy(member.address, "10.0.0.1", sizeof(member.address));
	snprintf(member.fingerprint, sizeof(member.fingerprint), FP "%c", last);
	return member;
}

static struct roster *roster_of(unsigned count)
{
	struct roster *roster = roster_new("n0");
	struct roster_member member;
	char name[16];
	unsigned i;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		member = member_new(name, '0');
		snprintf(member.fingerprint, 9, "%08x", i);
		member.fingerprint[8] = 'f';
		assert_int_equal(roster_add(roster, &member, NULL), 0);
	}
	return roster;
}

static void adds_and_removes(void **state)
{
	struct roster *roster = roster_of(3);
	struct roster_member member = member_new("N1", 'a');
	struct err err = { 0 };

	(void)state;
	assert_int_equal(roster->serial, 3);
	/* Not the same name in other letters, not the same certificate. */
	assert_int_equal(roster_add(roster, &member, &err), -1);
	assert_non_null(strstr(err.text, "taken"));
	member = member_new("n9", 'a');
	memcpy(member.fingerprint, roster->members[1].fingerprint,
	       sizeof(member.fingerprint));
	assert_int_equal(roster_add(roster, &member, &err), -1);
	assert_int_equal(roster->serial, 3);
	assert_int_equal(roster_remove(roster, "n7", &err), -1);
	assert_non_null(strstr(err.text, "n7"));
	assert_int_equal(roster_remove(roster, "n1", &err), 0);
	assert_int_equal(roster->serial, 4);
	assert_null(roster_find(roster, "n1"));
	assert_non_null(roster_find(roster, "n0"));
	assert_string_equal(roster_find(roster, "N2")->name, "n2");
	roster_free(roster);
}

static void reads_what_it_writes(void **state)
{
	struct roster *roster = roster_of(5), *again;
	g_autofree char *text = roster_text(roster, NULL), *text2 = NULL;
	struct err err = { 0 };

	(void)state;
	again = roster_parse(text, strlen(text), &err);
	if (!again)
		fail_msg("%s", err.text);
	text2 = roster_text(again, NULL);
	assert_string_equal(text, text2);
	assert_int_equal(again->count, 5);
	assert_int_equal(again->serial, roster->serial);
	roster_free(roster);
	roster_free(again);
}

/* As many members as may be, with short names, still fit into a line. */
static void is_bounded(void **state)
{
	struct roster *roster = roster_of(ROSTER_MAX_MEMBERS), *again;
	struct roster_member one_more = member_new("more", 'f');
	g_autofree char *text = roster_text(roster, NULL), *key = NULL;
	g_autofree char *ca = NULL;
	struct json_object *envelope = NULL;
	struct err err = { 0 };
	unsigned i;

	(void)state;
	assert_non_null(text);
	again = roster_parse(text, strlen(text), &err);
	assert_non_null(again);
	assert_int_equal(again->count, ROSTER_MAX_MEMBERS);
	roster_free(again);
	assert_int_equal(roster_add(roster, &one_more, &err), -1);
	assert_non_null(strstr(err.text, "at most"));
	/* With names of the full length it is refused, not cut. */
	for (i = 0; i < roster->count; i++) {
		memset(roster->members[i].address, 'a', ROSTER_ADDRESS_MAX);
		memset(roster->members[i].name, 'b', PEER_NAME_MAX);
	}
	assert_null(roster_text(roster, &err));
	assert_non_null(strstr(err.text, "too long"));
	/* The longest one that is accepted goes through a line of the protocol. */
	assert_int_equal(pki_make_ca("a", PKI_YEAR_S, &key, &ca, &err), 0);
	for (i = 0; i < roster->count && !envelope; i++) {
		envelope = roster_seal(roster, key, &err);
		roster->members[i].address[1] = '\0';
	}
	assert_non_null(envelope);
	assert_true(i > 1);
	assert_in_range(strlen(json_text(envelope)), ROSTER_MAX_TEXT * 9 / 10,
			PEER_MAX_LINE - 4096);
	json_object_put(envelope);
	roster_free(roster);
}

static void refused(const char *text, size_t len)
{
	struct err err = { 0 };
	struct roster *roster = roster_parse(text, len, &err);

	if (roster)
		fail_msg("taken: %s", text);
	if (strncmp(err.text, "cannot read", 11) != 0)
		fail_msg("%s: \"%s\"", text, err.text);
}

#define MEMBER(name, address, port, fp) \
	"{\"name\":" name ",\"address\":" address ",\"port\":" port \
	",\"fingerprint\":" fp "}"
#define GOOD MEMBER("\"a\"", "\"h\"", "1", "\"" FP "0\"")
#define ROSTER(members) "{\"version\":1,\"serial\":1,\"authority\":\"a\"," \
	"\"members\":[" members "]}"

static void refuses_bad_text(void **state)
{
	static const char *const texts[] = {
		"", "{", "null", "[]", "{}", ROSTER(GOOD) "x",
		"{\"version\":2,\"serial\":1,\"authority\":\"a\",\"members\":[]}",
		"{\"version\":1,\"serial\":0,\"authority\":\"a\",\"members\":[]}",
		"{\"version\":1,\"serial\":-1,\"authority\":\"a\",\"members\":[]}",
		"{\"version\":1,\"serial\":1.5,\"authority\":\"a\",\"members\":[]}",
		"{\"version\":1,\"serial\":\"1\",\"authority\":\"a\",\"members\":[]}",
		"{\"version\":1,\"serial\":1,\"authority\":\"../a\",\"members\":[]}",
		"{\"version\":1,\"serial\":1,\"members\":[]}",
		"{\"version\":1,\"serial\":1,\"authority\":\"a\",\"members\":{}}",
		"{\"version\":1,\"serial\":1,\"authority\":\"a\",\"members\":[],"
		"\"more\":1}",
		ROSTER("1"), ROSTER("null"), ROSTER("[]"), ROSTER("{}"),
		ROSTER(GOOD "," GOOD),
		ROSTER(MEMBER("\"home\"", "\"h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"\"", "\"h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"-a\"", "\"h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a/b\"", "\"h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a\\u0000\"", "\"h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a\\u001b\"", "\"h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("7", "\"h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a\"", "\"h h\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a\"", "\"\"", "1", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a\"", "\"h\"", "0", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a\"", "\"h\"", "65536", "\"" FP "0\"")),
		ROSTER(MEMBER("\"a\"", "\"h\"", "1", "\"" FP "\"")),
		ROSTER(MEMBER("\"a\"", "\"h\"", "1", "\"" FP "00\"")),
		ROSTER(MEMBER("\"a\"", "\"h\"", "1", "\"" FP "A\"")),
		ROSTER(MEMBER("\"a\"", "\"h\"", "1", "\"" FP "g\"")),
	};
	struct roster *good = roster_parse(ROSTER(GOOD), strlen(ROSTER(GOOD)),
					   NULL);
	size_t i;

	(void)state;
	assert_non_null(good);
	roster_free(good);
	for (i = 0; i < G_N_ELEMENTS(texts); i++)
		refused(texts[i], strlen(texts[i]));
	refused(ROSTER(GOOD) "\0", sizeof(ROSTER(GOOD)));
}

static void refuses_too_much(void **state)
{
	GString *text = g_string_new("{\"version\":1,\"serial\":1,\"authority\":"
				     "\"a\",\"members\":[" GOOD);
	unsigned i;

	(void)state;
	for (i = 0; i <= ROSTER_MAX_MEMBERS; i++)
		g_string_append_printf(text, ",{\"name\":\"m%u\"}", i);
	g_string_append(text, "]}");
	refused(text->str, text->len);
	g_string_truncate(text, 0);
	for (i = 0; i < ROSTER_MAX_TEXT; i++)
		g_string_append_c(text, '[');
	refused(text->str, text->len);
	g_string_truncate(text, 0);
	g_string_append(text, "{\"x\":\"");
	for (i = 0; i < ROSTER_MAX_TEXT; i++)
		g_string_append_c(text, 'x');
	g_string_append(text, "\"}");
	refused(text->str, text->len);
	g_string_free(text, TRUE);
}

static void checks_signatures(void **state)
{
	g_autofree char *key = NULL, *ca = NULL, *key2 = NULL, *ca2 = NULL;
	struct roster *roster = roster_of(2), *again;
	struct json_object *envelope, *bad;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(pki_make_ca("a", PKI_YEAR_S, &key, &ca, &err), 0);
	assert_int_equal(pki_make_ca("b", PKI_YEAR_S, &key2, &ca2, &err), 0);
	envelope = roster_seal(roster, key, &err);
	assert_non_null(envelope);
	again = roster_open(envelope, ca, &err);
	assert_non_null(again);
	roster_free(again);
	assert_null(roster_open(envelope, ca2, &err));
	assert_non_null(strstr(err.text, "signature"));
	/* Another number under the same signature. */
	roster->serial++;
	g_autofree char *newer = roster_text(roster, NULL);

	json_add_string(envelope, "roster", newer);
	assert_null(roster_open(envelope, ca, &err));
	assert_null(roster_open(NULL, ca, &err));
	bad = json_tokener_parse("{\"roster\":{},\"signature\":\"\"}");
	assert_null(roster_open(bad, ca, &err));
	json_object_put(bad);
	json_object_put(envelope);
	roster_free(roster);
}

static void knows_names_and_addresses(void **state)
{
	char name[PEER_NAME_MAX + 2];

	(void)state;
	assert_true(roster_name_ok("a"));
	assert_true(roster_name_ok("0-a.b_C"));
	memset(name, 'a', sizeof(name));
	name[PEER_NAME_MAX + 1] = '\0';
	assert_false(roster_name_ok(name));
	name[PEER_NAME_MAX] = '\0';
	assert_true(roster_name_ok(name));
	assert_false(roster_name_ok("Home"));
	assert_false(roster_name_ok("a b"));
	assert_false(roster_name_ok(".."));
	assert_true(roster_address_ok("node.example.org"));
	assert_true(roster_address_ok("10.0.0.1"));
	assert_true(roster_address_ok("::1"));
	assert_true(roster_address_ok("fe80::1%eth0"));
	assert_false(roster_address_ok("-oProxyCommand=x"));
	assert_false(roster_address_ok("a/b"));
	assert_false(roster_address_ok(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adds_and_removes),
		cmocka_unit_test(reads_what_it_writes),
		cmocka_unit_test(is_bounded),
		cmocka_unit_test(refuses_bad_text),
		cmocka_unit_test(refuses_too_much),
		cmocka_unit_test(checks_signatures),
		cmocka_unit_test(knows_names_and_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
