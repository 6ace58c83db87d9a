/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The jobs this agent keeps: their table here, their life in mvd-life.c, their
 * transports in mvd-attach.c.
 */
#ifndef MV_MVD_JOBS_H
#define MV_MVD_JOBS_H

#include "vmm-agent/mvd-console.h"
#include "vmm-agent/mvd-freeze.h"
#include "vmm-agent/mvd-libvirt.h"
#include "vmm-agent/mvd-server.h"
#include "vmm-agent/mvd.h"

enum job_stage {
	JOB_WAITING,  /* for libvirt, the kit, or the verdict about KVM */
	JOB_STARTING, /* libvirt is making the domain */
	JOB_UP,       /* there is a domain */
	JOB_GONE,     /* out of the table; whoever holds it lets go of it */
};

/*
 * One job. It begins with an mvrun's `run` or with a domain found in libvirt,
 * and ends when there is no domain, and no mvrun that could want one.
 */
struct job {
	int refs;
	struct mvd *mvd;
	struct job_facts facts;
	char *domain;          /* its name */
	enum job_stage stage;
	struct client *client; /* the owner's newest connection, or NULL */
	int pidfd;             /* of mvrun */
	guint pid_source;
	bool mvrun_gone;       /* no mvrun any more: destroy the domain */
	bool destroying;       /* libvirt is at it */
	bool rebooting;        /* being destroyed to be started anew */
	char *verdict;         /* being destroyed for this reason, or NULL */
	enum gone_reason reason;
	bool told;             /* the `job` event was sent */
	const char *phase;     /* the last one sent */
	bool stopped_early;    /* ended while libvirt was still starting it */
	enum virt_event stop;
	unsigned cid;          /* vsock address, 0: none */
	struct freeze freeze;
	off_t console_size;    /* at the last look */
	unsigned panicked;     /* looks since it told of a panic */
	char *by;              /* who suspends or resumes it just now, or NULL */
	/* Transport */
	bool attach_wanted;
	guint attach_timer;
	gint64 attach_since;
	int dialled;           /* a vsock connection nobody asked for yet, or -1 */
	/* Changes to the domain, one at a time, in order */
	GQueue ops;            /* struct job_op */
	bool op_running;
};

struct jobs {
	struct mvd *mvd;
	GHashTable *by_uuid;   /* owns a reference of each job */
	guint tick;
};

/* The table: mvd-jobs.c */

struct jobs *jobs_new(struct mvd *mvd);
void jobs_free(struct jobs *jobs);

struct job *job_ref(struct job *job);
void job_unref(struct job *job);
/* A job with these facts (taken), in the table. */
struct job *jobs_add(struct jobs *jobs, struct job_facts *facts);
/* Out of the table, its descriptors closed. */
void jobs_remove(struct job *job);

struct job *jobs_find(const struct jobs *jobs, const char *uuid);
/* By mvrun's PID, name, or UUID, among those that `uid` may touch. NULL, with a
 * text for the user, when there is none or more than one. */
struct job *jobs_find_named(const struct jobs *jobs, const char *text,
			    uid_t uid, struct err *err);
unsigned jobs_count(const struct jobs *jobs);
/* Those whose mvrun has not ended. */
unsigned jobs_count_living(const struct jobs *jobs);
unsigned jobs_count_user(const struct jobs *jobs, uid_t uid);
unsigned jobs_count_booting(const struct jobs *jobs);
/* All jobs, ordered by start; holds no references. */
GPtrArray *jobs_list(const struct jobs *jobs);

/* A user may touch what he could kill. A job whose mvrun has ended is over,
 * though its domain may take a moment to go: nobody sees it any more. */
bool job_may_touch(const struct job *job, uid_t uid);
/* True when the client is the very process whose job it is. */
bool job_owned_by(const struct job *job, const struct client *client);
struct json_object *job_to_json(const struct job *job);
const char *job_state(const struct job *job);
void jobs_forget_client(struct jobs *jobs, struct client *client);

/* Their life: mvd-life.c */

/* Admit a job for the process behind `client`. Returns -1 with a text when it
 * cannot be; the client hears of everything later by events. */
int job_run(struct jobs *jobs, struct client *client,
	    const struct request *request, struct err *err);
/* What jobs wait for may have come. */
void jobs_advance(struct jobs *jobs);
/* libvirt answers: adopt, reap and destroy until table and libvirt agree. */
void jobs_reconcile(struct jobs *jobs, GPtrArray *domains);
void jobs_event(struct jobs *jobs, const char *uuid, enum virt_event event);
/* Its mvrun does not exist any more. */
void job_mvrun_gone(struct job *job);
/* Destroy its microVM and tell mvrun why: the text is taken. */
void job_condemn(struct job *job, enum gone_reason reason, char *text);
void job_started(struct job *job);
void job_boot_failed(struct job *job);

/* Stopped and resumed: mvd-hold.c */

void job_stopping(struct job *job);
void job_running(struct job *job);
void job_look(struct job *job);
void job_paused(struct job *job);
void job_resumed(struct job *job);
/* Carry out a user's wish; `client` gets the answer. */
void job_suspend(struct job *job, struct client *client, const char *by);
void job_resume(struct job *job, struct client *client, const char *by);
/* Write the facts into the domain's metadata, soon. */
void job_save(struct job *job);
void job_drop_ops(struct job *job);

/* Transports: mvd-attach.c */

/* The owner wants a transport; it gets one as soon as there is one. */
void job_attach(struct job *job);
void job_attach_stop(struct job *job);
/* A guest dialled by vsock. */
void jobs_dialled(struct jobs *jobs, unsigned cid, int fd);

#endif
