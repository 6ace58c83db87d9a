/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent's connection as libvirt's own handle, for worker threads. */
#ifndef MV_MVD_LIBVIRT_HANDLE_H
#define MV_MVD_LIBVIRT_HANDLE_H

#include "vmm-agent/mvd-libvirt.h"

#include <libvirt/libvirt.h>

/* A reference that the caller gives back by virConnectClose(), or NULL when the
 * connection is down. */
virConnectPtr virt_handle(struct virt *virt);

/* NULL for a domain without our metadata. In a worker thread. */
struct virt_domain *virt_describe_now(virDomainPtr dom);
void virt_domain_free(void *domain);

#endif
