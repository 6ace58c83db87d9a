/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What decisions are made from: claims, measurements, forecasts, policy, words. */
#include "scheduler/weight.h"
#include "tests/unit/sched-world.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 100000

/* ---- what others claim ---- */

static double absurd(struct sched_random *random)
{
	static const double values[] = { NAN, -NAN, INFINITY, -INFINITY, -1, -0.0, -1e-300, 1e-320,
					 DBL_MAX, -DBL_MAX, DBL_MIN, 0, 1e300, 1e18 };
	uint64_t bits = sched_random_next(random);
	double value;

	if (sched_random_below(random, 2))
		return values[sched_random_below(random, sizeof(values) / sizeof(values[0]))];
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* A sound vector, some of whose numbers have been replaced. */
static struct sched_node hostile_node(struct sched_random *random, uint64_t id)
{
	struct sched_node node = world_node(random, id);
	double *numbers[] = { &node.cpus, &node.speed, &node.run, &node.others, &node.load[0],
			      &node.load[SCHED_CLASSES - 1], &node.mem_total, &node.mem_free,
			      &node.pressure, &node.net_rate, &node.net_max, &node.time };
	unsigned times = (unsigned)sched_random_below(random, 4);

	while (times--)
		*numbers[sched_random_below(random, sizeof(numbers) / sizeof(numbers[0]))] =
			absurd(random);
	if (sched_random_below(random, 8) == 0) {
		node.jobs = node.reserved = node.slots = UINT_MAX;
		node.flags = (unsigned)sched_random_next(random);
		node.state = (enum sched_state)sched_random_below(random, 7);
	}
	return node;
}

static void check_sound(const struct sched_node *node)
{
	unsigned i;

	assert_true(node->cpus > 0 && node->cpus <= SCHED_MAX_CPUS);
	assert_true(node->speed >= SCHED_MIN_SPEED && node->speed <= SCHED_MAX_SPEED);
	assert_true(node->mem_total > 0 && node->mem_total <= SCHED_MAX_BYTES);
	assert_true(node->mem_free >= 0 && node->mem_free <= node->mem_total);
	assert_true(node->pressure >= 0 && node->pressure <= 1);
	assert_true(node->others >= 0 && node->others <= SCHED_MAX_LOAD);
	assert_true(node->run >= 0 && node->run <= SCHED_MAX_LOAD);
	assert_true(node->net_rate >= 0 && node->net_max >= 0);
	assert_true(isfinite(node->time));
	assert_in_range(node->jobs, 0, SCHED_MAX_JOBS);
	assert_in_range(node->reserved, 0, SCHED_MAX_JOBS);
	assert_in_range(node->slots, 0, SCHED_MAX_JOBS);
	assert_in_range(node->state, 0, SCHED_STATES - 1);
	assert_in_range(node->flags, 0, SCHED_NODE_FLAGS);
	for (i = 0; i < SCHED_CLASSES; i++)
		assert_true(node->load[i] >= 0 && node->load[i] <= SCHED_MAX_LOAD);
}

static void hostile_nodes_are_cut_or_refused(void **state)
{
	struct sched_random random = world_seed;
	unsigned i, refused = 0;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct sched_node node = hostile_node(&random, 1);
		struct err err = { 0 };

		if (sched_node_check(&node, &err) == 0) {
			check_sound(&node);
			continue;
		}
		assert_true(strlen(err.text) > 0);
		refused++;
	}
	assert_in_range(refused, ROUNDS / 10, ROUNDS * 9 / 10);
}

static void refuse_node(const char *words, struct sched_node node)
{
	struct err err = { 0 };

	assert_int_equal(sched_node_check(&node, &err), -1);
	assert_non_null(strstr(err.text, words));
	/* Nobody has to want to know why. */
	assert_int_equal(sched_node_check(&node, NULL), -1);
}

