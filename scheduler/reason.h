/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a decision is what it is: data, and the same in words for "mvctl why".
 */
#ifndef MV_SCHED_REASON_H
#define MV_SCHED_REASON_H

#include <stddef.h>
#include <stdint.h>

enum sched_why {
	SCHED_WHY_NONE, /* no objection */
	/* what a node cannot or will not do for a job */
	SCHED_WHY_CLOSED,     /* blocked, draining or gone */
	SCHED_WHY_OWNER,      /* its owner works at it */
	SCHED_WHY_OLD,        /* what is known of it is too old */
	SCHED_WHY_UNLIKE,     /* QEMU or CPU baseline */
	SCHED_WHY_NOT_WANTED, /* by --on or --not-on */
	SCHED_WHY_SLOTS,      /* hosts as many jobs as it may */
	SCHED_WHY_MEMORY,     /* needs, has */
	SCHED_WHY_TAKING,     /* another job is on its way to it */
	SCHED_WHY_CHANGED,    /* costs more than was thought: here, there */
	/* why a job starts where it does, or waits */
	SCHED_WHY_HOME,       /* home is best or as good: here */
	SCHED_WHY_BEST,       /* here, there */
	SCHED_WHY_WAITS,      /* no node can take it; need, have: the most free memory */
	/* why a job moves */
	SCHED_WHY_BALANCE,    /* here, there, gain, cost, need */
	SCHED_WHY_USHER,      /* memory is short: need, have */
	SCHED_WHY_ROOM,       /* for a job that fits nowhere: need, have */
	SCHED_WHY_DRAIN,
	/* why it stays */
	SCHED_WHY_PINNED,
	SCHED_WHY_STAY,       /* the node keeps its jobs */
	SCHED_WHY_NEW,        /* came too short a time ago: have, need */
	SCHED_WHY_RETRY,      /* tried too short a time ago: have, need */
	SCHED_WHY_SENDING,    /* another job is leaving */
	SCHED_WHY_ALONE,      /* no other node is known */
	SCHED_WHY_NOWHERE,    /* no node can take it: objection, and what belongs to it */
	SCHED_WHY_BETTER,     /* best is where it is: here, there */
	SCHED_WHY_MARGIN,     /* gains too little: here, there, need */
	SCHED_WHY_PRICE,      /* costs more than it gains: gain, cost */
	SCHED_WHY_NEXT,       /* another job gains more */
	SCHED_WHYS
};

struct sched_reason {
	enum sched_why why;
	enum sched_why objection; /* of the node, where another reason has one */
	uint64_t node; /* that it is about, 0: none */
	double here, there; /* cost of the job where it is, and there, in slowdowns */
	double gain, cost;  /* of a move, s */
	double need, have;  /* bytes, seconds or slowdowns */
};

/* A short word for scripts, as "balance". */
const char *sched_why_name(enum sched_why why);

/*
 * One line without a newline. `name` gives the name of a node, or NULL. What does not
 * fit is cut. Returns `text`.
 */
const char *sched_reason_text(const struct sched_reason *reason,
			      const char *(*name)(uint64_t node, void *data),
			      void *data, char *text, size_t size);

#endif
