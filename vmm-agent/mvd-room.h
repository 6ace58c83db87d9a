/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Room for a job that fits nowhere: its home asks a node to make some. That node keeps
 * what it has free for the job alone and sends others away, and does so for `hold` seconds
 * at most.
 *
 * Theory of operation
 *
 * The node that makes room says so in its vector (SCHED_MAKING), with the memory that is
 * free. To everybody that memory counts as none, but to the home that has asked, which sees
 * there when the room suffices: room_keep(). What is sent there all the same is refused.
 *
 * Who asks is a member, and may lie. So the node goes by its own clock, keeps one promise at
 * a time, and has pauses for each member that grow while its jobs do not come, as those of a
 * job do at home (sched_room_due()); and after an attempt in vain it keeps nothing for
 * anybody for `patience` seconds. Home is not needed to end any of it.
 */
#ifndef MV_MVD_ROOM_H
#define MV_MVD_ROOM_H

#include "net/peer.h"
#include "scheduler/load.h"
#include "vmm-agent/mvd-domain.h"
#include "vmm-agent/mvd.h"

struct job;
struct view;

/* Home: of a job that waits */

struct room_wish {
	double since;  /* it waits; 0: it does not */
	double tried;  /* the last attempt ended, or `since` */
	double again;  /* nobody is asked before: one has said no */
	double asked;  /* the node was */
	char *node;    /* that makes room, or has been asked to; NULL: none */
	bool agreed;
	uint64_t in_vain[SCHED_NODE_LIST]; /* have been asked; others come first */
};

/* The job, with this vector, still waits: whether a node has been asked just now. */
bool room_seek(struct job *job, struct room_wish *wish, const struct sched_job *vector);
/* It has a place; there, or elsewhere. */
void room_settle(struct job *job, struct room_wish *wish);
/* The wish ends, and the node is told that nothing is needed. */
void room_forget(struct job *job, struct room_wish *wish);
/* The node that keeps room for it, 0: none. */
uint64_t room_made_at(const struct room_wish *wish);

/* The node that makes room */

struct room {
	char uuid[UUID_TEXT_SIZE]; /* of the job it is for; "": of none */
	char *home;
	struct sched_job job;
	double since;
	double vain;     /* until then nothing is kept: the last job did not come */
	GArray *askers;  /* struct asker: members for which room was kept lately */
};

void room_init(struct room *room);
void room_clear(struct room *room);
/* Does this node keep room? */
bool room_is_kept(const struct mvd *mvd);
/* For this job? */
bool room_is_for(const struct mvd *mvd, const char *uuid, const char *home);
/* Nothing is kept any more; `came`: the job has come. */
void room_end(struct mvd *mvd, bool came);
/* Ends what has been kept for too long, or in vain. Once a second. */
void room_look(struct mvd *mvd);
/* Bytes that have to leave the node, which is as given, for the job; 0: none. */
double room_lack(const struct mvd *mvd, const struct sched_node *self);

/* What is free at nodes that keep it for others is no room, but at `made_at`. */
void room_keep(struct view *view, uint64_t made_at);

/* A peer's questions: `make-room`, `no-room`. */
void room_question(struct mvd *mvd, const char *from, struct json_object *body,
		   struct peer_question *question);
void room_end_question(struct mvd *mvd, const char *from, struct json_object *body,
		       struct peer_question *question);

#endif