static void each_refusal_names_the_cause(void **state)
{
	struct sched_random random = world_seed;
	struct sched_node good = world_node(&random, 1), node;
	struct sched_job job = world_job(&random, 1);
	struct err err = { 0 };

	(void)state;
	assert_int_equal(sched_node_check(&good, &err), 0);
	node = good; node.id = 0; refuse_node("identity", node);
	node = good; node.speed = NAN; refuse_node("speed is not a number", node);
	node = good; node.speed = INFINITY; refuse_node("speed is inf", node);
	node = good; node.load[3] = -1; refuse_node("load is -1", node);
	node = good; node.mem_free = NAN; refuse_node("mem_free", node);
	node = good; node.time = NAN; refuse_node("time", node);
	node = good; node.state = SCHED_STATES; refuse_node("state", node);
	node = good; node.speed = 1e9;
	assert_int_equal(sched_node_check(&node, &err), 0);
	assert_true(node.speed == SCHED_MAX_SPEED);
	node = good; node.mem_free = 2 * node.mem_total;
	assert_int_equal(sched_node_check(&node, &err), 0);
	assert_true(node.mem_free == node.mem_total);
	assert_int_equal(sched_job_check(&job, &err), 0);
	job.traffic[2].rate = -5;
	assert_int_equal(sched_job_check(&job, &err), -1);
	assert_non_null(strstr(err.text, "traffic is -5"));
	job.traffic[2].rate = 0;
	job.age = NAN;
	assert_int_equal(sched_job_check(&job, &err), -1);
	assert_non_null(strstr(err.text, "age is not a number"));
}

static struct sched_job hostile_job(struct sched_random *random)
{
	struct sched_job job = world_job(random, 1);
	double *numbers[] = { &job.age, &job.use, &job.mem, &job.touched, &job.dirty, &job.hot,
			      &job.resident, &job.tried, &job.traffic[0].rate,
			      &job.traffic[3].rate };
	unsigned times = (unsigned)sched_random_below(random, 3);

	while (times--)
		*numbers[sched_random_below(random, sizeof(numbers) / sizeof(numbers[0]))] =
			absurd(random);
	return job;
}

/* What has passed the check never makes a decision that is none. */
static void decisions_stand_whatever_is_claimed(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_reason reasons[WORLD_JOBS];
	unsigned i, k, moved = 0;

	(void)state;
	for (i = 0; i < ROUNDS / 5; i++) {
		struct sched_place place;
		struct sched_move move;
		struct sched_job job;

		world_make(&world);
		for (k = 0; k < world.peer_count; k++)
			do
				world.peers[k] = hostile_node(&world.random, k + 2);
			while (sched_node_check(&world.peers[k], NULL) < 0);
		do
			job = hostile_job(&world.random);
		while (sched_job_check(&job, NULL) < 0);
		if (world.job_count)
			world.jobs[0] = job;
		for (k = 0; k < world.peer_count; k++)
			assert_true(world_cost(&world, &job, &world.peers[k]) >= 0);
		place = sched_place(&world.view, &job, &world.random);
		if (place.node) {
			assert_true(isfinite(place.cost));
			assert_ptr_equal(place.node, world_find(&world, place.node->id));
		}
		move = sched_balance(&world.view, world.jobs, world.job_count, &world.link,
				     &world.random, reasons);
		if (!move.node)
			continue;
		moved++;
		assert_ptr_equal(move.node, world_find(&world, move.node->id));
		assert_true(isfinite(move.cost) && isfinite(move.forecast.time));
	}
	assert_in_range(moved, ROUNDS / 500, ROUNDS / 5);
}

/* ---- what is measured ---- */

