/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A migration is a walk through the stages of a table. Each stage ends by
 * step_done() or step_failed(); a failure walks back through the undos of the
 * stages that were done. Nothing that is slow is left for the switch-over: the
 * target has its files, home has a stream to it, both ends are connected to its
 * libvirt and its QEMU before the guest stops.
 *
 * The attempt's number is in the domain's metadata before anything is sent, so
 * that a successor of this agent knows that there may be another copy. Whether
 * the one here goes on after a failure is home's decision (mvd-home.c): libvirt
 * cannot know whether the target's copy has started.
 */
#include "vmm-agent/mvd-migrate.h"

#include "net/peer.h"
#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-dial.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-tell.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS 10000
#define CONFIRM_AGAIN_MS 500
#define HOLD_LOOK_MS 50
#define JUDGE_LOOK_MS 50
#define JUDGE_S 30

struct stage {
	const char *name;
	void (*begin)(struct migration *m);
	void (*undo)(struct migration *m);
};

struct migration {
	struct job *job; /* a reference */
	struct mvd *mvd;
	char *to, *error;
	bool postcopy, aborted;
	size_t stage;
	gint64 since, judged_by;
	migrated_fn done;
	void *ctx;
	/* The target's answer */
	struct json_object *place;
	char *dir;
	struct tunnel *libvirt, *memory;
	struct virt_move *move;
	struct virt_move_stats stats;
	uint64_t sent;        /* through the tunnel for its memory */
	unsigned incarnation; /* of the copy that is sent */
};

static void step_done(struct migration *m);
static void step_failed(struct migration *m, const char *error);

static const char *given_up(const struct migration *m)
{
	return m->job->mvrun_gone ? "the job has ended" : "it was given up";
}

static struct json_object *question(const struct migration *m, const char *op)
{
	struct json_object *body = json_object_new_object();
	struct json_object *secret;

	event_add_string(body, "op", op);
	event_add_string(body, "uuid", m->job->facts.uuid);
	event_add_number(body, "incarnation", m->incarnation);
	if (m->place &&
	    json_object_object_get_ex(m->place, "secret", &secret))
		event_add_string(body, "secret", json_object_get_string(secret));
	return body;
}

/* Reserve */

static void on_reserved(void *ctx, const struct peer_reply *reply)
{
	struct migration *m = ctx;
	g_autofree char *text = NULL;

	tell_note(m->mvd, m->to, reply);
	if (reply->answer) {
		m->place = json_object_get(reply->answer);
		step_done(m);
		return;
	}
	text = reply->refused ?
		g_strdup_printf("%s cannot take it: %s", m->to, reply->error) :
		g_strdup_printf("%s does not answer: %s", m->to, reply->error);
	step_failed(m, text);
}

static void reserve(struct migration *m)
{
	const struct job_facts *facts = &m->job->facts;
	const struct virt_facts *host = virt_facts(m->mvd->virt);
	struct json_object *body = question(m, "reserve");

	event_add_string(body, "home", facts->home);
	event_add_number(body, "memory", facts->memory);
	event_add_number(body, "cpus", facts->cpus);
	event_add_string(body, "accel", accel_name(facts->accel));
	event_add_number(body, "qemu", (int64_t)host->qemu_version);
	event_add_string(body, "cpu", host->kvm_cpu ? host->kvm_cpu : "");
	event_add_bool(body, "postcopy", m->postcopy);
	event_add_number(body, "time", g_get_real_time() / 1000);
	scheduler_describe_move(m->job, body);
	if (facts->transport == JOB_VSOCK)
		event_add_number(body, "vsock_port", facts->vsock_port);
	peer_ask(m->mvd->peers, m->to, body, ASK_MS, on_reserved, m);
}

static void on_released(void *ctx, const struct peer_reply *reply)
{
	(void)ctx;
	(void)reply;
}

static void release(struct migration *m)
{
	if (m->place)
		peer_ask(m->mvd->peers, m->to, question(m, "release"), ASK_MS,
			 on_released, NULL);
}

/* Announce: in the domain's metadata and at home */

