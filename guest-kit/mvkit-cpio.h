/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A newc cpio archive, the format of an initramfs, built in memory, always in
 * the same way: sorted by name, inodes counted from 1, time 0, owner
 * root. Equal contents give equal bytes.
 */
#ifndef MV_KIT_MVKIT_CPIO_H
#define MV_KIT_MVKIT_CPIO_H

#include "net/err.h"

#include <stddef.h>
#include <sys/types.h>

struct cpio_entry {
	char *name;  /* without a leading slash */
	mode_t mode; /* type and permissions */
	dev_t rdev;  /* of a device node, else 0 */
	void *data;
	size_t size;
};

/* Zero to begin. */
struct cpio {
	struct cpio_entry *entries;
	size_t count, room;
};

/*
 * Add an entry. `data` (NULL when `size` is 0) passes to the archive, on
 * failure too. Parents are the caller's to add. Returns 0 or -1.
 */
int cpio_add(struct cpio *cpio, const char *name, mode_t mode, void *data,
	     size_t size, struct err *err);
int cpio_add_directory(struct cpio *cpio, const char *name, struct err *err);
int cpio_add_device(struct cpio *cpio, const char *name, mode_t mode,
		    dev_t rdev, struct err *err);

/* The whole archive, to be freed. -1 when out of memory or a name is there twice. */
int cpio_pack(struct cpio *cpio, char **bytes, size_t *size, struct err *err);
void cpio_free(struct cpio *cpio);

#endif