static void meters_are_mosix(void **state)
{
	struct sched_meter meter = { 0 };
	unsigned i;

	(void)state;
	sched_meter_add(&meter, 8);
	assert_true(meter.mean == 3 && meter.upper == 8);
	sched_meter_add(&meter, 8);
	assert_true(meter.mean == (5 * 3.0 + 3 * 8) / 8);
	sched_meter_add(&meter, 0);
	assert_true(meter.mean == 0 && meter.upper == 7);
	sched_meter_add(&meter, NAN);
	sched_meter_add(&meter, -3);
	assert_true(meter.mean == 0 && meter.upper == 7);
	for (i = 0; i < 400; i++)
		sched_meter_add(&meter, 2);
	assert_true(fabs(meter.mean - 2) < 1e-6 && fabs(meter.upper - 2) < 1e-6);
	assert_true(fabs(sched_meter_here(&meter) - 2) < 1e-3);
	/* A burst: seen by others at once, decided on here hardly. */
	sched_meter_add(&meter, 20);
	assert_true(sched_meter_told(&meter) == 20);
	assert_true(sched_meter_here(&meter) < 3);
}

static void classes_are_powers_of_two(void **state)
{
	unsigned class;

	(void)state;
	assert_int_equal(sched_class(0), 0);
	assert_int_equal(sched_class(-1), 0);
	assert_int_equal(sched_class(NAN), 0);
	assert_int_equal(sched_class(INFINITY), SCHED_CLASSES - 1);
	for (class = 1; class < SCHED_CLASSES; class++) {
		double age = sched_class_age(class);

		assert_true(age == exp2(class - 1.0));
		assert_int_equal(sched_class(age), class);
		assert_int_equal(sched_class(nextafter(age, 0)), class - 1);
	}
}

static void samples_of_a_job(void **state)
{
	struct sched_job job = { 0 };
	struct sched_sample sample = { .interval = 2, .cpu = 1, .speed = 3 };
	unsigned i;

	(void)state;
	sample.bytes[0] = (struct sched_traffic){ 7, 3e6 };
	for (i = 0; i < 100; i++)
		sched_job_sample(&job, &sample);
	assert_true(fabs(job.age - 300) < 1e-9);
	assert_true(fabs(job.use - 0.5) < 1e-6);
	assert_true(job.traffic[0].node == 7 && fabs(job.traffic[0].rate - 1e6) < 1);
	/* The heaviest stay when there are more than there is room for. */
	for (i = 0; i < SCHED_TRAFFIC; i++)
		sample.bytes[i] = (struct sched_traffic){ 20 + i, 6e6 + i };
	for (i = 0; i < 100; i++)
		sched_job_sample(&job, &sample);
	for (i = 0; i < SCHED_TRAFFIC; i++)
		assert_in_range(job.traffic[i].node, 20, 23);
	sample.cpu = NAN;
	sched_job_sample(&job, &sample);
	sample = (struct sched_sample){ .interval = -1, .cpu = 1, .speed = 1 };
	sched_job_sample(&job, &sample);
	sample = (struct sched_sample){ .interval = 1, .cpu = -1, .speed = 1 };
	sched_job_sample(&job, &sample);
	assert_true(fabs(job.age - 600) < 1e-9);
	assert_int_equal(sched_job_check(&job, NULL), 0);
}

/* A node that a job is added to and removed from is what it was. */
static void adding_and_removing(void **state)
{
	struct sched_random random = world_seed;
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		struct sched_node node = world_node(&random, 1), before = node;
		struct sched_job job = world_job(&random, 1);
		double load = sched_node_load(&node);

		if (job.mem > node.mem_free)
			continue;
		sched_node_add(&node, &job);
		assert_true(fabs(sched_node_load(&node) - load - job.use) < 1e-9);
		sched_node_remove(&node, &job);
		assert_int_equal(node.jobs, before.jobs);
		assert_true(fabs(node.mem_free - before.mem_free) < 1);
		assert_true(fabs(sched_node_load(&node) - load) < 1e-9);
	}
}

/* ---- what a move will cost ---- */

