/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel modules a guest needs, found with libkmod in the directory of one
 * release (/lib/modules/RELEASE), which need not be that of the running kernel.
 */
#ifndef MV_KIT_MVKIT_MODULES_H
#define MV_KIT_MVKIT_MODULES_H

#include "net/err.h"

#include <stddef.h>

#define MODULES_WANTED 7

enum module_state {
	MODULE_MISSING, /* the kernel was built without it */
	MODULE_BUILTIN, /* part of the kernel image */
	MODULE_FILE,    /* a file; it is in `paths` with all it depends on */
};

struct modules {
	char **paths; /* in the order in which they must be loaded */
	size_t count;
	enum module_state state[MODULES_WANTED];
};

/*
 * Look for every wanted module. A missing one is not an error here, see
 * modules_check(). -1 when `dir` has no readable list of modules. The result
 * is to be freed, after a failure too.
 */
int modules_resolve(struct modules *modules, const char *dir, struct err *err);

/* -1 when a guest could not work with what was found: no file system, or no
 * way to reach its deputy. The error names kernel and module. */
int modules_check(const struct modules *modules, const char *release,
		  struct err *err);

const char *modules_name(size_t wanted);
/* What is lost without it, for a note to the user. */
const char *modules_use(size_t wanted);
void modules_free(struct modules *modules);

#endif
