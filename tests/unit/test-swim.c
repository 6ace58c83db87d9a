/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The failure detector: who is found dead, and who is not. */
#include "tests/unit/swim-world.h"

#include <string.h>

static void finds_everybody(void **state)
{
	(void)state;
	cluster(2, true);
	run(5);
	assert_true(all_well());
	cluster(16, true);
	run(30);
	assert_true(all_well());
	assert_int_equal(deaths, 0);
	/* A ping, its answer, and a little. */
	packets = 0;
	run(100);
	assert_in_range(packets, 16 * 100 * 18 / 10, 16 * 100 * 22 / 10);
}

static void notices_a_death(void **state)
{
	static const bool lifeguard[] = { false, true };
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		cluster(8, lifeguard[i]);
		run(20);
		kill_node(3);
		run(60);
		assert_true(all_see(3, SWIM_DEAD));
		assert_int_equal(deaths, 7);
		/* It starts anew, and knows nothing of what was said of it. */
		restart(3);
		run(30);
		assert_true(all_well());
		assert_int_equal(revivals, 7);
		assert_true(seen(1, 3)->incarnation > 0);
	}
}

static void two_notice_each_other(void **state)
{
	(void)state;
	cluster(2, true);
	run(5);
	kill_node(2);
	run(60);
	assert_int_equal(state_of(1, 2), SWIM_DEAD);
	/* Alone it may be itself that is cut off: it says so by its health. */
	assert_true(agents[0].failed_probes > 0);
	restart(2);
	run(20);
	assert_true(all_well());
}

/* A path that is broken is no death: others can reach it. */
static void broken_path_is_no_death(void **state)
{
	(void)state;
	cluster(8, true);
	run(20);
	mute[1][2] = mute[2][1] = true;
	run(200);
	assert_int_equal(deaths, 0);
	assert_int_equal(state_of(1, 2), SWIM_ALIVE);
}

static void loss_is_no_death(void **state)
{
	(void)state;
	cluster(12, true);
	run(20);
	loss = 0.1;
	run(300);
	assert_int_equal(deaths, 0);
	loss = 0;
	run(20);
	assert_true(all_well());
}

static void partition_heals(void **state)
{
	uint64_t a, b;

	(void)state;
	cluster(8, true);
	run(20);
	for (a = 1; a <= 8; a++)
		for (b = 1; b <= 8; b++)
			mute[a][b] = (a <= 3) != (b <= 3);
	run(120);
	assert_int_equal(state_of(1, 8), SWIM_DEAD);
	assert_int_equal(state_of(8, 1), SWIM_DEAD);
	assert_int_equal(state_of(1, 2), SWIM_ALIVE);
	assert_int_equal(state_of(8, 4), SWIM_ALIVE);
	memset(mute, 0, sizeof(mute));
	run(120);
	assert_true(all_well());
}

static void removed_is_forgotten(void **state)
{
	uint64_t id;

	(void)state;
	cluster(6, true);
	run(20);
	kill_node(4);
	for (id = 1; id <= 6; id++)
		if (id != 4)
			swim_remove(&agents[id - 1], 4);
	run(60);
	assert_int_equal(deaths, 0);
	for (id = 1; id <= 6; id++)
		if (id != 4) {
			assert_null(seen(id, 4));
			assert_int_equal(agents[id - 1].count, 4);
			assert_int_equal(agents[id - 1].alive, 4);
		}
	swim_remove(&agents[0], 4);
	assert_int_equal(agents[0].count, 4);
}

/* ---- what Lifeguard adds ---- */

static void cut_off(uint64_t id, bool cut)
{
	uint64_t other;

	for (other = 1; other <= count; other++)
		mute[id][other] = mute[other][id] = cut;
}

/* Its pings fail, so it doubts itself, pings seldom and waits longer; and trusts itself
 * again with the answers. */
static void who_is_cut_off_doubts_itself(void **state)
{
	static const bool lifeguard[] = { false, true };
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		cluster(8, lifeguard[i]);
		run(20);
		assert_int_equal(agents[0].health, 0);
		cut_off(1, true);
		run(8);
		assert_true(agents[0].health >= 2);
		while (!agents[0].probe.active)
			run(DELAY);
		assert_true(agents[0].probe.until - now <= (lifeguard[i] ? 8 : 1));
		assert_true(agents[0].next_probe - now > (lifeguard[i] ? 1 : 0));
		assert_float_equal(agents[0].probe.until - agents[0].probe.direct_until,
				   0.5 * (lifeguard[i] ? agents[0].health + 1 : 1), 1e-6);
		run(60);
		assert_in_range(agents[0].health, 2, agents[0].config.health_max - 1);
		cut_off(1, false);
		run(120);
		assert_true(all_well());
		assert_int_equal(agents[0].health, 0);
	}
}

