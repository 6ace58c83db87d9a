/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-libvirt-handle.h"

#include <libvirt-glib/libvirt-glib.h>
#include <libvirt-gobject/libvirt-gobject.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRY_MS 2000
/* The first call of a session daemon probes QEMU, which takes its time. */
#define CONNECT_LIMIT_S 60
#define KEEPALIVE_S 5
#define KEEPALIVE_MISSED 6

struct virt {
	char *uri;
	const struct virt_handlers *handlers;
	void *ctx;
	GVirConnection *connection; /* open, or being opened */
	virConnectPtr conn;         /* its handle, when up */
	enum virt_state state;
	char *error;
	struct virt_facts facts;
	int event_id, button_id;
	guint retry, limit;
	bool pending;               /* an attempt is under way */
	unsigned generation;        /* of the connection */
};

/* What a new connection is asked first, in a worker thread. */
struct setup {
	virConnectPtr conn;
	struct virt *virt;
	unsigned generation;
	struct virt_facts facts;
	GPtrArray *domains;
	int event_id, button_id;
	char *error;
};

enum op_kind {
	OP_START,
	OP_DESTROY,
	OP_SUSPEND,
	OP_RESUME,
	OP_METADATA,
};

struct op {
	enum op_kind kind;
	virConnectPtr conn; /* NULL: not connected */
	char *uuid, *text;
	virt_done_fn done;
	void *ctx;
	char *error;
	bool no_domain, exists;
	unsigned cid;
};

struct lost {
	struct virt *virt;
	unsigned generation;
};

static void virt_lost(struct virt *virt, const char *why);

static void facts_clear(struct virt_facts *facts)
{
	unsigned i;

	for (i = 0; i < ACCEL_COUNT; i++)
		g_free(facts->dac[i]);
	g_free(facts->microvm_error);
	g_free(facts->kvm_error);
	memset(facts, 0, sizeof(*facts));
}

static void setup_free(void *p)
{
	struct setup *setup = p;

	facts_clear(&setup->facts);
	g_ptr_array_unref(setup->domains);
	virConnectClose(setup->conn);
	g_free(setup->error);
	g_free(setup);
}

/* Events */

static enum virt_event stop_event(int detail)
{
	switch (detail) {
	case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
		return VIRT_SHUTDOWN;
	case VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
		return VIRT_DESTROYED;
	case VIR_DOMAIN_EVENT_STOPPED_SAVED:
		return VIRT_SAVED;
	case VIR_DOMAIN_EVENT_STOPPED_MIGRATED:
		return VIRT_MIGRATED;
	default:
		return VIRT_CRASHED;
	}
}

static bool translate(int type, int detail, enum virt_event *event)
{
	switch (type) {
	case VIR_DOMAIN_EVENT_SUSPENDED:
		*event = VIRT_PAUSED;
		/* At its switch-over nobody has suspended it. */
		return detail != VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED &&
		       detail != VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY;
	case VIR_DOMAIN_EVENT_RESUMED:
		*event = VIRT_RESUMED;
		return true;
	case VIR_DOMAIN_EVENT_STOPPED:
		*event = stop_event(detail);
		return true;
	default:
		return false;
	}
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr dom, int type,
			int detail, void *ctx)
{
	struct virt *virt = ctx;
	char uuid[VIR_UUID_STRING_BUFLEN];
	enum virt_event event;

	(void)conn;
	if (virDomainGetUUIDString(dom, uuid) == 0 &&
	    translate(type, detail, &event))
		virt->handlers->event(virt->ctx, uuid, event);
	return 0;
}

/*
 * "virsh shutdown" presses a button that the guest does not listen to, and libvirt
 * has no event for that; QEMU has one, which libvirt passes on.
 */
static void on_button(virConnectPtr conn, virDomainPtr dom, const char *event,
		      long long seconds, unsigned micros, const char *details,
		      void *ctx)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct virt *virt = ctx;

	(void)conn;
	(void)event;
	(void)seconds;
	(void)micros;
	(void)details;
	if (virDomainGetUUIDString(dom, uuid) == 0)
		virt->handlers->event(virt->ctx, uuid, VIRT_POWERDOWN);
}

static gboolean lost_idle(void *p)
{
	struct lost *lost = p;

	if (lost->generation == lost->virt->generation)
		virt_lost(lost->virt, "the connection to libvirt was lost");
	return G_SOURCE_REMOVE;
}

