/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The deputy's side of the agent's protocol (docs/agent-protocol.md). The agent
 * is needed to get a microVM and each transport to it, and for nothing else: when
 * it goes away the job runs on, and mvrun tries to reach it again.
 */
#include "vmm-agent/mvrun-deputy.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGENT_RETRY_MS 500
#define MUTE_MS 12000
#define MUTE_MAX_MS 600000
#define ATTACH_RETRY_MS 1000
#define AGENT_PATIENCE_MS 60000 /* to be restarted, while there is no microVM */
#define DEFAULT_BOOT_LIMIT_S 60
#define COMMAND_LENGTH 4096

/* ---- asking -------------------------------------------------------------------- */

/* The command line for people: what is no UTF-8 or not printable becomes '?'. */
static void describe_command(char *const *argv, char *text, size_t size)
{
	size_t used = 0;

	for (int i = 0; argv[i] && used + 2 < size; i++) {
		if (i)
			text[used++] = ' ';
		for (const char *c = argv[i]; *c && used + 1 < size; c++)
			text[used++] = *c >= ' ' && *c < 127 ? *c : '?';
	}
	text[used] = 0;
}

static const char *job_name(const struct deputy *d)
{
	const char *slash;

	if (d->options->name)
		return d->options->name;
	slash = strrchr(d->options->argv[0], '/');
	return slash ? slash + 1 : d->options->argv[0];
}

static void describe(const struct deputy *d, struct json_object *m, const char *op)
{
	char command[COMMAND_LENGTH];

	describe_command(d->options->argv, command, sizeof(command));
	json_object_object_add(m, "op", json_object_new_string(op));
	json_object_object_add(m, "uuid", json_object_new_string(d->uuid));
	json_object_object_add(m, "name", json_object_new_string(job_name(d)));
	json_object_object_add(m, "command", json_object_new_string(command));
}

static int ask_run(struct deputy *d, struct err *err)
{
	struct json_object *m = json_object_new_object();
	int result;

	describe(d, m, "run");
	json_object_object_add(m, "memory", json_object_new_int64(d->options->memory));
	json_object_object_add(m, "cpus", json_object_new_int64(d->options->cpus));
	json_object_object_add(m, "pin", json_object_new_boolean(d->options->pin));
	json_object_object_add(m, "home", json_object_new_boolean(d->options->home));
	json_object_object_add(m, "home_patience",
			       json_object_new_int64(d->options->home_patience));
	if (d->options->on)
		json_object_object_add(m, "on", json_object_new_string(d->options->on));
	if (*d->options->not_on)
		json_object_object_add(m, "not_on",
				       json_object_new_string(d->options->not_on));
	if (d->options->near)
		json_object_object_add(m, "near", json_object_new_string(d->options->near));
	if (d->options->group)
		json_object_object_add(m, "group", json_object_new_string(d->options->group));
	if (d->options->kind)
		json_object_object_add(m, "kind", json_object_new_string(d->options->kind));
	json_object_object_add(m, "best", json_object_new_boolean(d->options->best));
	json_object_object_add(m, "nowait", json_object_new_boolean(d->options->nowait));
	result = agent_send(d->agent, m, err);
	json_object_put(m);
	return result;
}

int deputy_agent_begin(struct deputy *d, struct err *err)
{
	d->boot_limit_s = DEFAULT_BOOT_LIMIT_S;
	if (agent_connect(&d->agent, AGENT_START, "mvrun", err))
		return -1;
	say_verbose("connected to the agent at %s", agent_socket(d->agent));
	return ask_run(d, err);
}

void deputy_agent_tell(struct deputy *d, const char *op)
{
	struct json_object *m;

	if (!d->agent)
		return;
	m = json_object_new_object();
	describe(d, m, op);
	/* An agent that was restarted has it from here. A copy that the link has
	 * not been up with yet may be refused still. */
	if (*d->host) {
		json_object_object_add(m, "host", json_object_new_string(d->host));
		json_object_object_add(m, "incarnation", json_object_new_int64(
			strcmp(op, "stale") ? d->linked : d->incarnation));
	}
	agent_send(d->agent, m, NULL);
	json_object_put(m);
}

/* ---- hearing -------------------------------------------------------------------- */

