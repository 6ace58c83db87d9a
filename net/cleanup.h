/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owners that clean up when they leave scope, for code without GLib.
 *
 *	cleanup_fd int fd = open(...);
 *	cleanup_free char *text = strdup(...);
 *	return steal_fd(&fd);
 */
#ifndef MV_NET_CLEANUP_H
#define MV_NET_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_fd_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}

/* Hand the descriptor over to the caller; the owner forgets it. */
static inline int steal_fd(int *fd)
{
	int value = *fd;

	*fd = -1;
	return value;
}

static inline void *steal_pointer_(void *p)
{
	void *value = *(void **)p;

	*(void **)p = NULL;
	return value;
}

#define steal_pointer(p) ((__typeof__(*(p)))steal_pointer_(p))
#define cleanup_fd __attribute__((cleanup(cleanup_fd_)))
#define cleanup_free __attribute__((cleanup(cleanup_free_)))

#endif