/* libvirt calls this in whatever thread it finds the end of the connection. */
static void on_close(virConnectPtr conn, int reason, void *ctx)
{
	struct lost *lost = g_memdup2(ctx, sizeof(*lost));

	(void)conn;
	(void)reason;
	g_idle_add_full(G_PRIORITY_DEFAULT, lost_idle, lost, g_free);
}

/* Connecting */

static char *last_error(void)
{
	return g_strdup(virGetLastErrorMessage());
}

static int list_domains(struct setup *setup)
{
	virDomainPtr *domains;
	int n, i;

	n = virConnectListAllDomains(setup->conn, &domains,
				     VIR_CONNECT_LIST_DOMAINS_ACTIVE);
	if (n < 0)
		return -1;
	for (i = 0; i < n; i++) {
		struct virt_domain *domain = virt_describe_now(domains[i]);

		if (domain)
			g_ptr_array_add(setup->domains, domain);
		virDomainFree(domains[i]);
	}
	free(domains);
	return 0;
}

static void ask_host(struct setup *setup)
{
	struct virt_facts *facts = &setup->facts;
	char *xml;

	virConnectGetVersion(setup->conn, &facts->qemu_version);
	xml = virConnectGetCapabilities(setup->conn);
	if (xml) {
		facts->dac[ACCEL_KVM] = domain_dac_label(xml, ACCEL_KVM);
		facts->dac[ACCEL_TCG] = domain_dac_label(xml, ACCEL_TCG);
	}
	free(xml);
	xml = virConnectGetDomainCapabilities(setup->conn, NULL, "x86_64",
					      "microvm", "qemu", 0);
	if (!xml)
		facts->microvm_error = last_error();
	free(xml);
	xml = virConnectGetDomainCapabilities(setup->conn, NULL, "x86_64",
					      "microvm", "kvm", 0);
	if (xml)
		facts->kvm_cpu = domain_cpu_baseline(xml);
	else
		facts->kvm_error = last_error();
	free(xml);
}

/* Events first, the list after: no domain falls between the two. */
static void setup_thread(GTask *task, void *source, void *data,
			 GCancellable *cancellable)
{
	struct setup *setup = data;
	struct lost *lost = g_new(struct lost, 1);

	(void)source;
	(void)cancellable;
	*lost = (struct lost){ setup->virt, setup->generation };
	if (virConnectRegisterCloseCallback(setup->conn, on_close, lost,
					    g_free) < 0)
		g_free(lost);
	virConnectSetKeepAlive(setup->conn, KEEPALIVE_S, KEEPALIVE_MISSED);
	setup->event_id = virConnectDomainEventRegisterAny(setup->conn, NULL,
		VIR_DOMAIN_EVENT_ID_LIFECYCLE,
		VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), setup->virt, NULL);
	/* Without it all else works. */
	setup->button_id = virConnectDomainQemuMonitorEventRegister(setup->conn,
		NULL, "POWERDOWN", on_button, setup->virt, NULL, 0);
	if (setup->event_id < 0 || list_domains(setup) < 0)
		setup->error = last_error();
	else
		ask_host(setup);
	g_task_return_boolean(task, TRUE);
}

static void setup_done(GObject *source, GAsyncResult *result, void *ctx)
{
	struct setup *setup = g_task_get_task_data(G_TASK(result));
	struct virt *virt = ctx;

	(void)source;
	if (setup->generation != virt->generation)
		return;
	virt->pending = false;
	virt->event_id = setup->event_id;
	virt->button_id = setup->button_id;
	if (setup->error) {
		virt_lost(virt, setup->error);
		return;
	}
	g_clear_handle_id(&virt->limit, g_source_remove);
	facts_clear(&virt->facts);
	virt->facts = setup->facts;
	memset(&setup->facts, 0, sizeof(setup->facts));
	virt->state = VIRT_UP;
	g_info("connected to libvirt (%s)", virt->uri);
	virt->handlers->up(virt->ctx, setup->domains);
}

static void start_setup(struct virt *virt)
{
	struct setup *setup = g_new0(struct setup, 1);
	GTask *task = g_task_new(NULL, NULL, setup_done, virt);

	virConnectRef(virt->conn);
	setup->conn = virt->conn;
	setup->virt = virt;
	setup->generation = virt->generation;
	setup->event_id = setup->button_id = -1;
	setup->domains = g_ptr_array_new_with_free_func(virt_domain_free);
	g_task_set_task_data(task, setup, setup_free);
	g_task_run_in_thread(task, setup_thread);
	g_object_unref(task);
}

