/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * One worker thread makes libvirt's one call for the whole migration. Another
 * asks twice a second how far it is, because such a call may block too. A guest
 * that changes its memory faster than the network carries it is slowed down
 * (auto-converge), and may be stopped a little longer for the last round with
 * every round that did not suffice: nothing has to be tuned.
 */
#include "vmm-agent/mvd-virt-move.h"

#include "vmm-agent/mvd-libvirt-handle.h"

#include <gio/gio.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 500
#define FIRST_DOWNTIME_MS 100
#define LAST_DOWNTIME_MS 3000
#define ROUNDS_PER_STEP 2
/* A guest still not converged by then is sent by post-copy, if that is allowed. */
#define POSTCOPY_ROUND 2

struct virt_move {
	gatomicrefcount refs; /* the owner's, and one of each thread */
	virConnectPtr conn;   /* NULL: not connected */
	char *uuid, *name, *libvirt, *stream;
	struct domain_place place;
	struct job_facts facts;
	bool live, postcopy;
	virt_moved_fn done;
	void *ctx;
	char *error;
	struct virt_move_stats final;
	/* The main loop's */
	struct virt_move_stats stats;
	guint timer;
	bool looking, aborted, switched;
	unsigned long long downtime;
};

/* What a look found and did, handed from its thread to the main loop. */
struct look {
	struct virt_move *move;
	struct virt_move_stats stats;
	bool abort, postcopy, ok;
	unsigned long long downtime; /* ms to be allowed, 0: as it is */
};

static void place_copy(struct domain_place *to, const struct domain_place *from)
{
	to->kernel = g_strdup(from->kernel);
	to->initramfs = g_strdup(from->initramfs);
	to->socket = g_strdup(from->socket);
	to->console = g_strdup(from->console);
	to->dac = g_strdup(from->dac);
}

static void place_clear(struct domain_place *place)
{
	g_free((char *)place->kernel);
	g_free((char *)place->initramfs);
	g_free((char *)place->socket);
	g_free((char *)place->console);
	g_free((char *)place->dac);
}

static void move_unref(struct virt_move *move)
{
	if (!g_atomic_ref_count_dec(&move->refs))
		return;
	if (move->conn)
		virConnectClose(move->conn);
	place_clear(&move->place);
	job_facts_clear(&move->facts);
	g_free(move->uuid);
	g_free(move->name);
	g_free(move->libvirt);
	g_free(move->stream);
	g_free(move->error);
	g_free(move);
}

static struct virt_move *move_ref(struct virt_move *move)
{
	g_atomic_ref_count_inc(&move->refs);
	return move;
}

static bool keep_error(struct virt_move *move, const char *what)
{
	move->error = g_strdup_printf("%s: %s", what, virGetLastErrorMessage());
	return false;
}

/* Figures */

static void take_figure(struct virt_move_stats *stats,
			const virTypedParameter *p)
{
	static const struct {
		const char *field;
		size_t offset;
	} figures[] = {
		{ VIR_DOMAIN_JOB_TIME_ELAPSED,
		  offsetof(struct virt_move_stats, total_ms) },
		{ VIR_DOMAIN_JOB_DOWNTIME,
		  offsetof(struct virt_move_stats, downtime_ms) },
		{ VIR_DOMAIN_JOB_MEMORY_PROCESSED,
		  offsetof(struct virt_move_stats, bytes) },
		{ VIR_DOMAIN_JOB_MEMORY_TOTAL,
		  offsetof(struct virt_move_stats, memory) },
		{ VIR_DOMAIN_JOB_MEMORY_REMAINING,
		  offsetof(struct virt_move_stats, left) },
		{ VIR_DOMAIN_JOB_MEMORY_CONSTANT,
		  offsetof(struct virt_move_stats, zero_pages) },
		{ VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE,
		  offsetof(struct virt_move_stats, page_size) },
	};
	size_t i;

	if (p->type != VIR_TYPED_PARAM_ULLONG)
		return;
	if (strcmp(p->field, VIR_DOMAIN_JOB_MEMORY_ITERATION) == 0)
		stats->rounds = (unsigned)p->value.ul;
	for (i = 0; i < G_N_ELEMENTS(figures); i++)
		if (strcmp(p->field, figures[i].field) == 0)
			*(uint64_t *)((char *)stats + figures[i].offset) =
				p->value.ul;
}

