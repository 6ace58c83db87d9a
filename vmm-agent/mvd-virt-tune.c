/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-virt-tune.h"

#include "vmm-agent/mvd-libvirt-handle.h"

#include <gio/gio.h>
#include <libvirt/virterror.h>

#define LOOK_US 200000
#define LOOKS 25 /* then QEMU is too busy to tell */
#define MIB 1048576.0

struct tune {
	virConnectPtr conn; /* NULL: not connected */
	char *uuid, *error;
	bool no_group;
	unsigned shares, seconds;
	double rate;
	virt_weighed_fn done;
	virt_dirty_fn told;
	void *ctx;
};

static void tune_free(void *p)
{
	struct tune *tune = p;

	if (tune->conn)
		virConnectClose(tune->conn);
	g_free(tune->uuid);
	g_free(tune->error);
	g_free(tune);
}

/* At once: the next call of libvirt, even one that frees, clears its error. */
static void fail(struct tune *tune)
{
	tune->error = g_strdup(virGetLastErrorMessage());
}

static virDomainPtr find(struct tune *tune)
{
	virDomainPtr dom;

	if (!tune->conn) {
		tune->error = g_strdup("not connected to libvirt");
		return NULL;
	}
	dom = virDomainLookupByUUIDString(tune->conn, tune->uuid);
	if (!dom)
		fail(tune);
	return dom;
}

static void begin(struct virt *virt, const char *uuid, struct tune *tune,
		  GTaskThreadFunc thread, GAsyncReadyCallback done)
{
	GTask *task = g_task_new(NULL, NULL, done, NULL);

	tune->conn = virt_handle(virt);
	tune->uuid = g_strdup(uuid);
	g_task_set_task_data(task, tune, tune_free);
	g_task_run_in_thread(task, thread);
	g_object_unref(task);
}

/* Weights */

/* "cgroup CPU controller is not mounted", and what a session's libvirt says. */
static bool has_no_group(void)
{
	switch (virGetLastErrorCode()) {
	case VIR_ERR_OPERATION_INVALID:
	case VIR_ERR_OPERATION_UNSUPPORTED:
	case VIR_ERR_CONFIG_UNSUPPORTED:
	case VIR_ERR_NO_SUPPORT:
		return true;
	default:
		return false;
	}
}

static void weight_thread(GTask *task, void *source, void *data,
			  GCancellable *cancellable)
{
	struct tune *tune = data;
	virDomainPtr dom = find(tune);
	virTypedParameterPtr params = NULL;
	int n = 0, max = 0;

	(void)source;
	(void)cancellable;
	if (dom) {
		if (virTypedParamsAddULLong(&params, &n, &max,
					    VIR_DOMAIN_SCHEDULER_CPU_SHARES,
					    tune->shares) < 0 ||
		    virDomainSetSchedulerParametersFlags(dom, params, n,
							 VIR_DOMAIN_AFFECT_LIVE) < 0) {
			tune->no_group = has_no_group();
			fail(tune);
		}
		virTypedParamsFree(params, n);
		virDomainFree(dom);
	}
	g_task_return_boolean(task, TRUE);
}

static void weight_done(GObject *source, GAsyncResult *result, void *ctx)
{
	struct tune *tune = g_task_get_task_data(G_TASK(result));
	struct virt_weighed done = { tune->error, tune->no_group };

	(void)source;
	(void)ctx;
	tune->done(tune->ctx, &done);
}

void virt_set_weight(struct virt *virt, const char *uuid, unsigned shares,
		     virt_weighed_fn done, void *ctx)
{
	struct tune *tune = g_new0(struct tune, 1);

	tune->shares = shares;
	tune->done = done;
	tune->ctx = ctx;
	begin(virt, uuid, tune, weight_thread, weight_done);
}

/* How fast memory changes */

/* True when it is known, or never will be. */
static bool look(struct tune *tune, virDomainPtr dom)
{
	virDomainPtr doms[] = { dom, NULL };
	virDomainStatsRecordPtr *records = NULL;
	int n = virDomainListGetStats(doms, VIR_DOMAIN_STATS_DIRTYRATE, &records, 0);
	int status = VIR_DOMAIN_DIRTYRATE_UNSTARTED;
	long long rate = -1;

	if (n < 0) {
		fail(tune);
		return true;
	}
	if (n == 1) {
		virTypedParamsGetInt(records[0]->params, records[0]->nparams,
				     "dirtyrate.calc_status", &status);
		virTypedParamsGetLLong(records[0]->params, records[0]->nparams,
				       "dirtyrate.megabytes_per_second", &rate);
	}
	virDomainStatsRecordListFree(records);
	if (status != VIR_DOMAIN_DIRTYRATE_MEASURED || rate < 0)
		return false;
	tune->rate = (double)rate * MIB;
	return true;
}

static void dirty_thread(GTask *task, void *source, void *data, GCancellable *cancellable)
{
	struct tune *tune = data;
	virDomainPtr dom = find(tune);
	unsigned i;

	(void)source;
	(void)cancellable;
	tune->rate = -1;
	if (dom && virDomainStartDirtyRateCalc(dom, (int)tune->seconds, 0) < 0) {
		fail(tune);
	} else if (dom) {
		g_usleep(tune->seconds * G_USEC_PER_SEC);
		for (i = 0; i < LOOKS && !look(tune, dom); i++)
			g_usleep(LOOK_US);
		if (tune->rate < 0 && !tune->error)
			tune->error = g_strdup("QEMU has not measured it in time");
	}
	if (dom)
		virDomainFree(dom);
	g_task_return_boolean(task, TRUE);
}

static void dirty_done(GObject *source, GAsyncResult *result, void *ctx)
{
	struct tune *tune = g_task_get_task_data(G_TASK(result));

	(void)source;
	(void)ctx;
	tune->told(tune->ctx, tune->rate, tune->error);
}

void virt_dirty_rate(struct virt *virt, const char *uuid, unsigned seconds, virt_dirty_fn done,
		     void *ctx)
{
	struct tune *tune = g_new0(struct tune, 1);

	tune->seconds = seconds;
	tune->told = done;
	tune->ctx = ctx;
	begin(virt, uuid, tune, dirty_thread, dirty_done);
}
