/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people order: drain a node, call its jobs home, change a setting. An order
 * for another node goes to that node's agent, which answers the same. Nothing here waits:
 * mvctl asks again until a node is empty.
 */
#include "vmm-agent/mvd-scheduler.h"

#include "vmm-agent/mvd-migrate.h"

#include <string.h>
#include <unistd.h>

#define ASK_MS 5000
#define MOVE_MS (3600 * 1000)
#define GIVE_UP 3 /* failed moves, then a job counts as one that cannot go */

/* What can be ordered, and how it changes the settings. */
static const struct order_kind {
	const char *name;
	bool changes; /* root only */
	const char *settings[4][2];
	bool expel, bring;
} orders[] = {
	{ "status", false, { { NULL } }, false, false },
	{ "get", false, { { NULL } }, false, false },
	{ "best", false, { { NULL } }, false, false },
	{ "set", true, { { NULL } }, false, false },
	{ "drain", true, { { "drain", "yes" } }, false, false },
	{ "undrain", true, { { "drain", "no" }, { "block", "no" } }, false, false },
	{ "block", true, { { "block", "yes" } }, false, false },
	{ "unblock", true, { { "block", "no" } }, false, false },
	{ "stay", true, { { "stay", "yes" } }, false, false },
	{ "unstay", true, { { "stay", "no" } }, false, false },
	{ "expel", true, { { "block", "yes" } }, true, false },
	{ "bring", true, { { "stay", "yes" } }, false, true },
};

static const struct order_kind *find(const char *name)
{
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(orders); i++)
		if (strcmp(orders[i].name, name) == 0)
			return &orders[i];
	return NULL;
}

/* Calling own jobs home */

struct call_home {
	struct mvd *mvd;
	char uuid[UUID_TEXT_SIZE];
};

static void on_home(void *ctx, const struct peer_reply *reply)
{
	struct call_home *call = ctx;
	struct scheduler *s = call->mvd->scheduler;

	if (s)
		s->bringing = false;
	if (s && !reply->answer)
		g_hash_table_replace(s->unbrought, g_strdup(call->uuid),
				     g_strdup(reply->error));
	g_free(call);
}

static bool can_be_called(const struct scheduler *s, const struct job *job)
{
	return job->host && !job->foreign && job->stage == JOB_UP && !job->mvrun_gone &&
	       !job->lost && !job->absent &&
	       !g_hash_table_contains(s->unbrought, job->facts.uuid);
}

/* Nobody is left to be called, but those who do not hear it, or are just moving. */
static void give_up_lost(struct scheduler *s, GPtrArray *list)
{
	bool moving = false;
	unsigned i;

	for (i = 0; i < list->len; i++) {
		struct job *job = list->pdata[i];

		if (job->foreign || job->mvrun_gone)
			continue;
		if (job->lost)
			g_hash_table_replace(s->unbrought, g_strdup(job->facts.uuid),
					     g_strdup("its host is out of reach"));
		else if (job->absent || (job->host && job->stage != JOB_UP))
			moving = true;
	}
	s->bring = moving;
}

void scheduler_bring(struct scheduler *s)
{
	g_autoptr(GPtrArray) list = jobs_list(s->mvd->jobs);
	struct json_object *body;
	struct call_home *call;
	unsigned i;

	if (s->bringing)
		return;
	for (i = 0; i < list->len; i++)
		if (can_be_called(s, list->pdata[i]))
			break;
	if (i == list->len) {
		give_up_lost(s, list);
		return;
	}
	call = g_new0(struct call_home, 1);
	call->mvd = s->mvd;
	g_strlcpy(call->uuid, ((struct job *)list->pdata[i])->facts.uuid,
		  sizeof(call->uuid));
	s->bringing = true;
	body = json_object_new_object();
	event_add_string(body, "op", "migrate");
	event_add_string(body, "uuid", call->uuid);
	event_add_string(body, "to", s->mvd->node);
	peer_ask(s->mvd->peers, ((struct job *)list->pdata[i])->host, body, MOVE_MS,
		 on_home, call);
}

/* How far it is */

