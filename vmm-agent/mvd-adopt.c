/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains that this agent did not start: those of a predecessor, and those that
 * come from another node. A domain carries the facts of its job; that is all
 * there is to know.
 */
#include "vmm-agent/mvd-jobs.h"

#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-vsock.h"

#include <errno.h>
#include <string.h>

#define CONSOLE_BYTES 16384
/* A domain that is still on its way is looked at again. */
#define LOOK_AGAIN_MS 1000
#define MAX_LOOKS 60
#define MAX_TAKE_OVERS 3

struct look {
	struct jobs *jobs;
	char uuid[UUID_TEXT_SIZE];
	unsigned count;
	bool vanished; /* the last look found nothing */
};

static void look(struct look *look);

/* What the domain says about the job that it is. */
static void take(struct job *job, const struct virt_domain *domain)
{
	struct err err = { 0 };

	g_free(job->domain);
	job->domain = g_strdup(domain->name);
	job->stage = JOB_UP;
	job->told = true;
	job->cid = domain->cid;
	job->freeze.paused = domain->paused;
	job->freeze.ours = domain->paused && job->facts.frozen;
	job->freeze.seen = true;
	job->console_size = 0;
	job->panicked = 0;
	if (job->facts.transport == JOB_VSOCK &&
	    vsock_listen(job->mvd->vsock, job->facts.vsock_port, &err) == 0)
		g_message("job %ld: %s", (long)job->facts.pid, err.text);
}

static void destroy_done(void *ctx, const struct virt_result *result)
{
	(void)ctx;
	if (result->error && !result->no_domain)
		g_message("cannot destroy a stale domain: %s", result->error);
}

static void adopt(struct jobs *jobs, const struct virt_domain *domain,
		  struct job_facts *facts)
{
	struct job *job = jobs_add(jobs, facts);
	struct err err = { 0 };

	take(job, domain);
	g_info("adopted job %ld of %s", (long)job->facts.pid, job->facts.home);
	if (job->foreign)
		hosting_tell(job);
	else if (job_watch_mvrun(job, &err) < 0 && err.num == ESRCH)
		job_mvrun_gone(job);
	/* Our predecessor was about to move it, and did not live to see how
	 * that ended. */
	if (job->facts.attempt > job->facts.incarnation && !job->mvrun_gone)
		hosting_claim(job);
}

static void replace_facts(struct job *job, struct job_facts *facts)
{
	job_facts_clear(&job->facts);
	/* The table's key lies in the facts: its text is the same. */
	job->facts = *facts;
	memset(facts, 0, sizeof(*facts));
}

/* It has come back to its home, where its mvrun waits for it. */
static void come_home(struct job *job, const struct virt_domain *domain,
		      struct job_facts *facts)
{
	bool by_hand = job->host && facts->moves == job->facts.moves &&
		       facts->incarnation == job->facts.incarnation;

	g_info("job %ld has come home from %s", (long)job->facts.pid,
	       job->host ? job->host : "another node");
	if (by_hand) {
		facts->moves++;
		g_free(facts->from);
		facts->from = g_steal_pointer(&job->host);
	}
	g_clear_pointer(&job->host, g_free);
	job->absent = job->saved = false;
	job->lost = 0;
	facts->frozen = job->facts.frozen;
	facts->started |= job->facts.started;
	replace_facts(job, facts);
	take(job, domain);
	if (by_hand)
		job_save(job);
	if (job_is_ending(job))
		job_destroy(job);
	else
		job_attach(job);
	job_tell_state(job);
}

/* A domain that runs and that the table does not know to be here. */
static void arrived(struct look *l, const struct virt_domain *domain,
		    struct job_facts *facts)
{
	struct jobs *jobs = l->jobs;
	struct job *job = jobs_find(jobs, domain->uuid);
	struct virt *virt = jobs->mvd->virt;

