/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A job waits until libvirt is connected, the kit is made, and it is known
 * whether KVM works; whenever one of these changes, jobs_advance() looks at all
 * that wait. Then its domain is started. From then on two things may end it,
 * and each ends the other: its mvrun (a pidfd says so), or its domain (an event
 * of libvirt's, or its absence when the connection was away). Because the facts
 * are in the domain's metadata, an agent that was restarted goes on from there.
 */
#include "vmm-agent/mvd-jobs.h"

#include "net/cleanup.h"
#include "net/peer.h"
#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-probe.h"
#include "vmm-agent/mvd-process.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-tell.h"
#include "vmm-agent/mvd-vsock.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>

#define MAX_USER_JOBS 512
#define MAX_JOBS 8192
#define MAX_BOOTS 2
#define BOOT_LIMIT_KVM_S 20
#define BOOT_LIMIT_TCG_S 60
#define CONSOLE_BYTES 16384
#define DESTROY_AGAIN_S 2

/* To mvrun */

void job_send_phase(struct job *job, const char *phase, const char *text)
{
	struct json_object *event;

	if (!job->client || job->phase == phase)
		return;
	job->phase = phase;
	event = event_new("phase");
	event_add_string(event, "phase", phase);
	event_add_string(event, "text", text);
	client_send(job->client, event);
}

void job_send_warning(struct job *job, const char *text)
{
	struct json_object *event;

	if (!job->client)
		return;
	event = event_new("warning");
	event_add_string(event, "text", text);
	client_send(job->client, event);
}

static unsigned boot_limit(const struct job *job)
{
	unsigned limit = job->facts.accel == ACCEL_KVM ? BOOT_LIMIT_KVM_S :
							 BOOT_LIMIT_TCG_S;

	/* Those that boot at the same time share the processors. */
	return limit * (1 + jobs_count_booting(job->mvd->jobs) / node_cpus());
}

void job_send(struct job *job, unsigned limit)
{
	struct json_object *event = event_new("job");

	event_add_string(event, "uuid", job->facts.uuid);
	event_add_string(event, "name", job->facts.name);
	event_add_string(event, "accel", accel_name(job->facts.accel));
	event_add_number(event, "memory", job->facts.memory);
	event_add_number(event, "cpus", job->facts.cpus);
	event_add_number(event, "boot_limit", limit);
	client_send(job->client, event);
}

/* The job cannot begin: mvrun hears why, and there is no job any more. */
void job_fail(struct job *job, const char *text, const char *hint)
{
	if (job->client)
		client_error(job->client, "run", text, hint);
	if (job->starter)
		peer_refuse(g_steal_pointer(&job->starter), text);
	boot_remove_files(job->mvd, job->facts.uuid, NULL);
	jobs_remove(job);
}

/* The domain is no more. */
void job_gone(struct job *job, enum gone_reason reason,
	      const char *text)
{
	struct json_object *event;

	g_info("job %ld is gone: %s", (long)job->facts.pid, text);
	if (job->foreign)
		hosting_ended(job, reason, text, NULL);
	if (job->client) {
		event = event_new("gone");
		event_add_string(event, "uuid", job->facts.uuid);
		event_add_string(event, "reason", gone_reason_name(reason));
		event_add_string(event, "text", text);
		client_send(job->client, event);
	}
	boot_remove_files(job->mvd, job->facts.uuid,
			  reason == GONE_CRASHED || reason == GONE_FAILED ?
			  NULL : job->domain);
	jobs_remove(job);
}

/* The end of mvrun */

void job_mvrun_gone(struct job *job)
{
	if (job->mvrun_gone)
		return;
	job->mvrun_gone = true;
	job->client = NULL;
	g_clear_handle_id(&job->pid_source, g_source_remove);
	job_attach_stop(job);
	/* One that libvirt is just starting is destroyed when it is there. */
	if (job->stage == JOB_WAITING)
		jobs_remove(job);
	else if (job->stage == JOB_UP)
		job_destroy(job);
}

static gboolean on_pid_exit(int fd, GIOCondition condition, void *p)
{
	struct job *job = p;

	(void)fd;
	(void)condition;
	job->pid_source = 0;
	job_mvrun_gone(job);
	return G_SOURCE_REMOVE;
}

int job_watch_mvrun(struct job *job, struct err *err)
{
	job->pidfd = process_open(job->facts.pid, job->facts.start, err);
	if (job->pidfd < 0)
		return -1;
	job->pid_source = g_unix_fd_add_full(G_PRIORITY_HIGH, job->pidfd,
					     G_IO_IN, on_pid_exit, job, NULL);
	return 0;
}

/* Destroying */

static void job_reboot(struct job *job)
{
	job->rebooting = false;
	job->stop_is_late = job->stage == JOB_UP && !job->stop_seen;
	job->stop_seen = false;
	job->stage = JOB_WAITING;
	job->phase = NULL;
	job->told = false;
	job->stopped_early = false;
	job->cid = 0;
	job->panicked = 0;
	job->console_size = 0;
	job_drop_ops(job);
	memset(&job->freeze, 0, sizeof(job->freeze));
	boot_remove_files(job->mvd, job->facts.uuid, job->domain);
	job_advance(job);
}

/* What the guest said last, for a message. */
static char *last_words(const struct job *job)
{
	g_autofree char *console = boot_console(job->mvd, job->facts.uuid);
	g_autofree char *tail = console_tail(console, CONSOLE_BYTES);

	return console_last_line(tail);
}

static void give_up(struct job *job)
{
	g_autofree char *line = last_words(job);
	g_autofree char *log = boot_log(job->mvd, job->domain);

	job_condemn(job, GONE_FAILED, g_strdup_printf(
		"its microVM did not boot, twice (the last line of its console: "
		"\"%s\"; see %s, and mvctl doctor)", line, log));
}

/* The domain that was to be destroyed is no more. */
void job_destroyed(struct job *job)
{
	if (job->mvrun_gone) {
		boot_remove_files(job->mvd, job->facts.uuid, job->domain);
		jobs_remove(job);
	} else if (job->rebooting) {
		job_reboot(job);
	} else {
		job_gone(job, job->reason, job->verdict);
	}
}

static gboolean destroy_again(void *p)
{
	struct job *job = p;

	if (job->stage == JOB_UP)
		job_destroy(job);
	job_unref(job);
	return G_SOURCE_REMOVE;
}

static void destroy_done(void *ctx, const struct virt_result *result)
{
	struct job *job = ctx;

	job->destroying = false;
	if (job->stage == JOB_UP && (!result->error || result->no_domain)) {
		job_destroyed(job);
	} else if (job->stage == JOB_UP) {
		g_info("cannot destroy the domain %s: %s", job->domain,
		       result->error);
		g_timeout_add_seconds(DESTROY_AGAIN_S, destroy_again,
				      job_ref(job));
	}
	job_unref(job);
}

void job_destroy(struct job *job)
{
	if (job->mvrun_gone)
		boot_remove_files(job->mvd, job->facts.uuid, NULL);
	if (job->migration)
		migrate_abort(job); /* destroyed when that is over */
	if (job->destroying || job->migration)
		return;
	job->destroying = true;
	job_call(job, CALL_DESTROY, destroy_done, job_ref(job));
}

/* It is being destroyed, for whatever reason. */
bool job_is_ending(const struct job *job)
{
	return job->mvrun_gone || job->rebooting || job->verdict;
}

void job_condemn(struct job *job, enum gone_reason reason, char *text)
{
	if (job->stage != JOB_UP || job_is_ending(job)) {
		g_free(text);
		return;
	}
	job_attach_stop(job);
	job->reason = reason;
	job->verdict = text;
	job_destroy(job);
}

/* Beginning */

/* Home has asked for it, and takes it from here. */
static void tell_starter(struct job *job)
{
	struct json_object *answer = json_object_new_object();

	event_add_string(answer, "accel", accel_name(job->facts.accel));
	event_add_string(answer, "transport",
			 job_transport_name(job->facts.transport));
	event_add_number(answer, "cpus", job->facts.cpus);
	event_add_number(answer, "memory", job->facts.memory);
	event_add_number(answer, "boot_limit", boot_limit(job));
	tell_load(job->mvd, answer);
	if (job->starter)
		peer_answer(g_steal_pointer(&job->starter), answer);
	else
		json_object_put(answer);
}

void job_up(struct job *job)
{
	job->stage = JOB_UP;
	scheduler_placed(job);
	job_send_phase(job, "booting", "the microVM boots");
	if (!job->foreign) {
		job_attach(job);
		return;
	}
	tell_starter(job);
	hosting_tell(job);
}

/* It was sent away by hand, by a client of libvirt. Its new host will tell. */
static void job_left(struct job *job)
{
	if (job->foreign) {
		hosting_ended(job, GONE_UNKNOWN, "", "");
		boot_remove_files(job->mvd, job->facts.uuid, job->domain);
		jobs_remove(job);
		return;
	}
	job->absent = true;
	job->heard = g_get_monotonic_time() / 1000;
	boot_remove_files(job->mvd, job->facts.uuid, job->domain);
}

/* Its memory is in a file, put there by a client of libvirt. mvrun waits: when it is
 * restored, the link goes on where it was. */
static void job_saved(struct job *job)
{
	job->absent = job->saved = true;
	boot_remove_files(job->mvd, job->facts.uuid, job->domain);
	job_send_warning(job, "the job's microVM was saved to a file by a client "
			 "of libvirt (virsh?); it goes on when it is restored "
			 "(virsh restore FILE)");
}

/* Without its program: the kit does so when it finds no transport. Home decides for
 * a job that is here from another node. */
static bool may_boot_again(const struct job *job, enum virt_event event)
{
	return event == VIRT_SHUTDOWN && job->facts.transport == JOB_VSOCK &&
	       !job->foreign && !job->mvrun_gone && !job->facts.started &&
	       job->facts.boots < MAX_BOOTS;
}

/* A domain ended by itself, or by somebody else than us. */
static void job_stop(struct job *job, enum virt_event event)
{
	g_autofree char *console = boot_console(job->mvd, job->facts.uuid);
	g_autofree char *tail = console_tail(console, CONSOLE_BYTES);
	g_autofree char *log = boot_log(job->mvd, job->domain);
	g_autofree char *text = NULL;
	enum gone_reason reason = console_judge(tail, &text);

	if (reason == GONE_UNKNOWN && may_boot_again(job, event)) {
		g_message("job %ld: its guest did not find the way out by vsock",
			  (long)job->facts.pid);
		job_attach_stop(job);
		job_reboot(job);
		return;
	}
	if (reason != GONE_UNKNOWN) {
		/* A panic reboots the guest, which libvirt reports as one of
		 * the others. */
	} else if (event == VIRT_DESTROYED) {
		reason = GONE_DESTROYED;
		text = g_strdup("its microVM was destroyed by a client of "
				"libvirt (virsh?)");
	} else if (event == VIRT_SAVED) {
		reason = GONE_DESTROYED;
		text = g_strdup("its microVM was saved to a file by a client of "
				"libvirt (virsh?)");
	} else if (event == VIRT_SHUTDOWN) {
		reason = GONE_SHUTDOWN;
		text = g_strdup("its microVM was shut down, or reset: a job "
				"does not survive that");
	} else {
		reason = GONE_CRASHED;
		text = g_strdup_printf("its QEMU ended unexpectedly (see %s)",
				       log);
	}
	job_gone(job, reason, text);
}

void job_start_again(struct job *job)
{
	job->stage = JOB_WAITING;
	job->stopped_early = false;
	job->facts.boots--;
	job_advance(job);
}

static void start_failed(struct job *job, const struct virt_result *result)
{
	const char *error = result->error;
	g_autofree char *text = NULL;

	if (result->exists && job_take_over(job))
		return;

	/* A host whose vsock does not work after all. */
	if (job->facts.transport == JOB_VSOCK && !job->mvrun_gone &&
	    virt_state(job->mvd->virt) == VIRT_UP) {
		g_message("job %ld cannot be started with vsock: %s",
			  (long)job->facts.pid, error);
		job_reboot(job);
		return;
	}
	text = g_strdup_printf("cannot start the microVM: %s", error);
	job_fail(job, text, "see mvctl doctor");
}

static void unneeded(void *ctx, const struct virt_result *result)
{
	(void)ctx;
	(void)result;
}

static void start_done(void *ctx, const struct virt_result *result)
{
	struct job *job = ctx;

	if (job->stage != JOB_STARTING) {
		job_unref(job);
		return;
	}
	job->cid = result->cid;
	if (result->error)
		start_failed(job, result);
	else if (job->mvrun_gone) {
		job->stage = JOB_UP;
		job_destroy(job);
	} else if (job->stopped_early) {
		job_stop(job, job->stop);
		/* Whatever it was that had stopped: nobody needs this one. */
		if (job->stage == JOB_GONE)
			virt_destroy(job->mvd->virt, job->facts.uuid, unneeded, NULL);
	} else
		job_up(job);
	job_unref(job);
}

/* vsock where the host has it, but not again when a guest did not come up. */
static void choose_transport(struct job *job)
{
	struct vsock *vsock = job->mvd->vsock;
	struct err err = { 0 };
	unsigned port = 0;

	if (job->facts.boots == 0 && vsock_available()) {
		port = vsock_listen(vsock, 0, &err);
		if (port == 0)
			g_message("%s", err.text);
	}
	job->facts.transport = port ? JOB_VSOCK : JOB_SERIAL;
	job->facts.vsock_port = port;
}

static void job_boot(struct job *job)
{
	struct mvd *mvd = job->mvd;
	g_autofree char *warning = probe_take_warning(mvd->probe);
	g_autofree char *text = NULL, *xml = NULL;
	struct err err = { 0 };

	job->facts.accel = probe_accel(mvd->probe);
	if (!job->facts.cpus)
		job->facts.cpus = node_default_cpus(job->facts.accel, node_cpus());
	choose_transport(job);
	job->facts.boots++;
	if (warning)
		job_send_warning(job, warning);
	if (job->client && !job->told)
		job_send(job, boot_limit(job));
	job->told = true;
	text = g_strdup_printf("starting the domain %s", job->domain);
	job_send_phase(job, "starting", text);
	xml = boot_xml(mvd, &job->facts, &err);
	if (!xml) {
		job_fail(job, err.text, "");
		return;
	}
	job->stage = JOB_STARTING;
	virt_start(mvd->virt, xml, start_done, job_ref(job));
}

static void advance(struct job *job)
{
	struct mvd *mvd = job->mvd;

	if (job->stage != JOB_WAITING || job->unplaced)
		return;
	if (job->host) {
		home_start(job);
		return;
	}
	switch (virt_state(mvd->virt)) {
	case VIRT_CONNECTING:
		job_send_phase(job, "connecting", "connecting to libvirt");
		return;
	case VIRT_DOWN:
		job_fail(job, virt_error(mvd->virt), virt_hint(mvd->virt));
		return;
	case VIRT_UP:
		break;
	}
	switch (kit_state(mvd->kit)) {
	case KIT_RUNNING:
		job_send_phase(job, "kit", "making the guest's image");
		return;
	case KIT_FAILED:
		job_fail(job, kit_error(mvd->kit), "see mvctl doctor");
		return;
	case KIT_READY:
		break;
	}
	if (probe_accel(mvd->probe) == ACCEL_AUTO) {
		job_send_phase(job, "probing", "finding out whether KVM works");
		probe_advance(mvd->probe);
	}
	if (probe_accel(mvd->probe) != ACCEL_AUTO &&
	    job->stage == JOB_WAITING)
		job_boot(job);
}

/* Which may end the job. */
void job_advance(struct job *job)
{
	job_ref(job);
	advance(job);
	job_unref(job);
}

void jobs_advance(struct jobs *jobs)
{
	g_autoptr(GPtrArray) list = jobs_list(jobs);
	unsigned i;

	for (i = 0; i < list->len; i++)
		job_ref(list->pdata[i]);
	for (i = 0; i < list->len; i++) {
		job_advance(list->pdata[i]);
		job_unref(list->pdata[i]);
	}
}

/* A process has one job at most: its PID names it. */
static bool has_job(const struct jobs *jobs, const struct client *client)
{
	GHashTableIter iter;
	struct job *job;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		if (job_owned_by(job, client))
			return true;
	return false;
}

static int check_run(const struct jobs *jobs, const struct client *client,
		     const struct request *request, struct err *err)
{
	uid_t uid = client_uid(client);

	if (client_start(client) == 0)
		return err_set(err, 0, "the process %ld that asks cannot be "
			       "identified (is it in another PID namespace?)",
			       (long)client_pid(client));
	if (has_job(jobs, client))
		return err_set(err, 0, "process %ld has a job already",
			       (long)client_pid(client));
	if (jobs_find(jobs, request->uuid))
		return err_set(err, 0, "there is a job %s already",
			       request->uuid);
	if (jobs_count(jobs) >= MAX_JOBS ||
	    (uid != 0 && jobs_count_user(jobs, uid) >= MAX_USER_JOBS))
		return err_set(err, 0, "too many jobs run on this node (%u, %u "
			       "of them yours)", jobs_count(jobs),
			       jobs_count_user(jobs, uid));
	return 0;
}

/* It was adopted after its mvrun had heard that there is no such job: libvirt was
 * still starting the domain that an agent before us had asked for. */
static void ask_again(struct job *job, struct client *client)
{
	job->client = client;
	job_send(job, boot_limit(job));
	job_tell_state(job);
	job_attach(job);
}

int job_run(struct jobs *jobs, struct client *client,
	    const struct request *request, struct err *err)
{
	struct mvd *mvd = jobs->mvd;
	struct job_facts facts = { 0 };
	struct node_memory memory;
	struct job *job = jobs_find(jobs, request->uuid);
	bool here = !request->on[0] || strcmp(request->on, mvd->node) == 0;

	if (job && job_owned_by(job, client) && job->client != client) {
		ask_again(job, client);
		return 0;
	}
	if (check_run(jobs, client, request, err) < 0 ||
	    scheduler_check_run(mvd, request, err) < 0)
		return -1;
	facts.memory = request->memory;
	facts.cpus = request->cpus;
	node_memory(&memory);
	/* What another node can give it says itself. */
	if (node_admit(here ? memory.total : UINT_MAX,
		       here ? node_cpus() : UINT_MAX, &facts.memory, facts.cpus,
		       err) < 0)
		return -1;
	job_fill_facts(&facts, mvd, client, request);
	job = jobs_add(jobs, &facts);
	job->client = client;
	if (scheduler_place(job, request, err) < 0 ||
	    job_watch_mvrun(job, err) < 0) {
		jobs_remove(job);
		return -1;
	}
	/* Try again what failed before; it may have been repaired. */
	virt_connect(mvd->virt);
	if (kit_state(mvd->kit) == KIT_FAILED)
		kit_prepare(mvd->kit);
	job_advance(job);
	return 0;
}

void job_started(struct job *job)
{
	if (job->facts.started || job->stage != JOB_UP)
		return;
	job->facts.started = true;
	job_save(job);
}

void job_boot_failed(struct job *job)
{
	if (job->stage != JOB_UP || job_is_ending(job))
		return;
	if (job->facts.started || job->facts.boots >= MAX_BOOTS) {
		give_up(job);
		return;
	}
	job_attach_stop(job);
	job->rebooting = true;
	job_send_warning(job, "the microVM did not boot in time; starting it once "
		     "more");
	job_destroy(job);
}

/* What libvirt says */

void jobs_event(struct jobs *jobs, const char *uuid, enum virt_event event)
{
	struct job *job = jobs_find(jobs, uuid);

	if (!job || !job_is_here(job)) {
		/* It may have arrived; and what has ended may have files here. */
		if (event != VIRT_POWERDOWN)
			jobs_look_at(jobs, uuid);
		return;
	}
	if (event == VIRT_PAUSED)
		job_paused(job);
	else if (event == VIRT_RESUMED)
		job_resumed(job);
	else if (event == VIRT_POWERDOWN)
		job_button(job);
	else if (job->stage == JOB_STARTING && job->stop_is_late)
		job->stop_is_late = false;
	else if (job->stage == JOB_STARTING) {
		job->stopped_early = true;
		job->stop = event;
	} else if (job->stage == JOB_UP && job->rebooting) {
		job->stop_seen = true;
	} else if (event == VIRT_MIGRATED && job->migration) {
		/* By us: mvd-migrate.c knows. */
	} else if (event == VIRT_MIGRATED) {
		job_left(job);
	} else if (event == VIRT_SAVED && job->stage == JOB_UP &&
		   !job->foreign && !job_is_ending(job)) {
		job_saved(job);
	} else if (job->stage == JOB_UP && !job_is_ending(job))
		job_stop(job, event);
}
