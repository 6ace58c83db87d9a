/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's connection to libvirt, kept up for as long as the agent lives.
 *
 * Theory of operation
 *
 * The connection object and the joining of libvirt's events with the main loop
 * are libvirt-glib's. Domains are dealt with by plain libvirt calls on that
 * connection's handle, each in a worker thread because it may block: GVirDomain
 * knows no metadata, loses events of a domain that another thread is just
 * creating, and GVirConnection does not notice that libvirtd went away.
 *
 * All functions are called, and call back, in the main loop's thread.
 */
#ifndef MV_MVD_LIBVIRT_H
#define MV_MVD_LIBVIRT_H

#include "vmm-agent/mvd-domain.h"

#include <glib.h>
#include <stdbool.h>

struct virt;

enum virt_state {
	VIRT_CONNECTING, /* for the first time, or because somebody asked */
	VIRT_UP,
	VIRT_DOWN,       /* tried again now and then */
};

enum virt_event {
	VIRT_PAUSED,
	VIRT_RESUMED,
	VIRT_DESTROYED, /* by a call of libvirt's */
	VIRT_POWERDOWN, /* its power button was pressed: it is asked to end */
	VIRT_SHUTDOWN,  /* by the guest, or a reset by anybody */
	VIRT_CRASHED,   /* QEMU ended by itself, or the guest crashed */
	VIRT_SAVED,     /* by a call of libvirt's, to a file */
	VIRT_MIGRATED,  /* it runs somewhere else now */
};

/* A running domain that carries our metadata. */
struct virt_domain {
	char uuid[UUID_TEXT_SIZE];
	char *name, *metadata;
	bool paused;
	bool moving; /* paused by a migration: it may run somewhere else */
	unsigned cid;
};

/* What libvirt said about this host when the connection came up. */
struct virt_facts {
	unsigned long qemu_version; /* major * 1000000 + minor * 1000 + release */
	char *dac[ACCEL_COUNT];     /* domain_dac_label() */
	const char *kvm_cpu;        /* domain_cpu_baseline(); NULL: none */
	char *kvm_error;            /* NULL: libvirt offers KVM domains */
	char *microvm_error;        /* NULL: QEMU has the microvm machine */
};

struct virt_handlers {
	/* The connection is up; `domains` are struct virt_domain. */
	void (*up)(void *ctx, GPtrArray *domains);
	/* An attempt failed, or the connection was lost: see virt_error(). */
	void (*down)(void *ctx);
	void (*event)(void *ctx, const char *uuid, enum virt_event event);
};

struct virt_result {
	const char *error; /* NULL: done */
	bool no_domain;    /* it failed because there is no such domain */
	bool exists;       /* virt_start(): it failed, perhaps because there is one */
	unsigned cid;      /* virt_start(): the guest's vsock address, or 0 */
};
typedef void (*virt_done_fn)(void *ctx, const struct virt_result *result);

struct virt *virt_new(const char *uri, const struct virt_handlers *handlers,
		      void *ctx);
void virt_free(struct virt *virt);

/* Connect now, unless it is up or being tried. */
void virt_connect(struct virt *virt);

enum virt_state virt_state(const struct virt *virt);
/* Why it is down, with the next step; never NULL. */
const char *virt_error(const struct virt *virt);
const char *virt_hint(const struct virt *virt);
/* Valid after the connection was up once, else zeros. */
const struct virt_facts *virt_facts(const struct virt *virt);
const char *virt_uri(const struct virt *virt);

/* A domain with our metadata, or NULL: there is none such. */
typedef void (*virt_described_fn)(void *ctx, const struct virt_domain *domain);
void virt_describe(struct virt *virt, const char *uuid, virt_described_fn done,
		   void *ctx);

/* Operations on domains. `done` is always called, and not before they return. */
void virt_start(struct virt *virt, const char *xml, virt_done_fn done,
		void *ctx);
void virt_destroy(struct virt *virt, const char *uuid, virt_done_fn done,
		  void *ctx);
void virt_suspend(struct virt *virt, const char *uuid, virt_done_fn done,
		  void *ctx);
void virt_resume(struct virt *virt, const char *uuid, virt_done_fn done,
		 void *ctx);
void virt_set_metadata(struct virt *virt, const char *uuid, const char *xml,
		       virt_done_fn done, void *ctx);

#endif
