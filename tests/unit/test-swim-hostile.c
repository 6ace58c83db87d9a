/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The failure detector among members that do not play by the rules. */
#include "tests/unit/swim-world.h"

static void slander_is_refuted(void **state)
{
	static struct swim_out out;
	struct swim_update lie = { .id = 2, .accuser = 3, .state = SWIM_DEAD };

	(void)state;
	cluster(4, true);
	run(20);
	receive(&agents[0], SWIM_ACK, 3, &lie, &out);
	assert_int_equal(state_of(1, 2), SWIM_DEAD);
	run(20);
	assert_true(all_well());
	assert_true(agents[1].incarnation > 0);
	/* Numbers go round: this one is behind, and nobody's who knows the node. */
	lie.incarnation = UINT32_MAX - 1;
	lie.id = 1;
	receive(&agents[0], SWIM_ACK, 3, &lie, &out);
	assert_true(agents[0].incarnation < 1000);
}

/* What something else shows counts of one that nobody has told of, and is passed on to nobody. */
static void hints_are_no_news(void **state)
{
	static struct swim_out out;
	struct swim_update death = { .id = 3, .accuser = 2, .state = SWIM_DEAD };

	(void)state;
	cluster(4, true);
	receive(&agents[0], SWIM_ACK, 2, &death, &out);
	agents[0].hot_count = 0;
	out.packet_count = out.change_count = 0;
	swim_hint(&agents[0], 3, now, &out);
	swim_hint(&agents[0], 9, now, &out);
	assert_int_equal(out.change_count, 0);
	assert_int_equal(state_of(1, 3), SWIM_DEAD);
	swim_hint(&agents[0], 4, now, &out);
	assert_int_equal(out.change_count, 1);
	assert_int_equal(state_of(1, 4), SWIM_ALIVE);
	assert_int_equal(agents[0].hot_count, 0);
	assert_int_equal(out.packet_count, 0);
	/* Whoever knows better is believed. */
	death.id = 4;
	receive(&agents[0], SWIM_ACK, 2, &death, &out);
	assert_int_equal(state_of(1, 4), SWIM_DEAD);
}

static void slander(uint64_t at, uint64_t whom, enum swim_state state, uint32_t incarnation)
{
	static struct swim_out out;
	struct swim_update lie = { .id = whom, .accuser = 3, .state = state,
				   .incarnation = incarnation };

	receive(&agents[at - 1], SWIM_ACK, 3, &lie, &out);
	carry(at, &out);
}

static const uint32_t far[] = { 0, 1, 1000, UINT32_MAX / 4, UINT32_MAX / 4 + 2, 1u << 30,
				INT32_MAX - 1, INT32_MAX, 1u << 31, (1u << 31) + 1,
				UINT32_MAX / 4 * 3, UINT32_MAX - 1, UINT32_MAX };

/* One member's word does not keep a node dead, however far ahead it is dated. */
static void no_slander_lasts(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		cluster(8, true);
		run(20);
		slander(1, 2, SWIM_DEAD, far[i]);
		run(10);
		assert_true(all_see(2, SWIM_ALIVE));
		/* Said to it alone, it is heard of with its new number all the same. */
		slander(2, 2, SWIM_DEAD, agents[1].incarnation + far[i]);
		slander(1, 2, SWIM_SUSPECT, seen(1, 2)->incarnation);
		run(10);
		assert_true(all_see(2, SWIM_ALIVE));
	}
}

/* Again and again, each time as far as it is believed, and others elsewhere. */
static void repeated_slander_ends(void **state)
{
	unsigned round;
	uint64_t at;

	(void)state;
	cluster(8, true);
	run(20);
	for (round = 0; round < 40; round++) {
		slander(1, 2, SWIM_DEAD, seen(1, 2)->incarnation + INT32_MAX);
		run(0.5);
	}
	run(10);
	assert_true(all_see(2, SWIM_ALIVE));
	for (at = 4; at <= 8; at++)
		for (round = 0; round < at; round++)
			slander(at, 2, SWIM_DEAD, seen(at, 2)->incarnation + far[at]);
	for (at = 4; at <= 8; at++)
		slander(at, 2, SWIM_ALIVE, seen(at, 2)->incarnation + UINT32_MAX / 3);
	for (at = 4; at <= 8; at++)
		slander(at, 2, SWIM_DEAD, seen(at, 2)->incarnation + (uint32_t)at);
	run(30);
	assert_true(all_see(2, SWIM_ALIVE));
}

/* Who starts anew begins at 0, and who joins late knows no number of anybody. */
static void restart_amid_slander(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		cluster(8, true);
		run(20);
		slander(1, 2, SWIM_ALIVE, far[i]);
		run(5);
		restart(2);
		restart(7);
		slander(7, 2, SWIM_DEAD, far[i]);
		slander(4, 2, SWIM_DEAD, far[i]);
		run(10);
		assert_true(all_see(2, SWIM_ALIVE));
		kill_node(2);
		run(60);
		assert_true(all_see(2, SWIM_DEAD));
		restart(2);
		run(30);
		assert_true(all_well());
	}
}