	arrivals_done(jobs->arrivals, domain->uuid);
	if (!job)
		adopt(jobs, domain, facts);
	else if (job_is_here(job) || job->leftover || job->migration)
		return; /* the copy here is known: mvd-migrate.c sees to it */
	else if (facts->incarnation > job->facts.incarnation ||
		 ((job->absent || job->lost) &&
		  facts->incarnation == job->facts.incarnation))
		come_home(job, domain, facts);
	else if (facts->incarnation == job->facts.incarnation)
		look(l); /* its old host has not told yet that it is gone */
	else
		virt_destroy(virt, domain->uuid, destroy_done, NULL);
}

static bool is_ours(const struct jobs *jobs, const struct virt_domain *domain,
		    const struct job_facts *facts)
{
	return strcmp(facts->agent, jobs->mvd->config.socket) == 0 &&
	       strcmp(facts->uuid, domain->uuid) == 0;
}

/* Are the files that are here those of a job that is here, or comes? They are not where another node
 * has its microVM, or nobody: then they are of an older copy, whose agent was killed. */
static bool is_needed(const struct jobs *jobs, const char *uuid)
{
	const struct job *job = jobs_find(jobs, uuid);

	return (job && (job_is_here(job) || job->migration || job->leftover)) ||
	       arrivals_expects(jobs->arrivals, uuid);
}

/* There is no such domain. Looked at twice: the connection may just have broken. */
static void clear_up(struct look *l)
{
	struct mvd *mvd = l->jobs->mvd;

	if (is_needed(l->jobs, l->uuid) || virt_state(mvd->virt) != VIRT_UP)
		return;
	if (l->vanished) {
		boot_remove_files(mvd, l->uuid, NULL);
		return;
	}
	l->vanished = true;
	look(l);
}

static void on_described(void *ctx, const struct virt_domain *domain)
{
	struct look *l = ctx;
	struct job_facts facts;
	struct err err = { 0 };

	if (!domain) {
		clear_up(l);
	} else if (job_facts_from_xml(&facts, domain->metadata, &err) == 0) {
		l->vanished = false;
		if (!is_ours(l->jobs, domain, &facts) || facts.probe)
			;
		else if (domain->moving)
			look(l);
		else
			arrived(l, domain, &facts);
		job_facts_clear(&facts);
	}
	g_free(l);
}

static gboolean on_look(void *p)
{
	struct look *l = p;

	virt_describe(l->jobs->mvd->virt, l->uuid, on_described, l);
	return G_SOURCE_REMOVE;
}

/* Once more, in a moment. One that never gets here is nobody's: its source has
 * another copy, or its end. */
static void look(struct look *l)
{
	struct look *again;

	if (l->count >= MAX_LOOKS) {
		virt_destroy(l->jobs->mvd->virt, l->uuid, destroy_done, NULL);
		return;
	}
	again = g_memdup2(l, sizeof(*l));
	again->count++;
	g_timeout_add(LOOK_AGAIN_MS, on_look, again);
}

void jobs_look_at(struct jobs *jobs, const char *uuid)
{
	struct look *l = g_new0(struct look, 1);

	l->jobs = jobs;
	g_strlcpy(l->uuid, uuid, sizeof(l->uuid));
	virt_describe(jobs->mvd->virt, l->uuid, on_described, l);
}

/*
 * A domain that libvirt will not start, because it is there or on its way: a
 * predecessor had asked for it, and died before libvirt could list it. mvrun was
 * told then that there is none, and has asked again.
 */

static gboolean on_take_over(void *p);

static void take_over(struct job *job, const struct virt_domain *domain,
		      struct job_facts *facts)
{
	g_info("job %ld has its domain from an agent before us",
	       (long)job->facts.pid);
	replace_facts(job, facts);
	take(job, domain);
	if (job->mvrun_gone) {
		job_destroy(job);
		return;
	}
	job_up(job);
	job_tell_state(job);
}

static void on_existing(void *ctx, const struct virt_domain *domain)
{
	struct job_facts facts = { 0 };
	struct job *job = ctx;
	struct err err = { 0 };

	if (job->stage != JOB_STARTING) {
		/* It has ended meanwhile. */
	} else if (!domain || job_facts_from_xml(&facts, domain->metadata, &err) < 0 ||
		   !is_ours(job->mvd->jobs, domain, &facts)) {
		job_start_again(job);
	} else if (domain->moving) {
		g_timeout_add(LOOK_AGAIN_MS, on_take_over, job_ref(job));
	} else {
		take_over(job, domain, &facts);
	}
	job_facts_clear(&facts);
	job_unref(job);
}

