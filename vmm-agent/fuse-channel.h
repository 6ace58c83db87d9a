/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The deputy's end of the FUSE channel: assembles requests from the stream's
 * bytes and gives them to the file service; queues replies from its worker
 * threads and sends them on the link from the loop's thread.
 *
 *	poll fuse_channel_fd() for POLLIN; then fuse_channel_flush().
 *	Call fuse_channel_flush() too when the link may have gained room.
 */
#ifndef MV_AGENT_FUSE_CHANNEL_H
#define MV_AGENT_FUSE_CHANNEL_H

#include "net/err.h"
#include "net/link.h"
#include "vmm-agent/files.h"

struct fuse_channel;

/* Creates the file service with `config`; `link` is borrowed. */
struct fuse_channel *fuse_channel_new(struct link *link, unsigned channel,
				      const struct files_config *config,
				      struct err *err);
/* Stops the file service first. */
void fuse_channel_free(struct fuse_channel *fc);

/* An eventfd that is readable when replies are queued. */
int fuse_channel_fd(const struct fuse_channel *fc);

/* Loop thread: send queued replies while the channel has room. */
void fuse_channel_flush(struct fuse_channel *fc);

/* Loop thread, from link_events.data. Consumes the channel's credit as the
 * file service takes requests. -1: the guest is not sane, end the job. */
int fuse_channel_receive(struct fuse_channel *fc, const void *data, size_t len,
			 struct err *err);

struct files *fuse_channel_files(struct fuse_channel *fc);

#endif
