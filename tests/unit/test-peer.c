/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Agents of a cluster in one process, over loopback: joining, questions,
 * rosters, and members that are removed. */
#include "tests/unit/peer-pair.h"

#include "net/cluster-file.h"
#include "net/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void ask(struct node *node, const char *who, const char *op,
		const char *text, struct heard *heard)
{
	heard_clear(heard);
	peer_ask(node->peers, who, body_new(op, text), 10000, on_reply, heard);
	assert_false(heard->done); /* never from inside */
	LOOP_UNTIL(heard->done);
}

static void says(const struct heard *heard, const char *text)
{
	if (!heard->error || !strstr(heard->error, text))
		fail_msg("\"%s\" does not say \"%s\"", heard->error, text);
}

static void asks_and_answers(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	ask(&nodes[0], "two", "echo", "hello", &heard);
	assert_string_equal(heard.text, "hello");
	assert_string_equal(nodes[1].last_from, "one");
	ask(&nodes[1], "one", "refuse", "not today", &heard);
	assert_true(heard.refused);
	assert_string_equal(heard.error, "not today");
	assert_string_equal(heard.text, "not today");
	assert_string_equal(nodes[0].last_from, "two");
	/* Of pings the handler hears nothing. */
	ask(&nodes[0], "two", "ping", "", &heard);
	assert_non_null(heard.answer);
	assert_int_equal(nodes[1].questions, 1);
	heard_clear(&heard);
	pair_down();
}

static void answers_in_any_order(void **state)
{
	struct heard first = { 0 }, second = { 0 };

	(void)state;
	pair_up();
	peer_ask(nodes[0].peers, "two", body_new("keep", ""), 20000, on_reply,
		 &first);
	peer_ask(nodes[0].peers, "two", body_new("echo", "2"), 20000, on_reply,
		 &second);
	LOOP_UNTIL(second.done);
	assert_string_equal(second.text, "2");
	assert_false(first.done);
	answer_kept(&nodes[1], "1");
	LOOP_UNTIL(first.done);
	assert_string_equal(first.text, "1");
	heard_clear(&first);
	heard_clear(&second);
	pair_down();
}

static void asks_many(void **state)
{
	static struct heard heard[600];
	g_autofree char *big = g_strnfill(200 * 1024, 'x');
	unsigned i, done;

	(void)state;
	memset(heard, 0, sizeof(heard));
	pair_up();
	for (i = 0; i < G_N_ELEMENTS(heard); i++)
		peer_ask(nodes[0].peers, "two",
			 body_new("echo", i % 100 == 7 ? big : "small"), 25000,
			 on_reply, &heard[i]);
	for (i = done = 0; i < G_N_ELEMENTS(heard); i++) {
		LOOP_UNTIL(heard[i].done);
		assert_null(heard[i].error);
		assert_int_equal(strlen(heard[i].text),
				 i % 100 == 7 ? 200 * 1024 : 5);
		done += heard[i].done;
		heard_clear(&heard[i]);
	}
	assert_int_equal(done, G_N_ELEMENTS(heard));
	pair_down();
}

static void bounds_questions(void **state)
{
	g_autofree char *big = g_strnfill(PEER_MAX_LINE, 'x');
	static struct heard many[1100];
	struct heard heard = { 0 };
	unsigned i, refused = 0;

	(void)state;
	memset(many, 0, sizeof(many));
	pair_up();
	ask(&nodes[0], "two", "echo", big, &heard);
	says(&heard, "too long");
	for (i = 0; i < G_N_ELEMENTS(many); i++)
		peer_ask(nodes[0].peers, "two", body_new("keep", ""), 1000,
			 on_reply, &many[i]);
	for (i = 0; i < G_N_ELEMENTS(many); i++) {
		LOOP_UNTIL(many[i].done);
		refused += strstr(many[i].error, "too many") != NULL;
		heard_clear(&many[i]);
	}
	assert_int_equal(refused, G_N_ELEMENTS(many) - 1024);
	heard_clear(&heard);
	pair_down();
}

static void silent_peer_times_out(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	ask(&nodes[0], "two", "echo", "", &heard);
	heard_clear(&heard);
	peer_ask(nodes[0].peers, "two", body_new("keep", ""), 300, on_reply,
		 &heard);
	LOOP_UNTIL(heard.done && nodes[1].kept.length);
	assert_false(heard.refused);
	says(&heard, "does not answer in time");
	/* A late answer hurts nobody. */
	answer_kept(&nodes[1], "");
	ask(&nodes[0], "two", "echo", "x", &heard);
	assert_string_equal(heard.text, "x");
	heard_clear(&heard);
	pair_down();
}

