/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gossip: what nodes learn of each other's load, how old it is, and what they do not
 * believe. */
#include "scheduler/gossip-wire.h"
#include "scheduler/gossip.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 8
#define WINDOW 4
#define MAX_AGE 60.0

static struct gossip nodes[NODES]; /* ids 1 to NODES */
static uint8_t message[GOSSIP_MESSAGE_MAX];
static size_t len;

static struct sched_node vector_of(uint64_t id)
{
	return (struct sched_node){
		.id = id, .cpus = 4, .speed = 1, .mem_total = 0x1p33, .mem_free = 0x1p32,
		.slots = 64, .qemu = 7002022, .cpu = 3, .state = SCHED_OPEN,
	};
}

static void init(struct gossip *gossip, uint64_t id, unsigned capacity, unsigned window)
{
	gossip_init(gossip, malloc(gossip_size(capacity)), capacity, id, window, MAX_AGE);
}

static int set_up(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++)
		init(&nodes[i], i + 1, NODES + 2, WINDOW);
	return 0;
}

static int tear_down(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < NODES; i++)
		free(nodes[i].nodes);
	return 0;
}

static struct gossip *node(uint64_t id)
{
	return &nodes[id - 1];
}

static void measure(uint64_t id, double now)
{
	struct sched_node own = vector_of(id);

	own.jobs = (unsigned)now;
	gossip_own(node(id), &own, (uint64_t)(now * 1000), now);
}

/* From one to another; the own vector is measured first. */
static void tell(uint64_t from, uint64_t to, double now)
{
	measure(from, now);
	len = gossip_write(node(from), now, message, sizeof(message));
	assert_true(len > 0);
	assert_int_equal(gossip_read(node(to), message, len, now, NULL), 0);
}

static double age_at(uint64_t at, uint64_t of, double now)
{
	const struct sched_node *known = gossip_find(node(at), of);

	return known ? now - known->time : INFINITY;
}

/* A message made by hand, of one entry. */
static int read_one(struct gossip *at, const struct sched_node *entry, uint64_t stamp,
		    double age, double now)
{
	struct gossip_header header = { .sender = 99, .count = 1 };
	uint8_t bytes[GOSSIP_HEADER + GOSSIP_ENTRY];

	gossip_put_header(bytes, &header);
	gossip_put_entry(bytes + GOSSIP_HEADER, entry, stamp, age);
	return gossip_read(at, bytes, sizeof(bytes), now, NULL);
}

/* ---- the bytes ---- */

static void entries_keep_their_numbers(void **state)
{
	struct sched_node in = vector_of(77), out;
	uint8_t bytes[GOSSIP_ENTRY];
	uint64_t stamp = 0;
	double age = 0;
	unsigned i;

	(void)state;
	in.speed = 1.234;
	in.run = 2.5;
	in.others = 1.25;
	for (i = 0; i < SCHED_CLASSES; i++)
		in.load[i] = i / 4.0;
	in.mem_free = 12345 * 65536.0 + 1;
	in.pressure = 0.2;
	in.net_rate = 123456789;
	in.net_max = 1.25e9;
	in.jobs = 3;
	in.reserved = 1;
	in.state = SCHED_DRAINING;
	in.flags = SCHED_TAKING | SCHED_MAKING;
	gossip_put_entry(bytes, &in, 123456789012345, 4.25);
	assert_int_equal(gossip_get_entry(bytes, &out, &stamp, &age, NULL), 0);
	assert_int_equal(stamp, 123456789012345);
	assert_float_equal(age, 4.25, 0.001);
	assert_int_equal(out.id, 77);
	assert_float_equal(out.speed, 1.234, 0.0005);
	assert_float_equal(out.run, 2.5, 1e-9);
	for (i = 0; i < SCHED_CLASSES; i++)
		assert_float_equal(out.load[i], i / 4.0, 1e-9);
	/* A node offers no more memory than it has. */
	assert_true(out.mem_free <= in.mem_free && in.mem_free - out.mem_free < 65536);
	assert_float_equal(out.pressure, 0.2, 0.002);
	assert_float_equal(out.net_rate / in.net_rate, 1, 0.001);
	assert_float_equal(out.net_max / in.net_max, 1, 0.001);
	assert_int_equal(out.state, SCHED_DRAINING);
	assert_int_equal(out.flags, SCHED_TAKING | SCHED_MAKING);
	assert_int_equal(out.qemu, 7002022);
	assert_int_equal(out.jobs, 3);
	assert_int_equal(out.reserved, 1);
}

