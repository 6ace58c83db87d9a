/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The agent makes the connection to the guest and hands its descriptor to
 * mvrun, keeping no copy: a running job does not need the agent. Two ways:
 * QEMU listens on a unix socket for the virtio-serial port, one peer at a time,
 * and the agent connects; or the guest dials by vsock, the agent accepts and
 * keeps the newest connection until mvrun asks.
 */
#include "vmm-agent/mvd-jobs.h"

#include "net/cleanup.h"
#include "vmm-agent/agent-paths.h"
#include "vmm-agent/mvd-boot.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_MS 100
#define DIAL_LIMIT_S 60

static void deliver(struct job *job, int fd)
{
	struct json_object *event = event_new("attach");

	event_add_string(event, "uuid", job->facts.uuid);
	event_add_string(event, "transport",
			 job_transport_name(job->facts.transport));
	client_send_fd(job->client, event, fd);
	job_attach_stop(job);
}

static int connect_port(const struct job *job)
{
	g_autofree char *path = boot_socket(job->mvd, job->facts.uuid);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
				   SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	if (fd < 0 || agent_address(&address, path, NULL) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return steal_fd(&fd);
}

/* Returns true when the transport went to mvrun. */
static bool try_attach(struct job *job)
{
	int fd;

	if (!job->client)
		return false;
	fd = job->facts.transport == JOB_VSOCK ? steal_fd(&job->dialled) :
						 connect_port(job);
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

	if (job->facts.transport != JOB_VSOCK || job->facts.started)
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
		if (job->stage != JOB_UP || job->cid != cid)
			continue;
		cleanup_fd_(&job->dialled);
		job->dialled = steal_fd(&guest);
		if (job->attach_wanted)
			try_attach(job);
		return;
	}
}