static void peer_that_is_gone(void **state)
{
	struct heard heard = { 0 }, lost = { 0 };
	struct peer_info info;

	(void)state;
	pair_up();
	ask(&nodes[0], "two", "echo", "x", &heard);
	peer_ask(nodes[0].peers, "two", body_new("keep", ""), 20000, on_reply,
		 &lost);
	LOOP_UNTIL(nodes[1].kept.length);
	node_stop(&nodes[1]);
	LOOP_UNTIL(lost.done);
	assert_false(lost.refused);
	/* The shell of the question is the handler's until it answers. */
	answer_kept(&nodes[1], "");
	ask(&nodes[0], "two", "echo", "x", &heard);
	says(&heard, "Connection refused");
	peers_get(nodes[0].peers, 1, &info);
	assert_string_equal(info.name, "two");
	assert_non_null(strstr(info.trouble, "refused"));
	/* And is there again. */
	node_start(&nodes[1]);
	ask(&nodes[0], "two", "echo", "y", &heard);
	assert_string_equal(heard.text, "y");
	peers_get(nodes[0].peers, 1, &info);
	assert_null(info.trouble);
	assert_true(info.heard > 0);
	assert_in_range(info.clock_ahead_ms + 5000, 0, 10000);
	heard_clear(&heard);
	heard_clear(&lost);
	pair_down();
}

static void nobody_to_ask(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	ask(&nodes[0], "three", "echo", "", &heard);
	says(&heard, "no such node");
	ask(&nodes[0], "one", "echo", "", &heard);
	says(&heard, "this node itself");
	assert_false(heard.refused);
	heard_clear(&heard);
	pair_down();
}

static void no_cluster_yet(void **state)
{
	struct heard heard = { 0 };
	struct err err = { 0 };

	(void)state;
	pair_up();
	nodes[2].dir = g_build_filename(nodes[0].dir, "none", NULL);
	node_start(&nodes[2]);
	assert_false(peers_in_cluster(nodes[2].peers));
	assert_null(peers_self(nodes[2].peers));
	assert_int_equal(peers_count(nodes[2].peers), 0);
	ask(&nodes[2], "one", "echo", "", &heard);
	says(&heard, "in no cluster");
	heard_clear(&heard);
	node_stop(&nodes[2]);
	g_clear_pointer(&nodes[2].dir, g_free);

	/* And then one is joined while it runs. */
	node_join(&nodes[2], "three");
	node_start(&nodes[2]);
	assert_string_equal(peers_self(nodes[2].peers), "three");
	assert_int_equal(peers_reload(nodes[2].peers, &err), 0);
	ask(&nodes[2], "two", "echo", "hello", &heard);
	assert_string_equal(heard.text, "hello");
	heard_clear(&heard);
	pair_down();
}

/* The third joins by way of the first; the second learns of it. */
static void rosters_spread(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	LOOP_UNTIL(peers_count(nodes[0].peers) == 2);
	node_join(&nodes[2], "three");
	/* From the first, which tells all members. */
	LOOP_UNTIL(peers_is_member(nodes[1].peers, "three"));
	assert_true(nodes[1].rosters > 0);
	node_start(&nodes[2]);
	ask(&nodes[1], "three", "echo", "hello", &heard);
	assert_string_equal(heard.text, "hello");
	heard_clear(&heard);
	pair_down();
}

/* The second was away meanwhile: who calls it brings the roster. */
static void rosters_are_brought(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	node_stop(&nodes[1]);
	node_join(&nodes[2], "three");
	node_start(&nodes[2]);
	node_start(&nodes[1]);
	assert_false(peers_is_member(nodes[1].peers, "three"));
	ask(&nodes[2], "two", "echo", "hello", &heard);
	assert_string_equal(heard.text, "hello");
	assert_true(peers_is_member(nodes[1].peers, "three"));
	heard_clear(&heard);
	pair_down();
}

/* Somebody who is never there, whose name and address are as long as may be. */
static struct roster_member absent(unsigned number)
{
	struct roster_member member = { .port = 65535 };

