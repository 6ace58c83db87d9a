/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The home's side of a job that another node hosts.
 *
 * Theory of operation
 *
 * Home decides which copy of a job is the job. There can be two for a moment: a
 * migration that fails at its very end leaves one at the source and perhaps one
 * at the target, and a node that was cut off comes back with an old one. Each
 * has an incarnation; the highest that home has accepted is the job, and any
 * lower one is told to end. mvrun is linked to one copy only, and its link can
 * tell whether a copy continues what has been done so far: a copy that does not
 * is refused, however high its number.
 *
 * A source whose attempt failed claims the number after the attempt's. If the
 * target's copy was accepted first, the claim waits until mvrun has a link to it,
 * or its link refuses it: until then no copy is told to end, because it may be the
 * only one that continues the job.
 */
#include "vmm-agent/mvd-jobs.h"

#include "net/peer.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-tell.h"

#include <errno.h>
#include <string.h>

#define START_MS 150000
#define LOST_MS 7000
#define LOOK_MS 5000
#define FIND_MS 5000
#define SEARCHES 2 /* it may move from one node to the next while they are asked */

static gint64 now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

/* Starting elsewhere */

static void take_answer(struct job *job, struct json_object *answer)
{
	struct json_object *value;

	if (json_object_object_get_ex(answer, "accel", &value))
		accel_find(json_object_get_string(value), &job->facts.accel);
	if (json_object_object_get_ex(answer, "cpus", &value))
		job->facts.cpus = (unsigned)json_object_get_int(value);
	if (json_object_object_get_ex(answer, "memory", &value))
		job->facts.memory = (unsigned)json_object_get_int(value);
	if (!job->told && job->client)
		job_send(job, json_object_object_get_ex(answer, "boot_limit",
							&value) ?
			 (unsigned)json_object_get_int(value) : 60);
	job->told = true;
}

static void on_started(void *ctx, const struct peer_reply *reply)
{
	struct job *job = ctx;
	g_autofree char *text = NULL;

	if (job->host)
		tell_note(job->mvd, job->host, reply);
	if (job->stage == JOB_STARTING && reply->answer) {
		job->heard = now_ms();
		take_answer(job, reply->answer);
		job_up(job);
		if (job->mvrun_gone)
			job_destroy(job);
	} else if (job->stage == JOB_STARTING &&
		   !scheduler_place_again(job, reply->error)) {
		text = g_strdup_printf("cannot start it at %s: %s", job->host,
				       reply->error);
		job_fail(job, text, "mvctl nodes lists the nodes");
	}
	job_unref(job);
}

/* How the guest runs is the host's to decide; its metadata must say something. */
static char *facts_for_host(const struct job *job)
{
	struct job_facts facts = job->facts; /* borrows the strings */

	facts.accel = ACCEL_TCG;
	facts.cpus = MAX(facts.cpus, 1);
	return job_facts_to_xml(&facts);
}

void home_start(struct job *job)
{
	struct json_object *body = json_object_new_object();
	g_autofree char *text = NULL, *facts = NULL;

	text = g_strdup_printf("starting it at %s", job->host);
	job_send_phase(job, "starting", text);
	facts = facts_for_host(job);
	event_add_string(body, "op", "start");
	event_add_string(body, "facts", facts);
	event_add_number(body, "cpus", job->facts.cpus);
	scheduler_describe_start(job, body);
	job->facts.boots++;
	job->stage = JOB_STARTING;
	peer_ask(job->mvd->peers, job->host, body, START_MS, on_started,
		 job_ref(job));
}

/* Judging copies */

bool home_is_linked(const struct job *job)
{
	return !job->absent && job->confirmed >= job->facts.incarnation;
}

static void heard_of(struct job *job)
{
	job->heard = now_ms();
	job->lost = 0;
	job->searches = 0;
}

/* The same copy under a higher number. */
static void renumber(struct job *job, unsigned incarnation)
{
	bool confirmed = home_is_linked(job);

	job->facts.incarnation = incarnation;
	if (confirmed)
		job->confirmed = incarnation;
	else
		job_attach(job);
}

static void moved_to(struct job *job, const char *host)
{
	bool leaves_copy = job_is_here(job) && !job->migration;

	g_info("job %ld is at %s now", (long)job->facts.pid, host);
	g_free(job->host);
	job->host = g_strdup(host);
	job->absent = false;
	/* We were restarted while it moved from here, and have adopted what is
	 * left of it. */
	if (leaves_copy)
		migrate_watch_leftover(job);
	if (job_is_ending(job))
		job_destroy(job);
	else
		job_attach(job);
}

