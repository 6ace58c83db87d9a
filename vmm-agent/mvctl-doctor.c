/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvctl.h"

#include "net/cleanup.h"
#include "vmm-agent/agent-paths.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MS 30000
#define LOW_MEMORY 512 /* MiB */

static void add_check(struct json_object *checks, const char *name, bool ok,
		      const char *text, const char *hint)
{
	struct json_object *check = json_object_new_object();

	json_object_object_add(check, "check", json_object_new_string(name));
	json_object_object_add(check, "ok", json_object_new_boolean(ok));
	json_object_object_add(check, "text", json_object_new_string(text));
	json_object_object_add(check, "hint",
			       json_object_new_string(ok ? "" : hint));
	json_object_array_add(checks, check);
}

static void check_libvirt(struct json_object *checks)
{
	bool system = agent_libvirt_runs();
	bool installed = access("/usr/sbin/libvirtd", X_OK) == 0 ||
			 access("/usr/sbin/virtqemud", X_OK) == 0;

	/* A private agent has libvirt started for it. */
	if (system || (geteuid() != 0 && installed))
		add_check(checks, "libvirt", true, system ?
			  "the system's libvirt daemon answers" :
			  "libvirt is installed; it is started when needed",
			  "");
	else
		add_check(checks, "libvirt", false, installed ?
			  "the system's libvirt daemon does not run" :
			  "libvirt is not installed",
			  installed ? "start libvirtd" :
			  "install libvirt-daemon-system");
}

static void check_qemu(struct json_object *checks)
{
	bool ok = access("/usr/bin/qemu-system-x86_64", X_OK) == 0;

	add_check(checks, "qemu", ok, ok ? "/usr/bin/qemu-system-x86_64" :
		  "there is no /usr/bin/qemu-system-x86_64",
		  "install qemu-system-x86");
}

static void check_device(struct json_object *checks, const char *name,
			 const char *path, const char *without)
{
	bool there = access(path, F_OK) == 0;
	char text[128];

	snprintf(text, sizeof(text), there ? "%s is there" : "no %s: %s", path,
		 without);
	add_check(checks, name, true, text, "");
}

static void check_memory(struct json_object *checks)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	snprintf(line, sizeof(line), "%lu MiB are free", kib / 1024);
	add_check(checks, "memory", kib / 1024 >= LOW_MEMORY, line,
		  "end something, or start jobs with a smaller -m");
}

static void check_programs(struct json_object *checks)
{
	bool ok;
	char path[PATH_MAX];

	ok = agent_find_program("mvd", "vmm-agent", path, sizeof(path)) == 0;
	add_check(checks, "mvd", ok, ok ? path : "mvd is not installed",
		  "install Monovisor (make install)");
	ok = agent_find_program("mvkit", "guest-kit", path, sizeof(path)) == 0;
	add_check(checks, "mvkit", ok, ok ? path : "mvkit is not installed",
		  "install Monovisor (make install)");
}

static void check_locally(struct json_object *checks, const struct err *why)
{
	add_check(checks, "agent", false, why->text, geteuid() == 0 ?
		  "start it: mvd --daemonize" :
		  "mvrun starts one by itself; or: mvd --session --daemonize");
	check_programs(checks);
	check_libvirt(checks);
	check_qemu(checks);
	check_device(checks, "kvm", "/dev/kvm", "programs run in emulation, "
		     "many times slower");
	check_device(checks, "vsock", "/dev/vhost-vsock",
		     "links use virtio-serial");
	check_memory(checks);
}

/* The agent's own checks, behind one about the agent. */
static int ask_agent(struct json_object *checks, struct agent *agent,
		     struct err *err)
{
	struct json_object *answer = NULL, *list;
	char text[PATH_MAX + 64];
	size_t i;
	int fd = -1, rc;

	if (agent_send_op(agent, "doctor", NULL, err) < 0)
		return -1;
	do {
		json_object_put(answer);
		rc = agent_receive(agent, ANSWER_MS, &answer, &fd, err);
		cleanup_fd_(&fd);
	} while (rc > 0 && strcmp(agent_string(answer, "event"), "doctor") != 0);
	if (rc == 0)
		return err_set(err, ETIMEDOUT, "the agent does not answer");
	if (rc < 0)
		return -1;
	snprintf(text, sizeof(text), "answers at %s", agent_socket(agent));
	add_check(checks, "agent", true, text, "");
	if (json_object_object_get_ex(answer, "checks", &list) &&
	    json_object_is_type(list, json_type_array))
		for (i = 0; i < json_object_array_length(list); i++)
			json_object_array_add(checks, json_object_get(
				json_object_array_get_idx(list, i)));
	json_object_put(answer);
	return 0;
}

struct json_object *doctor_checks(struct agent *agent, const struct err *why)
{
	struct json_object *checks = json_object_new_array();
	struct err err = *why;

	if (!agent || ask_agent(checks, agent, &err) < 0)
		check_locally(checks, &err);
	return checks;
}

bool doctor_all_ok(struct json_object *checks)
{
	size_t i;

	for (i = 0; i < json_object_array_length(checks); i++)
		if (!agent_number(json_object_array_get_idx(checks, i), "ok"))
			return false;
	return true;
}
