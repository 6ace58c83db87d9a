/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The failure detector: a cluster in one process, with a clock and a network of
 * the test's own.
 */
#include "scheduler/swim-member.h"
#include "scheduler/swim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 24
#define QUEUE 4096
#define DELAY 0.002

static struct swim agents[MOST]; /* ids 1 to count */
static void *memories[MOST];
static unsigned count, deaths, revivals;
static bool down[MOST + 1], mute[MOST + 1][MOST + 1];
static struct sched_random source;
static double now, loss;
static uint64_t packets;

static struct letter {
	double at;
	uint64_t from;
	struct swim_packet packet;
} queue[QUEUE];
static unsigned queued;

static void start(uint64_t id, const struct swim_config *config)
{
	uint64_t other;

	free(memories[id - 1]);
	memories[id - 1] = malloc(swim_size(MOST));
	swim_init(&agents[id - 1], memories[id - 1], MOST, id, config,
		  now + sched_random_unit(&source));
	for (other = 1; other <= count; other++)
		swim_add(&agents[id - 1], other, &source);
}

static void cluster(unsigned n, bool lifeguard)
{
	struct swim_config config;
	uint64_t id;

	swim_config_default(&config);
	config.lifeguard = lifeguard;
	sched_random_seed(&source, n);
	count = n;
	now = loss = 0;
	queued = deaths = revivals = 0;
	packets = 0;
	memset(down, 0, sizeof(down));
	memset(mute, 0, sizeof(mute));
	for (id = 1; id <= n; id++)
		start(id, &config);
}

static int tear_down(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < MOST; i++) {
		free(memories[i]);
		memories[i] = NULL;
	}
	return 0;
}

static const struct swim_member *seen(uint64_t by, uint64_t whom)
{
	return swim_find(&agents[by - 1], whom);
}

static enum swim_state state_of(uint64_t by, uint64_t whom)
{
	return seen(by, whom)->state;
}

/* ---- time passes ---- */

static void carry(uint64_t from, const struct swim_out *out)
{
	unsigned i;

	for (i = 0; i < out->change_count; i++) {
		deaths += out->changes[i].state == SWIM_DEAD;
		revivals += out->changes[i].before == SWIM_DEAD &&
			    out->changes[i].state == SWIM_ALIVE;
	}
	packets += out->packet_count;
	for (i = 0; i < out->packet_count; i++) {
		uint64_t to = out->packets[i].to;

		assert_in_range(to, 1, count);
		if (mute[from][to] || sched_random_unit(&source) < loss)
			continue;
		assert_true(queued < QUEUE);
		queue[queued++] = (struct letter){ now + DELAY, from, out->packets[i] };
	}
}

static void deliver(void)
{
	static struct swim_out out;
	unsigned i, n = queued;
	static struct letter due[QUEUE];

	memcpy(due, queue, n * sizeof(due[0]));
	queued = 0;
	for (i = 0; i < n; i++) {
		uint64_t to = due[i].packet.to;

		if (due[i].at > now) {
			queue[queued++] = due[i];
			continue;
		}
		if (down[to])
			continue;
		out.packet_count = out.change_count = 0;
		assert_int_equal(swim_receive(&agents[to - 1], due[i].packet.bytes,
					      due[i].packet.len, now, &out, NULL), 0);
		carry(to, &out);
	}
}

static void run(double seconds)
{
	static struct swim_out out;
	double until = now + seconds;
	uint64_t id;

	for (; now < until; now += DELAY) {
		deliver();
		for (id = 1; id <= count; id++) {
			if (down[id] || swim_next(&agents[id - 1]) > now)
				continue;
			out.packet_count = out.change_count = 0;
			swim_tick(&agents[id - 1], now, &source, &out);
			carry(id, &out);
		}
	}
}

static bool all_see(uint64_t whom, enum swim_state state)
{
	uint64_t id;

	for (id = 1; id <= count; id++)
		if (id != whom && !down[id] && state_of(id, whom) != state)
			return false;
	return true;
}

static bool all_well(void)
{
	uint64_t id;

	for (id = 1; id <= count; id++)
		if (!all_see(id, SWIM_ALIVE))
			return false;
	return true;
}

static void kill_node(uint64_t id)
{
	down[id] = true;
}

static void restart(uint64_t id)
{
	struct swim_config config = agents[id - 1].config;

	start(id, &config);
	down[id] = false;
}

/* ---- tests ---- */

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

static int receive(struct swim *swim, enum swim_kind kind, uint64_t sender,
		   const struct swim_update *update, struct swim_out *out)
{
	struct swim_header header = { .kind = kind, .sender = sender, .target = swim->self,
				      .sequence = 1, .updates = update != NULL };
	uint8_t bytes[SWIM_HEADER + SWIM_UPDATE];

	swim_put_header(bytes, &header);
	if (update)
		swim_put_update(bytes + SWIM_HEADER, update);
	out->packet_count = out->change_count = 0;
	return swim_receive(swim, bytes, SWIM_HEADER + (update ? SWIM_UPDATE : 0), now, out,
			    NULL);
}

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

/* ---- messages of one who does not play by the rules ---- */

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
		cmocka_unit_test_teardown(slander_is_refuted, tear_down),
		cmocka_unit_test_teardown(hints_are_no_news, tear_down),
		cmocka_unit_test_teardown(no_slander_lasts, tear_down),
		cmocka_unit_test_teardown(repeated_slander_ends, tear_down),
		cmocka_unit_test_teardown(restart_amid_slander, tear_down),
		cmocka_unit_test_teardown(strangers_are_refused, tear_down),
		cmocka_unit_test_teardown(is_no_amplifier, tear_down),
		cmocka_unit_test(updates_keep_their_numbers),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