static void take_facts(struct job *job, struct job_facts *facts)
{
	bool started = job->facts.started, frozen = job->facts.frozen;

	/* What only home knows stays home's. */
	facts->started |= started;
	if (job->facts.memory)
		facts->frozen = frozen;
	job_facts_clear(&job->facts);
	job->facts = *facts;
	memset(facts, 0, sizeof(*facts));
}

static void follow_pause(struct job *job, bool paused)
{
	if (paused && !job->freeze.paused)
		job_paused(job);
	else if (!paused && job->freeze.paused)
		job_resumed(job);
}

/* After a restart: mvrun may know already. */
static void learn_pause(struct job *job, bool paused)
{
	job->freeze.paused = paused;
	job->freeze.ours = paused && job->facts.frozen;
	job->freeze.seen = true;
	job_tell_state(job);
}

/* A host knows a job that we do not: we have been restarted. */
static enum verdict recall(struct jobs *jobs, const char *host,
			   struct job_facts *facts, bool paused)
{
	struct err err = { 0 };
	struct job *job;

	if (strcmp(facts->home, jobs->mvd->node) != 0)
		return VERDICT_DESTROY;
	job = jobs_add(jobs, facts);
	job->host = g_strdup(host);
	job->stage = JOB_UP;
	job->told = true;
	job->heard = now_ms();
	if (job_watch_mvrun(job, &err) < 0 && err.num == ESRCH) {
		jobs_remove(job);
		return VERDICT_DESTROY;
	}
	learn_pause(job, paused);
	return VERDICT_KEEP;
}

static bool is_acceptable(const struct job *job, const char *host,
			  unsigned incarnation)
{
	if (incarnation > job->facts.incarnation)
		return true;
	return incarnation == job->facts.incarnation &&
	       (job->absent || job->lost ||
		(job->host && strcmp(job->host, host) == 0));
}

/* By a client of libvirt at its old host: nobody has counted that. */
static void count_move(struct job *job, const char *from)
{
	g_free(job->facts.from);
	job->facts.from = g_strdup(from);
	job->facts.moves++;
	came_clear(&job->came);
	job_save(job);
}

static enum verdict judge_known(struct job *job, const char *host,
				const struct claim *claim,
				struct job_facts *facts)
{
	bool moved = job->absent || !job->host || strcmp(job->host, host) != 0;
	bool by_hand = moved && claim->incarnation == job->facts.incarnation &&
		       facts && facts->moves == job->facts.moves;
	g_autofree char *from = g_strdup(job->host ? job->host :
					 job->mvd->node);
	/* What mvrun has told an agent that was restarted is not all. */
	bool known = job->facts.memory > 0;

	if (job->stage != JOB_UP)
		return VERDICT_WAIT;
	/* One that has forgotten its number, in a restart, will claim it again. */
	if (claim->incarnation < job->facts.incarnation && home_is_linked(job))
		return moved ? VERDICT_DESTROY : VERDICT_WAIT;
	if (!is_acceptable(job, host, claim->incarnation))
		return VERDICT_WAIT;
	if ((moved || claim->incarnation > job->facts.incarnation || !known) &&
	    !facts)
		return VERDICT_FACTS;
	heard_of(job);
	if (claim->incarnation > job->facts.incarnation && !moved)
		renumber(job, claim->incarnation);
	if (facts)
		take_facts(job, facts);
	if (moved)
		moved_to(job, host);
	if (by_hand && strcmp(from, host) != 0)
		count_move(job, from);
	if (known)
		follow_pause(job, claim->paused);
	else
		learn_pause(job, claim->paused);
	return VERDICT_KEEP;
}

enum verdict home_judge(struct jobs *jobs, const char *host,
			const struct claim *claim)
{
	struct job *job = jobs_find(jobs, claim->uuid);
	struct job_facts facts = { 0 };
	struct err err = { 0 };
	enum verdict verdict;

	if (claim->facts &&
	    (job_facts_from_xml(&facts, claim->facts, &err) < 0 ||
	     strcmp(facts.uuid, claim->uuid) != 0 ||
	     facts.incarnation != claim->incarnation)) {
		job_facts_clear(&facts);
		return VERDICT_WAIT;
	}
	/* Who it belongs to does not change by moving. */
	if (job && claim->facts && (facts.pid != job->facts.pid ||
				    facts.start != job->facts.start ||
				    facts.uid != job->facts.uid))
		verdict = VERDICT_DESTROY;
	else if (job)
		verdict = judge_known(job, host, claim,
				      claim->facts ? &facts : NULL);
	else
		verdict = claim->facts ?
			  recall(jobs, host, &facts, claim->paused) :
			  VERDICT_FACTS;
	job_facts_clear(&facts);
	return verdict;
}

