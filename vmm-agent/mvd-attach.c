/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The agent makes the connection to the guest and hands its descriptor to
 * mvrun: a running job does not need the agent. Two ways:
 * QEMU listens on a unix socket for the virtio-serial port, one peer at a time,
 * and the agent connects; or the guest dials by vsock, the agent accepts and
 * keeps the newest connection until mvrun asks.
 *
 * A guest that has moved may dial twice: the reset of its transport, which comes with a
 * move, can end a connection that it has just made, and the host does not hear of
 * that. So of a vsock the agent keeps a copy, and ends it when the guest dials again:
 * whoever has the old connection then sees at once what would else be silence.
 */
#include "vmm-agent/mvd-jobs.h"

#include "net/cleanup.h"
#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-dial.h"
#include "vmm-agent/mvd-migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_MS 100
#define DIAL_LIMIT_S 60
#define OPEN_LIMIT_MS 10000
#define EARLY_LIMIT_MS 60000
#define EARLY_AGAIN_MS 50
#define OPEN_AGAIN_MS 300

static void deliver(struct job *job, int fd)
{
	struct json_object *event = event_new("attach");

	event_add_string(event, "uuid", job->facts.uuid);
	event_add_string(event, "transport",
			 job_transport_name(job->facts.transport));
	event_add_string(event, "host", job->host ? job->host : job->mvd->node);
	event_add_number(event, "incarnation", job->facts.incarnation);
	client_send_fd(job->client, event, fd);
	job_attach_stop(job);
}

/* It has moved, mvrun has no link to where it is now, and a test wants it so. */
static bool is_held(const struct job *job)
{
	return job->confirmed && job->confirmed < job->facts.incarnation &&
	       migrate_is_held("attach");
}

/* The connection that somebody has is of no use any more: to the guest, which has
 * dialled again, or to who asks for another one. */
static void end_handed(struct job *job)
{
	if (job->handed < 0)
		return;
	shutdown(job->handed, SHUT_RDWR);
	cleanup_fd_(&job->handed);
	job->handed = -1;
}

static int hand_over(struct job *job)
{
	end_handed(job);
	if (job->dialled >= 0)
		job->handed = fcntl(job->dialled, F_DUPFD_CLOEXEC, 0);
	return steal_fd(&job->dialled);
}

int job_connect(struct job *job)
{
	g_autofree char *path = boot_socket(job->mvd, job->facts.uuid);

	if (job->facts.transport == JOB_VSOCK)
		return hand_over(job);
	return dial_now(path);
}

/* ---- to another node ---- */

struct opening {
	struct job *job; /* a reference */
	unsigned incarnation;
	bool early;
};

static void drop_spare(struct job *job)
{
	cleanup_fd_(&job->spare);
	job->spare = -1;
}

/* QEMU has one peer at a time: a forgotten connection would keep others out. */
static void keep_spare(struct job *job, int fd, unsigned incarnation)
{
	if (incarnation != job->spare_incarnation) {
		close(fd);
		return;
	}
	drop_spare(job);
	job->spare = fd;
}

static void opened(struct opening *opening, int fd)
{
	struct job *job = opening->job;
	bool current = opening->incarnation == job->facts.incarnation;

	if (opening->early && !(current && job->host)) {
		keep_spare(job, fd, opening->incarnation);
	} else if (job->stage == JOB_UP && job->attach_wanted && job->client &&
		   job->host && current && !is_held(job)) {
		deliver(job, fd);
	} else {
		close(fd);
	}
}

static void on_opened(void *ctx, int fd, const char *error)
{
	struct opening *opening = ctx;
	struct job *job = opening->job;

	if (!opening->early)
		job->opening = false;
	if (fd < 0)
		g_info("job %ld: no stream to its host: %s",
		       (long)job->facts.pid, error);
	else if (job->stage == JOB_GONE)
		close(fd);
	else
		opened(opening, fd);
	job_unref(job);
	g_free(opening);
}

static void open_stream(struct job *job, const char *node, unsigned incarnation,
			bool early)
{
	struct opening *opening = g_new0(struct opening, 1);
	struct json_object *body = json_object_new_object();

	opening->job = job_ref(job);
	opening->incarnation = incarnation;
	opening->early = early;
	event_add_string(body, "op", "link");
	event_add_string(body, "uuid", job->facts.uuid);
	event_add_number(body, "incarnation", incarnation);
	peer_open(job->mvd->peers, node, body,
		  early ? EARLY_LIMIT_MS : OPEN_LIMIT_MS, on_opened, opening);
}

/* ---- to here, from another node ---- */

struct waiting {
	struct job *job; /* a reference */
	unsigned incarnation;
	gint64 until;
};

