/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the agent and its clients meet: sockets, private directories, and the
 * other programs of this package.
 */
#ifndef MV_AGENT_PATHS_H
#define MV_AGENT_PATHS_H

#include "net/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#define AGENT_SYSTEM_DIR "/run/monovisor"
#define AGENT_SYSTEM_SOCKET AGENT_SYSTEM_DIR "/mvd.sock"
#define AGENT_SOCKET_NAME "mvd.sock"
#define AGENT_LOG_NAME "mvd.log"

/*
 * The caller's private directory, $XDG_RUNTIME_DIR/monovisor or
 * /tmp/monovisor-UID. `create` makes it when it is missing. Fails when it is
 * not a directory that belongs to the caller alone: in /tmp anybody can make
 * that name first.
 */
int agent_private_dir(char *path, size_t size, bool create, struct err *err);

/* Check that `path` is a directory, no symbolic link, owned by the caller, and
 * closed to everybody else. */
int agent_check_private(const char *path, struct err *err);

/* Somebody listens at this unix socket. */
bool agent_path_answers(const char *path);
/* The system's libvirt daemon listens. */
bool agent_libvirt_runs(void);

/* Milliseconds of a monotonic clock. */
int64_t agent_now_ms(void);

/* Fill in the address of a unix socket; fails when the path is too long. */
int agent_address(struct sockaddr_un *address, const char *path,
		  struct err *err);

/*
 * A program of this package: beside the running executable, in `build_dir`
 * beside the executable's directory (the build tree), or installed. Returns 0,
 * or -1 when it is nowhere.
 */
int agent_find_program(const char *name, const char *build_dir, char *path,
		       size_t size);

#endif
