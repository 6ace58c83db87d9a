/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-kit.h"

#include "vmm-agent/agent-paths.h"

#include <gio/gio.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define KIT_LIMIT_S 120

struct kit {
	const struct mvd_config *config;
	kit_changed_fn changed;
	void *ctx;
	enum kit_state state;
	GSubprocess *mvkit; /* while it runs */
	guint limit;
	char *kernel, *initramfs, *error;
};

struct kit *kit_new(const struct mvd_config *config, kit_changed_fn changed,
		    void *ctx)
{
	struct kit *kit = g_new0(struct kit, 1);

	kit->config = config;
	kit->changed = changed;
	kit->ctx = ctx;
	kit->error = g_strdup("mvkit was not run yet");
	return kit;
}

void kit_free(struct kit *kit)
{
	g_clear_handle_id(&kit->limit, g_source_remove);
	if (kit->mvkit)
		g_subprocess_force_exit(kit->mvkit);
	g_clear_object(&kit->mvkit);
	g_free(kit->kernel);
	g_free(kit->initramfs);
	g_free(kit->error);
	g_free(kit);
}

static void set_path(char **to, const char *path)
{
	g_free(*to);
	*to = path[0] == '/' ? g_strdup(path) : NULL;
}

bool kit_parse(const char *output, char **kernel, char **initramfs)
{
	g_auto(GStrv) lines = g_strsplit(output, "\n", 32);
	size_t i;

	for (i = 0; lines[i]; i++) {
		if (g_str_has_prefix(lines[i], "kernel "))
			set_path(kernel, lines[i] + strlen("kernel "));
		else if (g_str_has_prefix(lines[i], "initramfs "))
			set_path(initramfs, lines[i] + strlen("initramfs "));
	}
	return *kernel && *initramfs;
}

static void finish(struct kit *kit, enum kit_state state)
{
	kit->state = state;
	if (state == KIT_FAILED)
		g_message("%s", kit->error);
	else
		g_info("guests boot %s with %s", kit->kernel, kit->initramfs);
	kit->changed(kit->ctx);
}

static void fail(struct kit *kit, const char *why)
{
	g_autofree char *line = g_strdup(why);

	g_strstrip(line);
	g_free(kit->error);
	kit->error = g_strdup_printf("cannot make the guest's image in %s: %s",
				     kit->config->kit_dir,
				     *line ? line : "mvkit failed");
	finish(kit, KIT_FAILED);
}

/* mvkit's last word, without the name it begins with. */
static const char *complaint(char *text)
{
	char *line;

	g_strstrip(text);
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	return g_str_has_prefix(line, "mvkit: ") ? line + strlen("mvkit: ") :
						   line;
}

static void take_output(struct kit *kit, const char *out)
{
	g_clear_pointer(&kit->kernel, g_free);
	g_clear_pointer(&kit->initramfs, g_free);
	if (!kit_parse(out, &kit->kernel, &kit->initramfs))
		fail(kit, "mvkit did not say where it is");
	else if (access(kit->kernel, R_OK) < 0)
		fail(kit, "the kernel that mvkit named cannot be read");
	else if (access(kit->initramfs, R_OK) < 0)
		fail(kit, "the image that mvkit named cannot be read");
	else
		finish(kit, KIT_READY);
}

static void on_finished(GObject *source, GAsyncResult *result, void *ctx)
{
	GSubprocess *mvkit = G_SUBPROCESS(source);
	g_autofree char *out = NULL, *errors = NULL;
	g_autoptr(GError) error = NULL;
	struct kit *kit = ctx;
	gboolean ok = g_subprocess_communicate_utf8_finish(mvkit, result, &out,
							   &errors, &error);

	g_clear_handle_id(&kit->limit, g_source_remove);
	g_clear_object(&kit->mvkit);
	if (!ok)
		fail(kit, error->message);
	else if (!g_subprocess_get_successful(mvkit))
		fail(kit, complaint(errors));
	else
		take_output(kit, out);
}

static gboolean on_limit(void *p)
{
	struct kit *kit = p;

	kit->limit = 0;
	if (kit->mvkit)
		g_subprocess_force_exit(kit->mvkit);
	return G_SOURCE_REMOVE;
}

void kit_prepare(struct kit *kit)
{
	const struct mvd_config *config = kit->config;
	g_autoptr(GError) error = NULL;
	char mvkit[PATH_MAX];
	const char *argv[] = { mvkit, "--output", config->kit_dir,
			       config->kernel ? "--kernel" : NULL,
			       config->kernel, NULL };

	if (kit->mvkit)
		return;
	kit->state = KIT_RUNNING;
	if (agent_find_program("mvkit", "guest-kit", mvkit, sizeof(mvkit)) < 0) {
		fail(kit, "mvkit is not installed");
		return;
	}
	kit->mvkit = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE |
				       G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
	if (!kit->mvkit) {
		fail(kit, error->message);
		return;
	}
	kit->limit = g_timeout_add_seconds(KIT_LIMIT_S, on_limit, kit);
	g_subprocess_communicate_utf8_async(kit->mvkit, NULL, NULL, on_finished,
					    kit);
}

enum kit_state kit_state(struct kit *kit)
{
	if (kit->state == KIT_READY &&
	    (access(kit->kernel, R_OK) < 0 || access(kit->initramfs, R_OK) < 0))
		kit_prepare(kit);
	return kit->state;
}

const char *kit_kernel(const struct kit *kit)
{
	return kit->kernel;
}

const char *kit_initramfs(const struct kit *kit)
{
	return kit->initramfs;
}

const char *kit_error(const struct kit *kit)
{
	return kit->error;
}
