/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each single fact about a node and a job does to a decision. */
#include "tests/unit/sched-world.h"

#include <math.h>
#include <string.h>

#define GIB 0x1p30

/* ---- what is in the way of a job ---- */

struct pair {
	struct sched_node node; /* 2 */
	struct sched_job job;   /* a guest of node 3, unless a case says otherwise */
};

static void nothing(struct pair *p) { (void)p; }
static void gone(struct pair *p) { p->node.state = SCHED_GONE; }
static void draining(struct pair *p) { p->node.state = SCHED_DRAINING; }
static void blocked(struct pair *p) { p->node.state = SCHED_BLOCKED; }
static void owner(struct pair *p) { p->node.flags = SCHED_OWNER_ACTIVE; }
static void taking(struct pair *p) { p->node.flags = SCHED_TAKING; }
static void own(struct pair *p) { p->job.home = 2; }
static void own_draining(struct pair *p) { own(p); draining(p); }
static void own_blocked(struct pair *p) { own(p); blocked(p); }
static void own_owner(struct pair *p) { own(p); owner(p); }
static void heard_29(struct pair *p) { p->node.time -= 29; }
static void heard_31(struct pair *p) { p->node.time -= 31; }
static void newer_qemu(struct pair *p) { p->node.qemu = 8; }
static void older_qemu(struct pair *p) { p->node.qemu = 6; }
static void lesser_cpu(struct pair *p) { p->job.cpu = 2; }
static void greater_cpu(struct pair *p) { p->node.cpu = 3; }
static void only_others(struct pair *p) { p->job.only[0] = 3; }
static void only_it(struct pair *p) { p->job.only[0] = 3; p->job.only[1] = 2; }
static void never_it(struct pair *p) { p->job.never[0] = 3; p->job.never[1] = 2; }
static void never_others(struct pair *p) { p->job.never[0] = 3; }

static void slots(struct pair *p, unsigned jobs, unsigned reserved)
{
	p->node.slots = 5;
	p->node.jobs = jobs;
	p->node.reserved = reserved;
}

static void one_slot(struct pair *p) { slots(p, 2, 2); }
static void no_slot(struct pair *p) { slots(p, 5, 0); }
static void all_reserved(struct pair *p) { slots(p, 2, 3); }

static void memory(struct pair *p, double share)
{
	p->node.mem_free = share * p->node.mem_total + p->job.mem;
}

static void below_low(struct pair *p) { memory(p, 0.049); }
static void above_low(struct pair *p) { memory(p, 0.051); }
static void below_high(struct pair *p) { memory(p, 0.079); }
static void above_high(struct pair *p) { memory(p, 0.081); }

struct rule {
	const char *name;
	void (*change)(struct pair *p);
	enum sched_why starts, moves; /* what is in the way */
};

#define RULE(change, starts, moves) \
	{ #change, change, SCHED_WHY_##starts, SCHED_WHY_##moves }

static const struct rule rules[] = {
	RULE(nothing, NONE, NONE),
	RULE(gone, CLOSED, CLOSED),
	RULE(draining, CLOSED, CLOSED),
	RULE(own_draining, CLOSED, CLOSED),
	RULE(blocked, CLOSED, CLOSED),
	RULE(own_blocked, NONE, NONE),
	RULE(owner, OWNER, OWNER),
	RULE(own_owner, NONE, NONE),
	RULE(taking, NONE, TAKING),
	RULE(heard_29, NONE, NONE),
	RULE(heard_31, OLD, OLD),
	RULE(newer_qemu, UNLIKE, UNLIKE),
	RULE(older_qemu, UNLIKE, UNLIKE),
	RULE(lesser_cpu, UNLIKE, UNLIKE),
	RULE(greater_cpu, NONE, NONE),
	RULE(only_others, NOT_WANTED, NOT_WANTED),
	RULE(only_it, NONE, NONE),
	RULE(never_it, NOT_WANTED, NOT_WANTED),
	RULE(never_others, NONE, NONE),
	RULE(one_slot, NONE, NONE),
	RULE(no_slot, SLOTS, SLOTS),
	RULE(all_reserved, SLOTS, SLOTS),
	RULE(below_low, MEMORY, MEMORY),
	RULE(above_low, NONE, MEMORY),
	RULE(below_high, NONE, MEMORY),
	RULE(above_high, NONE, NONE),
};

/* Any node is better than this one, and the other one is node 2. */
static void apply(struct world *world, const struct rule *rule)
{
	struct pair pair;

	world_plain(world, 4, 1, 1, 1);
	world->self.others = 100;
	world->view.count = 1;
	pair = (struct pair){ world->peers[0], world->jobs[0] };
	pair.job.home = 3;
	rule->change(&pair);
	world->peers[0] = pair.node;
	world->jobs[0] = pair.job;
}

static void check_start(struct world *world, const struct rule *rule)
{
	const struct sched_node *place;
	enum sched_why why;

	place = sched_place(&world->view, &world->jobs[0], &world->random).node;
	/* Home cannot be chosen either where it is not among the wanted. */
	if (rule->starts == SCHED_WHY_NONE)
		assert_ptr_equal(place, &world->peers[0]);
	else
		assert_ptr_not_equal(place, &world->peers[0]);
	why = sched_admit(&world->policy, &world->peers[0], &world->jobs[0], 1e9, 1e9,
			  false, WORLD_NOW).why;
	assert_string_equal(sched_why_name(why), sched_why_name(rule->starts));
}

static void check_move(struct world *world, const struct rule *rule)
{
	bool goes = rule->moves == SCHED_WHY_NONE;
	struct sched_reason reason;
	struct sched_move move;

	move = sched_balance(&world->view, world->jobs, 1, &world->link, &world->random,
			     &reason);
	assert_ptr_equal(move.node, goes ? &world->peers[0] : NULL);
	assert_int_equal(reason.why, goes ? SCHED_WHY_BALANCE : SCHED_WHY_NOWHERE);
	assert_int_equal(reason.node, 2);
	assert_string_equal(sched_why_name(reason.objection), sched_why_name(rule->moves));
	move = sched_drain(&world->view, world->jobs, 1, &world->link, &world->random,
			   &reason);
	assert_ptr_equal(move.node, goes ? &world->peers[0] : NULL);
	assert_string_equal(sched_why_name(reason.why),
			    sched_why_name(goes ? SCHED_WHY_DRAIN : rule->moves));
	assert_int_equal(reason.node, 2);
}

static void each_objection_has_its_reason(void **state)
{
	struct world world = { .random = world_seed };
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		print_message("%s\n", rules[i].name);
		apply(&world, &rules[i]);
		check_start(&world, &rules[i]);
		check_move(&world, &rules[i]);
	}
}