static void bad_messages_are_refused(void **state)
{
	struct err err = { 0 };
	size_t i;

	(void)state;
	tell(1, 2, 1);
	for (i = 0; i < len; i++)
		assert_int_equal(gossip_read(node(3), message, i, 1, &err), -1);
	assert_int_equal(gossip_read(node(3), message, len + 1, 1, &err), -1);
	assert_true(err.text[0] != '\0');
	for (i = 0; i < 8; i++) { /* magic, version, zero, count */
		message[i] ^= 0x40;
		assert_int_equal(gossip_read(node(3), message, len, 1, NULL), -1);
		message[i] ^= 0x40;
	}
	assert_int_equal(node(3)->count, 1);
	assert_int_equal(node(3)->received, 0);
	assert_int_equal(gossip_read(node(3), message, len, 1, NULL), 0);
}

static void lies_are_cut_or_refused(void **state)
{
	struct sched_node lie = vector_of(5);
	const struct sched_node *known;

	(void)state;
	/* As fast as it can be written. */
	lie.speed = 4e6;
	lie.cpus = 1e9;
	lie.mem_free = 0x1p60;
	read_one(node(1), &lie, 10, 0, 100);
	known = gossip_find(node(1), 5);
	assert_true(!known || (known->speed <= SCHED_MAX_SPEED &&
			       known->cpus <= SCHED_MAX_CPUS &&
			       known->mem_free <= known->mem_total));
	/* A node of nothing is one of very little. */
	lie = vector_of(6);
	lie.cpus = lie.speed = lie.mem_total = lie.mem_free = 0;
	read_one(node(1), &lie, 10, 0, 100);
	known = gossip_find(node(1), 6);
	assert_true(known && known->cpus > 0 && known->speed > 0 && known->mem_total > 0);
	/* What no node is. */
	lie = vector_of(0);
	read_one(node(1), &lie, 10, 0, 100);
	assert_null(gossip_find(node(1), 0));
	lie = vector_of(7);
	lie.state = 7;
	read_one(node(1), &lie, 10, 0, 100);
	assert_null(gossip_find(node(1), 7));
	assert_int_equal(node(1)->refused, 2);
}

/* ---- what is known ---- */

static void learns_at_second_hand(void **state)
{
	(void)state;
	tell(1, 2, 10);
	tell(2, 3, 12);
	assert_float_equal(age_at(3, 2, 12), 0, 0.01);
	assert_float_equal(age_at(3, 1, 12), 2, 0.01);
	assert_float_equal(age_at(3, 1, 20), 10, 0.01);
	assert_true(isinf(age_at(1, 2, 12)));
}

static void newer_wins(void **state)
{
	(void)state;
	tell(1, 2, 10); /* 2 has 1 as of 10 */
	tell(1, 3, 15); /* 3 has it as of 15 */
	tell(2, 3, 16); /* and hears the older */
	assert_float_equal(age_at(3, 1, 16), 1, 0.01);
	tell(3, 2, 17);
	assert_float_equal(age_at(2, 1, 17), 2, 0.01);
	assert_int_equal(gossip_find(node(2), 1)->jobs, 15);
}

/* Time is the receiver's: what the origin's clock says is only for order. */
static void clocks_need_not_agree(void **state)
{
	struct sched_node own = vector_of(1);

	(void)state;
	gossip_own(node(1), &own, 1, 5); /* its clock was never set */
	len = gossip_write(node(1), 7, message, sizeof(message));
	assert_int_equal(gossip_read(node(2), message, len, 100000, NULL), 0);
	assert_float_equal(age_at(2, 1, 100000), 2, 0.01);
	/* Set back by an hour: its stamps go on growing. */
	gossip_own(node(1), &own, 1000000, 8);
	gossip_own(node(1), &own, 20, 9);
	len = gossip_write(node(1), 9, message, sizeof(message));
	assert_int_equal(gossip_read(node(2), message, len, 100009, NULL), 0);
	assert_float_equal(age_at(2, 1, 100009), 0, 0.01);
}