static void on_noted(void *ctx, const struct virt_result *result)
{
	struct migration *m = ctx;

	if (result->error)
		step_failed(m, result->error);
	else
		step_done(m);
}

static void announce(struct migration *m)
{
	struct job *job = m->job;
	g_autofree char *why = scheduler_move_reason(job);
	struct json_object *body;

	job->facts.attempt = m->incarnation;
	if (job->foreign) {
		body = question(m, "moving");
		event_add_string(body, "to", m->to);
		event_add_string(body, "why", why);
		peer_ask(m->mvd->peers, job->facts.home, body, ASK_MS,
			 on_released, NULL);
	} else {
		home_moving(job, m->to, m->incarnation, why);
	}
	job_call(job, CALL_SAVE, on_noted, m);
}

/* Prepare */

static const char *place_text(const struct migration *m, const char *field)
{
	struct json_object *value;

	if (!json_object_object_get_ex(m->place, field, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

static struct tunnel *dig(struct migration *m, const char *name, unsigned uid,
			  struct err *err)
{
	g_autofree char *path = g_build_filename(m->dir, name, NULL);
	struct json_object *body = question(m, name);
	struct tunnel *tunnel;

	event_add_bool(body, "compress", true);
	tunnel = tunnel_new(m->mvd->peers, m->to, path, uid,
					   body, err);

	json_object_put(body);
	return tunnel;
}

static int make_tunnels(struct migration *m, struct err *err)
{
	const char *dac = virt_facts(m->mvd->virt)->dac[m->job->facts.accel];

	/* QEMU's socket has the same path at both ends, so says libvirt. */
	if (strcmp(m->dir, place_text(m, "dir")) != 0)
		return err_set(err, 0, "%s keeps its sockets in another "
			       "directory", m->to);
	if (arrivals_make_dir(m->mvd, m->dir, dac, err) < 0)
		return -1;
	m->libvirt = dig(m, "libvirt", 0, err);
	m->memory = m->libvirt ? dig(m, "memory", arrivals_uid(dac), err) : NULL;
	return m->memory ? 0 : -1;
}

static void prepare(struct migration *m)
{
	struct err err = { 0 };

	if (make_tunnels(m, &err) < 0)
		step_failed(m, err.text);
	else
		step_done(m);
}

static void fill_in(struct migration *m)
{
	g_clear_pointer(&m->libvirt, tunnel_free);
	g_clear_pointer(&m->memory, tunnel_free);
	arrivals_remove_dir(m->dir);
}

/* Transfer: pre-copy, and the switch-over at its end */

/* libvirt tells what it felt, as a broken pipe. */
static void transfer_failed(struct migration *m, const char *error)
{
	g_autofree char *text = NULL;

	if (m->aborted)
		error = given_up(m);
	else
		error = text = g_strdup_printf("the transfer broke off (%s)",
					       error);
	step_failed(m, error);
}

static void on_moved(void *ctx, const struct virt_moved *moved)
{
	struct migration *m = ctx;

	m->move = NULL;
	m->stats = moved->stats;
	m->sent = tunnel_sent(m->memory);
	if (!moved->error)
		step_done(m);
	else
		transfer_failed(m, moved->error);
}

static void target_facts(const struct migration *m, struct job_facts *facts)
{
	job_facts_copy(facts, &m->job->facts);
	g_free(facts->agent);
	facts->agent = g_strdup(place_text(m, "agent"));
	g_free(facts->from);
	facts->from = g_strdup(m->mvd->node);
	facts->incarnation = facts->attempt = m->incarnation;
	facts->moves++;
	facts->age_ms = scheduler_age_ms(m->job);
}

/*
 * In emulation QEMU loses some of what a guest writes while it is sent: its mark
 * of a changed page may be cleared between the moment when a processor looks at
 * it and the moment when that processor stops looking (notdirty_write() and
 * tlb_reset_dirty() in accel/tcg/cputlb.c). Seen with QEMU 7.2 alone in 8 of 30
 * migrations of a busy guest; a guest that stands still loses nothing. A test that
 * wants to see how a live migration ends, and not what became of the guest, makes
 * the file "live" beside those that hold a stage.
 */
static bool keeps_track(const struct job *job)
{
	return job->facts.accel == ACCEL_KVM || migrate_is_held("live");
}

static void transfer(struct migration *m)
{
	g_autofree char *stream = g_build_filename(m->dir, "memory", NULL);
	g_autofree char *uri = g_strdup_printf(
		"qemu+unix:///system?socket=%s/libvirt", m->dir);
	const char *dac = place_text(m, "dac");
	struct domain_place place = {
		.kernel = place_text(m, "kernel"),
		.initramfs = place_text(m, "initramfs"),
		.socket = place_text(m, "socket"),
		.console = place_text(m, "console"),
		.dac = *dac ? dac : NULL,
	};
	struct job_facts facts;
	g_autofree char *name = NULL;
	struct virt_move_spec spec = {
		.uuid = m->job->facts.uuid, .libvirt = uri, .stream = stream,
		.place = &place, .facts = &facts,
		.live = keeps_track(m->job), .postcopy = m->postcopy,
	};

	target_facts(m, &facts);
	name = domain_name(&facts, m->to);
	spec.name = name;
	m->move = virt_move_begin(m->mvd->virt, &spec, on_moved, m);
	job_facts_clear(&facts);
}

static gboolean on_confirm_again(void *p);

static void leftover_done(void *ctx, const struct virt_result *result)
{
	struct job *job = ctx;

	if (result->error && !result->no_domain)
		g_message("cannot destroy a copy that a failed move has left: %s",
			  result->error);
	else if (job->host &&
		 !arrivals_expects(job->mvd->jobs->arrivals, job->facts.uuid))
		boot_remove_files(job->mvd, job->facts.uuid, NULL);
	job_unref(job);
}

/* Until mvrun is linked to the other copy, the one here may be needed again. */
static void watch_leftover(struct job *job)
{
	bool ends = job->stage != JOB_UP || job_is_ending(job);

	if (!job->leftover)
		return;
	if (!ends && job->lost) {
		home_take_back(job);
		return;
	}
	if (!ends && job->confirmed < job->facts.incarnation) {
		g_timeout_add(CONFIRM_AGAIN_MS, on_confirm_again, job_ref(job));
		return;
	}
	job->leftover = false;
	virt_destroy(job->mvd->virt, job->facts.uuid, leftover_done,
		     job_ref(job));
}

void migrate_watch_leftover(struct job *job)
{
	if (job->leftover)
		return;
	job->leftover = true;
	watch_leftover(job);
}

static gboolean on_confirm_again(void *p)
{
	struct job *job = p;

	watch_leftover(job);
	job_unref(job);
	return G_SOURCE_REMOVE;
}

static void stay(struct migration *m)
{
	struct job *job = m->job;

	/* mvrun has ended: finish() destroys what is here. */
	if (job->stage != JOB_UP || (job_is_ending(job) && !job->host))
		return;
	/* Home has accepted the target's copy although libvirt reports a failure. */
	if (job->host)
		migrate_watch_leftover(job);
	else
		hosting_claim(job);
}

/* Release: nothing of it is left here */

static void forget(struct migration *m)
{
	struct job *job = m->job;
	g_autofree char *domain = g_strdup(job->domain);

	fill_in(m);
	boot_remove_files(m->mvd, job->facts.uuid, domain);
	if (job->foreign) {
		if (job->stage == JOB_UP && !job->mvrun_gone)
			hosting_ended(job, GONE_UNKNOWN, "", m->to);
		jobs_remove(job);
	} else if (!job->host && job->stage == JOB_UP) {
		/* The target will say that it has it. */
		job->absent = true;
		job->heard = g_get_monotonic_time() / 1000;
	}
	step_done(m);
}

static const struct stage stages[] = {
	{ "reserve", reserve, release },
	{ "announce", announce, NULL },
	{ "prepare", prepare, fill_in },
	{ "transfer", transfer, stay },
	{ "release", forget, NULL },
};

/* The walk */

static void migration_free(struct migration *m)
{
	json_object_put(m->place);
	g_free(m->to);
	g_free(m->dir);
	g_free(m->error);
	job_unref(m->job);
	g_free(m);
}

static void report(struct migration *m)
{
	struct migrated result = {
		.error = m->error,
		.from = m->mvd->node,
		.to = m->to,
		.stats = m->stats,
		.sent = m->sent,
		.total_ms = (uint64_t)(g_get_monotonic_time() - m->since) / 1000,
	};

	if (m->error)
		g_message("job %ld does not move to %s: %s",
			  (long)m->job->facts.pid, m->to, m->error);
	else
		g_message("job %ld has moved to %s: %llu ms, %llu ms of them "
			  "stopped, %llu KiB in %u rounds",
			  (long)m->job->facts.pid, m->to,
			  (unsigned long long)result.total_ms,
			  (unsigned long long)result.stats.downtime_ms,
			  (unsigned long long)result.sent / 1024,
			  result.stats.rounds);
	m->done(m->ctx, &result);
	migration_free(m);
}

/* libvirt has reported a failure; home knows which copy is the job. */
static gboolean on_judged(void *p)
{
	struct migration *m = p;
	const struct job *job = m->job;
	char *error;

	if (job->claiming && g_get_monotonic_time() < m->judged_by)
		return G_SOURCE_CONTINUE;
	if (job->stale || !job_is_here(job)) {
		g_message("job %ld: %s; its copy at %s had begun",
			  (long)job->facts.pid, m->error, m->to);
		g_clear_pointer(&m->error, g_free);
	} else if (job->claiming) {
		error = g_strdup_printf("%s; whether it has begun there is not "
					"known yet, see mvctl jobs", m->error);
		g_free(m->error);
		m->error = error;
	}
	report(m);
	return G_SOURCE_REMOVE;
}

static void finish(struct migration *m)
{
	struct job *job = m->job;

	job->migration = NULL;
	/* Its mvrun ended meanwhile, and destroying it was put off. */
	if (job->stage == JOB_UP && job_is_ending(job))
		job_destroy(job);
	if (!m->error || !(job->claiming || !job_is_here(job))) {
		report(m);
		return;
	}
	m->judged_by = g_get_monotonic_time() + JUDGE_S * G_USEC_PER_SEC;
	g_timeout_add(JUDGE_LOOK_MS, on_judged, m);
}

bool migrate_is_held(const char *point)
{
	const char *dir = g_getenv("MVD_HOLD_DIR");
	g_autofree char *path = dir ? g_build_filename(dir, point, NULL) : NULL;
	int fd = path ? open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	bool held = fd >= 0;

	if (held && write(fd, "held\n", 5) < 0)
		g_message("cannot write to %s", path);
	if (held)
		close(fd);
	return held;
}

static bool is_held(const struct migration *m)
{
	return migrate_is_held(stages[m->stage].name);
}

/* The job has ended, or nobody wants it to move any more; what is done is undone.
 * After the transfer it is too late for that. */
static bool is_given_up(const struct migration *m)
{
	bool ends = m->job->mvrun_gone || m->job->stage == JOB_GONE ||
		    m->aborted;

	return ends && m->stage < G_N_ELEMENTS(stages) - 1;
}

static void begin_stage(struct migration *m)
{
	if (!is_given_up(m)) {
		stages[m->stage].begin(m);
		return;
	}
	if (m->stage > 0 && stages[--m->stage].undo)
		stages[m->stage].undo(m);
	step_failed(m, given_up(m));
}

static gboolean on_hold(void *p)
{
	struct migration *m = p;

	if (is_held(m))
		return G_SOURCE_CONTINUE;
	begin_stage(m);
	return G_SOURCE_REMOVE;
}

static void enter_stage(struct migration *m)
{
	if (is_held(m))
		g_timeout_add(HOLD_LOOK_MS, on_hold, m);
	else
		begin_stage(m);
}

static void step_done(struct migration *m)
{
	m->stage++;
	if (m->stage < G_N_ELEMENTS(stages))
		enter_stage(m);
	else
		finish(m);
}

static void step_failed(struct migration *m, const char *error)
{
	m->error = g_strdup(m->job->stage == JOB_GONE ?
			    "it has ended meanwhile" : error);
	/* A transfer that failed may have got through all the same. */
	if (stages[m->stage].begin == transfer)
		stages[m->stage].undo(m);
	while (m->stage > 0) {
		m->stage--;
		if (stages[m->stage].undo)
			stages[m->stage].undo(m);
	}
	finish(m);
}

char *migrate_obstacle(const struct job *job)
{
	if (job->facts.pin)
		return g_strdup("it is pinned (mvrun --pin)");
	if (job->facts.stay_home)
		return g_strdup("it was started to run at home (mvrun --home)");
	if (job->stage != JOB_UP)
		return g_strdup("it has no microVM yet");
	if (!job->facts.started)
		return g_strdup("its program has not started yet");
	if (job_is_ending(job))
		return g_strdup("it is ending");
	if (job->saved)
		return g_strdup("it is saved in a file (virsh restore brings it "
				"back)");
	if (job->absent)
		return g_strdup("it is on its way between two nodes");
	if (job->claiming)
		return g_strdup("it is not known yet how its last move has ended");
	if (job->lost && job->foreign)
		return g_strdup("its home is out of reach");
	if (job->lost)
		return g_strdup("its host is out of reach");
	if (!peers_in_cluster(job->mvd->peers))
		return g_strdup("this node is in no cluster (mvctl cluster init)");
	return NULL;
}

static char *wrong_target(const struct job *job, const char *to)
{
	struct peers *peers = job->mvd->peers;
	struct peer_info info;
	unsigned i;

	if (strcmp(to, job->mvd->node) == 0)
		return g_strdup_printf("it is at %s already", to);
	if (job->migration)
		return g_strdup("it is just moving already");
	for (i = 0; i < peers_count(peers); i++) {
		peers_get(peers, i, &info);
		if (strcmp(info.name, to) == 0)
			return NULL;
	}
	return g_strdup_printf("there is no node %s in the cluster", to);
}

void migrate_begin(struct job *job, const char *to, bool postcopy,
		   migrated_fn done, void *ctx)
{
	g_autofree char *error = migrate_obstacle(job);
	struct migrated result = { .from = job->mvd->node, .to = to };
	struct migration *m;

	if (!error)
		error = wrong_target(job, to);
	if (!error && postcopy && !keeps_track(job))
		error = g_strdup("post-copy is not safe in emulation");
	if (error) {
		result.error = error;
		done(ctx, &result);
		return;
	}
	m = g_new0(struct migration, 1);
	m->job = job_ref(job);
	m->mvd = job->mvd;
	m->to = g_strdup(to);
	m->postcopy = postcopy;
	m->since = g_get_monotonic_time();
	m->done = done;
	m->ctx = ctx;
	m->dir = arrivals_dir(job->mvd, job->facts.uuid);
	m->incarnation = MAX(job->facts.attempt, job->facts.incarnation) + 1;
	job->migration = m;
	enter_stage(m);
}

void migrate_abort(struct job *job)
{
	if (!job->migration)
		return;
	job->migration->aborted = true;
	if (job->migration->move)
		virt_move_abort(job->migration->move);
}

bool migrate_progress(const struct job *job, struct migrate_progress *progress)
{
	const struct migration *m = job->migration;

	if (!m)
		return false;
	memset(progress, 0, sizeof(*progress));
	progress->to = m->to;
	progress->stage = stages[m->stage].name;
	if (m->move)
		progress->stats = *virt_move_stats(m->move);
	if (m->memory)
		progress->sent = tunnel_sent(m->memory);
	return true;
}

struct json_object *migrated_to_json(const struct migrated *result)
{
	const struct virt_move_stats *stats = &result->stats;
	struct json_object *object = json_object_new_object();

	event_add_string(object, "from", result->from);
	event_add_string(object, "to", result->to);
	event_add_number(object, "total_ms", (int64_t)result->total_ms);
	event_add_number(object, "transfer_ms", (int64_t)stats->total_ms);
	event_add_number(object, "downtime_ms", (int64_t)stats->downtime_ms);
	event_add_number(object, "bytes", (int64_t)result->sent);
	event_add_number(object, "uncompressed", (int64_t)stats->bytes);
	event_add_number(object, "memory", (int64_t)stats->memory);
	event_add_number(object, "rounds", stats->rounds);
	return object;
}
