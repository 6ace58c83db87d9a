/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The jobs this agent keeps: their table here, their life in mvd-life.c, their
 * transports in mvd-attach.c.
 */
#ifndef MV_MVD_JOBS_H
#define MV_MVD_JOBS_H

#include "vmm-agent/mvd-console.h"
#include "vmm-agent/mvd-came.h"
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
	/* Of the microVM before this one: we have heard of its end, or have not yet. */
	bool stop_seen, stop_is_late;
	enum virt_event stop;
	unsigned take_overs;   /* how often libvirt would not start it: it has one */
	unsigned cid;          /* vsock address, 0: none */
	/* Where it is. Both roles may be played by one node, and often are. */
	char *host;            /* the peer that has its microVM; NULL: we have */
	bool absent;           /* nobody has it just now: it was sent away by hand */
	bool saved;            /* and lies in a file, until somebody restores it */
	bool leftover;         /* it runs elsewhere, but a failed move left a copy here */
	bool foreign;          /* its mvrun is at another node, facts.home */
	bool told_home;        /* home knows the facts */
	gint64 heard;          /* ms: the last word of its host, or of its home */
	char *why;             /* why it stays there, as its host says */
	struct came came;      /* and why it came there, of a job of this home */
	struct placement *placement; /* while a place for it is looked for */
	int64_t lost;          /* s since 1970: host or home is out of reach; 0 */
	unsigned confirmed;    /* the highest incarnation that mvrun has had a link to */
	bool claiming;         /* home is asked whether the copy here is still the job */
	bool stale;            /* home has said that the copy here is not the job */
	unsigned searches;     /* in a row that have found it nowhere */
	struct peer_question *starter; /* home, which waits for it to be up */
	struct migration *migration;   /* from here, or NULL */
	struct freeze freeze;
	off_t console_size;    /* at the last look */
	unsigned panicked;     /* looks since it told of a panic */
	bool unplaced;         /* it has no place yet, and waits for one: mvd-place.c */
	char *by;              /* who suspends or resumes it just now, or NULL */
	/* Transport */
	bool attach_wanted;
	guint attach_timer;
	gint64 attach_since;
	int dialled;           /* a vsock connection nobody asked for yet, or -1 */
	int handed;            /* a copy of the one that was asked for, or -1 */
	gint64 open_again;     /* us: not before this */
	bool opening;          /* a stream to its host is being opened */
	int spare;             /* a stream to where it moves to, opened early, or -1 */
	unsigned spare_incarnation;
	bool spare_here;       /* it moves to here: not a stream but the transport */
	/* Changes to the domain, one at a time, in order */
	GQueue ops;            /* struct job_op */
	bool op_running;
};

struct hosting;
struct arrivals;