/* Liu et al., HPDC 2011: rounds are a geometric series. */
static void forecast_is_the_formula(void **state)
{
	struct sched_random random = world_seed;
	unsigned i, edges = 0;

	(void)state;
	for (i = 0; i < 10000; i++) {
		double v = exp2(world_between(&random, 20, 34));
		double r = exp2(world_between(&random, 23, 31));
		double lam = world_between(&random, 0.01, 0.6);
		struct sched_link link = { .bandwidth = r, .setup = 0.7, .resume = 0.2,
					   .stop = 0.3, .slowdown = 0.1, .cpu = 0.5 };
		struct sched_job job = { .touched = v, .mem = v, .dirty = lam * r / 0.9 };
		struct sched_forecast f = sched_forecast(&job, &link);
		double n = fmax(0, ceil(log(r * link.stop / v) / log(lam)));
		double copy = v / r * (1 - pow(lam, n)) / (1 - lam);
		double down = v / r * pow(lam, n) + link.resume;

		assert_true(f.converges);
		/* The number of rounds is a rounded number: on the edge, either. */
		if (f.rounds != n) {
			edges++;
			continue;
		}
		assert_true(fabs(f.time - (0.7 + copy + down)) < 1e-9 * (1 + f.time));
		assert_true(fabs(f.downtime - down) < 1e-9);
		assert_true(fabs(f.bytes - v * (1 - pow(lam, n + 1)) / (1 - lam)) < 1e-9 * f.bytes);
		assert_true(fabs(f.delay - (0.1 * copy + down)) < 1e-9 * (1 + f.time));
	}
	assert_in_range(edges, 0, 20);
}

static void forecast_without_end(void **state)
{
	struct sched_link link = { .bandwidth = 1e8, .setup = 1, .resume = 0.1, .stop = 0.1,
				   .slowdown = 0.1, .cpu = 0.5 };
	struct sched_job job = { .touched = 1e10, .mem = 1e10, .dirty = 1e9 };
	struct sched_forecast f = sched_forecast(&job, &link);

	(void)state;
	assert_false(f.converges);
	assert_int_equal(f.rounds, PREDICT_ROUNDS);
	assert_true(f.time <= 1 + 0.1 + (PREDICT_ROUNDS + 1) * 100.0);
	/* What it changes again and again is small: it does end. */
	job.hot = 5e6;
	f = sched_forecast(&job, &link);
	assert_true(f.converges && f.rounds == 1);
	/* A link that is dead, a job with nothing. */
	link.bandwidth = 0;
	assert_true(isfinite(sched_forecast(&job, &link).time));
	job = (struct sched_job){ 0 };
	assert_true(sched_forecast(&job, &link).bytes == 0);
}

static void forecast_is_monotone(void **state)
{
	struct sched_random random = world_seed;
	unsigned i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		struct sched_link link = { .bandwidth = exp2(world_between(&random, 20, 31)),
					   .setup = 0.7, .resume = 0.2, .stop = 0.3,
					   .slowdown = 0.1, .cpu = 0.5 };
		struct sched_job job = world_job(&random, 1), larger = job;
		struct sched_forecast f = sched_forecast(&job, &link);

		larger.touched *= 2;
		assert_true(sched_forecast(&larger, &link).bytes >= f.bytes);
		larger = job;
		larger.dirty *= 2;
		assert_true(sched_forecast(&larger, &link).bytes >= f.bytes * 0.999);
	}
}

static void forecast_error(void **state)
{
	struct sched_forecast_error error = { 0 };
	unsigned i;

	(void)state;
	for (i = 0; i < 50; i++)
		sched_forecast_compare(&error, 2, 2);
	assert_true(error.spread == 0 && error.bias == 0);
	for (i = 0; i < 400; i++)
		sched_forecast_compare(&error, 1, i % 2 ? 2 : 0.5);
	assert_true(fabs(error.spread - log(2)) < 0.01 && fabs(error.bias) < 0.1);
	for (i = 0; i < 400; i++)
		sched_forecast_compare(&error, 1, 2);
	assert_true(fabs(error.bias - log(2)) < 0.01);
	sched_forecast_compare(&error, 0, 1);
	sched_forecast_compare(&error, 1, NAN);
	sched_forecast_compare(&error, INFINITY, 1);
	assert_int_equal(error.count, 850);
	assert_true(sched_remaining(0, 1) == 1 && sched_remaining(50, 1) == 50);
}

