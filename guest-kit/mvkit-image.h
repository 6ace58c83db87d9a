/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The initramfs of a guest: the kit as /init, the modules with the order to
 * load them in, and the few directories and the one node that PID 1 begins with.
 */
#ifndef MV_KIT_MVKIT_IMAGE_H
#define MV_KIT_MVKIT_IMAGE_H

#include "guest-kit/mvkit-modules.h"
#include "net/err.h"

#include <stdbool.h>
#include <stddef.h>

struct image {
	char *bytes;
	size_t size;
};

/* Make it in memory: equal inputs give equal bytes. To be freed. */
int image_make(struct image *image, const char *kit, const struct modules *modules,
	       struct err *err);
void image_free(struct image *image);

/* True when the file `path` has exactly these bytes. */
bool image_is_at(const struct image *image, const char *path);

/* Write it to `path`: all of it and on disk, or nothing. */
int image_write(const struct image *image, const char *path, struct err *err);

#endif
