/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults for the file service, put in front of its operations:
 *
 *	error:OPCODE:ERRNO     answer with this errno (a number)
 *	delay:OPCODE:MS        wait, then do it
 *	short:OPCODE:BYTES     READ, READDIR, READDIRPLUS or WRITE at most so many bytes
 *	drop:OPCODE:N          never answer, the first N times
 *
 * OPCODE is a name as in <linux/fuse.h>, without FUSE_.
 */
#ifndef MV_TESTS_FILES_LAYERS_H
#define MV_TESTS_FILES_LAYERS_H

#include "net/err.h"

struct files;

/* Before the first request; at most 32 in a process. Returns 0 or -1. */
int layers_add(struct files *files, const char *spec, struct err *err);

#endif
