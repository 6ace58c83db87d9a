/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-boot.h"

#include "net/peer.h"
#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-libvirt.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

/* virtlogd, where it is in use, keeps up to three older parts of a console. */
static const char *const console_suffixes[] = {
	".console", ".console.0", ".console.1", ".console.2",
};

static char *job_file(const struct mvd *mvd, const char *uuid,
		      const char *suffix)
{
	return g_strdup_printf("%s/%s%s", mvd->config.jobs_dir, uuid, suffix);
}

char *boot_socket(const struct mvd *mvd, const char *uuid)
{
	return job_file(mvd, uuid, ".link");
}

char *boot_console(const struct mvd *mvd, const char *uuid)
{
	return job_file(mvd, uuid, ".console");
}

char *boot_xml(const struct mvd *mvd, const struct job_facts *facts,
	       struct err *err)
{
	const struct virt_facts *host = virt_facts(mvd->virt);
	g_autofree char *name = domain_name(facts, mvd->node);
	g_autofree char *socket = boot_socket(mvd, facts->uuid);
	g_autofree char *console = boot_console(mvd, facts->uuid);
	struct domain_spec spec = {
		.facts = facts,
		.name = name,
		.kernel = kit_kernel(mvd->kit),
		.initramfs = kit_initramfs(mvd->kit),
		.socket = socket,
		.console = console,
		.cpu = host->kvm_cpu,
		.dac = host->dac[facts->accel],
		.may_move = mvd->peers && peers_in_cluster(mvd->peers),
	};

	return domain_to_xml(&spec, err);
}

char *boot_log(const struct mvd *mvd, const char *domain)
{
	g_autofree char *file = g_strconcat(domain, ".log", NULL);

	if (strstr(mvd->config.uri, "/session"))
		return g_build_filename(g_get_user_cache_dir(), "libvirt",
					"qemu", "log", file, NULL);
	return g_build_filename("/var/log/libvirt/qemu", file, NULL);
}

static void remove_console(const struct mvd *mvd, const char *uuid)
{
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(console_suffixes); i++) {
		g_autofree char *path =
			job_file(mvd, uuid, console_suffixes[i]);

		unlink(path);
	}
}

void boot_remove_files(const struct mvd *mvd, const char *uuid,
		       const char *domain)
{
	g_autofree char *socket = boot_socket(mvd, uuid);

	unlink(socket);
	remove_console(mvd, uuid);
	if (domain) {
		g_autofree char *log = boot_log(mvd, domain);

		unlink(log);
	}
}

void boot_each(const struct mvd *mvd, void (*found)(void *ctx, const char *uuid), void *ctx)
{
	DIR *dir = opendir(mvd->config.jobs_dir);
	char uuid[UUID_TEXT_SIZE];
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		g_autofree char *stem = g_strndup(entry->d_name, UUID_TEXT_SIZE - 1);

		if (uuid_normalize(uuid, stem))
			found(ctx, uuid);
	}
	if (dir)
		closedir(dir);
}
