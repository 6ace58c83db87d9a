/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-links.h"

#include <math.h>

#define LEARN 0.25        /* of what the last move took */
#define SLOWEST 1e5       /* bytes/s: below that nothing would ever be worth it */
#define SHORTEST 0.01     /* s: a shorter transfer says nothing of the network */
#define MAX_PEERS 4096

struct known {
	struct sched_link link;
	unsigned moves;
};

void links_init(struct links *links)
{
	/* Until moves have told: a gigabit network, and what libvirt takes. */
	links->typical = (struct sched_link){ .bandwidth = 60e6, .setup = 1, .resume = 0.1,
					      .stop = 0.3, .slowdown = 0.1, .cpu = 0.5 };
	links->peers = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
}

void links_clear(struct links *links)
{
	g_clear_pointer(&links->peers, g_hash_table_unref);
}

struct sched_link links_to(const struct links *links, uint64_t peer)
{
	const struct known *known = g_hash_table_lookup(links->peers, &peer);

	return known ? known->link : links->typical;
}

static void learn(struct sched_link *link, double share, double bandwidth, double setup)
{
	link->bandwidth += share * (bandwidth - link->bandwidth);
	link->bandwidth = fmax(link->bandwidth, SLOWEST);
	link->setup += share * (setup - link->setup);
}

void links_learn(struct links *links, uint64_t peer, double bytes, double transfer,
		 double total)
{
	struct known *known = g_hash_table_lookup(links->peers, &peer);

	if (!(transfer > SHORTEST) || !(total >= transfer) || !(bytes > 0) ||
	    isinf(bytes) || isinf(total))
		return;
	if (!known && g_hash_table_size(links->peers) < MAX_PEERS) {
		known = g_new0(struct known, 1);
		known->link = links->typical;
		g_hash_table_insert(links->peers, g_memdup2(&peer, sizeof(peer)), known);
	}
	learn(&links->typical, LEARN, bytes / transfer, total - transfer);
	/* The first ones tell most: what was there before was others'. */
	if (known)
		learn(&known->link, fmax(1.0 / (++known->moves + 1), LEARN),
		      bytes / transfer, total - transfer);
}

bool links_allow(const struct sched_policy *policy, const struct sched_link *link,
		 const struct sched_job *job, struct sched_move *move)
{
	struct sched_reason *reason = &move->reason;
	double gained = reason->here - reason->there, price;

	move->forecast = sched_forecast(job, link);
	/* What must leave leaves, whatever it costs. */
	if (reason->why != SCHED_WHY_BALANCE || !(gained > 0) || !(reason->gain > 0))
		return true;
	price = policy->payback * sched_move_price(&move->forecast, link);
	if (gained - price * gained / reason->gain > reason->need)
		return true;
	reason->why = SCHED_WHY_PRICE;
	reason->cost = price;
	return false;
}