static void refused(void *ctx, const struct virt_result *result)
{
	struct job *job = ctx;

	if (result->error && !result->no_domain)
		g_info("job %ld: %s", (long)job->facts.pid, result->error);
	job_unref(job);
}

/* A copy that does not continue what has been done. The one that does has the
 * number that mvrun was linked to last, or will claim a higher one; if there is
 * none, the job is lost, as home_look() finds. */
static void refuse_copy(struct job *job)
{
	job_call(job, CALL_DESTROY, refused, job_ref(job));
	g_clear_pointer(&job->host, g_free);
	if (job->confirmed && job->confirmed < job->facts.incarnation)
		job->facts.incarnation = job->confirmed;
	job->absent = true;
	heard_of(job);
}

void home_take_back(struct job *job)
{
	unsigned incarnation = job->facts.attempt + 1;

	g_message("job %ld goes on here, where it was before its last move",
		  (long)job->facts.pid);
	refuse_copy(job);
	job->absent = false;
	job->leftover = false;
	job->facts.incarnation = job->facts.attempt = incarnation;
	if (job->facts.moves)
		job->facts.moves--;
	job_save(job);
	job_attach(job);
}

static void lose_copy(struct job *job)
{
	if (job->leftover)
		home_take_back(job);
	else
		refuse_copy(job);
}

void home_ended(struct jobs *jobs, const char *host, const char *uuid,
		unsigned incarnation, enum gone_reason reason,
		const char *text, const char *to)
{
	struct job *job = jobs_find(jobs, uuid);

	if (!job || !job->host || strcmp(job->host, host) != 0 ||
	    job->stage != JOB_UP || incarnation != job->facts.incarnation)
		return;
	if (to) {
		/* Whoever has it now will say so. */
		job->absent = true;
		job->heard = now_ms();
	} else if (job_is_ending(job)) {
		job_destroyed(job);
	} else if (job->confirmed && !home_is_linked(job)) {
		/* mvrun never had a link to it: the copy that it has one to may
		 * be there still. */
		lose_copy(job);
	} else {
		job_gone(job, reason, text);
	}
}

/* Claims */

static void answer_claim(struct peer_question *question, const char *verdict)
{
	struct json_object *answer = json_object_new_object();

	event_add_string(answer, "verdict", verdict);
	peer_answer(question, answer);
}

void home_claim(struct jobs *jobs, const char *host, const char *uuid,
		unsigned incarnation, struct peer_question *question)
{
	struct job *job = jobs_find(jobs, uuid);
	bool theirs = job && job->host && strcmp(job->host, host) == 0;

	if (!job || job->stage != JOB_UP) {
		answer_claim(question, "wait");
	} else if (theirs) {
		/* A host has one copy at most. */
		heard_of(job);
		renumber(job, incarnation);
		answer_claim(question, "keep");
	} else if (home_is_linked(job)) {
		answer_claim(question, "destroy");
	} else if ((job->absent || job->lost) &&
		   incarnation >= job->facts.incarnation) {
		heard_of(job);
		job->facts.incarnation = incarnation;
		moved_to(job, host);
		answer_claim(question, "keep");
	} else {
		/* The target's copy was accepted, and mvrun has no link to it
		 * yet. */
		answer_claim(question, "wait");
	}
}

enum verdict home_claim_here(struct job *job, unsigned incarnation)
{
	if (job->confirmed > job->facts.incarnation &&
	    job->confirmed < incarnation) {
		/* mvrun is linked to the target's copy, which will say where
		 * it is. */
		job->absent = true;
		job->heard = now_ms();
		return VERDICT_DESTROY;
	}
	renumber(job, incarnation);
	return VERDICT_KEEP;
}

void home_linked(struct job *job, unsigned incarnation, bool linked)
{
	if (incarnation != job->facts.incarnation) {
		if (linked && incarnation > job->confirmed)
			job->confirmed = incarnation;
		return;
	}
	if (linked) {
		job->confirmed = incarnation;
		return;
	}
	g_message("job %ld: the copy at %s does not continue it",
		  (long)job->facts.pid, job->host ? job->host : job->mvd->node);
	lose_copy(job);
}

