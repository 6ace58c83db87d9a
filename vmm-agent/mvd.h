/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvd, the agent of a node: what its parts share.
 *
 *	mvd-server    clients: lines in, lines and descriptors out
 *	mvd-protocol  a client's line becomes a checked request
 *	mvd-requests  what to do for each request; mvd-info for mvctl info
 *	mvd-jobs      the jobs this agent keeps; mvd-life what becomes of each
 *	mvd-adopt     domains that it did not start
 *	mvd-attach    transports handed to mvrun; mvd-vsock who dials in
 *	mvd-home      its jobs that other nodes host; mvd-host other nodes' jobs
 *	              that it hosts; mvd-questions what their agents ask
 *	mvd-migrate   a job leaves; mvd-arrive one comes; mvd-mover who wished it
 *	mvd-scheduler where a job starts, which one leaves; mvd-place, mvd-room,
 *	              mvd-steer
 *	mvd-vector    a job as one agent tells another
 *	mvd-load      how busy this node and its jobs are; mvd-measure, mvd-limits
 *	mvd-weigh     their CPU weights; mvd-dirty how fast their memory changes
 *	mvd-links     what moves to each peer have taken
 *	mvd-settings  mvd.conf and mvctl set
 *	mvd-freeze    a stopped mvrun freezes its job
 *	mvd-boot      a microVM's domain and files; mvd-domain, mvd-facts its XML
 *	mvd-libvirt   the connection to libvirt
 *	mvd-kit       the guest's image, by mvkit
 *	mvd-probe     does KVM work?
 *	mvd-console   why a guest ended
 *	mvd-gossip    what is known of the other nodes' load, and who is alive
 *	mvd-avahi     nodes find each other; mvd-discover what for
 *	mvd-node      this machine; mvd-doctor what is wrong with it
 *
 * One thread, the main loop's, owns all of it. Worker threads run libvirt calls
 * that may block and see nothing else.
 */
#ifndef MV_MVD_H
#define MV_MVD_H

#include "vmm-agent/mvd-config.h"

#include <glib.h>
#include <stdbool.h>

struct avahi;
struct jobs;
struct scheduler;
struct kit;
struct mesh;
struct peers;
struct probe;
struct server;
struct virt;
struct vsock;

struct mvd {
	struct mvd_config config;
	char *node; /* this node's name */
	GMainLoop *loop;
	struct server *server;
	struct virt *virt;
	struct kit *kit;
	struct probe *probe;
	struct vsock *vsock;
	struct peers *peers;
	struct mesh *mesh;
	struct avahi *avahi; /* NULL: a private agent */
	struct jobs *jobs;
	struct scheduler *scheduler; /* NULL: nobody decides */
};

#endif