/* A node that starts anew with a clock set back hears of its own future. */
static void former_life_is_exceeded(void **state)
{
	struct sched_node own = vector_of(1);

	(void)state;
	gossip_own(node(1), &own, 5000000, 10);
	len = gossip_write(node(1), 10, message, sizeof(message));
	gossip_read(node(2), message, len, 10, NULL);
	free(node(1)->nodes);
	init(node(1), 1, NODES + 2, WINDOW);
	gossip_own(node(1), &own, 1000, 11);
	tell(2, 1, 12);
	gossip_own(node(1), &own, 3000, 13);
	len = gossip_write(node(1), 13, message, sizeof(message));
	gossip_read(node(2), message, len, 13, NULL);
	assert_float_equal(age_at(2, 1, 13), 0, 0.01);
}

/* Somebody's lie of node 5. */
static void lie_of_5(uint64_t to, uint64_t stamp, double now)
{
	struct sched_node lie = vector_of(5);

	lie.jobs = 77;
	read_one(node(to), &lie, stamp, 0, now);
}

static uint64_t stamp_at(uint64_t at, uint64_t of)
{
	return node(at)->slots[sched_map_find(&node(at)->map, of)].stamp;
}

static const uint64_t far[] = {
	1, 1000, 70000, (1ull << 41) - 1, 1ull << 41, (1ull << 42) - 1, 1ull << 42, 1ull << 62,
	INT64_MAX - 1, INT64_MAX, 1ull << 63, (1ull << 63) + 1, UINT64_MAX - 1, UINT64_MAX,
};

/* Whatever a node was told of another, that other's own next word counts more; and so it
 * does when the lie was told to that other alone, or to both. */
static void false_dates_silence_nobody(void **state)
{
	unsigned i, who;

	for (i = 0; i < 3 * sizeof(far) / sizeof(far[0]); i++) {
		tear_down(state);
		set_up(state);
		tell(5, 1, 99);
		who = i % 3 + 1; /* the other, the node itself, or both */
		if (who & 1)
			lie_of_5(1, stamp_at(1, 5) + far[i / 3], 100);
		if (who & 2)
			lie_of_5(5, node(5)->slots[0].stamp + far[i / 3], 100);
		tell(5, 1, 101);
		assert_int_equal(gossip_find(node(1), 5)->jobs, 101);
		assert_float_equal(age_at(1, 5, 101), 0, 0.01);
	}
}

/* Within a minute the stamp counts, beyond it the age. */
static void far_stamps_are_of_another_clock(void **state)
{
	struct sched_node old = vector_of(5), lie = vector_of(1);
	uint64_t before;

	(void)state;
	tell(5, 1, 99);
	before = stamp_at(1, 5);
	read_one(node(1), &old, before - 60000, 0, 100);
	read_one(node(1), &old, before - 60001, 2, 100); /* measured at 98 */
	read_one(node(1), &old, before + 60001, 2, 100);
	assert_int_equal(stamp_at(1, 5), before);
	read_one(node(1), &old, before + 60000, 2, 100);
	assert_int_equal(stamp_at(1, 5), before + 60000);
	read_one(node(1), &old, before - 1, 0, 100); /* a clock set back */
	assert_int_equal(stamp_at(1, 5), before - 1);
	/* Of itself a node exceeds what may be of its own clock, again and again. */
	measure(1, 100);
	before = node(1)->slots[0].stamp;
	read_one(node(1), &lie, before + 60001, 0, 100);
	read_one(node(1), &lie, before, 0, 100);
	assert_int_equal(node(1)->slots[0].stamp, before);
	lie.jobs = 77;
	read_one(node(1), &lie, before + 60000, 0, 100);
	assert_int_equal(node(1)->slots[0].stamp, before + 60001);
	read_one(node(1), &lie, before + 120000, 0, 100);
	assert_int_equal(node(1)->slots[0].stamp, before + 120001);
	assert_int_not_equal(gossip_find(node(1), 1)->jobs, 77);
}

