/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file service of the deputy: it answers the FUSE requests of a guest from
 * the home node's files, with the rights of the process it runs in.
 *
 * Requests are raw FUSE messages as a guest kernel wrote them. Every one is
 * checked (files-check.h) before libfuse's low-level parser sees it, because
 * that parser trusts its kernel and this one is a guest. Requests run on worker
 * threads of the service; replies are handed to `reply` on those threads.
 */
#ifndef MV_AGENT_FILES_H
#define MV_AGENT_FILES_H

#include "net/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest payload of one READ or WRITE, and the largest message with headers. */
#define FILES_MAX_IO (1024 * 1024)
#define FILES_MAX_MESSAGE (FILES_MAX_IO + 8192)

struct files;

struct files_config {
	const char *root;  /* directory served as the guest's root, "/" */
	unsigned workers;  /* upper bound of worker threads; 0: a good default */
	/* For how long the guest may believe what it was told, in s; negative:
	 * by the file's age, see stat_trust(). */
	double attr_timeout, entry_timeout;
	/* Directories directly below root whose contents are not served,
	 * because the guest has its own; NULL-terminated, NULL: none. */
	const char *const *hidden;
};

/*
 * One reply (or notification), a complete FUSE message of at most
 * FILES_MAX_MESSAGE bytes. Called from worker threads, several at a time, and
 * from inside files_request() in the caller's thread; must copy what it keeps;
 * may block to hold the workers back.
 */
typedef void (*files_reply_fn)(void *ctx, const void *message, size_t len);

/*
 * Raises the process's soft limit on descriptors to the hard one: files that a
 * job opens are open here. Callers that pass limits on take them before.
 */
struct files *files_new(const struct files_config *config,
			files_reply_fn reply, void *ctx, struct err *err);

/*
 * Take one request of exactly `len` bytes (copied). Answers at once what home
 * has in memory; does not wait for file operations. Returns -1 when the message
 * cannot come from a sane FUSE client: the caller ends the job. A request that
 * is merely wrong gets its errno.
 */
int files_request(struct files *files, const void *message, size_t len,
		  struct err *err);

/* Stop the workers and wait for what is under way; no reply comes afterwards. */
void files_free(struct files *files);

/* How many descriptors, inodes, handles are held; for -v and tests. */
struct files_stats {
	uint64_t requests, inodes, descriptors, handles, waiting_locks;
};
void files_stats(struct files *files, struct files_stats *stats);

#endif
