/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvd, the agent of a node: main() and the wiring of its parts (see mvd.h).
 */
#include "config.h"
#include "vmm-agent/mvd.h"

#include "net/peer.h"
#include "vmm-agent/mvd-cluster.h"
#include "vmm-agent/mvd-discover.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-libvirt.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-probe.h"
#include "vmm-agent/mvd-questions.h"
#include "vmm-agent/mvd-requests.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-server.h"
#include "vmm-agent/mvd-vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE_LOOK_S 30
#define IDLE_LIMIT_S 600
#define MAX_LOG (4 * 1024 * 1024)

/* A private agent ends by itself when nobody has used it for a while. */
struct idle {
	struct mvd *mvd;
	gint64 since; /* 0: in use */
};

/* The log: one line per message on stderr, with the time when it is a file. */
static GLogWriterOutput write_log(GLogLevelFlags level,
				  const GLogField *fields, gsize n, void *ctx)
{
	const struct mvd_config *config = ctx;
	const char *message = "";
	char when[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	gsize i;

	if ((level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)) &&
	    !(config->verbose && (level & G_LOG_LEVEL_INFO)))
		return G_LOG_WRITER_HANDLED;
	for (i = 0; i < n; i++)
		if (strcmp(fields[i].key, "MESSAGE") == 0)
			message = fields[i].value;
	if (config->daemonize && localtime_r(&now, &tm))
		strftime(when, sizeof(when), "%F %T ", &tm);
	fprintf(stderr, "%smvd: %s\n", when, message);
	fflush(stderr);
	return G_LOG_WRITER_HANDLED;
}

/* Daemonizing: the parent waits until clients can connect. */

static int wait_ready(pid_t child, int ready)
{
	char byte;
	int status;

	if (TEMP_FAILURE_RETRY(read(ready, &byte, 1)) == 1)
		return 0;
	if (TEMP_FAILURE_RETRY(waitpid(child, &status, 0)) == child &&
	    WIFEXITED(status))
		return WEXITSTATUS(status);
	return 1;
}

/* Returns, in the child, the descriptor to report readiness on. */
static int go_background(void)
{
	int ends[2], null;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	child = fork();
	if (child < 0)
		return -1;
	if (child > 0) {
		close(ends[1]);
		_exit(wait_ready(child, ends[0]));
	}
	close(ends[0]);
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		close(null);
	}
	return ends[1];
}

/* From here on stderr is the log, and whoever started us may go on. */
static void report_ready(const struct mvd_config *config, int ready)
{
	int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
	struct stat st;
	int log = open(config->log_path, flags, 0600);

	if (log >= 0 && fstat(log, &st) == 0 && st.st_size > MAX_LOG)
		(void)!ftruncate(log, 0);
	if (log >= 0) {
		dup2(log, STDERR_FILENO);
		close(log);
	}
	(void)!chdir("/");
	(void)!write(ready, "r", 1);
	close(ready);
}

/* The wiring: what comes from one part concerns others. */

static void on_request(void *ctx, struct client *client,
		       const struct request *request)
{
	mvd_request(ctx, client, request);
}

static void on_closed(void *ctx, struct client *client)
{
	struct mvd *mvd = ctx;

	jobs_forget_client(mvd->jobs, client);
}

static const struct server_handlers server_handlers = {
	.request = on_request,
	.closed = on_closed,
};

static void on_up(void *ctx, GPtrArray *domains)
{
	struct mvd *mvd = ctx;

	if (node_kvm_closed(virt_facts(mvd->virt)->dac[ACCEL_TCG]))
		g_message("QEMU's user cannot open /dev/kvm: libvirt will take "
			  "a minute to start a domain (chgrp kvm /dev/kvm)");
	jobs_reconcile(mvd->jobs, domains);
	probe_advance(mvd->probe);
	jobs_advance(mvd->jobs);
	server_open(mvd->server);
}

static void on_down(void *ctx)
{
	struct mvd *mvd = ctx;

	probe_abort(mvd->probe);
	jobs_advance(mvd->jobs);
	server_open(mvd->server);
}

static void on_event(void *ctx, const char *uuid, enum virt_event event)
{
	struct mvd *mvd = ctx;

	if (!probe_event(mvd->probe, uuid, event))
		jobs_event(mvd->jobs, uuid, event);
}

static const struct virt_handlers virt_handlers = {
	.up = on_up,
	.down = on_down,
	.event = on_event,
};

static void on_kit(void *ctx)
{
	struct mvd *mvd = ctx;

	probe_advance(mvd->probe);
	jobs_advance(mvd->jobs);
}

static void on_verdict(void *ctx)
{
	struct mvd *mvd = ctx;

	jobs_advance(mvd->jobs);
}

static void on_dialled(void *ctx, unsigned cid, int fd)
{
	struct mvd *mvd = ctx;

	jobs_dialled(mvd->jobs, cid, fd);
}

static void on_question(void *ctx, const char *from, struct json_object *body,
			struct peer_question *question)
{
	mvd_question(ctx, from, body, question);
}

static void on_stream(void *ctx, const char *from, struct json_object *body,
		      struct peer_stream *stream)
{
	mvd_stream(ctx, from, body, stream);
}

