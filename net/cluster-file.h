/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are there as a whole or not at all; for net/cluster.c. */
#ifndef MV_NET_CLUSTER_FILE_H
#define MV_NET_CLUSTER_FILE_H

#include "net/err.h"

#include <stddef.h>

/* The file's text, at most `max` bytes and without NULs; NULL with err.num. */
char *cluster_file_read(const char *dir, const char *name, size_t max,
			struct err *err);
/* Replace it: mode 0600, synced, renamed. */
int cluster_file_write(const char *dir, const char *name, const char *text,
		       struct err *err);

struct cluster_file {
	const char *name, *text;
};
/* Make the directory with these files, replacing one that is there. */
int cluster_dir_write(const char *dir, const struct cluster_file *files,
		      size_t count, struct err *err);

#endif