static void on_open(GObject *source, GAsyncResult *result, void *ctx)
{
	struct virt *virt = ctx;
	g_autoptr(GError) error = NULL;

	if (!gvir_connection_open_finish(GVIR_CONNECTION(source), result,
					 &error)) {
		virt->pending = false;
		virt_lost(virt, error->message);
		return;
	}
	/* A reference of our own, which outlives gvir_connection_close(). */
	g_object_get(virt->connection, "handle", &virt->conn, NULL);
	start_setup(virt);
}

static gboolean retry_timeout(void *p)
{
	struct virt *virt = p;
	enum virt_state state = virt->state;

	virt->retry = 0;
	virt_connect(virt);
	/* Nobody asked: those who do meanwhile need not wait for it. */
	virt->state = state;
	return G_SOURCE_REMOVE;
}

static void go_down(struct virt *virt, const char *why)
{
	bool news = virt->state != VIRT_DOWN;

	g_free(virt->error);
	virt->error = g_strdup_printf("cannot connect to libvirt (%s): %s",
				      virt->uri, why);
	virt->state = VIRT_DOWN;
	if (news)
		g_message("%s", virt->error);
	virt->handlers->down(virt->ctx);
}

static void drop_connection(struct virt *virt)
{
	virt->generation++;
	if (virt->conn) {
		virConnectUnregisterCloseCallback(virt->conn, on_close);
		if (virt->event_id >= 0)
			virConnectDomainEventDeregisterAny(virt->conn,
							   virt->event_id);
		if (virt->button_id >= 0)
			virConnectDomainQemuMonitorEventDeregister(virt->conn,
				virt->button_id);
		virConnectClose(virt->conn);
		virt->conn = NULL;
	}
	virt->event_id = virt->button_id = -1;
	if (virt->connection) {
		if (gvir_connection_is_open(virt->connection))
			gvir_connection_close(virt->connection);
		g_clear_object(&virt->connection);
	}
}

static void virt_lost(struct virt *virt, const char *why)
{
	drop_connection(virt);
	virt->pending = false;
	g_clear_handle_id(&virt->limit, g_source_remove);
	if (!virt->retry)
		virt->retry = g_timeout_add(RETRY_MS, retry_timeout, virt);
	go_down(virt, why);
}

/* A daemon that hangs: the attempt goes on, but nobody waits for it. */
static gboolean limit_timeout(void *p)
{
	struct virt *virt = p;

	virt->limit = 0;
	go_down(virt, "it does not answer");
	return G_SOURCE_REMOVE;
}

void virt_connect(struct virt *virt)
{
	if (virt->state == VIRT_UP)
		return;
	if (virt->pending) {
		/* Wait for it, unless it has taken too long already. */
		if (virt->limit)
			virt->state = VIRT_CONNECTING;
		return;
	}
	g_clear_handle_id(&virt->retry, g_source_remove);
	virt->pending = true;
	virt->state = VIRT_CONNECTING;
	virt->limit = g_timeout_add_seconds(CONNECT_LIMIT_S, limit_timeout,
					    virt);
	virt->connection = gvir_connection_new(virt->uri);
	gvir_connection_open_async(virt->connection, NULL, on_open, virt);
}

static void ignore_error(void *ctx, virErrorPtr error)
{
	(void)ctx;
	(void)error;
}

struct virt *virt_new(const char *uri, const struct virt_handlers *handlers,
		      void *ctx)
{
	struct virt *virt = g_new0(struct virt, 1);

	gvir_event_register();
	/* Errors are reported where they are handled, not on stderr. */
	virSetErrorFunc(NULL, ignore_error);
	virt->uri = g_strdup(uri);
	virt->handlers = handlers;
	virt->ctx = ctx;
	virt->event_id = virt->button_id = -1;
	virt->state = VIRT_DOWN;
	virt->error = g_strdup("not connected to libvirt yet");
	return virt;
}

void virt_free(struct virt *virt)
{
	g_clear_handle_id(&virt->retry, g_source_remove);
	g_clear_handle_id(&virt->limit, g_source_remove);
	drop_connection(virt);
	facts_clear(&virt->facts);
	g_free(virt->error);
	g_free(virt->uri);
	g_free(virt);
}

enum virt_state virt_state(const struct virt *virt)
{
	return virt->state;
}

const char *virt_error(const struct virt *virt)
{
	return virt->error;
}

const char *virt_hint(const struct virt *virt)
{
	bool session = g_str_has_prefix(virt->uri, "qemu:///session");

	/* Where libvirt itself looks for what it is to start. */
	if (session && access("/usr/sbin/libvirtd", X_OK) < 0 &&
	    access("/usr/sbin/virtqemud", X_OK) < 0)
		return "there is no libvirtd: install libvirt-daemon";
	if (session)
		return "see whether \"virsh -c qemu:///session list\" works";
	return "start libvirtd";
}