static bool read_stats(virDomainPtr dom, struct virt_move_stats *stats,
		       unsigned flags)
{
	virTypedParameterPtr params = NULL;
	int type, n = 0, i;

	if (virDomainGetJobStats(dom, &type, &params, &n, flags) < 0)
		return false;
	for (i = 0; i < n; i++)
		take_figure(stats, &params[i]);
	virTypedParamsFree(params, n);
	return true;
}

/* Migrating */

static char *target_xml(struct virt_move *move, virDomainPtr dom)
{
	char *xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_MIGRATABLE |
					VIR_DOMAIN_XML_SECURE);
	struct err err = { 0 };
	char *target;

	if (!xml) {
		keep_error(move, "libvirt here");
		return NULL;
	}
	target = domain_move_xml(xml, &move->place, &move->facts, &err);
	free(xml);
	if (!target)
		move->error = g_strdup(err.text);
	return target;
}

static bool migrate(struct virt_move *move, virDomainPtr dom, virConnectPtr to,
		    const char *xml)
{
	g_autofree char *uri = g_strdup_printf("unix://%s", move->stream);
	unsigned flags = VIR_MIGRATE_ABORT_ON_ERROR;
	virTypedParameterPtr params = NULL;
	int n = 0, max = 0;
	virDomainPtr moved = NULL;

	if (move->live)
		flags |= VIR_MIGRATE_LIVE | VIR_MIGRATE_AUTO_CONVERGE;
	if (move->postcopy)
		flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_POSTCOPY;
	if (virTypedParamsAddString(&params, &n, &max, VIR_MIGRATE_PARAM_URI,
				    uri) == 0 &&
	    virTypedParamsAddString(&params, &n, &max,
				    VIR_MIGRATE_PARAM_DEST_NAME,
				    move->name) == 0 &&
	    virTypedParamsAddString(&params, &n, &max,
				    VIR_MIGRATE_PARAM_DEST_XML, xml) == 0)
		moved = virDomainMigrate3(dom, to, params, (unsigned)n, flags);
	if (!moved)
		keep_error(move, "libvirt");
	virTypedParamsFree(params, n);
	if (!moved)
		return false;
	read_stats(moved, &move->final, VIR_DOMAIN_JOB_STATS_COMPLETED);
	virDomainFree(moved);
	return true;
}

static void move_run(struct virt_move *move)
{
	virDomainPtr dom = virDomainLookupByUUIDString(move->conn, move->uuid);
	g_autofree char *xml = dom ? target_xml(move, dom) : NULL;
	virConnectPtr to = NULL;

	if (!dom)
		keep_error(move, "libvirt here");
	if (xml) {
		to = virConnectOpen(move->libvirt);
		if (!to)
			keep_error(move, "the target's libvirt");
	}
	if (to) {
		/* So that a target that vanishes is noticed. */
		virConnectSetKeepAlive(to, 5, 3);
		virDomainMigrateSetMaxDowntime(dom, FIRST_DOWNTIME_MS, 0);
		migrate(move, dom, to, xml);
		virConnectClose(to);
	}
	if (dom)
		virDomainFree(dom);
}

static void move_thread(GTask *task, void *source, void *data,
			GCancellable *cancellable)
{
	struct virt_move *move = data;

	(void)source;
	(void)cancellable;
	if (move->conn)
		move_run(move);
	else
		move->error = g_strdup("not connected to libvirt");
	g_task_return_boolean(task, TRUE);
}

