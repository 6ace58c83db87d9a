/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `mvctl doctor` can ask the agent: each check says what is, and what to do
 * when it is not right.
 */
#include "vmm-agent/mvd-node.h"

#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-jobs.h"
#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-libvirt.h"
#include "vmm-agent/mvd-probe.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-vsock.h"
#include "vmm-agent/mvd-weigh.h"

#include <math.h>
#include <sys/stat.h>

#define LOW_MEMORY 512 /* MiB */

void doctor_add(struct json_object *checks, const char *name, bool ok,
		      char *text, const char *hint)
{
	struct json_object *check = json_object_new_object();

	event_add_string(check, "check", name);
	event_add_bool(check, "ok", ok);
	event_add_string(check, "text", text);
	event_add_string(check, "hint", ok ? "" : hint);
	json_object_array_add(checks, check);
	g_free(text);
}

static void check_libvirt(struct json_object *checks, const struct mvd *mvd)
{
	bool up = virt_state(mvd->virt) == VIRT_UP;

	doctor_add(checks, "libvirt", up, up ?
		  g_strdup_printf("connected to %s", virt_uri(mvd->virt)) :
		  g_strdup(virt_error(mvd->virt)), virt_hint(mvd->virt));
}

static void check_qemu(struct json_object *checks, const struct mvd *mvd)
{
	const struct virt_facts *facts = virt_facts(mvd->virt);
	unsigned long v = facts->qemu_version;
	bool known = v != 0, ok = known && !facts->microvm_error;

	doctor_add(checks, "qemu", ok, !known ?
		  g_strdup(virt_state(mvd->virt) == VIRT_UP ?
			   "libvirt finds no QEMU for x86_64" :
			   "not known while libvirt is not connected") :
		  ok ?
		  g_strdup_printf("QEMU %lu.%lu.%lu with the microvm machine",
				  v / 1000000, v / 1000 % 1000, v % 1000) :
		  g_strdup(facts->microvm_error),
		  "install qemu-system-x86, and see the check of libvirt");
}

static void check_kit(struct json_object *checks, const struct mvd *mvd)
{
	enum kit_state state = kit_state(mvd->kit);

	doctor_add(checks, "kit", state == KIT_READY, state == KIT_READY ?
		  g_strdup_printf("guests boot %s with %s",
				  kit_kernel(mvd->kit),
				  kit_initramfs(mvd->kit)) :
		  state == KIT_RUNNING ? g_strdup("mvkit is making the image") :
		  g_strdup(kit_error(mvd->kit)),
		  state == KIT_RUNNING ? "ask again in a moment" :
		  "install a kernel (linux-image-cloud-amd64), or name one with "
		  "mvd --kernel");
}

static void check_kvm(struct json_object *checks, const struct mvd *mvd)
{
	enum accel accel = probe_accel(mvd->probe);
	const char *reason = probe_reason(mvd->probe);

	doctor_add(checks, "kvm", !probe_fell_back(mvd->probe) &&
		  accel != ACCEL_AUTO, accel == ACCEL_AUTO ?
		  g_strdup("not known yet") :
		  g_strdup_printf("guests run under %s: %s", accel_name(accel),
				  reason),
		  accel == ACCEL_AUTO ? "ask again in a moment" :
		  "programs run in emulation, many times slower; enable "
		  "virtualization in the firmware, or nested virtualization at "
		  "the provider");
}

static void check_kvm_access(struct json_object *checks, const struct mvd *mvd)
{
	if (node_kvm_closed(virt_facts(mvd->virt)->dac[ACCEL_TCG]))
		doctor_add(checks, "kvm-user", false, g_strdup("QEMU's user cannot "
			  "open /dev/kvm, so libvirt takes a minute to start "
			  "a domain"),
			  "chgrp kvm /dev/kvm && chmod 660 /dev/kvm");
}

/* Not having it is no fault: the serial port does the same. */
static void check_vsock(struct json_object *checks)
{
	doctor_add(checks, "vsock", true, g_strdup(vsock_available() ?
		  "/dev/vhost-vsock is there: links use vsock" :
		  "no /dev/vhost-vsock: links use virtio-serial"), "");
}

static void check_memory(struct json_object *checks)
{
	struct node_memory memory;

	node_memory(&memory);
	doctor_add(checks, "memory", memory.available >= LOW_MEMORY,
		  g_strdup_printf("%u of %u MiB are free", memory.available,
				  memory.total),
		  "jobs may be refused or killed; end something, or start jobs "
		  "with a smaller -m");
}

static void check_socket(struct json_object *checks, const struct mvd *mvd)
{
	const char *path = mvd->config.socket;
	int want = mvd->config.session ? 0600 : 0666;
	struct stat st;
	bool there = stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
	int mode = there ? (int)(st.st_mode & 0777) : 0;

	doctor_add(checks, "socket", there && mode == want, there ?
		  g_strdup_printf("%s, mode %04o", path, mode) :
		  g_strdup_printf("%s is gone", path),
		  there ? "chmod it back" : "restart mvd");
}

/* Not having them is no fault: all jobs then weigh the same. */
static void check_weights(struct json_object *checks, const struct mvd *mvd)
{
	if (mvd->scheduler)
		doctor_add(checks, "weights", true,
			   g_strdup(weigh_text(load_weigh(mvd->scheduler->load))), "");
}

static void check_forecasts(struct json_object *checks, const struct mvd *mvd)
{
	const struct sched_forecast_error *error =
		mvd->scheduler ? &mvd->scheduler->error : NULL;

	if (error && error->count)
		doctor_add(checks, "forecasts", true, g_strdup_printf(
			"moves that were decided here took %.0f %% more or less than forecast, usually "
			"(of %lu)", 100 * expm1(error->spread), error->count),
			"");
}

static char *owner_text(struct scheduler *s)
{
	const struct mvd_settings *settings = &s->mvd->config.settings;
	double idle = owner_idle(load_owner(s->load), mvd_gossip_now());

	if (settings->in_use == SETTINGS_YES)
		return g_strdup("in use by its owner, as somebody has set: takes no jobs of other "
				"nodes");
	if (!isfinite(idle))
		return g_strdup("not in use: no input has been seen");
	return g_strdup_printf("%s: the last input was %.0f s ago (owner_idle: %g)",
			       load_in_use(s->load) ? "in use by its owner" : "not in use", idle,
			       settings->owner_idle);
}

static void check_owner(struct json_object *checks, const struct mvd *mvd)
{
	struct scheduler *s = mvd->scheduler;
	enum settings_use use = mvd->config.settings.in_use;
	bool blind = use == SETTINGS_AUTO && s && load_owner(s->load)->blind;

	if (s && use != SETTINGS_NO)
		doctor_add(checks, "owner", !blind, blind ?
			   g_strdup("in_use is auto, but nothing here tells of input: no login "
				    "sessions, no keyboard") : owner_text(s),
			   "say it by hand: mvctl set in_use yes");
}

struct json_object *doctor_to_json(struct mvd *mvd)
{
	struct json_object *checks = json_object_new_array();

	check_libvirt(checks, mvd);
	check_qemu(checks, mvd);
	check_kit(checks, mvd);
	check_kvm(checks, mvd);
	check_kvm_access(checks, mvd);
	check_vsock(checks);
	check_memory(checks);
	check_weights(checks, mvd);
	check_forecasts(checks, mvd);
	check_owner(checks, mvd);
	check_socket(checks, mvd);
	return checks;
}