static void everybody_tells_somebody(struct sched_random *random, double now)
{
	uint64_t id, to;

	for (id = 1; id <= NODES; id++) {
		to = 1 + sched_random_below(random, NODES);
		if (to != id)
			tell(id, to, now + (double)id / 100);
	}
}

static bool is_believed(double jobs)
{
	const struct sched_node *known;
	uint64_t id;

	for (id = 1; id <= NODES; id++)
		if (id != 5 && (known = gossip_find(node(id), 5)) && known->jobs == jobs)
			return true;
	return false;
}

/* Nobody has to tell the one whom the lie is about. */
static void a_lie_ends_everywhere(void **state)
{
	struct sched_random random;
	double now;
	unsigned i;

	for (i = 0; i <= sizeof(far) / sizeof(far[0]); i++) {
		bool minute = i == sizeof(far) / sizeof(far[0]);

		tear_down(state);
		set_up(state);
		sched_random_seed(&random, i);
		for (now = 100; now < 120; now++)
			everybody_tells_somebody(&random, now);
		lie_of_5(1, stamp_at(1, 5) + (minute ? 60000 : far[i]), now);
		for (; now < (minute ? 210 : 150); now++)
			everybody_tells_somebody(&random, now);
		assert_false(is_believed(77));
	}
}

static void old_is_forgotten(void **state)
{
	struct sched_node old = vector_of(5);

	(void)state;
	read_one(node(1), &old, 10, MAX_AGE + 1, 100);
	assert_null(gossip_find(node(1), 5));
	tell(2, 1, 100);
	gossip_expire(node(1), 100 + MAX_AGE - 1);
	assert_non_null(gossip_find(node(1), 2));
	gossip_expire(node(1), 101 + MAX_AGE);
	assert_null(gossip_find(node(1), 2));
	assert_int_equal(node(1)->count, 1);
	tell(2, 1, 200);
	gossip_forget(node(1), 2);
	assert_null(gossip_find(node(1), 2));
	gossip_forget(node(1), 1);
	assert_non_null(gossip_find(node(1), 1));
}

static bool even_only(void *data, uint64_t id)
{
	(void)data;
	return id % 2 == 0;
}

static void only_members_count(void **state)
{
	struct sched_node entry;
	uint64_t id;

	(void)state;
	node(1)->member = even_only;
	for (id = 2; id < 40; id++) {
		entry = vector_of(id);
		read_one(node(1), &entry, 1, 0, 100);
		assert_int_equal(gossip_find(node(1), id) != NULL, id % 2 == 0);
	}
}

static void target_knows_best(void **state)
{
	struct sched_node said = vector_of(2);

	(void)state;
	tell(2, 1, 10);
	said.jobs = 40;
	said.time = 11;
	gossip_note(node(1), &said);
	assert_int_equal(gossip_find(node(1), 2)->jobs, 40);
	said.id = 3;
	gossip_note(node(1), &said);
	assert_int_equal(gossip_find(node(1), 3)->jobs, 40);
	said.id = 1;
	gossip_note(node(1), &said);
	assert_int_not_equal(gossip_find(node(1), 1)->jobs, 40);
	/* And its next gossip is not taken for old. */
	tell(2, 1, 12);
	assert_int_equal(gossip_find(node(1), 2)->jobs, 12);
}

/* ---- messages ---- */

static unsigned entries(void)
{
	return (unsigned)((len - GOSSIP_HEADER) / GOSSIP_ENTRY);
}

static bool carries(uint64_t id)
{
	uint64_t got, stamp;
	unsigned i;

	for (i = 0; i < entries(); i++) {
		gossip_peek_entry(message + GOSSIP_HEADER + i * GOSSIP_ENTRY, &got,
				  &stamp);
		if (got == id)
			return true;
	}
	return false;
}