static void move_done(GObject *source, GAsyncResult *result, void *ctx)
{
	struct virt_move *move = g_task_get_task_data(G_TASK(result));
	struct virt_moved moved = {
		.error = move->error,
		/* A guest that ends as soon as it is there takes the last figures with it. */
		.stats = move->final.memory ? move->final : move->stats,
	};

	(void)source;
	(void)ctx;
	g_clear_handle_id(&move->timer, g_source_remove);
	move->done(move->ctx, &moved);
}

/* Watching */

static void look_free(void *p)
{
	struct look *look = p;

	move_unref(look->move);
	g_free(look);
}

static void look_thread(GTask *task, void *source, void *data,
			GCancellable *cancellable)
{
	struct look *look = data;
	virDomainPtr dom = virDomainLookupByUUIDString(look->move->conn,
						       look->move->uuid);

	(void)source;
	(void)cancellable;
	if (dom) {
		if (look->abort)
			virDomainAbortJob(dom);
		if (look->postcopy)
			virDomainMigrateStartPostCopy(dom, 0);
		if (look->downtime)
			virDomainMigrateSetMaxDowntime(dom, look->downtime, 0);
		look->ok = read_stats(dom, &look->stats, 0);
		virDomainFree(dom);
	}
	g_task_return_boolean(task, TRUE);
}

unsigned long long virt_move_downtime_ms(unsigned rounds)
{
	unsigned long long ms = FIRST_DOWNTIME_MS;
	unsigned step;

	for (step = rounds / ROUNDS_PER_STEP; step > 1; step--)
		ms = ms * 2 < LAST_DOWNTIME_MS ? ms * 2 : LAST_DOWNTIME_MS;
	return ms;
}

static void look_done(GObject *source, GAsyncResult *result, void *ctx)
{
	struct look *look = g_task_get_task_data(G_TASK(result));

	(void)source;
	(void)ctx;
	look->move->looking = false;
	if (look->ok && look->stats.memory)
		look->move->stats = look->stats;
}

static void look_begin(struct virt_move *move, bool abort)
{
	GTask *task = g_task_new(NULL, NULL, look_done, NULL);
	struct look *look = g_new0(struct look, 1);
	unsigned long long downtime = virt_move_downtime_ms(move->stats.rounds);

	move->looking = true;
	look->move = move_ref(move);
	look->abort = abort;
	look->postcopy = move->postcopy && !move->switched &&
			 move->stats.rounds >= POSTCOPY_ROUND;
	move->switched |= look->postcopy;
	if (downtime > move->downtime)
		look->downtime = move->downtime = downtime;
	g_task_set_task_data(task, look, look_free);
	g_task_run_in_thread(task, look_thread);
	g_object_unref(task);
}

static gboolean on_timer(void *p)
{
	struct virt_move *move = p;

	if (!move->looking)
		look_begin(move, move->aborted);
	return G_SOURCE_CONTINUE;
}

struct virt_move *virt_move_begin(struct virt *virt,
				  const struct virt_move_spec *spec,
				  virt_moved_fn done, void *ctx)
{
	struct virt_move *move = g_new0(struct virt_move, 1);
	GTask *task = g_task_new(NULL, NULL, move_done, NULL);

	g_atomic_ref_count_init(&move->refs);
	move->conn = virt_handle(virt);
	move->uuid = g_strdup(spec->uuid);
	move->name = g_strdup(spec->name);
	move->libvirt = g_strdup(spec->libvirt);
	move->stream = g_strdup(spec->stream);
	place_copy(&move->place, spec->place);
	job_facts_copy(&move->facts, spec->facts);
	move->live = spec->live;
	move->postcopy = spec->postcopy;
	move->done = done;
	move->ctx = ctx;
	move->downtime = FIRST_DOWNTIME_MS;
	if (move->conn)
		move->timer = g_timeout_add(LOOK_MS, on_timer, move);
	g_task_set_task_data(task, move, (GDestroyNotify)move_unref);
	g_task_run_in_thread(task, move_thread);
	g_object_unref(task);
	return move;
}

const struct virt_move_stats *virt_move_stats(const struct virt_move *move)
{
	return &move->stats;
}

void virt_move_abort(struct virt_move *move)
{
	move->aborted = true;
}
