/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Suspending and resuming a job's domain, for a stopped mvrun or at a user's
 * wish, and writing its metadata: changes to one domain, made one at a time and
 * in order, although each runs in a worker thread.
 */
#include "vmm-agent/mvd-jobs.h"

#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-process.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONSOLE_BYTES 16384
#define PANIC_LOOKS 3 /* a second each */

enum job_op_kind {
	JOB_OP_SUSPEND,
	JOB_OP_RESUME,
	JOB_OP_SAVE,
};

struct job_op {
	struct job *job;       /* a reference */
	enum job_op_kind kind;
	struct client *client; /* who waits for the answer, or NULL: the agent */
	char *by;
};

static void next_op(struct job *job);

static void op_free(struct job_op *op)
{
	if (op->client)
		client_unref(op->client);
	job_unref(op->job);
	g_free(op->by);
	g_free(op);
}

static const char *op_name(const struct job_op *op)
{
	return op->kind == JOB_OP_SUSPEND ? "suspend" : "resume";
}

static void answer(struct job_op *op, const char *error)
{
	g_autofree char *text = NULL;

	if (!op->client)
		return;
	if (!error) {
		client_send(op->client, event_new("ok"));
		return;
	}
	text = g_strdup_printf("cannot %s job %ld: %s", op_name(op),
			       (long)op->job->facts.pid, error);
	client_error(op->client, op_name(op), text, "");
}

static void op_done(void *ctx, const struct virt_result *result)
{
	struct job_op *op = ctx;
	struct job *job = op->job;

	if (result->error)
		g_clear_pointer(&job->by, g_free);
	if (result->error && job->stage != JOB_GONE) {
		g_info("job %ld: cannot %s: %s", (long)job->facts.pid,
		       op->kind == JOB_OP_SAVE ? "save its facts" : op_name(op),
		       result->error);
		if (!op->client && op->kind != JOB_OP_SAVE)
			freeze_failed(&job->freeze, op->kind == JOB_OP_SUSPEND ?
				      FREEZE_SUSPEND : FREEZE_RESUME);
	}
	answer(op, result->error);
	job->op_running = false;
	next_op(job);
	op_free(op);
}

static void run_op(struct job *job, struct job_op *op)
{
	g_free(job->by);
	job->by = g_strdup(op->by);
	switch (op->kind) {
	case JOB_OP_SUSPEND:
		job_call(job, CALL_SUSPEND, op_done, op);
		break;
	case JOB_OP_RESUME:
		job_call(job, CALL_RESUME, op_done, op);
		break;
	case JOB_OP_SAVE:
		if (!job->foreign)
			job->facts.frozen = job->freeze.ours;
		job_call(job, CALL_SAVE, op_done, op);
		break;
	}
}

static void next_op(struct job *job)
{
	struct job_op *op;

	if (job->op_running || job->stage != JOB_UP)
		return;
	op = g_queue_pop_head(&job->ops);
	if (!op)
		return;
	job->op_running = true;
	run_op(job, op);
}

static void add_op(struct job *job, enum job_op_kind kind,
		   struct client *client, const char *by)
{
	struct job_op *op = g_new0(struct job_op, 1);

	op->job = job_ref(job);
	op->kind = kind;
	op->client = client ? client_ref(client) : NULL;
	op->by = g_strdup(by);
	g_queue_push_tail(&job->ops, op);
	next_op(job);
}

void job_drop_ops(struct job *job)
{
	struct job_op *op;

	while ((op = g_queue_pop_head(&job->ops))) {
		answer(op, "it has ended");
		op_free(op);
	}
}

void job_save(struct job *job)
{
	struct job_op *last = g_queue_peek_tail(&job->ops);

	if (!last || last->kind != JOB_OP_SAVE)
		add_op(job, JOB_OP_SAVE, NULL, NULL);
}

static void act(struct job *job, enum freeze_act act)
{
	if (act == FREEZE_NOTHING)
		return;
	/* Before a suspension and after a resumption, so that a successor of
	 * this agent never takes our suspension for a user's. */
	if (act == FREEZE_SUSPEND) {
		job_save(job);
		add_op(job, JOB_OP_SUSPEND, NULL, NULL);
	} else {
		add_op(job, JOB_OP_RESUME, NULL, NULL);
		job_save(job);
	}
}