/* ---- weights ---- */

static void weights_are_bounded(void **state)
{
	struct sched_random random = world_seed;
	struct sched_policy policy;
	unsigned i;

	(void)state;
	sched_policy_default(&policy);
	for (i = 0; i < 10000; i++) {
		double age = exp2(world_between(&random, -10, 40)), weight;
		unsigned cgroup;

		policy.weight_power = world_between(&random, 0, 4);
		policy.weight_ratio = exp2(world_between(&random, 0, 13));
		weight = sched_weight(&policy, age);
		assert_true(weight <= 1 && weight >= 1 / policy.weight_ratio);
		assert_true(sched_weight(&policy, 2 * age) <= weight);
		assert_true(sched_weight(&policy, 0) == 1);
		cgroup = sched_weight_cgroup(&policy, age,
					     (unsigned)sched_random_below(&random, 20000));
		assert_in_range(cgroup, 1, 10000);
	}
	assert_true(sched_weight(&policy, NAN) == 1);
	policy.weight_power = 0;
	assert_true(sched_weight(&policy, 1e9) == 1);
}

/* ---- policy ---- */

static void refuse_policy(const char *name, double value)
{
	struct sched_policy policy, before;
	struct err err = { 0 };

	sched_policy_default(&policy);
	before = policy;
	assert_int_equal(sched_policy_set(&policy, name, value, &err), -1);
	assert_non_null(strstr(err.text, name));
	assert_memory_equal(&policy, &before, sizeof(policy));
}

static void policy_has_bounds(void **state)
{
	const struct sched_policy_entry *entry;
	unsigned count = 0;
	double value;

	(void)state;
	for (entry = sched_policy_entries; entry->name; entry++, count++) {
		struct sched_policy policy;

		sched_policy_default(&policy);
		assert_true(entry->min <= entry->standard && entry->standard <= entry->max);
		assert_true(strlen(entry->what) > 0);
		assert_int_equal(sched_policy_get(&policy, entry->name, &value), 0);
		assert_true(value == entry->standard);
		assert_int_equal(sched_policy_set(&policy, entry->name, entry->min, NULL), 0);
		assert_int_equal(sched_policy_set(&policy, entry->name, entry->max, NULL), 0);
		assert_int_equal(sched_policy_get(&policy, entry->name, &value), 0);
		assert_true(value == entry->max);
		refuse_policy(entry->name, entry->max * 1.001 + 1);
		refuse_policy(entry->name, entry->min - 0.001);
		refuse_policy(entry->name, NAN);
		refuse_policy(entry->name, INFINITY);
		refuse_policy(entry->name, -INFINITY);
	}
	/* Each number of the structure has an entry. */
	assert_int_equal(count, sizeof(struct sched_policy) / sizeof(double));
	refuse_policy("no such thing", 1);
	assert_int_equal(sched_policy_get(&(struct sched_policy){ 0 }, "", &value), -1);
}

/* ---- words ---- */

static const char *name_of(uint64_t node, void *data)
{
	(void)data;
	return node == 7 ? "node7" : NULL;
}

