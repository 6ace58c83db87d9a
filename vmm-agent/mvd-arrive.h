/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs that are about to come here from another node: room and files are
 * reserved for each before its microVM is sent.
 */
#ifndef MV_MVD_ARRIVE_H
#define MV_MVD_ARRIVE_H

#include "vmm-agent/mvd-jobs.h"

#include "net/peer.h"

struct arrivals *arrivals_new(struct mvd *mvd);
void arrivals_free(struct arrivals *arrivals);

/* Its microVM runs here, or will not come: nothing is reserved any more. */
void arrivals_done(struct arrivals *arrivals, const char *uuid);

/* A peer's questions: `reserve`, `release`. */
void arrivals_reserve(struct arrivals *arrivals, const char *from,
		      struct json_object *body, struct peer_question *question);
void arrivals_release(struct arrivals *arrivals, const char *from,
		      struct json_object *body, struct peer_question *question);
/* A peer's streams: `libvirt`, `memory`; and the `link` of a job that is still
 * on its way. Returns false when nothing is reserved for it. */
bool arrivals_stream(struct arrivals *arrivals, const char *from,
		     const char *op, struct json_object *body,
		     struct peer_stream *stream);

/* Something is reserved for it: it may be on its way. */
bool arrivals_expects(const struct arrivals *arrivals, const char *uuid);
/* MiB reserved. */
unsigned arrivals_memory(const struct arrivals *arrivals);

/* The directory, the same on every node, where a migration's sockets are. */
char *arrivals_dir(const struct mvd *mvd, const char *uuid);
/* Make it, for QEMU's user. */
int arrivals_make_dir(const struct mvd *mvd, const char *path, const char *dac,
		      struct err *err);
void arrivals_remove_dir(const char *path);
/* QEMU's user, from libvirt's label for it. */
unsigned arrivals_uid(const char *dac);

#endif
