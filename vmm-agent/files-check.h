/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The door of the file service: libfuse's parser trusts its kernel, and ours is
 * a guest. A request that passes may be parsed by libfuse: its fixed part is
 * there, its counts and sizes fit the message, each name ends with NUL where
 * the parser expects it and names one entry of a directory.
 */
#ifndef MV_AGENT_FILES_CHECK_H
#define MV_AGENT_FILES_CHECK_H

#include "net/err.h"

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILES_OPCODES 64 /* opcodes from here on are unknown */

/* FUSE protocol that the guest's kernel must speak at least (Linux 5.4). */
#define FILES_MIN_MINOR 31

/*
 * `message` is aligned to 8 bytes, as structures of the protocol are.
 * Returns 0; an errno to answer when a sane client might have sent it; or -1
 * with `err` when none can have: the stream or the guest is broken.
 */
int files_check(const void *message, size_t len, struct err *err);

/* FORGET, BATCH_FORGET and INTERRUPT are not answered. */
bool files_check_answered(uint32_t opcode);

/* The opcode's name for messages, "?" for unknown ones. */
const char *files_check_name(uint32_t opcode);

#endif