const struct virt_facts *virt_facts(const struct virt *virt)
{
	return &virt->facts;
}

const char *virt_uri(const struct virt *virt)
{
	return virt->uri;
}

virConnectPtr virt_handle(struct virt *virt)
{
	if (virt->state != VIRT_UP || virConnectRef(virt->conn) < 0)
		return NULL;
	return virt->conn;
}

/* Operations */

static void op_free(void *p)
{
	struct op *op = p;

	if (op->conn)
		virConnectClose(op->conn);
	g_free(op->uuid);
	g_free(op->text);
	g_free(op->error);
	g_free(op);
}

/* At once: the next call of libvirt, even one that frees, clears its error. */
static void op_fail(struct op *op)
{
	op->no_domain = virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
	op->error = last_error();
}

static void op_start(struct op *op)
{
	virDomainPtr dom = virDomainCreateXML(op->conn, op->text, 0);
	char *xml;

	if (!dom) {
		/* Running, or being started: libvirt says so of other things as well. */
		op->exists = virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID;
		op_fail(op);
		return;
	}
	xml = virDomainGetXMLDesc(dom, 0);
	if (xml)
		op->cid = domain_cid(xml);
	free(xml);
	virDomainFree(dom);
}

static int op_on_domain(struct op *op, virDomainPtr dom)
{
	switch (op->kind) {
	case OP_DESTROY:
		return virDomainDestroy(dom);
	case OP_SUSPEND:
		return virDomainSuspend(dom);
	case OP_RESUME:
		return virDomainResume(dom);
	default:
		return virDomainSetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT,
			op->text, DOMAIN_METADATA_KEY, DOMAIN_METADATA_URI,
			VIR_DOMAIN_AFFECT_LIVE);
	}
}

static void op_run(struct op *op)
{
	virDomainPtr dom;

	if (op->kind == OP_START) {
		op_start(op);
		return;
	}
	dom = virDomainLookupByUUIDString(op->conn, op->uuid);
	if (!dom || op_on_domain(op, dom) < 0)
		op_fail(op);
	if (dom)
		virDomainFree(dom);
}

static void op_thread(GTask *task, void *source, void *data,
		      GCancellable *cancellable)
{
	struct op *op = data;

	(void)source;
	(void)cancellable;
	if (op->conn)
		op_run(op);
	else
		op->error = g_strdup("not connected to libvirt");
	g_task_return_boolean(task, TRUE);
}

static void op_done(GObject *source, GAsyncResult *result, void *ctx)
{
	struct op *op = g_task_get_task_data(G_TASK(result));
	struct virt_result done = {
		.error = op->error,
		.no_domain = op->no_domain,
		.exists = op->exists,
		.cid = op->cid,
	};

	(void)source;
	(void)ctx;
	op->done(op->ctx, &done);
}

static void op_begin(struct virt *virt, enum op_kind kind, const char *uuid,
		     const char *text, virt_done_fn done, void *ctx)
{
	struct op *op = g_new0(struct op, 1);
	GTask *task = g_task_new(NULL, NULL, op_done, NULL);

	op->kind = kind;
	op->conn = virt_handle(virt);
	op->uuid = g_strdup(uuid);
	op->text = g_strdup(text);
	op->done = done;
	op->ctx = ctx;
	g_task_set_task_data(task, op, op_free);
	g_task_run_in_thread(task, op_thread);
	g_object_unref(task);
}

void virt_start(struct virt *virt, const char *xml, virt_done_fn done,
		void *ctx)
{
	op_begin(virt, OP_START, NULL, xml, done, ctx);
}

void virt_destroy(struct virt *virt, const char *uuid, virt_done_fn done,
		  void *ctx)
{
	op_begin(virt, OP_DESTROY, uuid, NULL, done, ctx);
}

void virt_suspend(struct virt *virt, const char *uuid, virt_done_fn done,
		  void *ctx)
{
	op_begin(virt, OP_SUSPEND, uuid, NULL, done, ctx);
}

void virt_resume(struct virt *virt, const char *uuid, virt_done_fn done,
		 void *ctx)
{
	op_begin(virt, OP_RESUME, uuid, NULL, done, ctx);
}

void virt_set_metadata(struct virt *virt, const char *uuid, const char *xml,
		       virt_done_fn done, void *ctx)
{
	op_begin(virt, OP_METADATA, uuid, xml, done, ctx);
}
