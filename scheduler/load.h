/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What decisions are made from: the load vector of a node and the vector of a
 * job.
 *
 * Units: seconds, bytes, bytes per second, CPUs. Times are the reader's own
 * monotonic clock; what travels between nodes is ages. A speed is that of one
 * CPU relative to the reference (1), from a short calibrated run. The CPU age of
 * a job is the CPU time it has had at speed 1.
 *
 * Theory of operation. How long a job will still run is best told by how long it
 * has run: half of those with CPU age a get another a (Harchol-Balter and
 * Downey, 1997). So it matters for a job how old the others on its node are:
 * younger ones will be gone soon, older ones have a smaller weight (weight.h).
 * A node therefore tells its load by age classes: how many CPUs its jobs want that
 * have had less than 1, 2, 4, 8... CPU seconds. Everything that is no job of ours is one
 * number, smoothed as MOSIX did: it rises at once and falls slowly in what
 * others are told, and the other way round in what the node itself decides on, so
 * that a short burst neither attracts nor drives out anything.
 */
#ifndef MV_SCHED_LOAD_H
#define MV_SCHED_LOAD_H

#include "net/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SCHED_CLASSES 12 /* CPU ages below 1, 2, 4 ... 1024 s, and above */
#define SCHED_TRAFFIC 4  /* nodes that a job has traffic with, the heaviest */
#define SCHED_NODE_LIST 8 /* nodes named by --on, --not-on */

/* What peers may claim; beyond this a vector is refused or cut. */
#define SCHED_MAX_CPUS 4096.0
#define SCHED_MAX_SPEED 1000.0
#define SCHED_MIN_SPEED 0.001
#define SCHED_MAX_LOAD 65535.0
#define SCHED_MAX_BYTES 0x1p56
#define SCHED_MAX_RATE 0x1p44 /* bytes/s */
#define SCHED_MAX_JOBS 65535u

enum sched_state {
	SCHED_OPEN,
	SCHED_BLOCKED,  /* takes no jobs of others */
	SCHED_DRAINING, /* takes none and sends its own away */
	SCHED_GONE,     /* left, or is believed dead */
	SCHED_STATES
};

enum sched_node_flag {
	SCHED_TAKING = 1,       /* a job is on its way to it */
	SCHED_SENDING = 2,      /* a job is leaving it */
	SCHED_STAY = 4,         /* its jobs stay where they are */
	SCHED_OWNER_ACTIVE = 8, /* its owner works at it: guests are not welcome */
	SCHED_MAKING = 16,      /* makes room for a job that fits nowhere */
	SCHED_NODE_FLAGS = 31
};

struct sched_node {
	uint64_t id;
	double time;   /* when this was true */
	double cpus;
	double speed;
	double run;    /* runnable tasks, as others are told: sched_meter.upper */
	double others; /* of which not in jobs of ours, smoothed alike */
	double load[SCHED_CLASSES]; /* CPUs wanted by jobs, those on their way here
				       included */
	double mem_total;
	double mem_free; /* for jobs; reservations are taken off */
	double pressure; /* share of the time that all tasks waited for memory, 0..1 */
	double net_rate, net_max;
	unsigned jobs;     /* hosted */
	unsigned reserved; /* promised to jobs on their way here */
	unsigned slots;    /* jobs that it would host at most */
	uint32_t qemu;     /* version: a job moves between equal ones only */
	uint64_t cpu;      /* set of CPU baselines it can give a job */
	enum sched_state state;
	unsigned flags;    /* enum sched_node_flag */
};

struct sched_traffic {
	uint64_t node; /* where the data is, or the job it talks to */
	double rate;   /* bytes per CPU second at speed 1, wherever it runs */
};

struct sched_job {
	uint64_t id;
	uint64_t home;   /* node */
	uint64_t owner;  /* user */
	double age;      /* CPU seconds at speed 1 */
	double use;      /* CPUs it would use, were it alone */
	double mem;      /* to be found at a target */
	double touched;  /* what a move has to send */
	double dirty;    /* bytes/s that it changes */
	double hot;      /* bytes that it changes again and again; 0: not known */
	double resident; /* s since it came to where it is */
	double tried;    /* s since the last attempt to move it, however it ended */
	struct sched_traffic traffic[SCHED_TRAFFIC]; /* rate 0: unused */
	uint32_t qemu;
	uint64_t cpu;    /* the baseline it was started with, as a bit */
	bool pinned;
	uint64_t only[SCHED_NODE_LIST];  /* 0: end of the list */
	uint64_t never[SCHED_NODE_LIST];
};

/*
 * What a job did in the last `interval` seconds, from the host's accounts of its
 * CPU time and of its traffic with each node. Age grows by the CPU time, in units of
 * speed 1; use and traffic are smoothed as MOSIX smooths a process's load.
 */
struct sched_sample {
	double interval, cpu, speed;
	struct sched_traffic bytes[SCHED_TRAFFIC]; /* `rate` in bytes, not per second */
};
void sched_job_sample(struct sched_job *job, const struct sched_sample *sample);

/* MOSIX's two views of a load that is sampled once a second. */
struct sched_meter {
	double mean;  /* for the node itself: rises slowly, falls at once */
	double upper; /* for others: rises at once, falls slowly */
	double slow;  /* average over a minute or so */
};

void sched_meter_add(struct sched_meter *meter, double sample);
/*
 * Of processes that are not in jobs, which may come and go for ever: a job leaves
 * only what lasts, and goes only where there is none and was none.
 */
double sched_meter_here(const struct sched_meter *meter);
double sched_meter_told(const struct sched_meter *meter);

unsigned sched_class(double age);
/* The age that stands for a class: its lower bound, 1/2 for the youngest. */
double sched_class_age(unsigned class);

void sched_node_add(struct sched_node *node, const struct sched_job *job);
void sched_node_remove(struct sched_node *node, const struct sched_job *job);
/* CPUs wanted by jobs and others. */
double sched_node_load(const struct sched_node *node);

/*
 * Make what a peer claims fit to be used: cut what is beyond belief, refuse what
 * makes no sense at all (not a number, nothing of what a node must have). After
 * success every number is finite and in its range.
 */
int sched_node_check(struct sched_node *node, struct err *err);
/* The same of a job, whose numbers come from measurements of a guest. */
int sched_job_check(struct sched_job *job, struct err *err);
/* Not to that node. False when the job's list is full. */
bool sched_job_exclude(struct sched_job *job, uint64_t node);

#endif
