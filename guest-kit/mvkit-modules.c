/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/mvkit-modules.h"

#include "net/cleanup.h"

#include <assert.h>
#include <errno.h>
#include <libkmod.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The places of the modules that modules_check() asks about. */
enum wanted_index {
	WANTED_MMIO,
	WANTED_CONSOLE,
	WANTED_VSOCK,
	WANTED_FUSE,
	WANTED_NET,
	WANTED_BALLOON,
	WANTED_RNG,
	WANTED_COUNT
};
static_assert(WANTED_COUNT == MODULES_WANTED, "mvkit-modules.h says how many");

static const struct {
	const char *name, *use;
} wanted[MODULES_WANTED] = {
	[WANTED_MMIO] = { "virtio_mmio", "the bus of all of a guest's devices" },
	[WANTED_CONSOLE] = { "virtio_console", "the serial port to the deputy" },
	[WANTED_VSOCK] = { "vmw_vsock_virtio_transport", "vsock to the deputy" },
	[WANTED_FUSE] = { "fuse", "the files of the home node" },
	[WANTED_NET] = { "virtio_net", "the network of a guest" },
	[WANTED_BALLOON] = { "virtio_balloon", "giving unused memory back to the host" },
	[WANTED_RNG] = { "virtio_rng", "random numbers from the host" },
};

const char *modules_name(size_t index)
{
	return wanted[index].name;
}

const char *modules_use(size_t index)
{
	return wanted[index].use;
}

static bool has_path(const struct modules *modules, const char *path)
{
	for (size_t i = 0; i < modules->count; i++)
		if (!strcmp(modules->paths[i], path))
			return true;
	return false;
}

static int add_path(struct modules *modules, const char *path, struct err *err)
{
	cleanup_free char *copy = NULL;
	char **paths;

	if (has_path(modules, path))
		return 0;
	copy = strdup(path);
	paths = reallocarray(modules->paths, modules->count + 1, sizeof(*paths));
	if (paths)
		modules->paths = paths;
	if (!copy || !paths)
		return err_set(err, ENOMEM, "cannot note the module %s", path);
	modules->paths[modules->count++] = steal_pointer(&copy);
	return 0;
}

static void unref_list(struct kmod_list **list)
{
	kmod_module_unref_list(*list);
}

static void unref_module(struct kmod_module **module)
{
	kmod_module_unref(*module);
}

static void unref_ctx(struct kmod_ctx **ctx)
{
	kmod_unref(*ctx);
}

#define cleanup_kmod_list __attribute__((cleanup(unref_list)))
#define cleanup_kmod_module __attribute__((cleanup(unref_module)))
#define cleanup_kmod_ctx __attribute__((cleanup(unref_ctx)))

/* libkmod gives all dependencies, direct or not, deepest first. */
static int add_dependencies(struct modules *modules, struct kmod_module *module,
			    struct err *err)
{
	cleanup_kmod_list struct kmod_list *list = kmod_module_get_dependencies(module);
	struct kmod_list *entry;

	kmod_list_foreach(entry, list) {
		cleanup_kmod_module struct kmod_module *dep = kmod_module_get_module(entry);
		const char *path = kmod_module_get_path(dep);

		if (path && add_path(modules, path, err) < 0)
			return -1;
	}
	return 0;
}

static int resolve_one(struct modules *modules, struct kmod_ctx *ctx,
		       size_t index, struct err *err)
{
	cleanup_kmod_module struct kmod_module *module = NULL;
	const char *path;

	if (kmod_module_new_from_name(ctx, wanted[index].name, &module) < 0)
		return err_set(err, ENOMEM, "cannot look up the module %s",
			       wanted[index].name);
	/* Only the built-in state is of this kernel; others are the running one's. */
	if (kmod_module_get_initstate(module) == KMOD_MODULE_BUILTIN) {
		modules->state[index] = MODULE_BUILTIN;
		return 0;
	}
	path = kmod_module_get_path(module);
	if (!path)
		return 0;
	modules->state[index] = MODULE_FILE;
	if (add_dependencies(modules, module, err) < 0)
		return -1;
	return add_path(modules, path, err);
}

/* libkmod logs what is absent to stderr; here absence is an answer. */
static void drop_log(void *data, int priority, const char *file, int line,
		     const char *fn, const char *format, va_list args)
{
	(void)data, (void)priority, (void)file, (void)line, (void)fn;
	(void)format, (void)args;
}

static int check_index(const char *dir, struct err *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/modules.dep.bin", dir) >= (int)sizeof(path))
		return err_set(err, ENAMETOOLONG, "cannot read the modules in %s", dir);
	if (access(path, R_OK) < 0)
		return err_set(err, 0, "cannot read the list of modules %s: %s (install "
			       "the kernel's modules, or run depmod(8))",
			       path, strerror(errno));
	return 0;
}

int modules_resolve(struct modules *modules, const char *dir, struct err *err)
{
	/* The administrator's modprobe.d is about this machine, not a guest. */
	static const char *const no_config[] = { NULL };
	cleanup_kmod_ctx struct kmod_ctx *ctx = NULL;

	*modules = (struct modules){ 0 };
	if (check_index(dir, err) < 0)
		return -1;
	ctx = kmod_new(dir, no_config);
	if (!ctx)
		return err_set(err, ENOMEM, "cannot read the modules in %s", dir);
	kmod_set_log_fn(ctx, drop_log, NULL);
	for (size_t i = 0; i < MODULES_WANTED; i++)
		if (resolve_one(modules, ctx, i, err) < 0)
			return -1;
	return 0;
}

static int complain(const char *release, size_t index, const char *or_else,
		    struct err *err)
{
	return err_set(err, 0, "kernel %s has no module %s%s: %s (choose another kernel "
		       "with --kernel)", release, wanted[index].name, or_else,
		       wanted[index].use);
}

int modules_check(const struct modules *modules, const char *release,
		  struct err *err)
{
	if (modules->state[WANTED_FUSE] == MODULE_MISSING)
		return complain(release, WANTED_FUSE, "", err);
	if (modules->state[WANTED_MMIO] == MODULE_MISSING)
		return complain(release, WANTED_MMIO, "", err);
	if (modules->state[WANTED_CONSOLE] == MODULE_MISSING &&
	    modules->state[WANTED_VSOCK] == MODULE_MISSING)
		return complain(release, WANTED_CONSOLE,
				" and no vmw_vsock_virtio_transport", err);
	return 0;
}

void modules_free(struct modules *modules)
{
	for (size_t i = 0; i < modules->count; i++)
		free(modules->paths[i]);
	free(modules->paths);
	*modules = (struct modules){ 0 };
}
