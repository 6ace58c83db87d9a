/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-requests.h"

#include "vmm-agent/mvd-cluster.h"
#include "vmm-agent/mvd-info.h"
#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-mover.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-nodes.h"
#include "vmm-agent/mvd-scheduler.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Who may ask, about what. */
enum scope {
	SCOPE_ANY,   /* anybody, about nothing in particular */
	SCOPE_OWNER, /* a job's own mvrun, about the job of this UUID */
	SCOPE_USER,  /* the job's user and root, about the job named */
};

typedef void (*handler_fn)(struct mvd *mvd, struct client *client,
			   const struct request *request, struct job *job);

static void do_run(struct mvd *mvd, struct client *client,
		   const struct request *request, struct job *job)
{
	struct err err = { 0 };

	(void)job;
	if (job_run(mvd->jobs, client, request, &err) < 0)
		client_error(client, "run", err.text, "");
}

static void do_attach(struct mvd *mvd, struct client *client,
		      const struct request *request, struct job *job)
{
	(void)mvd;
	(void)client;
	(void)request;
	job_attach(job);
}

static void do_started(struct mvd *mvd, struct client *client,
		       const struct request *request, struct job *job)
{
	(void)mvd;
	(void)client;
	(void)request;
	job_started(job);
}

static void do_boot_failed(struct mvd *mvd, struct client *client,
			   const struct request *request, struct job *job)
{
	(void)mvd;
	(void)client;
	(void)request;
	job_boot_failed(job);
}

static void do_stopping(struct mvd *mvd, struct client *client,
			const struct request *request, struct job *job)
{
	(void)mvd;
	(void)client;
	(void)request;
	job_stopping(job);
}

static void do_running(struct mvd *mvd, struct client *client,
		       const struct request *request, struct job *job)
{
	(void)mvd;
	(void)client;
	(void)request;
	job_running(job);
}

static void do_jobs(struct mvd *mvd, struct client *client,
		    const struct request *request, struct job *job)
{
	g_autoptr(GPtrArray) list = jobs_list(mvd->jobs);
	struct json_object *array = json_object_new_array();
	struct json_object *event = event_new("jobs");
	uid_t uid = client_uid(client);
	unsigned i;

	(void)job;
	/* What root may touch is what there is. */
	for (i = 0; i < list->len; i++)
		if (job_may_touch(list->pdata[i], request->all ? 0 : uid))
			json_object_array_add(array, job_to_json(list->pdata[i]));
	json_object_object_add(event, "jobs", array);
	client_send(client, event);
}

static void do_info(struct mvd *mvd, struct client *client,
		    const struct request *request, struct job *job)
{
	(void)mvd;
	(void)request;
	info_send(job, client);
}

static char *asker(const struct client *client)
{
	return g_strdup_printf("mvctl (user %u)", (unsigned)client_uid(client));
}

static bool has_domain(struct client *client, const struct request *request,
		       const struct job *job)
{
	g_autofree char *text = NULL;

	if (job->stage == JOB_UP && !job->saved)
		return true;
	text = g_strdup_printf(job->saved ? "job %ld is saved in a file" :
			       "job %ld has no microVM yet",
			       (long)job->facts.pid);
	client_error(client, request_name(request->op), text, job->saved ?
		     "virsh restore brings it back" : "try again in a moment");
	return false;
}

static void do_suspend(struct mvd *mvd, struct client *client,
		       const struct request *request, struct job *job)
{
	g_autofree char *by = asker(client);

	(void)mvd;
	if (has_domain(client, request, job))
		job_suspend(job, client, by);
}

static void do_resume(struct mvd *mvd, struct client *client,
		      const struct request *request, struct job *job)
{
	g_autofree char *by = asker(client);

	(void)mvd;
	if (has_domain(client, request, job))
		job_resume(job, client, by);
}

/* By its pidfd: the number may be another process's by now. */
static void do_kill(struct mvd *mvd, struct client *client,
		    const struct request *request, struct job *job)
{
	g_autofree char *text = NULL;

	(void)mvd;
	if (job->foreign) {
		text = g_strdup_printf("the mvrun of job %ld is at %s: it takes "
				       "signals there only",
				       (long)job->facts.pid, job->facts.home);
		client_error(client, "kill", text, "");
		return;
	}
	if (request->signal < NSIG &&
	    syscall(SYS_pidfd_send_signal, job->pidfd, (int)request->signal,
		    NULL, 0) == 0) {
		client_send(client, event_new("ok"));
		return;
	}
	text = g_strdup_printf("cannot send signal %u to job %ld: %s",
			       request->signal, (long)job->facts.pid,
			       g_strerror(request->signal < NSIG ? errno :
					  EINVAL));
	client_error(client, "kill", text, "");
}

static void do_migrate(struct mvd *mvd, struct client *client,
		       const struct request *request, struct job *job)
{
	(void)mvd;
	mover_begin(job, client, request->to, request->postcopy);
}

static void do_why(struct mvd *mvd, struct client *client,
		   const struct request *request, struct job *job)
{
	(void)mvd;
	(void)request;
	mover_why(job, client);
}

