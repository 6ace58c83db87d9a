/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An agent's scheduler without a machine: the node alpha with its peers beta and gamma, whose
 * figures, clock, processes and libvirt are the test's. What the agent asks of others is
 * written down. For tests/unit/test-mvd-{arrive,load,place,room,scheduler,steer}.
 */
#ifndef AGENT_WORLD_H
#define AGENT_WORLD_H

#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WORLD_MIB 1048576.0

/* The QEMU of a job: what it takes in a second of the world. */
struct world_process {
	double runs, waits; /* CPUs */
	double resident;    /* MiB */
	double nice;        /* the share it was given by niceness; 0: never */
	uint64_t run, wait; /* ns so far */
};

struct world {
	struct mvd mvd;
	double now;
	bool alone;              /* no cluster */
	const char *dead;        /* this peer is */
	struct sched_node beta, gamma;
	unsigned noted;          /* mvd_gossip_note() */
	struct sched_node told;  /* mvd_gossip_own() */
	unsigned urgent;         /* mvd_gossip_urgent() */
	unsigned memory, room;   /* MiB of alpha: all, free */
	double others;           /* CPUs that are used by no job */
	uint64_t used;           /* ns */
	struct world_process processes[16];
	unsigned jobs;           /* so many have been added */
	/* migrate_begin() */
	struct job *moving;
	char *to;
	migrated_fn moved;
	void *moved_ctx;
	unsigned begun;
	const char *obstacle;    /* to all moves */
	/* virt_set_weight() */
	unsigned weighed, shares;
	bool no_group;
	/* virt_dirty_rate() */
	unsigned measured;
	double rate, rate_long;  /* what it says, in a second and in more; < 0: an error */
	bool measuring;          /* it does not say yet */
	/* peer_ask(), peer_answer(), peer_refuse() */
	char *asked, *asked_op, *asked_to;
	GString *questions;      /* all so far, "OP@NODE " each */
	peer_reply_fn reply;
	void *reply_ctx;
	struct json_object *answer, *details;
	char *refusal;
};
extern struct world world;

int world_set_up(void **state);
int world_tear_down(void **state);

/* A job of alpha's that runs there, and takes one CPU. */
struct job *world_job(const char *name);
struct job *world_guest(const char *name, const char *home);
struct world_process *world_process(const struct job *job);
/* A job that is just being asked for, as job_run() has it. */
struct job *world_newcomer(const char *name);

/* So many seconds pass, each with its sample and, when it is time, a decision. */
void world_pass(unsigned seconds);
/* The move that has begun ends: after so many seconds, with so many MiB sent. */
void world_moved(double seconds, double mib, const char *error);

struct load_job *world_seen(const struct job *job);
struct sched_node world_self(void);
/* An order from another node. NULL when it was refused: world.refusal. */
struct json_object *world_order(const char *action, const char *name, const char *value);
const char *world_text(struct json_object *object, const char *field);

#endif
