/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's image: a kernel and the kit's initramfs, made by mvkit.
 */
#ifndef MV_MVD_KIT_H
#define MV_MVD_KIT_H

#include "vmm-agent/mvd-config.h"

struct kit;

enum kit_state {
	KIT_RUNNING, /* mvkit works, or was not run yet */
	KIT_READY,
	KIT_FAILED,
};

typedef void (*kit_changed_fn)(void *ctx);

struct kit *kit_new(const struct mvd_config *config, kit_changed_fn changed,
		    void *ctx);
void kit_free(struct kit *kit);

/* Run mvkit unless it runs already. It is quick when the image is up to date. */
void kit_prepare(struct kit *kit);

/* The state now; a ready image whose files vanished is made again. */
enum kit_state kit_state(struct kit *kit);
const char *kit_kernel(const struct kit *kit);
const char *kit_initramfs(const struct kit *kit);
/* Why it failed, one line; never NULL. */
const char *kit_error(const struct kit *kit);

/* Read mvkit's output: the lines "kernel PATH" and "initramfs PATH", absolute
 * paths both. Exposed for tests. */
bool kit_parse(const char *output, char **kernel, char **initramfs);

#endif