/* In a cluster a node has the name that its certificate says. */
static void on_roster(void *ctx)
{
	struct mvd *mvd = ctx;
	const char *name = peers_self(mvd->peers);

	if (name && strcmp(name, mvd->node) != 0) {
		g_free(mvd->node);
		mvd->node = g_strdup(name);
	}
	mvd_gossip_roster(mvd);
	mvd_discover_roster(mvd);
	scheduler_wake(mvd);
	/* To read one of thousands takes megabytes for a moment, and the next comes late. */
	malloc_trim(0);
}

static const struct peers_handlers peers_handlers = {
	.question = on_question,
	.stream = on_stream,
	.roster = on_roster,
};

static gboolean on_signal(void *ctx)
{
	struct mvd *mvd = ctx;

	g_main_loop_quit(mvd->loop);
	return G_SOURCE_CONTINUE;
}

static gboolean on_idle_look(void *p)
{
	struct idle *idle = p;
	struct mvd *mvd = idle->mvd;
	gint64 now = g_get_monotonic_time();

	if (jobs_count(mvd->jobs) > 0 || server_clients(mvd->server) > 0)
		idle->since = 0;
	else if (idle->since == 0)
		idle->since = now;
	else if (now - idle->since > IDLE_LIMIT_S * G_USEC_PER_SEC)
		g_main_loop_quit(mvd->loop);
	return G_SOURCE_CONTINUE;
}

static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int mvd_start(struct mvd *mvd, struct err *err)
{
	const struct mvd_config *config = &mvd->config;
	g_autofree char *cluster = cluster_dir(mvd);

	mvd->node = g_strdup(g_get_host_name());
	mvd->peers = peers_new(cluster, &peers_handlers, mvd, err);
	if (!mvd->peers)
		return -1;
	on_roster(mvd);
	mvd_gossip_start(mvd);
	mvd_discover_start(mvd);
	mvd->virt = virt_new(config->uri, &virt_handlers, mvd);
	mvd->kit = kit_new(config, on_kit, mvd);
	mvd->probe = probe_new(mvd, on_verdict, mvd);
	mvd->vsock = vsock_new(on_dialled, mvd);
	mvd->jobs = jobs_new(mvd);
	scheduler_start(mvd);
	mvd->server = server_new(config->socket,
				 config->session ? 0600 : 0666, mvd->node,
				 &server_handlers, mvd, err);
	if (!mvd->server)
		return -1;
	mvd->loop = g_main_loop_new(NULL, FALSE);
	g_unix_signal_add(SIGTERM, on_signal, mvd);
	g_unix_signal_add(SIGINT, on_signal, mvd);
	g_unix_signal_add(SIGHUP, on_signal, mvd);
	virt_connect(mvd->virt);
	kit_prepare(mvd->kit);
	return 0;
}

/* Domains go on without us; a successor adopts them. */
static void mvd_stop(struct mvd *mvd)
{
	mvd_cluster_stop();
	mvd_discover_stop(mvd);
	mvd_gossip_stop(mvd);
	scheduler_stop(mvd);
	if (mvd->server)
		server_free(mvd->server);
	if (mvd->peers)
		peers_free(mvd->peers);
	if (mvd->jobs) {
		jobs_free(mvd->jobs);
		vsock_free(mvd->vsock);
		probe_free(mvd->probe);
		kit_free(mvd->kit);
		virt_free(mvd->virt);
	}
	if (mvd->loop)
		g_main_loop_unref(mvd->loop);
	g_free(mvd->node);
}

static int run(struct mvd *mvd, int ready, struct err *err)
{
	struct idle idle = { .mvd = mvd };
	int rc = mvd_start(mvd, err);

	if (rc == 0) {
		if (mvd->config.daemonize)
			report_ready(&mvd->config, ready);
		if (mvd->config.session)
			g_timeout_add_seconds(IDLE_LOOK_S, on_idle_look, &idle);
		g_message("serving %s", mvd->config.socket);
		g_main_loop_run(mvd->loop);
	}
	mvd_stop(mvd);
	return rc;
}

static int fail(const struct err *err)
{
	fprintf(stderr, "mvd: %s\n", err->text);
	return 1;
}

int main(int argc, char **argv)
{
	struct mvd mvd = { 0 };
	struct err err = { 0 };
	int ready = -1, rc;

	setlocale(LC_ALL, "");
	/* While there is one thread: other versions of TLS are not offered. */
	setenv("G_TLS_GNUTLS_PRIORITY", PEER_TLS_PRIORITY, 1);
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	if (mvd_config_parse(&mvd.config, argc, argv, &err) < 0)
		return fail(&err);
	if (mvd.config.daemonize && (ready = go_background()) < 0) {
		err_set(&err, errno, "cannot go to the background");
		return fail(&err);
	}
	raise_limits();
	g_log_set_writer_func(write_log, &mvd.config, NULL);
	rc = mvd_config_prepare(&mvd.config, &err);
	if (rc == 0)
		rc = mvd_config_lock(&mvd.config, &err);
	if (rc == 0)
		rc = run(&mvd, ready, &err);
	mvd_config_clear(&mvd.config);
	return rc < 0 ? fail(&err) : 0;
}
