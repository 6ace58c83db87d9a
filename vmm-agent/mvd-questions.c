/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member of the cluster is trusted to run jobs for others and to have its own
 * run by them; it is not trusted to send what is well formed. And what it says
 * about a job counts only in its role: as the job's home, or as its host.
 */
#include "vmm-agent/mvd-questions.h"

#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-dial.h"
#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-tell.h"

#include <string.h>

#define MAX_JOBS_TOLD 8192
#define MAX_WHY 400
#define LEAVING_S 20 /* that a microVM may take to be destroyed */
#define LEAVING_AGAIN_MS 200

typedef void (*question_fn)(struct mvd *mvd, const char *from,
			    struct json_object *body,
			    struct peer_question *question);
typedef void (*home_fn)(struct job *job, struct json_object *body,
			struct peer_question *question);

static const char *text_of(struct json_object *body, const char *field)
{
	struct json_object *value;

	if (!json_object_object_get_ex(body, field, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

static unsigned number_of(struct json_object *body, const char *field)
{
	struct json_object *value;
	int64_t number;

	if (!json_object_object_get_ex(body, field, &value) ||
	    !json_object_is_type(value, json_type_int))
		return 0;
	number = json_object_get_int64(value);
	return number < 0 || number > G_MAXINT32 ? 0 : (unsigned)number;
}

static bool flag_of(struct json_object *body, const char *field)
{
	struct json_object *value;

	return json_object_object_get_ex(body, field, &value) &&
	       json_object_get_boolean(value);
}

/* ---- from a job's home, about a job that is here ---- */

struct order {
	struct peer_question *question;
	struct job *job;
};

static void order_done(void *ctx, const struct virt_result *result)
{
	struct order *order = ctx;
	struct json_object *answer = json_object_new_object();

	event_add_bool(answer, "gone", result->no_domain);
	if (result->error && !result->no_domain)
		peer_refuse(order->question, result->error);
	else
		peer_answer(order->question, json_object_get(answer));
	json_object_put(answer);
	job_unref(order->job);
	g_free(order);
}

static void give_order(struct job *job, enum job_call call,
		       struct peer_question *question)
{
	struct order *order = g_new0(struct order, 1);

	order->question = question;
	order->job = job_ref(job);
	job_call(job, call, order_done, order);
}

static void do_suspend(struct job *job, struct json_object *body,
		       struct peer_question *question)
{
	(void)body;
	give_order(job, CALL_SUSPEND, question);
}

static void do_resume(struct job *job, struct json_object *body,
		      struct peer_question *question)
{
	(void)body;
	give_order(job, CALL_RESUME, question);
}

static void do_save(struct job *job, struct json_object *body,
		    struct peer_question *question)
{
	job->facts.started = flag_of(body, "started");
	job->facts.frozen = flag_of(body, "frozen");
	job->facts.moves = number_of(body, "moves");
	g_free(job->facts.from);
	job->facts.from = clean_text(text_of(body, "from"));
	give_order(job, CALL_SAVE, question);
}

static void do_destroy(struct job *job, struct json_object *body,
		       struct peer_question *question)
{
	struct json_object *answer = json_object_new_object();
	/* An older copy is meant, which is no more. */
	bool gone = number_of(body, "incarnation") < job->facts.incarnation;

	/* It is home's wish; nothing is left to be told when it is done. */
	if (!gone)
		job_mvrun_gone(job);
	event_add_bool(answer, "gone", gone);
	peer_answer(question, answer);
}

static void on_migrated(void *ctx, const struct migrated *result)
{
	struct peer_question *question = ctx;

	if (result->error)
		peer_refuse(question, result->error);
	else
		peer_answer(question, migrated_to_json(result));
}

static void do_migrate(struct job *job, struct json_object *body,
		       struct peer_question *question)
{
	migrate_begin(job, text_of(body, "to"), flag_of(body, "postcopy"),
		      on_migrated, question);
}

static void do_abort(struct job *job, struct json_object *body,
		     struct peer_question *question)
{
	(void)body;
	migrate_abort(job);
	peer_answer(question, NULL);
}

static void do_progress(struct job *job, struct json_object *body,
			struct peer_question *question)
{
	struct json_object *answer = json_object_new_object();
	struct migrate_progress progress;

	(void)body;
	if (migrate_progress(job, &progress)) {
		event_add_string(answer, "stage", progress.stage);
		event_add_number(answer, "memory",
				 (int64_t)progress.stats.memory);
		event_add_number(answer, "left", (int64_t)progress.stats.left);
		event_add_number(answer, "bytes",
				 (int64_t)progress.sent);
		event_add_number(answer, "rounds", progress.stats.rounds);
	}
	peer_answer(question, answer);
}

static void do_figures(struct job *job, struct json_object *body,
		       struct peer_question *question)
{
	struct json_object *answer = json_object_new_object();
	struct json_object *figures = json_object_new_object();

	(void)body;
	scheduler_add_figures(job, figures);
	json_object_object_add(answer, "figures", figures);
	peer_answer(question, answer);
}

static const struct {
	const char *op;
	home_fn handle;
} orders[] = {
	{ "suspend", do_suspend },
	{ "resume", do_resume },
	{ "save", do_save },
	{ "destroy", do_destroy },
	{ "migrate", do_migrate },
	{ "progress", do_progress },
	{ "figures", do_figures },
	{ "abort", do_abort },
};

/* A job that is here and whose home asks. */
static struct job *hosted_job(struct mvd *mvd, const char *from,
			      struct json_object *body)
{
	struct job *job = jobs_find(mvd->jobs, text_of(body, "uuid"));

	if (!job || !job->foreign || job->stage != JOB_UP || job->mvrun_gone ||
	    strcmp(job->facts.home, from) != 0)
		return NULL;
	return job;
}

static void take_order(size_t i, struct mvd *mvd, const char *from,
		       struct json_object *body, struct peer_question *question)
{
	struct job *job = hosted_job(mvd, from, body);
	struct json_object *answer;

	if (job) {
		orders[i].handle(job, body, question);
		return;
	}
	answer = json_object_new_object();
	event_add_bool(answer, "gone", true);
	peer_answer(question, answer);
}

/* ---- from a home: a new job for us ---- */

static int read_start(struct mvd *mvd, const char *from,
		      struct json_object *body, struct job_facts *facts,
		      struct err *err)
{
	if (job_facts_from_xml(facts, text_of(body, "facts"), err) < 0)
		return -1;
	if (strcmp(facts->home, from) != 0)
		return err_set(err, 0, "the job is not one of %s", from);
	if (jobs_find(mvd->jobs, facts->uuid))
		return err_set(err, 0, "the job is here already");
	if (number_of(body, "cpus") > node_cpus())
		return err_set(err, 0, "the job asks for %u processors, and it has "
			       "%u", number_of(body, "cpus"), node_cpus());
	if (facts->memory > node_room(mvd))
		return err_set(err, 0, "it has no room: %u MiB are needed, %u "
			       "MiB are free", facts->memory, node_room(mvd));
	return scheduler_admit(mvd, facts, body, false, err);
}

static void start(struct mvd *mvd, const char *from, struct json_object *body,
		  struct peer_question *question)
{
	struct job_facts facts = { 0 };
	struct err err = { 0 };
	struct job *job;

	if (read_start(mvd, from, body, &facts, &err) < 0) {
		job_facts_clear(&facts);
		tell_refusal(mvd, question, err.text);
		return;
	}
	g_free(facts.agent);
	facts.agent = g_strdup(mvd->config.socket);
	/* 0 is no fact, but means: as the host thinks best. */
	facts.cpus = number_of(body, "cpus");
	job = jobs_add(mvd->jobs, &facts);
	job->starter = question;
	job_advance(job);
}

/* A microVM that did not boot is started once more, and home does not wait until the
 * first one is destroyed. */
struct late_start {
	struct mvd *mvd;
	const char *from; /* these last as long as the question */
	struct json_object *body;
	struct peer_question *question;
	gint64 until;
};

static bool is_leaving(struct mvd *mvd, const char *from, struct json_object *body)
{
	struct job_facts facts = { 0 };
	const struct job *job = NULL;

	if (job_facts_from_xml(&facts, text_of(body, "facts"), NULL) == 0)
		job = jobs_find(mvd->jobs, facts.uuid);
	job_facts_clear(&facts);
	return job && job->foreign && job_is_ending(job) &&
	       strcmp(job->facts.home, from) == 0;
}

static gboolean on_late_start(void *p)
{
	struct late_start *late = p;

	if (is_leaving(late->mvd, late->from, late->body) &&
	    g_get_monotonic_time() < late->until)
		return G_SOURCE_CONTINUE;
	start(late->mvd, late->from, late->body, late->question);
	g_free(late);
	return G_SOURCE_REMOVE;
}

static void do_start(struct mvd *mvd, const char *from,
		     struct json_object *body, struct peer_question *question)
{
	struct late_start *late;

	if (!is_leaving(mvd, from, body)) {
		start(mvd, from, body, question);
		return;
	}
	late = g_new0(struct late_start, 1);
	late->mvd = mvd;
	late->from = from;
	late->body = body;
	late->question = question;
	late->until = g_get_monotonic_time() + LEAVING_S * G_USEC_PER_SEC;
	g_timeout_add(LEAVING_AGAIN_MS, on_late_start, late);
}

/* ---- from a host: what it has of ours ---- */

static bool read_claim(struct json_object *entry, char uuid[UUID_TEXT_SIZE],
		       struct claim *claim)
{
	const char *facts = text_of(entry, "facts");

	if (!json_object_is_type(entry, json_type_object) ||
	    !uuid_normalize(uuid, text_of(entry, "uuid")))
		return false;
	claim->uuid = uuid;
	claim->facts = *facts ? facts : NULL;
	claim->incarnation = number_of(entry, "incarnation");
	claim->paused = flag_of(entry, "paused");
	return true;
}

/* "" when none is given, or one that is too long. */
static char *why_of(struct json_object *body)
{
	g_autofree char *why = clean_text(text_of(body, "why"));

	return strlen(why) > MAX_WHY ? g_strdup("") : g_steal_pointer(&why);
}

/* What its host says of why it stays there; and what only home can know. */
static void exchange_news(struct job *job, struct json_object *entry,
			  struct json_object *traffic, struct json_object *near)
{
	const char *other = load_near(job);
	uint64_t bytes = load_deputy_traffic(job);

	g_free(job->why);
	job->why = why_of(entry);
	if (bytes)
		event_add_number(traffic, job->facts.uuid, (int64_t)bytes);
	if (job->facts.near)
		event_add_string(near, job->facts.uuid, other ? other : "");
}

static struct json_object *judge_all(struct mvd *mvd, const char *from,
				     struct json_object *list,
				     struct json_object *traffic,
				     struct json_object *near)
{
	static const char *const names[] = {
		[VERDICT_KEEP] = "keep", [VERDICT_WAIT] = "wait",
		[VERDICT_FACTS] = "facts", [VERDICT_DESTROY] = "destroy",
	};
	struct json_object *verdicts = json_object_new_object();
	char uuid[UUID_TEXT_SIZE];
	struct claim claim;
	size_t i, n = json_object_array_length(list);

	for (i = 0; i < n && i < MAX_JOBS_TOLD; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		enum verdict verdict;

		if (!read_claim(entry, uuid, &claim))
			continue;
		verdict = home_judge(mvd->jobs, from, &claim);
		event_add_string(verdicts, uuid, names[verdict]);
		if (verdict == VERDICT_KEEP && jobs_find(mvd->jobs, uuid))
			exchange_news(jobs_find(mvd->jobs, uuid), entry, traffic, near);
	}
	return verdicts;
}

static void hear_ended(struct mvd *mvd, const char *from,
		       struct json_object *list)
{
	size_t i, n = json_object_array_length(list);

	for (i = 0; i < n && i < MAX_JOBS_TOLD; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		g_autofree char *text = clean_text(text_of(entry, "text"));
		char uuid[UUID_TEXT_SIZE];
		struct json_object *to;

		if (!json_object_is_type(entry, json_type_object) ||
		    !uuid_normalize(uuid, text_of(entry, "uuid")))
			continue;
		home_ended(mvd->jobs, from, uuid,
			   number_of(entry, "incarnation"),
			   gone_reason_find(text_of(entry, "reason")), text,
			   json_object_object_get_ex(entry, "to", &to) ?
			   text_of(entry, "to") : NULL);
	}
}

static void do_hosting(struct mvd *mvd, const char *from,
		       struct json_object *body, struct peer_question *question)
{
	struct json_object *answer = json_object_new_object(), *list;
	struct json_object *traffic = json_object_new_object();
	struct json_object *near = json_object_new_object();

	if (json_object_object_get_ex(body, "ended", &list) &&
	    json_object_is_type(list, json_type_array))
		hear_ended(mvd, from, list);
	if (json_object_object_get_ex(body, "jobs", &list) &&
	    json_object_is_type(list, json_type_array))
		json_object_object_add(answer, "verdicts",
				       judge_all(mvd, from, list, traffic, near));
	json_object_object_add(answer, "traffic", traffic);
	json_object_object_add(answer, "near", near);
	peer_answer(question, answer);
}

static void do_claim(struct mvd *mvd, const char *from,
		     struct json_object *body, struct peer_question *question)
{
	home_claim(mvd->jobs, from, text_of(body, "uuid"),
		   number_of(body, "incarnation"), question);
}

static void do_moving(struct mvd *mvd, const char *from,
		      struct json_object *body, struct peer_question *question)
{
	struct job *job = jobs_find(mvd->jobs, text_of(body, "uuid"));
	g_autofree char *why = why_of(body);

	if (job && job->host && strcmp(job->host, from) == 0 &&
	    peers_is_member(mvd->peers, text_of(body, "to")))
		home_moving(job, text_of(body, "to"),
			    number_of(body, "incarnation"), why);
	peer_answer(question, NULL);
}

/* ---- from anybody ---- */

static void do_have(struct mvd *mvd, const char *from,
		    struct json_object *body, struct peer_question *question)
{
	struct job *job = jobs_find(mvd->jobs, text_of(body, "uuid"));
	struct json_object *answer;
	bool here = job && job_is_here(job);

	/* One that is just coming is known to libvirt only. */
	if (!here && virt_state(mvd->virt) != VIRT_UP) {
		peer_refuse(question, virt_error(mvd->virt));
		return;
	}
	answer = json_object_new_object();
	event_add_bool(answer, "here", here ||
		       arrivals_expects(mvd->jobs->arrivals,
					text_of(body, "uuid")));
	event_add_bool(answer, "moving", here && job->migration);
	peer_answer(question, answer);
	if (here && strcmp(job->facts.home, from) == 0)
		hosting_tell(job);
}

static void do_reserve(struct mvd *mvd, const char *from,
		       struct json_object *body, struct peer_question *question)
{
	arrivals_reserve(mvd->jobs->arrivals, from, body, question);
}

static void do_release(struct mvd *mvd, const char *from,
		       struct json_object *body, struct peer_question *question)
{
	arrivals_release(mvd->jobs->arrivals, from, body, question);
}

static void do_node(struct mvd *mvd, const char *from, struct json_object *body,
		    struct peer_question *question)
{
	struct json_object *answer = json_object_new_object();

	(void)from;
	(void)body;
	json_object_object_add(answer, "node", node_to_json(mvd));
	peer_answer(question, answer);
}

static void do_schedule(struct mvd *mvd, const char *from, struct json_object *body,
			struct peer_question *question)
{
	(void)from;
	scheduler_question(mvd, body, question);
}

static const struct {
	const char *op;
	question_fn handle;
} questions[] = {
	{ "hosting", do_hosting },
	{ "claim", do_claim },
	{ "moving", do_moving },
	{ "start", do_start },
	{ "reserve", do_reserve },
	{ "release", do_release },
	{ "have", do_have },
	{ "node", do_node },
	{ "schedule", do_schedule },
	{ "make-room", room_question },
	{ "no-room", room_end_question },
	{ "datagram-key", mvd_gossip_question },
};

void mvd_question(struct mvd *mvd, const char *from, struct json_object *body,
		  struct peer_question *question)
{
	const char *op = text_of(body, "op");
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(questions); i++)
		if (strcmp(op, questions[i].op) == 0) {
			questions[i].handle(mvd, from, body, question);
			return;
		}
	for (i = 0; i < G_N_ELEMENTS(orders); i++)
		if (strcmp(op, orders[i].op) == 0) {
			take_order(i, mvd, from, body, question);
			return;
		}
	peer_refuse(question, "the question is unknown here; is this node's "
		    "Monovisor older?");
}

/* ---- streams ---- */

static bool link_stream(struct mvd *mvd, const char *from,
			struct json_object *body, struct peer_stream *stream)
{
	struct job *job = hosted_job(mvd, from, body);
	int fd;

	if (!job || number_of(body, "incarnation") != job->facts.incarnation)
		return false;
	fd = job_connect(job);
	if (fd < 0)
		peer_decline(stream, "the microVM's port cannot be had yet");
	else
		peer_accept(stream, fd);
	return true;
}

void mvd_stream(struct mvd *mvd, const char *from, struct json_object *body,
		struct peer_stream *stream)
{
	const char *op = text_of(body, "op");

	if (strcmp(op, "link") == 0 && link_stream(mvd, from, body, stream))
		return;
	if (!arrivals_stream(mvd->jobs->arrivals, from, op, body, stream))
		peer_decline(stream, "there is nothing such here for you");
}