	memset(member.name, 'n', PEER_NAME_MAX);
	memset(member.address, 'a', ROSTER_ADDRESS_MAX);
	memset(member.fingerprint, 'f', PKI_FINGERPRINT_SIZE - 1);
	g_snprintf(member.name + PEER_NAME_MAX - 8, 9, "%08u", number);
	g_snprintf(member.address + ROSTER_ADDRESS_MAX - 8, 9, "%08u", number);
	g_snprintf(member.fingerprint + PKI_FINGERPRINT_SIZE - 9, 9, "%08u", number);
	return member;
}

/* The first's roster gets so many members. */
static void fill_roster(unsigned count)
{
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(nodes[0].dir, &err);
	g_autofree char *key = cluster_file_read(nodes[0].dir, "ca.key", PKI_MAX_PEM, &err);
	struct roster *roster = roster_copy(cluster->roster);
	struct json_object *envelope;

	while (roster->count < count) {
		struct roster_member member = absent(roster->count);

		assert_int_equal(roster_add(roster, &member, &err), 0);
	}
	envelope = roster_seal(roster, key, &err);
	assert_int_equal(cluster_file_write(nodes[0].dir, "roster.json",
					    json_text(envelope), &err), 0);
	json_object_put(envelope);
	roster_free(roster);
	cluster_free(cluster);
}

/* To a member that is connected, to one that was away, and to one that joins. */
static void the_largest_roster_spreads(void **state)
{
	struct heard heard = { 0 };
	struct err err = { 0 };

	(void)state;
	pair_up();
	ask(&nodes[0], "two", "echo", "", &heard);
	fill_roster(ROSTER_MAX_MEMBERS - 2);
	assert_int_equal(peers_reload(nodes[0].peers, &err), 0);
	LOOP_UNTIL(peers_count(nodes[1].peers) == ROSTER_MAX_MEMBERS - 2);
	node_stop(&nodes[1]);
	fill_roster(ROSTER_MAX_MEMBERS - 1);
	assert_int_equal(peers_reload(nodes[0].peers, &err), 0);
	node_start(&nodes[1]);
	assert_int_equal(peers_count(nodes[1].peers), ROSTER_MAX_MEMBERS - 2);
	ask(&nodes[1], "one", "echo", "hello", &heard);
	assert_string_equal(heard.text, "hello");
	assert_int_equal(peers_count(nodes[1].peers), ROSTER_MAX_MEMBERS - 1);
	node_join(&nodes[2], "three");
	LOOP_UNTIL(peers_count(nodes[1].peers) == ROSTER_MAX_MEMBERS);
	node_start(&nodes[2]);
	ask(&nodes[2], "two", "echo", "hello", &heard);
	assert_string_equal(heard.text, "hello");
	heard_clear(&heard);
	pair_down();
}

/* Each is called in its turn, and each question has an end. */
static void asks_all_of_many(void **state)
{
	static struct heard heard[300];
	struct err err = { 0 };
	struct peer_info info;
	unsigned i;

	(void)state;
	memset(heard, 0, sizeof(heard));
	pair_up();
	fill_roster(G_N_ELEMENTS(heard));
	assert_int_equal(peers_reload(nodes[0].peers, &err), 0);
	/* Not itself, which is the first. */
	for (i = 1; i < G_N_ELEMENTS(heard); i++) {
		peers_get(nodes[0].peers, i, &info);
		peer_ask(nodes[0].peers, info.name, body_new("echo", "x"), 10000, on_reply,
			 &heard[i]);
	}
	for (i = 1; i < G_N_ELEMENTS(heard); i++) {
		LOOP_UNTIL(heard[i].done);
		if (i == 1)
			assert_string_equal(heard[i].text, "x");
		else
			says(&heard[i], "cannot connect");
		heard_clear(&heard[i]);
	}
	pair_down();
}

/* Elsewhere than in net/peer*.c a member says that it has a newer one. */
static void a_newer_roster_is_fetched(void **state)
{
	struct err err = { 0 };

	(void)state;
	pair_up();
	node_stop(&nodes[1]);
	node_join(&nodes[2], "three");
	node_start(&nodes[1]);
	node_start(&nodes[2]);
	peers_newer(nodes[1].peers, "one", 2); /* no news */
	peers_newer(nodes[1].peers, "nobody", 9);
	assert_false(peers_is_member(nodes[1].peers, "three"));
	peers_newer(nodes[1].peers, "one", 3);
	LOOP_UNTIL(peers_is_member(nodes[1].peers, "three"));
	/* Who lies about it is asked, and no more. */
	peers_newer(nodes[1].peers, "three", 1000);
	assert_int_equal(peers_reload(nodes[0].peers, &err), 0);
	LOOP_UNTIL(peers_count(nodes[0].peers) == 3);
	assert_int_equal(peers_serial(nodes[1].peers), 3);
	pair_down();
}

