/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of a job whose home is another node.
 *
 * Theory of operation
 *
 * Nothing here is a state of a connection. Every few seconds, and at once when
 * something has changed, a host tells each home which of its jobs it has, and
 * which have ended; the home answers for each whether to keep it. Whoever was
 * restarted, or was cut off, knows everything again one such message later.
 *
 * A home that does not answer is out of reach: the job waits, by itself, because
 * nobody answers its requests; how long it may do so is its own policy.
 */
#include "vmm-agent/mvd-jobs.h"

#include "net/peer.h"
#include "vmm-agent/mvd-scheduler.h"

#include <string.h>

#define PERIOD_MS 2000
#define ANSWER_MS 5000
#define LOST_MS 7000
#define BATCH 16
#define CLAIM_AGAIN_MS 1000
#define GO_ON_MS 1000
/* At a restart, home waits so long for its mvrun to say what it is linked to. */
#define CLAIM_HOME_MS 3000
#define KEEP_ENDED_S (24 * 3600)

/* A job that is no longer here, which its home may not know yet. */
struct ended {
	char uuid[UUID_TEXT_SIZE];
	char *home, *text, *to;
	unsigned incarnation;
	enum gone_reason reason;
	gint64 since;
};

/* What one home is being told. */
struct report {
	struct hosting *hosting;
	char *home;
	bool again;      /* something has changed meanwhile */
	GPtrArray *told; /* UUIDs of ended jobs in the question */
};

struct hosting {
	struct jobs *jobs;
	GHashTable *reports; /* under way, by home */
	GHashTable *ended;   /* by uuid */
	guint timer, soon;
};

static gint64 now_ms(void)
{
	return g_get_monotonic_time() / 1000;
}

static void ended_free(void *p)
{
	struct ended *ended = p;

	g_free(ended->home);
	g_free(ended->text);
	g_free(ended->to);
	g_free(ended);
}

static void report_free(struct report *report)
{
	g_ptr_array_unref(report->told);
	g_free(report->home);
	g_free(report);
}

/* What is told */

static struct json_object *describe_job(const struct job *job)
{
	struct json_object *object = json_object_new_object();
	g_autofree char *why = scheduler_why(job);

	event_add_string(object, "uuid", job->facts.uuid);
	event_add_number(object, "incarnation", job->facts.incarnation);
	event_add_bool(object, "paused", job->freeze.paused);
	event_add_string(object, "why", why);
	if (!job->told_home) {
		g_autofree char *facts = job_facts_to_xml(&job->facts);

		event_add_string(object, "facts", facts);
	}
	return object;
}

static struct json_object *describe_ended(const struct ended *ended)
{
	struct json_object *object = json_object_new_object();

	event_add_string(object, "uuid", ended->uuid);
	event_add_number(object, "incarnation", ended->incarnation);
	event_add_string(object, "reason", gone_reason_name(ended->reason));
	event_add_string(object, "text", ended->text);
	if (ended->to)
		event_add_string(object, "to", ended->to);
	return object;
}

static struct json_object *list_ended(struct hosting *hosting,
				      const char *home, GPtrArray *told)
{
	struct json_object *array = json_object_new_array();
	struct ended *ended;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, hosting->ended);
	while (told->len < BATCH &&
	       g_hash_table_iter_next(&iter, NULL, (void **)&ended))
		if (strcmp(ended->home, home) == 0) {
			json_object_array_add(array, describe_ended(ended));
			g_ptr_array_add(told, g_strdup(ended->uuid));
		}
	return array;
}

/* Those that changed first; the rest a batch at a time. */
static struct json_object *list_jobs(const struct hosting *hosting,
				     const char *home)
{
	struct json_object *array = json_object_new_array();
	g_autoptr(GPtrArray) list = jobs_list(hosting->jobs);
	unsigned pass, i, count = 0;

	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < list->len; i++) {
			struct job *job = list->pdata[i];

			if (!job->foreign || job->stage != JOB_UP ||
			    strcmp(job->facts.home, home) != 0 ||
			    job->told_home != (pass == 1))
				continue;
			/* Short without its facts. */
			if (pass == 0 && ++count > BATCH)
				break;
			json_object_array_add(array, describe_job(job));
		}
	return array;
}

/* What comes back */

