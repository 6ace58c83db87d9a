/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This machine: what it has, and what a job may have of it.
 */
#ifndef MV_MVD_NODE_H
#define MV_MVD_NODE_H

#include "vmm-agent/mvd.h"

#include "vmm-agent/mvd-domain.h"

#include <json-c/json.h>

/* MiB; 0 when /proc/meminfo cannot be read. */
struct node_memory {
	unsigned total, available;
};
void node_memory(struct node_memory *memory);
/* A "Name:   N kB" line of /proc/meminfo's text, in MiB; exposed for tests. */
unsigned node_meminfo(const char *text, const char *name);

unsigned node_cpus(void);

/*
 * Check the memory (MiB) and processors a job asks for. Where it asks for no
 * amount of memory it gets 1024 MiB, but at most half of the node's; processors
 * stay 0 until it is known how the guest runs.
 */
int node_admit(unsigned total, unsigned online, unsigned *memory,
	       unsigned cpus, struct err *err);

/*
 * Processors for a job that did not say: as many as the node has but at most 4;
 * one where they are emulated. There each wake-up from one to the other is a
 * wake-up of a thread of the host: a file operation takes four times as long
 * with two.
 */
unsigned node_default_cpus(enum accel accel, unsigned online);

/*
 * /dev/kvm exists, and `dac` ("+UID:+GID", libvirt's label for QEMU, or NULL)
 * cannot open it. libvirt, which asks QEMU about KVM as root, then finds its
 * answer outdated each time, and asks again: some ten times for each domain.
 */
bool node_kvm_closed(const char *dac);

/* MiB that all jobs here may have been promised, of `total` MiB that the node has; 0: no
 * bound. */
unsigned node_limit(const struct mvd *mvd, unsigned total);
/* MiB that a job from another node may have here now: what is free, less what
 * is reserved, within what this node gives to jobs at all. */
unsigned node_room(const struct mvd *mvd);

/* The node as a JSON object (docs/agent-protocol.md). */
struct json_object *node_to_json(struct mvd *mvd);
/* The checks of `doctor`, a JSON array. */
struct json_object *doctor_to_json(struct mvd *mvd);
/* Add one; takes `text`. */
void doctor_add(struct json_object *checks, const char *name, bool ok, char *text,
		const char *hint);

struct client;
/* Answer the client with those and, after the members were asked, with the
 * cluster's. */
void doctor_answer(struct mvd *mvd, struct client *client);

#endif