static gint64 now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

void job_stopping(struct job *job)
{
	if (job->stage == JOB_UP)
		act(job, freeze_stopping(&job->freeze, now_ms()));
}

void job_running(struct job *job)
{
	if (job->stage == JOB_UP)
		act(job, freeze_running(&job->freeze));
}

/*
 * A kernel that panicked resets the machine, which ends the domain; one that
 * hangs while it panics does not. Give it a moment, then believe the console.
 */
static void look_at_console(struct job *job)
{
	g_autofree char *path = boot_console(job->mvd, job->facts.uuid);
	g_autofree char *tail = NULL, *text = NULL;
	enum gone_reason reason;
	struct stat st;

	if (lstat(path, &st) < 0 ||
	    (st.st_size == job->console_size && !job->panicked))
		return;
	job->console_size = st.st_size;
	tail = console_tail(path, CONSOLE_BYTES);
	reason = console_judge(tail, &text);
	if (reason != GONE_UNKNOWN && ++job->panicked > PANIC_LOOKS)
		job_condemn(job, reason, g_steal_pointer(&text));
	console_trim(path);
}

/* SIGSTOP cannot be caught: mvrun has no chance to say "stopping". */
void job_look(struct job *job)
{
	struct process process;
	struct err err = { 0 };

	if (job->stage != JOB_UP || job->mvrun_gone)
		return;
	if (job_is_here(job))
		look_at_console(job);
	if (job->foreign)
		return;
	home_look(job);
	if (process_read(job->facts.pid, &process, &err) < 0 &&
	    err.num != ESRCH)
		return;
	/* Normally the pidfd has said so already. */
	if (err.num == ESRCH || process.start != job->facts.start) {
		job_mvrun_gone(job);
		return;
	}
	act(job, freeze_look(&job->freeze, process.state == 'T', now_ms()));
}

static void tell(struct job *job, const char *what, bool known)
{
	struct json_object *event;

	if (job->foreign)
		hosting_tell(job);
	if (!job->client)
		return;
	event = event_new(what);
	event_add_string(event, "uuid", job->facts.uuid);
	event_add_string(event, "by", job->by ? job->by :
			 "a client of libvirt (virsh?)");
	event_add_bool(event, "known", known);
	client_send(job->client, event);
}

void job_paused(struct job *job)
{
	if (freeze_domain_paused(&job->freeze))
		tell(job, "suspended", false);
	g_clear_pointer(&job->by, g_free);
}

void job_resumed(struct job *job)
{
	bool ours = job->freeze.ours;

	if (freeze_domain_resumed(&job->freeze))
		tell(job, "resumed", false);
	g_clear_pointer(&job->by, g_free);
	if (ours != job->freeze.ours)
		job_save(job);
}

void job_tell_state(struct job *job)
{
	/* One that was recalled from what mvrun says is not known well yet. */
	if (job->stage == JOB_UP && !job->freeze.ours && job->facts.memory)
		tell(job, job->freeze.paused ? "suspended" : "resumed", true);
}

/* What init(1) of a whole machine would do. A program may take its time to end,
 * or not end, as a machine may. */
void job_button(struct job *job)
{
	struct json_object *event;

	if (job->pidfd < 0)
		return;
	if (job->client) {
		event = event_new("warning");
		event_add_string(event, "text", "a client of libvirt (virsh?) "
			"asks the microVM to shut down: the program gets SIGTERM");
		client_send(job->client, event);
	}
	if (syscall(SYS_pidfd_send_signal, job->pidfd, SIGTERM, NULL, 0) < 0)
		g_message("cannot signal mvrun %ld: %s",
			  (long)job->facts.pid, g_strerror(errno));
}

void job_suspend(struct job *job, struct client *client, const char *by)
{
	/* Suspended already, for its mvrun's sake: now for the user's as well,
	 * so that it stays so when mvrun continues. */
	if (job->freeze.ours) {
		job->freeze.ours = false;
		job_save(job);
	}
	if (job->freeze.paused)
		client_send(client, event_new("ok"));
	else
		add_op(job, JOB_OP_SUSPEND, client, by);
}

void job_resume(struct job *job, struct client *client, const char *by)
{
	if (job->freeze.paused)
		add_op(job, JOB_OP_RESUME, client, by);
	else
		client_send(client, event_new("ok"));
}