static char *why_left(struct scheduler *s, const struct job *job, bool *soon)
{
	const struct load_job *seen = load_job(s->load, job);
	char *obstacle = job->migration ? NULL : migrate_obstacle(job);

	/* One that begins will have begun in a moment. */
	*soon = !job->facts.started || job->claiming;
	if (obstacle)
		return obstacle;
	*soon = false;
	if (job->migration) {
		*soon = true;
		return g_strdup("is on its way");
	}
	if (seen && seen->failures >= GIVE_UP && seen->trouble)
		return g_strdup(seen->trouble);
	if (!seen || !seen->reasoned) {
		*soon = true;
		return g_strdup("has not been looked at yet");
	}
	switch (seen->reason.why) {
	case SCHED_WHY_RETRY:
	case SCHED_WHY_NEXT:
	case SCHED_WHY_SENDING:
	case SCHED_WHY_TAKING:
	case SCHED_WHY_DRAIN:
	case SCHED_WHY_USHER:
	case SCHED_WHY_ROOM:
	case SCHED_WHY_BALANCE:
		*soon = true;
		break;
	default:
		break;
	}
	return scheduler_reason(s->mvd, &seen->reason);
}

static void add_left(struct scheduler *s, const struct job *job,
		     struct json_object *list, const char *text, bool soon)
{
	struct json_object *entry = json_object_new_object();

	(void)s;
	event_add_number(entry, "pid", job->facts.pid);
	event_add_string(entry, "home", job->facts.home);
	event_add_string(entry, "name", job->facts.name);
	event_add_string(entry, "text", text);
	event_add_bool(entry, "soon", soon);
	json_object_array_add(list, entry);
}

/* Jobs that are here, guests among them, own ones elsewhere; and of those that are
 * to go, or to come, why they have not yet. */
static struct json_object *status(struct scheduler *s)
{
	struct json_object *answer = scheduler_to_json(s->mvd);
	struct json_object *left = json_object_new_array();
	const struct mvd_settings *settings = &s->mvd->config.settings;
	struct jobs_where where = jobs_count_where(s->mvd->jobs);
	g_autoptr(GPtrArray) list = jobs_list(s->mvd->jobs);
	unsigned i;
	bool soon;

	for (i = 0; i < list->len; i++) {
		const struct job *job = list->pdata[i];
		bool is_here = job_is_here(job);
		const char *trouble;

		if (job->mvrun_gone)
			continue;
		trouble = g_hash_table_lookup(s->unbrought, job->facts.uuid);
		if (!is_here && !job->foreign && (s->bring || trouble)) {
			add_left(s, job, left, trouble ? trouble : "waits for its turn",
				 !trouble);
		} else if (is_here && (settings->drain || (s->expel && job->foreign))) {
			g_autofree char *text = why_left(s, job, &soon);

			add_left(s, job, left, text, soon);
		}
	}
	event_add_string(answer, "node", s->mvd->node);
	event_add_number(answer, "jobs", where.here);
	event_add_number(answer, "guests", where.guests);
	event_add_number(answer, "away", where.away);
	event_add_bool(answer, "expel", s->expel);
	event_add_bool(answer, "bring", s->bring);
	json_object_object_add(answer, "left", left);
	return answer;
}

/* Orders */

static void forget_failures(struct scheduler *s)
{
	g_autoptr(GPtrArray) list = load_jobs(s->load);
	unsigned i;

	for (i = 0; i < list->len; i++) {
		struct load_job *seen = list->pdata[i];

		seen->failures = 0;
		refusals_forget(&seen->refusals);
	}
	g_hash_table_remove_all(s->unbrought);
}

static int change(struct scheduler *s, const struct order_kind *kind, const char *name,
		  const char *value, struct err *err)
{
	struct mvd_settings *settings = &s->mvd->config.settings;
	struct err trouble = { 0 };
	size_t i;

	if (strcmp(kind->name, "set") == 0 &&
	    settings_set(settings, name, value, err) < 0)
		return -1;
	for (i = 0; i < G_N_ELEMENTS(kind->settings) && kind->settings[i][0]; i++)
		if (settings_set(settings, kind->settings[i][0], kind->settings[i][1],
				 err) < 0)
			return -1;
	if (mvd_config_keep_orders(&s->mvd->config, &trouble) < 0)
		g_warning("this order will not outlast the agent: %s", trouble.text);
	/* An order that keeps jobs ends one that sends them away, and the other way. */
	s->expel = kind->expel || (s->expel && !g_str_has_prefix(kind->name, "un"));
	s->bring = kind->bring || (s->bring && strcmp(kind->name, "unstay") != 0);
	forget_failures(s);
	scheduler_hurry(s);
	return 0;
}