static void condemn(struct job *job)
{
	g_message("job %ld of %s is a stale copy, or its mvrun has ended",
		  (long)job->facts.pid, job->facts.home);
	job->stale = true;
	job_mvrun_gone(job);
}

static void take_verdict(struct job *job, const char *verdict)
{
	job->heard = now_ms();
	job->lost = 0;
	if (strcmp(verdict, "keep") == 0)
		job->told_home = true;
	else if (strcmp(verdict, "facts") == 0)
		job->told_home = false;
	else if (strcmp(verdict, "destroy") == 0 && !job->migration)
		condemn(job);
}

static void take_verdicts(struct hosting *hosting, const char *home,
			  struct json_object *verdicts)
{
	json_object_object_foreach(verdicts, uuid, value) {
		struct job *job = jobs_find(hosting->jobs, uuid);

		if (job && job->foreign && strcmp(job->facts.home, home) == 0 &&
		    json_object_is_type(value, json_type_string))
			take_verdict(job, json_object_get_string(value));
	}
}

/* What home and guest have exchanged: only home can count it. */
static void take_traffic(struct hosting *hosting, const char *home,
			 struct json_object *traffic)
{
	struct scheduler *s = hosting->jobs->mvd->scheduler;

	json_object_object_foreach(traffic, uuid, value) {
		struct job *job = jobs_find(hosting->jobs, uuid);
		int64_t bytes = json_object_get_int64(value);

		if (s && job && job->foreign && bytes > 0 &&
		    strcmp(job->facts.home, home) == 0)
			load_hear_traffic(s->load, job, (uint64_t)bytes);
	}
}

/* Where the jobs are that these are to be near. */
static void take_near(struct hosting *hosting, const char *home, struct json_object *near)
{
	struct scheduler *s = hosting->jobs->mvd->scheduler;

	json_object_object_foreach(near, uuid, value) {
		struct job *job = jobs_find(hosting->jobs, uuid);

		if (s && job && job->foreign && strcmp(job->facts.home, home) == 0 &&
		    json_object_is_type(value, json_type_string))
			load_hear_near(s->load, job, json_object_get_string(value));
	}
}

static void tell(struct hosting *hosting, const char *home);

static void on_told(void *ctx, const struct peer_reply *reply)
{
	struct report *report = ctx;
	struct hosting *hosting = report->hosting;
	struct json_object *verdicts, *news;
	bool again = report->again;
	unsigned i;

	g_hash_table_remove(hosting->reports, report->home);
	if (reply->answer) {
		for (i = 0; i < report->told->len; i++)
			g_hash_table_remove(hosting->ended,
					    report->told->pdata[i]);
		if (json_object_object_get_ex(reply->answer, "verdicts",
					      &verdicts) &&
		    json_object_is_type(verdicts, json_type_object))
			take_verdicts(hosting, report->home, verdicts);
		if (json_object_object_get_ex(reply->answer, "traffic", &news) &&
		    json_object_is_type(news, json_type_object))
			take_traffic(hosting, report->home, news);
		if (json_object_object_get_ex(reply->answer, "near", &news) &&
		    json_object_is_type(news, json_type_object))
			take_near(hosting, report->home, news);
	}
	if (again)
		tell(hosting, report->home);
	report_free(report);
}

static void tell(struct hosting *hosting, const char *home)
{
	struct report *report = g_hash_table_lookup(hosting->reports, home);
	struct json_object *body;

	if (report) {
		report->again = true;
		return;
	}
	report = g_new0(struct report, 1);
	report->hosting = hosting;
	report->home = g_strdup(home);
	report->told = g_ptr_array_new_with_free_func(g_free);
	body = json_object_new_object();
	event_add_string(body, "op", "hosting");
	json_object_object_add(body, "jobs", list_jobs(hosting, home));
	json_object_object_add(body, "ended",
			       list_ended(hosting, home, report->told));
	g_hash_table_insert(hosting->reports, report->home, report);
	peer_ask(hosting->jobs->mvd->peers, home, body, ANSWER_MS, on_told,
		 report);
}

/* When */

static void forget_old(struct hosting *hosting)
{
	gint64 now = g_get_monotonic_time() / G_USEC_PER_SEC;
	struct ended *ended;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, hosting->ended);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&ended))
		if (now - ended->since > KEEP_ENDED_S)
			g_hash_table_iter_remove(&iter);
}

