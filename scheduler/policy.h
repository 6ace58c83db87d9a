/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The numbers that decisions depend on, each with a name for configuration files and
 * "mvctl set". Where each comes from: docs/scheduler.md, "Constants".
 */
#ifndef MV_SCHED_POLICY_H
#define MV_SCHED_POLICY_H

#include "net/err.h"

#include <stddef.h>

struct sched_policy {
	double youngest;      /* CPU seconds a job that begins is taken to have had */
	double memory_price;  /* slowdowns for all the memory of a node */
	double margin;        /* that a move must gain, its price taken off: CPU seconds at
				 the target for each CPU second of the job's work */
	double payback;       /* times its cost that a move must gain */
	double equal;         /* share by which targets may differ and be equal */
	double residency;     /* s that a job stays where it came to */
	double retry;         /* s before a job is tried again after a failed move */
	double max_age;       /* s; of older information nothing is decided */
	double memory_low;    /* share of memory that stays free when a job starts; below
				 it jobs are sent away */
	double memory_high;   /* share that is free again after that, and stays so at a
				 target of a move */
	double lookahead;     /* s of growth that must still fit */
	double pressure;      /* share of time waited for memory that counts as shortage */
	double trust;         /* times this node's speed that another can be believed to have */
	double lead;          /* times the next fastest claim that a node can be believed to have */
	double surprise;      /* times its expected cost that a target may refuse at */
	double weight_power;  /* weights fall with the age to this power; 0: all equal */
	double weight_ratio;  /* largest to smallest weight */
	double patience;      /* s until a waiting job's place is kept free for it */
	double hold;          /* s that it is kept, if room cannot be made sooner */
};

struct sched_policy_entry {
	const char *name, *unit, *what;
	size_t at; /* of the double in struct sched_policy */
	double min, max, standard;
};

/* Ends with a NULL name. */
extern const struct sched_policy_entry sched_policy_entries[];

void sched_policy_default(struct sched_policy *policy);
int sched_policy_set(struct sched_policy *policy, const char *name, double value,
		     struct err *err);
/* -1 when there is none of that name. */
int sched_policy_get(const struct sched_policy *policy, const char *name,
		     double *value);

#endif
