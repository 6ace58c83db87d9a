/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams: who can read and write them, and that each counts once. */
#include "net/seal-key.h"
#include "net/seal.h"

#include "net/json.h"

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Two nodes, and what each knows of the other. */
static struct seal a, b;
static struct seal_peer a_of_b, b_of_a; /* a as b sees it, and so on */
static uint8_t wire[SEAL_MAX], payload[SEAL_PAYLOAD_MAX];
static size_t wire_len, used;
static enum seal_kind kind;

static void set_key(struct seal *seal, uint64_t number)
{
	seal->key.number = number;
	memset(seal->key.bytes, (int)number, SEAL_KEY);
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(seal_init(&a, "Alpha", NULL), 0);
	assert_int_equal(seal_init(&b, "beta", NULL), 0);
	seal_peer_init(&b_of_a, "BETA");
	seal_peer_init(&a_of_b, "alpha");
	set_key(&a, 1);
	set_key(&b, 1);
	return 0;
}

static enum seal_verdict open_at(const struct seal *seal, struct seal_peer *peer)
{
	return seal_open(seal, peer, wire, wire_len, &kind, payload, &used);
}

static void hello(struct seal *from, struct seal_peer *to, bool challenge,
		  const uint8_t *answer)
{
	wire_len = seal_hello(from, to, challenge, answer, wire, sizeof(wire));
	assert_true(wire_len > 0);
}

static void hear(struct seal *at, struct seal_peer *from, struct seal_heard *heard)
{
	assert_int_equal(open_at(at, from), SEAL_GOOD);
	assert_int_equal(kind, SEAL_HELLO);
	assert_int_equal(seal_take_hello(from, wire, payload, used, heard), 0);
}

/* As two nodes that meet do. */
static void meet(void)
{
	struct seal_heard heard;

	hello(&a, &b_of_a, true, NULL);
	hear(&b, &a_of_b, &heard);
	assert_true(heard.challenges && heard.doubtful && !heard.proven);
	hello(&b, &a_of_b, heard.doubtful, heard.challenge);
	hear(&a, &b_of_a, &heard);
	assert_true(heard.proven && heard.challenges && !heard.doubtful);
	hello(&a, &b_of_a, heard.doubtful, heard.challenge);
	hear(&b, &a_of_b, &heard);
	assert_true(heard.proven && !heard.challenges);
}

static void say(const char *text)
{
	wire_len = seal_write(&a, &b_of_a, SEAL_GOSSIP, (const uint8_t *)text,
			      strlen(text), wire, sizeof(wire));
	assert_int_equal(wire_len, SEAL_HEADER + strlen(text) + SEAL_TAG);
}

static void goes_through(void **state)
{
	uint8_t full[SEAL_PAYLOAD_MAX] = { 7 };

	(void)state;
	meet();
	say("hello there");
	assert_null(memmem(wire, wire_len, "hello", 5));
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
	assert_int_equal(kind, SEAL_GOSSIP);
	assert_int_equal(used, 11);
	assert_memory_equal(payload, "hello there", 11);
	wire_len = seal_write(&a, &b_of_a, SEAL_SWIM, full, sizeof(full), wire,
			      sizeof(wire));
	assert_int_equal(wire_len, SEAL_MAX);
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
	assert_int_equal(used, sizeof(full));
	assert_int_equal(seal_write(&a, &b_of_a, SEAL_SWIM, wire, sizeof(full) + 1, wire,
				    sizeof(wire)), 0);
}

static void needs_proof(void **state)
{
	struct seal_heard heard;

	(void)state;
	assert_int_equal(seal_write(&a, &b_of_a, SEAL_SWIM, payload, 1, wire,
				    sizeof(wire)), 0);
	/* Only a has proof of b: b does not believe a yet. */
	hello(&a, &b_of_a, true, NULL);
	hear(&b, &a_of_b, &heard);
	hello(&b, &a_of_b, false, heard.challenge);
	hear(&a, &b_of_a, &heard);
	assert_true(heard.answered && heard.proven);
	say("x");
	assert_int_equal(open_at(&b, &a_of_b), SEAL_UNPROVEN);
}

/* Without a key nothing is said. */
static void needs_key(void **state)
{
	(void)state;
	a.key.number = 0;
	assert_int_equal(seal_hello(&a, &b_of_a, true, NULL, wire, sizeof(wire)), 0);
}