struct jobs {
	struct mvd *mvd;
	GHashTable *by_uuid;   /* owns a reference of each job */
	guint tick;
	struct hosting *hosting;   /* what other homes are told: mvd-host.c */
	struct arrivals *arrivals; /* what is about to come here: mvd-arrive.c */
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

/* Of the jobs whose mvrun has not ended. */
struct jobs_where {
	unsigned here;   /* their microVM is, or starts, at this node */
	unsigned guests; /* of these: other nodes' */
	unsigned away;   /* of this node, but elsewhere */
};
struct jobs_where jobs_count_where(const struct jobs *jobs);
/* No other node has its microVM, and it is not between two. */
bool job_is_here(const struct job *job);

unsigned jobs_count_user(const struct jobs *jobs, uid_t uid);
unsigned jobs_count_booting(const struct jobs *jobs);
/* All jobs, ordered by start; holds no references. */
GPtrArray *jobs_list(const struct jobs *jobs);

/* A user may touch what he could kill. A job whose mvrun has ended is over,
 * though its domain may take a moment to go: nobody sees it any more. */
bool job_may_touch(const struct job *job, uid_t uid);
/* True when the client is the very process whose job it is. */
bool job_owned_by(const struct job *job, const struct client *client);
struct json_object *job_to_json(struct job *job);
const char *job_state(const struct job *job);
void jobs_forget_client(struct jobs *jobs, struct client *client);

/* Their life: mvd-life.c */

/* Admit a job for the process behind `client`. Returns -1 with a text when it
 * cannot be; the client hears of everything later by events. */
int job_run(struct jobs *jobs, struct client *client,
	    const struct request *request, struct err *err);
/* What jobs wait for may have come. */
void jobs_advance(struct jobs *jobs);
void jobs_event(struct jobs *jobs, const char *uuid, enum virt_event event);
/* Its mvrun does not exist any more. */
void job_mvrun_gone(struct job *job);
/* Destroy its microVM and tell mvrun why: the text is taken. */
void job_condemn(struct job *job, enum gone_reason reason, char *text);
/* Its domain is to end, whatever the reason, or has been told to. */
bool job_is_ending(const struct job *job);
/* Its domain is no more; mvrun, or the home, is told why. */
void job_gone(struct job *job, enum gone_reason reason, const char *text);
/* The domain that was to be destroyed is no more. */
void job_destroyed(struct job *job);
void job_destroy(struct job *job);
/* Follow the life of its mvrun. -1 with ESRCH: it has ended already. */
int job_watch_mvrun(struct job *job, struct err *err);
void job_advance(struct job *job);
/* The facts about the job that the process behind `client` asks for. */
void job_fill_facts(struct job_facts *facts, const struct mvd *mvd,
		    const struct client *client, const struct request *request);
/* Its domain is there, here or at its host. */
void job_up(struct job *job);
/* libvirt has it neither running nor on its way: ask for it once more. */
void job_start_again(struct job *job);
/* It cannot begin, and is out of the table now. */
void job_fail(struct job *job, const char *text, const char *hint);
void job_send(struct job *job, unsigned boot_limit);
void job_send_phase(struct job *job, const char *phase, const char *text);
void job_send_warning(struct job *job, const char *text);
void job_started(struct job *job);
void job_boot_failed(struct job *job);

/* Domains that were not started by this agent: mvd-adopt.c */

/* libvirt answers: adopt, reap and destroy until table and libvirt agree. */
void jobs_reconcile(struct jobs *jobs, GPtrArray *domains);
/* Look for the domain that libvirt has already instead of starting it. False: enough
 * of that. */
bool job_take_over(struct job *job);
/* Something is with a domain of which the table does not know that it is here: it may have come from
 * another node, or have ended and left files. */
void jobs_look_at(struct jobs *jobs, const char *uuid);

/* Stopped and resumed: mvd-hold.c */

void job_stopping(struct job *job);
void job_running(struct job *job);
void job_look(struct job *job);
void job_paused(struct job *job);
void job_resumed(struct job *job);
/* Its mvrun has a new connection, and may have missed what happened meanwhile. */
void job_tell_state(struct job *job);
/* Carry out a user's wish; `client` gets the answer. */
void job_suspend(struct job *job, struct client *client, const char *by);
void job_resume(struct job *job, struct client *client, const char *by);
/* Somebody asked the microVM to shut down: ask the program to end. */
void job_button(struct job *job);
/* Write the facts into the domain's metadata, soon. */
void job_save(struct job *job);
void job_drop_ops(struct job *job);

/* What is done to a job's domain, here or at its host: mvd-call.c */

enum job_call {
	CALL_DESTROY,
	CALL_SUSPEND,
	CALL_RESUME,
	CALL_SAVE, /* its facts */
};
void job_call(struct job *job, enum job_call call, virt_done_fn done,
	      void *ctx);

/* Jobs of other homes, hosted here: mvd-host.c */

struct hosting *hosting_new(struct jobs *jobs);
void hosting_free(struct hosting *hosting);
/* A foreign job has changed: its home is told now, not in a while. */
void hosting_tell(struct job *job);
/* A foreign job is no more (`to` NULL), or has gone to another node. Its home is
 * told until it knows. */
void hosting_ended(struct job *job, enum gone_reason reason, const char *text,
		   const char *to);
/* After an attempt to move it that failed, or whose outcome an agent that was
 * restarted cannot know: ask its home whether the copy here is still the job. */
void hosting_claim(struct job *job);

/* Jobs of this home, hosted elsewhere: mvd-home.c */

/* Start it at job->host. */
void home_start(struct job *job);
/* Look after those that have not been heard of for a while. */
void home_look(struct job *job);
/* mvrun says that its job is at another node: we have been restarted. NULL when
 * it cannot be. */
struct job *home_recall(struct jobs *jobs, struct client *client,
			const struct request *request);
/* What a host says about a job of ours, and what it is to do with it. */
enum verdict {
	VERDICT_KEEP,    /* it is the job */
	VERDICT_WAIT,    /* not yet known */
	VERDICT_FACTS,   /* tell me its facts */
	VERDICT_DESTROY, /* a stale copy, or its mvrun has ended */
};
struct claim {
	const char *uuid, *facts; /* facts may be NULL */
	unsigned incarnation;
	bool paused;
};
enum verdict home_judge(struct jobs *jobs, const char *host,
			const struct claim *claim);
void home_ended(struct jobs *jobs, const char *host, const char *uuid,
		unsigned incarnation, enum gone_reason reason,
		const char *text, const char *to);
/* May the copy at `host`, which an attempt to move has left there, go on as
 * `incarnation`? The question gets its answer when it is known. */
void home_claim(struct jobs *jobs, const char *host, const char *uuid,
		unsigned incarnation, struct peer_question *question);
/* The same for the copy here. */
enum verdict home_claim_here(struct job *job, unsigned incarnation);
/* The copy here, which an attempt to move it has left, is the job. */
void home_take_back(struct job *job);
/* It is about to move: get ready. */
void home_moving(struct job *job, const char *to, unsigned incarnation,
		 const char *why);
/* mvrun has a link to the incarnation, or its link has refused it. */
void home_linked(struct job *job, unsigned incarnation, bool linked);
/* mvrun has had a link to the copy that is the job. */
bool home_is_linked(const struct job *job);

/* Transports: mvd-attach.c */

/* The owner wants a transport; it gets one as soon as there is one. */
void job_attach(struct job *job);
void job_attach_stop(struct job *job);
/* Open a stream to where it will be, before it is there. */
void job_attach_early(struct job *job, const char *to, unsigned incarnation);
/* A connection to the microVM here, for a stream from its home, or -1. */
int job_connect(struct job *job);
/* A guest dialled by vsock. */
void jobs_dialled(struct jobs *jobs, unsigned cid, int fd);

#endif