static struct json_object *answer_best(struct mvd *mvd, const char *value,
				       struct err *err)
{
	struct json_object *answer;
	guint64 memory = 0;
	const char *node;

	if (*value && !g_ascii_string_to_unsigned(value, 10, 1, UINT_MAX, &memory, NULL)) {
		err_set(err, 0, "\"%.32s\" is no number of MiB", value);
		return NULL;
	}
	node = scheduler_best(mvd, (unsigned)memory);
	if (!node) {
		err_set(err, 0, "no node has room for a job of %.20s MiB now (see mvctl "
			"nodes)", *value ? value : "the usual");
		return NULL;
	}
	answer = json_object_new_object();
	event_add_string(answer, "node", node);
	return answer;
}

/* Carry it out here. NULL with a text when it cannot be. */
static struct json_object *obey(struct mvd *mvd, const char *action, const char *name,
				const char *value, struct err *err)
{
	const struct order_kind *kind = find(action);
	struct scheduler *s = mvd->scheduler;
	struct json_object *answer, *list;

	if (!kind || !s) {
		err_set(err, 0, "the order \"%.32s\" is not known here", action);
		return NULL;
	}
	if (kind->changes && change(s, kind, name, value, err) < 0)
		return NULL;
	if (strcmp(action, "best") == 0)
		return answer_best(mvd, value, err);
	if (strcmp(action, "get") != 0 && strcmp(action, "set") != 0)
		return status(s);
	list = settings_to_json(&mvd->config.settings, *name ? name : NULL);
	if (!list) {
		err_set(err, 0, "there is no setting \"%.64s\" (mvctl get lists them)",
			name);
		return NULL;
	}
	answer = json_object_new_object();
	json_object_object_add(answer, "settings", list);
	return answer;
}

static const char *text_of(struct json_object *body, const char *field)
{
	struct json_object *value;

	if (!json_object_object_get_ex(body, field, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

/* From another node's agent, for one of its users who is root there. */
void scheduler_question(struct mvd *mvd, struct json_object *body,
			struct peer_question *question)
{
	struct err err = { 0 };
	struct json_object *answer = obey(mvd, text_of(body, "action"),
					  text_of(body, "name"), text_of(body, "value"),
					  &err);

	if (answer)
		peer_answer(question, answer);
	else
		peer_refuse(question, err.text);
}

static void answer_client(struct client *client, struct json_object *answer)
{
	struct json_object *event = event_new("schedule");

	json_object_object_add(event, "answer", answer);
	client_send(client, event);
}

static void on_answer(void *ctx, const struct peer_reply *reply)
{
	struct client *client = ctx;

	if (reply->answer)
		answer_client(client, json_object_get(reply->answer));
	else
		client_error(client, "schedule", reply->error, "");
	client_unref(client);
}

static bool may_change(const struct client *client)
{
	uid_t uid = client_uid(client);

	return uid == 0 || uid == geteuid();
}

void scheduler_request(struct mvd *mvd, struct client *client,
		       const struct request *request)
{
	const char *action = request->cluster.action, *node = request->cluster.node;
	const char *name = request->cluster.name, *value = request->value;
	const struct order_kind *kind = find(action);
	struct json_object *body, *answer;
	struct err err = { 0 };

	if (kind && kind->changes && !may_change(client)) {
		client_error(client, "schedule", "only root may do that", "");
		return;
	}
	if (*node && strcmp(node, mvd->node) != 0) {
		body = json_object_new_object();
		event_add_string(body, "op", "schedule");
		event_add_string(body, "action", action);
		event_add_string(body, "name", name);
		event_add_string(body, "value", value);
		peer_ask(mvd->peers, node, body, ASK_MS, on_answer, client_ref(client));
		return;
	}
	answer = obey(mvd, action, name, value, &err);
	if (answer)
		answer_client(client, answer);
	else
		client_error(client, "schedule", err.text, "");
}
