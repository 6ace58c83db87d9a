/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libvirt says of one domain. */
#include "vmm-agent/mvd-libvirt-handle.h"

#include "vmm-agent/mvd-domain.h"

#include <gio/gio.h>
#include <stdlib.h>

void virt_domain_free(void *p)
{
	struct virt_domain *domain = p;

	g_free(domain->name);
	g_free(domain->metadata);
	g_free(domain);
}

struct virt_domain *virt_describe_now(virDomainPtr dom)
{
	struct virt_domain *domain;
	char *metadata, *xml;
	int state, reason;

	metadata = virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT,
					DOMAIN_METADATA_URI, 0);
	if (!metadata)
		return NULL;
	domain = g_new0(struct virt_domain, 1);
	virDomainGetUUIDString(dom, domain->uuid);
	domain->name = g_strdup(virDomainGetName(dom));
	domain->metadata = g_strdup(metadata);
	free(metadata);
	if (virDomainGetState(dom, &state, &reason, 0) == 0 &&
	    state == VIR_DOMAIN_PAUSED) {
		domain->moving = reason == VIR_DOMAIN_PAUSED_MIGRATION ||
				 reason == VIR_DOMAIN_PAUSED_POSTCOPY ||
				 reason == VIR_DOMAIN_PAUSED_STARTING_UP;
		domain->paused = !domain->moving;
	}
	xml = virDomainGetXMLDesc(dom, 0);
	if (xml)
		domain->cid = domain_cid(xml);
	free(xml);
	return domain;
}

/* Describing one domain */

struct look {
	virConnectPtr conn; /* NULL: not connected */
	char *uuid;
	struct virt_domain *domain;
	virt_described_fn done;
	void *ctx;
};

static void look_free(void *p)
{
	struct look *look = p;

	if (look->conn)
		virConnectClose(look->conn);
	if (look->domain)
		virt_domain_free(look->domain);
	g_free(look->uuid);
	g_free(look);
}

static void look_thread(GTask *task, void *source, void *data,
			GCancellable *cancellable)
{
	struct look *look = data;
	virDomainPtr dom;

	(void)source;
	(void)cancellable;
	dom = look->conn ? virDomainLookupByUUIDString(look->conn, look->uuid) :
			   NULL;
	if (dom) {
		look->domain = virt_describe_now(dom);
		virDomainFree(dom);
	}
	g_task_return_boolean(task, TRUE);
}

static void look_done(GObject *source, GAsyncResult *result, void *ctx)
{
	struct look *look = g_task_get_task_data(G_TASK(result));

	(void)source;
	(void)ctx;
	look->done(look->ctx, look->domain);
}

void virt_describe(struct virt *virt, const char *uuid, virt_described_fn done,
		   void *ctx)
{
	GTask *task = g_task_new(NULL, NULL, look_done, NULL);
	struct look *look = g_new0(struct look, 1);

	look->conn = virt_handle(virt);
	look->uuid = g_strdup(uuid);
	look->done = done;
	look->ctx = ctx;
	g_task_set_task_data(task, look, look_free);
	g_task_run_in_thread(task, look_thread);
	g_object_unref(task);
}
