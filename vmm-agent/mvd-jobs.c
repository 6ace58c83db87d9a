/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-jobs.h"

#include "net/cleanup.h"
#include "net/peer.h"
#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-process.h"
#include "vmm-agent/mvd-scheduler.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#define TICK_S 1

struct jobs *jobs_new(struct mvd *mvd)
{
	struct jobs *jobs = g_new0(struct jobs, 1);

	jobs->mvd = mvd;
	jobs->by_uuid = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
					      (GDestroyNotify)job_unref);
	jobs->hosting = hosting_new(jobs);
	jobs->arrivals = arrivals_new(mvd);
	return jobs;
}

void jobs_free(struct jobs *jobs)
{
	g_autoptr(GPtrArray) list = jobs_list(jobs);
	unsigned i;

	for (i = 0; i < list->len; i++)
		jobs_remove(list->pdata[i]);
	g_hash_table_unref(jobs->by_uuid);
	hosting_free(jobs->hosting);
	arrivals_free(jobs->arrivals);
	g_clear_handle_id(&jobs->tick, g_source_remove);
	g_free(jobs);
}

struct job *job_ref(struct job *job)
{
	job->refs++;
	return job;
}

void job_unref(struct job *job)
{
	if (--job->refs > 0)
		return;
	job_facts_clear(&job->facts);
	g_free(job->domain);
	g_free(job->host);
	g_free(job->verdict);
	g_free(job->why);
	came_clear(&job->came);
	scheduler_forget_place(job);
	g_free(job->by);
	g_free(job);
}

/* Only while there are jobs: an idle agent sleeps. */
static gboolean on_tick(void *p)
{
	struct jobs *jobs = p;
	g_autoptr(GPtrArray) list = jobs_list(jobs);
	unsigned i;

	for (i = 0; i < list->len; i++)
		job_look(list->pdata[i]);
	if (list->len > 0)
		return G_SOURCE_CONTINUE;
	jobs->tick = 0;
	return G_SOURCE_REMOVE;
}

struct job *jobs_add(struct jobs *jobs, struct job_facts *facts)
{
	struct job *job = g_new0(struct job, 1);

	job->refs = 1;
	job->mvd = jobs->mvd;
	job->facts = *facts;
	memset(facts, 0, sizeof(*facts));
	job->domain = domain_name(&job->facts, jobs->mvd->node);
	job->pidfd = -1;
	job->dialled = -1;
	job->handed = -1;
	job->spare = -1;
	job->foreign = job->facts.home &&
		       g_strcmp0(job->facts.home, jobs->mvd->node) != 0;
	g_queue_init(&job->ops);
	g_hash_table_insert(jobs->by_uuid, job->facts.uuid, job);
	scheduler_wake(jobs->mvd);
	if (!jobs->tick)
		jobs->tick = g_timeout_add_seconds(TICK_S, on_tick, jobs);
	return job;
}

void jobs_remove(struct job *job)
{
	if (job->stage == JOB_GONE)
		return;
	job->stage = JOB_GONE;
	job->client = NULL;
	job_attach_stop(job);
	job_drop_ops(job);
	g_clear_handle_id(&job->pid_source, g_source_remove);
	cleanup_fd_(&job->pidfd);
	job->pidfd = -1;
	cleanup_fd_(&job->dialled);
	job->dialled = -1;
	cleanup_fd_(&job->handed);
	job->handed = -1;
	cleanup_fd_(&job->spare);
	job->spare = -1;
	g_hash_table_remove(job->mvd->jobs->by_uuid, job->facts.uuid);
}

struct job *jobs_find(const struct jobs *jobs, const char *uuid)
{
	return g_hash_table_lookup(jobs->by_uuid, uuid);
}

bool job_may_touch(const struct job *job, uid_t uid)
{
	/* A foreign job's user is a user of its home, not of this node. */
	return !job->mvrun_gone &&
	       (uid == 0 || (uid == job->facts.uid && !job->foreign));
}

bool job_owned_by(const struct job *job, const struct client *client)
{
	return !job->foreign && client_pid(client) == job->facts.pid &&
	       client_start(client) != 0 &&
	       client_start(client) == job->facts.start &&
	       client_uid(client) == job->facts.uid;
}

static bool is_number(const char *text, pid_t *pid)
{
	guint64 value;

	if (!g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT32, &value, NULL))
		return false;
	*pid = (pid_t)value;
	return true;
}

/* Does `text` name this job? A number is a PID before it is a name. */
static bool job_matches(const struct job *job, const char *text)
{
	pid_t pid;

	if (is_number(text, &pid) && pid == job->facts.pid)
		return true;
	return strcmp(text, job->facts.name) == 0;
}

struct job *jobs_find_named(const struct jobs *jobs, const char *text,
			    uid_t uid, struct err *err)
{
	struct job *job, *found = NULL;
	char uuid[UUID_TEXT_SIZE];
	GHashTableIter iter;
	unsigned count = 0;

	if (uuid_normalize(uuid, text)) {
		found = jobs_find(jobs, uuid);
		count = found && job_may_touch(found, uid);
	} else {
		g_hash_table_iter_init(&iter, jobs->by_uuid);
		while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
			if (job_may_touch(job, uid) && job_matches(job, text)) {
				found = job;
				count++;
			}
	}
	if (count == 1)
		return found;
	if (count == 0)
		err_set(err, 0, "you have no job \"%s\" on this node", text);
	else
		err_set(err, 0, "%u jobs are named \"%s\"", count, text);
	return NULL;
}