static void each_reason_has_words(void **state)
{
	const char *names[SCHED_WHYS];
	char texts[SCHED_WHYS][200];
	int why, other;

	(void)state;
	for (why = 0; why < SCHED_WHYS; why++) {
		struct sched_reason reason = {
			.why = (enum sched_why)why, .node = 7, .here = 1.5, .there = 0.25,
			.gain = 40, .cost = 3, .need = 3 * 0x1p30, .have = 0x1p20,
			.objection = SCHED_WHY_OWNER,
		};

		names[why] = sched_why_name((enum sched_why)why);
		assert_true(strlen(names[why]) > 0);
		assert_true(strspn(names[why], "abcdefghijklmnopqrstuvwxyz-") ==
			    strlen(names[why]));
		sched_reason_text(&reason, name_of, NULL, texts[why], sizeof(texts[why]));
		assert_true(strlen(texts[why]) > 8 && strlen(texts[why]) < 150);
		assert_null(strpbrk(texts[why], "%\n"));
		if (why >= SCHED_WHY_PINNED)
			assert_true(strncmp(texts[why], "stays", 5) == 0);
		for (other = 0; other < why; other++) {
			assert_string_not_equal(names[why], names[other]);
			assert_string_not_equal(texts[why], texts[other]);
		}
	}
	assert_string_equal(texts[SCHED_WHY_MEMORY],
			    "node7 has 1.0 MiB of memory free, the job needs 3.0 GiB");
	assert_string_equal(texts[SCHED_WHY_NOWHERE],
			    "stays: no other node can take it (node7 is in use by its owner)");
	assert_string_equal(texts[SCHED_WHY_BALANCE],
			    "moves to node7: that gains 40 s and costs 3 s (1.5 here, 0.25 there)");
	assert_string_equal(sched_why_name(SCHED_WHYS), "unknown");
	assert_string_equal(sched_why_name((enum sched_why)-1), "unknown");
}

static void reasons_are_cut_to_what_fits(void **state)
{
	struct sched_reason reason = { .why = SCHED_WHY_MEMORY, .node = 9, .need = NAN,
				       .have = INFINITY };
	char whole[400], text[400];
	size_t size;

	(void)state;
	sched_reason_text(&reason, NULL, NULL, whole, sizeof(whole));
	assert_non_null(strstr(whole, "node 0000000000000009"));
	for (size = 0; size < sizeof(text); size++) {
		memset(text, '#', sizeof(text));
		assert_ptr_equal(sched_reason_text(&reason, name_of, NULL, text, size), text);
		assert_int_equal(text[size], '#');
		if (size == 0)
			continue;
		assert_true(strlen(text) == (strlen(whole) < size ? strlen(whole) : size - 1));
		assert_memory_equal(text, whole, strlen(text));
	}
	reason.why = (enum sched_why)12345;
	assert_string_equal(sched_reason_text(&reason, NULL, NULL, text, sizeof(text)),
			    "for no known reason");
}

/* ---- random numbers ---- */

static void random_numbers(void **state)
{
	struct sched_random a, b;
	unsigned i, seen[7] = { 0 };
	double sum = 0;

	(void)state;
	sched_random_seed(&a, 5);
	sched_random_seed(&b, 5);
	for (i = 0; i < 70000; i++) {
		double unit = sched_random_unit(&a);

		assert_true(unit == sched_random_unit(&b));
		assert_true(unit >= 0 && unit < 1);
		sum += unit;
		seen[sched_random_below(&a, 7)]++;
		sched_random_below(&b, 7);
	}
	assert_true(fabs(sum / 70000 - 0.5) < 0.01);
	for (i = 0; i < 7; i++)
		assert_in_range(seen[i], 9500, 10500);
	assert_int_equal(sched_random_below(&a, 0), 0);
	assert_int_equal(sched_random_below(&a, 1), 0);
	sched_random_seed(&b, 6);
	assert_true(sched_random_next(&a) != sched_random_next(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_nodes_are_cut_or_refused),
		cmocka_unit_test(each_refusal_names_the_cause),
		cmocka_unit_test(decisions_stand_whatever_is_claimed),
		cmocka_unit_test(meters_are_mosix),
		cmocka_unit_test(classes_are_powers_of_two),
		cmocka_unit_test(samples_of_a_job),
		cmocka_unit_test(adding_and_removing),
		cmocka_unit_test(forecast_is_the_formula),
		cmocka_unit_test(forecast_without_end),
		cmocka_unit_test(forecast_is_monotone),
		cmocka_unit_test(forecast_error),
		cmocka_unit_test(weights_are_bounded),
		cmocka_unit_test(policy_has_bounds),
		cmocka_unit_test(each_reason_has_words),
		cmocka_unit_test(reasons_are_cut_to_what_fits),
		cmocka_unit_test(random_numbers),
	};

	return cmocka_run_group_tests(tests, world_begin, NULL);
}