static void remove_member(const char *name)
{
	struct err err = { 0 };
	struct cluster *cluster = cluster_load(nodes[0].dir, &err);

	assert_int_equal(cluster_remove(cluster, name, &err), 0);
	cluster_free(cluster);
	assert_int_equal(peers_reload(nodes[0].peers, &err), 0);
}

static void removed_member_is_told(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	node_join(&nodes[2], "three");
	node_start(&nodes[2]);
	LOOP_UNTIL(peers_is_member(nodes[1].peers, "three"));
	ask(&nodes[0], "two", "echo", "", &heard);
	remove_member("two");
	LOOP_UNTIL(!peers_is_member(nodes[2].peers, "two"));
	LOOP_UNTIL(!peers_in_cluster(nodes[1].peers));
	assert_null(peers_self(nodes[1].peers));
	ask(&nodes[0], "two", "echo", "", &heard);
	says(&heard, "no such node");
	ask(&nodes[1], "one", "echo", "", &heard);
	says(&heard, "in no cluster");
	/* It can come back, as another. */
	node_stop(&nodes[1]);
	node_join(&nodes[1], "two");
	node_start(&nodes[1]);
	ask(&nodes[1], "three", "echo", "again", &heard);
	assert_string_equal(heard.text, "again");
	heard_clear(&heard);
	pair_down();
}

/* It was away, comes back, and believes to be a member still. */
static void removed_member_is_refused(void **state)
{
	struct heard heard = { 0 };

	(void)state;
	pair_up();
	node_stop(&nodes[1]);
	remove_member("two");
	LOOP_UNTIL(!peers_is_member(nodes[0].peers, "two"));
	node_start(&nodes[1]);
	assert_true(peers_in_cluster(nodes[1].peers));
	ask(&nodes[1], "one", "echo", "", &heard);
	says(&heard, "one refused: the certificate of two was revoked");
	assert_int_equal(nodes[0].questions, 0);
	LOOP_UNTIL(!peers_in_cluster(nodes[1].peers));
	heard_clear(&heard);
	pair_down();
}

static void port_is_taken(void **state)
{
	struct err err = { 0 };
	struct peers *second;
	static const struct peers_handlers none;

	(void)state;
	pair_up();
	second = peers_new(nodes[0].dir, &none, NULL, &err);
	assert_null(second);
	assert_non_null(strstr(err.text, "port"));
	pair_down();
}

static void leaves_nothing(void **state)
{
	struct heard heard = { 0 };
	unsigned fds, i;

	(void)state;
	pair_up();
	pair_down();
	fds = count_fds();
	for (i = 0; i < 5; i++) {
		pair_up();
		ask(&nodes[0], "two", "echo", "", &heard);
		peer_ask(nodes[0].peers, "two", body_new("keep", ""), 9000,
			 on_reply, &heard);
		LOOP_UNTIL(nodes[1].kept.length);
		heard_clear(&heard);
		node_stop(&nodes[0]);
		answer_kept(&nodes[1], "");
		assert_false(heard.done);
		pair_down();
	}
	assert_int_equal(count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_and_answers),
		cmocka_unit_test(answers_in_any_order),
		cmocka_unit_test(asks_many),
		cmocka_unit_test(bounds_questions),
		cmocka_unit_test(silent_peer_times_out),
		cmocka_unit_test(peer_that_is_gone),
		cmocka_unit_test(nobody_to_ask),
		cmocka_unit_test(no_cluster_yet),
		cmocka_unit_test(rosters_spread),
		cmocka_unit_test(rosters_are_brought),
		cmocka_unit_test(the_largest_roster_spreads),
		cmocka_unit_test(asks_all_of_many),
		cmocka_unit_test(a_newer_roster_is_fetched),
		cmocka_unit_test(removed_member_is_told),
		cmocka_unit_test(removed_member_is_refused),
		cmocka_unit_test(port_is_taken),
		cmocka_unit_test(leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