static void window_has_the_newest(void **state)
{
	uint64_t id;

	(void)state;
	for (id = 2; id <= NODES; id++)
		tell(id, 1, 10.0 * (double)id);
	measure(1, 100);
	len = gossip_write(node(1), 100, message, sizeof(message));
	assert_int_equal(entries(), WINDOW);
	assert_true(carries(1) && carries(NODES) && carries(NODES - 1) &&
		    carries(NODES - 2));
	assert_int_equal(node(1)->count, NODES);
	/* A smaller one, and a larger one, which fills up again. */
	gossip_set_window(node(1), 2);
	len = gossip_write(node(1), 100, message, sizeof(message));
	assert_int_equal(entries(), 2);
	assert_true(carries(1) && carries(NODES));
	gossip_set_window(node(1), NODES);
	for (id = 2; id <= NODES; id++)
		tell(id, 1, 100 + (double)id);
	measure(1, 110);
	len = gossip_write(node(1), 110, message, sizeof(message));
	assert_int_equal(entries(), NODES);
	assert_int_equal(gossip_write(node(1), 110, message, len - 1), 0);
}

/* A change of state overtakes what is newer, and is passed on. */
static void changes_are_urgent(void **state)
{
	struct sched_node own = vector_of(2);
	uint64_t id;
	unsigned sent;

	(void)state;
	tell(2, 1, 10);
	own.state = SCHED_DRAINING;
	gossip_own(node(2), &own, 11000, 11);
	len = gossip_write(node(2), 11, message, sizeof(message));
	gossip_read(node(1), message, len, 11, NULL);
	for (id = 3; id <= NODES; id++)
		tell(id, 1, 20 + (double)id);
	measure(1, 40);
	for (sent = 0; sent < 20; sent++) {
		len = gossip_write(node(1), 40, message, sizeof(message));
		if (!carries(2))
			break;
		assert_int_equal(entries(), WINDOW);
	}
	/* A few times, as 1.386 log2 n, not for ever. */
	assert_in_range(sent, 2, 6);
	assert_int_equal(node(1)->urgent_count, 0);
	gossip_urgent(node(1), 2);
	len = gossip_write(node(1), 40, message, sizeof(message));
	assert_true(carries(2));
	gossip_forget(node(1), 2);
	assert_int_equal(node(1)->urgent_count, 0);
}

static void check(const struct gossip *gossip)
{
	unsigned i, urgent = 0;

	assert_in_range(gossip->count, 1, gossip->capacity);
	assert_true(gossip->recent_count <= gossip->window - 1);
	for (i = 0; i < gossip->count; i++) {
		assert_ptr_equal(gossip_find(gossip, gossip->nodes[i].id),
				 &gossip->nodes[i]);
		urgent += gossip->slots[i].urgent != 0;
	}
	assert_int_equal(urgent, gossip->urgent_count);
	for (i = 1; i < gossip->recent_count; i++)
		assert_true(gossip->nodes[gossip->recent[i - 1]].time >=
			    gossip->nodes[gossip->recent[i]].time);
	for (i = 0; i < gossip->recent_count; i++)
		assert_true(gossip->slots[gossip->recent[i]].in_window);
}

/* More nodes than there is room for, and all that can happen to them. */
static void stays_sound(void **state)
{
	struct sched_random random;
	struct gossip small;
	unsigned i;

	(void)state;
	sched_random_seed(&random, 1);
	init(&small, 1, 6, 3);
	for (i = 0; i < 20000; i++) {
		double now = 1 + i * 0.01;
		struct sched_node entry = vector_of(1 + sched_random_below(&random, 30));

		entry.state = (enum sched_state)sched_random_below(&random, 3);
		switch (sched_random_below(&random, 8)) {
		case 0:
			gossip_forget(&small, entry.id);
			break;
		case 1:
			gossip_expire(&small, now);
			break;
		case 2:
			entry.time = now;
			gossip_note(&small, &entry);
			break;
		case 3:
			assert_true(gossip_write(&small, now, message, sizeof(message)) > 0);
			break;
		case 4:
			gossip_set_window(&small,
					  2 + (unsigned)sched_random_below(&random, 5));
			break;
		default:
			read_one(&small, &entry, i + 1,
				 (double)sched_random_below(&random, 80), now);
		}
		check(&small);
	}
	assert_int_equal(small.nodes[0].id, 1);
	free(small.nodes);
}