static void every_bit_counts(void **state)
{
	size_t i;

	(void)state;
	meet();
	say("payload");
	for (i = 0; i < wire_len * 8; i++) {
		enum seal_verdict verdict;

		wire[i / 8] ^= (uint8_t)(1 << i % 8);
		verdict = open_at(&b, &a_of_b);
		assert_int_not_equal(verdict, SEAL_GOOD);
		wire[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (i = wire_len; i-- > 0;) {
		enum seal_verdict verdict = seal_open(&b, &a_of_b, wire, i, &kind,
						      payload, &used);

		assert_true(verdict == (i < SEAL_HEADER + SEAL_TAG ? SEAL_MALFORMED :
								     SEAL_FORGED));
	}
	/* None of that spoilt the true one. */
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
}

static void once_only(void **state)
{
	uint8_t first[SEAL_MAX];
	size_t first_len;
	unsigned i;

	(void)state;
	meet();
	say("first");
	memcpy(first, wire, wire_len);
	first_len = wire_len;
	say("second");
	/* One overtakes the other; each counts once. */
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
	assert_int_equal(open_at(&b, &a_of_b), SEAL_REPLAYED);
	memcpy(wire, first, first_len);
	wire_len = first_len;
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
	assert_int_equal(open_at(&b, &a_of_b), SEAL_REPLAYED);
	/* Too far behind to tell. */
	say("late");
	memcpy(first, wire, wire_len);
	first_len = wire_len;
	for (i = 0; i < SEAL_WINDOW; i++)
		say("more");
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
	memcpy(wire, first, first_len);
	wire_len = first_len;
	assert_int_equal(open_at(&b, &a_of_b), SEAL_REPLAYED);
}

static void for_nobody_else(void **state)
{
	struct seal c;
	struct seal_peer c_of_a, a_of_c;

	(void)state;
	meet();
	assert_int_equal(seal_init(&c, "gamma", NULL), 0);
	set_key(&c, 1);
	seal_peer_init(&c_of_a, "gamma");
	seal_peer_init(&a_of_c, "alpha");
	a_of_c.boot = a.boot;
	say("for b");
	assert_int_equal(open_at(&c, &a_of_c), SEAL_STRANGER);
	/* Not by way of a name with the same number, either. */
	c.id = b.id;
	c.boot = b.boot;
	assert_int_equal(open_at(&c, &a_of_c), SEAL_FORGED);
	/* From one who is not in the roster, whatever he knows. */
	assert_int_equal(open_at(&b, NULL), SEAL_STRANGER);
	/* A datagram does not turn round: what a said is not b's. */
	assert_int_equal(open_at(&a, &b_of_a), SEAL_STRANGER);
}

static void other_lives_do_not_count(void **state)
{
	struct seal old = a;
	struct seal_peer b_of_old;
	struct seal_heard heard;

	(void)state;
	meet();
	b_of_old = b_of_a;
	/* a is started again */
	assert_int_equal(seal_init(&a, "alpha", NULL), 0);
	set_key(&a, 1);
	seal_peer_init(&b_of_a, "beta");
	assert_int_not_equal(a.boot, old.boot);
	meet();
	/* What its former life said, and nobody has seen yet, is no news. */
	wire_len = seal_write(&old, &b_of_old, SEAL_GOSSIP, payload, 5, wire, sizeof(wire));
	assert_int_equal(open_at(&b, &a_of_b), SEAL_UNPROVEN);
	assert_true(seal_boot(wire) == old.boot);
	/* An old hello only brings a challenge, which nobody answers. */
	hello(&old, &b_of_old, true, NULL);
	hear(&b, &a_of_b, &heard);
	assert_true(heard.doubtful && heard.challenges && !heard.answered);
	hello(&b, &a_of_b, true, heard.challenge);
	assert_int_equal(a_of_b.boot, a.boot);
	/* b is started again: what was meant for its former life is lost. */
	say("old");
	assert_int_equal(seal_init(&b, "beta", NULL), 0);
	set_key(&b, 1);
	assert_int_equal(open_at(&b, &a_of_b), SEAL_UNPROVEN);
}

/* An answer counts once, and only to the challenge that was sent. */
static void answers_are_fresh(void **state)
{
	uint8_t old[SEAL_MAX];
	size_t old_len;
	uint64_t highest;
	struct seal_heard heard;

	(void)state;
	hello(&a, &b_of_a, true, NULL);
	hear(&b, &a_of_b, &heard);
	hello(&b, &a_of_b, false, heard.challenge);
	memcpy(old, wire, wire_len);
	old_len = wire_len;
	hear(&a, &b_of_a, &heard);
	assert_true(heard.answered);
	memcpy(wire, old, old_len);
	wire_len = old_len;
	hear(&a, &b_of_a, &heard);
	assert_false(heard.answered || heard.proven || heard.challenges);
	/* After b has been started again the old answer does not bring it back. */
	assert_int_equal(seal_init(&b, "beta", NULL), 0);
	set_key(&b, 1);
	hello(&a, &b_of_a, true, NULL);
	hear(&b, &a_of_b, &heard);
	hello(&b, &a_of_b, false, heard.challenge);
	hear(&a, &b_of_a, &heard);
	assert_true(heard.proven);
	highest = b_of_a.highest;
	memcpy(wire, old, old_len);
	wire_len = old_len;
	hear(&a, &b_of_a, &heard);
	assert_false(heard.proven);
	assert_int_equal(b_of_a.boot, b.boot);
	assert_int_equal(b_of_a.highest, highest);
}

static void keys_change(void **state)
{
	uint64_t number = 0;

	(void)state;
	meet();
	a.former = a.key;
	set_key(&a, 5);
	say("new key");
	assert_int_equal(seal_sender(&b, wire, wire_len, &number), a.id);
	assert_int_equal(number, 5);
	assert_int_equal(open_at(&b, &a_of_b), SEAL_KEY_UNKNOWN);
	b.former = b.key;
	set_key(&b, 5);
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
	/* The old one, for a while. */
	set_key(&a, 1);
	say("old key");
	assert_int_equal(open_at(&b, &a_of_b), SEAL_GOOD);
	b.former = (struct seal_key){ 0 };
	say("old key");
	assert_int_equal(open_at(&b, &a_of_b), SEAL_KEY_UNKNOWN);
	/* The same number is not the same key: another cluster's. */
	set_key(&a, 5);
	a.key.bytes[3] ^= 1;
	say("foreign");
	assert_int_equal(open_at(&b, &a_of_b), SEAL_FORGED);
}

static void verdicts_have_names(void **state)
{
	unsigned i, k;

	(void)state;
	for (i = 0; i < SEAL_VERDICTS; i++)
		for (k = 0; k < i; k++)
			assert_string_not_equal(seal_verdict_name(i),
						seal_verdict_name(k));
}

/* ---- the key's file ---- */

static void key_is_kept(void **state)
{
	g_autofree char *dir = g_dir_make_tmp("mv-seal-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(dir, SEAL_KEY_FILE, NULL);
	struct seal_key key, again = { 0 };
	struct err err = { 0 };
	struct stat st;

	(void)state;
	assert_int_equal(seal_key_load(dir, &again, &err), -1);
	assert_int_equal(err.num, ENOENT);
	assert_int_equal(seal_key_make(&key, 7, &err), 0);
	assert_int_equal(seal_key_save(dir, &key, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(seal_key_load(dir, &again, &err), 0);
	assert_int_equal(again.number, 7);
	assert_memory_equal(again.bytes, key.bytes, SEAL_KEY);
	assert_int_equal(g_remove(path), 0);
	assert_int_equal(g_rmdir(dir), 0);
}

static void bad_keys_are_refused(void **state)
{
	static const char good[] = "0123456789abcdef0123456789abcdef"
				   "0123456789abcdef0123456789abcdef";
	static const struct {
		const char *format;
		int rc;
	} cases[] = {
		{ "{\"number\":1,\"key\":\"%s\"}", 0 },
		{ "{\"number\":0,\"key\":\"%s\"}", -1 },
		{ "{\"number\":-1,\"key\":\"%s\"}", -1 },
		{ "{\"number\":\"1\",\"key\":\"%s\"}", -1 },
		{ "{\"number\":1,\"key\":\"%s0\"}", -1 },
		{ "{\"number\":1,\"key\":\"g%.63s\"}", -1 },
		{ "{\"number\":1,\"key\":\"%.62s\"}", -1 },
		{ "{\"key\":\"%s\"}", -1 },
		{ "{\"number\":1,\"ky\":\"%s\"}", -1 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < G_N_ELEMENTS(cases); i++) {
		char text[160];
		struct json_object *object;
		struct seal_key key;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text), cases[i].format, good);
#pragma GCC diagnostic pop
		object = json_parse_object(text, strlen(text));
		assert_non_null(object);
		assert_int_equal(seal_key_parse(&key, object, NULL), cases[i].rc);
		json_object_put(object);
	}
	assert_int_equal(seal_key_parse(&(struct seal_key){ 0 }, NULL, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(goes_through, set_up),
		cmocka_unit_test_setup(needs_proof, set_up),
		cmocka_unit_test_setup(needs_key, set_up),
		cmocka_unit_test_setup(every_bit_counts, set_up),
		cmocka_unit_test_setup(once_only, set_up),
		cmocka_unit_test_setup(for_nobody_else, set_up),
		cmocka_unit_test_setup(other_lives_do_not_count, set_up),
		cmocka_unit_test_setup(answers_are_fresh, set_up),
		cmocka_unit_test_setup(keys_change, set_up),
		cmocka_unit_test(verdicts_have_names),
		cmocka_unit_test(key_is_kept),
		cmocka_unit_test(bad_keys_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