static void do_up(struct mvd *mvd, struct client *client,
		  const struct request *request, struct job *job)
{
	(void)mvd;
	(void)client;
	home_linked(job, request->incarnation, true);
}

static void do_stale(struct mvd *mvd, struct client *client,
		     const struct request *request, struct job *job)
{
	(void)mvd;
	(void)client;
	home_linked(job, request->incarnation, false);
}

static void do_cluster(struct mvd *mvd, struct client *client,
		       const struct request *request, struct job *job)
{
	(void)job;
	mvd_cluster(mvd, client, request);
}

static void do_nodes(struct mvd *mvd, struct client *client,
		     const struct request *request, struct job *job)
{
	(void)request;
	(void)job;
	nodes_collect(mvd, client);
}

static void do_doctor(struct mvd *mvd, struct client *client,
		      const struct request *request, struct job *job)
{
	(void)request;
	(void)job;
	doctor_answer(mvd, client);
}

static void do_schedule(struct mvd *mvd, struct client *client,
			const struct request *request, struct job *job)
{
	(void)job;
	scheduler_request(mvd, client, request);
}

static const struct {
	enum scope scope;
	handler_fn handle;
} table[REQUEST_COUNT] = {
	[REQUEST_RUN] = { SCOPE_ANY, do_run },
	[REQUEST_ATTACH] = { SCOPE_OWNER, do_attach },
	[REQUEST_STARTED] = { SCOPE_OWNER, do_started },
	[REQUEST_BOOT_FAILED] = { SCOPE_OWNER, do_boot_failed },
	[REQUEST_STOPPING] = { SCOPE_OWNER, do_stopping },
	[REQUEST_RUNNING] = { SCOPE_OWNER, do_running },
	[REQUEST_UP] = { SCOPE_OWNER, do_up },
	[REQUEST_STALE] = { SCOPE_OWNER, do_stale },
	[REQUEST_JOBS] = { SCOPE_ANY, do_jobs },
	[REQUEST_INFO] = { SCOPE_USER, do_info },
	[REQUEST_SUSPEND] = { SCOPE_USER, do_suspend },
	[REQUEST_RESUME] = { SCOPE_USER, do_resume },
	[REQUEST_KILL] = { SCOPE_USER, do_kill },
	[REQUEST_MIGRATE] = { SCOPE_USER, do_migrate },
	[REQUEST_WHY] = { SCOPE_USER, do_why },
	[REQUEST_CLUSTER] = { SCOPE_ANY, do_cluster },
	[REQUEST_NODES] = { SCOPE_ANY, do_nodes },
	[REQUEST_DOCTOR] = { SCOPE_ANY, do_doctor },
	[REQUEST_SCHEDULE] = { SCOPE_ANY, do_schedule },
};

/* Another node may have the job of that mvrun, which we do not know. */
static bool may_be_elsewhere(const struct mvd *mvd,
			     const struct request *request)
{
	if (strcmp(request->host, mvd->node) != 0)
		return request->host[0];
	return virt_state(mvd->virt) == VIRT_UP && peers_count(mvd->peers) > 1;
}

/* The job of an mvrun that asks about its own. Tells it when there is none. */
static struct job *owned_job(struct mvd *mvd, struct client *client,
			     const struct request *request)
{
	struct job *job = jobs_find(mvd->jobs, request->uuid);
	struct json_object *gone;

	if (!job && may_be_elsewhere(mvd, request))
		job = home_recall(mvd->jobs, client, request);
	if (job && job_owned_by(job, client)) {
		/* Said again to an agent that was restarted. */
		if (request->incarnation > job->confirmed &&
		    request->op != REQUEST_STALE)
			home_linked(job, request->incarnation, true);
		if (job->client != client) {
			job->client = client;
			job_tell_state(job);
		}
		return job;
	}
	if (job) {
		client_error(client, request_name(request->op),
			     "this job belongs to another process", "");
		return NULL;
	}
	if (request->op != REQUEST_ATTACH)
		return NULL;
	gone = event_new("gone");
	event_add_string(gone, "uuid", request->uuid);
	event_add_string(gone, "reason", gone_reason_name(GONE_UNKNOWN));
	event_add_string(gone, "text", "it ended, or was destroyed, while no "
			 "agent was there");
	client_send(client, gone);
	return NULL;
}

static struct job *named_job(struct mvd *mvd, struct client *client,
			     const struct request *request)
{
	struct err err = { 0 };
	struct job *job = jobs_find_named(mvd->jobs, request->job,
					  client_uid(client), &err);

	if (!job)
		client_error(client, request_name(request->op), err.text,
			     "mvctl jobs lists them");
	return job;
}

void mvd_request(struct mvd *mvd, struct client *client,
		 const struct request *request)
{
	struct job *job = NULL;

	switch (table[request->op].scope) {
	case SCOPE_ANY:
		break;
	case SCOPE_OWNER:
		job = owned_job(mvd, client, request);
		if (!job)
			return;
		break;
	case SCOPE_USER:
		job = named_job(mvd, client, request);
		if (!job)
			return;
		break;
	}
	table[request->op].handle(mvd, client, request, job);
}