static void hear_job(struct deputy *d, struct json_object *m)
{
	long long limit = agent_number(m, "boot_limit");

	d->memory = (unsigned)agent_number(m, "memory");
	if (limit > 0 && limit < 3600)
		d->boot_limit_s = (unsigned)limit;
	say_verbose("admitted: %s, %u MiB, %lld CPUs", agent_string(m, "accel"),
		    d->memory, agent_number(m, "cpus"));
}

/*
 * The kit answers at once, unless its guest stands still. But QEMU (7.2, in
 * virtio-console.c's flush_buf()) may take nothing from a guest any more when a
 * connection broke while it was written to: until the next one breaks. So this
 * is done now and then; not often, because a guest that stands still must be
 * told of each of them later.
 */
static void limit_silence(struct deputy *d, int64_t now)
{
	d->mute_ms = d->mute_ms ? 2 * d->mute_ms : MUTE_MS;
	if (d->mute_ms > MUTE_MAX_MS)
		d->mute_ms = MUTE_MAX_MS;
	d->mute_limit = d->up_once ? now + d->mute_ms : 0;
}

static void exchange_mute(struct deputy *d, int64_t now)
{
	if (d->suspended) {
		d->mute_limit = now + d->mute_ms;
		return;
	}
	d->mute_limit = 0;
	if (pump_fd(d->pump) < 0 || link_state(d->link) != LINK_HELLO)
		return;
	say_verbose("nobody answers, asking for another transport");
	pump_detach(d->pump, "the kit did not answer");
}

static void hear_attach(struct deputy *d, struct json_object *m, int *fd)
{
	const struct transport *unix_socket = transport_get(TRANSPORT_UNIX);
	int64_t now = say_now_ms();

	d->attach_asked = false;
	if (*fd < 0)
		return;
	say_verbose("transport: %s, node %s", agent_string(m, "transport"),
		    agent_string(m, "host"));
	snprintf(d->host, sizeof(d->host), "%s", agent_string(m, "host"));
	d->incarnation = agent_number(m, "incarnation");
	fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) | O_NONBLOCK);
	/* Whatever it is in the guest, here it is a connected stream socket. */
	pump_attach(d->pump, unix_socket, steal_fd(fd), now);
	if (!d->up_once)
		d->boot_deadline = now + d->boot_limit_s * 1000;
	limit_silence(d, now);
}

static void hear_gone(struct deputy *d, struct json_object *m)
{
	const char *reason = agent_string(m, "reason");
	const char *text = agent_string(m, "text");

	/* The exit may have been sent before the machine went. */
	if (pump_fd(d->pump) >= 0)
		pump_run(d->pump, 1 /* POLLIN */, say_now_ms());
	if (d->state >= DEPUTY_ENDS)
		return deputy_finish(d, d->result);
	if (d->may_ask_again && !d->up_once) {
		struct err err = { 0 };

		/* An agent that was restarted meanwhile never began with it. */
		d->may_ask_again = false;
		if (ask_run(d, &err))
			deputy_fail(d, "%s", err.text);
		return;
	}
	deputy_fail(d, "the job's microVM is gone (%s)%s%s", reason,
		    *text ? ": " : "", text);
}

static void hear_error(struct deputy *d, struct json_object *m)
{
	const char *text = agent_string(m, "text");
	const char *hint = agent_string(m, "hint");

	if (d->state != DEPUTY_WAITS || strcmp(agent_string(m, "op"), "run")) {
		say_verbose("the agent: %s", text);
		return;
	}
	if (*hint)
		deputy_fail(d, "%s (%s)", text, hint);
	else
		deputy_fail(d, "%s", text);
}

/* An agent tells a new connection how it found the job, which may be known. */
static bool is_news(const struct deputy *d, struct json_object *m, bool suspended)
{
	return !agent_number(m, "known") || d->suspended != suspended;
}

static void hear_suspended(struct deputy *d, struct json_object *m)
{
	if (is_news(d, m, true))
		say("the job was suspended by %s", agent_string(m, "by"));
	d->suspended = true;
}

static void hear_resumed(struct deputy *d, struct json_object *m)
{
	bool news = is_news(d, m, false);

	d->suspended = false;
	if (!news)
		return;
	say("the job was resumed by %s", agent_string(m, "by"));
	/* Its clock has stood still. */
	if (d->state == DEPUTY_RUNS)
		deputy_send_clock(d);
}

static void hear_moving(struct deputy *d)
{
	silence_moving(&d->silence, say_now_ms());
	deputy_send_trim(d);
}