static void check_lost(struct job *job)
{
	gint64 silent = now_ms() - job->heard;
	unsigned patience = job->facts.home_patience;

	/* One of the two is no member any more, and its mvrun cannot come here. */
	if (!peers_is_member(job->mvd->peers, job->facts.home)) {
		g_message("job %ld of %s is killed: its home is not in the cluster "
			  "any more", (long)job->facts.pid, job->facts.home);
		job_condemn(job, GONE_DESTROYED,
			    g_strdup("its home was removed from the cluster"));
		return;
	}
	if (!job->heard)
		job->heard = now_ms();
	else if (silent > LOST_MS && !job->lost)
		job->lost = g_get_real_time() / G_USEC_PER_SEC - silent / 1000;
	if (!job->lost || !patience || silent < (gint64)patience * 1000)
		return;
	g_message("job %ld of %s is killed: its home has been out of reach for "
		  "%u s", (long)job->facts.pid, job->facts.home, patience);
	job_condemn(job, GONE_DESTROYED,
		    g_strdup_printf("its home was out of reach for %u s "
				    "(--on-home-lost)", patience));
}

static void tell_all(struct hosting *hosting, bool changed_only)
{
	g_autoptr(GHashTable) homes = g_hash_table_new(g_str_hash, g_str_equal);
	g_autoptr(GPtrArray) list = jobs_list(hosting->jobs);
	struct ended *ended;
	GHashTableIter iter;
	const char *home;
	unsigned i;

	for (i = 0; i < list->len; i++) {
		struct job *job = list->pdata[i];

		if (job->foreign && job->stage == JOB_UP &&
		    !(changed_only && job->told_home))
			g_hash_table_add(homes, job->facts.home);
	}
	g_hash_table_iter_init(&iter, hosting->ended);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&ended))
		g_hash_table_add(homes, ended->home);
	g_hash_table_iter_init(&iter, homes);
	while (g_hash_table_iter_next(&iter, (void **)&home, NULL))
		tell(hosting, home);
}

static gboolean on_timer(void *p)
{
	struct hosting *hosting = p;
	g_autoptr(GPtrArray) list = jobs_list(hosting->jobs);
	unsigned i;

	forget_old(hosting);
	tell_all(hosting, false);
	for (i = 0; i < list->len; i++) {
		struct job *job = list->pdata[i];

		if (job->foreign && job->stage == JOB_UP)
			check_lost(job);
	}
	return G_SOURCE_CONTINUE;
}

static gboolean on_soon(void *p)
{
	struct hosting *hosting = p;

	hosting->soon = 0;
	tell_all(hosting, true);
	return G_SOURCE_REMOVE;
}

static void tell_soon(struct hosting *hosting)
{
	if (!hosting->timer)
		hosting->timer = g_timeout_add(PERIOD_MS, on_timer, hosting);
	if (!hosting->soon)
		hosting->soon = g_idle_add_full(G_PRIORITY_HIGH, on_soon,
						hosting, NULL);
}

void hosting_tell(struct job *job)
{
	job->told_home = false;
	tell_soon(job->mvd->jobs->hosting);
}

void hosting_ended(struct job *job, enum gone_reason reason, const char *text,
		   const char *to)
{
	struct hosting *hosting = job->mvd->jobs->hosting;
	struct ended *ended;

	/* Home has destroyed it. */
	if (job->mvrun_gone)
		return;
	ended = g_new0(struct ended, 1);
	g_strlcpy(ended->uuid, job->facts.uuid, sizeof(ended->uuid));
	ended->home = g_strdup(job->facts.home);
	ended->text = g_strdup(text);
	ended->to = g_strdup(to);
	ended->incarnation = job->facts.incarnation;
	ended->reason = reason;
	ended->since = g_get_monotonic_time() / G_USEC_PER_SEC;
	g_hash_table_replace(hosting->ended, ended->uuid, ended);
	tell_soon(hosting);
}

struct hosting *hosting_new(struct jobs *jobs)
{
	struct hosting *hosting = g_new0(struct hosting, 1);

	hosting->jobs = jobs;
	hosting->reports = g_hash_table_new(g_str_hash, g_str_equal);
	hosting->ended = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
					       ended_free);
	return hosting;
}