/* A node looks at itself as others do, but for what only guests are refused for. */
static void a_job_starts_at_a_closed_home(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_job job = world_old(1, 0);

	(void)state;
	world_plain(&world, 4, 1, 1, 0);
	world.self.state = SCHED_BLOCKED;
	world.self.flags = SCHED_OWNER_ACTIVE;
	assert_ptr_equal(sched_place(&world.view, &job, &world.random).node, &world.self);
	world.self.state = SCHED_DRAINING;
	assert_ptr_not_equal(sched_place(&world.view, &job, &world.random).node, &world.self);
}

/* ---- what a job costs ---- */

static double cost(const struct world *world, const struct sched_job *job,
		   const struct sched_node *node)
{
	struct sched_ask ask;

	sched_ask(&ask, &world->policy, job, &world->self);
	return sched_cost(&ask, &world->policy, node, 1e8);
}

/* Half of the network is in use: the same bytes take twice as long. */
static void a_busy_network_costs_more(void **state)
{
	struct world world = { .random = world_seed };
	struct sched_job job = world_old(1, 100);
	unsigned i;

	(void)state;
	world_plain(&world, 4, 1, 1, 0);
	world.self.others = 100;
	job.traffic[0] = (struct sched_traffic){ 9, 3e7 };
	world.peers[0].net_max = world.peers[1].net_max = 1e8;
	assert_true(fabs(cost(&world, &job, &world.peers[0]) - (1 + 0.3)) < 1e-6);
	world.peers[0].net_rate = 5e7;
	assert_true(fabs(cost(&world, &job, &world.peers[0]) - (1 + 0.6)) < 1e-6);
	world.peers[0].net_rate = 1e8;
	assert_true(fabs(cost(&world, &job, &world.peers[0]) - (1 + 3)) < 1e-6);
	world.view.bandwidth = 1e8;
	for (i = 0; i < 100; i++)
		assert_ptr_equal(sched_place(&world.view, &job, &world.random).node,
				 &world.peers[1]);
}

/* One CPU, with a job of the other age: the square of 1 and what that one matters. */
static double beside(double age, double other, const struct sched_policy *policy)
{
	struct world world = { .random = world_seed };
	struct sched_job job = world_old(1, age), second = world_old(2, other);

	world_plain(&world, 1, 1, 1, 0);
	world.policy = *policy;
	sched_node_add(&world.peers[0], &second);
	return cost(&world, &job, &world.peers[0]);
}

static double square_of(double matters)
{
	return (1 + matters) * (1 + matters) - matters;
}

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-6;
}

static void weights_decide_what_jobs_cost_each_other(void **state)
{
	struct sched_policy policy;

	(void)state;
	sched_policy_default(&policy);
	assert_true(near(beside(20, 20, &policy), square_of(1)));
	assert_true(near(beside(20, 160, &policy), square_of(1.0 / 8)));
	assert_true(near(beside(160, 20, &policy), square_of(1.0 / 8)));
	/* The bound of the weights */
	policy.weight_ratio = 4;
	assert_true(near(beside(20, 160, &policy), square_of((1.0 / 8 + 1.0 / 4) / 2)));
	sched_policy_default(&policy);
	policy.weight_power = 2;
	assert_true(near(beside(20, 160, &policy), square_of((1.0 / 8 + 1.0 / 64) / 2)));
	policy.weight_power = 0;
	assert_true(near(beside(20, 160, &policy), square_of((1.0 / 8 + 1) / 2)));
}

static void a_job_that_begins_is_taken_to_be_older(void **state)
{
	struct sched_policy policy;

	(void)state;
	sched_policy_default(&policy);
	/* Ages of 1 and 20 s are four classes apart. */
	assert_true(near(beside(0, 20, &policy), square_of(1.0 / 16)));
	policy.youngest = 20;
	assert_true(near(beside(0, 20, &policy), square_of(1)));
	assert_true(near(beside(160, 20, &policy), square_of(1.0 / 8)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_objection_has_its_reason),
		cmocka_unit_test(a_job_starts_at_a_closed_home),
		cmocka_unit_test(a_busy_network_costs_more),
		cmocka_unit_test(weights_decide_what_jobs_cost_each_other),
		cmocka_unit_test(a_job_that_begins_is_taken_to_be_older),
	};

	return cmocka_run_group_tests(tests, world_begin, NULL);
}
