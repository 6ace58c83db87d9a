/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-probe.h"

#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-console.h"
#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-process.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBE_LIMIT_MS 10000
#define START_LIMIT_MS 40000
#define PROBE_LOOK_MS 50
#define PROBE_MEMORY 256
#define CONSOLE_BYTES 16384
#define VERDICT_GROUP "kvm"

struct probe {
	struct mvd *mvd;
	probe_changed_fn changed;
	void *ctx;
	enum accel verdict;
	char *reason;
	bool fell_back, warned;
	bool running, started;
	struct job_facts facts;
	char uuid[UUID_TEXT_SIZE], *domain; /* of the last one */
	guint look;
	gint64 began;
};

struct probe *probe_new(struct mvd *mvd, probe_changed_fn changed, void *ctx)
{
	struct probe *probe = g_new0(struct probe, 1);

	probe->mvd = mvd;
	probe->changed = changed;
	probe->ctx = ctx;
	probe->verdict = mvd->config.accel;
	probe->reason = g_strdup(probe->verdict == ACCEL_AUTO ?
				 "not known yet" : "chosen with --accel");
	return probe;
}

static void clear_run(struct probe *probe)
{
	g_clear_handle_id(&probe->look, g_source_remove);
	job_facts_clear(&probe->facts);
	probe->running = probe->started = false;
}

void probe_free(struct probe *probe)
{
	clear_run(probe);
	g_free(probe->domain);
	g_free(probe->reason);
	g_free(probe);
}

static void add_file(GString *key, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		g_string_append_printf(key, " %s %lld %lld", path,
				       (long long)st.st_size,
				       (long long)st.st_mtime);
}

/* What the verdict depends on. */
static char *verdict_key(const struct probe *probe)
{
	const struct mvd *mvd = probe->mvd;
	GString *key = g_string_new(NULL);
	g_autofree char *boot = NULL;

	g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL,
			    NULL);
	g_string_append_printf(key, "%s %lu", boot ? g_strstrip(boot) : "",
			       virt_facts(mvd->virt)->qemu_version);
	add_file(key, kit_kernel(mvd->kit));
	add_file(key, kit_initramfs(mvd->kit));
	return g_string_free(key, FALSE);
}

static void save_verdict(const struct probe *probe)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_autofree char *key = verdict_key(probe);

	g_key_file_set_string(file, VERDICT_GROUP, "key", key);
	g_key_file_set_string(file, VERDICT_GROUP, "accel",
			      accel_name(probe->verdict));
	g_key_file_set_string(file, VERDICT_GROUP, "reason", probe->reason);
	g_key_file_save_to_file(file, probe->mvd->config.verdict_path, NULL);
}

static void conclude(struct probe *probe, enum accel verdict,
		     const char *reason)
{
	probe->verdict = verdict;
	probe->fell_back = verdict == ACCEL_TCG;
	g_free(probe->reason);
	probe->reason = clean_text(reason);
	g_message("guests run under %s: %s", accel_name(verdict),
		  probe->reason);
	probe->changed(probe->ctx);
}

static bool load_verdict(struct probe *probe)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_autofree char *key = verdict_key(probe);
	g_autofree char *saved = NULL, *name = NULL, *reason = NULL;
	enum accel verdict;

	if (!g_key_file_load_from_file(file, probe->mvd->config.verdict_path,
				       G_KEY_FILE_NONE, NULL))
		return false;
	saved = g_key_file_get_string(file, VERDICT_GROUP, "key", NULL);
	name = g_key_file_get_string(file, VERDICT_GROUP, "accel", NULL);
	reason = g_key_file_get_string(file, VERDICT_GROUP, "reason", NULL);
	if (!saved || !name || !reason || strcmp(saved, key) != 0 ||
	    !accel_find(name, &verdict) || verdict == ACCEL_AUTO)
		return false;
	conclude(probe, verdict, reason);
	return true;
}

static void destroyed(void *ctx, const struct virt_result *result)
{
	struct probe *probe = ctx;

	/* Not before: libvirt writes a last line to QEMU's log. */
	boot_remove_files(probe->mvd, probe->uuid, probe->domain);
	if (result->error && !result->no_domain)
		g_message("cannot destroy the domain of the KVM probe: %s",
			  result->error);
}

static void finish(struct probe *probe, enum accel verdict, const char *reason)
{
	struct mvd *mvd = probe->mvd;

	virt_destroy(mvd->virt, probe->uuid, destroyed, probe);
	clear_run(probe);
	conclude(probe, verdict, reason);
	save_verdict(probe);
}