/* ---- whom to send to ---- */

static void picks_others(void **state)
{
	const uint64_t ids[] = { 1, 2, 3, 4, 5 }; /* 4 and 5 are dead */
	unsigned counts[6] = { 0 }, i;
	struct sched_random random;
	uint64_t to;

	(void)state;
	sched_random_seed(&random, 1);
	for (i = 0; i < 10000; i++) {
		assert_true(gossip_pick(node(1), ids, 3, 5, &random, &to));
		counts[to]++;
	}
	assert_int_equal(counts[1], 0);
	assert_true(counts[2] > 3000 && counts[3] > 3000);
	/* All together once in a while. */
	assert_in_range(counts[4] + counts[5], 500, 1500);
	assert_false(gossip_pick(node(1), ids, 1, 1, &random, &to));
	assert_false(gossip_pick(node(1), ids, 0, 0, &random, &to));
}

/* ---- the formulas ---- */

static void formulas_agree_with_the_paper(void **state)
{
	static const double n[] = { 64, 256, 1024, 10000 };
	/* Table of docs/evaluation, "Gossip", from the paper's formulas: nodes, average,
	 * maximum with 16 entries. */
	static const double known[][3] = {
		{ 64, 6.35, 18.5 }, { 256, 18.3, 97.4 }, { 1024, 66.3, 479.8 },
	};
	unsigned i, w;

	(void)state;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_float_equal(gossip_average_age(known[i][0], 16), known[i][1],
				   known[i][1] / 100);
		assert_float_equal(gossip_maximum_age(known[i][0], 16), known[i][2],
				   known[i][2] / 100);
	}
	for (i = 1; i <= 20; i++) /* of few nodes all, at least what fits */
		assert_int_equal(gossip_window(i, 11), i < 2 ? 2 : i < 11 ? i : 11);
	for (i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		/* A window of all is as good as it can be; a smaller one is worse. */
		for (w = 4; w <= 16; w *= 2) {
			assert_true(gossip_average_age(n[i], w) >
				    gossip_average_age(n[i], 2 * w));
			assert_true(gossip_maximum_age(n[i], w) >
				    gossip_average_age(n[i], w));
		}
		w = gossip_window((unsigned)n[i], 11);
		assert_true(w == GOSSIP_WINDOW_MAX ||
			    gossip_average_age(n[i], w) < GOSSIP_AGE_WANTED);
		assert_true(w == 11 || gossip_average_age(n[i], w - 1) >= GOSSIP_AGE_WANTED);
		w = gossip_window_for(n[i], 12);
		assert_true(gossip_average_age(n[i], w) < 12);
		assert_true(gossip_average_age(n[i], w - 1) >= 12);
		/* Everybody is known in the end, nobody at once. */
		assert_float_equal(gossip_up_to(n[i], 16, 40 * n[i]), n[i], n[i] / 1e6);
		assert_true(gossip_up_to(n[i], 16, 0) <= 1.0001);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_keep_their_numbers),
		cmocka_unit_test_setup_teardown(bad_messages_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lies_are_cut_or_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(learns_at_second_hand, set_up, tear_down),
		cmocka_unit_test_setup_teardown(newer_wins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(clocks_need_not_agree, set_up, tear_down),
		cmocka_unit_test_setup_teardown(former_life_is_exceeded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(false_dates_silence_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lie_ends_everywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(far_stamps_are_of_another_clock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(old_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_members_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(target_knows_best, set_up, tear_down),
		cmocka_unit_test_setup_teardown(window_has_the_newest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_are_urgent, set_up, tear_down),
		cmocka_unit_test(stays_sound),
		cmocka_unit_test_setup_teardown(picks_others, set_up, tear_down),
		cmocka_unit_test(formulas_agree_with_the_paper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
