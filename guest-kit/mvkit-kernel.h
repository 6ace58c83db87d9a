/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Choosing the guest's kernel among those that are installed, and asking an
 * image which release it is: its modules are found by that, and the name of a
 * file can lie.
 */
#ifndef MV_KIT_MVKIT_KERNEL_H
#define MV_KIT_MVKIT_KERNEL_H

#include "net/err.h"

/* Where a distribution keeps kernels and modules; tests have their own. */
struct kernel_dirs {
	const char *boot;    /* "/boot" */
	const char *modules; /* "/lib/modules", a directory per release */
};

struct kernel {
	char *path;    /* absolute */
	char *release; /* what uname -r prints when it runs */
};

/*
 * Find a kernel: `wanted` is a path (it has a slash), a release, or NULL for
 * the default: of the readable images in dirs->boot that have modules, the
 * newest of Debian's cloud kernels, else the one that runs now, else the
 * newest. Returns 0 or -1; the kernel is to be freed.
 */
int kernel_find(struct kernel *kernel, const char *wanted,
		const struct kernel_dirs *dirs, struct err *err);

/* The release that an image names in its header; to be freed, NULL on error. */
char *kernel_release(const char *path, struct err *err);
void kernel_free(struct kernel *kernel);

#endif