static gboolean look(void *p)
{
	struct probe *probe = p;
	gint64 took = (g_get_monotonic_time() - probe->began) / 1000;
	g_autofree char *console =
		boot_console(probe->mvd, probe->facts.uuid);
	g_autofree char *tail = console_tail(console, CONSOLE_BYTES);
	g_autofree char *reason = NULL;

	if (strstr(tail, CONSOLE_WAITING)) {
		reason = g_strdup_printf("a test guest booted under KVM in "
					 "%" G_GINT64_FORMAT " ms", took);
		finish(probe, ACCEL_KVM, reason);
		return G_SOURCE_REMOVE;
	}
	if (took < (probe->started ? PROBE_LIMIT_MS : START_LIMIT_MS))
		return G_SOURCE_CONTINUE;
	reason = g_strdup_printf("a test guest did not boot under KVM within "
				 "%d s", PROBE_LIMIT_MS / 1000);
	finish(probe, ACCEL_TCG, reason);
	return G_SOURCE_REMOVE;
}

static void on_started(void *ctx, const struct virt_result *result)
{
	struct probe *probe = ctx;
	g_autofree char *reason = NULL;

	if (!probe->running) {
		/* Given up meanwhile. */
		if (!result->error)
			virt_destroy(probe->mvd->virt, probe->uuid, destroyed,
				     probe);
		return;
	}
	if (result->error) {
		reason = g_strdup_printf("a test guest cannot be started under "
					 "KVM: %s", result->error);
		finish(probe, ACCEL_TCG, reason);
		return;
	}
	probe->started = true;
	probe->began = g_get_monotonic_time();
}

static void fill_facts(struct probe *probe)
{
	struct job_facts *facts = &probe->facts;
	g_autofree char *uuid = g_uuid_string_random();
	struct process self = { 0 };

	process_read(getpid(), &self, NULL);
	uuid_normalize(facts->uuid, uuid);
	facts->agent = g_strdup(probe->mvd->config.socket);
	facts->name = g_strdup("kvm-probe");
	facts->user = g_strdup(g_get_user_name());
	facts->command = g_strdup("does KVM work on this node?");
	facts->home = g_strdup(probe->mvd->node);
	facts->pid = getpid();
	facts->start = self.start;
	facts->uid = getuid();
	facts->since = g_get_real_time() / G_USEC_PER_SEC;
	facts->memory = PROBE_MEMORY;
	facts->cpus = 1;
	facts->probe = true;
	facts->accel = ACCEL_KVM;
}

static void run(struct probe *probe)
{
	g_autofree char *xml = NULL;
	struct err err = { 0 };

	fill_facts(probe);
	memcpy(probe->uuid, probe->facts.uuid, sizeof(probe->uuid));
	probe->running = true;
	g_free(probe->domain);
	probe->domain = domain_name(&probe->facts, probe->mvd->node);
	xml = boot_xml(probe->mvd, &probe->facts, &err);
	if (!xml) {
		finish(probe, ACCEL_TCG, err.text);
		return;
	}
	g_info("finding out whether KVM works");
	probe->began = g_get_monotonic_time();
	probe->look = g_timeout_add(PROBE_LOOK_MS, look, probe);
	virt_start(probe->mvd->virt, xml, on_started, probe);
}

void probe_advance(struct probe *probe)
{
	struct mvd *mvd = probe->mvd;

	if (probe->verdict != ACCEL_AUTO || probe->running ||
	    virt_state(mvd->virt) != VIRT_UP ||
	    kit_state(mvd->kit) != KIT_READY)
		return;
	if (load_verdict(probe))
		return;
	if (access("/dev/kvm", F_OK) < 0)
		conclude(probe, ACCEL_TCG, "there is no /dev/kvm");
	else if (mvd->config.session && access("/dev/kvm", R_OK | W_OK) < 0)
		conclude(probe, ACCEL_TCG, "you may not open /dev/kvm; the group "
			 "kvm may");
	else if (virt_facts(mvd->virt)->kvm_error)
		conclude(probe, ACCEL_TCG, virt_facts(mvd->virt)->kvm_error);
	else
		run(probe);
}

void probe_abort(struct probe *probe)
{
	clear_run(probe);
}

bool probe_event(struct probe *probe, const char *uuid, enum virt_event event)
{
	g_autofree char *console = NULL, *tail = NULL, *line = NULL;
	g_autofree char *reason = NULL;

	if (!probe->running || strcmp(uuid, probe->facts.uuid) != 0)
		return false;
	if (event == VIRT_PAUSED || event == VIRT_RESUMED ||
	    event == VIRT_POWERDOWN)
		return true;
	console = boot_console(probe->mvd, uuid);
	tail = console_tail(console, CONSOLE_BYTES);
	line = console_last_line(tail);
	reason = g_strdup_printf("a test guest under KVM ended before it was "
				 "up%s%s", *line ? ": " : "", line);
	finish(probe, ACCEL_TCG, reason);
	return true;
}

enum accel probe_accel(const struct probe *probe)
{
	return probe->verdict;
}

const char *probe_reason(const struct probe *probe)
{
	return probe->reason;
}

bool probe_fell_back(const struct probe *probe)
{
	return probe->fell_back;
}

char *probe_take_warning(struct probe *probe)
{
	if (!probe->fell_back || probe->warned)
		return NULL;
	probe->warned = true;
	return g_strdup_printf("KVM does not work on this node (%s): programs "
			       "run in emulation, many times slower (see "
			       "mvctl doctor)", probe->reason);
}