unsigned jobs_count(const struct jobs *jobs)
{
	return g_hash_table_size(jobs->by_uuid);
}

bool job_is_here(const struct job *job)
{
	return !job->host && !job->absent;
}

struct jobs_where jobs_count_where(const struct jobs *jobs)
{
	struct jobs_where where = { 0 };
	GHashTableIter iter;
	struct job *job;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job)) {
		if (job->mvrun_gone)
			continue;
		where.here += job_is_here(job);
		where.guests += job_is_here(job) && job->foreign;
		where.away += !job_is_here(job) && !job->foreign;
	}
	return where;
}

unsigned jobs_count_user(const struct jobs *jobs, uid_t uid)
{
	GHashTableIter iter;
	unsigned count = 0;
	struct job *job;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		count += job->facts.uid == uid;
	return count;
}

unsigned jobs_count_booting(const struct jobs *jobs)
{
	GHashTableIter iter;
	unsigned count = 0;
	struct job *job;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		count += !job->facts.started;
	return count;
}

static int compare_since(const void *a, const void *b)
{
	const struct job *x = *(struct job *const *)a;
	const struct job *y = *(struct job *const *)b;

	if (x->facts.since != y->facts.since)
		return x->facts.since < y->facts.since ? -1 : 1;
	return x->facts.pid < y->facts.pid ? -1 : x->facts.pid > y->facts.pid;
}

GPtrArray *jobs_list(const struct jobs *jobs)
{
	GPtrArray *list = g_ptr_array_new();
	GHashTableIter iter;
	struct job *job;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		g_ptr_array_add(list, job);
	g_ptr_array_sort(list, compare_since);
	return list;
}

const char *job_state(const struct job *job)
{
	if (job->saved)
		return "saved";
	if (job->lost)
		return job->foreign ? "HOME-LOST" : "HOST-LOST";
	if (job->freeze.ours)
		return "stopped";
	if (job->freeze.paused)
		return "suspended";
	if (job->migration || job->absent)
		return "moving";
	return job->facts.started ? "running" :
	       job->unplaced ? "waiting" : "starting";
}

struct json_object *job_to_json(struct job *job)
{
	const struct job_facts *facts = &job->facts;
	struct json_object *json = json_object_new_object();
	g_autofree char *obstacle = NULL;

	event_add_number(json, "pid", facts->pid);
	event_add_string(json, "name", facts->name);
	event_add_string(json, "uuid", facts->uuid);
	event_add_string(json, "user", facts->user);
	event_add_number(json, "uid", facts->uid);
	event_add_string(json, "command", facts->command);
	event_add_string(json, "home", facts->home);
	event_add_string(json, "host", job->host ? job->host :
			 job->absent ? "" : job->mvd->node);
	event_add_string(json, "from", facts->from);
	event_add_string(json, "state", job_state(job));
	event_add_number(json, "since", facts->since);
	if (job->lost)
		event_add_number(json, "lost_since", job->lost);
	event_add_number(json, "moves", facts->moves);
	event_add_number(json, "memory", facts->memory);
	event_add_number(json, "cpus", facts->cpus);
	event_add_string(json, "accel", facts->accel == ACCEL_AUTO ? "" :
			 accel_name(facts->accel));
	event_add_string(json, "transport",
			 job_transport_name(facts->transport));
	event_add_string(json, "domain", job->domain);
	event_add_bool(json, "pin", facts->pin);
	event_add_number(json, "incarnation", facts->incarnation);
	/* Outside a cluster that goes without saying. */
	if (job->mvd->peers && peers_in_cluster(job->mvd->peers))
		obstacle = migrate_obstacle(job);
	event_add_string(json, "stays", obstacle ? obstacle : "");
	scheduler_add_to_job(job, json);
	return json;
}

void jobs_forget_client(struct jobs *jobs, struct client *client)
{
	GHashTableIter iter;
	struct job *job;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		if (job->client == client)
			job->client = NULL;
}

static char *user_name(uid_t uid)
{
	struct passwd pwd, *found = NULL;
	char buffer[4096];

	if (getpwuid_r(uid, &pwd, buffer, sizeof(buffer), &found) == 0 && found)
		return clean_text(found->pw_name);
	return g_strdup_printf("%u", (unsigned)uid);
}

void job_fill_facts(struct job_facts *facts, const struct mvd *mvd,
		    const struct client *client,
		    const struct request *request)
{
	memcpy(facts->uuid, request->uuid, sizeof(facts->uuid));
	facts->agent = g_strdup(mvd->config.socket);
	facts->name = clean_text(request->name[0] ? request->name : "job");
	facts->command = clean_text(request->command);
	facts->user = user_name(client_uid(client));
	facts->home = g_strdup(mvd->node);
	facts->from = g_strdup("");
	facts->incarnation = 1;
	facts->attempt = 1;
	facts->home_patience = request->home_patience;
	facts->pid = client_pid(client);
	facts->start = client_start(client);
	facts->uid = client_uid(client);
	facts->since = g_get_real_time() / G_USEC_PER_SEC;
	facts->pin = request->pin;
	facts->stay_home = request->home;
	facts->group = clean_text(request->group);
	facts->only = clean_text(request->on);
	facts->never = clean_text(request->not_on);
	facts->kind = strcmp(request->kind, "io-bound") == 0 ? JOB_IO_BOUND :
		      *request->kind ? JOB_CPU_BOUND : JOB_ANY;
}
