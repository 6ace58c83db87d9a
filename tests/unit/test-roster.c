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

/* A name or an address of the full length, ending in a number. */
static void fill(char *text, size_t len, unsigned number)
{
	g_autofree char *end = g_strdup_printf("%08u", number);

	memset(text, 'a', len - 8);
	memcpy(text + len - 8, end, 9);
}

/* As many members as may be, all with names and addresses as long as may be. */
static struct roster *largest_roster(void)
{
	struct roster *roster = roster_new("n0");
	struct roster_member member = member_new("n", '0');
	unsigned i;

	fill(roster->authority, PEER_NAME_MAX, 0);
	for (i = 0; i < ROSTER_MAX_MEMBERS; i++) {
		fill(member.name, PEER_NAME_MAX, i);
		fill(member.address, ROSTER_ADDRESS_MAX, i);
		member.port = 65535;
		snprintf(member.fingerprint, 9, "%08x", i);
		member.fingerprint[8] = 'f';
		assert_int_equal(roster_add(roster, &member, NULL), 0);
	}
	roster->serial = INT64_MAX;
	return roster;
}

static void the_largest_is_taken(void **state)
{
	struct roster *roster = largest_roster(), *again;
	struct roster_member one_more = member_new("more", 'f');
	g_autofree char *key = NULL, *ca = NULL, *text = NULL;
	struct json_object *envelope, *read;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(roster_add(roster, &one_more, &err), -1);
	assert_non_null(strstr(err.text, "at most 4096"));
	assert_int_equal(pki_make_ca("a", PKI_YEAR_S, &key, &ca, &err), 0);
	envelope = roster_seal(roster, key, &err);
	if (!envelope)
		fail_msg("%s", err.text);
	text = g_strdup(json_text(envelope));
	assert_in_range(strlen(text), ROSTER_MAX_ENVELOPE * 9 / 10, ROSTER_MAX_ENVELOPE);
	read = json_parse_object(text, strlen(text));
	again = roster_open(read, ca, &err);
	if (!again)
		fail_msg("%s", err.text);
	assert_int_equal(again->count, ROSTER_MAX_MEMBERS);
	assert_memory_equal(again->members, roster->members,
			    roster->count * sizeof(*roster->members));
	assert_ptr_equal(roster_find(again, again->members[4000].name),
			 &again->members[4000]);
	json_object_put(read);
	json_object_put(envelope);
	roster_free(again);
	roster_free(roster);
}

/* The most quotation marks for their length: an envelope has two bytes for each. */
static void short_names_take_little(void **state)
{
	struct roster *roster = roster_of(ROSTER_MAX_MEMBERS);
	g_autofree char *key = NULL, *ca = NULL;
	struct json_object *envelope;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(pki_make_ca("a", PKI_YEAR_S, &key, &ca, &err), 0);
	envelope = roster_seal(roster, key, &err);
	assert_non_null(envelope);
	assert_true(strlen(json_text(envelope)) < ROSTER_MAX_ENVELOPE);
	json_object_put(envelope);
	roster_free(roster);
}

static void copies_and_removals_find(void **state)
{
	struct roster *roster = roster_of(300), *copy = roster_copy(roster);
	struct roster_member member = member_new("N250", 'a');
	unsigned i;

	(void)state;
	assert_int_equal(roster_remove(copy, "n100", NULL), 0);
	assert_int_equal(roster_remove(copy, "n250", NULL), 0);
	assert_int_equal(roster_add(copy, &member, NULL), 0);
	roster_free(roster);
	assert_null(roster_find(copy, "n100"));
	for (i = 0; i < copy->count; i++)
		assert_ptr_equal(roster_find(copy, copy->members[i].name),
				 &copy->members[i]);
	assert_string_equal(roster_find(copy, "n250")->fingerprint, member.fingerprint);
	roster_free(copy);
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
		cmocka_unit_test(the_largest_is_taken),
		cmocka_unit_test(short_names_take_little),
		cmocka_unit_test(copies_and_removals_find),
		cmocka_unit_test(refuses_bad_text),
		cmocka_unit_test(refuses_too_much),
		cmocka_unit_test(checks_signatures),
		cmocka_unit_test(knows_names_and_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
