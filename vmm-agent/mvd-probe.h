/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does KVM work on this node? A /dev/kvm that opens proves nothing, so the kit
 * is booted under it once, within a time limit. The verdict is kept until the
 * node boots again, or QEMU, the kernel or the kit changes.
 */
#ifndef MV_MVD_PROBE_H
#define MV_MVD_PROBE_H

#include "vmm-agent/mvd-libvirt.h"
#include "vmm-agent/mvd.h"

struct probe;

typedef void (*probe_changed_fn)(void *ctx);

struct probe *probe_new(struct mvd *mvd, probe_changed_fn changed, void *ctx);
void probe_free(struct probe *probe);

/* Begin, if the verdict is open and libvirt and the kit are ready. */
void probe_advance(struct probe *probe);
/* libvirt is gone: a probe under way counts for nothing. */
void probe_abort(struct probe *probe);
/* True when the event was about the probe's domain. */
bool probe_event(struct probe *probe, const char *uuid, enum virt_event event);

/* ACCEL_AUTO while the verdict is open. */
enum accel probe_accel(const struct probe *probe);
/* Why, one line; never NULL. */
const char *probe_reason(const struct probe *probe);
/* True when KVM was wanted and does not work. */
bool probe_fell_back(const struct probe *probe);
/* The warning about it, once per agent; NULL afterwards and when there is none.
 * To be freed. */
char *probe_take_warning(struct probe *probe);

#endif
