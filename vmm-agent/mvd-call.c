/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done to a job's domain: by libvirt's call when it is here, by a
 * question to its host when it is elsewhere. The caller cannot tell.
 */
#include "vmm-agent/mvd-jobs.h"

#include "net/peer.h"

#define ANSWER_MS 20000

static const char *const names[] = {
	[CALL_DESTROY] = "destroy",
	[CALL_SUSPEND] = "suspend",
	[CALL_RESUME] = "resume",
	[CALL_SAVE] = "save",
};

struct call {
	virt_done_fn done;
	void *ctx;
};

static void on_reply(void *p, const struct peer_reply *reply)
{
	struct call *call = p;
	struct json_object *gone = NULL;
	struct virt_result result = { .error = reply->error };

	if (reply->answer &&
	    json_object_object_get_ex(reply->answer, "gone", &gone) &&
	    json_object_get_boolean(gone)) {
		result.no_domain = true;
		result.error = "its host has no microVM for it";
	}
	call->done(call->ctx, &result);
	g_free(call);
}

static void call_host(struct job *job, enum job_call kind, virt_done_fn done,
		      void *ctx)
{
	struct json_object *body = json_object_new_object();
	struct call *call = g_new0(struct call, 1);

	call->done = done;
	call->ctx = ctx;
	event_add_string(body, "op", names[kind]);
	event_add_string(body, "uuid", job->facts.uuid);
	event_add_number(body, "incarnation", job->facts.incarnation);
	if (kind == CALL_SAVE) {
		event_add_bool(body, "started", job->facts.started);
		event_add_bool(body, "frozen", job->facts.frozen);
		event_add_string(body, "from", job->facts.from);
		event_add_number(body, "moves", job->facts.moves);
	}
	peer_ask(job->mvd->peers, job->host, body, ANSWER_MS, on_reply, call);
}

void job_call(struct job *job, enum job_call kind, virt_done_fn done, void *ctx)
{
	struct virt *virt = job->mvd->virt;
	const char *uuid = job->facts.uuid;
	g_autofree char *xml = NULL;

	if (job->host) {
		call_host(job, kind, done, ctx);
		return;
	}
	switch (kind) {
	case CALL_DESTROY:
		virt_destroy(virt, uuid, done, ctx);
		break;
	case CALL_SUSPEND:
		virt_suspend(virt, uuid, done, ctx);
		break;
	case CALL_RESUME:
		virt_resume(virt, uuid, done, ctx);
		break;
	case CALL_SAVE:
		xml = job_facts_to_xml(&job->facts);
		virt_set_metadata(virt, uuid, xml, done, ctx);
		break;
	}
}