static bool is_expected(const struct waiting *waiting)
{
	const struct job *job = waiting->job;

	return job->stage == JOB_UP && !job_is_here(job) &&
	       job->spare_incarnation == waiting->incarnation &&
	       g_get_monotonic_time() < waiting->until;
}

static gboolean on_wait(void *p)
{
	struct waiting *waiting = p;
	struct job *job = waiting->job;
	int fd = is_expected(waiting) ? job_connect(job) : -1;

	if (fd < 0 && is_expected(waiting))
		return G_SOURCE_CONTINUE;
	if (fd >= 0)
		keep_spare(job, fd, waiting->incarnation);
	job_unref(job);
	g_free(waiting);
	return G_SOURCE_REMOVE;
}

/* A guest whose port has no peer when it goes on makes a pause before it looks
 * again. QEMU listens as soon as it waits for the guest's memory. */
static void wait_here(struct job *job, unsigned incarnation)
{
	struct waiting *waiting = g_new0(struct waiting, 1);

	waiting->job = job_ref(job);
	waiting->incarnation = incarnation;
	waiting->until = g_get_monotonic_time() + EARLY_LIMIT_MS * 1000;
	g_timeout_add(EARLY_AGAIN_MS, on_wait, waiting);
}

void job_attach_early(struct job *job, const char *to, unsigned incarnation)
{
	drop_spare(job);
	job->spare_incarnation = incarnation;
	job->spare_here = strcmp(to, job->mvd->node) == 0;
	if (!job->spare_here)
		open_stream(job, to, incarnation, true);
	else if (job->facts.transport != JOB_VSOCK)
		wait_here(job, incarnation);
}

static int take_spare(struct job *job)
{
	/* Whatever it was opened for, it leads to the copy that is here. */
	if (!job->host && job->spare_here)
		return steal_fd(&job->spare);
	if (job->spare_incarnation < job->facts.incarnation)
		drop_spare(job);
	if (job->spare_incarnation != job->facts.incarnation || job->spare_here)
		return -1;
	return steal_fd(&job->spare);
}

static bool attach_there(struct job *job)
{
	gint64 now = g_get_monotonic_time();
	int fd = take_spare(job);

	if (fd >= 0) {
		deliver(job, fd);
		return true;
	}
	if (job->opening || now < job->open_again)
		return false;
	job->opening = true;
	job->open_again = now + OPEN_AGAIN_MS * 1000;
	open_stream(job, job->host, job->facts.incarnation, false);
	return false;
}

/* Returns true when the transport went to mvrun. */
static bool try_attach(struct job *job)
{
	int fd;

	if (!job->client || job->absent || is_held(job))
		return false;
	if (job->host)
		return attach_there(job);
	fd = take_spare(job);
	if (fd < 0)
		fd = job_connect(job);
	if (fd < 0)
		return false;
	deliver(job, fd);
	return true;
}

/* A guest that has not dialled in all this time will not. mvrun cannot tell: its
 * own limit begins with the transport. */
static bool dials_no_more(struct job *job)
{
	gint64 now = g_get_monotonic_time();

	if (job->facts.transport != JOB_VSOCK || job->facts.started ||
	    job->host)
		return false;
	if (job->freeze.paused)
		job->attach_since = now;
	return now - job->attach_since > DIAL_LIMIT_S * G_USEC_PER_SEC;
}

static gboolean on_retry(void *p)
{
	struct job *job = p;

	if (try_attach(job))
		return G_SOURCE_REMOVE;
	if (!dials_no_more(job))
		return G_SOURCE_CONTINUE;
	job_boot_failed(job);
	return G_SOURCE_REMOVE;
}

/*
 * QEMU refuses while the old connection is not yet closed and its queue is
 * full; it is asked again soon, for as long as the job wants it.
 */
void job_attach(struct job *job)
{
	job->attach_wanted = true;
	if (job->stage != JOB_UP || job->attach_timer || try_attach(job))
		return;
	job->attach_since = g_get_monotonic_time();
	job->attach_timer = g_timeout_add(RETRY_MS, on_retry, job);
}

void job_attach_stop(struct job *job)
{
	job->attach_wanted = false;
	g_clear_handle_id(&job->attach_timer, g_source_remove);
}

void jobs_dialled(struct jobs *jobs, unsigned cid, int fd)
{
	cleanup_fd int guest = fd;
	GHashTableIter iter;
	struct job *job;

	g_hash_table_iter_init(&iter, jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job)) {
		/* One that has moved away had this address, and may have it no more. */
		if (job->stage != JOB_UP || !job_is_here(job) || job->cid != cid)
			continue;
		end_handed(job);
		cleanup_fd_(&job->dialled);
		job->dialled = steal_fd(&guest);
		if (job->attach_wanted)
			try_attach(job);
		return;
	}
}