static void strangers_are_refused(void **state)
{
	static struct swim_out out;
	struct swim_update about = { .id = 77, .accuser = 3, .state = SWIM_SUSPECT };
	struct swim_header header = { .kind = SWIM_PING, .sender = 2, .target = 1,
				      .sequence = 9 };
	uint8_t bytes[SWIM_MESSAGE_MAX + 1] = { 0 };
	struct err err = { 0 };
	size_t i;

	(void)state;
	cluster(4, true);
	run(5);
	assert_int_equal(receive(&agents[0], SWIM_PING, 77, NULL, &out), -1);
	assert_int_equal(out.packet_count, 0);
	/* News of one who is no member are no news. */
	assert_int_equal(receive(&agents[0], SWIM_PING, 2, &about, &out), 0);
	assert_null(seen(1, 77));
	swim_put_header(bytes, &header);
	for (i = 0; i < SWIM_HEADER; i++)
		assert_int_equal(swim_receive(&agents[0], bytes, i, now, &out, &err), -1);
	assert_int_equal(swim_receive(&agents[0], bytes, SWIM_HEADER + 1, now, &out, &err),
			 -1);
	assert_int_equal(swim_receive(&agents[0], bytes, sizeof(bytes), now, &out, &err),
			 -1);
	for (i = 0; i < 8; i++) { /* magic, version, kind, updates */
		bytes[i] ^= 0x80;
		assert_int_equal(swim_receive(&agents[0], bytes, SWIM_HEADER, now, &out,
					      &err), -1);
		bytes[i] ^= 0x80;
	}
	out.packet_count = out.change_count = 0;
	assert_int_equal(swim_receive(&agents[0], bytes, SWIM_HEADER, now, &out, &err), 0);
	assert_int_equal(out.packet_count, 1);
	assert_int_equal(out.packets[0].to, 2);
}

/* However many ask, and for whomever, it answers with no more than it was asked. */
static void is_no_amplifier(void **state)
{
	static struct swim_out out;
	struct swim_header header = { .kind = SWIM_PING_FOR, .sender = 2, .target = 3 };
	uint8_t bytes[SWIM_HEADER];
	unsigned i, sent = 0;

	(void)state;
	cluster(4, true);
	run(5);
	for (i = 1; i <= 1000; i++) {
		header.sequence = i;
		swim_put_header(bytes, &header);
		out.packet_count = out.change_count = 0;
		swim_receive(&agents[0], bytes, sizeof(bytes), now, &out, NULL);
		sent += out.packet_count;
	}
	assert_int_equal(sent, SWIM_RELAYS);
	header.target = 99;
	swim_put_header(bytes, &header);
	out.packet_count = 0;
	swim_receive(&agents[0], bytes, sizeof(bytes), now, &out, NULL);
	assert_int_equal(out.packet_count, 0);
}

static void updates_keep_their_numbers(void **state)
{
	struct swim_update in = { .id = UINT64_MAX, .accuser = 5, .incarnation = UINT32_MAX,
				  .state = SWIM_SUSPECT }, got;
	uint8_t bytes[SWIM_UPDATE];

	(void)state;
	swim_put_update(bytes, &in);
	assert_int_equal(swim_get_update(bytes, &got, NULL), 0);
	assert_int_equal(got.id, in.id);
	assert_int_equal(got.accuser, 5);
	assert_int_equal(got.incarnation, in.incarnation);
	assert_int_equal(got.state, SWIM_SUSPECT);
	in.state = SWIM_UNSEEN;
	swim_put_update(bytes, &in);
	assert_int_equal(swim_get_update(bytes, &got, NULL), -1);
	in.state = SWIM_STATES;
	swim_put_update(bytes, &in);
	assert_int_equal(swim_get_update(bytes, &got, NULL), -1);
	in = (struct swim_update){ .id = 0, .state = SWIM_ALIVE };
	swim_put_update(bytes, &in);
	assert_int_equal(swim_get_update(bytes, &got, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(slander_is_refuted, tear_down),
		cmocka_unit_test_teardown(hints_are_no_news, tear_down),
		cmocka_unit_test_teardown(no_slander_lasts, tear_down),
		cmocka_unit_test_teardown(repeated_slander_ends, tear_down),
		cmocka_unit_test_teardown(restart_amid_slander, tear_down),
		cmocka_unit_test_teardown(strangers_are_refused, tear_down),
		cmocka_unit_test_teardown(is_no_amplifier, tear_down),
		cmocka_unit_test(updates_keep_their_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
