/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decisions about this node's jobs, made with scheduler/ and carried out here:
 * where a job starts, whether one is taken, which one leaves.
 *
 * Theory of operation
 *
 * The home of a job that starts looks for the node where it costs least and asks it;
 * that node decides by its own, newer figures, and where it says no the next best is asked, in the
 * end home. From then on the node that hosts the job decides for it: every few
 * seconds it looks whether a job has to leave (the node is drained, memory is short) or
 * gains by leaving, and moves it as mvctl migrate does. One leaves at a time, and a
 * target takes one at a time.
 *
 * What others know of this node is a second old or more. So who sends a job
 * somewhere counts it there until that node's own vector does (a promise).
 */
#ifndef MV_MVD_SCHEDULER_H
#define MV_MVD_SCHEDULER_H

#include "net/peer.h"
#include "scheduler/place.h"
#include "scheduler/predict.h"
#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-links.h"
#include "vmm-agent/mvd-load.h"
#include "vmm-agent/mvd-room.h"

struct scheduler;

void scheduler_start(struct mvd *mvd);
void scheduler_stop(struct mvd *mvd);
/* There is a job, or a cluster: it has something to do from now on. */
void scheduler_wake(struct mvd *mvd);

/* Jobs that start: mvd-place.c */

/* May the job be wished for so? -1 with a text for the user. */
int scheduler_check_run(struct mvd *mvd, const struct request *request, struct err *err);
/* Choose the host of a job of this home; -1: there is none that it may have. */
int scheduler_place(struct job *job, const struct request *request, struct err *err);
/* The host that was chosen does not take it: true when another one is being tried. */
bool scheduler_place_again(struct job *job, const char *why);
void scheduler_placed(struct job *job);
void scheduler_forget_place(struct job *job);
/* Look again whether there is room for those that wait, in their order. Once a second. */
void scheduler_serve_waiting(struct mvd *mvd);
/* In words, what the job waits for; allocated. */
char *scheduler_waits_for(const struct job *job);
/* What is done for it at the node that makes room; NULL: it has a place. */
struct room_wish *scheduler_wish(struct job *job);
/* What the chosen host is told. */
void scheduler_describe_start(struct job *job, struct json_object *body);
/* The node that a job of `memory` MiB would start at now; NULL when none has room. */
const char *scheduler_best(struct mvd *mvd, unsigned memory);

/* Jobs that move */

/* A job of which an answer comes; NULL when it is here no more. */
struct load_job *scheduler_find(const struct mvd *mvd, const char *uuid);
/* What the target is told. */
void scheduler_describe_move(struct job *job, struct json_object *body);
/* CPU time that it has had, for the target to go on from. */
uint64_t scheduler_age_ms(const struct job *job);

/* At the target: is it taken? Of the facts only uuid, home and memory need be known. -1 with
 * the reason in words. */
int scheduler_admit(struct mvd *mvd, const struct job_facts *facts,
		    struct json_object *body, bool moves, struct err *err);

/* What is told */

/* Why the job, which is here, stays or goes; allocated, "" when nobody decides. */
char *scheduler_why(const struct job *job);
void scheduler_add_to_job(struct job *job, struct json_object *json);
/* What a job that is here computes and has of this node, as far as it is known. */
void scheduler_add_figures(const struct job *job, struct json_object *json);
/* Why the job, which is here, is being moved; allocated. */
char *scheduler_move_reason(const struct job *job);
struct json_object *scheduler_to_json(struct mvd *mvd);

/* Parts of it, for mvd-place.c, mvd-room.c and mvd-steer.c */

#define PROMISE_S 4.0

struct promise {
	uint64_t node;
	double when;
	struct sched_job job;
};

struct scheduler {
	struct mvd *mvd;
	struct load *load;
	struct sched_random random;
	guint timer, publish;
	double decided;
	GArray *promises;        /* struct promise */
	struct room room;        /* that is kept for a job, our own or a peer's */
	struct links links;      /* as moves have shown them */
	struct sched_forecast_error error;
	unsigned long moves, failed, refused, started_away;
	bool expel;              /* guests are being sent away */
	bool used, used_expels;  /* its owner works here; and guests leave for that */
	bool bring, bringing;    /* own jobs are being called home; one is on its way */
	GHashTable *unbrought;   /* why not, by uuid */
};

/* What a decision needs; free with view_clear(). */
struct view {
	struct sched_view view;
	struct sched_node self;
	struct sched_node *peers;
};
void scheduler_view(struct scheduler *s, struct view *view);
void view_clear(struct view *view);
void scheduler_promise(struct scheduler *s, uint64_t node, const struct sched_job *job);
/* Tell the others now how this node is. */
void scheduler_publish(struct scheduler *s);
char *scheduler_reason(struct mvd *mvd, const struct sched_reason *reason);
/* Decide at the next second, and not only when it is time. */
void scheduler_hurry(struct scheduler *s);

/* Orders of people, here or from another node's agent: mvd-steer.c */
void scheduler_request(struct mvd *mvd, struct client *client,
		       const struct request *request);
void scheduler_question(struct mvd *mvd, struct json_object *body,
			struct peer_question *question);
/* Own jobs come home, one after the other. */
void scheduler_bring(struct scheduler *s);

#endif