static gboolean on_take_over(void *p)
{
	struct job *job = p;

	virt_describe(job->mvd->virt, job->facts.uuid, on_existing, job);
	return G_SOURCE_REMOVE;
}

bool job_take_over(struct job *job)
{
	if (job->take_overs++ >= MAX_TAKE_OVERS)
		return false;
	on_take_over(job_ref(job));
	return true;
}

/* A domain that we know and that is still there: catch up. */
static void catch_up(struct job *job, const struct virt_domain *domain)
{
	if (job->stage != JOB_UP || job->migration)
		return;
	if (!job_is_here(job)) {
		jobs_look_at(job->mvd->jobs, domain->uuid);
		return;
	}
	if (domain->paused && !job->freeze.paused)
		job_paused(job);
	else if (!domain->paused && job->freeze.paused)
		job_resumed(job);
	if (job_is_ending(job))
		job_destroy(job);
	else
		job_save(job);
}

/* On its way to here when the agent was restarted: not the job, or not yet. */
static bool is_incoming(const struct virt_domain *domain,
			const struct job_facts *facts)
{
	return domain->moving && facts->attempt <= facts->incarnation;
}

static void meet(struct jobs *jobs, const struct virt_domain *domain)
{
	struct job *job = jobs_find(jobs, domain->uuid);
	struct mvd *mvd = jobs->mvd;
	struct job_facts facts;
	struct err err = { 0 };

	if (job) {
		catch_up(job, domain);
		return;
	}
	if (job_facts_from_xml(&facts, domain->metadata, &err) < 0) {
		g_message("domain %s is left alone: %s", domain->name,
			  err.text);
		return;
	}
	if (is_ours(jobs, domain, &facts)) {
		if (facts.probe)
			virt_destroy(mvd->virt, domain->uuid, destroy_done,
				     NULL);
		else if (is_incoming(domain, &facts))
			jobs_look_at(jobs, domain->uuid);
		else
			adopt(jobs, domain, &facts);
	}
	job_facts_clear(&facts);
}

static bool is_listed(const GPtrArray *domains, const char *uuid)
{
	unsigned i;

	for (i = 0; i < domains->len; i++) {
		const struct virt_domain *domain = domains->pdata[i];

		if (strcmp(domain->uuid, uuid) == 0)
			return true;
	}
	return false;
}

/* Its domain ended while nobody looked. */
static void vanished(struct job *job)
{
	g_autofree char *console = boot_console(job->mvd, job->facts.uuid);
	g_autofree char *tail = console_tail(console, CONSOLE_BYTES);
	g_autofree char *text = NULL;
	enum gone_reason reason;

	if (job_is_ending(job)) {
		job_destroyed(job);
		return;
	}
	reason = console_judge(tail, &text);
	job_gone(job, reason, text ? text : "its microVM ended while the agent "
		 "was not connected to libvirt");
}

/* What is here may be of a job that ended, or was on its way to here, while no agent was. */
static void look_at_file(void *ctx, const char *uuid)
{
	struct jobs *jobs = ctx;

	if (!is_needed(jobs, uuid))
		jobs_look_at(jobs, uuid);
}

void jobs_reconcile(struct jobs *jobs, GPtrArray *domains)
{
	g_autoptr(GPtrArray) list = jobs_list(jobs);
	unsigned i;

	for (i = 0; i < domains->len; i++)
		meet(jobs, domains->pdata[i]);
	for (i = 0; i < list->len; i++) {
		struct job *job = list->pdata[i];

		if (job->stage == JOB_UP && job_is_here(job) &&
		    !job->migration && !is_listed(domains, job->facts.uuid))
			vanished(job);
	}
	boot_each(jobs->mvd, look_at_file, jobs);
}
