/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two machines that claim to be one node: somebody has copied a node's disk, key and all.
 *
 * Theory of operation
 *
 * By TLS neither can be told from the other. But each life of a node draws a boot of its
 * own, which is in each of its datagrams, and a life that has ended sends nothing. So a
 * boot that comes back, again and again, after another was heard is that of a second
 * machine; a node that is started anew never returns to the boot before.
 *
 * What one of the two sends is refused (net/seal.h), and both are told of nothing else
 * than that the others are dead. Who records datagrams could feign a second machine for as
 * long as they last, so it is said, and nothing else is done.
 */
#include "vmm-agent/mvd-gossip-private.h"

#define RETURNS 4         /* that are no accident */
#define RETURN_GAP 2.0    /* s; in less, datagrams overtake each other */
#define REMEMBERED 600.0  /* s; in a large cluster two nodes seldom meet */

static void complain(const struct mesh_peer *peer)
{
	g_warning("two machines claim to be %s: one must leave the cluster and join anew "
		  "(mvctl doctor)", peer->name);
}

void mesh_life(struct mesh_peer *peer, uint64_t boot, double now)
{
	struct mesh_lives *lives = &peer->lives;
	bool returns = boot == lives->former;

	if (boot == lives->boot)
		return;
	lives->former = lives->boot;
	lives->boot = boot;
	if (!returns || now > lives->changed + REMEMBERED)
		lives->returns = 0;
	else if (now < lives->changed + RETURN_GAP)
		return;
	else if (++lives->returns == RETURNS)
		complain(peer);
	lives->changed = now;
}

bool mvd_gossip_twins(struct mvd *mvd, const char *node_name)
{
	const struct mesh_peer *peer = mvd->mesh ? mesh_peer(mvd->mesh, seal_id(node_name)) : NULL;

	return peer && peer->lives.returns >= RETURNS &&
	       mvd_gossip_now() < peer->lives.changed + REMEMBERED;
}