void home_moving(struct job *job, const char *to, unsigned incarnation,
		 const char *why)
{
	struct json_object *event;

	came_leave(job, to, why);
	job_attach_early(job, to, incarnation);
	if (!job->client)
		return;
	event = event_new("moving");
	event_add_string(event, "uuid", job->facts.uuid);
	event_add_string(event, "to", to);
	client_send(job->client, event);
}

/* Restarted */

static struct json_object *have(const struct job *job)
{
	struct json_object *body = json_object_new_object();

	event_add_string(body, "op", "have");
	event_add_string(body, "uuid", job->facts.uuid);
	return body;
}

static void on_recalled(void *ctx, const struct peer_reply *reply)
{
	(void)ctx;
	(void)reply;
}

struct job *home_recall(struct jobs *jobs, struct client *client,
			const struct request *request)
{
	struct job_facts facts = { 0 };
	struct err err = { 0 };
	struct job *job;
	bool was_here = strcmp(request->host, jobs->mvd->node) == 0;

	if (!peers_is_member(jobs->mvd->peers, request->host))
		return NULL;
	job_fill_facts(&facts, jobs->mvd, client, request);
	facts.started = true;
	facts.incarnation = facts.attempt = MAX(request->incarnation, 1);
	job = jobs_add(jobs, &facts);
	/* It has just moved away from here, and mvrun has not been linked to where
	 * it is; or nobody has it any more, as home_look() finds. */
	job->host = was_here ? NULL : g_strdup(request->host);
	job->absent = was_here;
	job->stage = JOB_UP;
	job->told = true;
	job->confirmed = request->incarnation;
	job->heard = now_ms();
	if (job_watch_mvrun(job, &err) < 0) {
		jobs_remove(job);
		return NULL;
	}
	/* It will tell all that there is to know. */
	if (!was_here)
		peer_ask(jobs->mvd->peers, job->host, have(job), FIND_MS,
			 on_recalled, NULL);
	return job;
}

/* Looking for the lost */

struct search {
	struct job *job;
	unsigned asked, silent;
	bool found;
};

static const char *loss(const struct job *job)
{
	if (job->host && !peers_is_member(job->mvd->peers, job->host))
		return "the node that hosted it was removed from the cluster";
	return "no node has its microVM any more: its host was restarted, or lost "
	       "it";
}

static void search_unref(struct search *search)
{
	struct job *job = search->job;

	if (--search->asked > 0)
		return;
	/* Every node has answered, and none has it. */
	if (search->found || search->silent || !job->lost)
		job->searches = 0;
	else if (job->stage == JOB_UP && ++job->searches >= SEARCHES) {
		if (job_is_ending(job))
			job_destroyed(job);
		else
			job_gone(job, GONE_UNKNOWN, loss(job));
	}
	job_unref(job);
	g_free(search);
}

static void on_have(void *ctx, const struct peer_reply *reply)
{
	struct search *search = ctx;
	struct json_object *value;

	if (!reply->answer)
		search->silent++;
	else if (json_object_object_get_ex(reply->answer, "here", &value) &&
		 json_object_get_boolean(value))
		search->found = true;
	search_unref(search);
}

static void find_job(struct job *job)
{
	struct peers *peers = job->mvd->peers;
	struct search *search = g_new0(struct search, 1);
	struct peer_info info;
	unsigned i;

	search->job = job_ref(job);
	search->asked = 1;
	for (i = 0; i < peers_count(peers); i++) {
		peers_get(peers, i, &info);
		if (info.self)
			continue;
		search->asked++;
		peer_ask(peers, info.name, have(job), FIND_MS, on_have, search);
	}
	search_unref(search);
}

void home_look(struct job *job)
{
	gint64 silent = now_ms() - job->heard;

	if (job_is_here(job) || job->saved)
		return;
	if (!job->heard) {
		job->heard = now_ms();
		return;
	}
	if (silent < LOST_MS)
		return;
	if (!job->lost) {
		job->lost = g_get_real_time() / G_USEC_PER_SEC - silent / 1000;
		g_message("job %ld: its host %s is out of reach",
			  (long)job->facts.pid, job->host ? job->host : "");
	}
	if (silent / 1000 % (LOOK_MS / 1000) == 0)
		find_job(job);
}