static void hear(struct deputy *d, struct json_object *m, int *fd)
{
	const char *event = agent_string(m, "event");
	const char *uuid = agent_string(m, "uuid");

	if (*uuid && strcmp(uuid, d->uuid))
		return;
	if (!strcmp(event, "job"))
		hear_job(d, m);
	else if (!strcmp(event, "attach"))
		hear_attach(d, m, fd);
	else if (!strcmp(event, "gone"))
		hear_gone(d, m);
	else if (!strcmp(event, "error"))
		hear_error(d, m);
	/* The only phase that may last as long as it likes. */
	else if (!strcmp(event, "phase") && !strcmp(agent_string(m, "phase"), "waiting"))
		say("%s", agent_string(m, "text"));
	else if (!strcmp(event, "phase"))
		say_verbose("%s: %s", agent_string(m, "phase"), agent_string(m, "text"));
	else if (!strcmp(event, "warning"))
		say("warning: %s", agent_string(m, "text"));
	else if (!strcmp(event, "moving"))
		hear_moving(d);
	else if (!strcmp(event, "suspended"))
		hear_suspended(d, m);
	else if (!strcmp(event, "resumed"))
		hear_resumed(d, m);
}

static void lost_agent(struct deputy *d, const struct err *err)
{
	agent_free(d->agent);
	d->agent = NULL;
	d->attach_asked = false;
	d->agent_again = say_now_ms() + AGENT_RETRY_MS;
	say_verbose("the agent went away (%s)", err->text);
	d->agent_limit = say_now_ms() + AGENT_PATIENCE_MS;
}

static bool has_microvm(const struct deputy *d)
{
	return d->up_once || pump_fd(d->pump) >= 0;
}

void deputy_agent_read(struct deputy *d)
{
	struct json_object *m;
	struct err err = { 0 };
	int got = 1;

	while (d->agent && d->state != DEPUTY_DONE && got > 0) {
		cleanup_fd int fd = -1;

		got = agent_receive(d->agent, 0, &m, &fd, &err);
		if (got < 0)
			lost_agent(d, &err);
		if (got <= 0)
			return;
		hear(d, m, &fd);
		json_object_put(m);
	}
}

/* ---- what is due ------------------------------------------------------------------ */

static void reconnect(struct deputy *d, int64_t now)
{
	struct err err;

	d->agent_again = now + AGENT_RETRY_MS;
	if (agent_connect(&d->agent, 0, "mvrun", &err)) {
		d->agent = NULL;
		if (!has_microvm(d) && now >= d->agent_limit)
			deputy_fail(d, "the agent went away before the job started, and does not come back: %s",
				    err.text);
		return;
	}
	say_verbose("the agent is back");
	d->attach_again = 0;
	/* Either names the job, so that its events come here. */
	if (has_microvm(d))
		return deputy_agent_tell(d, d->state == DEPUTY_RUNS ? "started" :
								      "running");
	d->may_ask_again = true;
	deputy_agent_tell(d, "attach");
}

static void ask_attach(struct deputy *d, int64_t now)
{
	d->attach_asked = true;
	d->attach_again = now + ATTACH_RETRY_MS;
	deputy_agent_tell(d, "attach");
}

static bool needs_attach(const struct deputy *d)
{
	return pump_fd(d->pump) < 0 && d->up_once && !d->attach_asked;
}

static void boot_failed(struct deputy *d)
{
	d->boot_deadline = 0;
	pump_detach(d->pump, "the kit did not answer");
	deputy_agent_tell(d, "boot-failed");
}

void deputy_agent_tick(struct deputy *d, int64_t now)
{
	if (!d->agent && now >= d->agent_again)
		reconnect(d, now);
	if (d->mute_limit && now >= d->mute_limit)
		exchange_mute(d, now);
	if (d->agent && needs_attach(d) && now >= d->attach_again)
		ask_attach(d, now);
	if (d->boot_deadline && now >= d->boot_deadline)
		boot_failed(d);
}

int64_t deputy_agent_deadline(const struct deputy *d)
{
	int64_t deadline = -1;

	if (!d->agent)
		deadline = d->agent_again;
	else if (needs_attach(d))
		deadline = d->attach_again;
	if (d->boot_deadline && (deadline < 0 || d->boot_deadline < deadline))
		deadline = d->boot_deadline;
	if (d->mute_limit && (deadline < 0 || d->mute_limit < deadline))
		deadline = d->mute_limit;
	return deadline;
}