void hosting_free(struct hosting *hosting)
{
	struct report *report;
	GHashTableIter iter;

	g_clear_handle_id(&hosting->timer, g_source_remove);
	g_clear_handle_id(&hosting->soon, g_source_remove);
	g_hash_table_iter_init(&iter, hosting->reports);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&report))
		report_free(report);
	g_hash_table_unref(hosting->reports);
	g_hash_table_unref(hosting->ended);
	g_free(hosting);
}

/* Claims */

static void claim_ask(struct job *job);

static gboolean on_claim_again(void *p)
{
	struct job *job = p;

	claim_ask(job);
	job_unref(job);
	return G_SOURCE_REMOVE;
}

static void claim_again(struct job *job, unsigned ms)
{
	g_timeout_add(ms, on_claim_again, job_ref(job));
}

static void call_done(void *ctx, const struct virt_result *result)
{
	struct job *job = ctx;

	if (result->error && !result->no_domain)
		g_info("job %ld: %s", (long)job->facts.pid, result->error);
	job_unref(job);
}

static bool is_here(const struct job *job)
{
	return job->stage == JOB_UP && job_is_here(job) &&
	       !job_is_ending(job);
}

static void go_on(struct job *job);

static gboolean on_go_on(void *p)
{
	struct job *job = p;

	go_on(job);
	job_unref(job);
	return G_SOURCE_REMOVE;
}

static void on_seen(void *ctx, const struct virt_domain *domain)
{
	struct job *job = ctx;
	bool here = is_here(job) && !job->migration && !job->freeze.paused;

	if (here && domain && domain->moving)
		job_call(job, CALL_RESUME, call_done, job_ref(job));
	if (here && (!domain || domain->moving))
		g_timeout_add(GO_ON_MS, on_go_on, job_ref(job));
	job_unref(job);
}

/* After a move that failed libvirt lets the microVM go on by itself, unless it
 * was interrupted in that, or is not there just now. */
static void go_on(struct job *job)
{
	virt_describe(job->mvd->virt, job->facts.uuid, on_seen, job_ref(job));
}

/* It is the job still, under a number that the other copy cannot have. */
static void claim_granted(struct job *job, unsigned incarnation)
{
	job->claiming = false;
	job->facts.incarnation = incarnation;
	job->facts.attempt = incarnation;
	job_save(job);
	go_on(job);
	if (job->foreign)
		hosting_tell(job);
}

static void claim_answered(struct job *job, unsigned incarnation,
			   const char *verdict)
{
	if (!is_here(job)) {
		job->claiming = false;
	} else if (strcmp(verdict, "keep") == 0) {
		claim_granted(job, incarnation);
	} else if (strcmp(verdict, "destroy") == 0) {
		job->claiming = false;
		condemn(job);
	} else {
		claim_again(job, CLAIM_AGAIN_MS);
	}
}

static void on_claimed(void *ctx, const struct peer_reply *reply)
{
	struct job *job = ctx;
	struct json_object *value;
	const char *verdict = "wait";

	if (reply->answer &&
	    json_object_object_get_ex(reply->answer, "verdict", &value) &&
	    json_object_is_type(value, json_type_string))
		verdict = json_object_get_string(value);
	claim_answered(job, job->facts.attempt + 1, verdict);
	job_unref(job);
}

static void claim_here(struct job *job)
{
	unsigned next = job->facts.attempt + 1;

	if (home_claim_here(job, next) == VERDICT_KEEP) {
		claim_granted(job, next);
		return;
	}
	job->claiming = false;
	virt_destroy(job->mvd->virt, job->facts.uuid, call_done, job_ref(job));
}

static void claim_ask(struct job *job)
{
	struct json_object *body;

	if (!is_here(job)) {
		job->claiming = false;
		return;
	}
	if (!job->foreign) {
		claim_here(job);
		return;
	}
	body = json_object_new_object();
	event_add_string(body, "op", "claim");
	event_add_string(body, "uuid", job->facts.uuid);
	event_add_number(body, "incarnation", job->facts.attempt + 1);
	peer_ask(job->mvd->peers, job->facts.home, body, ANSWER_MS, on_claimed,
		 job_ref(job));
}

void hosting_claim(struct job *job)
{
	if (job->claiming)
		return;
	job->claiming = true;
	/* Nobody has asked mvrun yet when the agent has just begun. */
	if (!job->foreign && !job->client && !job->confirmed)
		claim_again(job, CLAIM_HOME_MS);
	else
		claim_ask(job);
}
