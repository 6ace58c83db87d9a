/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load of this node and of the jobs that it hosts, measured once a second
 * from the host's own accounts: no guest is asked for anything that it could fake.
 *
 * Theory of operation. A job's demand for CPU is the time that its virtual processors ran
 * plus the time that they could have run and had to wait, both by the kernel's
 * schedstat, so a job on a crowded node does not look like a small one. Its age is
 * the CPU time that its QEMU's virtual processors have had, plus what it had
 * elsewhere, which travels in its facts; so an agent that was restarted knows it too.
 *
 * Where a control group limits the node's CPU time the node has as many CPUs as that
 * allows, and its own accounts are used instead of the machine's.
 */
#ifndef MV_MVD_LOAD_H
#define MV_MVD_LOAD_H

#include "scheduler/load.h"
#include "scheduler/reason.h"
#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-owner.h"
#include "vmm-agent/mvd-refusals.h"

struct load;

#define LOAD_NEAR_RATE 1e10 /* bytes per CPU second: where the other job is, if that can be */

/* What is known of one job that is here. */
struct load_job {
	struct job *job;
	struct sched_job vector; /* resident and tried are as of the last sample */
	double came, tried;      /* mvd_gossip_now() */
	double expected;         /* cost at the target that it is moving to, or 0 */
	bool reasoned;
	struct sched_reason reason; /* why it stays, or goes */
	double resident, growth; /* bytes, bytes/s: what its QEMU really has */
	bool sampled;
	unsigned failures; /* of moves; and the last one's */
	char *trouble;
	struct refusals refusals;
	/* for the next sample */
	pid_t pid;
	double looked;
	pid_t vcpus[16];
	unsigned vcpu_count;
	struct {
		double at;
		uint64_t run, wait;
	} ring[4];
	unsigned ring_next;
	uint64_t run, base; /* ns of CPU time; when its program began */
	uint64_t traffic, told_traffic;
	uint64_t near; /* the node of the job that it is to be near, or 0 */
	double use;
	bool seen;
	/* its CPU weight: mvd-weigh.c */
	unsigned shares; /* of its control group, as given last; 0: not yet */
	bool weighing;   /* they are just being given */
	bool no_group;   /* libvirt has none for it */
	int nice;        /* of its virtual processors, when it was `niced` */
	bool niced;
	/* its memory: mvd-dirty.c */
	double dirty, dirtied; /* bytes/s that it changes, < 0: not known; when measured */
	bool dirtied_long;     /* and that was the long way */
};

struct load *load_new(struct mvd *mvd);
void load_free(struct load *load);

/* Take a sample of everything; the caller's timer says when. */
void load_sample(struct load *load);

/* This node now, jobs included that were admitted after the last sample. `told`: as
 * others are told, not as it decides itself. */
void load_node(struct load *load, struct sched_node *node, bool told);
/* How CPU weights are given here. */
struct weigh *load_weigh(struct load *load);
struct dirty *load_dirty(struct load *load);
/* Whether its owner works at it, by the settings and what was seen. */
bool load_in_use(const struct load *load);
struct owner *load_owner(struct load *load);
/* A job that is here; NULL before its first sample. */
struct load_job *load_job(struct load *load, const struct job *job);
/* All that are here and could move; the array is the caller's. */
GPtrArray *load_jobs(struct load *load);
/* Bytes/s by which they may still grow in so many seconds. */
double load_growth(struct load *load, double seconds);
/* Its vector, resident and tried as they are now. */
void load_vector(const struct load_job *seen, struct sched_job *vector);
/* ms of CPU time at speed 1 that it has had in all. */
uint64_t load_age_ms(struct load *load, const struct job *job);

/* The vector of a job that begins, from what is known without having seen it run. */
void load_newcomer(const struct mvd *mvd, const struct job_facts *facts,
		   struct sched_job *vector);
/* What a node must be able to run it: the bit of its processor baseline. */
uint64_t load_cpu_bit(const struct mvd *mvd, enum accel accel);
/* The lists of nodes in its facts, as numbers. */
void load_lists(const struct job_facts *facts, struct sched_job *vector);

/* A job that has been promised a place and is not here yet; NULL: it no longer is. */
void load_expect(struct load *load, const char *uuid, const struct sched_job *vector);

/* Bytes that home and guest have exchanged, as home's accounts of the deputy say; 0: not
 * known. Home tells the host. */
uint64_t load_deputy_traffic(const struct job *job);
void load_hear_traffic(struct load *load, const struct job *job, uint64_t bytes);
/* Where the job is that this one is to be near, as home says; "": nowhere. */
void load_hear_near(struct load *load, const struct job *job, const char *node);
/* The same of a job of this home: the name of a node, or NULL. */
const char *load_near(const struct job *job);

#endif