static void suspect_at(uint64_t at, uint64_t whom, uint64_t accuser)
{
	static struct swim_out out;
	struct swim_update update = { .id = whom, .accuser = accuser, .state = SWIM_SUSPECT };

	out.packet_count = out.change_count = 0;
	swim_believe(&agents[at - 1], &update, now, &out);
}

/* Seconds from the suspicion on. */
static double patience(uint64_t at, uint64_t whom)
{
	return seen(at, whom)->deadline - seen(at, whom)->since;
}

static void suspicion_is_cut_short_by_others(void **state)
{
	(void)state;
	cluster(8, true);
	run(20);
	suspect_at(1, 2, 3);
	assert_float_equal(patience(1, 2), 24, 1e-6);
	suspect_at(1, 2, 3); /* the same one again */
	assert_float_equal(patience(1, 2), 24, 1e-6);
	suspect_at(1, 2, 4);
	assert_in_range(patience(1, 2), 11, 12);
	suspect_at(1, 2, 5);
	assert_float_equal(patience(1, 2), 4, 1e-6);
	cluster(8, false);
	run(20);
	suspect_at(1, 2, 3);
	assert_float_equal(patience(1, 2), 4, 1e-6);
}

/* The first thing that node 1 says to another, when it has no news; 0: nothing. */
static uint64_t first_word(uint64_t to)
{
	static struct swim_out out;
	struct swim_header header;
	struct swim_update update;

	agents[0].hot_count = 0;
	agents[0].refresh = 1; /* not of node 2 first */
	receive(&agents[0], SWIM_PING, to, NULL, &out);
	assert_int_equal(out.packet_count, 1);
	assert_int_equal(swim_get_header(out.packets[0].bytes, out.packets[0].len, &header,
					 NULL), 0);
	assert_true(header.updates > 0);
	assert_int_equal(swim_get_update(out.packets[0].bytes + SWIM_HEADER, &update, NULL), 0);
	return update.id;
}

/* Who is suspected hears of it at once, and of having refuted it thinks the worse of itself. */
static void suspects_are_told_first(void **state)
{
	(void)state;
	cluster(4, true);
	run(20);
	assert_int_not_equal(first_word(2), 2);
	suspect_at(1, 2, 3);
	assert_int_equal(first_word(2), 2);
	assert_int_not_equal(first_word(4), 2);
	assert_int_equal(agents[1].health, 0);
	suspect_at(2, 2, 3);
	assert_int_equal(agents[1].health, 1);
	assert_int_equal(agents[1].refuted, 1);
	cluster(4, false);
	run(20);
	suspect_at(1, 2, 3);
	assert_int_not_equal(first_word(2), 2);
}

/* Whoever comes late is told what is no news any more. */
static void old_news_reach_who_missed_them(void **state)
{
	(void)state;
	cluster(8, true);
	run(20);
	kill_node(3);
	run(90);
	assert_true(all_see(3, SWIM_DEAD));
	restart(7);
	run(30);
	assert_int_equal(state_of(7, 3), SWIM_DEAD);
}

static void states_have_names(void **state)
{
	(void)state;
	assert_string_equal(swim_state_name(SWIM_DEAD), "dead");
	assert_string_equal(swim_state_name(SWIM_ALIVE), "alive");
	assert_string_equal(swim_state_name(SWIM_STATES), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(finds_everybody, tear_down),
		cmocka_unit_test_teardown(notices_a_death, tear_down),
		cmocka_unit_test_teardown(two_notice_each_other, tear_down),
		cmocka_unit_test_teardown(broken_path_is_no_death, tear_down),
		cmocka_unit_test_teardown(loss_is_no_death, tear_down),
		cmocka_unit_test_teardown(partition_heals, tear_down),
		cmocka_unit_test_teardown(removed_is_forgotten, tear_down),
		cmocka_unit_test_teardown(who_is_cut_off_doubts_itself, tear_down),
		cmocka_unit_test_teardown(suspicion_is_cut_short_by_others, tear_down),
		cmocka_unit_test_teardown(suspects_are_told_first, tear_down),
		cmocka_unit_test_teardown(old_news_reach_who_missed_them, tear_down),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
